"""What ``train`` says at the end: validation before test, class by class, and what to try where nothing was learned.

Axis letters: S seeds, n samples, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bep_jax.commands.flags import Training
from bep_jax.commands.plan import Plan, of_layers
from bep_jax.data.datasets import Dataset
from bep_jax.export.model_file import Saved
from bep_jax.export.predict import scores
from bep_jax.files import runs
from bep_jax.learning.laws import initial_scale
from bep_jax.network.model import Model
from bep_jax.reproduce import paper
from bep_jax.training.calibration import fit_temperature
from bep_jax.training.loop import Result

_MOST_CLASSES = 12  # of which a matrix is printed
_LITTLE = 0.02  # above the share of the most frequent class: nothing was learned
_FEW = 0.002  # of a layer's weights: it did not learn


def steps(plan: Plan, data: Dataset) -> str:
    """Of the first line: time steps, and how they are read."""
    if data.num_steps is None or not plan.load_options["whole"]:
        return "" if data.num_steps is None else f", {data.num_steps} time steps"
    return f", all {data.num_steps} steps at once (shorter series are padded in front)"


def validation(result: Result) -> dict[str, Any] | None:
    """Final and best validation accuracy, ``[S]``; None without validation samples."""
    history = result.history.get("validation_accuracy")
    if history is None:
        return None
    best = history[np.arange(len(history)), result.best_epoch - 1]
    return {"final": history[:, -1], "best": best, "best_epoch": result.best_epoch}


def predictions(model: Model, result: Result, data: Dataset) -> np.ndarray | None:
    """Scores of the test samples ``[S, n, C]``; None where each network has samples of its own."""
    if data.num_seeds is not None:
        return None
    saved = Saved(model, result.params)
    return np.stack([scores(saved, data.test_x, network) for network in range(len(result.seeds))])


def temperatures(model: Model, result: Result, data: Dataset) -> tuple[float, ...] | None:
    """Of each network, on its own validation samples; None without any."""
    if not result.held_out.size:
        return None
    saved, found = Saved(model, result.params), []
    for network, rows in enumerate(result.held_out):
        x, y = (a if data.num_seeds is None else a[network] for a in (data.train_x, data.train_y))
        found.append(fit_temperature(scores(saved, x[rows], network), y[rows]))
    return tuple(found)


def ensemble_accuracy(predicted: np.ndarray | None, data: Dataset) -> float | None:
    """Of all networks as one, their scores summed; None where there is one, or each has test samples of its own."""
    if predicted is None or len(predicted) == 1:
        return None
    return float(np.mean(predicted.sum(axis=0).argmax(axis=1) == data.test_y))


def confusion(predicted: np.ndarray | None, data: Dataset) -> np.ndarray | None:
    """int64 ``[C, C]``, true by predicted class, test samples of all networks."""
    return None if predicted is None else confusion_of(data.test_y, predicted.argmax(axis=2), data.num_classes)


def confusion_of(y: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 ``[C, C]``, true by predicted class, of labels ``[n]`` and predictions ``[..., n]``.

    Example:
      >>> confusion_of(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
      array([[1, 1],
             [0, 1]])
    """
    found = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(found, (np.broadcast_to(y, predicted.shape), predicted), 1)
    return found


def recall(found: np.ndarray) -> list[float | None]:
    """Of each class the share that was found; None of one without samples."""
    return [float(right / of) if of else None for right, of in zip(found.diagonal(), found.sum(axis=1), strict=True)]


def recall_lines(found: np.ndarray | None, classes: Sequence[str], networks: int) -> list[str]:
    """A line a class: its recall, and what its samples were taken for; nothing where there are many classes."""
    if found is None or len(found) > _MOST_CLASSES:
        return []
    width = max(len(name) for name in classes)
    cell = max(len(f"{found.max():,}"), *(len(name) for name in classes))
    of = f"  (counts of {networks} networks)" if networks > 1 else ""
    lines = [f"{'class':<{width}}  recall    predicted as {' '.join(f'{name:>{cell}}' for name in classes)}{of}"]
    for name, share, row in zip(classes, recall(found), found, strict=True):
        percent = "   none" if share is None else f"{100 * share:5.1f} %"
        lines.append(f"{name:<{width}}  {percent}                {' '.join(f'{count:>{cell},}' for count in row)}")
    return lines


