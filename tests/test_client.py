"""The asyncio shell against a scripted camera: what it asks, what it survives, what it says when it cannot."""

import asyncio
import errno
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest

import rtspkit
from rtspkit import liveness
from rtspkit.client import Camera, CameraOptions, connect
from rtspkit.datagrams import Datagrams
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import Fragment
from rtspkit.memory import CameraMemory
from rtspkit.options import TransportChoice
from rtspkit.packetizer import bye
from rtspkit.testing import Basic, Credentials, Digest, ScriptedCamera, faults
from rtspkit.testing.playout import Client
from rtspkit.ticker import Ticker

QUICK = replace(DEFAULT_LIMITS, connect_timeout=0.4, reply_timeout=0.4, media_timeout=0.6)


@pytest.fixture
async def camera() -> AsyncIterator[ScriptedCamera]:
    async with ScriptedCamera(transports=("tcp",)) as made:
        yield made


async def collect(session: Camera, seconds: float, also: Callable[[Fragment], None] = lambda _: None) -> list[Fragment]:
    """What a camera streams within that time; `also` is called with it."""
    fragments: list[Fragment] = []

    def take(fragment: Fragment) -> None:
        fragments.append(fragment)
        also(fragment)

    async def stop() -> None:
        await asyncio.sleep(seconds)
        await session.close()

    stopping = asyncio.ensure_future(stop())
    try:
        await session.stream(take)
    finally:
        await stopping
    return fragments


def options(limits: Limits = QUICK, **changes: float) -> CameraOptions:
    return CameraOptions(limits=replace(limits, **changes) if changes else limits)


# -- the conversation ---------------------------------------------------------


async def test_the_whole_conversation(camera: ScriptedCamera) -> None:
    session = await connect(camera.url, options=CameraOptions(transport="tcp"))
    assert [track.codec for track in session.tracks] == ["h264", "aac"]
    await collect(session, 0.3)
    assert camera.methods() == ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY", "TEARDOWN"]
    setups = [seen for seen in camera.requests if seen.method == "SETUP"]
    assert [seen.headers["transport"] for seen in setups] == [
        "RTP/AVP/TCP;unicast;interleaved=0-1",
        "RTP/AVP/TCP;unicast;interleaved=2-3",
    ]
    assert camera.requests[4].headers["range"] == "npt=0.000-"
    assert [seen.headers["cseq"] for seen in camera.requests] == [str(n + 1) for n in range(6)]
    assert len({seen.headers.get("session") for seen in camera.requests[3:]}) == 1


async def test_fragments_come_with_both_tracks_and_a_common_time(camera: ScriptedCamera) -> None:
    fragments = await collect(await connect(camera.url), 2.5)
    assert len(fragments) >= 2
    assert all(fragment.is_sync for fragment in fragments)  # the clip has a sync sample every second
    assert [run.track for run in fragments[0].runs] == [0, 1]
    units = [unit for fragment in fragments for unit in rtspkit.rtp.access_units(fragment)]
    for kind in ("video", "audio"):
        first = next(unit for unit in units if unit.track.kind == kind)
        assert 0 <= first.pts / first.track.clock_rate < 0.2


async def test_units_are_those_that_were_sent(camera: ScriptedCamera) -> None:
    seen: list[bytes] = []
    async with asyncio.timeout(10), rtspkit.open(camera.url) as reader:
        async for unit in reader:
            if unit.track.kind == "video":
                seen.append(unit.data)
            if len(seen) == 30:
                break
    sent = [
        b"".join(len(nal).to_bytes(4, "big") + nal for nal in unit if nal[0] & 0x1F not in {7, 8, 9})
        for unit in camera.clip.tracks[0].units
    ]
    start = sent.index(seen[0])
    assert start % 25 == 0  # it begins with a sync sample
    assert seen == [sent[(start + number) % len(sent)] for number in range(30)]


