"""The command ``python -m bep_jax train``: one run, its folder and its report.

A run's folder holds its flags from its first moment on and a checkpoint from its first epoch on, by which
``--name NAME --resume`` goes on.
"""

import dataclasses
import json
import os
import shlex
import sys
import time
from dataclasses import field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bep_jax.commands.flags import Data, Network, Plan, RuleFlags, Training, TrainOutput, make_plan, say_notes
from bep_jax.data import datasets
from bep_jax.data.datasets import Dataset
from bep_jax.export import model_file
from bep_jax.export.model_file import Saved
from bep_jax.export.predict import scores
from bep_jax.files import atomic, folders, plots, runs
from bep_jax.network.model import Model
from bep_jax.reproduce import paper
from bep_jax.training import checkpoint
from bep_jax.training.fitting import fit
from bep_jax.training.loop import Report, Result

_GROUPS = ("data", "network", "rule", "training")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train binary networks, one a seed, and say how well they do on test data.

    With no flags: Random Prototypes, two layers of 525, five seeds, 50 epochs. Ctrl-C stops after the current epoch
    and writes what there is.
    """

    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    rule: RuleFlags = field(default_factory=RuleFlags)
    training: Training = field(default_factory=Training)
    output: TrainOutput = field(default_factory=TrainOutput)

    def run(self) -> None:
        """Trains, prints and writes.

        Raises:
          ValueError, FileExistsError, ...: flags that do not fit, with a message for the user.
          KeyboardInterrupt: after everything was written, if training was interrupted; says how to go on.
        """
        started, begun = time.strftime("%Y-%m-%dT%H:%M:%S%z"), time.perf_counter()
        output = self.output
        plan = make_plan(self.data, self.network, self.rule, self.training)
        if output.json is not None and output.json.is_dir():
            raise ValueError(f"train: --json wants a file, got the folder {output.json}.")
        with folders.reserved(
            output.out,
            output.name,
            plan.slug,
            who="train",
            overwrite=output.overwrite,
            resume=output.resume,
            first={folders.FLAGS: runs.json_bytes(self._groups())},
        ) as place:
            self._train(plan, place, started, begun)

    def recalled(self) -> "Train":
        """The flags of the run that this command resumes, to be overruled by those that are given.

        Raises:
          ValueError: it is not said which run, or its flags do not read.
          FileNotFoundError: it is not there.
          FileExistsError: it cannot go on.
        """
        output = self.output
        if output.name is None or output.overwrite:
            raise ValueError("train: --resume wants the --name of a run, and no --overwrite.")
        path = folders.flags_of(folders.find(output.out, output.name, "train"))
        if not path.exists():
            raise FileExistsError(f"train: {path.parent} has no {path.name} to go on from; choose another --name.")
        if not (path.parent / checkpoint.FILE).exists():
            if (path.parent / runs.RESULT).exists():
                raise FileExistsError(f"train: {path.parent} has no checkpoint to go on from; choose another --name.")
            print(f"train: no checkpoint in {path.parent} yet, starting afresh", file=sys.stderr)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            groups = {name: _group(type(getattr(self, name)), stored[name]) for name in _GROUPS}
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"train: {path} is damaged, or of another bep_jax ({error}).") from error
        return Train(**groups)

    def _train(self, plan: Plan, place: folders.Place, started: str, begun: float) -> None:
        folder, training = place.folder, self.training
        data = plan.load()
        model, rule = plan.model(data), plan.rule
        batch_size = plan.batch_size(data)
        loaded = time.perf_counter()
        say_notes(data)
        num_steps = data.train_x.shape[-2] if plan.kind == "rnn" else None
        steps = f", {num_steps} time steps" if num_steps is not None else ""
        print(
            f"{plan.dataset}: {data.train_y.shape[-1]:,} training and {data.test_y.shape[-1]:,} test samples of "
            f"{data.num_inputs:,} bits{steps}, {data.num_classes} classes\n"
            f"{plan.title}: {_count(training.seeds, 'seed')}, {_count(training.epochs, 'epoch')}, "
            f"batches of {batch_size}",
            flush=True,
        )
        ends: list[float] = []

        def after_epoch(report: Report) -> None:
            if not ends:  # these flags went on from the checkpoint that was there
                atomic.write_atomic(place.work / folders.FLAGS, runs.json_bytes(self._groups()))
            ends.append(time.perf_counter())

        result = fit(
            model,
            rule,
            data,
            epochs=training.epochs,
            batch_size=batch_size,
            seeds=training.seeds,
            key=jax.random.key(training.seed),
            validation=training.validation,
            patience=training.patience or None,
            scale=training.scale,
            callbacks=[after_epoch],
            progress=self.output.progress,
            checkpoint_dir=place.work,
            resume=self.output.resume,
        )
        fitted = time.perf_counter()
        if not result.history:
            raise KeyboardInterrupt  # before the first epoch was done: nothing was learned
        epochs = result.history["train_accuracy"].shape[1]
        interrupted = epochs < training.epochs
        reported = paper.reported(plan.dataset, plan.kind, plan.widths, self.data.split)
        accuracy = result.test_accuracy
        together = _ensemble_accuracy(model, result, data)
        epoch_seconds = np.diff([loaded, *ends])  # the first with compilation
        record = {
            "format": 1,
            "test_accuracy": accuracy,
            "mean": accuracy.mean(),
            "std": runs.std(accuracy),
            "ensemble_test_accuracy": together,
            "interrupted": interrupted,
            "epochs": epochs,
            "seeds": result.seeds,
            "paper": reported and {"mean": reported.accuracy / 100, "source": reported.source},
            "config": plan.record(training, batch_size),
            "data": {
                "seeds": plan.data_seed,
                "num_train": data.train_y.shape[-1],
                "num_test": data.test_y.shape[-1],
                "num_inputs": data.num_inputs,
                "num_classes": data.num_classes,
                "num_steps": num_steps,
            },
            "last_epoch": {name: values[:, -1] for name, values in result.history.items()},
            "started": started,
            "resumed_after": epochs - len(ends),
            "seconds": {  # since then
                "data": loaded - begun,
                "training": fitted - loaded,
                "first_epoch": epoch_seconds[0] if ends else None,
                "later_epochs": np.median(epoch_seconds[1:]) if len(ends) > 1 else None,
            },
            **runs.environment(),
        }
        try:
            network = model_file.to_bytes(
                model, result.params, data.encoder, data.classes, window=num_steps, columns=data.columns
            )
            picture = self._picture(plan, result, reported)
            runs.save(folder, record, result.seeds, result.history, picture, network)
            if self.output.json is not None:
                runs.write_json(self.output.json, record)
        finally:  # also on a full disk; and written before printed, which a closed pipe ends
            print(_comparison(accuracy, together, epochs, reported), flush=True)
        print(f"wrote {folder}/" + (f" and {self.output.json}" if self.output.json else ""), flush=True)
        if interrupted:
            out = "" if self.output.out == TrainOutput.out else f" --out {shlex.quote(str(self.output.out))}"
            name = f"{'=' if folder.name.startswith('-') else ' '}{shlex.quote(folder.name)}"
            again = f"python -m bep_jax train{out} --name{name} --resume"
            raise KeyboardInterrupt(f"go on with: {again}")

    def _groups(self) -> dict[str, Any]:
        """The flags as JSON holds them, for whoever resumes the run, in whatever folder that is."""
        groups = {name: dataclasses.asdict(getattr(self, name)) for name in _GROUPS}
        if self.data.data_dir is not None:
            groups["data"]["data_dir"] = os.path.abspath(self.data.data_dir)
        if self.data.dataset not in datasets.NAMES and os.path.isfile(self.data.dataset):
            groups["data"]["dataset"] = os.path.abspath(self.data.dataset)
        if self.data.test is not None and os.path.isfile(self.data.test):
            groups["data"]["test"] = os.path.abspath(self.data.test)
        return groups

    def _picture(self, plan: Plan, result: Result, reported: paper.Reported | None) -> bytes | None:
        return plots.attempted(
            runs.CURVES,
            lambda: plots.curves(
                result.history,
                title=f"{plan.dataset}, {plan.title}",
                layers=plan.layers,
                test_accuracy=result.test_accuracy,
                paper=reported and reported.accuracy / 100,
            ),
        )


def _group(kind: type, stored: dict[str, Any]) -> Any:
    """A group of flags, with the types that JSON does not have."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    if values.get("data_dir") is not None:
        values["data_dir"] = Path(values["data_dir"])
    return kind(**values)


