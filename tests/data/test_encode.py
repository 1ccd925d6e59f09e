import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import reference

from bep_jax import bits, encode
from bep_jax.data import expansion, thermometer


def signs(words, num_bits):
    return np.asarray(bits.unpack(words, num_bits=num_bits)).astype(np.int64)


def with_nan(rng, shape, share=0.2):
    x = rng.normal(size=shape).round(1)
    x[rng.random(shape) < share] = np.nan
    return x


def assert_levels(encoder, levels):
    """The thresholds that are bits."""
    counts = [len(level) for level in levels]
    assert (encoder.used.sum(axis=1) == counts).all() and encoder.num_bits == sum(counts)
    np.testing.assert_array_equal(
        encoder.thresholds[encoder.used], np.array([value for level in levels for value in level])
    )
    assert encoder.constant_features == tuple(f for f, count in enumerate(counts) if not count)


@pytest.mark.parametrize("num_bits", [1, 2, 7, 31, 33])
@pytest.mark.parametrize("shape", [(2, 3), (50, 5), (9, 4, 2), (40, 33)])
def test_thermometer_equals_the_reference(shape, num_bits):
    rng = np.random.default_rng(0)
    train, x = with_nan(rng, shape), with_nan(rng, shape)
    encoder = encode.fit_thermometer(train, num_bits)
    levels = reference.thermometer_thresholds(train, num_bits)
    assert encoder.num_features == shape[-1]
    assert_levels(encoder, levels)
    words = encoder(x)
    assert words.dtype == np.uint32 and words.shape == (*shape[:-1], bits.num_words(encoder.num_bits))
    bits.check_padding(words, encoder.num_bits, "test")
    np.testing.assert_array_equal(signs(words, encoder.num_bits), reference.thermometer(x, levels))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_median_and_levels_equal_the_reference(dtype):
    rng = np.random.default_rng(1)
    train = rng.integers(0, 9, (31, 6)).astype(dtype)
    x = rng.integers(0, 9, (5, 6)).astype(dtype)
    encoder = encode.fit_median(train)
    whole = np.issubdtype(dtype, np.integer)
    threshold = reference.median_threshold(train, whole)
    assert encoder.thresholds.shape == (6, 1) and encoder.thresholds.dtype == dtype
    assert (encoder.thresholds == threshold).all()
    np.testing.assert_array_equal(signs(encoder(x), 6), reference.median(x, threshold))
    levels = encode.fit_levels(train, 3)
    pooled = reference.thermometer_thresholds(train.reshape(-1, 1), 3, whole) * 6
    np.testing.assert_array_equal(levels.thresholds, pooled)
    np.testing.assert_array_equal(signs(levels(x), 18), reference.thermometer(x, pooled))


def test_median_leaves_nan_out():
    train = np.array([[np.nan, 3.0], [np.nan, 1.0], [2.0, np.nan]])
    encoder = encode.fit_median(train)
    assert (encoder.thresholds == 2.5).all()
    np.testing.assert_array_equal(signs(encoder(train), 2), [[-1, 1], [-1, -1], [-1, -1]])


def test_what_does_not_vary_has_no_bit():
    train = np.array([[np.nan, 5.0, 1.0], [np.nan, 5.0, 2.0]])
    encoder = encode.fit_thermometer(train, 3)
    assert encoder.constant_features == (0, 1) and encoder.num_bits == 1
    np.testing.assert_array_equal(signs(encoder(np.array([[np.inf, 9.0, 1.5], [0.0, 0.0, 1.6]])), 1), [[-1], [1]])
    for constant in (train[:, :2], np.full((2, 2), np.nan)):
        with pytest.raises(ValueError, match="fit_thermometer: none of the 2 features varies"):
            encode.fit_thermometer(constant)
    for fit in (encode.fit_median, encode.fit_levels):
        with pytest.raises(ValueError, match=f"{fit.__name__}: all values of the training data are the same"):
            fit(train[:, :2])


@pytest.mark.parametrize("values", [(0, 1), (-1, 1), (False, True), (0.0, 7.0), (255, 3)])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_two_values_are_one_bit_and_keep_what_they_say(values, share):
    high = np.arange(100)[:, None] % 100 < 100 * share
    train = np.where(high, values[1], values[0])
    for num_bits in (1, 7, None):
        np.testing.assert_array_equal(encode.fit_thermometer(train, num_bits)(train), high == (values[1] > values[0]))
    np.testing.assert_array_equal(encode.fit_median(train)(train), high == (values[1] > values[0]))


