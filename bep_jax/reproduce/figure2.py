"""Figure 2: multilayer perceptrons by width and method, settings tuned on held-out training data.

Axis letters: S networks trained side by side, n samples.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
from tqdm.auto import tqdm
from tyro.conf import arg

from bep_jax.baselines import methods
from bep_jax.baselines.local_rule import usual_group_size
from bep_jax.data.datasets import Dataset, load
from bep_jax.data.random_prototypes import NAME as DRAWN
from bep_jax.files import runs
from bep_jax.learning.rule import Rule
from bep_jax.network.model import mlp
from bep_jax.reproduce import paper, report, training
from bep_jax.reproduce.flags import Perceptrons
from bep_jax.reproduce.results import Record, Results, complete
from bep_jax.training.loop import Result

# Prototypes that settings are tuned on: no run of the table draws these.
_TUNING_DRAWS = 1000
# Of the training file, where settings are tuned: neither split tests on them.
_TUNING_IMAGES = 50_000
_RULE = ("margin", "gate", "group_size", "reinforcement")
# What is searched for a method; a gate is nothing to the local rule, a rule nothing to QAT.
_CANDIDATE = {
    "bep": (*_RULE, "batch_size", "patience"),
    "local-rule": ("margin", "group_size", "reinforcement", "batch_size", "patience"),
    "random-features": ("margin", "group_size", "reinforcement", "batch_size", "patience"),
    **{name: ("learning_rate", "batch_size", "patience") for name in methods.TITLES if methods.is_qat(name)},
}
_SYMBOLS = {
    "batch_size": "batch",
    "margin": "r",
    "gate": "ν",
    "group_size": "γ",
    "reinforcement": "p_r",
    "learning_rate": "rate",
}
# The paper's name of a method; its QAT without batch normalisation is the raw one.
_PAPER = {"bep": "bep", "local-rule": "local_rule", "qat-raw": "qat", "qat-batchnorm": "qat_batchnorm"}
_PROTOCOL = """\
Test accuracy in percent after the last epoch, mean ± standard deviation over seeds. Settings are those with the
best validation accuracy (mean of the last 5 epochs and of the tuning runs) among all that the results file records;
images are tuned on held-out parts of the first 50,000 of the training file, prototypes on draws of their own. The
tested networks then train on the whole training part with group sizes fixed or, where a patience was chosen, with a
twentieth held out to grow them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure2(Perceptrons):
    """Figure 2: multilayer perceptrons on Random Prototypes and Fashion-MNIST (and MNIST), BEP and the baselines.

    Resumable: what is in DIR/results.jsonl is not done again, and a second call with other candidates adds to the
    search. Test accuracy of settings that were not chosen is never computed.
    """

    splits: Annotated[tuple[str, ...], arg(metavar="SPLIT [SPLIT ...]")] = ("paper", "official")
    """Of the images: paper (its own, easier), official (the test file)."""
    methods: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = ("bep",)
    """bep, local-rule, qat, qat-raw (the paper's QAT), qat-batchnorm, random-features."""
    layer_widths: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = paper.FIGURE2_WIDTHS
    """Widths, each for all layers."""
    layers: Annotated[tuple[int, ...], arg(metavar="L [L ...]")] = (2, 3)
    """How many layers."""
    margins: Annotated[tuple[float, ...], arg(metavar="R [R ...]")] = (0.25, 0.5, 1.0)
    """Candidates for r."""
    gates: Annotated[tuple[float, ...], arg(metavar="NU [NU ...]")] = (0.2, 0.5)
    """Candidates for ν."""
    groups: Annotated[tuple[str, ...], arg(metavar="N[,N...] [N[,N...] ...]")] = ("1", "3", "5", "15")
    """Candidates for the number of groups in a layer, width / γ: one for all layers, or one a layer, as 15,7,1. Those
    that do not divide the width or are for another depth are left out. The local rule always takes its published γ."""
    reinforcements: Annotated[tuple[float, ...], arg(metavar="P [P ...]")] = (0.5,)
    """Candidates for p_r."""
    learning_rates: Annotated[tuple[float, ...], arg(metavar="RATE [RATE ...]")] = (1e-4, 1e-3, 1e-2)
    """Candidates for QAT's learning rate."""
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
    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/reproduce-figure2")
    """Where results.jsonl, table.md, picture.png and protocol.json go."""

    def run(self) -> None:
        """Runs what is missing and draws the figure."""
        self._check()
        results = Results(self.out / report.RESULTS)
        points = list(itertools.product(self.methods, self.datasets, self.layers, self.layer_widths))
        try:
            for method, name, depth, width in (bar := tqdm(points, unit="point")):
                bar.set_description(f"{method}, {name}, {depth} layers of {width}")
                point = {"method": method, "problem": name, "widths": [width] * depth}
                self._tune(results, point)
                for split in ("official",) if name == DRAWN else self.splits:
                    self._test(results, {**point, "split": split})
        finally:
            self._report(results)

    def _check(self) -> None:
        training.check_counts(
            "figure2",
            layer_widths=self.layer_widths,
            layers=self.layers,
            groups=[count for counts in self._groups() for count in counts],
            batch_sizes=self.batch_sizes,
            tune_epochs=self.tune_epochs,
            tune_runs=self.tune_runs,
            epochs=self.epochs,
            runs=self.runs,
        )
        training.check_fraction("figure2", tune_validation=self.tune_validation, validation=self.validation)
        wrong = self.unknown_datasets() | set(self.splits) - {"paper", "official"} | set(self.methods) - set(_CANDIDATE)
        if wrong:
            raise ValueError(f"reproduce: figure2: unknown data set, split or method {', '.join(sorted(wrong))}.")
        if not min(self.learning_rates, default=0) > 0:
            raise ValueError(f"reproduce: figure2: --learning-rates must be positive, got {self.learning_rates}.")

    def _tune_settings(self) -> dict[str, Any]:
        return {"epochs": self.tune_epochs, "validation": self.tune_validation, "seed": self.seed}

    def _groups(self) -> list[list[int]]:
        try:
            return [[int(count) for count in counts.split(",")] for counts in self.groups]
        except ValueError:
            raise ValueError(
                f"reproduce: figure2: --groups must be numbers like 15 or 15,7,1, got {' '.join(self.groups)}."
            ) from None

    def _group_sizes(self, widths: Sequence[int]) -> Iterator[int | list[int]]:
        """γ of each candidate: a number, or a list where layers differ."""
        for counts in self._groups():
            counts = counts * len(widths) if len(counts) == 1 else counts
            if len(counts) == len(widths) and not any(w % c for w, c in zip(widths, counts, strict=True)):
                sizes = [w // c for w, c in zip(widths, counts, strict=True)]
                yield sizes if len(set(sizes)) > 1 else sizes[0]

    def _candidates(self, method: str, widths: Sequence[int]) -> Iterator[Record]:
        values: dict[str, Sequence[Any]] = {
            "margin": self.margins,
            "gate": self.gates,
            "group_size": list(self._group_sizes(widths)),
            "reinforcement": self.reinforcements,
            "learning_rate": self.learning_rates,
            "batch_size": self.batch_sizes,
            "patience": self.patiences,
        }
        if method == "local-rule":
            values["group_size"] = [usual_group_size(widths[0])]
        if methods.is_qat(method):
            values["patience"] = (0,)
        names = _CANDIDATE[method]
        for chosen in itertools.product(*(values[name] for name in names)):
            candidate = dict(zip(names, chosen, strict=True))
            if candidate["patience"] == 0 or candidate["group_size"] != widths[0]:  # whole layers cannot grow
                yield candidate

    def _tune(self, results: Results, point: Record) -> None:
        # One fit trains all candidates that share what `fit` cannot map over.
        for batch_size, patience in itertools.product(self.batch_sizes, self.patiences):
            places = [
                {"kind": "tune", **point, **candidate, "run": run}
                for candidate in self._candidates(point["method"], point["widths"])
                for run in range(self.tune_runs)
                if (candidate["batch_size"], candidate["patience"]) == (batch_size, patience)
            ]
            if places:
                complete(results, self._tune_settings(), places, self._tune_fit)

    def _tune_fit(self, places: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        name, runs = places[0]["problem"], [place["run"] for place in places]
        if name == DRAWN:
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

    def _places(self, results: Results, point: Mapping[str, Any]) -> list[Record]:
        candidate = _best(results, point, self._tune_settings())
        return [{"kind": "run", **point, **candidate, "run": run} for run in range(self.runs)] if candidate else []

    def _test(self, results: Results, point: Record) -> None:
        def train(places: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
            runs = [place["run"] for place in places]
            data = self._load(point["problem"], point["split"], runs if point["problem"] == DRAWN else self.seed)
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
        method = places[0]["method"]
        settings: list[Any] = [
            place["learning_rate"] if methods.is_qat(method) else Rule(**{k: place[k] for k in _RULE if k in place})
            for place in places
        ]
        return methods.fit(
            method,
            model,
            settings,
            data,
            epochs=epochs,
            batch_size=places[0]["batch_size"],
            seeds=seeds,
            key=jax.random.key(self.seed),
            validation=held,
            scale=64.0,  # the predecessor's, at any batch size
            patience=places[0]["patience"] or None,
            progress=False,
        )

    def _report(self, results: Results) -> None:
        results.refresh()
        tuned = {(r["method"], r["problem"], tuple(r["widths"])) for r in results if r.get("kind") == "tune"}
        found: dict[tuple[str, str, int, int], dict[str, list[Record]]] = {}
        for method, name, widths in sorted(tuned, key=lambda t: (*t[1:], list(methods.TITLES).index(t[0]))):
            for split in ("paper", "official"):
                there = _tested(results, {"method": method, "problem": name, "widths": list(widths), "split": split})
                if there:
                    found.setdefault((name, split, len(widths), widths[0]), {})[method] = there
        if found:
            found = dict(sorted(found.items()))
            report.write(self.out, flags=self, table=_tables(found), picture=lambda: _picture(found))


def _best(results: Results, point: Mapping[str, Any], settings: Mapping[str, Any]) -> Record | None:
    """The candidate with the best validation accuracy of what was tuned with these settings; None if nothing was."""
    scores: dict[str, list[float]] = {}
    candidates = {}
    for record in _tuned(results, point):
        if record["settings"] == settings:
            candidate = {name: record[name] for name in _CANDIDATE[point["method"]]}
            candidates[repr(candidate)] = candidate
            scores.setdefault(repr(candidate), []).append(record["validation_accuracy"])
    if not scores:
        return None
    return candidates[max(scores, key=lambda candidate: sum(scores[candidate]) / len(scores[candidate]))]


def _tuned(results: Results, point: Mapping[str, Any]) -> list[Record]:
    wanted = {"kind": "tune", **{name: point[name] for name in ("method", "problem", "widths")}}
    return [record for record in results if all(record.get(k) == v for k, v in wanted.items())]


def _tested(results: Results, point: Mapping[str, Any]) -> list[Record]:
    """The latest runs of the best candidate, whatever flags the call had that made them: methods differ in theirs."""
    tuned = _tuned(results, point)
    if not tuned:
        return []
    wanted = {"kind": "run", **point, **(_best(results, point, tuned[-1]["settings"]) or {})}
    runs_of_it = [record for record in results if all(record.get(k) == v for k, v in wanted.items())]
    return [record for record in runs_of_it if record["settings"] == runs_of_it[-1]["settings"]]


# (data, split, layers, width) -> method -> its tested runs.
_Found = Mapping[tuple[str, str, int, int], Mapping[str, list[Record]]]


def _paper(method: str, name: str, split: str, depth: int, width: int) -> float | None:
    values = paper.FIGURE2.get(name, {}).get(_PAPER.get(method, ""), {}).get(depth)
    if values is None or width not in paper.FIGURE2_WIDTHS or (name == "fashion-mnist" and split != "paper"):
        return None
    return values[paper.FIGURE2_WIDTHS.index(width)]


def _accuracy(records: Sequence[Record]) -> tuple[float, float]:
    return training.mean_std([record["test_accuracy"] for record in records])


def _point(name: str, split: str, depth: int, width: int) -> tuple[str, ...]:
    return (name if name == DRAWN else f"{name} ({split})", str(depth), str(width))


def _tables(found: _Found) -> str:
    """Accuracies on the paper's splits, on the official test files, and the settings behind both."""
    own = {key: by for key, by in found.items() if key[0] == DRAWN or key[1] == "paper"}
    official = {key: by for key, by in found.items() if key not in own}
    chosen = [
        (*_point(*key), methods.TITLES[method], _chosen(method, records[0]), str(len(records)))
        for key, by_method in found.items()
        for method, records in by_method.items()
    ]
    settings = runs.markdown(("data", "layers", "width", "method", "settings", "runs"), chosen)
    parts = ["# Figure 2", _PROTOCOL, *(_accuracies(part) for part in (own, official) if part)]
    return "\n\n".join([*parts, "What was chosen:", settings])


def _accuracies(found: _Found) -> str:
    shown = [method for method in methods.TITLES if any(method in by for by in found.values())]
    compared = {method for method in shown if any(_paper(method, *key) is not None for key in found)}
    header = ["data", "layers", "width"]
    for method in shown:
        header += [methods.TITLES[method], *(["paper"] if method in compared else [])]
    rows = []
    for key, by_method in found.items():
        row = list(_point(*key))
        for method in shown:
            records = by_method.get(method)
            row.append("" if records is None else "{:.2f} ± {:.2f}".format(*_accuracy(records)))
            if method in compared:
                theirs = _paper(method, *key)
                row.append("" if theirs is None else f"{theirs:.2f}")
        rows.append(row)
    return runs.markdown(header, rows)


def _chosen(method: str, record: Record) -> str:
    def shown(value: float | list[int]) -> str:
        return "/".join(map(str, value)) if isinstance(value, list) else f"{value:g}"

    return ", ".join(f"{_SYMBOLS.get(name, name)} {shown(record[name])}" for name in _CANDIDATE[method])


def _picture(found: _Found) -> bytes:
    panels: dict[str, tuple[report.Lines, report.Points]] = {}
    for (name, split, depth, width), by_method in found.items():
        title = f"{_point(name, split, depth, width)[0]}, L = {depth}"
        ours, theirs = panels.setdefault(title, ({}, {}))
        for method, records in by_method.items():
            ours.setdefault(methods.TITLES[method], {})[width] = _accuracy(records)
            value = _paper(method, name, split, depth, width)
            if value is not None:
                theirs.setdefault(methods.TITLES[method], {})[width] = value
    return report.panels_picture(panels, "width", ticks=paper.FIGURE2_WIDTHS, ylabel="test accuracy (%)")
