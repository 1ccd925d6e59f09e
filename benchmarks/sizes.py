"""Bits that a weight takes: in a file, in C, in training, beside float32. Counted, not timed."""

import re

import jax

import bep_jax as bep
from benchmarks import programs, timing
from benchmarks.programs import Problem
from benchmarks.report import Column, Report
from bep_jax.export import model_file

COLUMNS = (
    Column("name", "network"),
    Column("weights", "weights"),
    Column("file", "file, bits a weight", 2),
    Column("c", "C, bits a weight", 2),
    Column("float32", "float32, bits a weight", 2),
    Column("training", "training, bits a weight", 2),
    Column("float32_training", "float32 training, bits a weight", 2),
)


def run(options, clock: timing.Clock) -> Report:
    """Counts for an MLP and an RNN."""
    report = Report(
        "Sizes",
        (
            "All weights count, those of the fixed classifier too. File: all bytes of `bep.save`. C: constants, state "
            "and stack of `bep.to_c`, as the header states them. Training: what stays from step to step, hidden "
            "weights and the optimizer's state; in float32 weights and the two moments of Adam. Without encoders.",
        ),
        COLUMNS,
    )
    problems = [programs.tiny_mlp(1), programs.tiny_rnn(1)] if options.quick else [programs.mlp(1), programs.rnn(1)]
    for problem in problems:
        if options.only in problem.name:
            report.add(_row(problem))
    return report


def _row(problem: Problem) -> dict:
    model = problem.model
    weights = bep.summary(model).weights
    params = model.init(jax.random.key(0))
    header = bep.to_c(model, params)
    memory = sum(int(size) for size in re.findall(r"#define BEP_(?:CONST|STATIC|STACK)_BYTES (\d+)", header))
    binary = programs.binary(problem)
    state, opt_state, _ = jax.eval_shape(binary.init, jax.random.key(0))
    float32 = jax.eval_shape(programs.straight_through(problem).init, jax.random.key(0))
    row = {
        "file": len(model_file.to_bytes(bep.Saved(model, params))),
        "c": memory,
        "float32": 4 * weights,
        "training": _bytes((state, opt_state)),
        "float32_training": _bytes(float32),
    }
    return {
        "name": problem.name.split(",")[0],
        "weights": weights,
        **{name: 8 * size / weights for name, size in row.items()},
        "bytes": row,
    }


def _bytes(tree) -> int:
    """Of all arrays; a key has that of its data."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
