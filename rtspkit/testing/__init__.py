"""For tests of what reads cameras: a camera that misbehaves on demand, and strategies for property-based tests.

`ScriptedCamera` plays H.264 and AAC over TCP and UDP, asks for credentials, and does wrong what stands in
`rtspkit.testing.faults`; the pytest plugin gives it to any test as the fixture `rtsp_camera`. The Hypothesis
strategies are in `rtspkit.testing.strategies`. The camera needs nothing beyond the package itself, the rest what
``pip install '.[testing]'`` brings. It belongs to neither side of the package, and neither imports it.
"""

from __future__ import annotations

from rtspkit.testing import faults
from rtspkit.testing.camera import ScriptedCamera, Seen
from rtspkit.testing.clips import Clip, ClipTrack, audio_track, clip, video_track
from rtspkit.testing.credentials import Basic, Credentials, Digest
from rtspkit.testing.live import CameraThread, LiveCamera
from rtspkit.testing.playout import Client, PlainCamera, Reply

__all__ = [
    "Basic",
    "CameraThread",
    "Client",
    "Clip",
    "ClipTrack",
    "Credentials",
    "Digest",
    "LiveCamera",
    "PlainCamera",
    "Reply",
    "ScriptedCamera",
    "Seen",
    "audio_track",
    "clip",
    "faults",
    "video_track",
]
