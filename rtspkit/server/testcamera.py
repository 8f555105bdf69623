"""The built-in test camera: it is there so that a newcomer sees a picture at once.

It plays the bundled clip for ever, and any other RTSP client can read it too. RTP goes over the RTSP connection only.
"""

from __future__ import annotations

from rtspkit.testing.playout import PlainCamera

__all__ = ["TestCamera"]


class TestCamera(PlainCamera):
    """``async with TestCamera() as camera: camera.url`` - plays until the block ends."""

    __test__ = False  # its name makes pytest think otherwise
    name = "rtspkit test camera"
