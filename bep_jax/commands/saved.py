"""The commands on saved networks: ``python -m bep_jax predict``, ``summary`` and ``export``."""

import csv
import dataclasses
import io
import sys
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tyro.conf import arg

from bep_jax.commands.flags import RuleFlags
from bep_jax.data.encode import Composition, Edges, Encoder, Expansion, Rocket, Thermometer, Union
from bep_jax.export.header import to_c
from bep_jax.export.model_file import Saved, load
from bep_jax.export.predict import num_networks, one_network, probabilities, read_samples, scores
from bep_jax.files import atomic
from bep_jax.learning.rule import Rule
from bep_jax.network.model import Model
from bep_jax.network.summary import summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
    """Say which class every sample of a file is in: its name, one line a sample."""

    model: Annotated[Path, arg(metavar="FILE")]
    """A model.safetensors, from train or bep.save."""
    input: Annotated[Path, arg(metavar="FILE")]
    """Samples: a table (.csv), an array (.npy), time series (.ts), images in an idx file (.idx, .gz), the test part of
    an .npz file. Files of other names, and pipes, say by themselves what they are."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")] = None
    """Where to write."""
    ensemble: bool = False
    """Let all networks of the file vote: their scores are summed."""
    network: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the first, 0)")] = None
    """Which network of the file, where it holds one a seed."""
    window: Annotated[int | None, arg(metavar="STEPS", help_behavior_hint="(default: as in training)")] = None
    """Time series: only the last so many time steps."""
    scores: bool = False
    """Write a table: a line of names, then for every sample its class, and the score and probability of every class.
    Scores are integers, the largest wins. Probabilities are their softmax over a temperature that training fitted on
    validation samples; they are left out where the file has none."""

    def run(self) -> None:
        """Predicts and prints, or writes.

        Raises:
          ValueError, OSError, ...: files or flags that do not fit, with a message for the user.
        """
        if self.ensemble and self.network is not None:
            raise ValueError("predict: give --ensemble or --network, not both.")
        if self.out is not None:
            _check_out(self.out, "predict: --out", self.model, self.input)
        saved = load(self.model)
        samples = read_samples(self.input, saved, self.window)
        for note in samples.notes:
            print(f"predict: {note}", file=sys.stderr)
        network = None if self.ensemble else self.network or 0
        found = scores(saved, samples.x, network)
        names = saved.classes or tuple(map(str, range(saved.model.num_classes)))
        if self.scores:
            shares = probabilities(saved, found, network)
            if shares is None:
                print("predict: no probabilities, the file has no temperature of scores", file=sys.stderr)
            text = _scores_csv(found, shares, names)
        else:
            text = "".join(f"{names[i]}\n" for i in np.argmax(found, axis=1))
        if not self.ensemble and self.network is None:
            _say_which(saved, "predict", "; --ensemble takes all of them")
        _write(text, self.out)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Describe:
    """Say what a saved network is and what it costs: weights, bytes, operations, layer by layer."""

    model: Annotated[Path, arg(metavar="FILE")]
    """A model.safetensors, from train or bep.save."""

    def run(self) -> None:
        """Prints."""
        saved = load(self.model)
        print(summary(saved.model))
        count = num_networks(saved)
        steps = f"\ntime steps: {saved.window}" if saved.window is not None else ""
        print(
            f"\n{self.model}: {self.model.stat().st_size:,} bytes, {count} network{'s' * (count > 1)}"
            f"\nencoder: {_encoder_text(saved.encoder)}{steps}"
            f"\nclasses: {', '.join(saved.classes) if saved.classes else saved.model.num_classes}"
            + (f"\ncolumns: {', '.join(saved.columns.names)}" if saved.columns is not None else ""),
            flush=True,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """Write a saved network and its encoder as source code: one C99 header without dependencies."""

    model: Annotated[Path, arg(metavar="FILE")]
    """A model.safetensors, from train or bep.save."""
    format: Literal["c"] = "c"
    """The language."""
    prefix: Annotated[str, arg(metavar="NAME")] = "bep"
    """What all names in it begin with."""
    out: Annotated[Path | None, arg(metavar="FILE.h", help_behavior_hint="(default: standard output)")] = None
    """Where to write."""
    ensemble: bool = False
    """Write all networks of the file: their scores are summed."""
    network: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the first, 0)")] = None
    """Which network of the file, where it holds one a seed."""
    float32: bool = False
    """Take inputs as float where the encoder's thresholds are double: they are rounded to float."""
    learn: bool = False
    """Make it learn on the device, with the flags below; wants a file with hidden weights, of train --hidden."""
    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 16)")] = None
    """With --learn: samples of an update."""
    rule: RuleFlags = field(default_factory=RuleFlags)

    def run(self) -> None:
        """Prints, or writes.

        Raises:
          ValueError, OSError, ...: files or flags that do not fit, with a message for the user.
        """
        if self.out is not None:
            _check_out(self.out, "export: --out", self.model)
        if not self.learn and (self.batch_size is not None or self.rule != RuleFlags()):
            raise ValueError("export: the flags of the rule and --batch-size are for --learn.")
        if self.ensemble and (self.network is not None or self.learn):
            raise ValueError("export: --ensemble goes with neither --network nor --learn.")
        saved = load(self.model)
        one = one_network(saved, self.network or 0, "export")
        assert not isinstance(one.encoder, tuple)
        together = self.ensemble and num_networks(saved) > 1
        if together and isinstance(saved.encoder, tuple):
            raise ValueError("export: --ensemble wants networks with one encoder; these have one each.")
        header = to_c(
            one.model,
            saved.params if together else one.params,
            _float32(one.encoder) if self.float32 else one.encoder,
            prefix=self.prefix,
            columns=saved.columns,
            rule=_rule(self.rule, one.model) if self.learn else None,
            batch_size=self.batch_size,
            window=saved.window if one.model.recurrent else None,
            classes=saved.classes,
            ensemble=together,
        )
        if not self.ensemble and self.network is None:
            _say_which(saved, "export", "; --network takes another, --ensemble all of them")
        _write(header, self.out)


