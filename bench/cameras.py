"""A light camera simulator: one process, many RTSP cameras, real-time pace, next to no CPU time of its own.

Every camera of a bench sends the same loop: 16 s of real x264 output (1920x1080, 25 units a second, 3 Mbit/s, a GOP of
2 s) and AAC (16 kHz, mono), made by ffmpeg once and kept in ``bench/.cache``. The loop is packetized once. What differs
from one turn of it to the next (sequence numbers, timestamps) is patched into a copy that all cameras share, so that a
send is a slice of ready bytes. 16 s are a whole number of GOPs and of AAC units, so the stream has no seam.

Camera N (``rtsp://127.0.0.1:PORT/camN``) is at another place of the loop than its neighbours: their sync samples do not
coincide, and their units leave at other instants. RTP goes over the RTSP connection (RFC 2326, 10.12), or over UDP
where the reader asks for that.

By default an access unit leaves in one write, as most cameras do. With ``--per-packet`` each RTP packet is a send() of
its own (TCP_NODELAY), and the packets of a unit are spread over the unit's interval: the worst case for a receiver.

Lines on its standard input (with `--until-eof`) are commands: ``drop`` hangs up on everybody at once, ``leave`` also
stops listening, as if the switch had lost its power, until ``return``; ``tell`` asks when connections came and media
began since. Each is answered by a line that says when it was done.

With ``--marks`` each access unit says which one it is, and a log that says when it left (`marks.py`). A camera begins
with its next sync sample; with ``--mid-gop`` it begins where it is, as most cameras do.

With ``--h265`` the video is x265's at the same size, rate and bitrate.
"""

from __future__ import annotations

import argparse
import base64
import bisect
import gc
import heapq
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from marks import DIGITS, IDENTIFIER, Log, mark_nal, serial_digits

from rtspkit import aac, h264, h265
from rtspkit.errors import RtspkitError
from rtspkit.messages import Parser, Request, parse_transport
from rtspkit.packetizer import (
    Payload,
    interleaved_frame,
    ntp_timestamp,
    packetize_aac,
    packetize_h264,
    packetize_h265,
    rtp_packet,
    sender_report,
)

SECONDS = 16  # of the loop: 400 pictures, 8 GOPs, 250 AAC units
PICTURES = 25  # a second
GOP = 50  # pictures
VIDEO_CLOCK = 90000
AUDIO_CLOCK = 16000
AUDIO_UNIT = 1024  # ticks
#: Bytes of an RTP payload. Cameras use anything up to 1400; with this one a camera sends some 361 packets a second.
PAYLOAD_SIZE = 1135
SSRC = (0x10000001, 0x10000002)
#: What a reader may be behind before it is hung up on.
BACKLOG = 4 * 1024 * 1024
REPORT_INTERVAL = 5.0
CACHE = Path(__file__).parent / ".cache"

PICTURES_OPTIONS = "-f lavfi -i testsrc2=size=1920x1080:rate=25,noise=alls=12:allf=t -t 16 -pix_fmt yuv420p"
VIDEO_OPTIONS = (
    f"{PICTURES_OPTIONS} -c:v libx264 -preset veryfast",
    f"-tune zerolatency -x264-params sliced-threads=0 -profile:v high -g {GOP} -keyint_min {GOP} -sc_threshold 0",
    "-b:v 3000k -maxrate 3000k -bufsize 1500k -f h264",
)
H265_OPTIONS = (
    f"{PICTURES_OPTIONS} -c:v libx265 -preset ultrafast -tune zerolatency",
    f"-x265-params log-level=error:keyint={GOP}:min-keyint={GOP}:scenecut=0:open-gop=0:bframes=0",
    "-b:v 3000k -maxrate 3000k -bufsize 1500k -f hevc",
)
AUDIO_OPTIONS = (
    "-f lavfi -i anoisesrc=color=pink:sample_rate=16000:amplitude=0.3 -t 17",  # a second to spare
    "-ac 1 -c:a aac -b:a 48k -f adts",
)


def encoded(name: str, options: Sequence[str]) -> bytes:
    """What ffmpeg makes of the options, from the cache where it is there."""
    path = CACHE / name
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        print(f"making {path} with ffmpeg, once ...", file=sys.stderr, flush=True)
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *" ".join(options).split(), str(scratch)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        scratch.rename(path)  # whole or not at all
    return path.read_bytes()


