"""What the laws of `bep_jax.learning.laws` rest on: accuracy by scale, gate and group size, one factor at a time.

``python -m benchmarks.settings [EXPERIMENT ...]`` trains what is missing of results/settings/results.jsonl, one line a
network, then draws the pictures of the page "Choosing settings". Every accuracy is of validation samples, a tenth of
the training file, mean of the last three epochs; test files are not read. Groups keep their size (no schedule).

A point says its scale as a factor of the samples times positions, its gate as a factor of √K, and its groups as how
many a layer is cut into.
"""

import dataclasses
import itertools
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import bep_jax as bep
from bep_jax.files import plots
from bep_jax.learning.laws import group_size_near, usual_group_sizes
from bep_jax.training.fitting import start_states

RESULTS = pathlib.Path(__file__).parent / "results" / "settings"
PICTURE = pathlib.Path(__file__).parent.parent / "docs" / "howto" / "settings.png"
_TAIL = 3  # epochs that an accuracy is the mean of


@dataclasses.dataclass(frozen=True)
class Point:
    """What one program trains: some networks side by side that differ in scales, gates and groups alone."""

    experiment: str
    data: str  # name:bits[:window]
    widths: tuple[int, ...]  # rnn: state, output
    batch: int
    epochs: int
    scales: tuple[float, ...] = (0.64,)  # times batch and positions
    gates: tuple[float, ...] = (1.0,)  # times √K
    groups: tuple[float, ...] = (7.0,)  # in a layer (rnn: the state); 0 for what the law says
    samples: int | None = None  # the first so many of the training file
    seeds: int = 2
    recurrent: bool = False

    def places(self) -> Iterator[dict[str, Any]]:
        """One a network: what a line of the results is found by."""
        same = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("scales", "gates", "groups", "seeds")}
        axes = (self.scales, self.gates, self.groups, range(self.seeds))
        for scale, gate, groups, seed in itertools.product(*axes):
            here = {"scale": scale, "gate": gate, "groups": groups, "seed": seed}
            yield {**same, "widths": list(self.widths), **here}


_SCALES = (0.08, 0.16, 0.32, 0.64, 1.28, 5.12)  # of samples times positions
_GATES, _GROUPS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0), (1.0, 3.0, 7.0, 15.0, 35.0, 105.0)
_AROUND = (0.16, 0.32, 0.64, 1.28)
_SHORT: dict[str, Any] = {"samples": 10_000, "seeds": 1}
_CELL: dict[str, Any] = {"gates": (1.0, 2.0), "groups": (7, 15, 35), "seeds": 1, "recurrent": True}

POINTS: dict[str, list[Point]] = {
    "recurrent": [
        Point("recurrent", "ucr/ItalyPowerDemand:10:8", (525, 525), 73, 30, **_CELL),
        Point("recurrent", "ucr/ProximalPhalanxTW:20:8", (525, 525), 40, 30, **_CELL),
        Point("recurrent", "ucr/JapaneseVowels:10:8", (525, 525), 43, 30, **_CELL),
    ],
    "scale": [
        Point("scale", "mnist:0", (525, 525), batch, epochs, _SCALES, **_SHORT)
        for batch, epochs in ((50, 12), (200, 12))
    ],
    "gate": [Point("gate", "mnist:0", widths, 100, 12, gates=_GATES, **_SHORT) for widths in ((525, 525), (105, 105))],
    "groups": [
        Point("groups", "mnist:0", widths, 100, 12, groups=_GROUPS, **_SHORT) for widths in ((525, 525), (105, 105))
    ],
    "fan-in": [
        *(Point("fan-in", f"fashion-mnist:{bits}", (255, 255), 200, 12, _AROUND, **_SHORT) for bits in (0, 8)),
        *(Point("fan-in", f"digits:{bits}", (255, 255), 100, 30, _AROUND, seeds=1) for bits in (1, 15)),
    ],
    "table": [Point("table", "digits:8", (255, 255), 70, 30, _SCALES, seeds=1)],
    # 0 for as many groups as the law has, 0.3 √N; and 0.16 to 3.3 times as many.
    "widths": [
        Point("widths", "mnist:0", (n, n), 50, 10, groups=groups, samples=3000, seeds=1)
        for n, groups in (
            *((n, (0.0, *(round(n**0.5 * factor, 1) for factor in (0.05, 0.12, 0.6, 1.0)))) for n in (105, 255, 525)),
            (1035, (0.0, 3.9, 19.3)),
            (101, (0.0,)),
            (509, (0.0,)),
        )
    ],
    "depth": [
        Point("depth", "digits:8", (105,) * depth, 70, 30, (0.64, 1.28, 2.56), (1.0, 2.0, 4.0), (3.0,), seeds=1)
        for depth in (2, 5, 10)
    ],
    "batch": [
        Point("batch", "mnist:0", (255, 255), batch, epochs, scales, groups=(5.0,), **_SHORT)
        for batch, epochs, scales in (
            (20, 5, (0.64, 1.6, 3.2, 12.8)),
            (500, 20, (0.32, 0.64, 1.28, 2.56)),
            (1000, 30, (0.32, 0.64, 1.28, 2.56)),
        )
    ],
}


