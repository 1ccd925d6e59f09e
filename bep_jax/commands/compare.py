"""``python -m bep_jax compare``: Binary Error Propagation beside its baselines, on the same data, in one table.

Axis letters: S seeds.
"""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
from tyro.conf import arg

from bep_jax.baselines import methods
from bep_jax.baselines.local_rule import usual_group_size
from bep_jax.commands.flags import Data, Network, Output, RuleFlags, Training
from bep_jax.commands.plan import Plan, make_plan, say_notes
from bep_jax.data.datasets import Dataset
from bep_jax.files import atomic, folders, plots, runs
from bep_jax.kernels.checks import INT32_MAX
from bep_jax.learning.rule import Rule
from bep_jax.network.model import Model
from bep_jax.training import memory
from bep_jax.training.loop import Result

TABLE = "table.md"
# r of the local rule, where the flags do not say: the one that was published with it.
_LOCAL_MARGIN = 0.25
_HEADER = ("method", "test accuracy", "s an epoch", "state, MB", "peak, MB", "bits a weight", "settings")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compare:
    """Train with several methods on the same data and show them side by side.

    Writes a table (test accuracy, time, memory, bits), the curves of all methods and every history. Time and memory are
    those of all seeds together; memory is counted from the arrays of the training state, and, on a CPU under Linux,
    measured as the rise of the process's memory over an epoch.
    """

    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    rule: RuleFlags = field(default_factory=RuleFlags)
    training: Training = field(default_factory=Training)
    output: Output = field(default_factory=Output)
    methods: Annotated[
        tuple[str, ...] | None, arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: all that fit the model)")
    ] = None
    """bep, local-rule, qat, qat-raw (as in the paper, without scaled sums), qat-batchnorm, random-features."""
    learning_rates: Annotated[tuple[float, ...], arg(metavar="RATE [RATE ...]")] = (1e-4, 1e-3, 1e-2)
    """Of QAT; the best on validation data is taken."""
    tune_epochs: Annotated[int, arg(metavar="N")] = 5
    """Epochs to find it in."""

    def run(self) -> None:
        """Trains, prints and writes.

        Raises:
          ValueError, FileExistsError, ...: flags that do not fit, with a message for the user.
          KeyboardInterrupt: after what is complete was written.
        """
        plan = make_plan(self.data, self.network, self.rule, self.training)
        names = self._methods(plan)
        output = self.output
        if output.json is not None and output.json.is_dir():
            raise ValueError(f"compare: --json wants a file, got the folder {output.json}.")
        with folders.reserved(
            output.out, output.name, f"compare-{plan.slug}", who="compare", overwrite=output.overwrite
        ) as place:
            self._compare(plan, names, place.folder)

    def _methods(self, plan: Plan) -> tuple[str, ...]:
        known = tuple(name for name in methods.TITLES if plan.dense or name != "local-rule")
        names = known if self.methods is None else tuple(dict.fromkeys(self.methods))
        wrong = [name for name in names if name not in methods.TITLES]
        if wrong or not names:
            choices = ", ".join(methods.TITLES)
            raise ValueError(f"compare: --methods takes {choices}; got {' '.join(wrong) or 'none'}.")
        if not set(names) <= set(known):
            raise ValueError(
                "compare: the local rule has no recurrent form and none with convolutions; leave it out of --methods."
            )
        if "random-features" in names and plan.dense and len(plan.widths) < 2:
            raise ValueError("compare: random-features wants at least two layers: the last one is trained.")
        if self.training.shift or self.training.mirror:
            raise ValueError("compare: --shift and --mirror are for train: not all methods move images.")
        if not self.learning_rates or not all(0 < rate < math.inf for rate in self.learning_rates):
            rates = " ".join(map(str, self.learning_rates))
            raise ValueError(f"compare: --learning-rates must be positive and finite, got {rates or 'none'}.")
        if not 1 <= self.tune_epochs <= INT32_MAX:
            raise ValueError(f"compare: --tune-epochs must be from 1 to {INT32_MAX:,}, got {self.tune_epochs}.")
        if not self.training.validation and len(self.learning_rates) > 1 and any(map(methods.is_qat, names)):
            raise ValueError("compare: with --validation 0 name one of --learning-rates: nothing is left to choose by.")
        return names

    def _compare(self, plan: Plan, names: Sequence[str], folder: Path) -> None:
        data = plan.load()
        say_notes(data)
        model = plan.model(data)
        print(f"{plan.dataset}, {plan.title}: {', '.join(methods.TITLES[name] for name in names)}", flush=True)
        records: list[dict[str, Any]] = []
        histories: dict[str, Mapping[str, np.ndarray]] = {}
        try:
            for name in names:
                record, result = self._train(plan, name, model, data)
                records.append(record)
                histories[name] = result.history
                print(_row(record), flush=True)
        finally:
            if records:
                self._write(plan, plan.settings(data), folder, records, histories)

    def _train(self, plan: Plan, name: str, model: Model, data: Dataset) -> tuple[dict[str, Any], Result]:
        training = self.training
        setting = self._setting(plan, name, model, data)
        settings = [setting] * len(training.which_seeds)
        ends: list[float] = []
        begun = time.perf_counter()
        result = self._fit(plan, name, model, data, settings, training.epochs, ends)
        seconds = np.diff([begun, *ends])
        peak = memory.peak_bytes(lambda: self._fit(plan, name, model, data, settings, 1, []))
        accuracy = result.test_accuracy
        return {
            "method": name,
            "test_accuracy": accuracy,
            "mean": accuracy.mean(),
            "std": runs.std(accuracy),
            "seeds": result.seeds,
            "setting": dataclasses.asdict(setting) if isinstance(setting, Rule) else {"learning_rate": setting},
            # The first one compiles.
            "seconds_an_epoch": float(np.median(seconds[1:])) if len(seconds) > 1 else None,
            "state_bytes": memory.state_bytes(result.state),
            "peak_bytes": peak,
            "bits_a_weight": _bits_a_weight(model, name),
        }, result

    def _setting(self, plan: Plan, name: str, model: Model, data: Dataset) -> Rule | float:
        """What a method is trained with; of QAT the learning rate that is best on validation data."""
        if name == "local-rule":
            given = self.rule.group_size
            return dataclasses.replace(
                plan.rule,
                margin=_LOCAL_MARGIN if self.rule.margin is None else self.rule.margin,
                group_size=plan.rule.group_size if given else tuple(usual_group_size(w) for w in plan.widths),
            )
        if not methods.is_qat(name):
            return plan.rule
        if len(self.learning_rates) == 1:
            return self.learning_rates[0]
        first, rates = _one_seed(data), list(self.learning_rates)
        tuned = self._fit(plan, name, model, first, rates, self.tune_epochs, [], seeds=[0] * len(rates))
        return rates[int(np.argmax(tuned.history["validation_accuracy"][:, -1]))]

    def _fit(self, plan, name, model, data, settings, epochs, ends, seeds=None) -> Result:
        training = self.training
        own = {"decay_after": training.decays_after} if name == "bep" else {}
        return methods.fit(
            name,
            model,
            settings,
            data,
            epochs=epochs,
            batch_size=plan.batch_size(data),
            seeds=training.which_seeds if seeds is None else seeds,
            key=jax.random.key(training.seed),
            validation=training.validation,
            patience=training.patience or None,
            scale=plan.scale,
            keep=training.keep,
            stop_after=training.stop_after,
            class_weight=training.class_weight,
            callbacks=[lambda report: ends.append(time.perf_counter())],
            progress=self.output.progress,
            **own,
        )

    def _write(
        self,
        plan: Plan,
        settings: Mapping[str, Any],
        folder: Path,
        records: Sequence[Mapping[str, Any]],
        histories: Mapping,
    ) -> None:
        seeds = records[0]["seeds"]
        result = {
            "format": 1,
            "config": plan.record(self.training),
            "chosen": settings,
            "methods": records,
            **runs.environment(),
        }
        contents: dict[str, bytes | None] = {
            **{path.name: None for path in folder.glob("history-*.csv")},  # of the run that this one replaces
            **{f"history-{name}.csv": runs.history_csv(seeds, history).encode() for name, history in histories.items()},
            TABLE: _table(records).encode(),
        }
        picture = plots.attempted(
            runs.CURVES,
            lambda: plots.comparison(
                {methods.TITLES[name]: history for name, history in histories.items()},
                {methods.TITLES[record["method"]]: record["test_accuracy"] for record in records},
                title=f"{plan.dataset}, {plan.title}",
            ),
        )
        atomic.replace_together(folder, contents | {runs.CURVES: picture, runs.RESULT: runs.json_bytes(result)})
        if self.output.json is not None:
            runs.write_json(self.output.json, result)
        print(f"\n{_table(records)}\nwrote {folder}/", flush=True)


