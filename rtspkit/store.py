"""Where the bytes of segments and init sections lie: in memory, or as files of a directory.

Strategy: a segment is appended to fragment by fragment while it is made and becomes visible when it is
committed, so that no copy of it is ever joined together. In memory it is a tuple of the fragments' own
bytes objects; the HTTP reply sends them one behind the other. In a directory it grows in a temporary
file beside its final name and is renamed when it is whole, so that whoever reads the directory sees
whole files only.

Names come from a grammar (`init_N.mp4`, `seg_N.mp4`, `part_N.mp4`), never from a URL; a name outside
it is refused. What an earlier run left behind is swept when a `DirectoryStore` is made. A disk that
fills up while cameras run costs no media: what cannot be written is kept in memory and counted.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from rtspkit.errors import LocalProtocolError

__all__ = ["Body", "DirectoryStore", "MemoryStore", "Store"]

#: What is sent as the body of a reply: buffers one behind the other, or a file.
Body = tuple[bytes, ...] | Path

_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
NAME = re.compile(rf"(?:init_{_NUMBER}|seg_{_NUMBER}|part_{_NUMBER})\.mp4")
_TEMPORARY = ".tmp"


class Store(Protocol):
    """What a `Muxer` needs of the place where its media lie. One store belongs to one muxer."""

    def append(self, name: str, data: bytes) -> None:
        """Add `data` to the end of `name`, which begins to exist, unseen, with the first call."""

    def commit(self, name: str) -> None:
        """`name` is whole: `get` finds it from now on."""

    def put(self, name: str, buffers: tuple[bytes, ...]) -> None:
        """`name` is whole at once: a part, which is needed for seconds only."""

    def get(self, name: str) -> Body | None:
        """The content of a committed name, or None."""

    def remove(self, name: str) -> None:
        """Forget `name`, committed or not; no error where there is none."""

    def close(self) -> None:
        """Remove everything this store holds."""


class MemoryStore:
    """Keeps everything in memory, as tuples of the bytes objects it was given."""

    def __init__(self) -> None:
        self._open: dict[str, list[bytes]] = {}
        self._whole: dict[str, tuple[bytes, ...]] = {}

    def append(self, name: str, data: bytes) -> None:
        """Add `data` to the end of `name`."""
        self._open.setdefault(name, []).append(data)

    def commit(self, name: str) -> None:
        """Make `name` visible."""
        self._whole[name] = tuple(self._open.pop(name, ()))

    def put(self, name: str, buffers: tuple[bytes, ...]) -> None:
        """Keep these buffers as `name`."""
        self._whole[name] = buffers

    def get(self, name: str) -> Body | None:
        """The buffers of `name`, or None."""
        return self._whole.get(name)

    def remove(self, name: str) -> None:
        """Forget `name`."""
        self._open.pop(name, None)
        self._whole.pop(name, None)

    def close(self) -> None:
        """Forget everything."""
        self._open.clear()
        self._whole.clear()


class DirectoryStore:
    """Keeps everything as files of one directory, which belongs to one muxer.

    Attributes:
        errors: how often a file could not be written and its media stayed in memory instead.
        last_error: the reason of the last of them, one line; None where there was none.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Make the directory where it is missing, try it, and sweep what an earlier run left there.

        Raises:
            OSError: nothing can be written there; the message names the directory and the reason.
        """
        self.directory = Path(directory)
        self.errors = 0
        self.last_error: str | None = None
        self._memory = MemoryStore()  # holds what the disk had no room for
        self._open: dict[str, tuple[int, int]] = {}  # name -> descriptor, bytes of whole fragments in it
        self._spilled: set[str] = set()  # open names that go on in memory
        self._whole: set[str] = set()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._sweep()
            probe = self.directory / f"init_0.mp4{_TEMPORARY}"
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644))
            probe.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                error.errno,
                f"cannot write segments to the directory {self.directory} ({reason}); "
                "make it writable or choose another one",
            ) from None

    def _sweep(self) -> None:
        # only names this class writes; whatever else lies there is somebody else's
        for entry in os.scandir(self.directory):
            if NAME.fullmatch(entry.name.removesuffix(_TEMPORARY)) and not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)

    def append(self, name: str, data: bytes) -> None:
        """Add `data` to the temporary file of `name`; to memory where the disk does not take it."""
        if name in self._spilled:
            self._memory.append(name, data)
            return
        descriptor, size = self._open.get(name, (-1, 0))
        try:
            if descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | getattr(os, "O_CLOEXEC", 0)
                descriptor = os.open(self._path(name, _TEMPORARY), flags, 0o644)
                self._open[name] = (descriptor, 0)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            self._spill(name, error)
            self._memory.append(name, data)
            return
        self._open[name] = (descriptor, size + len(data))

    def _spill(self, name: str, error: OSError) -> None:
        """Go on in memory with `name`, from the last whole fragment that did reach the disk."""
        self.errors += 1
        self.last_error = f"{self.directory}: {error.strerror or error}; segments are kept in memory"
        self._spilled.add(name)
        descriptor, size = self._open.pop(name, (-1, 0))
        if descriptor < 0:
            return
        with suppress(OSError):
            if size:
                self._memory.append(name, os.pread(descriptor, size, 0))
        os.close(descriptor)
        self._unlink(self._path(name, _TEMPORARY))

    def commit(self, name: str) -> None:
        """Give the file its name."""
        if name in self._open:
            descriptor, _size = self._open[name]
            try:
                os.rename(self._path(name, _TEMPORARY), self._path(name))
            except OSError as error:
                self._spill(name, error)
            else:
                del self._open[name]
                os.close(descriptor)
                self._whole.add(name)
                return
        self._spilled.discard(name)
        self._memory.commit(name)

    def put(self, name: str, buffers: tuple[bytes, ...]) -> None:
        """Keep these buffers in memory: a file of its own for each part would cost more than the ingest."""
        self._memory.put(name, buffers)

    def get(self, name: str) -> Body | None:
        """The file of `name`, its buffers where it had to stay in memory, or None."""
        if name in self._whole:
            return self._path(name)
        return self._memory.get(name)

    def remove(self, name: str) -> None:
        """Delete the file of `name`."""
        self._memory.remove(name)
        self._spilled.discard(name)
        if name in self._whole:
            self._whole.discard(name)
            self._unlink(self._path(name))
        descriptor, _size = self._open.pop(name, (-1, 0))
        if descriptor >= 0:
            os.close(descriptor)
            self._unlink(self._path(name, _TEMPORARY))

    def close(self) -> None:
        """Delete every file this store has written; the directory itself stays."""
        for name in [*self._open, *self._whole]:
            self.remove(name)
        self._memory.close()
        self._spilled.clear()

    def _path(self, name: str, suffix: str = "") -> Path:
        if not NAME.fullmatch(name):
            raise LocalProtocolError(f"{name!r} is no name of a segment, a part or an init section")
        return self.directory / (name + suffix)

    @staticmethod
    def _unlink(path: Path) -> None:
        # already gone, or the directory itself is: nothing is left to free either way
        with suppress(OSError):
            path.unlink()
