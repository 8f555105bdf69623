"""RTSP over TLS (rtsps): the handshake, whom to trust, and a `Link` that deciphers.

Strategy: TLS works on memory, not on the socket (`ssl.MemoryBIO`). A camera sends a record a packet; a TLS
socket reads each with two system calls, while here one reads them all. And nothing OpenSSL wants to say while
it is being read from (a new key, a renegotiation) has to wait for the right direction: it is sent with the rest.

Whom to trust: whoever has a certificate that the system trusts for the URL's host; or, where a fingerprint is
given, whoever has that certificate, of which nothing else is asked. The fingerprint identifies the camera
whatever its age, so it also lets old ones in: TLS 1.0, SHA-1, RSA keys of 1024 bits. Without one only what
OpenSSL holds safe today is spoken.

Specs: RFC 8446 and RFC 5246 (TLS), RFC 7826 section 19 (RTSP over it), RFC 5280 section 4.1 (certificates).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import cache

from rtspkit.errors import CertificateError, ConnectionLost, TimeoutExceeded
from rtspkit.links import READ_SIZE, UNSENT_SIZE, Link, Tap, reason_text
from rtspkit.options import normal_fingerprint
from rtspkit.url import CameraURL

__all__ = ["TLSLink", "secure"]

#: The content of one TLS record at most (RFC 8446, 5.1).
_RECORD_SIZE = 16384
#: What the first byte of a TLS record in a handshake can be: an alert, a handshake message.
_TLS_TYPES = (21, 22)
#: OpenSSL's numbers of what can be wrong with a certificate, for people; others have OpenSSL's own words.
_FAULTS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it has signed itself",
    19: "who issued it has signed itself",
    20: "who issued it is not known here",
    21: "who issued it is not known here",
    62: "it is for another host name",
    64: "it is for another address",
}


class TLSLink(Link):
    """A connection to a camera over TLS.

    Args:
        sock: as of `Link`.
        session: the TLS session, whose handshake is done.
        tap: hears what is inside.
    """

    def __init__(self, sock: socket.socket, session: _Session, *, tap: Tap | None = None) -> None:
        super().__init__(sock, tap=tap)
        self._session = session
        self._unsealed = b""
        self._is_over = False

    @property
    def _is_plain(self) -> bool:
        return False

    def _read(self) -> bytes:
        received = b"" if self._is_over else self._sock.recv(READ_SIZE)
        if not received:
            return b""  # few cameras say before (close_notify) that it is the end
        data, self._is_over = self._session.open(received)
        if sealed := self._seal(b""):  # TLS's own: new keys
            self._transmit(sealed)
        if not data and not self._is_over:
            raise BlockingIOError  # a part of a record, or nothing but TLS's own
        return data

    def _seal(self, data: bytes) -> bytes:
        self._unsealed += data
        if len(self._unsealed) > UNSENT_SIZE:
            raise OSError("its renegotiation does not end")
        taken, sealed = self._session.seal(self._unsealed)
        self._unsealed = self._unsealed[taken:]
        return sealed


class _Session:
    """TLS between two pieces of memory: what the camera sends, and what it is to get.

    Attributes:
        is_heard: the other end has said something that is TLS.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.is_heard = False

    async def shake_hands(self, sock: socket.socket) -> None:
        """The handshake over a socket nobody else reads.

        Raises:
            OSError: it fails.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await loop.sock_sendall(sock, self._outgoing.read())
            except ssl.SSLError:
                with suppress(OSError):  # the alert says why
                    sock.send(self._outgoing.read())
                raise
            else:
                await loop.sock_sendall(sock, self._outgoing.read())
                return
            try:
                data = await loop.sock_recv(sock, READ_SIZE)
            except ConnectionError:
                data = b""
            if not data:
                raise _HungUp("it hangs up")
            if not self.is_heard and data[0] not in _TLS_TYPES:
                raise _NotTLS("it speaks something else")
            self.is_heard = True
            self._incoming.write(data)

    @property
    def certificate(self) -> bytes:
        """The other end's, in DER."""
        return self._tls.getpeercert(binary_form=True) or b""

    def open(self, data: bytes) -> tuple[bytes, bool]:
        """What is in `data`, and whether nothing will follow."""
        self._incoming.write(data)
        parts: list[bytes] = []
        try:
            while self._incoming.pending:
                part = self._tls.read(_RECORD_SIZE)
                if not part:
                    return b"".join(parts), True
                parts.append(part)
        except ssl.SSLWantReadError:
            pass  # a part of a record
        except ssl.SSLError as error:
            raise OSError(f"its TLS is broken ({_words(error)})") from None
        return b"".join(parts), False

    def seal(self, data: bytes) -> tuple[int, bytes]:
        """How much of `data` could be enciphered now, and what is to be sent."""
        taken = 0
        try:
            while taken < len(data):
                taken += self._tls.write(data[taken:])
        except ssl.SSLWantReadError:
            pass  # in the middle of a renegotiation
        except ssl.SSLError as error:
            raise OSError(f"its TLS is broken ({_words(error)})") from None
        return taken, self._outgoing.read()


class _NotTLS(OSError):
    """The other end does not speak TLS."""


class _HungUp(OSError):
    """The other end closes the connection within the handshake. Some do where TLS is too new for them."""


