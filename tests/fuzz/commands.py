"""Command lines with strange values, flags that do not belong and words too many."""

import contextlib
import io
import random

from bep_jax.commands import cli
from fuzz.samples import Files


def command(args: list[str]) -> None:
    """A command in this process; a ValueError where it ends as no command may."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = cli.main(args)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    if code not in (0, 1, 2, 130) or "Traceback" in said.getvalue():
        raise RuntimeError(f"ended with {code}: {said.getvalue()[-300:]}")
    if code and not said.getvalue().strip():
        raise RuntimeError(f"ended with {code} and no word")


def draw_command(files: Files, seed: int) -> list[str]:
    """A command line with one or two strange values, flags that do not belong, or words too many."""
    pick = random.Random(f"command {seed}")
    small = ["--epochs", "1", "--no-progress", "--widths", "15", "--out", "runs"]
    table = ["--dataset", files.table, "--label", "y"]
    series = ["--dataset", "ucr/W", "--data-dir", files.folder]
    images = ["--dataset", "digits", "--model", "conv", "--filters", "5", "3", "2"]
    good = {
        "train": [*pick.choice((table, series, ["--dataset", files.npz])), *small, "--seeds", "1"],
        "train-conv": [*images, *small, "--seeds", "1"],
        "tune": [*table, "--epochs", "1", "--minutes", "0.001", "--widths", "15", "--out", "tuned", "--no-progress"],
        "compare": [*table, *small, "--methods", "bep", "random-features", "--seeds", "1"],
        "predict": ["--model", files.model, "--input", files.table],
        "evaluate": ["--model", files.model, "--input", files.table],
        "summary": ["--model", files.model],
        "export": ["--model", files.model],
    }
    kind = pick.choice(sorted(good))
    args = list(good[kind])
    for _ in range(pick.choice((1, 1, 2))):
        flag, value = pick.choice(_FLAGS), pick.choice(_VALUES)
        way = pick.random()
        if way < 0.6:
            args += [flag, *([] if value is None else [value])]
        elif way < 0.8:
            at = pick.randrange(len(args))
            args[at] = value if value is not None else flag
        elif way < 0.9:
            del args[pick.randrange(len(args))]
        else:
            args.insert(pick.randrange(len(args)), value or flag)
    name = kind.partition("-")[0]
    return [name, *args, *_SHORT.get(name, [])]


# Given last, so that nothing runs for long.
_SHORT = {"train": ["--epochs", "1"], "tune": ["--minutes", "0.001", "--epochs", "1"], "compare": ["--epochs", "1"]}
_FLAGS = (
    "--margin", "--gate", "--group-size", "--reinforcement", "--hidden-bits", "--band", "--scale",
    "--batch-size", "--seeds", "--seed", "--validation", "--patience", "--stop-after", "--keep",
    "--class-weight", "--shift", "--mirror", "--widths", "--filters", "--model", "--state-width",
    "--output-width", "--horizon", "--patterns", "--gated-update", "--window", "--input-bits", "--width",
    "--whole", "--expand", "--split", "--fold", "--folds", "--label", "--test", "--test-fraction", "--dataset",
    "--data-dir", "--out", "--name", "--resume", "--overwrite", "--json", "--devices", "--hidden", "--from",
    "--methods", "--input", "--ensemble", "--network", "--scores", "--prefix", "--learn", "--float32",
    "--format", "--noise", "--inputs", "--classes", "--samples", "--minutes", "--help", "--version",
    "--progress", "--no-such",
)  # fmt: skip
_VALUES = (
    *("0", "1", "-1", "2", "1.5", "-0.5", "nan", "inf", "-inf", "1e300", "1e-300", "1000000000", "9" * 19, "9" * 40),
    *("", " ", "-", "--", "x", "None", "True", "auto", "best", "balanced", "conv", "rnn", "mlp", "ünï", "a\nb"),
    *("\udcff", "/", ".", "/dev/full", "/dev/null", "missing/x", "../x", "a:b", "[1]", "1,2", "0x10", "1_000"),
    *("x" * 300, None, None),
)  # fmt: skip
