"""What the strategies give: the bytes, and what must come out of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Literal, TypeAlias, TypeVar

from rtspkit import h264, h265
from rtspkit.media import AACParameters, H264Parameters, H265Parameters, OpusParameters, PCMParameters
from rtspkit.messages import Message

__all__ = [
    "ChallengeFields",
    "Description",
    "DescribedMedia",
    "ElementaryStream",
    "InterleavedStream",
    "PictureFormat",
    "RTPFields",
    "RTPStream",
    "SoundFormat",
    "StreamCodec",
    "Wire",
    "Written",
]

V = TypeVar("V")
#: What there are access units of; "latm" is AAC, packed as RFC 6416 has it, with its configuration in the description.
StreamCodec: TypeAlias = Literal["h264", "h265", "aac", "latm", "opus", "pcma", "pcmu", "g722", "g726", "l16"]


@dataclass(frozen=True)
class Wire(Generic[V]):
    """Bytes as they go over the wire, and what a reader must make of them.

    Attributes:
        data: the bytes.
        value: what they say.
    """

    data: bytes
    value: V


@dataclass(frozen=True)
class Written(Generic[V]):
    """A header's value as it is written, and what a reader must make of it.

    Attributes:
        text: what stands behind the colon.
        value: what it says.
    """

    text: str
    value: V


@dataclass(frozen=True)
class ChallengeFields:
    """One challenge of a WWW-Authenticate header (RFC 7616, RFC 7617).

    Attributes:
        scheme: "Basic" or "Digest".
        realm: without its quotes; so are nonce and opaque.
        nonce: of Digest; None of Basic. So is all below.
        opaque: None where absent.
        stale: None where not said.
        algorithm: in capitals; None where absent, which means MD5.
        qop: qualities of protection on offer.
        userhash: the user's name is to come hashed.
    """

    scheme: str
    realm: str
    nonce: str | None = None
    opaque: str | None = None
    stale: bool | None = None
    algorithm: str | None = None
    qop: tuple[str, ...] = ()
    userhash: bool = False


# -- codecs --------------------------------------------------------------------


@dataclass(frozen=True)
class PictureFormat:
    """What a sequence parameter set says.

    Attributes:
        profile_idc: 66, 77 or 100 of H.264; 1 or 2 of H.265.
        level_idc: ten times the level, thirty times of H.265; the picture is one that it allows.
        width, height: in luma samples, cropped.
        frame_rate: pictures a second; None where it does not say.
    """

    profile_idc: int
    level_idc: int
    width: int
    height: int
    frame_rate: Fraction | None


@dataclass(frozen=True)
class SoundFormat:
    """What an AudioSpecificConfig says: AAC-LC with 1024 samples an access unit.

    Attributes:
        sample_rate: in Hz.
        channels: 1 to 8.
    """

    sample_rate: int
    channels: int


@dataclass(frozen=True)
class ElementaryStream:
    """Access units one after the other, from a sync sample on.

    Attributes:
        codec: what it is and how it is packed; see `StreamCodec`.
        parameters: what a decoder needs first.
        clock_rate: ticks a second.
        unit_ticks: what an access unit lasts.
        units: each as the list of its NAL units (without start codes, parameter sets among them), or of its one unit
            of sound.
        is_sync: of each, whether decoding can start there.
    """

    codec: StreamCodec
    parameters: H264Parameters | H265Parameters | AACParameters | OpusParameters | PCMParameters
    clock_rate: int
    unit_ticks: int
    units: tuple[tuple[bytes, ...], ...]
    is_sync: tuple[bool, ...]

    @property
    def samples(self) -> tuple[bytes, ...]:
        """What each access unit is in a file: AVCC without parameter sets and delimiters, or the unit as it is."""
        if self.codec not in {"h264", "h265"}:
            return tuple(unit[0] for unit in self.units)
        kinds, left_out = (h264.nal_type, {7, 8, 9}) if self.codec == "h264" else (h265.nal_type, {32, 33, 34, 35})
        return tuple(h264.join_avcc(nal for nal in unit if kinds(nal) not in left_out) for unit in self.units)


# -- SDP -----------------------------------------------------------------------


@dataclass(frozen=True)
class DescribedMedia:
    """One media of a session description.

    Attributes:
        kind: "video", "audio" or "application".
        encoding_name: in lower case.
        payload_type: of its packets.
        clock_rate: ticks a second.
        channels: of audio; None for anything else.
        control: the value of ``a=control``.
        parameters: what the description tells a decoder; None where it tells nothing, or nothing of use.
    """

    kind: str
    encoding_name: str
    payload_type: int
    clock_rate: int
    channels: int | None
    control: str
    parameters: H264Parameters | H265Parameters | AACParameters | OpusParameters | PCMParameters | None = None


@dataclass(frozen=True)
class Description:
    """A session description.

    Attributes:
        medias: what it offers, in order.
        control: ``a=control`` of the session; None where it has none.
        quirks: what is wrong with it, in the ids of `rtspkit.quirks`; empty where nothing is.
    """

    medias: tuple[DescribedMedia, ...]
    control: str | None
    quirks: frozenset[str] = frozenset()


# -- RTP -----------------------------------------------------------------------


@dataclass(frozen=True)
class RTPFields:
    """What stands in an RTP packet (RFC 3550, 5.1).

    Attributes:
        payload_type: 0 to 127.
        sequence: 16 bits.
        timestamp: 32 bits; so has ssrc.
        ssrc: of the sender.
        marker: the marker bit.
        csrc: up to 15 contributing sources.
        extension: profile and data of the header extension; None where there is none.
        padding: bytes behind the payload.
        payload: what it carries.
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    marker: bool
    csrc: tuple[int, ...]
    extension: tuple[int, bytes] | None
    padding: int
    payload: bytes


@dataclass(frozen=True)
class RTPStream:
    """An elementary stream in RTP packets, and what the network did to them.

    Attributes:
        source: what was sent.
        payload_type: of all packets.
        timestamps: of each access unit, as a clock that never wraps shows them; the packets have the low 32 bits.
        sent: all packets in the order of sending.
        packets_of: of each access unit, the numbers (in `sent`) of the packets that carry it.
        arrival: numbers of packets in the order in which they arrived: a lost one is not among them, a duplicate
            twice.
        ssrc_changes: numbers of the access units from which on packets have another SSRC, and sequence numbers that
            begin anew.
    """

    source: ElementaryStream
    payload_type: int
    timestamps: tuple[int, ...]
    sent: tuple[bytes, ...]
    packets_of: tuple[tuple[int, ...], ...]
    arrival: tuple[int, ...]
    ssrc_changes: tuple[int, ...] = ()

    @property
    def packets(self) -> tuple[bytes, ...]:
        """The packets as they arrived."""
        return tuple(self.sent[number] for number in self.arrival)

    @property
    def lost(self) -> frozenset[int]:
        """Numbers of the packets that never arrived."""
        return frozenset(range(len(self.sent))) - frozenset(self.arrival)

    @property
    def whole(self) -> tuple[int, ...]:
        """Numbers of the access units of which every packet arrived."""
        lost = self.lost
        return tuple(number for number, packets in enumerate(self.packets_of) if not lost.intersection(packets))


@dataclass(frozen=True)
class InterleavedStream:
    """What a camera sends on one connection: RTSP messages and interleaved frames.

    Attributes:
        data: the bytes.
        items: what comes out, in order.
    """

    data: bytes
    items: tuple[Message, ...]
