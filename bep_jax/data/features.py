"""Features and labels in a NumPy ``.npz`` file: what another network, or any preprocessing of yours, computed.

The file holds ``train_x``, ``train_y``, ``test_x`` and ``test_y``, and may hold ``classes``.

Axis letters: n samples, T time, F features.
"""

import os
from pathlib import Path

import numpy as np

from bep_jax.data import files
from bep_jax.data.dataset import Parts
from bep_jax.data.labels import class_indices, index_labels, read_labels
from bep_jax.data.numpy_files import read_npz

SUFFIX = ".npz"
_NAMES = ("train_x", "train_y", "test_x", "test_y")


def load_npz(name: str, data_dir: str | os.PathLike | None) -> Parts:
    """Reads a file of features; nothing in it is ever run.

    Args:
      name: its path, as it is or inside ``data_dir``.
      data_dir: as for `load`.

    Returns:
      `Parts`: features ``[n, F]`` or series ``[n, T, F]``.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged, an array is missing, or their shapes do not fit.
    """
    path = files.find(name, data_dir)
    arrays = read_npz(files.read(path, "load"), path, "load")
    missing = [key for key in _NAMES if key not in arrays]
    if missing:
        raise ValueError(f"load: {path} lacks {', '.join(missing)}; wanted {', '.join(_NAMES)}.")
    train_x, train_y, test_x, test_y = (arrays[key] for key in _NAMES)
    for x, y, part in ((train_x, train_y, "train"), (test_x, test_y, "test")):
        if x.ndim not in (2, 3) or y.shape != x.shape[:1] or 0 in x.shape or x.dtype.kind not in "fiub":
            raise ValueError(
                f"load: {path}: {part}_x must be numbers [n, F] or [n, T, F] and {part}_y labels [n], got {x.dtype} "
                f"{x.shape} and {y.shape}."
            )
    if train_x.shape[1:] != test_x.shape[1:]:
        raise ValueError(f"load: {path}: train_x and test_x differ in {train_x.shape[1:]} and {test_x.shape[1:]}.")
    train_labels, test_labels = (
        read_labels(y, f"load: {path}", part) for y, part in ((train_y, "train_y"), (test_y, "test_y"))
    )
    if "classes" not in arrays:
        found, (train_index, test_index) = index_labels(train_labels, test_labels, who=f"load: {path}")
        return Parts(train_x, train_index, test_x, test_index, found)
    names = _names(arrays["classes"], path)
    train_index, test_index = (class_indices(labels, names, f"load: {path}") for labels in (train_labels, test_labels))
    return Parts(train_x, train_index, test_x, test_index, names)


def _names(classes: np.ndarray, path: Path) -> tuple[str, ...]:
    if classes.ndim != 1 or len(classes) < 2:
        raise ValueError(f"load: {path}: classes must be at least two names, [C], got {classes.dtype} {classes.shape}.")
    names = tuple(map(str, read_labels(classes, f"load: {path}", "classes")))
    if len(set(names)) < len(names):
        raise ValueError(f"load: {path}: classes names one class twice: {', '.join(names)}.")
    return names
