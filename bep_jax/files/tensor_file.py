"""Safetensors files that say what they are and are refused when damaged. Reading one runs no code.

The metadata are JSON under one key: format version, SHA-256 of everything else, and a description of the tensors.
safetensors is imported where a file is written or read: training in memory does without it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_COVERED = 5  # the first version that is part of its checksum: one bit makes 4 of 5


class Format(NamedTuple):
    """A kind of file."""

    key: str  # of its metadata
    version: int  # what is written; all from 1 up to it are read
    what: str  # for errors: "model from bep.save"


def dumps(format: Format, tensors: Mapping[str, np.ndarray], about: Any) -> bytes:
    """The content of a file; equal arguments give equal bytes.

    Args:
      format: what to write.
      tensors: arrays of plain numbers by name.
      about: a description that JSON can hold.

    Example:
      >>> words = Format("words", 1, "list of words")
      >>> loads(words, dumps(words, {"a": np.array([7])}, {"of": "one"}), Path("a.safetensors"), "read")
      ({'a': array([7])}, {'of': 'one'})
    """
    import safetensors.numpy

    tensors = {name: _little_endian(a) for name, a in tensors.items()}
    # All metadata under one key: safetensors writes several in a random order.
    metadata = {"version": format.version, "sha256": digest(tensors, about, format.version), "about": about}
    return safetensors.numpy.save(tensors, {format.key: json.dumps(metadata)})


def loads(format: Format, content: bytes, path: Path, who: str) -> tuple[dict[str, np.ndarray], Any]:
    """Tensors and description of a file that is of this format, of a version that we read, and undamaged.

    Raises:
      ValueError: it is not; the message begins with ``who`` and names ``path``.
    """
    import safetensors.numpy

    try:
        safetensors.deserialize(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"{who}: {path} is no safetensors file, or is damaged or truncated: {error}.") from error
    # Null stands for no metadata: safetensors reads it, too.
    text = (header.get("__metadata__") or {}).get(format.key)
    if text is None:
        raise ValueError(
            f"{who}: {path} is a safetensors file, but no {format.what}: no {format.key!r} in its metadata."
        )
    try:
        metadata = json.loads(text)
        version, stated, about = int(metadata["version"]), metadata["sha256"], metadata.get("about")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{who}: {path} is damaged: its metadata do not read ({error}).") from error
    if not 1 <= version <= format.version:
        raise ValueError(
            f"{who}: {path} has format version {version}, this bep_jax reads 1 to {format.version}"
            + ("; a newer bep_jax reads it." if version > format.version else ".")
        )
    try:
        tensors = safetensors.numpy.load(content)
        found = digest(tensors, about, version)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{who}: {path} is damaged: its tensors do not read ({error}).") from error
    if found != stated:
        raise ValueError(f"{who}: {path} is damaged: its checksum is {found[:16]}…, it states {str(stated)[:16]}….")
    return tensors, about


def digest(tensors: Mapping[str, np.ndarray], about: Any, version: int) -> str:
    """SHA-256 over the description and every tensor with its name, dtype and shape; from 5 on the version, too."""
    state = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    if version >= _COVERED:
        state.update(f"\nversion {version}\n".encode())
    for name, a in sorted(tensors.items()):
        state.update(f"\n{name} {a.dtype.str} {a.shape}\n".encode())
        state.update(np.ascontiguousarray(a).data)
    return state.hexdigest()


def _little_endian(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a, a.dtype.newbyteorder("<"))
