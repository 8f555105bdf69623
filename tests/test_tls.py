"""RTSP over TLS against real TLS servers: whom it trusts, what it says of those it does not, and what it survives."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from certificates import Certificate, certificates
from hypothesis import given
from hypothesis import strategies as st

import rtspkit
from rtspkit import CameraOptions, tls
from rtspkit.client import connect
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.testing import ScriptedCamera
from rtspkit.testing.faults import Redirect, Turn
from rtspkit.ticker import Ticker
from rtspkit.url import parse_url

QUICK = replace(DEFAULT_LIMITS, connect_timeout=0.5, reply_timeout=0.5, media_timeout=4.0)

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The system trusts the tests' authority, and nobody else."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates().authority))
    tls._verifying.cache_clear()
    yield
    tls._verifying.cache_clear()


def camera(certificate: Certificate, *faults: Any) -> ScriptedCamera:
    return ScriptedCamera(*faults, tls=certificate.server())


def pinned(certificate: Certificate, **changes: Any) -> CameraOptions:
    return CameraOptions(limits=QUICK, fingerprint=certificate.fingerprint, **changes)


async def units(session: rtspkit.Camera, count: int) -> list[rtspkit.AccessUnit]:
    found = []
    async with asyncio.timeout(10):
        async for unit in session:
            found.append(unit)
            if len(found) == count:
                break
    return found


@asynccontextmanager
async def listening(serve: Server, **options: Any) -> AsyncIterator[int]:
    """A server of one function; its port. Connections end with it."""
    async with AsyncExitStack() as stack:

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stack.callback(writer.close)
            with suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)

        server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
        stack.callback(server.close)
        yield server.sockets[0].getsockname()[1]


# -- it plays -----------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_the_system_trusts(host: str) -> None:
    async with camera(certificates().good) as server:
        session = await connect(server.url.replace("127.0.0.1", host), options=CameraOptions(limits=QUICK))
        assert len(await units(session, 30)) == 30
        assert isinstance(session._link, tls.TLSLink)
        await session.close()
        await server.wait_for("TEARDOWN")
        assert session.stats().packets_lost == 0


@pytest.mark.parametrize("spell", [str, str.upper, lambda text: ":".join(text[i : i + 2] for i in range(0, 64, 2))])
async def test_a_fingerprint_however_it_is_written(spell: Callable[[str], str]) -> None:
    certificate = certificates().own
    async with camera(certificate) as server:
        options = CameraOptions(limits=QUICK, fingerprint=spell(certificate.fingerprint))
        session = await connect(server.url, options=options)
        await session.close()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_fragments_at_the_tick(version: str) -> None:
    certificate = certificates().own
    context = certificate.server()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    heard = bytearray()

    def tap(direction: str, data: bytes, *_: object) -> None:
        if direction == "out":
            heard.extend(data)

    async with ScriptedCamera(tls=context) as server:
        session = await connect(server.url, options=pinned(certificate), ticker=Ticker(0.02), tap=tap)
        fragments: list[rtspkit.Fragment] = []
        streaming = asyncio.ensure_future(session.stream(fragments.append))
        async with asyncio.timeout(10):
            while len(fragments) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await session.close()
        await streaming
        assert session.stats().packets_lost == 0
        assert bytes(heard).startswith(b"OPTIONS rtsps://")
        assert b"TEARDOWN" in heard


async def test_an_old_camera_with_its_fingerprint() -> None:
    """TLS 1.0, SHA-1, 1024 bits."""
    certificate = certificates().weak
    async with ScriptedCamera(tls=certificate.old_server()) as server:
        session = await connect(server.url, options=pinned(certificate))
        assert len(await units(session, 5)) == 5
        await session.close()
        with pytest.raises(rtspkit.CertificateError, match=r"too old to be safe; .* set sourceFingerprint: ") as caught:
            await connect(server.url)
        assert caught.value.fingerprint == certificate.fingerprint


# -- whom it does not trust -------------------------------------------------------


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("own", "has signed itself"),
        ("expired", "has expired"),
        ("elsewhere", "is for another address"),
        ("weak", "key too weak|has signed itself"),
    ],
)
async def test_certificates_that_are_not_trusted(name: str, fault: str) -> None:
    certificate: Certificate = getattr(certificates(), name)
    context = certificate.server() if name != "weak" else certificate.old_server()
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    async with ScriptedCamera(tls=context) as server:
        with pytest.raises(rtspkit.CertificateError, match=fault) as caught:
            await connect(server.url.replace("rtsps://", "rtsps://admin:secret@"), options=CameraOptions(limits=QUICK))
        assert caught.value.fingerprint == certificate.fingerprint
        message = str(caught.value)
        assert message.startswith(f"127.0.0.1:{server.port} ")
        assert "(issued by Authority of the tests)" in message
        assert f"sourceFingerprint: {certificate.fingerprint}" in message
        assert "secret" not in message
        assert "\n" not in message
        assert not server.requests  # nothing was said to it


async def test_an_authority_nobody_knows() -> None:
    async with camera(certificates().good) as server:
        with pytest.raises(rtspkit.CertificateError, match="who issued it is not known here"):
            await connect(server.url, options=CameraOptions(limits=QUICK))


@pytest.mark.usefixtures("trusted")
async def test_another_certificate_than_the_fingerprint_says() -> None:
    """Even one that the system trusts."""
    async with camera(certificates().good) as server:
        with pytest.raises(rtspkit.CertificateError, match="another certificate than sourceFingerprint says") as caught:
            await connect(server.url, options=pinned(certificates().own))
        assert caught.value.fingerprint == certificates().good.fingerprint
        assert not server.requests


# -- servers that speak something else, or stop -------------------------------------


async def fails(port: int, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        await connect(f"rtsps://admin:secret@127.0.0.1:{port}/x", options=CameraOptions(limits=QUICK))
    assert "\n" not in str(caught.value)


async def say(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    await asyncio.sleep(60)


@pytest.mark.parametrize("data", [b"RTSP/1.0 400 Bad Request\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100)])
async def test_what_is_not_tls(data: bytes) -> None:
    async with listening(lambda _, writer: say(writer, data)) as port:
        await fails(port, rtspkit.ConnectionLost, "does not speak TLS; is it rtsp://")


async def test_a_server_that_hangs_up_at_once() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(serve) as port:
        await fails(port, rtspkit.ConnectionLost, "TLS handshake: it hangs up; is it rtsp://")


async def test_a_server_that_says_nothing() -> None:
    async with listening(lambda _, writer: say(writer, b"")) as port:
        await fails(port, rtspkit.TimeoutExceeded, "does not finish the TLS handshake in time; is it rtsp://")


@pytest.mark.parametrize(
    ("data", "kind", "match"),
    [
        (b"\x16\x03\x03\x00\x40\x02\x00", rtspkit.TimeoutExceeded, "handshake in time$"),  # and never the rest
        (b"\x16\x03\x03\xff\xff" + bytes(100), rtspkit.ConnectionLost, "does not agree on TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x28", rtspkit.ConnectionLost, "does not agree on TLS .*handshake failure"),
    ],
)
async def test_a_handshake_that_goes_wrong(data: bytes, kind: type[Exception], match: str) -> None:
    async with listening(lambda _, writer: say(writer, data)) as port:
        await fails(port, kind, match)


async def test_a_handshake_that_drips_has_the_same_time() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"\x16\x03\x03\x3f\x00\x02\x00\x3e\xfc" + bytes(1000):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    async with listening(serve) as port, asyncio.timeout(5):
        await fails(port, rtspkit.TimeoutExceeded, "does not finish the TLS handshake in time$")


async def test_half_a_handshake_and_gone() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x16\x03\x03\x00\x40\x02")
        await writer.drain()
        writer.close()

    async with listening(serve) as port:
        await fails(port, rtspkit.ConnectionLost, "does not finish the TLS handshake: it hangs up$")


@pytest.mark.parametrize("location", ["rtsp://127.0.0.1:1/x", "rtsp+http://127.0.0.1:1/x"])
async def test_no_redirect_leads_out_of_tls(location: str) -> None:
    certificate = certificates().own
    async with camera(certificate, Redirect(location=location)) as server:
        with pytest.raises(rtspkit.ResponseError, match="redirect from rtsps to rtsp is not followed"):
            await connect(server.url, options=pinned(certificate))


# -- while it plays -----------------------------------------------------------------


class Wire:
    """Stands between reader and camera; `cut` and `spoil` say what happens to what the camera sends."""

    def __init__(self, port: int, *, size: int = 65536) -> None:
        self.port = port
        self.size = size
        self.cut = False
        self.spoil = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.port)

        async def there() -> None:
            while data := await reader.read(65536):
                upstream_writer.write(data)

        task = asyncio.ensure_future(there())
        try:
            while data := await upstream_reader.read(self.size):
                if self.cut:
                    return  # the connection just ends: no close_notify
                writer.write(bytes(len(data)) if self.spoil else data)
                await writer.drain()
        finally:
            task.cancel()
            upstream_writer.close()
            writer.close()


@pytest.mark.parametrize("size", [1, 7])
async def test_records_in_small_pieces(size: int) -> None:
    certificate = certificates().own
    async with camera(certificate) as server, listening(Wire(server.port, size=size)) as port:
        options = CameraOptions(fingerprint=certificate.fingerprint)
        session = await connect(server.url.replace(str(server.port), str(port)), options=options)
        assert len(await units(session, 3)) == 3
        await session.close()


@pytest.mark.parametrize("ticker", [None, Ticker(0.02)])
@pytest.mark.parametrize(("fault", "match"), [("cut", "closed the connection"), ("spoil", "its TLS is broken")])
async def test_a_connection_that_breaks(fault: str, match: str, ticker: Ticker | None) -> None:
    certificate = certificates().own
    async with camera(certificate) as server:
        wire = Wire(server.port)
        async with listening(wire) as port:
            url = server.url.replace(str(server.port), str(port))
            session = await connect(url, options=pinned(certificate), ticker=ticker)
            await units(session, 3)
            setattr(wire, fault, True)
            reading = session.stream(lambda _: None) if ticker else units(session, 1000)
            with pytest.raises(rtspkit.ConnectionLost, match=f"(?i)127.0.0.1:{port} .*{match}"):
                await asyncio.wait_for(reading, 5)
            await session.close()


@pytest.mark.parametrize(("version", "command"), [("-tls1_2", b"r\n"), ("-tls1_3", b"K\n")])
async def test_new_keys_in_the_middle(version: str, command: bytes) -> None:
    """OpenSSL's own server renegotiates (TLS 1.2) or asks for new keys (1.3) when told to."""
    path = str(certificates().own.path)
    arguments = ("openssl", "s_server", "-accept", "127.0.0.1:0", version, "-cert", path, "-key", path, "-naccept", "1")
    server = await asyncio.create_subprocess_exec(*arguments, stdin=-1, stdout=-1, stderr=-1)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        async with asyncio.timeout(20):

            async def until(mark: bytes) -> bytes:
                seen = b""
                while mark not in seen:
                    seen += await server.stdout.read(4096)
                return seen

            line = b""
            while not line.startswith(b"ACCEPT"):
                line = await server.stdout.readline()
            port = int(line.rpartition(b":")[2])
            url = parse_url(f"rtsps://127.0.0.1:{port}/x")
            link = await rtspkit.client.dial(url, pinned(certificates().own))
            link.send(b"first\n")
            await until(b"first")
            server.stdin.write(command)
            await server.stdin.drain()
            reading = asyncio.ensure_future(link.receive())
            for number in range(20):  # some of them while the keys are being changed
                link.send(b"word %d\n" % number)
                await asyncio.sleep(0.01)
            assert b"SSL_do_handshake -> 1" in await until(b"word 19")
            server.stdin.write(b"after\n")
            await server.stdin.drain()
            assert await reading == b"after\n"
            link.close()
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        await server.wait()


