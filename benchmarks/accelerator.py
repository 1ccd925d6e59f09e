"""What an accelerator needs to be asked: the bits of a CPU, and every form of the products beside its matrix units.

Digests of weights after 200 steps are in ``results/accelerator-digests.json``, made on a CPU by
``python -m benchmarks.accelerator``. jax, optax and numpy are all that this needs.
"""

import functools
import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import products as shapes
from benchmarks import programs, timing
from benchmarks.programs import Problem, Program
from benchmarks.report import Column, Report, write_atomically
from benchmarks.timing import Case, Spread
from bep_jax.kernels import bits, products

DIGESTS = pathlib.Path(__file__).parent / "results" / "accelerator-digests.json"
STEPS = 200
WIDTHS = (525, 1035, 2070, 4096, 8192)
# Positions of a batch, channels, inputs of a patch: as `programs.conv(100)` has them.
CONVOLUTION = (6400, 64, 49)
SEEDS = (8, 64)
# Nothing new is begun after so many seconds: the whole stays under ten minutes.
BUDGET = 450
# What `lax.platform_dependent` could choose, and the dots of unpacked numbers that are the company.
FORMS = ("int8", "bitwise", "reduced", "unrolled", "bfloat16")
DOTS = {
    "float32 dot": ("float32", "float32", "highest"),
    "tf32 dot": ("float32", "float32", "default"),
    "bfloat16 dot": ("bfloat16", "float32", "default"),
    "int8 dot": ("int8", "int32", "default"),
}
# Float training, by the precision of its dots.
PRECISIONS = {"float32": "highest", "tf32": "default", "bfloat16": "BF16_BF16_F32"}
_UNROLLED = 64  # words of a sum that is written out: more compile too long

COLUMNS = (
    Column("what", "what"),
    Column("name", "sizes"),
    Column("seeds", "seeds"),
    Column("bits", "bits of a CPU"),
    Column("bep", "bep_jax, µs"),
    *(Column(f"form {name}", f"{name} form, µs") for name in FORMS),
    *(Column(name, f"{name}, µs") for name in DOTS),
    *(Column(f"step {name}", f"{name} training, µs") for name in PRECISIONS),
    Column("ratio", "bep_jax against float32", 2, "×"),
    Column("ratio_best", "against the fastest of them", 2, "×"),
    Column("choice", "fastest form"),
)


def run(options, clock: timing.Clock) -> Report:
    """Bits first, then products, then whole steps, as far as the time goes."""
    report = Report(
        "An accelerator",
        (
            f"Bits: SHA-256 of weights, classifier and counts after {STEPS} steps beside the one of a CPU "
            "(`benchmarks/results/accelerator-digests.json`). Products, from packed words to int32 sums: what "
            "bep_jax takes here, and every form that `lax.platform_dependent` in `bep_jax/kernels/products.py` could "
            "choose: int8 unpacks words and multiplies int8; bitwise is the CPU's; reduced and unrolled count the bits "
            "of a plain sum over words; bfloat16 unpacks to bfloat16, exact up to 2²⁴. All give equal numbers, or this "
            "stops. The dots have nothing to unpack. Steps: `bep.step` beside straight-through training with Adam, "
            "float32 by dots of three precisions. Several seeds under vmap; times are of all of them.",
            "Fastest form: what `lax.platform_dependent` should choose for this product and size. Calls are sent "
            "without waiting; a time near the empty call's says only how fast calls are sent.",
        ),
        COLUMNS,
    )
    start, left_out = time.monotonic(), []
    for name, row in _rows(options, clock):
        if options.only not in name:
            continue
        if time.monotonic() - start > BUDGET:
            left_out.append(name)
            continue
        report.add(row())
    if left_out:
        report.notes += (f"Left out after {BUDGET} s: {'; '.join(left_out)}.",)
    return report