@dataclass(frozen=True)
class Media:
    """The loop.

    Attributes:
        sdp: what DESCRIBE answers.
        template: the interleaved frames of the first turn, in the order in which they are sent.
        headers: of each packet: offset of its RTP sequence number in `template`, track, sequence number, timestamp.
        times: seconds into the loop of each write.
        ends: where each write ends in `template`; it begins where the one before ended.
        packets: RTP packets of a turn, by track.
        syncs: the writes that begin a sync sample.
        first, last: of the writes that begin a picture, and of those that end one: its number in the loop.
        marks: of each mark: offset of its digits in `template`, and the number of its picture.
    """

    sdp: bytes
    template: bytes
    headers: list[tuple[int, int, int, int]]
    times: list[float]
    ends: list[int]
    packets: tuple[int, int]
    syncs: list[int]
    first: dict[int, int]
    last: dict[int, int]
    marks: list[tuple[int, int]]

    @property
    def rate(self) -> tuple[float, float]:
        """Bits and RTP packets a second."""
        return len(self.template) * 8 / SECONDS, sum(self.packets) / SECONDS


def make_media(*, per_packet: bool, is_marked: bool = False, is_h265: bool = False) -> Media:
    """Packetizes the loop."""
    if is_h265:
        nals = h264.split_annexb(encoded("video-1.h265", H265_OPTIONS))
        units, is_sync, packetize = list(h265.access_units(nals)), h265.is_sync, packetize_h265
    else:
        nals = h264.split_annexb(encoded("video-1.h264", VIDEO_OPTIONS))
        units, is_sync, packetize = list(h264.access_units(nals)), h264.is_sync, packetize_h264
    units = units[: SECONDS * PICTURES]
    config, sounds = aac.split_adts(encoded("audio-1.aac", AUDIO_OPTIONS))
    sounds = sounds[1 : 1 + SECONDS * AUDIO_CLOCK // AUDIO_UNIT]
    if len(units) != SECONDS * PICTURES or len(sounds) != SECONDS * AUDIO_CLOCK // AUDIO_UNIT:
        raise SystemExit(f"{CACHE}: {len(units)} pictures, {len(sounds)} AAC units: remove the folder and start again")

    writes: list[tuple[float, int, int, bool, list[Payload]]] = []  # when, track, timestamp, is_sync, packets

    def add(at: float, track: int, timestamp: int, is_sync: bool, payloads: list[Payload]) -> None:
        if not per_packet:
            writes.append((at, track, timestamp, is_sync, payloads))
            return
        for i, payload in enumerate(payloads):  # sound has one packet a unit
            writes.append((at + i / len(payloads) / PICTURES, track, timestamp, is_sync and i == 0, [payload]))

    for number, unit in enumerate(units):
        if is_marked:
            unit.insert(next(i for i, nal in enumerate(unit) if 1 <= h264.nal_type(nal) <= 5), mark_nal(number))
        payloads = packetize(unit, max_size=PAYLOAD_SIZE)
        ticks = number * VIDEO_CLOCK // PICTURES
        add(number / PICTURES, 0, ticks, is_sync(unit), payloads)
    for number, sound in enumerate(sounds):
        ticks = number * AUDIO_UNIT
        add(ticks / AUDIO_CLOCK, 1, ticks, False, packetize_aac([sound]))
    writes.sort(key=lambda write: write[:2])

    template = bytearray()
    headers: list[tuple[int, int, int, int]] = []
    marks: list[tuple[int, int]] = []
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    sequence = [0, 0]
    begins = True
    for i, (_, track, timestamp, _, payloads) in enumerate(writes):
        number = timestamp * PICTURES // VIDEO_CLOCK
        if track == 0:
            if begins:
                first[i] = number
            begins = payloads[-1].marker
            if begins:
                last[i] = number
        for payload in payloads:
            headers.append((len(template) + 6, track, sequence[track], timestamp))
            if track == 0 and is_marked and (place := payload.data.find(IDENTIFIER)) >= 0:
                marks.append((len(template) + 16 + place + len(IDENTIFIER), number))
            packet = rtp_packet(
                payload.data,
                payload_type=96 + track,
                sequence=sequence[track],
                timestamp=timestamp,
                ssrc=SSRC[track],
                marker=payload.marker,
            )
            template += interleaved_frame(2 * track, packet)
            sequence[track] += 1
    sizes = (sum(16 + len(payload.data) for payload in payloads) for *_, payloads in writes)
    return Media(
        sdp=description(units[0], config.config, is_h265=is_h265),
        template=bytes(template),
        headers=headers,
        times=[write[0] for write in writes],
        ends=list(accumulate(sizes)),
        packets=(sequence[0], sequence[1]),
        syncs=[i for i, write in enumerate(writes) if write[3]],
        first=first,
        last=last,
        marks=marks,
    )


def description(unit: Sequence[bytes], config: bytes, *, is_h265: bool) -> bytes:
    """The SDP: both tracks, parameter sets included."""
    if is_h265:
        sets = {h265.nal_type(nal): base64.b64encode(nal).decode() for nal in unit}
        names = {"vps": h265.NAL_VPS, "sps": h265.NAL_SPS, "pps": h265.NAL_PPS}
        form = ";".join(f"sprop-{name}={sets[kind]}" for name, kind in names.items())
    else:
        sps = next(nal for nal in unit if h264.nal_type(nal) == h264.NAL_SPS)
        pps = next(nal for nal in unit if h264.nal_type(nal) == h264.NAL_PPS)
        sprop = ",".join(base64.b64encode(nal).decode() for nal in (sps, pps))
        form = f"packetization-mode=1;profile-level-id={sps[1:4].hex()};sprop-parameter-sets={sprop}"
    lines = (
        *("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=bench", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*", "a=range:npt=0-"),
        *("m=video 0 RTP/AVP 96", f"a=rtpmap:96 {'H265' if is_h265 else 'H264'}/{VIDEO_CLOCK}"),
        f"a=fmtp:96 {form}",
        *("a=control:trackID=0", "m=audio 0 RTP/AVP 97", f"a=rtpmap:97 MPEG4-GENERIC/{AUDIO_CLOCK}/1"),
        "a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
        f"config={config.hex()}",
        "a=control:trackID=1",
    )
    return "\r\n".join([*lines, ""]).encode()


@dataclass(eq=False)
class Session:
    """One connection.

    Attributes:
        number: of its camera.
        phase: seconds its camera is ahead of the first one.
        turn, write: what is sent next; `write` is -1 before PLAY.
        unsent: what the socket would not take yet.
        ports: over UDP: the socket of each channel, and where it sends to.
    """

    sock: socket.socket
    number: int = 0
    phase: float = 0.0
    turn: int = 0
    write: int = -1
    unsent: bytearray = field(default_factory=bytearray)
    ports: dict[int, tuple[socket.socket, tuple[str, int]]] = field(default_factory=dict)  # UDP, by channel
    parser: Parser = field(default_factory=Parser)
    report_due: float = 0.0
    is_open: bool = True

    def __post_init__(self) -> None:
        self.parser.channels = range(256)  # the reader's RTCP is skipped


class Simulator:
    """All cameras: one thread, one selector, one heap of what is due."""

    def __init__(
        self,
        cameras: int,
        *,
        per_packet: bool,
        port: int = 0,
        mid_gop: bool = False,
        log: Log | None = None,
        is_h265: bool = False,
    ) -> None:
        self.media = make_media(per_packet=per_packet, is_marked=log is not None, is_h265=is_h265)
        self.beginnings = list(self.media.first) if mid_gop else self.media.syncs
        self.log = log
        self.cameras = cameras
        self.per_packet = per_packet
        self.selector = selectors.DefaultSelector()
        self.port = port
        self.listen()
        self.sessions: set[Session] = set()
        self.accepted: list[float] = []
        self.began: list[float] = []
        self.origin = time.monotonic()
        self.wall = time.time()
        self.turns: dict[int, memoryview] = {}
        self.due: list[tuple[float, int, Session]] = []
        self.counter = 0
        self.is_stopping = False
        self.statistics = {"sends": 0, "bytes": 0, "blocked": 0, "dropped": 0, "latest_ms": 0.0}

    def stop(self, *_: object) -> None:
        """Ends `run`."""
        self.is_stopping = True

    def run(self, seconds: float | None = None) -> None:
        """Serves until told to stop, or for so long."""
        end = time.monotonic() + seconds if seconds is not None else float("inf")
        try:
            while not self.is_stopping and (now := time.monotonic()) < end:
                wait = min(self.due[0][0] - now if self.due else 0.5, 0.5)
                for key, events in self.selector.select(max(wait, 0.0)):
                    if key.fileobj is self.listener:
                        self.accept()
                        continue
                    if key.data is sys.stdin:
                        self.obey(os.read(sys.stdin.fileno(), 4096).decode())
                        continue
                    session: Session = key.data
                    if events & selectors.EVENT_WRITE:
                        self.flush(session)
                    if events & selectors.EVENT_READ and session.is_open:
                        self.read(session)
                self.send_due()
        finally:
            for key in list(self.selector.get_map().values()):
                if key.data is not sys.stdin:
                    key.fileobj.close()  # type: ignore[union-attr]
            self.selector.close()

    # -- commands ---------------------------------------------------------------

    def listen(self) -> None:
        """Takes connections, again on the same port."""
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ)

    def obey(self, command: str) -> None:
        """Does what a line of the standard input says; its end is the end of everything."""
        command = command.strip()
        if not command:
            self.is_stopping = True
            return
        if command == "return":
            self.listen()
        elif command == "leave":
            self.selector.unregister(self.listener)
            self.listener.close()
        if command in {"drop", "leave"}:
            self.accepted, self.began = [], []
            for session in list(self.sessions):
                self.close(session)
        print(json.dumps({"done": command, "at": time.monotonic()}), flush=True)
        if command == "tell":
            print(json.dumps({"accepted": self.accepted, "began": self.began}), flush=True)

    # -- media ----------------------------------------------------------------

    def turn_bytes(self, number: int) -> memoryview:
        """The bytes of one turn of the loop; made when the first camera comes to it."""
        found = self.turns.get(number)
        if found is None:
            data = bytearray(self.media.template)
            patch = struct.Struct("!HI").pack_into
            packets, ticks = self.media.packets, (SECONDS * VIDEO_CLOCK, SECONDS * AUDIO_CLOCK)
            for offset, track, sequence, timestamp in self.media.headers:
                patch(
                    data,
                    offset,
                    sequence + number * packets[track] & 0xFFFF,
                    timestamp + number * ticks[track] & 0xFFFFFFFF,
                )
            for offset, picture in self.media.marks:
                data[offset : offset + DIGITS] = serial_digits(number * SECONDS * PICTURES + picture)
            found = self.turns[number] = memoryview(data).toreadonly()
            for old in [key for key in self.turns if key < number - 2]:
                del self.turns[old]
        return found

    def send_due(self) -> None:
        """Sends everything whose time has come."""
        due, media, statistics = self.due, self.media, self.statistics
        times, ends, count = media.times, media.ends, len(media.times)
        now = time.monotonic()
        if due and now - due[0][0] > statistics["latest_ms"] / 1000:
            statistics["latest_ms"] = round((now - due[0][0]) * 1000, 1)
        while due and due[0][0] <= now:
            _, order, session = due[0]
            if not session.is_open:
                heapq.heappop(due)
                continue
            if now >= session.report_due:
                session.report_due = now + REPORT_INTERVAL
                self.report(session, now)
            write = session.write
            if self.log is not None and (picture := media.last.get(write)) is not None:
                serial = session.turn * SECONDS * PICTURES + picture
                self.log.note(session.number, serial, time.monotonic())  # before it leaves: nobody has it earlier
            self.send_media(session, self.turn_bytes(session.turn)[ends[write - 1] if write else 0 : ends[write]])
            session.write = write = (write + 1) % count
            session.turn += write == 0
            at = self.origin - session.phase + session.turn * SECONDS + times[write]
            heapq.heapreplace(due, (at, order, session))

    def report(self, session: Session, now: float) -> None:
        """A sender report for each track."""
        position = now - self.origin + session.phase
        for track, clock in ((0, VIDEO_CLOCK), (1, AUDIO_CLOCK)):
            packet = sender_report(
                ssrc=SSRC[track],
                ntp=ntp_timestamp(self.wall + now - self.origin),
                timestamp=round(position * clock),
                packet_count=round(position * self.media.packets[track] / SECONDS),
                octet_count=0,
            )
            self.send_media(session, memoryview(interleaved_frame(2 * track + 1, packet)))

    def send_media(self, session: Session, frames: memoryview) -> None:
        """Interleaved frames as they are, or a datagram for each."""
        if not session.ports:
            self.send(session, frames)
            return
        at = 0
        while at < len(frames):
            end = at + 4 + (frames[at + 2] << 8 | frames[at + 3])
            sock, address = session.ports[frames[at + 1]]
            self.statistics["sends"] += 1
            self.statistics["bytes"] += end - at - 4
            try:
                sock.sendto(frames[at + 4 : end], address)
            except OSError:  # the send buffer is full, or the reader has gone
                self.statistics["blocked"] += 1
            at = end

    def send(self, session: Session, data: bytes | memoryview) -> None:
        """One send(); what does not fit waits."""
        sent = 0
        self.statistics["sends"] += 1
        self.statistics["bytes"] += len(data)
        if not session.unsent:
            try:
                sent = session.sock.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self.close(session)
                return
        if sent < len(data):
            self.statistics["blocked"] += 1
            session.unsent += data[sent:]
            self.selector.modify(session.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, session)
            if len(session.unsent) > BACKLOG:
                self.statistics["dropped"] += 1
                self.close(session)

    def flush(self, session: Session) -> None:
        """Sends what had to wait."""
        try:
            del session.unsent[: session.sock.send(session.unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.close(session)
            return
        if not session.unsent:
            self.selector.modify(session.sock, selectors.EVENT_READ, session)

    # -- requests ---------------------------------------------------------------

    def accept(self) -> None:
        """Takes a connection."""
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        if self.per_packet:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(sock)
        self.sessions.add(session)
        self.accepted.append(time.monotonic())
        self.selector.register(sock, selectors.EVENT_READ, session)

    def close(self, session: Session) -> None:
        """Hangs up."""
        if session.is_open:
            session.is_open = False
            self.sessions.discard(session)
            self.selector.unregister(session.sock)
            session.sock.close()
            for sock, _ in session.ports.values():
                sock.close()

    def read(self, session: Session) -> None:
        """Takes requests."""
        try:
            data = session.sock.recv(65536)
            session.parser.feed(data)
            while session.is_open and (message := session.parser.next()) is not None:
                if isinstance(message, Request):
                    self.answer(session, message)
        except BlockingIOError:
            return
        except (RtspkitError, OSError):
            data = b""
        if not data:
            self.close(session)

    def answer(self, session: Session, request: Request) -> None:
        """Answers a request; PLAY schedules the first write."""
        status, headers, body = "200 OK", {}, b""
        number = camera_number(request.uri)
        base = f"rtsp://127.0.0.1:{self.port}/cam{number}"
        if request.method == "OPTIONS":
            headers["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
        elif number is None or not 0 <= number < self.cameras:
            status = "404 Not Found"
        elif request.method == "DESCRIBE":
            headers |= {"Content-Base": f"{base}/", "Content-Type": "application/sdp"}
            body = self.media.sdp
        elif request.method == "SETUP":
            track = 1 if request.uri.endswith("trackID=1") else 0
            wanted = parse_transport(request.headers.get_all("Transport"))[0]
            if wanted.client_port is not None:
                headers["Transport"] = self.open_ports(session, track, wanted.client_port)
            elif wanted.interleaved is not None:
                channels = f"{2 * track}-{2 * track + 1}"
                headers["Transport"] = f"RTP/AVP/TCP;unicast;interleaved={channels};ssrc={SSRC[track]:08X}"
            else:
                status = "461 Unsupported Transport"
        elif request.method == "PLAY":
            headers["Range"] = "npt=0.000-"
            headers["RTP-Info"] = self.begin(session, number, base)
        elif request.method not in {"GET_PARAMETER", "SET_PARAMETER", "TEARDOWN"}:
            status = "501 Not Implemented"
        if request.method not in {"OPTIONS", "DESCRIBE"}:
            headers["Session"] = "1;timeout=60"
        if body:
            headers["Content-Length"] = str(len(body))
        lines = [f"RTSP/1.0 {status}", f"CSeq: {request.headers.get('CSeq')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.send(session, "\r\n".join([*lines, "", ""]).encode() + body)
        if request.method == "TEARDOWN":
            self.close(session)

    def open_ports(self, session: Session, track: int, client: tuple[int, int]) -> str:
        """Two sockets for a track; returns the Transport header that says so."""
        host = session.sock.getpeername()[0]
        numbers = []
        for channel, port in enumerate(client, 2 * track):
            sock = socket.socket(type=socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            session.ports[channel] = sock, (host, port)
            numbers.append(sock.getsockname()[1])
        ports = f"client_port={client[0]}-{client[1]};server_port={numbers[0]}-{numbers[1]}"
        return f"RTP/AVP;unicast;{ports};ssrc={SSRC[track]:08X}"

    def begin(self, session: Session, number: int, base: str) -> str:
        """Lets the camera's media begin with its next sync sample, or its next picture; returns RTP-Info."""
        # The golden ratio spreads any number of cameras evenly over the loop, over its GOPs and over a unit's interval.
        session.number, session.phase = number, number * 0.6180339887 % 1 * SECONDS
        now = time.monotonic()
        position = now - self.origin + session.phase
        times, beginnings = self.media.times, self.beginnings
        place = bisect.bisect([times[i] for i in beginnings], position % SECONDS)
        turns, place = divmod(place, len(beginnings))
        turn, write = int(position // SECONDS) + turns, beginnings[place]
        at = turn * SECONDS + times[write]
        if session.write < 0:
            self.counter += 1
            self.began.append(now)
            heapq.heappush(self.due, (self.origin - session.phase + at, self.counter, session))
            session.turn, session.write = turn, write
            if self.log is not None:
                self.log.begin(number, now, turn * SECONDS * PICTURES + self.media.first[write])
        # the URL of a track, and the RTP timestamp of the instant the media begin
        clocks = enumerate((VIDEO_CLOCK, AUDIO_CLOCK))
        return ",".join(
            f"url={base}/trackID={track};rtptime={round(at * clock) & 0xFFFFFFFF}" for track, clock in clocks
        )


def camera_number(uri: str) -> int | None:
    """N of ``rtsp://host/camN[/...]``."""
    name = uri.partition("://")[2].partition("/")[2].partition("/")[0]
    return int(name[3:]) if name.startswith("cam") and name[3:].isascii() and name[3:].isdigit() else None


def main() -> None:
    """Listens, says where, and runs until SIGTERM, SIGINT or the end of its standard input (`--until-eof`)."""
    parser = argparse.ArgumentParser(description="Many RTSP cameras in one light process.")
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; a free one by default")
    parser.add_argument("--per-packet", action="store_true", help="a send() for each RTP packet, spread over time")
    parser.add_argument("--mid-gop", action="store_true", help="begin with the next picture, not the next sync sample")
    parser.add_argument("--marks", type=int, metavar="FD", help="mark the units; the shared memory they are logged in")
    parser.add_argument("--h265", action="store_true", help="the video is H.265")
    parser.add_argument("--seconds", type=float, help="end after so long")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    if options.h265 and options.marks is not None:
        parser.error("marks are those of H.264")
    log = Log(options.cameras, options.marks) if options.marks is not None else None
    simulator = Simulator(
        options.cameras,
        per_packet=options.per_packet,
        port=options.port,
        mid_gop=options.mid_gop,
        log=log,
        is_h265=options.h265,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, simulator.stop)
    if options.until_eof:
        simulator.selector.register(sys.stdin, selectors.EVENT_READ, sys.stdin)
    bits, packets = simulator.media.rate
    start = {"port": simulator.port, "mbit": round(bits / 1e6, 2), "packets": round(packets)}
    print(json.dumps(start), flush=True)
    gc.freeze()  # nothing here is ever garbage
    gc.disable()
    simulator.run(options.seconds)
    with suppress(OSError):
        cpu = time.process_time()
        print(json.dumps({"cpu_seconds": round(cpu, 2), **simulator.statistics}), flush=True)


if __name__ == "__main__":
    main()
