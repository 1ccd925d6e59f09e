"""`fit` goes on from any network: where it stopped, from signs, from a device."""

import jax
import numpy as np
import pytest

import bep_jax as bep

MODEL, RULE = bep.mlp(num_inputs=40, widths=(15,), num_classes=3), bep.Rule(group_size=5)
OPTIONS = {"epochs": 1, "batch_size": 20, "seeds": 2, "validation": 0, "progress": False}


@pytest.fixture(scope="module")
def data():
    return bep.datasets.load("random-prototypes", num_train=60, num_test=40, num_inputs=40, num_classes=3)


@pytest.fixture(scope="module")
def first(data):
    return bep.fit(MODEL, RULE, data, **OPTIONS)


def test_goes_on_from_params(data, first):
    again = bep.fit(MODEL, RULE, data, params=first.params, opt_state=first.state.opt_state, **OPTIONS)
    np.testing.assert_array_equal(again.params.classifier, first.params.classifier)
    shared = jax.tree.map(lambda a: a[0], (first.params, first.state.opt_state))
    both = bep.fit(MODEL, RULE, data, params=shared[0], opt_state=shared[1], **OPTIONS)
    # Row 0 is the same network, state and order of samples either way.
    np.testing.assert_array_equal(both.params.hidden[0][0], again.params.hidden[0][0])
    assert np.any(both.params.hidden[0][1] != again.params.hidden[0][1])


def test_goes_on_from_signs(data, first):
    signs = first.params._replace(hidden=tuple(np.where(h >= 0, 1, -1).astype(np.int16) for h in first.params.hidden))
    with pytest.raises(ValueError, match="fit: params are signs alone"):
        bep.fit(MODEL, RULE, data, params=signs, **OPTIONS)
    slow = bep.fit(MODEL, RULE, data, params=signs, scale=20000.0, **OPTIONS)
    same = np.mean((np.asarray(slow.params.hidden[0]) >= 0) == (signs.hidden[0] > 0))
    assert same > 0.99 and np.abs(slow.params.hidden[0]).max() > 1000


def test_errors(data, first):
    with pytest.raises(ValueError, match="scale is for weights drawn anew"):
        bep.fit(MODEL, RULE, data, params=first.params, scale=3.0, **OPTIONS)
    with pytest.raises(ValueError, match="opt_state belongs to params"):
        bep.fit(MODEL, RULE, data, opt_state=first.state.opt_state, **OPTIONS)
    with pytest.raises(TypeError, match="fit: wanted Params"):
        bep.fit(MODEL, RULE, data, params=3, **OPTIONS)
    with pytest.raises(ValueError, match=r"wanted \(3, 15, 40\), got \(2, 15, 40\)"):
        bep.fit(MODEL, RULE, data, params=first.params, **{**OPTIONS, "seeds": 3})
