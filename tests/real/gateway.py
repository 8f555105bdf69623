"""`Gateway`: `python -m rtspkit.server` as people run it: a process of its own, a YAML file, signals and log lines."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from .parts import free_port
from .playlists import read_media

ROOT = Path(__file__).resolve().parent.parent.parent

#: The configuration a user of another gateway brings along. Only addresses are changed before it is run.
PATHS_BLOCK = """\
paths:
  cam_2:
    source: rtsp://admin:password@192.168.1.100:554/stream1
    sourceOnDemand: yes
    sourceOnDemandStartTimeout: 10s
    sourceOnDemandCloseAfter: 15s
    maxReaders: 8
    rtspTransport: tcp
"""
HLS_BLOCK = """\
hls: yes
hlsAddress: :8888
hlsVariant: fmp4              # Fragmented MP4
hlsSegmentCount: 6            # Playlist size
hlsSegmentDuration: 4s        # Segment length
hlsSegmentMaxSize: 50M        # Max segment file size
hlsMuxerCloseAfter: 30s       # Close muxer after no viewers
hlsPartDuration: 1s           # Low-latency part duration
"""


class Gateway:
    """One gateway on free ports of 127.0.0.1.

    Attributes:
        lines: what it has logged so far.
        config: its YAML file; `changes` have been made in it.
    """

    def __init__(
        self,
        directory: Path,
        source: str,
        neighbours: Mapping[str, str | Mapping[str, str]] | None = None,
        **changes: str,
    ) -> None:
        """The two blocks with another camera, and more of them if wanted.

        Args:
            directory: for the YAML file.
            source: of the camera.
            neighbours: the names of further paths, and the source of each, or more of its keys.
            changes: keys of the two blocks with their new values, or others.
        """
        self.hls_port, self.api_port = free_port(), free_port()
        text = HLS_BLOCK + PATHS_BLOCK
        for key, value in {"source": source, "hlsAddress": f"127.0.0.1:{self.hls_port}", **changes}.items():
            text, found = re.subn(
                rf"(?m)^( *{key}): [^#\n]*?( *#.*)?$", lambda m, v=value: f"{m[1]}: {v}{m[2] or ''}", text
            )
            if not found:
                text = f"{key}: {value}\n{text}"
        for name, keys in (neighbours or {}).items():
            keys = {"source": keys} if isinstance(keys, str) else keys
            text += f"  {name}:\n" + "".join(
                f"    {key}: {value}\n" for key, value in {"sourceOnDemand": "yes", **keys}.items()
            )
        text = f"api: yes\napiAddress: 127.0.0.1:{self.api_port}\n{text}"
        self.config = directory / "gateway.yml"
        self.config.write_text(text, encoding="utf-8")
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.hls_port}"

    @property
    def page(self) -> str:
        return f"{self.base}/cam_2/"

    @property
    def playlist(self) -> str:
        return f"{self.base}/cam_2/index.m3u8"

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def start(self) -> "Gateway":
        """Returns once both listeners answer."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MTX_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rtspkit.server", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.config.parent,
            env={**environment, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(self.config.parent / "state")},
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        end = time.monotonic() + 15
        for url in (f"{self.base}/nothing-of-that-name/index.m3u8", f"http://127.0.0.1:{self.api_port}/v3/paths/list"):
            while True:
                assert self._process.poll() is None, f"ended with status {self._process.returncode}: {self.log}"
                assert time.monotonic() < end, f"does not listen: {self.log}"
                try:
                    httpx.get(url, timeout=5)
                except httpx.TransportError:
                    time.sleep(0.05)
                else:
                    break
        return self

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line)

    def path(self, name: str = "cam_2") -> dict[str, Any]:
        """What the control API says of a camera."""
        reply = httpx.get(f"http://127.0.0.1:{self.api_port}/v3/paths/get/{name}", timeout=5)
        assert reply.status_code == 200, f"{reply.status_code} {reply.text}"
        return dict(reply.json())

    def await_state(self, state: str, timeout: float = 40.0) -> None:
        """Until the API says so of the camera; AssertionError if it does not."""
        end = time.monotonic() + timeout
        while (path := self.path())["state"] != state:
            assert time.monotonic() < end, f"not {state} within {timeout} s: {path}\n{self.log}"
            time.sleep(0.1)

    def await_flow(self, timeout: float = 30.0) -> None:
        """Until six segments have come, and the last four are of one piece: who begins now meets no gap of before."""
        end = time.monotonic() + timeout
        first = None
        while True:
            segments = read_media(httpx.get(f"{self.page}stream.m3u8", timeout=10).text).segments
            first = segments[-1].msn if first is None else first
            broken = [segment for segment in segments[-4:] if segment.is_gap or segment.starts_discontinuity]
            if segments[-1].msn >= first + 6 and not broken:
                return
            assert time.monotonic() < end, f"no six segments within {timeout} s: {segments}\n{self.log}"
            time.sleep(0.2)

    def wait_for(self, pattern: str, timeout: float = 15.0) -> str:
        """The first log line that matches; AssertionError if none comes."""
        end = time.monotonic() + timeout
        while True:
            for line in list(self.lines):
                if re.search(pattern, line):
                    return line
            assert time.monotonic() < end, f"no log line {pattern!r} within {timeout} s in:\n{self.log}"
            time.sleep(0.05)

    def terminate(self) -> float:
        """SIGTERM; gives the seconds until it had ended. AssertionError for a status other than 0."""
        assert self._process is not None
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there 10 s after SIGTERM:\n{self.log}") from None
        took = time.monotonic() - started
        self._close()
        assert status == 0, f"exit status {status}:\n{self.log}"
        return took

    def kill(self) -> None:
        """SIGKILL; `start` brings it back on the same ports."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        if self._reader is not None:
            self._reader.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> "Gateway":
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        """Every gateway ends as it should, whatever the test was about."""
        assert self._process is not None
        if kind is not None or self._process.poll() is not None:
            self._close()
            return
        took = self.terminate()
        assert took < 2.5, f"{took:.1f} s from SIGTERM to the end; two are allowed"
        assert "Traceback" not in self.log, self.log
        assert "ERROR" not in self.log, self.log
