"""Data sets by name, and from your own arrays.

Names: ``random-prototypes`` (needs nothing), ``mnist``, ``fashion-mnist`` (idx files), ``digits`` (scikit-learn),
``ucr/<Problem>`` (``.ts`` files) and ``<path>.npz`` (features and labels of your own). Files are looked for in
``data_dir``, else ``$BEP_JAX_DATA``, else ``~/.cache/bep_jax``; what is missing is downloaded there.
"""

import difflib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from bep_jax.data import encode, features, images, series
from bep_jax.data.dataset import (
    Dataset,
    EncoderOrFit,
    Options,
    Parts,
    check_seed,
    encoded,
    from_arrays,
    stacked,
)
from bep_jax.data.encode import Encoder
from bep_jax.data.random_prototypes import RandomPrototypes
from bep_jax.kernels.checks import check_count

__all__ = ["NAMES", "Dataset", "from_arrays", "load"]

NAMES = ("random-prototypes", "mnist", "fashion-mnist", "digits", "ucr/<Problem>", "<path>.npz")


def load(
    name: str,
    *,
    split: str = "official",
    data_dir: str | os.PathLike | None = None,
    seed: int | Sequence[int] = 0,
    encoder: EncoderOrFit | None = None,
    raw: bool = False,
    window: int | None = None,
    num_bits: int | None = None,
    width: int | None = None,
    fold: int | None = None,
    folds: int = 3,
    num_inputs: int | None = None,
    num_classes: int | None = None,
    num_train: int | None = None,
    num_test: int | None = None,
    flip_probability: float | None = None,
) -> Dataset:
    """Loads a data set, encoded.

    The usual encoders: images, the median of all pixels (one bit each); series, a thermometer of 10 bits per channel;
    features of an ``.npz`` file, the median of each; random prototypes are bits already. Encoders are fitted on the
    training part alone.

    Args:
      name: one of ``NAMES``.
      split: "official"; for "mnist" and "fashion-mnist" also "paper": the first 50,000 of the training file, tested on
        its last 10,000.
      data_dir: the folder of the files; else ``$BEP_JAX_DATA``, else ``~/.cache/bep_jax``.
      seed: of what is drawn: prototypes and noise, the split of "digits", folds, the expansion. A sequence of S seeds
        gives every array a leading axis [S] and S encoders.
      encoder: a fitted encoder, or a function ``train_x -> encoder``, in place of the usual one.
      raw: leave features as they are: pixels uint8, series float64 (padded with NaN), prototypes int8 ±1.
      window: series: the last so many steps, shorter series padded in front with NaN (default: the longest series);
        images: so many equal slices of the pixels, one per time step (28: a row of MNIST a step).
      num_bits: a thermometer of so many bits per feature in place of the usual encoder.
      width: expand the bits to so many by a random ±1 matrix; by default they are not expanded.
      fold: "ucr/..." and "digits": the test part is this fold (from 0) of all samples, stratified. By default the
        archive's own split, and for "digits" one of five folds.
      folds: how many folds there are.
      num_inputs: random-prototypes only, like the four that follow: bits, 1000 by default.
      num_classes: prototypes, 10.
      num_train: training samples, 20,000.
      num_test: test samples, 3,000.
      flip_probability: of every bit of a sample, 0.46.

    Returns:
      The :class:`Dataset`.

    Raises:
      FileNotFoundError: files are missing and cannot be downloaded; says which, where, and where to get them.
      ImportError: a package of the extra ``bep_jax[data]`` is needed.
      TypeError: an argument of the wrong type.
      ValueError: an unknown name, arguments out of range or not meant for this data set, a damaged file.

    Example:
      >>> data = load("random-prototypes", num_train=100, num_test=10, seed=(0, 1))
      >>> data.train_x.shape, data.test_y.shape, data.num_inputs
      ((2, 100, 32), (2, 10), 1000)
    """
    options = Options(encoder, raw, num_bits, width)
    options.check("load")
    seeds = tuple(seed) if isinstance(seed, Iterable) else (seed,)
    if not seeds:
        raise ValueError("load: seed is an empty sequence.")
    for one in seeds:
        check_seed(one, "load")
    if window is not None:
        window = check_count(window, "window", "load")
    given = {
        "num_inputs": num_inputs,
        "num_classes": num_classes,
        "num_train": num_train,
        "num_test": num_test,
        "flip_probability": flip_probability,
    }
    sizes = {key: value for key, value in given.items() if value is not None}
    _check_name(name)
    _check_meant(name, split=split, window=window, fold=fold, folds=folds, num_bits=num_bits, sizes=sizes)
    draw, usual, seeded = _source(
        name,
        split=split,
        data_dir=data_dir,
        window=window,
        fold=fold,
        folds=folds,
        sizes=sizes,
        as_features=raw or encoder is not None,
    )
    drawn = seeds if seeded or width is not None else seeds[:1]
    sets = [encoded(draw(one), options, usual, one) for one in drawn]
    return stacked(sets, len(seeds)) if isinstance(seed, Iterable) else sets[0]


