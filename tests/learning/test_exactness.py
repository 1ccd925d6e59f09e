"""Every network, of any kind, against the dense reference, bit for bit; and under every transformation."""

import functools

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax import export

import bep_jax as bep


@functools.cache
def _updates(model):
    return jax.jit(functools.partial(bep.updates, model))


# Compiled as users get them, which takes three times as long: each kind, and products that go another way.
AS_USERS = ("mlp-paper", "mlp-batch-in-parts", "rnn-horizon", "rnn-long-products", "conv-two")


@functools.cache
def _step(model):
    as_users = any(case.model == model for case in cases.CASES if case.name in AS_USERS)
    return jax.jit(functools.partial(bep.step, model), compiler_options=cases.OPTIMISED if as_users else None)


def _with_group_sizes(limits, sizes):
    return limits._replace(group_size=jnp.asarray(sizes, jnp.int32))


def _start(case, seed=0):
    """Limits, params and optimizer state."""
    params = cases.draw_params(case, seed)
    limits = bep.thresholds(case.model, case.rule)
    return limits, params, bep.optimizer(limits, jax.random.key(seed + 100)).init(params.hidden)


@pytest.mark.parametrize(**cases.every())
def test_several_steps_equal_the_reference(case):
    # Group sizes change along the way, as the schedule changes them: traced, in one program.
    limits, params, state = _start(case)
    schedule = [case.group_sizes, *case.other_group_sizes, case.group_sizes]
    hidden, classifier = cases.dense_hidden(params), cases.dense_classifier(case, params)
    key = state.key
    for sizes, batch in zip(schedule, cases.draw_batches(case, len(schedule)), strict=True):
        limits = _with_group_sizes(limits, sizes)
        wanted = cases.reference_updates(case, hidden, classifier, batch, sizes)
        hidden, key = cases.reference_learn(case, hidden, wanted["updates"], key)
        params, state, stats = _step(case.model)(limits, params, state, batch.x, batch.y, batch.where)
        cases.assert_stats(stats, wanted["counts"])
        for h, want in zip(params.hidden, hidden, strict=True):
            assert h.dtype == jnp.int16
            np.testing.assert_array_equal(h, want)
        np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(key))


def test_the_cases_exercise_every_branch():
    seen = {"inactive": 0, "open": 0, "closed": 0, "winners": 0, "tied layers": 0}
    for case in cases.CASES:
        params = cases.draw_params(case)
        (batch,) = cases.draw_batches(case, 1)
        hidden, classifier = cases.dense_hidden(params), cases.dense_classifier(case, params)
        wanted = cases.reference_updates(case, hidden, classifier, batch, masked=False)
        seen["inactive"] += case.batch - wanted["counts"]["active"]
        seen["winners"] += sum(wanted["counts"]["winners"])
        seen["tied layers"] += case.time is not None
        for gate in wanted["gates"]:
            if gate is not None:
                seen["open"] += int(gate.sum())
                seen["closed"] += int((1 - gate).sum())
    assert all(count > 0 for count in seen.values()), seen


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_updates_equal_the_reference_jitted_and_op_by_op(case):
    limits, params, _ = _start(case)
    (batch,) = cases.draw_batches(case, 1, seed=1)
    want = cases.reference_updates(
        case, cases.dense_hidden(params), cases.dense_classifier(case, params), batch, masked=False
    )
    updates, stats = bep.updates(case.model, case.rule, params, batch.x, batch.y)  # op by op, no mask
    cases.assert_stats(stats, want["counts"])
    for update, wanted in zip(updates, want["updates"], strict=True):
        assert update.dtype == jnp.int32
        np.testing.assert_array_equal(update, wanted)
    everyone = jnp.ones(case.batch, bool)
    cases.assert_trees_equal((updates, stats), _updates(case.model)(limits, params, batch.x, batch.y, everyone))


