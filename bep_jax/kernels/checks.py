"""Checks of arguments that many functions share."""

import numpy as np


def check_count(value: int, name: str, who: str, least: int = 1) -> int:
    """A whole number as an int, or an error that names who wanted it.

    Raises:
      TypeError: it is no integer.
      ValueError: it is below ``least``.

    Example:
      >>> check_count(np.int64(3), "width", "mlp")
      3
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{who}: {name} must be an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"{who}: {name} must be at least {least}, got {value}.")
    return int(value)
