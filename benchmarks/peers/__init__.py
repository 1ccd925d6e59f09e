"""BEP beside what people would pick: accuracy, training, memory, bytes and predictions of every method on one core.

Protocol. Test samples decide nothing: the archive's own test file, for tables and digits a stratified part of their
own for every run. Of the training samples a stratified fifth is held out; each method tries as many settings (four;
reduced: two) on it; the best of them, the first of several, is trained on all training samples and tested once. BEP has
the settings that follow from shapes; its bits a feature and its width are among the candidates. Every training is a
process of its own on one core, with one thread.
"""

import json
import os
import pathlib
import subprocess
import sys

from benchmarks import timing
from benchmarks.peers import binary, data, usual
from benchmarks.peers.peer import EFFORT
from benchmarks.peers.tables import Tables
from bep_jax.reproduce.results import Results, complete

PEERS = {**binary.PEERS, **usual.PEERS}
_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA")


def run(options, clock: timing.Clock) -> Tables:
    """Trains what is not in the results file yet, for the protocol and as far as ``--data`` and ``--methods`` ask."""
    if unknown := [name for name in options.methods or () if name not in PEERS]:
        raise SystemExit(f"peers: there is no method {', '.join(unknown)}; there are {', '.join(PEERS)}.")
    protocol = "reduced" if options.quick else "full"
    results = Results(pathlib.Path(options.out) / "peers" / "results.jsonl")
    for name in options.data or (data.QUICK if options.quick else data.NAMES):
        for method in options.methods or PEERS:
            peer, kind = PEERS[method], data.kind_of(name)
            if kind not in peer.kinds or options.only not in f"{method} {name}":
                continue
            settings = {"effort": EFFORT[options.quick], "candidates": list(peer.candidates(kind, options.quick))}
            for number in range(EFFORT[options.quick]["runs"]):
                place = {"kind": protocol, "problem": name, "method": method, "run": number}
                (record,) = complete(results, settings, [place], lambda _, p=place: [_measured(p, options.quick)])
                print(f"{name} | {method} | run {number} | {100 * record['test_accuracy']:.1f} %", flush=True)
    return Tables(results, protocol, EFFORT[options.quick])


def _measured(place: dict, quick: bool) -> dict:
    arguments = {"method": place["method"], "name": place["problem"], "run": place["run"], "quick": quick}
    tuned = _child("tune", arguments)
    return tuned | _child("final", {**arguments, "settings": tuned["chosen"]})


def _child(what: str, arguments: dict) -> dict:
    root = str(pathlib.Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])}
    environment |= {f"{name}_NUM_THREADS": "1" for name in _THREADS}
    command = [sys.executable, "-m", "benchmarks.peers.child", what, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