def test_bits_by_the_data():
    rng = np.random.default_rng(5)
    real, flags = rng.normal(size=(300, 2)), rng.integers(0, 2, (300, 1))
    assert encode.fit_thermometer(np.hstack([real, flags, rng.integers(0, 5, (300, 1))])).counts.tolist() == [
        15,
        15,
        1,
        4,
    ]
    assert encode.fit_thermometer(rng.normal(size=(30, 784))).num_bits == 8 * 784
    assert encode.fit_thermometer(rng.normal(size=(9, 20_000))).num_bits == 20_000
    assert encode.fit_levels(rng.integers(0, 256, (30, 784))).thresholds.shape == (784, 8)


@hypothesis.given(
    st.lists(st.one_of(st.floats(width=64), st.just(0.0)), min_size=1, max_size=40),
    st.integers(min_value=1, max_value=40),
)
def test_thermometer_takes_any_float(values, num_bits):
    train = np.array(values, np.float64)[:, None]
    places, distinct = reference.distributive_places(values, num_bits)
    if not places:
        with pytest.raises(ValueError, match="varies"):
            encode.fit_thermometer(train, num_bits)
        return
    encoder = encode.fit_thermometer(train, num_bits)
    assert encoder.num_bits == min(num_bits, len(distinct) - 1)
    np.testing.assert_array_equal(signs(encoder(train), len(places)), reference.thermometer(train, [places]))
    assert np.isfinite(encoder.thresholds).all() and (np.diff(encoder.thresholds) > 0).all()


@hypothesis.given(st.lists(st.integers(min_value=-128, max_value=127), min_size=2, max_size=30), st.integers(1, 9))
def test_thermometer_of_integers_is_exact_and_the_same_as_floats(values, num_bits):
    train = np.array(values, np.int8)[:, None]
    places, _ = reference.distributive_places(values, num_bits)
    if places:
        encoder = encode.fit_thermometer(train, num_bits)
        assert encoder.thresholds.dtype == np.int8
        assert_levels(encoder, reference.thermometer_thresholds(train, num_bits, integers=True))
        every = np.arange(-128, 128)[:, None]
        words = encoder(every)
        for dtype in (np.float32, np.float64, np.int64):
            np.testing.assert_array_equal(encoder(every.astype(dtype)), words)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_number_means_the_same_from_any_file(dtype):
    """0.7 as float32 is less than 0.7: values are as far as can be from thresholds, and rounded to their dtype."""
    rng = np.random.default_rng(6)
    train = rng.normal(size=(200, 4)).round(1).astype(dtype)
    encoder = encode.fit_thermometer(train)
    text = np.array([[float(str(value)) for value in row] for row in train])  # as a CSV has it
    np.testing.assert_array_equal(encoder(text), encoder(train))
    np.testing.assert_array_equal(encoder(train.astype(np.float32)), encoder(train))
    close = np.nextafter(np.float32(1), np.float32(2))
    tight = encode.fit_thermometer(np.array([[1.0], [close]], np.float32))
    np.testing.assert_array_equal(tight(np.array([[1.0 + 1e-9], [float(close) - 1e-9], [1e300]])), [[0], [1], [1]])


def test_values_are_compared_in_the_precision_of_the_thresholds():
    # Both pairs are one value in float32.
    close = np.array([[1.0], [1.0 + 2**-40]])
    np.testing.assert_array_equal(signs(encode.Thermometer(close[:1])(close), 1), [[-1], [1]])
    large = np.array([[2**53], [2**53 + 1]])
    np.testing.assert_array_equal(signs(encode.Thermometer(large[:1])(large), 1), [[-1], [1]])


def test_bool_bfloat16_lists_and_jax_arrays_are_taken():
    encoder = encode.fit_median([[False, True], [True, False], [False, False]])
    np.testing.assert_array_equal(signs(encoder(np.array([True, False])), 2), [1, -1])
    coarse = np.array([[1.0], [2.0]], ml_dtypes.bfloat16)
    assert encode.fit_thermometer(coarse, 1).thresholds.dtype == np.float32
    np.testing.assert_array_equal(encoder(jnp.asarray([[1, 0]], jnp.int32)), [[1]])
    np.testing.assert_array_equal(encoder([[1, 0]]), [[1]])


