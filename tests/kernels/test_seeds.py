"""Mapping over seeds: one after the other or side by side, the same results."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bep_jax.kernels.seeds import over_seeds


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_equals_a_loop(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)

    def one(state, shared, key):
        return {"sum": state["a"] + shared["b"], "bits": jax.random.bits(key, (2,), jnp.uint32)}

    state, shared = {"a": jnp.arange(6, dtype=jnp.int32).reshape(3, 2)}, {"b": jnp.arange(2, dtype=jnp.int32)}
    keys = jax.random.split(jax.random.key(0), 3)
    mapped = over_seeds(one, (0, None, 0))
    got = jax.jit(mapped)(state, shared, keys)
    for i in range(3):
        want = one({"a": state["a"][i]}, shared, keys[i])
        for name, values in want.items():
            np.testing.assert_array_equal(got[name][i], values)
    assert ("scan" in str(jax.make_jaxpr(mapped)(state, shared, keys))) == (backend == "cpu")
