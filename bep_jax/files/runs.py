"""What is in a run's folder: results, history, curves and model, written together or not at all.

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
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bep_jax.files import atomic

RESULT, HISTORY, CURVES, MODEL = "result.json", "history.csv", "curves.png", "model.safetensors"


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
      folder: of `folders.reserved`.
      result: what `json_text` takes.
      seeds: S of them.
      history: name -> ``[S, epochs]``.
      curves: a picture in PNG, or None for none.
      model: from `model_file.to_bytes`, or None for none.
    """
    contents = {CURVES: curves, MODEL: model, HISTORY: history_csv(seeds, history).encode()}
    atomic.replace_together(folder, contents | {RESULT: json_bytes(result)})


def write_json(path: str | os.PathLike, value: Mapping[str, Any]) -> None:
    """Writes a JSON file that a user named, complete or as it was before; makes its folder if need be."""
    atomic.make_folder(Path(path).parent)
    atomic.write_output(path, json_bytes(value))


def json_bytes(value: Mapping[str, Any]) -> bytes:
    r"""`json_text` in UTF-8; names of files that are no text, which Python holds as lone surrogates, are escaped.

    Example:
      >>> json_bytes({"data_dir": "\udcff"})
      b'{\n  "data_dir": "\\udcff"\n}\n'
    """
    return re.sub(r"[\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", json_text(value)).encode()


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
