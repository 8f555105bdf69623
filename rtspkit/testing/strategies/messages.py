"""Strategies for RTSP messages and the values of their headers.

Strategy: what is valid is made from what it says, so that what must come out is known. `loose` adds manners of cameras
that every reader has to put up with: bare line feeds, folded lines, spaces and semicolons where none belong.

Specs: RFC 2326, 4 to 6, 12.33, 12.37, 12.39; RFC 7616, 3.3; RFC 7617, 2.
"""

from __future__ import annotations

from hypothesis import strategies as st

from rtspkit.messages import Headers, InterleavedData, Message, Request, Response, RTPInfo, Session, Transport
from rtspkit.packetizer import interleaved_frame
from rtspkit.testing.strategies.values import ChallengeFields, InterleavedStream, Wire, Written

__all__ = [
    "METHODS",
    "STATUSES",
    "interleaved_streams",
    "rtp_info_headers",
    "rtsp_requests",
    "rtsp_responses",
    "session_headers",
    "transport_headers",
    "www_authenticate_headers",
]

#: Methods of RFC 2326.
METHODS = (
    "OPTIONS",
    "DESCRIBE",
    "ANNOUNCE",
    "SETUP",
    "PLAY",
    "PAUSE",
    "TEARDOWN",
    "GET_PARAMETER",
    "SET_PARAMETER",
    "REDIRECT",
    "RECORD",
)
#: Statuses that cameras answer with.
STATUSES = (
    (200, "OK"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (404, "Not Found"),
    (302, "Moved Temporarily"),
    (453, "Not Enough Bandwidth"),
    (454, "Session Not Found"),
    (457, "Invalid Range"),
    (461, "Unsupported Transport"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (503, "Service Unavailable"),
    (551, "Option not supported"),
)

_NAMES = (
    "Server",
    "Date",
    "Session",
    "Transport",
    "Public",
    "RTP-Info",
    "Content-Base",
    "Range",
    "User-Agent",
    "X-a_1",
)
_word = st.text("abcXYZ019-._~", min_size=1, max_size=8)
#: What a header may say: visible characters, single spaces between them. Any text takes Hypothesis much longer.
_value = st.lists(
    st.text("abcXYZ0189!\"#$%&'()*+,-./:;<=>?@[]_{}~\u00e9\u4e2d", min_size=1, max_size=12),
    min_size=1,
    max_size=4,
).map(" ".join)
_uris = st.builds(
    "rtsp://{}{}/{}{}".format,
    st.sampled_from(["camera", "192.168.1.64", "[fe80::1]", "cam.example.org"]),
    st.sampled_from(["", ":554", ":8554"]),
    st.lists(_word, max_size=3).map("/".join),
    st.sampled_from(["", "?channel=1&subtype=0", "/trackID=0"]),
)


_targets = _uris | st.just("*")
_pairs = st.lists(st.tuples(st.sampled_from(_NAMES), _value), max_size=5)
_cseqs = st.integers(0, 2**31 - 1).map(str)
_lengths = st.sampled_from(["Content-Length", "Content-length"])
_ends = st.sampled_from(["\r\n", "\n"])
_blanks = st.sampled_from(["", "\r\n", "\n\n"])
#: A header line as cameras write it; in the last but one it is folded, and Luma sends a line of one space behind it.
_manners = st.sampled_from(["{0}: {1}", "{0}:{1}", "{0} :  {1} ", "{0}:\t{1}", "{0}: {2}", "{0}: {1}{3} "])


@st.composite
def _wire(draw: st.DrawFn, start: str, max_body: int, loose: bool) -> tuple[bytes, Headers, bytes]:
    """A start line with headers and body behind it; the headers as they must come out."""
    pairs = [("CSeq", draw(_cseqs)), *draw(_pairs)]
    body = draw(st.binary(max_size=max_body)) if draw(st.booleans()) else b""
    if body:
        pairs.append((draw(_lengths), str(len(body))))
    before, end = (draw(_blanks), draw(_ends)) if loose else ("", "\r\n")
    lines = [start]
    for name, value in pairs:
        manner = draw(_manners) if loose else "{0}: {1}"
        lines.append(manner.format(name, value, value.replace(" ", f"{end} ", 1), end))
    return (before + end.join([*lines, "", ""])).encode() + body, Headers(tuple(pairs)), body


def rtsp_requests(
    *, methods: tuple[str, ...] = METHODS, max_body: int = 200, loose: bool = False
) -> st.SearchStrategy[Wire[Request]]:
    """RTSP requests: a valid start line, a CSeq, further headers, mostly no body.

    Args:
        methods: to choose from.
        max_body: bytes of a body at most.
        loose: with the manners of cameras.
    """
    return _requests(st.sampled_from(methods), max_body, loose)


@st.composite
def _requests(draw: st.DrawFn, methods: st.SearchStrategy[str], max_body: int, loose: bool) -> Wire[Request]:
    method, uri = draw(methods), draw(_targets)
    data, headers, body = draw(_wire(f"{method} {uri} RTSP/1.0", max_body, loose))
    return Wire(data, Request(method, uri, headers, body))


def rtsp_responses(
    *, statuses: tuple[tuple[int, str], ...] = STATUSES, max_body: int = 200, loose: bool = False
) -> st.SearchStrategy[Wire[Response]]:
    """RTSP responses: a valid status line, a CSeq, further headers, perhaps a body.

    Args:
        statuses: to choose from, each with its reason.
        max_body: bytes of a body at most.
        loose: with the manners of cameras.
    """
    return _responses(st.sampled_from(statuses), max_body, loose)


@st.composite
def _responses(
    draw: st.DrawFn, statuses: st.SearchStrategy[tuple[int, str]], max_body: int, loose: bool
) -> Wire[Response]:
    status, reason = draw(statuses)
    space = ""
    if loose:
        reason, space = draw(st.sampled_from([(reason, ""), (reason, " "), ("", ""), ("", " ")]))
    start = f"RTSP/1.0 {status} {reason}".rstrip(" ") + space
    data, headers, body = draw(_wire(start, max_body, loose))
    return Wire(data, Response(status, reason, headers, body))


def interleaved_streams(
    *, channels: tuple[int, ...] = (0, 1, 2, 3), max_items: int = 8, loose: bool = False
) -> st.SearchStrategy[InterleavedStream]:
    """RTSP messages and interleaved frames in any order, as one connection carries them (RFC 2326, 10.12).

    Args:
        channels: of the frames.
        max_items: messages and frames at most.
        loose: with the manners of cameras; line ends may stand between any two items.
    """
    frames = st.builds(InterleavedData, st.sampled_from(channels), st.binary(max_size=40)).map(
        lambda frame: Wire[Message](interleaved_frame(frame.channel, frame.payload), frame)
    )
    items: st.SearchStrategy[Wire[Message]] = st.one_of(
        frames, rtsp_responses(loose=loose).map(_as_message), rtsp_requests(loose=loose).map(_as_message)
    )
    gaps = st.sampled_from([b"", b"\r\n", b"\n"]) if loose else st.just(b"")
    return st.lists(st.tuples(gaps, items), max_size=max_items).map(
        lambda found: InterleavedStream(
            b"".join(gap + item.data for gap, item in found), tuple(item.value for _, item in found)
        )
    )


def _as_message(found: Wire[Request] | Wire[Response]) -> Wire[Message]:
    return Wire(found.data, found.value)


# -- header values -------------------------------------------------------------

_addresses = st.sampled_from(["192.168.1.64", "10.0.0.7", "203.0.113.5"])
_ssrcs = st.integers(1, 2**32 - 1)
_ports = st.integers(1, 32766).map(lambda half: (2 * half, 2 * half + 1))


@st.composite
def _transports(draw: st.DrawFn, loose: bool) -> Written[Transport]:
    kind = draw(st.sampled_from(["tcp", "udp", "multicast"]))
    ssrc = draw(st.none() | _ssrcs)
    mode = draw(st.sampled_from([None, "play"]))
    parts: list[str]
    if kind == "tcp":
        channel = draw(st.integers(0, 127)) * 2
        value = Transport("tcp", delivery="unicast", interleaved=(channel, channel + 1), ssrc=ssrc, mode=mode)
        parts = ["RTP/AVP/TCP", "unicast", f"interleaved={channel}-{channel + 1}"]
    elif kind == "udp":
        client, server, source = draw(_ports), draw(st.none() | _ports), draw(st.none() | _addresses)
        value = Transport(
            "udp", delivery="unicast", client_port=client, server_port=server, source=source, ssrc=ssrc, mode=mode
        )
        parts = [draw(st.sampled_from(["RTP/AVP", "RTP/AVP/UDP"])), "unicast", f"client_port={client[0]}-{client[1]}"]
        parts += [f"source={source}"] if source else []
        parts += [f"server_port={server[0]}-{server[1]}"] if server else []
    else:
        port, ttl = draw(_ports), draw(st.integers(0, 255))
        value = Transport(
            "udp", delivery="multicast", port=port, destination="239.255.1.2", ttl=ttl, ssrc=ssrc, mode=mode
        )
        parts = ["RTP/AVP", "multicast", "destination=239.255.1.2", f"port={port[0]}-{port[1]}", f"ttl={ttl}"]
    if ssrc is not None:
        # Hikvision and Dahua pad it with spaces
        parts.append(f"ssrc={'  ' if loose and draw(st.booleans()) else ''}{ssrc:08X}")
    if mode is not None:
        parts.append('mode="PLAY"')
    separator, end = ";", ""
    if loose:
        parts[2:] = draw(st.permutations(parts[2:]))
        separator, end = draw(st.sampled_from([";", "; "])), draw(st.sampled_from(["", ";"]))
    return Written(separator.join(parts) + end, value)


def transport_headers(
    *, max_transports: int = 2, loose: bool = False
) -> st.SearchStrategy[Written[tuple[Transport, ...]]]:
    """Transport headers: over TCP, UDP and multicast, one or several in one value.

    Args:
        max_transports: in one header.
        loose: with the manners of cameras: parameters in any order, spaces, a semicolon at the end.
    """
    return st.lists(_transports(loose), min_size=1, max_size=max_transports).map(
        lambda found: Written(",".join(one.text for one in found), tuple(one.value for one in found))
    )


@st.composite
def session_headers(draw: st.DrawFn, *, loose: bool = False) -> Written[Session]:
    """Session headers, with a timeout and without.

    Args:
        loose: with the manners of cameras: spaces, further parameters, timeouts that cannot be (which count as none).
    """
    identifier = draw(st.text("abcdef0123456789", min_size=1, max_size=16))
    timeout = draw(st.none() | st.integers(1, 3600))
    text = identifier if timeout is None else f"{identifier};timeout={timeout}"
    if loose:
        text = text.replace(";", draw(st.sampled_from([";", " ; ", ";;", ";x=1;"])))
        if timeout is None:
            text += draw(st.sampled_from(["", ";", ";timeout=", ";timeout=0", ";timeout=-1", ";timeout=" + "9" * 12]))
    return Written(text, Session(identifier, timeout))


@st.composite
def _rtp_info(draw: st.DrawFn, loose: bool) -> Written[RTPInfo]:
    url = draw(_uris)
    seq = draw(st.none() | st.integers(0, 2**16 - 1))
    rtptime = draw(st.none() | st.integers(0, 2**32 - 1))
    parts = [f"url={url}"]
    parts += [] if seq is None else [f"seq={seq}"]
    parts += [] if rtptime is None else [f"rtptime={rtptime}"]
    separator, end = ";", ""
    if loose:
        separator, end = draw(st.sampled_from([";", "; "])), draw(st.sampled_from(["", ";", ";ssrc=x"]))
        if seq is None:
            end += draw(st.sampled_from(["", ";seq=65536", ";seq=", ";seq=-1"]))
    return Written(separator.join(parts) + end, RTPInfo(url, seq, rtptime))


def rtp_info_headers(*, max_tracks: int = 3, loose: bool = False) -> st.SearchStrategy[Written[tuple[RTPInfo, ...]]]:
    """RTP-Info headers, one entry a track.

    Args:
        max_tracks: entries at most.
        loose: with the manners of cameras: semicolons at the end, numbers that cannot be (which count as none).
    """
    return st.lists(_rtp_info(loose), min_size=1, max_size=max_tracks).map(
        lambda found: Written(",".join(one.text for one in found), tuple(one.value for one in found))
    )


#: What may stand in a quoted string without being escaped: commas and equals signs too, which have caught readers out.
_quotable = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), min_size=1, max_size=20
)


