"""How well convolutions do: one line of JSON a network, resumed where it was left; what is known is not run again.

    python -m benchmarks.convolution mnist-one fashion      # all runs whose names begin so

Official test files; a tenth of the training images is held out, and whatever is chosen is chosen by it. Rows of one run
share a program: seeds, or rules of one architecture.
"""

import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import bep_jax as bep
from bep_jax.baselines import qat, random_features
from bep_jax.export.model_file import Saved
from bep_jax.export.predict import scores
from bep_jax.files import runs

FOLDER = Path(__file__).parent / "results" / "convolution"
TITLE = """# Convolutions on images

Official test files; a tenth of the training images is held out and decides. Batches of 128 where nothing else is said.
Accuracies in %.
"""
HEADER = (
    *("data", "network", "learns by", "settings", "bits a pixel", "bits of weights", "epochs", "networks"),
    *("train", "validation", "test", "all as one"),
)
CACHE = Path(tempfile.gettempdir()) / "bep_jax_convolution"


@dataclass(frozen=True)
class Run:
    """One program: ``rules`` by ``seeds``, every pair a row."""

    data: str
    bits: int = 4
    edges: bool = True
    filters: tuple[tuple[int, int, int], ...] | None = ((64, 7, 3),)  # None: dense layers alone
    widths: tuple[int, ...] = (525, 525)
    method: str = "band"  # or "winners", "tied winners", "frozen", "qat"
    epochs: tuple[int, ...] = (40,)  # after which it is tested
    seeds: tuple[int, ...] = (0,)
    rules: tuple[dict[str, Any], ...] = field(default=({},))
    batch: int = 128
    shift: int = 0
    mirror: bool = False
    keep: str = "last"
    patience: int | None = None
    decay_after: int | None = 30
    scale: Any = None


_MNIST, _FASHION = Run("mnist", shift=1), Run("fashion-mnist")
_FIVE = (0, 1, 2, 3, 4)
_WIDE, _TWO = ((128, 7, 3),), ((64, 7, 3), (128, 3, 1))
_FROZEN: dict[str, Any] = {"method": "frozen", "decay_after": None, "shift": 0, "epochs": (20,)}
_QAT: dict[str, Any] = {"method": "qat", "decay_after": None, "shift": 0, "epochs": (2, 5, 10)}
_DENSE: dict[str, Any] = {"filters": None, "method": "winners", "shift": 0}
# As before edges were read, by the law of that day.
_BEFORE = (8192.0, 327.68, 128.0)
_MNIST_LEVELS = replace(_MNIST, edges=False, filters=_WIDE)
_FASHION_LEVELS = replace(_FASHION, edges=False, filters=_WIDE, bits=8)
RUNS: dict[str, Run] = {
    "mnist-one": replace(_MNIST, seeds=_FIVE),
    "fashion-one": replace(_FASHION, seeds=_FIVE),
    "fashion-mirror": replace(_FASHION, filters=_WIDE, mirror=True, seeds=_FIVE, epochs=(50,), decay_after=38),
    # Beside them: filters as they were drawn, floats, and as many bits in dense layers.
    "mnist-frozen": replace(_MNIST, **_FROZEN),
    "mnist-dense": replace(_MNIST, widths=(255, 255), **_DENSE),
    "mnist-qat": replace(_MNIST, **_QAT),
    "fashion-frozen": replace(_FASHION, **_FROZEN),
    "fashion-dense": replace(_FASHION, widths=(255, 255), **_DENSE),
    "fashion-qat": replace(_FASHION, **_QAT),
    "levels-mnist-one": replace(_MNIST_LEVELS, seeds=_FIVE, scale=_BEFORE),
    "levels-mnist-two": replace(_MNIST_LEVELS, filters=_TWO, seeds=_FIVE, scale=(8192.0, 2949.12, 184.32, 128.0)),
    "levels-mnist-frozen": replace(_MNIST_LEVELS, **_FROZEN),
    "levels-mnist-dense": replace(_MNIST_LEVELS, widths=(1050, 1050), **_DENSE),
    "levels-fashion-one": replace(_FASHION_LEVELS, epochs=(10, 20, 40), seeds=_FIVE, scale=_BEFORE),
    "levels-fashion-mirror": replace(_FASHION_LEVELS, mirror=True, epochs=(50,), decay_after=38, scale=_BEFORE),
    "levels-fashion-frozen": replace(_FASHION_LEVELS, **_FROZEN),
    "levels-fashion-dense": replace(_FASHION_LEVELS, widths=(645, 645), **_DENSE),
    # The first that was ever trained, epoch by epoch.
    "mnist-first": replace(
        _MNIST,
        bits=1,
        edges=False,
        shift=0,
        batch=100,
        decay_after=None,
        epochs=(1, 2, 5, 10, 20, 30),
        rules=({"gate": 0.03, "group_size": 75},),
        scale=(4096.0, 64.0, 64.0),
    ),
}


