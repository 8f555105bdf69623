"""Reads HLS playlists (RFC 8216, draft-pantos-hls-rfc8216bis) as strictly as the rules allow; see hlsprobe.py."""

import re
from dataclasses import dataclass, field
from datetime import datetime

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)(?:,|$)')


class BadPlaylist(ValueError):
    """What was read is no legal playlist."""


@dataclass
class Segment:
    """One entry of a media playlist; `discontinuity` is its discontinuity sequence number."""

    msn: int
    uri: str
    duration: float
    discontinuity: int
    starts_discontinuity: bool
    init: str | None
    time: datetime | None
    is_gap: bool


@dataclass
class Playlist:
    """A media playlist."""

    version: int = 1
    target_duration: int = 0
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    is_ended: bool = False
    segments: list[Segment] = field(default_factory=list)

    @property
    def duration(self) -> float:
        return sum(segment.duration for segment in self.segments)


@dataclass
class Variant:
    """One EXT-X-STREAM-INF with its address."""

    uri: str
    attributes: dict[str, str]


def attributes(text: str) -> dict[str, str]:
    """An attribute list, quotes taken off."""
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[0].rstrip("\r") != "#EXTM3U":
        raise BadPlaylist(f"a playlist starts with #EXTM3U, this with {lines[0]!r}")
    return [line.rstrip("\r") for line in lines[1:] if line.strip()]


def read_multivariant(text: str) -> list[Variant]:
    variants: list[Variant] = []
    pending: dict[str, str] | None = None
    for line in _lines(text):
        if line.startswith("#EXT-X-STREAM-INF:"):
            pending = attributes(line.partition(":")[2])
        elif not line.startswith("#"):
            if pending is None:
                raise BadPlaylist(f"{line!r} has no EXT-X-STREAM-INF before it")
            variants.append(Variant(line, pending))
            pending = None
        elif line.startswith(("#EXTINF", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE")):
            raise BadPlaylist(f"{line!r} in a multivariant playlist")
    if pending is not None or not variants:
        raise BadPlaylist("an EXT-X-STREAM-INF without an address" if pending is not None else "no variant")
    return variants


def read_media(text: str) -> Playlist:
    playlist = Playlist()
    once: set[str] = set()
    duration: float | None = None
    starts = is_gap = False
    time: datetime | None = None
    init: str | None = None
    discontinuities = 0
    for line in _lines(text):
        tag, _, value = line.partition(":")
        if tag in (
            "#EXT-X-VERSION",
            "#EXT-X-TARGETDURATION",
            "#EXT-X-MEDIA-SEQUENCE",
            "#EXT-X-DISCONTINUITY-SEQUENCE",
        ):
            if tag in once:
                raise BadPlaylist(f"{tag} twice")
            if playlist.segments and tag != "#EXT-X-VERSION":
                raise BadPlaylist(f"{tag} after the first segment")
            once.add(tag)
            if not re.fullmatch(r"\d{1,20}", value):
                raise BadPlaylist(f"{line!r} is no decimal integer")
        match tag:
            case "#EXT-X-VERSION":
                playlist.version = int(value)
            case "#EXT-X-TARGETDURATION":
                playlist.target_duration = int(value)
            case "#EXT-X-MEDIA-SEQUENCE":
                playlist.media_sequence = int(value)
            case "#EXT-X-DISCONTINUITY-SEQUENCE":
                playlist.discontinuity_sequence = int(value)
            case "#EXT-X-ENDLIST":
                playlist.is_ended = True
            case "#EXTINF":
                duration = float(value.partition(",")[0])
            case "#EXT-X-DISCONTINUITY":
                starts = True
                discontinuities += 1
            case "#EXT-X-GAP":
                is_gap = True
            case "#EXT-X-PROGRAM-DATE-TIME":
                time = datetime.fromisoformat(value)
                if time.tzinfo is None:
                    raise BadPlaylist(f"{line!r} has no time zone")
            case "#EXT-X-MAP":
                init = attributes(value)["URI"]
            case _ if not line.startswith("#"):
                if duration is None:
                    raise BadPlaylist(f"{line!r} has no EXTINF before it")
                playlist.segments.append(
                    Segment(
                        playlist.media_sequence + len(playlist.segments),
                        line,
                        duration,
                        playlist.discontinuity_sequence + discontinuities,
                        starts,
                        init,
                        time,
                        is_gap,
                    )
                )
                duration, starts, is_gap, time = None, False, False, None
    if "#EXT-X-TARGETDURATION" not in once:
        raise BadPlaylist("no EXT-X-TARGETDURATION")
    if duration is not None:
        raise BadPlaylist("an EXTINF without an address")
    if any(segment.init for segment in playlist.segments) and playlist.version < 6:
        raise BadPlaylist(f"EXT-X-MAP wants EXT-X-VERSION 6, this is {playlist.version}")
    return playlist
