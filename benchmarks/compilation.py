"""How long training programs take to trace and compile, from empty caches."""

import time
import types

import jax
import numpy as np

import bep_jax as bep
from benchmarks import programs, timing
from benchmarks.report import Column, Report
from benchmarks.timing import Spread
from bep_jax.training import loop

# Seconds, of the whole of `fit`: MLP, RNN.
TARGETS = {"mlp": 10.0, "rnn": 15.0}
_SEEDS = 8

COLUMNS = (
    Column("name", "network"),
    Column("program", "program"),
    Column("seeds", "seeds"),
    Column("trace", "trace, s", 2),
    Column("compile", "compile, s", 2),
    Column("total", "both, s", 2),
    Column("limit", "limit, s", 0),
)


def run(options, clock: timing.Clock) -> Report:
    """Compiles every program again and again; the clock only says how often, and how busy the machine was."""
    report = Report(
        "Compile time",
        (
            "Tracing and lowering, then compilation, of a scan over training steps; caches are emptied before each. "
            "`bep.fit`: the first run of two epochs, less the second, in which nothing compiles; on a mesh where there "
            "are several devices, of which a CPU has as many as "
            "`XLA_FLAGS=--xla_force_host_platform_device_count=8` says.",
        ),
        COLUMNS,
    )
    if options.quick:
        mlp = programs.tiny_mlp()
        rnn = programs.tiny_rnn()
    else:
        mlp, rnn = programs.mlp(100), programs.rnn(100)
    compiler_options = next(iter(timing.compiler_options().values()))
    cases = {}
    for kind, problem in (("mlp", mlp), ("rnn", rnn)):
        if options.only in problem.name:
            for seeds in (None, 2 if options.quick else 8):
                cases[kind, problem, "bep.step", seeds] = programs.binary(problem)
            cases[kind, problem, "float32", None] = programs.straight_through(problem)
    seconds: dict = {case: [] for case in cases}
    for _ in range(clock.repetitions):
        for case, program in cases.items():
            _, problem, _, seeds = case
            function, state, data = programs.compiled(program, problem, seeds, compiler_options)
            jax.block_until_ready(state)
            jax.clear_caches()
            seconds[case].append(_compile(clock, function, state, data))
    for (_, problem, name, seeds), samples in seconds.items():
        trace, compiled = np.array(samples).T
        report.add(
            {
                "name": problem.name,
                "program": name,
                "seeds": seeds or 1,
                "trace": Spread.of(trace),
                "compile": Spread.of(compiled),
                "total": Spread.of(trace + compiled),
            }
        )
    for kind, problem in () if options.quick else (("mlp", mlp), ("rnn", rnn)):
        if options.only in problem.name:
            meshes = [None]
            if jax.device_count() > 1:
                meshes.append(jax.make_mesh((jax.device_count(),), ("batch",)))
            for mesh in meshes:
                name = "bep.fit" if mesh is None else f"bep.fit, batches over {jax.device_count()} devices"
                samples = [_compile_fit(clock, problem, mesh) for _ in range(clock.repetitions)]
                row = {"name": problem.name, "program": name, "seeds": _SEEDS, "total": Spread.of(np.array(samples))}
                report.add(row | {"limit": TARGETS[kind]})
    return report


def _compile_fit(clock: timing.Clock, problem: programs.Problem, mesh: jax.sharding.Mesh | None) -> float:
    jax.clear_caches()
    loop._programs.cache_clear()
    x, y = (np.asarray(a).reshape(-1, *a.shape[2:]) for a in problem.data())
    data = types.SimpleNamespace(train_x=x, train_y=y, test_x=x, test_y=y)

    def fit():
        settings = {"epochs": 2, "batch_size": problem.batch, "seeds": _SEEDS, "progress": False, "mesh": mesh}
        return bep.fit(problem.model, problem.rule(), data, **settings).params

    first, second = (clock.time(timing.Case(fit)) for _ in range(2))
    return first - second


def _compile(clock: timing.Clock, function, state, data) -> tuple[float, float]:
    now = time.process_time if clock.uses_cpu_time else time.perf_counter
    wall, cpu = time.perf_counter(), time.process_time()
    start = now()
    lowered = function.lower(state, data)
    middle = now()
    lowered.compile()
    end = now()
    clock.wall, clock.cpu = clock.wall + time.perf_counter() - wall, clock.cpu + time.process_time() - cpu
    return middle - start, end - middle
