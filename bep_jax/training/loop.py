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
from typing import Any, Literal, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_array, check_flag, check_path, check_several, check_type
from bep_jax.kernels.host import to_host
from bep_jax.learning.decay import Finer, coarser, finer, unchanged
from bep_jax.network.model import check_key
from bep_jax.training.beginning import Beginning
from bep_jax.training.checkpoint import Checkpoints, describe, fingerprint
from bep_jax.training.devices import ONE_DEVICE, Placement
from bep_jax.training.interrupt import interruptible, progress_file
from bep_jax.training.learner import Learner, TrainState, count_by_class, epoch, first_state, split_keys
from bep_jax.training.samples import (
    HELD_OUT,
    TRAINS,
    check_choices,
    check_data,
    check_numbers,
    check_seeds,
    cut_batch,
    sizes_of,
)
from bep_jax.training.watch import Watch, score

STOP = "stop"  # what a callback returns to stop a run


class Result(NamedTuple):
    """What `fit` returns; every array has a leading seed axis."""

    params: Any  # `Params`: int16 [S, N, K] per matrix, uint32 [S, C, W]; of the epoch that was to be kept
    test_accuracy: np.ndarray  # float64 [S], fractions, of `params`; NaN without test data
    history: dict[str, np.ndarray]  # name -> [S, epochs]
    seeds: tuple[int, ...]
    state: TrainState  # everything that further training needs, after the last epoch
    best_params: Any = (
        None  # of the epoch with the best validation accuracy, the first of several; without any, the last
    )
    best_epoch: Any = None  # int64 [S], which one that is, from 1
    changed: Any = None  # float32 [S, M], share of each matrix's weights whose sign is not the initial one
    interrupted: bool = False  # whether Ctrl-C ended training, before its last epoch
    held_out: Any = None  # int32 [S, m], which rows of the training data were the validation samples; may be none


