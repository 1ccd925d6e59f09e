"""Several devices: where the arrays of a training run lie on a mesh, and how its programs run there.

A mesh has an axis "seeds", an axis "batch", or both. Along "seeds" each device trains some of the seeds; along "batch"
each takes its part of every mini-batch, and the integer updates of all parts are added up before reinforcement
(`bep_jax.step` with an ``axis_name``). Integer sums have no order, so the weights are those of one device, bit for bit.

Axis letters: S seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bep_jax.kernels.host import spread
from bep_jax.kernels.isolate import compiler_options
from bep_jax.kernels.seeds import over_seeds

SEEDS, BATCH = "seeds", "batch"


@dataclass(frozen=True)
class Placement:
    """Where things lie: on a mesh, or on one device if there is none. Made by `placement`."""

    mesh: Mesh | None = None

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
        return jax.jit(mapped, donate_argnums=donate, compiler_options=compiler_options(once=once))

    def _spec(self, axis: int | None) -> PartitionSpec:
        split = axis is not None and self.mesh is not None and SEEDS in self.mesh.axis_names
        return PartitionSpec(SEEDS) if split else PartitionSpec()


ONE_DEVICE = Placement()


def placement(mesh: Mesh | None, num_seeds: int) -> Placement:
    """Checks a mesh.

    Args:
      mesh: a ``jax.sharding.Mesh`` with an axis "seeds", "batch" or both; None for one device.
      num_seeds: S.

    Returns:
      A `Placement`.

    Raises:
      TypeError: ``mesh`` is no Mesh.
      ValueError: it has another axis, or the seeds do not divide over its devices.

    Example:
      >>> placement(jax.make_mesh((1,), ("batch",)), num_seeds=5).batch_axis
      'batch'
    """
    if mesh is None:
        return ONE_DEVICE
    if not isinstance(mesh, Mesh):
        raise TypeError(f'fit: mesh must be a jax.sharding.Mesh, as of jax.make_mesh((8,), ("batch",)), got {mesh!r}.')
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
