"""Plain-Python models of `rtspkit._flac`: where it puts which samples, and a decoder that checks what it writes.

`Blocks` says which blocks must come of which packets; `read_frame` says what a decoder finds in one. They share no code
with what they check; G.711 is expanded by the formulas of its decision values, not by the tables' ones.

Spec: RFC 9639 9 (frames); ITU-T G.711 tables 1 and 2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

BITS = 16
#: Sample rates that a frame's header names by a number.
RATES = {
    1: 88_200,
    2: 176_400,
    3: 192_000,
    4: 8_000,
    5: 16_000,
    6: 22_050,
    7: 24_000,
    8: 32_000,
    9: 44_100,
    10: 48_000,
    11: 96_000,
}


def expand(codec: str, data: bytes) -> list[int]:
    """The 16-bit samples of coded ones."""
    if codec == "l16":
        return [value for (value,) in struct.iter_unpack(">h", data)]
    found = []
    for byte in data:
        code = byte ^ (0x55 if codec == "pcma" else 0xFF)
        segment, step, is_set = code >> 4 & 7, code & 15, bool(code & 0x80)
        if codec == "pcma":  # 13 bits
            value = 2 * step + 1 if segment == 0 else (2 * step + 33) * 2 ** (segment - 1)
            found.append(8 * (value if is_set else -value))
        else:  # 14 bits
            value = (2 * step + 33) * 2**segment - 33
            found.append(4 * (-value if is_set else value))
    return found


@dataclass(frozen=True)
class Block:
    """One block: its record, and the samples of each channel."""

    pts: int
    arrival: int
    is_damaged: bool
    channels: tuple[tuple[int, ...], ...]


class Blocks:
    """Which blocks come of which packets."""

    def __init__(self, codec: str, channels: int, rate: int, size: int) -> None:
        self.codec, self.channels, self.rate, self.size = codec, channels, rate, size
        self.held: list[tuple[int, ...]] = []
        self.start: int | None = None  # pts of the first sample held
        self.ahead = self.arrival = self.last_count = self.steps = 0
        self.stepped = 0  # how far the packets in a row did that stepped
        self.mark = self.steady = 0  # `ahead` when it was looked at last, while it is far; samples since
        self.is_damaged = False
        self.found: list[Block] = []

    def restart(self) -> None:
        self.held, self.start, self.is_damaged = [], None, False

    def take(self, pts: int, arrival: int, data: bytes, is_damaged: bool) -> None:
        width = self.channels * (2 if self.codec == "l16" else 1)
        values = expand(self.codec, data[: len(data) // width * width])
        instants = list(zip(*(values[channel :: self.channels] for channel in range(self.channels)), strict=True))
        if not instants:
            self.is_damaged |= is_damaged
            return
        pts = min(max(pts, -(2**60)), 2**60)
        if self.start is None:
            self.start, self.ahead, self.steps = pts, 0, 0
            self.stepped = self.mark = self.steady = 0
        else:
            change = pts - (self.start + len(self.held)) - self.ahead
            limit = self.rate // 5
            if -limit - self.last_count <= change <= limit:
                self.steps = self.stepped = 0
                if is_damaged and change > 0:
                    self._silence(change)
                else:
                    self.ahead += change
            elif self.steps == 3:
                self.ahead += change
            else:
                self.steps += 1
                self.stepped += pts - self.start - len(self.held)
                self._step(pts)
                if self.steps == 3:  # there is no believing them, nor the ones before
                    self.start -= self.stepped
                    self.ahead = self.stepped
            if abs(self.ahead) <= limit:
                self.mark, self.steady = self.ahead, 0
            elif self.steady < self.rate:
                self.steady += len(instants)
            else:
                is_even = 64 * abs(self.ahead - self.mark) <= self.rate
                self.mark, self.steady = self.ahead, len(instants)
                if is_even:
                    self._step(pts)
        self.last_count = len(instants)
        self.is_damaged |= is_damaged
        self.arrival = arrival
        self._put(instants)

    def _step(self, pts: int) -> None:
        if self.held:
            self._silence(self.size - len(self.held))
        self.start, self.ahead = pts, 0

    def _silence(self, count: int) -> None:
        for _ in range(count):
            self.is_damaged = True
            self._put([(0,) * self.channels])

    def _put(self, instants: Sequence[tuple[int, ...]]) -> None:
        assert self.start is not None
        for instant in instants:
            self.held.append(instant)
            if len(self.held) == self.size:
                channels = tuple(zip(*self.held, strict=True))
                self.found.append(Block(self.start, self.arrival, self.is_damaged, channels))
                step = -(-self.ahead // 64) if self.ahead > 0 else self.ahead // 64
                step = max(-(self.size // 128 or 1), min(self.size // 128 or 1, step))
                if abs(self.ahead) > self.rate // 5:
                    step = 0
                self.ahead -= step
                self.start += self.size + step
                self.held, self.is_damaged = [], False


# -- reading --------------------------------------------------------------------------------------------------


class _Bits:
    def __init__(self, data: bytes) -> None:
        self.data, self.left = data, 8 * len(data)

    def read(self, count: int) -> int:
        assert count <= self.left, "a frame ends early"
        start = 8 * len(self.data) - self.left
        self.left -= count
        covering = int.from_bytes(self.data[start // 8 : (start + count + 7) // 8], "big")
        return covering >> (-(start + count) % 8) & ((1 << count) - 1)

    def signed(self, count: int) -> int:
        value = self.read(count)
        return value - (1 << count) if count and value >> (count - 1) else value

    def zeros(self) -> int:
        count = 0
        while not self.read(1):
            count += 1
        return count


def _crc(data: bytes, width: int, polynomial: int) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << (width - 8)
        for _ in range(8):
            crc = (crc << 1 ^ (polynomial if crc >> (width - 1) else 0)) & ((1 << width) - 1)
    return crc


def read_frame(data: bytes) -> tuple[int, int, tuple[tuple[int, ...], ...]]:
    """Its number, its sample rate, and the samples of each channel; AssertionError where it is no frame."""
    assert _crc(data[:-2], 16, 0x8005) == int.from_bytes(data[-2:], "big")
    assert data[:2] == b"\xff\xf8", "blocks of one size"
    bits = _Bits(data[:-2])
    bits.read(16)
    size_code, rate_code, assignment, sample_size, reserved = (bits.read(count) for count in (4, 4, 4, 3, 1))
    assert (size_code, sample_size, reserved) == (7, 4, 0)
    first = bits.read(8)
    more = next(count for count in range(8) if not first >> (7 - count) & 1)
    assert more not in (1, 7)
    coded = bytes((first, *(bits.read(8) for _ in range(max(0, more - 1)))))
    number = first if more == 0 else first & (0x7F >> more)
    for byte in coded[1:]:
        assert byte >> 6 == 2
        number = number << 6 | byte & 0x3F
    assert number < 0x80 or number >= 1 << (5 * max(2, len(coded)) - 4 if len(coded) > 2 else 7), "its shortest form"
    count = bits.read(16) + 1
    rate = bits.read(16) if rate_code == 13 else RATES[rate_code]
    header = len(data) - 2 - bits.left // 8
    assert bits.read(8) == _crc(data[:header], 8, 0x07)
    left_side, side_right = assignment == 8, assignment == 9
    widths = [BITS + left_side * 0, BITS] if left_side or side_right else [BITS] * (assignment + 1)
    if left_side:
        widths[1] += 1
    elif side_right:
        widths[0] += 1
    assert assignment <= 9
    channels = [_read_subframe(bits, count, width) for width in widths]
    assert bits.left < 8
    assert bits.read(bits.left) == 0
    if left_side:
        channels[1] = [a - b for a, b in zip(*channels, strict=True)]
    elif side_right:
        channels[0] = [a + b for a, b in zip(*channels, strict=True)]
    return number, rate, tuple(map(tuple, channels))


def _read_subframe(bits: _Bits, count: int, width: int) -> list[int]:
    assert bits.read(1) == 0
    kind = bits.read(6)
    wasted = bits.zeros() + 1 if bits.read(1) else 0
    width -= wasted
    if kind == 0:
        found = [bits.signed(width)] * count
    elif kind == 1:
        found = [bits.signed(width) for _ in range(count)]
    else:
        order = kind - 8
        assert 0 <= order <= 4
        found = [bits.signed(width) for _ in range(order)]
        for residual in _read_residual(bits, count, order):
            predicted = {
                0: lambda _: 0,
                1: lambda x: x[-1],
                2: lambda x: 2 * x[-1] - x[-2],
                3: lambda x: 3 * x[-1] - 3 * x[-2] + x[-3],
                4: lambda x: 4 * x[-1] - 6 * x[-2] + 4 * x[-3] - x[-4],
            }[order](found)
            found.append(predicted + residual)
    assert all(-(1 << width >> 1) <= value < 1 << width >> 1 for value in found)
    return [value << wasted for value in found]


def _read_residual(bits: _Bits, count: int, order: int) -> list[int]:
    assert bits.read(2) == 0, "parameters of 4 bits"
    partition_order = bits.read(4)
    assert count % (1 << partition_order) == 0
    assert count >> partition_order > order
    found = []
    for number in range(1 << partition_order):
        parameter = bits.read(4)
        assert parameter < 15, "no escape"
        for _ in range((count >> partition_order) - (order if number == 0 else 0)):
            folded = bits.zeros() << parameter
            folded |= bits.read(parameter)
            found.append(folded >> 1 ^ -(folded & 1))
    return found