@st.composite
def _challenges(draw: st.DrawFn, loose: bool) -> Written[ChallengeFields]:
    realm = draw(_quotable)
    if draw(st.booleans()):
        scheme = draw(st.sampled_from(["Basic", "BASIC"])) if loose else "Basic"
        return Written(f'{scheme} realm="{realm}"', ChallengeFields("Basic", realm))
    nonce = draw(st.text("abcdef0123456789", min_size=1, max_size=32))
    opaque = draw(st.none() | _quotable)
    stale = draw(st.sampled_from([None, True, False]))
    algorithm = draw(st.sampled_from([None, "MD5", "SHA-256", "MD5-sess"]))
    qop = draw(st.sampled_from([(), ("auth",), ("auth", "auth-int")]))
    userhash = draw(st.booleans())
    parts = [f'realm="{realm}"', f'nonce="{nonce}"']
    parts += [] if opaque is None else [f'opaque="{opaque}"']
    parts += [] if stale is None else [f"stale={str(stale).lower()}"]
    quote = draw(st.sampled_from(["", '"'])) if loose else ""
    parts += [] if algorithm is None else [f"algorithm={quote}{algorithm}{quote}"]
    parts += [f'qop="{",".join(qop)}"'] if qop else []
    parts += ["userhash=true"] if userhash else []
    separator = ", "
    scheme = "Digest"
    if loose:
        parts = draw(st.permutations(parts))
        separator, scheme = draw(st.sampled_from([",", ", ", " , "])), draw(st.sampled_from(["Digest", "DIGEST"]))
    value = ChallengeFields(
        "Digest", realm, nonce, opaque, stale, algorithm.upper() if algorithm else None, qop, userhash=userhash
    )
    return Written(f"{scheme} {separator.join(parts)}", value)


def www_authenticate_headers(
    *, max_challenges: int = 3, loose: bool = False
) -> st.SearchStrategy[Written[tuple[ChallengeFields, ...]]]:
    """WWW-Authenticate headers: Basic, and Digest with MD5 and SHA-256, one or several in one value.

    Args:
        max_challenges: in one header.
        loose: with the manners of cameras: capitals, quotes and commas where none belong, any order.
    """
    return st.lists(_challenges(loose), min_size=1, max_size=max_challenges).map(
        lambda found: Written(", ".join(one.text for one in found), tuple(one.value for one in found))
    )