def _source(
    name: str,
    *,
    split: str,
    data_dir: str | os.PathLike | None,
    window: int | None,
    fold: int | None,
    folds: int,
    sizes: dict[str, Any],
    as_features: bool,
) -> tuple[Callable[[int], Parts], Callable[[np.ndarray], Encoder], bool]:
    """Reads what there is to read: seed -> parts, the usual encoder, and whether the seed matters to the parts."""
    if name == "random-prototypes":
        prototypes = RandomPrototypes(**sizes)
        return lambda seed: (_unpacked if as_features else _same)(prototypes.draw(seed)), encode.fit_median, True
    if name.startswith(series.PREFIX):
        problem = series.load_problem(name, data_dir)
        return (
            lambda seed: series.split_problem(problem, window, fold, folds, seed),
            lambda train: encode.fit_thermometer(train, 10),
            fold is not None,
        )
    if name.endswith(features.SUFFIX):
        parts = features.load_npz(name, data_dir)
        return lambda seed: parts, lambda train: encode.fit_thermometer(train, 10 if train.ndim == 3 else 1), False
    cut = _same if window is None else lambda parts: images.slices(parts, window)
    if name == "digits":
        x, y = images.load_digits()
        return lambda seed: cut(images.split_digits(x, y, fold, folds, seed)), encode.fit_median, True
    parts = cut(images.load_idx(name, split, data_dir))
    return lambda seed: parts, encode.fit_median, False


def _same(parts: Parts) -> Parts:
    return parts


def _unpacked(parts: Parts) -> Parts:
    """Bits as features: int8 ±1."""

    def signs(words: np.ndarray) -> np.ndarray:
        ones = np.unpackbits(words.astype("<u4").view(np.uint8), axis=-1, count=parts.num_bits, bitorder="little")
        return ones.astype(np.int8) * np.int8(2) - np.int8(1)

    return parts._replace(train_x=signs(parts.train_x), test_x=signs(parts.test_x), num_bits=None)


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"load: name must be text, got {name!r}.")
    if name in NAMES or name.startswith(series.PREFIX) or name.endswith(features.SUFFIX):
        return
    near = difflib.get_close_matches(name.lower().replace("_", "-"), NAMES, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"load: there is no data set {name!r}.{hint} The names are {', '.join(NAMES)}.")


def _check_meant(
    name: str,
    *,
    split: str,
    window: int | None,
    fold: int | None,
    folds: int,
    num_bits: int | None,
    sizes: dict[str, Any],
) -> None:
    """Raises ValueError for an argument that this data set has no use for, or a split or fold that it has not."""
    splits = images.SPLITS if name in images.IDX else ("official",)
    if split not in splits:
        raise ValueError(f"load: {name!r} has split={' or '.join(map(repr, splits))}, got {split!r}.")
    if name != "random-prototypes" and sizes:
        raise ValueError(f"load: {', '.join(sizes)} belong to 'random-prototypes', not to {name!r}.")
    if name.endswith(features.SUFFIX) and window is not None:
        raise ValueError(f"load: {name!r} holds arrays as they are; cut them before saving, and leave out window.")
    if name == "random-prototypes" and (window is not None or num_bits is not None):
        raise ValueError("load: 'random-prototypes' are bits without order; leave out window and num_bits.")
    if fold is None:
        return
    if name != "digits" and not name.startswith(series.PREFIX):
        raise ValueError(f"load: fold is for 'digits' and 'ucr/<Problem>', not for {name!r}.")
    check_count(folds, "folds", "load", least=2)
    if not 0 <= check_count(fold, "fold", "load", least=0) < folds:
        raise ValueError(f"load: fold must be from 0 to folds - 1 = {folds - 1}, got {fold}.")
