"""Fixtures shared by the tests: the foreign parts, each made on demand and ended with its test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from real.browser import Player, chromium
from real.gateway import Gateway
from real.gstcamera import GstCamera
from real.parts import require_chromium, require_ffmpeg, require_gstreamer
from real.relay import Relay
from real.watched import PLAIN

from rtspkit.testing.plugin import rtsp_camera  # noqa: F401 - where rtspkit is not installed, pytest does not find it


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run where they are asked for: `./check -m soak`, or by name."""
    if "soak" in config.getoption("-m") or any(
        "::" in argument or argument.endswith(".py") for argument in config.args
    ):
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.fixture
def gst_camera() -> Iterator[Callable[..., GstCamera]]:
    """`gst_camera(variant, auth=…)` gives a running `GstCamera`."""
    require_gstreamer()
    with ExitStack() as stack:
        yield lambda variant="h264", **options: stack.enter_context(GstCamera(variant, **options))


@pytest.fixture
def ffmpeg() -> None:
    """Skips where ffmpeg is absent."""
    require_ffmpeg()


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Player]:
    """Chromium with an empty profile; `player.open(url)` goes to a player page."""
    require_chromium()
    with chromium(tmp_path / "profile") as page:
        yield page


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """`gateway(source, key=value…)` gives a running `Gateway` with one path, `cam_2`; it is made to end cleanly."""
    with ExitStack() as stack:
        yield lambda source, **changes: stack.enter_context(Gateway(tmp_path, source, **changes))


@pytest.fixture
def behind(gst_camera, gateway, tmp_path: Path) -> Iterator[Callable[..., tuple[Gateway, Relay, Any]]]:
    """`behind(Varnish, key=value…)` gives a gateway with a camera, the relay before it, and the cache before that."""
    with ExitStack() as stack:

        def make(kind: Any, **changes: str) -> tuple[Gateway, Relay, Any]:
            server = gateway(gst_camera("h264").url, **{**PLAIN, **changes})
            server.wait_for("is converting into HLS")
            relay = stack.enter_context(Relay(server.hls_port))
            return server, relay, stack.enter_context(kind(tmp_path, relay.port))

        yield make
