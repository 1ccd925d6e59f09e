"""Compiles and calls ``roofline.c``: what a hand-written kernel reaches on this machine."""

import ctypes
import pathlib

import numpy as np

from benchmarks import native

_PANEL = 64
_WORDS = np.ctypeslib.ndpointer(np.uint32, flags="C_CONTIGUOUS")
_SUMS = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")


class Roofline:
    """The three products of `bep_jax.kernels.products` in C, with operands as there."""

    def __init__(self, library: ctypes.CDLL):
        longs = [ctypes.c_long] * 3
        self._functions = {"forward": library.forward, "backward": library.backward, "outer": library.outer}
        library.forward.argtypes = [_WORDS, _WORDS, _SUMS, *longs, ctypes.c_int]
        library.backward.argtypes = [_WORDS, _WORDS, _WORDS, _SUMS, *longs]
        library.outer.argtypes = [_WORDS, _WORDS, _WORDS, _SUMS, *longs]
        for function in self._functions.values():
            function.restype = None

    def prepare(self, product: str, operands: tuple, contracted: int):
        """Returns a function of no arguments that computes the product, and its result ``[rows, columns]``.

        ``contracted`` is K, which `forward` needs.
        """
        rows, words = operands[0].shape
        columns = operands[-1].shape[1]
        padded = columns + -columns % _PANEL

        def array(operand) -> np.ndarray:
            operand = np.asarray(operand)
            widen = padded - columns if operand.shape[1] == columns and operand.shape[0] == words else 0
            return np.ascontiguousarray(np.pad(operand, ((0, 0), (0, widen))))

        row_operands = 2 if product == "outer" else 1
        arrays = [np.ascontiguousarray(o) for o in operands[:row_operands]]
        arrays += [array(o) for o in operands[row_operands:]]
        out = np.empty((rows, padded), np.int32)
        extra = (contracted,) if product == "forward" else ()
        function = self._functions[product]

        def call():
            function(*arrays, out, rows, words, padded, *extra)

        return call, out[:, :columns]


def build() -> Roofline | None:
    """The compiled kernels, or None where there is no gcc or no VPOPCNTDQ."""
    info = pathlib.Path("/proc/cpuinfo")
    if not info.exists() or "avx512_vpopcntdq" not in info.read_text():
        return None
    library = native.load(pathlib.Path(__file__).with_name("roofline.c"))
    return None if library is None else Roofline(library)
