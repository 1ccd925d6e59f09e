"""Interleaved timing: every repetition runs every case once, so that a slow moment hits all of them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np

# Vectors of 512 bits, which XLA:CPU prefers to halve. Only a top-level jit takes the option, only on CPU.
WIDE = {"xla_cpu_prefer_vector_width": 512}


def compiler_options(quick: bool = False) -> dict[str, dict | None]:
    """The compiler options that are compared, by name, as `jax.jit` takes them; only the first in a quick run."""
    if jax.default_backend() != "cpu":
        return {"default": None}
    return {"w512": WIDE} if quick else {"w512": WIDE, "default": None}


class Case(NamedTuple):
    """Something to time."""

    run: Callable[[], object]  # returns arrays, which are waited for
    units: int = 1  # what one call does, for example steps


class Spread(NamedTuple):
    """Median and quartiles over repetitions."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, samples: np.ndarray) -> "Spread":
        return cls(*(float(q) for q in np.quantile(samples, (0.5, 0.25, 0.75))))

    def scaled(self, factor: float) -> "Spread":
        """The spread in another unit."""
        return Spread(*(value * factor for value in self))


@dataclass
class Clock:
    """How to time, and how busy the machine was.

    A process pinned to one core is timed by the CPU time that it takes, so that other programs on that core do not
    count; otherwise, and on an accelerator, by the wall.
    """

    repetitions: int
    seconds: float
    pinned: bool
    wall: float = field(default=0.0, init=False)
    cpu: float = field(default=0.0, init=False)

    @property
    def uses_cpu_time(self) -> bool:
        return self.pinned and jax.default_backend() == "cpu"

    def time(self, case: Case, calls: int = 1) -> float:
        """Seconds of ``calls`` calls."""
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            result = case.run()
        jax.block_until_ready(result)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu
        return cpu if self.uses_cpu_time else wall

    def measure(self, cases: Mapping[str, Case]) -> dict[str, np.ndarray]:
        """Seconds per unit of each case: ``{name: [repetitions]}``; entries of one index were measured together."""
        calls = {}
        for name, case in cases.items():
            self.time(case)  # compiles
            calls[name] = max(1, round(self.seconds / max(self.time(case), 1e-7)))
        samples: dict[str, list[float]] = {name: [] for name in cases}
        order = list(cases)
        for _ in range(self.repetitions):
            for name in order:
                samples[name].append(self.time(cases[name], calls[name]) / calls[name] / cases[name].units)
            order = order[1:] + order[:1]  # nobody always comes after the same one
        return {name: np.array(values) for name, values in samples.items()}


def fastest(samples: Mapping[str, np.ndarray], prefix: str) -> str | None:
    """The name of the case with the smallest median among those whose names start so, None if there is none."""
    names = [name for name in samples if name.startswith(prefix)]
    return min(names, key=lambda name: float(np.median(samples[name])), default=None)


def ratio(samples: Mapping[str, np.ndarray], slow: str | None, fast: str | None) -> Spread | None:
    """How many times faster ``fast`` is, repetition by repetition."""
    if slow is None or fast is None:
        return None
    return Spread.of(samples[slow] / samples[fast])
