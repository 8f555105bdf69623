"""A replayed camera, and clients that do something else than the one that was recorded. See test_recording.py, too."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from rtsp_reader import RTSPReader

import rtspkit
from rtspkit.options import CameraOptions
from rtspkit.recording import Event, Recording
from rtspkit.replay import Replay

SDP = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:rtsp://camera.example/live/1\r\n"
PACKET = bytes.fromhex("80e00001 00000000 00000001 65888400")


def session(*more: Event) -> Recording:
    """A short one over TCP, half a second for each answer."""
    said = [
        ("OPTIONS", "", "Public: PLAY\r\n", ""),
        ("DESCRIBE", "", "Content-Base: rtsp://camera.example/live/\r\n", SDP),
        ("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", "Session: session-1\r\n", ""),
        ("PLAY", "", "Session: session-1\r\n", ""),
    ]
    events: list[Event] = []
    for number, (method, asked, answered, body) in enumerate(said, 1):
        request = f"{method} rtsp://camera.example/live RTSP/1.0\r\nCSeq: {number}\r\n{asked}\r\n"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        answer = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{answered}{length}\r\n{body}"
        events.append(Event(number / 2, 0, "out", "message", request.encode()))
        events.append(Event(number / 2 + 0.1, 0, "in", "message", answer.encode()))
    return Recording("rtsp://camera.example/live", "test", (*events, *more))


def media(*at: float) -> list[Event]:
    return [Event(2.1 + seconds, 0, "in", "packet", PACKET, channel=0) for seconds in at]


async def test_urls_lead_to_the_replay() -> None:
    async with Replay(session()) as camera, RTSPReader(camera.url) as reader:
        assert camera.url == f"rtsp://user:password@127.0.0.1:{camera.port}/live"
        await reader.ask("OPTIONS")
        answer = await reader.ask("DESCRIBE")
        here = f"rtsp://127.0.0.1:{camera.port}/live"
        assert answer.headers["content-base"] == f"{here}/"
        assert f"a=control:{here}/1".encode() in answer.body
        assert camera.requests == ["OPTIONS", "DESCRIBE"]


async def test_requests_that_were_not_recorded() -> None:
    """The one recorded is waited for; what else is asked is answered."""
    async with Replay(session(*media(0.0, 20.0))) as camera, RTSPReader(camera.url) as reader:
        await reader.ask("OPTIONS")
        assert (await reader.ask("GET_PARAMETER")).status == 200
        assert (await reader.ask("OPTIONS")).headers["public"] == "PLAY"
        await reader.ask("DESCRIBE")
        assert (await reader.ask("SETUP", Transport="RTP/AVP;unicast;client_port=5000-5001")).status == 461
        assert (await reader.ask("SETUP", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")).status == 200
        assert (await reader.ask("PLAY")).status == 200
        assert (await reader.packet()).data == PACKET
        assert (await reader.ask("OPTIONS")).headers["public"] == "PLAY", "a keep-alive"
        assert (await reader.ask("TEARDOWN")).status == 200
        assert await reader.hung_up()


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_it_takes_its_time(speed: float) -> None:
    async with Replay(session(*media(0.0, 2.0)), speed=speed) as camera:
        camera_side = await rtspkit.connect(camera.url, options=CameraOptions(transport="tcp"))
        started = time.monotonic()
        with pytest.raises(rtspkit.ConnectionLost):
            async for _ in camera_side:
                pass
        assert 1.9 / speed <= time.monotonic() - started < 2.0 / speed + 2
        await camera_side.close()


async def test_more_connections_than_were_recorded() -> None:
    async with Replay(session()) as camera:
        for _ in range(3):
            async with RTSPReader(camera.url) as reader:
                assert (await reader.ask("OPTIONS")).status == 200


async def test_it_ends_without_a_word_while_somebody_reads(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        async with Replay(session()) as camera:
            reader = await stack.enter_async_context(RTSPReader(camera.url))
            await reader.ask("OPTIONS")
        await asyncio.sleep(0.05)
    assert not caplog.records


async def test_redirects_lead_to_the_replay() -> None:
    asked = b"DESCRIBE rtsp://camera.example/old RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    moved = b"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://host-1.example:8554/live\r\n\r\n"
    first = (Event(0, 0, "out", "message", asked), Event(0, 0, "in", "message", moved))
    recording = Recording("rtsp://camera.example/old", "test", first)
    async with Replay(recording) as camera, RTSPReader(camera.url) as reader:
        answer = await reader.ask("DESCRIBE")
        assert answer.headers["location"] == f"rtsp://127.0.0.1:{camera.port}/live"
