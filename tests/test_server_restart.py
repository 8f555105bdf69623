"""The gateway killed, started again, and told to stop: what a player that was playing meets. Real processes."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from real.parts import free_port
from test_server_main import ROOT, Running, environment, write

from rtspkit.testing import ScriptedCamera, faults

pytestmark = pytest.mark.slow

VARIANTS = {"plain": "hlsVariant: fmp4\n", "quick": "hlsVariant: lowLatency\nhlsPartDuration: 200ms\n"}
HEALTHY = ("healthy0", "healthy1")


class ShyCamera(ScriptedCamera):
    """A camera that answers DESCRIBE only while `is_open`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def answer(self, client: Any, request: Any) -> Any:
        if request.method == "DESCRIBE":
            await self.is_open.wait()
        return await super().answer(client, request)


@dataclass
class Seen:
    """A media playlist, as a player reads it."""

    text: str

    def number(self, tag: str, default: int = 0) -> int:
        found = re.search(rf"#EXT-X-{tag}:(\d+)", self.text)
        return int(found[1]) if found else default

    @property
    def first(self) -> int:
        return self.number("MEDIA-SEQUENCE")

    @property
    def last(self) -> int:
        return self.first + self.text.count("#EXTINF") - 1

    @property
    def discontinuity(self) -> int:
        """Of the newest segment."""
        return self.number("DISCONTINUITY-SEQUENCE") + self.text.count("#EXT-X-DISCONTINUITY\n")

    @property
    def targets(self) -> tuple[int, str]:
        part = re.search(r"PART-TARGET=([\d.]+)", self.text)
        return self.number("TARGETDURATION"), part[1] if part else ""

    @property
    def media(self) -> str:
        return re.findall(r"(?m)^\w+/seg_\d+\.mp4$", self.text)[-1]


class Site:
    """One configuration and what comes and goes under it."""

    def __init__(
        self, directory: Path, camera: ScriptedCamera, variant: str, more: str, *healthy: ScriptedCamera
    ) -> None:
        self.port = free_port()
        text = f"hlsAddress: 127.0.0.1:{self.port}\nhlsSegmentDuration: 1s\n{variant}{more}"
        text += f"paths:\n  cam:\n    source: {camera.url}\n"
        text += "".join(f"  healthy{number}:\n    source: {one.url}\n" for number, one in enumerate(healthy))
        self.config = write(directory, text)
        self.state = directory / "state"
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=10)

    def run(self) -> Running:
        return Running(self.config, MTX_APIADDRESS="127.0.0.1:0", XDG_STATE_HOME=str(self.state))

    async def playlist(self, name: str = "cam") -> Seen:
        reply = await self.client.get(f"/{name}/stream.m3u8")
        assert reply.status_code == 200, reply.text
        return Seen(reply.text)

    async def playlist_of(self, segments: int, seconds: float = 20.0) -> Seen:
        """Once so many segments are listed whose media are there."""
        end = time.monotonic() + seconds
        while True:
            seen = await self.playlist()
            if len(re.findall(r"(?m)^\w+/seg_\d+\.mp4$", seen.text)) >= segments:
                return seen
            assert time.monotonic() < end, seen.text
            await asyncio.sleep(0.2)

    async def listening(self, seconds: float = 15.0) -> float:
        """Seconds until a connection is taken."""
        started = time.monotonic()
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert time.monotonic() - started < seconds, "nobody listens"
                await asyncio.sleep(0.005)
            else:
                writer.close()
                return time.monotonic() - started

    @property
    def stored(self) -> dict[str, Any]:
        (file,) = (self.state / "rtspkit").iterdir()
        found: dict[str, Any] = json.loads(file.read_bytes())["paths"]
        return found


@asynccontextmanager
async def site(directory: Path, variant: str, more: str = "") -> AsyncIterator[tuple[Site, ShyCamera]]:
    async with (
        ShyCamera() as camera,
        ScriptedCamera(transports=("tcp",)) as left,
        ScriptedCamera(transports=("tcp",)) as right,
    ):
        one = Site(directory, camera, variant, more, left, right)
        try:
            yield one, camera
        finally:
            camera.is_open.set()
            await one.client.aclose()


def start_time() -> float:
    """Seconds this machine needs, at present, for a program that only imports what the gateway does."""
    started = time.monotonic()
    code = "import rtspkit.server.__main__"
    subprocess.run([sys.executable, "-c", code], env=environment(), cwd=ROOT, check=True, timeout=60)
    return time.monotonic() - started


