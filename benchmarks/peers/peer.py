"""What the comparison wants of a method."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.peers.data import Part


class Fitted(NamedTuple):
    """A trained model."""

    predict: Callable[[np.ndarray], np.ndarray]  # raw features [n, ...] -> labels [n]
    size: int  # bytes of its file
    header: str | None = None  # C from `bep_jax.to_c`, where there is C
    cut: Callable[[np.ndarray], np.ndarray] | None = None  # what of raw features the C takes
    validation: float | None = None  # accuracy on samples that training itself held out


class Peer(NamedTuple):
    """A method: ``fit(settings, part, seed, effort)``, and four settings, ``candidates(kind)``, the usual one first."""

    fit: Callable[[dict, Part, int, dict], Fitted]
    candidates: Callable[[str], tuple[dict, ...]]
    kinds: tuple[str, ...] = ("image", "table", "series")
    is_network: bool = False  # compiled by JAX for each of its settings
    compiles: bool = False  # the first training in a process takes longer
    modules: tuple[str, ...] = ()  # that ``fit`` imports: there before anything is timed
