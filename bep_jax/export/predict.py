"""What a saved network says: predictions of new samples, of one network or of several together.

Axis letters: n samples, T time, F features, S seeds, C classes, W = ceil(K / 32) words.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple, cast

import jax
import numpy as np
import numpy.typing as npt

from bep_jax.data import encode, files
from bep_jax.data.columns import Column, Columns
from bep_jax.data.dataset import last_steps, window_length
from bep_jax.data.encode import Encoder, Expansion, first_encoder
from bep_jax.data.images import parse_idx
from bep_jax.data.labels import read_labels
from bep_jax.data.numpy_files import read_npy, read_npz
from bep_jax.data.table_files import labels_of, without
from bep_jax.data.tables import Table, described, parse_table
from bep_jax.data.ts_file import parse_ts
from bep_jax.export.encoder_file import num_features
from bep_jax.export.model_file import Saved
from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_count
from bep_jax.kernels.isolate import jit
from bep_jax.learning import chain
from bep_jax.network.visible import visible
from bep_jax.training import calibration

_BATCH = 256


def num_networks(saved: Saved) -> int:
    """S; 1 where there is no seed axis."""
    classifier = saved.params.classifier
    return classifier.shape[0] if classifier.ndim == 3 else 1


def one_network(saved: Saved, network: int, who: str) -> Saved:
    """One of the networks of a file, with its encoder and without a seed axis.

    Raises:
      ValueError: it is not there; the message begins with ``who``.
    """
    count = num_networks(saved)
    if not 0 <= network < count:
        raise ValueError(f"{who}: there is no network {network}; the file holds {count}, from 0.")
    if saved.params.classifier.ndim == 2:
        return saved
    encoder = saved.encoder[network] if isinstance(saved.encoder, tuple) else saved.encoder
    temperature = None if saved.temperature is None else saved.temperature[network : network + 1]
    params = jax.tree.map(lambda a: np.asarray(a)[network], saved.params)
    return saved._replace(params=params, encoder=encoder, temperature=temperature)


def scores(saved: Saved, x: npt.ArrayLike, network: int | None = None) -> np.ndarray:
    """Class scores of samples as they come, encoded by the file's encoder.

    Args:
      saved: from `load`.
      x: features ``[n, F]``, recurrent ``[n, T, F]``. Where there is no encoder, or one of bits: packed uint32
        ``[n, W]`` (recurrent ``[n, T, W]``), or bool or ±1 integers ``[n, K]`` (``[n, T, K]``).
      network: which of the S networks; None for all, whose scores are summed.

    Returns:
      int32 ``[n, C]``.

    Raises:
      TypeError, ValueError: samples that do not fit, or a network that is not there.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(15,), num_classes=2)
      >>> params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 3))
      >>> saved = Saved(model, params)
      >>> scores(saved, np.ones((4, 6), bool)).shape
      (4, 2)
    """
    x = np.asarray(x)
    if network is not None or num_networks(saved) == 1:
        found = [one_network(saved, network or 0, "predict")]
    elif isinstance(saved.encoder, tuple):
        found = [one_network(saved, i, "predict") for i in range(num_networks(saved))]
    else:
        found = [saved]  # one encoder: all networks in one call
    total = np.zeros((x.shape[0], saved.model.num_classes), np.int32)
    for part in found:
        words, weights = _encoded(part, x), visible(part.model, part.params)
        size = min(_BATCH, x.shape[0])
        for start in range(0, x.shape[0], size):
            batch = words[start : start + size]
            rows = batch.shape[0]
            # Padded, so that there is one shape to compile.
            padded = np.concatenate([batch, np.zeros((size - rows, *batch.shape[1:]), np.uint32)])
            logits = np.asarray(_logits(part.model, weights, padded))
            total[start : start + rows] += logits.reshape(-1, *logits.shape[-2:]).sum(axis=0, dtype=np.int32)[:rows]
    return total


def probabilities(saved: Saved, scores: np.ndarray, network: int | None = None) -> np.ndarray | None:
    """Probabilities of the classes, of what `scores` returned: their softmax over the network's temperature.

    Of several networks together, that of the mean scores over the mean temperature: it is rather too small than too
    large, as networks that agree are surer than each.

    Returns:
      float64 ``[n, C]``; None where the file holds no temperature.
    """
    if saved.temperature is None:
        return None
    if network is not None:
        return calibration.probabilities(scores, saved.temperature[network])
    return calibration.probabilities(scores, sum(saved.temperature))


class Samples(NamedTuple):
    """What a file holds for a network."""

    x: np.ndarray  # in the shape that `scores` takes
    labels: list[Hashable] | None  # n labels, where the file has them for all samples
    notes: tuple[str, ...] = ()  # what was decided while reading, a line each


def read_samples(path: Path, saved: Saved, window: int | None = None, label: str | None = None) -> Samples:
    """The samples of a file, in the shape that `scores` takes, cut as in training, and their labels if it has any.

    Columns of a table are taken by the names that they had in training, in any order. Series are cut to their last T
    steps, shorter ones padded in front with NaN, and read whole where the network has no time axis; images are cut into
    slices of as many pixels as a time step takes.

    Args:
      path: ``.npy``; ``.npz``, the test part; ``.csv`` or ``.tsv``, a table; ``.ts``; ``.idx``, ``.gz``, images. Of
        other names, what the file begins with decides.
      saved: from `load`.
      window: T, in place of the one that the file of the network states.
      label: the column of a table that holds labels; by default the one of training, if the table has it.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a file of another kind, damaged, or with samples that do not fit the model; the message names it.
    """
    who = "predict"
    recurrent = saved.model.recurrent
    if window is not None:
        window = check_count(window, "window", who)
        if not recurrent:
            raise ValueError("predict: --window is for recurrent networks.")
    window = saved.window if window is None else window
    content = files.read(path, who)
    kind = _kind(path, content)
    if kind == "ts":
        if not recurrent and window is None:
            raise ValueError(f"predict: {path} holds time series, the model was not trained on any.")
        found = parse_ts(content, path, who)
        named = [one for one in found.labels if one is not None]
        x = last_steps(found.series, window_length(window, found.series, who))
        x = x if recurrent else x.reshape(x.shape[0], -1)
        return Samples(x, list(named) if len(named) == len(x) else None)
    if kind == "table":
        if recurrent:
            raise ValueError(f"predict: {path} holds a table, the model takes series: .ts or .npy [n, T, features].")
        return _table(parse_table(content, path, _known(saved, label), who), saved, label)
    labels: list[Hashable] | None = None
    if kind == "npz":
        x, labels = _npz(content, path)
    else:
        x = read_npy(content, path, who) if kind == "npy" else parse_idx(content, path, 3, who)
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"predict: {path} must hold samples [n, features], at least one, got shape {x.shape}.")
    if not recurrent:
        x = last_steps(list(x), window) if x.ndim == 3 and window is not None else x
        return Samples(x.reshape(x.shape[0], -1) if x.ndim > 2 else x, labels)
    if kind == "idx":
        return Samples(_slices(path, x.reshape(x.shape[0], -1), _num_features(saved), window), labels)
    if window is None or x.ndim != 3:
        return Samples(x, labels)
    if x.shape[1] < window and num_features(first_encoder(saved.encoder)) is None:
        raise ValueError(f"predict: {path} has {x.shape[1]} time steps of bits, the model takes {window}.")
    return Samples(last_steps(list(x), window), labels)


def _kind(path: Path, content: bytes) -> str:
    """What a file is, by its name, else by its content."""
    named = {".npy": "npy", ".npz": "npz", ".csv": "table", ".tsv": "table", ".ts": "ts", ".idx": "idx", ".gz": "idx"}
    if (kind := named.get(path.suffix.lower())) is not None:
        return kind
    begins = ((b"\x93NUMPY", "npy"), (b"PK", "npz"), (b"\x1f\x8b", "idx"), (b"\0\0", "idx"), (b"@", "ts"), (b"#", "ts"))
    kind = next((kind for mark, kind in begins if content.startswith(mark)), None)
    if kind is None and b"\0" not in content[:4096] and any(map(content[:4096].count, (b",", b";", b"\t"))):
        kind = "table"  # text of several fields a line
    if kind is None or (kind == "npz" and b".npy" not in content[:4096]):  # Excel's files are archives, too
        raise ValueError(f"predict: {path} is of no format that is read: {', '.join(named)}.")
    return kind


def _known(saved: Saved, label: str | None) -> list[str]:
    """Names by which the first line of a table is known for one of names."""
    columns = saved.columns
    names = [] if columns is None else [*(one.name for one in columns.features), columns.label]
    return [name for name in (*names, label) if name]


def _table(table: Table, saved: Saved, label: str | None) -> Samples:
    """Features by the columns of training, else in the order of the file."""
    notes = (described(table), *table.notes)
    wanted = label or (saved.columns.label if saved.columns is not None else None)
    labels: list[Hashable] | None = None
    if wanted is not None and (label is not None or (table.names is not None and wanted in table.names)):
        try:
            labels = labels_of(table, wanted, "predict")
        except ValueError as error:
            if label is not None:
                raise
            notes = (*notes, f"labels are ignored: {str(error).removeprefix('predict: ')}")
        table = without(table, wanted)
    columns = saved.columns
    if columns is None:
        names = table.names or tuple(str(i + 1) for i in range(len(table.columns)))
        columns = Columns(tuple(Column(name) for name in names))
        if len(names) != _num_features(saved):
            raise ValueError(
                f"predict: {table.source} has {len(names)} columns, the model takes {_num_features(saved)} features."
            )
    x, ignored = columns.encode(table, "predict")
    return Samples(x, labels, (*notes, *ignored))


def _npz(content: bytes, path: Path) -> tuple[np.ndarray, list[Hashable] | None]:
    arrays = read_npz(content, path, "predict")
    for x, y in (("test_x", "test_y"), ("x", "y")):
        if x in arrays:
            labels = read_labels(arrays[y], f"predict: {path}", y) if y in arrays else None
            if labels is not None and len(labels) != len(arrays[x]):
                raise ValueError(
                    f"predict: {path} has {len(arrays[x])} samples in {x} and {len(labels)} labels in {y}."
                )
            return arrays[x], labels
    raise ValueError(f"predict: {path} must hold samples as test_x or x, got {', '.join(arrays) or 'nothing'}.")


def _slices(path: Path, x: np.ndarray, num_features: int, window: int | None) -> np.ndarray:
    """Images ``[n, pixels]`` as time steps ``[n, T, F]``."""
    pixels, wanted = x.shape[1], f"{num_features} pixels" if window is None else f"{window} x {num_features} pixels"
    if pixels % num_features or window not in (None, pixels // num_features):
        raise ValueError(f"predict: {path} has images of {pixels} pixels, the model takes time steps of {wanted}.")
    return x.reshape(x.shape[0], -1, num_features)


_logits = jit(chain.logits)


def _num_features(saved: Saved) -> int:
    """F, or the input bits where no encoder takes features."""
    first = first_encoder(saved.encoder)
    inputs = first.num_inputs if isinstance(first, Expansion) else saved.model.num_inputs
    return num_features(first) or inputs


def _encoded(saved: Saved, x: np.ndarray) -> np.ndarray:
    """Samples to words ``[n, W]`` or ``[n, T, W]``, checked, by the one encoder that there is."""
    axes = "[n, T, features]" if saved.model.recurrent else "[n, features]"
    if x.ndim != (3 if saved.model.recurrent else 2) or 0 in x.shape:
        raise ValueError(f"predict: samples must be {axes}, at least one, got shape {x.shape}.")
    if num_features(first_encoder(saved.encoder)) is None:
        x = _words(x, _num_features(saved))
    return x if saved.encoder is None else cast(Encoder, saved.encoder)(x)


def _words(x: np.ndarray, num_bits: int) -> np.ndarray:
    """Words as they are, bool or ±1 integers packed."""
    size = bits.num_words(num_bits) if x.dtype == np.uint32 else num_bits
    if x.shape[-1] != size:
        raise ValueError(
            f"predict: the model takes {num_bits} bits: wanted {bits.num_words(num_bits)} uint32 words, or "
            f"{num_bits} bool or ±1 values, got {x.dtype} {x.shape}."
        )
    if x.dtype == np.uint32:
        bits.check_padding(x, num_bits, "predict")
        return x
    if x.dtype != bool and not (x.dtype.kind in "iu" and np.all((x == 1) | (x == -1))):
        raise ValueError(f"predict: the model takes bits: bool, ±1 integers or uint32 words, got {x.dtype}.")
    return encode.pack_host(x > 0)
