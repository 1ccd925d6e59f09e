"""Whole training steps beside float32 straight-through training of the same network on the same data."""

import collections

import numpy as np

from benchmarks import products, programs, roofline, timing
from benchmarks.programs import Problem
from benchmarks.report import Column, Report
from benchmarks.timing import Case, Spread

SEEDS = 8
# Times faster than the float step: good, beyond.
TARGETS = {"mlp 100": (6.0, 10.0), "mlp 256": (8.0, 13.0), "rnn 100": (8.0, 13.0), "conv 100": (8.0, 13.0)}
# Time of a step in a loop in Python, against one in a scan.
LOOP_TARGET = 1.05
# Time per seed of 8 seeds, against one seed.
SEED_TARGETS = (1.05, 0.95)

COLUMNS = (
    Column("name", "step"),
    Column("seeds", "seeds"),
    Column("bep", "bep.step, µs"),
    Column("vmapped", "under vmap, µs"),
    Column("static", "rule static, µs"),
    Column("composed", "through optax, µs"),
    Column("loop", "in a loop in Python, µs"),
    Column("float32", "float32, µs"),
    Column("float32_norm", "float32 with batch norm, µs"),
    Column("ratio", "bep.step against float32", 2, "×"),
    Column("ratio_composed", "through optax against float32", 2, "×"),
    Column("traced_over_static", "traced over static rule", 3),
    Column("loop_over_scan", "loop in Python over scan", 3),
    Column("per_seed", "time per seed over one seed's", 3),
    Column("per_seed_vmapped", "the same under vmap", 3),
    Column("good", "good", 2),
    Column("beyond", "beyond", 2),
    Column("of_good", "of good, %"),
    Column("of_beyond", "of beyond, %"),
    Column("roofline", "its products in C, µs"),
    Column("of_roofline", "of the step, %"),
)


def run(options, clock: timing.Clock) -> Report:
    """Measures every problem, with one seed and with several."""
    report = Report(
        "Training steps",
        (
            "A step is everything that training does with a mini-batch: forward, backward, update, winners and "
            "reinforcement here; straight-through gradient, optax Adam and clipping there. Steps run inside one scan "
            "with donated weights. Every program is compiled with and without 512-bit vectors and the faster one "
            f"counts. {SEEDS} seeds run one after the other, as in `bep.fit` on a CPU, and under vmap; of the float "
            "step the faster of the two counts. `bep.step` and the form through optax get their limits as arrays "
            "(traced); a static rule is a constant of the program. The loop in Python is a user's own, one call of "
            "`bep.jit(bep.step)` a mini-batch of NumPy arrays; the scan is what `bep.fit` runs, with the same options. "
            f"Within {100 * LOOP_TARGET - 100:.0f} % is wanted.",
            "Of good and of beyond: how much of the target is reached; 100 and more is there. Its products in C: what "
            "the C kernels (`python -m benchmarks products`) take for the products of one step, measured in the same "
            "run; everything else that a step does comes on top.",
        ),
        COLUMNS,
    )
    if options.quick:
        problems = {
            "mlp 100": programs.tiny_mlp(),
            "rnn 100": programs.tiny_rnn(),
            "conv 100": programs.tiny_conv(),
        }
    else:
        problems = {
            "mlp 100": programs.mlp(100),
            "mlp 256": programs.mlp(256),
            "rnn 100": programs.rnn(100),
            "conv 100": programs.conv(100),
        }
    native = roofline.build()
    for key, problem in problems.items():
        if options.only in key or options.only in problem.name:
            choices = timing.compiler_options(options.quick)
            report.add(_one_seed(clock, problem, choices, TARGETS[key], native))
            report.add(_seeds(clock, problem, choices, 2 if options.quick else SEEDS))
    return report


