"""What a saved network says: predictions of new samples, of one network or of several together.

The commands ``python -m bep_jax predict`` and ``python -m bep_jax summary`` are here, too.

Axis letters: n samples, T time, F features, S seeds, C classes, W = ceil(K / 32) words.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import numpy.typing as npt
import tyro
from tyro.conf import arg

from bep_jax import bits, chain, encode
from bep_jax.checkpoint import Saved, load
from bep_jax.datasets import files
from bep_jax.datasets.dataset import last_steps, window_length
from bep_jax.datasets.images import read_idx
from bep_jax.datasets.series import read_ts
from bep_jax.encode import Composition, Encoder, Expansion, Thermometer
from bep_jax.isolate import compiler_options
from bep_jax.summary import summary

_BATCH = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
    """Say which class every sample of a file is in: its name, one line a sample."""

    model: Annotated[Path, arg(metavar="FILE")]
    """A model.safetensors, from train or bep.save."""
    input: Annotated[Path, arg(metavar="FILE")]
    """Samples: an array (.npy), time series (.ts), or images in an idx file (any other name; also .gz)."""
    output: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")] = None
    """Where to write."""
    ensemble: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let all networks of the file vote: their scores are summed."""
    network: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the first, 0)")] = None
    """Which network of the file, where it holds one a seed."""
    window: Annotated[int | None, arg(metavar="STEPS", help_behavior_hint="(default: whole series)")] = None
    """Time series: only the last so many time steps; take the --window of training."""

    def run(self) -> None:
        """Predicts and prints, or writes.

        Raises:
          ValueError, OSError, ...: files or flags that do not fit, with a message for the user.
        """
        if self.ensemble and self.network is not None:
            raise ValueError("predict: give --ensemble or --network, not both.")
        if self.output is not None and (self.output.is_dir() or not self.output.parent.is_dir()):
            raise ValueError(f"predict: --output wants a file in a folder that exists, got {self.output}.")
        saved = load(self.model)
        x = read_samples(self.input, saved, self.window)
        found = np.argmax(scores(saved, x, None if self.ensemble else self.network or 0), axis=1)
        names = saved.classes or tuple(map(str, range(saved.model.num_classes)))
        text = "".join(f"{names[i]}\n" for i in found.tolist())
        count = num_networks(saved)
        if count > 1 and not self.ensemble and self.network is None:
            print(f"predict: network 0 of {count}; --ensemble takes all of them", file=sys.stderr)
        if self.output is None:
            print(text, end="", flush=True)
        else:
            files.write_atomic(self.output, text.encode())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Describe:
    """Say what a saved network is and what it costs: weights, bytes, operations, layer by layer."""

    model: Annotated[Path, arg(metavar="FILE")]
    """A model.safetensors, from train or bep.save."""

    def run(self) -> None:
        """Prints."""
        saved = load(self.model)
        print(summary(saved.model))
        count = num_networks(saved)
        print(
            f"\n{self.model}: {self.model.stat().st_size:,} bytes, {count} network{'s' * (count > 1)}"
            f"\nencoder: {_encoder_text(saved.encoder)}"
            f"\nclasses: {', '.join(saved.classes) if saved.classes else saved.model.num_classes}",
            flush=True,
        )


def num_networks(saved: Saved) -> int:
    """S; 1 where there is no seed axis."""
    classifier = saved.params.classifier
    return classifier.shape[0] if classifier.ndim == 3 else 1


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
    count = num_networks(saved)
    if network is not None and not 0 <= network < count:
        raise ValueError(f"predict: there is no network {network}; the file holds {count}, from 0.")
    x = np.asarray(x)
    model, params = saved.model, jax.tree.map(np.asarray, saved.params)
    stacked = params.classifier.ndim == 3
    shared = None if isinstance(saved.encoder, tuple) else _encoded(model, saved.encoder, x)
    total = np.zeros((x.shape[0], model.num_classes), np.int32)
    for i in range(count) if network is None else [network]:
        words = _encoded(model, saved.encoder[i], x) if isinstance(saved.encoder, tuple) else shared
        one = jax.tree.map(lambda a, i=i: a[i], params) if stacked else params
        assert words is not None
        size = min(_BATCH, x.shape[0])
        for start in range(0, x.shape[0], size):
            batch = words[start : start + size]
            rows = batch.shape[0]
            padded = np.concatenate(
                [batch, np.zeros((size - rows, *batch.shape[1:]), np.uint32)]
            )  # one shape to compile
            total[start : start + rows] += np.asarray(_logits()(model, one, padded))[:rows]
    return total


