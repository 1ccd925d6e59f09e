"""Figure 8: sequential MNIST by how far back in time errors travel."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from bep_jax.files import runs
from bep_jax.reproduce import paper, report, smnist
from bep_jax.reproduce.results import Record, Results


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure8(smnist.ImageFlags):
    """Figure 8: sequential MNIST, accuracy by backward horizon.

    By default 525 wide, about a quarter of an hour on one core; the paper's size is --state-width 1875 --runs 3
    --gate 0.01. Resumable horizon by horizon: what is in DIR/results.jsonl is not done again. Several processes may
    share a DIR, each with its own --horizons.
    """

    window: Annotated[int, arg(metavar="STEPS")] = paper.FIGURE8_WINDOW
    """Into how many equal slices an image is cut, one a time step."""
    horizons: Annotated[tuple[int, ...], arg(metavar="STEPS [STEPS ...]")] = tuple(paper.FIGURE8)
    """How many of the last time steps errors travel back."""
    gate: Annotated[float, arg(metavar="NU")] = 0.05
    """ν, at least 0: a neuron passes errors down while its |sum| is at most ν times the state's width. The paper, 1875
    wide, has 0.01; narrow networks want more."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/reproduce-figure8")
    """Where results.jsonl, table.md, picture.png and protocol.json go."""

    def run(self) -> None:
        """Runs what is missing and draws the figure."""
        self.check("figure8", [self.gate], window=self.window, horizons=self.horizons)
        results = Results(self.out / report.RESULTS)
        points = [(self.window, horizon) for horizon in sorted({min(h, self.window) for h in self.horizons})]
        smnist.run_all(self, results, points, [self.gate], lambda: self._report(results))

    def _report(self, results: Results) -> None:
        results.refresh()
        # Horizons of other processes, too.
        recorded = {r["horizon"] for r in results if r.get("kind") == "s-mnist" and r["window"] == self.window}
        horizons = sorted({*(min(h, self.window) for h in self.horizons), *recorded})
        found = {h: smnist.found(self, results, self.places(self.window, h, [self.gate])) for h in horizons}
        found = {horizon: records for horizon, records in found.items() if records}
        if found:
            report.write(self.out, flags=self, table=self._table(found), picture=lambda: self._picture(found))

    def _paper(self) -> dict[int, float]:
        return paper.FIGURE8 if self.window == paper.FIGURE8_WINDOW else {}

    def _table(self, found: dict[int, list[Record]]) -> str:
        rows = [(str(h), *smnist.cells(records, self._paper().get(h))) for h, records in found.items()]
        about = f"{smnist.PROTOCOL}\n{self.window} slices, ν = {self.gate:g}."
        return f"# Figure 8\n\n{about}\n\n{runs.markdown(('horizon', *smnist.CELLS), rows)}"

    def _picture(self, found: dict[int, list[Record]]) -> bytes:
        name = f"WL {self.window}, ν = {self.gate:g}"
        ours = {name: {float(h): smnist.accuracy(records) for h, records in found.items()}}
        theirs = {name: {float(h): value for h, value in self._paper().items()}}
        return report.lines_picture(ours, theirs, "backward horizon (time steps)", ticks=tuple(found))
