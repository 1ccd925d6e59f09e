"""Settings that follow from shapes."""

import jax
import pytest

import bep_jax as bep
from bep_jax.learning import laws


def test_scale_grows_with_samples_times_positions():
    model = bep.mlp(num_inputs=784, widths=(525, 255), num_classes=10)
    assert bep.initial_scale(model, 100) == (64.0, 64.0)
    assert bep.initial_scale(model, 400) == (256.0, 256.0)
    levels = bep.mlp(num_inputs=4 * 784, widths=(525, 255), num_classes=10)
    assert bep.initial_scale(levels, 400) == (512.0, 256.0)
    assert [bep.initial_scale(levels, b)[0] for b in (10, 50, 100, 128)] == [64.0, 128.0, 256.0, 256.0]
    cell = bep.rnn(num_inputs=28, state_width=35, output_width=15, num_classes=10)
    assert bep.initial_scale(cell, 100, num_steps=28) == (1792.0, 64.0)
    filters = bep.conv(image_shape=(28, 28), widths=(15,), num_classes=2)
    assert bep.initial_scale(filters, 100) == (4096.0, 192.0)
    assert bep.initial_scale(filters, 400) == (8192.0, 768.0)
    two = bep.conv(image_shape=(28, 28), channels=4, filters=((64, 7, 3), (8, 3, 1)), widths=(15, 15), num_classes=2)
    assert bep.initial_scale(two, 25) == (2048.0, 16.0 * 36, 128.0, 128.0)
    assert bep.initial_scale(two, 150)[2:] == (288.0, 128.0)
    wide = bep.conv(image_shape=(28, 28), filters=((128, 7, 3),), widths=(15, 15), num_classes=2)
    assert bep.initial_scale(wide, 100) == (4096.0, 64.0 * 8192 / 1400, 128.0)  # nearly twice those of 64 filters
    assert bep.initial_scale(cell, 10**6, num_steps=1000) == (8192.0, 8192.0)


@pytest.mark.parametrize("args, message", [((0,), "at least 1"), ((10,), "wants num_steps")])
def test_scale_says_what_it_wants(args, message):
    cell = bep.rnn(num_inputs=28, state_width=35, output_width=15, num_classes=10)
    with pytest.raises(ValueError, match=f"initial_scale: .*{message}"):
        bep.initial_scale(cell, *args)


def test_model_takes_one_scale_a_layer():
    model, key = bep.mlp(num_inputs=40, widths=(20, 10), num_classes=3), jax.random.key(0)
    both = model.init(key, (64.0, 8.0))
    assert (both.hidden[0] == model.init(key, 64.0).hidden[0]).all()
    assert (both.hidden[1] == model.init(key, 8.0).hidden[1]).all()
    with pytest.raises(ValueError, match="scale has 3 entries, the model 2 layers"):
        model.init(key, (1.0, 2.0, 3.0))


def test_group_size_divides_where_a_divisor_is_near():
    widths = (1, 2, 7, 31, 33, 101, 525, 1035, 2070)
    model = bep.mlp(num_inputs=784, widths=widths, num_classes=10)
    sizes = dict(zip(widths, laws.usual_group_sizes(model), strict=True))
    assert sizes == {1: 1, 2: 2, 7: 7, 31: 31, 33: 33, 101: 33, 525: 75, 1035: 115, 2070: 138}


def test_dense_layers_above_convolutions_have_more_groups():
    filters = ((70, 7, 3), (70, 3, 1))
    model = bep.conv(image_shape=(28, 28), filters=filters, widths=(525, 101), num_classes=10, learns="winners")
    assert laws.usual_group_sizes(model) == (35, 35, 25, 11)
    assert bep.thresholds(model, bep.Rule()).group_size.tolist() == [35, 35, 25, 11]


def test_gates_are_wider_in_deep_networks():
    deep = bep.mlp(num_inputs=784, widths=(400,) * 10, num_classes=10)
    assert bep.thresholds(deep, bep.Rule()).gate.tolist() == [57, *[40] * 9]
    assert laws.gate_factors(bep.mlp(num_inputs=784, widths=(400,), num_classes=10)) == (1.0,)
    filters = bep.conv(image_shape=(28, 28), widths=(525, 525), num_classes=10)  # learn by band, and have no gate above
    assert laws.gate_factors(filters) == (1.0, 2.0, 1.0)  # the layer above them has a wider one


def test_a_recurrent_cell_has_laws_of_its_own():
    model = bep.rnn(num_inputs=28, state_width=1035, output_width=1035, num_classes=10)
    limits = bep.thresholds(model, bep.Rule())
    assert limits.gate.tolist() == [64, 32]
    assert limits.group_size.tolist() == [23, 115]


def test_numbers_of_a_user_must_divide():
    model = bep.mlp(num_inputs=784, widths=(101,), num_classes=10)
    assert bep.thresholds(model, bep.Rule()).group_size.tolist() == [33]
    with pytest.raises(ValueError, match="group_size=33 must divide every width"):
        bep.thresholds(model, bep.Rule(group_size=33))


def test_rule_without_numbers_means_the_laws():
    model = bep.mlp(num_inputs=784, widths=(525, 1035), num_classes=10)
    limits = bep.thresholds(model, bep.Rule())
    assert limits.gate.tolist() == [28, 22]
    assert limits.group_size.tolist() == [75, 115]
    assert limits.band.tolist() == [14, 11]
