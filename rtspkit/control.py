"""Control URLs: what SETUP, PLAY and the keep-alive name, from what the SDP and Content-Base say.

Strategy: whatever a camera writes, the URL is on the scheme, host and port the connection goes to; only its
path and query are taken over. A camera behind NAT announces its own address, and a hostile one somebody
else's. A relative one is put behind everything, the query included, as live555, ffmpeg and gortsplib do:
cameras with a query string count on it, whatever RFC 3986 says.

Specs: RFC 2326 C.1 (control URLs), RFC 3986.
"""

from __future__ import annotations

import ipaddress
import re

from rtspkit.quirks import Quirks

__all__ = ["join_control", "resolve_base"]

_SCHEME = re.compile(r"(?:rtsps?://)+", re.IGNORECASE)
#: What would end a request line, or a quoted string in the Authorization header.
_UNSAFE = re.compile(r'[^\x21-\x7e]|["\\]')


def resolve_base(request_url: str, content_base: str | None, quirks: Quirks | None = None) -> str:
    """The base of control URLs: Content-Base, on the host of the request.

    Args:
        request_url: of the DESCRIBE, without credentials.
        content_base: the header, or Content-Location; None where absent.
        quirks: takes what is odd about it.

    Returns:
        An absolute URL on the scheme, host and port of `request_url`. Odd ones seen: "rtsp://rtsp://…", without
        a scheme (Anjvision: "192.168.1.10:554/stream0/"), IPv6 without brackets.
    """
    text = (content_base or "").strip()
    if not text:
        return request_url
    match = _SCHEME.match(text)
    if match:
        if quirks is not None:
            quirks.note("content-base-scheme", match[0].count("://") > 1)
            _note_host(request_url, text[match.end() :], quirks)
        return _origin(request_url) + _clean(_path(text[match.end() :]))
    first = text.partition("/")[0]
    if quirks is not None:
        quirks.note("content-base-scheme")
    if "." in first or ":" in first:
        return _origin(request_url) + _clean(_path(text))
    return _origin(request_url) + "/" + _clean(text.lstrip("/"))


def join_control(base: str, control: str | None, quirks: Quirks | None = None) -> str:
    """The URL that an `a=control` value means.

    Args:
        base: absolute.
        control: absolute or relative; None, "" and "*" mean `base` itself.
        quirks: takes what is odd about it.
    """
    text = (control or "").strip()
    if text in ("", "*"):
        return base
    match = _SCHEME.match(text)
    if match:
        if quirks is not None:
            _note_host(base, text[match.end() :], quirks)
        return _origin(base) + _clean(_path(text[match.end() :]))
    text = _clean(text)
    if base.endswith("/"):
        return base + text.removeprefix("/")
    return base + text if text[0] in "/?" else f"{base}/{text}"


def is_absolute(control: str | None) -> bool:
    """Whether an `a=control` value is a whole URL."""
    return control is not None and _SCHEME.match(control) is not None


def _note_host(url: str, rest: str, quirks: Quirks) -> None:
    """Compares the host of `rest`, what follows a scheme, with that of `url`."""
    own = _host(_origin(url).partition("://")[2])
    other = _host(re.split(r"[/?]", rest, maxsplit=1)[0].rpartition("@")[2])
    if other.count(":") > 1:
        quirks.note("content-base-address", "[" not in rest)
    if other and other != own:
        quirks.note("foreign-host")


def _host(authority: str) -> str:
    """The host of "host:port", an address in its usual spelling."""
    host = re.sub(r":[0-9]*$", "", authority) if authority.count(":") < 2 or "]" in authority else authority
    host = host.strip("[]").lower()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _origin(url: str) -> str:
    """Scheme, host and port of an URL, without a slash behind."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split(r'[/?]', rest, maxsplit=1)[0]}"


def _path(rest: str) -> str:
    """Path and query of what follows a scheme."""
    match = re.search(r"[/?]", rest)
    return rest[match.start() :] if match else ""


def _clean(text: str) -> str:
    """Makes a camera's text fit for a request line."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), text)
