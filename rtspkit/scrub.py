"""Takes out of a session with a camera what is nobody else's business, and leaves what a fault can be found with.

Strategy: what is known to be harmless stays, all else keeps its form only. In text: credentials, nonces and session
identifiers become placeholders, the same for the same; addresses and names become those set aside for documentation
(RFC 5737, 3849, 6676, 2606); what looks like a serial number keeps its length and its kind of characters. In media:
headers stay, and so do parameter sets and the first bytes of a slice, where its header is; every other byte of
picture and sound becomes `FILL`, so sizes, times and packetization are as they were and there is nothing to be seen.

Specs: RFC 2326 (headers), RFC 4566 (SDP), RFC 3550 (RTP, RTCP), RFC 6184 (H.264), RFC 7798 (H.265), RFC
3640 (AAC), RFC 6416 (LATM).
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re
from urllib.parse import quote

from rtspkit.messages import Request, Response
from rtspkit.nalpacking import NAL_PACKINGS, NALPacking
from rtspkit.url import CameraURL

__all__ = ["FILL", "Scrubber", "scrub_packet"]

#: Stands for media. It is no start code, no ADTS header, no "$" and no letter, so nobody takes it for one.
FILL = 0xAA
#: Bytes kept of a slice: its header takes some six to ten of them.
_SLICE_SIZE = 12

#: As `url` finds passwords in paths and queries, and the names beside them.
_QUERY_SECRET = re.compile(
    r"(?i)\b((?:pass(?:word|wd)?|pwd|psw|secret|token|auth|user(?:name)?|usr|login|account)=)[^&;/?\s\"]*"
)
_MAC = re.compile(r"(?i)\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\b")
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TOKEN = re.compile(r"[A-Za-z0-9]{8,}")
#: A part of a path that is a key: Ubiquiti's cameras are reached by nothing else.
_PATH_KEY = re.compile(r"(?<=/)(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{12,}(?=[/?\s]|$)")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)")
_IPV6 = re.compile(r"(?i)(?<![\w:])(?:[0-9a-f]{1,4}:|:){2,7}(?::|[0-9a-f]{1,4}|[0-9.]{7,15})(?:%\w+)?(?![\w:])")
_URL_HOST = re.compile(r"(://)(?:[^/?#\s\"]*@)?([^/:?#\s\"\[\]]+)")
_SDP_HOST = re.compile(r"(?m)^([oc]=.*\bIP[46] )([^\s/]+)")
_LINE = re.compile(r"[^\r\n]+")
_PARAMETER = re.compile(r"""([A-Za-z][\w-]*)([ \t]*=[ \t]*)("(?:\\.|[^"\\])*"?|[^,\r\n]*)""")
#: Parameters of challenges and credentials that say nothing about anybody.
_HARMLESS = frozenset({"algorithm", "qop", "stale", "nc", "userhash", "charset"})
_CREDENTIALS = frozenset({"authorization", "www-authenticate", "authentication-info", "proxy-authenticate"})
#: Headers whose values look like serial numbers and are none.
_NUMBERS = frozenset({"transport", "cseq", "content-length", "rtp-info", "range", "date", "timestamp"})
_COOKIES = frozenset({"cookie", "set-cookie", "x-sessioncookie"})
#: Lines of an SDP that hold parameters of media and nothing else.
_MEDIA_LINES = ("m=", "a=rtpmap:", "a=fmtp:", "a=framerate:", "a=range:", "b=", "t=", "v=")


