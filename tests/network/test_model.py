"""Architectures, and the numbers that a network starts with."""

import math

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import bep_jax as bep

MLP = bep.mlp(num_inputs=525, widths=(63, 33), num_classes=4)
SMALL = (
    bep.mlp(num_inputs=33, widths=(15,), num_classes=2),
    bep.rnn(num_inputs=5, state_width=7, output_width=15, num_classes=2),
    bep.rnn(num_inputs=5, state_width=7, output_width=15, num_classes=2, patterns=33),
)
RNN = bep.rnn(num_inputs=31, state_width=35, output_width=15, num_classes=3)


def test_architectures():
    assert MLP.matrix_shapes == ((63, 525), (33, 63))
    assert (MLP.num_inputs, MLP.widths, MLP.num_classes, MLP.recurrent) == (525, (63, 33), 4, False)
    assert RNN.matrix_shapes == ((35, 31), (35, 35), (15, 35))
    assert (RNN.num_inputs, RNN.widths, RNN.num_classes, RNN.recurrent) == (31, (35, 15), 3, True)
    assert MLP.split("ab") == [("a",), ("b",)]
    assert RNN.split("abc") == [("a", "b"), ("c",)]


@pytest.mark.parametrize("make", [lambda h: bep.mlp(num_inputs=5, widths=[h, 3], num_classes=2), lambda h: _rnn(h)])
def test_models_compare_and_hash_by_value(make):
    assert make(7) == make(np.int64(7)) and hash(make(7)) == hash(make(7))
    assert make(7) != make(9)
    assert jax.tree.leaves(make(7)) == []  # static


def _rnn(horizon):
    return bep.rnn(num_inputs=5, state_width=7, output_width=3, num_classes=2, horizon=horizon)


def _probability(h, scale):
    """P(2 floor(n / 2) + 1 = h) for n ~ N(0, scale²): n in [h - 1, h + 1)."""

    def below(n):
        return 0.5 * math.erfc(-n / scale / math.sqrt(2))

    return below(h + 1) - below(h - 1)


@pytest.mark.parametrize("scale", [0.3, 8.0, 64.0, 4096.0])
def test_hidden_weights_are_distributed_as_rounded_normals(scale):
    model = bep.mlp(num_inputs=784, widths=(525,), num_classes=2)
    h = np.asarray(model.init(jax.random.key(7), scale=scale).hidden[0], np.int64).ravel()
    assert np.all(h % 2 == 1) and np.abs(h).max() <= 32767
    assert abs(h.mean()) < 5 * math.sqrt(scale**2 + 1) / math.sqrt(h.size)
    # Frequencies: every value near 0, and every cell of a coarse grid, each within 5 standard deviations.
    for value in range(-9, 11, 2):
        _assert_frequency(np.sum(h == value), h.size, _probability(value, scale))
    for low, high in [(-math.inf, -2), (-2, -1), (-1, -0.25), (0.25, 1), (1, 2), (2, math.inf)]:
        odd = np.arange(-32767, 32768, 2)
        inside = odd[(odd > low * scale) & (odd <= high * scale)]
        cell = sum(_probability(int(v), scale) for v in inside)
        _assert_frequency(np.sum((h > low * scale) & (h <= high * scale)), h.size, cell)


def _assert_frequency(count, total, probability):
    deviation = math.sqrt(max(total * probability * (1 - probability), 1.0))
    assert abs(count - total * probability) <= 5 * deviation, (count, total * probability)


def test_the_reference_rounds_the_same_way():
    # The table's cells are those of 2 floor(n / 2) + 1.
    edges = np.array([-2.0, -1e-9, 0.0, 1.999, 2.0])
    assert reference.initial_hidden(edges).tolist() == [-1, -1, 1, 1, 3]


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 20000.0, 1e30])
def test_extreme_scales_stay_odd_and_in_range(scale):
    model = bep.mlp(num_inputs=64, widths=(64,), num_classes=2)
    h = np.asarray(model.init(jax.random.key(0), scale=scale).hidden[0], np.int64)
    assert np.all(h % 2 == 1) and np.abs(h).max() <= 32767
    assert 0.35 < np.mean(h > 0) < 0.65
    if scale < 1:
        assert np.abs(h).max() == 1
    if scale > 1e6:
        assert np.abs(h).min() == 32767


@pytest.mark.parametrize(("patterns", "scale"), [(1, 64.0), (7, 2048.0), (32, 5.0), (101, 1e6)])
def test_recurrent_weights_from_patterns(patterns, scale):
    def model(**options):
        return bep.rnn(num_inputs=31, state_width=65, output_width=15, num_classes=3, **options)

    key = jax.random.key(5)
    h_xs, h_ss, h_sy = (np.asarray(h, np.int64) for h in model(patterns=patterns).init(key, scale=scale).hidden)
    usual = model().init(key, scale=scale).hidden
    assert np.array_equal(h_xs, usual[0]) and np.array_equal(h_sy, usual[2])
    # Overlaps as 2 floor(σ c / 2 √P) + 1: a symmetric matrix, all neurons agreeing with themselves in every pattern.
    overlaps = np.arange(-patterns, patterns + 1)
    table = np.clip(reference.initial_hidden(scale * overlaps / math.sqrt(patterns)), -32767, 32767)
    assert np.array_equal(h_ss, h_ss.T) and np.all(np.diag(h_ss) == table[-1])
    places = np.searchsorted(table, h_ss)
    assert np.array_equal(table[np.minimum(places, 2 * patterns)], h_ss)
    if np.unique(table).size == table.size:
        c = overlaps[places]
        assert np.all((c - patterns) % 2 == 0)
        # A matrix of overlaps: positive semidefinite, of a rank of at most P.
        eigenvalues = np.linalg.eigvalsh(c)
        assert eigenvalues[0] > -1e-9 and np.sum(eigenvalues > 1e-9) <= patterns
        off = c[np.triu_indices(65, 1)]
        _assert_frequency(np.sum(off > 0) + np.sum(off == 0) / 2, off.size, 0.5)


