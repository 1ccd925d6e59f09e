"""Several devices or cores: where the arrays of a training run lie, and how its programs run there.

A mesh has an axis "seeds", an axis "batch", or both. Along "seeds" each device trains some of the seeds; along "batch"
each takes its part of every mini-batch, and the integer updates of all parts are added up before reinforcement
(`bep_jax.step` with an ``axis_name``). Integer sums have no order, so the weights are those of one device, bit for bit.

The cores of a CPU are one device. There as many threads as there are cores call a program of an even share of the seeds
each, or of one seed: XLA's own threads share out single kernels, which takes more time than it saves.

Axis letters: S seeds.
"""

import contextlib
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bep_jax.kernels.checks import shown
from bep_jax.kernels.host import spread
from bep_jax.kernels.isolate import compiler_options
from bep_jax.kernels.seeds import over_seeds

SEEDS, BATCH = "seeds", "batch"


@dataclass(frozen=True)
class Placement:
    """Where things lie: on a mesh, or on one device if there is none. Made by `placement`."""

    mesh: Mesh | None = None
    threads: int | None = None  # on one device: that many call a program of some seeds each; None for one of all seeds

    @property
    def batch_axis(self) -> str | None:
        """The axis that every mini-batch is split over."""
        return BATCH if self.mesh is not None and BATCH in self.mesh.axis_names else None

    def put(self, tree: Any, axis: int | None) -> Any:
        """Arrays to where a program wants them: split over the seeds if ``axis`` is 0, whole if it is None."""
        if self.mesh is None:
            return jax.device_put(tree)
        sharding = NamedSharding(self.mesh, self._spec(axis))
        return jax.tree.map(lambda array: spread(array, sharding), tree)

    def program(
        self, function: Callable, in_axes: tuple[int | None, ...], *, donate: int | None = None, once: bool = False
    ) -> Callable:
        """A function of one seed, compiled for all of them.

        Args:
          function: of one seed; with a `batch_axis`, it may use its name in collectives.
          in_axes: for each argument 0 if its arrays have a leading axis of seeds, None if all seeds share it.
          donate: the argument whose memory the results may take.
          once: it runs once, so that compiling it quickly matters more than how fast it is.

        Returns:
          The jitted function; all of its results have a leading seed axis.
        """
        mapped = over_seeds(function, in_axes)
        if self.mesh is not None:
            # The check of what varies over which axis does not know that scans inside the kernels start from zeros.
            mapped = jax.shard_map(
                mapped,
                mesh=self.mesh,
                in_specs=tuple(self._spec(axis) for axis in in_axes),
                out_specs=self._spec(0),
                check_vma=False,
            )
        program: Any = jax.jit(mapped, donate_argnums=donate, compiler_options=compiler_options(once=once))
        return program if once or self.threads is None else _Threaded(program, in_axes, self.threads)

    def context(self) -> contextlib.AbstractContextManager:
        """In which programs run: within `jax.set_mesh` of a caller, whose axes may be explicit, our own mesh is set."""
        if self.mesh is None or jax.sharding.get_mesh().empty:
            return contextlib.nullcontext()
        return jax.set_mesh(self.mesh)

    def _spec(self, axis: int | None) -> PartitionSpec:
        split = axis is not None and self.mesh is not None and SEEDS in self.mesh.axis_names
        return PartitionSpec(SEEDS) if split else PartitionSpec()


