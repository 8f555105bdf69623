r"""Recordings of sessions with cameras, fit to be sent to strangers: made, written, read.

Strategy: a text file with one JSON object a line, so that it can be looked through before it is sent, cut, and
compared. RTSP stands there as text, packets as hexadecimal with their filling counted. Everything has gone through
a `Scrubber`: no credentials, addresses, serial numbers or pictures. Whoever reads one trusts nothing in it.

The first line is the head, every other one an event; `at` is in seconds from the first event::

    {"format": "rtspkit recording", "version": 1, "software": "rtspkit 1.0", "url": "rtsp://camera.example/live"}
    {"at": 0.0, "connection": 0}                                    a connection begins
    {"at": 0.0, "way": "out", "text": "OPTIONS rtsp://... RTSP/1.0\r\n..."}   a message, with what stands before it
    {"at": 0.2, "way": "in", "channel": 0, "data": "80e00001...6588 *1385"}   an interleaved frame: its packet
    {"at": 0.2, "way": "in", "socket": 0, "data": "80e00001...6588 *1385"}    a UDP packet, see `Entry.socket`
    {"at": 0.3, "way": "in", "data": "0d0a"}                        bytes that belong to nothing
    {"at": 5.0, "way": "in", "end": true}                           the camera hung up
    {"at": 5.0, "truncated": true}                                  what came later had no room

`data` is hexadecimal; ``*n`` stands for n times the byte AA, which is where media were. Text is ISO 8859-1, so every
byte is one character. A reader skips keys that it does not know, and refuses other versions.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rtspkit._version import __version__
from rtspkit.errors import LocalProtocolError
from rtspkit.formats import payload_codecs
from rtspkit.messages import InterleavedData
from rtspkit.scrub import FILL, Scrubber, scrub_packet
from rtspkit.transcript import Entry
from rtspkit.url import CameraURL, parse_url

__all__ = ["Event", "Recorder", "Recording", "load", "loads"]

FORMAT = "rtspkit recording"
VERSION = 1
#: Characters of a recording: five seconds of a camera at 20 Mbit/s take one million.
_MAX_SIZE = 4 * 1024 * 1024
#: Characters of a file that is read, and events in it.
_MAX_FILE_SIZE = 16 * 1024 * 1024
_MAX_EVENTS = 200_000
#: Bytes of one event: the longest interleaved frame, or a message with the longest body.
_MAX_DATA_SIZE = 512 * 1024
#: A day; nobody waits longer for a replay.
_MAX_TIME = 86400.0
#: Filling that is worth counting.
_LEAST_RUN = 4
_RUN = re.compile(rb"%c{%d,}" % (FILL, _LEAST_RUN))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that went over the link or a UDP socket.

    Attributes:
        at: seconds from the first event.
        connection: which of the connections, from 0.
        way: "in" from the camera, "out" to it.
        kind: "message" (RTSP, with what stood before it), "packet" (RTP or RTCP), "bytes" (of nothing), "end" (the
            camera hung up).
        data: its bytes.
        channel: of an interleaved packet, else None.
        socket: of a UDP packet: twice the track's index, and one more for its RTCP; else None.
    """

    at: float
    connection: int
    way: Literal["in", "out"]
    kind: Literal["message", "packet", "bytes", "end"]
    data: bytes = b""
    channel: int | None = None
    socket: int | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """A session with a camera.

    Attributes:
        url: of the camera, with names of the documentation's.
        software: what made it.
        events: in their order.
        is_truncated: more came than there was room for.
    """

    url: str
    software: str
    events: tuple[Event, ...]
    is_truncated: bool = False

    @property
    def connections(self) -> tuple[tuple[Event, ...], ...]:
        """The events of each connection."""
        count = 1 + max((event.connection for event in self.events), default=-1)
        return tuple(tuple(event for event in self.events if event.connection == number) for number in range(count))


