"""`fit`: the host loop around whole epochs on the device, all seeds in one program.

Between epochs the host does what needs no device: it reads counts, sets reinforcement to the training error, moves
each seed along its group-size schedule and draws the progress bar. Every seed is at its own place in the schedule;
group sizes are arguments of one compiled program, so nothing recompiles.

Axis letters: S seeds, L layers, n samples.
Source: arXiv 2512.04189, Sections 3.3 (group-size schedule) and 4 (protocol).
"""

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from bep_jax import train
from bep_jax.chain import check_inputs, check_labels
from bep_jax.isolate import compiler_options
from bep_jax.networks import Model, Params
from bep_jax.optimizer import rescale
from bep_jax.rule import Limits, Rule, limits_of, next_group_size
from bep_jax.train import TrainState


class Result(NamedTuple):
    """What `fit` returns; every array has a leading seed axis."""

    params: Params  # int16 [S, N, K] per matrix, uint32 [S, C, W]
    test_accuracy: np.ndarray  # float64 [S], fractions, after the last epoch
    history: dict[str, np.ndarray]  # name -> [S, epochs]
    seeds: tuple[int, ...]
    state: TrainState  # everything that further training needs


class Report(NamedTuple):
    """What a callback of `fit` gets after every epoch."""

    epoch: int  # from 1
    epochs: int
    metrics: dict[str, np.ndarray]  # name -> [S], this epoch's column of the history
    state: TrainState  # donated to the next epoch: copy what you keep


def fit(
    model: Model,
    rule: Rule | Limits,
    data: Any,
    *,
    epochs: int = 50,
    batch_size: int = 100,
    seeds: int | Sequence[int] = 5,
    key: jax.Array | None = None,
    validation: float = 0.1,
    patience: int | None = 10,
    scale: float = 64.0,
    callbacks: Sequence[Callable[[Report], None]] = (),
    progress: bool = True,
) -> Result:
    """Trains one network per seed, all in one program, and tests them.

    Each seed draws its own weights, classifier, order of samples, reinforcement and validation samples from
    ``fold_in(key, seed)``; row i of a run with many seeds equals a run with that seed alone, bit for bit. Validation
    samples are held out of training and move the group sizes: after ``patience`` epochs without a new best, each
    becomes the next larger divisor of its layer's width. Test data decide nothing. Ctrl-C stops after the current
    epoch and returns what there is (twice: at once).

    Args:
      model: a `Model`.
      rule: a `Rule`, or the `Limits` that it means for this model; with a leading axis ``[S]`` on every array of
        the limits, one for each seed, a sweep in one program.
      data: a `Dataset`, or anything with train_x, train_y, test_x, test_y: x uint32 ``[n, W]`` (recurrent
        ``[n, T, W]``), y integer ``[n]``; with a leading axis ``[S]`` on all four, one draw for each seed.
      epochs: passes over the training data, at least 1.
      batch_size: samples a step; the last batch of an epoch may be smaller.
      seeds: how many, or which.
      key: a key from ``jax.random.key``; default ``jax.random.key(0)``.
      validation: fraction of the training samples held out, in [0, 1); 0 for none, and group sizes stay.
      patience: epochs without improvement before group sizes grow; None to keep them.
      scale: σ of the initial hidden weights.
      callbacks: called with a `Report` after every epoch.
      progress: whether to show a progress bar.

    Returns:
      A `Result`. ``history`` holds train_accuracy (as counted while training), validation_accuracy, trigger_rate,
      and per layer l from 1 mask_density_l (winners per active sample and neuron) and group_size_l.

    Raises:
      TypeError, ValueError: arguments out of range, data that do not fit the model.

    Example:
      >>> import bep_jax as bep
      >>> data = bep.datasets.load("random-prototypes", num_train=200, num_test=100)
      >>> model = bep.mlp(num_inputs=data.num_inputs, widths=(15,), num_classes=data.num_classes)
      >>> result = bep.fit(model, bep.Rule(), data, epochs=2, seeds=3, progress=False)
      >>> result.test_accuracy.shape, result.history["train_accuracy"].shape
      ((3,), (3, 2))
    """
    seeds = _seeds(seeds)
    _check_numbers(epochs, batch_size, validation, patience)
    limits, mapped_limits = _seed_limits(limits_of(model, rule), len(seeds))
    arrays, data_axis = _check_data(model, data, len(seeds))
    num_samples = arrays.train_x.shape[0 if data_axis is None else 1]
    num_held_out = round(validation * num_samples) if validation == 0 else max(1, round(validation * num_samples))
    if num_held_out >= num_samples:
        raise ValueError(f"fit: validation={validation} leaves none of {num_samples} samples to train on.")
    key = jax.random.key(0) if key is None else key

    programs = _programs(model, batch_size, float(scale), num_samples, num_held_out, data_axis, mapped_limits)
    arrays = jax.device_put(arrays)
    schedule = _Schedule(model, limits.group_size, patience if num_held_out else None)
    columns: list[dict[str, np.ndarray]] = []
    with _interruptible() as interrupted, tqdm(total=epochs, unit="epoch", disable=not progress) as bar:
        state, train_rows, held_out = programs.start(key, np.asarray(seeds, np.uint32), limits)
        with contextlib.suppress(KeyboardInterrupt):
            while len(columns) < epochs and not interrupted():
                used = limits._replace(group_size=jnp.asarray(schedule.sizes, jnp.int32))
                state, stats, correct = programs.epoch(state, used, arrays, train_rows, held_out)
                metrics = _metrics(model, stats, correct, num_samples - num_held_out, num_held_out, schedule.sizes)
                schedule.advance(np.asarray(correct))
                state = state._replace(opt_state=rescale(state.opt_state, 1.0 - metrics["train_accuracy"]))
                columns.append(metrics)
                bar.update()
                shown = {name: f"{metrics[name].mean():.2%}" for name in _shown(metrics)}
                bar.set_postfix(shown)
                for callback in callbacks:
                    callback(Report(len(columns), epochs, metrics, state))
        correct = programs.test(state.params, arrays)
    names = columns[0] if columns else ()
    return Result(
        params=state.params,
        test_accuracy=np.asarray(correct, np.float64) / arrays.test_y.shape[-1],
        history={name: np.stack([c[name] for c in columns], axis=1) for name in names},
        seeds=seeds,
        state=state,
    )