class _Threaded:
    """A program over seeds as one program of some seeds, called from several threads."""

    def __init__(self, program: Any, in_axes: tuple[int | None, ...], threads: int):
        self._program, self._in_axes, self._threads = program, in_axes, threads
        self._compiled: dict[Any, Callable] = {}

    def __call__(self, *args):
        split = [arg for arg, axis in zip(args, self._in_axes, strict=True) if axis == 0]
        seeds = jax.tree.leaves(split)[0].shape[0]
        # Even shares, else one each: a single program serves all pieces, and a seed of two takes less than one alone.
        number = self._threads if seeds % self._threads == 0 else seeds
        pieces = [self._arguments(args, own) for own in _split(split, number)]
        kinds = tuple((a.shape, a.dtype) for a in jax.tree.leaves(pieces[0]))
        if kinds not in self._compiled:  # once, not by every thread
            self._compiled[kinds] = self._program.lower(*pieces[0]).compile()
        run = self._compiled[kinds]
        pool = ThreadPoolExecutor(min(self._threads, number))
        try:
            return _join(list(pool.map(lambda piece: jax.block_until_ready(run(*piece)), pieces)))
        finally:  # an interrupt does not wait
            pool.shutdown(wait=False, cancel_futures=True)

    def _arguments(self, args, own) -> list:
        rest = iter(own)
        return [next(rest) if axis == 0 else arg for arg, axis in zip(args, self._in_axes, strict=True)]


@functools.partial(jax.jit, static_argnums=1)
def _split(tree: Any, number: int) -> list:
    leaves, form = jax.tree.flatten(tree)
    return [jax.tree.unflatten(form, own) for own in zip(*(jnp.split(a, number) for a in leaves), strict=True)]


@jax.jit
def _join(parts: list) -> Any:
    return jax.tree.map(lambda *a: jnp.concatenate(a), *parts)


ONE_DEVICE = Placement()


def placement(mesh: Mesh | Literal["auto"] | None, num_seeds: int) -> Placement:
    """Checks a mesh, or chooses.

    Args:
      mesh: a ``jax.sharding.Mesh`` with an axis "seeds", "batch" or both; "auto" for what there is; None for the mesh
        of `jax.set_mesh`, if it has such axes alone, else for one device.
      num_seeds: S.

    Returns:
      A `Placement`.

    Raises:
      TypeError: ``mesh`` is neither.
      ValueError: it has another axis, or the seeds do not divide over its devices.

    Example:
      >>> placement(jax.make_mesh((1,), ("batch",)), num_seeds=5).batch_axis
      'batch'
    """
    if isinstance(mesh, str) and mesh == "auto":
        return _chosen(num_seeds)
    if mesh is None:
        mesh = jax.sharding.get_mesh()
        if mesh.empty or set(mesh.axis_names) - {SEEDS, BATCH}:
            return ONE_DEVICE
    if not isinstance(mesh, Mesh):
        raise TypeError(
            'fit: mesh must be a jax.sharding.Mesh, as of jax.make_mesh((8,), ("batch",)), or "auto", got '
            f"{shown(mesh)}."
        )
    if set(mesh.axis_names) - {SEEDS, BATCH}:
        raise ValueError(f'fit: the axes of mesh must be among "seeds" and "batch", got {mesh.axis_names}.')
    parts = mesh.shape.get(SEEDS, 1)
    if num_seeds % parts:
        fewer, more = num_seeds // parts * parts, -(-num_seeds // parts) * parts
        raise ValueError(
            f'fit: {num_seeds} seeds do not divide over the {parts} devices of the mesh axis "seeds"; take '
            f"{f'{fewer} or ' if fewer else ''}{more} seeds, or a shorter axis."
        )
    # Whatever the types of its axes were: here shardings are said outright.
    return Placement(Mesh(mesh.devices, mesh.axis_names))


def usable_cores() -> int:
    """Cores that this process may use: no more than OMP_NUM_THREADS, which joblib sets for each of its processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(stated))) if stated.isdecimal() else cores


def _chosen(num_seeds: int) -> Placement:
    """Threads on a CPU; elsewhere a mesh over seeds, as many devices as divide them."""
    if jax.default_backend() == "cpu":
        return Placement(threads=usable_cores())
    devices = jax.local_devices()
    parts = max(n for n in range(1, len(devices) + 1) if num_seeds % n == 0)
    return Placement(Mesh(np.array(devices[:parts]), (SEEDS,))) if parts > 1 else ONE_DEVICE
