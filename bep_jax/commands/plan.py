"""What the flags of ``python -m bep_jax train`` come to: data, network, rule and settings, before any data are read."""

import dataclasses
import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from bep_jax.commands.flags import Data, Network, RuleFlags, Training
from bep_jax.data import datasets, encode, images
from bep_jax.data.datasets import Dataset
from bep_jax.data.encode import Edges, Thermometer, Union, first_encoder
from bep_jax.data.random_prototypes import NAME as DRAWN
from bep_jax.kernels.checks import INT32_MAX
from bep_jax.learning.laws import divisors, initial_scale
from bep_jax.learning.rule import Rule, thresholds
from bep_jax.network.layers.recurrent import Recurrent
from bep_jax.network.model import Model, check_scale, conv, mlp, rnn
from bep_jax.training.samples import cut_batch

Kind = Literal["mlp", "rocket", "conv", "rnn"]
_SERIES = "ucr/"
_ROWS = {"mnist": 28, "fashion-mnist": 28, "digits": 8}  # of an image: one a time step unless --window says otherwise
_RECURRENT = ("horizon", "patterns", "gated_update")  # flags that `rnn` takes by the same names
_OF_RNN = ("state_width", "output_width", *_RECURRENT)
_WIDTHS, _STATE_WIDTH = (525, 525), 1035
_LEAST_BATCH = 16
_BATCHES, _MANY_BATCHES = (100, 20), (256, 200)  # samples a batch at most, and batches an epoch up to there


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the flags come to."""

    dataset: str
    kind: Kind
    widths: tuple[int, ...]
    rule: Rule
    scale: float | tuple[float, ...] | None
    filters: tuple[tuple[int, ...], ...] | None  # of convolutions; None for the usual
    recurrent_options: dict[str, Any]
    data_seed: int | tuple[int, ...]
    load_options: dict[str, Any]
    wanted_batch_size: int | None
    bits_named: dict[str, Any]  # what flags say of the bits of a feature
    start: Model | None = None  # of the file that training goes on from

    @property
    def slug(self) -> str:
        return f"{self._name}-{self.kind}-{'x'.join(map(str, self.widths))}"

    @property
    def title(self) -> str:
        return f"{self.kind} {'-'.join(map(str, self.widths))}"

    @property
    def layers(self) -> tuple[str, ...]:
        """A name for each."""
        if self.kind == "rnn":
            return "state", "output"
        number = len(self.widths) + (len(self.filters or (None,)) if self.kind == "conv" else 0)
        return tuple(f"layer {i + 1}" for i in range(number))

    @property
    def dense(self) -> bool:
        """Whether it has dense layers alone."""
        return self.kind in ("mlp", "rocket")

    @property
    def _name(self) -> str:
        name = self.dataset if self.dataset.startswith(_SERIES) else Path(self.dataset).stem
        return name.replace("/", "-")

    def load(self) -> Dataset:
        return datasets.load(self.dataset, seed=self.data_seed, **self.load_options)

    def model(self, data: Dataset) -> Model:
        if self.start is not None:
            return self.start
        if self.kind == "rocket" and data.num_steps is None:
            raise ValueError(f"train: {self.dataset!r} has no time steps for --model rocket.")
        if self.dense:
            return mlp(num_inputs=data.num_inputs, widths=self.widths, num_classes=data.num_classes)
        if self.kind == "conv":
            if data.image_shape is None:
                raise ValueError(f"train: {self.dataset!r} has no pixels or time steps for --model conv.")
            return conv(
                image_shape=data.image_shape,
                channels=(data.num_inputs - data.extra) // math.prod(data.image_shape),
                filters=self.filters,
                widths=self.widths,
                num_classes=data.num_classes,
                extra=data.extra,
            )
        state, output = self.widths
        return rnn(
            num_inputs=data.num_inputs,
            state_width=state,
            output_width=output,
            num_classes=data.num_classes,
            **self.recurrent_options,
        )

    def batch_size(self, data: Dataset) -> int:
        size = data.train_y.shape[-1]
        few, many = (min(most, math.ceil(size / batches)) for most, batches in (_BATCHES, _MANY_BATCHES))
        usual = max(_LEAST_BATCH, few, many)
        if self.kind == "rnn" and self.dataset.startswith(_SERIES):
            usual = max(1, size // 10)
        return cut_batch(self.wanted_batch_size or usual, data)

    def settings(self, data: Dataset) -> dict[str, Any]:
        """What was given, and what follows from shapes where nothing was: a layer each; no scale of given weights."""
        model, batch_size = self.model(data), self.batch_size(data)
        limits = thresholds(model, self.rule)
        scale = self.scale
        if scale is None and self.start is None:
            scale = initial_scale(model, batch_size, data.num_steps)
        encoder = first_encoder(data.encoder)
        if isinstance(encoder, Union):
            encoder = encoder.encoders[0]
        return {
            "batch_size": batch_size,
            "scale": None if scale is None else check_scale("train", model, scale),
            "gate": tuple(limits.gate.tolist()),
            "group_size": tuple(limits.group_size.tolist()),
            "margin": int(limits.margin),
            "input_bits": _input_bits(encoder),
            "edges": isinstance(encoder, Edges),
        }

    def record(self, training: Training) -> dict[str, Any]:
        """Every flag that decides the result, None where it was left to the laws."""
        return {
            "dataset": self.dataset,
            **{
                name: value
                for name, value in self.load_options.items()
                if name not in ("data_dir", "encoder", "columns")
            },
            **self.bits_named,
            "model": self.kind,
            "widths": self.widths,
            "filters": self.filters,
            **self.recurrent_options,
            **{field.name: getattr(self.rule, field.name) for field in dataclasses.fields(self.rule)},
            **dataclasses.asdict(training),
            "decay_after": training.decays_after,
            "scale": self.scale,
        }


def _input_bits(encoder: encode.Encoder | None) -> int | None:
    """Of a feature at most, or of a pixel with its edges."""
    if isinstance(encoder, Edges):
        return encoder.pixel_bits
    return encoder.thresholds.shape[1] if isinstance(encoder, Thermometer) else None


def of_layers(values: Sequence[float], between: str = ", ") -> str:
    """One number where all layers have the same, else one a layer."""
    return between.join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


def settings_text(settings: dict[str, Any]) -> str:
    """One line of `Plan.settings`.

    Example:
      >>> settings_text({"batch_size": 100, "scale": (64.0, 64.0), "gate": (28, 22), "group_size": (75, 75),
      ...                "margin": 263, "input_bits": 1, "edges": False})
      'batches of 100, scale 64, gate |z| <= 28, 22, groups of 75, margin 263, 1 bit a feature'
    """

    bits, scale = settings["input_bits"], settings["scale"]
    what = "pixel or step, levels and edges" if settings["edges"] else "feature"
    feature = "" if bits is None else f", {bits} bit{'s' * (bits > 1)} a {what}"
    return (
        f"batches of {settings['batch_size']}, {'' if scale is None else f'scale {of_layers(scale)}, '}"
        f"gate |z| <= {of_layers(settings['gate'])}, "
        f"groups of {of_layers(settings['group_size'])}, margin {settings['margin']}{feature}"
    )


def say_notes(data: Dataset) -> None:
    """Prints to stderr what was decided while the data were read, and which features say nothing."""
    for note in data.notes:
        print(note, file=sys.stderr)
    encoder = first_encoder(data.encoder)
    constant = encoder.constant_features if isinstance(encoder, Thermometer) else ()
    if constant:
        names = data.columns.names if data.columns is not None else None
        shown = [names[i] if names else f"{i}" for i in constant[:10]] + ["…"] * (len(constant) > 10)
        has = "feature has" if len(constant) == 1 else "features have"
        print(f"{len(constant):,} {has} one value in training and no bit: {', '.join(shown)}", file=sys.stderr)


def kinds(data: Data, network: Network, training: Training) -> tuple[Kind, ...]:
    """The networks that these flags may mean; validation samples decide between several."""
    if network.model is not None:
        return (network.model,)
    if network.filters is not None:
        return ("conv",)
    if not data.dataset.startswith(_SERIES):
        return ("mlp",) if data.window is None else ("rnn",)
    if network.widths is not None:
        return ("mlp",)
    given = [name for name in _OF_RNN if getattr(network, name) not in (None, False)]
    if given or data.expand:
        return ("rnn",)
    return ("mlp", "conv") if training.shift or training.mirror else ("mlp", "rocket", "conv", "rnn")


# The least and the most that a flag of whole numbers may be.
_RANGES = {
    **dict.fromkeys(("window", "input_bits", "state_width", "output_width", "horizon", "patterns"), (1, INT32_MAX)),
    **dict.fromkeys(("epochs", "batch_size", "stop_after"), (1, INT32_MAX)),
    **dict.fromkeys(("expand", "fold", "patience", "seed", "shift", "decay_after"), (0, INT32_MAX)),
    **{"folds": (2, INT32_MAX), "hidden_bits": (8, 16)},
}


def make_plan(data: Data, network: Network, flags: RuleFlags, training: Training, kind: Kind | None = None) -> Plan:
    """What the flags come to, before any data are read; of several kinds of network the first, or ``kind``.

    Raises:
      ValueError: flags that contradict each other or are out of range; the message names them.
    """
    _check_numbers(data, network, flags, training)
    kind = kinds(data, network, training)[0] if kind is None else kind
    if (training.shift or training.mirror) and kind in ("rocket", "rnn"):
        raise ValueError(f"train: --shift and --mirror are for networks that read all pixels or steps, not for {kind}.")
    series = data.dataset.startswith(_SERIES)
    window, rows = data.window, _ROWS.get(data.dataset)
    if kind == "rnn" and not series and window is None:
        if rows is None and not data.dataset.lower().endswith(".npz"):
            raise ValueError(f"train: {data.dataset!r} has no time axis for --model rnn.")
        window = rows
    widths = _widths(network, kind)
    filters = _filters(network, kind)
    expand = data.expand if data.expand is not None else (widths[0] if series and kind == "rnn" else 0)
    group_size: int | tuple[int, ...] | None = None
    if flags.group_size is not None:
        group_size = _group_size(flags.group_size, widths, kind, filters)
    elif data.dataset == DRAWN:  # nearly all noise: more groups, as in a recurrent cell
        group_size = tuple(_divisor_near(width, math.sqrt(width) / Recurrent.usual_groups) for width in widths)
    rule = Rule(
        margin=0.5 if flags.margin is None else flags.margin,
        gate=flags.gate,
        group_size=group_size,
        reinforcement=flags.reinforcement,
        bits=16 if flags.hidden_bits is None else flags.hidden_bits,
        band=flags.band,
    )
    scale: float | tuple[float, ...] | None = training.scale
    if training.scale is not None:
        for value in training.scale:
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"train: --scale must be positive and finite, got {value}.")
        if len(training.scale) == 1:
            (scale,) = training.scale
    # Spread, so that runs with different --seed do not share draws; with --seed 0 they are 0, 1, 2, ...
    draws = tuple((training.seed * 1_000_003 + s) % 2**31 for s in training.which_seeds)
    # Counts of kernels are not what a series that is moved has.
    counted = rows is None and not (training.shift or training.mirror)
    options: dict[str, Any] = {
        "split": data.split,
        "data_dir": data.data_dir,
        "window": window,
        "num_bits": data.input_bits,
        "width": expand or None,
        "whole": {"conv": "both" if counted else "tied", "rocket": "rocket"}.get(kind, kind == "mlp"),
        "fold": data.fold,
        "folds": data.folds,
        "label": data.label,
        "test": data.test,
        "test_fraction": data.test_fraction,
    }
    if data.edges and (rows is None or kind in ("rnn", "rocket")):
        raise ValueError(f"train: --edges is for images and --model mlp or conv, not for {data.dataset!r} and {kind}.")
    if rows is not None and kind not in ("rnn", "rocket") and (data.edges or data.input_bits is None):
        edges = functools.partial(encode.fit_edges, image_shape=(rows, rows), num_bits=data.input_bits)
        always = data.edges or kind == "conv"
        options |= {"num_bits": None, "encoder": edges if always else functools.partial(images.fit_drawn, edges=edges)}
    data_seed = draws if data.dataset == DRAWN else training.seed
    recurrent = {name: getattr(network, name) for name in _RECURRENT}
    bits_named = {"num_bits": data.input_bits, "edges": data.edges}
    return Plan(
        data.dataset, kind, widths, rule, scale, filters, recurrent, data_seed, options, training.batch_size, bits_named
    )


def _check_numbers(data: Data, network: Network, flags: RuleFlags, training: Training) -> None:
    """By the names of flags, before anything is read or written; the library's errors name its own arguments."""
    for name, (least, most) in _RANGES.items():
        value = next(getattr(group, name) for group in (data, network, flags, training) if hasattr(group, name))
        if value is not None and not least <= value <= most:
            limit = f"at least {least}" if value < least else f"at most {most:,}"
            raise ValueError(f"train: {_flag(name)} must be {limit}, got {value}.")
    if data.test_fraction is not None and not 0 < data.test_fraction < 1:
        raise ValueError(f"train: --test-fraction must be between 0 and 1, got {data.test_fraction}.")
    if isinstance(training.seeds, int) and training.seeds < 1:
        raise ValueError(f"train: --seeds must be at least 1, got {training.seeds}.")
    if not 0 <= training.validation < 1:
        raise ValueError(f"train: --validation must be a fraction in [0, 1), got {training.validation}.")
    if training.stop_after is not None and not training.validation:
        raise ValueError("train: --stop-after wants validation samples; leave out --validation 0.")


