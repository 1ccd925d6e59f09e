"""Binary equiangular frames: the fixed classifier, one ±1 row per class, all pairs of rows equally far apart.

A frame lowers J = Σ_{i<j} g_ij + α·Var_{i<j} g_ij, with g_ij the inner product of rows i and j, by greedy flips of
single bits. The search is a jitted program of integers: it runs under jit and vmap, and one key gives one frame
everywhere.

Axis letters: C classes (rows), K width (bits of a row), W = ceil(K / 32) words.

Source: BEP (arXiv 2512.04189), Appendix C, Eq. 13.
"""

import functools
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_count, check_real

MAX_SWEEPS = 100
_ALPHA_DENOMINATOR = 64


def equiangular_frame(key: jax.Array, num_classes: int, width: int, *, alpha: float = 1.0) -> jax.Array:
    """Draws a binary equiangular frame: the rows that a network's last layer is matched against.

    From random signs, sweeps over all (row, coordinate) pairs, in one random order, propose a flip of each bit and
    keep it when J falls. The search ends when a whole sweep kept none, so that no single flip lowers J any more (or
    after ``MAX_SWEEPS`` sweeps; two to six are usual). A proposal costs O(C): the Gram matrix and the sum of its
    entries are kept up to date, and the change of J is compared with 0 exactly, in int32.

    Args:
      key: one ``jax.random.key``, or a raw uint32 key.
      num_classes: C, at least 2.
      width: K, at least 1.
      alpha: α, the weight of the variance, at least 0; rounded to the nearest fraction with a denominator up to 64.

    Returns:
      uint32 ``[C, W]``, the packed rows; padding bits are 0.

    Raises:
      TypeError: ``key`` is not a key, or a size is not an integer.
      ValueError: ``num_classes`` < 2, ``width`` < 1, ``alpha`` negative or not finite, or so large a frame that the
        exact comparison leaves int32 (for α = 1 from about 1000 classes up).

    Example:
      >>> frame = equiangular_frame(jax.random.key(0), num_classes=4, width=60)
      >>> rows = bits.unpack(frame, num_bits=60).astype(jnp.int32)
      >>> rows @ rows.T
      Array([[ 60, -22, -20, -18],
             [-22,  60, -18, -20],
             [-20, -18,  60, -22],
             [-18, -20, -22,  60]], dtype=int32)
    """
    num_classes = check_count(num_classes, "num_classes", "equiangular_frame", least=2)
    width = check_count(width, "width", "equiangular_frame")
    alpha = check_real(alpha, "alpha", "equiangular_frame")
    if not 0.0 <= alpha < float("inf"):
        raise ValueError(f"equiangular_frame: alpha must be finite and at least 0, got {alpha}.")
    weight = Fraction(alpha).limit_denominator(_ALPHA_DENOMINATOR)
    _check_int32(num_classes, width, weight)
    if not isinstance(key, jax.Array | np.ndarray):
        raise TypeError(f"equiangular_frame: wanted a key such as jax.random.key(0), got {type(key).__name__}.")
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.dtype != jnp.uint32 or key.shape != (2,):
            raise TypeError(f"equiangular_frame: wanted a key such as jax.random.key(0), got {key.dtype} {key.shape}.")
        key = jax.random.wrap_key_data(jnp.asarray(key))
    if key.ndim:
        raise ValueError(f"equiangular_frame: wanted one key, got shape {key.shape}; map over keys with jax.vmap.")
    search = _search(num_classes, width, weight.numerator, weight.denominator)
    if isinstance(key, jax.core.Tracer) or jax.default_backend() == "cpu" or (host := _cpu()) is None:
        return search(key)
    with jax.ensure_compile_time_eval():
        return jnp.asarray(np.asarray(search(jax.device_put(key, host))))