def _one_seed(clock: timing.Clock, problem: Problem, choices: dict, targets: tuple[float, float], native) -> dict:
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
    cases["loop"] = programs.plain_loop(problem)
    if native is not None:
        cases["C kernels"] = _products_in_c(native, problem)
    samples = clock.measure(cases)
    best = {name: timing.fastest(samples, f"{name},") for name in forms}
    ratio = timing.ratio(samples, best["float32"], best["bep"])
    of_roofline = timing.ratio(samples, "C kernels", best["bep"]) if native is not None else None
    return {
        "name": problem.name,
        "seeds": 1,
        **{name: _microseconds(samples[best[name]]) for name in ("bep", "static", "composed", "float32")},
        "float32_norm": _microseconds(samples[best["norm"]]),
        "loop": _microseconds(samples["loop"]),
        "loop_over_scan": timing.ratio(samples, "loop", f"bep, {next(iter(choices))}"),
        "ratio": ratio,
        "ratio_composed": timing.ratio(samples, best["float32"], best["composed"]),
        "traced_over_static": timing.ratio(samples, best["bep"], best["static"]),
        **_distances(ratio.median, targets),
        "roofline": _microseconds(samples["C kernels"]) if native is not None else None,
        "of_roofline": of_roofline.scaled(100) if of_roofline else None,
        "fastest": best,
        "microseconds": {name: _microseconds(values) for name, values in samples.items()},
    }


def _seeds(clock: timing.Clock, problem: Problem, choices: dict, seeds: int) -> dict:
    cases = {}
    for label, options in choices.items():
        binary, float32 = programs.binary(problem), programs.straight_through(problem)
        cases[f"single, {label}"] = programs.case(binary, problem, options=options)
        cases[f"bep, {label}"] = programs.case(binary, problem, seeds, options, over="map")
        cases[f"vmapped, {label}"] = programs.case(binary, problem, seeds, options)
        cases[f"float32, {label}, vmap"] = programs.case(float32, problem, seeds, options)
        cases[f"float32, {label}, one after the other"] = programs.case(float32, problem, seeds, options, over="map")
    samples = clock.measure(cases)
    best = {name: timing.fastest(samples, f"{name},") for name in ("single", "bep", "vmapped", "float32")}
    one = {name: samples[best[name]] / (1 if name == "single" else seeds) for name in ("single", "bep", "vmapped")}
    per_seed = timing.ratio(one, "bep", "single")
    return {
        "name": problem.name,
        "seeds": seeds,
        **{name: _microseconds(samples[best[name]]) for name in ("bep", "vmapped", "float32")},
        "ratio": timing.ratio(samples, best["float32"], best["bep"]),
        "per_seed": per_seed,
        "per_seed_vmapped": timing.ratio(one, "vmapped", "single"),
        **_distances(1 / per_seed.median, tuple(1 / t for t in SEED_TARGETS)),
        "good": SEED_TARGETS[0],
        "beyond": SEED_TARGETS[1],
        "fastest": best,
        "microseconds": {name: _microseconds(values) for name, values in samples.items()},
    }


def _distances(reached: float, targets: tuple[float, float]) -> dict[str, float]:
    good, beyond = targets
    return {"good": good, "beyond": beyond, "of_good": 100 * reached / good, "of_beyond": 100 * reached / beyond}


def step_products(problem: Problem) -> dict[tuple[str, int, int, int], int]:
    """The products of one step, ``(product, batch, neurons, inputs)``, and how often each is computed."""
    model, batch, steps = problem.model, problem.batch, problem.time_steps or 1
    counts: dict[tuple[str, int, int, int], int] = collections.Counter()
    for i, (shapes, neurons) in enumerate(zip(model.split(model.matrix_shapes), model.widths, strict=True)):
        patches = 1 if model.layers[i].over_time else model.layers[i].positions()  # side by side in one product
        positions = steps if i == 0 else 1
        counts["forward", batch * patches, neurons, sum(k for _, k in shapes)] += positions
        # Back through the state from one time step to the one before, and from layer to layer.
        counts["backward", batch * patches, neurons, shapes[-1][1]] += positions - 1 + (i > 0)
        for _, inputs in shapes:
            counts["outer", batch * positions * patches, neurons, inputs] += 1
    counts["forward", batch, model.num_classes, model.num_outputs] += 1
    return {product: count for product, count in counts.items() if count}


def _products_in_c(native, problem: Problem) -> Case:
    calls = []
    for (product, *sizes), count in step_products(problem).items():
        packed, _, _ = products.operands(product, *sizes)
        calls += [native.prepare(product, products.rows_first(product, packed), sizes[-1])[0]] * count

    def run():
        for call in calls:
            call()

    return Case(run)


def _microseconds(samples: np.ndarray) -> Spread:
    return Spread.of(samples).scaled(1e6)