@pytest.mark.parametrize("reset", [False, True])
async def test_a_camera_that_hangs_up_is_lost(camera: ScriptedCamera, reset: bool) -> None:
    camera.faults = [faults.HangUp(40, reset)]
    session = await connect(camera.url)
    fragments: list[Fragment] = []
    with pytest.raises(rtspkit.ConnectionLost, match=str(camera.port)):
        await asyncio.wait_for(session.stream(fragments.append), 10)
    assert fragments  # what had come is not lost with it
    await session.close()
    with pytest.raises(rtspkit.ConnectionLost, match="closed"):
        await session.stream(fragments.append)


async def test_iteration_ends_with_the_same_error(camera: ScriptedCamera) -> None:
    camera.faults = [faults.HangUp(20)]
    units = []

    async def read() -> None:
        async with rtspkit.open(camera.url) as reader:
            async for unit in reader:
                units.append(unit)  # noqa: PERF401

    with pytest.raises(rtspkit.ConnectionLost):
        await read()
    assert len(units) >= 19


async def test_open_reconnects_when_asked_to(camera: ScriptedCamera) -> None:
    camera.faults = [faults.HangUp(20)]
    breaks = 0
    async with asyncio.timeout(20), rtspkit.open(camera.url, reconnect=True) as reader:
        async for unit in reader:
            breaks += unit.discontinuity
            if breaks == 2:
                break
    assert camera.connections == 3


async def test_media_silence_is_noticed(camera: ScriptedCamera) -> None:
    session = await connect(camera.url, options=options())
    camera.faults = [faults.Mute()]
    started = time.monotonic()
    with pytest.raises(rtspkit.TimeoutExceeded, match="no media"):
        await asyncio.wait_for(session.stream(lambda _: None), 10)
    assert time.monotonic() - started >= 0.5
    await session.close()
    assert camera.methods()[-1] == "TEARDOWN"  # a silent camera is told, too


class Farewells(faults.Fault):
    """Says goodbye with each access unit, and goes on."""

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        client.carriers[track].send([bye(camera.ssrc(track))], is_rtcp=True)
        return packets


async def test_a_goodbye_among_media_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BYE_GRACE", 0.5)
    async with ScriptedCamera(Farewells()) as camera:
        session = await connect(camera.url, options=CameraOptions(transport="tcp"))
        await collect(session, 2.5)
        assert session.stats().tracks[0].reports > 10


async def test_rtcp_alone_is_no_media(camera: ScriptedCamera) -> None:
    """Sender reports go on while RTP has stopped (R06)."""
    session = await connect(camera.url, options=options())
    camera.faults = [faults.Mute()]
    with pytest.raises(rtspkit.TimeoutExceeded):
        await asyncio.wait_for(session.stream(lambda _: None), 5)
    await session.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_bye_ends_a_connection_before_the_silence_would(transport: TransportChoice) -> None:
    limits = replace(DEFAULT_LIMITS, media_timeout=60)
    async with ScriptedCamera(faults.Bye(after=5)) as camera:
        session = await connect(camera.url, options=CameraOptions(limits=limits, transport=transport))
        with pytest.raises(rtspkit.ConnectionLost, match="BYE"):
            await asyncio.wait_for(session.stream(lambda _: None), 20)
        await session.close()


async def test_a_session_that_the_camera_has_forgotten_ends_before_the_silence_would() -> None:
    """454 to a keep-alive is believed where no media come; some cameras say it and go on."""
    limits = replace(DEFAULT_LIMITS, media_timeout=60)
    forgets = faults.Refuse("GET_PARAMETER", 454, "Session Not Found")
    lives = faults.SessionTimeout(2)
    async with ScriptedCamera(forgets, lives) as goes_on, ScriptedCamera(forgets, lives, faults.Mute()) as gone:
        chatty = await connect(goes_on.url, options=CameraOptions(limits=limits))
        reading = asyncio.create_task(chatty.stream(lambda _: None))
        session = await connect(gone.url, options=CameraOptions(limits=limits, transport="tcp"))
        with pytest.raises(rtspkit.ConnectionLost, match="ended the session \\(454 to a keep-alive\\)"):
            await asyncio.wait_for(session.stream(lambda _: None), 20)
        await session.close()
        await goes_on.wait_for("GET_PARAMETER")
        assert not reading.done()
        await chatty.close()
        await reading


