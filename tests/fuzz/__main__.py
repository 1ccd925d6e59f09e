"""Each call watched, in a process apart: `python -m fuzz`."""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import fuzz
from fuzz.calls import draw_call, functions
from fuzz.commands import command, draw_command
from fuzz.files import formats, spoil
from fuzz.judge import judged
from fuzz.samples import Files

SECONDS, BYTES = 10, 1 << 30


def work(kind: str, names: list[str], start: int, count: int) -> None:
    """Runs calls ``start`` (of the first name) to ``count`` and prints a line before and after each."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        out, calls = os.fdopen(os.dup(1), "w"), _calls(kind)
        jax.block_until_ready(jnp.zeros(1) + 1)
        for name in names:
            for seed in range(start, count):
                shown, call = calls(name, seed)
                print(json.dumps({"name": name, "seed": seed, "shown": shown}), file=out, flush=True)
                peak = _Peak()
                begin = time.process_time()  # of the processor: others may be at work
                outcome = judged(call)
                seconds, used = time.process_time() - begin, peak.stop()
                line = {"ok": outcome.ok, "what": outcome.what[:400], "seconds": round(seconds, 2), "bytes": used}
                print(json.dumps(line), file=out, flush=True)
            start = 0
        os.chdir("/")


def _calls(kind: str) -> Callable[[str, int], tuple[str, Callable[[], Any]]]:
    if kind == "calls":
        targets = {one.name: one for one in functions()}

        def drawn(name: str, seed: int) -> tuple[str, Callable[[], Any]]:
            target = targets[name]
            args, names = draw_call(target, seed)
            shown = ", ".join(f"{name}={_short(args[name])}" for name in names)
            return shown, functools.partial(target.call, **args)

        return drawn
    if kind == "files":
        kinds = {one.name: one for one in formats()}
        return lambda name, seed: (str(seed), spoil(kinds[name], seed))
    files = Files()
    return lambda name, seed: (
        repr(draw_command(files, seed)),
        functools.partial(command, draw_command(files, seed)),
    )


def _short(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception as error:
        text = f"<{type(value).__name__}, {type(error).__name__} in repr>"
    return text if len(text) < 160 else f"{text[:150]}..."


class _Peak:
    """How much more memory is resident at most, until it is stopped."""

    def __init__(self) -> None:
        self._before = self._most = _resident()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self._most = max(self._most, _resident())

    def stop(self) -> int:
        self._end.set()
        self._thread.join()
        return max(self._most, _resident()) - self._before


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def watched(kind: str, names: list[str], count: int) -> None:
    """Runs all calls and prints what was found; a process that dies or hangs is told, and the next call goes on."""
    start = 0
    env = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"} | os.environ
    while names:
        call = [sys.executable, "-m", "fuzz", kind, str(count), "--work", str(start), "--only", *names]
        with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
            assert process.stdout is not None and process.stderr is not None
            said: list[str] = []
            reader = threading.Thread(target=lambda pipe=process.stderr, said=said: said.extend(pipe), daemon=True)
            reader.start()
            timer, current = None, None
            for line in process.stdout:
                if timer is not None:
                    timer.cancel()
                one = json.loads(line)
                if "name" not in one:
                    assert current is not None
                    _count(current | one, count)
                    current = None
                    continue
                current, timer = one, threading.Timer(6 * SECONDS, process.kill)
                timer.start()
                start = one["seed"] + 1
                names = names[names.index(one["name"]) :]
            if timer is not None:
                timer.cancel()
            code = process.wait()
            reader.join(timeout=1)
        if current is not None:
            what = f"the process ended with {code}: {''.join(said)[-300:]}"
            _count(current | {"ok": False, "what": what, "seconds": 0, "bytes": 0}, count)
        elif code:
            raise RuntimeError(f"{kind} {names[0]}: ended with {code}: {''.join(said)[-2000:]}")
        if start >= count:
            names, start = names[1:], 0


_SUMS: dict[str, Any] = {}


def _count(one: dict[str, Any], count: int) -> None:
    if one["seed"] == 0 or _SUMS.get("name") != one["name"]:
        _SUMS.clear()
        _SUMS.update(name=one["name"], calls=0, results=0, bad=0, slowest=0.0, most_mib=0)
    _SUMS["calls"] += 1
    _SUMS["results"] += one["what"] == "result"
    _SUMS["slowest"] = max(_SUMS["slowest"], one["seconds"])
    _SUMS["most_mib"] = max(_SUMS["most_mib"], one["bytes"] >> 20)
    if not one["ok"] or one["seconds"] > SECONDS or one["bytes"] > BYTES:
        _SUMS["bad"] += 1
        print(json.dumps(one), flush=True)
    if one["seed"] == count - 1:
        print(json.dumps(_SUMS), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=fuzz.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("calls", "files", "commands"))
    parser.add_argument("count", type=int)
    parser.add_argument("--only", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    names = {"calls": lambda: [one.name for one in functions()], "files": lambda: [one.name for one in formats()]}
    chosen = args.only or names.get(args.kind, lambda: ["command lines"])()
    if args.work is None:
        watched(args.kind, chosen, args.count)
    else:
        work(args.kind, chosen, args.work, args.count)


if __name__ == "__main__":
    main()
