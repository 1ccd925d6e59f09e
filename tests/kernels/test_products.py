"""The three products on words: equal to int64 matrix products, in the bitwise form and in the int8 form.

Axis letters: K inputs, N neurons, B batch.
"""

import functools

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from bep_jax import bits
from bep_jax.kernels import popcounts, products

# N, K, B: odd sizes, whole words, one of everything, and sizes past every split of the words.
SIZES = (
    (1, 1, 1),
    (1, 31, 5),
    (33, 33, 1),
    (63, 32, 33),
    (31, 525, 100),
    (525, 63, 5),
    (64, 1035, 100),
    (1035, 33, 100),
    (5, 1024, 33),
)
# Words that are gone over in several passes, in passes over panels of columns, or in one pass however many they are;
# the forms in which they are scanned over.
LARGE = {
    ("forward", (33, 4096, 300)): ("vectors", "adders"),
    ("forward", (5, 4096, 600)): ("vectors", "adders"),
    ("backward", (600, 33, 200)): ("vectors", "adders"),
    ("backward", (4096, 33, 300)): ("vectors", "adders"),
    ("outer", (33, 600, 3000)): ("vectors", "adders"),
    ("outer", (33, 1035, 300)): ("vectors",),  # elsewhere bytes hold them
    ("outer", (2100, 1001, 300)): (),
    ("outer", (5, 2000, 300)): (),
}
FORMS = ("vectors", "adders", "int8")


def _on_a_cpu(form, transform, product):
    """``transform`` of the product for a CPU that counts bits in vectors, or by adders, traced as such."""

    def run(*operands):
        # By its own name: `platform_dependent` would not trace again what it has traced in the other form.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(popcounts, "counts_in_vectors", lambda: form == "vectors")
            name, options = getattr(product, "func", product).__name__, getattr(product, "keywords", {})
            return transform(lambda *o: getattr(products, f"_{name}_bitwise")(*o, **options))(*operands)

    return run


def _run(form, product, *operands):
    """The product for a CPU with vector popcounts, for one without, or for an accelerator; all run here."""
    if form != "int8":
        return _on_a_cpu(form, functools.partial(jax.jit, compiler_options=cases.OPTIMISED), product)(*operands)
    checks = [export.DisabledSafetyCheck.platform()]
    exported = export.export(jax.jit(product), platforms=("cuda",), disabled_checks=checks)(*operands)
    assert "stablehlo.dot_general" in exported.mlir_module()
    assert "stablehlo.popcnt" not in exported.mlir_module().split("dot_general")[-1]
    return exported.call(*operands)


def _signs(rng, *shape):
    return rng.choice(np.array([-1, 1]), size=shape)


def _mask(rng, *shape):
    return rng.random(shape) < 0.3


def _words(a):
    """[.., K] to words [.., W]."""
    return bits.pack(a)


def _words_first(a):
    """[K, B] to words [W, B]."""
    return bits.pack(np.swapaxes(a, -1, -2)).mT


def _case(name, n, k, b, seed=0):
    """A product's operands, and what it should be in int64."""
    rng = np.random.default_rng(seed)
    w, a, t, g, m = _signs(rng, n, k), _signs(rng, k, b), _signs(rng, n, b), _mask(rng, n, b), _mask(rng, n, b)
    if name == "forward":
        return (_words(w), _words_first(a), jnp.int32(k)), w @ a
    if name == "backward":
        return (_words_first(w), _words_first(t), _words_first(g)), w.T @ (g * t)
    return (_words(m), _words(t), _words_first(a.T)), (m * t) @ a.T


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n", "k", "b"), SIZES)
@pytest.mark.parametrize("name", ["forward", "backward", "outer"])
def test_products_equal_matrix_products(name, n, k, b, form):
    operands, want = _case(name, n, k, b)
    got = _run(form, getattr(products, name), *operands)
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(1, 31, 5), (33, 525, 100), (1035, 64, 17), (5, 2048, 40), (2048, 5, 40)])
@pytest.mark.parametrize("name", ["forward", "backward"])
def test_products_in_int16(name, size, form):
    operands, want = _case(name, *size)
    got = _run(form, functools.partial(getattr(products, name), dtype=jnp.int16), *operands)
    assert got.dtype == jnp.int16
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("most", "dtype"), [(1, "int16"), (32766, "int16"), (32767, "int32"), (10**6, "int32")])
def test_what_holds_a_sum(most, dtype):
    assert products.holding(most) == jnp.dtype(dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "size"), LARGE)
