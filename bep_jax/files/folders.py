"""The folder of a run: who has it, what it begins with, and when a run takes another's place.

A folder belongs to the process that holds the lock on its file ``.lock``. It appears under its name with the lock and
the first files in it. A run that replaces another works in ``.new`` inside until it has a checkpoint; from then on it
is the run that counts, and its files are moved up at the next opportunity.
"""

import contextlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from bep_jax.files import atomic

try:
    import fcntl
except ImportError:  # Windows: no lock, one process at a time
    fcntl = None  # type: ignore[assignment]

FLAGS = "flags.json"  # what a run was called with, for those who resume it
_LOCK, _NEW = ".lock", ".new"


class Place(NamedTuple):
    """Where a run is."""

    folder: Path  # for its results
    work: Path  # for its flags and checkpoint, while it lasts; the same one unless it replaces another run


@contextlib.contextmanager
def reserved(
    out: str | os.PathLike,
    name: str | None,
    usual: str,
    *,
    who: str,
    overwrite: bool = False,
    resume: bool = False,
    first: Mapping[str, bytes] | None = None,
) -> Iterator[Place]:
    """The folder ``out/name`` while a run lasts. If nothing came of a new one but its first files, it is removed.

    Args:
      out: the folder of all runs; made if need be.
      name: of this run, one part of a path; None for ``usual`` and the time, with a number where that is taken.
      usual: begins the name of a run that was given none.
      who: begins messages of errors.
      overwrite: there may be a run of this name; it stays as it is until this one has something.
      resume: there must be one, and this one goes on in it.
      first: name -> content of what is in the folder from its first moment on; not for one that is resumed.

    Yields:
      A `Place`.

    Raises:
      FileExistsError: there is a run of this name, or another process works in it.
      FileNotFoundError: there is none to resume.
      ValueError: ``name`` is not one part of a path.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as out, reserved(out, None, "digits", who="train") as place:
      ...     place.folder.name.startswith("digits-2"), place.folder.is_dir()
      (True, True)
    """
    first = first or {}
    if not resume:
        atomic.make_folder(out)
    if name is None:
        made, lock = _make_next(Path(out), _part_of_a_path(usual), who, first)
    else:
        made, lock = Path(out) / check_name(name, who), None
        if resume:
            find(out, name, who)
        elif not overwrite or not made.exists():
            lock = _make(made, who, first)
    new = lock is not None
    with _held(made, who) if lock is None else contextlib.closing(lock):
        settle(made)
        work = made / _NEW if overwrite and not new else made
        try:
            if work != made:
                work.mkdir()
                for file, content in first.items():
                    atomic.write_atomic(work / file, content)
            yield Place(made, work)
        finally:
            settle(made)
            if new:
                _remove_if_nothing(made, first)
            with contextlib.suppress(OSError):
                (made / _LOCK).unlink(missing_ok=True)


def find(out: str | os.PathLike, name: str, who: str) -> Path:
    """The folder of a run that is there.

    Raises:
      FileNotFoundError: it is not; says which there are.
    """
    folder = Path(out) / check_name(name, who)
    if folder.is_dir():
        return folder
    there: list[str] = []
    with contextlib.suppress(OSError):
        there = sorted(path.name for path in Path(out).iterdir() if path.is_dir() and not path.name.startswith("."))
    more = f" and {len(there) - 8} more" if len(there) > 8 else ""
    raise FileNotFoundError(f"{who}: there is no run {folder}; in {out} are: {', '.join(there[:8]) or 'none'}{more}.")


def flags_of(folder: Path) -> Path:
    """The file with the flags of the run that counts in a folder."""
    new = folder / _NEW
    return new / FLAGS if _has_something(new) and (new / FLAGS).exists() else folder / FLAGS


def settle(folder: Path) -> None:
    """Moves the files of a run that replaces another up, its flags first, if it has something; else it never was."""
    new = folder / _NEW
    if _has_something(new):
        # Whatever moment this ends at, what is left in .new still counts, and is moved the next time.
        for path in sorted(new.iterdir(), key=lambda path: path.name != FLAGS):
            if not path.name.startswith("."):
                os.replace(path, folder / path.name)
    shutil.rmtree(new, ignore_errors=True)


def check_name(name: str, who: str) -> str:
    """A name that is one part of a path.

    Raises:
      ValueError: it is not.
    """
    if not re.fullmatch(r"[^/\\\0]+", name) or name in (".", ".."):
        raise ValueError(f"{who}: a run's name must be one part of a path, got {name!r}.")
    return name


def _make_next(out: Path, usual: str, who: str, first: Mapping[str, bytes]) -> tuple[Path, "_Lock"]:
    """As `_make`; a name that is taken gets a number: ``name-2``, ``name-3`` and so on."""
    name, number = f"{usual}-{time.strftime('%Y%m%d-%H%M%S')}", 1
    while True:
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            return folder, _make(folder, who, first)
        except FileExistsError:
            number += 1


def _make(folder: Path, who: str, first: Mapping[str, bytes]) -> "_Lock":
    """A new folder, locked; of two processes that start at once only one gets the name."""
    _check_free(folder, who)
    temporary = folder.parent / f".{secrets.token_hex(8)}"
    temporary.mkdir()
    lock = _Lock(temporary, who)
    try:
        for name, content in first.items():
            with atomic.naming(folder / name):
                atomic.write_atomic(temporary / name, content)
        try:
            os.rename(temporary, folder)
        except OSError as error:
            _check_free(folder, who)
            raise OSError(error.errno, error.strerror, str(folder)) from error
    except BaseException:
        lock.close()
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return lock


def _check_free(folder: Path, who: str) -> None:
    if folder.exists():
        hint = "choose another --name, or --overwrite it" if folder.is_dir() else "it is not a folder"
        raise FileExistsError(f"{who}: {folder} exists already; {hint}.")


@contextlib.contextmanager
def _held(folder: Path, who: str) -> Iterator[None]:
    if not folder.is_dir():
        raise FileExistsError(f"{who}: {folder} exists already; it is not a folder.")
    with contextlib.closing(_Lock(folder, who)):
        yield


class _Lock:
    """Held until it is closed or the process ends, however it does; a file system without locks has to do without."""

    def __init__(self, folder: Path, who: str):
        path = folder / _LOCK
        while True:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if fcntl is not None:
                    fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                by = os.read(self._handle, 200).decode(errors="replace").strip()
                os.close(self._handle)
                raise FileExistsError(
                    f"{who}: {folder} is in use{f' by {by}' if by else ''}; wait for it, or choose another --name."
                ) from None
            except OSError:
                pass
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._handle), os.stat(path)):
                    break
            os.close(self._handle)  # of a process that removed it just now
        with contextlib.suppress(OSError):  # a full disk: only the message to others gets shorter
            os.ftruncate(self._handle, 0)
            os.write(self._handle, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def close(self) -> None:
        os.close(self._handle)


def _has_something(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return any(path.name != FLAGS and not path.name.startswith(".") for path in folder.iterdir())


def _remove_if_nothing(folder: Path, first: Mapping[str, bytes]) -> None:
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {*first, _LOCK}:
            for name in first:
                (folder / name).unlink(missing_ok=True)
            (folder / _LOCK).unlink(missing_ok=True)
            folder.rmdir()


def _part_of_a_path(text: str) -> str:
    """What a name may be made of, and not too much of it."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.").encode()[:100].decode(errors="ignore") or "run"
