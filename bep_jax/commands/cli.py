"""The command line: ``python -m bep_jax train`` and its like, of `bep_jax.commands`, read by tyro."""

import dataclasses
import importlib
import importlib.util
import io
import math
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Annotated, Any, Union

import tyro

from bep_jax.commands.compare import Compare
from bep_jax.commands.evaluate import Evaluate
from bep_jax.commands.flags import RENAMED
from bep_jax.commands.saved import Describe, Export, Predict
from bep_jax.commands.train import Train
from bep_jax.commands.tune import Tune
from bep_jax.kernels.checks import INT32_MAX

COMMANDS: dict[str, type] = {
    "train": Train,
    "tune": Tune,
    "compare": Compare,
    "predict": Predict,
    "evaluate": Evaluate,
    "summary": Describe,
    "export": Export,
}

_RENAMED: dict[str, Mapping[str, str]] = {
    **dict.fromkeys(("train", "tune", "compare"), RENAMED),
    "predict": {"--output": "--out, the file that predictions go to"},
}
_DESCRIPTION = """Binary Error Propagation: neural networks with binary weights, trained by binary error signals.

  python -m bep_jax train
  python -m bep_jax train --dataset fashion-mnist --split paper --gate 0.2
  python -m bep_jax train --dataset ucr/ItalyPowerDemand --window 8 --input-bits 10
  python -m bep_jax train --name NAME --resume
  python -m bep_jax tune --dataset fashion-mnist --minutes 5
  python -m bep_jax compare --dataset fashion-mnist --methods bep local-rule qat
  python -m bep_jax predict --model runs/NAME/model.safetensors --input images.npy
  python -m bep_jax evaluate --model runs/NAME/model.safetensors --input labelled.csv
  python -m bep_jax summary --model runs/NAME/model.safetensors
  python -m bep_jax export --model runs/NAME/model.safetensors --format c --out model.h"""


def main(args: Sequence[str] | None = None) -> int:
    """Reads the flags and runs the command.

    Args:
      args: without the program's name; by default those of the process.

    Returns:
      The exit status: 0, 1 where something could not be read or written, 2 for a mistake in the flags or data, 130
      after Ctrl-C. A mistake is one line on stderr; anything else that goes wrong is a traceback.
    """
    args = list(sys.argv[1:] if args is None else args)
    _settle_streams()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            command = _read(args)
            _check_numbers(command, *args[:1])
            command.run()
    except KeyboardInterrupt as interrupt:
        print("; ".join(["interrupted", *map(str, interrupt.args)]), file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        print(f"error: out of memory: {error}", file=sys.stderr)
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


def _read(args: Sequence[str]) -> Any:
    """The command that is called, with its flags."""
    if args[:1] == ["--version"]:
        return _Version()
    _check_spellings(args)
    command = _parsed(args, COMMANDS)
    if isinstance(command, Train) and command.output.resume:
        # Read again with the stored flags for defaults, so that a flag that is given is given, whatever its value.
        command = _parsed(args, {**COMMANDS, "train": command.recalled()})
    return command


def _check_numbers(command: Any, who: str = "") -> None:
    """Raises a ValueError for a number that no flag can mean, by the name of the flag; ranges are the commands' own."""
    if not dataclasses.is_dataclass(command):
        return
    for field in dataclasses.fields(command):
        value, flag = getattr(command, field.name), f"--{field.name.replace('_', '-')}"
        _check_numbers(value, who)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"{who}: {flag} must be a finite number, got {number}.")
            if isinstance(number, int) and number > INT32_MAX:
                raise ValueError(f"{who}: {flag} must be at most {INT32_MAX:,}, got {number}.")
            if who == "reproduce" and isinstance(number, int | float) and number < 0:
                raise ValueError(f"{who}: {flag} must be at least 0, got {number}.")


def _check_spellings(args: Sequence[str]) -> None:
    """Raises a ValueError for a flag of old: what it is called now."""
    renamed = _RENAMED.get(args[0], {}) if args else {}
    for flag in (arg.split("=")[0] for arg in args):
        if flag in renamed:
            raise ValueError(f"{args[0]}: there is no {flag}; write {renamed[flag]}.")


def _parsed(args: Sequence[str], commands: Mapping[str, Any]) -> Any:
    return tyro.cli(
        _choice(args, commands),
        prog="python -m bep_jax",
        description=_DESCRIPTION,
        args=args,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )


def _settle_streams() -> None:
    """Makes standard output and error something that can always be written to."""
    # Where 1 or 2 is closed, the next file to be opened would get its number, and what is printed.
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors="replace"))  # noqa: SIM115 (for as long as we live)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal or a log that is not UTF-8


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"warning: {message}", file=sys.stderr)


class _Version:
    """What ``--version`` prints."""

    def run(self) -> None:
        print(f"bep_jax {metadata.version('bep_jax')}", flush=True)


def _choice(args: Sequence[str], commands: Mapping[str, Any]) -> Any:
    """The type that tyro reads: one dataclass a command. Those of `bep_jax.reproduce` are imported when called."""
    commands = dict(commands)
    if importlib.util.find_spec("bep_jax.reproduce.all") is not None:
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
    commands = importlib.import_module("bep_jax.reproduce.all").COMMANDS
    group = dataclasses.make_dataclass("Reproduce", [("command", _one_of(commands))], bases=(_Group,), frozen=True)
    group.__doc__ = _Reproduce.__doc__
    return group


def _one_of(commands: Mapping[str, Any]) -> Any:
    """A union of commands: types, or one with defaults of its own."""
    choices = [
        Annotated[command, tyro.conf.subcommand(name)]
        if isinstance(command, type)
        else Annotated[type(command), tyro.conf.subcommand(name, default=command)]
        for name, command in commands.items()
    ]
    # A union of one type is that type, and no subcommand: None, which is not shown, keeps it one.
    return Union[tuple([*choices, Annotated[None, tyro.conf.Suppress]])]  # noqa: UP007 (`|` wants them one by one)
