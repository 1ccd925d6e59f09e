"""Reports: a JSON file with every number, the machine and the versions; a Markdown table and a picture from it."""

import datetime
import json
import os
import pathlib
import platform
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import jax

from benchmarks import plots
from benchmarks.timing import Clock, Spread

_FLAGS = ("avx2", "fma", "avx512f", "avx512bw", "avx512_vpopcntdq", "avx512_vnni", "avx512_bitalg", "amx_int8")
_PACKAGES = ("jax", "jaxlib", "optax", "numpy")


@dataclass(frozen=True)
class Column:
    """A column of the Markdown table."""

    key: str  # of the row
    header: str
    digits: int = 0
    prefix: str = ""


@dataclass
class Report:
    """What a subcommand found."""

    title: str
    notes: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """Appends a row and shows it, since a run takes minutes."""
        self.rows.append(row)
        print(
            " | ".join(f"{c.header}: {_cell(row, c)}" for c in self.columns if row.get(c.key) is not None), flush=True
        )

    def write(self, options, clock: Clock) -> list[pathlib.Path]:
        """Writes ``<command>.json`` and ``<command>.md`` into ``options.out``; returns their paths."""
        record = {
            "command": options.command,
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "machine": machine(options.core),
            "versions": {"python": platform.python_version(), **{p: metadata.version(p) for p in _PACKAGES}},
            "settings": {
                "quick": options.quick,
                "only": options.only,
                "repetitions": clock.repetitions,
                "seconds": clock.seconds,
                "clock": "CPU time of the process" if clock.uses_cpu_time else "wall time",
                # Above 1: other programs ran on this core meanwhile, and shared its caches.
                "wall_over_cpu": round(clock.wall / clock.cpu, 3) if clock.cpu else None,
            },
            "title": self.title,
            "notes": list(self.notes),
            "rows": [{k: _plain(v) for k, v in row.items()} for row in self.rows],
        }
        folder = pathlib.Path(options.out)
        folder.mkdir(parents=True, exist_ok=True)
        # Read back, so that the table cannot say what the file does not.
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        paths = [folder / f"{options.command}.json", folder / f"{options.command}.md"]
        write_atomically(paths[0], text)
        write_atomically(paths[1], markdown(json.loads(text), self.columns))
        picture = plots.png(json.loads(text))
        if picture is not None:
            paths.append(folder / f"{options.command}.png")
            write_atomically(paths[2], picture)
        return paths


def markdown(record: dict[str, Any], columns: tuple[Column, ...]) -> str:
    """The table of a record, with the circumstances below; columns without any value are left out."""
    columns = tuple(c for c in columns if any(row.get(c.key) is not None for row in record["rows"]))
    machine, settings = record["machine"], record["settings"]
    table = ["| " + " | ".join(c.header for c in columns) + " |", "|---" * len(columns) + "|"]
    table += ["| " + " | ".join(_cell(row, c) for c in columns) + " |" for row in record["rows"]]
    where = (
        f"pinned to core {machine['pinned_core']}" if machine["pinned_core"] is not None else "not pinned to one core"
    )
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    facts = [
        f"{machine['cpu']}, {machine['cores']} cores, {where}; {machine['device']}; flags: "
        f"{' '.join(machine['flags']) or 'unknown'}; XLA_FLAGS: {machine['xla_flags'] or 'none'}.",
        *(
            [
                f"{settings['clock']}; {settings['repetitions']} interleaved repetitions; medians, quartiles in "
                f"brackets; wall time over CPU time {settings['wall_over_cpu']}."
            ]
            if settings["wall_over_cpu"] is not None  # something was timed
            else []
        ),
        f"{versions}. {record['date']}.",
    ]
    head = [f"# {record['title']}", ""]
    if settings["quick"]:
        head += ["**Quick run: tiny sizes, no meaning.**", ""]
    command = f"`python -m benchmarks {record['command']}`"
    lines = [*head, *table, "", *record["notes"], "", *(f"- {fact}" for fact in facts), f"- Written by {command}."]
    return "\n".join(lines) + "\n"


def machine(pinned_core: int | None) -> dict[str, Any]:
    """What the numbers depend on."""
    cpu, flags, cores = platform.processor() or platform.machine(), [], os.cpu_count()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        fields: dict[str, str] = {}
        for line in info.read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
        family = ", ".join(f"{k} {fields[k]}" for k in ("cpu family", "model", "stepping") if k in fields)
        cpu = f"{fields.get('model name', cpu)} ({family})" if family else fields.get("model name", cpu)
        flags = [flag for flag in _FLAGS if flag in fields.get("flags", "").split()]
    device = jax.devices()[0]
    return {
        "cpu": cpu,
        "cores": cores,
        "flags": flags,
        "system": platform.system(),
        "pinned_core": pinned_core,
        "device": f"{jax.device_count()} × {device.platform} {device.device_kind}",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def write_atomically(path: pathlib.Path, content: str | bytes) -> None:
    """Writes a file whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return {name: float(f"{number:.5g}") for name, number in value._asdict().items()}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _cell(row: dict[str, Any], column: Column) -> str:
    value = row.get(column.key)
    if value is None:
        return ""
    if isinstance(value, Spread):
        value = value._asdict()
    if isinstance(value, dict):
        low, high = (f"{value[k]:.{column.digits}f}" for k in ("lower", "upper"))
        return f"{column.prefix}{value['median']:.{column.digits}f} ({low}–{high})"
    if isinstance(value, float):
        return f"{column.prefix}{value:.{column.digits}f}"
    return f"{column.prefix}{value}" if not isinstance(value, str) else value
