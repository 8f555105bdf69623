"""Log lines: their form, and what must never get into one."""

import asyncio
import contextlib
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtspkit.server import log


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    yield
    log.setup(destinations=())


class Stdout:
    """What has been written so far."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture
        self.text = ""

    def getvalue(self) -> str:
        self.text += self.capture.readouterr().out
        return self.text


@pytest.fixture
def stdout(capsys: pytest.CaptureFixture[str]) -> Stdout:
    return Stdout(capsys)


def test_form(stdout: Stdout) -> None:
    log.setup(level="debug")
    log.logger("HLS", "muxer cam_2").info("is converting into HLS, %s", "1 track (H264)")
    log.logger("path cam").debug("x")
    log.logger("path cam", "RTSP source").warning("12 RTP packets lost")
    log.logger().error("100%% of it is %s", "100%")
    lines = stdout.getvalue().splitlines()
    assert all(re.match(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (DEB|INF|WAR|ERR) ", line) for line in lines)
    assert [line[20:] for line in lines] == [
        "INF [HLS] [muxer cam_2] is converting into HLS, 1 track (H264)",
        "DEB [path cam] x",
        "WAR [path cam] [RTSP source] 12 RTP packets lost",
        "ERR 100% of it is 100%",
    ]


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warn", 2), ("error", 1)])
def test_levels(stdout: Stdout, level: str, count: int) -> None:
    log.setup(level=level)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.logger("a").log(number, "x")
    assert len(stdout.getvalue().splitlines()) == count


def test_structured(stdout: Stdout) -> None:
    log.setup(structured=True)
    log.logger("path cam").warning('a "quoted"\nword')
    entry = json.loads(stdout.getvalue())
    assert list(entry) == ["timestamp", "level", "message"]
    assert entry["level"] == "WAR"
    assert entry["message"] == '[path cam] a "quoted"\\nword'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+[+-]\d\d:\d\d", entry["timestamp"])


@pytest.mark.parametrize("structured", [False, True])
def test_what_a_peer_says_cannot_make_a_line_of_its_own(stdout: Stdout, structured: bool) -> None:
    log.setup(structured=structured)
    # the last one is half of a surrogate pair, which no encoding takes
    nasty = "a\r\n2026/01/08 10:00:05 INF fake\x1b[31m\x00\x85\u2028\u202e\x7f\ud800"
    log.logger("path x\ny").error("%s", nasty)
    text = stdout.getvalue()
    assert len(text.splitlines()) == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
    shown = json.loads(text)["message"] if structured else text
    assert r"a\r\n2026/01/08 10:00:05 INF fake\x1b[31m\x00\x85\u2028\u202e\x7f\ud800" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:hunter2@cam/x failed", "rtsp://admin:***@cam/x failed"),
        ("rtsp://admin:a@b:c@cam:554/x", "rtsp://admin:***@cam:554/x"),
        ("got rtsp://u:p@h, and rtsp://u:q@h.", "got rtsp://u:***@h, and rtsp://u:***@h."),
        ("rtsp://cam:554/x@y", "rtsp://cam:554/x@y"),
        ("it said s3cret-word here", "it said *** here"),
        ("rtsp://cam:554/x", "rtsp://cam:554/x"),
    ],
)
def test_redaction(text: str, shown: str) -> None:
    assert log.Redactor({"s3cret-word", "abc"})(text) == shown


def test_planted_secrets(stdout: Stdout) -> None:
    log.setup(level="debug", secrets={"correct horse", "tiny"})
    log.logger().error("%s", "the camera says: correct horse")
    try:
        raise RuntimeError("rtsp://a:correct horse@b/")
    except RuntimeError:
        log.logger().exception("internal error")
    assert "correct horse" not in stdout.getvalue()
    assert "internal error: RuntimeError: rtsp://a:***@b/" in stdout.getvalue()


def test_traceback_is_for_debugging_only(stdout: Stdout) -> None:
    for level in ("info", "debug"):
        log.setup(level=level)
        try:
            raise RuntimeError("no")
        except RuntimeError:
            log.logger().exception("internal error")
        assert ("Traceback" in stdout.getvalue()) == (level == "debug")


def test_file(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    for _ in range(2):
        log.setup(destinations=("file",), file=str(file))
        log.logger().info("hello")
    assert len(file.read_text().splitlines()) == 2
    with pytest.raises(OSError, match="No such file"):
        log.setup(destinations=("file",), file=str(tmp_path / "none" / "a.log"))


def test_uvicorn_speaks_through_us(stdout: Stdout) -> None:
    log.setup()
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.info("Started server process")
    uvicorn.warning("Invalid HTTP request received.")
    uvicorn.error("Exception in ASGI application\n")
    assert [line[20:] for line in stdout.getvalue().splitlines()] == ["ERR [HTTP] Exception in ASGI application\\n"]


async def test_lines_of_one_turn_of_the_loop_are_written_together(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    log.setup(destinations=["file"], file=str(file))
    log.logger("a").info("one")
    log.logger("b").info("two")
    assert file.read_text() == ""
    await asyncio.sleep(0)
    assert file.read_text().count("\n") == 2
    log.logger("a").info("three")
    log.setup(destinations=())  # closes it
    assert file.read_text().count("\n") == 3
    await asyncio.sleep(0)


def test_lines_outside_a_loop_and_of_another_loop_are_written(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    log.setup(destinations=["file"], file=str(file))

    async def say(word: str) -> None:
        log.logger("a").info(word)

    async def say_and_wait(word: str) -> None:
        await say(word)
        await asyncio.sleep(0)

    asyncio.run(say("one"))  # which ends before it could write
    asyncio.run(say_and_wait("two"))
    assert [line[-3:] for line in file.read_text().splitlines()] == ["one", "two"]
    log.logger("a").info("now")
    assert file.read_text().endswith("now\n")


async def test_a_reader_of_stdout_that_went_away_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = open(writing, "w", encoding="utf-8")  # noqa: SIM115, ASYNC230 - it cannot be closed cleanly
    monkeypatch.setattr("sys.stdout", stream)
    log.setup()
    troubles: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
    log.logger("a").info("one")
    await asyncio.sleep(0.01)
    assert troubles == []
    log.setup(destinations=())
    with contextlib.suppress(OSError):
        stream.close()


def test_what_goes_wrong_again_and_again_is_said_ever_more_rarely() -> None:
    """Every five seconds for six hours: at first, after one, two, four ... minutes, and once an hour."""
    repeats = log.Repeats()
    said = [(at, line) for at in range(0, 6 * 3600, 5) if (line := repeats.line("connection refused", at))]
    assert said[:4] == [
        (0, "connection refused"),
        (60, "connection refused (12 more times in a minute)"),
        (180, "connection refused (24 more times in 2 minutes)"),
        (420, "connection refused (48 more times in 4 minutes)"),
    ]
    assert [at for at, _ in said[4:]] == [900, 1860, 3780, 7380, 10980, 14580, 18180]
    assert said[-1][1] == "connection refused (720 more times in 60 minutes)"


def test_what_goes_wrong_otherwise_is_said_at_once() -> None:
    repeats = log.Repeats()
    said = [repeats.line("first" if at % 2 else "second", at) for at in range(60)]
    assert [line for line in said if line] == ["second", "first"]
    assert repeats.line("first", 600) == "first (30 more times in 10 minutes)"
    assert repeats.line("first", 3600) == "first (1 more time in 50 minutes)"
    repeats.forget()
    assert repeats.line("first", 3601) == "first"
    for number in range(100):  # a camera may write what it likes
        assert repeats.line(f"error {number}", 3602) == f"error {number}"
    assert repeats.line("first", 3603) == "first"
