"""Paths: every state, every way from one to the next, and that no path's trouble is another's."""

import asyncio
import dataclasses
import json
import logging
import os
import re
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path as FilePath
from typing import Any

import pytest

from rtspkit.asgi import NotReady, PathNotFound
from rtspkit.client import CameraOptions, CameraStats
from rtspkit.errors import AuthenticationError, ConnectionLost, ResponseError, UnsupportedError
from rtspkit.health import CameraHealth, Timings, TrackHealth
from rtspkit.limits import Limits
from rtspkit.media import AACParameters, Fragment, H264Parameters, PCMParameters, Run, Track
from rtspkit.memory import CameraMemory
from rtspkit.rtp import TrackStats
from rtspkit.server.config import PathConfig
from rtspkit.server.manager import PathManager
from rtspkit.server.paths import Path, Timing
from rtspkit.server.state import StateFile
from rtspkit.server.viewers import Viewers
from rtspkit.ticker import Ticker

SPS = bytes.fromhex("6764001facd9405005bb011000000300100000030320f1831960")
PPS = bytes.fromhex("68ebe3cb22c0")
VIDEO = Track(0, "video", "h264", 90000, H264Parameters(SPS, (PPS,)))
AUDIO = Track(1, "audio", "aac", 16000, AACParameters(bytes.fromhex("1408")))

#: The machine's times, a hundred times faster, and those that can be set.
QUICK = Timing(failed=0.3, hold=0.3, report=0.0)
QUICK_RETRIES = {
    "source_try_pause": 0.005,
    "source_retry_pause": 0.1,
    "source_retry_pause_max": 0.1,
    "source_retry_pause_gap": 0.02,
    "source_refused_pause": 0.1,
}
SOURCE = "rtsp://admin:hunter2-secret@192.0.2.1/stream1"


def fragment(number: int, tracks: tuple[Track, ...] = (VIDEO,)) -> Fragment:
    """One second that begins with a sync sample."""
    units = [(number * 90000 + unit * 9000, unit == 0) for unit in range(10)]
    samples = b"".join(struct.pack("=qqII", pts, time.monotonic_ns(), 20, int(sync)) for pts, sync in units)
    return Fragment(tracks, (Run(0, samples, bytes(200)),), is_sync=True, next_pts=(number + 1) * 90000)