class _Arrays(NamedTuple):
    train_x: Any
    train_y: Any
    test_x: Any
    test_y: Any


class _Programs(NamedTuple):
    start: Callable
    epoch: Callable
    test: Callable


@functools.lru_cache(maxsize=32)
def _programs(model, batch_size, scale, num_samples, num_held_out, data_axis, mapped_limits) -> _Programs:
    """Jitted over all seeds: one compile for a whole run, and none for the next run of the same shapes."""
    limit_axis = 0 if mapped_limits else None

    def start(key, seed, limits):
        state_key, split_key = jax.random.split(jax.random.fold_in(key, seed))
        order = jax.random.permutation(split_key, jnp.arange(num_samples, dtype=jnp.int32))
        held_out, rows = jnp.split(order, [num_held_out])
        return train.init_state(model, limits, state_key, scale), rows, held_out

    def epoch(state, limits, arrays, rows, held_out):
        x, y = arrays.train_x, arrays.train_y
        state, stats = train.epoch(model, limits, state, x, y, rows, batch_size)
        none = jnp.int32(0)
        return state, stats, train.count_correct(model, state.params, x, y, held_out) if num_held_out else none

    def test(params, arrays):
        rows = jnp.arange(arrays.test_y.shape[0], dtype=jnp.int32)
        return train.count_correct(model, params, arrays.test_x, arrays.test_y, rows)

    # Only the group sizes move from seed to seed unless the limits are a sweep.
    axes: Any = [0 if field == "group_size" else limit_axis for field in Limits._fields]
    epoch_limits = Limits(*axes)
    jit = functools.partial(jax.jit, compiler_options=compiler_options())
    return _Programs(
        start=jit(jax.vmap(start, in_axes=(None, 0, limit_axis))),
        epoch=jit(jax.vmap(epoch, in_axes=(0, epoch_limits, data_axis, 0, 0)), donate_argnums=0),
        test=jit(jax.vmap(test, in_axes=(0, data_axis))),
    )


