"""The data of a training run as the loop takes them: checked arrays, and how many samples train or are held out.

Axis letters: S seeds, n samples, T time steps, W words.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bep_jax.kernels.checks import INT32_MAX, check_array, check_choice, check_real, shown
from bep_jax.learning.chain import check_inputs, check_labels
from bep_jax.network.model import Model

MOST_SEEDS = 100_000
TRAINS, HELD_OUT = 1, 2  # in a ``train_split``; 0 takes no part: padding, so that programs serve data of many sizes


class Arrays(NamedTuple):
    """Packed samples and their labels, with a leading axis ``[S]`` where each seed has a draw of its own."""

    train_x: Any
    train_y: Any
    test_x: Any = None
    test_y: Any = None
    train_split: Any = None  # int8 [n]: what each training sample is for; None: drawn


class Sizes(NamedTuple):
    """How many samples train and how many are held out; ``static`` where programs are compiled for these numbers."""

    trained: int
    held_out: int
    static: tuple[int, int] | None
    counts: tuple[np.int32, np.int32] | None  # else they are arguments of the programs


def sizes_of(arrays: Arrays, data_axis: int | None, validation: float) -> Sizes:
    num_samples = arrays.train_y.shape[-1]
    if arrays.train_split is None:
        held_out = round(validation * num_samples) if validation == 0 else max(1, round(validation * num_samples))
        if held_out >= num_samples:
            raise ValueError(f"fit: validation={validation} leaves none of {num_samples} samples to train on.")
        return Sizes(num_samples - held_out, held_out, (num_samples, held_out), None)
    split = np.asarray(arrays.train_split)
    if data_axis is not None or split.shape != (num_samples,) or split.dtype != np.int8:
        raise ValueError(
            f"fit: data.train_split must be int8 ({num_samples},) beside one draw of data, got {split.dtype} "
            f"{split.shape}."
        )
    trained, held_out = (int(np.sum(split == part)) for part in (TRAINS, HELD_OUT))
    if not trained:
        raise ValueError(f"fit: data.train_split leaves none of {num_samples} samples to train on.")
    return Sizes(trained, held_out, None, (np.int32(trained), np.int32(held_out)))


def check_data(model: Model, data, num_seeds: int) -> tuple[Arrays, int | None]:
    """The arrays, and the axis of seeds in them."""
    try:
        arrays = Arrays(data.train_x, data.train_y, *(getattr(data, name, None) for name in Arrays._fields[2:]))
    except AttributeError as error:
        raise TypeError(f"fit: data must have train_x, train_y, test_x and test_y: {error}.") from None
    if (arrays.test_x is None) != (arrays.test_y is None):
        raise TypeError("fit: data must have both test_x and test_y, or neither.")
    arrays = Arrays(*map(_native, arrays))
    for name, array in zip(Arrays._fields, arrays, strict=True):
        if array is not None:
            check_array(array, f"data.{name}", "fit")
    axis = 0 if np.ndim(arrays.train_y) == 2 else None
    if axis == 0 and any(a.shape[0] != num_seeds for a in arrays[:4] if a is not None):
        raise ValueError(f"fit: data hold {arrays.train_y.shape[0]} draws, for {num_seeds} seeds.")
    params = jax.eval_shape(model.init, jax.random.key(0))
    for part, x, y in (("training", *arrays[:2]), ("test", *arrays[2:4])):
        for draw in range(0 if x is None else 1 if axis is None else num_seeds):
            x_draw, y_draw = (x, y) if axis is None else (x[draw], y[draw])
            check_inputs(f"fit: {part} data", model, params, x_draw)
            check_labels(f"fit: {part} data", model, x_draw.shape[0], y_draw, None)
    as_labels = (None if y is None else y.astype(np.int32) for y in (arrays.train_y, arrays.test_y))
    return arrays._replace(**dict(zip(("train_y", "test_y"), as_labels, strict=True))), axis


def _native(array: Any) -> Any:
    """Numbers in the machine's own order of bytes, as of a file of another machine."""
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array


def check_numbers(epochs, batch_size, validation, patience, stop_after=None, decay_after=None) -> None:
    """Raises a TypeError or ValueError for numbers that cannot train."""
    optional = {"patience": patience, "stop_after": stop_after, "decay_after": decay_after}
    for name, value in {"epochs": epochs, "batch_size": batch_size, **optional}.items():
        if name in optional and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"fit: {name} must be an integer of at least 1, got {shown(value)}.")
    if epochs > INT32_MAX:
        raise ValueError(f"fit: epochs must be at most {INT32_MAX:,}, as they are counted in int32, got {epochs}.")
    if not 0 <= check_real(validation, "validation", "fit") < 1:
        raise ValueError(f"fit: validation must be a fraction in [0, 1), got {validation}.")


def check_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Which seeds are meant by how many, or which.

    Raises:
      TypeError: they are no integers.
      ValueError: there are none or too many, or one is not in 0..2**32 - 1.

    Example:
      >>> check_seeds(3), check_seeds([7])
      ((0, 1, 2), (7,))
    """
    message = (
        f"fit: seeds must be a count from 1 to {MOST_SEEDS:,}, or so many integers in 0..2**32 - 1, got {shown(seeds)}."
    )
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        if not 1 <= seeds <= MOST_SEEDS:
            raise ValueError(message)
        return tuple(range(int(seeds)))
    if isinstance(seeds, bool | str) or not isinstance(seeds, Iterable) or len(getattr(seeds, "shape", (0,))) != 1:
        raise TypeError(message)
    which = tuple(itertools.islice(seeds, MOST_SEEDS + 1))
    if not all(isinstance(seed, int | np.integer) and not isinstance(seed, bool) for seed in which):
        raise TypeError(message)
    if not 1 <= len(which) <= MOST_SEEDS or not all(0 <= seed < 2**32 for seed in which):
        raise ValueError(message)
    return tuple(map(int, which))


def cut_batch(batch_size: int, data) -> int:
    """A batch no larger than the data are, so that any large number means all of them."""
    num_samples = np.shape(getattr(data, "train_y", 0))[-1:]
    # Of no samples at all the check of the data speaks.
    return max(1, int(min(batch_size, *num_samples))) if num_samples else int(batch_size)


def check_choices(keep, class_weight) -> None:
    """Raises a ValueError for a choice that there is not."""
    for name, value, known in (("keep", keep, ("last", "best")), ("class_weight", class_weight, (None, "balanced"))):
        check_choice(value, known, name, "fit")