async def secure(
    connect: Callable[[], Awaitable[socket.socket]],
    url: CameraURL,
    fingerprint: str | None,
    deadline: float,
    tap: Tap | None = None,
) -> TLSLink:
    """Connects, and makes sure that it is the camera.

    Args:
        connect: gives a connected socket; called once more where the certificate is not trusted, for only a
            handshake that trusts everybody shows which one it is.
        url: whom it is to be.
        fingerprint: SHA-256 of the only certificate to accept; None: any that is good for the URL's host.
        deadline: the loop's time by which the handshake is to be done.
        tap: hears what is inside.

    Raises:
        CertificateError: it is another one, or cannot be trusted.
        ConnectionLost: it speaks no TLS, or hangs up.
        TimeoutExceeded: it does not answer.
    """
    session = _Session(_verifying() if fingerprint is None else _pinning(), _server_name(url))
    sock = await connect()
    try:
        async with asyncio.timeout_at(deadline):
            await session.shake_hands(sock)
        if fingerprint is not None:
            _check_fingerprint(url, session.certificate, fingerprint)
        return TLSLink(sock, session, tap=tap)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError) and not isinstance(error, ConnectionLost):
            certificate = None
            if fingerprint is None and isinstance(error, (ssl.SSLError, _HungUp)):
                certificate = await _look(connect, url, deadline)
            raise _failure(url, error, session.is_heard, certificate) from None
        raise


async def _look(connect: Callable[[], Awaitable[socket.socket]], url: CameraURL, deadline: float) -> bytes | None:
    """The certificate of a camera that is not trusted; None if it cannot be had. Nothing is said to it."""
    try:
        async with asyncio.timeout_at(deadline):
            with await connect() as sock:
                session = _Session(_pinning(), _server_name(url))
                await session.shake_hands(sock)
                return session.certificate
    except OSError:
        return None


def _server_name(url: CameraURL) -> str:
    return url.host.partition("%")[0]


# Both take tens of milliseconds and a megabyte to make, and do not change: cameras share them.


@cache
def _verifying() -> ssl.SSLContext:
    """Trusts whom the system trusts."""
    context = ssl.create_default_context()
    # Python 3.13 sets it; authorities that were made for a few cameras seldom have every extension
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@cache
def _pinning() -> ssl.SSLContext:
    """Speaks with everybody: the fingerprint decides afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.options |= getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 4)  # cameras from before RFC 5746 (2010)
    return context


# -- what is wrong, for people


def _check_fingerprint(url: CameraURL, certificate: bytes, wanted: str) -> None:
    found = hashlib.sha256(certificate).hexdigest()
    if not hmac.compare_digest(found, normal_fingerprint(wanted)):
        raise CertificateError(
            f"{url.address} has another certificate than sourceFingerprint says{_issued(certificate)}; if the camera "
            f"has got a new one, it is sourceFingerprint: {found}",
            fingerprint=found,
        )


def _failure(
    url: CameraURL, error: OSError, is_heard: bool, certificate: bytes | None
) -> ConnectionLost | TimeoutExceeded:
    """What to say of a handshake that has failed.

    Args:
        url: whose.
        error: how.
        is_heard: it has spoken TLS.
        certificate: what it shows to whoever asks nothing of it; None where that is not known.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = _FAULTS.get(error.verify_code) or error.verify_message
        text = f"{url.address} has a certificate that is not to be trusted{_issued(certificate)}: {fault}"
    elif certificate or isinstance(error, ssl.SSLError):
        reason = _words(error) if isinstance(error, ssl.SSLError) else str(error)
        text = f"{url.address} does not agree on TLS ({reason})" + "; it is too old to be safe" * bool(certificate)
    else:
        advice = "" if is_heard else f"; is it {url.scheme.replace('rtsps', 'rtsp')}://?"
        if isinstance(error, TimeoutError) and error.errno is None:
            return TimeoutExceeded(f"{url.address} does not finish the TLS handshake in time{advice}")
        if isinstance(error, _NotTLS):
            return ConnectionLost(f"{url.address} does not speak TLS{advice}")
        return ConnectionLost(f"{url.address} does not finish the TLS handshake: {reason_text(error)}{advice}")
    if not certificate:
        return ConnectionLost(text)
    found = hashlib.sha256(certificate).hexdigest()
    return CertificateError(f"{text}; if it is your camera, set sourceFingerprint: {found}", fingerprint=found)


def _words(error: ssl.SSLError) -> str:
    """OpenSSL's name of an error, in words."""
    return (error.reason or "unknown").replace("_", " ").lower()


def _issued(certificate: bytes | None) -> str:
    issuer = _issuer(certificate) if certificate else None
    return f" (issued by {issuer})" if issuer else ""


def _issuer(certificate: bytes) -> str | None:
    """The common name of who issued a certificate, or its organization; None where it has neither."""
    fields = list(_elements(b"".join(value for _, value in _elements(certificate))))
    contents = [value for tag, value in _elements(fields[0][1]) if tag != 0xA0] if fields else []  # 0xA0: the version
    if len(contents) < 3:  # serial number, algorithm, issuer
        return None
    names: dict[bytes, str] = {}
    for _, group in _elements(contents[2]):
        for _, pair in _elements(group):
            parts = [value for _, value in _elements(pair)]
            if len(parts) == 2:
                names[parts[0]] = re.sub(r"[^\x20-\x7e]", "?", parts[1].decode("utf-8", "replace"))[:64]
    return names.get(b"\x55\x04\x03") or names.get(b"\x55\x04\x0a")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element of a DER sequence."""
    place = 0
    while place + 2 <= len(data):
        tag, length = data[place], data[place + 1]
        place += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[place : place + size], "big")
            place += size
        yield tag, data[place : place + length]
        place += length
