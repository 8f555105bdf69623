"""The sending half of RTP against bytes written out by hand from the RFCs."""

import pytest

from rtspkit.errors import LocalProtocolError
from rtspkit.packetizer import (
    Payload,
    RTPSender,
    bye,
    interleaved_frame,
    ntp_timestamp,
    packetize_aac,
    packetize_h264,
    packetize_h265,
    packetize_latm,
    packetize_sound,
    rtp_packet,
    sender_report,
    stream_mux_config,
)


class TestH264:
    def test_a_nal_unit_that_fits_goes_as_it_is(self) -> None:
        assert packetize_h264([b"\x65abc"]) == [Payload(b"\x65abc", True)]

    def test_small_nal_units_share_a_packet(self) -> None:
        """STAP-A: the highest NRI of its members."""
        assert packetize_h264([b"\x06s", b"\x67ab", b"\x48"]) == [
            Payload(bytes.fromhex("78 0002 0673 0003 676162 0001 48"), True)
        ]

    def test_the_forbidden_bit_of_a_member_is_the_packets(self) -> None:
        assert packetize_h264([b"\x81a", b"\x41b"])[0].data[0] == 0x80 | 0x40 | 24

    def test_without_aggregation_each_has_its_packet(self) -> None:
        payloads = packetize_h264([b"\x67a", b"\x68b", b"\x65c"], aggregate=False)
        assert [payload.data for payload in payloads] == [b"\x67a", b"\x68b", b"\x65c"]
        assert [payload.marker for payload in payloads] == [False, False, True]

    def test_a_full_packet_makes_room_for_the_next(self) -> None:
        payloads = packetize_h264([b"\x41aaa", b"\x41bbb", b"\x41ccc"], max_size=13)
        assert [payload.data[0] for payload in payloads] == [0x58, 0x41]
        assert len(payloads[0].data) == 13

    def test_a_large_nal_unit_is_cut(self) -> None:
        payloads = packetize_h264([b"\x65abcdefg"], max_size=5)
        assert [payload.data for payload in payloads] == [b"\x7c\x85abc", b"\x7c\x05def", b"\x7c\x45g"]
        assert [payload.marker for payload in payloads] == [False, False, True]

    def test_order_is_kept_around_a_large_one(self) -> None:
        payloads = packetize_h264([b"\x67a", b"\x65" + bytes(10), b"\x41z"], max_size=9)
        assert [payload.data[0] & 0x1F for payload in payloads] == [7, 28, 28, 1]

    @pytest.mark.parametrize("nal", [b"", b"\x00", b"\x78abc", b"\x7cabc", b"\x1fa"])
    def test_what_is_no_nal_unit_is_refused(self, nal: bytes) -> None:
        with pytest.raises(LocalProtocolError, match="not a NAL unit"):
            packetize_h264([b"\x65a", nal])

    def test_a_size_without_room_is_refused(self) -> None:
        with pytest.raises(LocalProtocolError, match="use 3 or more"):
            packetize_h264([b"\x65abc"], max_size=2)


class TestH265:
    def test_a_nal_unit_a_packet(self) -> None:
        assert packetize_h265([b"\x26\x01idr"]) == [Payload(b"\x26\x01idr", True)]

    def test_small_ones_share_a_packet(self) -> None:
        """RFC 7798, 4.4.2: type 48, then each behind 16 bits of its size."""
        nals = [b"\x40\x01v", b"\x42\x01s", b"\x26\x02x"]
        (payload,) = packetize_h265(nals)
        assert payload == Payload(
            bytes.fromhex("6001 0003") + nals[0] + b"\0\x03" + nals[1] + b"\0\x03" + nals[2], True
        )
        assert [one.marker for one in packetize_h265(nals, aggregate=False)] == [False, False, True]

    def test_fragments(self) -> None:
        """RFC 7798, 4.4.3: type 49, then S, E and the type that the NAL unit has."""
        assert packetize_h265([b"\x26\x01abcdef"], max_size=5) == [
            Payload(bytes.fromhex("6201 93") + b"ab", False),
            Payload(bytes.fromhex("6201 13") + b"cd", False),
            Payload(bytes.fromhex("6201 53") + b"ef", True),
        ]

    @pytest.mark.parametrize("nal", [b"", b"\x26", b"\x60\x01a", b"\x62\x01a", b"\x7e\x01"])
    def test_what_is_no_nal_unit_is_refused(self, nal: bytes) -> None:
        with pytest.raises(LocalProtocolError, match="not a NAL unit"):
            packetize_h265([b"\x26\x01a", nal])

    def test_a_size_without_room_is_refused(self) -> None:
        with pytest.raises(LocalProtocolError, match="use 4 or more"):
            packetize_h265([b"\x26\x01abc"], max_size=3)