@pytest.mark.parametrize(
    **cases.every((*cases.FEW, *(c for c in cases.CASES if c.name in ("rnn-gated", "conv-winners", "conv-tied"))))
)
def test_residuals_and_signals_equal_the_reference(case):
    # One network of each kind: that of every network whole steps are right is what the first test is for.
    _, params, _ = _start(case)
    (batch,) = cases.draw_batches(case, 1, seed=2)
    wanted = cases.reference_updates(case, cases.dense_hidden(params), cases.dense_classifier(case, params), batch)
    kept = slice(None)
    if case.time is not None:
        horizon = case.model.layers[0].horizon
        kept = slice(max(0, case.time - (horizon or case.time)), None)

    @jax.jit
    def run(params, x, y, where):
        scores, residuals = bep.forward(case.model, params, x)
        signals = bep.backward(case.model, case.rule, params, residuals, scores, y, where)
        return scores, residuals, signals, bep.logits(case.model, params, x)

    scores, residuals, signals, again = run(params, batch.x, batch.y, batch.where)
    assert scores.dtype == jnp.int32
    np.testing.assert_array_equal(scores, wanted["logits"])
    np.testing.assert_array_equal(again, wanted["logits"])
    for layer, (kept_layer, z) in enumerate(zip(residuals, wanted["z"], strict=True)):
        got = jnp.moveaxis(kept_layer.preactivations, -1, 0)
        if case.time is not None and z.ndim == 3:
            z = z[:, kept]
        elif z.ndim == 3:  # [B, N, M] -> [B, M, N]
            got = got.mT
        np.testing.assert_array_equal(got, z, err_msg=f"layer {layer}")

    active = wanted["active"]
    np.testing.assert_array_equal(signals.active, active)
    for layer, (got, width) in enumerate(zip(signals.layers, case.model.widths, strict=True)):
        tied = wanted["desired"][layer].ndim == 3 and case.time is not None
        desired = np.asarray(bep.bits.unpack(got.desired, num_bits=width))
        want = wanted["desired"][layer]
        np.testing.assert_array_equal(desired[active], (want[:, kept] if tied else want)[active])
        winners = np.asarray(bep.bits.unpack(got.winners, num_bits=width))
        np.testing.assert_array_equal(winners == 1, wanted["winners"][layer] == 1)
        if wanted["gates"][layer] is not None:
            gates = np.asarray(bep.bits.unpack(got.gates, num_bits=width)) == 1
            want = wanted["gates"][layer] == 1
            if tied:  # nothing goes back past the first kept step: its gate is never used
                gates, want = gates[:, 1:], want[:, kept][:, 1:]
            np.testing.assert_array_equal(gates, want)


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_jit_equals_op_by_op(case):
    limits, params, state = _start(case)
    (batch,) = cases.draw_batches(case, 1)
    arguments = (limits, params, state, batch.x, batch.y, batch.where)
    cases.assert_trees_equal(_step(case.model)(*arguments), bep.step(case.model, *arguments))


def _stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_vmapped_seeds_equal_a_loop_over_them(case):
    starts = [_start(case, seed) for seed in range(3)]
    limits = starts[0][0]
    batches = cases.draw_batches(case, 3, seed=5)
    rows = [
        _step(case.model)(limits, params, state, b.x, b.y, b.where)
        for (_, params, state), b in zip(starts, batches, strict=True)
    ]
    params, state = _stack([s[1] for s in starts]), _stack([s[2] for s in starts])
    x, y, where = (jnp.stack([getattr(b, name) for b in batches]) for name in ("x", "y", "where"))
    together = jax.jit(jax.vmap(functools.partial(bep.step, case.model), in_axes=(None, 0, 0, 0, 0, 0)))
    cases.assert_trees_equal(together(limits, params, state, x, y, where), _stack(rows))


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_vmapped_limits_equal_a_loop_over_them(case):
    params = cases.draw_params(case)
    (batch,) = cases.draw_batches(case, 1, seed=6)
    sweep = [
        _with_group_sizes(bep.thresholds(case.model, bep.Rule(margin=r, gate=nu, band=band, group_size=1)), sizes)
        for r, nu, band, sizes in zip(
            (0.3, 1.0, 0.6),
            (0.0, 0.5, 0.1),
            (0.0, 9.0, 0.8),
            (case.group_sizes, *case.other_group_sizes[:2]),
            strict=True,
        )
    ]
    rows = [_updates(case.model)(one, params, batch.x, batch.y, batch.where) for one in sweep]
    together = jax.jit(jax.vmap(functools.partial(bep.updates, case.model), in_axes=(0, None, None, None, None)))
    together = together(_stack(sweep), params, batch.x, batch.y, batch.where)
    cases.assert_trees_equal(together, _stack(rows))
    assert len({np.asarray(row[0][0]).tobytes() for row in rows}) > 1  # the sweep changes something
    for one, (updates, _) in zip(sweep, rows, strict=True):
        integers = {"margin": int(one.margin), "gate": [None, *(int(g) for g in one.gate[1:])]}
        integers["band"] = [int(b) for b in one.band]
        if case.time is not None:
            integers["gate"] = [None, int(one.gate[0]), int(one.gate[1])]
        wanted = cases.reference_updates(
            case,
            cases.dense_hidden(params),
            cases.dense_classifier(case, params),
            batch,
            tuple(int(g) for g in one.group_size),
            limits=integers,
        )
        for update, want in zip(updates, wanted["updates"], strict=True):
            np.testing.assert_array_equal(update, want)


