"""The host loop around whole epochs on the device, all seeds in one program, for any learning rule.

A `Learner` says what one seed does with one mini-batch; `train` gives it batches, seeds, validation and a progress bar.
Between epochs the host does what needs no device: it reads counts, lets the learner adapt (reinforcement to the
training error) and finds the seeds whose validation accuracy has stalled. What differs between seeds is an argument of
one compiled program, so nothing recompiles.

Axis letters: S seeds, n samples, m rows, B batch, T time steps, W words.
Source: arXiv 2512.04189, Section 4 (protocol).
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from bep_jax.kernels.host import to_host
from bep_jax.learning.chain import check_inputs, check_labels
from bep_jax.network.model import Model, check_key
from bep_jax.training.checkpoint import Checkpoints, describe, fingerprint
from bep_jax.training.devices import ONE_DEVICE, Placement
from bep_jax.training.interrupt import interruptible
from bep_jax.training.learner import Learner, TrainState, count_correct, epoch

TRAINS, HELD_OUT = 1, 2  # in a ``train_split``; 0 takes no part: padding, so that programs serve data of many sizes


class Result(NamedTuple):
    """What `fit` returns; every array has a leading seed axis."""

    params: Any  # `Params`: int16 [S, N, K] per matrix, uint32 [S, C, W]
    test_accuracy: np.ndarray  # float64 [S], fractions, after the last epoch; NaN without test data
    history: dict[str, np.ndarray]  # name -> [S, epochs]
    seeds: tuple[int, ...]
    state: TrainState  # everything that further training needs


class Report(NamedTuple):
    """What a callback of `fit` gets after every epoch."""

    epoch: int  # from 1
    epochs: int
    metrics: dict[str, np.ndarray]  # name -> [S], this epoch's column of the history
    state: TrainState  # donated to the next epoch: copy what you keep


class Options(TypedDict, total=False):
    """Arguments that every ``fit`` hands on to `train`, with its defaults; explained in `bep_jax.fit`."""

    epochs: int
    batch_size: int
    key: jax.Array | None
    validation: float
    patience: int | None
    callbacks: Sequence[Callable[[Report], None]]
    progress: bool
    checkpoint_dir: str | os.PathLike | None
    resume: bool


def train(
    learner: Learner,
    settings: Any,
    data: Any,
    *,
    seeds: tuple[int, ...],
    epochs: int = 50,
    batch_size: int = 100,
    key: jax.Array | None = None,
    validation: float = 0.1,
    patience: int | None = 10,
    callbacks: Sequence[Callable[[Report], None]] = (),
    progress: bool = True,
    checkpoint_dir: str | os.PathLike | None = None,
    resume: bool = False,
    place: Placement = ONE_DEVICE,
) -> Result:
    """Trains one network per seed with any learner and tests them; the arguments are those of `bep_jax.fit`.

    Args:
      learner: a `Learner`.
      settings: its numbers, with a leading axis ``[S]`` on every array; see `per_seed`.
      seeds: from `check_seeds`.
      place: the devices; with a batch axis, the learner's step adds up what it learns over it.

    Returns:
      A `Result`; its history is the learner's metrics and validation_accuracy.

    Raises:
      TypeError, ValueError: arguments out of range, data that do not fit the model, a checkpoint of another run.
      FileExistsError: there is a checkpoint, and ``resume`` is False.
    """
    if resume and checkpoint_dir is None:
        raise ValueError("fit: resume=True wants a checkpoint_dir.")
    check_numbers(epochs, batch_size, validation, patience)
    arrays, data_axis = _check_data(learner.model, data, len(seeds))
    sizes = _sizes(arrays, data_axis, validation)
    key = jax.random.key(0) if key is None else key
    check_key("fit", key)

    checkpoints, done = None, 0
    if checkpoint_dir is not None:
        if jax.process_count() > 1:
            raise ValueError(f"fit: checkpoint_dir is for one process, there are {jax.process_count()}.")
        config = {
            "seeds": list(seeds),
            "key": describe(key),
            "batch_size": int(batch_size),
            "validation": float(validation),
            "patience": None if patience is None else int(patience),
            "learner": describe(learner),
            "data": {name: fingerprint(a) for name, a in arrays._asdict().items() if a is not None},
            "settings": describe(settings),
        }
        checkpoints = Checkpoints(checkpoint_dir, config, resume)
        done = checkpoints.epoch
        if done > epochs:
            raise ValueError(f"fit: epochs={epochs}, but the checkpoint in {checkpoint_dir} has {done} already.")

    programs = _programs(learner, batch_size, sizes.static, data_axis, place)
    arrays, counts = place.put(arrays, data_axis), place.put(sizes.counts, None)
    patience = patience if sizes.held_out else None
    history: dict[str, np.ndarray] = {}
    shown = progress and jax.process_index() == 0
    with interruptible() as interrupted:
        numbers = place.put(np.asarray(seeds, np.uint32), 0)
        state, *rows = programs.start(place.put(key, None), numbers, place.put(settings, 0), arrays.train_split)
        run = _Run(state, settings, _Stall(np.full(len(seeds), -1), np.zeros(len(seeds), int)))
        if checkpoints is not None:
            run, history = checkpoints.restore(run)
        bar = tqdm(total=epochs, initial=done, unit="epoch", disable=not shown)
        with bar, contextlib.suppress(KeyboardInterrupt):
            while done < epochs and not interrupted():
                state, *found = programs.epoch(run.state, place.put(run.settings, 0), arrays, *rows, counts)
                totals, correct = to_host(found)
                run = run._replace(state=state)  # the old one is donated
                metrics = learner.metrics(run.settings, totals, sizes.trained)
                if sizes.held_out:
                    metrics["validation_accuracy"] = correct.astype(np.float64) / sizes.held_out
                stall, stalled = run.stall.advance(correct, patience)
                state = state._replace(opt_state=learner.after_epoch(state.opt_state, metrics))
                run = _Run(state, learner.grow(run.settings, stalled), stall)
                columns = {name: values[:, None] for name, values in metrics.items()}
                history = {n: np.append(history[n], c, axis=1) if done else c for n, c in columns.items()}
                done += 1
                if checkpoints is not None:
                    checkpoints.save(run, history, done)
                bar.update()
                bar.set_postfix({name: f"{metrics[name].mean():.2%}" for name in _shown(metrics)})
                for callback in callbacks:
                    callback(Report(done, epochs, metrics, run.state))
            if checkpoints is not None:
                checkpoints.save(run, history, done, last=True)
        test_accuracy = np.full(len(seeds), np.nan)
        if arrays.test_y is not None:
            correct = to_host(programs.test(run.state.params, arrays))
            test_accuracy = correct.astype(np.float64) / arrays.test_y.shape[-1]
    return Result(
        params=run.state.params,
        test_accuracy=test_accuracy,
        history=history,
        seeds=seeds,
        state=run.state,
    )


def check_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Which seeds are meant by how many, or which.

    Raises:
      ValueError: there are none, or one is negative.
    """
    which = range(int(seeds)) if isinstance(seeds, int | np.integer) else seeds
    which = tuple(int(s) for s in which)
    if not which or min(which) < 0:
        raise ValueError(f"fit: seeds must be a count of at least 1 or non-negative integers, got {seeds}.")
    return which


