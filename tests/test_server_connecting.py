"""Staying connected, as the camera and the viewers of the whole gateway meet it; two healthy cameras run beside it."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hlsscene import OWN, VARIANTS, Scene, scene, until

from rtspkit.client import connect
from rtspkit.server.config import PathConfig
from rtspkit.server.manager import PathManager
from rtspkit.server.paths import Path
from rtspkit.testing import ScriptedCamera
from rtspkit.testing.credentials import Digest
from rtspkit.testing.faults import NeverAnswer, NoDatagrams, OfferBasic, Redirect, Refuse, Slots, unreachable

slow = pytest.mark.slow


def transports(camera: ScriptedCamera, number: int) -> set[str]:
    """What was asked for on the connection of that number."""
    asked = [
        seen.headers["transport"] for seen in camera.requests if seen.method == "SETUP" if seen.connection == number
    ]
    return {"TCP" if "TCP" in text else "UDP" for text in asked}


# -- R01 ------------------------------------------------------------------


@slow
async def test_an_unreachable_camera() -> None:
    """503 while the tries run, then 404 with the reason; and it is not tried without end."""
    with unreachable() as source:
        own = "    sourceOnDemandStartTimeout: 2s\n"
        async with scene("plain", ScriptedCamera(), more="readTimeout: 3s\n", own=own, source=source) as one:
            reply = await one.client.get("/cam/stream.m3u8")
            assert (reply.status_code, reply.headers.get("retry-after")) == (503, "1")
            assert one.path.state == "connecting"
            assert "no answer within 3 s" in one.path.reason
            statuses = [reply.status_code]
            while statuses[-1] == 503:
                reply = await one.client.get("/cam/stream.m3u8")
                statuses.append(reply.status_code)
                assert len(statuses) < 8
            assert reply.status_code == 404
            assert re.fullmatch(r"127\.0\.0\.1:\d+ cannot be reached: no answer within 3 s\n", reply.text)
            assert one.path.state == "failed"
            failures = one.path._retry.failures
            began = time.monotonic()
            await asyncio.sleep(4)
            assert one.path._retry.failures - failures <= (time.monotonic() - began) / 3 + 1
            assert (await one.client.get("/cam/stream.m3u8")).status_code == 404


# -- R02 ------------------------------------------------------------------


def most_in(times: list[float], seconds: float) -> int:
    """How many of them fall into any span that long, at most."""
    return max(sum(first <= at < first + seconds for at in times) for first in times)


@slow
async def test_many_cameras_that_return_at_once() -> None:
    """Sixty paths lose their camera in the same moment, and all would try again at once."""
    async with ScriptedCamera(transports=["tcp"]) as crowd:
        more = "sourceTryPause: 0\npathDefaults:\n  rtspTransport: tcp\n"
        own = "".join(f"  crowd{number}:\n    source: {crowd.url}\n" for number in range(60))
        async with scene("plain", ScriptedCamera(), more=more, own=own) as one:
            paths = [path for path in one.gateway.paths if path.name.startswith("crowd")]
            await until(lambda: all(path.state == "live" for path in paths))
            crowd.connected.clear()
            lost = time.monotonic()
            crowd.drop(reset=True)
            await until(lambda: not any(path.state == "live" for path in paths))
            await until(lambda: all(path.state == "live" for path in paths), 10)
            assert time.monotonic() - lost < 10
            assert len(crowd.connected) == 60
            assert most_in(crowd.connected, 0.1) <= 40  # 20, and what a busy loop takes together


# -- R08 ------------------------------------------------------------------


@slow
async def test_connections_that_are_cut() -> None:
    """Three times in a row, without the camera going away."""

    async def is_cut(one: Scene[ScriptedCamera], name: str) -> None:
        viewer = one.viewer(name)
        await viewer.plays()
        await viewer.plays()
        first, discontinuities, epoch = viewer.first, viewer.discontinuities, viewer.epoch
        for _ in range(3):
            one.cameras[name].drop(reset=True)
            await viewer.plays()
            await viewer.plays()
        assert set(viewer.statuses) == {200}
        assert (viewer.epoch, viewer.first >= first) == (epoch, True)
        assert viewer.discontinuities == discontinuities + 3
        assert viewer.audit.violations == []
        assert one.find(name).source.memory.reconnects == 3

    cameras = {name: ScriptedCamera() for name in VARIANTS}
    async with scene("quick", cameras, own=OWN) as one, asyncio.TaskGroup() as group:
        for name in cameras:
            group.create_task(is_cut(one, name))


# -- R11 ------------------------------------------------------------------


@slow
async def test_cameras_that_have_no_room_for_a_second_session() -> None:
    """They keep a session whose connection was cut; meanwhile viewers have a gap, and nobody is asked without end."""
    refusals: dict[str, tuple[int | None, str]] = {
        "not-enough": (453, "453 Not Enough Bandwidth; it has no room"),
        "unavailable": (503, "503 Service Unavailable; it has no room"),
        "silent": (None, "closed"),
    }

    async def has_no_room(one: Scene[ScriptedCamera], name: str) -> None:
        status, reason = refusals[name]
        path, camera, viewer = one.find(name), one.cameras[name], one.viewer(name)
        await viewer.plays()
        await viewer.plays()
        epoch = viewer.epoch
        asked = camera.methods().count("SETUP")
        camera.drop(reset=True)
        await until(lambda: path.state == "gap" and reason in path.reason)
        await viewer.until(lambda: viewer.media[-1] == "gap")
        await viewer.until(lambda: path.state == "live", 40)
        await viewer.plays()
        assert set(viewer.statuses) == {200}
        assert viewer.epoch == epoch
        if status is not None:
            refused = camera.methods().count("SETUP") - asked - 2  # both tracks of the one that went well
            assert 1 <= refused <= 5

    cameras = {name: ScriptedCamera(Slots(1, hold=6.0, status=status)) for name, (status, _) in refusals.items()}
    async with (
        scene("plain", cameras, own="    rtspTransport: tcp\n    sourceRetryPauseMax: 6s\n") as one,
        asyncio.TaskGroup() as group,
    ):
        for name in cameras:
            group.create_task(has_no_room(one, name))


# -- R12 ------------------------------------------------------------------


@slow
async def test_udp_that_works_is_used_and_udp_that_a_firewall_stops_is_not() -> None:
    """TCP after three seconds, and at once on the next connection."""
    cameras = {"open": ScriptedCamera(), "firewall": ScriptedCamera(NoDatagrams())}
    async with scene("plain", cameras) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.plays()
        camera = one.find("open").source.camera
        assert camera is not None
        assert camera.transport == "udp"
        assert one.find("firewall").source.memory.transport == "tcp"
        assert [transports(cameras["firewall"], number) for number in (1, 2)] == [{"UDP"}, {"TCP"}]
        assert "TEARDOWN" in cameras["firewall"].methods(1)
        for name, viewer in viewers.items():
            cameras[name].drop(reset=True)
            await viewer.plays()
            await viewer.plays()
            assert set(viewer.statuses) == {200}
        assert transports(cameras["firewall"], 3) == {"TCP"}
        assert [transports(cameras["open"], number) for number in (1, 2)] == [{"UDP"}, {"UDP"}]


# -- R23 ------------------------------------------------------------------


@slow
async def test_somebody_in_between_who_asks_for_the_password() -> None:
    """Digest was offered once: the password is never sent in the clear; the camera is back when he is gone."""
    camera = ScriptedCamera(credentials=Digest("admin", "hunter22"))
    own = "    sourceRefusedPause: 1s\n    rtspTransport: tcp\n"
    async with scene("plain", camera, own=own) as one:
        viewer = one.viewer()
        await viewer.plays()
        camera.faults.append(OfferBasic())
        camera.drop(reset=True)
        await until(lambda: one.path.state == "gap" and "offers only Basic" in one.path.reason)
        await viewer.until(lambda: viewer.media[-1] == "gap")
        camera.faults.clear()
        await viewer.until(lambda: one.path.state == "live", 40)
        await viewer.plays()
        assert set(viewer.statuses) == {200}
        schemes = Counter(seen.headers.get("authorization", "none").split()[0] for seen in camera.requests)
        assert set(schemes) == {"none", "Digest"}


# -- wrong credentials ----------------------------------------------------


@asynccontextmanager
async def watched(camera: ScriptedCamera, **options: Any) -> AsyncIterator[tuple[PathManager, Path]]:
    """A path of that camera, without an HTTP server."""
    async with camera:
        given = {"source": camera.url, "rtsp_transport": "tcp", **options}
        manager = PathManager({"cam": PathConfig(**given)}, connect=connect)
        manager.start()
        path = manager.find("cam")
        assert path is not None
        try:
            yield manager, path
        finally:
            await manager.close()


@pytest.mark.parametrize("is_patient", [True, False])
async def test_viewers_who_keep_coming_do_not_have_wrong_credentials_tried_again(is_patient: bool) -> None:
    """Cameras lock accounts: two tries, whether viewers stay or leave at once and others come."""
    camera = ScriptedCamera(credentials=Digest("admin", "right"))
    async with camera:
        source = camera.url.replace("://", "://admin:wrong@")
    options = {"source": source, "source_on_demand": True, "hls_muxer_close_after": 0.0}
    async with watched(camera, source_on_demand_close_after=0.0, **options) as (manager, path):
        answers: Counter[str] = Counter()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            viewer = asyncio.create_task(manager.muxer("cam"))
            await asyncio.wait([viewer], timeout=1.0 if is_patient else 0.02)
            viewer.cancel()
            await asyncio.wait([viewer])
            answers["left" if viewer.cancelled() else type(viewer.exception()).__name__] += 1
            await asyncio.sleep(0.01)
        assert path.state == "failed"
        assert answers["PathNotFound"] > 10
        tried = [seen for seen in camera.requests if "authorization" in seen.headers]
        assert len(tried) == 2, [seen.method for seen in tried]


# -- TEARDOWN -------------------------------------------------------------


async def test_teardown_when_the_gateway_stops() -> None:
    camera = ScriptedCamera()
    async with watched(camera) as (_, path):
        await until(lambda: path.state == "live")
    assert camera.methods()[-1] == "TEARDOWN"


@pytest.mark.parametrize(
    "fault",
    [
        Refuse("PLAY", status=500),
        Refuse("SETUP", status=500, uri_ends="trackID=1"),
        Redirect("PLAY", location="rtsp://127.0.0.1:1/"),
        Redirect("SETUP", location="rtsp://127.0.0.1:1/", uri_ends="trackID=1"),
    ],
    ids=["refused-play", "refused-second-setup", "redirected-play", "redirected-second-setup"],
)
async def test_teardown_of_a_session_that_never_played(fault: Any) -> None:
    camera = ScriptedCamera(fault)
    async with watched(camera) as (_, path):
        if isinstance(fault, Refuse) and fault.method == "SETUP":
            await until(lambda: path.state == "live")  # the other track plays
        else:
            await camera.wait_for("TEARDOWN")
    sessions = {seen.headers.get("session", "").partition(";")[0] for seen in camera.requests} - {""}
    torn_down = {seen.headers["session"].partition(";")[0] for seen in camera.requests if seen.method == "TEARDOWN"}
    assert sessions == torn_down != set()


@pytest.mark.parametrize(
    "fault", [NeverAnswer("PLAY"), NeverAnswer("SETUP", uri_ends="trackID=1")], ids=["play", "setup"]
)
async def test_teardown_of_a_connect_that_is_cancelled(fault: Any) -> None:
    camera = ScriptedCamera(fault)
    async with watched(camera):
        await until(
            lambda: any(fault.method == seen.method and seen.uri.endswith(fault.uri_ends) for seen in camera.requests)
        )
        assert "TEARDOWN" not in camera.methods()
    await camera.wait_for("TEARDOWN")
