"""What is counted of a session, from bytes and units that are made by hand."""

import pytest
import test_h265 as h265

from rtspkit.findings import Findings, UnitCounts
from rtspkit.media import AccessUnit, Track
from rtspkit.packetizer import interleaved_frame, packetize_h264, packetize_h265, rtp_packet
from rtspkit.report import Authentication

VIDEO = Track(0, "video", "h264", 90000)
AUDIO = Track(1, "audio", "aac", 16000)
SPS = bytes.fromhex("6742c01fda014016e840")
PPS = bytes.fromhex("68ce3c80")


def unit(pts: float, *, sync: bool = False, track: Track = VIDEO, size: int = 1000, **more: bool) -> AccessUnit:
    return AccessUnit(track, round(pts * track.clock_rate), sync, bytes(size), arrival=100 + pts, **more)


class TestUnits:
    def test_rates(self) -> None:
        counts = UnitCounts()
        for number in range(50):
            counts.add(unit(number / 25, sync=number % 20 == 0))
        assert counts.rate() == pytest.approx(25)
        assert counts.bitrate() == pytest.approx(25 * 8000)
        assert (counts.units, counts.sync_units, counts.first_sync) == (50, 3, 100)
        assert (counts.gop_units, counts.gop_ticks) == ((20, 20), (72000, 72000))
        assert not counts.has_b_pictures

    def test_a_few_say_nothing(self) -> None:
        counts = UnitCounts()
        for number in range(5):
            counts.add(unit(number / 25))
        assert (counts.rate(), counts.bitrate(), counts.gop_units) == (None, None, None)

    def test_distances_that_change(self) -> None:
        counts = UnitCounts()
        for number in range(40):
            counts.add(unit(number / 10, sync=number in {2, 5, 30}))
        assert (counts.gop_units, counts.gop_ticks) == ((3, 25), (27000, 225000))

    def test_b_pictures(self) -> None:
        counts = UnitCounts()
        for pts in (0.0, 0.12, 0.04, 0.08):
            counts.add(unit(pts))
        assert counts.has_b_pictures

    def test_a_new_time_is_no_b_picture(self) -> None:
        counts = UnitCounts()
        counts.add(unit(5.0, sync=True))
        counts.add(unit(0.0, sync=True, discontinuity=True))
        assert not counts.has_b_pictures
        assert counts.gop_units is None

    def test_sound_has_no_sync_samples(self) -> None:
        counts = UnitCounts()
        counts.add(unit(0.0, sync=True, track=AUDIO, damaged=True))
        assert (counts.sync_units, counts.first_sync, counts.damaged) == (0, None, 1)


