"""BEP beside what people would pick: accuracy, training, memory, bytes and predictions of every method on one core.

Test samples decide nothing: the archive's own test file, for tables and digits a stratified part of their own for every
run. Of the training samples a stratified fifth is held out; each method tries its settings on it; the best of them, the
first of several, is trained on all training samples and tested once. BEP has the settings that follow from shapes; its
bits a feature and its width are among the candidates; like QAT it reads images by levels and edges. Every training is a
process of its own on one core, with one thread. `protocol.py` says how many settings, runs and passes the full, the
short and the quick protocol have.
"""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks import timing
from benchmarks.peers import binary, data, usual
from benchmarks.peers.protocol import PROTOCOLS
from benchmarks.peers.tables import Tables
from bep_jax.reproduce.results import Results, complete

PEERS = {**binary.PEERS, **usual.PEERS}
_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA")


def run(options, clock: timing.Clock) -> Tables:
    """Trains what is not in the results file yet, for the protocol and as far as ``--data`` and ``--methods`` ask."""
    if unknown := [name for name in options.methods or () if name not in PEERS]:
        raise SystemExit(f"peers: there is no method {', '.join(unknown)}; there are {', '.join(PEERS)}.")
    name = "quick" if options.quick else options.protocol
    protocol, failed = PROTOCOLS[name], []
    results = Results(pathlib.Path(options.out) / "peers" / "results.jsonl")
    with _server(options.methods or list(PEERS)) as ask:
        for problem in options.data or protocol.data:
            for method in options.methods or PEERS:
                if data.kind_of(problem) not in PEERS[method].kinds or options.only not in f"{method} {problem}":
                    continue
                settings = protocol.settings(PEERS[method], problem)
                for number in range(protocol.runs):
                    place = {"kind": name, "problem": problem, "method": method, "run": number}
                    try:
                        (record,) = complete(results, settings, [place], lambda _, p=place: [_measured(ask, p)])
                    except RuntimeError:
                        failed.append(f"{method} on {problem}")
                        continue
                    print(f"{problem} | {method} | run {number} | {100 * record['test_accuracy']:.1f} %", flush=True)
    return Tables(results, name, list(PEERS), failed)


def _measured(ask: Callable[..., dict], place: dict) -> dict:
    arguments = {"method": place["method"], "name": place["problem"], "run": place["run"], "protocol": place["kind"]}
    tuned = ask("tune", arguments)
    return tuned | ask("final", {**arguments, "settings": tuned["chosen"]})


@contextmanager
def _server(methods: list[str]) -> Iterator[Callable[..., dict]]:
    """A process that has the packages, and forks one for each question: packages are imported once."""
    root = str(pathlib.Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])}
    environment |= {f"{name}_NUM_THREADS": "1" for name in _THREADS}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # a first training compiles
    command = [sys.executable, "-m", "benchmarks.peers.child", *methods]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as server:

        def ask(what: str, arguments: dict) -> dict:
            assert server.stdin is not None and server.stdout is not None
            print(json.dumps([what, arguments]), file=server.stdin, flush=True)
            answer = json.loads(server.stdout.readline() or "null")
            if answer is None:
                raise RuntimeError(f"peers: {what} of {arguments} failed")
            return answer

        yield ask
