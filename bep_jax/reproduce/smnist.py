"""What the figures share: MNIST image by image as a sequence of slices, and runs on it.

Axis letters: S networks trained side by side, n images, T slices, W words.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
from tqdm.auto import tqdm
from tyro.conf import arg

from bep_jax.data import datasets
from bep_jax.reproduce import training
from bep_jax.reproduce.problems import Arrays
from bep_jax.reproduce.results import Record, Results, complete

_IMAGES = 60_000  # in the training file
PROTOCOL = f"""\
Sequential MNIST. Accuracy in percent, mean ± standard deviation over runs. The paper reports validation accuracies;
ours are means of the last {training.TAIL} epochs, on training images that are held out. Test accuracy is that of the
official test file, after the last epoch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFlags(training.Network):
    """Flags of the figures."""

    images: Annotated[int, arg(metavar="N")] = _IMAGES
    """How many images of the training file are used, from the first."""
    width: Annotated[int | None, arg(metavar="BITS", help_behavior_hint="(default: the pixels of a slice)")] = None
    """Expand every time step to so many bits by a random matrix."""
    state_width: Annotated[int, arg(metavar="N")] = 525
    """Neurons of the state; the paper has 1875. Time grows with its square."""
    epochs: Annotated[int, arg(metavar="N")] = 50
    """Passes over the images."""
    batch_size: Annotated[int, arg(metavar="N")] = 100
    """Images a step."""
    runs: Annotated[int, arg(metavar="N")] = 1
    """Networks for each point of the figure; the paper has 3."""
    validation: Annotated[float, arg(metavar="FRACTION")] = 0.1
    """Part of the images held out: what is reported."""
    patience: Annotated[int, arg(metavar="EPOCHS")] = 0
    """Groups grow after so many epochs without a better validation accuracy; 0 for never, because long sequences look
    like chance for thousands of steps before training takes off, and the groups would grow meanwhile."""

    def settings(self) -> dict[str, Any]:
        """What the numbers of a run depend on, besides its place in the figure."""
        return {
            **self.network_settings(self.state_width),
            "images": self.images,
            "width": self.width,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "validation": self.validation,
        }

    def check(self, who: str, gates: Sequence[float], **counts: int | Sequence[int]) -> None:
        names = ("images", "state_width", "epochs", "batch_size", "runs")
        training.check_counts(who, **{name: getattr(self, name) for name in names}, **counts)
        training.check_fraction(who, validation=self.validation)
        self.check_network(self.state_width, gates)

    def place(self, window: int, horizon: int, gate: float, run: int) -> Record:
        # A horizon beyond the first time step is no limit: the same run.
        return {"kind": "s-mnist", "window": window, "horizon": min(horizon, window), "gate": gate, "run": run}

    def places(self, window: int, horizon: int, gates: Sequence[float]) -> list[Record]:
        return [self.place(window, horizon, gate, run) for gate in dict.fromkeys(gates) for run in range(self.runs)]

    def load(self, window: int) -> Arrays:
        data = datasets.load("mnist", window=window, width=self.width, data_dir=self.data_dir, seed=self.seed)
        if self.images > len(data.train_y):
            raise ValueError(f"reproduce: --images is {self.images}, the training file holds {len(data.train_y)}.")
        return Arrays(data.train_x[: self.images], data.train_y[: self.images], data.test_x, data.test_y)


def run_all(
    flags: ImageFlags,
    results: Results,
    points: Sequence[tuple[int, int]],
    gates: Sequence[float],
    report: Callable[[], None],
) -> None:
    """Sees to it that every run is there, then reports, also after Ctrl-C.

    Args:
      flags: of the runs.
      results: where they go.
      points: window and horizon of each fit, which trains all gates and runs side by side.
      gates: of all.
      report: writes what there is.
    """
    try:
        with tqdm(total=len(points) * flags.epochs, unit="epoch", mininterval=1.0) as bar:
            for i, (window, horizon) in enumerate(points):
                bar.set_description(f"window {window}, horizon {min(horizon, window)}")
                _run(flags, results, window, horizon, gates, bar.update)
                bar.update((i + 1) * flags.epochs - bar.n)  # what was there already
                jax.clear_caches()  # no other window has these shapes
    finally:
        report()


def found(flags: ImageFlags, results: Results, places: Sequence[Record]) -> list[Record]:
    """Those runs that are there."""
    records = [results.find(place, flags.settings()) for place in places]
    return [record for record in records if record is not None]


def accuracy(records: Sequence[Record], name: str = "validation_accuracy") -> tuple[float, float]:
    """Mean and standard deviation, in percent."""
    return training.mean_std([record[name] for record in records])


def cells(records: Sequence[Record], paper: float | None) -> tuple[str, ...]:
    """Ours, the paper's, test accuracy and how many runs: the cells of a table."""
    if not records:
        return "", "" if paper is None else f"{paper:.1f}", "", "0"
    ours, test = (
        f"{mean:.2f} ± {std:.2f}" if len(records) > 1 else f"{mean:.2f}"
        for mean, std in (accuracy(records), accuracy(records, "test_accuracy"))
    )
    return ours, "" if paper is None else f"{paper:.1f}", test, str(len(records))


CELLS = ("ours, validation", "paper, validation", "ours, test", "runs")


def _run(
    flags: ImageFlags,
    results: Results,
    window: int,
    horizon: int,
    gates: Sequence[float],
    progress: Callable[[], Any],
) -> None:
    def train(missing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        data = flags.load(window)
        num_inputs = flags.width or 784 // window
        model = flags.model(num_inputs, flags.state_width, 10, None if horizon >= window else horizon)
        result = flags.fit(
            model,
            [flags.rule(place["gate"]) for place in missing],
            data,
            epochs=flags.epochs,
            batch_size=flags.batch_size,
            seeds=[place["run"] for place in missing],
            validation=flags.validation,
            progress=progress,
        )
        return [{**training.numbers(result, s), "num_test": len(data.test_y)} for s in range(len(missing))]

    complete(results, flags.settings(), flags.places(window, horizon, gates), train)