def check_numbers(epochs, batch_size, validation, patience) -> None:
    """Raises a ValueError for what cannot train."""
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience)):
        if name == "patience" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"fit: {name} must be an integer of at least 1, got {value!r}.")
    if not 0 <= validation < 1:
        raise ValueError(f"fit: validation must be a fraction in [0, 1), got {validation}.")


def per_seed(settings: Any, mapped: bool, num_seeds: int) -> Any:
    """Settings with a leading seed axis on every array: as they are if ``mapped``, else repeated."""
    if not mapped:
        return jax.tree.map(lambda a: jnp.tile(a[None], (num_seeds,) + (1,) * a.ndim), settings)
    sizes = {a.shape[0] for a in jax.tree.leaves(settings)}
    if sizes != {num_seeds}:
        found = " and ".join(map(str, sorted(sizes)))
        raise ValueError(f"fit: limits have a leading axis of {found}, for {num_seeds} seeds.")
    return settings


class _Arrays(NamedTuple):
    train_x: Any
    train_y: Any
    test_x: Any = None
    test_y: Any = None
    train_split: Any = None  # int8 [n]: what each training sample is for; None: drawn


class _Sizes(NamedTuple):
    """How many samples train and how many are held out; ``static`` where programs are compiled for these numbers."""

    trained: int
    held_out: int
    static: tuple[int, int] | None
    counts: tuple[np.int32, np.int32] | None  # else they are arguments of the programs


def _sizes(arrays: _Arrays, data_axis: int | None, validation: float) -> _Sizes:
    num_samples = arrays.train_y.shape[-1]
    if arrays.train_split is None:
        held_out = round(validation * num_samples) if validation == 0 else max(1, round(validation * num_samples))
        if held_out >= num_samples:
            raise ValueError(f"fit: validation={validation} leaves none of {num_samples} samples to train on.")
        return _Sizes(num_samples - held_out, held_out, (num_samples, held_out), None)
    split = np.asarray(arrays.train_split)
    if data_axis is not None or split.shape != (num_samples,) or split.dtype != np.int8:
        raise ValueError(
            f"fit: data.train_split must be int8 ({num_samples},) beside one draw of data, got {split.dtype} "
            f"{split.shape}."
        )
    trained, held_out = (int(np.sum(split == part)) for part in (TRAINS, HELD_OUT))
    if not trained:
        raise ValueError(f"fit: data.train_split leaves none of {num_samples} samples to train on.")
    return _Sizes(trained, held_out, None, (np.int32(trained), np.int32(held_out)))


