"""The command line: ``python -m bep_jax train``, ``predict``, ``summary``, ``export`` and ``reproduce ...``.

A command is a frozen dataclass whose fields are its flags, read by tyro, and whose ``run`` does the work.
"""

import dataclasses
import importlib
import importlib.util
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Union

import jax
import numpy as np
import tyro

from bep_jax import model_file, paper, plots, runs
from bep_jax.commands import Describe, Export, Predict
from bep_jax.fitting import fit
from bep_jax.flags import Data, Network, Output, Plan, RuleFlags, Training, make_plan
from bep_jax.loop import Result

_DESCRIPTION = """Binary Error Propagation: neural networks with binary weights, trained by binary error signals.

  python -m bep_jax train
  python -m bep_jax train --dataset fashion-mnist --split paper --gate 0.2
  python -m bep_jax train --dataset ucr/ItalyPowerDemand --window 8 --bits 10
  python -m bep_jax predict --model runs/NAME/model.safetensors --input images.npy
  python -m bep_jax summary --model runs/NAME/model.safetensors
  python -m bep_jax export --model runs/NAME/model.safetensors --format c --out model.h"""


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
    output: Output = field(default_factory=Output)

    def run(self) -> None:
        """Trains, prints and writes.

        Raises:
          ValueError, FileExistsError, ...: flags that do not fit, with a message for the user.
          KeyboardInterrupt: after everything was written, if training was interrupted.
        """
        started, begun = time.strftime("%Y-%m-%dT%H:%M:%S%z"), time.perf_counter()
        plan = make_plan(self.data, self.network, self.rule, self.training)
        if self.output.json is not None and self.output.json.is_dir():
            raise ValueError(f"train: --json wants a file, got the folder {self.output.json}.")
        folder = (
            runs.reserve_next(self.output.out, f"{plan.slug}-{runs.timestamp()}")
            if self.output.name is None
            else runs.reserve(self.output.out, self.output.name, self.output.overwrite)
        )
        try:
            self._train(plan, folder, started, begun)
        finally:
            runs.release(folder)

    def _train(self, plan: Plan, folder: Path, started: str, begun: float) -> None:
        training = self.training
        data = plan.load()
        model, rule = plan.model(data), plan.rule
        batch_size = plan.batch_size(data)
        loaded = time.perf_counter()
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
            callbacks=[lambda report: ends.append(time.perf_counter())],
            progress=self.output.progress,
        )
        fitted = time.perf_counter()
        if not ends:
            raise KeyboardInterrupt  # before the first epoch was done: nothing was learned
        interrupted = len(ends) < training.epochs
        reported = paper.reported(plan.dataset, plan.kind, plan.widths, self.data.split)
        accuracy = result.test_accuracy
        epoch_seconds = np.diff([loaded, *ends])  # the first with compilation
        record = {
            "format": 1,
            "test_accuracy": accuracy,
            "mean": accuracy.mean(),
            "std": _std(accuracy),
            "interrupted": interrupted,
            "epochs": len(ends),
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
            "seconds": {
                "data": loaded - begun,
                "training": fitted - loaded,
                "first_epoch": epoch_seconds[0],
                "later_epochs": np.median(epoch_seconds[1:]) if len(ends) > 1 else None,
            },
            **runs.environment(),
        }
        try:
            network = model_file.to_bytes(model, result.params, data.encoder, data.classes, window=num_steps)
            picture = self._picture(plan, result, reported)
            runs.save(folder, record, result.seeds, result.history, picture, network)
            if self.output.json is not None:
                runs.write_json(self.output.json, record)
        finally:  # also on a full disk; and written before printed, which a closed pipe ends
            print(_comparison(accuracy, len(ends), reported), flush=True)
        print(f"wrote {folder}/" + (f" and {self.output.json}" if self.output.json else ""), flush=True)
        if interrupted:
            raise KeyboardInterrupt

    def _picture(self, plan: Plan, result: Result, reported: paper.Reported | None) -> bytes | None:
        try:
            return plots.curves(
                result.history,
                title=f"{plan.dataset}, {plan.title}",
                layers=plan.layers,
                test_accuracy=result.test_accuracy,
                paper=reported and reported.accuracy / 100,
            )
        except Exception as error:  # whatever it is, hours of training are not lost for a picture
            print(f"no {runs.CURVES}: {error}", file=sys.stderr)
            return None


def main(args: Sequence[str] | None = None) -> int:
    """Reads the flags and runs the command.

    Args:
      args: without the program's name; by default those of the process.

    Returns:
      The exit status: 0, 1 where something could not be read or written, 2 for a mistake in the flags or data, 130
      after Ctrl-C. A mistake is one line on stderr; anything else that goes wrong is a traceback.
    """
    args = list(sys.argv[1:] if args is None else args)
    try:
        command = tyro.cli(
            _commands(args),
            prog="python -m bep_jax",
            description=_DESCRIPTION,
            args=args,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
        )
        command.run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, ImportError, OSError) as error:
        # Errors meant for users begin with the function that they called, `fit: epochs must ...`.
        if re.match(r"[A-Za-z_.]+: ", str(error)):
            print(f"error: {error}", file=sys.stderr)
            return 2
        if isinstance(error, OSError) and error.filename is not None:
            print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
            return 1
        raise
    return 0


def _commands(args: Sequence[str]) -> Any:
    """The type that tyro reads: one dataclass a command. Only the one that is called is imported."""
    commands: dict[str, Any] = {"train": Train, "predict": Predict, "summary": Describe, "export": Export}
    if importlib.util.find_spec("bep_jax.reproduce") is not None:
        commands["reproduce"] = _reproduce() if args[:1] == ["reproduce"] else _Reproduce
    return _one_of(commands)


class _Group:
    """A command that is one of several; its docstring is its help."""

    command: Any

    def run(self) -> None:
        self.command.run()


@dataclasses.dataclass(frozen=True)
class _Reproduce(_Group):
    """Repeat a table or a figure of the paper."""


def _reproduce() -> type:
    commands = importlib.import_module("bep_jax.reproduce").COMMANDS
    group = dataclasses.make_dataclass("Reproduce", [("command", _one_of(commands))], bases=(_Group,), frozen=True)
    group.__doc__ = _Reproduce.__doc__
    return group


def _one_of(commands: Mapping[str, Any]) -> Any:
    # A union of one type is that type, and no subcommand: None, which is not shown, keeps it one.
    choices = [Annotated[command, tyro.conf.subcommand(name)] for name, command in commands.items()]
    return Union[tuple([*choices, Annotated[None, tyro.conf.Suppress]])]  # noqa: UP007 (`|` wants them one by one)  # noqa: UP007


def _comparison(accuracy: np.ndarray, epochs: int, reported: paper.Reported | None) -> str:
    spread = f"± {100 * _std(accuracy):.2f} %" if len(accuracy) > 1 else "%"
    rows = [
        (
            "test accuracy",
            f"{100 * accuracy.mean():.2f} {spread}",
            f"{'mean ± std of ' * (len(accuracy) > 1)}{_count(len(accuracy), 'seed')}, after {_count(epochs, 'epoch')}",
        )
    ]
    if reported is not None:
        spread = f"± {reported.std:.2f} %" if reported.std is not None else "%"
        rows.append(("the paper", f"{reported.accuracy:.2f} {spread}", reported.source))
    return "\n".join(f"{name:<14}  {value:<14}  ({note})" for name, value, note in rows)


def _std(accuracy: np.ndarray) -> float:
    """Over seeds, as a sample of all seeds; 0 for one alone."""
    return float(accuracy.std(ddof=1)) if len(accuracy) > 1 else 0.0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)
