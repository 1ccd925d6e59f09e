"""What a saved network says: predictions of new samples, of one network or of several together.

Axis letters: n samples, T time, F features, S seeds, C classes, W = ceil(K / 32) words.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import cast

import jax
import numpy as np
import numpy.typing as npt

from bep_jax.data import encode
from bep_jax.data.dataset import last_steps, window_length
from bep_jax.data.encode import Composition, Encoder, Expansion, Thermometer
from bep_jax.data.images import read_idx
from bep_jax.data.series import read_ts
from bep_jax.export.model_file import Saved
from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_count
from bep_jax.kernels.isolate import compiler_options
from bep_jax.learning import chain

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
    return saved._replace(params=jax.tree.map(lambda a: np.asarray(a)[network], saved.params), encoder=encoder)


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
      >>> saved = Saved(model, params, None, None)
      >>> scores(saved, np.ones((4, 6), bool)).shape
      (4, 2)
    """
    x = np.asarray(x)
    shared = None if isinstance(saved.encoder, tuple) else _encoded(saved, x)
    total = np.zeros((x.shape[0], saved.model.num_classes), np.int32)
    for i in range(num_networks(saved)) if network is None else [network]:
        one = one_network(saved, i, "predict")
        words = _encoded(one, x) if shared is None else shared
        size = min(_BATCH, x.shape[0])
        for start in range(0, x.shape[0], size):
            batch = words[start : start + size]
            rows = batch.shape[0]
            # Padded, so that there is one shape to compile.
            padded = np.concatenate([batch, np.zeros((size - rows, *batch.shape[1:]), np.uint32)])
            total[start : start + rows] += np.asarray(_logits()(one.model, one.params, padded))[:rows]
    return total


def read_samples(path: Path, saved: Saved, window: int | None = None) -> np.ndarray:
    """The samples of a file, in the shape that `scores` takes, cut as in training.

    Series are cut to their last T steps, shorter ones padded in front with NaN; images are cut into slices of as many
    pixels as a time step takes.

    Args:
      path: ``.npy``; ``.csv``, features, a sample a line, with or without a line of names; ``.ts``; any other name is
        an idx file of images, gzipped or not.
      saved: from `load`.
      window: T, in place of the one that the file of the network states.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a file of another kind, damaged, or with samples that do not fit the model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"predict: there is no file {path}.")
    recurrent = saved.model.recurrent
    if window is not None:
        check_count(window, "window", "predict")
        if not recurrent:
            raise ValueError("predict: --window is for recurrent networks.")
    window = saved.window if window is None else window
    if path.suffix == ".ts":
        if not recurrent:
            raise ValueError(f"predict: {path} holds time series, the model is not recurrent.")
        series, _ = read_ts(path)
        return last_steps(series, window_length(window, series, "predict"))
    read = {".npy": _read_npy, ".csv": _read_csv}.get(path.suffix)
    x = read_idx(path, 3) if read is None else read(path)
    if x.size == 0:
        raise ValueError(f"predict: {path} holds no samples, its shape is {x.shape}.")
    if not recurrent:
        return x.reshape(x.shape[0], -1) if x.ndim > 2 else x
    if read is None:
        return _slices(path, x.reshape(x.shape[0], -1), _num_features(saved), window)
    if window is None or x.ndim != 3:
        return x
    if x.shape[1] < window and not isinstance(_first(saved), Thermometer):
        raise ValueError(f"predict: {path} has {x.shape[1]} time steps of bits, the model takes {window}.")
    return last_steps(list(x), window)


def _slices(path: Path, x: np.ndarray, num_features: int, window: int | None) -> np.ndarray:
    """Images ``[n, pixels]`` as time steps ``[n, T, F]``."""
    pixels, wanted = x.shape[1], f"{num_features} pixels" if window is None else f"{window} x {num_features} pixels"
    if pixels % num_features or window not in (None, pixels // num_features):
        raise ValueError(f"predict: {path} has images of {pixels} pixels, the model takes time steps of {wanted}.")
    return x.reshape(x.shape[0], -1, num_features)


def _read_npy(path: Path) -> np.ndarray:
    try:
        x = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"predict: {path} is no .npy file of numbers, or is damaged: {error}") from error
    if not isinstance(x, np.ndarray) or x.ndim < 2:
        shape = x.shape if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"predict: {path} must hold samples [n, features], got {shape}.")
    return x


def _read_csv(path: Path) -> np.ndarray:
    """Features ``[n, F]``; an empty field is a missing value, NaN."""
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        try:
            rows = [[float(field.strip() or "nan") for field in line] for line in lines]
        except ValueError:  # a first line of names
            rows = [[float(field.strip() or "nan") for field in line] for line in lines[1:]]
        return np.array(rows, np.float64)
    except ValueError as error:
        raise ValueError(f"predict: {path} must hold features alone, as many in each line: {error}.") from error


@functools.cache
def _logits() -> Callable[..., jax.Array]:
    return jax.jit(chain.logits, compiler_options=compiler_options())


def _first(saved: Saved) -> Encoder | None:
    """The encoder that meets the samples."""
    encoder = saved.encoder[0] if isinstance(saved.encoder, tuple) else saved.encoder
    while isinstance(encoder, Composition):
        encoder = encoder.encoders[0]
    return encoder


def _num_features(saved: Saved) -> int:
    """F, or the input bits where no encoder takes features."""
    first = _first(saved)
    if isinstance(first, Thermometer):
        return first.num_features
    return first.num_inputs if isinstance(first, Expansion) else saved.model.num_inputs


def _encoded(saved: Saved, x: np.ndarray) -> np.ndarray:
    """Samples to words ``[n, W]`` or ``[n, T, W]``, checked, by the one encoder that there is."""
    axes = "[n, T, features]" if saved.model.recurrent else "[n, features]"
    if x.ndim != (3 if saved.model.recurrent else 2) or 0 in x.shape:
        raise ValueError(f"predict: samples must be {axes}, at least one, got shape {x.shape}.")
    if not isinstance(_first(saved), Thermometer):
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
    if x.dtype != bool and not (np.issubdtype(x.dtype, np.integer) and np.all((x == 1) | (x == -1))):
        raise ValueError(f"predict: the model takes bits: bool, ±1 integers or uint32 words, got {x.dtype}.")
    return encode.pack_host(x > 0)
