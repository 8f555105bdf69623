"""Which foreign parts this machine has; what is absent makes a test skip with the Debian package that brings it."""

import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path

import pytest

#: The interpreter Debian's gi is built for.
SYSTEM_PYTHON = "/usr/bin/python3"

#: GStreamer elements the camera is made of, and the package each comes in.
ELEMENTS = {
    "videotestsrc": "gstreamer1.0-plugins-base",
    "audiotestsrc": "gstreamer1.0-plugins-base",
    "rtph264pay": "gstreamer1.0-plugins-good",
    "rtpmp4gpay": "gstreamer1.0-plugins-good",
    "h264parse": "gstreamer1.0-plugins-bad",
    "x264enc": "gstreamer1.0-plugins-ugly",
    "avenc_aac": "gstreamer1.0-libav",
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
    pytest.importorskip("playwright.sync_api", reason="no Playwright here: install rtspkit[dev]")
    if path := shutil.which("chromium") or shutil.which("chromium-browser"):
        return path
    pytest.skip("no Chromium here: apt install chromium")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