def read_samples(path: Path, saved: Saved, window: int | None = None) -> np.ndarray:
    """The samples of a file, in the shape that `scores` takes.

    Args:
      path: ``.npy``; ``.ts``; any other name is an idx file of images, gzipped or not.
      saved: from `load`.
      window: time series: only the last so many time steps.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a file of another kind, damaged, or with samples that do not fit the model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"predict: there is no file {path}.")
    recurrent = saved.model.recurrent
    if window is not None and not recurrent:
        raise ValueError("predict: --window is for recurrent networks.")
    if path.suffix == ".ts":
        if not recurrent:
            raise ValueError(f"predict: {path} holds time series, the model is not recurrent.")
        series, _ = read_ts(path)
        return last_steps(series, window_length(window, series, "predict"))
    if path.suffix == ".npy":
        x = _read_npy(path)
        flat = x.ndim > 2 and not recurrent
    else:
        x = read_idx(path, 3)
        flat = True
    if x.size == 0:
        raise ValueError(f"predict: {path} holds no samples, its shape is {x.shape}.")
    if flat and recurrent:  # rows of pixels, a time step each
        features = _num_features(saved)
        pixels = x.shape[1] * x.shape[2]
        if pixels % features:
            raise ValueError(f"predict: {path} has images of {pixels} pixels, a time step takes {features}.")
        x = x.reshape(x.shape[0], -1, features)
    elif flat:
        x = x.reshape(x.shape[0], -1)
    return x if window is None else x[:, -window_length(window, [], "predict") :]


def _read_npy(path: Path) -> np.ndarray:
    try:
        x = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"predict: {path} is no .npy file of numbers, or is damaged: {error}") from error
    if not isinstance(x, np.ndarray) or x.ndim < 2:
        shape = x.shape if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"predict: {path} must hold samples [n, features], got {shape}.")
    return x


@functools.cache
def _logits() -> Callable[..., jax.Array]:
    return jax.jit(chain.logits, compiler_options=compiler_options())


def _first(encoder: Encoder | None) -> Encoder | None:
    """The encoder that meets the samples."""
    while isinstance(encoder, Composition):
        encoder = encoder.encoders[0]
    return encoder


def _num_features(saved: Saved) -> int:
    """F, or the input bits where no encoder takes features."""
    first = _first(saved.encoder[0] if isinstance(saved.encoder, tuple) else saved.encoder)
    if isinstance(first, Thermometer):
        return first.num_features
    return first.num_inputs if isinstance(first, Expansion) else saved.model.num_inputs


def _encoded(model, encoder: Encoder | None, x: np.ndarray) -> np.ndarray:
    """Samples to words ``[n, W]`` or ``[n, T, W]``, checked."""
    axes = "[n, T, features]" if model.recurrent else "[n, features]"
    if x.ndim != (3 if model.recurrent else 2) or 0 in x.shape:
        raise ValueError(f"predict: samples must be {axes}, at least one, got shape {x.shape}.")
    first = _first(encoder)
    if not isinstance(first, Thermometer):
        x = _words(x, first.num_inputs if isinstance(first, Expansion) else model.num_inputs)
    return x if encoder is None else encoder(x)


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


def _encoder_text(encoder: Encoder | tuple[Encoder, ...] | None) -> str:
    if isinstance(encoder, tuple):
        return f"one a network, {_encoder_text(encoder[0])}"
    if isinstance(encoder, Composition):
        return ", then ".join(map(_encoder_text, encoder.encoders))
    if isinstance(encoder, Thermometer):
        return f"thermometer, {encoder.num_features:,} features of {encoder.thresholds.shape[1]} bits"
    if isinstance(encoder, Expansion):
        return f"expansion to {encoder.num_bits:,} bits"
    return "none, samples are bits"
