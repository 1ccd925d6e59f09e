"""Pictures of a run. matplotlib is imported when one is drawn.

Axis letters: S seeds, L layers.
"""

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bep_jax.files import runs

_INSTALL = 'pip install "bep_jax[plot]"'
_TRAINING, _VALIDATION, _TEST, _PAPER, _GREY = "#4477aa", "#cc6677", "#222222", "#228833", "#666666"
_LAYERS = ("#4477aa", "#ee7733", "#228833", "#aa3377", "#009988", "#cc3311")


def attempted(name: str, draw: Callable[[], bytes]) -> bytes | None:
    """What ``draw`` draws; None and a word on stderr where that fails: no hours of training are lost for a picture.

    Example:
      >>> attempted("curves.png", lambda: b"PNG")
      b'PNG'
    """
    try:
        return draw()
    except Exception as error:
        print(f"no {name}: {error}", file=sys.stderr)
        return None


def curves(
    history: Mapping[str, np.ndarray],
    *,
    title: str,
    layers: Sequence[str],
    test_accuracy: np.ndarray | None = None,
    paper: float | None = None,
) -> bytes:
    """Draws how a run went: accuracy, trigger rate and group sizes over epochs; thin lines seeds, thick ones the mean.

    Args:
      history: name -> ``[S, epochs]``, from `bep_jax.fit`.
      title: what was trained.
      layers: L names.
      test_accuracy: ``[S]``, fractions, after the last epoch.
      paper: the fraction that the paper reports.

    Returns:
      A PNG file.

    Raises:
      ImportError: matplotlib is not installed.
    """
    figure = new_figure(10.0, 5.4)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.7, 1.0))
    accuracy, trigger, groups = (figure.add_subplot(grid[place]) for place in (np.s_[:, 0], np.s_[0, 1], np.s_[1, 1]))
    epochs = np.arange(1, 1 + next(iter(history.values())).shape[1])
    num_seeds = len(history["trigger_rate"])
    title += f": {num_seeds} seeds (thin) and their mean" if num_seeds > 1 else ": one seed"
    figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")

    for name, label, color in (
        ("train_accuracy", "training", _TRAINING),
        ("validation_accuracy", "validation", _VALIDATION),
    ):
        if name in history:
            _seeds_and_mean(accuracy, epochs, 100 * history[name], color, label)
    _final(accuracy, epochs[-1], test_accuracy, paper)
    accuracy.set(title="Accuracy (%)", xlabel="epoch")
    accuracy.legend(loc="lower right", frameon=False)

    _seeds_and_mean(trigger, epochs, 100 * history["trigger_rate"], _GREY, None)
    trigger.set(title="Samples that learn (%)", ylim=(0, 103))

    for i, layer in enumerate(layers):
        # Dashed from the second on: layers of one width share their group sizes and would hide each other.
        style = {"linestyle": ("-", (0, (4, 3)), (0, (1, 2)))[min(i, 2)]}
        sizes = history[f"group_size_{i + 1}"]
        _seeds_and_mean(groups, epochs, sizes, _LAYERS[i % len(_LAYERS)], layer, drawstyle="steps-mid", **style)
    groups.set(title="Group size", xlabel="epoch", ylim=(0, None))
    groups.yaxis.get_major_locator().set_params(integer=True)
    groups.legend(loc="best", frameon=False)

    for axes in (accuracy, trigger, groups):
        _tidy_epochs(axes, epochs)
    return png(figure)


def comparison(
    histories: Mapping[str, Mapping[str, np.ndarray]], test_accuracy: Mapping[str, np.ndarray], *, title: str
) -> bytes:
    """Draws the accuracy of several methods over epochs, and where each ended on test data.

    Args:
      histories: method -> name -> ``[S, epochs]``; validation accuracy is drawn, or training accuracy without one.
      test_accuracy: method -> ``[S]``, fractions.
      title: what was trained.

    Returns:
      A PNG file.

    Raises:
      ImportError: matplotlib is not installed.
    """
    figure = new_figure(8.0, 4.6)
    axes = figure.add_subplot()
    validated = all("validation_accuracy" in history for history in histories.values())
    name = "validation_accuracy" if validated else "train_accuracy"
    last = max(history[name].shape[1] for history in histories.values())
    epochs = np.arange(1, last + 1)
    for i, (method, history) in enumerate(histories.items()):
        color = _LAYERS[i % len(_LAYERS)]
        label = f"{method}, test {100 * test_accuracy[method].mean():.2f} %"
        _seeds_and_mean(axes, epochs[: history[name].shape[1]], 100 * history[name], color, label)
        axes.plot([last], [100 * test_accuracy[method].mean()], "D", markersize=6, color=color, clip_on=False)
    kind = "Validation" if validated else "Training"
    axes.set(title=f"{title}: {kind.lower()} accuracy (%), test as a diamond", xlabel="epoch")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    _tidy_epochs(axes, epochs)
    return png(figure)


