"""What every data set becomes: packed features, labels 0..C-1, and the encoder that made them.

Axis letters: n samples, T time, F features, S seeds, W = ceil(num_inputs / 32) words.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from bep_jax.data import encode
from bep_jax.data.encode import Encoder
from bep_jax.kernels.checks import check_count

# A fitted encoder, or what fits one: train_x [n, F] or [n, T, F] -> encoder.
EncoderOrFit = Encoder | Callable[[np.ndarray], Encoder]
_EXPANSION_STREAM = 0x657870  # apart from whatever else is drawn from the same seed


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test data in NumPy arrays on the host; :func:`bep_jax.fit` moves them to the device.

    With several seeds, every array has a leading axis [S] and ``encoder`` is a tuple of S encoders. Where the seed
    makes no difference (the official split of MNIST, say) that axis is a view and takes no memory.

    Attributes:
      train_x: uint32 ``[n, W]``, series ``[n, T, W]``; with ``raw=True`` the features ``[n, F]`` or ``[n, T, F]``.
      train_y: int32 ``[n]``, 0..num_classes-1.
      test_x: like ``train_x``.
      test_y: like ``train_y``.
      num_inputs: the bits of a sample, or of a time step (``raw=True``: F); the ``num_inputs`` of a model.
      num_classes: C, at least 2. A class may be missing in the training or in the test part.
      encoder: made ``train_x`` from features, and makes it from new ones; None where the data came as bits, or raw.
      classes: the C names of the classes.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    num_inputs: int
    num_classes: int
    encoder: Encoder | tuple[Encoder, ...] | None
    classes: tuple[str, ...]

    @property
    def num_seeds(self) -> int | None:
        """S, the length of the leading seed axis, or None without one."""
        return self.train_y.shape[0] if self.train_y.ndim == 2 else None


class Parts(NamedTuple):
    """A data set before it is encoded.

    ``num_bits`` is set where ``train_x`` and ``test_x`` are packed already.
    """

    train_x: np.ndarray  # [n, F] or [n, T, F]; packed: uint32 [n, W]
    train_y: np.ndarray  # int32 [n]
    test_x: np.ndarray  # like train_x
    test_y: np.ndarray  # int32 [n]
    classes: tuple[str, ...]
    num_bits: int | None = None


@dataclasses.dataclass(frozen=True)
class Options:
    """How to encode: the arguments of ``load`` that say so."""

    encoder: EncoderOrFit | None = None
    raw: bool = False
    num_bits: int | None = None
    width: int | None = None

    def check(self, who: str) -> None:
        """Raises ValueError where two arguments contradict each other."""
        if self.raw and (self.encoder is not None or self.num_bits is not None or self.width is not None):
            raise ValueError(f"{who}: raw=True does not encode; leave out encoder, num_bits and width.")
        if self.encoder is not None and self.num_bits is not None:
            raise ValueError(f"{who}: give encoder or num_bits, not both.")
        for name in ("num_bits", "width"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), name, who)
        if self.encoder is not None and not callable(self.encoder):
            raise TypeError(
                f"{who}: encoder must be an encoder, or a function of train_x, got {type(self.encoder).__name__}."
            )


def from_arrays(
    train_x: np.ndarray | Sequence[np.ndarray],
    train_y: Iterable[Hashable],
    test_x: np.ndarray | Sequence[np.ndarray],
    test_y: Iterable[Hashable],
    *,
    encoder: EncoderOrFit | None = None,
    raw: bool = False,
    num_bits: int | None = None,
    width: int | None = None,
    window: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Makes a :class:`Dataset` of your own arrays.

    Features are encoded by a thermometer that is fitted on ``train_x``, bool features are packed as they are.

    Args:
      train_x: ``[n, F]``; series: ``[n, T, F]``, or a list of ``[T_i, F]`` of several lengths. NaN is a missing value.
      train_y: n labels of any hashable kind (text, integers, ...), none of them NaN.
      test_x: like ``train_x``, with the same F.
      test_y: like ``train_y``. A label may occur in one of the parts only.
      encoder: a fitted encoder, or a function ``train_x -> encoder``, in place of the thermometer.
      raw: leave features as they are (series: cut or padded to one length).
      num_bits: bits per feature of the thermometer; 10 if not given.
      width: expand the bits to so many (:func:`bep_jax.encode.expansion`); by default they are not expanded.
      window: series only: keep the last so many time steps; shorter series are padded in front with NaN, which encodes
        to all-0 bits. By default the length of the longest series.
      seed: of the expansion.

    Returns:
      The data set. ``classes`` are the labels as text: sorted, or in order of appearance if they have no order.

    Raises:
      TypeError: features that are not numbers, labels that are not hashable.
      ValueError: empty data, shapes that do not fit, fewer than two classes, options that contradict each other.

    Example:
      >>> x = np.array([[0.1], [0.4], [0.6], [0.9]])
      >>> data = from_arrays(x, ["low", "low", "high", "high"], x, ["low", "low", "high", "high"], num_bits=3)
      >>> data.classes, data.train_y, data.num_inputs
      (('high', 'low'), array([1, 1, 0, 0], dtype=int32), 3)
    """
    who = "from_arrays"
    options = Options(encoder, raw, num_bits, width)
    options.check(who)
    check_seed(seed, who)
    train_labels, test_labels = _labels(train_y, "train_y"), _labels(test_y, "test_y")
    train, test = _same_steps(_features(train_x, "train_x"), _features(test_x, "test_x"), window)
    for name, x, labels in (("train", train, train_labels), ("test", test, test_labels)):
        if len(x) != len(labels):
            raise ValueError(f"{who}: {name}_x has {len(x)} samples, {name}_y {len(labels)} labels.")
    if train.shape[-1] != test.shape[-1]:
        raise ValueError(f"{who}: train_x has {train.shape[-1]} features, test_x {test.shape[-1]}.")
    classes, (train_index, test_index) = index_labels(train_labels, test_labels, who=who)
    parts = Parts(train, train_index, test, test_index, classes)
    if train.dtype == bool and test.dtype == bool and not raw and encoder is None and num_bits is None:
        parts = parts._replace(train_x=encode.pack_host(train), test_x=encode.pack_host(test), num_bits=train.shape[-1])
    return encoded(parts, options, lambda x: encode.fit_thermometer(x, 10), seed)


