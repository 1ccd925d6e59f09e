"""What a network costs: counted again by hand, and on disk."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import bep_jax as bep
from bep_jax.export import model_file
from bep_jax.network.model import Params
from bep_jax.network.summary import Operations

MODELS = [
    bep.mlp(num_inputs=784, widths=(525, 525), num_classes=10),
    bep.mlp(num_inputs=33, widths=(5, 63, 31), num_classes=3),
    bep.mlp(num_inputs=1, widths=(1,), num_classes=2),
    bep.rnn(num_inputs=7, state_width=31, output_width=33, num_classes=2, horizon=4),
    bep.conv(image_shape=(9, 8), channels=3, filters=((5, 3, 2), (7, 2, 1)), widths=(), num_classes=3),
]


@pytest.mark.parametrize("model", MODELS)
def test_bytes_are_those_on_disk(model):
    hidden = tuple(jnp.ones(shape, jnp.int16) for shape in model.matrix_shapes)
    words = -(-model.num_outputs // 32)
    params = Params(hidden, jnp.zeros((model.num_classes, words), jnp.uint32))
    summary = bep.summary(model)
    for kept, wanted, field in (
        (False, summary.inference_bytes, "inference_bytes"),
        (True, summary.training_bytes, "training_bytes"),
    ):
        content = model_file.to_bytes(bep.Saved(model, params), hidden=kept)
        header = 8 + int.from_bytes(content[:8], "little")
        assert len(content) - header == wanted
        tensors = safetensors.numpy.load(content)
        sizes = [tensors[f"hidden.{i}"].nbytes for i in range(len(hidden))] + [tensors["classifier"].nbytes]
        assert [getattr(row, field) for row in summary.rows] == sizes


@pytest.mark.parametrize("model", MODELS)
def test_rows_and_totals(model):
    summary = bep.summary(model)
    shapes = [*model.matrix_shapes, (model.num_classes, model.num_outputs)]
    assert [row.shape for row in summary.rows] == shapes
    assert [row.weights for row in summary.rows] == [np.prod(shape) for shape in shapes]
    assert all(row.inference_bits == row.weights for row in summary.rows)
    assert [row.training_bits for row in summary.rows] == [
        (16 if i < len(shapes) - 1 else 1) * n * k for i, (n, k) in enumerate(shapes)
    ]
    assert summary.weights == sum(n * k for n, k in shapes)
    assert summary.float32_inference_bytes == 4 * summary.weights
    assert summary.float32_training_bytes == 16 * summary.weights


def test_operations_of_an_mlp():
    summary = bep.summary(bep.mlp(num_inputs=7, widths=(5, 3), num_classes=2))
    assert [row.operations for row in summary.rows] == [(35, 0, 35), (15, 15, 15), (6, 0, 0)]
    assert summary.operations() == Operations(56, 15, 50)


def test_operations_of_convolutions():
    summary = bep.summary(MODELS[-1])  # 4 × 3 positions of 27 bits, then 3 × 2 of 20
    assert [row.operations for row in summary.rows] == [(1620, 0, 1620), (840, 840, 840), (126, 0, 0)]
    assert [row.positions for row in summary.rows] == [12, 6, 1]
    assert re.search(r"layer 1, 12 positions +5×27", str(summary))


@pytest.mark.parametrize("horizon", [None, 1, 2, 9])
@pytest.mark.parametrize("num_steps", [1, 5])
def test_operations_of_an_rnn(horizon, num_steps):
    model = bep.rnn(num_inputs=3, state_width=4, output_width=5, num_classes=2, horizon=horizon)
    kept = min(num_steps, horizon or num_steps)
    forward = num_steps * (4 * 3 + 4 * 4) + 5 * 4 + 2 * 5
    backward = (kept - 1) * 4 * 4 + 5 * 4
    update = kept * (4 * 3 + 4 * 4) + 5 * 4
    assert bep.summary(model).operations(num_steps) == (forward, backward, update)


@pytest.mark.parametrize("model", MODELS)
def test_the_table_is_straight(model):
    text = str(bep.summary(model))
    lines = text.splitlines()
    assert "Summary(" not in text
    assert all(line == line.rstrip() for line in lines)
    assert len(lines) == 2 + 1 + len(model.matrix_shapes) + 1 + 1 + (2 if model.recurrent else 1) + 2
    assert max(map(len, lines)) <= 120
    columns = [line.index("classifier") for line in lines if "classifier" in line]
    assert columns == [0]
    assert ("a time step" in text) == model.recurrent


def test_mistakes():
    with pytest.raises(TypeError, match=r"summary: wanted a Model, from bep.mlp or bep.rnn, got int"):
        bep.summary(3)
    with pytest.raises(ValueError, match=r"operations: num_steps must be at least 1, got 0"):
        bep.summary(MODELS[0]).operations(0)