def digest(problem: Problem) -> str:
    """SHA-256 of what 200 steps make of a network's first weights: weights, classifier, counts of every step."""
    program = programs.binary(problem)
    function, state, data = programs.compiled(program, problem, None, next(iter(timing.compiler_options().values())))
    state, counts = function(state, data)
    found = hashlib.sha256()
    for array in (*state[0].hidden, state[0].classifier, counts):
        array = np.asarray(array)
        found.update(f"{array.dtype} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return found.hexdigest()


def networks(quick: bool) -> list[Problem]:
    """Those whose digests are kept; the small ones take a second on a CPU."""
    small = [
        programs.mlp(5, widths=(15, 33), num_inputs=40, group_size=3, steps=STEPS),
        programs.tiny_rnn(steps=STEPS),
        programs.tiny_conv(steps=STEPS),
    ]
    large = [
        programs.mlp(100, steps=STEPS),
        programs.mlp(33, widths=(63, 255, 1035), num_inputs=525, group_size=3, steps=STEPS),
        programs.rnn(20, width=255, group_size=15, steps=STEPS),
        programs.conv(20, steps=STEPS),
    ]
    return small if quick else small + large


def _rows(options, clock) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Every row's name and how to measure it, in the order of their worth."""
    known = json.loads(DIGESTS.read_text(encoding="utf-8"))
    for problem in networks(options.quick):
        yield f"bits {problem.name}", functools.partial(_bits, problem, known)
    if options.quick:
        sizes, widths, seeds, rest = [(5, 33, 40)], [], (2,), []
        tiny = programs.tiny_mlp()
        steps = [(tiny, None), (programs.tiny_conv(), None)]
    else:
        sizes, widths, seeds = [(256, n, n) for n in WIDTHS] + [CONVOLUTION], WIDTHS, SEEDS
        rest = [(batch, n, n) for n in (1035, 4096) for batch in (100, 4096)]
        tiny = programs.mlp(100, steps=50)
        steps = [(tiny, None), (programs.rnn(100, steps=10), None), (programs.conv(100, steps=10), None)]
    steps += [(tiny, s) for s in seeds]
    steps += [(programs.mlp(256, (n, n), n, 16 if n % 16 == 0 else 15, steps=10), None) for n in widths]
    for size in sizes:
        yield from _product_rows(size, clock)
    for problem, s in steps:
        yield f"step {problem.name}, {s or 1} seeds", functools.partial(_step, clock, problem, s)
    for size in rest:
        yield from _product_rows(size, clock)


def _product_rows(size: tuple[int, int, int], clock) -> Iterator[tuple[str, Callable[[], dict]]]:
    for product in ("forward", "backward", "outer"):
        yield f"{product} {' × '.join(map(str, size))}", functools.partial(_product, clock, product, *size)


def _bits(problem: Problem, known: dict[str, str]) -> dict:
    same = digest(problem) == known[problem.name]
    return {"what": f"{STEPS} steps", "name": problem.name, "seeds": 1, "bits": "equal" if same else "DIFFERENT"}


def _product(clock, product: str, batch: int, neurons: int, inputs: int) -> dict:
    packed, left, right = shapes.operands(product, batch, neurons, inputs)
    functions = {"bep": _taken(product, inputs), **{f"form {n}": f for n, f in forms(product, inputs).items()}}
    if packed[-1].shape[0] > _UNROLLED:
        del functions["form unrolled"]
    compiled = {name: (jax.jit(function), packed) for name, function in functions.items()}
    for name, (dtype, wide, precision) in DOTS.items():
        dot = functools.partial(jnp.matmul, preferred_element_type=wide, precision=precision)
        compiled[name] = jax.jit(dot), (jnp.asarray(left, dtype), jnp.asarray(right, dtype))
    expected = np.asarray(compiled["float32 dot"][0](*compiled["float32 dot"][1]))
    for name, (function, args) in compiled.items():
        if not np.array_equal(np.asarray(function(*args)), expected):
            raise AssertionError(f"accelerator: {name} of {product} {expected.shape} is wrong")
    empty = jax.jit(lambda *words: jnp.uint32(1))
    cases = {name: Case(functools.partial(function, *args)) for name, (function, args) in compiled.items()}
    samples = clock.measure(cases | {"empty call": Case(functools.partial(empty, *packed))})
    choice = timing.fastest(samples, "form ")
    return {
        "what": product,
        "name": f"{batch} × {neurons} × {inputs}",
        "seeds": 1,
        "bits": "equal",
        **{name: _microseconds(values) for name, values in samples.items()},
        "ratio": timing.ratio(samples, "float32 dot", "bep"),
        "ratio_best": _against_fastest(samples, list(DOTS)),
        "choice": choice.removeprefix("form ") if choice else None,
    }


def _step(clock, problem: Problem, seeds: int | None) -> dict:
    options = next(iter(timing.compiler_options().values()))
    cases = {"bep": programs.case(programs.binary(problem), problem, seeds, options)}
    for name, precision in PRECISIONS.items():
        program = _with_dots_of(precision, programs.straight_through(problem))
        cases[f"step {name}"] = programs.case(program, problem, seeds)
    samples = clock.measure(cases)
    return {
        "what": "step",
        "name": problem.name,
        "seeds": seeds or 1,
        **{name: _microseconds(values) for name, values in samples.items()},
        "ratio": timing.ratio(samples, "step float32", "bep"),
        "ratio_best": _against_fastest(samples, [f"step {name}" for name in PRECISIONS]),
    }


def forms(product: str, num_inputs: int) -> dict[str, Callable]:
    """Ways to compute a product of packed words, all with the arguments of `bep_jax.kernels.products`."""
    last = (jnp.int32(num_inputs),) if product == "forward" else ()

    def given(name: str) -> Callable:
        function = getattr(products, f"_{product}_{name}")
        return lambda *words: function(*words, *last)

    return {
        "int8": given("int8"),
        "bitwise": given("bitwise"),
        "reduced": functools.partial(_counted, product, num_inputs, unrolled=False),
        "unrolled": functools.partial(_counted, product, num_inputs, unrolled=True),
        "bfloat16": functools.partial(_unpacked, product, num_inputs),
    }


def _taken(product: str, num_inputs: int) -> Callable:
    function = getattr(products, product)
    return (lambda w, a: function(w, a, num_inputs)) if product == "forward" else function


def _counted(product: str, num_inputs: int, *words: jax.Array, unrolled: bool) -> jax.Array:
    """How many ±1 there are, less twice the set bits of words combined element by element."""
    if product == "forward":
        w, a = words
        combine, rows, columns, total = (lambda w, a: w ^ a), (w.T,), (a,), jnp.int32(num_inputs)
    elif product == "backward":
        w, t, g = words
        combine, rows, columns = (lambda w, t, g: (w ^ t) & g), (w,), (t, g)
        total = jnp.sum(lax.population_count(g), axis=0, dtype=jnp.int32)[None, :]
    else:
        m, t, a = words
        combine, rows, columns = (lambda m, t, a: (t ^ a) & m), (m.T, t.T), (a,)
        total = jnp.sum(lax.population_count(m), axis=1, dtype=jnp.int32)[:, None]
    if unrolled:
        for i in range(columns[0].shape[0]):
            word = combine(*(r[i][:, None] for r in rows), *(c[i][None, :] for c in columns))
            total = total - 2 * lax.population_count(word).astype(jnp.int32)
        return total
    every = combine(*(r[:, :, None] for r in rows), *(c[:, None, :] for c in columns))
    return total - 2 * jnp.sum(lax.population_count(every), axis=0, dtype=jnp.int32)


def _unpacked(product: str, num_inputs: int, *words: jax.Array) -> jax.Array:
    """Words to ±1 (and 0) in bfloat16, multiplied with float32 sums, which are whole numbers below 2²⁴."""

    def minor(x):
        return bits.unpack(x, num_bits=x.shape[-1] * bits.WORD_BITS).astype(jnp.bfloat16)

    def major(x):
        return minor(x.T).T

    if product == "forward":
        left, right = minor(words[0]), major(words[1])
        extra = left.shape[1] - num_inputs  # padding: equal bits, each a +1
    elif product == "backward":
        left, right, extra = minor(words[0].T), jnp.where(major(words[2]) > 0, major(words[1]), 0), 0
    else:
        left, right, extra = jnp.where(minor(words[0]) > 0, minor(words[1]), 0), major(words[2]), 0
    return jnp.matmul(left, right, preferred_element_type=jnp.float32).astype(jnp.int32) - jnp.int32(extra)


def _with_dots_of(precision: str, program: Program) -> Program:
    def function(state, data):
        with jax.default_matmul_precision(precision):
            return program.function(state, data)

    return Program(program.init, function)


def _against_fastest(samples, names: list[str]) -> Spread | None:
    name = min(names, key=lambda name: float(np.median(samples[name])))
    return timing.ratio(samples, name, "bep")


def _microseconds(samples: np.ndarray) -> Spread:
    return Spread.of(samples).scaled(1e6)


if __name__ == "__main__":
    if jax.default_backend() != "cpu":
        raise SystemExit("accelerator: digests are made on a CPU: JAX_PLATFORMS=cpu python -m benchmarks.accelerator")
    digests = {problem.name: digest(problem) for problem in networks(quick=False)}
    write_atomically(DIGESTS, json.dumps(digests, indent=1, ensure_ascii=False) + "\n")
    print(f"wrote {DIGESTS}")
