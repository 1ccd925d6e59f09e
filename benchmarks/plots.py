"""Pictures of reports, beside their tables: one function for each subcommand that has one."""

import statistics
from collections.abc import Callable
from typing import Any

from bep_jax.files import plots

_INK, _FLOAT, _C = "#1b4f72", "#b9770e", "#7b7d7d"
_PRODUCTS = {"forward": "#1b4f72", "backward": "#b03a2e", "outer": "#1e8449"}


def png(record: dict[str, Any]) -> bytes | None:
    """The picture of a record, None if it has none or matplotlib is not installed."""
    draw = _DRAWN.get(record["command"])
    if draw is None:
        return None
    try:
        figure = plots.new_figure(10, 4, dpi=110)
    except ImportError:
        return None
    draw(figure, record["rows"])
    figure.suptitle(f"{record['title']} ({record['machine']['cpu']})", fontsize=10)
    return plots.png(figure, metadata={"Software": None})


def _products(figure, rows) -> None:
    """Ratio over the width, one panel a batch."""
    sizes = [[int(n) for n in row["shape"].split(" × ")] for row in rows]
    batches = sorted({batch for batch, _, _ in sizes})
    panels = _panels(figure, len(batches))
    for axes, batch in zip(panels, batches, strict=True):
        for product, color in _PRODUCTS.items():
            points = sorted(
                (size[2], row["ratio_float32"]["median"])
                for size, row in zip(sizes, rows, strict=True)
                if row["product"] == product and size[0] == batch
            )
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=color, label=product, markersize=4)
        _tidy(axes, f"batch {batch}", "inputs", logarithmic="x")
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("times the float32 dot")
    panels[0].legend(frameon=False, fontsize=8)


def _step(figure, rows) -> None:
    """Microseconds, bep.step beside float32."""
    (axes,) = _panels(figure, 1)
    labels = [f"{row['name']}\n{row['seeds']} seed{'s' * (row['seeds'] > 1)}" for row in rows]
    for offset, key, color, label in ((-0.2, "float32", _FLOAT, "float32"), (0.2, "bep", _INK, "bep.step")):
        places = [i + offset for i in range(len(rows))]
        axes.barh(places, [row[key]["median"] / row["seeds"] for row in rows], 0.38, color=color, label=label)
    for i, row in enumerate(rows):
        place = row["bep"]["median"] / row["seeds"]
        axes.annotate(f" ×{row['ratio']['median']:.1f}", (place, i + 0.2), va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    _tidy(axes, "", "µs a step and seed")
    axes.legend(frameon=False, fontsize=8)


def _profile(figure, rows) -> None:
    """Share of each kernel, by name, one panel a step."""
    steps = list(dict.fromkeys(row["name"] for row in rows))
    for axes, step in zip(_panels(figure, len(steps)), steps, strict=True):
        shares: dict[str, float] = {}
        for row in rows:
            if row["name"] == step and row["kernel"] != "whole step":
                shares[row["kernel"]] = shares.get(row["kernel"], 0.0) + row["share"]["median"]
        names = sorted(shares, key=lambda name: -shares[name])
        axes.barh(names, [shares[name] for name in names], color=[_C if n == "remainder" else _INK for n in names])
        axes.invert_yaxis()
        axes.tick_params(labelsize=7)
        _tidy(axes, step, "% of the step")


def _scaling(figure, rows) -> None:
    """Microseconds over the size, one panel an axis."""
    axes_names = list(dict.fromkeys(row["along"] for row in rows))
    panels = _panels(figure, len(axes_names))
    for axes, along in zip(panels, axes_names, strict=True):
        chosen = [row for row in rows if row["along"] == along]
        for key, color, label in (("float32", _FLOAT, "float32"), ("bep", _INK, "bep.step")):
            places, heights = [row["size"] for row in chosen], [row[key]["median"] for row in chosen]
            axes.plot(places, heights, "o-", color=color, label=label, markersize=4)
        _tidy(axes, "", along, logarithmic="xy")
    panels[0].set_ylabel("µs a step")
    panels[0].legend(frameon=False, fontsize=8)


def _energy(figure, rows) -> None:
    """Nanojoules, one panel for training or inference of a network, a bar for each place of the bytes."""
    panels = list(dict.fromkeys((row["what"], row["name"], row["batch"]) for row in rows))
    for axes, (what, name, batch) in zip(_panels(figure, len(panels)), panels, strict=True):
        chosen = [row for row in rows if (row["what"], row["name"], row["batch"]) == (what, name, batch)]
        for offset, key, color, label in (
            (-0.27, "operations", _INK, "operations"),
            (0.0, "on_chip", _C, "with bytes on chip"),
            (0.27, "dram", _FLOAT, "with bytes in DRAM"),
        ):
            places = [i + offset for i in range(len(chosen))]
            axes.barh(places, [row[key] for row in chosen], 0.26, color=color, label=label)
        axes.set_yticks(range(len(chosen)), [row["method"] for row in chosen], fontsize=7)
        axes.invert_yaxis()
        _tidy(axes, f"{what}, batch {batch}\n{name}", "nJ a sample")
        axes.set_xscale("log")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)