def _filters(network: Network, kind: str) -> tuple[tuple[int, ...], ...] | None:
    if network.filters is None:
        return None
    if kind != "conv":
        raise ValueError(f"train: --filters is not for {kind}; choose --model conv.")
    try:
        filters = tuple(tuple(int(number) for number in one.split(",")) for one in network.filters)
        if not filters or {len(one) for one in filters} - {3, 4}:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"train: --filters wants channels,patch,stride or with padding, such as 64,7,3, got "
            f"{' '.join(network.filters)}."
        ) from None
    return filters


def _widths(network: Network, kind: str) -> tuple[int, ...]:
    foreign = ("widths",) if kind == "rnn" else _OF_RNN
    for name in foreign:
        if getattr(network, name) not in (None, False):
            instead = "--state-width and --output-width" if kind == "rnn" else "--widths"
            raise ValueError(f"train: {_flag(name)} is not for {kind}; use {instead}, or another --model.")
    if kind != "rnn":
        widths = _WIDTHS if network.widths is None else network.widths
    else:
        state = _STATE_WIDTH if network.state_width is None else network.state_width
        widths = (state, state if network.output_width is None else network.output_width)
    if not widths or not 1 <= min(widths) <= max(widths) <= INT32_MAX:
        raise ValueError(f"train: --widths must be from 1 to {INT32_MAX:,}, got {' '.join(map(str, widths))}.")
    return widths


def _divisor_near(width: int, wanted: float) -> int:
    return min(divisors(width), key=lambda d: abs(math.log(d / wanted)))


def _group_size(sizes: tuple[int, ...], widths: tuple[int, ...], kind: Kind, filters: Any) -> int | tuple[int, ...]:
    """Of all layers; convolutions, which learn by band, have none."""
    if len(sizes) not in (1, len(widths)):
        raise ValueError(f"train: --group-size takes one value or {len(widths)}, one a layer; got {len(sizes)}.")
    for width, size in zip(widths, sizes * len(widths) if len(sizes) == 1 else sizes, strict=True):
        if size < 1 or width % size:
            raise ValueError(
                f"train: --group-size {size} does not divide the width {width}; its divisors are "
                f"{', '.join(map(str, divisors(width)))}."
            )
    if len(sizes) == 1:
        return sizes[0]
    return (1,) * len(filters or (None,)) * (kind == "conv") + sizes


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
