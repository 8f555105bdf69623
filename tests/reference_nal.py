"""How H.264 and H.265 lie in RTP packets, for `reference_rtp`: RFC 6184 and RFC 7798, a table and an `if` at a time.

A payload is taken for one of three things: a NAL unit, several behind their sizes, or a part of one. What a NAL unit is
good for is one word: "slice", "sync" (decoding can start with it), "link" (sync, after something was cut out),
"leading" (it refers to what was before the last sync), "set", "left out", "end", "message", "invalid" or "other".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from rtspkit.h264 import remove_emulation_prevention
from rtspkit.media import H264Parameters, H265Parameters

SLICES = {"slice", "sync", "link", "leading"}


class Fragment(NamedTuple):
    header: bytes  # of the NAL unit it is part of
    is_first: bool
    is_last: bool
    body: bytes


def exp_golomb(bits: str) -> Iterator[int]:
    """The Exp-Golomb numbers that open `bits`; -1 for ever from the first on that is not there or beyond 510."""
    while True:
        zeros = len(bits) - len(bits.lstrip("0"))
        code = bits[zeros : 2 * zeros + 1]
        whole = zeros <= 8 and len(code) == zeros + 1
        yield int(code, 2) - 1 if whole else -1
        bits = bits[2 * zeros + 1 :] if whole else ""


def as_bits(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


class H264:
    header_size = 1

    @staticmethod
    def nal_type(nal: bytes) -> int:
        return nal[0] & 0x1F

    def word(self, nal: bytes) -> str:
        words = dict.fromkeys([1, 2, 3, 4], "slice") | {5: "sync", 6: "message", 7: "set", 8: "set"}
        words |= dict.fromkeys([0, *range(9, 13), *range(24, 32)], "left out")
        return words.get(self.nal_type(nal), "other")

    def read(self, payload: bytes) -> bytes | list[bytes] | Fragment | str:
        """A NAL unit, [what follows the header of an aggregation packet], a fragment, or what it is counted as."""
        kind = self.nal_type(payload)
        if kind == 28:
            if len(payload) < 2:
                return "broken"
            header = bytes([payload[0] & 0xE0 | payload[1] & 0x1F])
            return Fragment(header, payload[1] >= 0x80, bool(payload[1] & 0x40), payload[2:])
        if kind == 24:
            return [payload[1:]]
        return payload if kind <= 23 and (kind or b"\x00\x00\x01" in payload[:4]) else "discarded"

    def key(self, nal: bytes) -> Any:
        """("sps", its number), the number of a PPS, or None for what is no parameter set that can be used."""
        if self.nal_type(nal) == 7:
            return ("sps", self.sps_id(nal)) if 0 <= self.sps_id(nal) <= 31 else None
        number = next(exp_golomb(as_bits(nal[1:])))
        return number if self.nal_type(nal) == 8 and 0 <= number <= 255 else None

    def sps_id(self, sps: bytes) -> int:
        return next(exp_golomb(as_bits(sps[4:])))

    def named_pps(self, body: bytes) -> int:
        """The PPS of a slice."""
        return list(islice(exp_golomb(as_bits(body[:16])), 3))[2]

    def parameters(self, sets: dict[Any, bytes], sps: Any) -> H264Parameters | None:
        pps = picture_sets(self, sets, sps)
        return H264Parameters(sets[sps], pps) if pps else None


class H265:
    header_size = 2

    @staticmethod
    def nal_type(nal: bytes) -> int:
        return nal[0] >> 1 & 0x3F

    def word(self, nal: bytes) -> str:
        if nal[1] & 7 == 0:
            return "invalid"
        words = dict.fromkeys(range(32), "slice") | dict.fromkeys([16, 17, 18], "link")
        words |= dict.fromkeys([19, 20, 21], "sync") | dict.fromkeys([8, 9], "leading")
        words |= dict.fromkeys([32, 33, 34], "set") | dict.fromkeys([35, 38, *range(48, 64)], "left out")
        words |= dict.fromkeys([36, 37], "end") | dict.fromkeys([39, 40], "message")
        word = words.get(self.nal_type(nal), "other")
        return "left out" if word == "set" and (nal[0] & 1 or nal[1] >> 3) else word  # nuh_layer_id

    def read(self, payload: bytes) -> bytes | list[bytes] | Fragment | str:
        if len(payload) < 2:
            return "broken"
        kind = self.nal_type(payload)
        if kind == 49:
            if len(payload) < 3:
                return "broken"
            header = bytes([payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]])
            return Fragment(header, payload[2] >= 0x80, bool(payload[2] & 0x40), payload[3:])
        if kind == 48:
            return [payload[2:]]
        return payload if kind < 48 else "discarded"

    def key(self, nal: bytes) -> Any:
        kind = self.nal_type(nal) if len(nal) >= 3 else 0
        if kind == 32:
            return "vps"
        if kind == 33:
            return ("sps", self.sps_id(nal)) if 0 <= self.sps_id(nal) <= 15 else None
        number = next(exp_golomb(as_bits(nal[2:])))
        return number if kind == 34 and 0 <= number <= 63 else None

    def sps_id(self, sps: bytes) -> int:
        bits = as_bits(remove_emulation_prevention(sps))
        sub_layers, bits = int("0" + bits[20:23], 2), bits[120:]
        if sub_layers:
            flags, bits = bits[:16], bits[16:]
            bits = bits[88 * flags[: 2 * sub_layers : 2].count("1") + 8 * flags[1 : 2 * sub_layers : 2].count("1") :]
        return next(exp_golomb(bits)) if sub_layers < 7 else -1

    def named_pps(self, body: bytes) -> int:
        return next(exp_golomb(as_bits(body[:16])[2:]))

    def parameters(self, sets: dict[Any, bytes], sps: Any) -> H265Parameters | None:
        pps = picture_sets(self, sets, sps)
        return H265Parameters(sets["vps"], sets[sps], pps) if pps and "vps" in sets else None


def named_sps(codec: H264 | H265, pps: bytes) -> tuple[str, int]:
    """The key of the SPS that a PPS is for."""
    return "sps", list(islice(exp_golomb(as_bits(pps[codec.header_size :])), 2))[1]


def picture_sets(codec: H264 | H265, sets: dict[Any, bytes], sps: Any) -> tuple[bytes, ...]:
    """Each PPS that names this SPS."""
    return tuple(nal for key, nal in sets.items() if isinstance(key, int) and named_sps(codec, nal) == sps)


def recovers(nal: bytes) -> bool:
    """Whether H.264's SEI has a recovery point (D.1.8) with a recovery_frame_cnt of 0."""
    data = nal[1:]
    while True:
        read = []
        for _ in range(2):
            more = len(data) - len(data.lstrip(b"\xff"))
            if more == len(data):
                return False
            read.append(255 * more + data[more])
            data = data[more + 1 :]
        if not data:
            return False
        if read[0] == 6:
            return data[0] >= 0x80
        data = data[read[1] :]
        if not data:
            return False


def goes_on(codec: H264 | H265, payload: bytes) -> bool:
    """Whether a payload belongs to the picture before it: its first slice is not the first of a picture."""
    size = codec.header_size
    if len(payload) < size + 1:
        return True
    read = codec.read(payload)
    if isinstance(read, Fragment):
        if not read.is_first:
            return True
        nal = read.header + read.body
    elif isinstance(read, list):
        nal = read[0][2:]
    else:
        nal = payload
    # a header that contradicts itself is not looked for here
    if size == 2 and len(nal) > size and codec.nal_type(nal) == 40:  # SEI that stands behind slices
        return True
    is_slice = len(nal) > size and (codec.nal_type(nal) < 32 if size == 2 else 1 <= codec.nal_type(nal) <= 5)
    return is_slice and not nal[size] & 0x80
