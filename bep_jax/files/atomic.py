"""Writing files: complete or not at all, one alone or several together, and never in place of a device."""

import contextlib
import errno
import io
import os
import re
import secrets
import shutil
import stat
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_FAILED = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk that failed, not one that cannot do as asked
_NO_NEW_FILE = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS)  # the folder's, where the file itself may be open
_SET = ".together."


def write_atomic(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file that appears under its name complete or not at all, also when the machine stops halfway.

    Links are followed, and a file that is there keeps its mode and, where that may be, its owner. What is no regular
    file, such as a pipe, a terminal or ``/dev/stdout``, is written into. A file system that knows no modes or no fsync
    costs a warning.

    Args:
      path: the file; its folder must exist.
      content: all of it.

    Raises:
      OSError: it cannot be written; names ``path``, and what was there is there still.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_atomic(f"{folder}/a", b"one")
      ...     Path(f"{folder}/a").read_bytes(), os.listdir(folder)
      (b'one', ['a'])
    """
    with naming(path):
        there = _status(path)
        if _is_special(path, there):
            with _opened(path) as file:
                _send(file, content)
        else:
            _replace(os.path.realpath(path), content, there)


def write_output(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file that a user named: as `write_atomic`, and hard links survive.

    A file with other names, or one that may be written in a folder that may not, is overwritten in place; the room for
    it is taken first, so that a full disk leaves what was there.

    Args, Raises: as `write_atomic`.
    """
    with naming(path):
        there = _status(path)
        if there is not None and stat.S_ISREG(there.st_mode) and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if there is None or _is_special(path, there):
            write_atomic(path, content)
        elif there.st_nlink > 1:
            _overwrite(path, content)
        else:
            try:
                write_atomic(path, content)
            except OSError as error:
                if error.errno not in _NO_NEW_FILE:
                    raise
                _overwrite(path, content)


def replace_together(folder: Path, contents: Mapping[str, bytes | None]) -> None:
    """Writes several files of a folder, all at the same moment: whoever looks sees all old ones or all new ones.

    All are written in full before the first is put under its name. Over old ones: every name becomes a link by way of
    one link that says which set is meant, that one is turned over, and every name becomes a file again. So whatever
    moment a process is killed at, all names show one set. Where a file system has no links, the files are replaced one
    by one, the last of ``contents`` last.

    Args:
      folder: it exists.
      contents: name -> content, None for a file that shall not be there any more.

    Raises:
      OSError: something cannot be written; the old files are there.
    """
    turn = folder / f"{_SET}{secrets.token_hex(4)}"
    old, new = turn / "old", turn / "new"
    with naming(folder):
        for part in (turn, old, new):
            part.mkdir()
    try:
        there = [name for name in contents if (folder / name).exists()]
        for name, content in contents.items():
            if content is not None:
                with naming(folder / name):
                    _replace(str(new / name), content, _status(folder / name), str(folder / name))
        if there:
            with contextlib.suppress(OSError, NotImplementedError):
                _turn_over(folder, turn, there, contents)
        for name, content in contents.items():
            with naming(folder / name):
                if content is None:
                    (folder / name).unlink(missing_ok=True)
                else:
                    os.replace(new / name, folder / name)
    finally:
        # Ours, and those of processes that were killed, unless a name points there still.
        used = {os.readlink(path).split(os.sep)[0] for path in folder.iterdir() if path.is_symlink()}
        for left_over in folder.glob(f"{_SET}*"):
            if left_over.name not in used:
                shutil.rmtree(left_over, ignore_errors=True)


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A hidden folder inside ``folder`` (made if need be) for what a download leaves behind; removed at the end."""
    make_folder(folder)
    temporary = folder / f".download.{secrets.token_hex(4)}"
    with naming(folder):
        temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make_folder(path: str | os.PathLike) -> None:
    """Makes a folder, and those above it, where there is none.

    Raises:
      OSError: it cannot be made; a NotADirectoryError where a file has its name.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path)) from None


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Errors of the system name the file that was wanted, and no other."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def sync(handle: int) -> bool:
    """Brings a file to the disk; False where the file system knows no such thing.

    Raises:
      OSError: the disk is full or broken.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in _FAILED:
            raise
        return False
    return True


def warn_not_synced(path: str | os.PathLike) -> None:
    """Says that a file may not survive a power failure."""
    warnings.warn(f"{os.fspath(path)}: this file system refuses fsync; a power failure may cost the file", stacklevel=3)


def _status(path: str | os.PathLike) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _is_special(path: str | os.PathLike, there: os.stat_result | None) -> bool:
    return (there is not None and not stat.S_ISREG(there.st_mode)) or _descriptor(path) is not None


def _opened(path: str | os.PathLike) -> io.FileIO:
    """What is no regular file, for writing."""
    own = _descriptor(path)
    if own is None:
        return io.FileIO(os.open(path, os.O_WRONLY | _BINARY), "w")
    if sys.stdout is not None:
        sys.stdout.flush()  # what was printed before comes before
    return io.FileIO(os.dup(own), "w")  # opened anew it would begin at the file's start


def _descriptor(path: str | os.PathLike) -> int | None:
    """N, where a path such as ``/dev/stdout`` or ``/dev/fd/N`` means a descriptor of this process."""
    place = os.path.abspath(path)
    for _ in range(40):  # as many links as a system follows
        parent, name = os.path.split(place)
        parent = os.path.realpath(parent)
        if re.fullmatch(rf"/dev/fd|/proc/(self|{os.getpid()})(/task/\d+)?/fd", parent) and name.isdecimal():
            return int(name)
        if not os.path.islink(place):
            return None
        place = os.path.join(parent, os.readlink(place))
    return None


def _send(file: io.FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _replace(place: str, content: bytes, there: os.stat_result | None, shown: str | None = None) -> None:
    """A new file under the name ``place``, which is no link; warnings call it ``shown``."""
    folder, name = os.path.split(place)
    temporary = os.path.join(folder, f".{name[:40]}.{secrets.token_hex(4)}")
    mode = 0o666 if there is None else stat.S_IMODE(there.st_mode)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode & 0o777)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            synced = sync(file.fileno())
        kept = there is None or _keep(temporary, there)
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if not synced:  # said last: warnings may be errors
        warn_not_synced(shown or place)
    if not kept:
        warnings.warn(
            f"{shown or place}: this file system refuses chmod; the file's mode is not what it was", stacklevel=3
        )


def _keep(temporary: str, there: os.stat_result) -> bool:
    """Gives a file the owner, where that may be, and the mode of another; False if the mode is refused."""
    new = os.stat(temporary)
    if (new.st_uid, new.st_gid) != (there.st_uid, there.st_gid):
        with contextlib.suppress(OSError):
            os.chown(temporary, there.st_uid, there.st_gid)
    if stat.S_IMODE(new.st_mode) != stat.S_IMODE(there.st_mode):
        try:
            os.chmod(temporary, stat.S_IMODE(there.st_mode))
        except OSError:
            return False
    return True


def _overwrite(path: str | os.PathLike, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | _BINARY)
    with io.FileIO(handle, "w") as file:
        size = os.fstat(handle).st_size
        if len(content) > size and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(handle, 0, len(content))
            except OSError as error:
                if error.errno in _FAILED:
                    os.ftruncate(handle, size)
                    raise
        _send(file, content)
        os.ftruncate(handle, len(content))
        synced = sync(handle)
    if not synced:
        warn_not_synced(path)


def _turn_over(folder: Path, turn: Path, there: list[str], contents: Mapping[str, bytes | None]) -> None:
    """Makes every name a link to the old set and then, all at once, to the new one."""
    for name in there:
        place = os.path.realpath(folder / name)
        try:
            os.link(place, turn / "old" / name)
        except OSError:
            shutil.copyfile(place, turn / "old" / name)
    now, following = turn / "now", turn / "following"
    now.symlink_to("old")
    for name in contents:
        link = turn / "link"
        link.symlink_to(Path(turn.name) / "now" / name)
        os.replace(link, folder / name)
    following.symlink_to("new")
    os.replace(following, now)
