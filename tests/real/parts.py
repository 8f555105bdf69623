"""Which foreign parts this machine has; what is absent makes a test skip with the Debian package that brings it."""

import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path

import pytest

#: The interpreter Debian's gi is built for.
SYSTEM_PYTHON = "/usr/bin/python3"

#: Shaka Player, where ./check puts it (tests/real/package.json).
SHAKA = Path(__file__).parents[2] / ".cache/npm/node_modules/shaka-player/dist/shaka-player.compiled.js"

#: GStreamer elements the camera is made of, and the package each comes in.
ELEMENTS = {
    "videotestsrc": "gstreamer1.0-plugins-base",
    "audiotestsrc": "gstreamer1.0-plugins-base",
    "opusenc": "gstreamer1.0-plugins-base",
    "rtph264pay": "gstreamer1.0-plugins-good",
    "rtpmp4gpay": "gstreamer1.0-plugins-good",
    **dict.fromkeys(("alawenc", "mulawenc", "jpegenc", "qtdemux", "capssetter"), "gstreamer1.0-plugins-good"),
    **dict.fromkeys(("h264parse", "h265parse", "x265enc"), "gstreamer1.0-plugins-bad"),
    "x264enc": "gstreamer1.0-plugins-ugly",
    **dict.fromkeys(("avenc_aac", "avenc_g722", "avenc_g726"), "gstreamer1.0-libav"),
}

_FIND_ELEMENTS = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
print(" ".join(name for name in sys.argv[1:] if Gst.ElementFactory.find(name) is None))
"""


@cache
def missing_gstreamer() -> str:
    """The packages the GStreamer camera lacks here, "" if none."""
    if not Path(SYSTEM_PYTHON).exists():
        return "python3"
    command = [SYSTEM_PYTHON, "-c", _FIND_ELEMENTS, *ELEMENTS]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if found.returncode:
        return "python3-gi gir1.2-gst-rtsp-server-1.0"
    return " ".join(sorted({ELEMENTS[name] for name in found.stdout.split()}))


def require_gstreamer() -> None:
    if packages := missing_gstreamer():
        pytest.skip(f"no GStreamer RTSP server here: apt install {packages}")


def require_ffmpeg() -> None:
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("no ffmpeg and ffprobe here: apt install ffmpeg")


def require_chromium() -> str:
    """Where Chromium lies."""
    pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install '.[dev]'")
    if path := shutil.which("chromium") or shutil.which("chromium-browser"):
        return path
    pytest.skip("no Chromium here: apt install chromium")


def _daemon(name: str) -> str | None:
    """Where a daemon lies; a person's PATH on Debian does not have it."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin")


def missing_caches() -> str:
    """The packages the tests with caches lack here, "" if none."""
    names = {"varnish": _daemon("varnishd"), "nginx": _daemon("nginx")}
    names |= {name: shutil.which(name) for name in ("curl", "openssl")}
    return " ".join(name for name, found in names.items() if found is None)


def require_varnish() -> tuple[str, str]:
    """Where varnishd and varnishadm lie."""
    if (path := _daemon("varnishd")) and (admin := shutil.which("varnishadm")):
        return path, admin
    pytest.skip("no Varnish here: apt install varnish")


def require_nginx() -> str:
    """Where nginx lies; every build of Debian's has HTTP/2."""
    if (path := _daemon("nginx")) and shutil.which("openssl"):
        return path
    pytest.skip("no nginx or no openssl here: apt install nginx openssl")


def require_curl() -> str:
    """Where curl lies, the client for HTTP/2."""
    if path := shutil.which("curl"):
        return path
    pytest.skip("no curl here: apt install curl")


def require_shaka() -> None:
    if not SHAKA.exists():
        pytest.skip("no Shaka Player here: ./check installs it where there is npm")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
