"""Reinforcement and saturation: exact sums, exact thresholds, draws of good quality, and every optax chain we promise.

Axis letters: M matrices, N neurons, K inputs, S seeds.
"""

import functools
import math

import cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference

import bep_jax as bep

MLP, RNN = cases.ODD


def _zeros(hidden):
    return tuple(jnp.zeros(h.shape, jnp.int32) for h in hidden)


def _random_updates(hidden, largest, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(2 * rng.integers(-largest, largest + 1, h.shape), jnp.int32) for h in hidden)


def _expected(hidden, updates, state, saturation_bits):
    """Steps 5 to 7 of the reference, with the state's own thresholds."""
    _, draws = cases.reference_draws(state.key, [h.shape for h in hidden])
    return [
        reference.saturate(
            reference.reinforce(np.asarray(h, np.int64) + np.asarray(u, np.int64), d, t), saturation_bits
        )
        for h, u, d, t in zip(hidden, updates, draws, np.asarray(state.draw).tolist(), strict=True)
    ]


@pytest.mark.parametrize("bits", range(8, 17))
def test_update_equals_the_reference_and_never_wraps(bits):
    limit = 2 ** (bits - 1) - 1
    rng = np.random.default_rng(bits)
    extremes = np.array([-32767, -limit, -limit + 2, -1, 1, limit - 2, limit, 32767])
    hidden = tuple(jnp.asarray(rng.choice(extremes, shape), jnp.int16) for shape in ((33, 31), (7, 33)))
    opt = bep.optimizer(bep.Rule(bits=bits, reinforcement=1.0), jax.random.key(bits))
    state = opt.init(hidden)._replace(draw=jnp.full(2, 2**31, jnp.uint32))  # half of the weights
    update = jax.jit(opt.update)
    for largest in (0, 3, 2 * limit, 40_000, 10**9):
        changes = _random_updates(hidden, largest, seed=largest)
        deltas, _ = update(changes, state, hidden)
        new = optax.apply_updates(hidden, deltas)
        for h, d, want in zip(new, deltas, _expected(hidden, changes, state, bits), strict=True):
            assert (h.dtype, d.dtype) == (jnp.int16, jnp.int16)
            np.testing.assert_array_equal(h, want)
            assert np.abs(want).max() <= limit


def test_the_largest_updates_saturate_on_their_own_side():
    hidden = (jnp.array([[32767, 32767, -32767, -32767]], jnp.int16),)
    most = 2**31 - 1
    changes = (jnp.array([[most, -most, most, -most]], jnp.int32),)
    opt = bep.optimizer(bep.Rule(reinforcement=0.0), jax.random.key(0))
    deltas, _ = opt.update(changes, opt.init(hidden), hidden)
    assert optax.apply_updates(hidden, deltas)[0].tolist() == [[32767, -32767, 32767, -32767]]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_updates_of_every_integer_type(dtype):
    hidden = (jnp.array([[125, -125, 1, -1]], jnp.int16),)
    opt = bep.optimizer(bep.Rule(reinforcement=0.0, bits=8), jax.random.key(0))
    deltas, _ = opt.update((jnp.array([[4, -4, -2, 2]], dtype),), opt.init(hidden), hidden)
    assert deltas[0].dtype == jnp.int16
    assert deltas[0].tolist() == [[2, -2, -2, 2]]


@pytest.mark.parametrize("case", [MLP, RNN], ids=["mlp", "rnn"])
def test_a_rule_and_its_limits_start_the_same_state(case):
    hidden = cases.draw_params(case).hidden
    from_rule = bep.optimizer(case.rule, jax.random.key(1)).init(hidden)
    limits = bep.thresholds(case.model, case.rule)
    cases.assert_trees_equal(from_rule, bep.optimizer(limits, jax.random.key(1)).init(hidden))
    assert isinstance(from_rule, bep.OptimizerState)
    want = [reference.reinforcement_threshold(case.rule.reinforcement, k) for k in case.fan_ins]
    assert from_rule.draw.tolist() == want
    # All numbers live in the state: another transformation carries on from it.
    other = bep.optimizer(bep.Rule(reinforcement=0.0, bits=8), jax.random.key(2))
    same = bep.optimizer(case.rule, jax.random.key(3))
    changes = _random_updates(hidden, 5)
    cases.assert_trees_equal(other.update(changes, from_rule, hidden), same.update(changes, from_rule, hidden))


