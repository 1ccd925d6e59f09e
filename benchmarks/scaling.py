"""How the cost of a training step grows with width, batch, depth, time steps and seeds, here and in float32."""

from collections.abc import Iterator

from benchmarks import programs, timing
from benchmarks.programs import Problem
from benchmarks.report import Column, Report
from benchmarks.timing import Spread

COLUMNS = (
    Column("along", "along"),
    Column("size", "size"),
    Column("name", "step"),
    Column("seeds", "seeds"),
    Column("bep", "bep.step, µs"),
    Column("float32", "float32, µs"),
    Column("ratio", "against float32", 2, "×"),
    Column("growth", "bep.step over its first", 2),
    Column("growth_float32", "float32 over its first", 2),
)


def run(options, clock: timing.Clock) -> Report:
    """Measures one size after another along every axis; all sizes of an axis are interleaved."""
    report = Report(
        "How a training step's cost grows",
        (
            "Each axis leaves everything else as it is: MLP 784-525-525 at batch 100, for time steps RNN 28-525-525. "
            "Steps as in `python -m benchmarks step`, with 512-bit vectors, the float step without; seeds one after "
            "the other.",
        ),
        COLUMNS,
    )
    compiler_options = next(iter(timing.compiler_options().values()))
    for along, problems in _axes(options.quick).items():
        chosen = [(size, seeds, problem) for size, seeds, problem in problems if options.only in problem.name]
        cases = {}
        for size, seeds, problem in chosen:
            for name, program, choice in (
                ("bep", programs.binary(problem), compiler_options),
                ("float32", programs.straight_through(problem), None),
            ):
                cases[f"{name} {size}"] = programs.case(program, problem, seeds, choice, over="map")
        samples = clock.measure(cases)
        for size, seeds, problem in chosen:
            first = chosen[0][0]
            report.add(
                {
                    "along": along,
                    "size": size,
                    "name": problem.name,
                    "seeds": seeds or 1,
                    **{n: Spread.of(samples[f"{n} {size}"]).scaled(1e6) for n in ("bep", "float32")},
                    "ratio": timing.ratio(samples, f"float32 {size}", f"bep {size}"),
                    "growth": timing.ratio(samples, f"bep {size}", f"bep {first}"),
                    "growth_float32": timing.ratio(samples, f"float32 {size}", f"float32 {first}"),
                }
            )
    return report


def _axes(quick: bool) -> dict[str, Iterator[tuple[int, int | None, Problem]]]:
    """Per axis size, seeds and problem, from the smallest on."""
    if quick:
        tiny = {"num_inputs": 40, "group_size": 5, "steps": 2}
        return {"width": ((n, None, programs.mlp(5, widths=(n, n), **tiny)) for n in (15, 30))}
    return {
        "width": (
            (n, None, programs.mlp(100, widths=(n, n), group_size=15, steps=4)) for n in (255, 525, 1035, 2070, 4095)
        ),
        "batch": ((b, None, programs.mlp(b)) for b in (32, 100, 256, 512, 1024)),
        "depth": ((d, None, programs.mlp(100, widths=(525,) * d)) for d in (1, 2, 4, 8)),
        "time steps": ((t, None, programs.rnn(100, time_steps=t)) for t in (7, 14, 28, 56)),
        "seeds": ((s, s, programs.mlp(100)) for s in (1, 2, 4, 8, 16)),
    }
