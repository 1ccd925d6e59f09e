"""Probabilities from class scores: their softmax over one temperature, fitted on samples that did not train.

Axis letters: n samples, C classes.
Source: C. Guo et al., On Calibration of Modern Neural Networks, 2017 (temperature); J. Platt, 1999 (softened targets).
"""

import math

import numpy as np
import numpy.typing as npt

from bep_jax.data.words import as_numbers


def fit_temperature(scores: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """The temperature T that makes the softmax of scores / T likeliest for labels.

    Scores are sums of ±1, so how sure a network is lies in their size, which no loss has ever judged; one number makes
    probabilities of them. Labels are softened by one sample in n + 2, so that T stays finite where all are right.

    Args:
      scores: ``[n, C]``, of `bep_jax.logits`, of samples that took no part in training; ``Result.held_out`` says which
        those of `fit` are.
      y: integers ``[n]``, their labels.

    Returns:
      T > 0. Without samples, or with scores that say nothing, the spread of the scores.

    Raises:
      ValueError: shapes do not fit, or a label is not in 0 to C - 1.

    Example:
      >>> scores = np.array([[9, -9], [-9, 9], [9, -9], [9, -9]])
      >>> fit_temperature(scores, [0, 1, 0, 1]) > fit_temperature(scores, [0, 1, 0, 0])
      True
    """
    from scipy.optimize import minimize_scalar  # comes with jax; only where it is wanted, as it takes a while
    from scipy.special import log_softmax

    scores, y = (as_numbers(a, f"fit_temperature: {name}") for a, name in ((scores, "scores"), (y, "y")))
    if not np.isfinite(scores).all():
        raise ValueError("fit_temperature: scores must be finite, some are NaN, infinite or masked.")
    if scores.ndim != 2 or y.shape != scores.shape[:1] or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"fit_temperature: wanted scores [n, C] and integer labels [n], got {scores.shape} and {y.dtype} {y.shape}."
        )
    if y.size and not (y.min() >= 0 and y.max() < scores.shape[1]):
        raise ValueError(f"fit_temperature: labels must be in 0 to {scores.shape[1] - 1}, got {y.min()} to {y.max()}.")
    unit = float(np.abs(scores).max(initial=1))
    if not len(y):
        return unit
    share = 1 / (len(y) + 2)
    targets = np.full(scores.shape, share / scores.shape[1])
    targets[np.arange(len(y)), y] += 1 - share

    def loss(log_temperature: float) -> float:
        return -float(np.mean(np.sum(targets * log_softmax(scores / math.exp(log_temperature), axis=1), axis=1)))

    found = minimize_scalar(loss, bounds=(math.log(unit / 200), math.log(unit * 20)), method="bounded")
    return math.exp(found.x)


def probabilities(scores: npt.ArrayLike, temperature: float) -> np.ndarray:
    """float64 ``[n, C]``: the softmax of scores ``[n, C]`` over a temperature.

    Example:
      >>> probabilities([[3, 3], [9, 3]], temperature=6.0).round(2)
      array([[0.5 , 0.5 ],
             [0.73, 0.27]])
    """
    from scipy.special import log_softmax

    return np.exp(log_softmax(np.asarray(scores) / temperature, axis=1))