class TestAAC:
    def test_one_unit_a_packet(self) -> None:
        """AU-headers-length 16 bits, then 13 bits of size and 3 of index."""
        assert packetize_aac([b"abc", b"de"]) == [
            Payload(bytes.fromhex("0010 0018") + b"abc", True, 0),
            Payload(bytes.fromhex("0010 0010") + b"de", True, 1),
        ]

    def test_several_units_a_packet(self) -> None:
        payloads = packetize_aac([b"abc", b"de", b"f"], per_packet=2)
        assert payloads[0] == Payload(bytes.fromhex("0020 0018 0010") + b"abcde", True, 0)
        assert payloads[1].first == 2

    def test_units_that_do_not_fit_together_are_not_put_together(self) -> None:
        payloads = packetize_aac([bytes(6), bytes(6)], max_size=17, per_packet=8)
        assert [payload.first for payload in payloads] == [0, 1]
        assert len(packetize_aac([bytes(6), bytes(6)], max_size=18, per_packet=8)) == 1

    def test_a_large_unit_is_cut(self) -> None:
        """Each fragment tells the size of the whole unit; the last has the marker (RFC 3640, 3.2.3)."""
        payloads = packetize_aac([b"abcdefg"], max_size=8)
        assert payloads == [
            Payload(bytes.fromhex("0010 0038") + b"abcd", False, 0),
            Payload(bytes.fromhex("0010 0038") + b"efg", True, 0),
        ]

    def test_headers_that_end_within_a_byte_are_padded(self) -> None:
        """AAC-lbr: 6 bits of size, 2 of index; 5 here, so that bits are left over."""
        payload = packetize_aac([b"a"], size_length=5, index_length=2)[0]
        assert payload.data == bytes.fromhex("0007 08") + b"a"

    @pytest.mark.parametrize("unit", [b"", bytes(8192)])
    def test_a_size_that_cannot_be_told_is_refused(self, unit: bytes) -> None:
        with pytest.raises(LocalProtocolError, match="13 bits"):
            packetize_aac([unit])

    @pytest.mark.parametrize("options", [{"max_size": 4}, {"per_packet": 0}])
    def test_no_room_is_refused(self, options: dict[str, int]) -> None:
        with pytest.raises(LocalProtocolError, match="leaves no room"):
            packetize_aac([b"a"], **options)


class TestLATM:
    CONFIG = bytes.fromhex("1190")  # AAC-LC, 48 kHz, stereo

    def test_configuration(self) -> None:
        """One time framing, one unit, one program, one layer; the AudioSpecificConfig; units that say their lengths."""
        assert stream_mux_config(self.CONFIG) == bytes.fromhex("400023203fc0")
        assert stream_mux_config(self.CONFIG, units=2) == bytes.fromhex("410023203fc0")

    def test_lengths(self) -> None:
        """255 says that more of the length follows."""
        payloads = packetize_latm([b"abc", bytes(255), bytes(300)])
        assert [payload.data[:3] for payload in payloads] == [b"\3ab", b"\xff\0\0", b"\xff\x2d\0"]
        assert [payload.first for payload in payloads] == [0, 1, 2]

    def test_fragments(self) -> None:
        assert packetize_latm([b"abcdef"], max_size=3) == [
            Payload(b"\6ab", False),
            Payload(b"cde", False),
            Payload(b"f", True),
        ]

    def test_configuration_in_band(self) -> None:
        """A bit says whether it is there: 0, or 1 where the one before is used again."""
        told, again = packetize_latm([b"\0", b"\xff"], config=self.CONFIG, repeat=2)
        assert told.data == bytes.fromhex("2000 1190 1fe0 0800")
        assert again.data == bytes.fromhex("80ff80")

    @pytest.mark.parametrize("options", [{"max_size": 0}, {"per_element": 2}, {"per_element": 65}])
    def test_refused(self, options: dict[str, int]) -> None:
        units = [b"a"] * (65 if options.get("per_element") == 65 else 1)
        with pytest.raises(LocalProtocolError):
            packetize_latm(units, config=self.CONFIG, **options)


