"""The Rocket encoder against a slow reference, one value at a time."""

import itertools

import numpy as np
import pytest

from bep_jax.data import encode, rocket
from bep_jax.data.encode import Rocket, Thermometer
from bep_jax.kernels import bits

SHAPES = [(5, 1, 1), (8, 8, 2), (8, 34, 3), (3, 68, 1), (40, 4, 60)]


def series(shape, dtype=np.float64, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = (40 * rng.normal(size=shape)).astype(dtype)
    if missing:
        for one in x[1:]:  # shorter ones are padded in front
            one[: rng.integers(0, shape[1])] = np.nan
        x[rng.random(shape) < missing] = np.nan
    return x


def reference(encoder, one):
    """Bits of a series ``[T, F]`` in Python integers."""
    steps, channels = one.shape
    there = [(~np.isnan(row)).tolist() for row in one]
    first = next((t for t in range(steps) if any(there[t])), 0)
    levels = [[int((v > th).sum()) for v, th in zip(row, encoder.levels.thresholds, strict=True)] for row in one]
    for c in range(channels):
        known = [t for t in range(steps) if there[t][c]]
        if known:
            before = [max((k for k in known if k <= t), default=known[0]) for t in range(steps)]
            column = [levels[k][c] for k in before]
            for t in range(steps):
                levels[t][c] = column[t]
    counts = []
    for (dilation, c, alone), group in zip(encoder.groups.tolist(), encoder.biases.tolist(), strict=True):
        for taps, own in zip(itertools.combinations(range(9), 3), group, strict=True):
            found = []
            for t in range(first, steps):
                under = [levels[min(max(t + (i - 4) * dilation, first), steps - 1)][c] for i in range(9)]
                three = sum(under[i] for i in taps)
                found.append(three if alone else 3 * three - sum(under))
            counts += [sum(z > bias for z in found) for bias in own]
    return [count > t for count, row in zip(counts, encoder.counted.thresholds.tolist(), strict=True) for t in row]


@pytest.mark.parametrize(("shape", "missing"), [(shape, 0.3) for shape in SHAPES] + [(SHAPES[1], 0.0)])
def test_is_the_reference(shape, missing):
    train = series(shape, missing=missing)
    encoder = encode.fit_rocket(train)
    x = series((3, *shape[1:]), missing=missing, seed=1)
    found = np.asarray(bits.unpack(encoder(x.reshape(3, -1)), num_bits=encoder.num_bits)) > 0
    assert found.tolist() == [reference(encoder, one) for one in x]


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
def test_every_dtype(dtype):
    train = series((9, 20, 2), dtype)
    encoder = encode.fit_rocket(train, 2)
    assert encoder.levels.thresholds.dtype == dtype
    found = np.asarray(bits.unpack(encoder(train.reshape(9, -1)), num_bits=encoder.num_bits)) > 0
    assert found[4].tolist() == reference(encoder, train[4])


def test_one_by_one_or_together_and_in_blocks(monkeypatch):
    train = series((50, 25, 2), missing=0.1).reshape(50, -1)
    encoder = encode.fit_rocket(train.reshape(50, 25, 2))
    words = encoder(train)
    assert np.array_equal(words, np.concatenate([encoder(train[i : i + 1]) for i in range(50)]))
    assert np.array_equal(encoder(train.reshape(5, 10, -1)), words.reshape(5, 10, -1))
    monkeypatch.setattr(rocket, "_BLOCK", 25 * 7)
    assert np.array_equal(encoder(train), words)
    monkeypatch.setattr(rocket, "_BLOCK_VALUES", 500)
    assert np.array_equal(encode.fit_rocket(train.reshape(50, 25, 2)).counted.thresholds, encoder.counted.thresholds)


def test_sizes():
    """About 4,000 bits whatever is read, or 3,000, so that problems share compiled programs; every channel is read."""
    found = {shape: encode.fit_rocket(series(shape)) for shape in SHAPES}
    assert {shape: one.num_bits for shape, one in found.items()} == {
        (5, 1, 1): 4032,
        (8, 8, 2): 4032,
        (8, 34, 3): 4032,
        (3, 68, 1): 4032,
        (40, 4, 60): 4032,
    }
    assert found[8, 34, 3].groups.tolist() == [[d, c, s] for d in (1, 2, 3, 4) for c in range(3) for s in range(2)]
    assert len(set(found[40, 4, 60].groups[:, 1].tolist())) == 48
    assert set(found[40, 4, 60].groups[:, 2].tolist()) == {0, 1}
    assert encode.fit_rocket(series((3, 500, 1))).groups[::2, 0].tolist() == [1, 3, 5, 10, 19, 34, 62]


def test_tells_how_high_a_series_lies():
    """Kernels alone cannot: their weights add up to 0."""
    x = np.repeat(np.arange(4.0), 12).reshape(4, 12, 1)
    encoder = encode.fit_rocket(x)
    assert len({tuple(words) for words in encoder(x[..., 0]).tolist()}) == 4
    kernels = encoder.groups[:, 2] == 0
    counts = rocket.counts(*rocket.levels_of(encoder.levels, x[..., 0], 12), encoder.groups, encoder.biases)
    counts = counts.reshape(4, len(encoder.groups), -1)
    assert (counts[:, kernels] == counts[:1, kernels]).all() and (counts[:, ~kernels] != counts[:1, ~kernels]).any()


def test_extremes():
    x = np.array([[np.inf, -np.inf, 1e308, -1e308], [np.nan] * 4, [0.0] * 4])[..., None]
    encoder = encode.fit_rocket(x)
    found = np.asarray(bits.unpack(encoder(x[..., 0]), num_bits=encoder.num_bits)) > 0
    assert found.tolist() == [reference(encoder, one) for one in x]
    nothing = encode.fit_rocket(np.full((3, 6, 1), np.nan))
    assert not nothing(np.zeros((1, 6))).any()


def test_what_happens_counts_and_not_when():
    """A class by the number of events, anywhere, in series of unequal length."""
    rng = np.random.default_rng(0)

    def draw(label):
        one = np.full((60, 1), np.nan)
        length = rng.integers(40, 61)
        one[-length:] = rng.normal(0, 0.2, (length, 1))
        for slot in rng.choice(9, 1 + label, replace=False):
            one[21 + slot * 4 : 23 + slot * 4] += 3
        return one

    labels = np.arange(40) % 2
    train, test = (np.stack([draw(label) for label in labels]) for _ in range(2))
    encoder = encode.fit_rocket(train)
    words = [np.asarray(bits.unpack(encoder(x.reshape(40, -1)), num_bits=encoder.num_bits)) for x in (train, test)]
    sums = words[0].astype(int)
    direction = np.sign(sums[labels == 1].sum(axis=0) - sums[labels == 0].sum(axis=0))
    scores = [one.astype(int) @ direction for one in (sums, words[1])]
    assert np.mean((scores[1] > scores[0].mean()) == labels) >= 0.9


def test_errors():
    encoder = encode.fit_rocket(series((4, 10, 2)))
    with pytest.raises(ValueError, match=r"Rocket: fitted on 10 steps of 2 channels, wanted \[..., 20\], got .*10"):
        encoder(np.zeros((3, 10)))
    with pytest.raises(TypeError, match="Rocket: wanted numbers"):
        encoder(np.full((1, 20), "x"))
    with pytest.raises(ValueError, match=r"fit_rocket: wanted series \[n, T, F\], got shape \(4, 20\)"):
        encode.fit_rocket(np.zeros((4, 20)))
    with pytest.raises(ValueError, match="fit_rocket: num_bits must be at least 1, got 0"):
        encode.fit_rocket(series((4, 10, 2)), 0)
    parts = {name: getattr(encoder, name) for name in ("levels", "groups", "biases", "counted", "num_steps")}
    for name, value, message in (
        ("levels", None, "levels"),
        ("levels", Thermometer(np.zeros((2, 128))), "levels must have 1 to 127 thresholds"),
        ("groups", encoder.groups + 5, "channels below 2"),
        ("groups", encoder.groups + np.array([0, 0, 1], np.int32), "and 0 or 1"),
        ("groups", encoder.groups[:, :2], r"groups must be int32 \[G, 3\]"),
        ("biases", encoder.biases[:, :5], "biases must be int16"),
        ("counted", Thermometer(np.zeros((2, 3))), "counted must have as many bits"),
        ("num_steps", 0, "num_steps must be at least 1"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"Rocket: .*{message}"):
            Rocket(**{**parts, name: value})
