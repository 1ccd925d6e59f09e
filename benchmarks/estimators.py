"""`bep_jax.estimators` with no settings beside a random forest, and beside aeon's MiniRocket on series.

Tables: three stratified folds. Series: the archive's split, from $BEP_JAX_DATA. Nothing is tuned.

Every row is a line of ``estimators.jsonl`` as soon as it is there: a run that was stopped goes on, and one that is to
begin anew wants that file removed.
"""

import pathlib
import time
from collections.abc import Callable

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from benchmarks import timing
from benchmarks.report import Column, Report
from bep_jax.data.series import load_problem
from bep_jax.estimators import BEPClassifier
from bep_jax.reproduce.results import Results, complete

COLUMNS = (
    Column("name", "data"),
    Column("samples", "samples"),
    Column("bep", "BEP, accuracy in %", 1),
    Column("forest", "random forest", 1),
    Column("rocket", "MiniRocket", 1),
    Column("network", "network taken"),
    Column("bep_loss", "BEP, log loss", 3),
    Column("forest_loss", "forest, log loss", 3),
    Column("bep_error", "BEP, calibration error in %", 1),
    Column("forest_error", "forest, calibration error", 1),
    Column("bep_seconds", "BEP, seconds of CPU", 1),
    Column("forest_seconds", "forest, seconds", 1),
)
_KEYS = tuple(column.key for column in COLUMNS[1:])
PROBLEMS = ("ItalyPowerDemand", "GunPointAgeSpan", "ERing")


def run(options, clock: timing.Clock) -> Report:
    """One row a data set."""
    report = Report(
        "Estimators",
        (
            "With no settings at all: `BEPClassifier()`, `BEPTimeSeriesClassifier()`, scikit-learn's "
            "`RandomForestClassifier()` and aeon's `MiniRocketClassifier()`, random_state 0. Tables: three stratified "
            "folds. Series: the archive's split; the forest reads them flattened.",
            "Calibration error: the mean distance of confidence and accuracy over ten bins of equal size. CPU time "
            "holds compiling, training and predicting, all folds together.",
        ),
        COLUMNS,
    )
    small = {"widths": (15,), "epochs": 2, "n_networks": 1} if options.quick else {}
    results = Results(pathlib.Path(options.out) / "estimators.jsonl")

    def add(name: str, measure: Callable[[], dict]) -> None:
        (record,) = complete(results, {"estimator": small}, [{"problem": name}], lambda _: [measure()])
        report.add({"name": name, **{key: record[key] for key in (*_KEYS, "tried") if key in record}})

    tables: dict[str, Callable] = {
        "wine": lambda: load_wine(return_X_y=True),
        "breast cancer": lambda: load_breast_cancer(return_X_y=True),
        "digits": lambda: load_digits(return_X_y=True),
        "sensors": sensors,
    }
    for name, load in tables.items():
        if options.only in name and not (options.quick and name != "wine"):
            add(name, lambda load=load: _table(*load(), small))
    for name in PROBLEMS:
        if options.only in name and not options.quick:
            add(name, lambda name=name: _series(name))
    return report


def sensors(size: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """A wearable's table: 24 columns of mixed scale, 8 of them noise, 3 % missing, five skewed classes."""
    rng = np.random.default_rng(7)
    y = rng.choice(5, size, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    scale = 10.0 ** rng.uniform(-3, 4, 24)
    means = rng.normal(0, 1, (5, 24))
    means[:, 16:] = 0
    x = means[y] * 0.8 + rng.normal(0, 1, (size, 24))
    x[:, 3] = np.exp(x[:, 3] * 1.5)
    x[:, 5] = np.round(x[:, 5])
    x = (x + rng.normal(0, 5, 24)) * scale
    x[rng.random(x.shape) < 0.03] = np.nan
    return x, np.array(["sit", "stand", "walk", "run", "stairs"])[y]


def calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over ten bins of equally many samples."""
    confidence = probabilities.max(axis=1)
    bins = np.array_split(np.argsort(confidence, kind="stable"), 10)
    return float(sum(len(b) * abs(confidence[b].mean() - right[b].mean()) for b in bins if len(b)) / len(right))


def _table(x: np.ndarray, y: np.ndarray, small: dict) -> dict:
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    row = {"samples": len(y)}
    found: dict[str, BaseEstimator] = {
        "bep": BEPClassifier(random_state=0, **small),
        "forest": RandomForestClassifier(random_state=0),
    }
    for key, estimator in found.items():
        begun = time.process_time()
        probabilities = cross_val_predict(estimator, x, y, cv=folds, method="predict_proba")
        row |= _scores(key, probabilities, np.unique(y), y) | {f"{key}_seconds": time.process_time() - begun}
    return row


def _series(name: str) -> dict:
    from aeon.classification.convolution_based import MiniRocketClassifier

    from bep_jax.estimators import BEPTimeSeriesClassifier

    problem = load_problem(f"ucr/{name}", None)
    train, test = (np.stack([one.T for one in part]) for part in (problem.train, problem.test))
    flat, flat_test = (part.reshape(len(part), -1) for part in (train, test))
    row = {"samples": len(problem.train_y)}
    begun = time.process_time()
    bep = BEPTimeSeriesClassifier(random_state=0).fit(train, problem.train_y)
    row |= _scores("bep", bep.predict_proba(test), bep.classes_, problem.test_y)
    row |= {"bep_seconds": time.process_time() - begun, "network": bep.network_, "tried": bep.validation_accuracy_}
    begun = time.process_time()
    forest = RandomForestClassifier(random_state=0).fit(flat, problem.train_y)
    row |= _scores("forest", forest.predict_proba(flat_test), forest.classes_, problem.test_y)
    row |= {"forest_seconds": time.process_time() - begun}
    rocket = MiniRocketClassifier(random_state=0).fit(train, problem.train_y)
    return row | {"rocket": 100 * float(np.mean(rocket.predict(test) == problem.test_y))}


def _scores(key: str, probabilities: np.ndarray, classes: np.ndarray, y: np.ndarray) -> dict[str, float]:
    right = classes[np.argmax(probabilities, axis=1)] == y
    return {
        key: 100 * float(right.mean()),
        f"{key}_loss": float(log_loss(y, probabilities, labels=classes)),
        f"{key}_error": 100 * calibration_error(probabilities, right),
    }
