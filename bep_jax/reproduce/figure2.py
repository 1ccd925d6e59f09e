"""Figure 2: multilayer perceptrons by width, settings tuned on held-out training data.

Axis letters: S networks trained side by side, n samples.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from tqdm.auto import tqdm
from tyro.conf import arg

from bep_jax import paper
from bep_jax.datasets import Dataset, load
from bep_jax.fitting import fit
from bep_jax.loop import Result
from bep_jax.networks import mlp
from bep_jax.reproduce import report, training
from bep_jax.reproduce.results import Record, Results, complete
from bep_jax.rule import Rule, thresholds

_DRAWN = "random-prototypes"
# Prototypes that settings are tuned on: no run of the table draws these.
_TUNING_DRAWS = 1000
# Of the training file, where settings are tuned: neither split tests on them.
_TUNING_IMAGES = 50_000
_RULE = ("margin", "gate", "group_size", "reinforcement")
_CANDIDATE = (*_RULE, "batch_size", "patience")
_PROTOCOL = """\
Test accuracy of BEP in percent after the last epoch, mean ± standard deviation over seeds. Settings are those with the
best validation accuracy (mean of the last 5 epochs and of the tuning runs) among all that the results file records;
images are tuned on held-out parts of the first 50,000 of the training file, prototypes on draws of their own. The
tested networks then train on the whole training part with group sizes fixed or, where a patience was chosen, with a
twentieth held out to grow them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure2:
    """Figure 2: multilayer perceptrons on Random Prototypes and Fashion-MNIST (and MNIST), beside the paper's BEP.

    Resumable: what is in DIR/results.jsonl is not done again, and a second call with other candidates adds to the
    search. Test accuracy of settings that were not chosen is never computed.
    """

    datasets: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = (_DRAWN, "fashion-mnist")
    """random-prototypes, fashion-mnist, mnist."""
    splits: Annotated[tuple[str, ...], arg(metavar="SPLIT [SPLIT ...]")] = ("paper", "official")
    """Of the images: paper (its own, easier), official (the test file)."""
    layer_widths: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = paper.FIGURE2_WIDTHS
    """Widths, each for all layers."""
    layers: Annotated[tuple[int, ...], arg(metavar="L [L ...]")] = (2, 3)
    """How many layers."""
    margins: Annotated[tuple[float, ...], arg(metavar="R [R ...]")] = (0.25, 0.5, 1.0)
    """Candidates for r."""
    gates: Annotated[tuple[float, ...], arg(metavar="NU [NU ...]")] = (0.2, 0.5)
    """Candidates for ν."""
    groups: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (1, 3, 5, 15)
    """Candidates for the number of groups in a layer, width / γ; those that do not divide the width are left out."""
    reinforcements: Annotated[tuple[float, ...], arg(metavar="P [P ...]")] = (0.5,)
    """Candidates for p_r."""
    batch_sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (100,)
    """Candidates for the batch size."""
    patiences: Annotated[tuple[int, ...], arg(metavar="EPOCHS [EPOCHS ...]")] = (0,)
    """Candidates for the epochs without improvement after which groups grow; 0 for never."""
    tune_epochs: Annotated[int, arg(metavar="N")] = 30
    """Epochs of a tuning run."""
    tune_runs: Annotated[int, arg(metavar="N")] = 2
    """Tuning runs of a candidate."""
    tune_validation: Annotated[float, arg(metavar="FRACTION")] = 0.1
    """Part of the training samples held out to tune on."""
    validation: Annotated[float, arg(metavar="FRACTION")] = 0.05
    """Part of the training samples held out in a tested run to grow its groups, if a patience was chosen."""
    epochs: Annotated[int, arg(metavar="N")] = 50
    """Epochs of a tested run."""
    runs: Annotated[int, arg(metavar="N")] = 5
    """Tested runs."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """What everything is drawn from."""
    data_dir: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: $BEP_JAX_DATA or the cache)")] = (
        None
    )
    """Where the files are, or go when they are downloaded."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/reproduce-figure2")
    """Where results.jsonl, table.md, picture.png and protocol.json go."""

    def run(self) -> None:
        """Runs what is missing and draws the figure."""
        self._check()
        results = Results(self.out / report.RESULTS)
        points = list(itertools.product(self.datasets, self.layers, self.layer_widths))
        try:
            for name, depth, width in (bar := tqdm(points, unit="point")):
                bar.set_description(f"{name}, {depth} layers of {width}")
                point = {"problem": name, "widths": [width] * depth}
                self._tune(results, point)
                for split in ("official",) if name == _DRAWN else self.splits:
                    self._test(results, {**point, "split": split})
        finally:
            self._report(results)

    def _check(self) -> None:
        training.check_counts(
            "figure2",
            layer_widths=self.layer_widths,
            layers=self.layers,
            groups=self.groups,
            batch_sizes=self.batch_sizes,
            tune_epochs=self.tune_epochs,
            tune_runs=self.tune_runs,
            epochs=self.epochs,
            runs=self.runs,
        )
        training.check_fraction("figure2", tune_validation=self.tune_validation, validation=self.validation)
        wrong = set(self.datasets) - {_DRAWN, "fashion-mnist", "mnist"} | set(self.splits) - {"paper", "official"}
        if wrong:
            raise ValueError(f"reproduce: figure2: unknown data set or split {', '.join(sorted(wrong))}.")

    def _tune_settings(self) -> dict[str, Any]:
        return {"epochs": self.tune_epochs, "validation": self.tune_validation, "seed": self.seed}

    def _candidates(self, width: int) -> Iterator[Record]:
        sizes = sorted({width // g for g in self.groups if width % g == 0})
        rules = (self.margins, self.gates, sizes, self.reinforcements)
        for values in itertools.product(*rules, self.batch_sizes, self.patiences):
            candidate = dict(zip(_CANDIDATE, values, strict=True))
            if candidate["patience"] == 0 or candidate["group_size"] < width:  # a whole layer cannot grow
                yield candidate

    def _tune(self, results: Results, point: Record) -> None:
        # One fit trains all candidates that share what `fit` cannot map over.
        for batch_size, patience in itertools.product(self.batch_sizes, self.patiences):
            places = [
                {"kind": "tune", **point, **candidate, "run": run}
                for candidate in self._candidates(point["widths"][0])
                for run in range(self.tune_runs)
                if (candidate["batch_size"], candidate["patience"]) == (batch_size, patience)
            ]
            if places:
                complete(results, self._tune_settings(), places, self._tune_fit)

    def _tune_fit(self, places: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        name, runs = places[0]["problem"], [place["run"] for place in places]
        if name == _DRAWN:
            data = self._load(name, "official", [_TUNING_DRAWS + run for run in runs])
        else:
            data = self._load(name, "paper", self.seed)
            data = dataclasses.replace(
                data, train_x=data.train_x[:_TUNING_IMAGES], train_y=data.train_y[:_TUNING_IMAGES]
            )
        # `fit` wants test data: what is tested here is a training sample, and not reported.
        one = (slice(None), slice(1)) if data.train_y.ndim == 2 else slice(1)
        data = dataclasses.replace(data, test_x=data.train_x[one], test_y=data.train_y[one])
        result = self._fit(places, data, [_TUNING_DRAWS + run for run in runs], self.tune_epochs, self.tune_validation)
        return [training.numbers(result, s, test=False) for s in range(len(places))]

    def chosen(self, results: Results, point: Mapping[str, Any]) -> Record | None:
        """The candidate with the best validation accuracy in the file, with its score; None where there is none."""
        scores: dict[tuple[Any, ...], list[float]] = {}
        wanted = {"kind": "tune", "problem": point["problem"], "widths": list(point["widths"])}
        for record in results:
            if all(record.get(k) == v for k, v in wanted.items()) and record["settings"] == self._tune_settings():
                candidate = tuple(record[name] for name in _CANDIDATE)
                scores.setdefault(candidate, []).append(record["validation_accuracy"])
        if not scores:
            return None
        best = max(scores, key=lambda candidate: sum(scores[candidate]) / len(scores[candidate]))
        return dict(zip(_CANDIDATE, best, strict=True))

    def _places(self, results: Results, point: Mapping[str, Any]) -> list[Record]:
        candidate = self.chosen(results, point)
        return [{"kind": "run", **point, **candidate, "run": run} for run in range(self.runs)] if candidate else []

    def _test(self, results: Results, point: Record) -> None:
        def train(places: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
            runs = [place["run"] for place in places]
            data = self._load(point["problem"], point["split"], runs if point["problem"] == _DRAWN else self.seed)
            result = self._fit(places, data, runs, self.epochs, self._held_out(places[0]))
            return [training.numbers(result, s) for s in range(len(places))]

        places = self._places(results, point)
        complete(results, self._settings(places[0]), places, train)

    def _held_out(self, place: Mapping[str, Any]) -> float:
        return self.validation if place["patience"] else 0.0

    def _settings(self, place: Mapping[str, Any]) -> dict[str, Any]:
        held_out = self._held_out(place)
        return {"epochs": self.epochs, "seed": self.seed, **({"validation": held_out} if held_out else {})}

    def _load(self, name: str, split: str, seed: int | Sequence[int]) -> Dataset:
        return load(name, split=split, data_dir=self.data_dir, seed=seed)

    def _fit(
        self, places: Sequence[Mapping[str, Any]], data: Any, seeds: list[int], epochs: int, held: float
    ) -> Result:
        model = mlp(num_inputs=data.num_inputs, widths=places[0]["widths"], num_classes=data.num_classes)
        rules = [Rule(**{name: place[name] for name in _RULE}) for place in places]
        result = fit(
            model,
            jax.tree.map(lambda *a: jnp.stack(a), *(thresholds(model, rule) for rule in rules)),
            data,
            epochs=epochs,
            batch_size=places[0]["batch_size"],
            seeds=seeds,
            key=jax.random.key(self.seed),
            validation=held,
            patience=places[0]["patience"] or None,
            progress=False,
        )
        if not result.history or result.history["train_accuracy"].shape[1] < epochs:
            raise KeyboardInterrupt
        return result

    def _report(self, results: Results) -> None:
        results.refresh()
        tuned = {(r["problem"], tuple(r["widths"])) for r in results if r.get("kind") == "tune" and "widths" in r}
        found: dict[tuple[str, str, int, int], tuple[Record, list[Record]]] = {}
        for name, widths in sorted(tuned):
            for split in ("paper", "official"):
                point = {"problem": name, "widths": list(widths), "split": split}
                records = [results.find(place, self._settings(place)) for place in self._places(results, point)]
                there = [record for record in records if record is not None]
                if there:
                    found[name, split, len(widths), widths[0]] = (there[0], there)
        if found:
            report.write(self.out, flags=self, table=_table(found), picture=lambda: _picture(found))


def _paper(name: str, split: str, depth: int, width: int) -> float | None:
    if name == "fashion-mnist" and split != "paper":
        return None
    reported = paper.reported(name, "mlp", (width,) * depth, split)
    return None if reported is None else reported.accuracy


def _accuracy(records: Sequence[Record]) -> tuple[float, float]:
    return training.mean_std([record["test_accuracy"] for record in records])


def _table(found: Mapping[tuple[str, str, int, int], tuple[Record, list[Record]]]) -> str:
    header = ("data", "split", "layers", "width", "ours", "paper", "r", "ν", "γ", "p_r", "batch", "patience", "runs")
    rows = []
    for (name, split, depth, width), (first, records) in found.items():
        mean, std = _accuracy(records)
        theirs = _paper(name, split, depth, width)
        rows.append(
            (
                *(name, "" if name == _DRAWN else split, str(depth), str(width), f"{mean:.2f} ± {std:.2f}"),
                "" if theirs is None else f"{theirs:.2f}",
                *(f"{first[k]:g}" for k in _CANDIDATE),
                str(len(records)),
            )
        )
    return f"# Figure 2\n\n{_PROTOCOL}\n\n{report.markdown(header, rows)}"


def _picture(found: Mapping[tuple[str, str, int, int], tuple[Record, list[Record]]]) -> bytes:
    ours: dict[str, dict[float, tuple[float, float]]] = {}
    theirs: dict[str, dict[float, float]] = {}
    for (name, split, depth, width), (_, records) in found.items():
        line = f"{name}{'' if name == _DRAWN else f' ({split})'}, L = {depth}"
        ours.setdefault(line, {})[width] = _accuracy(records)
        value = _paper(name, split, depth, width)
        if value is not None:
            theirs.setdefault(line, {})[width] = value
    widths = sorted({width for points in ours.values() for width in points})
    return report.lines_picture(ours, theirs, "width", ticks=widths, ylabel="test accuracy (%)")
