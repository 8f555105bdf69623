"""`python -m rtspkit.server` as a process: what it prints, how it ends."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rtspkit._version import __version__

ROOT = Path(__file__).resolve().parent.parent
#: Free ports, whoever else runs here.
FREE = {"MTX_HLSADDRESS": "127.0.0.1:0", "MTX_APIADDRESS": "127.0.0.1:0"}
#: As if neither had been installed, as on 32-bit ARM.
PLAIN = (
    "import sys, importlib.util as u; sys.modules.update(uvloop=None, httptools=None); f = u.find_spec\n"
    "u.find_spec = lambda n, *a: None if n == 'httptools' else f(n, *a)\n"
    "from rtspkit.server.__main__ import main; main()"
)


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MTX_")}
    return {**own, "PYTHONPATH": str(ROOT), "TERM": "dumb", **more}


def run(*arguments: str, cwd: Path = ROOT, **more: str) -> "subprocess.CompletedProcess[str]":
    """A run that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "rtspkit.server", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(**more),
        cwd=cwd,
        check=False,
    )


class Running:
    """A gateway that is made to end with its test."""

    def __init__(self, *arguments: str, code: str | None = None, **more: str) -> None:
        program = ["-m", "rtspkit.server"] if code is None else ["-c", code]
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**more),
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = 15.0) -> "re.Match[str]":
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log)):
            assert time.monotonic() < end, f"no {pattern!r} in:\n{self.log}"
            time.sleep(0.02)
        return found

    def port(self, name: str) -> int:
        return int(self.wait_for(rf"\[{name}\] started with listener on \S*:(\d+) \(TCP/HTTP\)")[1])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Exit status, and the seconds it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(10)
        took = time.monotonic() - started
        self.reader.join(5)
        return status, took

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


def holding(port: int, seconds: float = 10.0) -> socket.socket:
    """A listener on that port; skips the test if another program keeps it, which may let it go at any moment."""
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if time.monotonic() > end:
                pytest.skip(f"another program has port {port}")
        time.sleep(0.1)


def write(directory: Path, text: str) -> str:
    file = directory / "config.yml"
    file.write_text(text)
    return str(file)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    """The test camera, as a newcomer starts it."""
    with Running(**FREE) as running:
        running.wait_for("is converting into HLS")
        yield running
        status, took = running.end()
        assert status == 0
        assert took < 2.0


# -- what ends at once ----------------------------------------------------


def test_version() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"rtspkit {__version__}\n")


def test_help_names_the_address() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert "http://localhost:8888/test/" in result.stdout


def test_check(tmp_path: Path) -> None:
    result = run("--check", write(tmp_path, "record: yes\npaths:\n  cam:\n    source: rtsp://h/x\n"))
    assert result.returncode == 0
    assert "all right, 1 path(s)" in result.stdout
    assert result.stderr.startswith("warning: ")
    assert "config.yml:1: 'record' has no effect" in result.stderr


