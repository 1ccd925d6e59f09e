"""The three integer products beside XLA's float32 and int8 dots of the same shape, and a C kernel as the roofline."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import roofline, timing
from benchmarks.report import Column, Report
from benchmarks.timing import Case, Spread
from bep_jax import bits
from bep_jax.kernels import products

# batch, neurons, inputs
SHAPES = (
    (100, 525, 784),
    (256, 1035, 1035),
    *((batch, width, width) for width in (255, 525, 1035, 2070, 4096) for batch in (100, 256, 512)),
)
QUICK = ((5, 33, 40),)
# Times faster than the float32 dot: good, beyond. For 256 × 1035 × 1035.
TARGETS = {"forward": (18.0, 22.0), "backward": (13.0, 17.0), "outer": (12.0, 17.0)}

COLUMNS = (
    Column("product", "product"),
    Column("shape", "batch × neurons × inputs"),
    Column("bep_gmac", "bep_jax, GMAC/s"),
    Column("float32_gmac", "float32 dot"),
    Column("int8_gmac", "int8 dot"),
    Column("c_gmac", "C kernel"),
    Column("ratio_float32", "against float32", 1, "×"),
    Column("ratio_int8", "against int8", 1, "×"),
    Column("of_roofline", "of the C kernel, %"),
    Column("good", "good", 0, "×"),
    Column("beyond", "beyond", 0, "×"),
    Column("of_good", "of good, %"),
    Column("of_beyond", "of beyond, %"),
)


def run(options, clock: timing.Clock) -> Report:
    """Measures every product at every shape."""
    report = Report(
        "The three products of binary training",
        (
            "GMAC/s: 10⁹ multiply-accumulates of ±1 a second, from the median. Each call is one compiled program, its "
            "dispatch included (the empty call in the JSON file). Every XLA program is compiled with and without "
            "512-bit vectors, the dots with their second operand as it is and transposed; the fastest counts. All "
            "write into memory that they were given, the result before. Of good and of beyond: how much of the target "
            "is reached. XLA's own dots ignore xla_cpu_max_isa, which limits only what it compiles.",
        ),
        COLUMNS,
    )
    native = roofline.build()
    shapes = QUICK if options.quick else tuple(dict.fromkeys(SHAPES))
    for batch, neurons, inputs in shapes:
        for product in ("forward", "backward", "outer"):
            name = f"{product} {batch} × {neurons} × {inputs}"
            if options.only in name:
                report.add(_measure(options, clock, native, product, batch, neurons, inputs))
    return report


def _measure(options, clock, native, product: str, batch: int, neurons: int, inputs: int) -> dict:
    packed, left, right = operands(product, batch, neurons, inputs)
    expected = np.asarray(left, np.float32) @ np.asarray(right, np.float32)
    binary = {
        "forward": lambda w, a: products.forward(w, a, inputs),
        "backward": products.backward,
        "outer": products.outer,
    }[product]
    cases: dict[str, Case] = {}

    def add(name, function, *args):
        for label, compiler_options in timing.compiler_options(options.quick).items():
            run = _into_given_memory(function, args, compiler_options)
            if not np.array_equal(np.asarray(run()), expected):
                raise AssertionError(f"products: {name} of {product} {expected.shape} is wrong")
            cases[f"{name}, {label}"] = Case(run)

    add("bep_jax", binary, *packed)
    for dtype in ("float32", "int8"):
        a, b = jnp.asarray(left, dtype), jnp.asarray(right, dtype)
        wide = jnp.float32 if dtype == "float32" else jnp.int32

        def dot(x, y, axis, wide=wide):
            return lax.dot_general(x, y, (((1,), (axis,)), ((), ())), preferred_element_type=wide)

        add(f"{dtype} plain", lambda x, y, dot=dot: dot(x, y, 0), a, b)
        add(f"{dtype} transposed", lambda x, y, dot=dot: dot(x, y, 1), a, b.T.copy())
    nothing = jax.jit(lambda *words: jnp.uint32(1))
    cases["empty call"] = Case(lambda: nothing(*packed))
    if native is not None:
        call, out = native.prepare(product, rows_first(product, packed), inputs)
        call()
        if not np.array_equal(out, expected):
            raise AssertionError(f"products: the C kernel of {product} {expected.shape} is wrong")
        cases["C kernel"] = Case(call)

    samples = clock.measure(cases)
    best = {name: timing.fastest(samples, name) for name in ("bep_jax", "float32", "int8", "C kernel")}
    macs = batch * neurons * inputs

    def rate(name):
        return macs / float(np.median(samples[best[name]])) / 1e9 if best[name] else None

    of_roofline = timing.ratio(samples, best["C kernel"], best["bep_jax"])
    ratio = timing.ratio(samples, best["float32"], best["bep_jax"])
    good, beyond = TARGETS[product] if (batch, neurons, inputs) == (256, 1035, 1035) else (None, None)
    return {
        "product": product,
        "shape": f"{batch} × {neurons} × {inputs}",
        "bep_gmac": rate("bep_jax"),
        "float32_gmac": rate("float32"),
        "int8_gmac": rate("int8"),
        "c_gmac": rate("C kernel"),
        "ratio_float32": ratio,
        "ratio_int8": timing.ratio(samples, best["int8"], best["bep_jax"]),
        "of_roofline": of_roofline.scaled(100) if of_roofline else None,
        "good": good,
        "beyond": beyond,
        "of_good": 100 * ratio.median / good if good else None,
        "of_beyond": 100 * ratio.median / beyond if beyond else None,
        "fastest": best,
        "microseconds": {name: Spread.of(values).scaled(1e6) for name, values in samples.items()},
    }


def _into_given_memory(function, args: tuple, compiler_options: dict | None):
    """A call that writes over its last result: fresh memory would cost large results more than their arithmetic."""
    compiled = jax.jit(
        lambda out, *args: function(*args), donate_argnums=0, keep_unused=True, compiler_options=compiler_options
    )
    out = jnp.zeros_like(jax.eval_shape(function, *args))

    def run():
        nonlocal out
        out = compiled(out, *args)
        return out

    return run


def rows_first(product: str, packed: tuple) -> tuple:
    """Operands of `bep_jax.kernels.products` as the C kernels want them: the rows of the first are contiguous."""
    return (packed[0].T, *packed[1:]) if product == "backward" else packed


def operands(product: str, batch: int, neurons: int, inputs: int) -> tuple[tuple, np.ndarray, np.ndarray]:
    """Random operands: packed for `bep_jax.kernels.products`, and as two int8 factors of the same matrix product."""
    rng = np.random.default_rng(0)

    def signs(*shape):
        return rng.integers(0, 2, shape).astype(np.int8) * np.int8(2) - np.int8(1)

    def pack(values):
        return bits.pack(jnp.asarray(values))

    if product == "forward":
        w, a = signs(neurons, inputs), signs(batch, inputs)
        return (pack(w), pack(a).T.copy()), w, a.T
    if product == "backward":
        w, t, gate = signs(inputs, neurons), signs(batch, neurons), signs(batch, neurons) > 0
        return (pack(w).T.copy(), pack(t).T.copy(), pack(gate).T.copy()), w, (t * gate).T
    t, mask, a = signs(neurons, batch), rng.random((neurons, batch)) < 0.1, signs(inputs, batch)
    return (pack(mask), pack(t), pack(a).T.copy()), t * mask, a.T