def test_large_products_are_scanned(name, size, form):
    operands, want = _case(name, *size)
    product = getattr(products, name)
    if form != "int8":
        jaxpr = str(_on_a_cpu(form, jax.make_jaxpr, product)(*operands))
        assert ("scan" in jaxpr) == (form in LARGE[name, size])
    np.testing.assert_array_equal(_run(form, product, *operands), want)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("forward", ((525, 128), (128, 256), ())),
        ("backward", ((33, 1035), (33, 256), (33, 256))),
        ("outer", ((525, 32), (525, 32), (32, 525))),
    ],
)
def test_passes_sum_in_place(name, shapes):
    # A pass that summed elsewhere would need a second array of sums, and a second pass to add it.
    def compiled(function):
        return lambda *operands: jax.jit(function, compiler_options=cases.FUSED).lower(*operands).compile()

    operands = [jax.ShapeDtypeStruct(shape, "uint32" if shape else "int32") for shape in shapes]
    memory = _on_a_cpu("vectors", compiled, getattr(products, name))(*operands).memory_analysis()
    assert memory.temp_size_in_bytes < memory.output_size_in_bytes / 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n", "k", "b"), [(33, 63, 95), (3, 5, 992)])  # of the second, bytes take all that fits
@pytest.mark.parametrize("name", ["forward", "backward", "outer"])
def test_extreme_operands(name, n, k, b, form):
    # Every popcount at its largest and at its smallest: sums must neither wrap nor lose their sign.
    ones = np.ones((n, k), int), np.ones((k, b), int), np.ones((n, b), int), np.ones((n, b), bool)
    for sign in (-1, 1):
        w, a, t, m = ones[0], sign * ones[1], sign * ones[2], ones[3]
        operands, want = {
            "forward": ((_words(w), _words_first(a), jnp.int32(k)), w @ a),
            "backward": ((_words_first(w), _words_first(t), _words_first(m)), w.T @ t),
            "outer": ((_words(m), _words(t), _words_first(ones[1].T)), t @ ones[1].T),
        }[name]
        np.testing.assert_array_equal(_run(form, getattr(products, name), *operands), want)


@pytest.mark.parametrize("form", FORMS)
def test_masks_that_are_empty_give_zero(form):
    operands, _ = _case("outer", 33, 31, 5)
    np.testing.assert_array_equal(_run(form, products.outer, jnp.zeros_like(operands[0]), *operands[1:]), 0)
    operands, _ = _case("backward", 33, 31, 5)
    np.testing.assert_array_equal(_run(form, products.backward, *operands[:2], jnp.zeros_like(operands[2])), 0)


@pytest.mark.parametrize("name", ["forward", "backward", "outer"])
def test_wide_types_change_nothing(name):
    operands, want = _case(name, 33, 63, 5)
    with jax.enable_x64(True):
        got = jax.jit(functools.partial(getattr(products, name)))(*operands)
        assert got.dtype == jnp.int32
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["forward", "backward", "outer"])
def test_a_cpu_gets_popcounts(name):
    operands, want = _case(name, 33, 63, 5)
    lowered = jax.jit(getattr(products, name)).lower(*operands)
    assert "stablehlo.popcnt" in lowered.as_text() and "stablehlo.dot_general" not in lowered.as_text()
    np.testing.assert_array_equal(lowered.compile()(*operands), want)


@pytest.mark.parametrize("name", ["forward", "backward", "outer"])
def test_jit_and_vmap(name):
    pairs = [_case(name, 33, 63, 5, seed) for seed in range(3)]
    operands = [jnp.stack(o) for o in zip(*(p[0] for p in pairs), strict=True)]
    got = jax.jit(jax.vmap(getattr(products, name)))(*operands)
    np.testing.assert_array_equal(got, np.stack([p[1] for p in pairs]))


@pytest.mark.parametrize("platform", ["cuda", "tpu", "rocm"])
@pytest.mark.parametrize("name", ["forward", "backward", "outer"])
def test_accelerators_get_one_integer_matrix_product(name, platform):
    operands, _ = _case(name, 33, 63, 5)
    module = export.export(jax.jit(getattr(products, name)), platforms=(platform,))(*operands).mlir_module()
    products_of_int8 = [line for line in module.splitlines() if "stablehlo.dot_general" in line]
    assert len(products_of_int8) == 1
    assert "xi8>" in products_of_int8[0] and "xi32>" in products_of_int8[0]
    assert not any(kind in module for kind in ("xf32", "xf16", "xbf16", "xf64"))
