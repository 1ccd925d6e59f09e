"""What the tables share: flags for UCR problems, and the choice of window and bits on the training folds alone."""

import dataclasses
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
from tqdm.auto import tqdm
from tyro.conf import arg

from bep_jax.reproduce import problems, training
from bep_jax.reproduce.problems import Known, Source
from bep_jax.reproduce.results import Record, Results, complete


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeriesFlags(training.Network):
    """Flags of the tables."""

    problems: Annotated[
        tuple[str, ...] | None,
        arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: those of the paper's table that are there)"),
    ] = None
    """Problems of the UCR archive, or your own: DIR/ucr/<Name>/<Name>_TRAIN.ts and _TEST.ts. Patterns such as '*' stand
    for all that match in the data folder."""
    folds: Annotated[int, arg(metavar="N")] = 3
    """Both files of a problem are pooled and cross-validated in so many stratified folds."""
    runs: Annotated[int, arg(metavar="N")] = 3
    """Networks a fold, trained side by side."""
    windows: Annotated[tuple[int, ...], arg(metavar="STEPS [STEPS ...]")] = (4, 8, 16)
    """Grid of windows: only the last so many time steps of a series are used."""
    bits: Annotated[tuple[int, ...], arg(metavar="BITS [BITS ...]")] = (10, 20, 50)
    """Grid of thermometer bits for every channel; they are then expanded to the state's width."""
    tune_epochs: Annotated[int, arg(metavar="N")] = 50
    """Epochs of a run that helps to choose window and bits."""
    tune_runs: Annotated[int, arg(metavar="N")] = 1
    """Networks for each entry of the grid."""
    tune_validation: Annotated[float, arg(metavar="FRACTION")] = 0.2
    """Part of the training folds that is held out to choose on."""
    epochs: Annotated[int, arg(metavar="N")] = 50
    """Passes over the training folds."""
    batches: Annotated[int, arg(metavar="N")] = 10
    """A batch is a training fold divided by this, rounded up."""
    validation: Annotated[float, arg(metavar="FRACTION")] = 0.1
    """Part of the training folds held out to decide when groups grow; 0 for none."""
    state_width: Annotated[int, arg(metavar="N")] = 1035
    """Neurons of the state, and bits that a time step of a series is expanded to."""
    gate: Annotated[float, arg(metavar="NU")] = 0.05
    """ν, at least 0: a neuron passes errors down while its |sum| is at most ν times its number of inputs."""

    def settings(self, *, tune: bool) -> dict[str, Any]:
        """What the numbers of a run depend on, besides its place in the table."""
        return {
            **self.network_settings(self.state_width),
            "gate": self.gate,
            "folds": self.folds,
            "batches": self.batches,
            "epochs": self.tune_epochs if tune else self.epochs,
            "validation": self.tune_validation if tune else self.validation,
        }

    def check(self, who: str) -> None:
        training.check_counts(
            who,
            runs=self.runs,
            windows=self.windows,
            bits=self.bits,
            tune_epochs=self.tune_epochs,
            tune_runs=self.tune_runs,
            epochs=self.epochs,
            batches=self.batches,
            state_width=self.state_width,
        )
        if self.folds < 2:
            raise ValueError(f"reproduce: {who}: --folds must be at least 2, got {self.folds}.")
        training.check_fraction(who, tune_validation=self.tune_validation)
        if not 0 <= self.validation < 1:
            raise ValueError(f"reproduce: {who}: --validation must be a fraction in [0, 1), got {self.validation}.")
        self.check_network(self.state_width, [self.gate])


def tune(flags: SeriesFlags, results: Results, source: Source, fold: int, progress: Callable[[], Any]) -> None:
    """Sees to it that every entry of the grid has its score. Test data are not looked at."""
    for window in source.windows(flags.windows):
        _complete(flags, results, source, _grid(flags, source.known, fold, (window,)), progress, tune=True)


def final(
    flags: SeriesFlags, results: Results, source: Source, places: Sequence[Record], progress: Callable[[], Any]
) -> None:
    """Sees to it that these runs are there, places of one fold and window. They are the ones that see test data."""
    _complete(flags, results, source, places, progress, tune=False)


def final_places(flags: SeriesFlags, known: Known, fold: int, window: int, bits: Sequence[int]) -> list[Record]:
    """``flags.runs`` runs for each entry of ``bits``."""
    place = {"kind": "run", "problem": known.problem, "data": known.data, "window": window}
    return [{**place, "bits": b, "fold": fold, "run": run} for b in bits for run in range(flags.runs)]


