"""Values of every kind, good values made strange, and spoilt files."""

import decimal
import math
import random
import re
import types
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def strange(pick: random.Random) -> Any:
    """A value of any kind."""
    return pick.choice(pick.choice((_NUMBERS, _NUMBERS, _THINGS, _SEQUENCES, _ARRAYS)))()


def _all(*values: Any) -> list[Callable[[], Any]]:
    return [lambda value=value: value for value in values]


_NUMBERS = _all(
    *(0, 1, -1, 2, 3, 7, 31, 33, 10**9, 2**31, 10**18, -(10**18), 10**30, 10**400, True, False),
    *(0.0, -0.0, -0.5, 0.3, 0.999, 1.0, 1.5, 3.0, 1e-300, 1e300, math.nan, math.inf, -math.inf, 1j),
    *(
        np.int8(3),
        np.int8(100),
        np.uint8(250),
        np.uint64(2**63),
        np.int64(-5),
        np.float16(0.5),
        np.float32("nan"),
        np.bool_(True),
        np.array(3),
    ),
    *(decimal.Decimal("0.5"), decimal.Decimal("NaN"), Fraction(1, 3)),
)
_THINGS = _all(
    *(None, "", "1", "0.5", "auto", "balanced", "a\0b", "ünï", "x" * 5000, "-x", "../x", "a\nb", b"1", b"\xff", "/"),
    *("/dev/full", "/dev/null", "/proc/self/mem", "missing/file", "{}", "no.npz", "no.csv", "no.ts"),
    *(object(), int, len, Ellipsis, slice(3), types.SimpleNamespace(), range(3), {1, 2}, frozenset(), {}, {"a": 1}),
    *(lambda *a, **k: None, lambda *a: 1 / 0, ValueError("x"), memoryview(b"abc"), iter([1, 2])),
)
_SEQUENCES = _all(
    *((), [], (1,), (0,), (-1,), (1, 2, 3), [1.5], (None,), ("a", "b"), [[1]], [[1], [2, 3]], (10**12,), [math.nan]),
    *((True, False), (1,) * 1000, [[]], ((31, 5, 2, 1),), ((1, 2),), (5, 5), (2**31, 2**31), [object()]),
)
_ARRAYS: list[Callable[[], Any]] = [
    lambda: np.array([]),
    lambda: np.zeros((0, 3)),
    lambda: np.zeros((3, 0), np.uint32),
    lambda: np.zeros((2, 2, 2, 2)),
    lambda: np.ones((3, 4), np.float16),
    lambda: np.ones((20, 1), np.uint32),
    lambda: np.full((20, 1), 2**32 - 1, np.uint32),
    lambda: np.asfortranarray(np.ones((4, 3))),
    lambda: np.ones((4, 3), ">f8"),
    lambda: np.ones((4, 3), ">u4"),
    lambda: np.ones(3, complex),
    lambda: np.array([1, "a", None], object),
    lambda: np.array(["a", "b"]),
    lambda: np.array(["2020-01-01"], "datetime64[D]"),
    lambda: np.zeros(3, [("a", "i4"), ("b", "f8")]),
    lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    lambda: np.array([math.nan, math.inf]),
    lambda: np.ones((6, 4))[::2, ::-1],
    lambda: jax.random.key(0),
    lambda: jax.random.PRNGKey(0),
    lambda: jax.random.split(jax.random.key(0), 3),
    lambda: jnp.ones((2, 3), jnp.bfloat16),
    lambda: jnp.int32(5),
    lambda: jax.ShapeDtypeStruct((3,), "int32"),
]


def mutated(value: Any, pick: random.Random) -> Any:
    """Something strange in the place of a value, or in it."""
    if pick.random() < 0.5:
        return strange(pick)
    if isinstance(value, np.ndarray | jax.Array) and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return _mutated_array(value, pick)
    if isinstance(value, tuple) and value:
        at = pick.randrange(len(value))
        parts = [*value[:at], mutated(value[at], pick), *value[at + 1 :]]
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        return pick.choice((tuple, list))(parts if pick.random() < 0.7 else parts[:at])
    if isinstance(value, types.SimpleNamespace):
        fields = dict(vars(value))
        name = pick.choice(sorted(fields))
        fields[name] = mutated(fields[name], pick)
        if pick.random() < 0.1:
            del fields[name]
        return types.SimpleNamespace(**fields)
    if isinstance(value, bytes) and value:
        return damaged(value, pick)
    return strange(pick)


_DTYPES = ("f2", "f8", "i1", "i8", "u1", "u8", ">i4", "c8", "O", "U", "?", "m8[s]")


def _mutated_array(value: Any, pick: random.Random) -> Any:
    ways: tuple[Callable[[Any], Any], ...] = (
        lambda a: a[:-1],
        lambda a: a[..., :-1],
        lambda a: a[:0],
        lambda a: a[None],
        lambda a: a.reshape(-1),
        lambda a: np.swapaxes(np.asarray(a), 0, -1),
        lambda a: np.asarray(a).astype(pick.choice(_DTYPES)),
        lambda a: np.asfortranarray(a),
        lambda a: np.asarray(a).tolist(),
        lambda a: np.full_like(np.asarray(a), pick.choice((0, 1, 100))),
        lambda a: np.full(np.shape(a), pick.choice((math.nan, math.inf, -1.0, 1e300))),
        lambda a: np.ma.masked_array(np.asarray(a), np.zeros(np.shape(a), bool)),
        lambda a: np.concatenate([np.asarray(a)] * 2, axis=-1),
        lambda a: ~np.asarray(a),
        lambda a: np.broadcast_to(np.asarray(a), (2, *np.shape(a))),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pick.choice(ways)(value)
        except (TypeError, ValueError, IndexError):
            return strange(pick)


def damaged(content: bytes, pick: random.Random) -> bytes:
    """A file that a disk, a transfer or an editor spoilt."""
    at = pick.randrange(len(content))
    piece = bytes(pick.randrange(256) for _ in range(pick.choice((1, 1, 4, 40))))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: content[:at],
        lambda: content[at:],
        lambda: content[:at] + bytes([content[at] ^ (1 << pick.randrange(8))]) + content[at + 1 :],
        lambda: content[:at] + piece + content[at + len(piece) :],
        lambda: content[:at] + piece + content[at:],
        lambda: content[:at] + content[at + len(piece) :],
        lambda: content + piece,
        lambda: content + content,
        lambda: content[:at] + bytes(len(content) - at),
        lambda: content.replace(b"\n", pick.choice((b"\r\n", b"\r", b"", b"\n\n"))),
        lambda: content.replace(b",", pick.choice((b";", b"\t", b",,", b" "))),
        lambda: _header_changed(content, pick),
    )
    return pick.choice(ways)()


def _header_changed(content: bytes, pick: random.Random) -> bytes:
    """A number in the first bytes made another, huge or negative; what is text stays text."""
    numbers = list(re.finditer(rb"\d+", content[:600]))
    if not numbers:
        return content[:4] + b"\xff\xff\xff\x7f" + content[8:]
    one = pick.choice(numbers)
    new = pick.choice((b"0", b"1", b"-1", b"99999999999", b"1e9", b"2147483648", b"nan", b"null", b'"x"', b"[]"))
    return content[: one.start()] + new + content[one.end() :]
