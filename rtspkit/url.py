"""Camera URLs: what a person typed, taken apart; the password kept out of sight.

Strategy: people paste passwords with ``@ / # : ?`` as they are, so the place where the credentials end is
looked for, not computed: an authority that ends in a good host (an address, a dotted name) is believed;
else the last ``@`` with a possible host behind it wins. Percent-encoding settles every doubt.

``rtsp+http`` and ``rtsps+http`` are MediaMTX's names for RTSP in an HTTP tunnel: what travels in the tunnel
is plain RTSP and names ``rtsp://`` or ``rtsps://``.

Specs: RFC 3986 section 3.2, RFC 2326 section 3.2 (rtsp, port 554), RFC 7826 section 4.2 (rtsps, port 322).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from rtspkit.errors import LocalProtocolError

__all__ = ["SCHEMES", "CameraURL", "parse_url", "redirect_url", "split"]

_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "rtsp+http": 80, "rtsps+http": 443}
#: What a camera's URL begins with.
SCHEMES = tuple(_DEFAULT_PORTS)
_TUNNEL = "+http"
#: As long as a request line may be.
_MAX_SIZE = 4000
_HOST_PORT = re.compile(
    r"(\[[0-9A-Fa-f:.]+(?:%[^\]]*)?\]|[A-Za-z0-9._~-]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*)(?::([0-9]*))?"
)
#: Foscam and others take the password in the query, XMEye in the path.
_SECRET = re.compile(r"(?i)((?:pass(?:word|wd)?|pwd|psw|secret|token|auth)=)[^&;/?]*")
#: What would end a request line, or a quoted string in the Authorization header.
_UNSAFE = re.compile(r'[^\x21-\x7e]|[#"\\]')


@dataclass(frozen=True, slots=True, repr=False)
class CameraURL:
    """A camera's address. Printed, it shows no password.

    Attributes:
        scheme: "rtsp", "rtsps", or for a tunnel "rtsp+http" or "rtsps+http".
        host: a name in lower case, or an address (IPv6 without brackets).
        port: 1 to 65535.
        username: None where the URL has no credentials.
        password: likewise; "" where there is only a user name.
        request_url: what request lines name: without credentials, and without "+http".
    """

    scheme: str
    host: str
    port: int
    username: str | None
    password: str | None
    request_url: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials belong to."""
        return self.scheme, self.host, self.port

    @property
    def is_secure(self) -> bool:
        """TLS protects the connection."""
        return self.scheme.startswith("rtsps")

    @property
    def is_tunnel(self) -> bool:
        """RTSP goes through HTTP requests."""
        return self.scheme.endswith(_TUNNEL)

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def printable(self, text: str) -> str:
        """What this camera says, fit for a log; should it repeat the password, not with that."""
        if self.password:
            text = text.replace(self.password, "***")
        return re.sub(r"[^\x20-\x7e]", "?", text)[:100]

    def __str__(self) -> str:
        rest = self.request_url.partition("://")[2]
        user = "" if self.username is None else f"{self.username}:***@"
        return f"{self.scheme}://{user}" + _SECRET.sub(r"\g<1>***", rest)

    def __repr__(self) -> str:
        return f"CameraURL({str(self)!r})"


def parse_url(url: str) -> CameraURL:
    """Takes a camera's URL apart.

    Args:
        url: ``rtsp://user:password@host:port/path?query``. Credentials may be percent-encoded or raw, even
            with "@", "/" or "#" in them; an IPv6 host may stand without brackets if no port follows.

    Raises:
        LocalProtocolError: it is no such URL; the message never repeats it.
    """
    text = url.strip()
    scheme, colon, rest = text.partition("://")
    scheme = scheme.lower()
    if not colon or scheme not in _DEFAULT_PORTS:
        raise LocalProtocolError(
            "a camera URL begins with rtsp://, rtsps://, rtsp+http:// or rtsps+http://, "
            "such as rtsp://user:password@192.168.1.100:554/stream1"
        )
    if len(text) > _MAX_SIZE:
        raise LocalProtocolError(f"the camera URL is longer than {_MAX_SIZE} characters")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise LocalProtocolError("the camera URL has a control character in it")
    user, authority, tail = split(rest)
    host, port = _host_port(authority, scheme)
    bracketed = f"[{host.partition('%')[0]}]" if ":" in host else host
    given = "" if port is None else f":{port}"
    username = password = None
    if user is not None:
        name, _, secret = user.partition(":")
        username, password = unquote(name), unquote(secret)
    if tail.startswith("?"):
        tail = "/" + tail
    tail = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), tail)
    request_url = f"{scheme.removesuffix(_TUNNEL)}://{bracketed}{given}{tail}"
    return CameraURL(scheme, host, port or _DEFAULT_PORTS[scheme], username, password, request_url)


