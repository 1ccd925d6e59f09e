"""QAT on the folds of Table 1: the window and bits that were chosen for BEP, a learning rate chosen in each fold.

Axis letters: S networks trained side by side.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from bep_jax.baselines import methods
from bep_jax.reproduce import training
from bep_jax.reproduce.problems import Known, Source
from bep_jax.reproduce.results import Record, Results, complete
from bep_jax.reproduce.tuning import SeriesFlags

LEARNING_RATES = (1e-4, 1e-3, 1e-2)


def run(
    flags: SeriesFlags,
    results: Results,
    source: Source,
    method: str,
    fold: int,
    chosen: tuple[int, int],
    progress: Callable[[], Any],
) -> None:
    """Sees to it that a fold's rates have their scores, and the best of them its tested runs."""

    def train(places: Sequence[Mapping[str, Any]], *, tune: bool) -> list[dict[str, Any]]:
        settings, (window, bits) = _settings(flags, tune=tune), chosen
        data = source.fold(fold, flags.folds, window, [bits], flags.state_width, flags.seed, test=not tune)
        data = type(data)(*(array[0] for array in data))
        result = methods.fit(
            method,
            flags.model(flags.state_width, flags.state_width, source.num_classes),
            [place["learning_rate"] for place in places],
            data,
            epochs=settings["epochs"],
            batch_size=training.batch_size(len(data.train_y), flags.batches),
            seeds=[place["run"] for place in places],
            key=jax.random.key(flags.seed),
            validation=settings["validation"],
            callbacks=[lambda report: progress()],
            progress=False,
        )
        return [training.numbers(result, s, test=not tune) for s in range(len(places))]

    grid = _grid(flags, source.known, method, fold, chosen)
    complete(results, _settings(flags, tune=True), grid, lambda places: train(places, tune=True))
    places = _places(flags, results, source.known, method, fold, chosen)
    complete(results, _settings(flags, tune=False), places, lambda places: train(places, tune=False))


def found(
    flags: SeriesFlags, results: Results, known: Known, method: str, fold: int, chosen: tuple[int, int]
) -> list[Record]:
    """The tested runs of a fold that are there."""
    places = _places(flags, results, known, method, fold, chosen)
    records = [results.find(place, _settings(flags, tune=False)) for place in places]
    return [record for record in records if record is not None]


def _grid(flags: SeriesFlags, known: Known, method: str, fold: int, chosen: tuple[int, int]) -> list[Record]:
    common = {**_common(known, method, fold, chosen), "run": 0}
    return [{"kind": "tune", **common, "learning_rate": rate} for rate in LEARNING_RATES]


def _places(
    flags: SeriesFlags, results: Results, known: Known, method: str, fold: int, chosen: tuple[int, int]
) -> list[Record]:
    scores = {}
    for place in _grid(flags, known, method, fold, chosen):
        record = results.find(place, _settings(flags, tune=True))
        if record is None:
            return []
        scores[place["learning_rate"]] = record["validation_accuracy"]
    # On ties the smaller rate.
    best = min(scores, key=lambda rate: (-scores[rate], rate))
    common = {"kind": "run", **_common(known, method, fold, chosen), "learning_rate": best}
    return [{**common, "run": run} for run in range(flags.runs)]


def _common(known: Known, method: str, fold: int, chosen: tuple[int, int]) -> Record:
    window, bits = chosen
    place = {"problem": known.problem, "data": known.data, "window": window, "bits": bits}
    return {**place, "fold": fold, "method": method}


def _settings(flags: SeriesFlags, *, tune: bool) -> dict[str, Any]:
    names = ("state_width", "seed", "folds", "batches")
    return {
        **{name: getattr(flags, name) for name in names},
        "output_width": flags.output_width or flags.state_width,
        # Rates are told apart early: less than half of the epochs are enough.
        "epochs": min(flags.tune_epochs, 20) if tune else flags.epochs,
        "validation": flags.tune_validation if tune else flags.validation,
    }
