"""How kernels are compiled: behind fusion walls, and with the compiler options that make them fastest.

Fusion walls are kernels that XLA neither inlines into their callers nor fuses with them.

XLA:CPU duplicates cheap producers (packing, comparisons) into the inner loops of the popcount products, which
costs a whole network a factor of fifty. A computation called under ``inlineable="false"`` stays a call in the
compiled program, through jit, vmap and scan; ``optimization_barrier`` does not, XLA:CPU drops it before fusion.
"""

import functools
import os
import pathlib
import platform
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import jax
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import get_opaque_trace_state

from bep_jax.kernels.checks import check_flag, check_type, shown

_P = ParamSpec("_P")
_R = TypeVar("_R")

# The state in which nothing is traced.
_EAGER = get_opaque_trace_state()


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

    kernel = jit(body, static_argnames=static_argnames)

    @functools.wraps(function)
    def call(*args, **kwargs):
        with set_xla_metadata(inlineable="false"):
            return kernel(*args, **kwargs)

    return call


def jit(function: Callable[_P, _R] | None = None, *, compiler_options: dict[str, Any] | None = None, **options):
    """`jax.jit` with `compiler_options`: under a plain one the same step takes up to 1.6 times as long.

    XLA reads the width of vectors from the options of the outermost program alone, so a kernel cannot ask for its own
    inside a program of yours. Under another `jax.jit` this is a plain one, and the outer one's options count. The
    backend starts with the first call, not before.

    Args:
      function: as `jax.jit` takes it; None for a decorator with options.
      compiler_options: more of them, which win over ours.
      **options: of `jax.jit`, for example ``donate_argnums=(2, 3)``.

    Returns:
      A function with the methods of a jitted one: ``lower``, ``trace``, ``eval_shape``, ``clear_cache``.

    Raises:
      TypeError, ValueError: as `jax.jit`.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(15,), num_classes=2)
      >>> scores = bep.jit(bep.logits)(model, model.init(jax.random.key(0)), jax.numpy.ones((3, 1), "uint32"))
      >>> scores.shape
      (3, 2)
    """
    check_type({} if compiler_options is None else compiler_options, Mapping, "compiler_options", "jit")
    if function is None:
        return functools.partial(jit, compiler_options=compiler_options, **options)
    if not callable(function):
        raise TypeError(f"jit: wanted a function, got {shown(function)}.")
    return _Jitted(function, compiler_options or {}, options)


def tracing() -> bool:
    """Whether a program is being traced, rather than run."""
    return get_opaque_trace_state() != _EAGER


def compiler_options(*, once: bool = False) -> dict[str, int | bool] | None:
    """Options for the outermost `jax.jit` that make kernels fastest here; `jit` has them.

    XLA:CPU uses half-width vectors unless told otherwise; the popcount loops gain a third to a half from whole ones. It
    also orders a program for kernels that run side by side, which costs programs that do so a tenth of their time.

    Args:
      once: for a program that runs only once and is not made of kernels: compiled in half the time instead.

    Returns:
      What `jax.jit` takes as ``compiler_options``, without what ``XLA_FLAGS`` sets; None where there are none to set.

    Raises:
      TypeError: ``once`` is not a bool.

    Example:
      >>> import bep_jax as bep
      >>> step = jax.jit(bep.step, compiler_options=bep.compiler_options())  # bep.jit(bep.step)
    """
    check_flag(once, "once", "compiler_options")
    return _known_options(once)


@functools.cache
def _known_options(once: bool) -> dict[str, int | bool] | None:
    options: dict[str, int | bool] = {
        "xla_cpu_prefer_vector_width": 512,
        "xla_cpu_enable_concurrency_optimized_scheduler": False,
    }
    if once:
        options = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
    given = os.environ.get("XLA_FLAGS", "")  # wins, as without us
    options = {name: value for name, value in options.items() if f"--{name}=" not in given}
    if jax.default_backend() != "cpu":
        return None
    return {name: value for name, value in options.items() if _is_option(name, value)} or None


def _is_option(name: str, value: int | bool) -> bool:
    """Whether the compiler has it; one may disappear from a later compiler."""
    try:
        jax.jit(lambda x: x, compiler_options={name: value}).lower(jax.ShapeDtypeStruct((), "int32")).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


@functools.cache
def counts_in_vectors() -> bool:
    """Whether the CPU counts the bits of whole vectors, and XLA:CPU may let it; unknown is yes."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    if "--xla_cpu_max_isa" in os.environ.get("XLA_FLAGS", ""):
        return False
    info = pathlib.Path("/proc/cpuinfo")
    return not info.exists() or "avx512_vpopcntdq" in info.read_text()


class _Jitted:
    def __init__(self, function: Callable, compiler_options: dict[str, Any], options: dict[str, Any]):
        functools.update_wrapper(self, function)
        self._compiler_options, self._options = compiler_options, options

    @functools.cached_property
    def _outermost(self):
        compile_with = {**(compiler_options() or {}), **self._compiler_options}
        return jax.jit(self.__wrapped__, compiler_options=compile_with or None, **self._options)

    @functools.cached_property
    def _nested(self):
        return jax.jit(self.__wrapped__, **self._options)

    def __call__(self, *args, **kwargs):
        return (self._nested if tracing() else self._outermost)(*args, **kwargs)

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._outermost, name)
