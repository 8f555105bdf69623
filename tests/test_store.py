"""Memory and directory hold the same; a directory leaves nothing behind and survives a full disk."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rtspkit.errors import LocalProtocolError
from rtspkit.store import DirectoryStore, MemoryStore, Store


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "hls" / "cam")


def content(store: Store, name: str) -> bytes | None:
    body = store.get(name)
    if body is None:
        return None
    return body.read_bytes() if isinstance(body, Path) else b"".join(body)


def test_what_is_committed_is_found(store: Store) -> None:
    store.append("seg_7.mp4", b"abc")
    assert store.get("seg_7.mp4") is None
    store.append("seg_8.mp4", b"x")
    store.append("seg_7.mp4", b"def")
    store.commit("seg_7.mp4")
    assert content(store, "seg_7.mp4") == b"abcdef"
    assert store.get("seg_8.mp4") is None
    store.remove("seg_7.mp4")
    assert store.get("seg_7.mp4") is None
    store.remove("seg_8.mp4")
    store.remove("seg_9.mp4")


def test_closing_forgets_everything(store: Store) -> None:
    store.append("init_0.mp4", b"abc")
    store.commit("init_0.mp4")
    store.append("seg_1.mp4", b"abc")
    store.close()
    assert store.get("init_0.mp4") is None
    store.close()
    if isinstance(store, DirectoryStore):
        assert list(store.directory.iterdir()) == []


def test_memory_keeps_the_very_objects() -> None:
    store = MemoryStore()
    parts = [b"abc" * 100, b"def" * 100]
    for part in parts:
        store.append("seg_1.mp4", part)
    store.commit("seg_1.mp4")
    body = store.get("seg_1.mp4")
    assert isinstance(body, tuple)
    assert [id(buffer) for buffer in body] == [id(part) for part in parts]


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.append("seg_1.mp4", b"abc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seg_1.mp4.tmp"]
    store.commit("seg_1.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seg_1.mp4"]
    assert stat.S_IMODE((tmp_path / "seg_1.mp4").stat().st_mode) & 0o133 == 0


def test_leftovers_are_swept_and_strangers_left_alone(tmp_path: Path) -> None:
    for name in ("seg_1.mp4", "seg_2.mp4.tmp", "init_0.mp4", "part_12.mp4", "seg_01.mp4", "notes.txt", "seg_x.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "seg_3.mp4").mkdir()
    DirectoryStore(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "seg_01.mp4", "seg_3.mp4", "seg_x.mp4"]


@pytest.mark.parametrize("name", ["../seg_1.mp4", "seg_1.mp4/..", "/etc/passwd", "", "seg_-1.mp4", "seg_1.mp4\n"])
def test_names_outside_the_grammar_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalProtocolError):
        DirectoryStore(tmp_path).append(name, b"x")


def test_a_directory_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"^\[Errno \d+\] cannot write segments to the directory .*file/cam \(.+\)"):
        DirectoryStore(tmp_path / "file" / "cam")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="make it writable"):
        DirectoryStore(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "hls")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "hls" / "seg_1.mp4.tmp").symlink_to(victim)
    store.append("seg_1.mp4", b"x")
    store.commit("seg_1.mp4")
    assert victim.read_bytes() == b"precious"
    assert content(store, "seg_1.mp4") == b"x"
    assert store.errors == 1


def test_a_full_disk_costs_no_media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)
    real_write = os.write
    room = [10]

    def write(descriptor: int, data: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = min(room[0], len(data))
        room[0] -= size
        return real_write(descriptor, data[:size])

    monkeypatch.setattr(os, "write", write)
    store.append("seg_1.mp4", b"12345678")
    store.append("seg_1.mp4", b"abcdefgh")  # of which two bytes fit
    store.append("seg_1.mp4", b"!")
    assert content(store, "seg_1.mp4") is None
    store.commit("seg_1.mp4")
    assert store.errors == 1
    assert store.last_error is not None
    assert "No space left" in store.last_error
    assert content(store, "seg_1.mp4") == b"12345678abcdefgh!"
    assert list(tmp_path.iterdir()) == []
    # the next segment tries the disk again
    room[0] = 100
    store.append("seg_2.mp4", b"xyz")
    store.commit("seg_2.mp4")
    assert (tmp_path / "seg_2.mp4").read_bytes() == b"xyz"
    store.remove("seg_1.mp4")
    assert store.get("seg_1.mp4") is None


def test_a_directory_that_vanishes_costs_no_media(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "hls")
    store.append("seg_1.mp4", b"abc")
    for path in (tmp_path / "hls").iterdir():
        path.unlink()
    (tmp_path / "hls").rmdir()
    store.append("seg_1.mp4", b"def")
    store.commit("seg_1.mp4")
    store.append("seg_2.mp4", b"ghi")
    store.commit("seg_2.mp4")
    assert content(store, "seg_1.mp4") == b"abcdef"
    assert content(store, "seg_2.mp4") == b"ghi"
    assert store.errors == 2
