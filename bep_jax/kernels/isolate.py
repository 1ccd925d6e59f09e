"""Fusion walls: kernels that XLA neither inlines into their callers nor fuses with them.

XLA:CPU duplicates cheap producers (packing, comparisons) into the inner loops of the popcount products, which
costs a whole network a factor of fifty. A computation called under ``inlineable="false"`` stays a call in the
compiled program, through jit, vmap and scan; ``optimization_barrier`` does not, XLA:CPU drops it before fusion.
"""

import functools
import os
import pathlib
import platform
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
from jax.experimental.xla_metadata import set_xla_metadata

_P = ParamSpec("_P")
_R = TypeVar("_R")


def isolated(function: Callable[_P, _R] | None = None, *, static_argnames: tuple[str, ...] = ()):
    """Makes a function a kernel of its own in every program that calls it.

    Args:
      function: a pure function of arrays; keyword arguments named in ``static_argnames`` are static.
      static_argnames: names of its static arguments.

    Returns:
      The same function, compiled behind a call that XLA does not inline.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> twice = isolated(lambda x: x + x)
      >>> int(jax.jit(lambda x: twice(twice(x)))(jnp.int32(3)))
      12
    """
    if function is None:
        return functools.partial(isolated, static_argnames=static_argnames)

    @functools.wraps(function)
    def body(*args, **kwargs):
        # The attribute is inherited by everything traced below; without this the kernel's own parts
        # (a nested jit inside jnp, say) would become calls too.
        with set_xla_metadata(inlineable="true"):
            return function(*args, **kwargs)

    kernel = jax.jit(body, static_argnames=static_argnames)

    @functools.wraps(function)
    def call(*args, **kwargs):
        with set_xla_metadata(inlineable="false"):
            return kernel(*args, **kwargs)

    return call


@functools.cache
def compiler_options(*, once: bool = False) -> dict[str, int | bool] | None:
    """Options of an outermost jit: those that make the kernels fastest here; None where there are none to set.

    XLA:CPU uses half-width vectors unless told otherwise; the popcount loops gain a third to a half from whole ones.
    A program that runs only ``once``, and is not made of kernels, is compiled in half the time instead.
    """
    options: dict[str, int | bool] = {"xla_cpu_prefer_vector_width": 512}
    if once:
        options = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(jax.ShapeDtypeStruct((), "int32")).compile()
    except jax.errors.JaxRuntimeError:  # an option may disappear from a later compiler
        return None
    return options


@functools.cache
def counts_in_vectors() -> bool:
    """Whether the CPU counts the bits of whole vectors, and XLA:CPU may let it; unknown is yes."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    if "--xla_cpu_max_isa" in os.environ.get("XLA_FLAGS", ""):
        return False
    info = pathlib.Path("/proc/cpuinfo")
    return not info.exists() or "avx512_vpopcntdq" in info.read_text()
