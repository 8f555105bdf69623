"""What is taken out of a session, and what stays."""

import pytest
import test_h265 as h265

from rtspkit.messages import Parser, Request, Response
from rtspkit.packetizer import (
    bye,
    packetize_aac,
    packetize_h264,
    packetize_h265,
    packetize_latm,
    rtp_packet,
    sender_report,
)
from rtspkit.scrub import FILL, Scrubber, scrub_packet
from rtspkit.url import parse_url

URL = "rtsp://installer:Tr0ub4dor@cam.corp.test:8554/live/main"
SPS = bytes.fromhex("6742c01fda014016e840")
PPS = bytes.fromhex("68ce3c80")
PICTURE = bytes(range(1, 256)) * 20
CODECS = {96: "h264", 97: "aac", 98: "h265", 99: "latm"}


def scrubbed(raw: bytes, url: str = URL, scrubber: Scrubber | None = None) -> str:
    parser = Parser()
    parser.feed(raw)
    message = parser.next()
    assert isinstance(message, (Request, Response))
    return (scrubber or Scrubber(parse_url(url))).message(raw, message).decode("latin-1")


def header(name: str, value: str) -> str:
    text = scrubbed(f"RTSP/1.0 200 OK\r\n{name}: {value}\r\n\r\n".encode())
    return text.split("\r\n")[1].partition(": ")[2]


def sdp(line: str) -> str:
    body = f"v=0\r\n{line}\r\n".encode()
    raw = b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    return scrubbed(raw).split("\r\n")[4]


def rtp(payload: bytes, payload_type: int = 96, *, number: int = 1) -> bytes:
    return rtp_packet(payload, payload_type=payload_type, sequence=number, timestamp=1234, ssrc=0xABCD)


