"""Memory of a training run beside float32 straight-through training with Adam: arrays counted, and a process measured.

Counted are the arrays that live from step to step (weights, classifier, optimizer) and, from the compiler, those that a
step needs meanwhile. Measured is by how much the resident memory of a fresh process grows, at most, while it draws the
weights and trains. It loads finished programs, because compiling takes more memory than training.
"""

import functools
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import serialize_executable

from benchmarks import programs, timing
from benchmarks.programs import Problem, Program
from benchmarks.report import Column, Report
from benchmarks.timing import Spread
from bep_jax.training.memory import reset_peak, resident_bytes

# Times less than float32 with Adam: good, beyond.
TARGETS = (4.0, 6.0)
_CALLS = 3  # of the program, each of several steps

COLUMNS = (
    Column("name", "training of"),
    Column("program", "program"),
    Column("state", "state, MB", 2),
    Column("temporary", "in a step, MB", 2),
    Column("counted", "both, MB", 2),
    Column("ratio_counted", "float32 over it", 2, "×"),
    Column("process", "process, MB", 2),
    Column("ratio_process", "float32 over it", 2, "×"),
    Column("programs", "programs, MB", 1),
    Column("good", "good", 0, "×"),
    Column("beyond", "beyond", 0, "×"),
)


def run(options, clock: timing.Clock) -> Report:
    """Measures every program of every problem in fresh processes, interleaved; the clock only says how often."""
    report = Report(
        "Memory of a training run",
        (
            "State: what lives from step to step. In a step: what its compiled program needs beside that and the "
            "mini-batches. Process: peak of resident memory of a fresh process that draws the weights and trains, less "
            "what it was before, with data and compiled programs loaded; programs: what loading them took. "
            "MB = 10⁶ bytes. The tiny network shows what a process takes at any size, XLA's matrix library above all.",
        ),
        COLUMNS,
    )
    tiny = programs.tiny_mlp()
    for problem in [tiny] if options.quick else [*problems(), tiny]:
        if options.only in problem.name:
            for row in measure(problem, clock.repetitions, options.quick):
                report.add(row)
    return report


def problems() -> list[Problem]:
    """The two sizes that the targets are for."""
    return [programs.mlp(100), programs.rnn(100, width=1035, num_inputs=1035, group_size=115)]


def measure(problem: Problem, repetitions: int, quick: bool = False) -> list[dict]:
    """A row for each program."""
    forms = {"bep.step": programs.binary(problem), "float32 Adam": programs.straight_through(problem)}
    if not quick:
        forms["bep, through optax"] = programs.binary_composed(problem)
        forms["float32 Adam, batch norm"] = programs.straight_through(problem, batch_norm=True)
    sizes, samples, loading = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: pathlib.Path(folder) / f"{i}.pickle" for i, name in enumerate(forms)}
        for name, form in forms.items():
            compiled = _compile(form, problem)
            sizes[name] = _sizes(*compiled)
            serialised = [serialize_executable.serialize(c) for c in compiled]
            files[name].write_bytes(pickle.dumps((serialised, [np.asarray(a) for a in problem.data()])))
        if sys.platform == "linux":
            measured = [[_grown(path) for path in files.values()] for _ in range(repetitions)]
            for i, name in enumerate(forms):
                loading[name], samples[name] = np.array([found[i] for found in measured]).T
    rows = []
    for name in forms:
        state, temporary = sizes[name]
        row = {
            "name": problem.name,
            "program": name,
            "state": state / 1e6,
            "temporary": temporary / 1e6,
            "counted": (state + temporary) / 1e6,
            "ratio_counted": sum(sizes["float32 Adam"]) / (state + temporary),
        }
        if samples:
            row["process"] = Spread.of(samples[name] / 1e6)
            row["programs"] = Spread.of(loading[name] / 1e6)
            row["ratio_process"] = timing.ratio(samples, "float32 Adam", name)
        targets = {"good": TARGETS[0], "beyond": TARGETS[1]} if name == "bep.step" else {}
        rows.append(row | targets)
    return rows


def counted(program: Program, problem: Problem) -> tuple[int, int]:
    """Bytes of the state of a program, and of what it needs beside the state and the mini-batches while it runs."""
    return _sizes(*_compile(program, problem))


def _compile(program: Program, problem: Problem) -> tuple[jax.stages.Compiled, jax.stages.Compiled]:
    """``start(key data)`` and ``train(state, data)``; the state is a flat list of arrays: no keys, no types of ours."""
    shapes = jax.eval_shape(program.init, jax.random.key(0))
    structure = jax.tree.structure(shapes)

    def start(key_data):
        return [_raw(leaf) for leaf in jax.tree.leaves(program.init(jax.random.wrap_key_data(key_data)))]

    def train(leaves, data):
        keys = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(shapes)]
        leaves = [jax.random.wrap_key_data(a) if k else a for a, k in zip(leaves, keys, strict=True)]
        state, counts = program.function(jax.tree.unflatten(structure, leaves), data)
        return [_raw(leaf) for leaf in jax.tree.leaves(state)], counts

    options = next(iter(timing.compiler_options().values()))
    key_data = jax.ShapeDtypeStruct((2,), jnp.uint32)
    trained = jax.jit(train, donate_argnums=0, compiler_options=options)
    return (
        jax.jit(start, compiler_options=options).lower(key_data).compile(),
        trained.lower(jax.eval_shape(start, key_data), problem.data()).compile(),
    )


def _sizes(start: jax.stages.Compiled, train: jax.stages.Compiled) -> tuple[int, int]:
    state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(start.out_info))
    return state, train.memory_analysis().temp_size_in_bytes


def _raw(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _grown(path: pathlib.Path) -> tuple[int, int]:
    """Bytes by which a fresh process grew when it loaded the programs in a file, and at most when it ran them."""
    root = str(pathlib.Path(__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])}
    command = [sys.executable, "-m", "benchmarks.memory", str(path)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    loading, running = map(int, output.split())
    return loading, running


def _child(path: str) -> tuple[int, int]:
    compiled, data = pickle.loads(pathlib.Path(path).read_bytes())
    data = tuple(jax.device_put(a) for a in data)
    before = resident_bytes()
    load = functools.partial(serialize_executable.deserialize_and_load, execution_devices=jax.devices()[:1])
    start, train = (load(*one) for one in compiled)
    if not reset_peak():
        raise OSError("memory: this system does not tell the peak of resident memory.")
    loaded = resident_bytes()
    state = start(np.zeros(2, np.uint32))
    for _ in range(_CALLS):
        state, counts = train(state, data)
    jax.block_until_ready((state, counts))
    return loaded - before, resident_bytes(peak=True) - loaded


if __name__ == "__main__":
    print(*_child(sys.argv[1]))
