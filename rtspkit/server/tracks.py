"""Tracks as MediaMTX names them, in its log lines and in its control API.

Spec: the `tracks2` items of MediaMTX v1.20: a label and, for what is known, its properties.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rtspkit import codecs
from rtspkit.media import Track

__all__ = ["announced", "describe", "labels", "named", "not_carried", "properties", "skipped_label"]

#: A `Codec`, or the encoding name of an SDP -> label; whatever else there is is "Generic".
_LABELS = {
    "h264": "H264",
    "h265": "H265",
    "hevc": "H265",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "m-jpeg": "M-JPEG",
    "mp4v-es": "MPEG-4 Video",
    "mpv": "MPEG-1/2 Video",
    "mpeg4-generic": "MPEG-4 Audio",
    "aac": "MPEG-4 Audio",
    "mp4a-latm": "MPEG-4 Audio LATM",
    "mpa": "MPEG-1/2 Audio",
    "ac3": "AC3",
    "opus": "Opus",
    "flac": "FLAC",
    "vorbis": "Vorbis",
    "speex": "Speex",
    "g722": "G722",
    "pcmu": "G711",
    "pcma": "G711",
    "l8": "LPCM",
    "l16": "LPCM",
    "l24": "LPCM",
    "mp2t": "MPEG-TS",
    "smpte336m": "KLV",
}
_NUMBERED = re.compile(r"track (\d+) \((.*)\)", re.DOTALL)


def _label(name: str) -> str:
    name = name.lower().partition(",")[0]  # "aac, refused by the camera"
    return "G726" if "g726" in name else _LABELS.get(name, "Generic")  # "aal2-g726-32"


def skipped_label(skipped: str) -> str:
    """ "track 3 (PCMU, another audio track)" -> "track 3 (G711, another audio track)"; a reason is kept."""
    match = _NUMBERED.fullmatch(skipped)
    if match is None:
        return skipped
    _, comma, reason = match[2].partition(",")
    return f"track {match[1]} ({_label(match[2])}{comma}{reason})"


def announced(tracks: Sequence[Track], skipped: Sequence[str]) -> list[tuple[str, Track | None]]:
    """Label of every track a camera announced, in its order, with the track where it is in use.

    Args:
        tracks: those in use.
        skipped: the others, "track 3 (PCMU, another audio track)" each, numbered from 1 among all.
    """
    found: list[tuple[str, Track | None]] = [
        (_label("mp4a-latm" if track.is_latm else track.codec), track) for track in tracks
    ]
    for match in filter(None, map(_NUMBERED.fullmatch, skipped)):
        found.insert(min(int(match[1]) - 1, len(found)), (_label(match[2]), None))
    return found


def named(track: Track, tracks: Sequence[Track], skipped: Sequence[str]) -> str:
    """A track in use as log lines call it, numbered among all that the camera announced: "track 2 (G711)"."""
    for place, (label, found) in enumerate(announced(tracks, skipped), 1):
        if found is not None and found.index == track.index:
            return f"track {place} ({label})"
    raise LookupError(f"{track} is none of the tracks")


def not_carried(names: Sequence[str], tracks: Sequence[Track], skipped: Sequence[str]) -> list[str]:
    """Everything of a camera that HLS leaves out, labelled, in the camera's order: "track 2 (G722)" ...

    Args:
        names: those of `tracks` that HLS cannot carry, numbered from 1 among them.
        tracks: those that are received.
        skipped: those that are not; see `announced`.
    """
    places = [place for place, (_, track) in enumerate(announced(tracks, skipped), 1) if track is not None]
    found = filter(None, map(_NUMBERED.fullmatch, names))
    renumbered = [f"track {places[int(match[1]) - 1]} ({match[2]})" for match in found]
    return [skipped_label(name) for name in sorted((*skipped, *renumbered), key=_number)]


def _number(name: str) -> int:
    match = _NUMBERED.fullmatch(name)
    return int(match[1]) if match is not None else 0


def labels(tracks: Sequence[Track], skipped: Sequence[str] = ()) -> list[str]:
    """The labels alone of `announced`."""
    return [label for label, _ in announced(tracks, skipped)]


def describe(names: Sequence[str]) -> str:
    """["H264", "G711"] -> "2 tracks (H264, G711)"."""
    return f"{len(names)} track{'' if len(names) == 1 else 's'} ({', '.join(names)})"


def properties(track: Track) -> dict[str, Any] | None:
    """`codecProps` of a track; None where its parameters are not known or cannot be read."""
    if (picture := codecs.picture(track)) is not None:
        return {"width": picture.width, "height": picture.height, "profile": picture.profile, "level": picture.level}
    sound = codecs.sound(track)
    if sound is None or track.codec in {"g722", "g726", "flac"}:
        return None
    if track.codec == "opus":
        return {"channelCount": sound.channels}
    found: dict[str, Any] = {"channelCount": sound.channels}
    if track.codec in {"pcma", "pcmu"}:
        found["muLaw"] = track.codec == "pcmu"
    elif track.codec == "l16":
        found["bitDepth"] = sound.bits
    return found | {"sampleRate": sound.sample_rate}
