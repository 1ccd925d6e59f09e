"""The flags of ``python -m bep_jax train``, in groups; `bep_jax.commands.plan` says what they come to.

What is not given follows from the data and from shapes (`bep_jax.learning.laws`).
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from bep_jax.reproduce.flags import DataDir
from bep_jax.training.samples import check_seeds

# Flags that were, and what to write instead.
RENAMED = {
    "--bits": "--input-bits, thermometer bits of a feature, or --hidden-bits, bits of a hidden weight",
    "--width": "--expand, the bits that a sample is expanded to, or --widths, neurons of each layer",
}


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
        arg(
            metavar="BITS",
            aliases=("--num-bits",),
            help_behavior_hint="(default: by the data; images 4, and 8 of their edges; rnn 10)",
        ),
    ] = None
    """Thermometer bits for every feature; rocket: for every count. Images have levels alone then, without --edges."""
    edges: bool = False
    """Images: read how much the neighbours of every pixel differ, too, eight bits. By default so do convolutions, and
    dense layers where most of what is drawn is grey; they have one bit a pixel of ink on paper, a sixth of the size."""
    expand: Annotated[
        int | None, arg(metavar="BITS", help_behavior_hint="(default: series for rnn the state's width, others 0)")
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
        Literal["mlp", "rocket", "conv", "rnn"] | None,
        arg(
            metavar="{mlp,rocket,conv,rnn}",
            help_behavior_hint="(default: series what validation samples say, images with --window rnn, others mlp)",
        ),
    ] = None
    """Multilayer perceptron, which reads all pixels or time steps at once; rocket: series, the same on how often many
    small kernels respond, wherever they do; the same with convolutions below; or recurrent network, which reads one
    step after the other."""
    widths: Annotated[tuple[int, ...] | None, arg(metavar="N [N ...]", help_behavior_hint="(default: 525 525)")] = None
    """mlp and rocket: neurons of each layer; conv: of each dense layer."""
    filters: Annotated[
        tuple[str, ...] | None,
        arg(metavar="N,PATCH,STRIDE [...]", help_behavior_hint="(default: 64 by the size of images or series)"),
    ] = None
    """conv: for each convolution its channels out, patch and stride in pixels or steps, and if need be its padding,
    such as 64,7,3 or 64,5,2,2."""
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

    margin: Annotated[float | None, arg(metavar="R", help_behavior_hint="(default: 0.5)")] = None
    """r in (0, 1]: a sample learns while its margin is below r times the width of the last layer."""
    gate: Annotated[
        float | None,
        arg(
            metavar="NU",
            help_behavior_hint="(default: 1 / √K for K inputs, deep networks up to 2; a recurrent cell 2 / √K)",
        ),
    ] = None
    """ν, at least 0: a neuron passes errors down while its |sum| is at most ν times its number of inputs."""
    group_size: Annotated[
        tuple[int, ...] | None,
        arg(
            metavar="N [N ...]",
            help_behavior_hint="(default: 0.3 √N groups of N neurons; conv 0.9; recurrent, random-prototypes 1.4)",
        ),
    ] = None
    """γ, one for all layers or one a layer: of so many neurons at most one learns per sample. Must divide the width."""
    band: Annotated[float, arg(metavar="B")] = 0.5
    """conv: filters learn at positions where their |sum| is below B times the square root of a patch's bits."""
    reinforcement: Annotated[float, arg(metavar="P")] = 0.5
    """p_r in [0, 1]: how often a weight is pushed away from zero."""
    hidden_bits: Annotated[int | None, arg(metavar="BITS", help_behavior_hint="(default: 16)")] = None
    """Bits of a hidden weight, 8 to 16."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How long, and how often."""

    epochs: Annotated[int, arg(metavar="N")] = 50
    """Passes over the training data."""
    batch_size: Annotated[
        int | None,
        arg(metavar="N", help_behavior_hint="(default: a 20th of the samples, 16 to 100; of many up to 256)"),
    ] = None
    """Samples a step."""
    seeds: Annotated[int | tuple[int, ...], arg(metavar="N [N ...]")] = 5
    """How many networks, trained side by side and differing in everything that is drawn; or, two or more, which."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """What all of them are drawn from."""
    validation: Annotated[float, arg(metavar="FRACTION")] = 0.1
    """Training samples held out to decide which epoch is the best, and with --patience when groups grow; 0 for none."""
    patience: Annotated[int | None, arg(metavar="EPOCHS", help_behavior_hint="(default: never)")] = None
    """Groups grow after so many epochs without a better validation accuracy, in the paper 10; 0 for never."""
    scale: Annotated[
        tuple[float, ...] | None,
        arg(
            metavar="SIGMA [SIGMA ...]",
            help_behavior_hint="(default: at least 64, grows with batch size, tied positions and inputs)",
        ),
    ] = None
    """Standard deviation of the initial hidden weights, one for all layers or one a layer."""
    keep: Literal["last", "best"] = "last"
    """Which epoch is tested and saved: the last, or the one with the best validation accuracy."""
    stop_after: Annotated[int | None, arg(metavar="EPOCHS", help_behavior_hint="(default: never)")] = None
    """End training after so many epochs without a better validation accuracy."""
    decay_after: Annotated[
        int | None,
        arg(metavar="EPOCHS", help_behavior_hint="(default: three quarters of all; with --patience never)"),
    ] = None
    """From then on an update weighs an eighth of what it did, as when a learning rate drops; 0 for never, as in the
    paper."""
    class_weight: Annotated[Literal["balanced"] | None, arg(help_behavior_hint="(default: samples as they are)")] = None
    """balanced: every epoch has as many samples of each class, for classes of unequal size."""
    shift: Annotated[int, arg(metavar="PIXELS")] = 0
    """Images and series: move training samples at random by at most so many pixels or time steps along each axis;
    for mlp and conv."""
    mirror: bool = False
    """Images: mirror half of the training images, drawn anew in every step."""

    @property
    def decays_after(self) -> int | None:
        """As `bep_jax.fit` takes it."""
        if self.decay_after is None:
            return None if self.patience else max(1, round(0.75 * self.epochs))
        return self.decay_after or None

    @property
    def which_seeds(self) -> tuple[int, ...]:
        return check_seeds(self.seeds)


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
    hidden: bool = False
    """Keep the hidden weights in model.safetensors, two bytes each, for export --learn and further training."""
    devices: Literal["auto", "one"] = "auto"
    """auto: seeds on all cores that the process may use, or on all accelerators; one: on one. The same networks."""
