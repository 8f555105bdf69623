"""A camera's faults as viewers of the whole gateway meet them; two healthy cameras run beside it in each test."""

import asyncio
import os
import re
import resource
import time
from typing import Any

import pytest
from hlsscene import OWN, TCP, VARIANTS, Scene, pictures_in_order, scene, until

from rtspkit.server.paths import Path
from rtspkit.testing import ScriptedCamera, faults

pytestmark = pytest.mark.slow


# -- R08 ------------------------------------------------------------------


async def is_away(one: Scene[ScriptedCamera], name: str, away: float) -> None:
    viewer = one.viewer(name)
    await viewer.plays()
    await viewer.plays()
    first, discontinuities, epoch = viewer.first, viewer.discontinuities, viewer.epoch
    await one.cameras[name].restart(away)
    await viewer.plays()
    await viewer.plays()
    assert set(viewer.statuses) == {200}
    assert viewer.first >= first
    assert viewer.discontinuities == discontinuities + 1
    assert viewer.epoch == epoch
    if away > 1.5 * viewer.number("TARGETDURATION"):
        assert any(re.search(r"(?s)/(seg|part)_.*GAP", text) for text in viewer.texts)
    assert one.find(name).state == "live"
    assert viewer.audit.violations == []


async def stays_away(one: Scene[ScriptedCamera], name: str) -> None:
    """GAP until gapKeepAlive is over, then 404; when it is back, numbers go on."""
    viewer = one.viewer(name)
    await viewer.plays()
    await viewer.plays()
    first, discontinuities = viewer.first, viewer.discontinuities
    await one.cameras[name].close()
    lost = time.monotonic()
    await viewer.until(lambda: viewer.media[-1] == "gap", 8)
    assert one.find(name).state == "gap"
    await viewer.until(lambda: viewer.statuses[-1] == 404, 9)
    assert time.monotonic() - lost > 6.5
    assert re.fullmatch("(200 )+(503 )?404", " ".join(map(str, viewer.statuses)))  # 503: it was held at the end
    assert (await one.client.get(f"/{name}/index.m3u8")).text.startswith("the camera has been away for 7 s: ")
    await one.cameras[name].start()
    await viewer.until(lambda: viewer.statuses[-1] == 200, 40)
    assert viewer.first > first
    assert viewer.discontinuities > discontinuities


async def test_cameras_that_are_away() -> None:
    cameras = {f"{variant}-{away}": ScriptedCamera() for variant in VARIANTS for away in ("0.3", "5", "long")}
    own = {name: OWN[name.partition("-")[0]] + "    gapKeepAlive: 7s\n" * name.endswith("long") for name in cameras}
    async with scene("quick", cameras, own=own) as one, asyncio.TaskGroup() as group:
        for name in cameras:
            away = name.partition("-")[2]
            group.create_task(stays_away(one, name) if away == "long" else is_away(one, name, float(away)))


# -- R33 ------------------------------------------------------------------


class WithoutSync(ScriptedCamera):
    """Sends no IDR picture while `is_held`."""

    is_held = True

    def _takes(self, client: Any, index: int, number: int) -> bool:
        if self.is_held:
            client.awaits_sync = False
        return super()._takes(client, index, number)

    def _send_unit(self, index: int) -> None:
        if self.is_held and index == 0 and self.clip.tracks[0].is_sync(self._numbers[0]):
            self._numbers[0] += 1
        else:
            super()._send_unit(index)


#: Of RTCP, in a compound packet: PLI (RFC 4585, 6.3.1).
PLI = b"\x81\xce\0\2"


async def sends_no_sync_sample(one: Scene[WithoutSync], name: str) -> None:
    camera = one.cameras[name]
    reason = "the camera has sent media for 2 s, and no sync sample (IDR picture) among them\n"
    reply = await one.client.get(f"/{name}/stream.m3u8")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    viewer = one.viewer(name)
    for _ in range(3):
        asked = time.monotonic()
        reply = await one.client.get(f"/{name}/stream.m3u8")
        assert (reply.status_code, reply.text) == (503, reason)
        assert time.monotonic() - asked < 1
    assert one.find(name).state == "connecting"
    assert not viewer.text
    assert sum(PLI in report.payload for report in camera.reports) == 1
    camera.is_held = False
    await viewer.plays()
    assert one.find(name).state == "live"
    assert set(viewer.statuses) <= {200}


async def stops_sending_sync_samples(one: Scene[WithoutSync], name: str) -> None:
    """Viewers are kept: the segments go on without one, and no gap opens while media come."""
    camera = one.cameras[name]
    camera.is_held = False
    viewer = one.viewer(name)
    await viewer.plays()
    camera.is_held = True
    end = time.monotonic() + 5
    while time.monotonic() < end:
        await viewer.plays()
    assert set(viewer.statuses) == {200}
    assert one.find(name).state == "live"
    assert viewer.media[-1] != "gap"
    camera.is_held = False
    await viewer.plays()
    assert viewer.audit.violations == []


async def test_cameras_that_send_no_sync_sample() -> None:
    """Never, or no more."""
    cameras = {f"{variant}-{when}": WithoutSync() for variant in VARIANTS for when in ("never", "no-more")}
    seconds = {"never": 2, "more": 1}
    own = {name: f"{OWN[name[:5]]}    keyframeTimeout: {seconds[name.split('-')[-1]]}s\n" for name in cameras}
    async with scene("quick", cameras, more=TCP, own=own) as one, asyncio.TaskGroup() as group:
        for name in cameras:
            check = sends_no_sync_sample if name.endswith("never") else stops_sending_sync_samples
            group.create_task(check(one, name))


# -- R56 ------------------------------------------------------------------


