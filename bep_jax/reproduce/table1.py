"""Table 1: binary recurrent networks on UCR problems, window and bits tuned on the training folds."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tqdm.auto import tqdm
from tyro.conf import arg

from bep_jax import paper
from bep_jax.reproduce import problems, report, training, tuning
from bep_jax.reproduce.problems import Known, Source
from bep_jax.reproduce.results import Record, Results

_PROTOCOL = """\
Test accuracy in percent, mean ± standard deviation over folds × runs. Train and test files of a problem are pooled and
cross-validated in stratified folds. Window and thermometer bits are chosen in each fold on a held-out part of its
training folds; networks are then trained anew on the training folds and tested once, after the last epoch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table1(tuning.SeriesFlags):
    """Table 1: recurrent networks on UCR problems, beside the paper's BEP and QAT.

    Resumable: what is in DIR/results.jsonl is not done again. Several processes may share a DIR, each with its own
    --problems. Test accuracy of windows and bits that were not chosen is never computed.
    """

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/reproduce-table1")
    """Where results.jsonl, table.md, picture.png and protocol.json go."""

    def run(self) -> None:
        """Runs what is missing and writes the table."""
        self.check("table1")
        names = problems.find(self.problems, self.data_dir, tuple(paper.TABLE1))
        results = Results(self.out / report.RESULTS)
        tuned = len(set(self.windows)) * self.tune_epochs
        tuning.each_problem(
            "table1",
            self,
            names,
            self.folds * (tuned + self.epochs),
            lambda source, progress: self._problem(results, source, progress),
            lambda now: self._report(results, now),
        )

    def _problem(self, results: Results, source: Source, progress: Callable[[], Any]) -> None:
        for fold in range(self.folds):
            tuning.tune(self, results, source, fold, progress)
            chosen = tuning.choice(self, results, source.known, fold)
            assert chosen is not None
            tuning.final(self, results, source, self._places(source.known, fold, chosen), progress)
        self._tell(results, source.known)

    def _places(self, known: Known, fold: int, chosen: tuple[int, int]) -> list[Record]:
        window, bits = chosen
        return tuning.final_places(self, known, fold, window, [bits])

    def _runs(self, results: Results, known: Known) -> list[Record]:
        """The runs of a problem that are there."""
        found = []
        for fold in range(self.folds):
            chosen = tuning.choice(self, results, known, fold)
            places = self._places(known, fold, chosen) if chosen else []
            found += [results.find(place, self.settings(tune=False)) for place in places]
        return [record for record in found if record is not None]

    def _tell(self, results: Results, known: Known) -> None:
        mean, std = training.mean_std([r["test_accuracy"] for r in self._runs(results, known)])
        row = paper.TABLE1.get(known.problem)
        beside = f", paper {row.bep:.2f} ± {row.bep_std:.2f}" if row else ""
        tqdm.write(f"{known.problem}: {mean:.2f} ± {std:.2f} %{beside}")

    def _report(self, results: Results, now: Sequence[Known]) -> None:
        results.refresh()
        found = {k.problem: self._runs(results, k) for k in tuning.known_problems(results, now)}
        found = {problem: records for problem, records in found.items() if records}
        if not found:
            return
        report.write(
            self.out,
            flags=self,
            table=self._table(found),
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
            complete_ = f"{len(records)} of {self.folds * self.runs}"
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
        return f"# Table 1\n\n{_PROTOCOL}\n\n{report.markdown(('problem', *names), rows)}"
