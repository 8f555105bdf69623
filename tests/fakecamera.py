"""`FakeCamera`: a scripted camera that misbehaves on demand.

It is the built-in test camera with everything a test may want to go wrong made an attribute: set it before
or while it runs. Every request is recorded. Media are the bundled clip, or any other (`small_clip`).
"""

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rtspkit import h264
from rtspkit.media import H264Parameters
from rtspkit.messages import Request
from rtspkit.packetizer import interleaved_frame
from rtspkit.testing import Client, Clip, PlainCamera, Reply, clip, video_track


@cache
def small_clip() -> Clip:
    """Another video (H.264 Main, 320x180, one second) with the sound of the bundled clip."""
    nals = h264.split_annexb((Path(__file__).with_name("data") / "small.h264").read_bytes())
    units = list(h264.access_units(nals))
    return Clip((video_track(units, H264Parameters(units[0][0], (units[0][1],))), clip().tracks[1]))


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    uri: str
    headers: dict[str, str]  # names in lower case


class FakeCamera(PlainCamera):
    """A camera with these vices (all off by default):

    auth: "basic" or "digest": wants `user` and `password`.
    nonce_life: the nonce changes after so many accepted requests, with stale=true.
    refuse: method -> (status, reason) it is refused with.
    garbage: method -> bytes answered instead of RTSP.
    silent_on: methods that are never answered.
    silent: nothing is answered at all, from the first byte on.
    drip: seconds between the single bytes of every answer.
    sdp: answered to DESCRIBE instead of the real description.
    redirect: Location answered to DESCRIBE with 302.
    public: the methods OPTIONS names.
    slots: sessions it has room for; further ones are refused with 453.
    mute: media stop, the connection stays.
    mute_after: the same after so many access units.
    session_timeout: seconds SETUP announces.
    close_after: hangs up after so many access units (reset=True: with RST).
    before_frames: bytes put before each interleaved frame.
    extra_frames: (channel, packet) sent with each unit.
    ask: bytes of an RTSP request sent once in mid-stream.
    per_packet: each RTP packet is written by itself.
    hold: so many access units are held back and then written at once.
    change_to: a clip that takes the place of the one that plays, at the next sync sample; SDP and all else stay.
    """

    def __init__(self, **vices: object) -> None:
        settings = {name: vices.pop(name) for name in ("host", "port", "path", "media") if name in vices}
        super().__init__(**settings)  # type: ignore[arg-type]
        self.requests: list[Seen] = []
        self.auth: str | None = None
        self.user, self.password = "admin", "secret"
        self.algorithm = "MD5"
        self.nonce_life: int | None = None
        self.refuse: dict[str, tuple[int, str]] = {}
        self.garbage: dict[str, bytes] = {}
        self.silent_on: frozenset[str] = frozenset()
        self.silent = False
        self.drip: float | None = None
        self.sdp: bytes | None = None
        self.redirect: str | None = None
        self.public: str | None = None
        self.slots: int | None = None
        self.mute = False
        self.mute_after: int | None = None
        self.close_after: int | None = None
        self.reset = False
        self.before_frames = b""
        self.extra_frames: list[tuple[int, bytes]] = []
        self.ask: bytes | None = None
        self.per_packet = False
        self.hold = 0
        self.change_to: Clip | None = None
        self.session_timeout: int | None = None
        self.on_request: Callable[[Seen], None] | None = None
        self._nonce, self._nonce_used = secrets.token_hex(8), 0
        self._old: set[str] = set()
        self._sent = 0
        self._held: dict[Client, list[tuple[int, list[bytes]]]] = {}
        for name, value in vices.items():
            assert hasattr(self, name), f"a fake camera has no {name}"
            setattr(self, name, value)

    @property
    def url_with_credentials(self) -> str:
        return self.url.replace("rtsp://", f"rtsp://{self.user}:{self.password}@")

    def methods(self) -> list[str]:
        """The methods of all requests so far."""
        return [seen.method for seen in self.requests]

    async def wait_for(self, method: str, count: int = 1) -> None:
        """Until `method` has been asked `count` times; five seconds at most."""
        async with asyncio.timeout(5):
            while self.methods().count(method) < count:  # noqa: ASYNC110 - a test's patience, not a program's
                await asyncio.sleep(0.01)

    async def restart(self, pause: float = 0.0) -> None:
        """Is away for `pause` seconds, then listens on the same port again."""
        await self.close()
        await asyncio.sleep(pause)
        await self.start()

    async def answer(self, client: Client, request: Request) -> Reply | None:
        seen = Seen(request.method, request.uri, {name.lower(): value for name, value in request.headers})
        self.requests.append(seen)
        if self.on_request is not None:
            self.on_request(seen)
        if self.silent or request.method in self.silent_on:
            return None
        if request.method in self.garbage:
            client.send(self.garbage[request.method])
            return None
        reply = await self._scripted(client, request, seen)
        if reply is not None and self.drip is not None:
            data = reply.encode(seen.headers.get("cseq"))
            for index in range(len(data)):
                await asyncio.sleep(self.drip)
                if client.writer.is_closing():
                    break
                client.send(data[index : index + 1])
            return None
        return reply

    async def _scripted(self, client: Client, request: Request, seen: Seen) -> Reply | None:
        if self.auth is not None and not self._is_authorised(seen):
            return Reply(401, "Unauthorized", {"WWW-Authenticate": self._challenge(seen)})
        if request.method in self.refuse:
            status, reason = self.refuse[request.method]
            return Reply(status, reason)
        if request.method == "DESCRIBE" and self.redirect is not None:
            return Reply(302, "Moved Temporarily", {"Location": self.redirect})
        if request.method == "DESCRIBE" and self.sdp is not None:
            return Reply(headers={"Content-Type": "application/sdp"}, body=self.sdp)
        taken = sum(other.session is not None for other in self.clients)
        if request.method == "SETUP" and client.session is None and self.slots is not None and taken >= self.slots:
            return Reply(453, "Not Enough Bandwidth")
        reply = await super().answer(client, request)
        assert reply is not None
        if request.method == "OPTIONS" and self.public is not None:
            reply.headers["Public"] = self.public
        if request.method == "SETUP" and self.session_timeout is not None:
            reply.headers["Session"] = f"{client.session};timeout={self.session_timeout}"
        return reply

    # -- credentials (RFC 7617, RFC 7616), written apart from rtspkit.auth so that each checks the other

    def _challenge(self, seen: Seen) -> str:
        if self.auth == "basic":
            return 'Basic realm="fake, camera"'
        stale = ", stale=true" if any(nonce in seen.headers.get("authorization", "") for nonce in self._old) else ""
        return f'Digest realm="fake, camera", nonce="{self._nonce}", qop="auth", algorithm={self.algorithm}{stale}'

    def _is_authorised(self, seen: Seen) -> bool:
        value = seen.headers.get("authorization", "")
        if self.auth == "basic":
            return value == "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        fields = {name: a or b for name, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', value)}
        if not value.startswith("Digest ") or fields.get("nonce") != self._nonce:
            return False

        def digest(text: str) -> str:
            return hashlib.new("sha256" if "SHA-256" in self.algorithm else "md5", text.encode()).hexdigest()

        ha1 = digest(f"{self.user}:fake, camera:{self.password}")
        ha2 = digest(f"{seen.method}:{seen.uri}")
        wanted = digest(f"{ha1}:{self._nonce}:{fields.get('nc')}:{fields.get('cnonce')}:auth:{ha2}")
        if fields.get("response") != wanted or fields.get("uri") != seen.uri:
            return False
        self._nonce_used += 1
        if self.nonce_life is not None and self._nonce_used >= self.nonce_life:
            self._old.add(self._nonce)
            self._nonce, self._nonce_used = secrets.token_hex(8), 0
        return True

    # -- media

    def deliver(self, client: Client, index: int, packets: list[bytes]) -> None:
        if self.per_packet:
            for packet in packets:
                super().deliver(client, index, [packet])
        elif self.hold:
            held = self._held.setdefault(client, [])
            held.append((index, packets))
            if len(held) >= self.hold:
                for one, waiting in self._held.pop(client):
                    super().deliver(client, one, waiting)
        else:
            super().deliver(client, index, packets)

    def _takers(self) -> list[Client]:
        return [client for client in self.clients if client.is_playing and not client.awaits_sync]

    def _send_unit(self, index: int) -> None:
        number = self._numbers[0]
        if (
            self.change_to is not None
            and index == 0
            and all(media.tracks[0].is_sync(number) for media in (self.clip, self.change_to))
        ):
            self.clip, self.change_to = self.change_to, None
        if self.mute_after is not None and self._sent >= self.mute_after:
            self.mute = True
        if self.mute:
            self._numbers[index] += 1
            return
        for client in self._takers():
            if self.before_frames:
                client.send(self.before_frames)
            for channel, packet in self.extra_frames:
                client.send(interleaved_frame(channel, packet))
        super()._send_unit(index)
        playing = self._takers()
        if not playing:
            return
        self._sent += 1
        if self.ask is not None:
            for client in playing:
                client.send(self.ask)
            self.ask = None
        if self.close_after is not None and self._sent >= self.close_after:
            self._sent = 0
            for client in playing:
                client.hang_up(reset=self.reset)
