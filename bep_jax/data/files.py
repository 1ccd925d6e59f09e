"""Files of data: where they are, what is in them, and what is said where they are not."""

import os
import stat
from pathlib import Path

from bep_jax.kernels.checks import check_path

INSTALL = 'pip install "bep_jax[data]"'
_KINDS = (".csv", ".tsv", ".txt", ".npy", ".npz", ".ts")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z")
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def root(data_dir: str | os.PathLike | None) -> Path:
    """``data_dir``, else ``$BEP_JAX_DATA``, else ``~/.cache/bep_jax``.

    Raises:
      ValueError: there is no home folder, as in a container whose user has none.
    """
    if data_dir is not None and not (isinstance(data_dir, str) and not data_dir):
        data_dir = check_path(data_dir, "data_dir", "load")
    if chosen := data_dir or os.environ.get("BEP_JAX_DATA"):
        return Path(os.path.expanduser(chosen))
    try:
        return Path.home() / ".cache" / "bep_jax"
    except RuntimeError as error:
        raise ValueError(
            "load: there is no home folder to look for data in; name a folder by --data-dir (data_dir=...) or "
            "$BEP_JAX_DATA."
        ) from error


def find(name: str | os.PathLike, data_dir: str | os.PathLike | None) -> Path:
    """A file by its path, as it is or inside the folder of data.

    Raises:
      FileNotFoundError: it is in neither place.
    """
    path = Path(os.path.expanduser(name))
    if path.exists():
        return path
    folder = root(data_dir)
    if not (folder / name).exists():
        raise FileNotFoundError(f"load: there is no file {name}, and none in {folder}.")
    return folder / name


def check_unpacked(path: str | os.PathLike, who: str) -> None:
    """Raises a ValueError for a table, array or series that is compressed: it does not say how large it will be."""
    *_, inner, outer = ("", "", *(suffix.lower() for suffix in Path(path).suffixes))
    if inner in _KINDS and outer in _COMPRESSED:
        raise ValueError(f"{who}: {path} is compressed; unpack it first. Only idx files of images are read so.")


def read(path: Path, who: str) -> bytes:
    """The content of a file or pipe.

    Raises:
      FileNotFoundError, IsADirectoryError, OSError: it cannot be read; the message begins with ``who`` and names it.
    """
    check_unpacked(path, who)
    try:
        if stat.S_ISCHR(path.stat().st_mode) and not path.samefile(os.devnull):
            raise ValueError("it is a device, which may never end; write into a file or pipe first")
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{who}: there is no file {path}.") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{who}: wanted a file, got the folder {path}.") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise OSError(f"{who}: {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def text(content: bytes, path: Path, who: str, what: str) -> tuple[str, tuple[str, ...]]:
    """A file as text: UTF-8, with a byte order mark also UTF-16 and UTF-32, else Windows-1252.

    Returns:
      The text, and notes: that it is not UTF-8.

    Raises:
      ValueError: it is not text; the message says that the file is ``what``, and where.
    """
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "utf-8")
    notes: tuple[str, ...] = ()
    try:
        try:
            found = content.decode(encoding)
        except UnicodeDecodeError:
            if encoding != "utf-8" or 0 in content:
                raise
            found, notes = content.decode("cp1252"), (f"{path}: not UTF-8, read as Windows-1252",)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{who}: {path} is {what}: line {line} is not text ({error.reason}).") from error
    if (null := found.find("\0")) >= 0:
        line = found.count("\n", 0, null) + 1
        raise ValueError(f"{who}: {path} is {what}: line {line} is not text (a null character).")
    return found, notes


def missing(name: str, paths: list[Path], source: str, reason: Exception) -> FileNotFoundError:
    """The error for files that are neither there nor to be had."""
    wanted = "".join(f"\n  {path}" for path in paths)
    return FileNotFoundError(
        f"load: the files of {name!r} are not there, and downloading them failed ({type(reason).__name__}: {reason}). "
        f"Wanted:{wanted}\nGet them from {source}, or name the folder that holds them by data_dir or $BEP_JAX_DATA."
    )
