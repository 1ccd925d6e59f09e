"""What must hold of `updates` whatever the network, and what it refuses.

Axis letters: B batch.
"""

import functools

import cases
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bep_jax as bep

ODD = cases.ODD[0]


@functools.cache
def _updates(case):
    return jax.jit(functools.partial(bep.updates, case.model, case.rule))


@functools.cache
def _updates_of_all(case):
    return jax.jit(functools.partial(bep.updates, case.model, case.rule))


def _run(case, params, batch, *, x=None, y=None, where=None):
    x = batch.x if x is None else x
    y = batch.y if y is None else y
    where = jnp.ones(case.batch, bool) if where is None else where
    return _updates(case)(params, x, jnp.asarray(y, jnp.int32), where)


def _add(left, right):
    return jax.tree.map(lambda a, b: a + b, left, right)


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_the_order_of_the_samples_does_not_matter(case):
    params = cases.draw_params(case)
    (batch,) = cases.draw_batches(case, 1, seed=11)
    order = np.random.default_rng(0).permutation(case.batch)
    permuted = _run(case, params, batch, x=batch.x[order], y=batch.y[order], where=batch.where[order])
    cases.assert_trees_equal(permuted, _run(case, params, batch, where=batch.where))


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_the_parts_of_a_batch_add_up_to_the_whole(case):
    params = cases.draw_params(case)
    (batch,) = cases.draw_batches(case, 1, seed=12)
    whole = _run(case, params, batch)
    cases.assert_trees_equal(
        _add(_run(case, params, batch, where=batch.where), _run(case, params, batch, where=~batch.where)), whole
    )
    first, second = (
        _updates_of_all(case)(params, batch.x[part], batch.y[part]) for part in (slice(0, 2), slice(2, None))
    )
    cases.assert_trees_equal(_add(first, second), whole)


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_a_mask_drops_its_samples(case):
    params = cases.draw_params(case)
    (batch,) = cases.draw_batches(case, 1, seed=13)
    where = jnp.arange(case.batch) < 2
    masked = _run(case, params, batch, where=where)
    cases.assert_trees_equal(masked, _updates_of_all(case)(params, batch.x[:2], batch.y[:2]))
    # What a masked sample holds is irrelevant: padding may be anything.
    other = jnp.where(where[:, None, None] if case.time else where[:, None], batch.x, jnp.zeros_like(batch.x))
    cases.assert_trees_equal(_run(case, params, batch, x=other, y=jnp.where(where, batch.y, -7), where=where), masked)
    nothing, stats = _run(case, params, batch, where=jnp.zeros(case.batch, bool))
    assert not any(np.any(u) for u in nothing)
    assert (int(stats.active), int(stats.correct), int(stats.winners.sum())) == (0, 0, 0)


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_labels_out_of_range_are_inactive_under_jit(case):
    params = cases.draw_params(case)
    (batch,) = cases.draw_batches(case, 1, seed=14)
    classes = case.model.num_classes
    for strange in (-1, classes, 2**31 - 1, -(2**31)):
        y = np.asarray(batch.y).copy()
        y[::2] = strange
        known = jnp.asarray((y >= 0) & (y < classes))
        cases.assert_trees_equal(_run(case, params, batch, y=y), _run(case, params, batch, where=known))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "uint32"])
def test_every_integer_type_of_labels(dtype):
    params = cases.draw_params(ODD)
    (batch,) = cases.draw_batches(ODD, 1, seed=15)
    got = bep.updates(ODD.model, ODD.rule, params, batch.x, batch.y.astype(dtype))
    cases.assert_trees_equal(got, _run(ODD, params, batch))
    got = bep.updates(ODD.model, ODD.rule, params, np.asarray(batch.x), np.asarray(batch.y, dtype))
    cases.assert_trees_equal(got, _run(ODD, params, batch))


def test_small_label_types_with_more_classes_than_they_hold():
    model = bep.mlp(num_inputs=5, widths=(3,), num_classes=300)
    params = bep.Params((jnp.ones((3, 5), jnp.int16),), bep.bits.pack(np.ones((300, 3), bool)))
    x = bep.bits.pack(np.ones((2, 5), bool))
    narrow = bep.updates(model, bep.Rule(group_size=1), params, x, jnp.array([0, 255], jnp.uint8))
    cases.assert_trees_equal(narrow, bep.updates(model, bep.Rule(group_size=1), params, x, jnp.array([0, 255])))