class TestText:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("Basic aW5zdGFsbGVyOlRyMHViNGRvcg==", "Basic dXNlcjpwYXNzd29yZA=="),
            ("Basic dXNlcjrealmaBC==", "Basic dXNlcjpwYXNzd29yZA=="),  # no challenge, whatever it looks like
            (
                'Digest username="installer", realm="Cam C0FFEE", nonce="abc", uri="rtsp://10.0.0.1/x", '
                'response="0123", qop=auth, nc=00000001, cnonce="zz", algorithm=MD5',
                'Digest username="user", realm="realm-1", nonce="nonce-1", uri="rtsp://192.0.2.1/x", '
                'response="0000", qop=auth, nc=00000001, cnonce="cnonce-1", algorithm=MD5',
            ),
        ],
    )
    def test_credentials(self, value: str, expected: str) -> None:
        assert header("Authorization", value) == expected

    def test_challenges_keep_how_they_are_written(self) -> None:
        value = 'digest realm=Login to 4K0123456,nonce="a,b", stale=FALSE , opaque=""'
        assert header("WWW-Authenticate", value) == ('digest realm=realm-1,nonce="nonce-1", stale=FALSE , opaque=""')

    def test_the_same_gets_the_same(self) -> None:
        scrubber = Scrubber(parse_url(URL))
        raw = b"RTSP/1.0 200 OK\r\nSession: %s;timeout=60\r\n\r\n"
        sessions = [scrubbed(raw % name, scrubber=scrubber).split()[4] for name in (b"A1", b"B2", b"A1")]
        assert sessions == ["session-1;timeout=60", "session-2;timeout=60", "session-1;timeout=60"]

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (
                "DESCRIBE rtsp://cam.corp.test:8554/live/main RTSP/1.0",
                "DESCRIBE rtsp://camera.example:8554/live/main RTSP/1.0",
            ),
            ("PLAY rtsp://[fe80::1%eth0]/x RTSP/1.0", "PLAY rtsp://[2001:db8::1]/x RTSP/1.0"),
            (
                "SETUP rtsp://10.1.2.3/user=admin&password=hunter2&channel=1 RTSP/1.0",
                "SETUP rtsp://192.0.2.1/user=secret&password=secret&channel=1 RTSP/1.0",
            ),
            ("PLAY rtsp://10.1.2.3/1?auth=YWRtaW4 RTSP/1.0", "PLAY rtsp://192.0.2.1/1?auth=secret RTSP/1.0"),
            ("SETUP rtsp://10.1.2.3/aBcD1234eFgH5678?x RTSP/1.0", "SETUP rtsp://192.0.2.1/xXxX1111xXxX1111?x RTSP/1.0"),
            (
                "PLAY rtsp://h/Streaming/Channels/101 RTSP/1.0",
                "PLAY rtsp://host-1.example/Streaming/Channels/101 RTSP/1.0",
            ),
        ],
    )
    def test_request_lines(self, line: str, expected: str) -> None:
        assert scrubbed(f"{line}\r\nCSeq: 1\r\n\r\n".encode()).split("\r\n")[0] == expected

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("Server", "Hipcam RealServer/V1.0", "Hipcam RealServer/V1.0"),
            ("Server", "cam 00:1A:2b:3C:4d:5E DS0123456789", "cam 11:1X:1x:1X:1x:1X XX1111111111"),
            ("X-Who", "user installer, word Tr0ub4dor!", "user user, word password!"),
            ("Date", "Sat, 01 Aug 2026 07:02:13 GMT", "Sat, 01 Aug 2026 07:02:13 GMT"),
            (
                "RTP-Info",
                "url=rtsp://10.0.0.9/t;seq=12345;rtptime=1234567890",
                "url=rtsp://192.0.2.1/t;seq=12345;rtptime=1234567890",
            ),
            ("Transport", "RTP/AVP;source=10.0.0.9;ssrc=  12345678", "RTP/AVP;source=192.0.2.1;ssrc=  12345678"),
            ("Set-Cookie", "id=verysecret", "cookie-1"),
        ],
    )
    def test_headers(self, name: str, value: str, expected: str) -> None:
        assert header(name, value) == expected

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("o=- 1109162014219182 1 IN IP4 192.168.1.64", "o=- 1111111111111111 1 IN IP4 192.0.2.1"),
            ("o=- -5 x IN IPV4 192.168.1.64", "o=- -5 x IN IPV4 192.0.2.1"),
            ("c=IN IP4 0.0.0.0", "c=IN IP4 0.0.0.0"),
            ("c=IN IP4 239.1.2.3/64", "c=IN IP4 233.252.0.1/64"),
            ("c=IN IP4 cam.lan", "c=IN IP4 host-1.example"),
            ("s=Session of 4G05B2CPAG12345", "s=Session of 1X11X1XXXX11111"),
            ("i=Bob's front door", "i=Xxx'x xxxxx xxxx"),
            ("e=Bob <bob@corp.test>", "e=Xxx <xxx@xxxx.xxxx>"),
            ("a=tool:LIVE555 v2010.11.17", "a=tool:LIVE555 v2010.11.17"),
            ("a=control:rtsp://10.0.0.9/trackID=1", "a=control:rtsp://192.0.2.1/trackID=1"),
            ("a=fmtp:96 sprop-parameter-sets=Z0LAH9oBQBboQA==,aM48gA==", None),
            ("a=rtpmap:96 H264/90000", None),
        ],
    )
    def test_descriptions(self, line: str, expected: str | None) -> None:
        assert sdp(line) == (line if expected is None else expected)

    def test_the_length_fits_again(self) -> None:
        text = scrubbed(b"RTSP/1.0 200 OK\r\ncontent-length : 22\r\n\r\nc=IN IP4 192.168.1.64\n")
        head, _, body = text.partition("\r\n\r\n")
        assert head.endswith(f"content-length : {len(body)}")
        assert body == "c=IN IP4 192.0.2.1\n"

    def test_what_stood_before_it(self) -> None:
        raw = b"\r\n\x00PIXELS\r\nRTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"
        assert scrubbed(raw) == "\r\n" + chr(FILL) * 7 + "\r\nRTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"

    def test_short_secrets_do_not_spoil_the_text(self) -> None:
        """They stand only where the whole value is replaced."""
        assert scrubbed(b"RTSP/1.0 200 OK\r\nA: a b\r\n\r\n", "rtsp://a:b@h/").split("\r\n")[1] == "A: a b"


