"""MediaMTX and go2rtc as cameras, with ffmpeg behind them: each transport, credentials, and servers that go and come.

RTSPKIT_MEDIAMTX and RTSPKIT_GO2RTC name their binaries.
"""

import time
from contextlib import ExitStack, contextmanager

import pytest
from certificates import certificates
from real import decoders
from real.network import Network
from real.servers import Go2rtc, MediaMTX
from real.stage import Follower
from test_real_transports import assert_whole, read

import rtspkit
from rtspkit import CameraOptions

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("ffmpeg")]

QUICK = {"hlsSegmentDuration": "1s", "rtspTransport": "automatic", "maxReaders": "0"}


@pytest.fixture
def entered():
    """`entered(server)` starts it, and it ends with the test."""
    with ExitStack() as stack:
        yield stack.enter_context


async def assert_reads(url, asked, used, **options):
    """Everything comes over the transport that it should."""
    reader, units, stats = await read(url, CameraOptions(transport=asked, **options), pictures=50)
    assert reader.transport == used
    assert_whole(units)
    assert stats.packets_lost == 0
    return reader


# -- MediaMTX


@pytest.mark.parametrize(
    ("methods", "asked", "used"),
    [
        ((), "tcp", "tcp"),
        (("digest",), "tcp", "tcp"),
        (("basic",), "udp", "udp"),
        (("basic", "digest"), "automatic", "udp"),
    ],
)
async def test_mediamtx(tmp_path, entered, methods, asked, used):
    server = entered(MediaMTX(tmp_path, methods=methods))
    entered(server.publisher())
    await assert_reads(server.url, asked, used)


async def test_mediamtx_without_udp(tmp_path, entered):
    server = entered(MediaMTX(tmp_path, transports=("tcp",)))
    entered(server.publisher())
    await assert_reads(server.url, "automatic", "tcp")
    with pytest.raises(rtspkit.ResponseError, match="does not offer"):
        await assert_reads(server.url, "udp", "udp")


async def test_mediamtx_by_multicast(tmp_path, entered):
    network = entered(Network())
    server = entered(MediaMTX(tmp_path, methods=("digest",), transports=("multicast", "tcp"), network=network))
    entered(server.publisher())
    await assert_reads(server.url, "multicast", "multicast")


async def test_mediamtx_over_tls(tmp_path, entered):
    certificate = certificates().own
    server = entered(MediaMTX(tmp_path, methods=("basic",), transports=("tcp",), certificate=certificate))
    entered(server.publisher())
    await assert_reads(server.url, "automatic", "tcp", fingerprint=certificate.fingerprint)


async def test_mediamtx_refuses_a_wrong_password(tmp_path, entered):
    server = entered(MediaMTX(tmp_path, methods=("digest",)))
    entered(server.publisher())
    with pytest.raises(rtspkit.AuthenticationError):
        await read(server.url.replace("p%40", "q%40"), CameraOptions())
    await assert_reads(server.url, "automatic", "udp")


# -- go2rtc


@pytest.mark.parametrize("asked", ["tcp", "automatic"])
async def test_go2rtc(tmp_path, entered, asked):
    """It knows no other transport than TCP, and says so."""
    server = entered(Go2rtc(tmp_path))
    await assert_reads(server.url, asked, "tcp")
    with pytest.raises(rtspkit.ResponseError, match="does not offer"):
        await read(server.url, CameraOptions(transport="udp"))


async def test_go2rtc_with_a_password(tmp_path, entered):
    network = entered(Network())
    server = entered(Go2rtc(tmp_path, wants_login=True, network=network))
    await assert_reads(server.url, "automatic", "tcp")
    with pytest.raises(rtspkit.AuthenticationError):
        await read(server.url.replace("p%40", "q%40"), CameraOptions())


async def test_go2rtc_behind_mediamtx(tmp_path, entered):
    server = entered(MediaMTX(tmp_path))
    entered(server.publisher())
    await assert_reads(entered(Go2rtc(tmp_path, server.url)).url, "automatic", "tcp")


# -- through the gateway


def assert_decodes(server):
    """Four seconds of it, without one error and with every picture."""
    decoded = decoders.decode(server.playlist, 4)
    assert decoded.frames["video"] == pytest.approx(100, abs=5)
    assert decoded.frames["audio"] == pytest.approx(4 * 48000 / 1024, abs=10)


@pytest.fixture
def outage(gateway):
    """`with outage(server) as through`: a gateway reads the server and is watched; the block takes the stream away."""

    @contextmanager
    def make(server):
        through = gateway(server.url, **QUICK)
        follower = Follower(through.playlist)
        probe = follower.probe
        probe.open()
        follower.start()
        through.await_state("live")
        assert_decodes(through)
        probe.is_outage = True
        # what is cut short may have its sound in the segment before, and what follows no sync sample
        probe.wants_sync = probe.wants_sound = False
        yield through
        through.await_state("live")
        through.await_flow()
        assert_decodes(through)
        follower.stop()
        probe.check()
        health = through.path()["health"]
        assert health["reconnects"] == 1
        assert health["lastError"]

    return make


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_mediamtx_is_restarted(tmp_path, entered, outage, end):
    server = entered(MediaMTX(tmp_path, methods=("digest",)))
    publisher = entered(server.publisher())
    with outage(server) as through:
        assert through.path()["health"]["transport"] == "udp"
        getattr(server, end)()
        through.await_state("gap")
        publisher.stop()
        server.__enter__()
        publisher.__enter__()
    assert through.path()["health"]["transport"] == "udp"


@pytest.mark.slow
def test_what_is_published_is_away_for_a_moment(tmp_path, entered, outage):
    """MediaMTX stays, and answers 404 meanwhile."""
    server = entered(MediaMTX(tmp_path, methods=("basic",)))
    publisher = entered(server.publisher())
    with outage(server) as through:
        publisher.stop()
        through.await_state("gap")
        time.sleep(2)
        publisher.__enter__()
    assert "404" in through.log


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_go2rtc_is_restarted(tmp_path, entered, outage, end):
    server = entered(Go2rtc(tmp_path))
    with outage(server) as through:
        assert through.path()["health"]["transport"] == "tcp"
        through.wait_for("TCP is used: ")
        getattr(server, end)()
        through.await_state("gap")
        server.__enter__()