class TestSound:
    def test_a_unit_is_a_packet(self) -> None:
        assert packetize_sound(b"abc") == [Payload(b"abc", False)]

    @pytest.mark.parametrize("unit", [b"", bytes(1401)])
    def test_refused(self, unit: bytes) -> None:
        with pytest.raises(LocalProtocolError, match=f"{len(unit)} bytes"):
            packetize_sound(unit)


class TestRTP:
    def test_header(self) -> None:
        packet = rtp_packet(b"xy", payload_type=96, sequence=0x10203, timestamp=2**32 + 7, ssrc=0xCAFEBABE, marker=True)
        assert packet == bytes.fromhex("80 e0 0203 00000007 cafebabe") + b"xy"

    def test_everything_a_header_can_have(self) -> None:
        packet = rtp_packet(
            b"xy",
            payload_type=97,
            sequence=1,
            timestamp=2,
            ssrc=3,
            csrc=(4, 5),
            extension=(0xBEDE, b"abcd"),
            padding=2,
        )
        assert packet == bytes.fromhex("b2 61 0001 00000002 00000003 00000004 00000005 bede0001") + b"abcdxy\0\2"

    def test_an_extension_is_whole_words(self) -> None:
        with pytest.raises(LocalProtocolError, match="multiple of 4"):
            rtp_packet(b"", payload_type=96, sequence=0, timestamp=0, ssrc=0, extension=(1, b"abc"))

    def test_interleaved(self) -> None:
        assert interleaved_frame(2, b"abc") == b"$\x02\x00\x03abc"

    def test_a_sender_counts(self) -> None:
        sender = RTPSender(payload_type=97, ssrc=1, sequence=0xFFFF)
        packets = sender.packets(packetize_aac([b"abc", b"de"]), 100, 1024)
        assert [packet[2:8].hex() for packet in packets] == ["ffff00000064", "000000000464"]
        assert (sender.sequence, sender.packet_count, sender.octet_count) == (0x10001, 2, 7 + 6)
        report = sender.sender_report(wall=0.0, timestamp=5)
        assert report[:28] == bytes.fromhex("80c80006 00000001 83aa7e80 00000000 00000005 00000002 0000000d")


class TestRTCP:
    def test_ntp(self) -> None:
        assert ntp_timestamp(0.5) == (2_208_988_800 << 32) + (1 << 31)

    @pytest.mark.parametrize("name", ["", "a", "ab", "abc", "abcd", "x" * 300])
    def test_a_report_is_whole_words(self, name: str) -> None:
        """Each RTCP packet tells its length in words less one, and the description ends with a zero byte."""
        report = sender_report(ssrc=1, ntp=2, timestamp=3, packet_count=4, octet_count=5, cname=name)
        description = report[28:]
        assert description[:2] == b"\x81\xca"
        assert len(description) == 4 * (1 + int.from_bytes(description[2:4], "big"))
        size = description[9]
        assert description[10 : 10 + size] == name.encode()[:255]
        rest = description[10 + size :]
        assert 1 <= len(rest) <= 4
        assert not any(rest)

    def test_bye(self) -> None:
        assert bye(0x01020304) == bytes.fromhex("81cb0001 01020304")