class Report(NamedTuple):
    """What a callback of `fit` gets after every epoch; hidden weights count in finer units after ``decay_after``."""

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
    keep: Literal["last", "best"]
    stop_after: int | None
    class_weight: Literal["balanced"] | None
    callbacks: Sequence[Callable[[Report], Any]]
    progress: bool
    checkpoint_dir: str | os.PathLike | None
    resume: bool
    state: TrainState | None


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
    patience: int | None = None,
    keep: Literal["last", "best"] = "last",
    stop_after: int | None = None,
    decay_after: int | None = None,
    class_weight: Literal["balanced"] | None = None,
    callbacks: Sequence[Callable[[Report], Any]] = (),
    progress: bool = True,
    checkpoint_dir: str | os.PathLike | None = None,
    resume: bool = False,
    state: TrainState | None = None,
    place: Placement = ONE_DEVICE,
    signs: Callable[[Any], tuple[jax.Array, ...]] | None = None,
    begin: Beginning | None = None,
) -> Result:
    """Trains one network per seed with any learner and tests them; the arguments are those of `bep_jax.fit`.

    Args:
      learner: a `Learner`.
      settings: its numbers, with a leading axis ``[S]`` on every array; see `per_seed`.
      seeds: from `check_seeds`.
      place: the devices; with a batch axis, the learner's step adds up what it learns over it.
      signs: from one seed's params, bool arrays ``[N, K]``: what `Result.changed` compares with the start. A function
        of a module, so that programs are shared.
      begin: where training starts, if not at what the learner draws.
      decay_after: for learners with hidden weights, as `bep_jax.fit` says.

    Returns:
      A `Result`; its history is the learner's metrics and validation_accuracy.

    Raises:
      TypeError, ValueError: arguments out of range, data that do not fit the model, a checkpoint of another run.
      FileExistsError: there is a checkpoint, and ``resume`` is False.
    """
    for name, flag in (("progress", progress), ("resume", resume)):
        check_flag(flag, name, "fit")
    callbacks = check_several(callbacks, "callbacks", "fit")
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"fit: every one of callbacks must be a function, got {type(callback).__name__}.")
    if checkpoint_dir is not None:
        checkpoint_dir = check_path(checkpoint_dir, "checkpoint_dir", "fit")
    if resume and checkpoint_dir is None:
        raise ValueError("fit: resume=True wants a checkpoint_dir.")
    if state is not None and checkpoint_dir is not None:
        raise ValueError("fit: a checkpoint goes on from its own state; state is for runs without a checkpoint_dir.")
    from tqdm.auto import tqdm  # here, so that a step needs jax, optax and numpy alone

    check_numbers(epochs, batch_size, validation, patience, stop_after, decay_after)
    # Of NumPy, they would count in their own few bits.
    counts_given = (epochs, patience, stop_after, decay_after)
    epochs, patience, stop_after, decay_after = (None if n is None else int(n) for n in counts_given)  # type: ignore[assignment]
    check_choices(keep, class_weight)
    learner.model.check_memory("fit", len(seeds))
    arrays, data_axis = check_data(learner.model, data, len(seeds))
    batch_size = cut_batch(batch_size, data)
    sizes = sizes_of(arrays, data_axis, validation)
    if stop_after is not None and not sizes.held_out:
        raise ValueError("fit: stop_after wants validation samples.")
    balanced = class_weight is not None
    key = jax.random.key(0) if key is None else key
    check_key("fit", key)

    checkpoints, done = None, 0
    if checkpoint_dir is not None:
        if jax.process_count() > 1:
            raise ValueError(f"fit: checkpoint_dir is for one process, there are {jax.process_count()}.")
        config = {
            "seeds": list(seeds),
            "key": describe(key),
            "batch_size": batch_size,
            "validation": float(validation),
            "patience": None if patience is None else int(patience),
            "stop_after": None if stop_after is None else int(stop_after),
            "class_weight": class_weight,
            "learner": describe(learner),
            "data": {name: fingerprint(a) for name, a in arrays._asdict().items() if a is not None},
            "settings": describe(settings),
            **({} if begin is None else {"begin": begin.described()}),
            **({} if decay_after is None else {"decay_after": decay_after}),
        }
        checkpoints = Checkpoints(checkpoint_dir, config, resume)
        done = checkpoints.epoch
        if done > epochs:
            raise ValueError(f"fit: epochs={epochs}, but the checkpoint in {checkpoint_dir} has {done} already.")

    programs = _programs(learner, batch_size, sizes.static, data_axis, place, balanced, signs)
    arrays, counts = place.put(arrays, data_axis), place.put(sizes.counts, None)
    patience = patience if sizes.held_out else None
    history: dict[str, np.ndarray] = {}
    shown = progress and jax.process_index() == 0
    with interruptible() as interrupted:
        # One by one and not under vmap, where not every kind of key gives the same.
        keys = [split_keys(jax.random.fold_in(key, np.uint32(seed))) for seed in seeds]
        rows = programs.split(place.put(jnp.stack([held for _, held in keys]), 0), arrays.train_split)
        state = place.put(_started(learner, settings, [start for start, _ in keys], state), 0)
        state = state if begin is None else begin.applied(state, place)
        start = None if signs is None else programs.signs(state.params)
        best = jax.tree.map(jnp.copy, state.params) if sizes.held_out else None
        units = None if decay_after is None else programs.unchanged(state.params, state.opt_state)
        run = _Run(state, settings, Watch.start(len(seeds)), best, units)
        if checkpoints is not None:
            run, history = checkpoints.restore(run)
        stopped = False
        bar = tqdm(total=epochs, initial=done, unit="epoch", desc="compiling", disable=not shown, file=progress_file())
        with bar, contextlib.suppress(KeyboardInterrupt):
            while done < epochs and not interrupted() and not run.watch.over(done, stop_after):
                if done == decay_after:
                    params, opt_state, units = programs.finer(run.state.params, run.state.opt_state)
                    run = run._replace(state=run.state._replace(params=params, opt_state=opt_state), units=units)
                state, *found = programs.epoch(run.state, place.put(run.settings, 0), arrays, *rows, counts)
                totals, validated = to_host(found)
                run = run._replace(state=state)  # the old one is donated
                metrics = learner.metrics(run.settings, totals, sizes.trained)
                stalled = np.zeros(len(seeds), bool)
                if sizes.held_out:
                    metrics["validation_accuracy"] = validated.right.sum(axis=1) / sizes.held_out
                    if balanced:
                        metrics["validation_balanced_accuracy"] = score(validated, balanced=True)
                    watch, stalled, better = run.watch.advance(
                        score(validated, balanced), done + 1, patience, stop_after
                    )
                    run = run._replace(watch=watch)
                    if better.any():
                        best = programs.choose(place.put(better, 0), state.params, run.best, run.units)
                        run = run._replace(best=best)  # the old one is donated
                state = state._replace(opt_state=learner.after_epoch(state.opt_state, metrics))
                run = run._replace(state=state, settings=learner.grow(run.settings, stalled))
                columns = {name: values[:, None] for name, values in metrics.items()}
                history = {n: np.append(history[n], c, axis=1) if done else c for n, c in columns.items()}
                done += 1
                if checkpoints is not None:
                    checkpoints.save(run, history, done)
                bar.set_description(refresh=False)
                bar.update()
                bar.set_postfix({name: f"{metrics[name].mean():.2%}" for name in _shown(metrics)})
                report = Report(done, epochs, metrics, run.state)
                answers = [callback(report) for callback in callbacks]
                if any(isinstance(answer, str) and answer == STOP for answer in answers):
                    stopped = True
                    break
            if checkpoints is not None:
                checkpoints.save(run, history, done, last=True)
        over = stopped or done >= epochs or run.watch.over(done, stop_after)
        state = run.state
        if run.units is not None:
            opt_state = state.opt_state._replace(saturation=run.units.saturation)
            state = state._replace(params=programs.coarser(state.params, run.units), opt_state=opt_state)
        best = state.params if run.best is None else run.best
        params = best if keep == "best" else state.params
        test_accuracy = np.full(len(seeds), np.nan)
        if arrays.test_y is not None:
            tested = to_host(programs.test(params, arrays))
            test_accuracy = tested.right.sum(axis=1) / arrays.test_y.shape[-1]
        changed = None if signs is None else to_host(programs.changed(start, state.params))
    return Result(
        params=params,
        test_accuracy=test_accuracy,
        history=history,
        seeds=seeds,
        state=state,
        best_params=best,
        best_epoch=run.watch.best_epoch if sizes.held_out else np.full(len(seeds), done),
        changed=None if changed is None else np.stack(changed, axis=1),
        interrupted=not over,
        held_out=to_host(rows[1])[:, : sizes.held_out],
    )


