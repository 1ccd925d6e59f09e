"""Packing: bit i of word j is element 32j + i, a set bit is +1, padding is 0."""

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bep_jax import bits

SIZES = (1, 2, 31, 32, 33, 63, 64, 65, 525)


def _pack_by_definition(plus):
    """Bool [..., K] to uint32 [..., W], one Python integer a word."""
    num_words = -(-plus.shape[-1] // 32)
    words = np.zeros((*plus.shape[:-1], num_words), np.uint32)
    for place in np.ndindex(words.shape):
        *rows, j = place
        chunk = plus[tuple(rows)][32 * j : 32 * j + 32]
        words[place] = sum(1 << i for i, bit in enumerate(chunk) if bit)
    return words


@pytest.mark.parametrize("size", SIZES)
def test_pack_is_its_definition(size):
    plus = np.random.default_rng(size).random((3, size)) < 0.5
    words = bits.pack(plus)
    assert words.dtype == jnp.uint32
    assert words.shape == (3, bits.num_words(size))
    np.testing.assert_array_equal(words, _pack_by_definition(plus))


def test_bit_order_by_hand():
    a = -np.ones(70, np.int8)
    a[[0, 31, 32, 69]] = 1
    np.testing.assert_array_equal(bits.pack(a), np.array([1 | 1 << 31, 1, 1 << 5], np.uint32))


@pytest.mark.parametrize("size", SIZES)
def test_padding_is_zero(size):
    words = np.asarray(bits.pack(np.ones((2, size), bool)))
    assert words[:, :-1].tolist() == [[2**32 - 1] * (words.shape[1] - 1)] * 2
    np.testing.assert_array_equal(words[:, -1], np.uint32(2 ** ((size - 1) % 32 + 1) - 1))


@hypothesis.given(
    st.sampled_from([(37,), (2, 3, 33)]).flatmap(lambda shape: hypothesis.extra.numpy.arrays(bool, shape))
)
def test_round_trip_over_leading_axes(plus):
    a = bits.unpack(bits.pack(plus), num_bits=plus.shape[-1])
    assert a.dtype == jnp.int8
    np.testing.assert_array_equal(a, np.where(plus, 1, -1))


@hypothesis.given(
    st.sampled_from(SIZES).flatmap(lambda size: st.lists(st.sampled_from([-1, 1]), min_size=size, max_size=size))
)
def test_round_trip_over_sizes(values):
    words = bits.pack(values)
    np.testing.assert_array_equal(bits.unpack(words, num_bits=len(values)), np.array(values))
    np.testing.assert_array_equal(bits.pack(bits.unpack(words, num_bits=len(values))), words)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
@pytest.mark.parametrize("size", [1, 33, 63])
def test_every_integer_type_packs_like_bool(size, dtype):
    plus = np.random.default_rng(0).random((2, size)) < 0.5
    signs = np.where(plus, 1, -1).astype(dtype)
    np.testing.assert_array_equal(bits.pack(signs), bits.pack(plus))
    np.testing.assert_array_equal(bits.pack(jnp.asarray(signs.astype("int8"))), bits.pack(jnp.asarray(plus)))


def test_numpy_inputs_are_left_alone():
    a = np.array([1, -1, 1], np.int8)
    before = a.copy()
    bits.pack(a)
    np.testing.assert_array_equal(a, before)
    np.testing.assert_array_equal(bits.unpack(np.array([5], np.uint32), num_bits=3), a)
    np.testing.assert_array_equal(bits.pack(a[::-1]), bits.pack(a[::-1].copy()))


@pytest.mark.parametrize("size", [31, 33, 525])
def test_jit_and_vmap(size):
    plus = np.random.default_rng(1).random((4, 3, size)) < 0.5
    words = bits.pack(plus)
    np.testing.assert_array_equal(jax.jit(bits.pack)(plus), words)
    np.testing.assert_array_equal(jax.jit(bits.pack)(jnp.where(plus, jnp.int8(1), jnp.int8(-1))), words)
    np.testing.assert_array_equal(jax.vmap(bits.pack)(plus), words)
    unpacked = jax.jit(jax.vmap(lambda x: bits.unpack(x, num_bits=size)))(words)
    np.testing.assert_array_equal(unpacked, np.where(plus, 1, -1))


def test_wide_types_change_nothing():
    plus = np.random.default_rng(2).random((3, 525)) < 0.5
    narrow = np.asarray(bits.pack(plus))
    with jax.enable_x64(True):
        wide = bits.pack(np.where(plus, 1, -1).astype(np.int64))
        assert wide.dtype == jnp.uint32
        np.testing.assert_array_equal(wide, narrow)
        unpacked = bits.unpack(wide, num_bits=525)
        assert unpacked.dtype == jnp.int8
        np.testing.assert_array_equal(unpacked, np.where(plus, 1, -1))


@pytest.mark.parametrize(("size", "words"), [(1, 1), (31, 1), (32, 1), (33, 2), (64, 2), (65, 3), (1035, 33)])
def test_num_words(size, words):
    assert bits.num_words(size) == words


@pytest.mark.parametrize(("size", "batch"), [(1, 1), (32, 5), (33, 16)])
def test_kernel_forms_pack_like_pack(size, batch):
    plus = np.random.default_rng(3).random((batch, size)) < 0.5
    words = np.asarray(bits.pack(plus))
    np.testing.assert_array_equal(bits.pack_minor(jnp.asarray(plus)), words)
    np.testing.assert_array_equal(bits.pack_major(jnp.asarray(plus.T)), words.T)
    np.testing.assert_array_equal(bits.unpack_minor(jnp.asarray(words), num_bits=size), plus)
    np.testing.assert_array_equal(bits.unpack_major(jnp.asarray(words.T), num_bits=size), plus.T)


# Errors


@pytest.mark.parametrize("strange", [0, 2, -2, 127])
def test_pack_refuses_other_integers(strange):
    with pytest.raises(ValueError, match=f"pack: integers must be -1 or \\+1, got {strange};"):
        bits.pack(np.array([1, -1, strange], np.int8))
    with pytest.raises(ValueError, match=f"got {strange}"):
        bits.pack(jnp.array([1, -1, strange], jnp.int8))


def test_pack_refuses_unsigned_zeros():
    with pytest.raises(ValueError, match=r"pack: integers must be -1 or \+1, got 0; .* a\.astype\(bool\)"):
        bits.pack(np.array([0, 1], np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_pack_refuses_floats(dtype):
    with pytest.raises(TypeError, match=f"pack: wanted bool or ±1 integers, got {dtype}"):
        bits.pack(np.ones(3, dtype))
    with pytest.raises(TypeError, match="pack: wanted bool or ±1 integers, got float32"):
        jax.jit(bits.pack)(jnp.ones(3, jnp.float32))


@pytest.mark.parametrize("scalar", [True, 1, np.bool_(True), np.int8(1)])
def test_pack_refuses_scalars(scalar):
    with pytest.raises(ValueError, match="pack: wanted at least one axis, got a scalar"):
        bits.pack(scalar)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.float32, bool])
def test_unpack_wants_words(dtype):
    with pytest.raises(TypeError, match=f"unpack: wanted uint32 words, got .* of {jnp.dtype(dtype)}"):
        bits.unpack(jnp.zeros(2, dtype), num_bits=33)


@pytest.mark.parametrize(("shape", "num_bits"), [((2,), 32), ((2,), 65), ((3, 1), 33), ((), 1), ((1,), 0), ((1,), -1)])
def test_unpack_wants_the_right_number_of_words(shape, num_bits):
    with pytest.raises(ValueError, match=r"unpack: num_bits(=.* needs a last axis of .* words, got shape| must be)"):
        bits.unpack(jnp.zeros(shape, jnp.uint32), num_bits=num_bits)


@pytest.mark.parametrize("num_bits", [1, 31, 33, 63])
def test_check_padding(num_bits):
    clean = np.asarray(bits.pack(np.ones((2, num_bits), bool)))
    bits.check_padding(clean, num_bits, "someone")
    for bit in range(num_bits % 32, 32):
        dirty = clean.copy()
        dirty[1, -1] |= np.uint32(1 << bit)
        for words in (dirty, jnp.asarray(dirty)):
            with pytest.raises(ValueError, match=f"someone: the last word has bits set past bit {num_bits};"):
                bits.check_padding(words, num_bits, "someone")


def test_check_padding_has_nothing_to_say_without_padding_or_values():
    bits.check_padding(np.full((2, 2), 2**32 - 1, np.uint32), 64, "someone")
    jax.jit(lambda x: bits.check_padding(x, 33, "someone"))(np.full((2, 2), 2**32 - 1, np.uint32))
