"""What every data set becomes: packed features, labels 0..C-1, and the encoder that made them.

Axis letters: n samples, T time, F features, S seeds, W = ceil(num_inputs / 32) words.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

import jax
import numpy as np

from bep_jax.data import encode
from bep_jax.data.columns import Columns
from bep_jax.data.encode import Edges, Encoder, Thermometer
from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_choice, check_count, check_flag

# A fitted encoder, or what fits one: train_x [n, F] or [n, T, F] -> encoder.
EncoderOrFit = Encoder | Callable[[np.ndarray], Encoder]
# What fits the usual encoder of a data set: train_x, and num_bits where so many are asked for.
Usual = Callable[[np.ndarray, int | None], Encoder]
# Whether all steps of a series are one sample's features, and how they are encoded then.
Whole = bool | Literal["tied", "rocket", "both"]
_MOST_PADDED = 1 << 26  # values, where most are padding
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
      columns: of a table, what its columns are; None where features have no names.
      num_steps: of series and slices, T, also where a sample holds all steps (``whole=True``).
      image_shape: of images (rows, columns), of series whose samples hold all steps (T,): what `bep_jax.conv` wants.
      notes: what was decided while reading, a line each, such as what was taken for names; commands print them.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    num_inputs: int
    num_classes: int
    encoder: Encoder | tuple[Encoder, ...] | None
    classes: tuple[str, ...]
    columns: Columns | None = None
    notes: tuple[str, ...] = ()
    num_steps: int | None = None
    image_shape: tuple[int, ...] | None = None

    @property
    def extra(self) -> int:
        """Bits behind those of the image, as of `bep_jax.conv`: those of a `Union` but for its first encoder."""
        return encode.extra_bits(self.encoder)

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
    columns: Columns | None = None
    notes: tuple[str, ...] = ()
    image_shape: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Options:
    """How to encode: the arguments of ``load`` that say so."""

    encoder: EncoderOrFit | None = None
    raw: bool = False
    num_bits: int | None = None
    width: int | None = None
    whole: Whole = False

    def check(self, who: str) -> None:
        """Raises ValueError where two arguments contradict each other."""
        if check_flag(self.raw, "raw", who) and (
            self.encoder is not None or self.num_bits is not None or self.width is not None
        ):
            raise ValueError(f"{who}: raw=True does not encode; leave out encoder, num_bits and width.")
        check_choice(self.whole, (False, True, "tied", "rocket", "both"), "whole", who)
        if self.encoder is not None and self.num_bits is not None:
            raise ValueError(f"{who}: give encoder or num_bits, not both.")
        for name in ("num_bits", "width"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_count(getattr(self, name), name, who))
        if self.encoder is not None and not callable(self.encoder):
            raise TypeError(
                f"{who}: encoder must be an encoder, or a function of train_x, got {type(self.encoder).__name__}."
            )


def encoded(parts: Parts, options: Options, usual: Usual, seed: int) -> Dataset:
    """Encodes both parts: by the encoder of ``options``, else by the ``usual`` one, then the expansion."""
    encoder: Encoder | None = None
    num_steps = parts.train_x.shape[1] if parts.train_x.ndim == 3 else None
    image_shape = parts.image_shape
    if options.whole and num_steps is not None:
        image_shape = (num_steps,)
        if options.whole == "tied":
            usual = _tied(usual, num_steps)
        elif options.whole == "both":
            usual = _both(_tied(usual, num_steps), num_steps)
        elif options.whole == "rocket":
            usual, image_shape = _rocket(num_steps), None
        train_x, test_x = (x.reshape(x.shape[0], -1) for x in (parts.train_x, parts.test_x))
        parts = parts._replace(train_x=train_x, test_x=test_x)
    num_inputs = parts.train_x.shape[-1] if parts.num_bits is None else parts.num_bits
    if not options.raw:
        if options.encoder is not None:
            given = options.encoder
            made = given if hasattr(given, "num_bits") else given(parts.train_x)
            if not callable(made) or not hasattr(made, "num_bits"):
                raise TypeError("datasets: encoder(train_x) must return an encoder, which has num_bits.")
            encoder = cast(Encoder, made)
        elif options.num_bits is not None:
            encoder = usual(parts.train_x, options.num_bits)
        elif parts.num_bits is None:
            encoder = usual(parts.train_x, None)
        if options.width is not None:
            key = jax.random.fold_in(jax.random.key(seed), _EXPANSION_STREAM)
            wide = encode.expansion(key, num_inputs if encoder is None else encoder.num_bits, options.width)
            encoder = wide if encoder is None else encode.compose(encoder, wide)
    train_x, test_x = parts.train_x, parts.test_x
    if encoder is not None:
        train_x, test_x, num_inputs = np.asarray(encoder(train_x)), np.asarray(encoder(test_x)), encoder.num_bits
    return Dataset(
        train_x,
        parts.train_y,
        test_x,
        parts.test_y,
        int(num_inputs),
        len(parts.classes),
        encoder,
        parts.classes,
        parts.columns,
        parts.notes,
        num_steps,
        image_shape if options.width is None else None,
    )


def _tied(usual: Usual, num_steps: int) -> Usual:
    """Levels and edges that mean the same at all time steps, as convolutions share weights: fits ``[n, T F]``."""

    def fit(train_x: np.ndarray, num_bits: int | None) -> Encoder:
        one = usual(train_x.reshape(train_x.shape[0], num_steps, -1), num_bits)
        assert isinstance(one, Thermometer)
        return encode.fit_edges(train_x, (num_steps,), one.thresholds.shape[1])

    return fit


def _rocket(num_steps: int) -> Usual:
    def fit(train_x: np.ndarray, num_bits: int | None) -> Encoder:
        return encode.fit_rocket(train_x.reshape(train_x.shape[0], num_steps, -1), num_bits)

    return fit


def _both(tied: Usual, num_steps: int) -> Usual:
    """For every step, and then counts of kernels."""

    def fit(train_x: np.ndarray, num_bits: int | None) -> Encoder:
        steps = tied(train_x, num_bits)
        assert isinstance(steps, Edges)
        return encode.with_counts(steps, train_x.reshape(train_x.shape[0], num_steps, -1))

    return fit


def stacked(sets: Sequence[Dataset], copies: int) -> Dataset:
    """Puts data sets along a leading axis; one alone is repeated ``copies`` times, as a view.

    Where draws have different numbers of bits, the fewer are filled up with bits that are always 0.
    """
    sets = [_filled(data, max(each.num_inputs for each in sets)) for data in sets]
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


def _filled(data: Dataset, num_bits: int) -> Dataset:
    if num_bits == data.num_inputs or not isinstance(data.encoder, Thermometer):
        return data
    room = bits.num_words(num_bits) - data.train_x.shape[-1]

    def wider(words: np.ndarray) -> np.ndarray:
        return np.pad(words, [(0, 0)] * (words.ndim - 1) + [(0, room)])

    encoder = data.encoder.filled(num_bits)
    return dataclasses.replace(
        data, train_x=wider(data.train_x), test_x=wider(data.test_x), num_inputs=num_bits, encoder=encoder
    )


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
    longest = max(one.shape[0] for one in series)
    if window is None:
        return longest
    values = len(series) * check_count(window, "window", who) * series[0].shape[1]
    if window > longest and values > _MOST_PADDED:
        raise ValueError(f"{who}: window={window:,} pads series of {longest} steps to {values:,} values in all.")
    return int(window)


def check_seed(seed: int, who: str) -> int:
    """A seed from 0 to 2³¹-1, or an error that names ``who``."""
    return check_count(seed, "seed", who, least=0)
