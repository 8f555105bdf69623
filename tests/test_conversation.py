"""The conversation before the media: what a refusal means for this session, and for the next."""

import asyncio
import os
from dataclasses import replace
from typing import Literal

import pytest

import rtspkit
from rtspkit import CameraOptions
from rtspkit.client import connect
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.memory import CameraMemory
from rtspkit.testing import ScriptedCamera, faults
from rtspkit.testing.camera import Seen
from rtspkit.testing.playout import Client, Reply

OPTIONS = CameraOptions(limits=replace(DEFAULT_LIMITS, udp_timeout=0.3))


class OnlyUDP(faults.Fault):
    """Offers no RTP over TCP."""

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        over_tcp = "TCP" in request.headers.get("transport", "")
        return Reply(461, "Unsupported Transport") if over_tcp else None


async def test_a_camera_without_tcp_that_was_slow_once_is_asked_for_udp_again() -> None:
    memory = CameraMemory()
    async with ScriptedCamera(OnlyUDP(), faults.Mute(connections=[1])) as camera:
        with pytest.raises(rtspkit.ResponseError, match="does not offer RTP over TCP"):
            await connect(camera.url, options=OPTIONS, memory=memory)
        session = await connect(camera.url, options=CameraOptions(), memory=memory)
        assert session.transport == memory.transport == "udp"
        await session.close()


class Tokens(faults.Fault):
    """Offers no UDP, and each description has URLs that are good until the next one only."""

    def __init__(self) -> None:
        super().__init__()
        self.described = 0

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        if request.method == "DESCRIBE":
            self.described += 1
            body = camera.description().replace(b"a=control:trackID=", b"a=control:token%d/trackID=" % self.described)
            return Reply(headers={"Content-Type": "application/sdp"}, body=body)
        if request.method == "SETUP":
            if "TCP" not in request.headers.get("transport", ""):
                return Reply(461, "Unsupported Transport")
            if f"token{self.described}/" not in request.uri:
                return Reply(404, "Not Found")
        return None


async def test_the_second_description_is_the_one_that_counts() -> None:
    async with ScriptedCamera(Tokens()) as camera:
        session = await connect(camera.url, options=OPTIONS)
        assert session.transport == "tcp"
        assert [track.codec for track in session.tracks] == ["h264", "aac"]
        await session.close()


@pytest.mark.parametrize("status", [453, 503])
async def test_a_camera_without_room_for_its_video_is_busy(status: int) -> None:
    """One that has room for its sound has none all the same."""
    async with ScriptedCamera(faults.Refuse("SETUP", status=status, times=1)) as camera:
        with pytest.raises(rtspkit.ResponseError, match=f"refuses SETUP: {status}") as caught:
            await connect(camera.url, options=OPTIONS)
        assert caught.value.is_busy
        assert "PLAY" not in camera.methods()


async def test_a_session_that_is_forgotten_between_two_tracks_is_over() -> None:
    async with ScriptedCamera(faults.Refuse("SETUP", status=454, uri_ends="1")) as camera:
        with pytest.raises(rtspkit.ResponseError, match=r"refuses SETUP: 454 .*; the session is over"):
            await connect(camera.url, options=OPTIONS)


async def test_a_track_that_is_refused_is_left_out() -> None:
    async with ScriptedCamera(faults.Refuse("SETUP", status=403, uri_ends="1")) as camera:
        session = await connect(camera.url, options=CameraOptions(transport="tcp"))
        assert [track.codec for track in session.tracks] == ["h264"]
        assert session.skipped == ("track 2 (aac, refused by the camera)",)
        await session.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_who_is_cancelled_anywhere_on_the_way_leaves_nothing_open(transport: Literal["tcp", "udp"]) -> None:
    async with ScriptedCamera() as camera:
        before = len(os.listdir("/dev/fd"))
        turns = 0
        while True:
            connecting = asyncio.ensure_future(connect(camera.url, options=CameraOptions(transport=transport)))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            try:
                session = await connecting
            except asyncio.CancelledError:
                turns += 1
            else:
                break
        assert turns > 10
        await session.close()
        async with asyncio.timeout(5):
            while len(os.listdir("/dev/fd")) > before:  # noqa: ASYNC110 - the camera closes its ends, too
                await asyncio.sleep(0.01)
