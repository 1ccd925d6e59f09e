"""Data sets by name, and from your own arrays.

Names: ``random-prototypes`` (needs nothing), ``mnist``, ``fashion-mnist`` (idx files), ``digits`` (scikit-learn),
``ucr/<Problem>`` (``.ts`` files), ``<path>.csv`` (a table of your own with a label column, also ``.tsv``) and
``<path>.npz`` (features and labels of your own). Files are looked for in ``data_dir``, else ``$BEP_JAX_DATA``, else
``~/.cache/bep_jax``; what is missing is downloaded there.
"""

import difflib
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from bep_jax.data import encode, features, files, images, series, table_files, tables
from bep_jax.data.arrays import from_arrays, usual_encoder
from bep_jax.data.columns import Columns
from bep_jax.data.dataset import Dataset, EncoderOrFit, Options, Parts, Usual, Whole, check_seed, encoded, stacked
from bep_jax.data.encode import Encoder
from bep_jax.data.random_prototypes import RandomPrototypes
from bep_jax.data.words import unpack_host
from bep_jax.kernels.checks import check_count

__all__ = ["NAMES", "Dataset", "from_arrays", "load"]

NAMES = ("random-prototypes", "mnist", "fashion-mnist", "digits", "ucr/<Problem>", "<path>.csv", "<path>.npz")
_TEST_FRACTION = 0.2


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
    whole: Whole = False,
    fold: int | None = None,
    folds: int = 3,
    num_inputs: int | None = None,
    num_classes: int | None = None,
    num_train: int | None = None,
    num_test: int | None = None,
    flip_probability: float | None = None,
    label: str | None = None,
    test: str | os.PathLike | None = None,
    test_fraction: float | None = None,
    columns: Columns | None = None,
) -> Dataset:
    """Loads a data set, encoded.

    The usual encoders: images, the median of all pixels (one bit each); series, a thermometer of 10 bits per channel;
    tables and features of an ``.npz`` file, a thermometer of as many bits as are useful; random prototypes are bits
    already. Encoders are fitted on the training part alone.

    Args:
      name: one of ``NAMES``.
      split: "official"; for "mnist" and "fashion-mnist" also "paper": the first 50,000 of the training file, tested on
        its last 10,000.
      data_dir: the folder of the files; else ``$BEP_JAX_DATA``, else ``~/.cache/bep_jax``.
      seed: of what is drawn: prototypes and noise, the split of "digits" and of tables, folds, the expansion. A
        sequence of S seeds gives every array a leading axis [S] and S encoders.
      encoder: a fitted encoder, or a function ``train_x -> encoder``, in place of the usual one.
      raw: leave features as they are: pixels uint8, series float64 (padded with NaN), prototypes int8 ±1.
      window: series: the last so many steps, shorter series padded in front with NaN (default: the longest series);
        images: so many equal slices of the pixels, one per time step (28: a row of MNIST a step).
      num_bits: a thermometer of so many bits per feature at most; for images, levels that all pixels share.
      width: expand the bits to so many by a random ±1 matrix; by default they are not expanded.
      whole: series and slices: all steps as the features of one sample, ``[n, T F]``, for a network without a time
        axis; every feature of every step has thresholds of its own, as many as those of a table. "tied": levels
        and edges (`bep_jax.encode.fit_edges`) shared by all steps: what `bep_jax.conv` wants. "rocket": how often each
        of many small kernels responds, wherever it does (`bep_jax.encode.fit_rocket`). "both": first these, then those,
        which go past convolutions: ``bep_jax.conv(extra=data.extra)``.
      fold: "ucr/..." and "digits": the test part is this fold (from 0) of all samples, stratified. By default the
        archive's own split, and for "digits" one of five folds.
      folds: how many folds there are.
      num_inputs: random-prototypes only, like the four that follow: bits, 1000 by default.
      num_classes: prototypes, 10.
      num_train: training samples, 20,000.
      num_test: test samples, 3,000.
      flip_probability: of every bit of a sample, 0.46.
      label: tables only, like the three that follow: the column that holds the label. Columns of text become a feature
        of 0 and 1 for every value.
      test: the path of a table with the test part, its columns in any order.
      test_fraction: without ``test``: the stratified share of the samples that is the test part, 0.2.
      columns: the columns that a network was trained on, as of `bep_jax.load`, to take these and no others.

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
    options = Options(encoder, raw, num_bits, width, whole)
    options.check("load")
    if isinstance(seed, np.ndarray | np.generic | jax.Array) and jax.numpy.issubdtype(seed.dtype, np.integer):
        seed = seed.tolist()  # one or several
    several = isinstance(seed, Sequence) and not isinstance(seed, str | bytes)
    seeds: tuple[Any, ...] = tuple(seed) if several else (seed,)  # type: ignore[arg-type]
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
    tabular = {
        key: value
        for key, value in (("label", label), ("test", test), ("test_fraction", test_fraction), ("columns", columns))
        if value is not None
    }
    _check_name(name)
    _check_meant(name, split=split, window=window, fold=fold, folds=folds, num_bits=num_bits, sizes=sizes)
    _check_table(name, tabular)
    if _is_table(name):
        table = table_files.load_table(name, data_dir, str(label), test, columns)
        fraction = _TEST_FRACTION if test_fraction is None else test_fraction
        draw: Callable[[int], Parts] = lambda one: table.parts(fraction, one)  # noqa: E731
        usual: Usual = usual_encoder
        seeded = test is None
    else:
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
    return stacked(sets, len(seeds)) if several else sets[0]


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
) -> tuple[Callable[[int], Parts], Usual, bool]:
    """Reads what there is to read: seed -> parts, the usual encoder, and whether the seed matters to the parts."""
    if name == "random-prototypes":
        prototypes = RandomPrototypes(**sizes)
        return lambda seed: (_unpacked if as_features else _same)(prototypes.draw(seed)), _grey, True
    if name.startswith(series.PREFIX):
        problem = series.load_problem(name, data_dir)
        return (
            lambda seed: series.split_problem(problem, window, fold, folds, seed),
            usual_encoder,
            fold is not None,
        )
    if _is_npz(name):
        parts = features.load_npz(name, data_dir)
        return lambda seed: parts, usual_encoder, False
    cut = _same if window is None else lambda parts: images.slices(parts, window)
    if name == "digits":
        x, y = images.load_digits()
        return lambda seed: cut(images.split_digits(x, y, fold, folds, seed)), _grey, True
    parts = cut(images.load_idx(name, split, data_dir))
    return lambda seed: parts, _grey, False


def _grey(train_x: np.ndarray, num_bits: int | None) -> Encoder:
    """The encoder of images: as many grey levels, the same for all pixels."""
    return encode.fit_median(train_x) if num_bits is None else encode.fit_levels(train_x, num_bits)


def _same(parts: Parts) -> Parts:
    return parts


def _unpacked(parts: Parts) -> Parts:
    """Bits as features: int8 ±1."""
    num_bits = parts.num_bits
    assert num_bits is not None

    def signs(words: np.ndarray) -> np.ndarray:
        return unpack_host(words, num_bits).astype(np.int8) * np.int8(2) - np.int8(1)

    return parts._replace(train_x=signs(parts.train_x), test_x=signs(parts.test_x), num_bits=None)


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"load: name must be text, got {name!r}.")
    if name in NAMES or name.startswith(series.PREFIX) or _is_npz(name) or _is_table(name):
        return
    files.check_unpacked(name, "load")
    near = difflib.get_close_matches(name.lower().replace("_", "-"), NAMES, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"load: there is no data set {name!r}.{hint} The names are {', '.join(NAMES)}.")


def _is_npz(name: str) -> bool:
    return name.lower().endswith(features.SUFFIX)


def _is_table(name: str) -> bool:
    return name.lower().endswith(tables.SUFFIXES)


def _check_table(name: str, given: dict[str, Any]) -> None:
    """Raises ValueError where a table lacks its label, or other data have one."""
    if not _is_table(name):
        if given:
            raise ValueError(f"load: {', '.join(given)} belong to tables (.csv), not to {name!r}.")
        return
    for key, value in given.items():
        kinds = {"label": (str,), "test": (str, os.PathLike), "test_fraction": (float, int), "columns": (Columns,)}[key]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"load: {key} must be {' or '.join(kind.__name__ for kind in kinds)}, got {value!r}.")
    if "label" not in given:
        raise ValueError(f"load: {name!r} is a table; name the column that holds the label: label=, or --label COLUMN.")
    if "test" in given and "test_fraction" in given:
        raise ValueError("load: give test or test_fraction, not both.")


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
    if not isinstance(split, str) or split not in splits:
        raise ValueError(f"load: {name!r} has split={' or '.join(map(repr, splits))}, got {split!r}.")
    if name != "random-prototypes" and sizes:
        raise ValueError(f"load: {', '.join(sizes)} belong to 'random-prototypes', not to {name!r}.")
    if (_is_npz(name) or _is_table(name)) and window is not None:
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
