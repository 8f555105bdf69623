"""Every error this package raises, in one tree.

::

    RtspkitError
    ├── ProtocolError              a peer or the caller broke a protocol's rules
    │   ├── LocalProtocolError     the caller asked for something the state does not allow
    │   └── RemoteProtocolError    the peer sent something no rule allows
    │       └── LimitExceeded      ... or more of it than `rtspkit.limits.Limits` allows
    ├── ResponseError              the camera answered, and the answer is no (status 3xx-5xx)
    │   └── AuthenticationError    ... because it wants other credentials (401)
    ├── UnsupportedError           valid, but nothing here can play it
    ├── ConnectionLost             also an OSError: refused, reset, closed, unreachable
    │   └── CertificateError       ... or not made, because the camera's certificate is not to be trusted
    └── TimeoutExceeded            also a TimeoutError: nobody answered in time

`rtspkit.asgi` adds two with which a provider of muxers answers: `PathNotFound` (404) and `NotReady` (503).

Messages are one line, written for the person who runs the camera: what is wrong, where, what to do.
A password never appears in one. Trouble inside a running stream (loss, a broken packet, a mad
timestamp) is counted, not raised.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "CertificateError",
    "ConnectionLost",
    "LimitExceeded",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "ResponseError",
    "RtspkitError",
    "TimeoutExceeded",
    "UnsupportedError",
]


class RtspkitError(Exception):
    """Base of every error of this package."""


class ProtocolError(RtspkitError):
    """A rule of RTSP, RTP, SDP or HLS was broken."""


class LocalProtocolError(ProtocolError):
    """The caller broke the rule: a request the connection's state does not allow, a bad argument."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rule; `offset` and `head` help to find the place in a packet capture.

    Attributes:
        offset: bytes of the connection (or of the text) before the offending place; None where unknown.
        head: the first bytes of what was refused, at most 32.
    """

    def __init__(self, message: str, *, offset: int | None = None, head: bytes = b"") -> None:
        place = "" if offset is None else f" at byte {offset}"
        shown = f" (bytes {head[:32].hex(' ')})" if head else ""
        super().__init__(f"{message}{place}{shown}")
        self.offset = offset
        self.head = bytes(head[:32])


class LimitExceeded(RemoteProtocolError):
    """The peer sent more than a bound of `rtspkit.limits.Limits` allows."""


class ResponseError(RtspkitError):
    """The camera refused a request.

    Attributes:
        status: the RTSP status code.
        reason: the camera's own words.
        method: the request that was refused.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", method: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.method = method

    @property
    def is_busy(self) -> bool:
        """It has no room for one more session now (453, 503; Dahua: 403): to be tried again later."""
        return self.status in {403, 453, 503}


class AuthenticationError(ResponseError):
    """The camera refused the credentials, or asked for some where none were given."""


class UnsupportedError(RtspkitError):
    """What the peer offers is valid, but this package cannot use it."""


class ConnectionLost(RtspkitError, OSError):
    """The connection could not be made, or ended without being asked to."""


class CertificateError(ConnectionLost):
    """The camera shows a certificate that is not to be trusted, or TLS that is not safe. It was told nothing.

    Attributes:
        fingerprint: SHA-256 of that certificate in hexadecimal: what `CameraOptions.fingerprint` has to be for it
            to be trusted. Only who runs the camera can say whether it is the camera's.
    """

    def __init__(self, message: str, *, fingerprint: str) -> None:
        super().__init__(message)
        self.fingerprint = fingerprint


class TimeoutExceeded(RtspkitError, TimeoutError):
    """The peer did not answer, or media did not come, within the time allowed."""
