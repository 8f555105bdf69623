"""What the tests with caches share: the stream that is watched, how its replies are read, requests by hand."""

import gzip
import re
import socket
import time

import httpx

from .playlists import Segment, read_media
from .relay import Exchange

READERS = 200
#: Short segments, so that a test of seconds sees many; readers are not counted, so that caches may help.
PLAIN = {"hlsSegmentDuration": "1s", "maxReaders": "0", "sourceOnDemand": "no"}
PATH = "/cam_2/"
LOW_LATENCY = {"hlsVariant": "lowLatency", "hlsPartDuration": "200ms"}


def segments_of(text: str) -> list[Segment]:
    """What a playlist lists and can be had."""
    return [segment for segment in read_media(text).segments if not segment.is_gap]


def exchange_body(exchange: Exchange) -> bytes:
    """What the gateway gave to the cache, without its content coding."""
    return gzip.decompress(exchange.body) if exchange.body.startswith(b"\x1f\x8b") else exchange.body


class Tip:
    """Where a Low-Latency playlist ends: the part that comes next."""

    def __init__(self, text: str) -> None:
        lines = text.splitlines()
        first = int(next(line for line in lines if line.startswith("#EXT-X-MEDIA-SEQUENCE:")).partition(":")[2])
        ends = [i for i, line in enumerate(lines) if line.startswith("#EXTINF:")]
        self.msn = first + len(ends)
        self.part = sum(line.startswith("#EXT-X-PART:") for line in lines[ends[-1] :])
        self.is_gap = lines[ends[-1] - 1] == "#EXT-X-GAP"
        (self.hint,) = re.findall(r'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', text)

    @property
    def next_part(self) -> str:
        """The hinted part's URL."""
        return PATH + self.hint

    def playlist(self, further: int = 0) -> str:
        """The URL of the playlist that has the part `further` behind the hinted one."""
        return f"{PATH}stream.m3u8?_HLS_msn={self.msn}&_HLS_part={self.part + further}"


def tip_of(base: str) -> Tip:
    """Where the camera's playlist ends now."""
    return Tip(httpx.get(f"{base}{PATH}stream.m3u8").text)


def tip_behind_gap(base: str, timeout: float = 15.0) -> Tip:
    """Where it ends once the list goes on with gaps: whatever the camera had sent before has been listed by then."""
    end = time.monotonic() + timeout
    while not (tip := tip_of(base)).is_gap:
        assert time.monotonic() < end, f"no gap within {timeout} s"
        time.sleep(0.1)
    return tip


def request(target: str, *lines: str, method: str = "GET", version: str = "1.1", host: str = "cameras") -> bytes:
    """A request for a connection of its own."""
    head = [f"{method} {target} HTTP/{version}", *([f"Host: {host}"] if host else []), *lines, "Connection: close"]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


def send(port: int, data: bytes) -> bytes:
    """The reply to raw bytes, which must come within five seconds; b"" where the connection is closed instead."""
    reply = b""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(data)
        while piece := sock.recv(1 << 16):
            reply += piece
            head, end, body = reply.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if end and (data.startswith(b"HEAD") or (length and len(body) >= int(length[1]))):
                break
    return reply