class Session:
    """A conversation, half a second for each answer."""

    def __init__(self) -> None:
        self.now = 10.0
        self.findings = Findings(started=9.75)
        self._cseq = 0

    def ask(self, method: str, answer: str = "RTSP/1.0 200 OK", **headers: str) -> None:
        self._cseq += 1
        lines = [f"{method} rtsp://h/ RTSP/1.0", f"CSeq: {self._cseq}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.out("\r\n".join([*lines, "", ""]).encode())
        self.now += 0.5
        if answer:
            status, _, rest = answer.partition("\r\n")
            self.receive(
                f"{status}\r\nCSeq: {self._cseq}\r\n{rest}\r\n\r\n".replace("\r\n\r\n\r\n", "\r\n\r\n").encode()
            )

    def out(self, data: bytes) -> None:
        self.findings.feed(self.findings.transcript.feed(self.now, "out", data))

    def receive(self, data: bytes, socket: int | None = None) -> None:
        self.findings.feed(self.findings.transcript.feed(self.now, "in", data, socket))


class TestSignalling:
    def test_timings(self) -> None:
        session = Session()
        session.ask("OPTIONS")
        session.ask("DESCRIBE", "RTSP/1.0 401 No")
        session.ask("DESCRIBE")
        session.ask("SETUP")
        session.ask("SETUP")
        session.ask("PLAY")
        session.now += 1
        session.receive(interleaved_frame(0, rtp_packet(b"\x41x", payload_type=96, sequence=1, timestamp=0, ssrc=1)))
        timings = session.findings.timings()
        assert (timings.connect, timings.describe, timings.setup, timings.play) == (0.25, 1.0, 1.0, 0.5)
        assert timings.first_packet == 1.5
        assert timings.first_sync is None

    def test_what_was_refused_took_no_time(self) -> None:
        session = Session()
        session.ask("DESCRIBE", "RTSP/1.0 404 No")
        assert session.findings.timings().describe is None
        assert session.findings.timings().connect == 0.25

    def test_nothing_at_all(self) -> None:
        findings = Findings(0.0)
        assert not findings.is_connected
        assert findings.timings().connect is None
        assert (findings.server(), findings.methods(), findings.session_timeout()) == (None, (), None)
        assert findings.authentication(is_secure=False) is None

    def test_headers(self) -> None:
        session = Session()
        session.ask("OPTIONS", "RTSP/1.0 200 OK\r\nPublic: DESCRIBE, get_parameter\r\nServer: A\x7f  b ")
        session.ask("SETUP", "RTSP/1.0 200 OK\r\nSession: 1;timeout=45")
        findings = session.findings
        assert findings.server() == "A   b"
        assert findings.methods() == ("DESCRIBE", "GET_PARAMETER")
        assert findings.session_timeout() == 45

    @pytest.mark.parametrize(
        ("authorization", "expected"),
        [
            (None, Authentication("none")),
            ("Basic YTpi", Authentication("Basic", in_clear=True)),
            ('Digest username="a", response="x"', Authentication("Digest", "MD5")),
            ('Digest username="a", algorithm=SHA-256', Authentication("Digest", "SHA-256")),
        ],
    )
    def test_credentials_that_were_taken(self, authorization: str | None, expected: Authentication) -> None:
        session = Session()
        session.ask("DESCRIBE", **({} if authorization is None else {"Authorization": authorization}))
        assert session.findings.authentication(is_secure=False) == expected

    @pytest.mark.parametrize(
        ("challenge", "expected"),
        [
            ('Basic realm="x"', Authentication("Basic", in_clear=True)),
            ('Basic realm="x", Digest realm="x", nonce="1"', Authentication("Digest", "MD5")),
            ('Digest realm="x", nonce="1", algorithm=SHA-256', Authentication("Digest", "SHA-256")),
            ("Negotiate", None),
        ],
    )
    def test_credentials_that_were_asked_for(self, challenge: str, expected: Authentication | None) -> None:
        session = Session()
        session.ask("DESCRIBE", f"RTSP/1.0 401 No\r\nWWW-Authenticate: {challenge}")
        assert session.findings.authentication(is_secure=False) == expected

    @pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46"])
    def test_what_is_not_rtsp(self, data: bytes) -> None:
        session = Session()
        session.ask("OPTIONS", "")
        session.receive(data)
        session.receive(b"")
        assert session.findings.foreign == data


def playing(encoding: str = "H264") -> Session:
    """A session with one track of that encoding, of which packets are expected."""
    session = Session()
    sdp = f"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 {encoding}/90000\r\n"
    session.ask("DESCRIBE", "")
    session.receive(f"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}".encode())
    session.ask("PLAY")
    return session


class TestPackets:
    @pytest.mark.parametrize("over_udp", [False, True])
    @pytest.mark.parametrize(
        ("nals", "expected"),
        [((SPS, PPS), True), ((b"\x41x",), False), ((b"\x65" + bytes(3000),), False), ((SPS + bytes(3000),), True)],
    )
    def test_parameter_sets_in_band(self, over_udp: bool, nals: tuple[bytes, ...], expected: bool) -> None:
        session = playing()
        for number, payload in enumerate(packetize_h264(nals)):
            packet = rtp_packet(
                payload.data, payload_type=96, sequence=number, timestamp=0, ssrc=7, extension=(1, b"1234")
            )
            if over_udp:
                session.receive(packet, socket=0)
            else:
                session.receive(interleaved_frame(0, packet))
        assert session.findings.has_in_band_sets(7) is expected
        assert not session.findings.has_in_band_sets(8)

    @pytest.mark.parametrize("encoding", ["H265", "HEVC"])
    @pytest.mark.parametrize(
        ("nals", "expected"),
        [
            ((h265.VPS, h265.SPS, h265.PPS), True),
            ((h265.SPS,), True),
            ((h265.SPS + bytes(3000),), True),
            ((b"\0\0\1" + h265.VPS + b"\0\0\1" + h265.SPS,), True),
            ((b"\x47\x01slice",), False),  # an SPS only in H.264
            ((b"\x26\x01" + bytes(3000),), False),
        ],
    )
    def test_parameter_sets_of_h265(self, encoding: str, nals: tuple[bytes, ...], expected: bool) -> None:
        session = playing(encoding)
        for number, payload in enumerate(packetize_h265(nals)):
            packet = rtp_packet(payload.data, payload_type=96, sequence=number, timestamp=0, ssrc=7)
            session.receive(packet, socket=0)
        assert session.findings.has_in_band_sets(7) is expected

    def test_packets_that_were_not_announced(self) -> None:
        session = playing()
        session.receive(rtp_packet(SPS, payload_type=97, sequence=0, timestamp=0, ssrc=7), socket=0)
        assert not session.findings.has_in_band_sets(7)

    def test_parameter_sets_in_annex_b(self) -> None:
        session = playing()
        payload = b"\0\0\0\1\x09\xf0\0\0\0\1" + SPS
        session.receive(rtp_packet(payload, payload_type=96, sequence=0, timestamp=0, ssrc=7), socket=0)
        assert session.findings.has_in_band_sets(7)

    def test_many_sources_cost_nothing(self) -> None:
        session = playing()
        for ssrc in range(1000):
            session.receive(rtp_packet(SPS, payload_type=96, sequence=0, timestamp=0, ssrc=ssrc), socket=0)
        assert session.findings.has_in_band_sets(63)
        assert not session.findings.has_in_band_sets(64)