def _cpu() -> jax.Device | None:
    """A CPU device beside the accelerator: the search is sequential, and a kernel launch a step would be slow."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


class _Search(NamedTuple):
    columns: jax.Array  # int32 [K, C], ±1; a coordinate's bits lie together
    gram: jax.Array  # int32 [C, C], inner products; the diagonal stays 0
    total: jax.Array  # int32 [], sum of gram over the pairs i < j
    kept: jax.Array  # int32 [], flips kept in this sweep
    sweeps: jax.Array  # int32 [], sweeps done


@functools.lru_cache(maxsize=64)
def _search(num_classes: int, width: int, numerator: int, denominator: int) -> Callable[[jax.Array], jax.Array]:
    """The compiled search for one size: key -> packed uint32 ``[C, W]``."""
    pairs = num_classes * (num_classes - 1) // 2
    proposals = num_classes * width
    classes = np.arange(num_classes, dtype=np.int32)

    def trial(i: jax.Array, carry: tuple[_Search, jax.Array]) -> tuple[_Search, jax.Array]:
        frame, order = carry
        proposal = order[i]  # coordinate·C + row
        row, coordinate = proposal % np.int32(num_classes), proposal // np.int32(num_classes)
        column, products = frame.columns[coordinate], frame.gram[row]
        own = column[row]
        change = jnp.where(classes == row, jnp.int32(0), jnp.int32(-2) * own * column)  # of the row's inner products
        change_total = jnp.sum(change, dtype=jnp.int32)
        lower = _is_lower(frame.total, products, change, change_total)
        change = jnp.where(lower, change, jnp.int32(0))
        frame = frame._replace(
            columns=frame.columns.at[coordinate, row].set(jnp.where(lower, -own, own)),
            gram=frame.gram.at[row, :].add(change).at[:, row].add(change),
            total=frame.total + jnp.sum(change, dtype=jnp.int32),
            kept=frame.kept + lower.astype(jnp.int32),
        )
        return frame, order

    def _is_lower(total: jax.Array, products: jax.Array, change: jax.Array, change_total: jax.Array) -> jax.Array:
        """Whether J falls, exactly.

        With P pairs, S the total and Q the sum of squares, P·ΔJ = P·ΔS + α·(ΔQ - ΔS·(2S + ΔS) / P). Splitting
        S = mP + s takes the large part out of the division: 2S·ΔS / P = 2m·ΔS + 2s·ΔS / P.
        """
        mean = total // np.int32(pairs)
        rest = total - mean * np.int32(pairs)
        # ΔQ = Σ (2g + Δ)·Δ over the row; taking the mean off every g first keeps the sum small.
        spread = jnp.sum((jnp.int32(2) * (products - mean) + change) * change, dtype=jnp.int32)
        whole = np.int32(denominator * pairs) * change_total + np.int32(numerator) * spread
        # whole < numerator·ΔS·(2s + ΔS) / P, for integers: below the ceiling.
        part = np.int32(numerator) * change_total * (jnp.int32(2) * rest + change_total)
        return whole < -((-part) // np.int32(pairs))

    @jax.jit
    def search(key: jax.Array) -> jax.Array:
        # One draw for everything: compiling a second one costs more than the whole search takes.
        signs, ranks = jax.random.bits(key, (2, proposals), jnp.uint32)
        # A stable sort by random words: a tie, at worst, leaves two proposals in index order.
        _, order = lax.sort_key_val(ranks, lax.iota(jnp.int32, proposals))

        def sweep(carry: _Search) -> _Search:
            start = carry._replace(kept=jnp.int32(0))
            end, _ = lax.fori_loop(np.int32(0), np.int32(proposals), trial, (start, order))
            return end._replace(sweeps=end.sweeps + jnp.int32(1))

        columns = jnp.where(signs.reshape(width, num_classes) >> 31 == 0, -1, 1).astype(jnp.int32)
        gram = jnp.where(classes[:, None] == classes, jnp.int32(0), columns.T @ columns)
        total = jnp.sum(jnp.triu(gram), dtype=jnp.int32)
        end = lax.while_loop(
            lambda carry: (carry.kept > 0) & (carry.sweeps < MAX_SWEEPS),
            sweep,
            _Search(columns, gram, total, kept=jnp.int32(1), sweeps=jnp.int32(0)),
        )
        return bits.pack_minor(end.columns.T > 0)

    return search


def _check_int32(num_classes: int, width: int, weight: Fraction) -> None:
    """Bounds every intermediate of the comparison."""
    pairs = num_classes * (num_classes - 1) // 2
    change = 2 * (num_classes - 1)
    spread = change * (4 * width + 2)
    whole = weight.denominator * pairs * change + weight.numerator * spread
    part = weight.numerator * change * (2 * pairs + change)
    if max(whole, part, pairs * width) >= 2**31:
        raise ValueError(
            f"equiangular_frame: num_classes={num_classes}, width={width}, alpha={float(weight)} need more than "
            "32 bits in the exact comparison; take fewer classes, or an alpha that is a small whole number."
        )