def choice(flags: SeriesFlags, results: Results, known: Known, fold: int) -> tuple[int, int] | None:
    """Window and bits with the best validation accuracy; on ties the smaller window, then the fewer bits.

    None while the grid is incomplete. Nothing about the test fold is in what this reads.
    """
    scores: dict[tuple[int, int], list[float]] = {}
    for place in _grid(flags, known, fold, problems.windows(known, flags.windows)):
        record = results.find(place, flags.settings(tune=True))
        if record is None:
            return None
        scores.setdefault((place["window"], place["bits"]), []).append(record["validation_accuracy"])
    # Rounded, so that equal counts tie whatever the order of a sum.
    return min(scores, key=lambda entry: (-round(sum(scores[entry]) / len(scores[entry]), 9), *entry))


def known_problems(results: Results, now: Sequence[Known]) -> list[Known]:
    """Problems of this call, and those that other calls left in the file; sorted."""
    found = {r["problem"]: Known(r["problem"], r["data"], r["num_steps"]) for r in results if "num_steps" in r}
    return [known for _, known in sorted((found | {k.problem: k for k in now}).items())]


def each_problem(
    who: str,
    flags: SeriesFlags,
    names: Sequence[str],
    epochs_per_problem: int,
    work: Callable[[Source, Callable[[], Any]], None],
    report: Callable[[list[Known]], None],
) -> None:
    """Works through the problems, then reports, also after Ctrl-C; a problem that fails does not stop the others.

    Raises:
      ValueError: at the end, naming what failed and why.
      KeyboardInterrupt: after the report.
    """
    failed: dict[str, Exception] = {}
    now: list[Known] = []
    try:
        with tqdm(total=len(names) * epochs_per_problem, unit="epoch", mininterval=1.0) as bar:
            for i, name in enumerate(names):
                bar.set_description(name)
                try:
                    source = Source(name, flags.data_dir)
                    now.append(source.known)
                    work(source, bar.update)
                except Exception as error:
                    failed[name] = error
                    bar.write(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                    if not isinstance(error, ValueError | OSError | ImportError):
                        traceback.print_exception(error)
                bar.update((i + 1) * epochs_per_problem - bar.n)  # what was there already, or failed
                jax.clear_caches()  # no other problem has these shapes
    finally:
        report(now)
    if failed:
        lines = "".join(f"\n  {name}: {error}" for name, error in failed.items())
        raise ValueError(f"reproduce: {who}: {len(failed)} of {len(names)} problems failed:{lines}")


def _complete(
    flags: SeriesFlags,
    results: Results,
    source: Source,
    places: Sequence[Record],
    progress: Callable[[], Any],
    *,
    tune: bool,
) -> None:
    """Trains what is missing of one fold and window, whatever its bits: one program."""
    settings = flags.settings(tune=tune)

    def train(missing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        fold, window = missing[0]["fold"], missing[0]["window"]
        width, bits = flags.state_width, [place["bits"] for place in missing]
        data = source.fold(fold, flags.folds, window, bits, width, flags.seed, test=not tune)
        result = flags.fit(
            flags.model(width, width, source.num_classes),
            [flags.rule(flags.gate)] * len(missing),
            data,
            epochs=settings["epochs"],
            batch_size=training.batch_size(data.train_y.shape[1], flags.batches),
            # The same seeds for all windows and bits: they differ in nothing else.
            seeds=[place["run"] for place in missing],
            validation=settings["validation"],
            progress=progress,
        )
        sizes = {
            "num_train": data.train_y.shape[1],
            **({} if tune else {"num_test": data.test_y.shape[1]}),
            "num_steps": source.known.num_steps,
            "num_classes": source.num_classes,
        }
        return [{**training.numbers(result, s, test=not tune), **sizes} for s in range(len(missing))]

    complete(results, settings, places, train)


def _grid(flags: SeriesFlags, known: Known, fold: int, windows: Sequence[int]) -> list[Record]:
    place = {"kind": "tune", "problem": known.problem, "data": known.data}
    return [
        {**place, "window": window, "bits": bits, "fold": fold, "run": run}
        for window in windows
        for bits in dict.fromkeys(flags.bits)
        for run in range(flags.tune_runs)
    ]