def test_jit_and_vmap():
    hidden = cases.draw_params(MLP).hidden
    limits = bep.thresholds(MLP.model, MLP.rule)
    changes = _random_updates(hidden, 9)
    states = [bep.optimizer(limits, jax.random.key(s)).init(hidden) for s in range(3)]
    update = bep.optimizer(limits, jax.random.key(0)).update
    rows = [update(changes, state, hidden) for state in states]
    cases.assert_trees_equal(jax.jit(update)(changes, states[0], hidden), rows[0])

    def stack(trees):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    together = jax.jit(jax.vmap(update, in_axes=(None, 0, None)))(changes, stack(states), hidden)
    cases.assert_trees_equal(together, stack(rows))
    keys = jnp.stack([s.key for s in states])
    initial = jax.vmap(lambda key: bep.optimizer(limits, key).init(hidden))(keys)
    cases.assert_trees_equal(initial, stack(states))


# Optax


@functools.cache
def _updates(case):
    return jax.jit(lambda params, batch: bep.updates(case.model, case.rule, params, batch.x, batch.y, batch.where))


def _doubled():
    return optax.stateless(lambda updates, params: jax.tree.map(lambda u: 2 * u, updates))


@pytest.mark.parametrize("case", [MLP, RNN], ids=["mlp", "rnn"])
def test_chains_of_integer_transformations(case):
    params = cases.draw_params(case)
    (batch,) = cases.draw_batches(case, 1)
    updates, _ = _updates(case)(params, batch._replace(signs=None))
    alone = bep.optimizer(case.rule, jax.random.key(4))
    chained = optax.chain(optax.identity(), _doubled(), bep.optimizer(case.rule, jax.random.key(4)))
    deltas, state = jax.jit(chained.update)(updates, chained.init(params.hidden), params.hidden)
    doubled = tuple(2 * u for u in updates)
    want, want_state = alone.update(doubled, alone.init(params.hidden), params.hidden)
    cases.assert_trees_equal(deltas, want)
    cases.assert_trees_equal(state[-1], want_state)


@pytest.mark.parametrize("case", [MLP, RNN], ids=["mlp", "rnn"])
def test_freezing_a_layer(case):
    params = cases.draw_params(case)
    free = bep.optimizer(case.rule, jax.random.key(4))
    for frozen in (0, len(params.hidden) - 1):
        mask = tuple(i == frozen for i in range(len(params.hidden)))
        opt = optax.chain(bep.optimizer(case.rule, jax.random.key(4)), optax.masked(optax.set_to_zero(), mask))
        hidden, state = params.hidden, opt.init(params.hidden)
        update = jax.jit(opt.update)
        for batch in cases.draw_batches(case, 3):
            now = params._replace(hidden=hidden)
            updates, _ = _updates(case)(now, batch._replace(signs=None))
            unfrozen, _ = free.update(updates, state[0], hidden)
            deltas, state = update(updates, state, hidden)
            for i, (delta, want) in enumerate(zip(deltas, unfrozen, strict=True)):
                assert delta.dtype == jnp.int16
                np.testing.assert_array_equal(delta, 0 if i == frozen else want)
            hidden = optax.apply_updates(hidden, deltas)
        for i, (before, after) in enumerate(zip(params.hidden, hidden, strict=True)):
            assert after.dtype == jnp.int16
            assert np.array_equal(before, after) == (i == frozen)


def test_apply_updates_is_exact_where_the_delta_does_not_fit():
    hidden = (jnp.array([[-32767, 32767]], jnp.int16),)
    opt = bep.optimizer(bep.Rule(reinforcement=0.0), jax.random.key(0))
    deltas, _ = opt.update((jnp.array([[70_000, -70_000]], jnp.int32),), opt.init(hidden), hidden)
    assert jax.jit(optax.apply_updates)(hidden, deltas)[0].tolist() == [[32767, -32767]]


# Rescaling


def test_rescale_inside_chains_and_masks():
    hidden = cases.draw_params(MLP).hidden
    opt = optax.chain(
        optax.identity(),
        optax.chain(_doubled(), bep.optimizer(MLP.rule, jax.random.key(0))),
        optax.masked(optax.set_to_zero(), (True, False)),
    )
    state = opt.init(hidden)
    scaled = bep.rescale(state, 0.25)
    assert jax.tree.structure(scaled) == jax.tree.structure(state)
    want = [reference.reinforcement_threshold(MLP.rule.reinforcement, k, 0.25) for k in MLP.fan_ins]
    assert scaled[1][1].draw.tolist() == want
    cases.assert_trees_equal(scaled[1][1]._replace(draw=state[1][1].draw), state[1][1])
    cases.assert_trees_equal(bep.rescale(scaled, 1.0), state)  # from the base, not from the last threshold
    opt.update(_random_updates(hidden, 3), scaled, hidden)


