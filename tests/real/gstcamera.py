"""`GstCamera`: GStreamer's RTSP server as a camera that can be unplugged, frozen and plugged in again.

The server runs in a process of its own under the system's Python (`gst_server.py`); here is what starts it, reads
what it says; `pipelines.py` has what it can send.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .network import Network
from .parts import SYSTEM_PYTHON, require_gstreamer
from .pipelines import VARIANTS, Variant

SERVER = Path(__file__).with_name("gst_server.py")

#: A user and a password with every character that is special in a URL, a header or YAML.
USER = "view er"
PASSWORD = "p@s:s/w?o#r%d&"


class GstCamera:
    """One camera; the same port every time it is started.

    Args:
        variant: what it sends.
        auth: "none", "basic" or "digest".
        user, password: what it wants then.
        path: of its URL.
        tls: a PEM file with its certificate and key, where it is to speak TLS.
        tunnel: its URL is that of the HTTP tunnel, which it offers on the same port in any case.
        transports: what it offers to carry media over ("tcp", "udp", "multicast"); empty: all but multicast.
        network: the host it is on; None: this one.
        others: further cameras of the same server, by path; then each reader has a pipeline of its own.

    Attributes:
        events: what the server has said, oldest first: dicts with `event` ("connected", "options", "describe", "setup",
            "play", "get-parameter", "teardown", "closed" …), `at` (its monotonic seconds) and, of a request, `uri`.
    """

    def __init__(
        self,
        variant: str = "h264",
        *,
        auth: str = "none",
        user: str = USER,
        password: str = PASSWORD,
        path: str = "/stream1",
        tls: Path | None = None,
        tunnel: bool = False,
        transports: tuple[str, ...] = (),
        network: Network | None = None,
        others: Mapping[str, Variant] | None = None,
    ) -> None:
        self.variant = VARIANTS[variant]
        self.auth, self.user, self.password, self.path = auth, user, password, path
        self.tls, self.tunnel = tls, tunnel
        self.transports = transports
        self.others = dict(others or {})
        self.host = "127.0.0.1" if network is None else network.remote
        self._prefix = () if network is None else network.prefix
        self.port = 0
        self.events: list[dict[str, Any]] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The camera's address, with its credentials where it wants some."""
        return self.url_of(self.path)

    def url_of(self, path: str) -> str:
        """The address of one of several cameras."""
        login = "" if self.auth == "none" else f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"
        scheme = ("rtsps" if self.tls else "rtsp") + "+http" * self.tunnel
        return f"{scheme}://{login}{self.host}:{self.port}{path}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, variant: str | None = None) -> "GstCamera":
        """Plugs the camera in, as another `variant` where one is given; returns once it listens."""
        require_gstreamer()
        assert not self.is_running
        if variant is not None:
            self.variant = VARIANTS[variant]
        settings = {
            "port": self.port,
            "streams": {
                path: {"video": variant.video, "audio": variant.audio}
                for path, variant in {self.path: self.variant, **self.others}.items()
            },
            "shared": not self.others,
            "auth": self.auth,
            "user": self.user,
            "password": self.password,
            "tls": str(self.tls) if self.tls else None,
            "transports": self.transports,
            "host": self.host,
        }
        self._process = subprocess.Popen(
            [*self._prefix, SYSTEM_PYTHON, str(SERVER), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        before = len(self.events)
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait_for("listening", since=before, timeout=20)
        self.port = int(self.named("listening")[-1]["port"])
        return self

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.events.append(json.loads(line))

    def named(self, event: str, since: int = 0) -> list[dict[str, Any]]:
        """The events of one name, from the `since`th of all on."""
        return [e for e in self.events[since:] if e["event"] == event]

    def wait_for(self, event: str, *, since: int = 0, timeout: float = 10.0) -> dict[str, Any]:
        """The first event of that name; AssertionError if it does not come within `timeout` seconds."""
        end = time.monotonic() + timeout
        while not (found := self.named(event, since)):
            assert time.monotonic() < end, f"no {event} at the camera within {timeout} s; it saw {self.requests}"
            assert self.is_running, f"the camera has ended by itself; it saw {self.requests}"
            time.sleep(0.02)
        return found[0]

    @property
    def requests(self) -> list[str]:
        """The names of all events so far."""
        return [e["event"] for e in self.events]

    def freeze(self) -> None:
        """Stops sending without closing the connection, as a cut network does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Pulls the plug: the process is killed where it stands, the connections end without a word."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(10)
        if self._reader is not None:
            self._reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def __enter__(self) -> "GstCamera":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
