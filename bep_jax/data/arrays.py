"""A data set of your own arrays: features, series, or tables of pandas or polars, held in memory.

Axis letters: n samples, T time, F features.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from bep_jax.data import encode
from bep_jax.data.columns import Columns, fit_columns, is_frame, of_frame
from bep_jax.data.dataset import (
    Dataset,
    EncoderOrFit,
    Options,
    Parts,
    Whole,
    check_seed,
    encoded,
    last_steps,
    window_length,
)
from bep_jax.data.labels import index_labels, read_labels
from bep_jax.data.tables import number
from bep_jax.data.words import on_host

_WHO = "from_arrays"
_SERIES_BITS = 10  # of a channel


def from_arrays(
    train_x: Any,
    train_y: Iterable[Hashable],
    test_x: Any,
    test_y: Iterable[Hashable],
    *,
    encoder: EncoderOrFit | None = None,
    raw: bool = False,
    num_bits: int | None = None,
    width: int | None = None,
    window: int | None = None,
    time_axis: int | None = None,
    whole: Whole = False,
    seed: int = 0,
) -> Dataset:
    """Makes a :class:`Dataset` of your own arrays.

    Features are encoded by a thermometer that is fitted on ``train_x``, bool features are packed as they are. Columns
    of a pandas or polars frame keep their names, and those of text become a feature of 0 and 1 for every value.

    Args:
      train_x: ``[n, F]``, an array, nested lists or a frame; series: ``[n, T, F]``, or a list of ``[T_i, F]`` of
        several lengths. NaN, None and masked values are missing.
      train_y: n labels: text, bytes, integers, floats that are whole numbers, or of any other hashable kind.
      test_x: like ``train_x``, with the same F; columns of a frame in any order.
      test_y: like ``train_y``. A label may occur in one of the parts only.
      encoder: a fitted encoder, or a function ``train_x -> encoder``, in place of the thermometer.
      raw: leave features as they are (series: cut or padded to one length).
      num_bits: bits per feature of the thermometer; if not given, 10 for series, and for features as many as
        :func:`bep_jax.encode.fit_thermometer` finds useful.
      width: expand the bits to so many (:func:`bep_jax.encode.expansion`); by default they are not expanded.
      window: series only: keep the last so many time steps; shorter series are padded in front with NaN, which encodes
        to all-0 bits. By default the length of the longest series.
      time_axis: series only: 1 for ``[n, T, F]``, 2 for ``[n, F, T]`` as aeon has them. It must be given where there
        are fewer steps than features, which looks like the other order; and not for a list of series of different
        lengths, which show it.
      whole: series only: all steps as the features of one sample, or "tied" or "rocket", as for
        :func:`bep_jax.datasets.load`.
      seed: of the expansion.

    Returns:
      The data set. ``classes`` are the labels as text: sorted, or in order of appearance if they have no order.

    Raises:
      TypeError: features that are not numbers, labels that are not hashable.
      ValueError: empty data, shapes that do not fit, fewer than two classes, labels that are missing or are numbers to
        predict, options that contradict each other.

    Example:
      >>> x = np.array([[0.1], [0.4], [0.6], [0.9]])
      >>> data = from_arrays(x, ["low", "low", "high", "high"], x, ["low", "low", "high", "high"], num_bits=3)
      >>> data.classes, data.train_y, data.num_inputs
      (('high', 'low'), array([1, 1, 0, 0], dtype=int32), 3)
    """
    options = Options(encoder, raw, num_bits, width, whole)
    options.check(_WHO)
    check_seed(seed, _WHO)
    if time_axis is not None and (not isinstance(time_axis, int) or time_axis not in (1, 2)):
        raise ValueError(f"{_WHO}: time_axis must be 1 or 2, got {time_axis!r}.")
    train_labels, test_labels = read_labels(train_y, _WHO, "train_y"), read_labels(test_y, _WHO, "test_y")
    found: Columns | None = None
    notes: tuple[str, ...] = ()
    if is_frame(train_x) or is_frame(test_x):
        found, train_x, test_x, notes = _frames(train_x, test_x)
    first, second = _features({"train_x": train_x, "test_x": test_x}, time_axis)
    train, test = _same_steps(first, second, window, time_axis)
    for name, x, labels in (("train", train, train_labels), ("test", test, test_labels)):
        if len(x) != len(labels):
            raise ValueError(f"{_WHO}: {name}_x has {len(x)} samples, {name}_y {len(labels)} labels.")
    if train.shape[-1] != test.shape[-1]:
        raise ValueError(f"{_WHO}: train_x has {train.shape[-1]} features, test_x {test.shape[-1]}.")
    if whole and train.ndim == 2:
        raise ValueError(f"{_WHO}: whole is for series [n, T, F]; the features are {train.shape}.")
    classes, (train_index, test_index) = index_labels(train_labels, test_labels, who=_WHO)
    parts = Parts(train, train_index, test, test_index, classes, columns=found, notes=notes)
    plain = not raw and encoder is None and num_bits is None and not whole
    if train.dtype == bool and test.dtype == bool and plain:
        parts = parts._replace(train_x=encode.pack_host(train), test_x=encode.pack_host(test), num_bits=train.shape[-1])
    return encoded(parts, options, usual_encoder, seed)


def usual_encoder(train_x: np.ndarray, num_bits: int | None) -> encode.Thermometer:
    """The encoder of features and series: a thermometer."""
    if num_bits is None and train_x.ndim == 3:
        num_bits = _SERIES_BITS
    return encode.fit_thermometer(train_x, num_bits)


def _frames(train: Any, test: Any) -> tuple[Columns, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Two tables as features, the columns of both those of the first."""
    if not (is_frame(train) and is_frame(test)):
        raise TypeError(f"{_WHO}: one of train_x and test_x is a table and the other {type(test).__name__}.")
    tables = of_frame(train, "train_x"), of_frame(test, "test_x")
    if not all(table.num_rows for table in tables):
        raise ValueError(f"{_WHO}: train_x or test_x is empty.")
    found, notes = fit_columns(tables[0], None, _WHO)
    (train_x, _), (test_x, ignored) = (found.encode(table, _WHO) for table in tables)
    return found, train_x, test_x, (*notes, *ignored)