def test_large_data_are_encoded_in_blocks(monkeypatch):
    rng = np.random.default_rng(2)
    train = with_nan(rng, (57, 6))
    whole = encode.fit_thermometer(train, 5)
    wide = encode.expansion(jax.random.key(0), 70, 40)
    words = rng.integers(0, 2**32, (57, 3), np.uint32) & np.array([2**32 - 1, 2**32 - 1, 63], np.uint32)
    expected, expected_wide = whole(train), wide(words)
    monkeypatch.setattr(thermometer, "_BLOCK_BITS", 64)
    monkeypatch.setattr(expansion, "_BLOCK_ROWS", 16)
    np.testing.assert_array_equal(encode.fit_thermometer(train, 5).thresholds, whole.thresholds)
    np.testing.assert_array_equal(whole(train), expected)
    np.testing.assert_array_equal(wide(words), expected_wide)


@pytest.mark.parametrize(
    ("num_bits", "width"), [(1, 1), (1, 33), (31, 64), (32, 31), (33, 32), (64, 33), (65, 1), (65, 63), (525, 40)]
)
def test_expansion_equals_the_reference(num_bits, width):
    rng = np.random.default_rng(3)
    a = rng.choice(np.array([-1, 1]), (3, 5, num_bits))
    encoder = encode.expansion(jax.random.key(1), num_bits, width)
    assert encoder.num_bits == width and encoder.num_inputs == num_bits
    assert isinstance(encoder.matrix, np.ndarray) and encoder.matrix.dtype == np.uint32
    words = encoder(encode.pack_host(a > 0))
    assert words.dtype == np.uint32 and words.shape == (3, 5, bits.num_words(width))
    bits.check_padding(words, width, "test")
    expected = reference.expansion(a, signs(encoder.matrix, num_bits))
    np.testing.assert_array_equal(signs(words, width), expected)
    np.testing.assert_array_equal(signs(encoder(encode.pack_host(a[0, 0] > 0)), width), expected[0, 0])


def test_expansion_is_drawn_from_its_key():
    draw = functools.partial(encode.expansion, num_bits=40, width=64)
    np.testing.assert_array_equal(draw(jax.random.key(0)).matrix, draw(jax.random.key(0)).matrix)
    assert (draw(jax.random.key(0)).matrix != draw(jax.random.key(1)).matrix).any()
    share = np.mean(signs(draw(jax.random.key(0)).matrix, 40) > 0)
    assert 0.45 < share < 0.55


def test_counts_and_bits_that_are_filled_up():
    encoder = encode.Thermometer(np.array([[1, 2], [5, 7], [9, 9]], np.uint8), np.array([2, 0, 1]))
    x = np.array([[2, 255, 255], [3, 0, 9]])
    np.testing.assert_array_equal(signs(encoder(x), 3), [[1, -1, 1], [1, 1, -1]])
    wide = encoder.filled(40)
    assert wide.num_bits == 40
    np.testing.assert_array_equal(wide(x), np.pad(encoder(x), ((0, 0), (0, 1))))
    floats = encode.Thermometer(np.array([[1.0], [2.0]])).filled(4)
    np.testing.assert_array_equal(floats(np.array([[np.inf, np.inf]])), [[3]])
    for counts, error in (
        ([1, 2], ValueError),
        ([0, 0, 0], ValueError),
        ([3, 0, 0], ValueError),
        ([1.0] * 3, TypeError),
    ):
        with pytest.raises(error, match="counts must be"):
            encode.Thermometer(np.zeros((3, 2)), np.array(counts))


def test_no_rows_give_no_words():
    encoder = encode.compose(encode.Thermometer(np.zeros((3, 2))), encode.expansion(jax.random.key(0), 6, 40))
    assert encoder(np.zeros((0, 3))).shape == (0, 2)
    assert encode.expansion(jax.random.key(0), 100, 40)(np.zeros((0, 4), np.uint32)).shape == (0, 2)


