"""What must outlive the process: how far each path's numbers have come, and its target durations.

Strategy: one small JSON file for each configuration, replaced as a whole, so that whoever is killed leaves the old
one or the new one. It is read once at the start; it is written, by a thread of its own, when a muxer starts, when a
target duration becomes known, every five minutes and at the end. A discontinuity number is stored ahead of the one
in use, and again when it has been reached: a camera that comes and goes does not write each time, and the file is
never behind. Media sequence numbers start at the Unix seconds and mostly grow by less than one a second, but not
those of the gaps a Low-Latency playlist begins with, of segments that are cut short, of a camera whose clock is fast:
the file has one that is ahead and its time, and is written anew where that is too little to tell the least number of
the next muxer.

Nothing here is worth a failure: a file that cannot be read or written is one warning, and numbers then begin as if
there had never been one.

*First numbers.* hls.js 1.7 walks an array from 0 to the discontinuity number at every playlist: 3 ms at 47,000,
many times a second with low latency. So that number must stay small, and must yet not be one that an open player has
seen with other media, for hls.js would put the new ones where those were. A path with an entry goes on from there.
One without begins at the ten-minute spans since 2026, of which, where a file is kept, only the remainder by 1000
counts: small, and seldom the number a lost file had come to.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtspkit.muxer import Continuation, first_numbers
from rtspkit.server.config import Config
from rtspkit.server.log import logger

__all__ = ["INTERVAL", "Settings", "StateFile", "find_file"]

#: Seconds between two writes while nothing special happens.
INTERVAL = 300.0
#: The longest that a muxer went on after what is in the file was noted (s).
_LONGEST = 2 * INTERVAL
#: Seconds for which target durations are kept: no player waits longer for a stream to come back, and the next one
#: is not to suffer from what the camera's distance between sync samples has once been.
KEEP_TARGETS = 600.0
#: How far ahead of the discontinuity number in use the stored one is.
RESERVE = 16
#: The same of media sequence numbers, beyond one a second.
RESERVE_MSN = 64
#: First discontinuity numbers are less than this where a file is kept.
FIRST_DISCONTINUITIES = 1000
#: Bytes of a file that is read, paths in it, characters of a path's name, its highest numbers. A path takes some
#: 200 bytes; a discontinuity number past its bound would stop players.
MAX_SIZE = 8 << 20
MAX_PATHS = 10_000
MAX_NAME = 500
MAX_MSN = 1 << 52
MAX_DISCONTINUITY = 1 << 24
#: Seconds that changes are collected before they are written; less than it takes until the first part is listed.
_DELAY = 0.05
#: Seconds between two writes at least, and until one that has failed is tried again.
_PAUSE = 1.0
_RETRY = 2.0
#: Seconds the end may wait for a slow disk.
_PATIENCE = 0.5
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What target durations depend on; with other settings they are made anew."""

    variant: str
    segment_duration: float
    part_duration: float | None


@dataclass(slots=True)
class _Entry:
    """One path, and what is in the file for it; `at` is Unix seconds."""

    at: float
    settings: Settings
    continuation: Continuation
    filed_discontinuity: int
    filed_msn: int
    filed_at: float


class _BrokenFile(Exception):
    """The file is none of ours; says why."""