def test_margins_by_class_are_those_of_its_samples():
    case = ODD
    params, (batch,) = cases.draw_params(case), cases.draw_batches(case, 1, seed=3)
    limits, margins = bep.thresholds(case.model, case.rule), np.arange(1, case.model.num_classes + 1, dtype=np.int32)
    updates = jax.jit(lambda margin, where: bep.updates(case.model, limits._replace(margin=margin), params, *xy, where))
    xy = batch.x, jnp.asarray(batch.y, jnp.int32)
    alone = [updates(jnp.int32(margin), batch.where & (xy[1] == label)) for label, margin in enumerate(margins)]
    cases.assert_trees_equal(updates(jnp.asarray(margins), batch.where), functools.reduce(_add, alone))


def test_the_margin_is_compared_with_the_best_rival():
    # One neuron that is +1 for every input; three classes that want +1, +1 and -1.
    model = bep.mlp(num_inputs=1, widths=(1,), num_classes=3)
    params = bep.Params((jnp.ones((1, 1), jnp.int16),), bep.bits.pack(np.array([[1], [1], [-1]])))
    x, y = bep.bits.pack(np.ones((3, 1), bool)), jnp.array([0, 1, 2])
    rule = bep.Rule(margin=1.0, group_size=1)
    scores, residuals = bep.forward(model, params, x)
    assert scores.tolist() == [[1, 1, -1]] * 3
    signals = bep.backward(model, rule, params, residuals, scores, y)
    assert signals.active.tolist() == [True, True, True]  # margins 0, 0 and -2, below 1
    updates, stats = bep.updates(model, rule, params, x, y)
    assert updates[0].tolist() == [[-2]]  # the third sample alone is wrong
    assert (int(stats.active), int(stats.correct), stats.winners.tolist()) == (3, 1, [1])


# Errors: each names the function, what it wanted and what it got


def _good(function):
    params = cases.draw_params(ODD)
    (batch,) = cases.draw_batches(ODD, 1)
    arguments = {"model": ODD.model, "params": params, "x": batch.x}
    if function in ("updates", "step"):
        arguments |= {"rule": ODD.rule, "y": batch.y, "where": None}
    if function == "step":
        arguments["opt_state"] = bep.optimizer(ODD.rule, jax.random.key(0)).init(params.hidden)
    return arguments


FUNCTIONS = ("logits", "forward", "updates", "step")
LEARNING = ("updates", "step")


def _refuses(function, error, match, **change):
    arguments = _good(function) | change
    with pytest.raises(error, match=f"^{function}: {match}"):
        getattr(bep, function)(**arguments)
    # Shapes and dtypes are refused before tracing ends; nothing waits for values.
    return arguments


@pytest.mark.parametrize("function", FUNCTIONS)
def test_wants_packed_inputs(function):
    wanted = r"x must be packed uint32 words, from bits\.pack or an encoder, got "
    for dtype in ("float32", "int32", "bool"):
        _refuses(function, TypeError, wanted + dtype, x=jnp.zeros((5, 1), dtype))
    _refuses(function, TypeError, wanted + "list", x=[[0]])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("shape", [(1,), (5, 2), (5, 1, 1), (), (5, 31)])
def test_wants_inputs_of_the_models_width(function, shape):
    wanted = r"x must be \[B, W\] with W = 1 words of 31 bits, got "
    _refuses(function, ValueError, wanted, x=jnp.zeros(shape, jnp.uint32))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_wants_a_batch(function):
    _refuses(function, ValueError, r"x is empty, got shape \(0, 1\)", x=jnp.zeros((0, 1), jnp.uint32))