class _Programs(NamedTuple):
    start: Callable
    epoch: Callable
    test: Callable


@functools.lru_cache(maxsize=32)
def _programs(learner, batch_size, sizes, data_axis, place) -> _Programs:
    """Jitted over all seeds: one compile for a whole run, and none for the next run of the same shapes.

    Args:
      sizes: samples, and how many of them are held out; None: ``train_split`` says so, and programs take the counts.
    """

    def start(key, seed, settings, split):
        state_key, split_key = jax.random.split(jax.random.fold_in(key, seed))
        if sizes is None:
            held_out, rows = (jnp.argsort(split != jnp.int8(part), stable=True) for part in (HELD_OUT, TRAINS))
        else:
            order = jax.random.permutation(split_key, jnp.arange(sizes[0], dtype=jnp.int32))
            held_out, rows = jnp.split(order, [sizes[1]])
        init_key, draw_key, shuffle_key = jax.random.split(state_key, 3)
        params, opt_state = learner.init(settings, init_key, draw_key)
        return TrainState(params, opt_state, shuffle_key, jnp.int32(0)), rows, held_out

    def one_epoch(state, settings, arrays, rows, held_out, counts):
        x, y = arrays.train_x, arrays.train_y
        train_count, held_out_count = (None, None) if counts is None else counts
        state, totals = epoch(learner, settings, state, x, y, rows, batch_size, place.batch_axis, train_count)
        if held_out.shape[0] == 0:
            return state, totals, jnp.int32(0)
        return state, totals, count_correct(learner, state.params, x, y, held_out, place.batch_axis, held_out_count)

    def test(params, arrays):
        rows = jnp.arange(arrays.test_y.shape[0], dtype=jnp.int32)
        return count_correct(learner, params, arrays.test_x, arrays.test_y, rows, place.batch_axis)

    return _Programs(
        start=place.program(start, (None, 0, 0, None), once=True),
        epoch=place.program(one_epoch, (0, 0, data_axis, 0, 0, None), donate=0),
        test=place.program(test, (0, data_axis)),
    )


class _Stall(NamedTuple):
    """How long each seed has gone without a new best; on the host."""

    best: np.ndarray  # int64 [S], validation samples classified right
    epochs: np.ndarray  # int64 [S], since then

    def advance(self, correct: np.ndarray, patience: int | None) -> tuple["_Stall", np.ndarray]:
        """With this epoch's counts ``[S]``; and bool ``[S]``, who ran out of patience, whose count restarts."""
        epochs = np.where(correct > self.best, 0, self.epochs + 1)
        stalled = epochs >= (np.inf if patience is None else patience)
        return _Stall(np.maximum(correct, self.best), np.where(stalled, 0, epochs)), stalled


class _Run(NamedTuple):
    """All that changes from epoch to epoch."""

    state: TrainState
    settings: Any  # [S] on every array
    stall: _Stall


def _shown(metrics) -> Iterator[str]:
    return (name for name in ("train_accuracy", "validation_accuracy") if name in metrics)


def _check_data(model: Model, data, num_seeds: int) -> tuple[_Arrays, int | None]:
    """The arrays, and the axis of seeds in them."""
    try:
        arrays = _Arrays(data.train_x, data.train_y, *(getattr(data, name, None) for name in _Arrays._fields[2:]))
    except AttributeError as error:
        raise TypeError(f"fit: data must have train_x, train_y, test_x and test_y: {error}.") from None
    if (arrays.test_x is None) != (arrays.test_y is None):
        raise TypeError("fit: data must have both test_x and test_y, or neither.")
    axis = 0 if np.ndim(arrays.train_y) == 2 else None
    if axis == 0 and any(a.shape[0] != num_seeds for a in arrays[:4] if a is not None):
        raise ValueError(f"fit: data hold {arrays.train_y.shape[0]} draws, for {num_seeds} seeds.")
    params = jax.eval_shape(model.init, jax.random.key(0))
    for part, x, y in (("training", *arrays[:2]), ("test", *arrays[2:4])):
        for draw in range(0 if x is None else 1 if axis is None else num_seeds):
            x_draw, y_draw = (x, y) if axis is None else (x[draw], y[draw])
            check_inputs(f"fit: {part} data", model, params, x_draw)
            check_labels(f"fit: {part} data", model, x_draw.shape[0], y_draw, None)
    as_labels = (None if y is None else y.astype(np.int32) for y in (arrays.train_y, arrays.test_y))
    return arrays._replace(**dict(zip(("train_y", "test_y"), as_labels, strict=True))), axis