def encoded(parts: Parts, options: Options, usual: Callable[[np.ndarray], Encoder], seed: int) -> Dataset:
    """Encodes both parts: by the encoder of ``options``, else by the ``usual`` one, then the expansion."""
    encoder: Encoder | None = None
    num_inputs = parts.train_x.shape[-1] if parts.num_bits is None else parts.num_bits
    if not options.raw:
        if options.encoder is not None:
            given = options.encoder
            made = given if hasattr(given, "num_bits") else given(parts.train_x)
            if not callable(made) or not hasattr(made, "num_bits"):
                raise TypeError("datasets: encoder(train_x) must return an encoder, which has num_bits.")
            encoder = cast(Encoder, made)
        elif options.num_bits is not None:
            encoder = encode.fit_thermometer(parts.train_x, options.num_bits)
        elif parts.num_bits is None:
            encoder = usual(parts.train_x)
        if options.width is not None:
            key = jax.random.fold_in(jax.random.key(seed), _EXPANSION_STREAM)
            wide = encode.expansion(key, num_inputs if encoder is None else encoder.num_bits, options.width)
            encoder = wide if encoder is None else encode.compose(encoder, wide)
    train_x, test_x = parts.train_x, parts.test_x
    if encoder is not None:
        train_x, test_x, num_inputs = np.asarray(encoder(train_x)), np.asarray(encoder(test_x)), encoder.num_bits
    return Dataset(
        train_x, parts.train_y, test_x, parts.test_y, int(num_inputs), len(parts.classes), encoder, parts.classes
    )


def stacked(sets: Sequence[Dataset], copies: int) -> Dataset:
    """Puts data sets along a leading axis; one alone is repeated ``copies`` times, as a view."""
    first = sets[0]
    arrays: dict[str, Any] = {}
    for name in ("train_x", "train_y", "test_x", "test_y"):
        values = [getattr(data, name) for data in sets]
        if any(value.shape != values[0].shape for value in values):
            raise ValueError(f"load: {name} has a different shape for every seed: {[v.shape for v in values]}.")
        arrays[name] = np.stack(values) if len(sets) > 1 else np.broadcast_to(values[0], (copies, *values[0].shape))
    if first.encoder is not None:
        arrays["encoder"] = tuple(data.encoder for data in (sets if len(sets) > 1 else [first] * copies))
    return dataclasses.replace(first, **arrays)


