"""Samples as programs want them: padded to sizes that many data share, split, and drawn by the weights of classes.

A program is compiled for the shapes of its arguments. The folds of a cross-validation differ by a sample, and each
would compile anew; padded to the same number of rows, they share one program. Rows of padding take no part: what is
learned is the same, bit for bit, whatever the padding.

Axis letters: n samples, C classes, W words.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from bep_jax.training.samples import HELD_OUT, TRAINS

_LEAST_ROOM = 128


class Samples(NamedTuple):
    """Training data of `bep_jax.fit`."""

    train_x: np.ndarray  # uint32 [n, W], recurrent [n, T, W]
    train_y: np.ndarray  # int32 [n]
    train_split: np.ndarray  # int8 [n]


def rounded_up(size: int, least: int) -> int:
    """A size that others near it share: a multiple of ``least``, at most an eighth more where there are many.

    Example:
      >>> rounded_up(5, least=8), rounded_up(143, least=8)
      (8, 144)
    """
    step = max(least, 1 << (max(size - 1, 1).bit_length() - 1) >> 3)
    return -(-size // step) * step


def room(size: int) -> int:
    """Rows to pad ``size`` samples to: a power of two, of which a large one costs memory alone.

    Example:
      >>> room(5), room(142), room(1437)
      (128, 256, 2048)
    """
    return max(_LEAST_ROOM, 1 << (size - 1).bit_length())


def held_out(y: np.ndarray, fraction: float, random: np.random.RandomState) -> np.ndarray:
    """bool ``[n]``: the samples for validation, ``fraction`` of each class; of a class of three and fewer none."""
    chosen = np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = random.permutation(np.flatnonzero(y == label))
        if fraction > 0 and len(rows) > 3:
            chosen[rows[: max(1, round(fraction * len(rows)))]] = True
    return chosen


def weighted(y: np.ndarray, class_weight: dict[Any, float] | str | None, classes: np.ndarray) -> np.ndarray:
    """Indices of the samples to train on: each as often as its class weighs, the whole at most three times as many.

    The rule adds up integers and knows no weights; a sample that weighs twice is there twice.

    Args:
      y: int ``[n]``, classes as indices.
      class_weight: a dictionary from label to weight; None and "balanced", which `bep_jax.fit` knows itself, change
        nothing here.
      classes: the labels.

    Returns:
      int64 ``[m]``.
    """
    if class_weight is None or class_weight == "balanced":
        return np.arange(len(y))
    per_class = compute_class_weight(class_weight, classes=classes, y=classes[y])
    weights = per_class[y]
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(f"class_weight must be finite and not negative, and positive for one class, got {per_class}.")
    copies = weights * min(1 / weights[weights > 0].min(), 3 * len(y) / weights.sum())
    edges = np.round(np.cumsum(copies)).astype(np.int64)  # systematic: every class gets its share, to one sample
    return np.repeat(np.arange(len(y)), np.diff(edges, prepend=0))


def padded(x: np.ndarray, y: np.ndarray, validation: np.ndarray, drawn: np.ndarray) -> Samples:
    """The samples ``drawn`` (indices) to train on and those for validation (bool ``[n]``), with rows of padding."""
    rows = np.concatenate([np.flatnonzero(validation), drawn])
    size = room(len(rows))
    split = np.zeros(size, np.int8)
    split[: len(rows)] = TRAINS
    split[: np.sum(validation)] = HELD_OUT
    rows = np.concatenate([rows, np.zeros(size - len(rows), rows.dtype)])
    return Samples(x[rows], y[rows].astype(np.int32), split)
