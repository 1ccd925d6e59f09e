"""Command line: pins the process to one core, then runs a subcommand and writes its report."""

import argparse
import importlib
import os
import pathlib
import sys

# name: (module, help). A module has `run(options, clock) -> Report`; it is imported after the process is pinned.
COMMANDS = {
    "products": ("benchmarks.products", "the three products beside float32 and int8 dots and a compiled C kernel"),
    "step": ("benchmarks.steps", "whole training steps beside float32 straight-through training"),
    "profile": ("benchmarks.breakdown", "where the time of a training step goes, kernel by kernel"),
    "scaling": ("benchmarks.scaling", "how a step's cost grows with width, batch, depth, time steps and seeds"),
    "cores": ("benchmarks.cores", "several seeds on all cores: threads, virtual devices, one core"),
    "inference": ("benchmarks.inference", "from input to logits: the exported C, JAX, and float32 dots"),
    "sizes": ("benchmarks.sizes", "bits that a weight takes in a file, in C and in training, beside float32"),
    "table2": ("benchmarks.table2", "the paper's Table 2, measured: bits, time of each pass and memory beside float32"),
    "memory": ("benchmarks.memory", "memory of a training run beside float32 straight-through training"),
    "accelerator": ("benchmarks.accelerator", "bits of a CPU, forms of the products and steps, where a GPU or TPU is"),
    "peers": ("benchmarks.peers", "BEP beside what people would pick: accuracy, time, memory, bytes, predictions"),
    "energy": ("benchmarks.energy", "energy of a sample, counted: operations and bytes at prices of the literature"),
    "device": ("benchmarks.device", "learning on an emulated microcontroller beside float32: instructions and bytes"),
    "adaptation": ("benchmarks.adaptation", "what a network gains from 200 own samples, settings chosen on others"),
    "estimators": (
        "benchmarks.estimators",
        "the estimators with no settings beside a random forest and MiniRocket",
    ),
    "compile": ("benchmarks.compilation", "how long training programs take to compile"),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__import__("benchmarks").__doc__, formatter_class=_Formatter
    )
    common = argparse.ArgumentParser(add_help=False, formatter_class=_Formatter)
    common.add_argument("--repetitions", type=int, default=15, help="interleaved repetitions of every measurement")
    common.add_argument("--seconds", type=float, default=0.03, help="least time of one repetition of one case")
    common.add_argument("--only", default="", help="measure only what has this text in its name")
    common.add_argument("--quick", action="store_true", help="tiny sizes: shows that the script works, nothing else")
    common.add_argument(
        "--core", type=int, default=None, help="core to pin to; default the last one allowed, -1 for none"
    )
    common.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "results", help="folder of the report"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="subcommand")
    for name, (_, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, parents=[common], formatter_class=_Formatter)
        if name == "peers":
            command.add_argument("--data", nargs="+", default=None, help="data sets; default those of the protocol")
            command.add_argument("--methods", nargs="+", default=None, help="methods; default all")
            command.add_argument(
                "--protocol", choices=("full", "short"), default="full", help="short: an hour or two, one run"
            )
    options = parser.parse_args(arguments)
    if options.repetitions < 1 or not options.seconds >= 0:
        parser.error("--repetitions must be at least 1 and --seconds at least 0")
    return options


def pin(core: int | None) -> int | None:
    """Pins this process to one core, before XLA counts the cores and starts its threads; returns the core."""
    if core == -1 or not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    return core


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; returns the exit status."""
    options = parse(arguments)
    if "jax" in sys.modules and options.core != -1:
        print("benchmarks: jax is already imported, the process is not pinned", file=sys.stderr)
        options.core = -1
    if options.command == "cores":  # whose processes pin themselves
        options.core = -1
    options.core = pin(options.core)
    from benchmarks import timing

    clock = timing.Clock(options.repetitions, options.seconds, pinned=options.core is not None)
    module, _ = COMMANDS[options.command]
    report = importlib.import_module(module).run(options, clock)
    for path in report.write(options, clock):
        print(f"wrote {path}")
    return 0


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    sys.exit(main())
