"""What the peers' results say: a table and a picture for each question."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.peers import data
from benchmarks.peers.protocol import PROTOCOLS
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
        "Bold: the best of a row. The last column is the BEP network that did best on the samples that it held out in "
        "training, less the best of all other methods on test samples: where it is negative, BEP loses. Means are of "
        "methods that were run on all of the series of the table.",
        most=True,
    ),
    Question(
        "training",
        "How long does training take? Seconds of one core",
        lambda r: r.get("train_again_seconds", r.get("train_seconds")),
        "{:.2f}".format,
        "The training of the chosen settings alone; programs that JAX or numba compiles are compiled already, save "
        "where the first training takes over half a minute: compiling, some ten seconds, is in it.",
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
        "a literal and a weight. Others: pickled, less what only training needs.",
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

    def __init__(self, results: Any, protocol: str, methods: list[str], failed: list[str]):
        self.folder = pathlib.Path(results.path).parent
        self.protocol, self.methods, self.failed = protocol, methods, failed
        effort = PROTOCOLS[protocol].effort_on
        self.records = [r for r in results if r["kind"] == protocol and r["settings"]["effort"] == effort(r["problem"])]

    def write(self, options, clock) -> list[pathlib.Path]:
        """A Markdown file and a picture for each question, and one table for a glance; returns their paths."""
        paths = []
        for question in QUESTIONS:
            cells = self._cells(question)
            if cells:
                paths.append(self.folder / f"{question.name}.md")
                write_atomically(paths[-1], self._text(question, cells))
                if (picture := _picture(question, cells, self._shown(cells))) is not None:
                    paths.append(self.folder / f"{question.name}.png")
                    write_atomically(paths[-1], picture)
        if self.records:
            paths.append(self.folder / "glance.md")
            write_atomically(paths[-1], self._glance())
        if self.failed:
            raise SystemExit(f"peers: these failed, the same command tries them again: {', '.join(self.failed)}.")
        return paths

    def _cells(self, question: Question) -> dict[str, dict[str, np.ndarray]]:
        """Data set -> method -> one value a run; data sets and methods in their usual order."""
        cells: dict[str, dict[str, list[float]]] = {}
        for record in sorted(self.records, key=lambda r: data.NAMES.index(r["problem"])):
            value = question.value(record)
            if value is not None:
                cells.setdefault(record["problem"], {}).setdefault(record["method"], []).append(value)
        return {name: {m: np.array(v) for m, v in row.items()} for name, row in cells.items()}

    def _shown(self, cells: dict) -> list[str]:
        return [method for method in self.methods if any(method in row for row in cells.values())]

    def _text(self, question: Question, cells: dict) -> str:
        methods = self._shown(cells)
        header = ["data", *methods] + (["BEP over the best other"] if question.most else [])
        rows = []
        for name, row in cells.items():
            means = {method: float(values.mean()) for method, values in row.items()}
            spread = {m: f" ± {question.form(runs.std(v))}" for m, v in row.items() if len(v) > 1}
            rows.append([name, *_row(question, methods, means, spread)])
            if question.most:
                margin = self._margin(name, means)
                rows[-1].append("" if margin is None else f"{margin:+.1f}")
        series = [row for name, row in cells.items() if data.kind_of(name) == "series"]
        if question.most and len(series) > 1:
            everywhere = [m for m in methods if all(m in row for row in series)]
            means = {m: float(np.mean([row[m].mean() for row in series])) for m in everywhere}
            rows.append([f"mean of {len(series)} UCR problems", *_row(question, methods, means, {}), ""])
        return self._page(question.title, runs.markdown(header, rows), question.note)

    def _page(self, title: str, table: str, note: str) -> str:
        where = {(r["platform"]["processor"], r["date"][:10]) for r in self.records}
        versions = {name: v for r in self.records for name, v in (r["versions"] | r["packages"]).items()}
        how = {"quick": " --quick", "short": " --protocol short", "full": ""}[self.protocol]
        facts = [
            f"Protocol: {self.protocol}, {len(self.records)} trainings, each alone in a process on one core; "
            "`benchmarks/peers/__init__.py` says it, `protocol.py` beside it the numbers.",
            "; ".join(f"{processor}, {date}" for processor, date in sorted(where)) + ".",
            ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
            f"Written by `python -m benchmarks peers{how}`.",
        ]
        return "\n".join([f"# {title}", "", table, "", note, "", *(f"- {fact}" for fact in facts)]) + "\n"

    def _validated(self, name: str) -> str | None:
        """The BEP network that did best on held-out samples, the first of several."""
        found: dict[str, list[float]] = {}
        for record in self.records:
            if record["problem"] == name and record["method"].startswith(_OURS):
                own = max(record["validation"], default=record["fit_validation"])
                found.setdefault(record["method"], []).append(0.0 if own is None else own)
        order = [method for method in self.methods if method in found]
        return max(order, key=lambda method: float(np.mean(found[method]))) if found else None

    def _margin(self, name: str, means: dict[str, float]) -> float | None:
        """The BEP network that held-out samples choose, less the best of the others."""
        chosen = self._validated(name)
        others = [value for method, value in means.items() if not method.startswith(_OURS)]
        return means[chosen] - max(others) if chosen and others else None

    def _glance(self) -> str:
        """A line a data set, or for all series: BEP, straight-through training, and the best of the others."""
        every = {r["problem"] for r in self.records}
        groups = [("MNIST", ["mnist"]), ("Fashion-MNIST", ["fashion-mnist"]), ("digits", ["digits"])]
        groups += [("3 tables", list(data.TABLES)), ("17 UCR series", list(data.SERIES))]
        rows = []
        for title, names in groups:
            if not every.issuperset(names):
                continue
            ours = {name: self._validated(name) for name in names}
            shown = [self._mean(ours)]
            if len(names) == 1 and ours[names[0]]:
                shown[0] += f" ({ours[names[0]].removeprefix(_OURS + ' ')})"
            shown.append(self._mean(dict.fromkeys(names, "QAT + BN")))
            others = [m for m in self.methods if not m.startswith(_OURS) and m != "QAT + BN"]
            others = [m for m in others if self._mean(dict.fromkeys(names, m))]
            others.sort(key=lambda m: -self._accuracy(dict.fromkeys(names, m)))
            shown += [f"{m} {self._mean(dict.fromkeys(names, m))}" for m in others[:2]] + [""] * (2 - len(others[:2]))
            rows.append([title, *shown])
        header = ["data", "BEP", "QAT + BN", "best of the others", "second"]
        note = (
            "Test accuracy in %, kilobytes of the model's file; of several data sets, means. BEP: the network that did "
            "best on samples that it held out. The others: the best and the second on test samples."
        )
        return self._page("At a glance", runs.markdown(header, rows), note)

    def _chosen(self, methods: dict[str, str | None]) -> list[list[dict]]:
        return [[r for r in self.records if r["problem"] == p and r["method"] == m] for p, m in methods.items()]

    def _accuracy(self, methods: dict[str, str | None]) -> float:
        return float(np.mean([np.mean([100 * r["test_accuracy"] for r in rows]) for rows in self._chosen(methods)]))

    def _mean(self, methods: dict[str, str | None]) -> str:
        """Accuracy and size over data sets, each with its method; empty where a run is missing."""
        found = self._chosen(methods)
        if not all(found):
            return ""
        size = np.mean([np.mean([r["model_bytes"] / 1e3 for r in rows]) for rows in found])
        return f"{self._accuracy(methods):.1f}, {size:,.0f} KB"


def _row(question: Question, methods: list[str], means: dict[str, float], spread: dict[str, str]) -> list[str]:
    """Cells, the best of them bold."""
    best = question.form((max if question.most else min)(means.values(), default=0.0))
    texts = {method: question.form(value) for method, value in means.items()}
    bold = {m for m, t in texts.items() if t == best and len(texts) > 1}
    shown = {m: f"**{t}{spread.get(m, '')}**" if m in bold else t + spread.get(m, "") for m, t in texts.items()}
    return [shown.get(method, "") for method in methods]


def _picture(question: Question, cells: dict, methods: list[str]) -> bytes | None:
    """A dot a method, a line a data set; None without matplotlib."""
    try:
        figure = plots.new_figure(8, 1.2 + 0.35 * len(cells), dpi=110)
    except ImportError:
        return None
    axes = figure.subplots()
    names = list(cells)
    for i, method in enumerate(methods):
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