class Scrubber:
    """Of one session: the same thing gets the same placeholder throughout.

    Args:
        url: the camera's; its credentials are looked for everywhere.
    """

    def __init__(self, url: CameraURL) -> None:
        secrets = [(url.password, "password"), (url.username, "user")]
        # a shorter one would be found everywhere, and stands nowhere but in what is replaced whole; a word that is not
        # long may be a part of another
        self._secrets = [
            (
                re.compile(re.escape(form) if len(form) >= 6 else rf"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])"),
                name,
            )
            for secret, name in secrets
            for form in sorted({secret or "", quote(secret or "", safe="")}, key=len, reverse=True)
            if len(form) >= 3
        ]
        self._names: dict[tuple[str, str], str] = {}
        self._host = url.host

    # -- text

    def message(self, raw: bytes, message: Request | Response) -> bytes:
        """An RTSP message, with what stood before it; its Content-Length fits the body that it has now."""
        start = _head_start(raw, message)
        end = len(raw) - len(message.body)
        head = raw[start:end].decode("latin-1")
        body = self.body(message.body)
        lines = _LINE.sub(lambda line: self._line(line[0]), head)
        if message.body:
            length = rf"(?im)^(content-length[ \t]*:[ \t]*){len(message.body)}\b"
            lines = re.sub(length, rf"\g<1>{len(body)}", lines)
        return self.noise(raw[:start]) + lines.encode("latin-1", "replace") + body

    def _line(self, line: str) -> str:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if not colon or " " in key:  # a start line, or no header
            return self.text(line)
        if key in _CREDENTIALS:
            return f"{name}:{self._credentials(key, value)}"
        if key in _COOKIES:
            return f"{name}: {self._name('cookie', value)}"
        if key == "session":
            identifier, semicolon, rest = value.partition(";")
            spaces = " " * (len(identifier) - len(identifier.lstrip()))
            return f"{name}:{spaces}{self._name('session', identifier.strip())}{semicolon}{rest}"
        return f"{name}:{self.text(value, numbers=key in _NUMBERS)}"

    def _credentials(self, header: str, value: str) -> str:
        if header == "authorization" and value.strip().lower().startswith("basic "):
            return " Basic " + base64.b64encode(b"user:password").decode()

        def replace(found: re.Match[str]) -> str:
            key, equals, text = found.groups()
            kind = key.lower()
            if kind in _HARMLESS:
                return found[0]
            mark = '"' if text.startswith('"') else ""
            inner = text.strip('"')
            if kind == "username":
                inner = "user"
            elif kind == "uri":
                inner = self.text(inner)
            elif kind == "response":
                inner = "0" * len(inner)
            elif inner:
                inner = self._name(kind, inner)
            return f"{key}{equals}{mark}{inner}{mark}"

        return _PARAMETER.sub(replace, value)

    def body(self, body: bytes) -> bytes:
        """What a message carries: an SDP, or parameters."""
        text = body.decode("latin-1")
        return _LINE.sub(lambda line: self._sdp_line(line[0]), text).encode("latin-1", "replace")

    def _sdp_line(self, line: str) -> str:
        if line.lstrip().lower().startswith(_MEDIA_LINES):
            return line
        if re.match(r"\s*[iuep]=", line):  # words about it, a page, a mail address, a telephone
            return line[: line.index("=") + 1] + _form(line.partition("=")[2])
        line = _SDP_HOST.sub(lambda found: found[1] + self._address(found[2]), line)
        if re.match(r"\s*o=", line):  # numbers here are made of clocks and serial numbers
            head, mark, tail = line.partition(" IN ")
            return (
                re.sub(r"[0-9]{4,}", lambda number: "1" * len(number[0]), self.text(head))
                + mark
                + self._addresses(tail)
            )
        return self.text(line)

    def text(self, text: str, *, numbers: bool = False) -> str:
        """Any text of a camera's, or of ours; `numbers`: those in it stay."""
        text = _QUERY_SECRET.sub(r"\g<1>secret", text)
        for pattern, placeholder in self._secrets:
            text = pattern.sub(placeholder, text)
        text = self._addresses(text)
        for pattern in (_MAC, _UUID, _PATH_KEY):
            text = pattern.sub(lambda found: _form(found[0]), text)
        if numbers:
            return text
        return _TOKEN.sub(lambda found: _form(found[0]) if _is_serial(found[0]) else found[0], text)

    def _addresses(self, text: str) -> str:
        text = _MAC.sub(lambda found: _form(found[0]), text)
        text = _URL_HOST.sub(lambda found: found[1] + self._address(found[2]), text)
        text = _IPV6.sub(lambda found: self._address(found[0]) if _is_address(found[0]) else found[0], text)
        return _IPV4.sub(lambda found: self._address(found[0]), text)

    def _address(self, text: str) -> str:
        """An address or a name that is set aside for documents."""
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            if text.endswith(".example"):
                return text
            if text.lower() == self._host:
                return "camera.example"
            return self._name("host", text.lower()) + ".example"
        if address.is_unspecified or any(address in network for network in _DOCUMENTATION):
            return text
        if address.version == 6:
            return "ff0e::db8:0:1" if address.is_multicast else self._name("2001:db8::", str(address), "")
        if address.is_multicast:
            return self._name("233.252.0.", str(address), "")
        return self._name("192.0.2.", str(address), "")

    def _name(self, kind: str, text: str, mark: str = "-") -> str:
        """The placeholder of something: its kind, and which of them it is."""
        if (kind, text) not in self._names:
            number = 1 + sum(other == kind for other, _ in self._names)
            self._names[kind, text] = f"{kind}{mark}{number}"
        return self._names[kind, text]

    def noise(self, data: bytes) -> bytes:
        """Bytes that belong to nothing: line ends stay, and what says that it is HTTP or TLS."""
        start = re.match(rb"HTTP/1\.[01] [0-9]{3}|[\x14-\x17]\x03[\x00-\x04]..", data, re.DOTALL)
        kept = start[0] if start is not None else b""
        return kept + bytes(byte if byte in b"\r\n" else FILL for byte in data[len(kept) :])


