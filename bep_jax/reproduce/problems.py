"""UCR problems as the tables use them: which there are, folds of both files together, several encodings side by side.

Axis letters: S networks trained side by side, n series, T time steps, W words.
"""

import fnmatch
import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bep_jax.data import files, series
from bep_jax.data.arrays import usual_encoder
from bep_jax.data.dataset import Options, encoded

_TRAIN = "_TRAIN.ts"


class Known(NamedTuple):
    """What a results file says about a problem."""

    problem: str
    data: str  # digest of series and labels
    num_steps: int  # of the longest series


class Arrays(NamedTuple):
    """Data for `bep_jax.fit`."""

    train_x: np.ndarray  # uint32 [n, T, W], or [S, n, T, W]
    train_y: np.ndarray  # int32 [n], or [S, n]
    test_x: np.ndarray
    test_y: np.ndarray


class Source:
    """A problem, read once for all folds, windows and bits."""

    def __init__(self, name: str, data_dir: str | os.PathLike | None):
        self._problem = series.load_problem(series.PREFIX + name, data_dir)
        every = [*self._problem.train, *self._problem.test]
        self.known = Known(name, _digest(self._problem), max(one.shape[0] for one in every))
        self.num_classes = len(self._problem.classes)

    def windows(self, wanted: Sequence[int]) -> tuple[int, ...]:
        return windows(self.known, wanted)

    def fold(
        self, fold: int, folds: int, window: int, bits: Sequence[int], width: int, seed: int, *, test: bool
    ) -> Arrays:
        """One fold as the test part, once for each entry of ``bits`` along a leading axis.

        Each is what ``load("ucr/...", fold=fold, ...)`` gives with the same arguments; encoders are fitted on the other
        folds. With ``test=False`` the test part is not encoded; in its place stands a training series, because `fit`
        wants one.
        """
        parts = series.split_problem(self._problem, window, fold, folds, seed)
        if not test:
            parts = parts._replace(test_x=parts.train_x[:1], test_y=parts.train_y[:1])
        sets = {b: encoded(parts, Options(num_bits=b, width=width), usual_encoder, seed) for b in set(bits)}
        every = [(d.train_x, d.train_y, d.test_x, d.test_y) for d in (sets[b] for b in bits)]
        return Arrays(*(np.stack(arrays) for arrays in zip(*every, strict=True)))


def windows(known: Known, wanted: Sequence[int]) -> tuple[int, ...]:
    """The windows, none longer than the longest series and none twice, shortest first."""
    return tuple(sorted({min(window, known.num_steps) for window in wanted}))


def find(patterns: Sequence[str] | None, data_dir: str | os.PathLike | None, usual: Sequence[str]) -> tuple[str, ...]:
    """Names of problems.

    Args:
      patterns: names, with or without "ucr/", or patterns such as ``*`` or ``Gun*`` of problems that are there; None
        for those of ``usual`` that are there.
      data_dir: as in `bep_jax.datasets.load`.
      usual: names.

    Returns:
      Names, sorted. A name without ``*?[`` need not be there; it is downloaded when it is loaded.

    Raises:
      ValueError: nothing was found.
    """
    there = _present(data_dir)
    if patterns is None:
        names = set(there) & set(usual)
        others = f" Found, but not among them: {', '.join(sorted(there))}; name them by --problems." if there else ""
        wanted = f"the problems {', '.join(sorted(usual))}"
    else:
        names, wanted, others = set(), f"problems {' '.join(patterns)}", ""
        for pattern in patterns:
            name = pattern.removeprefix(series.PREFIX)
            names.update(fnmatch.filter(there, name) if any(c in name for c in "*?[") else [name])
    if not names:
        raise ValueError(f"reproduce: found none of {wanted} in {files.root(data_dir)}/ucr.{others}")
    return tuple(sorted(names))


def _present(data_dir: str | os.PathLike | None) -> list[str]:
    """Problems both of whose files are where `load` looks for them."""
    root = files.root(data_dir)
    found = {path for pattern in ("ucr/*/*", "*/*", "*") for path in root.glob(pattern + _TRAIN)}
    names = {path.name.removesuffix(_TRAIN): path for path in found}
    return [n for n, path in names.items() if path.with_name(f"{n}_TEST.ts").is_file()]


def _digest(problem: series.Problem) -> str:
    digest = hashlib.sha256(repr(problem.classes).encode())
    for part in (problem.train, problem.test):
        for one in part:
            digest.update(repr(one.shape).encode() + np.ascontiguousarray(one, "<f8").tobytes())
    for labels in (problem.train_y, problem.test_y):
        digest.update(labels.astype("<i4").tobytes())
    return digest.hexdigest()[:12]
