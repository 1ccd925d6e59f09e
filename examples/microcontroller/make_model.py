"""Trains a network on upright digits, and writes it and the samples of a camera on its side for main.c."""

import pathlib
import types

import jax
import numpy as np
from sklearn.datasets import load_digits

import bep_jax as bep

HERE = pathlib.Path(__file__).parent
WIDTHS, DIGITS, NUM_OWN, NUM_TEST, PASSES = (35, 35), range(5), 200, 200, 5
# Chosen on the digits 5 to 9, of which nothing is shown here: benchmarks/results/adaptation.md.
SCALE, GROUP_SIZE, GATE, BATCH_SIZE = 16.0, 5, 0.25, 8


def parts(digits=DIGITS, seed=0):
    """{name: (images uint8 [n, 64], labels [n])}: train and upright; own and turned are of the camera on its side."""
    images, labels = load_digits(return_X_y=True)
    chosen = np.isin(labels, digits)
    images, labels = images[chosen].astype(np.uint8).reshape(-1, 8, 8), labels[chosen] - digits[0]
    order = np.random.default_rng(seed).permutation(len(labels))
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


def network():
    """The model, its rule, params and encoder, trained on upright images."""
    (x, y), (x_test, y_test) = parts()["train"], parts()["upright"]
    encoder = bep.encode.fit_median(x)
    model = bep.mlp(num_inputs=encoder.num_bits, widths=WIDTHS, num_classes=len(DIGITS))
    rule = bep.Rule(bits=8, group_size=GROUP_SIZE, gate=GATE)
    data = types.SimpleNamespace(train_x=encoder(x), train_y=y, test_x=encoder(x_test), test_y=y_test)
    result = bep.fit(model, rule, data, epochs=40, batch_size=16, seeds=[0], scale=SCALE, validation=0, progress=False)
    return model, rule, jax.tree.map(lambda a: a[0], result.params), encoder


def samples_text(own=NUM_OWN, test=NUM_TEST, passes=PASSES, shaped=lambda images: images):
    """samples.h."""
    lines = [f"#define NUM_OWN {own}u\n#define NUM_TEST {test}u\n#define PASSES {passes}u"]
    place = '__attribute__((section(".samples")))'
    for name, (x, y) in parts().items():
        if name != "train":
            count = own if name == "own" else test
            x, y = shaped(x[:count]), y[:count]
            rows = ",\n".join("    {" + ", ".join(map(str, row)) + "}" for row in x.tolist())
            lines.append(f"static const uint8_t {name}[{count}][{x.shape[1]}] {place} = {{\n{rows}\n}};")
            lines.append(
                f"static const uint8_t {name}_labels[{count}] {place} = {{{', '.join(map(str, y.tolist()))}}};"
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