def comparison(
    result: Result,
    validated: dict[str, Any] | None,
    keep: str,
    together: float | None,
    reported: paper.Reported | None,
) -> list[str]:
    """Accuracies, validation first."""
    count, epochs = len(result.seeds), result.history["train_accuracy"].shape[1]
    of = f"mean ± std of {count} seeds, " if count > 1 else ""
    rows = []
    if validated is not None:
        when = f"epoch {_range(validated['best_epoch'])}"
        rows.append(("validation", spread(validated["final"]), f"{of}after {_epochs(epochs)}"))
        rows.append(("  best epoch", spread(validated["best"]), f"{of}{when}"))
    kept = f"after {_epochs(epochs)}" if keep == "last" or validated is None else "the best epoch of each"
    rows.append(("test accuracy", spread(result.test_accuracy), f"{of}{kept}"))
    if together is not None:
        rows.append(("all as one", f"{100 * together:.2f} %", f"the scores of the {count} networks summed: --ensemble"))
        alone = spread(result.test_accuracy[:1])
        rows.append(("network 0", alone, "what predict, evaluate and export take without --network or --ensemble"))
    if reported is not None:
        deviation = f"± {reported.std:.2f} %" if reported.std is not None else "%"
        rows.append(("the paper", f"{reported.accuracy:.2f} {deviation}", reported.source))
    return [f"{name:<14}  {value:<14}  ({note})" for name, value, note in rows]


def advice(
    plan: Plan, model: Model, data: Dataset, result: Result, settings: dict[str, Any], training: Training
) -> list[str]:
    """A line for what went wrong, naming what to try; nothing where all is well."""
    lines = []
    counts = np.bincount(data.train_y.reshape(-1), minlength=data.num_classes)
    chance = 1 / np.count_nonzero(counts) if training.class_weight else counts.max() / counts.sum()
    last = {name: values[:, -1] for name, values in result.history.items()}
    lost = last["train_accuracy"] <= chance + _LITTLE
    law = initial_scale(model, settings["batch_size"], data.num_steps)
    below = plan.start is None and any(given < usual / 1.5 for given, usual in zip(settings["scale"], law, strict=True))
    if lost.any():
        tries = ["--scale None" if below else "a smaller --batch-size"]
        tries += ["--model mlp"] if plan.kind == "rnn" else []
        tries += [] if training.class_weight else ["--class-weight balanced"]
        lines.append(
            f"{lost.sum()} of {len(lost)} networks learned no more than the most frequent class (training accuracy "
            f"{100 * last['train_accuracy'][lost].mean():.1f} %, trigger rate "
            f"{100 * last['trigger_rate'][lost].mean():.0f} %): try {', '.join(tries)}, or python -m bep_jax tune."
        )
    elif below:
        lines.append(
            f"--scale {of_layers(settings['scale'], ' ')} is below what batches of {settings['batch_size']} ask for, "
            f"{', '.join(f'{usual:g}' for usual in dict.fromkeys(law))}: hidden layers may not learn; leave it out."
        )
    still = [i for i, share in enumerate(result.changed.mean(axis=0)) if share < _FEW]
    if still and not lost.any():
        names = ", ".join(f"{i + 1}" for i in still)
        lines.append(
            f"matrix {names}: {100 * result.changed[:, still].mean():.2f} % of the weights changed sign, it hardly "
            "learned: try a smaller --scale, more --epochs or a larger --gate."
        )
    return lines


def spread(values: np.ndarray) -> str:
    """Mean and, of several, standard deviation in percent.

    Example:
      >>> spread(np.array([0.5, 0.75])), spread(np.array([0.5]))
      ('62.50 ± 17.68 %', '50.00 %')
    """
    return f"{100 * values.mean():.2f} " + (f"± {100 * runs.std(values):.2f} %" if len(values) > 1 else "%")


def _range(epochs: np.ndarray) -> str:
    return f"{epochs.min()}" if epochs.min() == epochs.max() else f"{epochs.min()} to {epochs.max()}"


def _epochs(number: int) -> str:
    return f"{number} epoch{'s' * (number != 1)}"
