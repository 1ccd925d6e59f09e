"""Table 1: binary recurrent networks on UCR problems, window and bits tuned on the training folds."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tqdm.auto import tqdm
from tyro.conf import arg

from bep_jax.baselines import methods
from bep_jax.files import runs
from bep_jax.reproduce import float_folds, paper, problems, report, training, tuning
from bep_jax.reproduce.problems import Known, Source
from bep_jax.reproduce.results import Record, Results

_PROTOCOL = """\
Test accuracy in percent, mean ± standard deviation over folds × runs. Train and test files of a problem are pooled and
cross-validated in stratified folds. Window and thermometer bits are chosen in each fold on a held-out part of its
training folds; networks are then trained anew on the training folds and tested once, after the last epoch. QAT has the
window and bits of BEP, and a learning rate of 0.0001, 0.001 or 0.01 chosen in each fold in the same way; "raw sums" is
the paper's, whose straight-through gradient passes where an integer sum is at most 1."""
_REDUCED = "Reduced: {folds} of {of} folds{chosen}."
_TAKEN = "; window and bits are not chosen anew, but are what the training folds chose in {name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table1(tuning.SeriesFlags):
    """Table 1: recurrent networks on UCR problems, beside the paper's BEP and QAT.

    Resumable: what is in DIR/results.jsonl is not done again. Several processes may share a DIR, each with its own
    --problems. Test accuracy of windows and bits that were not chosen is never computed.
    """

    methods: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = ("bep",)
    """bep (always), qat, qat-raw (the paper's QAT), qat-batchnorm."""
    baseline_runs: Annotated[int, arg(metavar="N")] = 1
    """Networks a fold of every baseline."""
    only_folds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Train and test on the first so many folds alone."""
    choices: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: chosen anew)")] = None
    """Take each fold's window and bits from the results in DIR, which chose them on the same training folds."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/reproduce-table1")
    """Where results.jsonl, table.md, picture.png and protocol.json go."""

    def run(self) -> None:
        """Runs what is missing and writes the table."""
        self.check("table1")
        training.check_counts("table1", baseline_runs=self.baseline_runs, only_folds=self._folds)
        if self.only_folds is not None and self.only_folds > self.folds:
            raise ValueError(f"reproduce: table1: --only-folds {self.only_folds} of --folds {self.folds}.")
        wrong = [name for name in self.methods if name != "bep" and not methods.is_qat(name)]
        if wrong:
            raise ValueError(f"reproduce: table1: unknown method {', '.join(wrong)}.")
        names = problems.find(self.problems, self.data_dir, tuple(paper.TABLE1))
        results = Results(self.out / report.RESULTS)
        tuned = 0 if self.choices is not None else len(set(self.windows)) * self.tune_epochs
        tuning.each_problem(
            "table1",
            self,
            names,
            self._folds * (tuned + self.epochs),
            lambda source, progress: self._problem(results, source, progress),
            lambda now: self._report(results, now),
        )

    def _problem(self, results: Results, source: Source, progress: Callable[[], Any]) -> None:
        for fold in range(self._folds):
            if self.choices is None:
                tuning.tune(self, results, source, fold, progress)
            chosen = self._choice(results, source.known, fold)
            if chosen is None:
                raise ValueError(f"{self.choices} has no choice for fold {fold}.")
            tuning.final(self, results, source, self._places(source.known, fold, chosen), progress)
            for method in self.methods:
                if methods.is_qat(method):
                    float_folds.run(self._baseline, results, source, method, fold, chosen, progress)
        self._tell(results, source.known)

    @property
    def _folds(self) -> int:
        return self.folds if self.only_folds is None else self.only_folds

    @functools.cached_property
    def _taken(self) -> dict[tuple[str, str, int], tuple[int, int]]:
        """Window and bits by problem, its data and fold, of other results."""
        assert self.choices is not None
        path = self.choices / report.RESULTS
        if not path.is_file():
            raise ValueError(f"reproduce: table1: --choices wants a folder with {report.RESULTS}, got {self.choices}.")
        runs_ = (record for record in Results(path) if record["kind"] == "run" and "method" not in record)
        return {(r["problem"], r["data"], r["fold"]): (r["window"], r["bits"]) for r in runs_}

    def _choice(self, results: Results, known: Known, fold: int) -> tuple[int, int] | None:
        if self.choices is None:
            return tuning.choice(self, results, known, fold)
        return self._taken.get((known.problem, known.data, fold))

    @property
    def _baseline(self) -> "Table1":
        return dataclasses.replace(self, runs=self.baseline_runs)

    def _places(self, known: Known, fold: int, chosen: tuple[int, int]) -> list[Record]:
        window, bits = chosen
        return tuning.final_places(self, known, fold, window, [bits])

    def _runs(self, results: Results, known: Known) -> list[Record]:
        """The runs of a problem that are there."""
        found = []
        for fold in range(self._folds):
            chosen = self._choice(results, known, fold)
            places = self._places(known, fold, chosen) if chosen else []
            found += [results.find(place, self.settings(tune=False)) for place in places]
        return [record for record in found if record is not None]

    def _baseline_runs(self, results: Results, known: Known, method: str) -> list[Record]:
        found = []
        for fold in range(self._folds):
            chosen = self._choice(results, known, fold)
            found += float_folds.found(self._baseline, results, known, method, fold, chosen) if chosen else []
        return found

    def _tell(self, results: Results, known: Known) -> None:
        mean, std = training.mean_std([r["test_accuracy"] for r in self._runs(results, known)])
        row = paper.TABLE1.get(known.problem)
        beside = f", paper {row.bep:.2f} ± {row.bep_std:.2f}" if row else ""
        tqdm.write(f"{known.problem}: {mean:.2f} ± {std:.2f} %{beside}")

    def _report(self, results: Results, now: Sequence[Known]) -> None:
        results.refresh()
        known = tuning.known_problems(results, now)
        found = {k.problem: self._runs(results, k) for k in known}
        found = {problem: records for problem, records in found.items() if records}
        if not found:
            return
        baselines = {
            method: {k.problem: records for k in known if (records := self._baseline_runs(results, k, method))}
            for method in methods.TITLES
            if methods.is_qat(method)
        }
        report.write(
            self.out,
            flags=self,
            table=self._table(found) + self._baseline_table(found, baselines),
            picture=lambda: report.table1_picture(
                {p: training.mean_std([r["test_accuracy"] for r in records]) for p, records in found.items()}
            ),
        )

    def _table(self, found: Mapping[str, Sequence[Record]]) -> str:
        names = ("BEP, ours", "BEP, paper", "difference", "QAT, paper", "QAT + BN, paper", "window / bits", "runs")
        rows: list[tuple[str, ...]] = []
        means = []
        for problem, records in found.items():
            mean, std = training.mean_std([r["test_accuracy"] for r in records])
            row = paper.TABLE1.get(problem)
            chosen = dict.fromkeys(f"{r['window']} / {r['bits']}" for r in records)
            complete_ = f"{len(records)} of {self._folds * self.runs}"
            beside = ("", "", "", "")
            if row is not None:
                means.append((mean, row.bep, mean - row.bep, row.qat, row.qat_batchnorm))
                beside = (
                    f"{row.bep:.2f} ± {row.bep_std:.2f}",
                    f"{mean - row.bep:+.2f}",
                    f"{row.qat:.2f} ± {row.qat_std:.2f}",
                    f"{row.qat_batchnorm:.2f} ± {row.qat_batchnorm_std:.2f}",
                )
            rows.append((problem, f"{mean:.2f} ± {std:.2f}", *beside, ", ".join(chosen), complete_))
        if means:
            ours, bep, difference, qat, batchnorm = np.mean(means, axis=0)
            cells = (f"{ours:.2f}", f"{bep:.2f}", f"{difference:+.2f}", f"{qat:.2f}", f"{batchnorm:.2f}")
            rows.append((f"**mean of the paper's {len(means)}**", *(f"**{cell}**" for cell in cells), "", ""))
        return f"# Table 1\n\n{self._protocol()}\n\n{runs.markdown(('problem', *names), rows)}"

    def _protocol(self) -> str:
        if self.only_folds is None and self.choices is None:
            return _PROTOCOL
        of = "" if self.choices is None else _TAKEN.format(name=self.choices.name)
        return f"{_PROTOCOL}\n\n{_REDUCED.format(folds=self._folds, of=self.folds, chosen=of)}"

    def _baseline_table(
        self, found: Mapping[str, Sequence[Record]], baselines: Mapping[str, Mapping[str, Sequence[Record]]]
    ) -> str:
        """BEP and QAT, ours and the paper's, of the problems where ours were trained; empty where none was."""
        shown = {method: by_problem for method, by_problem in baselines.items() if by_problem}
        names = [name for name in found if any(name in by_problem for by_problem in shown.values())]
        if not names:
            return ""
        theirs = {"qat-raw": ("qat", "qat_std"), "qat-batchnorm": ("qat_batchnorm", "qat_batchnorm_std")}
        header = ["problem", "BEP, ours", "BEP, paper"]
        for method in shown:
            header += [f"{methods.TITLES[method]}, ours", *([f"{methods.TITLES[method]}, paper"] * (method in theirs))]
        rows, means = [], []
        for name in names:
            row = paper.TABLE1.get(name)
            cells = [training.mean_std([r["test_accuracy"] for r in found[name]]), row and (row.bep, row.bep_std)]
            for method, by_problem in shown.items():
                records = by_problem.get(name)
                cells.append(training.mean_std([r["test_accuracy"] for r in records]) if records else None)
                if method in theirs:
                    cells.append(row and tuple(getattr(row, field) for field in theirs[method]))
            rows.append([name, *("" if cell is None else f"{cell[0]:.2f} ± {cell[1]:.2f}" for cell in cells)])
            means.append([np.nan if cell is None else cell[0] for cell in cells])
        if not np.isnan(means).any():
            rows.append([f"**mean of {len(names)}**", *(f"**{mean:.2f}**" for mean in np.mean(means, axis=0))])
        return f"\n\nThe same folds, {self.baseline_runs} run(s) each of QAT:\n\n{runs.markdown(header, rows)}"
