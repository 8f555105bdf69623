"""Segments -> m3u8 text.

Strategy: pure functions from values to text, called once something changes, never once a viewer. All URIs
are relative, so that the text is the same wherever the muxer is mounted and behind whatever proxy.

Spec: draft-pantos-hls-rfc8216bis 4.4.1-4.4.5 (media playlist), 4.4.6.2 and 4.4.6.4 (multivariant), 6.2.1, 6.2.2,
8 (versions).
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from rtspkit.codecs import Picture, codec_string, picture
from rtspkit.media import Track
from rtspkit.segments import Part, Segment

__all__ = [
    "ServerControl",
    "codecs",
    "edge_text",
    "frame_rate",
    "hint_text",
    "media_playlist",
    "multivariant_playlist",
    "resolution",
    "segment_text",
]

#: EXT-X-MAP in a playlist that is no I-frame playlist asks for 6; fMP4 players look for 7. EXT-X-SKIP asks for 9.
_VERSION, _VERSION_SKIP = 7, 9
#: Part targets that players stay behind the edge.
_PART_HOLD_BACK = 3
_UNQUOTABLE = re.compile(r'["\x00-\x1f\x7f]')


class ServerControl(NamedTuple):
    """What a Low-Latency playlist offers.

    Attributes:
        part_target: microseconds.
        can_skip_until: seconds from the list's end within which nothing is skipped; None: delta updates would have
            nothing to skip.
    """

    part_target: int
    can_skip_until: int | None = None


def media_playlist(
    texts: Iterable[str],
    *,
    target_duration: int,
    first: Segment,
    control: ServerControl | None = None,
    skipped: int = 0,
) -> str:
    """The media playlist of a live stream.

    Args:
        texts: of what it lists, oldest first: `segment_text`, `edge_text`, `hint_text`.
        target_duration: whole seconds.
        first: the first segment it lists.
        control: what is offered besides; None for plain HLS.
        skipped: how many segments are left out, which makes it a delta update.
    """
    # its number counts the discontinuity right before it, whose tag is still there to be counted by the reader
    discontinuity_sequence = first.discontinuity_number - first.discontinuity
    can_skip = control is not None and control.can_skip_until is not None
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION_SKIP if can_skip else _VERSION}",
        f"#EXT-X-TARGETDURATION:{target_duration}",
    ]
    if control is not None:
        hold_back = _seconds(_PART_HOLD_BACK * control.part_target)
        skip = f",CAN-SKIP-UNTIL={control.can_skip_until}.0" if can_skip else ""
        lines.append(f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back}{skip}")
        lines.append(f"#EXT-X-PART-INF:PART-TARGET={_seconds(control.part_target)}")
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first.msn}")
    lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}")
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    lines.append("")
    return "\n".join(lines) + "".join(texts)


def segment_text(segment: Segment, *, epoch: str, with_map: bool, with_parts: bool = True) -> str:
    """The lines of a closed segment.

    Args:
        segment: what it says.
        epoch: the directory, relative to the playlist, where the media lie.
        with_map: its init section is not the one of the segment listed before it.
        with_parts: its parts are listed.
    """
    gap, name = ("#EXT-X-GAP\n", "gap.mp4") if segment.is_gap else ("", f"seg_{segment.msn}.mp4")
    parts = _parts_text(segment.parts, epoch) if with_parts else ""
    return (
        f"{_head_text(segment, epoch, with_map=with_map)}{parts}{gap}"
        f"#EXTINF:{_seconds(segment.duration)},\n{epoch}/{name}\n"
    )


def edge_text(segment: Segment, *, epoch: str, with_map: bool) -> str:
    """The lines of the segment that is open, of which parts are listed so far."""
    return _head_text(segment, epoch, with_map=with_map) + _parts_text(segment.parts, epoch)


def hint_text(number: int, *, epoch: str) -> str:
    """The line that announces the next part."""
    return f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{epoch}/part_{number}.mp4"\n'


def _head_text(segment: Segment, epoch: str, *, with_map: bool) -> str:
    discontinuity = "#EXT-X-DISCONTINUITY\n" if segment.discontinuity else ""
    map_ = f'#EXT-X-MAP:URI="{epoch}/init_{segment.init}.mp4"\n' if with_map else ""
    return f"{discontinuity}{map_}#EXT-X-PROGRAM-DATE-TIME:{_date(segment.date)}\n"


def _parts_text(parts: Sequence[Part], epoch: str) -> str:
    return "".join(
        f'#EXT-X-PART:DURATION={_seconds(part.duration)},URI="{epoch}/'
        + (
            'gap.mp4",GAP=YES\n'
            if part.is_gap
            else f'part_{part.number}.mp4"{",INDEPENDENT=YES" if part.is_independent else ""}\n'
        )
        for part in parts
    )


def _seconds(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{seconds}.{rest:06}"


def multivariant_playlist(
    tracks: Sequence[Track],
    *,
    bandwidth: int,
    average_bandwidth: int | None,
    measured_frame_rate: float | None,
    session_data: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The multivariant playlist: one variant with all tracks muxed.

    Args:
        tracks: with their parameters.
        bandwidth: peak of the segments, bits a second.
        average_bandwidth: mean of the segments, bits a second; None while unknown.
        measured_frame_rate: pictures a second, used where there is video whose parameter sets
            do not say; None while unknown.
        session_data: what it says besides: DATA-ID -> VALUE.

    Raises:
        RtspkitError: a track's parameters are missing or cannot be read.
    """
    attributes = [f"BANDWIDTH={bandwidth}"]
    if average_bandwidth is not None:
        attributes.append(f"AVERAGE-BANDWIDTH={average_bandwidth}")
    attributes.append(f'CODECS="{codecs(tracks)}"')
    size = resolution(tracks)
    if size is not None:
        attributes.append(f"RESOLUTION={size[0]}x{size[1]}")
    rate = frame_rate(tracks) or measured_frame_rate
    if rate and any(track.kind == "video" for track in tracks):
        attributes.append(f"FRAME-RATE={rate:.3f}")
    return "\n".join(
        (
            "#EXTM3U",
            f"#EXT-X-VERSION:{_VERSION}",
            *(
                f"#EXT-X-SESSION-DATA:DATA-ID={_quoted(name)},VALUE={_quoted(text)}"
                for name, text in session_data.items()
            ),
            f"#EXT-X-STREAM-INF:{','.join(attributes)}",
            "stream.m3u8",
            "",
        )
    )


