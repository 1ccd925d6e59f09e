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


class Peer(NamedTuple):
    """A method: ``fit(settings, part, seed, effort)``, and the settings that are tried, ``candidates(kind, quick)``."""

    fit: Callable[[dict, Part, int, dict], Fitted]
    candidates: Callable[[str, bool], tuple[dict, ...]]
    kinds: tuple[str, ...] = ("image", "table", "series")
    compiles: bool = False  # the first training in a process takes longer
    modules: tuple[str, ...] = ()  # that ``fit`` imports: there before anything is timed


# How much of it, in the whole and in the reduced protocol: passes over the data (binary networks, Tsetlin machine), at
# most so many (float network), trees, rounds of boosting, iterations of logistic regression, clauses, runs.
EFFORT = {
    False: {"epochs": 50, "passes": 200, "trees": 300, "boosts": 100, "iterations": 200, "clauses": 2000, "runs": 3},
    True: {"epochs": 50, "passes": 200, "trees": 100, "boosts": 50, "iterations": 100, "clauses": 500, "runs": 1},
}