@pytest.mark.parametrize("variant", VARIANTS)
async def test_killed_and_started_again(tmp_path: Path, variant: str) -> None:
    usual = await asyncio.to_thread(start_time)
    async with site(tmp_path, VARIANTS[variant]) as (one, camera):
        before: list[Seen] = []
        with one.run() as running:
            await one.listening()
            await one.playlist()
            before.append(await one.playlist_of(2))
            await asyncio.sleep(0.3)
            before.append(await one.playlist())
            healthy = {name: await one.playlist(name) for name in HEALTHY}
            await asyncio.to_thread(running.end, signal.SIGKILL)
        for _ in range(2):  # and again, soon after
            old = before[-1]
            camera.is_open.clear()
            with one.run() as running:
                started = time.monotonic()
                took = await one.listening()
                assert took < 2 * usual + 0.5, (
                    f"the listener is up after {took:.2f} s; importing alone takes {usual:.2f}"
                )
                waiting = asyncio.ensure_future(one.client.get("/cam/stream.m3u8"))
                reply = await one.client.get(f"/cam/{old.media}")
                assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
                asked = time.monotonic()
                await asyncio.sleep(0.5)
                for name, seen in healthy.items():  # they wait for no other camera
                    again = await one.playlist(name)
                    assert again.first > seen.last
                    assert again.number("DISCONTINUITY-SEQUENCE") > seen.discontinuity
                    assert again.targets == seen.targets
                assert time.monotonic() - started < 6
                assert not waiting.done()  # it is held, though its camera has not answered yet
                camera.is_open.set()
                reply = await waiting
                assert reply.status_code == 200, reply.text
                assert time.monotonic() - asked < 8
                new = Seen(reply.text)
                assert new.first > old.last
                assert new.number("DISCONTINUITY-SEQUENCE") > old.discontinuity
                assert new.targets == old.targets
                assert (await one.client.get(f"/cam/{old.media}")).status_code == 503
                later = await one.playlist_of(2)
                assert later.targets == old.targets
                assert later.discontinuity < old.discontinuity + 50  # hls.js walks an array of that length
                before.append(later)
                healthy = {name: await one.playlist(name) for name in HEALTHY}
                await asyncio.to_thread(running.end, signal.SIGKILL)
        assert len({seen.text.split("/seg_")[0] for seen in before}) >= 3


async def test_target_durations_are_those_before(tmp_path: Path) -> None:
    """The camera comes back with another distance between sync samples: what players were told holds all the same."""
    async with site(tmp_path, VARIANTS["plain"]) as (one, _):
        with one.run() as running:
            await one.listening()
            seen = await one.playlist_of(2)
            target = seen.targets[0]
            await asyncio.sleep(0.3)
            await asyncio.to_thread(running.end, signal.SIGKILL)
        assert one.stored["cam"]["targetDuration"] == target
        file = next((one.state / "rtspkit").iterdir())
        file.write_text(file.read_text().replace(f'"targetDuration": {target}', f'"targetDuration": {target + 2}'))
        with one.run() as running:
            await one.listening()
            assert (await one.playlist()).targets[0] == target + 2
            assert (await asyncio.to_thread(running.end))[0] == 0


async def test_told_to_stop_it_answers_who_waits_and_keeps_the_numbers(tmp_path: Path) -> None:
    async with site(tmp_path, VARIANTS["quick"], more="hlsAlwaysRemux: no\n") as (one, camera):
        with one.run() as running:
            await one.listening()
            seen = await one.playlist_of(1)
            camera.faults = [faults.Mute()]  # so that nothing more comes for those who wait
            await asyncio.sleep(0.3)
            last = await one.playlist()
            request = f"GET /cam/stream.m3u8?_HLS_msn={last.last + 2} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            viewers = []
            for _ in range(300):
                reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
                writer.write(request)
                viewers.append((reader, writer))
            await asyncio.sleep(0.3)
            ending = asyncio.create_task(asyncio.to_thread(running.end))
            answers = await asyncio.gather(*(reader.read(12) for reader, _ in viewers))
            status, took = await ending
            for _, writer in viewers:
                writer.close()
        assert (status, took < 2.0) == (0, True), f"status {status} after {took:.1f} s:\n{running.log}"
        assert set(answers) == {b"HTTP/1.1 503"}
        assert "Traceback" not in running.log
        stored = one.stored["cam"]
        assert last.last < stored["msn"] <= last.last + 20
        assert last.discontinuity < stored["discontinuity"] <= last.discontinuity + 3
        assert stored["targetDuration"] == seen.targets[0]
        with one.run() as running:
            await one.listening()
            camera.faults = []
            again = await one.playlist()
            assert again.first > last.last
            assert again.discontinuity > last.discontinuity
            assert again.targets == seen.targets


async def test_told_to_stop_while_the_camera_does_not_answer(tmp_path: Path) -> None:
    async with site(tmp_path, VARIANTS["plain"]) as (one, camera):
        camera.is_open.clear()
        with one.run() as running:
            await one.listening()
            viewers = [asyncio.ensure_future(one.client.get("/cam/index.m3u8")) for _ in range(20)]
            await asyncio.sleep(0.3)
            status, took = await asyncio.to_thread(running.end)
            replies = await asyncio.gather(*viewers)
        assert (status, took < 2.0) == (0, True)
        assert {reply.status_code for reply in replies} == {503}
        assert {reply.headers["retry-after"] for reply in replies} == {"1"}
        assert {reply.text for reply in replies} == {"the gateway is stopping\n"}
        assert set(one.stored) == set(HEALTHY)  # of this one nothing was ever played


async def test_a_state_that_cannot_be_kept_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    async with site(tmp_path, VARIANTS["plain"]) as (one, _):
        with one.run() as running:
            await one.listening()
            assert (await one.playlist()).last
            status, _ = await asyncio.to_thread(running.end)
        assert status == 0
        assert running.log.count("WAR [state]") == 1
