"""The built-in test camera: a small RTSP server that plays a bundled clip for ever.

It is there so that a newcomer sees a picture at once, and any other RTSP client can read it too. One task
paces the clip by the wall; each access unit becomes RTP packets once, and the same bytes go to everybody
who plays, so a second reader costs next to nothing. Sequence numbers and timestamps go on where the clip
begins anew: eight seconds hold a whole number of pictures and of AAC units.

RTP goes over the RTSP connection only (RFC 2326, 10.12); who asks for UDP gets 461 and, being a common
player, asks again for TCP.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal

from rtspkit import aac, h264
from rtspkit._version import __version__
from rtspkit.errors import RtspkitError
from rtspkit.media import AACParameters, H264Parameters
from rtspkit.messages import Parser, Request, parse_transport
from rtspkit.packetizer import Payload, RTPSender, interleaved_frame, packetize_aac, packetize_h264

__all__ = ["Client", "Clip", "ClipTrack", "Reply", "TestCamera", "clip"]

#: A reader that is this far behind is dropped: it would only fall back further.
_SEND_BUFFER = 4 * 1024 * 1024
#: Seconds between sender reports.
_REPORT_INTERVAL = 2.0
#: Seconds a session lives without a request; said in SETUP, not enforced while the connection stands.
_SESSION_TIMEOUT = 60
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"


@dataclass(frozen=True)
class ClipTrack:
    """One track of a clip.

    Attributes:
        kind: "video" (H.264) or "audio" (AAC).
        media: the lines of the SDP from ``m=`` on, without ``a=control``.
        payload_type: of its RTP packets.
        clock_rate: ticks a second.
        unit_ticks: what one access unit lasts.
        units: each access unit as the list of its NAL units, or of its one AAC unit.
    """

    kind: Literal["video", "audio"]
    media: tuple[str, ...]
    payload_type: int
    clock_rate: int
    unit_ticks: int
    units: tuple[tuple[bytes, ...], ...]

    def is_sync(self, number: int) -> bool:
        """Whether decoding can start with the unit of that number."""
        unit = self.units[number % len(self.units)]
        return self.kind == "audio" or any(h264.nal_type(nal) == h264.NAL_IDR for nal in unit)

    def payloads(self, unit: Sequence[bytes]) -> list[Payload]:
        """What the RTP packets of an access unit carry."""
        return packetize_h264(unit) if self.kind == "video" else packetize_aac(unit)


@dataclass(frozen=True)
class Clip:
    """What a camera plays, round and round; video first."""

    tracks: tuple[ClipTrack, ...]


@cache
def clip() -> Clip:
    """The bundled clip: H.264 High 1280x720 at 25 pictures a second, AAC-LC 16 kHz mono, 8 s."""
    data = resources.files("rtspkit.server") / "data"
    nals = list(h264.split_annexb((data / "testcamera.h264").read_bytes()))
    sps = next(nal for nal in nals if h264.nal_type(nal) == h264.NAL_SPS)
    pps = next(nal for nal in nals if h264.nal_type(nal) == h264.NAL_PPS)
    config, audio = aac.split_adts((data / "testcamera.aac").read_bytes())
    return Clip((video_track(list(h264.access_units(nals)), H264Parameters(sps, (pps,))), audio_track(audio, config)))


def video_track(units: list[list[bytes]], parameters: H264Parameters, rate: int = 25) -> ClipTrack:
    """A track of H.264 access units, `rate` a second."""
    sets = ",".join(base64.b64encode(nal).decode() for nal in (parameters.sps, *parameters.pps))
    return ClipTrack(
        "video",
        (
            "m=video 0 RTP/AVP 96",
            "a=rtpmap:96 H264/90000",
            f"a=fmtp:96 packetization-mode=1;profile-level-id={parameters.sps[1:4].hex()};sprop-parameter-sets={sets}",
        ),
        96,
        90000,
        90000 // rate,
        tuple(tuple(unit) for unit in units),
    )


def audio_track(units: list[bytes], parameters: AACParameters) -> ClipTrack:
    """A track of AAC access units."""
    config = aac.parse_config(parameters.config)
    return ClipTrack(
        "audio",
        (
            "m=audio 0 RTP/AVP 97",
            f"a=rtpmap:97 MPEG4-GENERIC/{config.sample_rate}/{config.channels}",
            "a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
            f"config={parameters.config.hex()}",
        ),
        97,
        config.sample_rate,
        config.frame_length,
        tuple((unit,) for unit in units),
    )


@dataclass
class Reply:
    """An RTSP response to be sent."""

    status: int = 200
    reason: str = "OK"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def encode(self, cseq: str | None) -> bytes:
        """The bytes of it; `cseq` is the request's."""
        lines = [f"RTSP/1.0 {self.status} {self.reason}"]
        if cseq is not None:
            lines.append(f"CSeq: {cseq}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


@dataclass(eq=False)
class Client:
    """One connection.

    Attributes:
        writer: where its bytes go.
        session: its session; None before SETUP.
        channels: of each track it has set up, by number: the RTP channel.
        is_playing: whether media are sent to it.
        awaits_sync: media begin with the next sync sample of the video.
    """

    writer: asyncio.StreamWriter
    session: str | None = None
    channels: dict[int, int] = field(default_factory=dict)
    is_playing: bool = False
    awaits_sync: bool = True

    def send(self, data: bytes) -> None:
        """Sends, or hangs up on one who does not read."""
        if self.writer.transport.get_write_buffer_size() > _SEND_BUFFER:
            self.writer.transport.abort()
        else:
            self.writer.write(data)


class TestCamera:
    """``async with TestCamera() as camera: camera.url`` - plays until the block ends.

    Attributes:
        host, port: where it listens; the port is known once it has started.
        path: of its URL.
        clients: who is connected.
    """

    __test__ = False  # its name makes pytest think otherwise

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, path: str = "/test", media: Clip | None = None
    ) -> None:
        self.host, self.port, self.path = host, port, path
        self.clip = media or clip()
        self.clients: set[Client] = set()
        self._server: asyncio.Server | None = None
        self._pacer: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[object]] = set()
        self._senders = [
            RTPSender(payload_type=track.payload_type, ssrc=secrets.randbits(32), sequence=secrets.randbits(15))
            for track in self.clip.tracks
        ]
        self._origins = [secrets.randbits(31) for _ in self.clip.tracks]  # timestamp of unit 0
        self._numbers = [0] * len(self.clip.tracks)  # of the next unit

    @property
    def url(self) -> str:
        """Where to read it."""
        return f"rtsp://{self.host}:{self.port}{self.path}"

    async def __aenter__(self) -> TestCamera:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listens and plays.

        Raises:
            OSError: the port is in use.
        """
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._pacer = asyncio.ensure_future(self._pace())

    async def close(self) -> None:
        """Hangs up on everybody and stops listening; `start` listens on the same port again."""
        if self._pacer is not None:
            self._pacer.cancel()
            with suppress(asyncio.CancelledError):
                await self._pacer
            self._pacer = None
        if self._server is not None:
            self._server.close()
            for client in tuple(self.clients):
                client.writer.transport.abort()
            if self._serving:  # each ends now that its connection has, unless it is in the middle of a slow answer
                await asyncio.wait(self._serving, timeout=0.5)
            await self._server.wait_closed()
            self._server = None

    # -- requests ---------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        client = Client(writer)
        self.clients.add(client)
        parser = Parser()
        parser.channels = range(256)
        try:
            while data := await reader.read(65536):
                parser.feed(data)
                while (message := parser.next()) is not None:
                    if isinstance(message, Request):  # what else comes is RTCP, which is not read
                        reply = await self.answer(client, message)
                        if reply is not None:
                            client.send(reply.encode(message.headers.get("CSeq")))
                        if message.method == "PLAY" and reply is not None and reply.status == 200:
                            client.is_playing = True
        except (RtspkitError, OSError):
            pass  # not RTSP, or gone
        finally:
            self.clients.discard(client)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def answer(self, client: Client, request: Request) -> Reply | None:
        """The answer to a request; None for none at all."""
        if request.method == "OPTIONS":
            return Reply(headers={"Public": _METHODS})
        if request.method == "DESCRIBE":
            headers = {"Content-Base": f"{self.url}/", "Content-Type": "application/sdp"}
            return Reply(headers=headers, body=self.description())
        if request.method == "SETUP":
            return self._set_up(client, request)
        if client.session is None:
            return Reply(454, "Session Not Found")
        headers = {"Session": client.session}
        if request.method == "PLAY":
            client.awaits_sync = True
            return Reply(headers={**headers, "Range": "npt=0.000-", "RTP-Info": ",".join(self._rtp_info(client))})
        if request.method in {"PAUSE", "TEARDOWN"}:
            client.is_playing = False
            return Reply(headers=headers)
        if request.method in {"GET_PARAMETER", "SET_PARAMETER"}:
            return Reply(headers=headers)
        return Reply(501, "Not Implemented")

    def description(self) -> bytes:
        """The SDP."""
        lines = ["v=0", f"o=- 1 1 IN IP4 {self.host}", "s=rtspkit test camera", "c=IN IP4 0.0.0.0", "t=0 0"]
        lines += [f"a=tool:rtspkit {__version__}", "a=control:*", "a=range:npt=0-"]
        for number, track in enumerate(self.clip.tracks):
            lines += [*track.media, f"a=control:trackID={number}"]
        return "\r\n".join([*lines, ""]).encode()

    def _set_up(self, client: Client, request: Request) -> Reply:
        name = request.uri.rpartition("trackID=")[2]
        if not name.isascii() or not name.isdigit() or int(name) >= len(self.clip.tracks):
            return Reply(404, "Not Found")
        for transport in parse_transport(request.headers.get_all("Transport")):
            if transport.interleaved is not None:
                channel, other = transport.interleaved
                client.channels[int(name)] = channel
                client.session = client.session or secrets.token_hex(8)
                ssrc = self._senders[int(name)].ssrc
                return Reply(
                    headers={
                        "Session": f"{client.session};timeout={_SESSION_TIMEOUT}",
                        "Transport": f"RTP/AVP/TCP;unicast;interleaved={channel}-{other};ssrc={ssrc:08X}",
                    }
                )
        return Reply(461, "Unsupported Transport")

    def _rtp_info(self, client: Client) -> Iterator[str]:
        """All tracks from one instant: that of the sync sample media will begin with."""
        number = self._numbers[0]
        while not self.clip.tracks[0].is_sync(number):
            number += 1
        for index in sorted(client.channels):
            timestamp = self.timestamp(index, self.due(0, number)) & 0xFFFFFFFF
            yield f"url={self.url}/trackID={index};rtptime={timestamp}"  # seq depends on who else is playing

    # -- media --------------------------------------------------------------------

    async def _pace(self) -> None:
        """Sends every access unit when its time has come."""
        loop = asyncio.get_running_loop()
        report_due = min(self._next())
        start, wall = loop.time() - report_due, time.time() - report_due  # started again, it goes on at once
        while True:
            due = self._next()
            index = due.index(min(due))
            wait = start + due[index] - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if due[index] >= report_due:
                report_due = due[index] + _REPORT_INTERVAL
                self._report(due[index], wall)
            self._send_unit(index)

    def _next(self) -> list[float]:
        return [self.due(index, number) for index, number in enumerate(self._numbers)]

    def due(self, index: int, number: int) -> float:
        """When the unit of that number is sent, in seconds of the clip."""
        track = self.clip.tracks[index]
        return number * track.unit_ticks / track.clock_rate

    def timestamp(self, index: int, seconds: float) -> int:
        """What a track's clock shows then; not cut to 32 bits."""
        return self._origins[index] + round(seconds * self.clip.tracks[index].clock_rate)

    def packets(self, index: int, number: int) -> list[bytes]:
        """The RTP packets of the unit of that number, which is sent now."""
        track = self.clip.tracks[index]
        unit = track.units[number % len(track.units)]
        return self._senders[index].packets(track.payloads(unit), self.timestamp(index, self.due(index, number)))

    def _send_unit(self, index: int) -> None:
        number = self._numbers[index]
        self._numbers[index] += 1
        takers = [client for client in self.clients if self._takes(client, index, number)]
        if not takers:
            return
        packets = self.packets(index, number)
        framed: dict[int, list[bytes]] = {}
        for client in takers:
            channel = client.channels[index]
            if channel not in framed:
                framed[channel] = [interleaved_frame(channel, packet) for packet in packets]
            self.deliver(client, framed[channel])

    def deliver(self, client: Client, frames: list[bytes]) -> None:
        """Sends the interleaved frames of one access unit."""
        client.send(b"".join(frames))

    def _takes(self, client: Client, index: int, number: int) -> bool:
        if not client.is_playing:
            return False
        if client.awaits_sync and (0 not in client.channels or (index == 0 and self.clip.tracks[0].is_sync(number))):
            client.awaits_sync = False
        return not client.awaits_sync and index in client.channels

    def _report(self, seconds: float, wall: float) -> None:
        for index, sender in enumerate(self._senders):
            packet = sender.sender_report(wall=wall + seconds, timestamp=self.timestamp(index, seconds))
            for client in self.clients:
                if client.is_playing and index in client.channels:
                    client.send(interleaved_frame(client.channels[index] + 1, packet))
