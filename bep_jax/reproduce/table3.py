"""Table 3: how many thermometer bits a channel wants."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from bep_jax.files import runs
from bep_jax.reproduce import paper, problems, report, training, tuning
from bep_jax.reproduce.problems import Known, Source
from bep_jax.reproduce.results import Record, Results

_PROTOCOL = f"""\
Accuracy in percent by thermometer bits, mean ± standard deviation over folds × runs, and the paper's. The paper reports
validation accuracies; ours are means of the last {training.TAIL} epochs, on a held-out part of the training folds. The
window is chosen in each fold, on a held-out part of its training folds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table3(tuning.SeriesFlags):
    """Table 3: recurrent networks on UCR problems, by thermometer bits.

    The window is tuned in each fold (not where --windows is one); then all bits are trained side by side. Resumable:
    what is in DIR/results.jsonl is not done again. Several processes may share a DIR, each with its own --problems.
    """

    bits: Annotated[tuple[int, ...], arg(metavar="BITS [BITS ...]")] = paper.TABLE3_BITS
    """Columns of the table: thermometer bits for every channel, which are then expanded to the state's width."""
    validation: Annotated[float, arg(metavar="FRACTION")] = 0.2
    """Part of the training folds held out: what is reported, and what decides when groups grow."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/reproduce-table3")
    """Where results.jsonl, table.md, picture.png and protocol.json go."""

    def run(self) -> None:
        """Runs what is missing and writes the table."""
        self.check("table3")
        training.check_fraction("table3", validation=self.validation)
        names = problems.find(self.problems, self.data_dir, tuple(paper.TABLE3))
        results = Results(self.out / report.RESULTS)
        tuned = len(set(self.windows)) * self.tune_epochs
        tuning.each_problem(
            "table3",
            self,
            names,
            self.folds * ((tuned if len(set(self.windows)) > 1 else 0) + self.epochs),
            lambda source, progress: self._problem(results, source, progress),
            lambda now: self._report(results, now),
        )

    def _problem(self, results: Results, source: Source, progress: Callable[[], Any]) -> None:
        for fold in range(self.folds):
            if len(source.windows(self.windows)) > 1:
                tuning.tune(self, results, source, fold, progress)
            places = self._places(results, source.known, fold)
            tuning.final(self, results, source, [p for bits in places.values() for p in bits], progress)

    def _places(self, results: Results, known: Known, fold: int) -> dict[int, list[Record]]:
        """The runs of a fold, by bits; none while its window is not chosen."""
        windows = problems.windows(known, self.windows)
        if len(windows) > 1:
            chosen = tuning.choice(self, results, known, fold)
            windows = () if chosen is None else chosen[:1]
        return {
            bits: [p for window in windows for p in tuning.final_places(self, known, fold, window, [bits])]
            for bits in dict.fromkeys(self.bits)
        }

    def _runs(self, results: Results, known: Known) -> dict[int, list[Record]]:
        """The runs of a problem that are there, by bits."""
        found: dict[int, list[Record]] = {}
        for fold in range(self.folds):
            for bits, places in self._places(results, known, fold).items():
                records = [results.find(place, self.settings(tune=False)) for place in places]
                found.setdefault(bits, []).extend(r for r in records if r is not None)
        return {bits: records for bits, records in found.items() if records}

    def _report(self, results: Results, now: Sequence[Known]) -> None:
        results.refresh()
        found = {k.problem: self._runs(results, k) for k in tuning.known_problems(results, now)}
        found = {problem: by_bits for problem, by_bits in found.items() if by_bits}
        if not found:
            return
        report.write(self.out, flags=self, table=self._table(found), picture=lambda: _picture(found))

    def _table(self, found: Mapping[str, Mapping[int, Sequence[Record]]]) -> str:
        columns = tuple(dict.fromkeys(self.bits))
        header = ("problem", "", *(f"{bits} bit" + "s" * (bits != 1) for bits in columns), "windows", "runs")
        rows: list[tuple[str, ...]] = []
        for problem, by_bits in found.items():
            every = [r for records in by_bits.values() for r in records]
            windows = ", ".join(map(str, dict.fromkeys(r["window"] for r in every)))
            count = f"{len(every)} of {len(columns) * self.folds * self.runs}"
            ours = [_cell(by_bits.get(bits, []), "validation_accuracy") for bits in columns]
            test = [_cell(by_bits.get(bits, []), "test_accuracy") for bits in columns]
            theirs = [_paper(problem, bits) for bits in columns]
            rows.append((problem, "ours, validation", *ours, windows, count))
            if problem in paper.TABLE3:
                rows.append(("", "paper, validation", *(f"{t:.2f}" if t is not None else "" for t in theirs), "", ""))
            rows.append(("", "ours, test fold", *test, "", ""))
        return f"# Table 3\n\n{_PROTOCOL}\n\n{runs.markdown(header, rows)}"


def _cell(records: Sequence[Record], name: str) -> str:
    if not records:
        return ""
    mean, std = training.mean_std([r[name] for r in records])
    return f"{mean:.2f} ± {std:.2f}"


def _paper(problem: str, bits: int) -> float | None:
    if problem not in paper.TABLE3 or bits not in paper.TABLE3_BITS:
        return None
    return paper.TABLE3[problem][paper.TABLE3_BITS.index(bits)]


def _picture(found: Mapping[str, Mapping[int, Sequence[Record]]]) -> bytes:
    ours = {
        problem: {float(b): training.mean_std([r["validation_accuracy"] for r in by_bits[b]]) for b in by_bits}
        for problem, by_bits in found.items()
    }
    theirs = {
        problem: dict(zip(map(float, paper.TABLE3_BITS), paper.TABLE3[problem], strict=True))
        for problem in found
        if problem in paper.TABLE3
    }
    return report.lines_picture(ours, theirs, "thermometer bits", ticks=paper.TABLE3_BITS)
