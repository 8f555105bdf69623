"""What `rtspkit.probe` finds out about a camera, as values.

All of it can be had as JSON (`ProbeReport.to_json`): the same names, tuples as lists, None as null, numbers rounded
to six digits behind the point. `SCHEMA` counts up when a name goes or changes its meaning; names that are added do
not. No password is anywhere in it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "Address",
    "Advice",
    "Authentication",
    "ClockReport",
    "Playback",
    "ProbeReport",
    "Quirk",
    "SessionReport",
    "Settings",
    "Timings",
    "TrackReport",
    "TransportReport",
]

#: The version of the JSON.
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that is wrong, or worth knowing, and what to do.

    Attributes:
        id: for machines, such as "password-wrong"; the how-to page on probing lists them.
        text: what is the matter, in one line.
        try_next: what to do about it, one sentence each, the likeliest first.
    """

    id: str
    text: str
    try_next: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """Where the camera was looked for.

    Attributes:
        host: as the URL has it, after redirects.
        port: of RTSP.
        ip: what was reached; None where nothing was.
    """

    host: str
    port: int
    ip: str | None


@dataclass(frozen=True, slots=True)
class Timings:
    """How long things took, in seconds; None for what did not come about.

    Attributes:
        connect: name and connection, TLS included.
        describe: DESCRIBE, asking again with credentials included; so are the next two.
        setup: SETUP of all tracks.
        play: PLAY.
        first_packet: from PLAY to the first RTP packet.
        first_sync: from PLAY to the first sync sample of the video, whole.
    """

    connect: float | None = None
    describe: float | None = None
    setup: float | None = None
    play: float | None = None
    first_packet: float | None = None
    first_sync: float | None = None


@dataclass(frozen=True, slots=True)
class TransportReport:
    """What carries the media.

    Attributes:
        name: "tcp" (the RTSP connection), "udp" or "multicast".
        tunnel: "", "TLS", "HTTP" or "HTTP over TLS": what the RTSP connection goes through.
        reason: why this one.
    """

    name: Literal["tcp", "udp", "multicast"]
    tunnel: str
    reason: str


@dataclass(frozen=True, slots=True)
class Authentication:
    """How the camera wants to know who asks.

    Attributes:
        scheme: "none", "Basic" or "Digest".
        algorithm: of Digest: "MD5", "SHA-256" …; else None.
        in_clear: the password goes readably over the network.
    """

    scheme: str
    algorithm: str | None = None
    in_clear: bool = False


@dataclass(frozen=True, slots=True)
class SessionReport:
    """How the session is kept.

    Attributes:
        timeout: seconds, as the camera says; None where it does not (60 are usual).
        keepalive: the request that keeps it.
    """

    timeout: int | None
    keepalive: str


@dataclass(frozen=True, slots=True)
class ClockReport:
    """The camera's wall clock, from its sender reports (RTCP).

    Attributes:
        offset: seconds by which it is ahead of this machine's.
        drift: by how many millionths the track's clock is faster than this machine's (ppm); None where it was watched
            for less than ten minutes.
        is_good: near enough to be used for the times of pictures.
    """

    offset: float
    drift: float | None
    is_good: bool


