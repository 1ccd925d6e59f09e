"""Figure 3: sequential MNIST by gate, one line a window."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from bep_jax.files import runs
from bep_jax.reproduce import paper, report, smnist
from bep_jax.reproduce.results import Record, Results


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure3(smnist.ImageFlags):
    """Figure 3: sequential MNIST, accuracy by gate and window.

    By default 525 wide, about half an hour on one core; the paper's size is --state-width 1875 --runs 3. A narrow
    network wants wider gates than the paper's. Resumable window by window: what is in DIR/results.jsonl is not done
    again. Several processes may share a DIR, each with its own --windows.
    """

    windows: Annotated[tuple[int, ...], arg(metavar="STEPS [STEPS ...]")] = paper.FIGURE3_WINDOWS
    """Into how many equal slices an image is cut, one a time step."""
    gates: Annotated[tuple[float, ...], arg(metavar="NU [NU ...]")] = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5)
    """ν, at least 0: a neuron passes errors down while its |sum| is at most ν times the state's width."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/reproduce-figure3")
    """Where results.jsonl, table.md, picture.png and protocol.json go."""

    def run(self) -> None:
        """Runs what is missing and draws the figure."""
        self.check("figure3", self.gates, windows=self.windows)
        results = Results(self.out / report.RESULTS)
        points = [(window, window) for window in sorted(set(self.windows))]
        smnist.run_all(self, results, points, self.gates, lambda: self._report(results))

    def _report(self, results: Results) -> None:
        results.refresh()
        # Windows of other processes, too.
        windows = sorted({*self.windows, *(r["window"] for r in results if r.get("kind") == "s-mnist")})
        found = {
            (window, gate): smnist.found(self, results, self.places(window, window, [gate]))
            for window in windows
            for gate in sorted(set(self.gates))
        }
        found = {point: records for point, records in found.items() if records}
        if found:
            report.write(self.out, flags=self, table=_table(found), picture=lambda: _picture(found))


def _paper(window: int, gate: float) -> float | None:
    if gate not in paper.FIGURE3 or window not in paper.FIGURE3_WINDOWS:
        return None
    return paper.FIGURE3[gate][paper.FIGURE3_WINDOWS.index(window)]


def _table(found: dict[tuple[int, float], list[Record]]) -> str:
    rows = [
        (str(window), f"{gate:g}", *smnist.cells(records, _paper(window, gate)))
        for (window, gate), records in found.items()
    ]
    return f"# Figure 3\n\n{smnist.PROTOCOL}\n\n{runs.markdown(('window', 'ν', *smnist.CELLS), rows)}"


def _picture(found: dict[tuple[int, float], list[Record]]) -> bytes:
    ours: dict[str, dict[float, tuple[float, float]]] = {}
    theirs: dict[str, dict[float, float]] = {}
    for (window, gate), records in found.items():
        ours.setdefault(f"WL {window}", {})[gate] = smnist.accuracy(records)
    for i, window in enumerate(paper.FIGURE3_WINDOWS):
        if f"WL {window}" in ours:
            theirs[f"WL {window}"] = {gate: values[i] for gate, values in paper.FIGURE3.items()}
    return report.lines_picture(ours, theirs, "gate ν")
