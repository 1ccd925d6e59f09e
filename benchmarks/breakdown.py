"""Where the time of a training step goes: every kernel of the traced step timed alone, on the operands it has there.

The kernels are found in the jaxpr of the step, as calls that XLA must not inline (`bep_jax.kernels.isolate`), so this
script knows nothing about which there are.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend import core

import bep_jax as bep
from benchmarks import programs, timing
from benchmarks.programs import Problem
from benchmarks.report import Column, Report
from benchmarks.timing import Case, Spread

COLUMNS = (
    Column("name", "step"),
    Column("kernel", "kernel"),
    Column("shapes", "operands"),
    Column("calls", "calls"),
    Column("microseconds", "µs a step", 1),
    Column("share", "share, %", 1),
)


class Kernel(NamedTuple):
    """An isolated call: what it is, its first operands, how often the step runs it."""

    name: str
    jaxpr: core.ClosedJaxpr
    operands: tuple
    calls: int

    @property
    def shapes(self) -> str:
        return ", ".join(str(v.aval.str_short(short_dtypes=True)) for v in self.jaxpr.jaxpr.invars)


def run(options, clock: timing.Clock) -> Report:
    """Profiles the steps of multilayer, recurrent and convolutional networks."""
    report = Report(
        "Where a training step's time goes",
        (
            "Each kernel runs alone in a scan, with the operands and compiler options it has in the step; kernels with "
            "equal shapes are one row, and their time is summed over the calls in a step. The remainder is what the "
            "whole step, measured in the same run, takes beyond its kernels: copies, key splitting, calls, cold "
            "caches.",
        ),
        COLUMNS,
    )
    if options.quick:
        problems = [
            programs.tiny_mlp(),
            programs.tiny_rnn(),
            programs.tiny_conv(),
        ]
    else:
        problems = [programs.mlp(100), programs.mlp(256), programs.rnn(100), programs.conv(100)]
    for problem in problems:
        if options.only in problem.name:
            for row in _profile(clock, problem, calls=4 if options.quick else 200):
                report.add(row)
    return report


def kernels(problem: Problem) -> list[Kernel]:
    """The isolated calls of one `bep.step`, those of equal name and shapes merged."""
    state = programs.binary(problem).init(jax.random.key(0))
    x, y = (a[0] for a in problem.data())

    def step(state, x, y):
        params, opt_state, limits = state
        return bep.step(problem.model, limits, params, opt_state, x, y)

    jaxpr = jax.make_jaxpr(step)(state, x, y)
    merged: dict[tuple[str, str], Kernel] = {}
    found = list(_walk(jaxpr.jaxpr, jaxpr.consts, jax.tree.leaves((state, x, y)), 1))
    # XLA calls a kernel once that two places call on the same operands.
    for kernel in {(k.name, k.shapes, *map(id, k.operands)): k for k in found}.values():
        key = (kernel.name, kernel.shapes)
        calls = kernel.calls + (merged[key].calls if key in merged else 0)
        merged[key] = kernel._replace(calls=calls)
    return list(merged.values())


def _walk(jaxpr: core.Jaxpr, consts, arguments, calls: int) -> Iterator[Kernel]:
    """Evaluates a jaxpr, and yields its isolated calls; in a scan those of the first turn, times its length."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        inner = equation.params.get("jaxpr", equation.params.get("call"))
        if equation.primitive.name in ("jit", "pjit"):
            if (equation.ctx.xla_metadata or {}).get("inlineable") == "false":
                yield Kernel(equation.params["name"], inner, tuple(operands), calls)
            else:
                yield from _walk(inner.jaxpr, inner.consts, operands, calls)
        elif equation.primitive.name == "custom_vmap_call":
            yield from _walk(inner.jaxpr, inner.consts, operands, calls)
        elif equation.primitive.name == "scan" and equation.params["length"]:
            carried = equation.params["num_consts"] + equation.params["num_carry"]
            first = -1 if equation.params["reverse"] else 0
            turn = operands[:carried] + [x[first] for x in operands[carried:]]
            yield from _walk(inner.jaxpr, inner.consts, turn, calls * equation.params["length"])
        results = equation.primitive.bind(*operands, **equation.params)
        results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))


def _profile(clock: timing.Clock, problem: Problem, calls: int) -> list[dict]:
    # What the library recommends; the float side has no part in this table.
    options = next(iter(timing.compiler_options().values()))
    found = {f"{i} {kernel.name}": kernel for i, kernel in enumerate(kernels(problem))}
    cases = {name: Case(_repeated(kernel, calls, options), calls) for name, kernel in found.items()}
    cases["step"] = programs.case(programs.binary(problem), problem, options=options)
    samples = clock.measure(cases)
    whole = samples["step"]

    def row(name, shapes, count, seconds):
        times = {"microseconds": Spread.of(seconds).scaled(1e6), "share": Spread.of(seconds / whole).scaled(100)}
        return {"name": problem.name, "kernel": name, "shapes": shapes, "calls": count, **times}

    rows = [row(k.name, k.shapes, k.calls, samples[name] * k.calls) for name, k in found.items()]
    rows.sort(key=lambda r: -r["microseconds"].median)
    inside = np.sum([samples[name] * k.calls for name, k in found.items()], axis=0)
    return [*rows, row("remainder", None, None, whole - inside), row("whole step", None, None, whole)]


def _repeated(kernel: Kernel, calls: int, options: dict | None):
    """A program that calls the kernel again and again; the result of each call replaces the one before."""
    function = jax.jit(core.jaxpr_as_fun(kernel.jaxpr))

    def repeat(operands, guard):
        def body(carry, _):
            first = rewrite(carry[0], guard)
            with set_xla_metadata(inlineable="false"):
                results = function(first, *operands[1:])
            return (first, tuple(results)), None

        shapes = jax.eval_shape(function, *operands)
        start = tuple(jnp.zeros(s.shape, s.dtype) for s in shapes)
        return lax.scan(body, (operands[0], start), None, length=calls)[0][1]

    compiled = jax.jit(repeat, compiler_options=options)
    guard = jnp.bool_(True)
    return lambda: compiled(kernel.operands, guard)


def rewrite(operand: jax.Array, guard: jax.Array) -> jax.Array:
    """Writes an operand's first element back in place, so that XLA cannot move a call on it out of the loop."""
    corner = lax.slice(operand, (0,) * operand.ndim, (1,) * operand.ndim)
    return lax.dynamic_update_slice(operand, jnp.where(guard, corner, jnp.zeros_like(corner)), (0,) * operand.ndim)
