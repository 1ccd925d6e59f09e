"""Temperatures of scores: the likeliest, and what `fit` says of its validation samples."""

import numpy as np
import pytest

import bep_jax as bep
from bep_jax.training.calibration import probabilities


def test_the_likeliest_temperature():
    """Labels drawn from a softmax give its temperature back."""
    rng = np.random.default_rng(0)
    scores = rng.integers(-60, 60, (4000, 3))
    exact = probabilities(scores, 25.0)
    y = (rng.random((4000, 1)) > np.cumsum(exact, axis=1)).sum(axis=1)
    assert abs(bep.fit_temperature(scores, y) - 25) < 2
    np.testing.assert_allclose(exact.sum(axis=1), 1)
    assert np.isfinite(probabilities(scores * 10**6, 1e-3)).all()
    assert 0 < bep.fit_temperature(scores, scores.argmax(axis=1)) < 25  # all right: surer, and finite
    assert bep.fit_temperature(np.zeros((0, 3), int), np.zeros(0, int)) == 1


def test_mistakes():
    with pytest.raises(ValueError, match=r"fit_temperature: wanted scores \[n, C\] and integer labels \[n\]"):
        bep.fit_temperature(np.zeros((4, 2)), np.zeros(3, int))
    with pytest.raises(ValueError, match="labels must be in 0 to 1, got 0 to 2"):
        bep.fit_temperature(np.zeros((2, 2)), np.array([0, 2]))