class FakeCamera:
    """Sends fragments until it is told to stop."""

    def __init__(self, tracks: tuple[Track, ...] = (VIDEO,), skipped: tuple[str, ...] = ()) -> None:
        self.tracks, self.skipped = tracks, skipped
        self.local_address, self.remote_address = "127.0.0.1:1000", "192.0.2.1:554"
        self.session_id = "12345678"
        self.transport = "tcp"
        self.warnings: tuple[str, ...] = ()
        self.quirks: tuple[str, ...] = ()
        self.is_closed = False
        self.lost = 0
        self.asked_for_sync = self.flushed = 0
        self.latencies: list[tuple[float, bool, Ticker | None]] = []
        self.close_takes = 0.0
        self.hands_over = False  # media when it ends, as a real one does
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take: Callable[[Fragment], None] | None = None
        self._sent = 0

    def send(self, count: int = 1, tracks: tuple[Track, ...] | None = None) -> None:
        assert self._take is not None, "nobody reads this camera"
        for _ in range(count):
            self._take(fragment(self._sent, tracks or self.tracks))
            self._sent += 1

    def lose(self) -> None:
        self._ended.set_exception(ConnectionLost("192.0.2.1:554 closed the connection"))

    def request_sync(self) -> None:
        self.asked_for_sync += 1

    def cut_at(self, pts: int) -> None:
        """It sends as it likes."""

    def set_latency(self, fragment_duration: float, *, low_latency: bool, ticker: Ticker | None) -> None:
        self.latencies.append((fragment_duration, low_latency, ticker))

    def flush(self) -> None:
        self.flushed += 1

    def stats(self) -> CameraStats:
        fields = dict.fromkeys(TrackStats._fields, 0)
        track = TrackStats(**{**fields, "lost": self.lost})
        return CameraStats(self._sent * 200, 0, 0, (track,))

    def health(self) -> CameraHealth:
        fields = dict.fromkeys((field.name for field in dataclasses.fields(TrackHealth)), None)
        track = TrackHealth(**{**fields, "codec": "h264", "quirks": self.quirks})  # type: ignore[arg-type]
        return CameraHealth("udp", 0, "", Timings(), 0, None, 0, 0, (), (track,))

    def track_quirks(self, index: int) -> tuple[str, ...]:
        return () if index else self.quirks

    async def stream(self, take: Callable[[Fragment], None]) -> None:
        self._take = take
        try:
            await self._ended
        finally:
            if self.hands_over:
                self.send()

    async def close(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        await asyncio.sleep(self.close_takes)
        self.is_closed = True


class FakeNetwork:
    """What `connect` finds; `answer` says what comes next: an error, a camera, or None: no answer at all."""

    def __init__(self) -> None:
        self.answer: Any = FakeCamera
        self.tries = 0
        self.cameras: list[FakeCamera] = []
        self.urls: list[str] = []
        self.how: list[tuple[CameraOptions, Any]] = []
        self.memories: list[CameraMemory] = []

    async def connect(self, url: str, *, options: CameraOptions, ticker: Any, memory: CameraMemory) -> Any:
        self.tries += 1
        self.urls.append(url)
        self.how.append((options, ticker))
        self.memories.append(memory)
        if self.answer is None:
            await asyncio.sleep(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        camera = self.answer()
        self.cameras.append(camera)
        return camera

    async def camera(self, number: int = -1) -> FakeCamera:
        """The camera of that number, once it is read."""

        def read() -> bool:
            count = number + 1 if number >= 0 else 1
            return len(self.cameras) >= count and self.cameras[number]._take is not None

        await until(read)
        return self.cameras[number]


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The log, without times."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(f"{record.levelname[:3]} {record.getMessage()}")  # type: ignore[method-assign]
    logger = logging.getLogger("rtspkit.server")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


async def until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come to that"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def running(
    network: FakeNetwork, timing: Timing = QUICK, limits: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[PathManager, Path]]:
    config = PathConfig(source=SOURCE).model_copy(update={**QUICK_RETRIES, **options})
    manager = PathManager({"cam": config}, connect=network.connect, timing=timing, limits=limits or Limits())
    manager.start()
    path = manager.find("cam")
    assert path is not None
    try:
        yield manager, path
    finally:
        await manager.close()


async def media_playlist(path: Path) -> str:
    assert path.muxer is not None
    response = path.muxer.get("stream.m3u8")
    assert response is not None
    assert isinstance(response.body, tuple)
    return b"".join(response.body).decode()


# -- the way up -----------------------------------------------------------


async def test_connects_at_start(lines: list[str]) -> None:
    network = FakeNetwork()
    network.answer = lambda: FakeCamera((VIDEO, AUDIO), ("track 2 (PCMU)",))
    async with running(network) as (manager, path):
        assert path.state == "connecting"
        assert network.urls == []
        camera = await network.camera()
        assert path.state == "connecting"
        assert not path.readable
        camera.send()
        assert path.state == "live"
        assert path.readable
        assert manager.get("cam") is path.muxer is await manager.muxer("cam")
        assert network.urls == [SOURCE]
    assert camera.is_closed
    assert path.state == "idle"
    assert [line for line in lines if "is connecting" not in line] == [
        "INF [path cam] [RTSP source] started",
        "INF [RTSP] [conn 192.0.2.1:554] opened",
        "INF [RTSP] [session 12345678] created by 192.0.2.1:554",
        "INF [RTSP] [session 12345678] is reading from path 'cam', 2 tracks with TCP",
        "INF [path cam] stream is available and online, 3 tracks (H264, G711, MPEG-4 Audio)",
        "INF [HLS] [muxer cam] created automatically",
        "WAR [HLS] [muxer cam] skipping track 2 (G711)",
        "INF [HLS] [muxer cam] is converting into HLS, 2 tracks (H264, MPEG-4 Audio)",
        "INF [path cam] is live (was connecting): the camera sends media",
        "INF [HLS] [muxer cam] destroyed: the gateway is stopping",
        "INF [path cam] is idle (was live): the gateway is stopping",
        "INF [RTSP] [session 12345678] destroyed",
        "INF [RTSP] [conn 192.0.2.1:554] closed",
        "INF [path cam] [RTSP source] stopped: the gateway is stopping",
    ]


G722 = Track(1, "audio", "g722", 8000, PCMParameters(16_000, 1, 4))


async def test_pictures_go_on_beside_sound_that_hls_cannot_carry(lines: list[str]) -> None:
    network = FakeNetwork()
    network.answer = lambda: FakeCamera((VIDEO, G722), ("track 1 (VND.ONVIF.METADATA)", "track 4 (PCMU)"))
    async with running(network) as (_, path):
        camera = await network.camera()
        camera.send()
        assert path.state == "live"
        assert path.tracks == (VIDEO, G722)  # what the camera sends
        assert path.muxer is not None
        assert path.muxer.tracks == (VIDEO,)
        camera.send(3)
        assert path.muxer.media_stats.dropped_fragments == 0
    assert [line for line in lines if "skipping" in line or "converting" in line] == [
        "WAR [HLS] [muxer cam] skipping track 1 (Generic)",
        "WAR [HLS] [muxer cam] skipping track 3 (G722)",
        "WAR [HLS] [muxer cam] skipping track 4 (G711)",
        "INF [HLS] [muxer cam] is converting into HLS, 1 track (H264)",
    ]


async def test_a_camera_of_which_hls_can_carry_nothing_says_so() -> None:
    network = FakeNetwork()
    network.answer = lambda: FakeCamera((replace(G722, index=0),))
    async with running(network) as (manager, path):
        await until(lambda: path.state == "failed")
        reason = "HLS can carry nothing of what the camera sends: track 1 (G722)"
        assert path.reason == reason
        with pytest.raises(PathNotFound, match=re.escape(reason)):
            await manager.muxer("cam")


async def test_pictures_do_not_wait_for_ever_for_the_parameters_of_sound(lines: list[str]) -> None:
    network = FakeNetwork()
    unknown = replace(AUDIO, parameters=None, is_latm=True)
    network.answer = lambda: FakeCamera((VIDEO, unknown))
    async with running(network, timing=replace(QUICK, parameters=0.1)) as (_, path):
        camera = await network.camera()
        camera.send()
        assert (path.state, path.reason) == ("connecting", "waiting for the camera's parameter sets")
        await asyncio.sleep(0.12)
        camera.send()
        assert path.state == "live"
        muxer = path.muxer
        assert muxer is not None
        assert muxer.tracks == (VIDEO,)
        camera.send(tracks=(VIDEO, AUDIO))  # they come after all: too late for this playlist
        assert muxer.tracks == (VIDEO,)
        assert muxer.media_stats.dropped_fragments == 0
    assert "WAR [path cam] track 2 (MPEG-4 Audio LATM) is left out: its parameters do not come" in lines


async def test_a_camera_that_is_back_without_the_parameters_of_its_sound_goes_on() -> None:
    network = FakeNetwork()
    network.answer = lambda: FakeCamera((VIDEO, AUDIO))
    async with running(network, timing=replace(QUICK, parameters=0.1)) as (_, path):
        camera = await network.camera()
        camera.send()
        muxer = path.muxer
        assert muxer is not None
        network.answer = lambda: FakeCamera((VIDEO, replace(AUDIO, parameters=None)))
        camera.lose()
        camera = await network.camera(1)
        camera.send()
        assert path.state == "gap"
        await asyncio.sleep(0.12)
        camera.send(2)
        assert path.state == "live"
        assert path.muxer is muxer
        assert muxer.tracks == (VIDEO, AUDIO)
        assert muxer.media_stats.dropped_fragments == 0


async def test_sound_that_is_repacked_goes_on_after_a_reconnect() -> None:
    network = FakeNetwork()
    pcma = Track(1, "audio", "pcma", 8000, PCMParameters(8000, 1, 8))
    network.answer = lambda: FakeCamera((VIDEO, pcma))
    async with running(network) as (_, path):
        camera = await network.camera()
        camera.send(2)
        muxer = path.muxer
        assert muxer is not None
        assert [track.codec for track in muxer.tracks] == ["h264", "flac"]
        camera.lose()
        camera = await network.camera(1)
        camera.send(2)
        assert path.muxer is muxer
        assert muxer.media_stats.dropped_fragments == 0


async def test_log_of_the_transport_and_why_it_is_tcp_once(lines: list[str]) -> None:
    network = FakeNetwork()

    def first() -> FakeCamera:
        camera = FakeCamera()
        camera.transport = "udp"
        return camera

    network.answer = first
    async with running(network):
        for number, transport in enumerate(("udp", "tcp", "tcp", "multicast")):
            camera = await network.camera(number)
            assert camera.transport == transport
            following = ("tcp", "tcp", "multicast", "tcp")[number]
            network.memories[0].transport_reason = "no media came over UDP within 3 s" * (following == "tcp")

            def answer(following: str = following) -> FakeCamera:
                camera = FakeCamera()
                camera.transport, camera.warnings = following, ("the buffer is small",)
                return camera

            network.answer = answer
            camera.lose()
        await network.camera(4)
    about = [line.rpartition("track ")[2] for line in lines if " is reading from " in line]
    assert about == ["with UDP", "with TCP", "with TCP", "with UDP-multicast", "with TCP"]
    assert len({id(memory) for memory in network.memories}) == 1
    assert [line for line in lines if line.startswith("WAR")] == [
        "WAR [path cam] [RTSP source] TCP is used: no media came over UDP within 3 s",
        "WAR [path cam] [RTSP source] the buffer is small",
    ]


async def test_each_path_talks_as_it_is_told() -> None:
    network = FakeNetwork()
    options = {
        "rtsp_transport": "udp",
        "rtsp_any_port": True,
        "rtsp_udp_source_port_range": (40000, 40999),
        "udp_read_buffer_size": 65536,
        "allow_redirect_hosts": True,
    }
    async with running(network, **options):
        await network.camera()
    found, _ = network.how[0]
    assert (found.transport, found.any_port, found.allow_redirect_hosts) == ("udp", True, True)
    assert (found.udp_source_ports, found.udp_read_buffer_size) == ((40000, 40999), 65536)


async def test_log_of_a_muxer_made_once_for_two_connections(lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network) as (_, path):
        camera = await network.camera()
        camera.send()
        camera.lose()
        (await network.camera(1)).send()
        assert path.state == "live"
    assert sum("is available and online" in line for line in lines) == 2
    assert sum("created automatically" in line for line in lines) == 1
    assert sum("is converting into HLS" in line for line in lines) == 1


async def test_log_of_a_muxer_on_demand_when_nobody_knows_who_asked(lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network, source_on_demand=True) as (manager, _):
        waiting = asyncio.create_task(manager.muxer("cam"))
        (await network.camera()).send()
        await waiting
    assert "INF [HLS] [muxer cam] created (requested by a viewer)" in lines


async def test_viewer_is_held_until_media_come() -> None:
    network = FakeNetwork()
    async with running(network) as (manager, path):
        waiting = asyncio.create_task(manager.muxer("cam"))
        (await network.camera()).send()
        assert await waiting is path.muxer


async def test_viewer_is_not_held_forever() -> None:
    network = FakeNetwork()
    network.answer = None
    async with running(network) as (manager, path):
        started = time.monotonic()
        with pytest.raises(NotReady, match="nothing to watch yet") as caught:
            await manager.muxer("cam")
        assert caught.value.retry_after == 1
        assert 0.25 < time.monotonic() - started < 1.0
        assert path.state == "connecting"


async def test_start_timeout_bounds_the_hold() -> None:
    network = FakeNetwork()
    network.answer = None
    options = {"source_on_demand": True, "source_on_demand_start_timeout": 0.1}
    async with running(network, replace(QUICK, hold=5.0), **options) as (manager, _):
        started = time.monotonic()
        with pytest.raises(NotReady):
            await manager.muxer("cam")
        assert 0.05 < time.monotonic() - started < 2


async def test_waits_for_parameter_sets() -> None:
    network = FakeNetwork()
    bare = Track(0, "video", "h264", 90000, None)
    async with running(network) as (_, path):
        camera = await network.camera()
        camera.send(tracks=(bare,))
        assert path.state == "connecting"
        assert "parameter sets" in path.reason
        camera.send(tracks=(VIDEO,))
        assert path.state == "live"


async def test_viewer_who_leaves_is_let_go() -> None:
    network = FakeNetwork()
    network.answer = None
    async with running(network) as (manager, path):
        tasks = [asyncio.create_task(manager.muxer("cam")) for _ in range(50)]
        await asyncio.sleep(0.02)
        assert path._requests == 50
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert path._requests == 0


async def test_those_who_wait_for_one_path_are_bounded() -> None:
    network = FakeNetwork()
    network.answer = None
    async with running(network, limits=Limits(blocked_requests=10)) as (manager, path):
        tasks = [asyncio.create_task(manager.muxer("cam")) for _ in range(10)]
        await asyncio.sleep(0.02)
        with pytest.raises(NotReady, match="too many requests wait"):
            manager.muxer("cam").send(None)
        tasks.pop().cancel()
        await asyncio.sleep(0.02)
        tasks.append(asyncio.create_task(manager.muxer("cam")))
        await asyncio.sleep(0.02)
        assert path._waiting == 10
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert path._waiting == 0


async def test_unknown_path() -> None:
    async with running(FakeNetwork()) as (manager, _):
        with pytest.raises(PathNotFound, match="no path 'x"):
            await manager.muxer("x" * 5000)
        assert manager.get("x") is None


@pytest.mark.parametrize(("source", "reason"), [("publisher", "no source"), ("rtmp://u:hunter2-secret@h/", "'rtmp'")])
async def test_sources_that_cannot_be_read(source: str, reason: str, lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network, source=source) as (manager, path):
        with pytest.raises(PathNotFound, match=reason):
            await manager.muxer("cam")
        assert path.state == "failed"
        assert network.tries == 0
    assert "hunter2" not in "".join(lines)


# -- instant start --------------------------------------------------------


async def test_what_the_sdp_tells_is_answered_before_media_come() -> None:
    network = FakeNetwork()
    async with running(network, source_on_demand=True) as (manager, path):
        muxer = await manager.muxer("cam")
        assert network.cameras[0]._sent == 0
        assert path.state == "connecting"
        answer = muxer.get("index.m3u8")
        assert answer is not None
        assert answer.status == 200
        assert muxer.get("stream.m3u8") is None  # held
        (await network.camera()).send(3)
        assert path.muxer is muxer
        assert "#EXTINF" in await media_playlist(path)


async def test_parameter_sets_that_come_in_band_are_answered_before_a_sync_sample_comes() -> None:
    network = FakeNetwork()
    network.answer = lambda: FakeCamera((Track(0, "video", "h264", 90000, None),))
    async with running(network) as (_, path):
        camera = await network.camera()
        assert camera._take is not None
        assert path.muxer is None
        camera._take(fragment(0, (VIDEO,))._replace(is_sync=False))
        assert path.muxer is not None
        assert path.muxer.get("index.m3u8") is not None
        assert path.state == "connecting"


async def test_a_muxer_without_media_goes_with_the_connection(lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network, timing=Timing(), source_retry_pause=0.01) as (manager, path):
        for number in range(5):
            camera = await network.camera(number)
            if number < 3:
                assert (path.state, path.muxer is None) == ("connecting", False)
            else:
                assert (path.state, path.muxer) == ("failed", None)  # nobody is held for a camera that never sends
                with pytest.raises(PathNotFound, match="closed the connection"):
                    await manager.muxer("cam")
            camera.lose()
        (await network.camera(5)).send()
        assert path.state == "live"
    assert sum("created" in line and "muxer" in line for line in lines) == 1
    assert sum("destroyed" in line and "muxer" in line for line in lines) == 1


async def test_media_lost_before_the_first_segment_was_whole_are_a_gap() -> None:
    network = FakeNetwork()
    async with running(network, hls_segment_duration=20.0) as (manager, path):
        camera = await network.camera()
        camera.send(3)
        muxer = path.muxer
        assert muxer is not None
        assert not muxer.has_media
        network.answer = ConnectionLost("no route")
        camera.lose()
        await until(lambda: network.tries >= 4)
        assert path.state == "gap"
        assert manager.get("cam") is muxer


# -- failing --------------------------------------------------------------


async def test_three_tries_then_failed_then_slowly_on(lines: list[str]) -> None:
    network = FakeNetwork()
    network.answer = ConnectionLost("192.0.2.1:554 cannot be reached: connection refused")
    async with running(network, timing=Timing(), source_retry_pause=0.4) as (manager, path):
        await until(lambda: path.state == "failed")
        assert network.tries == 3
        with pytest.raises(PathNotFound, match="connection refused"):
            await manager.muxer("cam")
        network.answer = FakeCamera
        (await network.camera()).send()
        assert path.state == "live"
    # the same trouble is one error, not one a try
    assert sum(line.startswith("ERR") for line in lines) == 1


async def test_viewer_held_meets_the_failure() -> None:
    network = FakeNetwork()
    network.answer = None
    limits = Limits(connect_timeout=0.01, reply_timeout=0.0, udp_timeout=0.0)
    async with running(network, limits=limits) as (manager, path):
        path._timing = Timing(hold=5.0)
        with pytest.raises(PathNotFound, match="did not get so far"):
            await manager.muxer("cam")
        assert network.tries == 3


async def test_wrong_credentials_two_tries(lines: list[str]) -> None:
    network = FakeNetwork()
    network.answer = AuthenticationError("the camera refuses the credentials", status=401)
    async with running(network) as (manager, path):
        await until(lambda: path.state == "failed")
        assert network.tries == 2
        with pytest.raises(PathNotFound, match="credentials"):
            await manager.muxer("cam")
        await asyncio.sleep(0.04)
        assert network.tries == 2
        await until(lambda: network.tries >= 4)
        assert path.state == "failed"
    assert "hunter2" not in "".join(lines)


@pytest.mark.parametrize(
    ("error", "options", "told"),
    [
        (AuthenticationError("no, you"), {"source_refused_pause": 60.0}, r"no, you; the next try is within [3-6]0 s"),
        (ConnectionLost("no route"), {"source_on_demand": True}, "no route; the next try is within 30 s"),
        (ConnectionLost("no route"), {}, "no route"),
        # as long as nobody sets it to something else
        (UnsupportedError("the camera sends M-JPEG"), {"source_on_demand": True}, "the camera sends M-JPEG"),
    ],
)
async def test_viewers_are_told_when_the_next_try_is_if_not_soon(
    error: Exception, options: dict[str, Any], told: str
) -> None:
    network = FakeNetwork()
    network.answer = error
    async with running(network, timing=Timing(), **options) as (manager, path):
        with pytest.raises(PathNotFound, match=f"^{told}$"):
            await manager.muxer("cam")
        assert re.fullmatch(told, manager.reason("cam"))
        assert path.reason == str(error)


async def test_players_find_in_the_playlist_when_the_next_try_is_if_not_soon() -> None:
    network = FakeNetwork()
    async with running(network, source_refused_pause=60.0) as (_, path):
        camera = await network.camera()
        camera.send(3)
        muxer = path.muxer
        assert muxer is not None
        network.answer = AuthenticationError("no, you")
        camera.lose()
        await until(lambda: bool(muxer.session_data))
        assert path.state == "gap"
        next_try = datetime.fromisoformat(muxer.session_data["rtspkit.next-try"])
        assert path.next_try == pytest.approx(next_try.timestamp(), abs=0.01)
        network.answer = FakeCamera
        path._hurried.set()
        (await network.camera(1)).send()
        assert path.state == "live"
        assert not muxer.session_data


async def test_nothing_usable_fails_at_once() -> None:
    network = FakeNetwork()
    network.answer = UnsupportedError("the camera offers nothing usable: track 1 (H265)")
    async with running(network, source_retry_pause=60.0) as (manager, path):
        await until(lambda: path.state == "failed")
        assert network.tries == 1
        with pytest.raises(PathNotFound, match="H265"):
            await manager.muxer("cam")


async def test_reason_shows_no_password() -> None:
    network = FakeNetwork()
    network.answer = OSError(f"bad address {SOURCE}\nreally")
    async with running(network) as (_, path):
        await until(lambda: path.state == "failed")
        assert path.reason == "bad address rtsp://admin:***@192.0.2.1/stream1 really"


async def test_an_error_of_our_own_is_no_end(lines: list[str]) -> None:
    network = FakeNetwork()
    network.answer = ZeroDivisionError("oops")
    async with running(network) as (_, path):
        await until(lambda: path.state == "failed")
        network.answer = FakeCamera
        (await network.camera()).send()
        assert path.state == "live"
    assert "ERR [path cam] [RTSP source] internal error" in lines


async def test_directory_that_cannot_be_written(tmp_path: FilePath) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    network = FakeNetwork()
    configs = {
        "bad": PathConfig(source=SOURCE, hls_directory=str(blocked)).model_copy(update=QUICK_RETRIES),
        "good": PathConfig(source=SOURCE, hls_directory=str(tmp_path / "good"), hls_segment_duration=1.0),
    }
    manager = PathManager(configs, connect=network.connect, timing=QUICK)
    manager.start()
    try:

        async def feed() -> None:
            while True:
                for camera in network.cameras:
                    if not camera.is_closed and camera._take is not None:
                        camera.send()
                await asyncio.sleep(0.01)

        feeding = asyncio.create_task(feed())
        with pytest.raises(PathNotFound, match=r"cannot write segments to the directory .*bad"):
            await manager.muxer("bad")
        await manager.muxer("good")
        await until(lambda: len(os.listdir(tmp_path / "good" / "good")) > 2)
        feeding.cancel()
    finally:
        await manager.close()


async def test_a_camera_that_is_back_has_the_others_tried_again_that_were_lost_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A switch was away for minutes: nobody waits out his back-off."""
    monkeypatch.setattr("rtspkit.server.paths.HURRY", 0.01)
    patient = {"source_tries": 1, "source_retry_pause": 1e6, "source_retry_pause_max": 1e6, "source_refused_pause": 1e6}
    answers: dict[str, Any] = {
        "first": ConnectionLost("no route"),
        "lost": ConnectionLost("no route"),
        "refused": AuthenticationError("no"),
        "busy": ResponseError("no", status=453),
    }
    networks = {name: FakeNetwork() for name in answers}
    for name, network in networks.items():
        network.answer = answers[name]

    def connect(url: str, **options: Any) -> Any:
        return networks[url.rpartition("/")[2]].connect(url, **options)

    configs = {name: PathConfig(source=f"rtsp://192.0.2.1/{name}").model_copy(update=patient) for name in networks}
    manager = PathManager(configs, connect=connect, timing=QUICK)
    manager.start()
    try:
        await until(lambda: all(path.state == "failed" for path in manager))
        tries = {name: network.tries for name, network in networks.items()}
        networks["first"].answer = networks["lost"].answer = FakeCamera
        found = manager.find("first")
        assert found is not None
        found._hurried.set()  # its time has come
        back = await networks["first"].camera()
        await asyncio.sleep(0.05)
        assert networks["lost"].tries == tries["lost"]  # one that sends nothing is not back
        back.send()
        (await networks["lost"].camera()).send()
        await asyncio.sleep(0.05)
        assert networks["refused"].tries == tries["refused"]
        assert networks["busy"].tries == tries["busy"]
    finally:
        await manager.close()


# -- on demand ------------------------------------------------------------


async def test_on_demand(lines: list[str]) -> None:
    network = FakeNetwork()
    options = {"source_on_demand": True, "hls_muxer_close_after": 0.4, "source_on_demand_close_after": 0.05}
    async with running(network, **options) as (manager, path):
        await asyncio.sleep(0.05)
        assert path.state == "idle"
        assert network.tries == 0
        for number in range(2):
            waiting = asyncio.create_task(manager.muxer("cam"))
            camera = await network.camera(number)
            camera.send()
            muxer = await waiting
            for _ in range(6):  # as long as somebody asks, it stays
                await asyncio.sleep(0.05)
                path.enter()
                path.leave()
                assert path.state == "live"
            asked = time.monotonic()
            await until(lambda: path.state == "idle")
            assert 0.39 < time.monotonic() - asked < 2  # the longer of the two settings
            await until(lambda camera=camera: camera.is_closed)
            response = muxer.get("index.m3u8")
            assert response is not None
            assert response.status == 503
        assert network.tries == 2
    assert "INF [path cam] [RTSP source] started on demand" in lines
    assert "INF [HLS] [muxer cam] destroyed: not used anymore" in lines


async def test_on_demand_a_request_that_is_being_answered_keeps_the_camera() -> None:
    network = FakeNetwork()
    options = {"source_on_demand": True, "hls_muxer_close_after": 0.05, "source_on_demand_close_after": 0.05}
    async with running(network, **options) as (manager, path):
        waiting = asyncio.create_task(manager.muxer("cam"))
        (await network.camera()).send()
        await waiting
        path.enter()
        await asyncio.sleep(0.25)
        assert path.state == "live"
        path.leave()
        await until(lambda: path.state == "idle")


async def test_on_demand_connecting_stops_when_the_viewer_is_gone() -> None:
    network = FakeNetwork()
    network.answer = None
    options = {"source_on_demand": True, "hls_muxer_close_after": 0.05, "source_on_demand_close_after": 0.05}
    async with running(network, **options) as (manager, path):
        waiting = asyncio.create_task(manager.muxer("cam"))
        await asyncio.sleep(0.02)
        waiting.cancel()
        await until(lambda: path.state == "idle")


async def test_media_that_come_on_the_way_out_do_not_start_a_stopped_path() -> None:
    network = FakeNetwork()
    options = {"source_on_demand": True, "hls_muxer_close_after": 0.05, "source_on_demand_close_after": 0.05}
    async with running(network, **options) as (manager, path):
        waiting = asyncio.create_task(manager.muxer("cam"))
        camera = await network.camera()
        camera.hands_over = True
        waiting.cancel()
        await until(lambda: camera.is_closed)
        assert camera._sent == 1
        assert (path.state, path.muxer) == ("idle", None)


async def test_on_demand_failed_lasts_a_while_then_the_next_viewer_starts_anew() -> None:
    network = FakeNetwork()
    network.answer = ConnectionLost("no route")
    async with running(network, source_on_demand=True) as (manager, path):
        for tries in (3, 6):
            with pytest.raises(PathNotFound, match="no route"):
                await manager.muxer("cam")
            assert network.tries == tries
            with pytest.raises(PathNotFound):  # at once, that is without ever waiting, and without a new try
                manager.muxer("cam").send(None)
            assert network.tries == tries
            await until(lambda: path.state == "idle")
            assert "no route" in path.reason


async def test_viewer_who_comes_while_the_camera_is_let_go() -> None:
    network = FakeNetwork()
    options = {"source_on_demand": True, "hls_muxer_close_after": 0.05, "source_on_demand_close_after": 0.05}
    async with running(network, **options) as (manager, path):
        first = asyncio.create_task(manager.muxer("cam"))
        camera = await network.camera()
        camera.close_takes = 0.3
        camera.send()
        await first
        await until(lambda: path.state == "idle")
        assert not camera.is_closed
        again = asyncio.create_task(manager.muxer("cam"))
        path.enter()
        second = await network.camera(1)
        second.send()
        assert await again is path.muxer
        await until(lambda: camera.is_closed)
        assert path.source.camera is second  # type: ignore[comparison-overlap]


# -- losing the camera ----------------------------------------------------


async def test_gap_and_back_on_the_same_playlist() -> None:
    network = FakeNetwork()
    async with running(network) as (manager, path):
        camera = await network.camera()
        camera.send(3)
        muxer = path.muxer
        network.answer = ConnectionLost("no route")
        camera.lose()
        await until(lambda: path.state == "gap")
        assert "closed the connection" in path.reason or "no route" in path.reason
        assert await manager.muxer("cam") is muxer
        await until(lambda: network.tries >= 6)  # more than three: a playlist that is watched is not given up
        assert path.state == "gap"
        network.answer = FakeCamera
        (await network.camera(1)).send(3)
        assert path.state == "live"
        assert path.muxer is muxer
        assert (await media_playlist(path)).count("#EXT-X-DISCONTINUITY\n") == 1
        assert camera.is_closed


async def test_gap_does_not_last_forever() -> None:
    network = FakeNetwork()
    async with running(network, gap_keep_alive=0.1) as (manager, path):
        camera = await network.camera()
        camera.send(3)
        epoch = path.muxer.epoch if path.muxer else ""
        network.answer = ConnectionLost("no route")
        camera.lose()
        await until(lambda: path.state == "failed")
        with pytest.raises(PathNotFound, match=r"no route|away for 0\.1 s: 192"):
            await manager.muxer("cam")
        network.answer = FakeCamera
        (await network.camera(1)).send(3)
        assert path.state == "live"
        assert path.muxer is not None
        assert path.muxer.epoch != epoch


async def test_gap_on_demand_ends_the_tries() -> None:
    network = FakeNetwork()
    async with running(network, gap_keep_alive=0.05, source_on_demand=True) as (manager, path):
        waiting = asyncio.create_task(manager.muxer("cam"))
        camera = await network.camera()
        camera.send(3)
        await waiting
        network.answer = ConnectionLost("no route")
        camera.lose()
        await until(lambda: path.state == "failed")
        await asyncio.sleep(0.01)
        tries = network.tries
        await until(lambda: path.state == "idle")
        assert network.tries == tries


async def test_gap_lasts_where_credentials_are_refused() -> None:
    """Who has been playing gets no 4xx while the camera is away; the camera is not asked too often all the same."""
    network = FakeNetwork()
    async with running(network, gap_keep_alive=0.3, source_refused_pause=60.0) as (manager, path):
        camera = await network.camera()
        camera.send(3)
        muxer = path.muxer
        network.answer = AuthenticationError("the camera refuses the credentials")
        lost = time.monotonic()
        camera.lose()
        await until(lambda: path.state == "gap")
        while path.state == "gap":
            assert manager.get("cam") is muxer
            await asyncio.sleep(0.01)
        assert time.monotonic() - lost >= 0.29
        assert path.state == "failed"
        assert network.tries == 3
        with pytest.raises(PathNotFound, match=r"away for 0\.3 s: the camera refuses the credentials"):
            await manager.muxer("cam")


async def test_gap_on_demand_where_credentials_are_refused_is_not_forgiven_soon() -> None:
    network = FakeNetwork()
    timing = replace(QUICK, failed=0.01)
    options = {"gap_keep_alive": 0.1, "source_on_demand": True, "source_refused_pause": 60.0}
    async with running(network, timing, **options) as (manager, path):
        waiting = asyncio.create_task(manager.muxer("cam"))
        camera = await network.camera()
        camera.send(3)
        await waiting
        network.answer = AuthenticationError("the camera refuses the credentials")
        camera.lose()
        await until(lambda: path.state == "failed")
        await asyncio.sleep(0.1)
        assert path.state == "failed"
        assert network.tries == 3


async def test_gap_on_demand_viewers_who_leave_do_not_have_refused_credentials_tried_again() -> None:
    network = FakeNetwork()
    options = {"hls_muxer_close_after": 0.1, "source_on_demand_close_after": 0.05, "source_refused_pause": 60.0}
    async with running(network, gap_keep_alive=60.0, source_on_demand=True, **options) as (manager, path):
        waiting = asyncio.create_task(manager.muxer("cam"))
        camera = await network.camera()
        camera.send(3)
        await waiting
        network.answer = AuthenticationError("the camera refuses the credentials")
        camera.lose()
        await until(lambda: network.tries == 3)
        await until(lambda: path.state == "failed")
        with pytest.raises(PathNotFound, match="refuses the credentials"):
            await manager.muxer("cam")
        assert network.tries == 3


async def test_a_camera_without_sync_samples_is_not_live() -> None:
    network = FakeNetwork()
    async with running(network) as (manager, path):
        camera = await network.camera()
        assert camera._take is not None
        for number in range(3):
            camera._take(fragment(number)._replace(is_sync=False))
        assert path.state == "connecting"
        assert not path.readable
        assert "no sync sample yet" in path.reason
        assert camera.asked_for_sync == 1
        assert manager.get("cam") is not None  # it answers the multivariant playlist
        assert manager.reason("cam") == path.reason
        camera.send()
        assert path.state == "live"


async def test_no_sync_sample_for_long_is_told_at_once(lines: list[str]) -> None:
    network = FakeNetwork()
    reason = r"^the camera has sent media for 0\.05 s, and no sync sample \(IDR picture\) among them$"
    async with running(network, replace(QUICK, hold=5.0), keyframe_timeout=0.05) as (manager, path):
        camera = await network.camera()
        assert camera._take is not None
        camera._take(fragment(0)._replace(is_sync=False))
        muxer = path.muxer
        await asyncio.sleep(0.06)
        for number in range(1, 4):
            camera._take(fragment(number)._replace(is_sync=False))
        assert (path.state, path.muxer) == ("connecting", None)
        started = time.monotonic()
        with pytest.raises(NotReady, match=reason):
            await manager.muxer("cam")
        assert time.monotonic() - started < 1
        camera.send()  # it comes at last
        assert path.state == "live"
        assert await manager.muxer("cam") is path.muxer is not muxer
        camera.lose()
        camera = await network.camera(1)
        assert camera._take is not None
        camera._take(fragment(0)._replace(is_sync=False))
        await asyncio.sleep(0.06)
        camera._take(fragment(1)._replace(is_sync=False))
        assert "no sync sample" in path.reason
        assert path.state == "gap"  # and whoever has been playing is kept
        assert manager.get("cam") is path.muxer is not None
    assert sum("no sync sample" in line and line.startswith("WAR") for line in lines) == 2


async def test_a_camera_that_offers_nothing_while_it_starts_keeps_its_viewers() -> None:
    network = FakeNetwork()
    async with running(network) as (manager, path):
        camera = await network.camera()
        camera.send(3)
        muxer = path.muxer
        network.answer = UnsupportedError("the camera offers nothing that can be used: no media at all")
        camera.lose()
        await until(lambda: network.tries >= 5)
        assert path.state == "gap"
        assert manager.get("cam") is muxer
        network.answer = FakeCamera
        (await network.camera(1)).send()
        assert (path.state, path.muxer) == ("live", muxer)


async def test_numbers_never_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A muxer follows another; the clock was set back in between."""
    network = FakeNetwork()
    async with running(network) as (_, path):
        for number in range(4):
            camera = await network.camera(number)
            camera.send(3)
            camera.lose()
            await until(lambda: path.state == "gap")
        assert path.muxer is not None
        continuation = path.muxer.continuation
        msn, discontinuity = continuation.msn, continuation.discontinuity
        now = time.time()
        monkeypatch.setattr("rtspkit.server.output.time.time", lambda: now - 3600)
        network.answer = lambda: FakeCamera((VIDEO, AUDIO))
        first = path.muxer
        (await network.camera(4)).lose()
        camera = await network.camera(5)
        camera.send(3)
        assert path.muxer is not first
        assert path.muxer.continuation.msn > msn
        assert path.muxer.continuation.discontinuity > discontinuity


async def test_other_tracks_need_a_new_muxer(lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network) as (_, path):
        camera = await network.camera()
        camera.send(2)
        muxer = path.muxer
        network.answer = lambda: FakeCamera((VIDEO, AUDIO))
        camera.lose()
        (await network.camera(1)).send()
        assert path.state == "live"
        assert path.muxer is not muxer
    assert "INF [HLS] [muxer cam] destroyed: the camera's tracks have changed" in lines


async def test_media_that_cannot_be_muxed_end_the_connection(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network) as (_, path):
        camera = await network.camera()
        camera.send()
        assert path.muxer is not None

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("oops")

        monkeypatch.setattr(path.muxer, "write", broken)
        camera.send(3)  # raises nothing: the tick behind it serves other cameras too
        await until(lambda: camera.is_closed)
        await until(lambda: path.state == "gap")
    assert lines.count("ERR [path cam] [RTSP source] internal error") == 1


async def test_an_error_while_stopping_does_not_keep_a_path_alive(lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network) as (manager, path):
        camera = await network.camera()
        camera.stats = lambda: 1 / 0  # type: ignore[assignment]
        task = path._task
        await manager.close()
        assert task is not None
        assert task.done()
    assert path.state == "idle"


async def test_a_clock_that_cannot_be_believed_is_told_of_once(lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network):
        camera = await network.camera()
        camera.quirks = ("annexb-in-rtp", "timestamps-stand")
        camera.send(3)
    assert [line for line in lines if "track 1" in line and "WAR" in line] == [
        "WAR [path cam] [RTSP source] track 1 (H264): Timestamps do not advance; times of arrival are used."
    ]


async def test_lost_packets_are_logged(lines: list[str]) -> None:
    network = FakeNetwork()
    async with running(network):
        camera = await network.camera()
        camera.send()
        camera.lost = 12
        camera.send()
        camera.lost = 13
        camera.send(2)
    assert [line for line in lines if "lost" in line] == [
        "WAR [path cam] [RTSP source] 12 RTP packets lost",
        "WAR [path cam] [RTSP source] 1 RTP packet lost",
    ]


# -- low latency ----------------------------------------------------------


async def test_each_camera_has_the_ticker_and_the_fragments_its_variant_needs() -> None:
    network = FakeNetwork()
    slow, quick = Ticker(0.1), Ticker(0.02)
    configs = {
        "plain": PathConfig(source=SOURCE, hls_part_duration=0.5),
        "quick": PathConfig(source=SOURCE, hls_variant="lowLatency", hls_part_duration=0.5),
    }
    manager = PathManager(configs, connect=network.connect, ticker=slow, quick_ticker=quick, timing=QUICK)
    manager.start()
    await until(lambda: len(network.how) == 2)
    await manager.close()
    assert [(options.low_latency, ticker) for options, ticker in network.how] == [(False, slow), (True, quick)]
    assert [options.fragment_duration for options, _ in network.how] == [1.0, 0.5]


async def test_the_camera_is_told_where_the_next_part_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FakeNetwork()
    told: list[int] = []
    monkeypatch.setattr(FakeCamera, "cut_at", lambda _, pts: told.append(pts), raising=False)
    async with running(network) as (_, path):
        camera = await network.camera()
        assert path.muxer is not None
        cuts = iter((None, 18_000, 36_000))
        monkeypatch.setattr(type(path.muxer), "next_cut", property(lambda _: next(cuts)))
        camera.send(3)
    assert told == [18_000, 36_000]


async def test_a_camera_nobody_watches_may_take_its_time() -> None:
    """Until somebody asks, who gets what has come up to then."""
    network = FakeNetwork()
    slow, quick = Ticker(0.1), Ticker(0.02)
    config = PathConfig(source=SOURCE, hls_variant="lowLatency", hls_part_duration=0.5)
    manager = PathManager({"cam": config}, connect=network.connect, ticker=slow, quick_ticker=quick, timing=QUICK)
    manager.start()
    path = manager.find("cam")
    assert path is not None
    path.viewers.window = 0.05
    camera = await network.camera()
    camera.send()
    assert not camera.latencies  # a player that was playing may come back
    await asyncio.sleep(0.06)
    path.enter()
    camera.send()
    path.leave()
    camera.send()
    assert not camera.latencies
    await asyncio.sleep(0.06)
    camera.send(2)
    assert camera.latencies == [(1.0, False, slow)]
    assert not camera.flushed
    path.enter()
    path.enter()
    assert camera.latencies[1:] == [(0.5, True, quick)]
    assert camera.flushed == 1
    await manager.close()


async def test_a_camera_without_low_latency_is_always_read_alike() -> None:
    network = FakeNetwork()
    async with running(network) as (_, path):
        path.viewers.window = 0.0
        camera = await network.camera()
        camera.send(2)
        path.enter()
    assert not camera.latencies


# -- all of them ----------------------------------------------------------


async def test_stopping_takes_less_than_two_seconds() -> None:
    network = FakeNetwork()
    configs = {f"cam{number}": PathConfig(source=SOURCE) for number in range(5)}
    manager = PathManager(configs, connect=network.connect, timing=QUICK)
    manager.start()
    await until(lambda: len(network.cameras) == 5 and all(camera._take for camera in network.cameras))
    network.cameras[0].close_takes = 60.0
    for camera in network.cameras:
        camera.send()
    started = time.monotonic()
    await manager.close()
    assert time.monotonic() - started < 2.0
    assert all(camera.is_closed for camera in network.cameras[1:])
    assert [path.state for path in manager] == ["idle"] * 5


async def test_counters_outlive_connections() -> None:
    network = FakeNetwork()
    async with running(network) as (_, path):
        camera = await network.camera()
        camera.send(3)
        assert path.source.inbound_bytes == 600
        camera.lose()
        (await network.camera(1)).send(2)
        assert path.source.inbound_bytes == 1000


async def test_numbers_are_kept_now_and_then_and_at_the_end(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtspkit.server.manager.INTERVAL", 0.1)
    file = tmp_path / "state.json"
    state = StateFile()
    state.load(file)
    network = FakeNetwork()
    manager = PathManager({"cam": PathConfig(source=SOURCE)}, connect=network.connect, timing=QUICK, state=state)
    manager.start()
    camera = await network.camera()
    camera.send(3)
    path = manager.find("cam")
    assert path is not None
    assert path.muxer is not None

    def stored() -> dict[str, int]:
        return dict(json.loads(file.read_bytes())["paths"]["cam"])

    # a number ahead of the one in use
    await until(lambda: file.exists() and stored()["msn"] >= path.muxer.continuation.msn)  # type: ignore[union-attr]
    camera.send(7)  # none of them news
    muxer = path.muxer
    await until(lambda: muxer.continuation.msn <= stored()["msn"] <= muxer.continuation.msn + 80)
    camera.send(2)
    last = muxer.continuation
    await manager.close()
    assert last.msn <= stored()["msn"] <= last.msn + 1
    assert last.discontinuity <= stored()["discontinuity"] <= last.discontinuity + 1


# -- viewers --------------------------------------------------------------


def test_viewers_are_limited_and_forgotten() -> None:
    viewers = Viewers(2, 10.0)
    assert viewers.admit("a", "x", 0.0) == (True, True)
    assert viewers.admit("a", "x", 1.0) == (True, False)
    assert viewers.admit("a", "y", 2.0) == (True, True)
    assert viewers.admit("b", "x", 3.0) == (False, False)
    assert viewers.admit("a", "x", 9.0) == (True, False)
    assert viewers.admit("b", "x", 12.5) == (True, True)  # a/y has left
    assert len(viewers.present(13.0)) == 2
    assert len({viewer.id for viewer in viewers.present(13.0)}) == 2
    assert viewers.present(30.0) == []


def test_viewers_without_a_limit_are_bounded_all_the_same() -> None:
    viewers = Viewers(0, 10.0)
    for number in range(10_100):
        assert viewers.admit(str(number), "x", 0.0)[0]
    assert len(viewers) == 10_000


async def test_a_place_is_kept_for_three_target_durations() -> None:
    network = FakeNetwork()
    async with running(network, max_readers=1, hls_segment_duration=6.0) as (_, path):
        assert path.viewers.window == 18.0
        camera = await network.camera()
        camera.send(15)
        assert path.admit("a", "x") == (True, True)
        assert path.admit("b", "x") == (False, False)
        assert path.viewers.window == 3.0 * (path.muxer.target_duration or 0 if path.muxer else 0)