class _Schedule:
    """Group sizes of every seed ``[S, L]``, moved by its validation counts."""

    def __init__(self, model: Model, group_size: jax.Array, patience: int | None):
        self.sizes = np.array(group_size, np.int64)
        self._widths, self._patience = model.widths, patience
        self._best = np.full(len(self.sizes), -1)
        self._stalled = np.zeros(len(self.sizes), int)

    def advance(self, correct: np.ndarray) -> None:
        improved = correct > self._best
        self._best = np.maximum(correct, self._best)
        self._stalled = np.where(improved, 0, self._stalled + 1)
        if self._patience is None:
            return
        for s in np.flatnonzero(self._stalled >= self._patience):
            self.sizes[s] = [next_group_size(w, int(g)) for w, g in zip(self._widths, self.sizes[s], strict=True)]
            self._stalled[s] = 0


def _metrics(model, stats, held_out_correct, num_trained, num_held_out, sizes) -> dict[str, np.ndarray]:
    stats = jax.tree.map(lambda a: np.asarray(a, np.float64), stats)
    metrics = {"train_accuracy": stats.correct / num_trained}
    if num_held_out:
        metrics["validation_accuracy"] = np.asarray(held_out_correct, np.float64) / num_held_out
    metrics["trigger_rate"] = stats.active / num_trained
    for i, width in enumerate(model.widths):
        # No active sample, no winners: 0 of 1.
        metrics[f"mask_density_{i + 1}"] = stats.winners[:, i] / np.maximum(stats.active * width, 1)
        metrics[f"group_size_{i + 1}"] = sizes[:, i].astype(np.float64)
    return metrics


def _shown(metrics) -> Iterator[str]:
    return (name for name in ("train_accuracy", "validation_accuracy") if name in metrics)


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag: an epoch's old state is donated, so one in flight is finished first."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set  # signals reach the main thread only
        return

    def on_interrupt(signum, frame):
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        tqdm.write("fit: stopping after this epoch; press Ctrl-C again to stop at once")

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, previous)


def _seeds(seeds) -> tuple[int, ...]:
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        seeds = range(int(seeds))
    seeds = tuple(int(s) for s in seeds)
    if not seeds or min(seeds) < 0:
        raise ValueError(f"fit: seeds must be a count of at least 1 or non-negative integers, got {seeds}.")
    return seeds


def _seed_limits(limits: Limits, num_seeds: int) -> tuple[Limits, bool]:
    """Limits with group sizes ``[S, L]``, and whether the others have a seed axis too."""
    mapped = limits.margin.ndim == 1
    if mapped and limits.margin.shape != (num_seeds,):
        raise ValueError(f"fit: limits have a leading axis of {limits.margin.shape[0]}, for {num_seeds} seeds.")
    if not mapped:
        limits = limits._replace(group_size=jnp.tile(limits.group_size[None], (num_seeds, 1)))
    return limits, mapped


def _check_numbers(epochs, batch_size, validation, patience) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience)):
        if name == "patience" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"fit: {name} must be an integer of at least 1, got {value!r}.")
    if not 0 <= validation < 1:
        raise ValueError(f"fit: validation must be a fraction in [0, 1), got {validation}.")


def _check_data(model: Model, data, num_seeds: int) -> tuple[_Arrays, int | None]:
    """The four arrays, and the axis of seeds in them."""
    try:
        arrays = _Arrays(*(getattr(data, name) for name in _Arrays._fields))
    except AttributeError as error:
        raise TypeError(f"fit: data must have train_x, train_y, test_x and test_y: {error}.") from None
    axis = 0 if np.ndim(arrays.train_y) == 2 else None
    if axis == 0 and any(a.shape[0] != num_seeds for a in arrays):
        raise ValueError(f"fit: data hold {arrays.train_y.shape[0]} draws, for {num_seeds} seeds.")
    params = jax.eval_shape(model.init, jax.random.key(0))
    for part, x, y in (("training", *arrays[:2]), ("test", *arrays[2:])):
        for draw in range(1 if axis is None else num_seeds):
            x_draw, y_draw = (x, y) if axis is None else (x[draw], y[draw])
            check_inputs(f"fit: {part} data", model, params, x_draw)
            check_labels(f"fit: {part} data", model, x_draw.shape[0], y_draw, None)
    return arrays._replace(train_y=arrays.train_y.astype(np.int32), test_y=arrays.test_y.astype(np.int32)), axis
