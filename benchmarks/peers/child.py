"""One method on one data set in a process of its own, so that its memory is its own.

``tune`` tries every candidate on validation samples; ``final`` trains once with what was chosen, and measures.
``python -m benchmarks.peers.child METHODS`` imports what these need; each line that it then reads (which of the two,
and its arguments, as JSON) is worked on in a process forked for it and answered by a line of JSON, null on failure.
"""

import contextlib
import ctypes
import importlib
import json
import os
import pathlib
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib import metadata

import numpy as np

from benchmarks import native
from benchmarks.peers import binary, data, usual
from benchmarks.peers.data import Part
from benchmarks.peers.peer import Fitted
from benchmarks.peers.protocol import PROTOCOLS
from bep_jax.training import memory

PEERS = {**binary.PEERS, **usual.PEERS}
_ROWS = 1000  # of a prediction of many
_AGAIN = 30  # seconds of a first training, above which compiling is little of it and it is not done again
_TYPES = {"uint8_t": np.uint8, "float": np.float32, "double": np.float64}

# A sample after the other, from raw features to labels; a convolution and an MLP in one call.
_MAIN = """
#include "net.h"

void run(const bep_input_t *inputs, int32_t *labels, long samples, long features, long steps)
{
    long b;
#if @RECURRENT@
    long t;
    for (b = 0; b < samples; b++) {
        int32_t logits[BEP_NUM_CLASSES];
        int c, best = 0;
        bep_reset();
        for (t = 0; t < steps; t++, inputs += features)
            bep_step(inputs);
        bep_logits(logits);
        for (c = 1; c < BEP_NUM_CLASSES; c++)
            if (logits[c] > logits[best])
                best = c;
        labels[b] = best;
    }
#else
    (void)steps;
    for (b = 0; b < samples; b++, inputs += features)
        labels[b] = bep_predict(inputs);
#endif
}
"""


def tune(method: str, name: str, run: int, protocol: str) -> dict:
    """The accuracy of every candidate on validation samples, and the first of the best; one alone is not tried."""
    peer, how = PEERS[method], PROTOCOLS[protocol]
    settings = how.settings(peer, name)
    candidates, found, start = settings["candidates"], [], time.process_time()
    if len(candidates) > 1:
        part = data.validation(data.load(name, run), run, how.tuning_samples)
        for candidate in candidates:
            fitted = peer.fit(candidate, part, run, settings["effort"])
            found.append(_accuracy(fitted.predict(part.test_x), part.test_y))
    best = candidates[int(np.argmax(found))] if found else candidates[0]
    return {"chosen": best, "validation": found, "tuning_seconds": time.process_time() - start}


def final(method: str, name: str, run: int, protocol: str, settings: dict) -> dict:
    """Test accuracy, seconds of the CPU, peak memory, bytes, times of predictions."""
    peer, effort, part = PEERS[method], PROTOCOLS[protocol].effort_on(name), data.load(name, run)
    known = memory.reset_peak()
    before = memory.resident_bytes() if known else 0
    seconds, fitted = _timed(lambda: peer.fit(settings, part, run, effort))
    peak = memory.resident_bytes(peak=True) - before if known else None
    found = {"train_seconds": seconds, "peak_bytes": peak, "model_bytes": fitted.size, "packages": _packages()}
    if peer.compiles and seconds < _AGAIN:
        found["train_again_seconds"], fitted = _timed(lambda: peer.fit(settings, part, run, effort))
    labels = np.asarray(fitted.predict(part.test_x))
    many = np.resize(np.arange(len(part.test_x)), _ROWS)
    found |= {
        "test_accuracy": _accuracy(labels, part.test_y),
        "num_test": len(part.test_y),
        "fit_validation": fitted.validation,
        "predict_one": _repeated(lambda: fitted.predict(part.test_x[:1])),
        "predict_many": _repeated(lambda: fitted.predict(part.test_x[many])) / _ROWS,
    }
    if fitted.header is not None and (seconds := _in_c(fitted, part, labels)) is not None:
        found["predict_c"] = seconds
    return found


def serve(methods: list[str]) -> None:
    """Answers questions until there are no more; what packages print goes where errors go."""
    for module in dict.fromkeys(module for method in methods for module in PEERS[method].modules):
        with contextlib.suppress(ImportError):  # the methods that need it fail by themselves
            importlib.import_module(module)
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            if (child := os.fork()) == 0:
                status = 1
                try:
                    what, arguments = json.loads(line)
                    print(json.dumps({"tune": tune, "final": final}[what](**arguments)), file=answers, flush=True)
                    status = 0
                except Exception:
                    traceback.print_exc()
                finally:
                    os._exit(status)
            if os.waitpid(child, 0)[1]:
                print("null", file=answers, flush=True)


def _in_c(fitted: Fitted, part: Part, labels: np.ndarray) -> float | None:
    """Seconds a sample of the exported C, whose labels must be those of Python; None where nothing compiles."""
    assert fitted.header is not None and fitted.cut is not None
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "net.h").write_text(fitted.header)
        source = pathlib.Path(folder) / "net.c"
        source.write_text(_MAIN.replace("@RECURRENT@", str(int("bep_reset" in fitted.header))))
        library = native.load(source)
    if library is None:
        return None
    found = re.search(r"typedef (\w+) bep_input_t;", fitted.header)
    assert found is not None
    x = np.ascontiguousarray(fitted.cut(part.test_x), _TYPES[found[1]])
    out = np.empty(len(x), np.int32)
    function = library.run
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_long] * 3], None
    places = x.ctypes.data, out.ctypes.data, len(x), x.shape[-1], x.shape[1] if x.ndim == 3 else 1
    seconds = _repeated(lambda: function(*places)) / len(x)
    if not np.array_equal(out, labels):
        raise AssertionError("peers: the exported C predicts other labels than Python")
    return seconds


def _packages() -> dict[str, str]:
    """Versions of what is compared."""
    names = ("scikit-learn", "aeon", "numba", "green_tsetlin")
    installed = {d.name: d.version for d in metadata.distributions()}
    return {name: installed[name] for name in names if name in installed}


def _accuracy(labels: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.mean(np.asarray(labels) == wanted))


def _timed(work: Callable) -> tuple[float, Fitted]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _repeated(work: Callable, least: int = 5, seconds: float = 0.2, most: float = 2.0) -> float:
    """The median of the CPU seconds of several calls, after one that does not count."""
    work()
    samples: list[float] = []
    while sum(samples) < most and (len(samples) < least or (sum(samples) < seconds and len(samples) < 1000)):
        start = time.process_time()
        work()
        samples.append(time.process_time() - start)
    return float(np.median(samples))


if __name__ == "__main__":
    serve(sys.argv[1:])
