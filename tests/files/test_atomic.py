"""Writing: what is there keeps its kind, its links, its mode; what is read is whole, at every moment."""

import errno
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from bep_jax.files import atomic

WRITERS = pytest.mark.parametrize("write", [atomic.write_atomic, atomic.write_output])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refuse(code):
    def refusing(*args, **options):
        raise OSError(code, os.strerror(code))

    return refusing


@WRITERS
def test_a_pipe_is_written_into(write, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    content, read = os.urandom(300_000), []  # more than a pipe holds
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write(tmp_path / "link", content)
    reader.join()
    assert read == [content]
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode) and names(tmp_path) == ["link", "pipe"]


@WRITERS
def test_devices_and_what_cannot_be_written_name_the_path(write, tmp_path):
    write("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
            write("/dev/full", b"x")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match=r": '.*socket'"):
            write(tmp_path / "socket", b"x")
    for wrong, code in ((tmp_path, errno.EISDIR), (tmp_path / "none" / "a", errno.ENOENT)):
        with pytest.raises(OSError) as error:
            write(wrong, b"x")
        assert (error.value.errno, error.value.filename) == (code, str(wrong))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=r"links.*loop'"):
        write(tmp_path / "loop", b"x")
    assert names(tmp_path) == ["loop", "socket"]


@WRITERS
def test_links_are_followed_and_modes_stay(write, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "there").write_text("old, and longer than the new")
    os.chmod(tmp_path / "far" / "there", 0o640)
    (tmp_path / "second").symlink_to("far/there")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    write(tmp_path / "first", b"new")
    assert (tmp_path / "far" / "there").read_bytes() == b"new"
    assert stat.S_IMODE(os.stat(tmp_path / "first").st_mode) == 0o640
    (tmp_path / "dangling").symlink_to("far/made")
    write(tmp_path / "dangling", b"made")
    assert (tmp_path / "far" / "made").read_bytes() == b"made" and (tmp_path / "dangling").is_symlink()
    assert names(tmp_path / "far") == ["made", "there"]


@pytest.mark.parametrize("mask", [0o000, 0o027, 0o077, 0o777])
def test_new_files_have_the_mode_of_the_umask(mask, tmp_path):
    old = os.umask(mask)
    try:
        atomic.write_atomic(tmp_path / "a", b"1")
        atomic.replace_together(tmp_path, {"b": b"2"})
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in "ab"]
    assert modes == [0o666 & ~mask] * 2 and names(tmp_path) == ["a", "b"]


def test_what_a_user_named_keeps_its_other_names(tmp_path, monkeypatch):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    os.link(path, other)
    for content in (b"much longer than it was", b"short"):
        atomic.write_output(path, content)
        assert other.read_bytes() == content and os.stat(path).st_nlink == 2
    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match=r"No space left on device: .*a'"):
        atomic.write_output(path, b"more than there is room for")
    assert path.read_bytes() == b"short" and names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EBUSY])
