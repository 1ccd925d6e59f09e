"""What the peers are compared on: raw features and labels, with the split and the validation part that all share.

Axis letters: n samples, F features, T time steps.
"""

from typing import NamedTuple

import numpy as np

import bep_jax as bep

IMAGES = ("mnist", "fashion-mnist", "digits")
TABLES = ("breast-cancer", "iris", "wine")
SERIES = tuple(
    f"ucr/{name}"
    for name in (
        *("DistalPhalanxOutlineAgeGroup", "ECG5000", "ECGFiveDays", "ERing", "Earthquakes", "FreezerSmallTrain"),
        *("GunPointAgeSpan", "InsectEPGRegularTrain", "ItalyPowerDemand", "JapaneseVowels", "MoteStrain", "PenDigits"),
        *("ProximalPhalanxOutlineAgeGroup", "ProximalPhalanxTW", "SmoothSubspace", "SonyAIBORobotSurface1", "Wafer"),
    )
)
NAMES = (*TABLES, *IMAGES, *SERIES)
LARGE = ("mnist", "fashion-mnist")
_LEAST_STEPS = 9  # that MiniRocket takes

_TEST, _VALIDATION = 0.3, 0.2


class Part(NamedTuple):
    """Something to train on and something to be judged by."""

    train_x: np.ndarray  # float32 [n, F], series [n, T, F] with NaN in front of shorter ones; images uint8 [n, F]
    train_y: np.ndarray  # int32 [n]
    test_x: np.ndarray
    test_y: np.ndarray
    num_classes: int
    kind: str  # "image", "table" or "series"


def kind_of(name: str) -> str:
    """What a data set is, without reading it."""
    return "image" if name in IMAGES else "table" if name in TABLES else "series"


def load(name: str, run: int) -> Part:
    """A data set; the split of tables and digits is drawn anew for every run, others come with theirs."""
    kind = kind_of(name)
    if kind == "table":
        from sklearn import datasets

        x, y = getattr(datasets, f"load_{name.replace('-', '_')}")(return_X_y=True)
        train, test = _stratified(y, _TEST, run)
        x, y = x.astype(np.float32), y.astype(np.int32)
        return Part(x[train], y[train], x[test], y[test], int(y.max()) + 1, kind)
    data = bep.datasets.load(name, raw=True, seed=run if name == "digits" else 0)
    dtype = np.uint8 if kind == "image" else np.float32
    train, test = (np.asarray(x).astype(dtype) for x in (data.train_x, data.test_x))
    labels = (np.asarray(y).astype(np.int32) for y in (data.train_y, data.test_y))
    train_y, test_y = labels
    return Part(train, train_y, test, test_y, data.num_classes, kind)


def validation(part: Part, run: int, most: int | None = None) -> Part:
    """The training part alone, or ``most`` of its samples: a fifth of it to choose settings by."""
    if most is not None and most < len(part.train_y):
        _, chosen = _stratified(part.train_y, most / len(part.train_y), run)
        part = part._replace(train_x=part.train_x[chosen], train_y=part.train_y[chosen])
    train, held_out = _stratified(part.train_y, _VALIDATION, run)
    return part._replace(
        train_x=part.train_x[train],
        train_y=part.train_y[train],
        test_x=part.train_x[held_out],
        test_y=part.train_y[held_out],
    )


def flat(x: np.ndarray) -> np.ndarray:
    """Features ``[n, F]``: of a series those of all time steps."""
    return x.reshape(len(x), -1)


def filled(x: np.ndarray) -> np.ndarray:
    """float32 without NaN, for methods that take none."""
    return np.nan_to_num(x.astype(np.float32))


def channels_first(x: np.ndarray) -> np.ndarray:
    """float32 ``[n, F, T]`` as aeon takes series, with steps of 0 in front where there are too few for MiniRocket."""
    few = max(0, _LEAST_STEPS - x.shape[1])
    return np.pad(filled(x).transpose(0, 2, 1), ((0, 0), (0, 0), (few, 0)))


def _stratified(y: np.ndarray, share: float, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices of two parts; of every class of at least two samples, some are in both."""
    rng = np.random.default_rng(run)
    second = []
    for c in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == c))
        second.append(members[: max(round(share * len(members)), int(len(members) > 1))])
    chosen = np.sort(np.concatenate(second))
    return np.setdiff1d(np.arange(len(y)), chosen), chosen