def _same_steps(
    train: np.ndarray | list[np.ndarray],
    test: np.ndarray | list[np.ndarray],
    window: int | None,
    time_axis: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Series cut or padded to one length; features as they are."""
    if isinstance(train, list) and isinstance(test, list):
        length = window_length(window, [*train, *test], _WHO)
        return last_steps(train, length), last_steps(test, length)
    if isinstance(train, list) or isinstance(test, list):
        raise ValueError(f"{_WHO}: one of train_x and test_x holds series and the other does not.")
    for name, value in (("window", window), ("time_axis", time_axis)):
        if value is not None:
            raise ValueError(f"{_WHO}: {name} is for series [n, T, F]; the features are {train.shape}.")
    return train, test


def _features(given: dict[str, Any], time_axis: int | None) -> list[np.ndarray | list[np.ndarray]]:
    """Of each, ``[n, F]`` as an array; series as a list of ``[T_i, F]``."""
    read = {name: _samples(x, name) for name, x in given.items()}
    if time_axis is None:
        # Series of different lengths show which axis is time: in the other part, too.
        shown = (series for series, ragged in read.values() if ragged and isinstance(series, list))
        time_axis = next((1 if len({one.shape[1] for one in series}) == 1 else 2 for series in shown), None)
    return [_time_first(x, name, time_axis) if isinstance(x, list) else x for name, (x, _) in read.items()]


def _samples(x: Any, name: str) -> tuple[np.ndarray | list[np.ndarray], bool]:
    """``[n, F]`` as an array, or series as a list of arrays with two axes each; and whether their lengths differ."""
    ragged = False
    if not hasattr(x, "dtype"):
        if isinstance(x, str | bytes) or not isinstance(x, Sequence):
            raise TypeError(f"{_WHO}: {name} must be an array, a list or a table, got {type(x).__name__}.")
        ragged = len({_shape(one) for one in x}) > 1
    elif np.ndim(x) == 0:
        raise TypeError(f"{_WHO}: {name} must be an array of samples, got {x!r}.")
    parts = [_numbers(one, name) for one in x] if ragged else [_numbers(x, name)]
    if any(part.size == 0 for part in parts):
        raise ValueError(f"{_WHO}: {name} is empty, or holds an empty series.")
    if not ragged and parts[0].ndim == 2:
        return parts[0], False
    series = parts if ragged else list(parts[0])
    if any(one.ndim != 2 for one in series):
        shape = [one.shape for one in series[:4]] if ragged else parts[0].shape
        raise ValueError(
            f"{_WHO}: {name} must be [n, features], or series [n, T, features] (a list of [T, features] where lengths "
            f"differ); got {shape}."
        )
    return series, ragged


def _shape(one: Any) -> tuple[int, ...]:
    try:
        return np.shape(one)
    except ValueError:  # lists of several lengths; said when it is made an array
        return ()


def _time_first(series: list[np.ndarray], name: str, time_axis: int | None) -> list[np.ndarray]:
    """Every series as ``[T_i, F]``."""
    first, last = {one.shape[0] for one in series}, {one.shape[1] for one in series}
    if len(first if time_axis == 2 else last) > 1:
        raise ValueError(
            f"{_WHO}: {name} must hold series of as many features each; got {[one.shape for one in series[:4]]}."
        )
    steps, features = min(first), max(last)
    if time_axis is None and steps < features:
        raise ValueError(
            f"{_WHO}: {name} holds {steps} time steps of {features} features, or, in aeon's order, {features} steps of "
            f"{steps} channels: say which by time_axis=1 or time_axis=2."
        )
    return [np.ascontiguousarray(one.T) for one in series] if time_axis == 2 else series


def _numbers(x: Any, name: str) -> np.ndarray:
    """An array of numbers; what is masked, and None among objects, becomes NaN."""
    x = on_host(x, f"{_WHO}: {name}")
    if x.dtype == object:
        found = [number(value) if not isinstance(value, str) else None for value in x.reshape(-1)]
        if None in found:
            wrong = x.reshape(-1)[found.index(None)]
            raise TypeError(f"{_WHO}: {name} must hold numbers, got {type(wrong).__name__} {str(wrong)[:40]!r}.")
        return np.array(found, np.float64).reshape(x.shape)
    kinds = (bool, jax.numpy.integer, jax.numpy.floating)
    if not any(jax.numpy.issubdtype(x.dtype, kind) for kind in kinds) or x.dtype.kind == "m":
        raise TypeError(f"{_WHO}: {name} must hold numbers, got {x.dtype}.")
    return x
