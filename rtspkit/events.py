"""What `rtsp.Connection.next_event` gives: one frozen value for each thing a camera can say."""

from __future__ import annotations

from dataclasses import dataclass

from rtspkit.formats import MediaTrack
from rtspkit.messages import InterleavedData, RTPInfo, Transport
from rtspkit.ranges import MediaRange
from rtspkit.sdp import SessionDescription
from rtspkit.url import CameraURL

__all__ = [
    "Described",
    "Event",
    "KeptAlive",
    "OptionsReceived",
    "Playing",
    "Redirected",
    "ServerRequest",
    "SetUp",
    "TornDown",
]


@dataclass(frozen=True, slots=True)
class OptionsReceived:
    """OPTIONS was answered. A refusal counts as an answer without methods: DESCRIBE will tell."""

    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """DESCRIBE was answered.

    Attributes:
        description: the whole SDP.
        tracks: what can be set up.
        skipped: what cannot, such as "track 2 (MPA, choose AAC, Opus or G.711)".
    """

    description: SessionDescription
    tracks: tuple[MediaTrack, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetUp:
    """SETUP was answered.

    Attributes:
        track: which one.
        transport: what holds now. TCP: `interleaved`, the channels asked for or what the camera made of them. UDP:
            `client_port`, `server_port` and `source`, the last two None where the camera does not say. Multicast:
            `destination`, `port`, `ttl`, `source`. A camera may answer a request for UDP with TCP.
        ssrc: as announced; None where it was not, or was 0. A hint only.
    """

    track: MediaTrack
    transport: Transport
    ssrc: int | None


@dataclass(frozen=True, slots=True)
class Playing:
    """PLAY was answered.

    Attributes:
        rtp_info: one entry for each track set up, in that order; None where the camera said nothing
            that fits it. Hints only: many cameras send a seq of 0 or 1, or another stream's values.
        range: what is played; None where the camera does not say. It has an end where it is a recording.
    """

    rtp_info: tuple[RTPInfo | None, ...]
    range: MediaRange | None = None


@dataclass(frozen=True, slots=True)
class KeptAlive:
    """A keep-alive was answered; whatever the status, somebody is there."""

    status: int


@dataclass(frozen=True, slots=True)
class TornDown:
    """The session is over: TEARDOWN was answered, or there was nothing to tear down."""


@dataclass(frozen=True, slots=True)
class Redirected:
    """The camera wants to be asked elsewhere: open a new connection to `url`.

    `url` has the credentials only if scheme, host and port are the same. How many to follow, and whether
    to other hosts, is for the caller to decide.
    """

    url: CameraURL


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """The camera asked something; it has been answered with `status`.

    After TEARDOWN and REDIRECT the session is over as far as the camera is concerned.
    """

    method: str
    status: int


Event = (
    OptionsReceived | Described | SetUp | Playing | KeptAlive | TornDown | Redirected | ServerRequest | InterleavedData
)