def test_a_file_in_a_folder_that_takes_no_new_one(code, tmp_path, monkeypatch):
    """A file mounted alone into a container (EBUSY), another's sticky folder (EPERM), one without write permission."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", refuse(code))
    atomic.write_output(path, b"new")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["a"]
    with pytest.raises(OSError, match=r"b'$"):  # nothing there that could be written into
        atomic.write_output(tmp_path / "b", b"new")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"a'$"):
        atomic.write_output(path, b"newer")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["a"]


@WRITERS
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_refuses_fsync_and_chmod_costs_a_warning(write, code, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    os.chmod(path, 0o601)
    monkeypatch.setattr(os, "fsync", refuse(code))
    monkeypatch.setattr(os, "chmod", refuse(errno.EPERM))
    with pytest.warns(UserWarning) as warned:
        write(path, b"new")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["a"]
    assert {str(w.message).split(": ")[1][:24] for w in warned} == {"this file system refuses"}
    with pytest.warns(UserWarning) as warned:
        atomic.replace_together(tmp_path, {"a": b"new"})
    assert {str(w.message).split(": ")[0] for w in warned} == {str(path)}, "not a name that is gone again"
    with pytest.raises(OSError, match=r"Input/output error: .*a'"):
        monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
        write(path, b"newer")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["a"]


@WRITERS
def test_long_names(write, tmp_path):
    name = "ü" * 127
    write(tmp_path / name, b"1")
    write(tmp_path / name, b"2")
    assert (tmp_path / name).read_bytes() == b"2" and names(tmp_path) == [name]
    with pytest.raises(OSError, match="File name too long"):
        write(tmp_path / (name + "üü"), b"1")


def test_standard_output_is_appended_to(tmp_path):
    code = (
        "import sys; sys.path[:0] = eval(sys.argv[1]); from bep_jax.files import atomic\n"
        "for path in sys.argv[2:]: print('printed'); atomic.write_output(path, b'written\\n')\n"
        "print('after')"
    )
    (tmp_path / "link").symlink_to("/dev/stdout")
    paths = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(tmp_path / "link")]
    command = [sys.executable, "-c", code, repr(sys.path), *paths]
    with (tmp_path / "out").open("wb") as out:
        out.write(b"before\n")
        out.flush()
        subprocess.run(command, stdout=out, check=True, timeout=60)
    wanted = b"printed\nwritten\n" * len(paths) + b"after\n"
    assert (tmp_path / "out").read_bytes() == b"before\n" + wanted
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == wanted


# Several files at once.

OLD = {"a.json": b"old a", "b.csv": b"old b", "gone.png": b"old"}
NEW = {"b.csv": b"new b", "made.bin": b"new", "gone.png": None, "a.json": b"new a"}


def seen(folder):
    found = {}
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.exists():
            found[path.name] = path.read_bytes()
    return found


class Killed(BaseException):
    pass


def killing(patch, moment):
    """Everything that changes a folder counts; at the moment, and from then on, nothing happens any more."""
    count = [0]

    def wrap(module, name):
        original = getattr(module, name)

        def counted(*args, **options):
            count[0] += 1
            if count[0] >= moment:
                raise Killed
            return original(*args, **options)

        patch.setattr(module, name, counted)

    for name in ("replace", "link", "symlink", "unlink", "mkdir", "fsync", "rmdir"):
        wrap(os, name)
    wrap(atomic.shutil, "rmtree")
    return count


def test_several_files_change_at_one_moment(tmp_path):
    final = {name: content for name, content in NEW.items() if content is not None}
    moment, states = 0, []
    while True:
        moment += 1
        folder = tmp_path / str(moment)
        folder.mkdir()
        for name, content in OLD.items():
            (folder / name).write_bytes(content)
        with pytest.MonkeyPatch.context() as patch:
            killing(patch, moment)
            try:
                atomic.replace_together(folder, NEW)
                break
            except Killed:
                pass
        states.append(seen(folder))
        assert states[-1] in (OLD, final), f"mixed when killed at {moment}"
        # Whatever was left, the next one writes as if nothing had been, and cleans up.
        atomic.replace_together(folder, {**NEW, "a.json": b"newer"})
        assert seen(folder) == {**final, "a.json": b"newer"}
        assert names(folder) == sorted(final) and not any(path.is_symlink() for path in folder.iterdir())
    assert moment > 15 and OLD in states and final in states
    assert seen(folder) == final and names(folder) == sorted(final)


def test_several_files_without_links(tmp_path, monkeypatch):
    for name, content in OLD.items():
        (tmp_path / name).write_bytes(content)
    os.chmod(tmp_path / "a.json", 0o604)
    monkeypatch.setattr(os, "symlink", refuse(errno.EPERM))
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    atomic.replace_together(tmp_path, NEW)
    assert seen(tmp_path) == {name: content for name, content in NEW.items() if content is not None}
    assert names(tmp_path) == ["a.json", "b.csv", "made.bin"]
    assert stat.S_IMODE(os.stat(tmp_path / "a.json").st_mode) == 0o604


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(NotADirectoryError) as caught:
            atomic.make_folder(place)
        assert caught.value.filename == str(place)
    atomic.make_folder(tmp_path / "a" / "b")
    atomic.make_folder(tmp_path / "a" / "b")