class Recorder:
    """Makes a recording of the entries of a `Transcript`, which heard a session with the camera of that URL.

    Args:
        max_size: characters; what comes later is left out.
    """

    def __init__(self, url: str | CameraURL, *, max_size: int = _MAX_SIZE) -> None:
        url = parse_url(url) if isinstance(url, str) else url
        self._scrubber = Scrubber(url)
        self._max_size = max_size
        self._codecs: dict[int, str] = {}
        self._start: float | None = None
        self._connection = -1
        self._is_full = False
        shown = self._scrubber.text(f"{url.scheme}://{url.request_url.partition('://')[2]}")
        head = {"format": FORMAT, "version": VERSION, "software": f"rtspkit {__version__}", "url": shown}
        self._lines = [json.dumps(head)]
        self._size = len(self._lines[0])

    def add(self, entries: Iterable[Entry]) -> None:
        """Takes what `Transcript.feed` gives."""
        for entry in entries:
            if self._start is None:
                self._start = entry.at
            at = round(entry.at - self._start, 6)
            if entry.connection != self._connection:
                self._connection = entry.connection
                self._line({"at": at, "connection": entry.connection})
            for event in self._events(entry):
                self._line({"at": at, "way": entry.way, **event})

    def text(self) -> str:
        """The recording as a file holds it."""
        return "\n".join([*self._lines, ""])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file.

        Raises:
            OSError: it cannot be written.
        """
        Path(path).write_text(self.text(), encoding="ascii")

    def _line(self, event: dict[str, object]) -> None:
        if self._is_full:
            return
        line = json.dumps(event)
        self._size += len(line) + 1
        if self._size > self._max_size:
            self._is_full = True
            line = json.dumps({"at": event["at"], "truncated": True})
        self._lines.append(line)

    def _events(self, entry: Entry) -> Iterator[dict[str, object]]:
        message, raw = entry.message, entry.raw
        if entry.socket is not None:
            yield {"socket": entry.socket, "data": _to_hex(scrub_packet(raw, self._codecs))}
        elif isinstance(message, InterleavedData):
            before = len(raw) - len(message.payload) - 4
            if before:
                yield {"data": _to_hex(self._scrubber.noise(raw[:before]))}
            yield {"channel": message.channel, "data": _to_hex(scrub_packet(message.payload, self._codecs))}
        elif message is not None:
            self._codecs |= payload_codecs(message.body)  # what the packets will carry
            yield {"text": self._scrubber.message(raw, message).decode("latin-1")}
        elif raw:
            yield {"data": _to_hex(self._scrubber.noise(raw))}
        else:
            yield {"end": True}


def _to_hex(data: bytes) -> str:
    parts: list[str] = []
    start = 0
    for run in _RUN.finditer(data):
        parts += (data[start : run.start()].hex(), f"*{run.end() - run.start()}")
        start = run.end()
    return " ".join(part for part in (*parts, data[start:].hex()) if part)


# -- reading ------------------------------------------------------------------


def load(path: str | os.PathLike[str]) -> Recording:
    """Reads a recording from a file.

    Raises:
        OSError: the file cannot be read.
        LocalProtocolError: it is no recording, or one of a version that is not known.
    """
    with open(path, encoding="latin-1") as file:
        text = file.read(_MAX_FILE_SIZE + 1)
    return loads(text)


def loads(text: str) -> Recording:
    """Reads a recording.

    Raises:
        LocalProtocolError: it is no recording, or one of a version that is not known.
    """
    if len(text) > _MAX_FILE_SIZE:
        raise LocalProtocolError(f"the recording is longer than {_MAX_FILE_SIZE} characters")
    lines = text.splitlines()
    head = _object(lines[0], 1) if lines else {}
    if head.get("format") != FORMAT:
        raise LocalProtocolError("this is no recording of rtspkit: its first line is another one")
    if head.get("version") != VERSION:
        raise LocalProtocolError(f"the recording has a version other than {VERSION}: a later rtspkit made it")
    if len(lines) > _MAX_EVENTS:
        raise LocalProtocolError(f"the recording has more than {_MAX_EVENTS} lines")
    events: list[Event] = []
    connection, is_truncated = 0, False
    for number, line in enumerate(lines[1:], 2):
        item = _object(line, number)
        is_truncated = is_truncated or item.get("truncated") is True
        if type(item.get("connection")) is int:
            connection += bool(events)  # counted here: a number may be anything
        event = _event(item, connection, number)
        if event is not None:
            events.append(event)
    return Recording(str(head.get("url")), str(head.get("software")), tuple(events), is_truncated)


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        raise LocalProtocolError(f"line {number} of the recording is no JSON object")
    return item


def _event(item: dict[str, Any], connection: int, number: int) -> Event | None:
    """None for a line that is about something else."""
    at, way = item.get("at"), item.get("way")
    if way not in ("in", "out"):
        return None
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not 0 <= at <= _MAX_TIME:
        raise LocalProtocolError(f"line {number} of the recording has no time")
    if item.get("end") is True:
        return Event(at, connection, way, "end")
    text, data = item.get("text"), item.get("data")
    if isinstance(text, str) and len(text) <= _MAX_DATA_SIZE:
        return Event(at, connection, way, "message", text.encode("latin-1", "replace"))
    if not isinstance(data, str):
        raise LocalProtocolError(f"line {number} of the recording has neither text nor data")
    raw = _from_hex(data, number)
    channel, socket = (_small(item.get(name)) for name in ("channel", "socket"))
    if channel is None and socket is None:
        return Event(at, connection, way, "bytes", raw)
    if len(raw) > 0xFFFF:
        raise LocalProtocolError(f"line {number} of the recording has a packet of {len(raw)} bytes")
    return Event(at, connection, way, "packet", raw, channel, socket)


def _small(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= 255 else None


def _from_hex(text: str, number: int) -> bytes:
    parts: list[bytes] = []
    room = _MAX_DATA_SIZE
    for word in text.split():
        try:
            size = int(word[1:]) if re.fullmatch(r"\*[0-9]{1,7}", word) else 0
            part = bytes((FILL,)) * min(size, room + 1) if size else bytes.fromhex(word)
        except ValueError:
            raise LocalProtocolError(f"line {number} of the recording has data that is not hexadecimal") from None
        room -= len(part)
        if room < 0:
            raise LocalProtocolError(f"line {number} of the recording has more than {_MAX_DATA_SIZE} bytes")
        parts.append(part)
    return b"".join(parts)
