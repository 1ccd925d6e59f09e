"""``python -m bep_jax evaluate``: how well a saved network does on samples whose classes are known."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import arg

from bep_jax.commands import report
from bep_jax.commands.saved import check_output
from bep_jax.data.labels import class_indices
from bep_jax.export.model_file import load
from bep_jax.export.predict import num_networks, read_samples, scores
from bep_jax.files import runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Say how many samples of a file with labels a saved network gets right, class by class."""

    model: Annotated[Path, arg(metavar="FILE")]
    """A model.safetensors, from train or bep.save."""
    input: Annotated[Path, arg(metavar="FILE")]
    """Samples with labels: a table (.csv) with their column, time series (.ts), the test part of an .npz file."""
    label: Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(default: as in training)")] = None
    """Tables: the column that holds the label."""
    ensemble: bool = False
    """Let all networks of the file vote: their scores are summed."""
    network: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all, one by one)")] = None
    """Which network of the file, where it holds one a seed."""
    window: Annotated[int | None, arg(metavar="STEPS", help_behavior_hint="(default: as in training)")] = None
    """Time series: only the last so many time steps."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(optional)")] = None
    """Write the numbers to this file, too."""

    def run(self) -> None:
        """Evaluates and prints.

        Raises:
          ValueError, OSError, ...: files or flags that do not fit, with a message for the user.
        """
        if self.ensemble and self.network is not None:
            raise ValueError("evaluate: give --ensemble or --network, not both.")
        if self.json is not None:
            check_output(self.json, "evaluate: --json", self.model, self.input)
        saved = load(self.model)
        samples = read_samples(self.input, saved, self.window, self.label)
        for note in samples.notes:
            print(f"evaluate: {note}", file=sys.stderr)
        if samples.labels is None:
            raise ValueError(f"evaluate: {self.input} has no labels; name their column by --label, or use predict.")
        names = saved.classes or tuple(map(str, range(saved.model.num_classes)))
        y = class_indices(samples.labels, names, f"evaluate: {self.input}")
        which: list[int | None] = [self.network]
        if self.network is None and not self.ensemble:
            which = list(range(num_networks(saved)))
        predicted = np.stack([scores(saved, samples.x, one).argmax(axis=1) for one in which])
        accuracy = np.mean(predicted == y, axis=1)
        confusion = report.confusion_of(y, predicted, len(names))
        found = report.recall(confusion)
        balanced = np.mean([one for one in found if one is not None])
        if self.json is not None:
            numbers = {"accuracy": accuracy, "balanced_accuracy": balanced, "recall": found, "confusion": confusion}
            runs.write_json(self.json, {"classes": names, "samples": len(y), **numbers})
        of = f"mean ± std of {len(which)} networks, " if len(which) > 1 else ""
        print(f"accuracy           {report.spread(accuracy)}  ({of}{len(y):,} samples)")
        print(f"balanced accuracy  {100 * balanced:.2f} %  (mean of the classes' recalls)")
        print("\n".join(report.recall_lines(confusion, names, len(which))), flush=True)
