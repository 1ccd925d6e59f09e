"""The tied dense layer, kernel by kernel, against the reference.

Axis letters: K inputs, N neurons, B batch.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from bep_jax import bits, dense

SIZES = ((1, 1, 1), (33, 31, 5), (63, 525, 17))  # N, K, B


def _words_first(a):
    """[B, N] to words [W, B]."""
    return bits.pack(a).mT


def _signs(rng, *shape):
    return rng.choice(np.array([-1, 1]), size=shape)


@pytest.mark.parametrize(("n", "k", "b"), SIZES)
def test_forward_and_activate(n, k, b):
    rng = np.random.default_rng(0)
    hidden, a = rng.integers(-3, 4, (n, k)), _signs(rng, b, k)  # zeros too: sign(0) = +1
    z = dense.forward(jnp.asarray(hidden, jnp.int16), _words_first(a))
    assert z.dtype == jnp.int16
    want = a @ reference.sign(hidden).T
    np.testing.assert_array_equal(z, want.T)
    np.testing.assert_array_equal(dense.activate(z), _words_first(reference.sign(want)))


def test_activate_counts_zero_as_plus_one():
    z = jnp.array([[-1], [0], [1]], jnp.int32)
    np.testing.assert_array_equal(dense.activate(z), np.array([[0b110]], np.uint32))


@pytest.mark.parametrize("threshold", [0, 3, 19, 2**31 - 1])
def test_gate_is_open_up_to_its_threshold(threshold):
    z = np.arange(-20, 20)[None, :]
    for dtype in (jnp.int32, jnp.int16):
        got = dense.gate(jnp.asarray(z.T, dtype), jnp.int32(threshold))
        np.testing.assert_array_equal(got, _words_first(np.abs(z) <= threshold))


@pytest.mark.parametrize("width", [0, 1, 4, 19, 2**31 - 1])
def test_the_band_is_open_below_its_width(width):
    z, active = np.arange(-20, 20)[None, :].repeat(2, axis=0), np.array([True, False])
    for dtype in (jnp.int32, jnp.int16):
        got = dense.band(jnp.asarray(z.T, dtype), jnp.asarray(active), jnp.int32(width))
        np.testing.assert_array_equal(got, _words_first((np.abs(z) < width) & active[:, None]))


def test_gate_and_stability_at_the_ends_of_int16():
    z = np.array([[32767, -32767, -32768]])
    kept = jnp.asarray(z.T, jnp.int16)
    np.testing.assert_array_equal(dense.gate(kept, jnp.int32(32767)), _words_first(np.array([[True, True, False]])))
    opposite = _words_first(np.array([[-1, -1, 1]]))
    both = jnp.stack([kept, kept]), jnp.stack([opposite, opposite])
    np.testing.assert_array_equal(dense.summed_stability(*both), 2 * z.T * np.array([[-1], [-1], [1]]))


@pytest.mark.parametrize(("n", "k", "b"), SIZES)
@pytest.mark.parametrize("threshold", [0, 5, 10**6])
def test_desired_input(n, k, b, threshold):
    rng = np.random.default_rng(1)
    hidden, desired, z = rng.integers(-3, 4, (n, k)), _signs(rng, b, n), rng.integers(-9, 10, (b, n))
    gates, want = reference.project_back(hidden, z, desired, threshold)
    got = dense.desired_input(jnp.asarray(hidden, jnp.int16), _words_first(desired), _words_first(gates > 0))
    np.testing.assert_array_equal(got, _words_first(want))


@pytest.mark.parametrize(("n", "k", "b"), SIZES)
@pytest.mark.parametrize("positions", [1, 4])
def test_stability_is_summed_over_positions(n, k, b, positions):
    rng = np.random.default_rng(2)
    z, desired = rng.integers(-k, k + 1, (positions, b, n)), _signs(rng, positions, b, n)
    got = dense.summed_stability(jnp.asarray(z.swapaxes(1, 2), jnp.int16), _words_first(desired))
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, np.sum(z * desired, axis=0).T)


def test_gate_of_tied_positions():
    z = np.random.default_rng(4).integers(-9, 10, (3, 5, 33))
    got = dense.gate(jnp.asarray(z.swapaxes(1, 2), jnp.int16), jnp.int32(4))
    np.testing.assert_array_equal(got, _words_first(np.abs(z) <= 4))


def _divisors(n):
    return [g for g in range(1, n + 1) if n % g == 0]


# The last bound leaves no room for a score and an index in one word.
@pytest.mark.parametrize(("n", "b", "largest"), [(1, 1, 2), (32, 5, 2), (63, 17, 525), (525, 9, 3), (66, 5, 2**30)])
def test_winners_for_every_group_size_in_one_program(n, b, largest):
    rng = np.random.default_rng(3)
    z, desired = rng.integers(-largest, largest + 1, (b, n)), _signs(rng, b, n)
    z[:, ::3] = rng.choice(np.array([-largest, 0, largest]), size=z[:, ::3].shape)  # ties, zeros, extremes
    active = rng.random(b) < 0.8
    u = z * desired

    @jax.jit
    def run(z, desired, u, active, group_size):
        plain = dense.winners(z, desired, active, group_size, bound=largest)
        return plain, dense.tied_winners(u, active, group_size, bound=largest)

    operands = jnp.asarray(z.T, jnp.int32), _words_first(desired), jnp.asarray(u.T, jnp.int32), jnp.asarray(active)
    sizes = [*_divisors(n), 2 * n // 7 + 1, n // 2 + 1]  # with a shorter last group
    for size in sizes:
        plain, tied = run(*operands, jnp.int32(size))
        wrong = reference.sign(z) != desired
        np.testing.assert_array_equal(plain, _words_first(reference.pick_winners(wrong, z, active, size) > 0))
        np.testing.assert_array_equal(tied, _words_first(reference.pick_winners(u < 0, u, active, size) > 0))
    assert run._cache_size() == 1
    together = jax.vmap(run, in_axes=(None, None, None, None, 0))(*operands, jnp.asarray(sizes, jnp.int32))
    for i, size in enumerate(sizes):
        for got, want in zip(together, run(*operands, jnp.int32(size)), strict=True):
            np.testing.assert_array_equal(got[i], want)


def test_the_first_of_tied_neurons_wins():
    z = jnp.array([[-4], [-2], [2], [-2], [1]], jnp.int32)
    desired = _words_first(np.array([[1, 1, -1, 1, 1]]))  # the last neuron is right
    got = dense.winners(z, desired, jnp.array([True]), jnp.int32(5), bound=9)
    np.testing.assert_array_equal(got, np.array([[0b00010]], np.uint32))
    u = jnp.array([[-4], [0], [-2], [-2], [1]], jnp.int32)  # a summed stability of 0 is not wrong
    np.testing.assert_array_equal(
        dense.tied_winners(u, jnp.array([True]), jnp.int32(5), bound=9), np.array([[0b00100]], np.uint32)
    )


def test_no_winners_where_nothing_is_wrong_or_active():
    z = jnp.array([[3, -3], [-1, 1]], jnp.int32)
    right = _words_first(np.array([[1, -1], [-1, 1]]))
    opposite = _words_first(np.array([[-1, 1], [1, -1]]))
    both, neither = jnp.array([True, True]), jnp.array([False, False])
    np.testing.assert_array_equal(dense.winners(z, right, both, jnp.int32(1), bound=3), 0)
    np.testing.assert_array_equal(dense.winners(z, opposite, neither, jnp.int32(1), bound=3), 0)
    np.testing.assert_array_equal(dense.tied_winners(-jnp.abs(z), neither, jnp.int32(2), bound=3), 0)


WORDS = jnp.ones((2, 4), jnp.uint32)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda z: dense.gate(z.astype(jnp.float32), 3),
            TypeError,
            "gate: preactivations must be integers",
        ),
        (lambda z: dense.gate(z, -1), ValueError, "gate: threshold must be a whole number of at least 0, got -1"),
        (lambda z: dense.gate(z, 2**31), ValueError, "gate: threshold must be"),
        (lambda z: dense.activate([1, 2]), TypeError, r"activate: preactivations must be integers \[N, B\], got list"),
        (
            lambda z: dense.band(z, jnp.ones(5, bool), 3),
            ValueError,
            r"active must be bool \[B\] with N=33, B=4",
        ),
        (
            lambda z: dense.winners(z, WORDS[:1], jnp.ones(4, bool), 3, bound=9),
            ValueError,
            r"desired must be uint32 \[Wn",
        ),
        (lambda z: dense.winners(z, WORDS, jnp.ones(4, bool), 0, bound=9), ValueError, "group_size must be"),
        (lambda z: dense.winners(z, WORDS, jnp.ones(4, bool), 1.0, bound=9), TypeError, "group_size must be"),
        (
            lambda z: dense.forward(z, WORDS),
            ValueError,
            r"forward: inputs must be uint32 \[Wk, B\] with N=33, K=4",
        ),
        (lambda z: dense.visible(z.astype(bool)), TypeError, "hidden must be integers"),
        (lambda z: dense.transposed(z), TypeError, "words must be uint32"),
        (lambda z: dense.transposed(WORDS[:0]), ValueError, r"words must be uint32 \[W, B\], got \(0, 4\)"),
    ],
)
def test_arrays_that_a_kernel_is_not_written_for(call, error, match):
    with pytest.raises(error, match=match):
        call(jnp.ones((33, 4), jnp.int32))
