"""What a search trained: lines in memory, and in a file where there is a folder, so that a stopped search goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bep_jax.files.atomic import make_folder, naming, write_atomic
from bep_jax.files.lines import checked, signed

FILE = "tune.jsonl"


class Candidate(NamedTuple):
    """Settings, as multiples of those that follow from shapes."""

    shape: int
    margin: float
    gate: float
    groups: float
    scale: float
    reinforcement: float
    band: float = 0.5


class Log:
    """The lines of a search, of which the first says which search it is.

    Args:
      folder: of the file, made if need be; None for memory alone.
      config: all that its numbers depend on, ``shapes`` among them.

    Raises:
      ValueError: the file is of another search, or damaged.
      OSError: it cannot be read or written.
    """

    def __init__(self, folder: Path | None, config: Mapping[str, Any]):
        self._path = None if folder is None else folder / FILE
        self.lines: list[dict[str, Any]] = []
        if self._path is None:
            return
        make_folder(self._path.parent)
        config = json.loads(json.dumps(config))
        if self._path.exists():
            # The last line is cut short where the process was killed while it wrote.
            content = self._path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            self.lines = self._read(whole, config)
            if whole == content:
                return
        write_atomic(self._path, b"".join(map(signed, (config, *self.lines))))

    def _read(self, content: bytes, config: Any) -> list[dict[str, Any]]:
        try:
            first, *lines = [checked(line) for line in content.splitlines()]
        except ValueError as error:
            raise ValueError(f"tune: {self._path} is damaged: {error}.") from error
        if first != config:
            raise ValueError(f"tune: {self._path} is of another search; choose another folder, or remove it.")
        if not all("candidate" in line for line in lines):  # a file twice in one, say
            raise ValueError(f"tune: {self._path} is damaged: it says in two lines which search it is.")
        return lines

    @property
    def seconds(self) -> float:
        return sum(line["seconds"] for line in self.lines)

    def of(self, level: int, candidate: Candidate) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["round"] == level and line["candidate"] == list(candidate)]

    def find(self, level: int, candidate: Candidate, draw: int) -> dict[str, Any] | None:
        return next((line for line in self.of(level, candidate) if line["draw"] == draw), None)

    def best(self, level: int) -> float:
        return max(line["score"] for line in self.lines if line["round"] == level)

    def add(self, level: int, candidate: Candidate, draw: int, epochs: int, score: float, seconds: float) -> None:
        line = {"round": level, "candidate": list(candidate), "draw": draw, "epochs": epochs, "score": score}
        self.lines.append({**line, "seconds": round(seconds, 3)})
        if self._path is not None:
            with naming(self._path), self._path.open("ab", buffering=0) as file:
                file.write(signed(self.lines[-1]))
