"""Segments -> m3u8 text.

Strategy: pure functions from values to text, called once a playlist changes, never once a viewer. All URIs
are relative, so that the text is the same wherever the muxer is mounted and behind whatever proxy.

Spec: draft-pantos-hls-rfc8216bis 4.4.1-4.4.4 (media playlist), 4.4.6.2 (multivariant), 6.2.1, 6.2.2.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Sequence

from rtspkit import aac, h264
from rtspkit.errors import RtspkitError
from rtspkit.media import AACParameters, H264Parameters, Track
from rtspkit.segmenter import Segment

__all__ = ["codecs", "frame_rate", "media_playlist", "multivariant_playlist", "resolution"]

#: EXT-X-MAP in a playlist that is no I-frame playlist asks for 6; fMP4 players look for 7.
_VERSION = 7


def media_playlist(segments: Sequence[Segment], *, target_duration: int, epoch: str) -> str:
    """The media playlist of a live stream.

    Args:
        segments: what it lists, oldest first; at least one.
        target_duration: whole seconds.
        epoch: the directory, relative to the playlist, where the media lie.
    """
    first = segments[0]
    # its number counts the discontinuity right before it, whose tag is still there to be counted by the reader
    discontinuity_sequence = first.discontinuity_number - first.discontinuity
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{target_duration}",
        f"#EXT-X-MEDIA-SEQUENCE:{first.msn}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}",
    ]
    init = None
    for segment in segments:
        if segment.discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.init != init:
            init = segment.init
            lines.append(f'#EXT-X-MAP:URI="{epoch}/init_{init}.mp4"')
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.date)}")
        seconds, microseconds = divmod(segment.duration, 1_000_000)
        lines.append(f"#EXTINF:{seconds}.{microseconds:06},")
        lines.append(f"{epoch}/seg_{segment.msn}.mp4")
    lines.append("")
    return "\n".join(lines)


def multivariant_playlist(
    tracks: Sequence[Track], *, bandwidth: int, average_bandwidth: int | None, measured_frame_rate: float | None
) -> str:
    """The multivariant playlist: one variant with all tracks muxed.

    Args:
        tracks: with their parameters.
        bandwidth: peak of the segments, bits a second.
        average_bandwidth: mean of the segments, bits a second; None while unknown.
        measured_frame_rate: pictures a second, used where there is video whose parameter sets
            do not say; None while unknown.

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
            f"#EXT-X-STREAM-INF:{','.join(attributes)}",
            "stream.m3u8",
            "",
        )
    )


def codecs(tracks: Sequence[Track]) -> str:
    """The CODECS attribute of these tracks (RFC 6381).

    Raises:
        RtspkitError: a track's parameters are missing or cannot be read.
    """
    strings = []
    for track in tracks:
        match track.parameters:
            case H264Parameters() as parameters:
                strings.append(h264.codec_string(parameters))
            case AACParameters() as parameters:
                strings.append(aac.codec_string(parameters))
            case None:
                raise RtspkitError(f"track {track.index + 1}: its parameter sets have not come yet")
    return ",".join(strings)


def resolution(tracks: Sequence[Track]) -> tuple[int, int] | None:
    """Width and height of the video, None without video or where its SPS cannot be read."""
    sps = _sps(tracks)
    return (sps.width, sps.height) if sps is not None else None


def frame_rate(tracks: Sequence[Track]) -> float | None:
    """Pictures a second as the SPS says; None where it does not, or says nonsense."""
    sps = _sps(tracks)
    rate = float(sps.frame_rate) if sps is not None and sps.frame_rate else 0.0
    return rate if 0.1 <= rate <= 300 else None


def _sps(tracks: Sequence[Track]) -> h264.SPS | None:
    for track in tracks:
        if isinstance(track.parameters, H264Parameters):
            try:
                return h264.parse_sps(track.parameters.sps)
            except RtspkitError:
                return None
    return None


def _date(microseconds: int) -> str:
    """A Unix time as ISO 8601 in UTC, with milliseconds."""
    seconds, milliseconds = divmod((microseconds + 500) // 1000, 1000)
    days, seconds = divmod(seconds, 86_400)
    year, month = 1970, 1
    while days >= (length := 366 if isleap(year) else 365):
        days -= length
        year += 1
    while days >= (length := monthrange(year, month)[1]):
        days -= length
        month += 1
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}"
    return f"{year:04}-{month:02}-{days + 1:02}T{clock}Z"
