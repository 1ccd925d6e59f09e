"""A run's folder: results, history, curves and model, written together or not at all.

Axis letters: S seeds.
"""

import contextlib
import csv
import io
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bep_jax.files import atomic

RESULT, HISTORY, CURVES, MODEL = "result.json", "history.csv", "curves.png", "model.safetensors"
FLAGS = "flags.json"  # what a run was called with, for those who resume it


@contextlib.contextmanager
def reserved(out: str | os.PathLike, name: str | None, usual: str, overwrite: bool = False) -> Iterator[Path]:
    """The folder of a run while it lasts: `reserve`, and `release` at the end.

    Args:
      out, name, overwrite: as for `reserve`.
      usual: begins the name of a run that was given none; the time follows and, where that is taken, a number.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as out, reserved(out, None, "digits") as folder:
      ...     folder.name.startswith("digits-2"), folder.is_dir()
      (True, True)
    """
    if name is None:
        folder = reserve_next(out, f"{usual}-{time.strftime('%Y%m%d-%H%M%S')}")
    else:
        folder = reserve(out, name, overwrite)
    try:
        yield folder
    finally:
        release(folder)


def reserve(out: str | os.PathLike, name: str, overwrite: bool = False) -> Path:
    """Makes the folder ``out/name`` for a run.

    Args:
      out: the folder of all runs; made if need be.
      name: of this run, one part of a path.
      overwrite: whether there may be a run of this name; it stays as it is until `save`.

    Returns:
      The folder; `release` it if nothing came of the run.

    Raises:
      FileExistsError: there is one, and ``overwrite`` is False.
      ValueError: ``name`` is not one part of a path.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as out:
      ...     reserve(out, "first").name
      'first'
    """
    if not re.fullmatch(r"[^/\\\0]+", name) or name in (".", ".."):
        raise ValueError(f"reserve: a run's name must be one part of a path, got {name!r}.")
    folder = Path(out) / name
    if folder.exists() and (not overwrite or not folder.is_dir()):
        hint = "choose another --name, or --overwrite it" if folder.is_dir() else "it is not a folder"
        raise FileExistsError(f"reserve: {folder} exists already; {hint}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Without exist_ok, so that of two processes that start at once only one gets the name.
    folder.mkdir(exist_ok=overwrite)
    return folder


def reserve_next(out: str | os.PathLike, name: str) -> Path:
    """As `reserve`; a name that is taken gets a number: ``name-2``, ``name-3`` and so on."""
    number = 1
    while True:
        try:
            return reserve(out, name if number == 1 else f"{name}-{number}")
        except FileExistsError:
            number += 1


def release(folder: Path) -> None:
    """Removes the folder if nothing came of the run: there is nothing in it but flags."""
    with contextlib.suppress(OSError):
        if [path.name for path in folder.iterdir()] == [FLAGS]:
            (folder / FLAGS).unlink()
        folder.rmdir()


def save(
    folder: Path,
    result: Mapping[str, Any],
    seeds: Sequence[int],
    history: Mapping[str, np.ndarray],
    curves: bytes | None,
    model: bytes | None = None,
) -> None:
    """Writes a run, over the one that is there: complete, or the old one stays (a full disk, a stopped process).

    Args:
      folder: from `reserve`.
      result: what `json_text` takes.
      seeds: S of them.
      history: name -> ``[S, epochs]``.
      curves: a picture in PNG, or None for none.
      model: from `model_file.to_bytes`, or None for none.
    """
    contents = {HISTORY: history_csv(seeds, history).encode(), RESULT: json_text(result).encode()}
    extra = {CURVES: curves, MODEL: model}
    replace_together(folder, contents | {name: content for name, content in extra.items() if content is not None})
    for name, content in extra.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)  # of another run


def replace_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes several files, all of them in full before the first is put under its name."""
    with atomic.scratch(folder) as temporary:
        for name, content in contents.items():
            atomic.write_atomic(temporary / name, content)
        for name in contents:
            os.replace(temporary / name, folder / name)


def write_json(path: str | os.PathLike, value: Mapping[str, Any]) -> None:
    """Writes a JSON file that is complete or as it was before; makes its folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_atomic(path, json_text(value).encode())


def json_text(value: Mapping[str, Any]) -> str:
    """JSON with NumPy numbers and arrays as plain ones.

    Example:
      >>> json_text({"accuracy": np.array([0.5, 1.0])})
      '{\\n  "accuracy": [0.5, 1.0]\\n}\\n'
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    # Lists of numbers in one line each; a line break never stands inside a string.
    return (
        re.sub(r'\[\n[^][{}"]*\]', lambda m: re.sub(r"\s*\n\s*", " ", m[0]).replace("[ ", "[")[:-2] + "]", text) + "\n"
    )


def history_csv(seeds: Sequence[int], history: Mapping[str, np.ndarray]) -> str:
    """One line a seed and epoch (from 1).

    Example:
      >>> print(history_csv([3], {"accuracy": np.array([[0.5, 0.75]]), "group_size_1": np.array([[15.0, 21.0]])}))
      seed,epoch,accuracy,group_size_1
      3,1,0.5,15
      3,2,0.75,21
      <BLANKLINE>
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["seed", "epoch", *history])
    columns = {name: np.asarray(values).tolist() for name, values in history.items()}
    for i, seed in enumerate(seeds):
        for epoch in range(len(next(iter(columns.values()))[i]) if columns else 0):
            row = [int(v[i][epoch]) if name.startswith("group_size") else v[i][epoch] for name, v in columns.items()]
            writer.writerow([seed, epoch + 1, *row])
    return text.getvalue()


def read_history(path: str | os.PathLike) -> tuple[list[int], dict[str, np.ndarray]]:
    """The seeds, and the history ``[S, epochs]``, that `history_csv` wrote."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    seeds = list(dict.fromkeys(int(row[0]) for row in rows))
    values = np.array([row[2:] for row in rows], np.float64).reshape(len(seeds), -1, len(header) - 2)
    return seeds, {name: values[:, :, i] for i, name in enumerate(header[2:])}


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that reads well as text, too.

    Example:
      >>> print(markdown(("problem", "ours"), [("A", "9.5"), ("B", "10.0")]))
      | problem | ours |
      | ------- | ---: |
      | A       |  9.5 |
      | B       | 10.0 |
    """
    widths = [max(3, *(len(row[i]) for row in (header, *rows))) for i in range(len(header))]
    first, *others = widths
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in others)]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))]
        return "| " + " | ".join(cells) + " |"

    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def std(values: np.ndarray) -> float:
    """Standard deviation over seeds, as a sample of all seeds; 0 for one alone.

    Example:
      >>> std(np.array([0.5, 0.75, 1.0])), std(np.array([0.5]))
      (0.25, 0.0)
    """
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def environment() -> dict[str, Any]:
    """Versions and the machine, as far as they bear on results and timings."""
    devices = jax.devices()
    return {
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in ("bep_jax", "jax", "jaxlib", "optax", "numpy")},
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
            "backend": jax.default_backend(),
            "devices": sorted({device.device_kind for device in devices}),
            "num_devices": len(devices),
        },
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"json_text: cannot write {type(value).__name__}.")