@pytest.mark.parametrize("shape", [(5, 2), (5, 4, 1), (5, 4, 3), (4, 5, 4, 2)])
def test_recurrent_inputs_have_a_time_axis(shape):
    case = cases.ODD[1]
    with pytest.raises(ValueError, match=r"^logits: x must be \[B, T, W\] with W = 2 words of 33 bits, got"):
        bep.logits(case.model, cases.draw_params(case), jnp.zeros(shape, jnp.uint32))
    with pytest.raises(ValueError, match=r"^logits: x is empty, got shape \(5, 0, 2\)"):
        bep.logits(case.model, cases.draw_params(case), jnp.zeros((5, 0, 2), jnp.uint32))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_wants_clear_padding(function):
    dirty = jnp.full((5, 1), 2**32 - 1, jnp.uint32)
    _refuses(function, ValueError, "the last word has bits set past bit 31; padding bits must be 0", x=dirty)
    _refuses(function, ValueError, "the last word has bits set past bit 31", x=np.asarray(dirty))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_wants_params_of_the_model(function):
    params = cases.draw_params(ODD)
    first, second = params.hidden
    _refuses(function, TypeError, "wanted a Model, .* got str", model="mlp")
    one = params._replace(hidden=(first,))
    _refuses(function, ValueError, "the model has 2 matrices, params 1", params=one)
    swapped = params._replace(hidden=(second, first))
    wanted = r"params do not fit the model: wanted shape \(33, 31\), got \(63, 33\)"
    _refuses(function, ValueError, wanted, params=swapped)
    narrow = params._replace(classifier=params.classifier[:, :1])
    _refuses(function, ValueError, r".* wanted shape \(10, 2\), got \(10, 1\)", params=narrow)
    wide = params._replace(hidden=(first.astype(jnp.int32), second))
    _refuses(function, TypeError, r"params of shape \(33, 31\) must be int16, got int32", params=wide)
    signed = params._replace(classifier=params.classifier.astype(jnp.int32))
    _refuses(function, TypeError, r"params of shape \(10, 2\) must be uint32, got int32", params=signed)


@pytest.mark.parametrize("function", LEARNING)
def test_wants_integer_labels(function):
    wanted = "y must be an array of integer labels, got "
    _refuses(function, TypeError, wanted + "float32", y=jnp.zeros(5, jnp.float32))
    _refuses(function, TypeError, wanted + "bool", y=jnp.zeros(5, bool))
    _refuses(function, TypeError, wanted + "list", y=[0, 1, 2, 3, 4])
    for shape in ((4,), (5, 1), ()):
        _refuses(function, ValueError, r"y must be \[B\] = \(5,\) like x, got ", y=jnp.zeros(shape, jnp.int32))


@pytest.mark.parametrize("function", LEARNING)
@pytest.mark.parametrize("make", [jnp.array, np.array])
def test_wants_labels_in_range(function, make):
    _refuses(function, ValueError, r"labels must be in 0\.\.9, got 0\.\.10", y=make([0, 1, 2, 3, 10]))
    _refuses(function, ValueError, r"labels must be in 0\.\.9, got -1\.\.3", y=make([0, 1, 2, 3, -1]))


def test_constants_of_a_traced_function_are_checked_too():
    arguments = _good("updates")
    wrong = jnp.array([0, 0, 0, 0, 10])

    def updates(params, y):
        return bep.updates(ODD.model, ODD.rule, params, arguments["x"], y)

    traced = jax.jit(lambda params: updates(params, arguments["y"]))(arguments["params"])
    chex.assert_trees_all_equal(traced, bep.updates(**arguments))
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.9, got 0\.\.10"):
        jax.jit(lambda params: updates(params, wrong))(arguments["params"])


@pytest.mark.parametrize("function", LEARNING)
def test_wants_a_bool_mask(function):
    wanted = r"where must be bool \[B\] = \(5,\), got "
    _refuses(function, ValueError, wanted + r"int32 \(5,\)", where=jnp.ones(5, jnp.int32))
    _refuses(function, ValueError, wanted + r"bool \(4,\)", where=jnp.ones(4, bool))
    _refuses(function, ValueError, wanted + r"bool \(\)", where=jnp.array(True))


def test_wants_group_sizes_that_divide():
    arguments = _good("updates") | {"rule": bep.Rule(group_size=7)}
    with pytest.raises(ValueError, match=r"group_size=7 must divide every width, got \(33, 63\)"):
        bep.updates(**arguments)


def test_backward_checks_labels_too():
    params = cases.draw_params(ODD)
    (batch,) = cases.draw_batches(ODD, 1)
    scores, residuals = bep.forward(ODD.model, params, batch.x)
    with pytest.raises(ValueError, match=r"^backward: labels must be in 0\.\.9, got 0\.\.10"):
        bep.backward(ODD.model, ODD.rule, params, residuals, scores, jnp.array([0, 0, 0, 0, 10]))
    with pytest.raises(ValueError, match=r"^backward: y must be \[B\] = \(5,\) like x, got \(2,\)"):
        bep.backward(ODD.model, ODD.rule, params, residuals, scores, batch.y[:2])


def test_errors_come_before_tracing():
    arguments = _good("updates")
    with pytest.raises(TypeError, match=r"^updates: y must be an array of integer labels, got float32"):
        jax.eval_shape(
            lambda x, y: bep.updates(ODD.model, ODD.rule, arguments["params"], x, y),
            arguments["x"],
            jnp.zeros(5, jnp.float32),
        )
