"""Several seeds on all cores: threads and a mesh of virtual devices, beside one core and a process a core, in one run.

Every way is a process of its own, since XLA settles on its threads and devices when it starts; they take turns.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import types

import numpy as np

from benchmarks import timing
from benchmarks.report import Column, Report
from benchmarks.timing import Spread

SEEDS, EPOCHS = 4, 20
_CORE, _PROCESSES = "one core", "processes"
WAYS = {
    _CORE: "pinned to one core",
    "one program": "all seeds in one program, XLA's threads on all cores",
    'mesh="auto"': "a thread a core, each with a program of its share of the seeds, as `train --devices auto` does",
    "virtual devices": "a mesh over seeds of one virtual CPU device a core",
    _PROCESSES: "a process pinned to each core, seeds shared out: what this machine can give",
}

COLUMNS = (
    Column("name", "4 seeds"),
    Column("how", "how"),
    Column("wall", "wall time, s", 2),
    Column("cpu", "CPU time, s", 2),
    Column("ratio", "of one core's wall time", 2),
    Column("cpu_ratio", "of one core's CPU time", 2),
)


def run(options, clock: timing.Clock) -> Report:
    """Lets every way train in turn; the networks must be the same."""
    report = Report(
        "Several seeds on all cores",
        (
            f"`bep.fit` of {SEEDS} seeds of MLP 784-525-525, {EPOCHS} epochs of 4,500 samples of random bits at batch "
            "100, after a run that compiles. Wall time counts what other programs take, CPU time hardly; the networks "
            "of all ways are compared. Wanted: 0.6 of one core's wall time on two cores.",
        ),
        COLUMNS,
    )
    names = [name for name in WAYS if options.only in name]
    workers = {name: _start(name, options.quick) for name in names}
    try:
        digests = {name: _ask(workers[name])["digests"] for name in names}  # compiles
        assert len(set(map(tuple, digests.values()))) == 1, digests
        found: dict[str, list[dict]] = {name: [] for name in names}
        for _ in range(2 if options.quick else min(options.repetitions, 5)):
            for name in names:
                found[name].append(_ask(workers[name]))
    finally:
        for way in workers.values():
            for worker in way:
                worker.kill()
    times = {name: {k: np.array([r[k] for r in rows]) for k in ("wall", "cpu")} for name, rows in found.items()}
    for name in names:
        clock.wall, clock.cpu = clock.wall + times[name]["wall"].sum(), clock.cpu + times[name]["cpu"].sum()
        row = {"name": name, "how": WAYS[name], **{k: Spread.of(v) for k, v in times[name].items()}}
        if _CORE in times:
            row["ratio"] = Spread.of(times[name]["wall"] / times[_CORE]["wall"])
            row["cpu_ratio"] = Spread.of(times[name]["cpu"] / times[_CORE]["cpu"])
        report.add(row)
    return report


def _start(name: str, quick: bool) -> list[subprocess.Popen]:
    """The processes of a way: its name, which of the usable cores each is pinned to, and its seeds."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    seeds = list(range(SEEDS))
    shares = [([cores[-1]], seeds)] if name == _CORE else [(cores, seeds)]
    if name == _PROCESSES:
        used = cores[:SEEDS]
        shares = [([core], list(part)) for core, part in zip(used, np.array_split(seeds, len(used)), strict=True)]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cores", json.dumps([name, own, [int(s) for s in part], quick])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for own, part in shares
    ]


def _ask(workers: list[subprocess.Popen]) -> dict:
    """Lets a way train once: its times, and a digest of each seed's networks."""
    begun = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [json.loads(worker.stdout.readline()) for worker in workers if worker.stdout is not None]
    wall = time.perf_counter() - begun
    return {
        "wall": wall,
        "cpu": sum(answer["cpu"] for answer in answers),
        "digests": [digest for answer in answers for digest in answer["digests"]],
    }


def _work(name: str, cores: list[int], seeds: list[int], quick: bool) -> None:
    """One process of a way: trains once for every line that comes in, and says how long it took."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    import jax

    import bep_jax as bep

    mesh = "auto" if name == 'mesh="auto"' else None
    if name == "virtual devices":
        parts = max(n for n in range(1, SEEDS + 1) if SEEDS % n == 0 and n <= len(cores))
        jax.config.update("jax_num_cpu_devices", parts)
        mesh = jax.make_mesh((parts,), ("seeds",))
    rng = np.random.default_rng(0)
    samples, widths, epochs = (200, (15, 15), 3) if quick else (5000, (525, 525), EPOCHS)
    x = np.asarray(bep.bits.pack(rng.random((samples, 784)) < 0.5))
    y = rng.integers(0, 10, samples).astype(np.int32)
    data = types.SimpleNamespace(train_x=x, train_y=y, test_x=x[:100], test_y=y[:100])
    model, rule = bep.mlp(num_inputs=784, widths=widths, num_classes=10), bep.Rule(gate=0.05)
    for _ in sys.stdin:
        cpu = time.process_time()
        result = bep.fit(model, rule, data, epochs=epochs, seeds=seeds, mesh=mesh, progress=False)
        weights = [np.asarray(h) for h in result.params.hidden]
        digests = [hashlib.sha256(b"".join(h[i].tobytes() for h in weights)).hexdigest() for i in range(len(seeds))]
        print(json.dumps({"cpu": time.process_time() - cpu, "digests": digests}), flush=True)


if __name__ == "__main__":
    _work(*json.loads(sys.argv[1]))