def per_seed(settings: Any, mapped: bool, num_seeds: int) -> Any:
    """Settings with a leading seed axis on every array: as they are if ``mapped``, else repeated."""
    num_seeds = len(check_seeds(num_seeds))
    for leaf in jax.tree.leaves(settings):
        check_array(leaf, "every array of settings", "per_seed")
    if not check_flag(mapped, "mapped", "per_seed"):
        return jax.tree.map(lambda a: jnp.tile(a[None], (num_seeds,) + (1,) * a.ndim), settings)
    sizes = {a.shape[0] if a.ndim else 0 for a in jax.tree.leaves(settings)}
    if sizes != {num_seeds}:
        found = " and ".join(map(str, sorted(sizes)))
        raise ValueError(f"fit: limits have a leading axis of {found}, for {num_seeds} seeds.")
    return settings


class _Programs(NamedTuple):
    split: Callable
    epoch: Callable
    test: Callable
    choose: Callable
    unchanged: Callable
    finer: Callable
    coarser: Callable
    signs: Callable
    changed: Callable


@functools.lru_cache(maxsize=32)
def _programs(learner, batch_size, sizes, data_axis, place, balanced, signs) -> _Programs:
    """Jitted over all seeds: one compile for a whole run, and none for the next run of the same shapes.

    Args:
      sizes: samples, and how many of them are held out; None: ``train_split`` says so, and programs take the counts.
    """

    def split(key, train_split):
        if sizes is None:
            held_out, rows = (jnp.argsort(train_split != jnp.int8(part), stable=True) for part in (HELD_OUT, TRAINS))
        else:
            order = jax.random.permutation(key, jnp.arange(sizes[0], dtype=jnp.int32))
            held_out, rows = jnp.split(order, [sizes[1]])
        return rows, held_out

    def one_epoch(state, settings, arrays, rows, held_out, counts):
        x, y = arrays.train_x, arrays.train_y
        train_count, held_out_count = (None, None) if counts is None else counts
        state, totals = epoch(learner, settings, state, x, y, rows, batch_size, place.batch_axis, train_count, balanced)
        if held_out.shape[0] == 0:
            return state, totals, None
        return state, totals, count_by_class(learner, state.params, x, y, held_out, place.batch_axis, held_out_count)

    def test(params, arrays):
        rows = jnp.arange(arrays.test_y.shape[0], dtype=jnp.int32)
        return count_by_class(learner, params, arrays.test_x, arrays.test_y, rows, place.batch_axis)

    def choose(better, params, best, units):
        params = params if units is None else coarser(params, units)
        return jax.tree.map(lambda new, old: jnp.where(better, new, old), params, best)

    def packed(params):
        return tuple(bits.pack_minor(one) for one in signs(params))

    def changed(start, params):
        def share(a, b, size):
            return jnp.sum(lax.population_count(a ^ b), dtype=jnp.uint32).astype(jnp.float32) / jnp.float32(size)

        sizes = (one.size for one in signs(params))
        return tuple(map(share, start, packed(params), sizes))

    return _Programs(
        split=place.program(split, (0, None), once=True),
        epoch=place.program(one_epoch, (0, 0, data_axis, 0, 0, None), donate=0),
        test=place.program(test, (0, data_axis)),
        choose=place.program(choose, (0, 0, 0, 0), donate=2, once=True),
        unchanged=place.program(unchanged, (0, 0), once=True),
        finer=place.program(finer, (0, 0), once=True),
        coarser=place.program(coarser, (0, 0), once=True),
        signs=place.program(packed, (0,), once=True),
        changed=place.program(changed, (0, 0), once=True),
    )


