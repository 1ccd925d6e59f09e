"""Moved training images: by the draws of each sample alone, and as NumPy moves them."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bep_jax as bep
from bep_jax.training.augment import Moves


def _images(batch, bits):
    return np.random.default_rng(0).random((batch, *bits)) < 0.5


def test_every_image_is_moved_by_its_own_draw():
    shape, channels, most = (5, 7), 3, 2
    images = _images(40, (*shape, channels))
    moves = Moves(shape, channels, shift=most, mirror=True)
    x = bep.bits.pack(images.reshape(40, -1))
    moved = np.asarray(bep.bits.unpack(moves(jax.random.key(1), x), num_bits=105)).reshape(images.shape) > 0
    seen = set()
    for image, got in zip(images, moved, strict=True):
        around = np.zeros((9, 11, channels), bool)
        found = []
        for mirror in (False, True):
            around[2:7, 2:9] = image[:, ::-1] if mirror else image
            for dy in range(5):
                for dx in range(5):
                    if (around[dy : dy + 5, dx : dx + 7] == got).all():
                        found.append((mirror, dy, dx))
        assert len(found) == 1
        seen.add(found[0])
    assert {one[0] for one in seen} == {False, True}
    assert {one[1] for one in seen} == {one[2] for one in seen} == set(range(5))


def test_a_part_of_a_batch_moves_as_the_whole_does():
    moves, key = Moves((13,), 2, shift=3), jax.random.key(2)
    x = bep.bits.pack(_images(9, (26,)))
    whole = moves(key, x)
    np.testing.assert_array_equal(moves(key, x[4:], jnp.int32(4)), whole[4:])
    assert (np.asarray(whole) != np.asarray(x)).any()
    np.testing.assert_array_equal(Moves((13,), 2)(key, x), x)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_edges_of_a_mirrored_image_are_those_of_the_image_mirrored(dtype):
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 2)).astype(dtype)
    encoder = bep.encode.fit_edges(images.reshape(30, -1), (6, 5), num_bits=3)
    moves = Moves((6, 5), encoder.pixel_bits, mirror=True, mirrored=encoder.mirrored)
    moved = np.asarray(moves(jax.random.key(0), encoder(images.reshape(30, -1))))
    as_they_are, mirrored = (encoder(x.reshape(30, -1)) for x in (images, images[:, :, ::-1]))
    is_mirrored = (moved == mirrored).all(axis=1)
    np.testing.assert_array_equal(moved, np.where(is_mirrored[:, None], mirrored, as_they_are))
    assert 0 < is_mirrored.sum() < 30


def test_what_goes_past_a_convolution_does_not_move():
    model = bep.conv(image_shape=(8,), channels=2, filters=((5, 3, 1),), widths=(15,), num_classes=2, extra=9)
    x, y = _images(12, (25,)), np.arange(12) % 2
    data = types.SimpleNamespace(train_x=np.asarray(bep.bits.pack(x)), train_y=y)
    with pytest.raises(ValueError, match="fit: shift and mirror move images, not the 9 extra bits behind them"):
        bep.fit(model, bep.Rule(), data, epochs=1, batch_size=4, seeds=1, shift=1, progress=False)
