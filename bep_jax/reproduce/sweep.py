"""A sweep over one setting of multilayer perceptrons, the others held fixed.

All values of a setting train side by side in one program: a `Rule` of arrays under vmap, not a loop that recompiles.
Accuracy is that of held-out training samples, as in the paper; test data are not looked at.

Axis letters: S networks trained side by side.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax
from tqdm.auto import tqdm
from tyro.conf import arg

from bep_jax.baselines import methods
from bep_jax.data.datasets import load
from bep_jax.data.random_prototypes import NAME as DRAWN
from bep_jax.files import runs
from bep_jax.learning.rule import Rule, next_group_size
from bep_jax.network.model import mlp
from bep_jax.reproduce import report, training
from bep_jax.reproduce.flags import Perceptrons
from bep_jax.reproduce.results import Record, Results, complete

_RULE = ("margin", "gate", "group_size", "reinforcement", "bits")
TITLES = {
    "gate": "gate ν",
    "margin": "margin r",
    "reinforcement": "reinforcement p_r",
    "group_size": "first group size γ",
    "depth": "layers",
    "scale": "initial scale σ",
    "bits": "bits of a hidden weight",
}
# Panel -> line -> value on the axis -> its runs.
Found = dict[str, dict[str, dict[float, list[Record]]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(Perceptrons):
    """What all sweeps share. A subclass says what is on the axis and what makes a line."""

    axis: ClassVar[str]  # a key of `TITLES`
    line: ClassVar[str] = "width"  # "width" or a key of `TITLES`

    margins: Annotated[tuple[float, ...], arg(metavar="R [R ...]")] = (0.5,)
    """r."""
    gates: Annotated[tuple[float, ...], arg(metavar="NU [NU ...]")] = (0.2,)
    """ν."""
    reinforcements: Annotated[tuple[float, ...], arg(metavar="P [P ...]")] = (0.5,)
    """p_r."""
    group_sizes: Annotated[
        tuple[int, ...] | None, arg(metavar="N [N ...]", help_behavior_hint="(default: first divisor from 35 up)")
    ] = None
    """γ at the start."""
    scales: Annotated[tuple[float, ...], arg(metavar="SIGMA [SIGMA ...]")] = (64.0,)
    """Standard deviation of the initial hidden weights."""
    hidden_bits: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (16,)
    """Bits of a hidden weight, 8 to 16."""
    patience: Annotated[int, arg(metavar="EPOCHS")] = 0
    """Groups grow after so many epochs without a better validation accuracy; 0 for never."""
    num_train: Annotated[int, arg(metavar="N")] = 20_000
    """Samples, the held-out ones among them: the first of the training file."""
    validation: Annotated[float, arg(metavar="FRACTION")] = 0.1
    """Part of them held out."""
    batch_size: Annotated[int, arg(metavar="N")] = 100
    """Samples a step."""
    epochs: Annotated[int, arg(metavar="N")] = 15
    """Passes over the training samples."""
    runs: Annotated[int, arg(metavar="N")] = 2
    """Runs of every setting."""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/reproduce-NAME)")] = None
    """Where results.jsonl, table.md, picture.png and protocol.json go."""

    @property
    def _out(self) -> Path:
        return self.out or Path(f"runs/reproduce-{type(self).__name__.lower()}")

    def run(self) -> None:
        """Runs what is missing and draws the figure."""
        self._check()
        results = Results(self._out / report.RESULTS)
        points = list(itertools.product(self.datasets, self.layers, self.layer_widths, self.scales))
        try:
            for name, depth, width, scale in (bar := tqdm(points, unit="fit")):
                bar.set_description(f"{name}, {depth} layers of {width}, σ = {scale:g}")
                complete(results, self._settings(), list(self._places(name, depth, width, scale)), self._fit)
        finally:
            self._report(results)

    def _check(self) -> None:
        who = type(self).__name__.lower()
        counts = ("layer_widths", "layers", "hidden_bits", "num_train", "batch_size", "epochs", "runs")
        training.check_counts(who, **{name: getattr(self, name) for name in counts})
        training.check_fraction(who, validation=self.validation)
        wrong = self.unknown_datasets()
        if wrong:
            raise ValueError(f"reproduce: {who}: unknown data set {', '.join(sorted(wrong))}.")
        for width in self.layer_widths:
            if not self._group_sizes(width):
                raise ValueError(f"reproduce: {who}: no --group-sizes {self.group_sizes} divides the width {width}.")

    def _group_sizes(self, width: int) -> list[int]:
        if self.group_sizes is not None:
            return [size for size in self.group_sizes if width % size == 0]
        return [next_group_size(width, 34)]

    def _settings(self) -> dict[str, Any]:
        names = ("num_train", "validation", "epochs", "seed")
        return {name: getattr(self, name) for name in names}

    def _places(self, name: str, depth: int, width: int, scale: float) -> Iterator[Record]:
        values = itertools.product(
            self.margins, self.gates, self._group_sizes(width), self.reinforcements, self.hidden_bits, range(self.runs)
        )
        for margin, gate, group_size, reinforcement, hidden_bits, run in values:
            yield {
                "kind": "run",
                "problem": name,
                "widths": [width] * depth,
                "scale": scale,
                "margin": margin,
                "gate": gate,
                "group_size": group_size,
                "reinforcement": reinforcement,
                "bits": hidden_bits,
                "batch_size": self.batch_size,
                "patience": self.patience,
                "run": run,
            }

    def _fit(self, places: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        name, runs = places[0]["problem"], [place["run"] for place in places]
        if name == DRAWN:
            data = load(name, num_train=self.num_train, num_test=1, data_dir=self.data_dir, seed=runs)
        else:
            data = load(name, split="paper", data_dir=self.data_dir, seed=self.seed)
            # `fit` wants test data: what is tested here is a training sample, and not reported.
            train_x, train_y = data.train_x[: self.num_train], data.train_y[: self.num_train]
            data = dataclasses.replace(data, train_x=train_x, train_y=train_y, test_x=train_x[:1], test_y=train_y[:1])
        result = methods.fit(
            "bep",
            mlp(num_inputs=data.num_inputs, widths=places[0]["widths"], num_classes=data.num_classes),
            [Rule(**{k: place[k] for k in _RULE}) for place in places],
            data,
            epochs=self.epochs,
            batch_size=self.batch_size,
            seeds=runs,
            key=jax.random.key(self.seed),
            validation=self.validation,
            patience=self.patience or None,
            scale=places[0]["scale"],
            progress=False,
        )
        return [training.numbers(result, s, test=False) for s in range(len(places))]

    def _report(self, results: Results) -> None:
        results.refresh()
        found: Found = {}
        for point in itertools.product(self.datasets, self.layers, self.layer_widths, self.scales):
            for place in self._places(*point):
                record = results.find(place, self._settings())
                if record is not None:
                    by_line = found.setdefault(self._panel(place), {}).setdefault(_line(self.line, place), {})
                    by_line.setdefault(_value(self.axis, place), []).append(record)
        if found:
            report.write(self._out, flags=self, table=self._table(found), picture=lambda: self._picture(found))

    def _panel(self, place: Mapping[str, Any]) -> str:
        in_panel = [name for name in ("depth", "width") if name not in (self.axis, self.line)]
        parts = {"depth": f"L = {len(place['widths'])}", "width": f"{place['widths'][0]} wide"}
        return ", ".join([place["problem"], *(parts[name] for name in in_panel)])

    def _table(self, found: Found) -> str:
        rows = []
        for panel, lines in found.items():
            for line, values in lines.items():
                for value, records in sorted(values.items()):
                    accuracy = "{:.2f} ± {:.2f}".format(*_accuracy(records))
                    rows.append((panel, line, f"{value:g}", accuracy, str(len(records))))
        header = ("data", "network" if self.line == "width" else "setting", TITLES[self.axis], "validation", "runs")
        protocol = (
            "Validation accuracy in percent, mean of the last five epochs, mean ± standard deviation over runs: "
            f"{self.num_train:,} samples, of them {self.validation:.0%} held out, {self.epochs} epochs, batches of "
            f"{self.batch_size}. What is not on an axis: r {_list(self.margins)}, ν {_list(self.gates)}, "
            f"p_r {_list(self.reinforcements)}, σ {_list(self.scales)}, {_list(self.hidden_bits)} bits, "
            f"γ {_list(self.group_sizes) if self.group_sizes else 'the first divisor of the width from 35 up'}, "
            + (f"growing after {self.patience} epochs without a better one." if self.patience else "held fixed.")
        )
        return f"# {(self.__doc__ or '').splitlines()[0]}\n\n{protocol}\n\n{runs.markdown(header, rows)}"

    def _picture(self, found: Found) -> bytes:
        panels: dict[str, tuple[report.Lines, report.Points]] = {}
        for panel, lines in found.items():
            points = {name: {v: _accuracy(records) for v, records in values.items()} for name, values in lines.items()}
            panels[panel] = (points, {})
        ticks = sorted({value for lines in found.values() for values in lines.values() for value in values})
        return report.panels_picture(panels, TITLES[self.axis], ticks=ticks)


def _accuracy(records: Sequence[Record]) -> tuple[float, float]:
    return training.mean_std([record["validation_accuracy"] for record in records])


def _value(name: str, place: Mapping[str, Any]) -> float:
    return len(place["widths"]) if name == "depth" else place[name]


def _line(name: str, place: Mapping[str, Any]) -> str:
    return f"{place['widths'][0]} wide" if name == "width" else f"{TITLES[name].split()[-1]} = {place[name]:g}"


def _list(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