def test_rescale_a_state_with_a_seed_axis():
    hidden = cases.draw_params(MLP).hidden
    limits = bep.thresholds(MLP.model, MLP.rule)
    keys = jax.random.split(jax.random.key(0), 3)

    def init(key):
        return optax.chain(optax.identity(), bep.optimizer(limits, key)).init(hidden)

    state = jax.vmap(init)(keys)
    errors = np.array([0.0, 0.3, 1.0])
    scaled = bep.rescale(state, errors)
    for s, error in enumerate(errors):
        want = [reference.reinforcement_threshold(MLP.rule.reinforcement, k, error) for k in MLP.fan_ins]
        assert scaled[1].draw[s].tolist() == want
        cases.assert_trees_equal(jax.tree.map(lambda a, s=s: a[s], scaled), bep.rescale(init(keys[s]), float(error)))
    everyone = bep.rescale(state, 0.3)
    assert everyone[1].draw.tolist() == [scaled[1].draw[1].tolist()] * 3
    cases.assert_trees_equal(bep.rescale(state, jnp.array([0.0, 0.25, 1.0])), bep.rescale(state, [0.0, 0.25, 1.0]))


@pytest.mark.parametrize("error", [-0.1, 1.1, math.nan, [0.5, 2.0]])
def test_rescale_wants_an_error_rate(error):
    state = bep.optimizer(MLP.rule, jax.random.key(0)).init(cases.draw_params(MLP).hidden)
    with pytest.raises(ValueError, match=r"^rescale: error_rate must be in \[0, 1\], got"):
        bep.rescale(state, error)


def test_rescale_wants_its_state_on_the_host():
    state = bep.optimizer(MLP.rule, jax.random.key(0)).init(cases.draw_params(MLP).hidden)
    with pytest.raises(
        ValueError, match=r"^rescale: the state holds no OptimizerState; is bep\.optimizer in the chain"
    ):
        bep.rescale((optax.EmptyState(),), 0.5)
    with pytest.raises(TypeError, match=r"^rescale: runs on the host"):
        jax.jit(bep.rescale)(state, jnp.float32(0.5))
    with pytest.raises(TypeError, match=r"^rescale: runs on the host"):
        jax.vmap(bep.rescale, in_axes=(None, 0))(state, jnp.array([0.5, 0.25]))


# Errors


def test_optimizer_wants_a_rule():
    with pytest.raises(TypeError, match=r"^optimizer: wanted a Rule or Limits, got float"):
        bep.optimizer(0.5, jax.random.key(0))


@pytest.mark.parametrize(
    ("hidden", "got"),
    [
        ((jnp.ones((2, 3), jnp.int32),), "int32"),
        ((jnp.ones((2, 3), jnp.float32),), "float32"),
        ((jnp.ones(3, jnp.int16),), r"\(3,\)"),
        ((), r"\[\]"),
    ],
)
def test_optimizer_wants_int16_matrices(hidden, got):
    with pytest.raises(TypeError, match=rf"^optimizer: init wants params\.hidden, int16 matrices, got .*{got}"):
        bep.optimizer(MLP.rule, jax.random.key(0)).init(hidden)


def test_update_wants_integers_and_the_hidden_weights():
    hidden = cases.draw_params(MLP).hidden
    opt = bep.optimizer(MLP.rule, jax.random.key(0))
    state = opt.init(hidden)
    with pytest.raises(ValueError, match=r"^optimizer: update needs the hidden weights"):
        opt.update(_zeros(hidden), state)
    with pytest.raises(TypeError, match=r"^optimizer: updates must be integers, got .*float32"):
        opt.update(tuple(u.astype(jnp.float32) for u in _zeros(hidden)), state, hidden)
    with pytest.raises(TypeError, match=r"^optimizer: update wants params.hidden, int16 matrices"):
        opt.update(_zeros(hidden), state, _zeros(hidden))


def test_limits_are_for_one_model():
    limits = bep.thresholds(RNN.model, RNN.rule)
    with pytest.raises(ValueError, match=r"^optimizer: limits are for 3 matrices, got 2"):
        bep.optimizer(limits, jax.random.key(0)).init(cases.draw_params(MLP).hidden)


# Quality of the draws: statistics, each within five standard deviations of what independent draws give

SHAPE = (60, 66)
STEPS = 400
QUARTER = 2**30


@functools.cache
def _reinforced(threshold=QUARTER, first_key=0, shapes=(SHAPE,), steps=STEPS):
    """Which weights each of many consecutive steps reinforces: per matrix bool [steps, N, K]."""
    hidden = tuple(jnp.ones(shape, jnp.int16) for shape in shapes)
    opt = bep.optimizer(bep.Rule(), jax.random.key(first_key))
    state = opt.init(hidden)._replace(draw=jnp.full(len(shapes), threshold, jnp.uint32))

    def body(state, _):
        deltas, state = opt.update(_zeros(hidden), state, hidden)
        return state, tuple(d != 0 for d in deltas)

    drawn = jax.jit(lambda state: jax.lax.scan(body, state, None, length=steps))(state)[1]
    return tuple(np.asarray(d) for d in drawn)