def load(point: Point) -> Any:
    """Training samples, encoded; series are expanded to the state's width."""
    name, bits, *window = point.data.split(":")
    expanded = point.widths[0] if point.recurrent else None
    data = bep.datasets.load(
        name,
        num_bits=int(bits) if int(bits) > 0 else None,
        window=int(window[0]) if window else None,
        width=expanded,
        fold=0 if name.startswith("ucr/") else None,
        **({"num_test": 1} if name == "random-prototypes" else {}),
    )
    n = point.samples
    return dataclasses.replace(data, train_x=data.train_x[:n], train_y=data.train_y[:n], test_x=None, test_y=None)


def train(point: Point, places: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of the networks at these places of a point, trained side by side."""
    data = load(point)
    if point.recurrent:
        state, output = point.widths
        sizes = {"num_inputs": data.num_inputs, "num_classes": data.num_classes}
        model = bep.rnn(state_width=state, output_width=output, **sizes)
    else:
        model = bep.mlp(num_inputs=data.num_inputs, widths=point.widths, num_classes=data.num_classes)
    num_steps = data.train_x.shape[-2] if point.recurrent else None
    updates = [point.batch * layer.positions(num_steps) for layer in model.layers]
    scales = [tuple(min(place["scale"] * m, 8192.0) for m in updates) for place in places]
    limits = [_limits(model, place["gate"], place["groups"]) for place in places]
    seeds = [place["seed"] for place in places]
    begun = time.monotonic()
    result = bep.fit(
        model,
        jax.tree.map(lambda *a: jnp.stack(a), *limits),
        data,
        epochs=point.epochs,
        batch_size=point.batch,
        seeds=seeds,
        patience=None,
        scale=64.0,  # of none: they go on from states of their own
        state=start_states(model, limits, seeds, scales),
        progress=False,
    )
    seconds = (time.monotonic() - begun) / len(places)
    found = {
        name: result.history[name][:, -_TAIL:].mean(axis=1)
        for name in ("validation_accuracy", "train_accuracy", "trigger_rate")
    }
    best = result.history["validation_accuracy"].max(axis=1)
    return [
        {
            **place,
            "sigma": scales[i][0],
            **{name: round(float(values[i]), 5) for name, values in found.items()},
            "best_validation_accuracy": round(float(best[i]), 5),
            "seconds": round(seconds, 2),
        }
        for i, place in enumerate(places)
    ]


def _limits(model: bep.Model, gate: float, groups: float) -> bep.Limits:
    """The gate is taken on \\|z\\| itself, so that it is the same factor of √K in every layer."""
    usual = bep.thresholds(model, bep.Rule())
    gates = [int(gate * layer.gate_fan_in**0.5) for layer in model.layers]
    sizes = [group_size_near(width, width / groups) for width in model.widths] if groups else usual_group_sizes(model)
    return usual._replace(gate=jnp.asarray(gates, jnp.int32), group_size=jnp.asarray(sizes, jnp.int32))


def main(names: Sequence[str]) -> None:
    """Trains what is missing and draws."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for name in names or POINTS:
        for point in POINTS[name]:
            missing = [p for p in point.places() if not any(p.items() <= line.items() for line in lines)]
            if not missing:
                continue
            found = train(point, missing)
            with path.open("a") as file:
                file.writelines(json.dumps(line) + "\n" for line in found)
            lines.extend(found)
            best = max(found, key=lambda line: line["validation_accuracy"])
            print(f"{name}, {point.data}: best {best['validation_accuracy']} at {best}", flush=True)
            jax.clear_caches()
    PICTURE.write_bytes(draw(lines))


def draw(lines: Sequence[dict[str, Any]]) -> bytes:
    """Accuracy by each of the three, a line a batch or network."""
    figure = plots.new_figure(11.0, 3.6)
    panels = figure.subplots(1, 3, sharey=True)
    for panel, experiment, axis, title in zip(
        panels,
        ("scale", "gate", "groups"),
        ("scale", "gate", "groups"),
        ("initial scale / (batch size × positions)", "gate: open while |z| is at most … √K", "groups a layer"),
        strict=True,
    ):
        curves: dict[str, dict[float, list[float]]] = {}
        for line in lines:
            if line["experiment"] == experiment:
                widths = "-".join(map(str, line["widths"]))
                name = f"batch {line['batch']}" if experiment == "scale" else widths
                found = curves.setdefault(name, {}).setdefault(line[axis], [])
                found.append(100 * line["validation_accuracy"])
        for name, points in curves.items():
            x = sorted(points)
            panel.plot(x, [np.mean(points[value]) for value in x], "o-", label=name)
        panel.axvline({"scale": 0.64, "gate": 1.0, "groups": 7.0}[experiment], color="0.6", linestyle=":")
        panel.set_xscale("log")
        ticks = {"scale": _SCALES, "gate": _GATES, "groups": _GROUPS}[experiment]
        panel.set_xticks(ticks, [f"{value:g}" for value in ticks])
        panel.minorticks_off()
        panel.set_xlabel(title)
        if curves:
            panel.legend()
    panels[0].set_ylabel("validation accuracy, %")
    figure.set_layout_engine("tight")
    return plots.png(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