async def test_the_source_stalls_while_requests_are_blocked() -> None:
    async with scene("quick", ScriptedCamera()) as one:
        viewer = one.viewer()
        await viewer.plays()
        one.camera.faults = [faults.Mute()]
        await asyncio.sleep(0.3)
        query = viewer._next()

        async def ask() -> tuple[int, float]:
            asked = time.monotonic()
            reply = await one.client.get(f"/cam/stream.m3u8{query}")
            return reply.status_code, time.monotonic() - asked

        answers = await asyncio.gather(*(ask() for _ in range(200)))
        assert {status for status, _ in answers} == {200}  # the gap is an answer
        assert max(seconds for _, seconds in answers) < 10  # 8, and what a busy machine takes
        await viewer.until(lambda: viewer.media[-1] == "gap")
        one.camera.faults = []
        await viewer.plays()
        assert set(viewer.statuses) == {200}
        assert viewer.longest < 8.5


async def test_the_source_stalls_before_its_first_media() -> None:
    cameras = {name: ScriptedCamera(faults.Mute()) for name in VARIANTS}
    async with scene("quick", cameras, own=OWN) as one:
        asked = time.monotonic()
        replies = await asyncio.gather(*(one.client.get(f"/{name}/stream.m3u8") for name in cameras for _ in range(50)))
        assert 6 < time.monotonic() - asked < 9
        assert {reply.status_code for reply in replies} == {503}
        assert {reply.headers["retry-after"] for reply in replies} == {"1"}
        assert {reply.headers["cache-control"] for reply in replies} == {"max-age=1"}
        for name, camera in cameras.items():
            assert (await one.client.get(f"/{name}/index.m3u8")).status_code == 200
            camera.faults = []
            await one.viewer(name).plays()


# -- R54, R55 -------------------------------------------------------------


async def test_a_thousand_blocked_requests_whose_clients_vanish() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    async with scene("quick", ScriptedCamera()) as one:
        viewer = one.viewer()
        await viewer.plays()
        one.camera.faults = [faults.Mute()]
        await asyncio.sleep(0.5)
        port, bells = one.gateway.hls.port, one.app._bells  # type: ignore[union-attr]
        last = viewer.first + viewer.text.count("#EXTINF")
        request = f"GET /cam/stream.m3u8?_HLS_msn={last + 1} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        muxer = one.path.muxer
        assert muxer is not None
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        clients = []
        for _ in range(1000):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            clients.append((reader, writer))
        await viewer.until(lambda: muxer in bells and sum(map(len, bells[muxer]._waiting.values())) >= 1000, 5)
        assert one.path._requests >= 1000
        for _, writer in clients:
            writer.transport.abort()
        gone = time.monotonic()
        await viewer.until(lambda: one.path._requests <= 2 and len(os.listdir("/proc/self/fd")) <= files + 4, 2)
        assert time.monotonic() - gone < 1.5  # a second, and what a busy machine takes
        assert len(asyncio.all_tasks()) <= tasks + 4
        one.camera.faults = []
        await viewer.plays()
        assert viewer.statuses.count(200) == len(viewer.statuses)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_directives_that_make_no_sense(variant: str) -> None:
    async with scene(variant, ScriptedCamera()) as one:
        viewer = one.viewer()
        await viewer.plays()
        last = viewer.first + viewer.text.count("#EXTINF") - 1
        for query in (
            f"_HLS_msn={last + 50}",
            f"_HLS_msn={last + 50}&_HLS_part=0",
            "_HLS_msn=999999999999999999999999999",
            "_HLS_msn=9223372036854775807",
            "_HLS_msn=-1",
            "_HLS_msn=",
            "_HLS_msn=x",
            "_HLS_msn=1e3",
            f"_HLS_msn={last}&_HLS_msn={last}",
            "_HLS_part=0",
            f"_HLS_msn={last}&_HLS_part=-1",
            f"_HLS_msn={last}&_HLS_part=x",
        ):
            asked = time.monotonic()
            reply = await one.client.get(f"/cam/stream.m3u8?{query}")
            assert (reply.status_code, reply.headers["cache-control"]) == (400, "max-age=1"), query
            assert time.monotonic() - asked < 2
            assert reply.text.count("\n") == 1
        for query in (f"_HLS_msn={viewer.first}", "_HLS_msn=1", "x=1", "_hls_msn=x", "_HLS_push=9", "_HLS_skip=x"):
            assert (await one.client.get(f"/cam/stream.m3u8?{query}")).status_code == 200, query
        assert set(viewer.statuses) <= {200}


# -- viewers who come and go ----------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_who_comes_now_and_then_misses_nothing(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody watches a camera is read calmly; its playlist goes on picture by picture all the same."""
    monkeypatch.setattr(Path, "_is_unwatched", lambda self, now: not self._requests and now - self._last_request > 0.3)
    async with scene("quick", ScriptedCamera(), own=f"    rtspTransport: {transport}\n") as one:
        await one.live()
        for _ in range(2):
            await until(lambda: one.path._is_calm)
            await asyncio.sleep(1.7)  # in the midst of a fragment
            viewer = one.viewer()
            await viewer.plays()
            assert not one.path._is_calm
            await viewer.plays()
            await viewer.plays()
            await viewer.stop()
            assert set(viewer.statuses) == {200}
            assert viewer.audit.violations == []
            assert "gap" not in viewer.media[-10:]
        camera = one.path.source.camera
        assert camera is not None
        assert camera.stats().packets_lost == 0
        seen = await one.pictures(viewer)
        sent = pictures_in_order(one.camera)
        start = sent.index(seen[0])
        assert seen == [sent[(start + number) % len(sent)] for number in range(len(seen))]
        assert len(seen) > 50