async def test_a_camera_is_told_where_closing_is_cancelled_at_once(camera: ScriptedCamera) -> None:
    """As at the end of `asyncio.run`, which cancels what is left."""
    session = await connect(camera.url, options=options())
    closing = asyncio.ensure_future(session.close())
    await asyncio.sleep(0)
    assert session._closing is not None
    session._closing.cancel()
    await asyncio.wait([closing])
    await camera.wait_for("TEARDOWN")
    assert session._link is None


async def test_a_shortage_of_sockets_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP this time; that there was no room for another socket says nothing of the next."""
    memory = CameraMemory()
    async with ScriptedCamera() as camera:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        with monkeypatch.context() as patch:
            patch.setattr(Datagrams, "_bind", full)
            session = await connect(camera.url, memory=memory)
        assert (session.transport, memory.transport) == ("tcp", None)
        assert "too many open files" in memory.transport_reason.lower()
        await session.close()
        session = await connect(camera.url, memory=memory)
        assert session.transport == "udp"
        await session.close()


@pytest.mark.parametrize("pairs", [0, 1])
async def test_automatic_is_tcp_where_this_machine_has_no_ports_left(pairs: int) -> None:
    """None for the first track, or none for the second."""
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        first = taken.getsockname()[1] & ~1
        ports = (first, first + 2) if not pairs else (first + 2, first + 4)  # one pair fits into each
        memory = CameraMemory()
        options = CameraOptions(udp_source_ports=ports)
        async with ScriptedCamera() as camera:
            session = await connect(camera.url, options=options, memory=memory)
            assert (session.transport, len(session.tracks)) == ("tcp", 2)
            await session.close()
            with pytest.raises(rtspkit.UnsupportedError, match="no two UDP ports"):
                await connect(camera.url, options=replace(options, transport="udp"))
        assert memory.transport == "tcp"
        assert "no two UDP ports" in memory.transport_reason
        assert ("TEARDOWN" in camera.methods(1)) is ("SETUP" in camera.methods(1))


async def test_sound_alone_is_no_media_of_a_camera_with_video() -> None:
    limits = replace(DEFAULT_LIMITS, media_timeout=1.5)
    async with ScriptedCamera(faults.Mute(after=20, tracks={0})) as camera:
        session = await connect(camera.url, options=CameraOptions(limits=limits, transport="tcp"))
        with pytest.raises(rtspkit.TimeoutExceeded, match="sends no video any more"):
            await asyncio.wait_for(session.stream(lambda _: None), 20)
        await session.close()
        assert camera.methods()[-1] == "TEARDOWN"


async def test_packets_of_strangers_alone_are_told_of() -> None:
    limits = replace(DEFAULT_LIMITS, media_timeout=4.0)
    async with ScriptedCamera(faults.Foreign(), faults.NoDatagrams()) as camera:
        session = await connect(camera.url, options=CameraOptions(limits=limits, transport="udp"))
        with pytest.raises(rtspkit.TimeoutExceeded, match="rtspAnyPort"):
            await asyncio.wait_for(session.stream(lambda _: None), 20)
        await session.close()


# -- keep-alive ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("public", "method"),
    [("OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN", "GET_PARAMETER"), ("OPTIONS, DESCRIBE", "OPTIONS")],
)
async def test_keep_alive_as_public_and_the_timeout_say(camera: ScriptedCamera, public: str, method: str) -> None:
    camera.faults = [faults.Header("OPTIONS", name="Public", value=public), faults.SessionTimeout(1)]
    session = await connect(camera.url)
    streaming = asyncio.ensure_future(session.stream(lambda _: None))
    before = camera.methods().count(method)
    await camera.wait_for(method, before + 2)
    await session.close()
    await streaming


async def test_an_unanswered_keep_alive_ends_nothing(camera: ScriptedCamera) -> None:
    camera.faults = [faults.SessionTimeout(1)]
    session = await connect(camera.url, options=options(media_timeout=5))
    camera.faults.append(faults.NeverAnswer("GET_PARAMETER"))
    fragments = await collect(session, 2.2)
    assert len(fragments) >= 2
    assert "OPTIONS" in camera.methods()[5:]  # it tries the other one


async def test_a_request_from_the_camera_is_answered(camera: ScriptedCamera) -> None:
    camera.faults = [faults.Ask("OPTIONS")]
    fragments = await collect(await connect(camera.url), 1.5)
    assert fragments
    assert fragments[0].runs[0].track == 0
    assert [answer.status for answer in camera.answers] == [200]


async def test_junk_between_frames_and_strange_channels_do_no_harm(camera: ScriptedCamera) -> None:
    camera.faults = [faults.Between(b"\r\n"), faults.Flood(9, b"\x80" * 500)]
    session = await connect(camera.url)
    fragments = await collect(session, 1.5)
    stats = session.stats()
    assert fragments
    assert stats.unknown_bytes > 5000
    assert stats.packets_lost == stats.errors == 0


# -- credentials --------------------------------------------------------------


@pytest.mark.parametrize(
    "credentials",
    [
        Basic(),
        Digest(),
        Digest(algorithm="SHA-256"),
        Digest(algorithm="MD5-sess"),
        Digest(qop=None),
        Digest(qop="auth-int"),
        Digest(opaque="x y", userhash=True),
    ],
)
async def test_credentials(camera: ScriptedCamera, credentials: Credentials) -> None:
    camera.credentials = credentials
    credentials.password = "p@s:s/w?o#r%d"
    url = camera.url.replace("rtsp://", "rtsp://admin:p%40s%3As%2Fw%3Fo%23r%25d@")
    fragments = await collect(await connect(url), 1.2)
    assert fragments
    assert not any("p@s" in seen.uri or "p%40s" in seen.uri for seen in camera.requests)


async def test_a_nonce_that_goes_stale_is_renewed(camera: ScriptedCamera) -> None:
    camera.credentials, camera.faults = Digest(nonce_life=3), [faults.SessionTimeout(1)]
    session = await connect(camera.url_with_credentials)
    fragments = await collect(session, 2.2)
    assert len(fragments) >= 2
    assert camera.methods()[-1] == "TEARDOWN"


async def test_wrong_credentials_are_not_repeated(camera: ScriptedCamera) -> None:
    camera.credentials = Digest()
    url = camera.url.replace("rtsp://", "rtsp://admin:geheim@")
    with pytest.raises(rtspkit.AuthenticationError, match="refuses the user name or the password") as caught:
        await connect(url)
    assert "geheim" not in f"{caught.value}{caught.value!r}"
    assert sum("authorization" in seen.headers for seen in camera.requests) == 1


async def test_missing_credentials_are_named(camera: ScriptedCamera) -> None:
    camera.credentials = Basic()
    with pytest.raises(rtspkit.AuthenticationError, match="the URL has none"):
        await connect(camera.url)


async def test_credentials_do_not_follow_a_redirect_to_another_host(camera: ScriptedCamera) -> None:
    async with ScriptedCamera() as other:
        camera.credentials, camera.faults = Basic(), [faults.Redirect(location=other.url)]
        session = await connect(camera.url_with_credentials)
        await session.close()
        assert any("authorization" in seen.headers for seen in camera.requests)
        assert other.requests
        assert not any("authorization" in seen.headers for seen in other.requests)


async def test_a_redirect_to_another_host_is_followed_only_where_it_is_allowed(camera: ScriptedCamera) -> None:
    async with ScriptedCamera() as other:
        camera.credentials = Basic()
        camera.faults = [faults.Redirect(location=other.url.replace("127.0.0.1", "localhost"))]
        with pytest.raises(rtspkit.ResponseError, match=r"redirects to another host, localhost.*allowRedirectHosts"):
            await connect(camera.url_with_credentials)
        assert not other.requests
        session = await connect(camera.url_with_credentials, options=CameraOptions(allow_redirect_hosts=True))
        await session.close()
        assert other.requests
        assert not any("authorization" in seen.headers for seen in other.requests)


async def test_nothing_is_sent_in_the_clear_where_tls_is_wanted(camera: ScriptedCamera) -> None:
    with pytest.raises(rtspkit.TimeoutExceeded, match="is it rtsp://"):
        await connect(camera.url_with_credentials.replace("rtsp://", "rtsps://"), options=options())
    assert not camera.requests
    camera.faults = [faults.Redirect(location=camera.url.replace("rtsp://", "rtsps://"))]
    with pytest.raises(rtspkit.TimeoutExceeded, match="is it rtsp://"):
        await connect(camera.url, options=options())
    assert camera.methods() == ["OPTIONS", "DESCRIBE"]


async def test_a_redirect_loop_ends(camera: ScriptedCamera) -> None:
    camera.faults = [faults.Redirect()]
    with pytest.raises(rtspkit.ResponseError, match="redirects more than 3 times"):
        await connect(camera.url)
    assert camera.methods().count("DESCRIBE") == 4


# -- cameras that cannot be used ----------------------------------------------


async def test_a_refused_connection() -> None:
    with socket.socket() as sock:  # bound, not listening
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(rtspkit.ConnectionLost, match=f"127.0.0.1:{port} cannot be reached: .*refused"):
            await connect(f"rtsp://127.0.0.1:{port}/x")


async def test_a_name_that_is_not_known() -> None:
    with pytest.raises(rtspkit.ConnectionLost, match=r"no-such-host\.invalid"):
        await connect("rtsp://no-such-host.invalid/x")


async def test_a_camera_that_accepts_and_never_answers(camera: ScriptedCamera) -> None:
    camera.faults = [faults.NeverAnswer()]
    with pytest.raises(rtspkit.TimeoutExceeded, match=r"did not answer OPTIONS within 0\.4 s"):
        await connect(camera.url, options=options())


async def test_a_byte_now_and_then_does_not_extend_the_time(camera: ScriptedCamera) -> None:
    camera.faults = [faults.Drip(0.1)]
    with pytest.raises(rtspkit.TimeoutExceeded, match="OPTIONS"):
        await asyncio.wait_for(connect(camera.url, options=options()), 3)


async def test_nonsense_for_an_answer(camera: ScriptedCamera) -> None:
    camera.faults = [faults.Say("DESCRIBE", data=b"\x00\x01\x02" * 40000)]
    with pytest.raises(rtspkit.RemoteProtocolError):
        await connect(camera.url, options=options())


async def test_a_description_with_nothing_usable(camera: ScriptedCamera) -> None:
    sdp = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:x\r\n"
    camera.faults = [faults.Describe(sdp)]
    with pytest.raises(rtspkit.UnsupportedError, match=r"(?i)jpeg"):
        await connect(camera.url)
    assert "SETUP" not in camera.methods()


async def test_the_video_is_the_first_track_wherever_it_is_offered(camera: ScriptedCamera) -> None:
    """go2rtc changes the order from session to session; to a viewer it is the same camera."""

    def reversed_medias(sdp: bytes) -> bytes:
        head, *medias = sdp.split(b"m=")
        return b"m=".join((head, *reversed(medias)))

    camera.faults = [faults.Describe(reversed_medias)]
    session = await connect(camera.url, options=CameraOptions(transport="tcp"))
    assert [(track.index, track.kind) for track in session.tracks] == [(0, "video"), (1, "audio")]
    (fragment, *_) = await collect(session, 1.3)
    assert {fragment.tracks[run.track].kind for run in fragment.runs} == {"video", "audio"}
    assert fragment.is_sync


async def test_a_refusal_has_the_cameras_words(camera: ScriptedCamera) -> None:
    camera.faults = [faults.Refuse("DESCRIBE", 404, "Stream Not Found")]
    with pytest.raises(rtspkit.ResponseError, match="refuses DESCRIBE: 404 Stream Not Found"):
        await connect(camera.url)


async def test_one_refused_track_does_not_cost_the_other(camera: ScriptedCamera) -> None:
    camera.faults = [faults.Refuse("SETUP", 459, "Aggregate Operation Not Allowed", uri_ends="trackID=1")]
    session = await connect(camera.url)
    assert [track.kind for track in session.tracks] == ["video"]
    assert session.skipped == ("track 2 (aac, refused by the camera)",)
    assert await collect(session, 1.3)


async def test_close_is_quick_where_teardown_is_not_answered(camera: ScriptedCamera) -> None:
    camera.faults = [faults.NeverAnswer("TEARDOWN")]
    session = await connect(camera.url)
    started = time.monotonic()
    await session.close()
    await session.close()  # again does no harm
    assert time.monotonic() - started < 1
    assert camera.methods().count("TEARDOWN") == 1


async def test_cancelled_while_connecting_leaves_no_socket(camera: ScriptedCamera) -> None:
    camera.faults = [faults.NeverAnswer()]
    connecting = asyncio.ensure_future(connect(camera.url))
    await camera.wait_for("OPTIONS")
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    async with asyncio.timeout(2):
        while camera.clients:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_many_cameras_share_a_tick(camera: ScriptedCamera) -> None:
    ticker = Ticker(0.05)
    async with ScriptedCamera() as second, ScriptedCamera(faults.HangUp(10)) as bad:
        sessions = [await connect(one.url, ticker=ticker) for one in (camera, bad, second)]
        healthy = [asyncio.ensure_future(collect(session, 2.2)) for session in (sessions[0], sessions[2])]
        await asyncio.sleep(0)
        assert len(ticker) == 2  # it was empty, and is theirs all the same
        with pytest.raises(rtspkit.ConnectionLost):
            await sessions[1].stream(lambda _: None)
        await sessions[1].close()
        for fragments in await asyncio.gather(*healthy):
            assert len(fragments) >= 2
    assert len(ticker) == 0


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_latency_may_change_while_a_camera_is_read(transport: TransportChoice) -> None:
    """Fragments of a second become parts of it, read by another ticker, and no unit is lost."""
    calm, quick = Ticker(0.1), Ticker(0.02)

    async with ScriptedCamera() as camera:
        session = await connect(camera.url, options=CameraOptions(transport=transport), ticker=calm)
        fragments = await collect(session, 3.5, lambda _: session.set_latency(0.2, low_latency=True, ticker=quick))
    pictures = [
        [unit.data for unit in rtspkit.rtp.access_units(fragment) if unit.track.kind == "video"]
        for fragment in fragments
    ]
    assert len(pictures[0]) == 25
    assert len(pictures) > 5
    assert all(len(part) <= 6 for part in pictures[1:])
    assert not any(len(ticker) + len(ticker.datagrams) for ticker in (calm, quick))
    units = [unit for part in pictures for unit in part]
    sent = [
        b"".join(len(nal).to_bytes(4, "big") + nal for nal in unit if nal[0] & 0x1F not in {7, 8, 9})
        for unit in camera.clip.tracks[0].units
    ]
    start = sent.index(units[0])
    assert units == [sent[(start + number) % len(sent)] for number in range(len(units))]


async def test_a_slow_reader_holds_the_camera_back_and_loses_nothing(
    camera: ScriptedCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is bounded; what does not fit stays in TCP, and a camera that nobody listens to is not silent."""
    monkeypatch.setattr("rtspkit.units._QUEUE_UNITS", 10)
    limits = replace(DEFAULT_LIMITS, media_timeout=1.5)
    count, last = 0, None
    async with asyncio.timeout(30), rtspkit.open(camera.url, options=options(limits)) as reader:
        async for unit in reader:
            if unit.track.kind != "video":
                continue
            if count == 5:
                await asyncio.sleep(0.8)  # the queue is full long before
                before = reader.stats().bytes_received
                await asyncio.sleep(1.2)
                assert reader.stats().bytes_received == before
            if last is not None:
                assert unit.pts == last + 3600
            last, count = unit.pts, count + 1
            if count == 60:
                break


