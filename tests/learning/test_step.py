"""The fused step: equal to its three lines, without a float, never traced twice, keys used once."""

import functools

import cases
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import bep_jax as bep
from bep_jax.training.augment import Moves


@functools.cache
def _step(case):
    return jax.jit(functools.partial(bep.step, case.model, case.rule))


def _start(case, seed=0):
    params = cases.draw_params(case, seed)
    return params, bep.optimizer(case.rule, jax.random.key(seed)).init(params.hidden)


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_a_step_is_updates_then_optimizer_then_apply(case):
    params, state = _start(case)
    opt = bep.optimizer(case.rule, jax.random.key(0))

    @jax.jit
    def three_lines(params, state, x, y, where):
        updates, stats = bep.updates(case.model, case.rule, params, x, y, where)
        deltas, state = opt.update(updates, state, params.hidden)
        return params._replace(hidden=optax.apply_updates(params.hidden, deltas)), state, stats

    one = two = (params, state)
    for batch in cases.draw_batches(case, 5, seed=21):
        *one, stats = _step(case)(*one, batch.x, batch.y, batch.where)
        *two, want = three_lines(*two, batch.x, batch.y, batch.where)
        cases.assert_trees_equal((*one, stats), (*two, want))
    assert any(np.any(a != b) for a, b in zip(params.hidden, one[0].hidden, strict=True))


@pytest.mark.parametrize(**cases.every(cases.FEW[:2]))
def test_steps_in_a_scan_equal_a_loop(case):
    carry = _start(case)
    batches = cases.draw_batches(case, 3, seed=22)
    x, y, where = (jnp.stack([getattr(b, name) for b in batches]) for name in ("x", "y", "where"))

    @jax.jit
    def scanned(carry, x, y, where):
        def body(carry, batch):
            *carry, stats = bep.step(case.model, case.rule, *carry, *batch)
            return tuple(carry), stats

        return jax.lax.scan(body, carry, (x, y, where))

    together, stats = scanned(carry, x, y, where)
    rows = []
    for b in batches:
        *carry, row = _step(case)(*carry, b.x, b.y, b.where)
        rows.append(row)
    cases.assert_trees_equal(together, tuple(carry))
    cases.assert_trees_equal(stats, jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows))


# No float


def find_floats(jaxpr):
    """Every floating-point or complex value of a jaxpr, and of the jaxprs in it, as text."""
    if hasattr(jaxpr, "jaxpr"):
        found = [str(np.asarray(c).dtype) for c in jaxpr.consts if _is_float(c)]
        return found + find_floats(jaxpr.jaxpr)
    found = []
    for v in (*jaxpr.invars, *jaxpr.constvars, *jaxpr.outvars):
        found += [f"{v}: {v.aval}"] if _is_float(v.aval) else []
    for eqn in jaxpr.eqns:
        for v in (*eqn.invars, *eqn.outvars):
            found += [f"{eqn.primitive} {v.aval}"] if _is_float(v.aval) else []
        for value in eqn.params.values():
            found += [text for inner in _inner_jaxprs(value) for text in find_floats(inner)]
    return found


def _is_float(value):
    return jnp.issubdtype(getattr(value, "dtype", np.dtype(bool)), jnp.inexact)