def _assert_fraction(hits, probability, sigmas=5.0):
    """Each entry of hits [..., trials] bool, averaged over the last axis, is near its probability."""
    hits = np.asarray(hits)
    trials = hits.shape[-1]
    deviation = math.sqrt(probability * (1 - probability) / trials)
    worst = np.abs(hits.mean(axis=-1) - probability).max()
    assert worst <= sigmas * deviation, (worst / deviation, trials)


def test_every_weight_is_drawn_as_often():
    (hits,) = _reinforced()
    _assert_fraction(hits.reshape(STEPS, -1).T, 0.25, sigmas=5.5)  # the worst of 3960 weights
    _assert_fraction(hits.ravel(), 0.25)


def test_every_step_row_and_column_draws_as_many():
    (hits,) = _reinforced()
    _assert_fraction(hits.reshape(STEPS, -1), 0.25)
    _assert_fraction(np.moveaxis(hits, 1, 0).reshape(SHAPE[0], -1), 0.25)
    _assert_fraction(np.moveaxis(hits, 2, 0).reshape(SHAPE[1], -1), 0.25)


def test_one_step_holds_as_many_from_any_key():
    keys = jax.random.split(jax.random.key(8), 2000)
    hidden = (jnp.ones((3, 5), jnp.int16),)
    opt = bep.optimizer(bep.Rule(), keys[0])
    start = opt.init(hidden)._replace(draw=jnp.full(1, QUARTER, jnp.uint32))

    def one(key):
        return opt.update(_zeros(hidden), start._replace(key=key), hidden)[0][0] != 0

    hits = np.asarray(jax.jit(jax.vmap(one))(keys)).reshape(2000, -1)
    _assert_fraction(hits.T, 0.25)
    counts = hits.sum(axis=1)
    # The count of a step is binomial: its variance is that of independent weights.
    variance = 15 * 0.25 * 0.75
    assert abs(counts.var() - variance) < 5 * variance * math.sqrt(2 / 2000)


@pytest.mark.parametrize(
    "offset", [(0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 0, 32), (0, 7, 5), (1, 0, 0), (1, 0, 1), (2, 0, 0)]
)
def test_pairs_are_independent(offset):
    # (steps, rows, columns) apart: neighbours in a row, in a column, and the same weight in consecutive steps.
    (hits,) = _reinforced()
    t, i, j = offset
    both = hits[: hits.shape[0] - t, : hits.shape[1] - i, : hits.shape[2] - j] & hits[t:, i:, j:]
    _assert_fraction(both.ravel(), 1 / 16)


@pytest.mark.parametrize("threshold", [QUARTER, 2**28, 2**31])
def test_corners_of_rectangles_are_independent(threshold):
    # A construction from row and column words must not show in four weights on the corners of a rectangle.
    (hits,) = _reinforced(threshold)
    p = threshold / 2**32
    for i, j in ((1, 1), (5, 3), (31, 17)):
        a, b, c, d = hits[:, :-i, :-j], hits[:, i:, :-j], hits[:, :-i, j:], hits[:, i:, j:]
        # Disjoint rectangles only, so that trials are independent.
        rows = (np.arange(a.shape[1]) // i) % 2 == 0
        columns = (np.arange(a.shape[2]) // j) % 2 == 0
        a, b, c, d = (x[:, rows][:, :, columns] for x in (a, b, c, d))
        _assert_fraction((a ^ b ^ c ^ d).ravel(), 0.5 * (1 - (1 - 2 * p) ** 4))
        _assert_fraction((a & b & c & d).ravel(), p**4)
        _assert_fraction((a & b & c).ravel(), p**3)


def test_matrices_are_independent():
    one, two = _reinforced(shapes=(SHAPE, SHAPE))
    _assert_fraction((one & two).ravel(), 1 / 16)
    assert not np.array_equal(one, two)


def test_keys_are_independent():
    (one,), (two,) = _reinforced(), _reinforced(first_key=1)
    _assert_fraction((one & two).ravel(), 1 / 16)


@pytest.mark.parametrize("threshold", [2**22, 2**26, 2**31, 3 * 2**30, 2**32 - 2**26])
def test_the_probability_is_the_threshold(threshold):
    (hits,) = _reinforced(threshold)
    _assert_fraction(hits.ravel(), threshold / 2**32)


def test_a_larger_threshold_reinforces_a_superset():
    few, many = (_reinforced(threshold)[0] for threshold in (2**28, 2**31))
    assert np.all(many[few]) and few.sum() < many.sum()


def test_threshold_zero_never_reinforces_and_the_largest_nearly_always():
    (never,), (always,) = _reinforced(0), _reinforced(2**32 - 1)
    assert not never.any()
    assert np.sum(~always) <= 2  # 1.6 million draws, one in 2^32 each
