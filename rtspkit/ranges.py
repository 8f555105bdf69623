"""The Range header: what stretch of its media a server plays.

A camera plays from now on and for ever; a recorder, or a server that plays a file, says where the end is, and a
session that ends there has not been lost. Read tolerantly: what cannot be read is None.

Spec: RFC 2326, 3.5 to 3.7 (SMPTE, NPT, UTC), 12.29 (Range).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Instant", "MediaRange", "parse_range"]

_SECOND = 1_000_000_000
_UNITS = re.compile(
    r"(npt|clock|smpte(?:-30-drop|-25)?)[=:]([^;]*)(?:;\s*time=([^;]*))?", re.IGNORECASE
)  # "npt:": some
_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{0,9})[0-9]*)?")
_HOURS = re.compile(r"([0-9]{1,6}):([0-5]?[0-9]):([0-5]?[0-9])(?:\.([0-9]{0,9})[0-9]*)?")
_SMPTE = re.compile(r"([0-9]{1,6}):([0-5]?[0-9]):([0-5]?[0-9])(?::([0-9]{1,2})(?:\.([0-9]{1,2}))?)?")
_UTC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]{1,9}))?Z")


class Instant(NamedTuple):
    """A place in the media: nanoseconds (UTC: since 1970), and for SMPTE the picture after them, with hundredths."""

    ns: int
    frame: int = 0
    subframe: int = 0


@dataclass(frozen=True, slots=True)
class MediaRange:
    """What a Range header says.

    Attributes:
        unit: in which the instants are meant: normal play time, time codes, or UTC.
        start: None for now, or where it is not said.
        end: None for open.
        time: when the playing is to begin, in nanoseconds since 1970; None for at once.
    """

    unit: Literal["npt", "smpte", "clock"]
    start: Instant | None
    end: Instant | None
    time: int | None = None

    @property
    def is_live(self) -> bool:
        """No end is in sight."""
        return self.end is None

    @property
    def duration(self) -> float | None:
        """Seconds; None where it is open."""
        if self.end is None:
            return None
        return (self.end.ns - (self.start.ns if self.start else 0)) / _SECOND


def parse_range(value: str) -> MediaRange | None:
    """Reads a Range header; None where it makes no sense."""
    match = _UNITS.fullmatch(value.strip())
    if match is None:
        return None
    unit = match[1].lower()[:5].removesuffix("-")
    first, dash, last = match[2].strip().partition("-")
    read = {"npt": _npt, "smpte": _smpte, "clock": _clock}[unit]
    try:
        start, end = (read(text.strip()) if text.strip() not in {"", "now"} else None for text in (first, last))
        time = _clock(match[3].strip()).ns if match[3] else None
    except ValueError:
        return None
    if not dash or (start is None and end is None and first.strip() != "now"):
        return None
    if start is not None and end is not None and end <= start:
        return None
    return MediaRange(unit, start, end, time)  # type: ignore[arg-type]


def _npt(text: str) -> Instant:
    match = _SECONDS.fullmatch(text)
    if match is not None:
        return Instant(int(match[1]) * _SECOND + _fraction(match[2]))
    match = _HOURS.fullmatch(text)
    if match is None:
        raise ValueError
    return Instant(_of_day(match) + _fraction(match[4]))


def _smpte(text: str) -> Instant:
    match = _SMPTE.fullmatch(text)
    if match is None:
        raise ValueError
    return Instant(_of_day(match), int(match[4] or 0), int(match[5] or 0))


def _clock(text: str) -> Instant:
    match = _UTC.fullmatch(text)
    if match is None:
        raise ValueError
    year, month, day, hour, minute, second = (int(match[number]) for number in range(1, 7))
    return Instant(calendar.timegm((year, month, day, hour, minute, second)) * _SECOND + _fraction(match[7]))


def _of_day(match: re.Match[str]) -> int:
    return ((int(match[1]) * 60 + int(match[2])) * 60 + int(match[3])) * _SECOND


def _fraction(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))
