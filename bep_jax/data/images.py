"""Images: MNIST and Fashion-MNIST from their idx files, and scikit-learn's digits.

Axis letters: n images, F pixels, T slices.

Sources: http://yann.lecun.com/exdb/mnist, https://github.com/zalandoresearch/fashion-mnist.
"""

import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bep_jax.data import encode, files
from bep_jax.data.dataset import Parts
from bep_jax.data.folds import assign_folds
from bep_jax.files import atomic

SPLITS = ("official", "paper")
_SIDE = 28
_TRAINING = 60_000  # images in the training file
_PAPER_TRAIN, _PAPER_TEST = 50_000, 10_000  # both cut from the training file
_STEMS = {
    "train_x": "train-images-idx3-ubyte",
    "train_y": "train-labels-idx1-ubyte",
    "test_x": "t10k-images-idx3-ubyte",
    "test_y": "t10k-labels-idx1-ubyte",
}
_DIGITS = tuple(str(digit) for digit in range(10))
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
# name: (folder, name at OpenML, classes, where the files are to be had)
IDX = {
    "mnist": ("mnist", "mnist_784", _DIGITS, "https://github.com/cvdfoundation/mnist"),
    "fashion-mnist": (
        "fashion_mnist", "Fashion-MNIST", _CLOTHES, "https://github.com/zalandoresearch/fashion-mnist/tree/master/data/fashion",
    ),
}  # fmt: skip


def load_idx(name: str, split: str, data_dir: str | os.PathLike | None) -> Parts:
    """MNIST or Fashion-MNIST, flattened: uint8 ``[n, 784]``, of either split."""
    subfolder, _, classes, _ = IDX[name]
    folder = files.root(data_dir) / subfolder
    wanted = _STEMS if split == "official" else {part: _STEMS[part] for part in ("train_x", "train_y")}
    if not all(_find(folder, stem) for stem in wanted.values()):
        _download(name, folder)
    paths = {part: _find(folder, stem) or folder / stem for part, stem in wanted.items()}
    train_x, train_y = _read_pair(paths["train_x"], paths["train_y"])
    if split == "official":
        test_x, test_y = _read_pair(paths["test_x"], paths["test_y"])
        return Parts(train_x, train_y, test_x, test_y, classes, image_shape=(_SIDE, _SIDE))
    if len(train_y) != _TRAINING:
        raise ValueError(f"load: split='paper' cuts {_TRAINING} images, {paths['train_x']} holds {len(train_y)}.")
    train, test = slice(None, _PAPER_TRAIN), slice(-_PAPER_TEST, None)
    return Parts(train_x[train], train_y[train], train_x[test], train_y[test], classes, image_shape=(_SIDE, _SIDE))


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 8×8 digits: uint8 ``[1797, 64]`` of 0..16, int32 ``[1797]``."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(f"load: 'digits' comes with scikit-learn; {files.INSTALL}") from error
    x, y = load_digits(return_X_y=True)
    return x.astype(np.uint8), y.astype(np.int32)


def split_digits(x: np.ndarray, y: np.ndarray, fold: int | None, folds: int, seed: int) -> Parts:
    """One stratified fold is the test part; without ``fold``, a fifth of the images."""
    assigned = assign_folds(y, folds if fold is not None else 5, seed)
    test = assigned == (fold or 0)
    return Parts(x[~test], y[~test], x[test], y[test], _DIGITS, image_shape=(8, 8))