def index_labels(*parts: Sequence[Hashable], who: str) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Maps the labels of all parts together to 0..C-1: the names, and int32 ``[n]`` for every part."""
    found = dict.fromkeys(label for part in parts for label in part)
    if any(label != label for label in found):
        raise ValueError(f"{who}: a label is NaN; leave out samples without a label.")
    order: list[Any]
    try:
        order = sorted(found, key=_by_number if all(isinstance(label, str) for label in found) else None)
    except TypeError:
        order = list(found)
    names = tuple(str(label) for label in order)
    if len(names) < 2:
        raise ValueError(f"{who}: wanted at least two classes, got {list(names)}.")
    if len(set(names)) < len(names):
        raise ValueError(f"{who}: different labels read the same as text: {order}.")
    index = {label: i for i, label in enumerate(order)}
    return names, [np.array([index[label] for label in part], np.int32) for part in parts]


def last_steps(series: Sequence[np.ndarray], length: int) -> np.ndarray:
    """The last ``length`` steps of every ``[T_i, F]``, shorter ones padded in front with NaN: ``[n, length, F]``.

    A dtype without NaN is kept where nothing is padded and becomes float64 where something is.
    """
    dtype = np.result_type(*{one.dtype for one in series})
    if not np.issubdtype(dtype, np.floating) and any(one.shape[0] < length for one in series):
        dtype = np.dtype(np.float64)
    cut = np.empty((len(series), length, series[0].shape[1]), dtype)
    for i, one in enumerate(series):
        kept = one[-length:]
        if kept.shape[0] < length:
            cut[i, : length - kept.shape[0]] = np.nan
        cut[i, length - kept.shape[0] :] = kept
    return cut


def window_length(window: int | None, series: Sequence[np.ndarray], who: str) -> int:
    """The window asked for, else the length of the longest series."""
    if window is None:
        return max(one.shape[0] for one in series)
    return check_count(window, "window", who)


def check_seed(seed: int, who: str) -> int:
    """A seed from 0 to 2³¹-1, or an error that names ``who``."""
    if check_count(seed, "seed", who, least=0) >= 2**31:
        raise ValueError(f"{who}: seed must be below 2**31, got {seed}.")
    return int(seed)


def _by_number(label: str) -> tuple[bool, float, str]:
    """Orders "2" before "10", and numbers before text."""
    try:
        return (False, float(label), label) if float(label) == float(label) else (True, 0.0, label)
    except ValueError:
        return True, 0.0, label


def _labels(y: Iterable[Hashable], name: str) -> list[Hashable]:
    if hasattr(y, "dtype"):
        y = np.asarray(y)
        if y.ndim != 1:
            raise ValueError(f"from_arrays: {name} must be one label per sample, got shape {y.shape}.")
        y = y.tolist()
    labels = list(y)
    for label in labels:
        if not isinstance(label, Hashable):
            raise TypeError(f"from_arrays: labels must be hashable, {name} holds {type(label).__name__}.")
    return labels


def _same_steps(
    train: np.ndarray | list[np.ndarray], test: np.ndarray | list[np.ndarray], window: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Series cut or padded to one length; features as they are."""
    if isinstance(train, list) and isinstance(test, list):
        length = window_length(window, [*train, *test], "from_arrays")
        return last_steps(train, length), last_steps(test, length)
    if isinstance(train, list) or isinstance(test, list):
        raise ValueError("from_arrays: one of train_x and test_x holds series and the other does not.")
    if window is not None:
        raise ValueError(f"from_arrays: window cuts series [n, T, F]; the features are {train.shape}.")
    return train, test


def _features(x: np.ndarray | Sequence[np.ndarray], name: str) -> np.ndarray | list[np.ndarray]:
    """``[n, F]`` as an array; series as a list of ``[T_i, F]``."""
    ragged = not hasattr(x, "dtype") and len({np.shape(one) for one in x}) > 1
    parts = [np.asarray(one) for one in x] if ragged else [np.asarray(x)]
    for part in parts:
        kinds = (bool, jax.numpy.integer, jax.numpy.floating)
        if not any(jax.numpy.issubdtype(part.dtype, kind) for kind in kinds):
            raise TypeError(f"from_arrays: {name} must hold numbers, got {part.dtype}.")
        if part.size == 0:
            raise ValueError(f"from_arrays: {name} is empty, or holds an empty series: shape {part.shape}.")
    if not ragged and parts[0].ndim == 2:
        return parts[0]
    series = parts if ragged else list(parts[0])
    if any(one.ndim != 2 or one.shape[1] != series[0].shape[1] for one in series):
        raise ValueError(
            f"from_arrays: {name} must be [n, features], or series [n, T, features] (a list of [T, features] where "
            f"lengths differ); got {[one.shape for one in series[:4]]}."
        )
    return series