def _one_seed(data: Dataset) -> Dataset:
    """The first draw of data that differ from seed to seed."""
    if np.ndim(data.train_y) == 1:
        return data
    names = ("train_x", "train_y", "test_x", "test_y")
    return dataclasses.replace(data, **{name: getattr(data, name)[0] for name in names})


def _bits_a_weight(model: Model, method: str) -> float:
    """What inference needs, over the weights: one bit each, and with batch normalisation two floats a neuron."""
    classifier = model.num_classes * model.num_outputs
    weights = sum(neurons * fan_in for neurons, fan_in in model.matrix_shapes) + classifier
    norms = 2 * 32 * (sum(model.widths) + model.num_classes) if method == "qat-batchnorm" else 0
    return (weights + norms) / weights


def _row(record: Mapping[str, Any]) -> str:
    return f"{methods.TITLES[record['method']]}: {100 * record['mean']:.2f} ± {100 * record['std']:.2f} %"


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            methods.TITLES[r["method"]],
            f"{100 * r['mean']:.2f} ± {100 * r['std']:.2f}",
            "" if r["seconds_an_epoch"] is None else f"{r['seconds_an_epoch']:.3f}",
            f"{r['state_bytes'] / 1e6:.1f}",
            "" if r["peak_bytes"] is None else f"{r['peak_bytes'] / 1e6:.1f}",
            f"{r['bits_a_weight']:.3f}",
            ", ".join(f"{name} {value}" for name, value in r["setting"].items()),
        )
        for r in records
    ]
    return runs.markdown(_HEADER, rows) + "\n"