def _ensemble_accuracy(model: Model, result: Result, data: Dataset) -> float | None:
    """Of all networks as one, their scores summed; None where there is one, or each has test samples of its own."""
    if len(result.seeds) == 1 or data.num_seeds is not None:
        return None
    found = scores(Saved(model, result.params, None, None), data.test_x).argmax(axis=1)
    return float(np.mean(found == data.test_y))


def _comparison(accuracy: np.ndarray, together: float | None, epochs: int, reported: paper.Reported | None) -> str:
    spread = f"± {100 * runs.std(accuracy):.2f} %" if len(accuracy) > 1 else "%"
    rows = [
        (
            "test accuracy",
            f"{100 * accuracy.mean():.2f} {spread}",
            f"{'mean ± std of ' * (len(accuracy) > 1)}{_count(len(accuracy), 'seed')}, after {_count(epochs, 'epoch')}",
        )
    ]
    if together is not None:
        rows.append(("all as one", f"{100 * together:.2f} %", f"the scores of the {len(accuracy)} networks summed"))
    if reported is not None:
        spread = f"± {reported.std:.2f} %" if reported.std is not None else "%"
        rows.append(("the paper", f"{reported.accuracy:.2f} {spread}", reported.source))
    return "\n".join(f"{name:<14}  {value:<14}  ({note})" for name, value, note in rows)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)
