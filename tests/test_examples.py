"""The examples of the documents, run as a reader would run them: as programs, against the built-in test camera."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest
from real.decoders import streams
from real.parts import require_ffmpeg

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
CLIP = ROOT / "rtspkit" / "testing" / "data" / "testcamera.h264"


@pytest.fixture
async def camera() -> AsyncIterator[str]:
    """Its address."""
    from rtspkit.server.testcamera import TestCamera

    async with TestCamera(host="127.0.0.1", port=0) as camera:
        yield camera.url


@asynccontextmanager
async def program(name: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_each_example_is_short_and_tested() -> None:
    tested = set(re.findall(r'"(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    for example in EXAMPLES.glob("*.py"):
        assert example.name in tested
        assert len(example.read_text(encoding="utf-8").splitlines()) <= 35, example


async def test_units(camera: str) -> None:
    async with program("units.py", camera) as process:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    lines = output.decode().splitlines()
    assert process.returncode == 0, output.decode()
    assert lines[:2] == ["track 0: h264, 90000 ticks a second", "track 1: aac, 16000 ticks a second"]
    units = [re.fullmatch(r" *(-?\d+\.\d{3}) s  (video|audio) +(\d+) bytes  (sync)?", line) for line in lines[2:]]
    assert len(units) == 100
    assert all(units), lines
    assert {unit[2] for unit in units if unit} == {"video", "audio"}
    assert sum(unit[2] == "video" and unit[4] == "sync" for unit in units if unit) >= 1
    for kind in ("video", "audio"):
        times = [float(unit[1]) for unit in units if unit and unit[2] == kind]
        assert times == sorted(times)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("units.py", "rtsp://127.0.0.1:1/none"), "cannot be reached"),
        (("fastapi_app.py", "rtsp://127.0.0.1:1/none", "0"), "cannot be reached"),
        (("units.py",), "usage: python units.py"),
        (("fastapi_app.py",), "usage: python fastapi_app.py"),
        (("muxer_by_hand.py",), "usage: python muxer_by_hand.py"),
    ],
)
async def test_what_is_wrong_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    async with program(*arguments) as process:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert says in output.decode()
    assert output.decode().count("\n") == 1, output.decode()


async def test_fastapi_app(camera: str) -> None:
    async with program("fastapi_app.py", camera, "0") as process, httpx.AsyncClient(timeout=20) as client:
        assert process.stdout is not None
        address = None
        while address is None:
            line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
            assert line, "the example has ended"
            address = re.search(r"running on (http://\S+)", line)
        base = f"{address[1]}/hls/cam"
        master = await client.get(f"{base}/index.m3u8")
        assert master.status_code == 200
        assert "stream.m3u8" in master.text
        playlist = await client.get(f"{base}/stream.m3u8")
        assert playlist.status_code == 200, playlist.text
        for name in re.findall(r"\w+/\w+\.mp4", playlist.text):
            media = await client.get(f"{base}/{name}")
            assert media.status_code == 200
            assert media.content[4:8] in (b"ftyp", b"moof")
        assert (await client.get(f"{address[1]}/openapi.json")).status_code == 200, "the application's own routes"


@pytest.mark.real
def test_muxer_by_hand(tmp_path: Path) -> None:
    require_ffmpeg()
    command = [sys.executable, str(EXAMPLES / "muxer_by_hand.py"), str(CLIP), str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=30)
    (stream,) = streams(str(tmp_path / "index.m3u8"))
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", 1280, 720)
    decode = ["ffmpeg", "-v", "error", "-xerror", "-i", str(tmp_path / "index.m3u8"), "-f", "null", "-"]
    done = subprocess.run(decode, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["test_my_reader.py", "test_my_parser.py"])
async def test_tests_of_other_people(name: str, tmp_path: Path) -> None:
    """As theirs are run: from a folder of their own, with nothing of ours but what is installed."""
    installed = any(entry.name == "rtspkit" for entry in entry_points(group="pytest11"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [] if installed else ["-p", "rtspkit.testing.plugin"]
    (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
