"""What a rule means in integers."""

import dataclasses
import math
from fractions import Fraction

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import bep_jax as bep
from bep_jax.learning import rule as rule_module


def _model(num_inputs=100, widths=(30,), num_classes=2):
    return bep.mlp(num_inputs=num_inputs, widths=widths, num_classes=num_classes)


@pytest.mark.parametrize("width", [1, 33, 35, 100, 525, 1035])
def test_margins_and_gates_are_those_of_the_decimal_that_was_written(width):
    model = _model(num_inputs=width, widths=(width,))
    for thousandths in range(1, 1001, 7):
        fraction, decimal = Fraction(thousandths, 1000), thousandths / 1000
        limits = bep.thresholds(model, bep.Rule(margin=decimal, gate=decimal, group_size=1))
        assert int(limits.margin) == math.ceil(fraction * width)
        assert limits.gate.tolist() == [math.floor(fraction * width)]


@pytest.mark.parametrize(("gate", "fan_in", "threshold"), [(0.29, 100, 29), (0.58, 100, 58), (1.1, 10, 11), (0, 7, 0)])
def test_gates_are_guarded_against_decimals(gate, fan_in, threshold):
    assert bep.thresholds(_model(fan_in), bep.Rule(gate=gate)).gate.tolist() == [threshold]


@pytest.mark.parametrize(("margin", "threshold"), [(0.07, 7), (0.14, 14), (0.28, 28), (1.0, 100), (1e-6, 1)])
def test_margins_are_guarded_against_decimals(margin, threshold):
    assert int(bep.thresholds(_model(widths=(100,)), bep.Rule(margin=margin, group_size=1)).margin) == threshold


def test_a_gate_beyond_every_integer_is_open():
    assert bep.thresholds(_model(), bep.Rule(gate=1e300)).gate.tolist() == [2**31 - 1]


@pytest.mark.parametrize(**cases.every())
def test_thresholds_equal_the_reference(case):
    limits = bep.thresholds(case.model, case.rule)
    want = cases.reference_limits(case)
    assert int(limits.margin) == want["margin"]
    # One gate a layer here, one a matrix there; the input's is never used.
    gates = want["gate"] if case.time is None else want["gate"][1:]
    assert limits.gate.tolist() == gates
    assert limits.group_size.tolist() == list(case.group_sizes)
    assert limits.draw.tolist() == want["reinforcement"]
    assert int(limits.saturation) == 2 ** (case.rule.bits - 1) - 1
    dtypes = {name: str(getattr(limits, name).dtype) for name in limits._fields}
    words = {"base": "uint32", "draw": "uint32"}
    assert dtypes == {name: words.get(name, "int32") for name in limits._fields}
    assert all(isinstance(leaf, jax.Array) for leaf in limits)


@pytest.mark.parametrize("reinforcement", [0.0, 1e-12, 0.1, 1 / 3, 0.5, 1.0])
def test_base_words_hold_the_float64_exactly(reinforcement):
    fan_ins = (1, 2, 33, 784, 1035)
    model = _model(fan_ins[0], (*fan_ins[1:], 3))
    base = np.asarray(bep.thresholds(model, bep.Rule(reinforcement=reinforcement, group_size=1)).base)
    assert base.shape == (5, 2)
    want = [reinforcement * math.sqrt(2.0 / (math.pi * k)) for k in fan_ins]
    assert np.ascontiguousarray(base).view(np.float64)[:, 0].tolist() == want


def test_rescaled_draws_equal_the_reference():
    rng = np.random.default_rng(0)
    errors = [0.0, 1.0, 0.5, 1e-9, 1 / 60000, *rng.random(40).tolist()]
    fan_ins = (1, 2, 31, 33, 784, 1035, 4096)
    model = _model(fan_ins[0], (*fan_ins[1:], 3))
    for reinforcement in (0.0, 1e-6, 0.29, 0.5, 1.0, *rng.random(5).tolist()):
        limits = bep.thresholds(model, bep.Rule(reinforcement=reinforcement, group_size=1))
        state = bep.OptimizerState(jax.random.key(0), limits.base, limits.draw, limits.saturation)
        for error in errors:
            want = [reference.reinforcement_threshold(reinforcement, k, error) for k in fan_ins]
            draw = bep.rescale(state, error).draw
            assert draw.dtype == jnp.uint32
            assert draw.tolist() == want


def test_draw_thresholds_stop_at_the_largest_word():
    nearly = 1 - 2.0**-31
    certain = np.array([1.0, nearly, 2.0]).view(np.uint32).reshape(-1, 2)
    assert rule_module.draw_thresholds(certain, 1.0).tolist() == [2**32 - 1, 2**32 - 2, 2**32 - 1]


@pytest.mark.parametrize("width", [1, 2, 7, 60, 525, 1035])
def test_next_group_size_equals_the_reference(width):
    for size in range(1, width + 1):
        if width % size == 0:
            assert rule_module.next_group_size(width, size) == reference.next_group_size(width, size)