def slices(parts: Parts, window: int) -> Parts:
    """Every image as ``window`` equal slices of its pixels: ``[n, F]`` to ``[n, T, F / T]``."""
    pixels = parts.train_x.shape[-1]
    if pixels % window:
        raise ValueError(f"load: window={window} must divide the {pixels} pixels of an image into equal slices.")
    return parts._replace(
        train_x=parts.train_x.reshape(-1, window, pixels // window),
        test_x=parts.test_x.reshape(-1, window, pixels // window),
        image_shape=None,
    )


def read_idx(path: Path, ndim: int, who: str = "load") -> np.ndarray:
    """Reads an idx file of unsigned bytes, gzipped or not.

    Args:
      path: the file.
      ndim: the dimensions it must have: 3 for images, 1 for labels.
      who: begins the messages of errors.

    Returns:
      uint8, in the shape that the file states.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: not such a file, truncated, or with bytes left over; the message names the file.
    """
    return parse_idx(files.read(path, who), path, ndim, who)


def parse_idx(content: bytes, path: Path, ndim: int, who: str) -> np.ndarray:
    """The array in the content of an idx file; of a gzipped one no more is unpacked than its header states."""
    packed = content[:2] == b"\x1f\x8b"
    plain = io.BytesIO(content)
    file: io.BufferedIOBase = gzip.GzipFile(fileobj=plain) if packed else plain
    magic = bytes((0, 0, 8, ndim))
    try:
        head = file.read(4 + 4 * ndim)
        if head[:4] != magic:
            raise ValueError(
                f"{who}: {path} is not an idx file of bytes with {ndim} dimensions: it begins with "
                f"{head[:4].hex() or 'nothing'}, not {magic.hex()}."
            )
        if len(head) < 4 + 4 * ndim:
            raise ValueError(f"{who}: {path} is truncated inside its header.")
        shape = struct.unpack_from(f">{ndim}I", head, 4)
        size = math.prod(shape)
        values = _read_at_most(file, size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{who}: {path} is a damaged gzip file ({error}); remove it and load again.") from error
    if len(values) != size:
        state, found = ("truncated", len(values)) if len(values) < size else ("too long", "more")
        raise ValueError(f"{who}: {path} is {state}: its header states {shape}, {size} bytes, it holds {found}.")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_at_most(file: io.BufferedIOBase, size: int) -> bytes:
    """Up to ``size`` bytes, in pieces: a stated size is no reason to allocate it."""
    pieces, left = [], size
    while left and (piece := file.read(min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _find(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def _read_pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if x.shape[1:] != (_SIDE, _SIDE):
        raise ValueError(f"load: {images} holds images of {x.shape[1:]}, wanted {_SIDE}x{_SIDE}.")
    if len(x) != len(y):
        raise ValueError(f"load: {images} holds {len(x)} images, {labels} {len(y)} labels.")
    if len(x) == 0:
        raise ValueError(f"load: {images} holds no images.")
    if y.max() > 9:
        raise ValueError(f"load: {labels} holds a label {y.max()}; wanted 0..9.")
    return x.reshape(len(x), _SIDE * _SIDE), y.astype(np.int32)


def _download(name: str, folder: Path) -> None:
    """Fetches what is missing from OpenML and writes it as idx files."""
    _, remote, _, source = IDX[name]
    paths = [folder / f"{stem}.gz" for stem in _STEMS.values()]
    try:
        from sklearn.datasets import fetch_openml
    except ImportError as error:
        wanted = ", ".join(str(path) for path in paths)
        raise ImportError(
            f"load: {name!r} wants {wanted} (from {source}); downloading them needs scikit-learn: {files.INSTALL}"
        ) from error
    try:
        with atomic.scratch(folder) as temporary:
            x, y = fetch_openml(remote, version=1, data_home=str(temporary), return_X_y=True, as_frame=False)
            x, y = _bytes(x, 255), _bytes(y, 9)
            if x.shape != (_TRAINING + 10_000, _SIDE * _SIDE) or y.shape != x.shape[:1]:
                raise ValueError(f"OpenML's {remote} has shapes {x.shape} and {y.shape}")
            cut = {"train": slice(None, _TRAINING), "test": slice(_TRAINING, None)}
            for part, stem in _STEMS.items():
                if _find(folder, stem) is None:
                    values = (x.reshape(-1, _SIDE, _SIDE) if part.endswith("x") else y)[cut[part[:-2]]]
                    atomic.write_atomic(folder / stem, _to_idx(values))
    except Exception as error:  # whatever a network, a server or a disk can do: the way out is the same
        raise files.missing(name, paths, source, error) from error


def _bytes(values: np.ndarray, most: int) -> np.ndarray:
    numbers = np.asarray(values).astype(np.float64)
    if not np.all((numbers >= 0) & (numbers <= most) & (numbers == np.floor(numbers))):
        raise ValueError(f"OpenML sent values other than 0..{most}")
    return numbers.astype(np.uint8)


def _to_idx(values: np.ndarray) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def fit_drawn(train_x: np.ndarray, edges: Callable[[np.ndarray], encode.Encoder]) -> encode.Encoder:
    """The encoder of images for dense layers: ``edges`` where most of what is drawn is grey, else one bit a pixel.

    Grey is what lies between a tenth and nine tenths of the brightest value, drawn what is above the darkest.
    """
    least, most = float(train_x.min()), float(train_x.max())
    share = (train_x - least) / max(most - least, 1e-9)
    drawn = np.count_nonzero(share)
    if 2 * np.count_nonzero((share > 0.1) & (share < 0.9)) > drawn:
        return edges(train_x)
    return encode.fit_median(train_x)
