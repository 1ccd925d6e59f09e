"""Samples as programs want them: padded to sizes that many data share, split, and drawn by the weights of classes.

A program is compiled for the shapes of its arguments. The folds of a cross-validation differ by a sample, and each
would compile anew; padded to the same number of rows, they share one program. Rows of padding take no part: what is
learned is the same, bit for bit, whatever the padding.

Axis letters: n samples, C classes, W words.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from bep_jax.data.words import on_host
from bep_jax.kernels.checks import check_several, shown
from bep_jax.training.samples import HELD_OUT, TRAINS

_LEAST_ROOM = 128
_MOST_COPIES = 3  # of a sample on average, where weights ask for some


class Samples(NamedTuple):
    """Training data of `bep_jax.fit`."""

    train_x: np.ndarray  # uint32 [n, W], recurrent [n, T, W]
    train_y: np.ndarray  # int32 [n]
    train_split: np.ndarray  # int8 [n]


class Split(NamedTuple):
    """Which samples train and which are held out, however they are encoded; with rows of padding."""

    rows: np.ndarray  # int64 [n], places among the samples
    train_y: np.ndarray  # int32 [n]
    train_split: np.ndarray  # int8 [n]

    def of(self, words: np.ndarray) -> Samples:
        """The samples, of all that there are."""
        return Samples(words[self.rows], self.train_y, self.train_split)


def plain(x: Any, who: str) -> Any:
    """Data as scikit-learn and aeon take them, with NaN for a mask, which both would drop; errors name ``who``."""
    return on_host(x, who) if isinstance(x, np.ma.MaskedArray | jax.Array) else x


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


def classes_of_stream(known: np.ndarray | None, named: Any, y: np.ndarray) -> np.ndarray:
    """The classes of a stream whose next batch has the labels ``y``: those that the first call of `partial_fit` named.

    Args:
      known: from the call before; None in the first.
      named: what this call names, or None.
      y: ``[n]``.

    Raises:
      ValueError: the first call names none, another call other ones, or a label is not among them.
    """
    try:
        several = () if named is None else check_several(named, "classes", "partial_fit")
        classes = known if named is None else np.unique(named if hasattr(named, "dtype") else several)
    except (TypeError, ValueError):
        raise TypeError(f"partial_fit: classes must be all labels, which compare, got {shown(named)}.") from None
    if classes is None:
        raise ValueError("partial_fit: the first call wants classes, all labels that the stream will have.")
    if known is not None and not np.array_equal(classes, known):
        raise ValueError(f"partial_fit: the first call named the classes {known}, this one {classes}.")
    if unknown := sorted(set(np.unique(y).tolist()) - set(classes.tolist())):
        raise ValueError(f"partial_fit: labels {unknown} are not among the classes {classes.tolist()}.")
    return classes


def repeated(sample_weight: np.ndarray | None, size: int) -> np.ndarray:
    """How often each sample is there: int64 ``[n]``.

    The rule adds up integers and knows no weights; a sample that weighs twice is there twice. Whole numbers count as
    they are, if they make no more than three times the samples. Others are scaled until the least is one sample, or the
    whole three times as many.

    Example:
      >>> repeated(np.array([2.0, 0.0, 2.0]), 3), repeated(np.array([0.1, 0.1, 0.2]), 3), repeated(None, 2)
      (array([2, 0, 2]), array([1, 1, 2]), array([1, 1]))
    """
    if sample_weight is None:
        return np.ones(size, np.int64)
    if not ((sample_weight >= 0).all() and sample_weight.any()):
        raise ValueError("sample_weight must not be negative, and be positive for one sample.")
    if (sample_weight == np.round(sample_weight)).all() and sample_weight.sum() <= _MOST_COPIES * size:
        return sample_weight.astype(np.int64)
    return _whole(sample_weight)


def weighted(y: np.ndarray, class_weight: dict[Any, float] | str | None, classes: np.ndarray) -> np.ndarray:
    """Indices of the samples to train on: each as often as its class weighs, the whole at most three times as many.

    Args:
      y: int ``[n]``, classes as indices.
      class_weight: a dictionary from label to weight; None and "balanced", which `bep_jax.fit` knows itself, change
        nothing here.
      classes: the labels.

    Returns:
      int64 ``[m]``.
    """
    if class_weight is None or isinstance(class_weight, str):
        return np.arange(len(y))
    per_class = compute_class_weight(class_weight, classes=classes, y=classes[y])
    weights = per_class[y]
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(
            f"fit: class_weight must be finite and at least 0, and positive for one class, got {per_class}."
        )
    return np.repeat(np.arange(len(y)), _whole(weights))


def _whole(weights: np.ndarray) -> np.ndarray:
    copies = weights * min(1 / weights[weights > 0].min(), _MOST_COPIES * len(weights) / weights.sum())
    edges = np.round(np.cumsum(copies)).astype(np.int64)  # systematic: all get their share, to one sample
    return np.diff(edges, prepend=0)


def split(
    words: np.ndarray,
    y: np.ndarray,
    copies: np.ndarray,
    fraction: float,
    class_weight: dict[Any, float] | str | None,
    classes: np.ndarray,
    random: np.random.RandomState,
) -> Split:
    """Which samples to train on, drawn by weights, and which are held out, each as often as it is there.

    Equal samples of one class count as one that is there more often, so that none is trained on and held out; and data
    are the same in whatever order they come.

    Args:
      words: uint32 ``[n, W]``.
      y: int ``[n]``, classes as indices.
      copies: int64 ``[n]``, each at least 1.
      fraction: of each class, what is held out.
      class_weight: as for `weighted`.
      classes: the labels.
      random: of which samples are held out.
    """
    _, which, place = np.unique(
        np.column_stack([y.astype(np.uint32), words]), axis=0, return_index=True, return_inverse=True
    )
    y = y[which]
    copies = np.bincount(place.reshape(-1), copies).astype(np.int64)
    outside = held_out(y, fraction, random)
    validation, drawn = (np.repeat(np.flatnonzero(part), copies[part]) for part in (outside, ~outside))
    rows = np.concatenate([validation, drawn[weighted(y[drawn], class_weight, classes)]])
    size = room(len(rows))
    parts = np.zeros(size, np.int8)
    parts[: len(rows)] = TRAINS
    parts[: len(validation)] = HELD_OUT
    rows = np.concatenate([rows, np.zeros(size - len(rows), rows.dtype)])
    return Split(which[rows], y[rows].astype(np.int32), parts)
