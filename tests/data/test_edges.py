"""Edges: every bit as a loop over pixels has it, and what is refused."""

import itertools

import numpy as np
import pytest

import bep_jax as bep
from bep_jax import encode
from bep_jax.encode import Edges, Thermometer


def _slow(encoder, image):
    """The bits of one image ``[*image_shape, F]``, a pixel and an axis at a time."""
    found = []
    for place in itertools.product(*map(range, encoder.image_shape)):
        found += [v > t for v, row in zip(image[place], encoder.levels.thresholds, strict=True) for t in row]
        for axis, size in enumerate(encoder.image_shape):
            ends = [list(place), list(place)]
            ends[0][axis], ends[1][axis] = min(place[axis] + 1, size - 1), max(place[axis] - 1, 0)
            after, before = (image[tuple(end)].astype(encoder.differences.thresholds.dtype) for end in ends)
            with np.errstate(invalid="ignore"):
                difference = after - before
            found += [d > t for d, row in zip(difference, encoder.differences.thresholds, strict=True) for t in row]
    return np.array(found)


@pytest.mark.parametrize("shape", [(4, 5, 1), (3, 3, 2), (11, 3), (1, 6, 1), (2, 3, 4, 1)])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.float32, np.float64])
def test_edges_equal_a_loop(shape, dtype):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(20, *shape)) * 50).astype(dtype) if dtype is not bool else rng.random((20, *shape)) < 0.5
    if np.issubdtype(dtype, np.floating):
        x[rng.random(x.shape) < 0.1] = np.nan
        x[rng.random(x.shape) < 0.1] = np.inf
    flat = x.reshape(20, -1)
    encoder = encode.fit_edges(flat, shape[:-1], num_bits=3)
    got = np.asarray(bep.bits.unpack(encoder(flat), num_bits=encoder.num_bits)) > 0
    images = x.astype(np.uint8) if dtype is bool else x
    np.testing.assert_array_equal(got, [_slow(encoder, image) for image in images])
    assert encoder.num_bits == np.prod(shape[:-1]) * encoder.pixel_bits
    assert encoder.num_features == flat.shape[1]


def test_a_number_means_the_same_from_any_file():
    x = np.random.default_rng(1).integers(0, 256, (30, 36), np.uint8)
    encoder = encode.fit_edges(x, (6, 6))
    for dtype in (np.int32, np.uint64, np.float32, np.float64):
        np.testing.assert_array_equal(encoder(x.astype(dtype)), encoder(x))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_sizes_of_differences_are_cut_into_thirds_and_either_way_alike(dtype):
    x = np.random.default_rng(2).permuted(np.arange(200, dtype=dtype).reshape(2, 100), axis=1)
    encoder = encode.fit_edges(x, (100,), num_bits=1)
    bits = np.asarray(bep.bits.unpack(encoder(x), num_bits=500)).reshape(-1, 5)[:, 1:] > 0
    shares = bits.mean(axis=0)
    np.testing.assert_array_less(np.abs(shares - [5 / 6, 4 / 6, 2 / 6, 1 / 6]), 0.06)
    backward = np.asarray(bep.bits.unpack(encoder(x[:, ::-1]), num_bits=500)).reshape(2, 100, 5)[:, ::-1, 1:] > 0
    np.testing.assert_array_equal(backward.reshape(-1, 4), ~bits[:, ::-1])


def test_two_levels_have_edges_too():
    x = np.array([[0, 0, 1, 1, 0, 0]], np.uint8)
    encoder = encode.fit_edges(x, (6,))
    assert encoder.pixel_bits == 5
    bits = np.asarray(bep.bits.unpack(encoder(x), num_bits=30)).reshape(6, 5) > 0
    np.testing.assert_array_equal(bits[:, 0], [0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(bits[:, 1:].sum(axis=1) - 2, [0, 2, 2, -2, -2, 0])


def test_bad_input():
    x = np.zeros((3, 12), np.uint8)
    x[0, 0] = 7
    with pytest.raises(ValueError, match=r"fit_edges: image_shape=\(5, 2\) does not fit samples of 12 features"):
        encode.fit_edges(x, (5, 2))
    with pytest.raises(ValueError, match="fit_edges: image_shape has no axes"):
        encode.fit_edges(x, ())
    with pytest.raises(TypeError, match="fit_edges: every entry of image_shape"):
        encode.fit_edges(x, (3.0, 4))
    with pytest.raises(ValueError, match="fit_edges: num_bits"):
        encode.fit_edges(x, (3, 4), 0)
    with pytest.raises(ValueError, match="fit_edges: all values of the training data are the same"):
        encode.fit_edges(np.zeros((3, 12)), (3, 4))
    encoder = encode.fit_edges(x, (3, 4))
    with pytest.raises(ValueError, match=r"Edges: fitted on images \(3, 4\) of 1 values"):
        encoder(np.zeros((2, 11)))
    with pytest.raises(TypeError, match="Edges: wanted numbers"):
        encoder(np.array([["a"] * 12]))
    with pytest.raises(ValueError, match="Edges: differences must be of 1 values in int16"):
        Edges((3, 4), encoder.levels, Thermometer(np.array([[-1.0, 1.0]])))
    with pytest.raises(ValueError, match="Edges: levels must have as many thresholds"):
        Edges((12,), Thermometer(np.zeros((2, 2), np.uint8), np.array([1, 2])), encoder.differences)
