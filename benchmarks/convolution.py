"""How well convolutions do on images: one line of JSON a network and number of epochs, resumed where it was left.

    python -m benchmarks.convolution mnist fashion-mnist

Official test files; a tenth of the training images is held out, as in `fit`, though nothing is chosen by it.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

import bep_jax as bep
from bep_jax.baselines import random_features
from bep_jax.files import runs

FOLDER = Path(__file__).parent / "results" / "convolution"
CACHE = Path(tempfile.gettempdir()) / "bep_jax_convolution"

# name: data set, bits of a pixel, filters, method, epochs at which it is tested, seed
RUNS = {
    "mnist-64": ("mnist", 1, ((64, 7, 3),), "band", (1, 2, 5, 10, 20, 30), 0),
    "mnist-64-frozen": ("mnist", 1, ((64, 7, 3),), "frozen", (1, 2, 5, 10, 20), 0),
    "fashion-64x4": ("fashion-mnist", 4, ((64, 7, 3),), "band", (1, 2, 5, 10, 20), 0),
    "mnist-64-1": ("mnist", 1, ((64, 7, 3),), "band", (10, 30), 1),
    "mnist-128": ("mnist", 1, ((128, 7, 3),), "band", (10, 30, 60), 0),
    "fashion-64x4-frozen": ("fashion-mnist", 4, ((64, 7, 3),), "frozen", (5, 10, 20), 0),
    "fashion-128x8": ("fashion-mnist", 8, ((128, 7, 3),), "band", (5, 10, 20, 40), 0),
    "mnist-64-winners": ("mnist", 1, ((64, 7, 3),), "winners", (1, 2, 5, 10), 0),
    "mnist-dense": ("mnist", 1, None, "dense", (10, 30), 0),
}
WIDTHS, BATCH, RULE, DENSE_SCALE = (525, 525), 100, {"gate": 0.03, "group_size": 75}, 64.0


def run(name: str) -> None:
    """Trains and tests one network, on from where it was left."""
    path = FOLDER / "lines.jsonl"
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    dataset, bits, filters, method, stages, seed = RUNS[name]
    stages = [s for s in stages if s > max((d["epochs"] for d in done if d["name"] == name), default=0)]
    if not stages:
        return
    data = bep.datasets.load(dataset, num_bits=None if bits == 1 else bits)
    if filters is None:
        model = bep.mlp(num_inputs=data.num_inputs, widths=WIDTHS, num_classes=data.num_classes)
    else:
        learns = "winners" if method == "winners" else "band"
        sizes = {"image_shape": (28, 28), "channels": bits, "filters": filters, "widths": WIDTHS}
        model = bep.conv(**sizes, num_classes=data.num_classes, learns=learns)
    rule = bep.Rule(**RULE | ({"group_size": (16, 75, 75)} if method == "winners" else {}))
    scale: Any = DENSE_SCALE
    if method in ("band", "winners"):
        scale = (bep.initial_scale(model, BATCH)[0], DENSE_SCALE, DENSE_SCALE)
    fit = random_features.fit if method == "frozen" else bep.fit
    for epochs in stages:
        begun, cpu = time.perf_counter(), time.process_time()
        result = fit(
            model,
            rule,
            data,
            epochs=epochs,
            batch_size=BATCH,
            seeds=[seed],
            key=jax.random.key(0),
            patience=None,
            scale=scale,
            progress=False,
            checkpoint_dir=CACHE / name,
            resume=True,
        )
        line = {
            "name": name,
            "data": dataset,
            "bits": bits,
            "method": method,
            "epochs": epochs,
            "seed": seed,
            "test": float(result.test_accuracy[0]),
            "train": float(result.history["train_accuracy"][0, -1]),
            "validation": float(result.history["validation_accuracy"][0, -1]),
            "densities": [round(float(v[0, -1]), 4) for n, v in result.history.items() if n.startswith("mask_density")],
            "weight_bits": sum(n * k for n, k in model.matrix_shapes),
            "seconds": round(time.perf_counter() - begun, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "processor": runs.environment()["platform"]["processor"],
        }
        FOLDER.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    for chosen in RUNS:
        if chosen.startswith(tuple(sys.argv[1:]) or ("",)):
            run(chosen)
