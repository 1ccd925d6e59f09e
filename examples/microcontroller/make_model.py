"""Trains a network on upright digits, and writes it and the samples of a camera on its side for main.c."""

import pathlib
import types

import jax
import numpy as np
from sklearn.datasets import load_digits

import bep_jax as bep

HERE = pathlib.Path(__file__).parent
WIDTHS, CLASSES, BATCH_SIZE, SCALE, NUM_OWN, NUM_TEST, PASSES = (35, 35), 5, 8, 16.0, 200, 200, 5


def parts():
    """{name: (images uint8 [n, 64], labels [n])}: train and upright; own and turned are of the camera on its side."""
    images, labels = load_digits(return_X_y=True)
    images, labels = images[labels < CLASSES].astype(np.uint8).reshape(-1, 8, 8), labels[labels < CLASSES]
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images[order], labels[order]
    flat, side = images.reshape(-1, 64), np.rot90(images, axes=(1, 2)).reshape(-1, 64)
    rest = len(labels) - NUM_TEST
    train, own, test = slice(rest - NUM_OWN), slice(rest - NUM_OWN, rest), slice(rest, None)
    return {
        "train": (flat[train], labels[train]),
        "own": (side[own], labels[own]),
        "turned": (side[test], labels[test]),
        "upright": (flat[test], labels[test]),
    }


def network(widths=WIDTHS):
    """The model, its rule, params and encoder, trained on upright images."""
    (x, y), (x_test, y_test) = parts()["train"], parts()["upright"]
    encoder = bep.encode.fit_median(x)
    model = bep.mlp(num_inputs=encoder.num_bits, widths=widths, num_classes=CLASSES)
    rule = bep.Rule(bits=8, group_size=5)
    data = types.SimpleNamespace(train_x=encoder(x), train_y=y, test_x=encoder(x_test), test_y=y_test)
    result = bep.fit(model, rule, data, epochs=40, batch_size=16, seeds=[0], scale=SCALE, validation=0, progress=False)
    return model, rule, jax.tree.map(lambda a: a[0], result.params), encoder


def samples_text(passes=PASSES):
    """samples.h."""
    lines = [f"#define NUM_OWN {NUM_OWN}u\n#define NUM_TEST {NUM_TEST}u\n#define PASSES {passes}u"]
    place = '__attribute__((section(".samples")))'
    for name, (x, y) in parts().items():
        if name != "train":
            rows = ",\n".join("    {" + ", ".join(map(str, row)) + "}" for row in x.tolist())
            lines.append(f"static const uint8_t {name}[{len(y)}][64] {place} = {{\n{rows}\n}};")
            lines.append(
                f"static const uint8_t {name}_labels[{len(y)}] {place} = {{{', '.join(map(str, y.tolist()))}}};"
            )
    return "\n".join(lines) + "\n"


def main():
    model, rule, params, encoder = network()
    header = bep.to_c(model, params, encoder, rule=rule, batch_size=BATCH_SIZE)
    (HERE / "model.h").write_text(header)
    (HERE / "samples.h").write_text(samples_text())
    print(bep.summary(model))


if __name__ == "__main__":
    main()
