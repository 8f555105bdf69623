"""The pytest plugin: the fixture `rtsp_camera`. pytest finds it by itself where rtspkit is installed.

Strategy: pytest loads this file in every run, so it does no work before a test asks for a camera.
``-p no:rtspkit`` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

try:
    import pytest
except ModuleNotFoundError:
    raise ImportError("rtspkit.testing.plugin needs pytest: pip install '.[testing]' in rtspkit's sources") from None

from rtspkit.testing.live import CameraThread, LiveCamera

__all__ = ["rtsp_camera"]


@pytest.fixture
def rtsp_camera() -> Iterator[Callable[..., LiveCamera]]:
    """``rtsp_camera(*faults, credentials=…, media=…)`` gives a running camera; it ends with the test.

    The cameras have a thread to themselves, so the test may block or have an event loop of its own. Arguments are
    those of `rtspkit.testing.ScriptedCamera`.
    """
    with CameraThread() as thread:
        yield thread.camera
