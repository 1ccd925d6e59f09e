"""Arrays between the host and the devices, of one process or of several."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, SingleDeviceSharding


def to_host(tree: Any) -> Any:
    """Arrays as NumPy arrays; those that are spread over several processes are fetched from all of them."""

    def fetch(array):
        if getattr(array, "is_fully_addressable", True):
            return np.asarray(array)
        return multihost_utils.process_allgather(array, tiled=True)

    return jax.tree.map(fetch, tree)


def put_like(value: np.ndarray, array: Any) -> jax.Array:
    """``value`` on the devices of ``array``, which has its shape."""
    sharding = getattr(array, "sharding", None)
    if sharding is None or isinstance(sharding, SingleDeviceSharding):
        return jax.numpy.asarray(value)
    return spread(value, sharding)


def spread(array: Any, sharding: NamedSharding) -> jax.Array:
    """A whole array, the same in every process, to the devices of a mesh: `jax.device_put` refuses other processes'."""
    if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(spread(jax.random.key_data(array), sharding), impl=jax.random.key_impl(array))
    whole = np.asarray(array)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
