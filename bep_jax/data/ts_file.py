"""Files of time series: the ``.ts`` format of the UCR and UEA archives, labelled or not.

A header of lines ``@tag value``, then ``@data``, then a series a line: channels separated by colons, their values by
commas, the label last. ``#`` begins a comment line. Missing values are ``?`` or NaN.

Axis letters: n series, T time, F channels.

Source: https://www.aeon-toolkit.org/en/stable/api_reference/file_specifications/ts.html.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bep_jax.data import files

SUFFIX = ".ts"


class SeriesFile(NamedTuple):
    """What a file holds."""

    series: list[np.ndarray]  # n series, float64 [T_i, F]
    labels: list[str | None]  # n labels, spelt as in the header; None where a series has none
    lines: list[int]  # n line numbers


class _Header(NamedTuple):
    names: dict[str, str]  # what a label may be in lower case: as the header spells it; empty: no labels
    channels: int | None  # as stated
    equal: bool
    data: int  # the line of @data


def read_ts(path: str | os.PathLike, who: str = "load") -> SeriesFile:
    """Reads a ``.ts`` file.

    Args:
      path: the file.
      who: begins the messages of errors.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: not such a file, damaged, or of a kind that is not supported; the message names file and line.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "x.ts").write_text("@classLabel true up down\\n@data\\n1,2,?:up\\n3,2:down\\n")
      ...     found = read_ts(f"{folder}/x.ts")
      >>> [series.shape for series in found.series], found.labels
      ([(3, 1), (2, 1)], ['up', 'down'])
    """
    return parse_ts(files.read(Path(path), who), Path(path), who)


def parse_ts(content: bytes, path: Path, who: str) -> SeriesFile:
    """What the content of a ``.ts`` file says; ``path`` and ``who`` are for messages."""
    text, _ = files.text(content, path, who, "no .ts file")
    lines = text.splitlines()
    header = _header(lines, f"{who}: {path}")
    found = SeriesFile([], [], [])
    channels = header.channels
    for number, line in enumerate(lines[header.data :], header.data + 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{who}: {path}, line {number}"
        if line.startswith("("):
            raise ValueError(f"{where} has time stamps, which are not supported; write values alone.")
        parts = line.split(":")
        label = None
        if header.names and len(parts) != channels:
            label = _label(parts.pop().strip(), header.names, where)
        if channels is None:
            channels = len(parts)
        if len(parts) != channels or not parts:
            labelled = " and a label" if header.names else ""
            raise ValueError(
                f"{where} is truncated or of another kind: wanted {channels or 1} channels{labelled}, separated by "
                f"colons, got {len(parts)}."
            )
        found.series.append(_series(parts, where))
        found.labels.append(label)
        found.lines.append(number)
        if header.equal and len(found.series[-1]) != len(found.series[0]):
            raise ValueError(
                f"{where} has {len(found.series[-1])} steps, the first series {len(found.series[0])}; series of "
                "unequal length need '@equalLength false' in the header."
            )
    if not found.series:
        raise ValueError(f"{who}: {path} holds no series.")
    return found


def _header(lines: list[str], where: str) -> _Header:
    names: list[str] = []
    channels, equal = None, False
    for number, line in enumerate(lines, 1):
        tag, *values = line.split() or [""]
        match tag.lower(), values[0].lower() if values else "":
            case "@timestamps", "true":
                raise ValueError(
                    f"{where}, line {number}: has time stamps, which are not supported; write values alone."
                )
            case "@targetlabel", "true":
                raise ValueError(f"{where}, line {number}: a regression problem (@targetlabel true); wanted classes.")
            case "@classlabel", "true":
                names = values[1:]
            case "@univariate", "true":
                channels = 1
            case (("@dimension" | "@dimensions"), count):
                if not count.isdecimal() or not int(count):
                    raise ValueError(f"{where}, line {number}: {tag} must be a number of channels, got {count!r}.")
                channels = int(count)
            case "@equallength", "true":
                equal = True
            case "@data", _:
                if len(set(names)) < len(names):
                    raise ValueError(f"{where} names a class twice: {', '.join(names)}.")
                # Files may spell labels in other cases than their headers do.
                spelt = {name.lower(): name for name in names} | {name: name for name in names}
                return _Header(spelt, channels, equal, number)
    raise ValueError(f"{where} is no .ts file: it has no '@data' line.")


def _label(text: str, names: dict[str, str], where: str) -> str | None:
    if text in ("", "?") and text not in names:
        return None
    found = names.get(text, names.get(text.lower()))
    if found is None:
        raise ValueError(
            f"{where} has the class {text[:40]!r}, the header names {', '.join(sorted(set(names.values())))}."
        )
    return found


def _series(parts: list[str], where: str) -> np.ndarray:
    """float64 ``[T, F]``."""
    channels = [_values(part, where) for part in parts]
    lengths = [len(channel) for channel in channels]
    if len(set(lengths)) > 1:
        raise ValueError(f"{where} has channels of different lengths: {lengths}.")
    return np.stack(channels, axis=1)


def _values(part: str, where: str) -> np.ndarray:
    fields = part.split(",")
    if "?" in part:
        fields = ["nan" if field.strip() == "?" else field for field in fields]
    try:
        return np.array(fields, np.float64)
    except ValueError:
        wrong = next(field for field in fields if not _is_number(field))
        raise ValueError(f"{where}: {wrong.strip()[:40]!r} is no number.") from None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
