"""`rtspkit probe` as a process: what it prints, and its exit statuses."""

import asyncio
import json
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from rtspkit.recording import load
from rtspkit.testing import Digest, ScriptedCamera

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "TERM": "dumb"}
DEAD = "rtsp://127.0.0.1:1/live"


async def run(
    *arguments: str, stdout: int = asyncio.subprocess.PIPE, stderr: int = asyncio.subprocess.PIPE, **more: str
) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rtspkit.server",
        "probe",
        *arguments,
        stdout=stdout,
        stderr=stderr,
        env={**ENVIRONMENT, **more},
    )
    out, errors = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode is not None
    return process.returncode, (out or b"").decode(), (errors or b"").decode()


async def test_a_camera_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "camera.rec"
    async with ScriptedCamera(credentials=Digest("admin", "hunter2")) as camera:
        status, out, errors = await run(
            camera.url_with_credentials, "--seconds", "1", "--transport", "tcp", "--save", str(path)
        )
    assert status == 0, errors
    lines = out.splitlines()
    assert lines[0] == camera.url.replace("rtsp://", "rtsp://admin:***@")
    assert re.match(r"PLAYS +in Chrome, Edge, Firefox and Safari, over HLS$", lines[2])
    assert "\x1b" not in out
    assert errors == f"recorded in {path}\n"
    assert "hunter2" not in out + path.read_text()
    assert load(path).events


async def test_json() -> None:
    async with ScriptedCamera() as camera:
        status, out, errors = await run(camera.url, "--json", "--seconds", "1")
    assert (status, errors) == (0, "")
    report = json.loads(out)
    assert report["schema"] == 1
    assert report["plays"] is True
    assert [track["codec"] for track in report["tracks"]] == ["h264", "aac"]


async def test_json_of_a_dead_one() -> None:
    status, out, errors = await run(DEAD, "--json")
    assert (status, errors) == (1, "")
    report = json.loads(out)
    assert (report["plays"], report["problem"]["id"], report["tracks"]) == (False, "refused", [])


async def test_a_camera_that_does_not() -> None:
    status, out, errors = await run(DEAD)
    assert (status, errors) == (1, "")
    assert "DOES NOT PLAY   127.0.0.1 is there, but nothing listens on port 1" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument"),
        (("http://admin:hunter2@camera/",), "such as rtsp://user:password@192.168.1.100:554/stream1"),
        (("admin:hunter2@camera/live",), "a camera URL begins with rtsp://"),
        ((DEAD, "--seconds", "0"), "seconds"),
        ((DEAD, "--transport", "pigeon"), "pigeon"),
        ((DEAD, "--fingerprint", "abc"), "64 hexadecimal digits"),
        ((DEAD, "--save", "/nowhere/at/all.rec"), "/nowhere/at/all.rec cannot be written: No such file or directory"),
        ((DEAD, "another"), "another"),
    ],
)
async def test_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    status, out, errors = await run(*arguments)
    assert (status, out) == (2, "")
    assert message in errors
    assert "Traceback" not in errors
    assert "hunter2" not in errors


async def test_a_terminal_has_colours() -> None:
    master, slave = pty.openpty()
    try:
        status, _, _ = await run(DEAD, stdout=slave, TERM="xterm-256color", COLUMNS="40")
        shown = os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert status == 1
    assert re.search(r"\x1b\[1;31mDOES NOT PLAY ", shown)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "try             - See in the camera's network settings which port RTSP has; 554 is usual.\r\n" in plain


async def test_a_terminal_is_told_how_long_to_wait() -> None:
    master, slave = pty.openpty()
    try:
        _, out, _ = await run(DEAD, "--seconds", "2", stderr=slave, TERM="xterm-256color")
        shown = os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert "connecting to 127.0.0.1:1, then listening for 2 s …" in shown
    assert "listening" not in out


async def test_help_is_there() -> None:
    status, out, _ = await run("--help")
    assert status == 0
    for option in ("--json", "--seconds", "--transport", "--fingerprint", "--save"):
        assert option in out
