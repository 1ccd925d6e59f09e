"""Features and labels in a NumPy ``.npz`` file: what another network, or any preprocessing of yours, computed.

The file holds ``train_x``, ``train_y``, ``test_x`` and ``test_y``, and may hold ``classes``.

Axis letters: n samples, T time, F features.
"""

import os
import zipfile
from pathlib import Path

import numpy as np

from bep_jax.data import files
from bep_jax.data.dataset import Parts, index_labels

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
    path = Path(name) if Path(name).exists() else files.root(data_dir) / name
    if not path.is_file():
        raise FileNotFoundError(f"load: there is no file {name}, and none in {files.root(data_dir)}.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [key for key in _NAMES if key not in archive]
            if missing:
                raise ValueError(f"it lacks {', '.join(missing)}; wanted {', '.join(_NAMES)}")
            train_x, train_y, test_x, test_y = (archive[key] for key in _NAMES)
            classes = archive.get("classes")
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"load: {path} is no file of features: {error}.") from error
    for x, y, part in ((train_x, train_y, "train"), (test_x, test_y, "test")):
        if x.ndim not in (2, 3) or y.shape != x.shape[:1] or 0 in x.shape or x.dtype.kind not in "fiub":
            raise ValueError(
                f"load: {path}: {part}_x must be numbers [n, F] or [n, T, F] and {part}_y labels [n], got {x.dtype} "
                f"{x.shape} and {y.shape}."
            )
    if train_x.shape[1:] != test_x.shape[1:]:
        raise ValueError(f"load: {path}: train_x and test_x differ in {train_x.shape[1:]} and {test_x.shape[1:]}.")
    found, (train_labels, test_labels) = index_labels(train_y.tolist(), test_y.tolist(), who="load")
    if classes is not None:
        if len(classes) < len(found) or not all(label.isdigit() and int(label) < len(classes) for label in found):
            raise ValueError(f"load: {path}: labels must be in 0..{len(classes) - 1}, one for each of its classes.")
        numbers = np.array([int(label) for label in found], np.int32)
        found, train_labels, test_labels = tuple(map(str, classes)), numbers[train_labels], numbers[test_labels]
    return Parts(train_x, train_labels, test_x, test_labels, found)
