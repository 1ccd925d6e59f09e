"""What a reproduction leaves behind besides its results file: a table, a picture and its protocol.

matplotlib is imported when a picture is drawn.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bep_jax.files import atomic, plots, runs
from bep_jax.reproduce import paper

RESULTS, TABLE, PICTURE, PROTOCOL = "results.jsonl", "table.md", "picture.png", "protocol.json"
_COLORS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")
# line -> setting -> mean and standard deviation; the same of the paper, without the deviation.
Lines = dict[str, dict[float, tuple[float, float]]]
Points = dict[str, dict[float, float]]
# Flags that say where to work, not what to compute.
_PLACES = ("out", "data_dir", "problems")


def write(out: Path, *, flags: Any, table: str, picture: Callable[[], bytes]) -> None:
    """Writes table, picture and protocol, each complete or not at all; a picture that fails costs only itself."""
    protocol = {f.name: getattr(flags, f.name) for f in dataclasses.fields(flags) if f.name not in _PLACES}
    runs.write_json(out / PROTOCOL, {"command": type(flags).__name__.lower(), "settings": protocol})
    atomic.write_atomic(out / TABLE, (table.rstrip() + "\n").encode())
    written = [TABLE, PROTOCOL]
    drawn = plots.attempted(PICTURE, picture)
    if drawn is not None:
        atomic.write_atomic(out / PICTURE, drawn)
        written.append(PICTURE)
    print(f"\n{table.rstrip()}\n\nwrote {', '.join(os.fspath(out / name) for name in written)}", flush=True)


def table1_picture(ours: Mapping[str, tuple[float, float]]) -> bytes:
    """Ours (mean, std in percent) and the paper's, a line a problem, best on top."""
    names = sorted(ours, key=lambda name: ours[name])
    figure = plots.new_figure(8.0, 1.4 + 0.3 * len(names))
    axes = figure.add_subplot()
    height = {name: i for i, name in enumerate(names)}
    rows = {name: paper.TABLE1[name] for name in names if name in paper.TABLE1}
    for values, label, marker, color in (
        ({n: r.qat for n, r in rows.items()}, "QAT, paper", "x", "#bbbbbb"),
        ({n: r.qat_batchnorm for n, r in rows.items()}, "QAT + BN, paper", "+", "#888888"),
    ):
        if values:
            axes.plot(list(values.values()), [height[n] for n in values], marker, color=color, label=label)
    if rows:
        axes.errorbar(
            [r.bep for r in rows.values()], [height[n] + 0.13 for n in rows], xerr=[r.bep_std for r in rows.values()],
            fmt="s", markersize=4.5, linewidth=1.0, color="#228833", label="BEP, paper",
        )  # fmt: skip
    axes.errorbar(
        [ours[n][0] for n in names], [height[n] - 0.13 for n in names], xerr=[ours[n][1] for n in names],
        fmt="o", markersize=5.5, linewidth=1.2, color="#4477aa", label="BEP, ours",
    )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="test accuracy (%)", ylim=(-0.7, len(names) - 0.3))
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, frameon=False)
    plots.tidy(axes, grid="x")
    return plots.png(figure)


def lines_picture(
    ours: Lines,
    theirs: Points,
    xlabel: str,
    *,
    ticks: Sequence[float] = (),
    ylabel: str = "validation accuracy (%)",
) -> bytes:
    """Accuracy over a setting, on a logarithmic axis.

    Args:
      ours: line -> setting -> mean and std in percent: filled points, solid lines.
      theirs: line -> setting -> percent, the paper's: open points, dashed lines.
      xlabel: the setting.
      ticks: where to mark it; by default where matplotlib does.
      ylabel: which accuracy.

    Returns:
      A PNG file.
    """
    return panels_picture({"": (ours, theirs)}, xlabel, ticks=ticks, ylabel=ylabel)


def panels_picture(
    panels: Mapping[str, tuple[Lines, Points]],
    xlabel: str,
    *,
    ticks: Sequence[float] = (),
    ylabel: str = "validation accuracy (%)",
) -> bytes:
    """`lines_picture` for several panels: title -> (ours, theirs). Lines of one name have one colour in all of them."""
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure = plots.new_figure(5.0 * columns + 2.0, 3.2 * rows + 1.4)
    names = list(dict.fromkeys(name for ours, _ in panels.values() for name in ours))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, (ours, theirs)) in zip(grid.flat, panels.items(), strict=False):
        for name, points in ours.items():
            color, x = _COLORS[names.index(name) % len(_COLORS)], sorted(points)
            mean, std = [points[v][0] for v in x], [points[v][1] for v in x]
            yerr = std if any(std) else None
            axes.errorbar(x, mean, yerr=yerr, fmt="o-", color=color, linewidth=1.8, capsize=3, label=f"{name}, ours")
            if theirs.get(name):
                x = sorted(theirs[name])
                style = {"color": color, "markerfacecolor": "white", "linewidth": 1.0}
                axes.plot(x, [theirs[name][v] for v in x], "s--", **style, label=f"{name}, paper")
        axes.set_xscale("log")
        if ticks:
            axes.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        plots.tidy(axes)
    handles: dict[str, Any] = {}
    for axes in grid.flat:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", frameon=False, fontsize=8)
    return plots.png(figure)
