"""Arrays of NumPy's files, ``.npy`` and ``.npz``: read whole, or refused by name. Nothing in them is ever run.

What a header states is held against what the file holds before anything is allocated.
"""

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Deflate packs at most 1,032 bytes into one.
_MOST_RATIO = 1032
# What reading a damaged file can end in, other than an array.
_DAMAGE = (
    ValueError, OSError, EOFError, KeyError, IndexError, TypeError, AttributeError, SyntaxError, OverflowError,
    MemoryError, RecursionError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
    tokenize.TokenError,
)  # fmt: skip


def is_npy(content: bytes) -> bool:
    """Whether a file begins as ``.npy`` files do."""
    return content.startswith(b"\x93NUMPY")


def read_npy(content: bytes, path: Path, who: str) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises:
      ValueError: it is none, or damaged; the message begins with ``who`` and names ``path``.
    """
    return _read(lambda: _array(io.BytesIO(content), len(content)), f"{who}: {path} is no .npy file of numbers")


def read_npz(content: bytes, path: Path, who: str) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` file by name, compressed or not.

    Raises:
      ValueError: it is none, or damaged; the message begins with ``who`` and names ``path`` and the member.
    """
    refusal = f"{who}: {path} is no .npz file of arrays"
    if is_npy(content):
        raise ValueError(f"{refusal}: it is an .npy file; write several arrays by np.savez.")
    archive = _read(lambda: zipfile.ZipFile(io.BytesIO(content)), refusal)
    arrays = {}
    with archive:
        for info in archive.infolist():
            where = f"{refusal}, at {info.filename}"
            if info.file_size > _MOST_RATIO * (info.compress_size + 16) or info.compress_size > len(content):
                raise ValueError(f"{where}: it states {info.file_size:,} bytes in {info.compress_size:,}.")

            def member(info: zipfile.ZipInfo = info) -> np.ndarray:
                with archive.open(info) as file:
                    return _array(file, info.file_size)

            arrays[info.filename.removesuffix(".npy")] = _read(member, where)
    return arrays


def _array(file: Any, size: int) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    # NumPy has a public name for the reader of each version of a header but the last, which differs in its encoding.
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format has version {version}")
    shape, fortran, dtype = header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, not numbers")
    count = math.prod(shape)
    if any(length < 0 for length in shape) or count * dtype.itemsize > size:
        raise ValueError(f"its header states {dtype} {shape}, the file has {size:,} bytes")
    content = file.read()
    if len(content) != count * dtype.itemsize:
        state = "truncated" if len(content) < count * dtype.itemsize else "too long"
        raise ValueError(f"it is {state}: {dtype} {shape}, with {len(content):,} bytes")
    return np.frombuffer(content, dtype, count).reshape(shape, order="F" if fortran else "C")


def _read(reading: Callable[[], Any], refusal: str) -> Any:
    try:
        return reading()
    except _DAMAGE as error:
        raise ValueError(f"{refusal}, or is damaged: {error}.") from error