def _quoted(text: str) -> str:
    """A quoted-string (4.2), which has no form for a quotation mark."""
    return f'"{_UNQUOTABLE.sub("_", text)}"'


def codecs(tracks: Sequence[Track]) -> str:
    """The CODECS attribute of these tracks (RFC 6381).

    Raises:
        RtspkitError: a track's parameters are missing or cannot be read.
    """
    return ",".join(map(codec_string, tracks))


def resolution(tracks: Sequence[Track]) -> tuple[int, int] | None:
    """Width and height of the video, None without video or where its SPS cannot be read."""
    shown = _picture(tracks)
    return (shown.width, shown.height) if shown is not None else None


def frame_rate(tracks: Sequence[Track]) -> float | None:
    """Pictures a second as the SPS says; None where it does not, or says nonsense."""
    shown = _picture(tracks)
    rate = (shown.frame_rate if shown is not None else None) or 0.0
    return rate if 0.1 <= rate <= 300 else None


def _picture(tracks: Sequence[Track]) -> Picture | None:
    return next(filter(None, map(picture, tracks)), None)


def _date(microseconds: int) -> str:
    """A Unix time as ISO 8601 in UTC, with milliseconds."""
    seconds, milliseconds = divmod(max(0, microseconds + 500) // 1000, 1000)  # a clock that was never set
    days, seconds = divmod(seconds, 86_400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}"
    return f"{_day(days)}T{clock}Z"


@lru_cache(maxsize=16)
def _day(days: int) -> str:
    """A day since 1970 as ISO 8601; the dates of all playlists are of one or two."""
    year, month = 1970, 1
    while days >= (length := 366 if isleap(year) else 365):
        days -= length
        year += 1
    while days >= (length := monthrange(year, month)[1]):
        days -= length
        month += 1
    return f"{year:04}-{month:02}-{days + 1:02}"
