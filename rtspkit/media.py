"""The values that cross from the camera side to the viewer side. No logic lives here.

Media time is integer ticks of a track's clock rate. Both sides, and code that uses the package, speak
in two sizes: one `AccessUnit` at a time, for people; a `Fragment` of packed samples, for speed (Python
is called once a fragment, not once a packet; fragments and runs are named tuples, which are made quickly).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "SAMPLE",
    "SAMPLE_SIZE",
    "AACParameters",
    "AccessUnit",
    "Codec",
    "CodecParameters",
    "FLACParameters",
    "Fragment",
    "H264Parameters",
    "H265Parameters",
    "OpusParameters",
    "PCMParameters",
    "Run",
    "Track",
]

#: One packed sample record of `Run.samples`; the layout stands in `_wire.pxd`: pts (ticks), arrival
#: (monotonic ns), size (bytes), flags (bit 0: is_sync, bit 1: packets were lost before or within it).
SAMPLE = struct.Struct("=qqII")
#: Bytes of one record.
SAMPLE_SIZE = SAMPLE.size


@dataclass(frozen=True, slots=True)
class H264Parameters:
    """Parameter sets of an H.264 track: NAL units with their header byte, without start codes."""

    sps: bytes
    #: At least one; in the order of their first appearance.
    pps: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AACParameters:
    """An AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""

    config: bytes


@dataclass(frozen=True, slots=True)
class H265Parameters:
    """Parameter sets of an H.265 track: NAL units with their two header bytes, without start codes."""

    vps: bytes
    sps: bytes
    #: At least one; in the order of their first appearance.
    pps: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OpusParameters:
    """What an Opus decoder is set to; the packets themselves say the rest (RFC 7587, 4.1)."""

    channels: int


@dataclass(frozen=True, slots=True)
class PCMParameters:
    """Sound whose samples all have one size: G.711, G.722, G.726, L16.

    Attributes:
        sample_rate: samples a second that come out of a decoder; of G.722 twice the RTP clock (RFC 3551, 4.5.2).
        channels: how many are interleaved.
        bits: of one coded sample of one channel: 8 of G.711, 2 to 5 of G.726, 4 of G.722, 16 of L16.
        is_aal2: G.726 is packed from each byte's most significant bit on (AAL2-G726), not from its least (RFC 3551,
            4.5.4). L16 is always big-endian.
    """

    sample_rate: int
    channels: int
    bits: int
    is_aal2: bool = False


@dataclass(frozen=True, slots=True)
class FLACParameters:
    """A STREAMINFO block without its header, 34 bytes (RFC 9639, 8.2)."""

    stream_info: bytes


CodecParameters = H264Parameters | H265Parameters | AACParameters | OpusParameters | PCMParameters | FLACParameters

#: Names of the encodings: "aac" is MPEG-4 audio however it is packed, "pcma" and "pcmu" are G.711 (A-law, mu-law),
#: "flac" is made here of G.711 and L16 and never received.
Codec = Literal["h264", "h265", "aac", "opus", "pcma", "pcmu", "g722", "g726", "l16", "flac"]


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream that is being received.

    Attributes:
        index: its place among the tracks of its camera, from 0; `Run.track` refers to it.
        kind: "video" or "audio".
        codec: one of `Codec`.
        clock_rate: ticks a second of every timestamp of this track.
        parameters: what a decoder needs first; None until the camera has sent it (in band).
        is_latm: AAC came in LATM elements (RFC 6416); its access units are as others' are.
    """

    index: int
    kind: Literal["video", "audio"]
    codec: Codec
    clock_rate: int
    parameters: CodecParameters | None = None
    is_latm: bool = False


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture, or one audio frame.

    Attributes:
        track: the track it belongs to, with the parameters in force for this unit.
        pts: presentation time in ticks of `track.clock_rate`; 0 is where the session began, the same
            instant for every track.
        is_sync: decoding can start here (IDR picture; of H.265 IDR, CRA or BLA; every audio unit).
        data: H.264, H.265: NAL units, each after its length in 4 bytes big-endian (AVCC), without parameter
            sets and access unit delimiters; AAC, Opus: one raw access unit; G.711, G.722, G.726, L16: the coded
            samples of one packet, as they came.
        arrival: when its last packet arrived, in seconds of the monotonic clock.
        damaged: packets were lost before it or within it.
        discontinuity: its time does not continue the unit before (first after a reconnect).
        wall_clock: Unix seconds by the camera's own clock (RTCP sender reports); None before the first.
    """

    track: Track
    pts: int
    is_sync: bool
    data: bytes
    arrival: float = 0.0
    damaged: bool = False
    discontinuity: bool = False
    wall_clock: float | None = None


class Run(NamedTuple):
    """Consecutive access units of one track.

    Attributes:
        track: index of the track.
        samples: packed sample records (`SAMPLE_SIZE` bytes each), in arrival (decoding) order.
        data: their media, one behind the other without gaps; as long as the samples' sizes together.
    """

    track: int
    samples: Buffer
    data: Buffer


class Fragment(NamedTuple):
    """A stretch of all tracks that ends at a sync sample or after a set time, whichever is first.

    Attributes:
        tracks: all tracks of the camera, by index, with the parameters in force for this fragment. The
            same tuple object as the previous fragment's unless a parameter has changed.
        runs: what arrived, at most one run a track, ordered by track; a track without media has none.
        is_sync: the first video unit is a sync sample (without video: always).
        discontinuity: time starts anew here; nothing relates it to the fragment before.
        next_pts: pts of the video unit that follows (it is known, for its arrival has closed this
            fragment); None where the fragment was closed by the clock or the end of the stream, and
            without video.
        wall_clock: Unix seconds, by the camera's clock, of the first unit of the first run; None where
            no sender report has come.
    """

    tracks: tuple[Track, ...]
    runs: tuple[Run, ...]
    is_sync: bool
    discontinuity: bool = False
    next_pts: int | None = None
    wall_clock: float | None = None
