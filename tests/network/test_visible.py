"""Visible weights packed once: the scores of their params over all networks, several seeds in one call, export."""

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bep_jax as bep

OTHERS = ("mlp-one-bit", "mlp-long-products", "rnn-gated", "conv-series")  # a single bit, and products in parts


@pytest.mark.parametrize(**cases.every((*cases.FEW, *(c for c in cases.CASES if c.name in OTHERS))))
def test_scores_are_those_of_the_params(case):
    params, (batch,) = cases.draw_params(case), cases.draw_batches(case, 1)
    weights = bep.visible(case.model, params)
    assert all(a.dtype == jnp.uint32 for a in jax.tree.leaves(weights))
    want = np.asarray(bep.logits(case.model, params, batch.x))
    np.testing.assert_array_equal(bep.logits(case.model, weights, batch.x), want)
    if case in cases.FEW:  # along the neurons
        np.testing.assert_array_equal(bep.logits(case.model, weights, batch.x[:1]), want[:1])


@pytest.fixture(scope="module")
def several():
    """A recurrent model, params of three seeds, and a batch."""
    case = cases.ODD[1]
    params = jax.tree.map(lambda *a: jnp.stack(a), *(cases.draw_params(case, seed) for seed in range(3)))
    return case.model, params, cases.draw_batches(case, 1)[0].x


def test_several_seeds_in_one_call(several):
    model, params, x = several
    found = bep.logits(model, bep.visible(model, params), x)
    for seed in range(3):
        one = jax.tree.map(lambda a, seed=seed: a[seed], params)
        np.testing.assert_array_equal(found[seed], bep.logits(model, one, x))


def test_forward_keeps_the_same_residuals(several):
    model, params, x = several
    one = jax.tree.map(lambda a: a[0], params)
    cases.assert_trees_equal(bep.forward(model, bep.visible(model, one), x), bep.forward(model, one, x))


def test_exported_with_any_batch(several):
    model, params, x = several
    weights = bep.visible(model, params)
    (batch,) = jax.export.symbolic_shape("batch")
    shapes = jax.eval_shape(lambda: weights), jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
    exported = jax.export.export(jax.jit(lambda w, x: bep.logits(model, w, x)), platforms=("cpu", "cuda", "tpu"))
    again = jax.export.deserialize(exported(*shapes).serialize())  # knows Visible by its name
    for size in (1, 3):
        np.testing.assert_array_equal(again.call(weights, x[:size]), bep.logits(model, weights, x[:size]))


def test_params_cross_an_export():
    case = cases.FEW[0]
    params, (batch,) = cases.draw_params(case), cases.draw_batches(case, 1)
    exported = jax.export.export(jax.jit(lambda p, x: bep.logits(case.model, p, x)))(params, batch.x)
    again = jax.export.deserialize(exported.serialize())
    np.testing.assert_array_equal(again.call(params, batch.x), bep.logits(case.model, params, batch.x))


def test_what_does_not_fit_is_named(several):
    model, params, x = several
    one = jax.tree.map(lambda a: a[0], params)
    weights = bep.visible(model, one)
    with pytest.raises(TypeError, match="visible: wanted Params"):
        bep.visible(model, weights)
    with pytest.raises(ValueError, match="visible: params do not fit the model: wanted shapes"):
        bep.visible(cases.FEW[0].model, one)
    with pytest.raises(ValueError, match="logits: visible weights do not fit the model"):
        bep.logits(model, weights._replace(hidden=weights.hidden[:2]), x)
    with pytest.raises(TypeError, match="updates: wanted Params"):
        bep.updates(model, bep.Rule(), weights, x, jnp.zeros(x.shape[0], jnp.int32))
