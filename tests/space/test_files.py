"""Files are there whole or not at all."""

import os
from pathlib import Path

import pytest

from space.files import written_whole


def test_what_is_written_is_there_at_the_end_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.bin"
    with written_whole(path) as partial:
        partial.write_bytes(b"half")
        assert not path.exists()
        partial.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("there", [None, b"before"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_what_is_raised_on_the_way_leaves_everything_as_it_was(
    error: BaseException, there: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "file.bin"
    if there is not None:
        path.write_bytes(there)

    def write() -> None:
        with written_whole(path) as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if there is None else [there])


def test_a_file_and_then_its_folder_are_on_disk_around_the_renaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power leaves the old file or the new one."""
    path, events = tmp_path / "file.bin", []

    def synced(descriptor: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append((target.is_dir(), path.exists()))

    monkeypatch.setattr(os, "fsync", synced)
    with written_whole(path) as partial:
        partial.write_bytes(b"whole")
    assert events == [(False, False), (True, True)]


def test_two_that_write_the_same_file_at_once_both_leave_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    with written_whole(path) as first, written_whole(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def only_files(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir():
            raise OSError(22, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    with written_whole(tmp_path / "file.bin") as partial:
        partial.write_bytes(b"whole")
    assert (tmp_path / "file.bin").read_bytes() == b"whole"
