"""What is answered to a viewer, made once and sent to everybody who asks: status, headers, body, validator.

Spec: RFC 9110 8.8.3 (ETag), RFC 9111 5.2 (Cache-Control).
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from rtspkit.asgitypes import Header
from rtspkit.store import Body

__all__ = ["Response", "error_response", "media_response", "playlist_response"]

Headers = tuple[tuple[str, str], ...]

_CONTENT_PLAYLIST = ("content-type", "application/vnd.apple.mpegurl")
_CONTENT_MEDIA = ("content-type", "video/mp4")
_CONTENT_TEXT = ("content-type", "text/plain; charset=utf-8")
_CACHE_MEDIA = ("cache-control", "public, max-age=3600, immutable")
_CACHE_ERROR = ("cache-control", "max-age=1")
#: Playlists change several times a second: a better level costs more time than it saves bytes.
_GZIP_LEVEL = 4


@dataclass(frozen=True)
class Response:
    """What to answer a viewer.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        body: several buffers to send one behind the other, or a file.
        etag: validator of the body, in its quotes; None where there is none.
        is_text: it is worth compressing.
        sent: headers and buffers as they were sent, to be sent again: kept here by whoever sends it.
    """

    status: int
    headers: Headers
    body: Body
    etag: str | None = None
    is_text: bool = False
    sent: dict[object, tuple[list[Header], tuple[bytes, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def gzipped(self) -> bytes | None:
        """The body compressed; None where that does not pay. Made when somebody first wants it."""
        if not self.is_text or not isinstance(self.body, tuple):
            return None
        return gzip.compress(b"".join(self.body), _GZIP_LEVEL, mtime=0)

    @property
    def raw_headers(self) -> tuple[Header, ...]:
        """The headers as ASGI sends them; a type is what it says, whatever a browser might guess."""
        return _raw(self.headers)


@lru_cache(maxsize=64)
def _raw(headers: Headers) -> tuple[Header, ...]:
    named = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
    return (*named, (b"x-content-type-options", b"nosniff"))


def error_response(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """An error as every viewer and cache is to see it: short-lived, one line of text."""
    body = f"{text}\n".encode()
    return Response(status, (_CONTENT_TEXT, _CACHE_ERROR, *headers), (body,))


def playlist_response(text: str, cache_control: str) -> Response:
    """A playlist, with a validator made of its text."""
    body = text.encode()
    # weak: the gzip form has other bytes and the same meaning
    etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = (_CONTENT_PLAYLIST, ("cache-control", cache_control), ("vary", "accept-encoding"))
    return Response(200, headers, (body,), etag=etag, is_text=True)


def media_response(body: Body, etag: str) -> Response:
    """An init section, a segment or a part: what its URL names never changes."""
    return Response(200, (_CONTENT_MEDIA, _CACHE_MEDIA), body, etag=etag)
