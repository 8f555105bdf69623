"""The fake camera's vices are what they claim to be: seen by a reader that shares no code with it."""

import asyncio
import base64
import hashlib
import re
import time
from itertools import pairwise

import pytest
from fakecamera import FakeCamera, small_clip
from rtsp_reader import Answer, Packet, RTSPReader, until

from rtspkit import h264
from rtspkit.testing import clip


def of_video(packets: list[Packet]) -> list[Packet]:
    return [packet for packet in packets if packet.channel == 0]


async def authorised(reader: RTSPReader, challenge: Answer, method: str, name: str = "md5") -> Answer:
    """The request again with Digest credentials (RFC 7616, 3.4.1, qop=auth), the right ones."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge.headers["www-authenticate"]))

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    secret = digest(f"admin:{fields['realm']}:secret")
    response = digest(f"{secret}:{fields['nonce']}:00000001:abc:auth:{digest(f'{method}:{reader.url}')}")
    return await reader.ask(
        method,
        Authorization=f'Digest username="admin", realm="{fields["realm"]}", nonce="{fields["nonce"]}", '
        f'uri="{reader.url}", qop=auth, nc=00000001, cnonce="abc", response="{response}"',
    )


def test_an_unknown_vice_is_refused() -> None:
    with pytest.raises(AssertionError, match="no refuze"):
        FakeCamera(refuze={})


class TestRequests:
    async def test_everything_is_recorded(self) -> None:
        async with FakeCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.ask("OPTIONS")
            await reader.play()
            await reader.ask("TEARDOWN")
            assert camera.methods() == ["OPTIONS", "SETUP", "SETUP", "PLAY", "TEARDOWN"]
            assert camera.requests[-1].uri == camera.url
            assert camera.requests[-1].headers == {"cseq": "5", "session": reader.session}
            await camera.wait_for("TEARDOWN")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(camera.wait_for("TEARDOWN", 2), 0.05)
            assert camera.connections == 1

    async def test_refusals(self) -> None:
        camera = FakeCamera(refuse={"SETUP": (503, "Service Unavailable")})
        async with camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("OPTIONS")).status == 200
            assert (await reader.ask("SETUP", f"{camera.url}/trackID=0")).status == 503

    async def test_silence(self) -> None:
        async with FakeCamera(silent_on=frozenset({"DESCRIBE"})) as camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("OPTIONS")).status == 200
            reader.send("DESCRIBE")
            await camera.wait_for("DESCRIBE")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.reader.read(1), 0.1)

    async def test_garbage(self) -> None:
        async with FakeCamera(garbage={"OPTIONS": b"HTTP/1.1 400\r\n"}) as camera, RTSPReader(camera.url) as reader:
            reader.send("OPTIONS")
            assert await reader.reader.readexactly(14) == b"HTTP/1.1 400\r\n"

    async def test_a_byte_at_a_time(self) -> None:
        async with FakeCamera(drip=0.002) as camera, RTSPReader(camera.url) as reader:
            start = time.monotonic()
            reader.send("OPTIONS")
            assert await reader.reader.read(1000) == b"R"
            assert (await reader.reader.readuntil(b"\r\n\r\n")).startswith(b"TSP/1.0 200 OK")
            assert time.monotonic() - start > 0.1

    async def test_other_answers(self) -> None:
        camera = FakeCamera(sdp=b"v=0\r\n", public="OPTIONS", session_timeout=3)
        async with camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("DESCRIBE")).body == b"v=0\r\n"
            assert (await reader.ask("OPTIONS")).headers["public"] == "OPTIONS"
            answer = await reader.ask("SETUP", f"{camera.url}/trackID=0", Transport="RTP/AVP/TCP;interleaved=0-1")
            assert answer.headers["session"].endswith(";timeout=3")
            camera.redirect = "rtsp://127.0.0.1/elsewhere"
            answer = await reader.ask("DESCRIBE")
            assert (answer.status, answer.headers["location"]) == (302, camera.redirect)

    async def test_slots(self) -> None:
        async with FakeCamera(slots=1) as camera, RTSPReader(camera.url) as second:
            async with RTSPReader(camera.url) as first:
                await first.play()
                transport = "RTP/AVP/TCP;interleaved=0-1"
                assert (await second.ask("SETUP", f"{camera.url}/trackID=0", Transport=transport)).status == 453
            await until(lambda: len(camera.clients) == 1)
            assert (await second.play()).status == 200

    async def test_restart_on_the_same_port(self) -> None:
        async with FakeCamera() as camera:
            url = camera.url
            async with RTSPReader(url) as reader:
                await reader.play()
                await camera.restart(0.05)
                assert await reader.hung_up()
            assert camera.url == url
            async with RTSPReader(url) as reader:
                assert (await reader.play()).status == 200


class TestCredentials:
    async def test_basic(self) -> None:
        async with FakeCamera(auth="basic") as camera, RTSPReader(camera.url) as reader:
            answer = await reader.ask("DESCRIBE")
            assert (answer.status, answer.headers["www-authenticate"][:6]) == (401, "Basic ")
            for password, status in (("wrong", 401), ("secret", 200)):
                text = base64.b64encode(f"admin:{password}".encode()).decode()
                assert (await reader.ask("DESCRIBE", Authorization=f"Basic {text}")).status == status

    @pytest.mark.parametrize(("algorithm", "name"), [("MD5", "md5"), ("SHA-256", "sha256")])
    async def test_digest(self, algorithm: str, name: str) -> None:
        async with FakeCamera(auth="digest", algorithm=algorithm) as camera, RTSPReader(camera.url) as reader:
            challenge = await reader.ask("DESCRIBE")
            assert challenge.status == 401
            assert (await authorised(reader, challenge, "DESCRIBE", name)).status == 200
            other = "md5" if name == "sha256" else "sha256"
            assert (await authorised(reader, challenge, "DESCRIBE", other)).status == 401

    async def test_a_nonce_ends(self) -> None:
        async with FakeCamera(auth="digest", nonce_life=1) as camera, RTSPReader(camera.url) as reader:
            challenge = await reader.ask("OPTIONS")
            assert "stale" not in challenge.headers["www-authenticate"]
            assert (await authorised(reader, challenge, "OPTIONS")).status == 200
            challenge = await authorised(reader, challenge, "OPTIONS")
            assert challenge.status == 401
            assert "stale=true" in challenge.headers["www-authenticate"]
            assert (await authorised(reader, challenge, "OPTIONS")).status == 200


class TestMedia:
    async def test_mute(self) -> None:
        async with FakeCamera(mute_after=5) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            units = {(packet.channel, packet.timestamp) for packet in await reader.packets(2.0)}
            assert len([unit for unit in units if unit[0] in {0, 2}]) == 5
            assert (await reader.ask("OPTIONS")).status == 200
            camera.mute, camera.mute_after = False, None
            assert (await reader.packet()).data

    @pytest.mark.parametrize("reset", [False, True])
    async def test_hanging_up(self, reset: bool) -> None:
        async with FakeCamera(close_after=3, reset=reset) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            assert await reader.hung_up()

    async def test_what_stands_between_the_frames(self) -> None:
        camera = FakeCamera(before_frames=b"\r\n", extra_frames=[(9, b"junk")], ask=b"OPTIONS * RTSP/1.0\r\n\r\n")
        async with camera, RTSPReader(camera.url) as reader:
            await reader.play()
            data = b""
            while data.count(b"$\x09\x00\x04junk") < 5:
                data += await asyncio.wait_for(reader.reader.read(65536), 5)
        assert data.count(b"OPTIONS * RTSP/1.0\r\n\r\n") == 1
        assert data.count(b"\r\n$\x09") >= 5

    async def test_other_parameter_sets_in_mid_stream(self) -> None:
        old, new = clip().tracks[0].units[0][0], small_clip().tracks[0].units[0][0]
        assert h264.parse_sps(new).width == 320
        async with FakeCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            before = of_video(await reader.packets(1.1))
            camera.change_to = small_clip()
            packets = before + of_video(await reader.packets(1.1))
        found = [packet.payload for packet in packets]
        assert any(old in payload for payload in found)
        first = next(number for number, payload in enumerate(found) if new in payload)
        assert not any(old in payload for payload in found[first:])
        times = [packet.timestamp for packet in packets if packet.marker]
        assert {b - a for a, b in pairwise(times)} == {3600}
