"""How much of the comparison is run: in full, in an hour or two, or only to show that it works."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.peers import data
from benchmarks.peers.peer import Peer


class Protocol(NamedTuple):
    """Numbers that every method of a kind has alike.

    ``effort``: passes over the data of networks (BEP's, straight-through ones, at most so many of the float network)
    and of the Tsetlin machine, its clauses; networks of an ensemble; trees, rounds of boosting, iterations of logistic
    regression. ``large``: what of it is less on MNIST and Fashion-MNIST.
    """

    runs: int
    candidates: int  # settings that a method tries
    network_candidates: int  # the same of networks whose program is compiled for each setting; 1: none is tried
    tuning_samples: int | None  # settings are tried on so many of the training samples at most
    data: tuple[str, ...]
    effort: Mapping[str, int]
    large: Mapping[str, int]

    def effort_on(self, problem: str) -> dict[str, int]:
        """The numbers for a data set."""
        return {**self.effort, **(self.large if problem in data.LARGE else {})}

    def settings(self, peer: Peer, problem: str) -> dict[str, Any]:
        """What the numbers of a run depend on besides its place."""
        most = self.network_candidates if peer.is_network else self.candidates
        return {
            "effort": self.effort_on(problem),
            "candidates": list(peer.candidates(data.kind_of(problem))[:most]),
            "tuning_samples": self.tuning_samples,
        }


_SHORT = {
    **{"epochs": 50, "straight_through": 50, "passes": 50, "tsetlin": 50, "clauses": 500, "networks": 3},
    **{"trees": 100, "boosts": 50, "iterations": 100},
}

PROTOCOLS = {
    "full": Protocol(
        runs=3,
        candidates=4,
        network_candidates=4,
        tuning_samples=None,
        data=data.NAMES,
        effort={
            **{"epochs": 50, "straight_through": 50, "passes": 200, "tsetlin": 50, "clauses": 2000, "networks": 5},
            **{"trees": 300, "boosts": 100, "iterations": 200},
        },
        large={},
    ),
    "short": Protocol(
        runs=1,
        candidates=2,
        network_candidates=1,
        tuning_samples=5000,
        data=data.NAMES,
        effort=_SHORT,
        large={"epochs": 15, "straight_through": 10, "passes": 10, "tsetlin": 10, "boosts": 20, "iterations": 50},
    ),
    "quick": Protocol(
        runs=1,
        candidates=2,
        network_candidates=1,
        tuning_samples=100,
        data=("iris", "ucr/ERing"),
        effort={**_SHORT, "epochs": 2, "straight_through": 2, "passes": 20, "tsetlin": 2, "clauses": 50, "trees": 10},
        large={},
    ),
}
