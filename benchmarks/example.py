"""What the benchmarks take of examples/microcontroller: digits upright and turned, and networks that learn them."""

import importlib.util
import pathlib
import types
from typing import Any, NamedTuple

import jax
import numpy as np

import bep_jax as bep

FOLDER = pathlib.Path(__file__).parents[1] / "examples" / "microcontroller"
EPOCHS, BATCH = 40, 16  # of the training on upright images
MLP, WIDE, RECURRENT, CONVOLUTION = "64-35-35", "64-105-105", "recurrent, 8 rows, 32-35-35", "16 filters of 3 × 3, 35"
MODELS = {
    MLP: bep.mlp(num_inputs=64, widths=(35, 35), num_classes=5),
    WIDE: bep.mlp(num_inputs=64, widths=(105, 105), num_classes=5),
    RECURRENT: bep.rnn(num_inputs=32, state_width=35, output_width=35, num_classes=5),
    CONVOLUTION: bep.conv(image_shape=(8, 8), filters=((16, 3, 1),), widths=(35,), num_classes=5),
}


class Setting(NamedTuple):
    """Of a network of ours."""

    scale: float
    group_size: int
    gate: float | None
    batch: int  # on the device


def rule(model: bep.Model, setting: Setting) -> bep.Rule:
    """Groups are for dense layers and cells."""
    sizes = tuple(1 if layer.learns == "band" else setting.group_size for layer in model.layers)
    return bep.Rule(bits=8, group_size=sizes, gate=setting.gate)


def shaped(name: str, images: np.ndarray) -> np.ndarray:
    """Images ``[n, 64]`` as the network takes them."""
    return images.reshape(-1, 8, 8) if name == RECURRENT else images


def encoder(name: str, images: np.ndarray):
    """Four bits a pixel where they come row by row, else one."""
    if name == RECURRENT:
        return bep.encode.fit_levels(shaped(name, images), 4)
    return bep.encode.fit_median(images)


def trained(name: str, model: bep.Model, setting: Setting) -> tuple[bep.Params, Any]:
    """Trained on upright digits 0 to 4 of the first split; params and encoder."""
    (x, y), (x_test, y_test) = make_model().parts()["train"], make_model().parts()["upright"]
    made = encoder(name, x)
    words, test = made(shaped(name, x)), made(shaped(name, x_test))
    data = types.SimpleNamespace(train_x=words, train_y=y, test_x=test, test_y=y_test)
    options = {"epochs": EPOCHS, "batch_size": BATCH, "seeds": [0], "validation": 0, "progress": False}
    result = bep.fit(model, rule(model, setting), data, scale=setting.scale, **options)
    return jax.tree.map(lambda a: a[0], result.params), made


def make_model():
    """The example's Python."""
    spec = importlib.util.spec_from_file_location("make_model", FOLDER / "make_model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
