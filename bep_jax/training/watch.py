"""What validation decides, on the host: which epoch is the best, when groups grow, when a run is over.

Axis letters: S seeds, C classes.
"""

from typing import NamedTuple

import numpy as np

from bep_jax.training.learner import Counts


class Watch(NamedTuple):
    """How each seed's validation score has moved."""

    best: np.ndarray  # float64 [S], the best score so far
    best_epoch: np.ndarray  # int64 [S], when it was reached first
    stale: np.ndarray  # int64 [S], epochs since then, or since groups grew

    @classmethod
    def start(cls, num_seeds: int) -> "Watch":
        """Before the first epoch."""
        return cls(np.full(num_seeds, -1.0), np.zeros(num_seeds, np.int64), np.zeros(num_seeds, np.int64))

    def advance(
        self, score: np.ndarray, epoch: int, patience: int | None, stop_after: int | None
    ) -> tuple["Watch", np.ndarray, np.ndarray]:
        """With the score ``[S]`` of an epoch, from 1.

        Returns:
          The new state; bool ``[S]``, who ran out of patience, whose count restarts; bool ``[S]``, whose best epoch
          this is. A seed that would have stopped, were it alone, finds no better one.
        """
        better = score > self.best
        stale = np.where(better, 0, self.stale + 1)
        stalled = stale >= (np.inf if patience is None else patience)
        better &= ~self._done(epoch - 1, stop_after)
        best, best_epoch = np.where(better, score, self.best), np.where(better, epoch, self.best_epoch)
        return Watch(best, best_epoch, np.where(stalled, 0, stale)), stalled, better

    def over(self, epoch: int, stop_after: int | None) -> bool:
        """Whether no seed has found a better epoch for so long."""
        return bool(self._done(epoch, stop_after).all())

    def _done(self, epoch: int, stop_after: int | None) -> np.ndarray:
        return epoch - self.best_epoch >= (np.inf if stop_after is None else stop_after)


def score(validated: Counts, balanced: bool) -> np.ndarray:
    """What is to rise, ``[S]``: the share of validation samples that are right; balanced, its mean over the classes."""
    right, of = (np.asarray(a, np.float64) for a in validated)
    if balanced:
        return np.sum(right / np.maximum(of, 1), axis=1) / np.maximum(np.sum(of > 0, axis=1), 1)
    return right.sum(axis=1) / np.maximum(of.sum(axis=1), 1)