def _rule(flags: RuleFlags, model: Model) -> Rule:
    """As `train` has it: group sizes are one for all layers, or one for each that has groups."""
    sizes, grouped = flags.group_size, [layer.learns != "band" for layer in model.layers]
    if sizes is not None and len(sizes) == sum(grouped):
        left = iter(sizes)
        sizes = tuple(next(left) if has else 1 for has in grouped)
    return Rule(
        margin=0.5 if flags.margin is None else flags.margin,
        gate=flags.gate,
        group_size=sizes[0] if sizes is not None and len(sizes) == 1 else sizes,
        reinforcement=flags.reinforcement,
        bits=16 if flags.hidden_bits is None else flags.hidden_bits,
        band=flags.band,
    )


def _float32(encoder: Encoder | None) -> Encoder | None:
    if isinstance(encoder, Composition):
        return Composition(tuple(_float32(one) for one in encoder.encoders))  # type: ignore[misc]
    if isinstance(encoder, Union):
        return Union(tuple(_float32(one) for one in encoder.encoders))  # type: ignore[misc]
    if isinstance(encoder, Rocket):
        return dataclasses.replace(encoder, levels=_float32(encoder.levels))  # type: ignore[arg-type]
    if isinstance(encoder, Edges) and encoder.levels.thresholds.dtype == np.float64:
        levels, differences = _float32(encoder.levels), _float32(encoder.differences)
        return Edges(encoder.image_shape, levels, differences)  # type: ignore[arg-type]
    if isinstance(encoder, Thermometer) and encoder.thresholds.dtype == np.float64:
        return dataclasses.replace(encoder, thresholds=encoder.thresholds.astype(np.float32))
    return encoder


def _scores_csv(scores: np.ndarray, shares: np.ndarray | None, names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    shares = np.empty((len(scores), 0)) if shares is None else shares
    kinds = ("score", "probability") if shares.size else ("score",)
    writer.writerow(["class", *(f"{kind} {name}" for kind in kinds for name in names)])
    for row, share in zip(scores, shares, strict=True):
        writer.writerow([names[row.argmax()], *row.tolist(), *(f"{value:.6g}" for value in share)])
    return text.getvalue()


def _check_out(path: Path, who: str, *inputs: Path) -> None:
    if not path.parent.is_dir():
        raise ValueError(f"{who} wants a file in a folder that exists, got {path}.")
    check_output(path, who, *inputs)


def check_output(path: Path, who: str, *inputs: Path) -> None:
    """Raises ValueError, naming ``who``, for a folder, or for a file that is read and would be lost."""
    if path.is_dir():
        raise ValueError(f"{who} wants a file, got the folder {path}.")
    if path.is_file() and any(one.exists() and path.samefile(one) for one in inputs):
        raise ValueError(f"{who} would replace {path}, which is read.")


def _write(text: str, out: Path | None) -> None:
    """To standard output, or in UTF-8 to a file."""
    if out is None:
        print(text, end="", flush=True)
    else:
        atomic.write_output(out, text.encode())


def _say_which(saved: Saved, who: str, others: str) -> None:
    count = num_networks(saved)
    if count > 1:
        print(f"{who}: network 0 of {count}{others}", file=sys.stderr)


def _encoder_text(encoder: Encoder | tuple[Encoder, ...] | None) -> str:
    if isinstance(encoder, tuple):
        return f"one a network, {_encoder_text(encoder[0])}"
    if isinstance(encoder, Composition):
        return ", then ".join(map(_encoder_text, encoder.encoders))
    if isinstance(encoder, Union):
        return ", and ".join(map(_encoder_text, encoder.encoders))
    if isinstance(encoder, Thermometer):
        most = encoder.thresholds.shape[1]
        up_to = "" if encoder.counts is None else "up to "
        return f"thermometer, {encoder.num_features:,} features of {up_to}{most} bit{'s' * (most > 1)}"
    if isinstance(encoder, Edges):
        shape = "×".join(map(str, encoder.image_shape))
        return f"{encoder.pixel_bits} bits of levels and edges for each of {shape} pixels or steps"
    if isinstance(encoder, Rocket):
        return f"{encoder.biases.size:,} counts of kernels' responses in {encoder.num_steps} steps"
    if isinstance(encoder, Expansion):
        return f"expansion to {encoder.num_bits:,} bits"
    return "none, samples are bits"