class StateFile:
    """How far the paths have come, in memory and, where there is one, in a file.

    Belongs to one event loop once something is noted. All times are Unix seconds.

    Args:
        file: where it is kept; None: in memory only.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self._entries: dict[str, _Entry] = {}
        self._log = logger("state")
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._again = False
        self._closed = False
        self._warned = False
        self._is_ours = False  # something was noted: what is in the file may be replaced
        self._write_after = 0.0  # time of the loop

    # -- numbers ----------------------------------------------------------

    def begin(self, name: str, settings: Settings, wall: float | None = None) -> Continuation:
        """What a muxer that starts now under the URL of path `name` goes on from."""
        wall = time.time() if wall is None else wall
        entry = self._entries.get(name)
        usual_msn, usual_discontinuity = first_numbers(wall)
        if entry is None:
            if self.file is not None:
                usual_discontinuity %= FIRST_DISCONTINUITIES
            found = Continuation(usual_msn, usual_discontinuity)
        else:
            last = entry.continuation
            keeps = entry.settings == settings and wall - entry.at < KEEP_TARGETS
            found = Continuation(
                max(usual_msn, last.msn),
                last.discontinuity,
                last.target_duration if keeps else None,
                last.part_target if keeps else None,
            )
        self.note(name, settings, found, wall)
        return found

    def note(self, name: str, settings: Settings, continuation: Continuation, wall: float | None = None) -> None:
        """A muxer has come so far. What must not be lost is written soon."""
        wall = time.time() if wall is None else wall
        old = self._entries.pop(name, None)  # the newest are last
        needed = continuation.discontinuity + 1  # the number in use may have been its first
        entry = _Entry(wall, settings, continuation, needed + RESERVE, continuation.msn + RESERVE_MSN, wall)
        self._entries[name] = entry
        if (
            old is None
            or old.filed_discontinuity < needed
            or continuation.msn > old.filed_msn + int(wall - old.filed_at)
            or old.settings != settings
            or old.continuation.target_duration != continuation.target_duration
            or old.continuation.part_target != continuation.part_target
        ):
            self.save()
        else:
            entry.filed_discontinuity, entry.filed_msn, entry.filed_at = (
                old.filed_discontinuity,
                old.filed_msn,
                old.filed_at,
            )

    # -- the file ---------------------------------------------------------

    def load(self, file: Path | None, wall: float | None = None) -> None:
        """Reads the file, which is kept from now on. One that is broken, or none of ours, is a warning and ignored."""
        self.file = file
        if self.file is None:
            return
        wall = time.time() if wall is None else wall
        try:
            self._entries = _decode(_read(self.file), wall)
        except FileNotFoundError:
            return
        except (OSError, _BrokenFile) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._log.warning("%s is ignored, numbers begin anew: %s", self.file, reason)

    def save(self) -> None:
        """Writes soon; returns at once."""
        self._is_ours = True
        if self.file is None or self._closed or self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(loop.time() + _DELAY, self._write_after), self._start_writing)

    def _start_writing(self) -> None:
        self._timer = None
        if self._writing is not None and not self._writing.done():
            self._again = True
            return
        self._write(is_end=False)

    def _write(self, *, is_end: bool) -> None:
        assert self.file is not None
        loop = asyncio.get_running_loop()
        done = self._writing = loop.create_future()
        self._write_after = loop.time() + _PAUSE
        data = self._encode(is_end=is_end)
        # no executor: its threads are waited for at exit, and a disk may never answer
        thread = threading.Thread(target=_write_and_tell, args=(self.file, data, loop, done), daemon=True)
        done.add_done_callback(self._written)
        try:
            thread.start()
        except RuntimeError as error:  # no room for another thread
            done.set_exception(OSError(str(error)))

    def _written(self, done: asyncio.Future[None]) -> None:
        error = done.exception()
        if error is None:
            self._warned = False
        else:
            self._again = True
            self._write_after = asyncio.get_running_loop().time() + _RETRY
        if error is not None and not self._warned:
            self._warned = True
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._log.warning(
                "%s cannot be written (%s): after a restart players may have to load the page anew; "
                "stateDirectory chooses another directory",
                self.file,
                reason,
            )
        if self._again:
            self._again = False
            self.save()

    async def close(self) -> None:
        """Writes the end; waits half a second at most for a disk that is slow."""
        if self._closed or self.file is None:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout_at(deadline):
                if self._writing is not None:
                    await asyncio.wait([self._writing])
                if self._entries and self._is_ours:
                    self._write(is_end=True)
                    assert self._writing is not None
                    await asyncio.wait([self._writing])

    def _encode(self, *, is_end: bool) -> bytes:
        paths = {}
        for name in list(self._entries)[-MAX_PATHS:]:
            if len(name) > MAX_NAME:
                continue
            entry = self._entries[name]
            last, settings = entry.continuation, entry.settings
            paths[name] = {
                "at": round(entry.at if is_end else entry.filed_at, 3),
                "msn": min(MAX_MSN, last.msn if is_end else entry.filed_msn),
                "discontinuity": min(MAX_DISCONTINUITY, last.discontinuity if is_end else entry.filed_discontinuity),
                "variant": settings.variant,
                "segmentDuration": settings.segment_duration,
                "partDuration": settings.part_duration,
                "targetDuration": last.target_duration,
                "partTarget": last.part_target,
            }
        return json.dumps({"rtspkit": _FORMAT, "isEnd": is_end, "paths": paths}).encode()


def _write_and_tell(file: Path, data: bytes, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    error: OSError | None = None
    try:
        _replace(file, data)
    except OSError as caught:
        error = caught

    def tell() -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(tell)


def _replace(file: Path, data: bytes) -> None:
    """Puts `data` in the file's place, so that nobody ever sees a part of it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)