@pytest.mark.parametrize("bits", range(8, 17))
def test_saturation_limits_are_odd(bits):
    assert int(bep.thresholds(_model(), bep.Rule(bits=bits)).saturation) == 2 ** (bits - 1) - 1


def test_one_group_size_serves_every_layer():
    model = _model(10, (15, 30, 45))
    assert bep.thresholds(model, bep.Rule(group_size=15)).group_size.tolist() == [15, 15, 15]
    assert bep.thresholds(model, bep.Rule(group_size=(1, 30, 9))).group_size.tolist() == [1, 30, 9]


def test_rules_compare_and_hash_by_value():
    rule = bep.Rule(margin=1, group_size=[3, 5], bits=np.int64(8))
    again = bep.Rule(margin=1.0, group_size=np.array([3, 5]), bits=8)
    assert rule == again and hash(rule) == hash(again)
    assert rule != bep.Rule(margin=1.0, group_size=(3, 7), bits=8)
    assert rule.group_size == (3, 5) and type(rule.group_size[0]) is int and type(rule.margin) is float
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.margin = 0.5
    assert jax.tree.leaves(rule) == []  # static: part of the program, not of its arguments


def test_numpy_scalars_are_numbers():
    rule = bep.Rule(margin=np.float32(0.5), gate=np.int32(1), reinforcement=np.float64(0.25), group_size=np.int16(5))
    assert rule == bep.Rule(margin=0.5, gate=1.0, reinforcement=0.25, group_size=5)


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("margin", 0.0, r"margin must be in \(0, 1\], got 0.0"),
        ("margin", -0.5, r"margin must be in \(0, 1\], got -0.5"),
        ("margin", 1.0001, r"margin must be in \(0, 1\], got 1.0001"),
        ("margin", math.nan, r"margin must be in \(0, 1\], got nan"),
        ("gate", -1e-9, "gate must be .* got -1e-09"),
        ("gate", math.nan, "gate must be .* got nan"),
        ("gate", math.inf, "gate must be .* got inf"),
        ("reinforcement", -0.1, r"reinforcement must be in \[0, 1\], got -0.1"),
        ("reinforcement", 1.1, r"reinforcement must be in \[0, 1\], got 1.1"),
        ("reinforcement", math.nan, r"reinforcement must be in \[0, 1\], got nan"),
        ("bits", 7, r"bits must be in 8\.\.16, got 7"),
        ("bits", 17, r"bits must be in 8\.\.16, got 17"),
        ("group_size", 0, "group_size must be at least 1 everywhere, got 0"),
        ("group_size", (5, -1), r"group_size must be at least 1 everywhere, got \(5, -1\)"),
        ("group_size", (), "group_size must be at least 1 everywhere, got"),
    ],
)
def test_values_out_of_range(field, value, wanted):
    with pytest.raises(ValueError, match=f"^Rule: {wanted}"):
        bep.Rule(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("margin", "0.5"),
        ("margin", None),
        ("margin", True),
        ("gate", [0.1]),
        ("reinforcement", 1j),
        ("bits", 16.0),
        ("bits", True),
        ("group_size", 1.5),
        ("group_size", (1, 2.0)),
        ("group_size", "15"),
    ],
)
def test_values_of_the_wrong_type(field, value):
    with pytest.raises(TypeError, match=f"^Rule: {field} must be"):
        bep.Rule(**{field: value})


def test_group_sizes_must_divide_their_widths():
    with pytest.raises(ValueError, match=r"^thresholds: group_size=15 must divide every width, got \(30, 35\)\."):
        bep.thresholds(_model(10, (30, 35)), bep.Rule(group_size=15))
    with pytest.raises(ValueError, match=r"^thresholds: group_size=\(5, 60\) must divide every width, got \(30, 30\)"):
        bep.thresholds(_model(10, (30, 30)), bep.Rule(group_size=(5, 60)))
    with pytest.raises(ValueError, match=r"^thresholds: group_size=\(5, 5\) needs one entry for each of 3 layers"):
        bep.thresholds(_model(10, (30, 30, 30)), bep.Rule(group_size=(5, 5)))
    recurrent = bep.rnn(num_inputs=4, state_width=14, output_width=15, num_classes=2)
    with pytest.raises(ValueError, match=r"^thresholds: group_size=7 must divide every width, got \(14, 15\)"):
        bep.thresholds(recurrent, bep.Rule(group_size=7))


def test_thresholds_wants_a_model_and_a_rule():
    with pytest.raises(TypeError, match=r"^thresholds: wanted a Model, .* got str"):
        bep.thresholds("mlp", bep.Rule())
    with pytest.raises(TypeError, match=r"^thresholds: wanted a Rule, got float"):
        bep.thresholds(_model(), 0.5)
