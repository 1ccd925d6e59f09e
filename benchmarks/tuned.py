"""`bep.tune` beside rules set by hand and what follows from shapes, on data that it was not developed on.

``python -m benchmarks.tuned [NAME ...]`` does what is missing of results/settings/tuned.jsonl, one line a data set,
then writes results/settings/tuned.md. The search has some minutes and the training samples alone; then each rule trains
three networks on all of them, and is tested once, after the last epoch.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import train_test_split

import bep_jax as bep
from bep_jax.data import encode
from bep_jax.files import runs

RESULTS = pathlib.Path(__file__).parent / "results" / "settings"
LINES, TABLE = RESULTS / "tuned.jsonl", RESULTS / "tuned.md"
EPOCHS, SEEDS, MINUTES, KEY = 30, 3, 1.5, 5
# Widths 525-525 throughout: the paper's rule, and the one that beyond it was best by hand on MNIST.
BY_HAND = {
    "the paper's": (bep.Rule(margin=0.5, gate=0.05, group_size=15), 64.0),
    "by hand": (bep.Rule(margin=0.5, gate=0.03, group_size=75), 128.0),
    "by law": (bep.Rule(), None),
}


def table_of(load: Callable[..., Any]) -> bep.datasets.Dataset:
    """A third to test on, up to 10 thermometer bits a feature."""
    x, y = load(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=1 / 3, random_state=0, stratify=y)
    encoder = encode.fit_thermometer(train_x, 10)
    parts = encoder(train_x), train_y.astype(np.int32), encoder(test_x), test_y.astype(np.int32)
    classes = tuple(map(str, np.unique(y)))
    return bep.datasets.Dataset(*parts, encoder.num_bits, len(classes), encoder, classes)


def few(data: bep.datasets.Dataset, train: int, test: int) -> bep.datasets.Dataset:
    """The first samples of each part."""
    cut = {"train_x": data.train_x[:train], "train_y": data.train_y[:train]}
    return dataclasses.replace(data, **cut, test_x=data.test_x[:test], test_y=data.test_y[:test])


DATA: dict[str, Callable[[], Any]] = {
    "digits": lambda: bep.datasets.load("digits", num_bits=8),
    "breast cancer": lambda: table_of(load_breast_cancer),
    "wine": lambda: table_of(load_wine),
    "ucr/SonyAIBORobotSurface1": lambda: bep.datasets.load("ucr/SonyAIBORobotSurface1", fold=0, whole=True),
    "fashion-mnist, 5,000 images": lambda: few(bep.datasets.load("fashion-mnist", num_bits=8), 5000, 2000),
}


def measure(name: str) -> dict[str, Any]:
    """A line of the results."""
    data = DATA[name]()
    size = len(data.train_y)
    batch_size = max(16, min(100, size // 20))
    best = bep.tune(data, minutes=MINUTES, epochs=EPOCHS, batch_size=batch_size, seed=KEY, progress=False)
    usual = bep.mlp(num_inputs=data.num_inputs, widths=(525, 525), num_classes=data.num_classes)
    rules = {"tuned": (best.model, best.rule, best.fit_options["scale"])}
    rules |= {how: (usual, rule, scale) for how, (rule, scale) in BY_HAND.items()}
    line: dict[str, Any] = {
        "data": name,
        "num_train": size,
        "batch_size": batch_size,
        "minutes": MINUTES,
        "epochs": EPOCHS,
        "tried": len(best.table),
        "rule": repr(best.rule),
        "scale": best.fit_options["scale"],
        "widths": best.network,
        "defaults_were_best": best.usual,
        "test_accuracy": {},
    }
    for how, (model, rule, scale) in rules.items():
        options: dict[str, Any] = {"epochs": EPOCHS, "batch_size": batch_size, "seeds": SEEDS, "progress": False}
        result = bep.fit(model, rule, data, validation=0.0, scale=scale, key=jax.random.key(KEY), **options)
        line["test_accuracy"][how] = result.test_accuracy.tolist()
    return line


def table(lines: Sequence[dict[str, Any]]) -> str:
    """A row a data set."""
    names = ("tuned", *BY_HAND)
    rows = []
    for line in lines:
        found = (np.array(line["test_accuracy"][name]) for name in names)
        cells = (f"{100 * one.mean():.2f} ± {100 * runs.std(one):.2f}" for one in found)
        rows.append((line["data"], *cells, str(line["tried"]), f"{line['widths']}, {line['rule']}"))
    text = (
        f"# A search beside rules set by hand\n\n`python -m benchmarks.tuned`: {MINUTES:g} minutes of search on "
        f"training samples alone, two layers of 525 or of 255; the others 525-525. Test accuracy in percent after "
        f"{EPOCHS} epochs, mean ± standard deviation of {SEEDS} networks. The paper's: ν = 0.05, γ = 15, σ = 64; by "
        "hand: ν = 0.03, γ = 75, σ = 128; by law: nothing named."
    )
    return f"{text}\n\n{runs.markdown(('data', *names, 'candidates', 'found'), rows)}\n"


def main(names: Sequence[str]) -> None:
    """Does what is missing and writes the table."""
    lines = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    for name in names or DATA:
        if not any(line["data"] == name for line in lines):
            lines.append(measure(name))
            with LINES.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
            print(lines[-1], flush=True)
            jax.clear_caches()
    TABLE.write_text(table(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