def _read(file: Path) -> bytes:
    # non-blocking: a named pipe in its place must not hold up the start
    with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
        found = os.fstat(source.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise _BrokenFile("it is no file")
        data = source.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise _BrokenFile(f"it is larger than {MAX_SIZE} bytes")
    return data


def _decode(data: bytes, wall: float) -> dict[str, _Entry]:
    """The entries as they stand at `wall`.

    Raises:
        _BrokenFile: this is not what `StateFile` writes.
    """
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        raise _BrokenFile("it is no JSON") from None
    if not isinstance(tree, dict) or tree.get("rtspkit") != _FORMAT or not isinstance(tree.get("paths"), dict):
        raise _BrokenFile("it is no state of this version's")
    if len(tree["paths"]) > MAX_PATHS:
        raise _BrokenFile(f"it has more than {MAX_PATHS} paths")
    entries = {}
    for name, item in tree["paths"].items():
        try:
            entries[name] = _entry(item, wall, is_end=tree.get("isEnd") is True)
        except _BrokenFile as error:
            logger("state").warning(
                "path %r in the state file is ignored, its numbers begin anew: %s", name[:80], error
            )
    return entries


def _entry(item: Any, wall: float, *, is_end: bool) -> _Entry:
    if not isinstance(item, dict) or item.get("variant") not in ("lowLatency", "fmp4", "mpegts"):
        raise _BrokenFile("a path in it has no variant")
    part = None if item.get("partDuration") is None else _number(item, "partDuration", 3600)
    at = _number(item, "at", 1e12)
    # a clock that has gone back does not tell how long it went on
    since = min(wall - at + 1.0, _LONGEST) if wall >= at else _LONGEST
    continuation = Continuation(
        _whole(item, "msn", MAX_MSN) + (0 if is_end and wall >= at else int(since)),
        discontinuity := _whole(item, "discontinuity", MAX_DISCONTINUITY),
        None if item.get("targetDuration") is None else _whole(item, "targetDuration", 3600, 1),
        None if item.get("partTarget") is None else _whole(item, "partTarget", 3_600_000_000, 1),
    )
    settings = Settings(item["variant"], _number(item, "segmentDuration", 3600), part)
    return _Entry(at, settings, continuation, discontinuity, continuation.msn, wall)


def _number(item: dict[str, Any], key: str, most: float) -> float:
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise _BrokenFile(f"{key!r} in it is wrong")
    return float(value)


def _whole(item: dict[str, Any], key: str, most: int, least: int = 0) -> int:
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _BrokenFile(f"{key!r} in it is wrong")
    return value


# -- where ----------------------------------------------------------------


def _directory(setting: str, environ: Mapping[str, str]) -> Path:
    """Where state belongs."""
    if setting:
        return Path(setting).absolute()
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd: several with colons between
    if given:
        return Path(given)
    own, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if own.startswith("/"):  # others are to be ignored, says the XDG Base Directory Specification
        return Path(own, "rtspkit")
    if home.startswith("/") and home != "/" and os.path.isdir(home):
        return Path(home, ".local", "state", "rtspkit")
    return Path("/var/lib/rtspkit")


def _is_usable(directory: Path) -> bool:
    """Whether files can be made there, as far as can be told without making one."""
    # not Path's own: those raise where a directory above may not be searched
    name = os.fspath(directory)
    while not os.path.lexists(name):
        above = os.path.dirname(name)
        if above == name:
            return False
        name = above
    return os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK)


def find_file(config: Config, environ: Mapping[str, str] | None = None) -> Path | None:
    """The file of this configuration's state; None where there is to be none, or can be none (which is logged).

    Args:
        config: each one, and each `hlsAddress`, has a file of its own.
        environ: where the directory is looked for: `stateDirectory`, `$STATE_DIRECTORY`, `$XDG_STATE_HOME/rtspkit`,
            `~/.local/state/rtspkit`, `/var/lib/rtspkit`.
    """
    environ = os.environ if environ is None else environ
    # at a port that is another one each time nobody can come back
    if config.state_directory == "no" or not config.hls or config.hls_address.endswith(":0"):
        return None
    directory = _directory(config.state_directory, environ)
    if not _is_usable(directory):
        logger("state").warning(
            "%s cannot be written: after a restart players may have to load the page anew; "
            "stateDirectory chooses a directory, 'stateDirectory: no' does without",
            directory,
        )
        return None
    origin = "" if config.origin is None else os.path.abspath(config.origin)
    name = hashlib.sha256(f"{origin}\0{config.hls_address}".encode(errors="surrogateescape")).hexdigest()[:16]
    return directory / f"{name}.json"