@dataclass(frozen=True, slots=True)
class TrackReport:
    """One track that is received. What is not known, or does not apply, is None.

    Attributes:
        index: its place among the tracks, from 0.
        kind: "video" or "audio".
        codec: one of `rtspkit.media.Codec`, such as "h264".
        codec_string: as in a playlist's CODECS (RFC 6381).
        clock_rate: ticks a second.
        profile: "High" …; of AAC: "AAC-LC", "HE-AAC" ….
        level: of video: "4.1" ….
        width, height: of the picture.
        announced_rate: pictures a second, as the SPS says.
        rate: access units a second, as they came.
        sample_rate, channels: of audio.
        bitrate: bits a second, without headers.
        parameter_sets: where they are: "sdp", "in band" or "both".
        units: access units that came.
        sync_units: of video, how many were sync samples.
        gop_units: (fewest, most) pictures from one sync sample to the next.
        gop_seconds: the same in seconds of the camera's time.
        has_b_pictures: pictures come in another order than they are shown in.
        damaged_units: before or within them packets were lost.
        packets: RTP packets that were accepted.
        lost: those missing.
        reordered: those that came after a later one.
        duplicates: those that came again.
        late: those that came too late.
        broken: those that contradict themselves.
        discarded: those of another payload type or kind.
        foreign: datagrams from another address or port than the camera's.
        kernel_drops: datagrams that this machine had no room for.
        restarts: changes of SSRC, and sequence numbers that began anew.
        parameter_changes: units that brought other parameter sets.
        jitter: seconds (RFC 3550); over TCP that of the reads.
        clock: its sender reports; None where none came.
    """

    index: int
    kind: Literal["video", "audio"]
    codec: str
    codec_string: str | None
    clock_rate: int
    profile: str | None = None
    level: str | None = None
    width: int | None = None
    height: int | None = None
    announced_rate: float | None = None
    rate: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    bitrate: float | None = None
    parameter_sets: str | None = None
    units: int = 0
    sync_units: int | None = None
    gop_units: tuple[int, int] | None = None
    gop_seconds: tuple[float, float] | None = None
    has_b_pictures: bool | None = None
    damaged_units: int = 0
    packets: int = 0
    lost: int = 0
    reordered: int = 0
    duplicates: int = 0
    late: int = 0
    broken: int = 0
    discarded: int = 0
    foreign: int = 0
    kernel_drops: int = 0
    restarts: int = 0
    parameter_changes: int = 0
    jitter: float | None = None
    clock: ClockReport | None = None


@dataclass(frozen=True, slots=True)
class Quirk:
    """Something the camera does wrong and that is put up with: an id of `rtspkit.quirks`, and a sentence."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Playback:
    """What can be done with the tracks.

    Attributes:
        codecs: the CODECS of a playlist.
        chrome, firefox, safari: whether that browser (Edge is like Chrome) can play all tracks.
        reason: why one cannot; "" where all can.
    """

    codecs: str
    chrome: bool
    firefox: bool
    safari: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What suits the camera in the gateway's configuration.

    Attributes:
        keys: of a path, as in the YAML file, with their values.
        reasons: one sentence a key, where there is something to say.
        low_latency: whether Low-Latency HLS is advisable.
        low_latency_reason: why (not).
    """

    keys: dict[str, str]
    reasons: dict[str, str]
    low_latency: bool
    low_latency_reason: str


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What was found out about a camera. ``str(report)`` is for people, `to_json` for machines.

    Attributes:
        url: the camera's, without its password.
        plays: media came, and a sync sample where there is video.
        problem: what is wrong where it does not play.
        address: where it was looked for.
        timings: how long things took.
        seconds: how long media were listened to.
        transport: what carries the media; None where it did not come to that, and so the next three.
        authentication: who may watch.
        server: what the camera calls itself.
        session: how it is kept.
        tracks: what is received.
        skipped: what is not, such as "track 2 (MPA, choose AAC, Opus or G.711)".
        quirks: what the camera gets wrong and was put up with.
        playback: what the tracks can be played with.
        notes: what is worth knowing though it plays.
        settings: what suits it.
    """

    url: str
    plays: bool
    problem: Advice | None
    address: Address
    timings: Timings
    seconds: float = 0.0
    transport: TransportReport | None = None
    authentication: Authentication | None = None
    server: str | None = None
    session: SessionReport | None = None
    tracks: tuple[TrackReport, ...] = ()
    skipped: tuple[str, ...] = ()
    quirks: tuple[Quirk, ...] = ()
    playback: Playback | None = None
    notes: tuple[Advice, ...] = ()
    settings: Settings | None = None

    def to_dict(self) -> dict[str, Any]:
        """Lists, dicts, texts and numbers only."""
        found: dict[str, Any] = _plain({"schema": SCHEMA, **dataclasses.asdict(self)})
        return found

    def to_json(self) -> str:
        """The report as JSON, on several lines."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        from rtspkit.reporttext import plain

        return plain(self)


def _plain(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value