def _device(figure, rows) -> None:
    """Accuracy over own samples on the device, with what that costs."""
    rows = [row for row in rows if row["cpu"] == "cortex-m3" and "own_0" in row]
    _adapted(figure, rows, lambda row: f"{row['ram'] / 1000:.0f} KB,\n{row['learn'] / 1000:,.0f} k instructions")


def _adaptation(figure, rows) -> None:
    """Accuracy over own samples, means of the splits."""
    rows = [row for row in rows if row["digits"] == "0 to 4"]
    _adapted(figure, rows, lambda row: f"{len(row['splits'])} splits, ± one standard deviation")


def _adapted(figure, rows, note: Callable) -> None:
    """One panel a network: own task and, dashed, the old one."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    panels = _panels(figure, len(names))
    for axes, name in zip(panels, names, strict=True):
        for row in rows:
            if row["name"] != name:
                continue
            color = _INK if row["learner"] == "BEP" else _FLOAT
            counts = sorted(int(key[4:]) for key in row if key.startswith("own_"))
            for kind, style, label in (("own", "o-", f"{row['learner']}: {note(row)}"), ("old", "o--", None)):
                heights = [row[f"{kind}_{count}"] for count in counts]
                axes.plot(range(len(counts)), heights, style, color=color, label=label, markersize=4)
                if kind == "own" and "splits" in row:
                    spread = [statistics.stdev(one[f"own_{count}"] for one in row["splits"]) for count in counts]
                    low, high = ([h + s * d for h, d in zip(heights, spread, strict=True)] for s in (-1, 1))
                    axes.fill_between(range(len(counts)), low, high, color=color, alpha=0.15, linewidth=0)
        axes.set_xticks(range(len(counts)), ["none", *map(str, counts[1:-1]), "5 × 200"])
        axes.set_ylim(0, 100)
        axes.legend(frameon=False, fontsize=6, loc="lower right")
        _tidy(axes, name, "own samples learned")
    panels[0].set_ylabel("% of test samples, turned; dashed: upright", fontsize=8)


_DRAWN: dict[str, Callable] = {
    "products": _products,
    "step": _step,
    "profile": _profile,
    "scaling": _scaling,
    "energy": _energy,
    "device": _device,
    "adaptation": _adaptation,
}


def _panels(figure, count: int) -> list:
    return list(figure.subplots(1, count, squeeze=False)[0])


def _tidy(axes, title: str, label: str, logarithmic: str = "") -> None:
    axes.set_title(title, fontsize=8)
    axes.set_xlabel(label, fontsize=8)
    if "x" in logarithmic:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if "y" in logarithmic:
        axes.set_yscale("log")
    axes.tick_params(labelsize=7)
    plots.tidy(axes)
