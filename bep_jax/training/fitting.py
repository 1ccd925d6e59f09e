"""`fit`: Binary Error Propagation in the host loop.

The loop (`bep_jax.training.loop`) feeds batches; here is what the rule does between epochs: reinforcement follows the
training error, and each seed moves along its own group-size schedule.

Axis letters: S seeds, L layers, n samples.
Source: arXiv 2512.04189, Sections 3.3 (group-size schedule) and 4 (protocol).
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax.data.encode import Edges, first_encoder
from bep_jax.kernels.checks import check_choice, check_count, check_flag
from bep_jax.kernels.host import to_host
from bep_jax.learning import chain
from bep_jax.learning.laws import initial_scale
from bep_jax.learning.optimizer import OptimizerState, optimizer, rescale
from bep_jax.learning.rule import Limits, Rule, limits_of, next_group_size
from bep_jax.learning.step import step
from bep_jax.network.layers.convolution import Convolution
from bep_jax.network.model import Model, Params, check_scale
from bep_jax.training import loop
from bep_jax.training.augment import Moves
from bep_jax.training.beginning import beginning
from bep_jax.training.devices import placement
from bep_jax.training.learner import TrainState, first_state, split_keys
from bep_jax.training.loop import Report, Result
from bep_jax.training.samples import TRAINS, check_numbers, check_seeds, cut_batch

_MOVES = 0x6D6F7665  # apart from what else is drawn from the same key


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
    patience: int | None = None,
    scale: float | Sequence[float] | None = None,
    params: Params | None = None,
    opt_state: OptimizerState | None = None,
    keep: Literal["last", "best"] = "last",
    stop_after: int | None = None,
    decay_after: int | None = None,
    class_weight: Literal["balanced"] | None = None,
    shift: int = 0,
    mirror: bool = False,
    callbacks: Sequence[Callable[[Report], Any]] = (),
    progress: bool = True,
    checkpoint_dir: str | os.PathLike | None = None,
    resume: bool = False,
    state: TrainState | None = None,
    mesh: jax.sharding.Mesh | Literal["auto"] | None = None,
) -> Result:
    """Trains one network per seed, all in one program, and tests them.

    Each seed draws its own weights, classifier, order of samples, reinforcement and validation samples from
    ``fold_in(key, seed)``; row i of a run with many seeds equals a run with that seed alone, bit for bit. Validation
    samples are held out of training and decide which epoch is the best; with a ``patience`` they move the group sizes,
    too: after so many epochs without a new best, each becomes the next larger divisor of its layer's width. Test data
    decide nothing. Ctrl-C stops after the current epoch and returns what there is (twice: at once).

    Args:
      model: a `Model`.
      rule: a `Rule`, or the `Limits` that it means for this model; with a leading axis ``[S]`` on every array of
        the limits, one for each seed, a sweep in one program.
      data: a `Dataset`, or anything with train_x, train_y, test_x, test_y: x uint32 ``[n, W]`` (recurrent
        ``[n, T, W]``), y integer ``[n]``; with a leading axis ``[S]`` on all four, one draw for each seed.
        Test data may be missing. With train_split, int8 ``[n]``, the samples marked 1 train, those marked 2 are
        the validation samples (``validation`` is ignored) and those marked 0 take no part: programs are then compiled
        for n alone, and data of many sizes, padded to one n, share them.
      epochs: passes over the training data, at least 1.
      batch_size: samples a step, cut to those that there are; the last batch of an epoch may be smaller.
      seeds: how many, or which.
      key: a key from ``jax.random.key``; default ``jax.random.key(0)``.
      validation: fraction of the training samples held out, in [0, 1); 0 for none, and group sizes stay.
      patience: epochs without improvement before group sizes grow, 10 in the paper, from small ones; None to keep them,
        as suits those that a `Rule` has by itself.
      scale: σ of the initial hidden weights, one or one for each layer; None for `bep_jax.initial_scale`.
      params: go on from this network, its classifier too: as of `bep_jax.load` or `bep_jax.load_c_state`, shared by
        the seeds, or with a leading axis ``[S]``. Where it is signs alone (±1, a file saved without hidden weights),
        their sizes are drawn with ``scale``, which must then be given.
      opt_state: the optimizer state that belongs to ``params``; default a new one.
      keep: which epoch's params the result has, and is tested with: the "last", or the one with the "best" validation
        accuracy, the first of several. ``best_params`` are there in any case.
      stop_after: end the run when no seed has found a better epoch for so many; None for never. A seed's best epoch is
        the one that it would have had alone. ``best_params`` go with it, or ``keep="best"``.
      decay_after: after so many epochs an update weighs an eighth of what it did, as when a learning rate drops: hidden
        weights are counted in eighths from then on (quarters, halves or as they are where the largest of a matrix has
        no room in its bits), and rounded down to whole numbers at the end, which keeps their signs. None for never, as
        in the paper; three quarters of the epochs are a good choice.
      class_weight: "balanced" for classes of unequal size: every epoch has as many samples as without, and of each
        class as many, rare ones several times; the margin of a class k times as frequent as the rarest is a k-th, at
        least 1; the best epoch, patience and ``stop_after`` then go by the mean of the classes' recalls
        (``validation_balanced_accuracy``).
      shift: move training images, or series, at random by at most so many pixels (time steps) along each axis, anew
        for every sample of every step; what comes in is -1.
      mirror: mirror half of the training images, likewise, along their last axis.
      callbacks: called with a `Report` after every epoch; one that returns "stop" ends the run.
      progress: whether to show a progress bar.
      checkpoint_dir: a folder for a checkpoint, written after epochs (not after each, where they are short) and after
        the last one; a run that was killed at any moment goes on to the same bits.
      resume: go on from the checkpoint in ``checkpoint_dir``, if there is one, made with the same arguments; only
        ``epochs`` may be larger, and ``mesh`` another. With False there must be none.
      state: go on from the state of an earlier result, in place of weights drawn anew: new data, or more epochs. The
        group sizes are those of ``rule``.
      mesh: devices to spread the training over, as of ``jax.make_mesh((2, 4), ("seeds", "batch"))``; either axis may be
        missing. Along "seeds" each device trains some of the seeds, along "batch" its part of every mini-batch; each
        holds all of the packed data. The result is that of one device, bit for bit. It also works across processes
        (``jax.distributed.initialize``), all of which make the same call: then ``history`` and ``test_accuracy`` are
        whole in each, ``params`` and ``state`` stay spread over the mesh, and there are no checkpoints. "auto": on a
        CPU a thread for each core, which trains one seed after the other; elsewhere as many devices as divide the
        seeds. None: the mesh of `jax.set_mesh`, if its axes are among these, else one device.

    Returns:
      A `Result`. ``history`` holds train_accuracy (as counted while training), validation_accuracy, trigger_rate,
      and per layer l from 1 mask_density_l (winners per active sample and neuron) and group_size_l.

    Raises:
      TypeError, ValueError: arguments out of range, data that do not fit the model, a checkpoint that is damaged or of
        another run.
      FileExistsError: there is a checkpoint, and ``resume`` is False.

    Example:
      >>> import bep_jax as bep
      >>> data = bep.datasets.load("random-prototypes", num_train=200, num_test=100)
      >>> model = bep.mlp(num_inputs=data.num_inputs, widths=(15,), num_classes=data.num_classes)
      >>> result = bep.fit(model, bep.Rule(), data, epochs=2, seeds=3, progress=False)
      >>> result.test_accuracy.shape, result.history["train_accuracy"].shape
      ((3,), (3, 2))
    """
    seeds = check_seeds(seeds)
    limits = limits_of(model, rule)
    check_numbers(epochs, batch_size, validation, patience, stop_after, decay_after)
    begin = beginning(model, params, opt_state, scale, len(seeds))
    if scale is None:
        num_steps = np.shape(data.train_x)[-2] if model.recurrent and hasattr(data, "train_x") else None
        scale = initial_scale(model, cut_batch(batch_size, data), num_steps)
    place = placement(mesh, len(seeds))
    learner = BinaryLearner(
        model, check_scale("fit", model, scale), _moves(model, data, shift, mirror), place.batch_axis
    )
    with place.context():
        return loop.train(
            learner,
            # By way of the host: arrays belong to the mesh that was set when they were made.
            _by_class(loop.per_seed(to_host(limits), limits.margin.ndim == 1, len(seeds)), model, data, class_weight),
            data,
            epochs=epochs,
            batch_size=batch_size,
            seeds=seeds,
            key=key,
            validation=validation,
            patience=patience,
            keep=keep,
            stop_after=stop_after,
            decay_after=decay_after,
            class_weight=class_weight,
            callbacks=callbacks,
            progress=progress,
            checkpoint_dir=checkpoint_dir,
            resume=resume,
            state=state,
            place=place,
            signs=visible_signs,
            begin=begin,
        )


def _by_class(limits: Limits, model: Model, data: Any, class_weight: str | None) -> Limits:
    """Limits ``[S]`` with a margin a class: the rarest keeps the rule's, one k times as frequent has a k-th of it.

    Samples of a rare class that come again and again are soon right, and new ones are still taken for what lies around
    them. Where frequent classes stop learning near the border, it moves away from the rare ones.
    """
    y = getattr(data, "train_y", None)
    check_choice(class_weight, (None, "balanced"), "class_weight", "fit")
    if class_weight is None or y is None:
        return limits
    split = getattr(data, "train_split", None)
    rows = np.atleast_2d(np.asarray(y) if split is None else np.asarray(y)[np.asarray(split) == TRAINS])
    if not np.issubdtype(rows.dtype, np.integer) or rows.size == 0 or rows.min() < 0:
        return limits  # the check of the data says so
    counts = np.stack([np.bincount(row, minlength=model.num_classes) for row in rows]).astype(np.float64)
    least = np.min(counts, axis=1, keepdims=True, where=counts > 0, initial=np.inf)
    share = (least / np.maximum(counts, least))[:, : model.num_classes]
    margin = np.round(np.asarray(limits.margin)[:, None] * share)
    return limits._replace(margin=jnp.asarray(np.maximum(margin, 1), jnp.int32))


def _moves(model: Model, data: Any, shift: int, mirror: bool) -> Moves | None:
    """How training images are moved, by the size that the model or the data state."""
    if not check_flag(mirror, "mirror", "fit") and check_count(shift, "shift", "fit", least=0) == 0:
        return None
    first = model.layers[0]
    if isinstance(first, Convolution) and first.extra:
        raise ValueError(f"fit: shift and mirror move images, not the {first.extra} extra bits behind them.")
    shape = first.image_shape if isinstance(first, Convolution) else getattr(data, "image_shape", None)
    if shape is None or model.num_inputs % math.prod(shape) or shift >= min(shape):
        raise ValueError(
            f"fit: shift={shift} and mirror={mirror} want images or whole series larger than the shift, got "
            f"image_shape={shape} for {model.num_inputs} bits."
        )
    encoder = first_encoder(getattr(data, "encoder", None))
    mirrored = encoder.mirrored if mirror and isinstance(encoder, Edges) else None
    return Moves(shape, model.num_inputs // math.prod(shape), shift, mirror, mirrored)


def start_states(
    model: Model,
    rules: Sequence[Rule | Limits],
    seeds: Sequence[int],
    scales: Sequence[Any],
    key: jax.Array | None = None,
) -> TrainState:
    """What `fit` starts from, for networks that differ in their initial scale, too: its ``state``.

    Args:
      model: a `Model`.
      rules: S of them; those of the limits that `fit` is called with.
      seeds: S of them, likewise.
      scales: S scales, each as `Model.init` takes it.
      key: likewise.

    Returns:
      A `TrainState` with a leading seed axis: row i is that of ``fit(model, rules[i], ..., seeds=[seeds[i]], key=key,
      scale=scales[i])`` before its first epoch.
    """
    key = jax.random.key(0) if key is None else key

    states = [
        first_state(
            BinaryLearner(model, scale), limits_of(model, rule), split_keys(jax.random.fold_in(key, np.uint32(seed)))[0]
        )
        for rule, seed, scale in zip(rules, seeds, scales, strict=True)
    ]
    return jax.tree.map(lambda *rows: jnp.stack(rows), *states)


def visible_signs(params: Params) -> tuple[jax.Array, ...]:
    """Which weights of each hidden matrix are +1: bool ``[N, K]``."""
    return tuple(h >= 0 for h in params.hidden)


@dataclass(frozen=True)
class BinaryLearner:
    """Binary Error Propagation as a `bep_jax.training.learner.Learner`; its settings are `Limits`.

    Args:
      model: a `Model`.
      scale: σ of the initial hidden weights, one or one for each layer; None for `bep_jax.initial_scale`.
      moves: how training images are moved; None for not at all.
      batch_axis: the mapped axis that every mini-batch is split over, if it is.
    """

    model: Model
    scale: float | tuple[float, ...] = field(default=64.0, compare=False)  # of `init` alone
    moves: Moves | None = None
    batch_axis: str | None = field(default=None, repr=False)  # changes no bit

    def init(self, limits: Limits, init_key: jax.Array, draw_key: jax.Array) -> tuple[Any, OptimizerState]:
        params = self.model.init(init_key, self.scale)
        return params, optimizer(limits, draw_key).init(params.hidden)

    def step(self, limits, params, opt_state, x, y, where):
        if self.moves is not None:
            first = 0 if self.batch_axis is None else lax.axis_index(self.batch_axis) * x.shape[0]
            x = self.moves(jax.random.fold_in(opt_state.key, _MOVES), x, first)
        return step(self.model, limits, params, opt_state, x, y, where, axis_name=self.batch_axis)

    def predict(self, params: Params, x: jax.Array) -> jax.Array:
        return lax.argmax(chain.logits(self.model, params, x), 1, jnp.int32)

    def metrics(self, limits: Limits, totals: chain.Stats, num_samples: int) -> dict[str, np.ndarray]:
        active, correct, winners = (np.asarray(a, np.float64) for a in totals)
        metrics = {"train_accuracy": correct / num_samples, "trigger_rate": active / num_samples}
        sizes = np.asarray(limits.group_size, np.float64)
        for i, layer in enumerate(self.model.layers):
            neurons = layer.width if layer.over_time else layer.width * layer.positions()
            # No active sample, no winners: 0 of 1.
            metrics[f"mask_density_{i + 1}"] = winners[:, i] / np.maximum(active * neurons, 1)
            metrics[f"group_size_{i + 1}"] = sizes[:, i]
        return metrics

    def after_epoch(self, opt_state: OptimizerState, metrics: dict[str, np.ndarray]) -> OptimizerState:
        return rescale(opt_state, 1.0 - metrics["train_accuracy"])

    def grow(self, limits: Limits, stalled: np.ndarray) -> Limits:
        if not stalled.any():
            return limits
        sizes = np.array(limits.group_size)
        for s in np.flatnonzero(stalled):
            sizes[s] = [next_group_size(w, int(g)) for w, g in zip(self.model.widths, sizes[s], strict=True)]
        return limits._replace(group_size=jnp.asarray(sizes, jnp.int32))