@pytest.mark.parametrize("option", [[], ["--check"]])
def test_wrong_configuration_is_one_line_and_status_2(tmp_path: Path, option: list[str]) -> None:
    write(tmp_path, "paths:\n  cam_2:\n    sourse: rtsp://u:hunter2@h/\n")
    result = run(*option, "config.yml", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "config.yml:3: path 'cam_2': unknown key 'sourse' (did you mean 'source'?)\n"


def test_missing_file() -> None:
    result = run("no-such-file.yml")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "no-such-file.yml: cannot be read: No such file or directory\n"


def test_terminal_codes_in_a_file_do_nothing(tmp_path: Path) -> None:
    result = run(write(tmp_path, '"\\e[31mred\\r\\nx": 1\n'))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr


def test_log_file_that_cannot_be_opened(tmp_path: Path) -> None:
    result = run(write(tmp_path, f"logDestinations: [file]\nlogFile: {tmp_path}/none/a.log\n"), **FREE)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "none/a.log cannot be written: No such file or directory" in result.stderr


@pytest.mark.parametrize(("key", "name"), [("hlsAddress", "HLS"), ("apiAddress", "API")])
def test_port_in_use_is_one_line_and_status_1(tmp_path: Path, key: str, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        more = {variable: value for variable, value in FREE.items() if variable != f"MTX_{key.upper()}"}
        result = run(write(tmp_path, f"{key}: 127.0.0.1:{port}\npaths: {{cam: }}\n"), **more)
    assert result.returncode == 1
    (line,) = (line for line in result.stdout.splitlines() if " ERR " in line)
    assert f"ERR [{name}] cannot listen on 127.0.0.1:{port}: port {port} is in use by another program; " in line
    assert key in line
    assert "Traceback" not in result.stdout + result.stderr


def test_port_in_use_without_a_configuration_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(**{**FREE, "MTX_HLSADDRESS": f"127.0.0.1:{port}"})
    assert result.returncode == 1
    (line,) = (line for line in result.stdout.splitlines() if " ERR " in line)
    assert "MTX_HLSADDRESS=:8889" in line


def test_missing_package_is_one_line() -> None:
    code = "import sys; sys.modules['starlette'] = None; import runpy; runpy.run_module('rtspkit.server.__main__')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False, timeout=30
    )
    assert result.returncode == 1
    assert result.stderr == (
        "the gateway needs starlette, which is not installed: pip install '.[server]' in rtspkit's sources\n"
    )


# -- what runs ------------------------------------------------------------


def test_without_a_configuration_the_test_camera_plays(gateway: Running) -> None:
    match = gateway.wait_for(r"Open (http://localhost:(\d+)/test/) in a browser")
    assert int(match[2]) == gateway.port("HLS")
    page = httpx.get(match[1].replace("localhost", "127.0.0.1"))
    assert page.status_code == 200
    assert "<video" in page.text
    playlist = httpx.get(f"http://127.0.0.1:{gateway.port('HLS')}/test/stream.m3u8", timeout=10)
    assert "#EXTINF" in playlist.text
    item = httpx.get(f"http://127.0.0.1:{gateway.port('API')}/v3/paths/get/test").json()
    assert item["tracks"] == ["H264", "MPEG-4 Audio"]
    assert item["state"] == "live"


def test_log_lines(gateway: Running) -> None:
    httpx.get(f"http://127.0.0.1:{gateway.port('HLS')}/test/stream.m3u8", timeout=10)
    for pattern in (
        r"INF \[HLS\] started with listener on 127\.0\.0\.1:\d+ \(TCP/HTTP\)",
        r"INF \[path test\] \[RTSP source\] started",
        r"INF \[RTSP\] \[conn 127\.0\.0\.1:\d+\] opened",
        r"INF \[RTSP\] \[session \w+\] created by 127\.0\.0\.1:\d+",
        r"INF \[RTSP\] \[session \w+\] is reading from path 'test', 2 tracks with TCP",
        r"INF \[path test\] stream is available and online, 2 tracks \(H264, MPEG-4 Audio\)",
        r"INF \[HLS\] \[muxer test\] created (automatically|\(requested by 127\.0\.0\.1:\d+\))",
        r"INF \[HLS\] \[muxer test\] is converting into HLS, 2 tracks \(H264, MPEG-4 Audio\)",
        r"INF \[HLS\] \[muxer test\] is being read by \d readers?",
    ):
        gateway.wait_for(rf"(?m)^\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d {pattern}$")


def test_on_asyncio_and_h11_alone() -> None:
    with Running(code=PLAIN, **FREE) as running:
        running.wait_for("is converting into HLS")
        with httpx.Client(base_url=f"http://127.0.0.1:{running.port('HLS')}", timeout=10) as client:
            playlist = client.get("/test/stream.m3u8")
            name = next(line for line in playlist.text.splitlines() if "seg_" in line)
            assert len(client.get(f"/test/{name}").content) > 10_000
        status, took = running.end(signal.SIGINT)
    assert status == 0
    assert took < 2.0


def test_ends_in_time_with_viewers_held_and_a_camera_that_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = write(tmp_path, f"paths:\n  cam:\n    source: rtsp://127.0.0.1:{port}/x\n")
        with Running(config, **FREE) as running:
            address = ("127.0.0.1", running.port("HLS"))
            viewers = [socket.create_connection(address) for _ in range(20)]
            for viewer in viewers:
                viewer.sendall(b"GET /cam/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.3)
            status, took = running.end()
            for viewer in viewers:
                viewer.close()
    assert status == 0
    assert took < 2.0
    assert "Traceback" not in running.log
    assert " ERR " not in running.log


def test_one_camera_fails_and_the_others_go_on(gateway: Running, tmp_path: Path) -> None:
    source = gateway.wait_for(r"the built-in test camera at (\S+) is shown")[1]
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as babbling:
        answers = threading.Thread(target=babble, args=(babbling,), daemon=True)
        answers.start()
        config = write(
            tmp_path,
            "readTimeout: 1s\nhlsSegmentDuration: 1s\npaths:\n"
            f"  good:\n    source: {source}\n"
            "  refusing:\n    source: rtsp://u:hunter2-secret@127.0.0.1:1/x\n"
            f"  silent:\n    source: rtsp://127.0.0.1:{silent.getsockname()[1]}/x\n"
            f"  babbling:\n    source: rtsp://127.0.0.1:{babbling.getsockname()[1]}/x\n"
            "  foreign:\n    source: rtmp://u:hunter2-secret@h/x\n"
            f"  disk:\n    source: {source}\n    hlsDirectory: {tmp_path / 'file'}\n"
            "  nothing:\n",
        )
        with Running(config, **FREE) as running:
            running.wait_for(r"\[muxer good\] is converting into HLS")
            for name in ("refusing", "silent", "babbling", "foreign", "disk", "nothing"):
                running.wait_for(rf"\[path {name}\] is failed")
            with httpx.Client(base_url=f"http://127.0.0.1:{running.port('HLS')}", timeout=12) as client:
                reasons = {
                    name: client.get(f"/{name}/index.m3u8")
                    for name in ("refusing", "silent", "babbling", "foreign", "disk", "nothing")
                }
                assert client.get("/good/stream.m3u8").status_code == 200
            status, took = running.end()
    assert {name: reply.status_code for name, reply in reasons.items()} == dict.fromkeys(reasons, 404)
    assert all(reply.text.count("\n") == 1 for reply in reasons.values())
    assert "refused" in reasons["refusing"].text
    assert "cannot write segments" in reasons["disk"].text
    assert "'rtmp'" in reasons["foreign"].text
    assert status == 0
    assert took < 2.0
    assert "hunter2" not in running.log + "".join(reply.text for reply in reasons.values())
    assert "Traceback" not in running.log


def babble(server: socket.socket) -> None:
    """Answers everybody with something that is no RTSP."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\x00\x1b[31m" + b"\xff" * 5000 + b"\r\n\r\n")
            connection.settimeout(1)
            try:
                while connection.recv(4096):
                    pass
            except OSError:
                pass


def test_configuration_from_the_environment_alone() -> None:
    more = {"MTX_PATHS_YARD_SOURCE": "rtsp://127.0.0.1:1/x", "MTX_PATHS_YARD_SOURCEONDEMAND": "yes"}
    with Running(**FREE, **more) as running:
        port = running.port("API")
        assert [item["name"] for item in httpx.get(f"http://127.0.0.1:{port}/v3/paths/list").json()["items"]] == [
            "yard"
        ]
        assert running.end()[0] == 0
    assert "test camera" not in running.log


def test_api_that_nobody_asked_for_is_left_out_where_its_port_is_taken() -> None:
    with holding(9997), Running(MTX_HLSADDRESS="127.0.0.1:0", MTX_PATHS_CAM_SOURCE="publisher") as running:
        running.wait_for(r"WAR \[API\] cannot listen on 127\.0\.0\.1:9997: port 9997 is in use")
        assert httpx.get(f"http://127.0.0.1:{running.port('HLS')}/").status_code == 200
        assert running.end()[0] == 0


def test_structured_log_and_no_hls(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    text = f"logStructured: yes\nlogDestinations: [file]\nlogFile: {file}\nhls: no\npaths:\n  cam:\n"
    with Running(write(tmp_path, text), **FREE) as running:
        end = time.monotonic() + 10
        while not (file.exists() and "[API] started" in file.read_text()):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert running.end()[0] == 0
    assert running.log == ""
    assert all(line.startswith('{"timestamp": "') for line in file.read_text().splitlines())
    assert "[HLS]" not in file.read_text()
