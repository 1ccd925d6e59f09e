"""Time series: problems of the UCR/UEA archive, and your own, from ``.ts`` files.

A problem ``Name`` is two files, ``Name_TRAIN.ts`` and ``Name_TEST.ts``, in ``ucr/Name/``, ``Name/`` or directly in the
data folder; `bep_jax.data.ts_file` reads them.

Axis letters: n series, T time, F channels.

Source: https://www.timeseriesclassification.com.
"""

import io
import os
import re
import shutil
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bep_jax.data import files
from bep_jax.data.dataset import Parts, last_steps, window_length
from bep_jax.data.folds import assign_folds
from bep_jax.data.labels import index_labels
from bep_jax.data.ts_file import read_ts
from bep_jax.files import atomic

PREFIX = "ucr/"
_SOURCE = "https://www.timeseriesclassification.com/dataset.php"
_ARCHIVE = "https://timeseriesclassification.com/aeon-toolkit"  # a zip file a problem
_SECONDS = 60.0  # without an answer


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
    (train, train_labels), (test, test_labels) = (labelled(path) for path in paths)
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


def labelled(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Series and labels of a file in which every series has one."""
    found = read_ts(path)
    labels = [label for label in found.labels if label is not None]
    if not labels:
        raise ValueError(f"load: {path} has no labels: no '@classLabel true <names>' line, or no series names a class.")
    if len(labels) < len(found.labels):
        line = found.lines[found.labels.index(None)]
        raise ValueError(f"load: {path}, line {line}: the series has no label; leave out series without one.")
    return found.series, labels


def _find(problem: str, folder: Path) -> tuple[Path, Path] | None:
    for place in (folder / "ucr" / problem, folder / problem, folder):
        train, test = place / f"{problem}_TRAIN.ts", place / f"{problem}_TEST.ts"
        if train.is_file() and test.is_file():
            return train, test
    return None


def _download(name: str, problem: str, folder: Path) -> None:
    """Fetches a problem from the archive, reads it as a check, then writes both files into place."""
    paths = [folder / f"{problem}_{part}.ts" for part in ("TRAIN", "TEST")]
    made = not folder.exists()
    try:
        with zipfile.ZipFile(io.BytesIO(_fetch(f"{_ARCHIVE}/{problem}.zip"))) as archive:
            members = {Path(member).name: member for member in archive.namelist()}
            for path in paths:
                if path.name not in members:
                    raise ValueError(f"the download holds no {path.name}")
            contents = [archive.read(members[path.name]) for path in paths]
        with atomic.scratch(folder.parent) as temporary:
            for path, content in zip(paths, contents, strict=True):
                (temporary / path.name).write_bytes(content)
                labelled(temporary / path.name)
            folder.mkdir(exist_ok=True)
            for path, content in zip(paths, contents, strict=True):
                atomic.write_atomic(path, content)
    except Exception as error:  # whatever a network, a server or a disk can do: the way out is the same
        if made and folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder)
        raise files.missing(name, paths, f"{_SOURCE}?Dataset={problem}", error) from error


def _fetch(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"User-Agent": "bep_jax"})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return answer.read()
