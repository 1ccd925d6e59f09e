"""`fit` with a ``train_split``: which samples train, and one program for data of many sizes."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

import bep_jax as bep
from bep_jax.training import loop

MODEL = bep.mlp(num_inputs=40, widths=(15, 30), num_classes=3)
RULE = bep.Rule(gate=0.3, group_size=5)


def make_data(size, room, held_out=0):
    """Noisy copies of one pattern a class; rows from ``size`` on are padding, and say the opposite."""
    rng = np.random.default_rng(0)
    patterns, y = rng.random((3, 40)) < 0.5, np.arange(room, dtype=np.int32) % 3
    x = np.where(rng.random((room, 40)) < 0.2, ~patterns[y], patterns[y])
    split = np.full(room, loop.TRAINS, np.int8)
    split[:held_out], split[size:], y[size:] = loop.HELD_OUT, 0, (y[size:] + 1) % 3
    return SimpleNamespace(train_x=np.asarray(bep.bits.pack(x)), train_y=y, train_split=split)


def run(data, **options):
    return bep.fit(MODEL, RULE, data, **{"epochs": 4, "batch_size": 10, "seeds": 2, "progress": False} | options)


def test_padding_takes_no_part():
    """With whole batches of padding, and with less than one; without test data."""
    few, many = run(make_data(53, 58, held_out=9)), run(make_data(53, 90, held_out=9))
    for a, b in zip(jax.tree.leaves(few.params), jax.tree.leaves(many.params), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, values in few.history.items():
        np.testing.assert_array_equal(values, many.history[name], err_msg=name)
    assert (few.history["train_accuracy"][:, -1] > 0.6).all()
    assert np.isnan(few.test_accuracy).all()


def test_sizes_share_programs():
    compiled = []

    def listen(event, duration, **kwargs):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    run(make_data(40, 60, held_out=3), epochs=1, batch_size=7)  # which no other test has
    assert compiled, "the event has another name now: the test shows nothing"
    compiled.clear()
    for size, held_out in ((53, 9), (54, 0)):
        result = run(make_data(size, 60, held_out), epochs=1, batch_size=7)
        assert ("validation_accuracy" in result.history) == (held_out > 0)
    assert not compiled


def test_errors():
    data = make_data(53, 60)
    for split in (data.train_split[:-1], data.train_split.astype(int)):
        with pytest.raises(ValueError, match=r"fit: data.train_split must be int8 \(60,\)"):
            run(SimpleNamespace(**vars(data) | {"train_split": split}))
    with pytest.raises(ValueError, match="leaves none of 60 samples"):
        run(make_data(0, 60))
