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

from bep_jax.commands import choose, report
from bep_jax.commands.flags import Data, Network, RuleFlags, Training, TrainOutput
from bep_jax.commands.plan import Plan, kinds, make_plan, say_notes, settings_text
from bep_jax.commands.start import Beginning, Start
from bep_jax.data import datasets
from bep_jax.export import model_file
from bep_jax.files import atomic, folders, plots, runs
from bep_jax.reproduce import paper
from bep_jax.training import checkpoint
from bep_jax.training.fitting import fit
from bep_jax.training.loop import Report, Result

_GROUPS = ("data", "network", "start", "rule", "training")
_CHOICE = "choice"  # beside them in the file: how the network came to be


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train binary networks, one a seed, and say how well they do on test data.

    With no flags: Random Prototypes, two layers of 525, five seeds, 50 epochs. Ctrl-C stops after the current epoch
    and writes what there is.
    """

    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    start: Start = field(default_factory=Start)
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
        begin = self.start.read(self.data, self.network, self.training)
        data, network = (self.data, self.network) if begin is None else begin.flags(self.data, self.network)
        plan = make_plan(data, network, self.rule, self.training)
        plan = plan if begin is None else begin.applied(plan)
        if output.json is not None and output.json.is_dir():
            raise ValueError(f"train: --json wants a file, got the folder {output.json}.")
        with folders.reserved(
            output.out,
            output.name,
            plan.slug if len(kinds(data, network, self.training)) == 1 else Path(plan.dataset).name,
            who="train",
            overwrite=output.overwrite,
            resume=output.resume,
            first={folders.FLAGS: runs.json_bytes(self._groups())},
        ) as place:
            self._train(plan, begin, place, started, begun)

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
            stored["training"].setdefault("decay_after", 0)  # earlier versions had none
            groups = {name: _group(type(getattr(self, name)), stored[name]) for name in _GROUPS}
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"train: {path} is damaged, or of another bep_jax ({error}).") from error
        return Train(**groups)

    def _train(self, plan: Plan, begin: Beginning | None, place: folders.Place, started: str, begun: float) -> None:
        choice = None
        if begin is None:
            choice = choose.network(self.data, self.network, self.rule, self.training, self.output.progress)
        if choice is None:
            return self._run(plan, begin, place, started, begun, self._recalled_choice(place))
        print(choice.text, flush=True)
        decided = dataclasses.replace(self, network=dataclasses.replace(self.network, model=choice.chosen))
        plan = make_plan(decided.data, decided.network, decided.rule, decided.training)
        return decided._run(plan, None, place, started, begun, choice)

    def _recalled_choice(self, place: folders.Place) -> choose.Choice | None:
        """How the run that this one goes on with came by its network."""
        if not self.output.resume:
            return None
        stored = json.loads((place.work / folders.FLAGS).read_text(encoding="utf-8")).get(_CHOICE)
        return choose.Choice(**stored) if stored and stored["chosen"] == self.network.model else None

    def _run(
        self,
        plan: Plan,
        begin: Beginning | None,
        place: folders.Place,
        started: str,
        begun: float,
        choice: choose.Choice | None,
    ) -> None:
        folder, training = place.folder, self.training
        data = plan.load()
        if begin is not None:
            data = begin.fitted(data)
            print(begin.text)
        model, rule = plan.model(data), plan.rule
        settings = {**plan.settings(data), "decay_after": training.decays_after}
        decays = training.decays_after is not None and training.decays_after < training.epochs
        loaded = time.perf_counter()
        say_notes(data)
        print(
            f"{plan.dataset}: {data.train_y.shape[-1]:,} training and {data.test_y.shape[-1]:,} test samples of "
            f"{data.num_inputs:,} bits{report.steps(plan, data)}, {data.num_classes} classes\n"
            f"{plan.title}: {_count(len(training.which_seeds), 'seed')}, {_count(training.epochs, 'epoch')}, "
            f"{settings_text(settings)}"
            + (f", updates of an eighth after {_count(training.decays_after or 0, 'epoch')}" if decays else ""),
            flush=True,
        )
        ends: list[float] = []

        def after_epoch(_: Report) -> None:
            if not ends:  # these flags went on from the checkpoint that was there
                atomic.write_atomic(place.work / folders.FLAGS, runs.json_bytes(self._groups(choice)))
            ends.append(time.perf_counter())

        result = fit(
            model,
            rule,
            data,
            epochs=training.epochs,
            batch_size=settings["batch_size"],
            seeds=training.which_seeds,
            key=jax.random.key(training.seed),
            validation=training.validation,
            patience=training.patience or None,
            scale=settings["scale"],
            params=None if begin is None else begin.params,
            keep=training.keep,
            stop_after=training.stop_after,
            decay_after=training.decays_after,
            class_weight=training.class_weight,
            shift=training.shift,
            mirror=training.mirror,
            callbacks=[after_epoch],
            progress=self.output.progress,
            checkpoint_dir=place.work,
            resume=self.output.resume,
            mesh="auto" if self.output.devices == "auto" else None,
        )
        fitted = time.perf_counter()
        if not result.history:
            raise KeyboardInterrupt  # before the first epoch was done: nothing was learned
        epochs = result.history["train_accuracy"].shape[1]
        reported = None if begin else paper.reported(plan.dataset, plan.kind, plan.widths, self.data.split)
        accuracy = result.test_accuracy
        predicted = report.predictions(model, result, data)
        together = report.ensemble_accuracy(predicted, data)
        confusion = report.confusion(predicted, data)
        validated = report.validation(result)
        epoch_seconds = np.diff([loaded, *ends])  # the first with compilation
        record = {
            "format": 1,
            "validation": validated,
            "test_accuracy": accuracy,
            "mean": accuracy.mean(),
            "std": runs.std(accuracy),
            "ensemble_test_accuracy": together,
            "confusion": confusion,  # [true class, predicted class], test samples of all networks
            "recall": None if confusion is None else report.recall(confusion),
            "interrupted": result.interrupted,
            "epochs": epochs,
            "seeds": result.seeds,
            "paper": reported and {"mean": reported.accuracy / 100, "source": reported.source},
            "config": {"from": begin and str(begin.path), **plan.record(training)},
            "chosen": settings,
            "network": choice and choice._asdict(),
            "data": {
                "seeds": plan.data_seed,
                "num_train": data.train_y.shape[-1],
                "num_test": data.test_y.shape[-1],
                "num_inputs": data.num_inputs,
                "num_classes": data.num_classes,
                "num_steps": data.num_steps,
                "classes": data.classes,
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
            saved = model_file.Saved(
                model,
                result.params,
                data.encoder,
                data.classes,
                data.num_steps,
                data.columns,
                report.temperatures(model, result, data),
            )
            network = model_file.to_bytes(saved, hidden=self.output.hidden)
            picture = self._picture(plan, result, reported)
            runs.save(folder, record, result.seeds, result.history, picture, network)
            if self.output.json is not None:
                runs.write_json(self.output.json, record)
        finally:  # also on a full disk; and written before printed, which a closed pipe ends
            lines = report.comparison(result, validated, training.keep, together, reported)
            advice = report.advice(plan, model, data, result, settings, training)
            print(
                "\n".join([*lines, *report.recall_lines(confusion, data.classes, len(result.seeds)), *advice]),
                flush=True,
            )
        print(f"wrote {folder}/" + (f" and {self.output.json}" if self.output.json else ""), flush=True)
        if result.interrupted:
            out = "" if self.output.out == TrainOutput.out else f" --out {shlex.quote(str(self.output.out))}"
            name = f"{'=' if folder.name.startswith('-') else ' '}{shlex.quote(folder.name)}"
            again = f"python -m bep_jax train{out} --name{name} --resume"
            raise KeyboardInterrupt(f"go on with: {again}")

    def _groups(self, choice: choose.Choice | None = None) -> dict[str, Any]:
        """The flags as JSON holds them, for whoever resumes the run, in whatever folder that is."""
        groups = {name: dataclasses.asdict(getattr(self, name)) for name in _GROUPS}
        groups["training"]["decay_after"] = self.training.decays_after or 0  # whatever --epochs says then
        groups |= {} if choice is None else {_CHOICE: choice._asdict()}
        if self.data.data_dir is not None:
            groups["data"]["data_dir"] = os.path.abspath(self.data.data_dir)
        if self.data.dataset not in datasets.NAMES and os.path.isfile(self.data.dataset):
            groups["data"]["dataset"] = os.path.abspath(self.data.dataset)
        if self.start.start_from is not None:
            groups["start"]["start_from"] = os.path.abspath(self.start.start_from)
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
    for name in ("data_dir", "start_from"):
        if values.get(name) is not None:
            values[name] = Path(values[name])
    return kind(**values)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)