def test_matrices_and_keys_draw_different_weights():
    model = bep.mlp(num_inputs=35, widths=(35, 35), num_classes=3)
    one, two = (model.init(jax.random.key(k)) for k in (0, 1))
    drawn = [np.asarray(h) for h in (*one.hidden, *two.hidden)]
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            assert np.mean(a == b) < 0.1
    again = model.init(jax.random.key(0))
    cases.assert_trees_equal(one, again)


@pytest.mark.parametrize("model", SMALL, ids=["mlp", "rnn", "rnn-patterns"])
def test_init_under_jit_and_vmap(model):
    keys = jax.random.split(jax.random.key(3), 3)
    rows = [model.init(key, scale=16.0) for key in keys]
    params = rows[0]
    assert isinstance(params, bep.Params)
    assert [(h.shape, h.dtype) for h in params.hidden] == [(s, jnp.int16) for s in model.matrix_shapes]
    assert params.classifier.dtype == jnp.uint32
    assert params.classifier.shape == (model.num_classes, bep.bits.num_words(model.widths[-1]))
    bep.bits.check_padding(params.classifier, model.widths[-1], "init")
    cases.assert_trees_equal(jax.jit(lambda key: model.init(key, scale=16.0))(keys[0]), params)
    together = jax.jit(jax.vmap(lambda key: model.init(key, scale=16.0)))(keys)
    cases.assert_trees_equal(together, jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows))
    with jax.enable_x64(True):
        cases.assert_trees_equal(model.init(keys[0], scale=16.0), params)


def test_init_takes_less_memory_than_the_weights():
    model = bep.mlp(num_inputs=525, widths=(525, 525), num_classes=2)
    memory = jax.jit(model.init).lower(jax.random.key(0)).compile().memory_analysis()
    assert memory.temp_size_in_bytes < memory.output_size_in_bytes


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_init_wants_a_positive_scale(scale):
    with pytest.raises(ValueError, match=f"^Model.init: scale must be positive and finite, got {scale}"):
        MLP.init(jax.random.key(0), scale=scale)


# Errors

GOOD_MLP = {"num_inputs": 5, "widths": (3,), "num_classes": 2}
GOOD_RNN = {"num_inputs": 5, "state_width": 3, "output_width": 3, "num_classes": 2}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"num_inputs": 0}, "every size must be at least 1, got 0"),
        ({"widths": (3, 0)}, "every size must be at least 1, got 0"),
        ({"widths": (-3,)}, "every size must be at least 1, got -3"),
        ({"widths": ()}, r"widths must be a tuple with at least one layer, got \(\)"),
        ({"widths": 3}, "widths must be a tuple with at least one layer, got 3"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"num_classes": 0}, "num_classes must be at least 2, got 0"),
    ],
)
def test_mlp_sizes_out_of_range(change, wanted):
    with pytest.raises(ValueError, match=f"^mlp: {wanted}"):
        bep.mlp(**{**GOOD_MLP, **change})


@pytest.mark.parametrize("change", [{"num_inputs": 5.0}, {"widths": (3.0,)}, {"widths": (True,)}, {"num_classes": "2"}])
def test_mlp_sizes_of_the_wrong_type(change):
    with pytest.raises(TypeError, match=r"^mlp: .* must be an integer, got"):
        bep.mlp(**{**GOOD_MLP, **change})


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"num_inputs": 0}, "num_inputs must be at least 1, got 0"),
        ({"state_width": 0}, "state_width must be at least 1, got 0"),
        ({"output_width": -1}, "output_width must be at least 1, got -1"),
        ({"horizon": 0}, "horizon must be at least 1, got 0"),
        ({"patterns": 0}, "patterns must be at least 1, got 0"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
    ],
)
def test_rnn_sizes_out_of_range(change, wanted):
    with pytest.raises(ValueError, match=f"^rnn: {wanted}"):
        bep.rnn(**{**GOOD_RNN, **change})


@pytest.mark.parametrize("name", ["num_inputs", "state_width", "output_width", "num_classes", "horizon", "patterns"])
def test_rnn_sizes_of_the_wrong_type(name):
    with pytest.raises(TypeError, match=f"^rnn: {name} must be an integer, got 2.5"):
        bep.rnn(**{**GOOD_RNN, name: 2.5})


def test_gated_update_is_yes_or_no():
    with pytest.raises(TypeError, match=r"^rnn: gated_update must be True or False, got 1\.$"):
        bep.rnn(**GOOD_RNN, gated_update=1)


@pytest.mark.parametrize(
    ("learns", "found"),
    [
        (None, ("band", "band", "winners")),
        ("tied winners", ("tied winners",) * 3),
        (("winners", "band", "band"), ("winners", "band", "band")),
    ],
)
def test_how_convolutions_learn(learns, found):
    sizes = {"image_shape": (9, 9), "filters": ((5, 3, 1),) * 3, "widths": (15,), "num_classes": 2}
    assert tuple(layer.learns for layer in bep.conv(**sizes, learns=learns).layers) == (*found, "winners")
    with pytest.raises(ValueError, match=r"conv: learns must be one, or one for each of 3 filters, got \['band'\]"):
        bep.conv(**sizes, learns=["band"])
    with pytest.raises(ValueError, match="learns"):
        bep.conv(**sizes, learns=["band", "band", "bands"])
