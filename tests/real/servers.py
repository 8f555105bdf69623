"""MediaMTX and go2rtc, RTSP servers that cameras are often behind, and ffmpeg that publishes into them.

Neither is a package of Debian's: the environment says where their binaries lie, and where it does not a test skips.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from certificates import Certificate

from rtspkit.testing.carriers import free_pair

from .daemon import Daemon
from .network import Network
from .parts import free_port, require_ffmpeg

#: The user who may read; MediaMTX allows no other special characters.
USER = "view.er"
PASSWORD = "p@s;s#w&$"
PATH = "cam"

#: What is published, before the address: moving bars at 25 pictures a second, a sync sample each second, and a tone.
MEDIA = (
    *("-hide_banner", "-nostdin", "-v", "warning", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"),
    *("-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-pix_fmt", "yuv420p"),
    *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads", "1", "-g", "25"),
    *("-c:a", "aac", "-rtsp_transport", "tcp", "-f", "rtsp"),
)


def binary(variable: str) -> str:
    """The program that an environment variable names."""
    if program := os.environ.get(variable):
        return program
    pytest.skip(f"{variable} does not name a binary")


class RTSPServer(Daemon):
    """What both have in common. The address of its stream is `url`.

    Attributes:
        port: of RTSP.
        wants_login: its address has the credentials.
    """

    scheme = "rtsp"
    wants_login = False

    def __init__(self, directory: Path, name: str, network: Network | None) -> None:
        self.port = free_port()
        self._ports = (self.port,)
        self.host = "127.0.0.1" if network is None else network.remote
        self._prefix = () if network is None else network.prefix
        super().__init__(directory / f"{name}-{self.port}")
        self.config = self.directory / f"{name}.yml"

    @property
    def url(self) -> str:
        login = f"{quote(USER)}:{quote(PASSWORD)}@" if self.wants_login else ""
        return f"{self.scheme}://{login}{self.host}:{self.port}/{PATH}"

    def _run(self, program: str, *arguments: str, settings: dict[str, Any]) -> None:
        """What it is to run with; JSON is YAML too."""
        self.config.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        self._command = [*self._prefix, program, *arguments, str(self.config)]

    def wait_for(self, text: str, count: int = 1, timeout: float = 20.0) -> None:
        """Until it has said so that often; AssertionError if it does not."""
        end = time.monotonic() + timeout
        while self.log.count(text) < count:
            assert time.monotonic() < end, f"it has not said {text!r}: {self.log}"
            time.sleep(0.05)


class MediaMTX(RTSPServer):
    """A MediaMTX with one stream.

    Args:
        directory: for its files.
        source: where it has it from; None: a `Publisher` brings it.
        methods: "basic", "digest": how readers may show who they are; empty: nobody asks.
        transports: "tcp", "udp", "multicast": what it offers.
        certificate: RTSP over TLS only, with this one.
        network: the host it is on; None: this one.
    """

    def __init__(
        self,
        directory: Path,
        source: str | None = None,
        *,
        methods: tuple[str, ...] = (),
        transports: tuple[str, ...] = ("tcp", "udp"),
        certificate: Certificate | None = None,
        network: Network | None = None,
    ) -> None:
        program = binary("RTSPKIT_MEDIAMTX")
        super().__init__(directory, "mediamtx", network)
        self.wants_login = bool(methods)
        self.scheme = "rtsps" if certificate else "rtsp"
        everybody = {"user": "any", "permissions": [{"action": "publish"}]}
        reader: dict[str, Any] = {"user": "any"}
        if methods:
            reader = {"user": USER, "pass": PASSWORD}
        reader["permissions"] = [{"action": "read"}]
        settings: dict[str, Any] = {
            **dict.fromkeys(("rtmp", "hls", "webrtc", "srt", "moq"), False),
            "authInternalUsers": [everybody, reader],
            "rtspAuthMethods": list(methods or ("basic",)),
            "rtspTransports": list(transports),
            "paths": {PATH: {"source": source, "rtspTransport": "tcp"} if source else {}},
        }
        for name, sock in zip(("rtpAddress", "rtcpAddress"), free_pair("127.0.0.1"), strict=True):
            settings[name] = f"{self.host}:{sock.getsockname()[1]}"
            sock.close()
        address = f"{self.host}:{self.port}"
        if certificate is None:
            settings["rtspAddress"] = address
        else:
            settings |= {"rtspEncryption": "strict", "rtspsAddress": address}
            settings |= {"rtspServerKey": str(certificate.path), "rtspServerCert": str(certificate.path)}
        self._run(program, settings=settings)

    def publisher(self) -> "Publisher":
        """An ffmpeg that brings the stream, on the server's host; enter it."""
        return Publisher(self, self._prefix)


class Go2rtc(RTSPServer):
    """A go2rtc with one stream.

    Args:
        directory: for its files.
        source: where it has it from; None: it runs an ffmpeg that makes it.
        wants_login: asks for credentials; it does not where the reader is on its own host.
        network: the host it is on; None: this one.
    """

    def __init__(
        self,
        directory: Path,
        source: str | None = None,
        *,
        wants_login: bool = False,
        network: Network | None = None,
    ) -> None:
        program = binary("RTSPKIT_GO2RTC")
        super().__init__(directory, "go2rtc", network)
        self.wants_login = wants_login
        # on every address: its ffmpeg brings the stream to the loopback's
        rtsp = {"listen": f"{'' if network else self.host}:{self.port}"}
        if wants_login:
            rtsp |= {"username": USER, "password": PASSWORD}
        elsewhere = {"listen": ""}
        settings = {
            **dict.fromkeys(("api", "webrtc", "srtp"), elsewhere),
            "rtsp": rtsp,
            "streams": {PATH: source or f"exec:{' '.join(('ffmpeg', *MEDIA, '{output}'))}"},
        }
        self._run(program, "-config", settings=settings)


class Publisher:
    """An ffmpeg that sends H.264 and AAC to a server until it is left."""

    def __init__(self, server: MediaMTX, prefix: tuple[str, ...]) -> None:
        require_ffmpeg()
        self._server = server
        secure = ("-tls_verify", "0") if server.scheme == "rtsps" else ()
        address = f"{server.scheme}://{server.host}:{server.port}/{PATH}"
        self._command = [*prefix, "ffmpeg", *MEDIA, *secure, address]
        self._said = f"is publishing to path '{PATH}'"

    def __enter__(self) -> "Publisher":
        """Returns once the stream can be read."""
        count = self._server.log.count(self._said)
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        try:
            self._server.wait_for(self._said, count + 1)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def __exit__(self, *_: object) -> None:
        self.stop()
