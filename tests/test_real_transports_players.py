"""Each transport, with and without a password, from GStreamer's RTSP server through the gateway to ffmpeg and Chromium.

One gateway has a path for each; all are read at once, by a decoder each and by the players of one browser.
"""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from certificates import certificates
from real.browser import Player, chromium, speed
from real.decoders import Decoder
from real.gateway import Gateway
from real.gstcamera import GstCamera
from real.network import Network
from real.pageserver import PageServer
from real.parts import require_chromium, require_ffmpeg, require_gstreamer

pytestmark = pytest.mark.real

VARIANT = "h264-small+aac"
PICTURES, SOUNDS = 25, 16000 / 1024  # a second
SECONDS = 4

#: What the API calls what carries the media, and the log.
TCP, UDP, MULTICAST = ("tcp", "TCP"), ("udp", "UDP"), ("multicast", "UDP-multicast")


@dataclass(frozen=True)
class Way:
    """How the media of a path come.

    Attributes:
        asked: rtspTransport of the path.
        used: what is to come of it.
        auth, transports: of the camera.
        tls: the camera speaks it.
        tunnel: through HTTP.
    """

    asked: str
    used: tuple[str, str]
    auth: str
    transports: tuple[str, ...] = ()
    tls: bool = False
    tunnel: bool = False


WAYS = {
    "tcp": Way("tcp", TCP, "digest"),
    "udp": Way("udp", UDP, "basic"),
    "automatic": Way("automatic", UDP, "digest"),
    "refused": Way("automatic", TCP, "none", transports=("tcp",)),
    "multicast": Way("multicast", MULTICAST, "digest", transports=("multicast",)),
    "rtsps": Way("automatic", TCP, "digest", tls=True),
    "tunnel": Way("automatic", TCP, "digest", tunnel=True),
    "rtsps-tunnel": Way("automatic", TCP, "basic", tls=True, tunnel=True),
}


class House:
    """A camera for each way, and the gateway.

    Attributes:
        ways: those of `WAYS` that can be had here.
        gateway: with a path for each.
    """

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        certificate = certificates().own
        network = None
        with suppress(pytest.skip.Exception):  # as in a container without root
            network = stack.enter_context(Network())
        self.ways = {name: way for name, way in WAYS.items() if way.used is not MULTICAST or network}
        paths = {}
        for name, way in self.ways.items():
            camera = stack.enter_context(
                # its own for each: this server leaves out packets where two begin to read it at once
                GstCamera(
                    VARIANT,
                    auth=way.auth,
                    tls=certificate.path if way.tls else None,
                    tunnel=way.tunnel,
                    transports=way.transports,
                    network=network if way.used is MULTICAST else None,
                )
            )
            paths[name] = {"source": camera.url, "rtspTransport": way.asked}
            if way.tls:
                paths[name]["sourceFingerprint"] = certificate.fingerprint
        source = paths["tcp"]["source"]  # of a path that is there in any case, and that nobody reads
        self.gateway = stack.enter_context(Gateway(directory, source, paths, hlsSegmentDuration="1s"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    require_gstreamer()
    with ExitStack() as stack:
        yield House(stack, tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def decoders(house: House) -> Iterator[dict[str, Decoder]]:
    """An ffmpeg for each path, all at work together."""
    require_ffmpeg()
    with ExitStack() as stack:
        running = {name: Decoder(f"{house.gateway.base}/{name}/index.m3u8", SECONDS) for name in house.ways}
        for decoder in running.values():
            stack.callback(decoder.kill)
        yield running


@pytest.fixture(scope="module")
def players(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Player]]:
    """A Chromium with a player page for each path, which have played for some seconds."""
    require_chromium()
    pages = {name: f"{house.gateway.base}/{name}/" for name in house.ways}
    with PageServer() as server, chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(f"{server.base}/side-by-side.html?{urlencode(pages)}")
        for name in pages:
            browser.until(lambda name=name: browser.page.frame(name=name) is not None, 10, f"the frame of {name}")
        players = {name: Player(browser.page.frame(name=name)) for name in pages}
        for player in players.values():
            player.plays(timeout=30)
        browser.wait(8)
        yield players


@pytest.fixture(params=WAYS)
def name(request: pytest.FixtureRequest, house: House) -> str:
    if request.param not in house.ways:
        pytest.skip("a network namespace needs root and iproute2")
    return str(request.param)


def test_ffmpeg_decodes_it(house, decoders, name):
    decoded = decoders[name].result()
    assert decoded.frames["video"] == pytest.approx(PICTURES * SECONDS, abs=2)
    assert decoded.frames["audio"] == pytest.approx(SOUNDS * SECONDS, abs=3)
    # ffmpeg has been given all that the camera sent
    transport, word = WAYS[name].used
    house.gateway.wait_for(f"is reading from path '{name}', 2 tracks with {word}$")
    health = house.gateway.path(name)["health"]
    assert health["transport"] == transport
    assert [track["lost"] for track in health["tracks"]] == [0, 0]


def test_chromium_plays_it(players, name):
    player = players[name]
    began = player.events("playing")[0]["at"] + 2
    series = player.series(since=began)
    assert speed(series) == pytest.approx(1, abs=0.1), player.story()
    assert series[-1].pictures > series[0].pictures, player.story()
    assert not player.events("waiting", "error", since=began), player.story()
    assert player.loads == 1
    assert not player.message