def test_compose():
    rng = np.random.default_rng(4)
    train = rng.normal(size=(20, 7, 3))
    first = encode.fit_thermometer(train, 4)
    second = encode.expansion(jax.random.key(0), 12, 33)
    third = encode.expansion(jax.random.key(1), 33, 50)
    encoder = encode.compose(encode.compose(first, second), third)
    assert encoder.encoders == (first, second, third) and encoder.num_bits == 50
    np.testing.assert_array_equal(encoder(train), third(second(first(train))))
    assert encode.compose(first) is first
    with pytest.raises(ValueError, match="at least one"):
        encode.compose()
    with pytest.raises(ValueError, match="takes 33 bits, but Thermometer before it gives 12"):
        encode.compose(first, third)
    with pytest.raises(ValueError, match="can only come first"):
        encode.compose(second, first)


@pytest.mark.parametrize("shape", [(0,), (1,), (5, 31), (5, 32), (2, 3, 33), (1, 525), (0, 40)])
def test_pack_host_is_pack(shape):
    a = np.random.default_rng(5).random(shape) < 0.5
    words = encode.pack_host(a)
    assert words.dtype == np.uint32
    if a.size:
        np.testing.assert_array_equal(words, bits.pack(a))
    assert words.shape == (*shape[:-1], bits.num_words(shape[-1]))


@pytest.mark.parametrize(
    ("train", "num_bits", "error", "match"),
    [
        (np.zeros((3, 2)), 0, ValueError, "num_bits must be at least 1"),
        (np.zeros((3, 2)), 2.0, TypeError, "num_bits must be an integer"),
        (np.zeros((3, 2)), True, TypeError, "num_bits must be an integer"),
        (np.zeros((0, 2)), 2, ValueError, "at least one row"),
        (np.zeros((3, 0)), 2, ValueError, "at least one row"),
        (np.zeros(3), 2, ValueError, "at least one row"),
        (np.array([["a"]]), 2, TypeError, "wanted numbers"),
        (np.array([[1j]]), 2, TypeError, "wanted numbers"),
        (np.array([[None]]), 2, TypeError, "wanted numbers"),
    ],
)
def test_bad_training_data(train, num_bits, error, match):
    with pytest.raises(error, match=match):
        encode.fit_thermometer(train, num_bits)
    if type(num_bits) is int and num_bits == 2:
        with pytest.raises(error, match=match):
            encode.fit_median(train)


def test_bad_input_of_a_call():
    encoder = encode.Thermometer(np.zeros((3, 2)))
    for x in (np.zeros((4, 2)), np.zeros(()), np.zeros(4)):
        with pytest.raises(ValueError, match="fitted on 3 features"):
            encoder(x)
    with pytest.raises(TypeError, match="wanted numbers"):
        encoder(np.array(["a", "b", "c"]))
    with pytest.raises(TypeError, match="host"):
        jax.jit(encoder)(jnp.zeros((1, 3), jnp.float32))
    wide = encode.expansion(jax.random.key(0), 33, 8)
    with pytest.raises(ValueError, match="33 bits are 2 words"):
        wide(np.zeros((4, 1), np.uint32))
    with pytest.raises(ValueError, match="padding"):
        wide(np.array([[0, 2]], np.uint32))
    with pytest.raises(TypeError, match="uint32"):
        wide(np.zeros((4, 2), np.int32))
    with pytest.raises(TypeError, match="host"):
        jax.jit(wide)(jnp.zeros((1, 2), jnp.uint32))


def test_bad_fields():
    for thresholds in (np.zeros(3), np.zeros((0, 2)), np.zeros((2, 0))):
        with pytest.raises(ValueError, match="features, bits"):
            encode.Thermometer(thresholds)
    for thresholds in (np.array([[2.0, 1.0]]), np.array([[np.nan]])):
        with pytest.raises(ValueError, match="sorted"):
            encode.Thermometer(thresholds)
    with pytest.raises(TypeError, match="uint32"):
        encode.Expansion(np.zeros((2, 1), np.int64), 5)
    with pytest.raises(ValueError, match="does not fit"):
        encode.Expansion(np.zeros((2, 2), np.uint32), 5)
    with pytest.raises(ValueError, match="no row"):
        encode.Expansion(np.zeros((0, 1), np.uint32), 5)
    with pytest.raises(ValueError, match="padding"):
        encode.Expansion(np.full((2, 1), 32, np.uint32), 5)
    for num_bits, width in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            encode.expansion(jax.random.key(0), num_bits, width)
