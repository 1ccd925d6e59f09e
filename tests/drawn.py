"""Networks and encoders drawn by NumPy alone, so that nothing compiles, and how to compare encoders."""

import jax.numpy as jnp
import numpy as np

from bep_jax import encode
from bep_jax.encode import Composition, Edges, Expansion, Rocket, Thermometer, Union
from bep_jax.network.model import Params


def draw(model, lead=(), seed=0):
    """Params of random odd weights; NumPy alone, nothing compiles."""
    random = np.random.default_rng(seed)
    hidden = tuple(
        jnp.asarray(2 * random.integers(-(2**14), 2**14, lead + shape, np.int16) + np.int16(1))
        for shape in model.matrix_shapes
    )
    classifier = encode.pack_host(random.random((*lead, model.num_classes, model.num_outputs)) < 0.5)
    return Params(hidden, jnp.asarray(classifier))


def expansion(num_inputs, width, seed=0):
    return Expansion(encode.pack_host(np.random.default_rng(seed).random((width, num_inputs)) < 0.5), num_inputs)


def thermometer(features, num_bits, dtype=np.float64):
    values = np.sort(np.random.default_rng(0).integers(0, 100, (features, num_bits)), axis=1)
    return Thermometer(values.astype(dtype))


def rocket(num_steps, channels, num_bits=1):
    """168 ``num_bits`` bits."""
    random = np.random.default_rng(0)
    biases = random.integers(-20, 20, (2, 84, 1)).astype(np.int16)
    groups = np.array([[2, channels - 1, 0], [1, 0, 1]], np.int32)
    return Rocket(thermometer(channels, 15), groups, biases, thermometer(168, num_bits, np.int32), num_steps)


def edges(image_shape, num_bits=2):
    """Of images of one value a pixel."""
    thresholds = np.array([[-9, 8]], np.int16)
    return Edges(image_shape, thermometer(1, num_bits, np.uint8), Thermometer(thresholds))


def assert_same_encoder(a, b):
    assert type(a) is type(b)
    if isinstance(a, Composition | Union | tuple):
        parts = (a, b) if isinstance(a, tuple) else (a.encoders, b.encoders)
        for one, other in zip(*parts, strict=True):
            assert_same_encoder(one, other)
    elif isinstance(a, Expansion):
        np.testing.assert_array_equal(a.matrix, b.matrix)
        assert a.num_inputs == b.num_inputs
    elif isinstance(a, Rocket):
        np.testing.assert_array_equal(a.groups, b.groups)
        np.testing.assert_array_equal(a.biases, b.biases)
        assert a.num_steps == b.num_steps
        assert_same_encoder((a.levels, a.counted), (b.levels, b.counted))
    elif isinstance(a, Edges):
        assert a.image_shape == b.image_shape
        assert_same_encoder((a.levels, a.differences), (b.levels, b.differences))
    elif a is not None:
        np.testing.assert_array_equal(a.thresholds, b.thresholds)
        assert a.thresholds.dtype == b.thresholds.dtype.newbyteorder("=")
