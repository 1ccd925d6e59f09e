"""Time series: problems of the UCR/UEA archive, and your own, from ``.ts`` files.

A problem ``Name`` is two files, ``Name_TRAIN.ts`` and ``Name_TEST.ts``, in ``ucr/Name/``, ``Name/`` or directly in the
data folder. aeon reads them: univariate or multivariate, of equal or unequal length, missing values as NaN or ``?``.

Axis letters: n series, T time, F channels.

Source: https://www.timeseriesclassification.com.
"""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bep_jax.data import files
from bep_jax.data.dataset import Parts, index_labels, last_steps, window_length
from bep_jax.data.folds import assign_folds
from bep_jax.files import atomic

PREFIX = "ucr/"
_SOURCE = "https://www.timeseriesclassification.com/dataset.php"


class Problem(NamedTuple):
    """Both files of a problem."""

    train: list[np.ndarray]  # n series, float64 [T_i, F]
    train_y: np.ndarray  # int32 [n]
    test: list[np.ndarray]  # like train
    test_y: np.ndarray  # int32 [n]
    classes: tuple[str, ...]


def load_problem(name: str, data_dir: str | os.PathLike | None) -> Problem:
    """Reads, or first downloads, the problem ``name``, such as "ucr/ItalyPowerDemand"."""
    problem = name.removeprefix(PREFIX)
    if not re.fullmatch(r"\w[\w.+-]*", problem):
        raise ValueError(f"load: {name!r} names no problem; wanted ucr/<Problem>, for example ucr/ItalyPowerDemand.")
    paths = _find(problem, files.root(data_dir))
    if paths is None:
        _download(name, problem, files.root(data_dir) / "ucr" / problem)
        paths = _find(problem, files.root(data_dir))
        assert paths is not None
    (train, train_labels), (test, test_labels) = (read_ts(path) for path in paths)
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(f"load: {paths[0]} has {train[0].shape[1]} channels, {paths[1]} {test[0].shape[1]}.")
    classes, (train_y, test_y) = index_labels(train_labels, test_labels, who=f"load: {name!r}")
    return Problem(train, train_y, test, test_y, classes)


def split_problem(problem: Problem, window: int | None, fold: int | None, folds: int, seed: int) -> Parts:
    """The archive's split, or with ``fold`` one fold of both files together; series cut to their last window."""
    length = window_length(window, [*problem.train, *problem.test], "load")
    train, test = last_steps(problem.train, length), last_steps(problem.test, length)
    if fold is None:
        return Parts(train, problem.train_y, test, problem.test_y, problem.classes)
    x, y = np.concatenate([train, test]), np.concatenate([problem.train_y, problem.test_y])
    tested = assign_folds(y, folds, seed) == fold
    return Parts(x[~tested], y[~tested], x[tested], y[tested], problem.classes)


def read_ts(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Reads a ``.ts`` file of classified series.

    Args:
      path: the file.

    Returns:
      The series, float64 ``[T_i, F]``, and their labels, spelt as in the header.

    Raises:
      ImportError: aeon is not installed.
      ValueError: not such a file, damaged, or of a kind that is not supported; the message names the file.
    """
    try:
        from aeon.datasets import load_from_ts_file
    except ImportError as error:
        raise ImportError(f"load: aeon reads .ts files; {files.INSTALL}") from error
    names = _header(path)
    try:
        series, labels, header = load_from_ts_file(str(path), return_meta_data=True)
    except (OSError, ValueError, IndexError) as error:
        reason = re.sub(r"<_io.TextIOWrapper[^>]*>", str(path), str(error))
        raise ValueError(
            f"load: {path} is not a .ts file that aeon reads, or is truncated: {reason} (series of unequal length need "
            "'@equalLength false' in the header)"
        ) from error
    if len(series) == 0:
        raise ValueError(f"load: {path} holds no series.")
    spelt = []
    for label in labels.tolist():
        if label not in names:
            raise ValueError(f"load: {path} has a series of class {label!r}, its header names {list(names.values())}.")
        spelt.append(names[label])
    assert header["classlabel"]
    return [np.ascontiguousarray(one.T) for one in series], spelt


def _header(path: Path) -> dict[str, str]:
    """The class names of a file, under the form in which aeon returns them; says what the library cannot use."""
    names: list[str] = []
    data = False
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                tag, *values = line.split() or [""]
                match tag.lower(), [value.lower() for value in values]:
                    case "@timestamps", ["true", *_]:
                        raise ValueError(f"load: {path} has time stamps, which are not supported; write values alone.")
                    case "@targetlabel", ["true", *_]:
                        raise ValueError(f"load: {path} is a regression problem (@targetlabel true); wanted classes.")
                    case "@classlabel", ["true", *_]:
                        names = values[1:]
                    case "@data", _:
                        data = True
                        break
    except UnicodeDecodeError as error:
        raise ValueError(f"load: {path} is not a .ts file: it is not text ({error}).") from error
    if not data or not names:
        what = "no '@data' line" if not data else "no '@classLabel true <names>' line"
        raise ValueError(f"load: {path} is not a .ts file of classified series: {what}.")
    # aeon returns labels in lower case, and with every "nan" in them as "NaN".
    read = {name.lower().replace("nan", "NaN").replace("?", "NaN"): name for name in names}
    if len(read) < len(names):
        raise ValueError(f"load: {path} names classes that differ in case alone, or twice: {names}.")
    return read


def _find(problem: str, folder: Path) -> tuple[Path, Path] | None:
    for place in (folder / "ucr" / problem, folder / problem, folder):
        train, test = place / f"{problem}_TRAIN.ts", place / f"{problem}_TEST.ts"
        if train.is_file() and test.is_file():
            return train, test
    return None


def _download(name: str, problem: str, folder: Path) -> None:
    """Fetches a problem through aeon into a scratch folder, reads it as a check, then moves it into place."""
    paths = [folder / f"{problem}_{part}.ts" for part in ("TRAIN", "TEST")]
    source = f"{_SOURCE}?Dataset={problem}"
    try:
        from aeon.datasets import load_classification
    except ImportError as error:
        wanted = ", ".join(str(path) for path in paths)
        raise ImportError(f"load: {name!r} wants {wanted} (from {source}); aeon reads them: {files.INSTALL}") from error
    made = not folder.exists()
    try:
        with atomic.scratch(folder.parent) as temporary:
            load_classification(problem, extract_path=str(temporary))
            found = []
            for path in paths:
                place = next(temporary.rglob(path.name), None)
                if place is None:
                    raise ValueError(f"the download holds no {path.name}")
                read_ts(place)
                found.append(place)
            folder.mkdir(exist_ok=True)
            for path, place in zip(paths, found, strict=True):
                atomic.write_atomic(path, place.read_bytes())
    except Exception as error:  # whatever a network, a server or a disk can do: the way out is the same
        if made and folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder)
        raise files.missing(name, paths, source, error) from error
