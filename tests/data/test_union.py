"""Encoders side by side."""

import numpy as np
import pytest

from bep_jax import encode
from bep_jax.data.words import unpack_host
from bep_jax.encode import Thermometer, Union

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(20, 13, 2))
FLAT = SERIES.reshape(20, -1)
EDGES, ROCKET = encode.fit_edges(FLAT, (13,), 3), encode.fit_rocket(SERIES, most_bits=300)


@pytest.mark.parametrize("parts", [(EDGES, ROCKET), (ROCKET, EDGES), (encode.fit_thermometer(FLAT), ROCKET, EDGES)])
def test_bits_follow_one_another(parts):
    encoder = encode.union(*parts)
    assert encoder.num_features == 26 and encoder.num_bits == sum(one.num_bits for one in parts)
    x = RNG.normal(size=(3, 4, 26))
    found = unpack_host(encoder(x), encoder.num_bits)
    wanted = np.concatenate([unpack_host(one(x), one.num_bits) for one in parts], axis=-1)
    assert found.shape == (3, 4, encoder.num_bits) and np.array_equal(found, wanted)
    assert encode.extra_bits(encoder) == encoder.num_bits - parts[0].num_bits
    assert encode.extra_bits(encode.compose(encoder)) == encode.extra_bits((encoder, encoder)) > 0


def test_others_have_nothing_behind():
    assert encode.extra_bits(EDGES) == encode.extra_bits(None) == 0


def test_counts_keep_to_their_bits():
    """As many kernels as there is room for, then bits of each; alone they have 4,032."""
    found = {most: encode.fit_rocket(SERIES, most_bits=most) for most in (84, 200, 720, 1392, 4032)}
    assert {most: (len(one.groups), one.num_bits) for most, one in found.items()} == {
        84: (1, 84),
        200: (2, 168),
        720: (4, 672),
        1392: (4, 1344),
        4032: (4, 4032),
    }
    assert np.array_equal(found[4032].biases, encode.fit_rocket(SERIES).biases)


def test_errors():
    with pytest.raises(ValueError, match="union: wanted at least two encoders, got 1"):
        encode.union(EDGES)
    with pytest.raises(TypeError, match="union: every encoder must be Thermometer or Edges or Rocket, got 3"):
        encode.union(EDGES, 3)
    with pytest.raises(ValueError, match="union: all encoders must take as many features, got 26, 4"):
        encode.union(EDGES, Thermometer(np.zeros((4, 2))))
    with pytest.raises(ValueError, match="union: all encoders must take features of one dtype, got float64, uint8"):
        encode.union(EDGES, Thermometer(np.zeros((26, 2), np.uint8)))
    with pytest.raises(ValueError, match="fit_rocket: most_bits must be at least 84, got 83"):
        encode.fit_rocket(SERIES, most_bits=83)
    with pytest.raises(ValueError, match=r"wanted \[..., 26\]"):
        Union((EDGES, ROCKET))(np.zeros((2, 25)))
