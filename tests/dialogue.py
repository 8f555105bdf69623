"""Plays a camera's part in a written dialogue against an `rtsp.Connection`.

A dialogue is a text file; each line is one of ::

    # why this camera is here
    do setup 0 tcp 0 1      what the caller does: the Connection's method and its arguments (see `_act`)
    begin playing           everything up to a state, with a camera that does all of it well
    > CSeq: {cseq}          a line that the request sent has to have; those in a row belong to one request
    < RTSP/1.0 200 OK       a line of the camera's, ended by CRLF; those in a row are sent at once
    <| \\x24\\x00            bytes of the camera's, with escapes

`{cseq}` and `{last cseq}` stand for the numbers of the last request and of the one before, `{transport}` for the
Transport that was asked for last, `{sdp}` for a description of a video and an audio track, `{length}` for its length.
"""

from __future__ import annotations

import re
from typing import Any

from rtspkit.errors import RtspkitError
from rtspkit.rtsp import (
    Connection,
    Described,
    Event,
    InterleavedData,
    KeptAlive,
    OptionsReceived,
    Playing,
    Redirected,
    ServerRequest,
    SetUp,
    Transport,
)

SDP = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=x\r\nc=IN IP4 239.1.2.3/5\r\nt=0 0\r\na=control:*\r\n"
    "m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n"
    "m=audio 5006 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/16000/1\r\n"
    "a=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408\r\na=control:trackID=1\r\n"
)
_GOOD = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER, SET_PARAMETER\r\n",
    "DESCRIBE": "Content-Type: application/sdp\r\nContent-Length: {length}\r\n",
    "SETUP": "Session: 5f3a;timeout=60\r\nTransport: {transport}\r\n",
    "PLAY": "RTP-Info: url=trackID=0;seq=10;rtptime=20,url=trackID=1;seq=30;rtptime=40\r\n",
}


class Dialogue:
    """Both ends of one.

    Attributes:
        connection: the client's.
        events: what came of it, in words (`_word`); errors as their class, their status and their message.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[str] = []
        self._tracks: tuple[Any, ...] = ()
        self._cseqs: list[str] = ["", ""]
        self._transport = ""
        self._unseen: list[list[str]] = []  # requests that were not looked at yet

    def play(self, script: str) -> None:
        """Goes through it; an AssertionError says where it is not kept to."""
        expected: list[str] = []
        answer = b""
        for line in [*script.splitlines(), "end"]:
            kind, _, rest = line.partition(" ")
            if kind != ">" and expected:
                self._expect(expected)
                expected = []
            if kind not in ("<", "<|") and answer:
                self._receive(answer)
                answer = b""
            if kind == ">":
                expected.append(rest.format_map(self._names()))
            elif kind == "<":
                answer += rest.format_map(self._names()).encode("utf-8", "surrogateescape") + b"\r\n"
            elif kind == "<|":
                answer += rest.encode().decode("unicode_escape").encode("latin-1")
            elif kind == "do":
                self._act(*rest.split())
            elif kind == "begin":
                self._begin(rest)
            else:
                assert kind in ("", "#", "end"), line
        assert not self._unseen, f"nobody expected {self._unseen}"

    def _names(self) -> dict[str, Any]:
        names = {"cseq": self._cseqs[-1], "last cseq": self._cseqs[-2], "transport": self._transport}
        return names | {"sdp": SDP.rstrip(), "length": len(SDP)}

    def _act(self, method: str, *arguments: str) -> None:
        """`setup TRACK tcp A B | udp A B | multicast`, `time SECONDS`, or a method that takes the time only."""
        try:
            if method == "setup":
                index, protocol, *numbers = arguments
                pair = (int(numbers[0]), int(numbers[1])) if numbers else None
                transport = {
                    "tcp": Transport(protocol="tcp", interleaved=pair),
                    "udp": Transport(protocol="udp", delivery="unicast", client_port=pair),
                    "multicast": Transport(protocol="udp", delivery="multicast"),
                }[protocol]
                self.connection.setup(self._tracks[int(index)], transport, 0.0)
            elif method == "time":
                self.connection.handle_timeout(float(arguments[0]))
            else:
                getattr(self.connection, method)(0.0)
        except RtspkitError as error:
            self.events.append(_word(error))
        self._collect()

    def _begin(self, state: str) -> None:
        steps = [["options"], ["describe"], ["setup", "0", "tcp", "0", "1"], ["setup", "1", "tcp", "2", "3"], ["play"]]
        for step in steps[: {"described": 2, "ready": 4, "playing": 5}[state]]:
            self._act(*step)
            method = self._unseen.pop()[0].partition(" ")[0]
            headers = _GOOD[method].format_map(self._names())
            body = SDP if method == "DESCRIBE" else ""
            self._receive(f"RTSP/1.0 200 OK\r\nCSeq: {self._cseqs[-1]}\r\n{headers}\r\n{body}".encode())
        self.events.clear()

    def _collect(self) -> None:
        """Takes what the connection sends apart: requests, and answers to the camera's."""
        for message in self.connection.data_to_send().decode("utf-8", "surrogateescape").split("\r\n\r\n")[:-1]:
            lines = message.split("\r\n")
            self._unseen.append(lines)
            headers = dict(line.split(": ", 1) for line in lines[1:])
            self._transport = headers.get("Transport", self._transport)
            if not lines[0].startswith("RTSP/"):
                self._cseqs.append(headers["CSeq"])

    def _expect(self, lines: list[str]) -> None:
        assert self._unseen, f"nothing was sent where {lines[0]!r} should be"
        request = self._unseen.pop(0)
        for line in lines:
            missing = line.startswith("not ")
            found = any(line.removeprefix("not ") in other for other in request)
            assert found is not missing, f"{line!r}: {request}"

    def _receive(self, data: bytes) -> None:
        self.connection.receive_data(data, 0.0)
        while True:
            try:
                event = self.connection.next_event()
            except RtspkitError as error:
                self.events.append(_word(error))
                if self.connection.state.value == "failed":
                    break
                continue
            if event is None:
                break
            if isinstance(event, Described):
                self._tracks = event.tracks
            self.events.append(_word(event))
        self._collect()


def _word(event: Event | RtspkitError) -> str:
    match event:
        case OptionsReceived(methods):
            return f"options: {' '.join(methods) or 'none'}"
        case Described(tracks=tracks):
            return f"described: {len(tracks)} tracks"
        case SetUp(transport=transport):
            return f"set up: {_transport_word(transport)}"
        case Playing(rtp_info=rtp_info):
            return "playing: " + ", ".join(f"{info.seq}/{info.rtptime}" if info else "unknown" for info in rtp_info)
        case KeptAlive(status):
            return f"kept alive: {status}"
        case Redirected(url):
            return f"redirected: {url}"
        case ServerRequest(method, status):
            return f"asked: {method}, {status}"
        case InterleavedData(channel, payload):
            return f"media: channel {channel}, {payload.hex()}"
        case RtspkitError():
            return f"{type(event).__name__}: {re.sub(r' [(]bytes .*', '', str(event))}"
        case _:
            return "torn down"


def _transport_word(transport: Transport) -> str:
    ports = transport.interleaved or transport.port or transport.server_port
    words = [transport.protocol if transport.delivery != "multicast" else "multicast"]
    words += [f"{ports[0]}-{ports[1]}"] if ports else ["any port"]
    words += [str(transport.destination)] if transport.destination else []
    words += [f"from {transport.source}"] if transport.source else []
    return " ".join(words)
