"""The results file: one JSON line a run, appended as runs end, safe against being stopped and against company.

A run is known by its *place* (problem, fold, run, window, ...) and by every setting that its numbers depend on; a run
with other settings is another run. Lines are appended whole, in one write under a lock, so that several processes may
work on one file; a line that a stopped process left unfinished is cut off before the next one is written.
"""

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bep_jax.files import atomic, lines, runs

try:
    import fcntl
except ImportError:  # Windows: no lock, one process at a time
    fcntl = None  # type: ignore[assignment]

Record = dict[str, Any]
# The fields of a line that say which run it is; the others are results.
PLACE = (
    *("kind", "problem", "data", "window", "bits", "gate", "horizon", "fold", "run"),
    *("method", "learning_rate", "split", "widths", "margin", "group_size", "reinforcement", "batch_size", "patience"),
    "scale",
)


class Results:
    """The runs in a results file, and a way to add to them.

    Args:
      path: the file; it and its folder are made if need be.

    Example:
      >>> import tempfile
      >>> folder = tempfile.TemporaryDirectory()
      >>> results = Results(Path(folder.name) / "results.jsonl")
      >>> place, settings = {"kind": "run", "problem": "A", "fold": 0, "run": 0}, {"epochs": 50}
      >>> results.append([{**place, "test_accuracy": 0.9, "settings": settings}])
      >>> results.find(place, settings)["test_accuracy"], results.find(place, {"epochs": 10}) is None
      (0.9, True)
      >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        atomic.make_folder(self.path.parent)
        self._records: dict[str, Record] = {}
        self._read = 0  # bytes that are in _records
        self.refresh()

    def refresh(self) -> None:
        """Reads what was appended since, by this process or another."""
        if not self.path.exists():
            self._records, self._read = {}, 0
            return
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._read:  # not the file that it was
                self._records, self._read = {}, 0
            file.seek(self._read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]  # what follows is unfinished, or being written
        for line in whole.splitlines():
            self._add(line)
        self._read += len(whole)

    def find(self, place: Mapping[str, Any], settings: Mapping[str, Any]) -> Record | None:
        """The run of this place and these settings, or None."""
        return self._records.get(_key({**place, "settings": settings}))

    def __iter__(self) -> Iterator[Record]:
        """Every run once, in the order of the file."""
        return iter(tuple(self._records.values()))

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Writes runs that ended together: all of them, or after an error none."""
        content = b"".join(map(lines.signed, records))
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            with atomic.naming(self.path), _locked(handle):
                size = _repair(handle)
                try:
                    written = os.write(handle, content)
                    if written != len(content):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    synced = atomic.sync(handle)
                except BaseException:
                    os.ftruncate(handle, size)
                    raise
        finally:
            os.close(handle)
        self.refresh()
        if not synced:
            atomic.warn_not_synced(self.path)

    def _add(self, line: bytes) -> None:
        try:
            record = lines.checked(line, unsigned=True)
            self._records.setdefault(_key(record), record)
        except (ValueError, TypeError, KeyError) as error:
            print(f"{self.path}: left out a damaged line, its run is done again ({error})", file=sys.stderr)


def complete(
    results: Results,
    settings: Mapping[str, Any],
    places: Sequence[Mapping[str, Any]],
    train: Callable[[list[Mapping[str, Any]]], Sequence[Mapping[str, Any]]],
) -> list[Record]:
    """The runs of these places; those that are not in the file yet are trained, together, and appended.

    Args:
      results: the file.
      settings: what the numbers depend on besides the place.
      places: which runs.
      train: takes the places that are missing and returns the numbers of each, in that order.

    Returns:
      One record a place.
    """
    results.refresh()
    missing = [place for place in places if results.find(place, settings) is None]
    if missing:
        start = time.perf_counter()
        numbers = train(missing)
        common = {
            "settings": dict(settings),
            "seconds": round(time.perf_counter() - start, 3),  # of all that were trained together
            "trained_together": len(missing),
            "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            **runs.environment(),
        }
        results.append([{**p, **n, **common} for p, n in zip(missing, numbers, strict=True)])
    found = [results.find(place, settings) for place in places]
    return [record for record in found if record is not None]


def _key(record: Mapping[str, Any]) -> str:
    identity = {name: record[name] for name in PLACE if name in record} | {"settings": record["settings"]}
    return json.dumps(_canonical(identity), sort_keys=True)


def _canonical(value: Any) -> Any:
    """Tuples as lists and 1.0 as 1, as they compare after a way through JSON."""
    if isinstance(value, Mapping):
        return {str(name): _canonical(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _repair(handle: int) -> int:
    """Ends the file at the end of a line, under the lock: the bytes that it has then."""
    size = os.lseek(handle, 0, os.SEEK_END)
    os.lseek(handle, 0, os.SEEK_SET)
    if size == 0 or _last_byte(handle, size) == b"\n":
        return size
    # Rare, and a results file is small: look at all of it.
    with os.fdopen(os.dup(handle), "rb") as file:
        content = file.read()
    size = content.rfind(b"\n") + 1
    os.ftruncate(handle, size)
    return size


def _last_byte(handle: int, size: int) -> bytes:
    os.lseek(handle, size - 1, os.SEEK_SET)
    last = os.read(handle, 1)
    os.lseek(handle, 0, os.SEEK_SET)
    return last


@contextlib.contextmanager
def _locked(handle: int) -> Iterator[None]:
    """Keeps other processes from appending; a file system without locks has to do without."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
