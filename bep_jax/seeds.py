"""A function of one seed, for all of them in one program: the same bits either way.

An accelerator wants the seeds side by side. On a CPU core the arrays of eight seeds push each other out of the cache
between one kernel and the next, so there one seed goes after the other.
"""

from collections.abc import Callable, Sequence

import jax
import jax.custom_batching


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
    if jax.default_backend() == "cpu":
        function = jax.custom_batching.sequential_vmap(function)
    return jax.vmap(function, in_axes=tuple(in_axes))
