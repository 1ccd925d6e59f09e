"""A run's folder: who has it, that it is never half there, and that a run's place is taken when there is something."""

import os
import signal
import subprocess
import sys

import pytest

from bep_jax.files import folders

FIRST = {folders.FLAGS: b"{}"}


def reserved(out, name="run", **options):
    return folders.reserved(out, name, "usual", **{"who": "train", "first": FIRST} | options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def make(out, name="run", **files):
    with reserved(out, name) as place:
        for file, content in files.items():
            (place.work / file).write_text(content)
    return place.folder


def test_a_run_without_anything_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), reserved(tmp_path / "deep" / "er") as place:
        assert place.work == place.folder
        assert names(place.folder) == [".lock", "flags.json"]
        raise KeyboardInterrupt
    assert not names(tmp_path / "deep" / "er")
    assert names(make(tmp_path, result="1")) == ["flags.json", "result"]


def test_usual_names(tmp_path):
    with reserved(tmp_path, None) as first, reserved(tmp_path, None) as second:
        for place in (first, second):
            (place.folder / "result").write_text("1")
    assert first != second and all(place.folder.name.startswith("usual-2") for place in (first, second))
    odd = folders.reserved(tmp_path, None, "-/há/x\0\n" + "ü" * 300, who="train")
    with odd as place:
        assert place.folder.name.startswith("há-x-ü") and len(os.fsencode(place.folder.name)) < 130
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError), reserved(tmp_path / "file", None):
        pass


def test_names_that_are_taken(tmp_path):
    folder = make(tmp_path, result="1")
    with pytest.raises(FileExistsError, match=r"train: .*run exists already; choose another --name, or --overwrite it"):
        make(tmp_path)
    (tmp_path / "mine").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="not a folder"), reserved(tmp_path, "mine", overwrite=overwrite):
            pass
    assert (folder / "result").read_text() == "1" and (tmp_path / "mine").read_text() == "mine"
    assert names(tmp_path) == ["mine", "run"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/tmp/a", "a\0b"])
def test_a_name_is_one_part_of_a_path(tmp_path, name):
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"train: .* one part of a path"), reserved(tmp_path, name, resume=resume):
            pass


@pytest.mark.parametrize("name", ["-name", "--", "ü" * 127, " x ", "a\nb"])
def test_odd_names(tmp_path, name):
    folder = make(tmp_path, name, result="1")
    assert names(tmp_path) == [name] and names(folder) == ["flags.json", "result"]


def test_the_folder_is_never_there_without_its_first_files(tmp_path, monkeypatch):
    """Whatever a process is killed at, the name has all first files, or is free."""
    rename, seen = os.rename, []

    def renamed(old, new):
        seen.append((names(old), os.path.exists(new)))
        rename(old, new)

    monkeypatch.setattr(os, "rename", renamed)
    make(tmp_path, result="1")
    assert seen == [([".lock", "flags.json"], False)]


def test_of_two_at_once_one_gets_the_name(tmp_path, monkeypatch):
    rename = os.rename

    def late(old, new):
        monkeypatch.setattr(os, "rename", rename)
        make(tmp_path, result="the other's")
        rename(old, new)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(FileExistsError, match="exists already"):
        make(tmp_path, result="1")
    assert (tmp_path / "run" / "result").read_text() == "the other's" and names(tmp_path) == ["run"]


def test_what_is_not_there_is_not_resumed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train: there is no run .*none"), reserved(tmp_path, resume=True):
        pass
    assert not names(tmp_path)
    make(tmp_path, "other", result="1")
    with pytest.raises(FileNotFoundError, match=r"in .* are: other"), reserved(tmp_path, "oter", resume=True):
        pass
    with reserved(tmp_path, "other", resume=True, first={"flags.json": b"new"}) as place:
        assert (place.work / "flags.json").read_bytes() == b"{}"
    assert names(tmp_path / "other") == ["flags.json", "result"]


CHILD = """
import sys
sys.path[:0] = eval(sys.argv[1])
from pathlib import Path
from bep_jax.files import folders
with folders.reserved(sys.argv[2], "run", "usual", who="train", first={"flags.json": b"{}"}) as place:
    print(place.folder, flush=True)
    input()
"""


def test_a_folder_belongs_to_who_works_in_it(tmp_path):
    command = [sys.executable, "-c", CHILD, repr(sys.path), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline().strip() == str(tmp_path / "run")
        for options in ({"resume": True}, {"overwrite": True}):
            busy = pytest.raises(FileExistsError, match=rf"train: .*run is in use by process {child.pid} on ")
            with busy, reserved(tmp_path, **options):
                pass
        assert names(tmp_path / "run") == [".lock", "flags.json"], "nothing of it is touched"
        child.send_signal(signal.SIGKILL)
    # Nobody holds it any more. Who goes on in a folder that another made does not remove it.
    with reserved(tmp_path, resume=True):
        pass
    assert names(tmp_path / "run") == ["flags.json"]


def test_a_run_is_replaced_when_there_is_something(tmp_path):
    folder = make(tmp_path, checkpoint="old", result="old")
    (folder / "flags.json").write_bytes(b"old")
    (folder / "notes.txt").write_text("the user's")
    # Killed before it has anything: as if it had never been.
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), reserved(tmp_path, overwrite=True) as place:
            assert place.folder == folder and names(place.work) == ["flags.json"]
            (place.work / ".checkpoint.half").write_text("half")
            assert folders.flags_of(folder).read_bytes() == b"old"
            raise KeyboardInterrupt
        assert names(folder) == ["checkpoint", "flags.json", "notes.txt", "result"]
    # From its first checkpoint on it counts, whenever it is killed.
    real, moments = os.replace, [0, 1, 2]
    for left in moments:
        with pytest.MonkeyPatch.context() as patch:  # noqa: SIM117 (outlives the folder)
            with pytest.raises(OSError, match="killed"), reserved(tmp_path, overwrite=True) as place:
                (place.work / "flags.json").write_text(f"new {left}")
                (place.work / "checkpoint").write_text(f"new {left}")
                assert folders.flags_of(folder).read_text() == f"new {left}"
                moved = []

                def dying(old, new, moved=moved, left=left):
                    if len(moved) == left:
                        raise OSError("killed")
                    moved.append(old)
                    real(old, new)

                patch.setattr(os, "replace", dying)
                if left == 2:
                    patch.setattr(folders.shutil, "rmtree", lambda *args, **options: dying(0, 0))
        assert folders.flags_of(folder).read_text() == f"new {left}"
        with reserved(tmp_path, resume=True) as place:
            assert place.work == folder
            assert (folder / "checkpoint").read_text() == (folder / "flags.json").read_text() == f"new {left}"
        assert names(folder) == ["checkpoint", "flags.json", "notes.txt", "result"]


def test_without_locks_one_has_to_do(tmp_path, monkeypatch):
    def flock(handle, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(folders.fcntl, "flock", flock)
    assert names(make(tmp_path, result="1")) == ["flags.json", "result"]