async def test_a_reader_that_stops_early_does_not_delay_the_end(
    camera: ScriptedCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator is still on its way out when TEARDOWN's answer is awaited on the same socket."""
    monkeypatch.setattr("rtspkit.client._TEARDOWN_TIMEOUT", 8.0)
    async with rtspkit.open(camera.url) as reader:
        async for _ in reader:
            started = time.monotonic()
            break
    assert time.monotonic() - started < 4
    assert camera.methods()[-1] == "TEARDOWN"


async def test_who_leaves_the_loop_may_begin_another_one(camera: ScriptedCamera) -> None:
    pts: list[int] = []
    async with asyncio.timeout(20), rtspkit.open(camera.url) as reader:
        for _ in range(4):
            async for unit in reader:
                if unit.track.kind == "video":
                    pts.append(unit.pts)
                    if len(pts) % 10 == 0:
                        break
        iterator = aiter(reader)
        await anext(iterator)
        with pytest.raises(rtspkit.LocalProtocolError, match="read already"):
            await anext(aiter(reader))
        del iterator
        await anext(aiter(reader))
    assert [b - a for a, b in pairwise(pts)] == [3600] * 39  # and nothing is lost between them


async def test_a_wait_for_a_unit_may_be_cancelled(camera: ScriptedCamera) -> None:
    async with asyncio.timeout(20), rtspkit.open(camera.url) as reader:
        iterator = aiter(reader)
        await anext(iterator)
        for wait in (0.001, 0.01, 0.02, 0.03):  # some are over before a unit comes
            for _ in range(5):
                with suppress(TimeoutError):
                    await asyncio.wait_for(anext(iterator), wait)
        await anext(iterator)


async def test_who_begins_to_read_late_finds_no_silence(camera: ScriptedCamera) -> None:
    async with rtspkit.open(camera.url, options=options(DEFAULT_LIMITS, media_timeout=0.5)) as reader:
        for _ in range(2):
            await asyncio.sleep(0.7)
            async for _unit in reader:
                break


async def test_one_reader_at_a_time(camera: ScriptedCamera) -> None:
    session = await connect(camera.url)
    streaming = asyncio.ensure_future(session.stream(lambda _: None))
    await asyncio.sleep(0)
    with pytest.raises(rtspkit.LocalProtocolError, match="read already"):
        await session.stream(lambda _: None)
    await session.close()
    await streaming


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_a_name_that_cannot_be_one(host: str) -> None:
    with pytest.raises(rtspkit.ConnectionLost, match="its name is not valid"):
        await connect(f"rtsp://{host}/x")


@pytest.mark.parametrize("rate", [1, 99_999_999, 999_999_999])
async def test_odd_numbers_in_a_description_are_no_error_of_ours(camera: ScriptedCamera, rate: int) -> None:
    sdp = (
        f"v=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/{rate}\r\n"
        "a=fmtp:97 mode=AAC-hbr;config=1408\r\na=control:trackID=1\r\n"
    ).encode()
    camera.faults = [faults.Describe(sdp)]
    try:
        session = await connect(camera.url)
    except rtspkit.UnsupportedError:
        assert rate == 999_999_999
    else:
        await session.close()


# -- health ---------------------------------------------------------------------


async def test_health_says_how_the_camera_is(camera: ScriptedCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtspkit.client._LOOK_INTERVAL", 0.5)
    monkeypatch.setattr("rtspkit.health._LOOK", 500_000_000)
    monkeypatch.setattr("rtspkit.health._WINDOW", 1_500_000_000)  # the camera begins with its next sync sample
    session = await connect(camera.url, memory=rtspkit.CameraMemory(reconnects=3, last_error="it was tired"))
    streaming = asyncio.ensure_future(session.stream(lambda _: None))
    await asyncio.sleep(3.2)
    health = session.health()
    await session.close()
    await streaming
    assert (health.transport, health.reconnects, health.last_error) == ("tcp", 3, "it was tired")
    timings = health.timings
    assert timings.connect is not None
    assert timings.first_sync is not None
    steps = [timings.connect, timings.describe, timings.play, timings.first_packet, timings.first_sync]
    assert steps == sorted(step for step in steps if step is not None)
    assert timings.connect >= 0
    assert timings.first_sync < 3
    video, sound = health.tracks
    assert [session.track_quirks(0), session.track_quirks(1)] == [video.quirks, sound.quirks]
    assert video.lost == sound.lost == video.damaged_units == 0
    assert (video.gop_units, video.gop_duration) == (25, 1.0)
    assert video.sync_samples in {3, 4}
    assert video.units_per_second == pytest.approx(25, rel=0.3)
    assert video.last_sync_age is not None
    assert 0 <= video.last_sync_age < 2
    assert health.bitrate == pytest.approx((video.bitrate or 0) + (sound.bitrate or 0))
