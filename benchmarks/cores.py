"""Several seeds on all cores: threads and a mesh of virtual devices, beside one core, in one run.

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

SEEDS = 4
_CORE = "one core"
WAYS = {
    _CORE: "pinned to one core",
    "one program": "all seeds in one program, XLA's threads on all cores",
    'mesh="auto"': "one program a seed, called from threads",
    "virtual devices": "a mesh over seeds of one virtual CPU device a core",
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
            f"`bep.fit` of {SEEDS} seeds of MLP 784-525-525 at batch 100 on random bits, after a run that compiles. "
            "Wall time counts what other programs take, CPU time hardly; the networks of all ways are compared.",
        ),
        COLUMNS,
    )
    names = [name for name in WAYS if options.only in name]
    workers = {name: _start(name, options.quick) for name in names}
    try:
        digests = {name: _ask(worker)["digest"] for name, worker in workers.items()}  # compiles
        assert len(set(digests.values())) == 1, digests
        found: dict[str, list[dict]] = {name: [] for name in names}
        for _ in range(2 if options.quick else min(options.repetitions, 5)):
            for name in names:
                found[name].append(_ask(workers[name]))
    finally:
        for worker in workers.values():
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


def _start(name: str, quick: bool) -> subprocess.Popen:
    environment = {k: v for k, v in os.environ.items() if k != "NPROC"}
    command = [sys.executable, "-m", "benchmarks.cores", name, *(["--quick"] if quick else [])]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(worker: subprocess.Popen) -> dict:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def _work(name: str, quick: bool) -> None:
    """One way: trains once for every line that comes in, and says how long it took."""
    if name == _CORE:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import jax

    import bep_jax as bep
    from bep_jax.training import devices

    mesh = "auto" if name == 'mesh="auto"' else None
    if name == "virtual devices":
        cores = max(n for n in range(1, SEEDS + 1) if SEEDS % n == 0 and n <= devices.usable_cores())
        jax.config.update("jax_num_cpu_devices", cores)
        mesh = jax.make_mesh((cores,), ("seeds",))
    rng = np.random.default_rng(0)
    samples, widths = (200, (15, 15)) if quick else (5000, (525, 525))
    x = np.asarray(bep.bits.pack(rng.random((samples, 784)) < 0.5))
    y = rng.integers(0, 10, samples).astype(np.int32)
    data = types.SimpleNamespace(train_x=x, train_y=y, test_x=x[:100], test_y=y[:100])
    model, rule = bep.mlp(num_inputs=784, widths=widths, num_classes=10), bep.Rule(gate=0.05)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        result = bep.fit(model, rule, data, epochs=3, seeds=SEEDS, mesh=mesh, progress=False)
        weights = [np.asarray(h).tobytes() for h in result.params.hidden]
        took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps({**took, "digest": hashlib.sha256(b"".join(weights)).hexdigest()}), flush=True)


if __name__ == "__main__":
    _work(sys.argv[1], "--quick" in sys.argv)
