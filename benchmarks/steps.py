"""Whole training steps beside float32 straight-through training of the same network on the same data."""

import numpy as np

from benchmarks import programs, timing
from benchmarks.programs import Problem
from benchmarks.report import Column, Report
from benchmarks.timing import Spread

SEEDS = 8
# Times faster than the float step: good, beyond.
TARGETS = {"mlp 100": (6.0, 10.0), "mlp 256": (8.0, 13.0), "rnn 100": (8.0, 13.0)}
# Time per seed of 8 seeds, against one seed.
SEED_TARGETS = (1.05, 0.95)

COLUMNS = (
    Column("name", "step"),
    Column("seeds", "seeds"),
    Column("bep", "bep.step, µs"),
    Column("static", "rule static, µs"),
    Column("composed", "through optax, µs"),
    Column("float32", "float32, µs"),
    Column("float32_norm", "float32 with batch norm, µs"),
    Column("ratio", "bep.step against float32", 2, "×"),
    Column("ratio_composed", "through optax against float32", 2, "×"),
    Column("traced_over_static", "traced over static rule", 3),
    Column("per_seed", "time per seed over one seed's", 3),
    Column("good", "good", 2),
    Column("beyond", "beyond", 2),
)


def run(options, clock: timing.Clock) -> Report:
    """Measures every problem, with one seed and with several."""
    report = Report(
        "Training steps",
        (
            "A step is everything that training does with a mini-batch: forward, backward, update, winners and "
            "reinforcement here; straight-through gradient, optax Adam and clipping there. Steps run inside one scan "
            "with donated weights. Every program is compiled with and without 512-bit vectors and the faster one "
            f"counts; the float step of {SEEDS} seeds is also run seed after seed. `bep.step` and the form through "
            "optax get their limits as arrays (traced); a static rule is a constant of the program.",
        ),
        COLUMNS,
    )
    if options.quick:
        problems = {
            "mlp 100": programs.mlp(5, widths=(15, 15), num_inputs=40, group_size=5, steps=2),
            "rnn 100": programs.rnn(5, width=15, num_inputs=4, time_steps=3, group_size=5, steps=2),
        }
    else:
        problems = {"mlp 100": programs.mlp(100), "mlp 256": programs.mlp(256), "rnn 100": programs.rnn(100)}
    for key, problem in problems.items():
        if options.only in key or options.only in problem.name:
            choices = timing.compiler_options(options.quick)
            report.add(_one_seed(clock, problem, choices, TARGETS[key]))
            report.add(_seeds(clock, problem, choices, 2 if options.quick else SEEDS))
    return report


def _one_seed(clock: timing.Clock, problem: Problem, choices: dict, targets: tuple[float, float]) -> dict:
    forms = {
        "bep": programs.binary(problem),
        "static": programs.binary_static(problem),
        "composed": programs.binary_composed(problem),
        "float32": programs.straight_through(problem),
        "norm": programs.straight_through(problem, batch_norm=True),
    }
    cases = {
        f"{name}, {label}": programs.case(program, problem, options=compiler_options)
        for label, compiler_options in choices.items()
        for name, program in forms.items()
    }
    samples = clock.measure(cases)
    best = {name: timing.fastest(samples, f"{name},") for name in forms}
    return {
        "name": problem.name,
        "seeds": 1,
        **{name: _microseconds(samples[best[name]]) for name in ("bep", "static", "composed", "float32")},
        "float32_norm": _microseconds(samples[best["norm"]]),
        "ratio": timing.ratio(samples, best["float32"], best["bep"]),
        "ratio_composed": timing.ratio(samples, best["float32"], best["composed"]),
        "traced_over_static": timing.ratio(samples, best["bep"], best["static"]),
        "good": targets[0],
        "beyond": targets[1],
        "fastest": best,
        "microseconds": {name: _microseconds(values) for name, values in samples.items()},
    }


def _seeds(clock: timing.Clock, problem: Problem, choices: dict, seeds: int) -> dict:
    cases = {}
    for label, options in choices.items():
        binary, static = programs.binary(problem), programs.binary_static(problem)
        float32 = programs.straight_through(problem)
        cases[f"single, {label}"] = programs.case(binary, problem, options=options)
        cases[f"bep, {label}"] = programs.case(binary, problem, seeds, options)
        cases[f"static, {label}"] = programs.case(static, problem, seeds, options)
        cases[f"float32, {label}, vmap"] = programs.case(float32, problem, seeds, options)
        cases[f"float32, {label}, one after the other"] = programs.case(float32, problem, seeds, options, over="map")
    samples = clock.measure(cases)
    best = {name: timing.fastest(samples, f"{name},") for name in ("single", "bep", "static", "float32")}
    one = {"bep": samples[best["bep"]] / seeds, "single": samples[best["single"]]}
    return {
        "name": problem.name,
        "seeds": seeds,
        **{name: _microseconds(samples[best[name]]) for name in ("bep", "static", "float32")},
        "ratio": timing.ratio(samples, best["float32"], best["bep"]),
        "traced_over_static": timing.ratio(samples, best["bep"], best["static"]),
        "per_seed": timing.ratio(one, "bep", "single"),
        "good": SEED_TARGETS[0],
        "beyond": SEED_TARGETS[1],
        "fastest": best,
        "microseconds": {name: _microseconds(values) for name, values in samples.items()},
    }


def _microseconds(samples: np.ndarray) -> Spread:
    return Spread.of(samples).scaled(1e6)
