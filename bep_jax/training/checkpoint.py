"""Checkpoints of training: everything that a run needs to go on to the same bits as if it had never stopped.

One safetensors file in a folder of its own. It holds every array of the run's state by its place in the pytree, keys as
their data with the name of their implementation, and the history; its description holds the configuration, so that no
run goes on from another's state. A new checkpoint takes the place of the last one when it is whole, not before.

Axis letters: S seeds.
"""

import dataclasses
import hashlib
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax.files import atomic, tensor_file
from bep_jax.files.tensor_file import Format

FILE = "checkpoint.safetensors"
_FORMAT = Format("bep_jax.training.checkpoint", 1, "checkpoint from bep.fit")
_HISTORY = "history."
_LEAST_PAUSE = 20  # times what the last checkpoint took: they cost a twentieth of the time at most


class Checkpoints:
    """The checkpoint of one run: read once, then written after epochs.

    Args:
      folder: where it is; made if need be.
      config: all that decides what a run computes, as nested dictionaries of JSON values.
      resume: go on from the checkpoint that is there, if there is one. Otherwise there must be none.

    Raises:
      FileExistsError: there is one, and ``resume`` is False.
      ValueError: it is damaged or foreign, or of another run; what differs is named.
    """

    def __init__(self, folder: str | os.PathLike, config: Mapping[str, Any], resume: bool):
        self._path, self._config = Path(folder) / FILE, config
        self._epoch, self._saved_at, self._cost = 0, -math.inf, 0.0
        self._read: tuple[dict[str, np.ndarray], Any] | None = None
        if self._path.exists():
            if not resume:
                raise FileExistsError(
                    f"fit: {self._path} exists already; go on from it by resume=True, or choose another checkpoint_dir."
                )
            self._read = tensor_file.loads(_FORMAT, self._path.read_bytes(), self._path, "fit")
            self._check_config(self._read[1]["config"])
            self._epoch = self._read[1]["epoch"]
        atomic.make_folder(self._path.parent)
        for left_over in self._path.parent.glob(f".{FILE}.*"):  # of a process that was killed while it wrote
            left_over.unlink()

    @property
    def epoch(self) -> int:
        """Epochs that the checkpoint has seen; 0 where there is none."""
        return self._epoch

    def restore(self, run: Any) -> tuple[Any, dict[str, np.ndarray]]:
        """What a run goes on from: its pytree, and its history, name -> ``[S, epochs]``.

        Args:
          run: the pytree of arrays that a run starts from; gives structure, shapes, dtypes and devices. Returned as it
            is, with an empty history, where there is no checkpoint.

        Raises:
          ValueError: the checkpoint holds other arrays.
        """
        if self._read is None:
            return run, {}
        (tensors, about), self._read = self._read, None
        history = {name: tensors.pop(_HISTORY + name) for name in about["history"]}
        leaves, structure = jax.tree_util.tree_flatten_with_path(run)
        wanted = {_name(path): leaf for path, leaf in leaves}
        if {n: (a.shape, a.dtype) for n, a in tensors.items()} != {n: _kind(leaf) for n, leaf in wanted.items()}:
            raise ValueError(f"fit: {self._path} holds other arrays than this run has; another bep_jax wrote it.")
        loaded = [_like(leaf, tensors[n], about["keys"].get(n)) for n, leaf in wanted.items()]
        return jax.tree_util.tree_unflatten(structure, loaded), history

    def save(self, run: Any, history: Mapping[str, np.ndarray], epoch: int, last: bool = False) -> None:
        """Writes a checkpoint, unless the last one was written just now; ``last=True`` writes it in any case.

        Args:
          run: the pytree of arrays.
          history: name -> ``[S, epochs]``.
          epoch: how many are done.
          last: whether nothing follows.

        Raises:
          OSError: it cannot be written; the one before is kept.
        """
        begun = time.monotonic()
        if epoch == self._epoch or (not last and begun - self._saved_at < _LEAST_PAUSE * self._cost):
            return
        tensors = {_HISTORY + name: values for name, values in history.items()}
        keys = {}
        for path, leaf in jax.tree_util.tree_flatten_with_path(run)[0]:
            name = _name(path)
            if _is_key(leaf):
                keys[name], leaf = str(jax.random.key_impl(leaf)), jax.random.key_data(leaf)
            tensors[name] = np.asarray(leaf)
        about = {"config": self._config, "epoch": epoch, "keys": keys, "history": list(history)}
        try:
            atomic.write_atomic(self._path, tensor_file.dumps(_FORMAT, tensors, about))
        except OSError as error:
            kept = f"the checkpoint of epoch {self._epoch} is kept" if self._epoch else "there is no checkpoint yet"
            raise OSError(error.errno, f"{error.strerror}; {kept}", str(self._path)) from error
        self._epoch, self._saved_at = epoch, time.monotonic()
        self._cost = self._saved_at - begun

    def _check_config(self, config: Any) -> None:
        there, here = dict(_entries(config)), dict(_entries(self._config))
        differing = [name for name in here | there if there.get(name) != here.get(name)]
        if differing:
            told = "; ".join(f"{n} is {_shown(there.get(n))} there, {_shown(here.get(n))} here" for n in differing[:4])
            raise ValueError(f"fit: {self._path} is of another run: {told}.")


def describe(value: Any) -> Any:
    """A dataclass (its fields), a key or a pytree of arrays (every number) as JSON values, for a configuration.

    Example:
      >>> describe({"seeds": np.arange(2)}), describe(jax.random.key(1))
      ({'seeds': [0, 1]}, {'implementation': 'threefry2x32', 'data': [0, 1]})
    """
    if dataclasses.is_dataclass(value):
        # What a repr leaves out decides no number, such as the devices that trained.
        fields = {field.name: repr(getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr}
        return {"kind": type(value).__name__, **fields}
    if _is_key(value):
        data = np.asarray(jax.random.key_data(value)).tolist()
        return {"implementation": str(jax.random.key_impl(value)), "data": data}
    leaves, _ = jax.tree_util.tree_flatten_with_path(value)
    return {_name(path): np.asarray(leaf).tolist() for path, leaf in leaves}


def fingerprint(a: np.ndarray) -> str:
    """Dtype, shape and SHA-256 of an array; of draws that are one and the same, of one of them.

    Example:
      >>> fingerprint(np.zeros((2, 3), np.uint32))[:20]
      'uint32 (2, 3) 9d908e'
    """
    a = np.asarray(a)
    one = a[:1] if a.ndim and a.strides[0] == 0 else a
    return f"{a.dtype} {a.shape} {hashlib.sha256(np.ascontiguousarray(one).data).hexdigest()[:16]}"


def _name(path: Any) -> str:
    """Of a leaf: ``state.params.hidden.0``."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _entries(config: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries, by dotted names."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _entries(value, f"{name}.{key}".lstrip("."))
    else:
        yield name, config


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _kind(leaf: Any) -> tuple[tuple[int, ...], np.dtype]:
    data = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    return tuple(data.shape), np.dtype(data.dtype)


def _like(leaf: Any, loaded: np.ndarray, implementation: str | None) -> Any:
    """On the host or on the devices of ``leaf``; left to JAX where they were, or jit would compile again."""
    if not isinstance(leaf, jax.Array):
        return loaded
    array: jax.Array = jnp.asarray(loaded)
    if implementation is not None:
        array = jax.random.wrap_key_data(array, impl=implementation)
    return jax.device_put(array, leaf.sharding) if leaf.committed else array
