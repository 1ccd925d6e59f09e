"""Checks of arguments that many functions share."""

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

INT32_MAX = 2**31 - 1  # sums of ±1 are int32, and so are indices


def check_count(value: int, name: str, who: str, least: int = 1) -> int:
    """A whole number as an int, or an error that names who wanted it.

    Raises:
      TypeError: it is no integer.
      ValueError: it is below ``least``, or above what int32 holds.

    Example:
      >>> check_count(np.int64(3), "width", "mlp")
      3
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{who}: {name} must be an integer, got {shown(value)}.")
    if value < least:
        raise ValueError(f"{who}: {name} must be at least {least}, got {value}.")
    if value > INT32_MAX:
        raise ValueError(f"{who}: {name} must be at most {INT32_MAX:,}, got {value}.")
    return int(value)


def check_real(value: Any, name: str, who: str) -> float:
    """A real number as a float, NaN and infinity too, or a TypeError that names who wanted it.

    Example:
      >>> check_real(np.float32(0.5), "alpha", "equiangular_frame")
      0.5
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{who}: {name} must be a number, got {shown(value)}.")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{who}: {name} must be a number of this world, got {value}.") from None


def check_positive(value: Any, name: str, who: str) -> float:
    """A positive and finite number as a float, or an error that names who wanted it."""
    number = check_real(value, name, who)
    if not 0 < number < math.inf:
        raise ValueError(f"{who}: {name} must be positive and finite, got {shown(value)}.")
    return number


def check_type(value: Any, kind: type | tuple[type, ...], name: str, who: str) -> None:
    """Raises a TypeError that names who wanted what, if the value is of another type."""
    if not isinstance(value, kind):
        kinds = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
        raise TypeError(f"{who}: {name} must be {kinds}, got {shown(value)}.")


def check_choice(value: Any, known: Sequence[Any], name: str, who: str) -> None:
    """Raises a ValueError that names who wanted what, if the value is none of those known."""
    if not any(type(value) is type(one) and value == one for one in known):
        raise ValueError(f"{who}: {name} must be {' or '.join(map(repr, known))}, got {shown(value)}.")


def check_flag(value: Any, name: str, who: str) -> bool:
    """Whether a flag is set, or a TypeError that names who wanted it: "no" and an array are neither true nor false."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{who}: {name} must be True or False, got {shown(value)}.")
    return bool(value)


def check_several(value: Any, name: str, who: str) -> tuple[Any, ...]:
    """The values of a sequence or array, or a TypeError that names who wanted them."""
    if not is_several(value):
        raise TypeError(f"{who}: {name} must be a sequence, got {shown(value)}.")
    return tuple(value)


def is_several(value: Any) -> bool:
    """Whether this is a sequence or an array of values."""
    return (
        isinstance(value, Iterable) and not isinstance(value, str | bytes | dict) and getattr(value, "shape", 1) != ()
    )


def check_path(value: Any, name: str, who: str) -> Path:
    """A path, or a TypeError that names who wanted one."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{who}: {name} must be a path, got {shown(value)}.")
    if "\0" in os.fspath(value):
        raise ValueError(f"{who}: {name} must be a path, which has no null character, got {shown(value)}.")
    return Path(value)


def is_integer(dtype: Any) -> bool:
    """Whether arrays of this dtype hold integers; to NumPy timedelta64 holds them, too."""
    return bool(jax.numpy.issubdtype(dtype, jax.numpy.integer)) and getattr(dtype, "kind", "") != "m"


def check_array(value: Any, name: str, who: str, wanted: str = "an array") -> None:
    """Raises a TypeError that names who ``wanted`` one, if this is no array, or has a mask, which JAX would ignore."""
    if not isinstance(value, jax.Array | np.ndarray | jax.ShapeDtypeStruct) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{who}: {name} must be {wanted}, got {type(value).__name__}.")
    if isinstance(value, np.ndarray) and (value.dtype.kind in "OSUVMm" or not value.dtype.isnative):
        raise TypeError(f"{who}: {name} must be an array of numbers in the machine's own order, got {value.dtype}.")


def shown(value: Any) -> str:
    """A value as messages show it: short, an array by its dtype and shape.

    Example:
      >>> shown("a" * 100), shown(np.zeros(3))
      ("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...", 'float64 (3,)')
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {value.shape}" if value.shape else f"{value.dtype} {value}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def check_memory(num_bytes: int, what: str, who: str) -> None:
    """Refuses what no memory of this machine can hold, before it is tried: the system would end the process.

    Args:
      num_bytes: at least so many are needed.
      what: names them, in the plural.
      who: begins the message.

    Raises:
      ValueError: there are not so many in the machine and its accelerators.

    Example:
      >>> check_memory(10**6, "weights", "fit")
    """
    there = _memory()
    if there is not None and num_bytes > there:
        raise ValueError(
            f"{who}: {what} take at least {num_bytes / 1e9:,.1f} GB, and this machine has {there / 1e9:,.1f} GB."
        )


def _memory() -> int | None:
    """Bytes of the machine, or of all its accelerators if they have more; None where nobody says."""
    try:
        host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    if jax.default_backend() == "cpu":
        return host
    return max(host, sum((device.memory_stats() or {}).get("bytes_limit", 0) for device in jax.local_devices()))