@pytest.mark.parametrize(
    **cases.every(tuple(c for c in cases.CASES if c.name in ("mlp-odd", "rnn-long-products", "conv-two")))
)
def test_wide_types_change_nothing(case):
    limits, params, state = _start(case)
    (batch,) = cases.draw_batches(case, 1)
    narrow = _step(case.model)(limits, params, state, batch.x, batch.y, batch.where)
    with jax.enable_x64(True):
        fresh = _start(case)
        cases.assert_trees_equal(fresh, (limits, params, state))
        y = jnp.asarray(np.asarray(batch.y, np.int64))
        assert y.dtype == jnp.int64
        step = jax.jit(functools.partial(bep.step, case.model))
        wide = step(*fresh, bep.bits.pack(batch.signs), y, batch.where)
    cases.assert_trees_equal(wide, narrow)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize(**cases.every(cases.FEW[:2]))
def test_the_step_lowers_to_int8_products_elsewhere_with_the_same_bits(case, platform):
    limits, params, state = _start(case)
    (batch,) = cases.draw_batches(case, 1)
    arguments = (limits, params, state, batch.x, batch.y, batch.where)
    flat, structure = jax.tree.flatten(arguments)
    flat = [jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a for a in flat]

    def flat_step(*leaves):
        limits, params, state, *rest = jax.tree.unflatten(structure, leaves)
        state = state._replace(key=jax.random.wrap_key_data(state.key))
        params, state, stats = bep.step(case.model, limits, params, state, *rest)
        return params.hidden, jax.random.key_data(state.key), *stats

    def lower(platform):
        checks = [export.DisabledSafetyCheck.platform()]
        return export.export(jax.jit(flat_step), platforms=(platform,), disabled_checks=checks)(*flat)

    exported = lower(platform)
    assert "stablehlo.dot_general" in exported.mlir_module()
    assert "stablehlo.custom_call" not in exported.mlir_module()
    # The other platform's program is plain integer arithmetic, so it also runs here.
    hidden, key_data, *stats = jax.jit(exported.call)(*flat)
    new_params, new_state, new_stats = _step(case.model)(*arguments)
    cases.assert_trees_equal(hidden, new_params.hidden)
    cases.assert_trees_equal((key_data, *stats), (jax.random.key_data(new_state.key), *new_stats))
    here = lower("cpu").mlir_module()
    assert "stablehlo.dot_general" not in here and "stablehlo.popcnt" in here


@pytest.mark.parametrize(**cases.every())
def test_no_reinforcement_without_error(case):
    limits, params, state = _start(case)
    (batch,) = cases.draw_batches(case, 1, seed=9)
    quiet, _, _ = _step(case.model)(limits, params, bep.rescale(state, 0.0), batch.x, batch.y, batch.where)
    loud, _, _ = _step(case.model)(limits, params, state, batch.x, batch.y, batch.where)
    hidden = cases.dense_hidden(params)
    wanted = cases.reference_updates(case, hidden, cases.dense_classifier(case, params), batch)
    for h, update, without, reinforced in zip(hidden, wanted["updates"], quiet.hidden, loud.hidden, strict=True):
        updated = h + update
        np.testing.assert_array_equal(without, reference.saturate(updated, case.rule.bits))
        # Whatever the draw: a weight stays, or moves by 2 away from zero, before saturation.
        pushed = reference.saturate(updated + 2 * reference.sign(updated), case.rule.bits)
        reinforced = np.asarray(reinforced)
        assert np.all((reinforced == np.asarray(without)) | (reinforced == pushed))