def new_figure(width: float, height: float, dpi: float = 150) -> Any:
    """A figure without pyplot: no display, no state that outlives it.

    Raises:
      ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"plots: pictures need matplotlib: {_INSTALL}") from error
    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def tidy(axes: Any, grid: Literal["both", "x", "y"] = "both") -> None:
    """A grid behind the data, across these axes, and no frame but two sides."""
    axes.grid(axis=grid, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def png(figure: Any, **options: Any) -> bytes:
    """The content of a PNG file; options are those of matplotlib's ``savefig``."""
    file = io.BytesIO()
    figure.savefig(file, format="png", **options)
    return file.getvalue()


def _seeds_and_mean(
    axes: Any, epochs: np.ndarray, values: np.ndarray, color: str, label: str | None, **style: Any
) -> None:
    """``values [S, epochs]``; a single epoch is a point, which a line does not show."""
    marker = "o" if len(epochs) == 1 else None
    if len(values) > 1:
        axes.plot(epochs, values.T, color=color, alpha=0.3, linewidth=0.8, marker=marker, **style)
    axes.plot(epochs, values.mean(axis=0), color=color, linewidth=2.0, marker=marker, label=label, **style)


def _final(axes: Any, last: int, test_accuracy: np.ndarray | None, paper: float | None) -> None:
    """Test accuracy behind the last epoch, and the paper's as a line."""
    if paper is not None:
        axes.axhline(100 * paper, color=_PAPER, linewidth=1.2, linestyle="--", label=f"paper: {100 * paper:g} %")
    if test_accuracy is not None:
        mean, std = 100 * test_accuracy.mean(), 100 * runs.std(test_accuracy)
        axes.errorbar(
            [last], [mean], yerr=[std], fmt="D", markersize=5, capsize=4, color=_TEST, label=f"test: {mean:.2f} %"
        )


def _tidy_epochs(axes: Any, epochs: np.ndarray) -> None:
    margin = 0.5 if len(epochs) == 1 else 0.03 * (len(epochs) - 1)
    axes.set_xlim(epochs[0] - margin if len(epochs) == 1 else epochs[0], epochs[-1] + margin)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.title.set(fontsize=10, ha="left", x=0.0)
    tidy(axes, grid="y")


def tuning(rows: Sequence[Mapping[str, Any]], axes: Sequence[str]) -> bytes:
    """What mattered in a search: a panel a setting, a point a candidate of the first round, their means as a line.

    Args:
      rows: with round, validation_accuracy and a value, a number or text, for every one of ``axes``.
      axes: names; those of one value alone are left out.

    Returns:
      The picture, in PNG.
    """
    first = [row for row in rows if row["round"] == 1]
    shown = [name for name in axes if len({row[name] for row in first}) > 1] or list(axes[:1])
    figure = new_figure(2.2 * len(shown) + 0.8, 3.2)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for name, panel in zip(shown, panels, strict=True):
        values = sorted({row[name] for row in first})
        scores = [[100 * row["validation_accuracy"] for row in first if row[name] == value] for value in values]
        for place, of_one in enumerate(scores):
            panel.plot([place] * len(of_one), of_one, "o", color="tab:blue", alpha=0.4)
        panel.plot(range(len(values)), [sum(of_one) / len(of_one) for of_one in scores], color="tab:orange")
        labels = [value if isinstance(value, str) else f"{value:g}" for value in values]
        panel.set_xticks(range(len(values)), labels, rotation=90 if max(map(len, labels)) > 6 else 0)
        panel.set_title(name)
    panels[0].set_ylabel("validation accuracy, %")
    return png(figure)