def _inner_jaxprs(value):
    if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
        yield value
    elif isinstance(value, dict):
        yield from _inner_jaxprs(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _inner_jaxprs(item)


def _count_equations(jaxpr):
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    inner = (i for eqn in jaxpr.eqns for value in eqn.params.values() for i in _inner_jaxprs(value))
    return len(jaxpr.eqns) + sum(_count_equations(i) for i in inner)


def _half(x):
    return (x.astype(jnp.float32) * jnp.float32(0.5)).astype(jnp.int32)


def _in_scan(x):
    return jax.lax.scan(lambda c, _: (jax.jit(_half)(c), None), x, None, length=2)[0]


@jax.custom_jvp
def _half_with_jvp(x):
    return _half(x)


_half_with_jvp.defjvp(lambda primals, tangents: (_half(*primals), tangents[0]))

HIDDEN_FLOATS = {
    "plainly": _half,
    "jit": jax.jit(_half),
    "scan": _in_scan,
    "while": lambda x: jax.lax.while_loop(lambda c: c > 0, _half, x),
    "while condition": lambda x: jax.lax.while_loop(lambda c: c.astype(jnp.float32) > 1.5, lambda c: c - 1, x),
    "cond": lambda x: jax.lax.cond(x > 0, _half, lambda c: c, x),
    "platform": lambda x: jax.lax.platform_dependent(x, cpu=lambda c: c, default=_half),
    "custom_jvp": lambda x: _half_with_jvp(x),
    "remat": lambda x: jax.checkpoint(_half)(x),
    "vmap": lambda x: jax.vmap(_in_scan)(x[None])[0],
    "scan in cond in jit": lambda x: jax.jit(lambda c: jax.lax.cond(c > 0, _in_scan, lambda d: d, c))(x),
    "constant": lambda x: x + jnp.int32(len(np.array([0.5]))) * jnp.asarray(np.array([2.0], np.float32)).astype(int)[0],
    "unused": lambda x: (_half(x), x)[1],
    "random": lambda x: x + (jax.random.uniform(jax.random.key(0), ()) > 2).astype(jnp.int32),
}


@pytest.mark.parametrize("place", HIDDEN_FLOATS)
def test_the_walk_finds_a_hidden_float(place):
    assert find_floats(jax.make_jaxpr(HIDDEN_FLOATS[place])(jnp.int32(3)))


def test_the_walk_passes_integers():
    def draws(x):
        return x + jax.random.bits(jax.random.key(1), (), jnp.uint32).astype(jnp.int32)

    assert find_floats(jax.make_jaxpr(draws)(jnp.int32(3))) == []


@pytest.mark.parametrize(**cases.every())
def test_no_float_anywhere_in_training(case):
    params, state = _start(case)
    (batch,) = cases.draw_batches(case, 1)
    opt = bep.optimizer(case.rule, jax.random.key(0))
    limits = bep.thresholds(case.model, case.rule)
    data = (batch.x, batch.y, batch.where)
    # A step is all of it; its parts, which users call, too, and how it is mapped, of the few alone.
    programs = {"step": (functools.partial(bep.step, case.model), (limits, params, state, *data))}
    if case in cases.FEW:
        updates = tuple(jnp.zeros(h.shape, jnp.int32) for h in params.hidden)
        programs["updates"] = (functools.partial(bep.updates, case.model), (limits, params, *data))
        programs["opt.update"] = (opt.update, (updates, state, params.hidden))
        programs["step of a rule"] = (functools.partial(bep.step, case.model, case.rule), (params, state, *data))
        programs["vmapped step"] = (
            jax.vmap(functools.partial(bep.step, case.model), in_axes=(None, 0, 0, None, None, None)),
            (limits, *jax.tree.map(lambda a: jnp.stack([a, a]), (params, state)), *data),
        )
    for name, (function, arguments) in programs.items():
        jaxpr = jax.make_jaxpr(function)(*arguments)
        assert _count_equations(jaxpr) > 10, name  # the walk has something to look at
        assert find_floats(jaxpr) == [], name


def test_no_float_where_images_are_moved():
    moves = Moves((4, 5), 2, shift=1, mirror=True)
    jaxpr = jax.make_jaxpr(moves)(jax.random.key(0), jnp.zeros((3, 2), jnp.uint32))
    assert _count_equations(jaxpr) > 10
    assert find_floats(jaxpr) == []


# No retrace


@pytest.mark.parametrize(**cases.every(cases.FEW))
def test_hyper_parameters_never_retrace(case):
    params, state = _start(case)
    (batch,) = cases.draw_batches(case, 1)
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(lambda *arguments: bep.step(case.model, *arguments), n=1))
    results = set()
    widths = case.model.widths
    for rule in (
        case.rule,
        bep.Rule(margin=1.0, gate=0.2, group_size=1),
        bep.Rule(margin=0.1, gate=0.0, group_size=widths),
        bep.Rule(margin=0.5, gate=2.0, group_size=1, reinforcement=1.0, bits=8),
        bep.Rule(margin=0.5, gate=2.0, group_size=1, reinforcement=0.0, bits=9),
    ):
        limits = bep.thresholds(case.model, rule)
        state = bep.optimizer(limits, jax.random.key(5)).init(params.hidden)
        for error in (1.0, 0.3):
            state = bep.rescale(state, error)
            new, _, _ = step(limits, params, state, batch.x, batch.y, batch.where)
            results.add(b"".join(np.asarray(h).tobytes() for h in new.hidden))
    assert step._cache_size() == 1
    assert len(results) > 5


def test_equal_rules_and_models_never_retrace():
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(bep.step, n=1))
    for _ in range(3):
        model = bep.mlp(num_inputs=31, widths=(33, 63), num_classes=10)
        case = cases.FEW[0]._replace(model=model, rule=bep.Rule(margin=0.25, group_size=(3, 7)))
        params, state = _start(case)
        (batch,) = cases.draw_batches(case, 1)
        step(model, case.rule, params, state, batch.x, batch.y, batch.where)
    assert step._cache_size() == 1


# Keys


def test_every_key_is_used_once():
    case = cases.FEW[0]
    params, state = _start(case)
    step = jax.jit(functools.partial(bep.step, case.model, case.rule))
    opt = bep.optimizer(case.rule, jax.random.key(9))
    with jax.debug_key_reuse(True):
        bep.mlp(num_inputs=3, widths=(5,), num_classes=2).init(jax.random.key(0))
        for batch in cases.draw_batches(case, 3):
            spent = state
            params, state, _ = step(params, state, batch.x, batch.y, batch.where)
        with pytest.raises(jax.errors.KeyReuseError):
            step(params, spent, batch.x, batch.y, batch.where)
        state = opt.init(params.hidden)
        zeros = tuple(jnp.zeros(h.shape, jnp.int32) for h in params.hidden)
        for _ in range(2):
            _, state = jax.jit(opt.update)(zeros, state, params.hidden)


# Errors


def test_wants_the_optimizers_own_state():
    case = cases.FEW[0]
    params, state = _start(case)
    (batch,) = cases.draw_batches(case, 1)
    run = functools.partial(bep.step, case.model, case.rule, params)
    with pytest.raises(TypeError, match=r"^step: wanted an OptimizerState, .* got tuple"):
        run((optax.EmptyState(), state), batch.x, batch.y)
    short = bep.optimizer(case.rule, jax.random.key(0)).init(params.hidden[:1])
    with pytest.raises(ValueError, match=r"^step: the optimizer state is for \(1,\) matrices, the model has 2"):
        run(short, batch.x, batch.y)
