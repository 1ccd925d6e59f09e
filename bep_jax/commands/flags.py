"""The flags of ``python -m bep_jax train``, in groups, and the `Plan` that they come to.

The defaults are those of `fit`; of the rule, the paper's for recurrent networks, and for multilayer perceptrons what
`python -m bep_jax reproduce figure2` found best on validation data.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from bep_jax.data import datasets
from bep_jax.data.datasets import Dataset
from bep_jax.data.encode import Composition, Thermometer
from bep_jax.learning.rule import Rule, next_group_size
from bep_jax.network.model import Model, mlp, rnn
from bep_jax.reproduce.flags import DataDir

_SERIES = "ucr/"
_ROWS = {"mnist": 28, "fashion-mnist": 28, "digits": 8}  # of an image: one a time step unless --window says otherwise
_RECURRENT = ("horizon", "patterns", "gated_update")  # flags that `rnn` takes by the same names
_WIDTHS, _STATE_WIDTH, _BATCH_SIZE = (525, 525), 1035, 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """What to learn."""

    dataset: Annotated[str, arg(metavar="NAME")] = "random-prototypes"
    """random-prototypes (drawn anew for every seed), mnist, fashion-mnist, digits, ucr/<Problem>, or a file of your
    own: <path>.csv with --label, <path>.npz."""
    label: Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(needed for .csv)")] = None
    """Tables: the column that holds the label; all others are features."""
    test: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: a part of the table)")] = None
    """Tables: a file with the test part."""
    test_fraction: Annotated[float | None, arg(metavar="FRACTION", help_behavior_hint="(default: 0.2)")] = None
    """Tables without --test: the share of the samples to test on, drawn by --seed, of every class alike."""
    split: Literal["official", "paper"] = "official"
    """mnist and fashion-mnist: the official test file, or, as in the paper, the last 10,000 of the training file."""
    data_dir: DataDir = None
    """Where the files are, or go when they are downloaded."""
    window: Annotated[
        int | None, arg(metavar="STEPS", help_behavior_hint="(default: whole series; images one row a step)")
    ] = None
    """Series: only the last so many time steps. Images: so many equal slices of the pixels, one a time step."""
    input_bits: Annotated[
        int | None,
        arg(metavar="BITS", aliases=("--num-bits",), help_behavior_hint="(default: by the data, series 10, images 1)"),
    ] = None
    """Thermometer bits for every feature."""
    width: Annotated[
        int | None, arg(metavar="BITS", help_behavior_hint="(default: series the state's width, others 0)")
    ] = None
    """Expand the bits of a sample or time step to so many by a random matrix; 0 for not at all."""
    fold: Annotated[int | None, arg(metavar="FOLD", help_behavior_hint="(default: the official split)")] = None
    """ucr/... and digits: pool all samples and test on this fold, from 0."""
    folds: Annotated[int, arg(metavar="N")] = 3
    """How many folds there are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """What learns it."""

    model: Annotated[
        Literal["mlp", "rnn"] | None,
        arg(metavar="{mlp,rnn}", help_behavior_hint="(default: rnn for series and with --window, else mlp)"),
    ] = None
    """Multilayer perceptron or recurrent network."""
    widths: Annotated[tuple[int, ...] | None, arg(metavar="N [N ...]", help_behavior_hint="(default: 525 525)")] = None
    """mlp: neurons of each layer."""
    state_width: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 1035)")] = None
    """rnn: neurons of the state."""
    output_width: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the state's width)")] = None
    """rnn: neurons of the layer after the last state."""
    horizon: Annotated[int | None, arg(metavar="STEPS", help_behavior_hint="(default: all)")] = None
    """rnn: how many of the last time steps errors travel back."""
    patterns: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: independent weights)")] = None
    """rnn: start the recurrent weights as the Hebbian matrix of so many random patterns; a fifth of the state's width
    helps long sequences, with --scale 2048."""
    gated_update: bool = False
    """rnn: a neuron learns only from time steps at which it passes errors down."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuleFlags:
    """How it learns."""

    margin: Annotated[
        float | None, arg(metavar="R", help_behavior_hint="(default: 1 for random-prototypes, else 0.5)")
    ] = None
    """r in (0, 1]: a sample learns while its margin is below r times the width of the last layer."""
    gate: Annotated[float | None, arg(metavar="NU", help_behavior_hint="(default: mlp 0.2, rnn 0.05)")] = None
    """ν, at least 0: a neuron passes errors down while its |sum| is at most ν times its number of inputs."""
    group_size: Annotated[
        tuple[int, ...] | None,
        arg(metavar="N [N ...]", help_behavior_hint="(default: the first divisor of a width from 35 up, rnn 15)"),
    ] = None
    """γ, one for all layers or one a layer: of so many neurons at most one learns per sample. Must divide the width."""
    reinforcement: Annotated[float, arg(metavar="P")] = 0.5
    """p_r in [0, 1]: how often a weight is pushed away from zero."""
    hidden_bits: Annotated[int | None, arg(metavar="BITS", help_behavior_hint="(default: 16)")] = None
    """Bits of a hidden weight, 8 to 16."""
    bits: Annotated[int | None, arg(metavar="BITS", help_behavior_hint="(optional)")] = None
    """Short for --input-bits where the data are series (ucr/...), and for --hidden-bits with all other data."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How long, and how often."""

    epochs: Annotated[int, arg(metavar="N")] = 50
    """Passes over the training data."""
    batch_size: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: series a tenth of the samples, others 100)")
    ] = None
    """Samples a step."""
    seeds: Annotated[int, arg(metavar="N")] = 5
    """How many networks, trained side by side and differing in everything that is drawn."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """What all of them are drawn from."""
    validation: Annotated[float, arg(metavar="FRACTION")] = 0.1
    """Training samples held out to decide when groups grow; 0 for none."""
    patience: Annotated[int, arg(metavar="EPOCHS")] = 10
    """Groups grow after so many epochs without a better validation accuracy; 0 for never."""
    scale: Annotated[float, arg(metavar="SIGMA")] = 64.0
    """Standard deviation of the initial hidden weights."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """What is written."""

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs")
    """Folder of all runs; this one goes to DIR/<name>/: results, histories, curves, and what else a command leaves."""
    name: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: data, model, widths and time)")] = (
        None
    )
    """Name of this run."""
    overwrite: bool = False
    """Allow a run of this name to be replaced."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(optional)")] = None
    """Write result.json to this file, too."""
    progress: bool = True
    """Whether to show a progress bar."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOutput(Output):
    """What is written, and whether it goes on."""

    resume: bool = False
    """Go on with the run of this name, interrupted or not, with its flags; --epochs may be larger."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the flags come to."""

    dataset: str
    kind: Literal["mlp", "rnn"]
    widths: tuple[int, ...]
    rule: Rule
    recurrent_options: dict[str, Any]
    data_seed: int | tuple[int, ...]
    load_options: dict[str, Any]
    wanted_batch_size: int | None

    @property
    def slug(self) -> str:
        name = self.dataset if self.dataset.startswith(_SERIES) else Path(self.dataset).stem
        return f"{name.replace('/', '-')}-{self.kind}-{'x'.join(map(str, self.widths))}"

    @property
    def title(self) -> str:
        return f"{self.kind} {'-'.join(map(str, self.widths))}"

    @property
    def layers(self) -> tuple[str, ...]:
        """A name for each."""
        return ("state", "output") if self.kind == "rnn" else tuple(f"layer {i + 1}" for i in range(len(self.widths)))

    def load(self) -> Dataset:
        return datasets.load(self.dataset, seed=self.data_seed, **self.load_options)

    def model(self, data: Dataset) -> Model:
        if self.kind == "mlp":
            return mlp(num_inputs=data.num_inputs, widths=self.widths, num_classes=data.num_classes)
        state, output = self.widths
        return rnn(
            num_inputs=data.num_inputs,
            state_width=state,
            output_width=output,
            num_classes=data.num_classes,
            **self.recurrent_options,
        )

    def batch_size(self, data: Dataset) -> int:
        tenth = max(1, data.train_y.shape[-1] // 10)
        return self.wanted_batch_size or (tenth if self.dataset.startswith(_SERIES) else _BATCH_SIZE)

    def record(self, training: Training, batch_size: int) -> dict[str, Any]:
        """Every number that decides the result, as it was used."""
        return {
            "dataset": self.dataset,
            **{name: value for name, value in self.load_options.items() if name != "data_dir"},
            "model": self.kind,
            "widths": self.widths,
            **self.recurrent_options,
            **{field.name: getattr(self.rule, field.name) for field in dataclasses.fields(self.rule)},
            **dataclasses.asdict(training),
            "batch_size": batch_size,
        }


def say_notes(data: Dataset) -> None:
    """Prints to stderr what was decided while the data were read, and which features say nothing."""
    for note in data.notes:
        print(note, file=sys.stderr)
    encoder = data.encoder[0] if isinstance(data.encoder, tuple) else data.encoder
    while isinstance(encoder, Composition):
        encoder = encoder.encoders[0]
    constant = encoder.constant_features if isinstance(encoder, Thermometer) else ()
    if constant:
        names = data.columns.names if data.columns is not None else None
        shown = [names[i] if names else f"{i}" for i in constant[:10]] + ["…"] * (len(constant) > 10)
        has = "feature has" if len(constant) == 1 else "features have"
        print(f"{len(constant):,} {has} one value in training and no bit: {', '.join(shown)}", file=sys.stderr)


def make_plan(data: Data, network: Network, flags: RuleFlags, training: Training) -> Plan:
    """What the flags come to, before any data are read.

    Raises:
      ValueError: flags that contradict each other or are out of range; the message names them.
    """
    _check_numbers(training)
    series = data.dataset.startswith(_SERIES)
    kind = network.model or ("rnn" if series or data.window is not None else "mlp")
    window, rows = data.window, _ROWS.get(data.dataset)
    if kind == "rnn" and not series and window is None:
        if rows is None:
            raise ValueError(f"train: {data.dataset!r} has no time axis for --model rnn.")
        window = rows
    if kind == "mlp" and (series or window is not None):
        what = "series have" if series else "--window makes"
        raise ValueError(f"train: --model mlp wants no time axis, and {what} one; choose --model rnn.")
    widths = _widths(network, kind)
    input_bits, hidden_bits = _bits(data, flags, series)
    width = data.width if data.width is not None else (widths[0] if series else 0)
    rule = Rule(
        margin=(1.0 if data.dataset == "random-prototypes" else 0.5) if flags.margin is None else flags.margin,
        gate=(0.2 if kind == "mlp" else 0.05) if flags.gate is None else flags.gate,
        group_size=_group_size(flags.group_size or _usual_group_size(kind, widths), widths),
        reinforcement=flags.reinforcement,
        bits=hidden_bits,
    )
    # Spread, so that runs with different --seed do not share draws; with --seed 0 they are 0, 1, 2, ...
    draws = tuple((training.seed * 1_000_003 + s) % 2**31 for s in range(training.seeds))
    options = {
        "split": data.split,
        "data_dir": data.data_dir,
        "window": window,
        "num_bits": input_bits,
        "width": width or None,
        "fold": data.fold,
        "folds": data.folds,
        "label": data.label,
        "test": data.test,
        "test_fraction": data.test_fraction,
    }
    data_seed = draws if data.dataset == "random-prototypes" else training.seed
    recurrent = {name: getattr(network, name) for name in _RECURRENT}
    return Plan(data.dataset, kind, widths, rule, recurrent, data_seed, options, training.batch_size)


def _check_numbers(training: Training) -> None:
    for name, least in (("epochs", 1), ("batch_size", 1), ("seeds", 1), ("patience", 0), ("seed", 0)):
        value = getattr(training, name)
        if value is not None and value < least:
            raise ValueError(f"train: {_flag(name)} must be at least {least}, got {value}.")
    if training.seed >= 2**31:
        raise ValueError(f"train: --seed must be below 2**31, got {training.seed}.")


def _widths(network: Network, kind: str) -> tuple[int, ...]:
    foreign = ("widths",) if kind == "rnn" else ("state_width", "output_width", *_RECURRENT)
    for name in foreign:
        if getattr(network, name) not in (None, False):
            instead = "--state-width and --output-width" if kind == "rnn" else "--widths"
            raise ValueError(f"train: {_flag(name)} is not for {kind}; use {instead}, or another --model.")
    if kind == "mlp":
        widths = _WIDTHS if network.widths is None else network.widths
    else:
        state = _STATE_WIDTH if network.state_width is None else network.state_width
        widths = (state, state if network.output_width is None else network.output_width)
    if not widths or min(widths) < 1:
        raise ValueError(f"train: every layer needs a width of at least 1, got {widths}.")
    return widths


def _bits(data: Data, flags: RuleFlags, series: bool) -> tuple[int | None, int]:
    """Thermometer bits (None for the usual) and bits of hidden weights."""
    input_bits, hidden_bits = data.input_bits, flags.hidden_bits
    if flags.bits is not None:
        meant, given = ("--input-bits", input_bits) if series else ("--hidden-bits", hidden_bits)
        if given not in (None, flags.bits):
            raise ValueError(f"train: --bits {flags.bits} means {meant} for {data.dataset!r}, which is {given}.")
        if not series and not 8 <= flags.bits <= 16:
            raise ValueError(
                f"train: --bits means bits of a hidden weight for {data.dataset!r}, 8 to 16, got {flags.bits}; "
                f"for thermometer bits of the input use --input-bits."
            )
        input_bits, hidden_bits = (flags.bits, hidden_bits) if series else (input_bits, flags.bits)
    return input_bits, 16 if hidden_bits is None else hidden_bits


def _usual_group_size(kind: str, widths: tuple[int, ...]) -> tuple[int, ...]:
    least = 15 if kind == "rnn" else 35
    return tuple(next_group_size(width, least - 1) for width in widths)


def _group_size(sizes: tuple[int, ...], widths: tuple[int, ...]) -> int | tuple[int, ...]:
    if len(sizes) not in (1, len(widths)):
        raise ValueError(f"train: --group-size takes one value or {len(widths)}, one a layer; got {len(sizes)}.")
    for width, size in zip(widths, sizes * len(widths) if len(sizes) == 1 else sizes, strict=True):
        if size < 1 or width % size:
            divisors = ", ".join(str(d) for d in range(1, width + 1) if width % d == 0)
            raise ValueError(
                f"train: --group-size {size} does not divide the width {width}; its divisors are {divisors}."
            )
    return sizes[0] if len(sizes) == 1 else sizes


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
