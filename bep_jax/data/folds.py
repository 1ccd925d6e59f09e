"""Seeded stratified splits, the same with every version of every library."""

import numpy as np


def assign_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deals samples to folds: shuffled within each class, then dealt out in turn, one class after the other.

    Fold sizes differ by at most one, and so does a class's share of each; they are the same for every seed.

    Args:
      labels: int32 ``[n]``.
      folds: at least 2, at most n.
      seed: of the shuffle.

    Returns:
      int64 ``[n]``, the fold of every sample.

    Raises:
      ValueError: more folds than samples, or fewer than 2.

    Example:
      >>> np.bincount(assign_folds(np.zeros(8, np.int32), folds=3, seed=0))
      array([3, 3, 2])
    """
    if not 2 <= folds <= len(labels):
        raise ValueError(f"load: folds must be from 2 to the number of samples ({len(labels)}), got {folds}.")
    # Raw Philox output is fixed by its definition; the methods of numpy.random.Generator may change with versions.
    draws = np.random.Philox(seed).random_raw(len(labels))
    order = np.lexsort((draws, labels))
    assigned = np.empty(len(labels), np.int64)
    assigned[order] = np.arange(len(labels)) % folds
    return assigned


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draws a part of the samples, of every class the same share but for one sample.

    Args:
      labels: int32 ``[n]``.
      fraction: the share, between 0 and 1.
      seed: of the shuffle.

    Returns:
      bool ``[n]``, True for samples of the part; ⌊fraction · n⌋ of them, at least one.

    Raises:
      ValueError: nothing is left on one side.

    Example:
      >>> held_out(np.array([0, 0, 0, 0, 1, 1], np.int32), 0.5, seed=0).sum()
      np.int64(3)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"load: test_fraction must be between 0 and 1, got {fraction!r}.")
    count = max(1, int(fraction * len(labels) + 1e-9))
    if count >= len(labels):
        raise ValueError(f"load: test_fraction={fraction} of {len(labels)} samples leaves none to learn from.")
    draws = np.random.Philox(seed).random_raw(len(labels))
    order = np.lexsort((draws, labels))  # by class, shuffled within
    chosen = np.zeros(len(labels), bool)
    # Every so many-th sample of that order, from the middle of the first step.
    chosen[order[(2 * np.arange(count) + 1) * len(labels) // (2 * count)]] = True
    return chosen