def run(name: str) -> None:
    """Trains and tests the rows of one run, if they are not known."""
    path, one = FOLDER / "lines.jsonl", RUNS[name]
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    stages = [s for s in one.epochs if s > max((d["epochs"] for d in done if d["name"] == name), default=0)]
    if not stages:
        return
    edges = functools.partial(bep.encode.fit_edges, image_shape=(28, 28), num_bits=one.bits)
    levels = None if one.bits == 1 else functools.partial(bep.encode.fit_levels, num_bits=one.bits)
    data = bep.datasets.load(one.data, encoder=edges if one.edges else levels)
    if one.filters is None:
        model = bep.mlp(num_inputs=data.num_inputs, widths=one.widths, num_classes=data.num_classes)
    else:
        learns = "band" if one.method in ("frozen", "qat") else one.method
        sizes: dict[str, Any] = {
            "image_shape": (28, 28),
            "channels": data.num_inputs // 784,
            "filters": one.filters,
            "widths": one.widths,
        }
        model = bep.conv(**sizes, num_classes=data.num_classes, learns=learns)
    options: dict[str, Any] = {"batch_size": one.batch, "progress": False, "keep": one.keep, "patience": one.patience}
    seeds = [seed for _ in one.rules for seed in one.seeds]
    fit: Callable[..., bep.Result] = bep.fit
    rule: Any = [bep.Rule(**r) for r in one.rules]
    if one.method == "qat":

        def fit(model: bep.Model, rule: Any, data: Any, **options: Any) -> bep.Result:
            return qat.fit(model, data, batch_norm=True, **options)

    elif one.method == "frozen":
        fit, rule = random_features.fit, rule[0]
        options["scale"] = None
    else:
        limits = [bep.thresholds(model, r) for r in rule for _ in one.seeds]
        rule = jax.tree.map(lambda *rows: jnp.stack(rows), *limits)
        options |= {"shift": one.shift, "mirror": one.mirror, "scale": one.scale, "decay_after": one.decay_after}
    about = {k: v for k, v in asdict(one).items() if k not in ("rules", "seeds", "epochs")}
    for epochs in stages:
        begun, cpu = time.perf_counter(), time.process_time()
        result = fit(
            model,
            rule,
            data,
            epochs=epochs,
            seeds=seeds,
            key=jax.random.key(0),
            checkpoint_dir=CACHE / name,
            resume=True,
            **options,
        )
        spent = {
            "seconds": round(time.perf_counter() - begun, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "rows": len(seeds),
            "processor": runs.environment()["platform"]["processor"],
        }
        history = {k: np.asarray(v) for k, v in result.history.items()}
        together = None
        if len(seeds) > 1 and len(one.rules) == 1 and one.method != "qat":
            votes = scores(Saved(model, result.params, None, None), data.test_x).argmax(axis=1)
            together = float((votes == np.asarray(data.test_y)).mean())
        lines = []
        for row, seed in enumerate(seeds):
            curve = [round(float(v), 4) for v in history["validation_accuracy"][row]]
            densities = [round(float(v[row, -1]), 4) for k, v in history.items() if k.startswith("mask_density")]
            lines.append(
                {
                    "name": name,
                    **about,
                    "rule": one.rules[row // len(one.seeds)],
                    "seed": seed,
                    "epochs": epochs,
                    "test": float(result.test_accuracy[row]),
                    "ensemble": together,
                    "train": float(history["train_accuracy"][row, -1]),
                    "validation": curve[-1],
                    "curve": curve,
                    "densities": densities,
                    "weight_bits": sum(n * k for n, k in model.matrix_shapes),
                    **spent,
                }
            )
        FOLDER.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        for line in lines:
            print(
                {k: v for k, v in line.items() if k in ("name", "rule", "seed", "epochs", "test", "train")}, flush=True
            )


def write_table() -> None:
    """The last line of every network, those that share a name as one row where they differ by seed alone."""
    lines = [json.loads(line) for line in (FOLDER / "lines.jsonl").read_text().splitlines()]
    rows: dict[tuple, list[dict[str, Any]]] = {}
    for line in lines:
        key = (line["data"], line["name"], json.dumps(line.get("rule", {})))
        if key in rows and rows[key][0]["epochs"] < line["epochs"]:
            rows[key] = []
        rows.setdefault(key, []).append(line)
    table = [HEADER]
    for (data, _, _), found in sorted(rows.items(), key=lambda row: row[0]):
        one = found[0]
        train, validation, test = (100 * np.mean([f[key] for f in found]) for key in ("train", "validation", "test"))
        spread = f" ± {100 * np.std([f['test'] for f in found]):.2f}" if len(found) > 1 else ""
        filters = [f"{n} of {patch}×{patch}, stride {stride}" for n, patch, stride in one["filters"] or ()]
        settings = one["rule"] | {key: one[key] for key in ("shift", "mirror", "decay_after") if one.get(key)}
        settings |= {"batch": one["batch"]} if one["batch"] != 128 else {}
        settings |= {"scale": one["scale"]} if one.get("scale") else {}
        table.append(
            (
                data,
                "; ".join([*filters, "-".join(map(str, one["widths"]))]),
                one["method"],
                ", ".join(f"{name} {value}" for name, value in settings.items()),
                f"{one['bits']}{' + 8 of edges' if one['edges'] else ''}",
                f"{one['weight_bits']:,}",
                str(one["epochs"]),
                str(len(found)),
                f"{train:.2f}",
                f"{validation:.2f}",
                f"{test:.2f}{spread}",
                f"{100 * one['ensemble']:.2f}" if one.get("ensemble") else "",
            )
        )
    table.insert(1, ("---",) * 4 + ("---:",) * 8)
    text = "".join(f"| {' | '.join(row)} |\n" for row in table)
    (FOLDER / "table.md").write_text(f"{TITLE}\n{text}", encoding="utf-8")


if __name__ == "__main__":
    for chosen in RUNS:
        if chosen.startswith(tuple(sys.argv[1:]) or ("",)):
            run(chosen)
    write_table()
