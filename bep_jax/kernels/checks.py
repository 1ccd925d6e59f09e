"""Checks of arguments that many functions share."""

import os

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
        raise TypeError(f"{who}: {name} must be an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"{who}: {name} must be at least {least}, got {value}.")
    if value > INT32_MAX:
        raise ValueError(f"{who}: {name} must be at most {INT32_MAX:,}, got {value}.")
    return int(value)


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
