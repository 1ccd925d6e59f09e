"""Limits that no rule means are refused where they are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import bep_jax as bep

MODEL = bep.mlp(num_inputs=64, widths=(35, 101), num_classes=3)
LIMITS = bep.thresholds(MODEL, bep.Rule())
X, Y = np.ones((4, 2), np.uint32), np.zeros(4, np.int32)


def call(limits):
    return jax.eval_shape(lambda: bep.updates(MODEL, limits, MODEL.init(jax.random.key(0)), X, Y))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_size": [0, 101]}, "group_size must divide the width 35 of layer 1, got 0"),
        ({"group_size": [-5, 101]}, "group_size must divide"),
        ({"group_size": [5, 8]}, "group_size must divide the width 101 of layer 2, got 8"),
        ({"margin": 0}, r"margin must be in 1\.\.101"),
        ({"margin": 102}, r"margin must be in 1\.\.101"),
        ({"saturation": 0}, "saturation must be among 127, 255"),
        ({"saturation": 126}, "saturation must be among"),
        ({"saturation": 65535}, "saturation must be among"),
        ({"gate": [-1, 3]}, "gate must be at least 0"),
        ({"band": [3, -1]}, "band must be at least 0"),
        ({"base": np.array([[0.1], [np.nan]]).view(np.uint32)}, "base must hold"),
        ({"base": np.array([[0.1], [1.5]]).view(np.uint32)}, "base must hold"),
        ({"gate": [3]}, r"gate must be of shape \(2,\)"),
        ({"band": [3, 3, 3]}, r"band must be of shape \(2,\)"),
    ],
)
def test_limits_that_no_rule_means(changes, message):
    changes = {name: jnp.asarray(v, getattr(LIMITS, name).dtype) for name, v in changes.items()}
    with pytest.raises(ValueError, match=f"limits: {message}"):
        call(LIMITS._replace(**changes))


@pytest.mark.parametrize("name", bep.Limits._fields)
def test_limits_of_another_dtype(name):
    for wrong in (jnp.float32(1.5), 1.5, "x"):
        with pytest.raises(TypeError, match=f"{name} must be u?int32"):
            call(LIMITS._replace(**{name: wrong}))


def test_limits_that_are_meant():
    assert LIMITS.group_size.tolist() == [35, 33], "what follows for a width without a near divisor is none"
    call(LIMITS)
    with pytest.raises(ValueError, match="optimizer: saturation must be among"):
        bep.optimizer(LIMITS._replace(saturation=jnp.int32(99_999)), jax.random.key(0))


def test_programs_are_exported():
    """What goes in and comes out of `logits` and `step` can be held by `jax.export`."""
    model = bep.mlp(num_inputs=64, widths=(15,), num_classes=3)
    limits, params = bep.thresholds(model, bep.Rule()), model.init(jax.random.key(0))
    opt_state = bep.optimizer(limits, jax.random.key(1)).init(params.hidden)
    raw = opt_state._replace(key=jax.random.key_data(opt_state.key))

    def step(limits, params, raw, x, y):
        state = raw._replace(key=jax.random.wrap_key_data(raw.key))
        params, state, stats = bep.step(model, limits, params, state, x, y)
        return params, state._replace(key=jax.random.key_data(state.key)), stats

    content = export.export(jax.jit(step))(limits, params, raw, X, Y).serialize()
    found = export.deserialize(content).call(limits, params, raw, X, Y)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(step(limits, params, raw, X, Y)), strict=True):
        np.testing.assert_array_equal(a, b)
    logits = export.export(jax.jit(lambda params, x: bep.logits(model, params, x)))(params, X).serialize()
    np.testing.assert_array_equal(export.deserialize(logits).call(params, X), bep.logits(model, params, X))
