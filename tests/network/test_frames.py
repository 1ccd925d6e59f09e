import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bep_jax import bits
from bep_jax.network import frames
from bep_jax.network.frames import equiangular_frame


def rows_of(frame, width):
    return np.asarray(bits.unpack(frame, num_bits=width)).astype(np.int64)


def objective(rows, alpha):
    """J, exactly, straight from Eq. 13."""
    products = [int(a @ b) for a, b in itertools.combinations(rows, 2)]
    mean = Fraction(sum(products), len(products))
    return sum(products) + alpha * sum((p - mean) ** 2 for p in products) / len(products)


def plain_search(key, num_classes, width, alpha):
    """The same proposals in the same order, every flip judged by J computed anew."""
    signs, ranks = np.asarray(jax.random.bits(key, (2, num_classes * width), jnp.uint32))
    rows = np.where(signs.reshape(width, num_classes).T >= 2**31, 1, -1).astype(np.int64)
    best, kept = objective(rows, alpha), 1
    while kept:
        kept = 0
        for proposal in np.argsort(ranks, kind="stable"):
            coordinate, row = divmod(int(proposal), num_classes)
            rows[row, coordinate] *= -1
            value = objective(rows, alpha)
            if value < best:
                best, kept = value, kept + 1
            else:
                rows[row, coordinate] *= -1
    return rows


@pytest.mark.parametrize(
    ("num_classes", "width", "alpha"),
    [(2, 1, 1), (3, 33, 1), (4, 31, 1), (5, 63, 1), (7, 32, 1), (5, 33, 0), (4, 40, Fraction(1, 2)), (5, 31, 3)],
)
def test_equals_a_plain_search(num_classes, width, alpha):
    frame = equiangular_frame(jax.random.key(3), num_classes, width, alpha=float(alpha))
    assert frame.shape == (num_classes, bits.num_words(width)) and frame.dtype == jnp.uint32
    bits.check_padding(frame, width, "test")
    np.testing.assert_array_equal(rows_of(frame, width), plain_search(jax.random.key(3), num_classes, width, alpha))


def test_no_single_flip_lowers_the_objective_at_full_size():
    num_classes, width = 10, 1035
    rows = rows_of(equiangular_frame(jax.random.key(0), num_classes, width), width)
    gram = rows @ rows.T
    pairs = num_classes * (num_classes - 1) // 2
    total = int(np.triu(gram, 1).sum())
    np.fill_diagonal(gram, 0)
    for row in range(num_classes):
        change = -2 * rows[row] * rows  # of <row, j>, for every coordinate: [C, K]
        change[row] = 0
        change_total = change.sum(axis=0)
        change_squares = ((2 * gram[row][:, None] + change) * change).sum(axis=0)
        # P²·ΔJ, P the number of pairs
        rise = change_total * pairs**2 + change_squares * pairs - change_total * (2 * total + change_total)
        assert (rise >= 0).all()
    # The sum cannot be lower than with every coordinate balanced.
    assert total == -num_classes * width // 2
    off = gram[np.triu_indices(num_classes, 1)]
    assert off.var() < 20 and off.max() < -95


def test_two_classes_are_opposite():
    frame = equiangular_frame(jax.random.key(1), 2, 525)
    rows = rows_of(frame, 525)
    np.testing.assert_array_equal(rows[0], -rows[1])


def test_jit_vmap_and_x64_give_the_same_frame():
    keys = jax.random.split(jax.random.key(7), 3)
    loop = np.stack([np.asarray(equiangular_frame(key, 6, 45)) for key in keys])
    assert len({frame.tobytes() for frame in loop}) == 3
    draw = lambda key: equiangular_frame(key, 6, 45)  # noqa: E731
    np.testing.assert_array_equal(jax.vmap(draw)(keys), loop)
    np.testing.assert_array_equal(jax.jit(jax.vmap(draw))(keys), loop)
    np.testing.assert_array_equal(jax.jit(draw)(keys[1]), loop[1])
    np.testing.assert_array_equal(equiangular_frame(jax.random.key_data(keys[2]), 6, 45), loop[2])
    with jax.enable_x64(True):
        frames._search.cache_clear()
        np.testing.assert_array_equal(draw(keys[0]), loop[0])
    frames._search.cache_clear()


def test_beside_an_accelerator_the_search_runs_on_the_cpu(monkeypatch):
    expected = equiangular_frame(jax.random.key(7), 6, 45)
    key = jax.random.key(7)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    frame = equiangular_frame(key, 6, 45)
    np.testing.assert_array_equal(frame, expected)
    # A key from outside is concrete inside jit too.
    np.testing.assert_array_equal(jax.jit(lambda x: x ^ equiangular_frame(key, 6, 45))(frame), np.zeros_like(frame))

    def none(backend):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(jax, "local_devices", none)
    np.testing.assert_array_equal(equiangular_frame(key, 6, 45), expected)


def test_holds_no_float():
    jaxpr = str(jax.make_jaxpr(lambda key: equiangular_frame(key, 6, 45))(jax.random.key(0)))
    assert "i32" in jaxpr and not any(name in jaxpr for name in (":f16", ":bf16", ":f32", ":f64"))


def test_comparison_is_exact_where_it_is_allowed():
    # As large as the check admits: the bound on every intermediate is below 2**31, one class size further is refused.
    frames._check_int32(1000, 4096, Fraction(1))
    with pytest.raises(ValueError, match="32 bits"):
        equiangular_frame(jax.random.key(0), 2000, 1035)
    with pytest.raises(ValueError, match="32 bits"):
        equiangular_frame(jax.random.key(0), 10, 1035, alpha=1e6)


@pytest.mark.parametrize(
    ("key", "num_classes", "width", "alpha", "error", "match"),
    [
        (0, 10, 10, 1.0, TypeError, "jax.random.key"),
        (jnp.zeros(2, jnp.float32), 10, 10, 1.0, TypeError, "float32"),
        (jax.random.split(jax.random.key(0), 3), 10, 10, 1.0, ValueError, "vmap"),
        (jax.random.key(0), 1, 10, 1.0, ValueError, "num_classes must be at least 2"),
        (jax.random.key(0), 10, 0, 1.0, ValueError, "width must be at least 1"),
        (jax.random.key(0), 10.0, 10, 1.0, TypeError, "num_classes must be an integer"),
        (jax.random.key(0), 10, True, 1.0, TypeError, "width must be an integer"),
        (jax.random.key(0), 10, 10, -1.0, ValueError, "alpha"),
        (jax.random.key(0), 10, 10, float("nan"), ValueError, "alpha"),
        (jax.random.key(0), 10, 10, float("inf"), ValueError, "alpha"),
    ],
)
def test_bad_input(key, num_classes, width, alpha, error, match):
    with pytest.raises(error, match=match):
        equiangular_frame(key, num_classes, width, alpha=alpha)