# -- pieces -------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_any_bytes_have_an_issuer_or_none(data: bytes) -> None:
    assert tls._issuer(data) is None or isinstance(tls._issuer(data), str)


@given(st.data())
def test_a_spoilt_certificate_has_an_issuer_or_none(data: st.DataObject) -> None:
    certificate = bytearray(certificates().own.der)
    for place in data.draw(st.lists(st.integers(0, len(certificate) - 1), max_size=8)):
        certificate[place] = data.draw(st.integers(0, 255))
    name = tls._issuer(bytes(certificate))
    assert name is None or (len(name) <= 64 and name.isprintable())


def test_the_issuer_is_read() -> None:
    assert tls._issuer(certificates().good.der) == "Authority of the tests"


@pytest.mark.parametrize("kind", ["tls", "reset", "closed"])
async def test_a_tls_port_that_is_asked_in_the_clear(kind: str) -> None:
    """What to do is said where it is known, and where nothing but the end of the connection came back."""
    made = camera(certificates().own) if kind == "tls" else ScriptedCamera(Turn(reset=kind == "reset"))
    async with made:
        url = made.url.replace("rtsps://", "rtsp://")
        with pytest.raises(rtspkit.ConnectionLost, match="use rtsps:// instead of rtsp://"):
            await connect(url, options=CameraOptions(limits=QUICK))