def split(rest: str) -> tuple[str | None, str, str]:
    """Credentials (None where there are none), host and port, path and query of what follows ``rtsp://``.

    Whoever hides a password has to look for it here, where it is found when it is used.
    """
    end = _end(rest, 0)
    at = rest.rfind("@", 0, end)
    plain = (rest[:at] if at >= 0 else None, rest[at + 1 : end], rest[end:])
    if _is_good(plain[1]):
        return plain
    # the credentials may hold a "/", "?" or "#": they have a ":" before it, and a host behind
    others = []
    for match in re.finditer("@", rest):
        place = match.start()
        if place > end and ":" in rest[:end]:
            host_end = _end(rest, place + 1)
            if _HOST_PORT.fullmatch(rest[place + 1 : host_end]):
                others.append((rest[:place], rest[place + 1 : host_end], rest[host_end:]))
    good = [other for other in others if _is_good(other[1])]
    if good:
        return good[-1]
    # "rtsp://cam:554/live@2" is a path; "rtsp://admin:p@ss/w#rd@host/" is not, nor is "rtsp://admin:/pass@host/"
    if others and (at >= 0 or plain[1].endswith(":") or not _HOST_PORT.fullmatch(plain[1])):
        return others[-1]
    return plain


def _end(text: str, start: int) -> int:
    match = re.compile(r"[/?#]").search(text, start)
    return match.start() if match else len(text)


def _is_good(authority: str) -> bool:
    """Whether it is certainly a host: an address, a dotted name or localhost."""
    match = _HOST_PORT.fullmatch(authority)
    return match is not None and ("." in match[1] or ":" in match[1] or match[1].lower() == "localhost")


def _host_port(authority: str, scheme: str) -> tuple[str, int | None]:
    match = _HOST_PORT.fullmatch(authority)
    if match is None:
        raise LocalProtocolError(
            "the camera URL has no host, or one that is not valid; write special characters in its credentials as %XX"
        )
    host, digits = match[1].lower(), match[2]
    if host.startswith("["):
        host = unquote(host[1:-1])
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise LocalProtocolError(
                "the camera URL has an IPv6 address that is not valid; write it in brackets"
            ) from None
    if not digits:
        return host, None
    if len(digits) > 5 or not 1 <= int(digits) <= 65535:
        raise LocalProtocolError(
            f"the camera URL's port is not between 1 and 65535 (usual for {scheme}: {_DEFAULT_PORTS[scheme]})"
        )
    return host, int(digits)


def redirect_url(url: CameraURL, location: str) -> CameraURL:
    """Where a redirect leads. Credentials come along only to the same scheme, host and port.

    A tunnel stays one, whatever port the Location names: that is RTSP's, which need not be reachable.

    Args:
        url: of the request that was redirected.
        location: the Location header; a path stands for the same server.

    Raises:
        LocalProtocolError: it is no camera URL, or it leads from TLS to none.
    """
    if location.startswith("/") and not location.startswith("//"):
        location = f"{url.scheme}://{_authority(url)}{location}"
    target = parse_url(location)
    if url.is_secure and not target.is_secure:
        raise LocalProtocolError("a redirect from rtsps to rtsp is not followed")
    if url.is_tunnel and not target.is_tunnel:
        scheme = target.scheme + _TUNNEL
        same = (scheme, target.host) == (url.scheme, url.host)
        target = replace(target, scheme=scheme, port=url.port if same else _DEFAULT_PORTS[scheme])
    known = target.origin == url.origin
    return replace(target, username=url.username if known else None, password=url.password if known else None)


def _authority(url: CameraURL) -> str:
    rest = url.request_url.partition("://")[2]
    return rest[: _end(rest, 0)]
