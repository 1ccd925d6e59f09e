"""What the peers' results say: a table and a picture for each question."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import write_atomically
from bep_jax.files import plots, runs

_OURS = "BEP"


class Question(NamedTuple):
    """A table: what each method's cell is."""

    name: str
    title: str
    value: Callable[[dict], float | None]
    form: Callable[[float], str]
    note: str
    most: bool = False  # whether more is better


QUESTIONS = (
    Question(
        "accuracy",
        "How accurate? Test accuracy, %",
        lambda r: 100 * r["test_accuracy"],
        "{:.1f}".format,
        "Bold: the best of a row. The last column is the BEP network that did best on validation samples, less the "
        "best of all other methods on test samples: where it is negative, BEP loses.",
        most=True,
    ),
    Question(
        "training",
        "How long does training take? Seconds of one core",
        lambda r: r.get("train_again_seconds", r.get("train_seconds")),
        "{:.2f}".format,
        "The training of the chosen settings alone; programs that JAX or numba compiles are compiled already.",
    ),
    Question(
        "first-training",
        "How long does the first training take? Seconds of one core, with compiling",
        lambda r: r.get("train_seconds"),
        "{:.2f}".format,
        "What a user waits for who trains once.",
    ),
    Question(
        "memory",
        "How much memory? Peak while training, MB",
        lambda r: None if r.get("peak_bytes") is None else r["peak_bytes"] / 1e6,
        "{:.0f}".format,
        "By how much the resident memory of a process rises that has the packages and the data; compilers included.",
    ),
    Question(
        "bytes",
        "How big is the model? Kilobytes of its file",
        lambda r: r["model_bytes"] / 1e3,
        "{:.1f}".format,
        "BEP: `bep.save`, encoder included. QAT: the same network, and two float32 a neuron. Tsetlin machine: 16 bits "
        "a literal and a weight. Others: pickled.",
    ),
    Question(
        "prediction-one",
        "How long does one prediction take, from Python? Microseconds",
        lambda r: 1e6 * r["predict_one"],
        "{:.0f}".format,
        "One sample, from raw features to its label.",
    ),
    Question(
        "prediction-many",
        "How long does a prediction take among 1,000? Microseconds a sample",
        lambda r: 1e6 * r["predict_many"],
        "{:.1f}".format,
        "1,000 samples in one call, from raw features to labels.",
    ),
    Question(
        "prediction-c",
        "How long does one prediction take in C? Microseconds",
        lambda r: 1e6 * r["predict_c"] if "predict_c" in r else None,
        "{:.2f}".format,
        "`bep.to_c`, compiled by gcc -O3 -march=native, from raw features to the label, equal to Python's.",
    ),
)


class Tables:
    """All questions, over the runs of one protocol."""

    def __init__(self, results: Any, protocol: str, effort: dict):
        self.folder = pathlib.Path(results.path).parent
        self.protocol = protocol
        self.records = [r for r in results if r["kind"] == protocol and r["settings"]["effort"] == effort]

    def write(self, options, clock) -> list[pathlib.Path]:
        """A Markdown file and a picture for each question; returns their paths."""
        paths = []
        for question in QUESTIONS:
            cells = self._cells(question)
            if cells:
                paths.append(self.folder / f"{question.name}.md")
                write_atomically(paths[-1], self._text(question, cells))
                if (picture := _picture(question, cells)) is not None:
                    paths.append(self.folder / f"{question.name}.png")
                    write_atomically(paths[-1], picture)
        return paths

    def _cells(self, question: Question) -> dict[str, dict[str, np.ndarray]]:
        """Data set -> method -> one value a run."""
        cells: dict[str, dict[str, list[float]]] = {}
        for record in self.records:
            value = question.value(record)
            if value is not None:
                cells.setdefault(record["problem"], {}).setdefault(record["method"], []).append(value)
        return {name: {m: np.array(v) for m, v in row.items()} for name, row in cells.items()}

    def _text(self, question: Question, cells: dict) -> str:
        methods = _methods(cells)
        header = ["data", *methods] + (["BEP over the best other"] if question.most else [])
        rows = []
        for name, row in cells.items():
            means = {method: float(values.mean()) for method, values in row.items()}
            best = (max if question.most else min)(means.values())
            shown = [name]
            for method in methods:
                text = question.form(means[method]) if method in row else ""
                if method in row and len(row[method]) > 1:
                    text += f" ± {question.form(runs.std(row[method]))}"
                bold = method in row and question.form(means[method]) == question.form(best)
                shown.append(f"**{text}**" if bold else text)
            if question.most:
                margin = self._margin(name, means)
                shown.append("" if margin is None else f"{margin:+.1f}")
            rows.append(shown)
        where = {(r["platform"]["processor"], r["date"][:10]) for r in self.records}
        versions = self.records[-1]["versions"] | self.records[-1]["packages"]
        facts = [
            f"Protocol: {self.protocol}, {len(self.records)} trainings, each alone in a process on one core; "
            "`benchmarks/peers/__init__.py` says it.",
            "; ".join(f"{processor}, {date}" for processor, date in sorted(where)) + ".",
            ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
            "Written by `python -m benchmarks peers" + (" --quick" if self.protocol == "reduced" else "") + "`.",
        ]
        lines = [f"# {question.title}", "", runs.markdown(header, rows), "", question.note, ""]
        return "\n".join(lines + [f"- {fact}" for fact in facts]) + "\n"

    def _margin(self, name: str, means: dict[str, float]) -> float | None:
        """The BEP network that validation samples choose, less the best of the others."""
        of_validation: dict[str, list[float]] = {}
        for record in self.records:
            if record["problem"] == name and record["method"].startswith(_OURS):
                of_validation.setdefault(record["method"], []).append(max(record["validation"]))
        others = [value for method, value in means.items() if not method.startswith(_OURS)]
        if not of_validation or not others:
            return None
        chosen = max(of_validation, key=lambda method: np.mean(of_validation[method]))
        return means[chosen] - max(others)


def _methods(cells: dict) -> list[str]:
    """Ours first, then in order of appearance."""
    every = list(dict.fromkeys(method for row in cells.values() for method in row))
    return sorted(every, key=lambda method: not method.startswith(_OURS))


def _picture(question: Question, cells: dict) -> bytes | None:
    """A dot a method, a line a data set; None without matplotlib."""
    try:
        figure = plots.new_figure(8, 1.2 + 0.35 * len(cells), dpi=110)
    except ImportError:
        return None
    axes = figure.subplots()
    names = list(cells)
    for i, method in enumerate(_methods(cells)):
        ours = method.startswith(_OURS)
        found = [(float(row[method].mean()), j) for j, row in enumerate(cells.values()) if method in row]
        x, y = zip(*found, strict=True)
        marker = "D" if ours else "osv^<>phX*"[i % 10]
        color = f"C{i}"
        axes.plot(x, y, marker, color=color, markersize=6 if ours else 5, label=method, alpha=0.9, linestyle="")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    if not question.most:
        axes.set_xscale("log")
    axes.set_title(question.title, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    plots.tidy(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize=7)
    return plots.png(figure, metadata={"Software": None})
