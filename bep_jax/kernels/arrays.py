"""What arrays a kernel takes, held against what it is given: a wrong one would count nonsense, or end in XLA's words.

A contract is written as docstrings write it, ``"uint32 [Wk, B]"``: a letter is one length in all arguments, and W with
a letter in lower case the words of that axis, ``Wk = ceil(K / 32)``. Only dtypes and shapes are looked at, and scalars
that are not traced, so that a compiled program has nothing of it.
"""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax.kernels.checks import INT32_MAX, is_integer, shown

_WORD_BITS = 32
_KINDS: dict[str, Any] = {
    "integers": jnp.signedinteger,
    "int32": jnp.int32,
    "uint32": jnp.uint32,
    "bool": jnp.bool_,
}
_F = TypeVar("_F", bound=Callable[..., Any])


class _Contract(NamedTuple):
    kind: str
    axes: tuple[str, ...]  # "..." for any number of them
    least: int | None  # of a scalar

    def __str__(self) -> str:
        if self.least is not None:
            return f"a whole number of at least {self.least}"
        return f"{self.kind} [{', '.join(self.axes)}]"


def takes(**contracts: str) -> Callable[[_F], _F]:
    """Makes a function refuse arguments that it is not written for.

    Args:
      **contracts: argument -> ``"kind [axes]"``, the kind integers (signed), int32, uint32 or bool; or ``">= 1"`` for a
        whole number, which may be traced.

    Raises:
      TypeError, ValueError: when called, for an argument of another kind or shape; names the function.

    Example:
      >>> @takes(z="integers [N, B]", words="uint32 [Wn, B]")
      ... def f(z, words): return z.shape
      >>> f(np.zeros((33, 2), int), np.zeros((2, 2), np.uint32))
      (33, 2)
      >>> f(np.zeros((33, 2), int), np.zeros((1, 2), np.uint32))
      Traceback (most recent call last):
      ValueError: arrays.f: words must be uint32 [Wn, B] with N=33, B=2, got (1, 2).
    """
    read = {name: _contract(text) for name, text in contracts.items()}

    def around(function: _F) -> _F:
        who = f"{function.__module__.rpartition('.')[2]}.{function.__name__.strip('_')}"
        signature = inspect.signature(function)
        names = tuple(signature.parameters)

        @functools.wraps(function)
        def call(*args, **kwargs):
            given = signature.bind(*args, **kwargs).arguments if kwargs else dict(zip(names, args, strict=False))
            lengths: dict[str, int] = {}
            for name, contract in read.items():
                if name not in given:
                    break  # Python says it when the function is called
                if contract.least is not None:
                    _check_scalar(given[name], contract, f"{who}: {name}")
                else:
                    _check(given[name], contract, lengths, f"{who}: {name}")
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return around


def _contract(text: str) -> _Contract:
    if text.startswith(">="):
        return _Contract("", (), int(text[2:]))
    kind, axes = re.fullmatch(r"(\w+) \[(.*)\]", text).groups()  # type: ignore[union-attr]
    return _Contract(kind, tuple(axes.split(", ")), None)


def _check(value: Any, contract: _Contract, lengths: dict[str, int], what: str) -> None:
    if not isinstance(value, jax.Array | np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{what} must be {contract}, got {type(value).__name__}.")
    kind, dtype = _KINDS[contract.kind], value.dtype
    native = getattr(dtype, "isnative", True) and getattr(dtype, "kind", "") != "m"  # a timedelta64 is an integer, too
    if not native or not jnp.issubdtype(dtype, kind):
        raise TypeError(f"{what} must be {contract}, got {value.dtype} {value.shape}.")
    axes, shape = contract.axes, value.shape
    if axes[0] == "...":
        axes = axes[1:]
        shape = shape[max(0, len(shape) - len(axes)) :]
    known = lengths.copy()
    fits = len(axes) == len(shape) and 0 not in value.shape
    for axis, length in zip(axes, shape, strict=False):
        if axis.startswith("W"):
            wanted = known.get(axis[1:].upper())
            wanted = -(-wanted // _WORD_BITS) if isinstance(wanted, int) else known.setdefault(axis, length)
        else:
            wanted = known.setdefault(axis, length)
        # A length may be a symbol, of a program that is exported for any batch.
        fits = fits and (not isinstance(length, int) or not isinstance(wanted, int) or length == wanted)
    if not fits:
        found = ", ".join(f"{axis}={length}" for axis, length in lengths.items())
        raise ValueError(f"{what} must be {contract}{f' with {found}' if found else ''}, got {value.shape}.")
    lengths.update(known)


def _check_scalar(value: Any, contract: _Contract, what: str) -> None:
    if isinstance(value, bool | np.ma.MaskedArray) or not _is_integer(value) or np.ndim(value):
        raise TypeError(f"{what} must be {contract}, got {shown(value)}.")
    if not isinstance(value, jax.core.Tracer) and not contract.least <= int(value) <= INT32_MAX:  # type: ignore[operator]
        raise ValueError(f"{what} must be {contract}, got {int(value)}.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) or (
        isinstance(value, jax.Array | np.ndarray | np.generic) and is_integer(value.dtype)
    )
