"""A function of one seed, for all of them in one program: the same bits either way.

An accelerator wants the seeds side by side. On a CPU core the arrays of eight seeds push each other out of the cache
between one kernel and the next, so there one seed goes after the other.
"""

from collections.abc import Callable, Sequence

import jax
import jax.custom_batching


def one_by_one(function: Callable) -> Callable:
    """A function that `jax.vmap` maps one seed after the other on a CPU; elsewhere as it is.

    Args:
      function: of one seed.

    Returns:
      The same function.

    Example:
      >>> import jax.numpy as jnp
      >>> jax.vmap(one_by_one(lambda a: a + 4))(jnp.arange(3)).tolist()
      [4, 5, 6]
    """
    return jax.custom_batching.sequential_vmap(function) if jax.default_backend() == "cpu" else function


def over_seeds(function: Callable, in_axes: Sequence[int | None]) -> Callable:
    """Maps over leading seed axes: by `jax.vmap`, on a CPU by `jax.lax.map`.

    Args:
      function: of one seed.
      in_axes: for each argument 0 if its arrays have a leading axis of seeds, None if all seeds share it.

    Returns:
      A function of the same arguments; all of its results have a leading seed axis.

    Example:
      >>> import jax.numpy as jnp
      >>> over_seeds(lambda a, b: a + b, (0, None))(jnp.arange(3), jnp.int32(4)).tolist()
      [4, 5, 6]
    """
    if jax.default_backend() != "cpu":
        return jax.vmap(function, in_axes=tuple(in_axes))

    def mapped(*args):
        def one(own):
            rest = iter(own)
            return function(*(arg if axis is None else next(rest) for arg, axis in zip(args, in_axes, strict=True)))

        return jax.lax.map(one, tuple(arg for arg, axis in zip(args, in_axes, strict=True) if axis is not None))

    return mapped