class TestMedia:
    def packets(self, *nals: bytes) -> list[tuple[bytes, bytes]]:
        found = []
        for number, payload in enumerate(packetize_h264(nals)):
            packet = rtp(payload.data, number=number)
            found.append((packet, scrub_packet(packet, CODECS)))
        return found

    def test_sizes_and_headers_stay(self) -> None:
        for packet, scrubbed_packet in self.packets(SPS, PPS, b"\x65\x88" + PICTURE):
            assert len(packet) == len(scrubbed_packet)
            assert packet[:14] == scrubbed_packet[:14]

    def test_parameter_sets_stay_and_pictures_go(self) -> None:
        pairs = self.packets(SPS, PPS, b"\x65\x88" + PICTURE)
        assert pairs[0][0] == pairs[0][1], "STAP-A of both parameter sets"
        assert pairs[1][1][12:] == pairs[1][0][12:25] + bytes((FILL,)) * 1387, "FU-A with the slice header"
        assert {*pairs[2][1][14:]} == {FILL}

    def test_messages_within_the_video_go(self) -> None:
        """Cameras put names and places into their own kind of SEI."""
        ((_, packet),) = self.packets(b"\x06\x05secret serial number")
        assert packet[12:14] == b"\x06\x05"
        assert {*packet[14:]} == {FILL}

    def test_h265(self) -> None:
        nals = (h265.VPS, h265.SPS, h265.PPS, b"\x4e\x01\x05serial number", b"\x26\x01\xa0" + PICTURE)
        pairs = []
        for payload in packetize_h265(nals):
            packet = rtp(payload.data, 98)
            pairs.append((packet, scrub_packet(packet, CODECS)))
            assert len(packet) == len(pairs[-1][1])
        size = len(b"".join((h265.VPS, h265.SPS, h265.PPS))) + 2 + 3 * 2
        assert pairs[0][1][12:] == pairs[0][0][12 : 12 + size + 5] + bytes((FILL,)) * 13, "AP: sets, and not the SEI"
        assert pairs[1][1][12:] == pairs[1][0][12:26] + bytes((FILL,)) * 1386, "FU with the slice header"
        assert {*pairs[2][1][15:]} == {FILL}

    def test_start_codes_stay(self) -> None:
        payload = b"\0\0\0\1" + SPS + b"\0\0\1" + b"\x65" + PICTURE[:500]
        packet = rtp(payload)
        assert scrub_packet(packet, CODECS)[12:] == payload[:29] + bytes((FILL,)) * 489

    def test_sound(self) -> None:
        (payload,) = packetize_aac([b"\x21sound" * 10, b"\x22more" * 10], per_packet=2)
        packet = scrub_packet(rtp(payload.data, 97), CODECS)
        assert packet[12:18] == payload.data[:6]
        assert {*packet[18:]} == {FILL}

    def test_sound_in_latm(self) -> None:
        units = [b"\x21sound" * 10, b"\x22" * 300]
        (payload,) = packetize_latm(units, per_element=2)
        packet = scrub_packet(rtp(payload.data, 99), CODECS)
        (silent,) = packetize_latm([bytes((FILL,)) * len(unit) for unit in units], per_element=2)
        assert packet[12:] == silent.data

    @pytest.mark.parametrize("data", [b"\xff\xff", b"\5abc", b""])
    def test_a_piece_of_latm_keeps_its_size(self, data: bytes) -> None:
        packet = scrub_packet(rtp(data, 99), CODECS)
        assert len(packet) == 12 + len(data)
        assert b"abc" not in packet

    def test_what_is_not_known_goes(self) -> None:
        packet = scrub_packet(rtp(b"whatever it is", 100), CODECS)
        assert packet[12:14] == b"wh"
        assert {*packet[14:]} == {FILL}

    def test_extension_and_padding(self) -> None:
        raw = bytes.fromhex("b0600001 00000002 00000003 bede0001 11223344") + SPS + b"\x01\x02\x03"
        assert scrub_packet(raw, CODECS) == raw[:16] + bytes(4) + SPS + b"\0\0\x03"

    def test_reports_stay_and_names_go(self) -> None:
        report = sender_report(ssrc=1, ntp=2, timestamp=3, packet_count=4, octet_count=5, cname="admin@10.0.0.7")
        found = scrub_packet(report, {})
        assert len(found) == len(report)
        assert found[:28] == report[:28]
        assert b"admin" not in found
        farewell = bye(7)
        assert scrub_packet(farewell, {}) == farewell

    @pytest.mark.parametrize(
        "packet", [b"", b"\xa0" + bytes(12), b"\x80", b"$$$$$$", bytes(40), b"\x8f\x60" + b"x" * 20]
    )
    def test_what_is_no_packet(self, packet: bytes) -> None:
        assert len(scrub_packet(packet, CODECS)) == len(packet)


def test_no_byte_of_a_password_that_is_no_text() -> None:
    url = parse_url("rtsp://us%C3%A9r:p%40ss%2Fw%C3%B6rd@10.0.0.1/x")
    text = Scrubber(url).text("p@ss/wörd p%40ss%2Fw%C3%B6rd usér us%C3%A9r")
    assert text == "password password user user"