def _started(learner: Learner, settings: Any, keys: Sequence[jax.Array], given: TrainState | None) -> TrainState:
    """The first states of all seeds, or a copy of those given: they are donated to the first epoch.

    Not a program of all seeds, which would be compiled anew for every scale of the start.
    """
    rows = [jax.tree.map(lambda a, i=i: jnp.asarray(a[i]), settings) for i in range(len(keys))]
    if given is None:
        states = [first_state(learner, row, key) for row, key in zip(rows, keys, strict=True)]
        return jax.tree.map(lambda *a: jnp.stack(a), *states)
    check_type(given, TrainState, "state", "fit")
    for leaf in jax.tree.leaves(given):
        check_array(leaf, "every array of state", "fit")
    one = jax.eval_shape(functools.partial(first_state, learner), rows[0], keys[0])
    wanted = jax.tree.map(lambda a: ((len(keys), *a.shape), str(a.dtype)), one)
    if jax.tree.map(lambda a: (a.shape, str(a.dtype)), given) != wanted:
        raise ValueError("fit: state must be that of a result with the same model, optimizer and number of seeds.")
    return jax.tree.map(lambda a: a.copy(), given)


class _Run(NamedTuple):
    """All that changes from epoch to epoch."""

    state: TrainState
    settings: Any  # [S] on every array
    watch: Watch
    best: Any  # params of the best epoch so far; None without validation samples
    units: Finer | None  # those that hidden weights are counted in; None where they never change


def _shown(metrics) -> Iterator[str]:
    return (name for name in ("train_accuracy", "validation_accuracy") if name in metrics)
