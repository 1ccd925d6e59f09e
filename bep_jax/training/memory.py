"""How much memory a piece of work takes at its peak, as the operating system counts it.

Source: proc(5), /proc/pid/clear_refs and VmHWM.
"""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes(work: Callable[[], Any]) -> int | None:
    """Runs ``work`` and says how far the process's resident memory rose above where it stood.

    Args:
      work: to be run once; whatever it compiles should be compiled already, because a compiler takes more than any
        small network.

    Returns:
      Bytes, at least 0; None where the system does not tell (it is not Linux, or the work runs on another device than
      the CPU). ``work`` runs in any case.

    Example:
      >>> import numpy as np
      >>> peak = peak_bytes(lambda: np.ones(2**24, np.uint8))
      >>> peak is None or peak > 2**23
      True
    """
    gc.collect()
    if jax.default_backend() != "cpu" or not reset_peak():
        work()
        return None
    before = resident_bytes()
    work()
    return max(0, resident_bytes(peak=True) - before)


def state_bytes(tree: Any) -> int:
    """Bytes of all arrays of a pytree; of a key, its data.

    Example:
      >>> import jax.numpy as jnp
      >>> state_bytes({"hidden": jnp.zeros((3, 4), jnp.int16), "key": jax.random.key(0)})
      32
    """
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def reset_peak() -> bool:
    """Hands free memory back, or arrays would move in there unseen, and sets the peak to what is resident then.

    Returns:
      Whether that worked.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text("5")
        return _STATUS.exists()
    except (OSError, AttributeError, TypeError):
        return False


def resident_bytes(*, peak: bool = False) -> int:
    """Resident memory of this process, on Linux: now, or at its peak since `reset_peak`."""
    name = "VmHWM:" if peak else "VmRSS:"
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