_DOCUMENTATION = [
    ipaddress.ip_network(network)
    for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "233.252.0.0/24", "2001:db8::/32")
]


def _head_start(raw: bytes, message: Request | Response) -> int:
    """Where the message begins behind blank lines and garbage."""
    pattern = rb"RTSP/" if isinstance(message, Response) else rb"[A-Z][A-Z_]+ +(?:\*|/|[A-Za-z][A-Za-z0-9+.-]*://)"
    found = re.search(pattern, raw)
    return found.start() if found is not None else 0


def _is_address(text: str) -> bool:
    """Not a time of day."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(text.partition("%")[0])
        return True
    return False


def _is_serial(token: str) -> bool:
    return sum(character.isdigit() for character in token) >= 4


def _form(text: str) -> str:
    """The same with other letters and digits."""
    return re.sub("[a-z]", "x", re.sub("[A-Z]", "X", re.sub("[0-9]", "1", text)))


# -- media --------------------------------------------------------------------


def scrub_packet(packet: bytes, codecs: dict[int, str]) -> bytes:
    """An RTP or RTCP packet without its media.

    Args:
        packet: as it went.
        codecs: payload type -> "h264", "h265", "aac" or "latm"; of other packets only the header stays.
    """
    if len(packet) < 4 or packet[0] >> 6 != 2:
        return _keep(packet, 4)
    if 200 <= packet[1] <= 207:  # what RTCP packet types begin with (RFC 5761, 4)
        return _scrub_rtcp(packet)
    start = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10 and len(packet) >= start + 4:
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4])
    if start > len(packet):
        return _keep(packet, 12)
    header, payload, padding = packet[:start], packet[start:], b""
    if packet[0] & 0x20 and payload and 0 < payload[-1] <= len(payload):
        cut = len(payload) - payload[-1]
        payload, padding = payload[:cut], b"\0" * (payload[-1] - 1) + payload[-1:]
    extension = 12 + 4 * (packet[0] & 0x0F)
    header = header[: extension + 4] + bytes(max(0, len(header) - extension - 4))
    codec = codecs.get(packet[1] & 0x7F, "")
    if codec in NAL_PACKINGS:
        payload = _scrub_nals(payload, NAL_PACKINGS[codec])
    else:
        scrub = {"aac": _scrub_aac, "latm": _scrub_latm}.get(codec)
        payload = _keep(payload, 2) if scrub is None else scrub(payload)
    return header + payload + padding


def _keep(data: bytes, size: int) -> bytes:
    """The first bytes, the rest filled."""
    return data[:size] + bytes((FILL,)) * (len(data) - size)


def _scrub_nals(payload: bytes, packing: NALPacking) -> bytes:
    kind, size = packing.nal_type(payload), packing.header_size
    if kind == packing.aggregation:  # units after their lengths
        return payload[:size] + _scrub_sized(payload[size:], packing)
    if kind == packing.fragment and len(payload) > size:  # the first fragment has the unit's beginning
        kind = packing.fragment_type(payload)
        if kind in packing.sets:
            return payload
        is_slice = payload[size] & 0x80 and kind in packing.slices
        return _keep(payload, size + (_SLICE_SIZE if is_slice else 1))
    return b"".join(_scrub_nal(part, packing) for part in _START_CODES.split(payload))


#: Some cameras (V380) put units with start codes between them where one unit is due; they stay.
_START_CODES = re.compile(rb"(\x00?\x00\x00\x01)")


def _scrub_nal(nal: bytes, packing: NALPacking) -> bytes:
    kind = packing.nal_type(nal)
    if not nal or _START_CODES.fullmatch(nal) or kind in packing.sets:
        return nal
    return _keep(nal, _SLICE_SIZE if kind in packing.slices else packing.header_size + 1)


def _scrub_sized(data: bytes, packing: NALPacking) -> bytes:
    parts: list[bytes] = []
    while len(data) >= 2:
        end = 2 + int.from_bytes(data[:2])
        if end > len(data):
            break
        parts += (data[:2], _scrub_nal(data[2:end], packing))
        data = data[end:]
    return b"".join(parts) + (data if not any(data) else _keep(data, 2))  # zeros behind are a habit of some cameras


def _scrub_aac(payload: bytes) -> bytes:
    headers = 2 + (int.from_bytes(payload[:2]) + 7) // 8
    if payload[headers : headers + 2] in (b"\xff\xf1", b"\xff\xf9"):  # an ADTS header where none is due
        headers += 7
    return _keep(payload, headers) if headers <= len(payload) else _keep(payload, 2)


def _scrub_latm(payload: bytes) -> bytes:
    """Units after their lengths; of an element that goes on from another packet a byte here and there is kept.

    With the configuration in band nothing is aligned: lengths and configuration are lost.
    """
    parts: list[bytes] = []
    while payload:
        long = len(payload) - len(payload.lstrip(b"\xff"))
        head, payload = payload[: long + 1], payload[long + 1 :]
        size = 255 * long + (head[long] if long < len(head) else 0)
        parts += (head, _keep(payload[:size], 0))
        payload = payload[size:]
    return b"".join(parts)


def _scrub_rtcp(packet: bytes) -> bytes:
    """Reports stay; names, farewells and what applications say do not."""
    parts: list[bytes] = []
    while len(packet) >= 4:
        size = 4 + 4 * int.from_bytes(packet[2:4])
        one, packet = packet[:size], packet[size:]
        kind, count = one[1], one[0] & 0x1F
        kept = {202: 8, 203: 4 + 4 * count, 204: 12}.get(kind, size if 200 <= kind <= 206 else 4)
        parts.append(one[:8] + _scrub_sdes(one[8:]) if kind == 202 else _keep(one, min(kept, len(one))))
    return b"".join(parts) + _keep(packet, 0)


def _scrub_sdes(items: bytes) -> bytes:
    """One source's items (a name, mostly): type and length stay."""
    done = b""
    while len(items) >= 2 and items[0]:
        size = 2 + items[1]
        done += _keep(items[:size], 2)
        items = items[size:]
    return done + items if not any(items) else done + _keep(items, 0)
