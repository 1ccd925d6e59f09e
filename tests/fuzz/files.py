"""Damaged files of every format that is read."""

import contextlib
import functools
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import bep_jax as bep
from bep_jax.commands import cli
from bep_jax.export.model_file import load
from bep_jax.export.predict import read_samples, scores
from fuzz.commands import command
from fuzz.samples import Files
from fuzz.strange import damaged


class Format(NamedTuple):
    """A kind of file: where a good one is, and what reads it."""

    name: str
    path: Callable[[], str]
    read: Callable[[str], Any]


def formats() -> list[Format]:
    """Every format that is read."""
    files = Files()
    out = f"{files.folder}/runs"
    flags = ["--dataset", files.table, "--label", "y", "--widths", "15"]
    train = ["train", *flags, "--epochs", "2", "--seeds", "1", "--out", out, "--name", "r", "--no-progress"]
    tune = ["tune", *flags, "--epochs", "1", "--minutes", "0.001", "--out", f"{out}/t", "--no-progress"]

    table = ["reproduce", "table3", "--problems", "W", "--data-dir", files.folder, "--windows", "4", "--bits", "2"]
    table += ["--folds", "2", "--runs", "1", "--epochs", "1", "--batches", "2", "--state-width", "9", "--output-width"]
    table += ["15", "--group-size", "3", "--out", f"{out}/b"]

    @functools.cache
    def made(name: str) -> str:
        """A file of a run, or of a search, which is made when it is first asked for."""
        if not Path(out, name).exists():
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                assert cli.main({"r": train, "t": tune, "b": table}[name[0]]) == 0
        return f"{out}/{name}"

    def predicted(model: str) -> Callable[[str], Any]:
        saved = functools.cache(load)
        return lambda path: scores(saved(model), read_samples(Path(path), saved(model)).x[:50])

    found = [
        Format("model", lambda: files.model, load),
        Format("model of series", lambda: files.series_model, load),
        Format("model of images", lambda: files.image_model, load),
        Format("csv", lambda: files.table, lambda path: bep.datasets.load(path, label="y")),
        Format("csv to predict", lambda: files.table, predicted(files.model)),
        Format("npz", lambda: files.npz, bep.datasets.load),
        Format("npy", lambda: files.npy, predicted(files.model)),
        Format("ts", lambda: files.series, lambda path: bep.datasets.load("ucr/W", data_dir=files.folder)),
        Format("ts to predict", lambda: files.series, predicted(files.series_model)),
        Format("idx.gz", lambda: files.zipped_images, predicted(files.image_model)),
        Format(
            "state of a device",
            lambda: files.state,
            lambda path: bep.load_c_state(bep.load(files.model).model, Path(path).read_bytes()),
        ),
        Format("idx", lambda: files.images, predicted(files.image_model)),
    ]
    resume = ["train", "--out", out, "--name", "r", "--resume", "--no-progress"]
    for name in ("checkpoint.safetensors", "flags.json", "history.csv", "result.json"):
        path = functools.partial(made, f"r/{name}")
        found.append(Format(f"run's {name}", path, lambda path: command(resume)))
    found.append(Format("search's tune.jsonl", lambda: made("t/tune.jsonl"), lambda path: command(tune)))
    found.append(Format("table's results.jsonl", lambda: made("b/results.jsonl"), lambda path: command(table)))
    return found


def spoil(one: Format, seed: int) -> Callable[[], Any]:
    """Reads a damaged file; the good one is there again afterwards."""
    path = Path(one.path())
    content = path.read_bytes()
    spoilt = damaged(content, random.Random(f"{one.name} {seed}"))

    def read() -> Any:
        # The folder of a run as it was: what reads it may write.
        before = (
            {path: path.read_bytes() for path in path.parent.iterdir() if path.is_file()} if "'s " in one.name else {}
        )
        path.write_bytes(spoilt)
        try:
            return one.read(str(path))
        finally:
            for place, old in (before or {path: content}).items():
                place.write_bytes(old)

    return read
