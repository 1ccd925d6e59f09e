"""Which of several networks suits the data: each learns for a few epochs, and held-out samples decide.

Axis letters: S seeds.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from bep_jax.learning.rule import Limits, Rule
from bep_jax.network.model import Model
from bep_jax.training.fitting import fit
from bep_jax.training.loop import STOP, Report

EPOCHS, SEEDS, VALIDATION = 20, 3, 0.3
_STEPS = 1000  # of a trial at least, where the epochs of the training that follows allow: few samples make few an epoch
_TAIL = 3  # epochs that an accuracy is the mean of
_BEHIND, _SOONEST = 0.15, 3  # a trial that lies so far behind ends, after a third of its epochs
_MOST_STEPS = 32


class Trial(NamedTuple):
    """A network and what it learns from; arguments of `bep_jax.fit`."""

    model: Model
    rule: Rule | Limits
    data: Any
    batch_size: int
    scale: Any = None  # None: what follows from shapes


class Choice(NamedTuple):
    """What was decided, and on what."""

    name: str
    scores: dict[str, float]  # validation accuracy by name; of balanced classes the mean of recalls


def choose(
    trials: Mapping[str, Callable[[], Trial | None]],
    *,
    epochs: int,
    key: jax.Array,
    class_weight: Literal["balanced"] | None = None,
    progress: bool = False,
    mesh: jax.sharding.Mesh | Literal["auto"] | None = None,
) -> Choice:
    """Trains each network that there is, and names the first unless another is better by more than a standard error.

    Three draws of a network learn for 20 epochs, of few samples for more, up to 1,000 steps, from seven tenths of the
    training samples (or from those of ``train_split``), and the last three epochs' accuracy on the others decides. A
    trial that lies 15 points behind after a third of its epochs ends there, and where one has everything right the
    others are left out. The standard error is that of the best one's accuracy on so many samples: what is less is luck.
    Test samples take no part.

    Args:
      trials: functions by name, called one after the other, so that one encoding is in memory at a time; None of one
        that does not take part.
      epochs: of the training that follows.
      key: of everything random.
      class_weight: as for `bep_jax.fit`.
      progress: whether to show progress bars.
      mesh: as for `bep_jax.fit`.

    Raises:
      KeyboardInterrupt: it was stopped.
    """
    scores: dict[str, float] = {}
    held_out = 1.0
    counted = f"validation_{'balanced_' if class_weight else ''}accuracy"

    def hopeless(report: Report) -> str | None:
        behind = max(scores.values(), default=0.0) - np.mean(report.metrics.get(counted, np.inf))
        return STOP if report.epoch * _SOONEST >= report.epochs and behind > _BEHIND else None

    for name, make in trials.items():
        if max(scores.values(), default=0.0) >= 1.0:
            break
        trial = make()
        if trial is None:
            continue
        data = trial.data
        held_out = max(1.0, VALIDATION * data.train_y.shape[-1])
        if hasattr(data, "test_x"):
            data = dataclasses.replace(data, test_x=None, test_y=None)
        result = fit(
            trial.model,
            trial.rule,
            data,
            epochs=min(epochs, max(EPOCHS, _STEPS * trial.batch_size // data.train_y.shape[-1])),
            batch_size=trial.batch_size,
            seeds=SEEDS,
            key=key,
            validation=VALIDATION,
            patience=None,
            scale=trial.scale,
            class_weight=class_weight,
            callbacks=[hopeless],
            progress=progress,
            mesh=mesh,
        )
        if result.interrupted or not result.history:
            raise KeyboardInterrupt
        validated = result.history.get(counted)  # None: too few samples to hold any out, and the first is taken
        scores[name] = 0.0 if validated is None else float(validated[:, -_TAIL:].mean())
    first, best = next(iter(scores)), max(scores, key=lambda name: scores[name])
    luck = math.sqrt(scores[best] * (1 - scores[best]) / held_out)
    return Choice(best if scores[best] - scores[first] > luck else first, scores)


def recurrent_tried(num_steps: int | None) -> bool:
    """Whether a recurrent network is worth a trial on series so long: its cost grows with them, and on longer series
    dense ones and convolutions are ahead.

    Example:
      >>> recurrent_tried(24), recurrent_tried(150)
      (True, False)
    """
    return num_steps is None or num_steps <= _MOST_STEPS
