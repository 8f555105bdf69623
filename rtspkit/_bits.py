"""Reading single bits out of parameter sets (ITU-T H.264 7.2 and 9.1; ISO/IEC 14496-3).

Every read is bounded by the data that is there, so that a loop over a count the peer has sent ends, at the
latest, where its bytes end.
"""

from __future__ import annotations

from rtspkit.errors import RemoteProtocolError

__all__ = ["BitReader"]


class BitReader:
    """Reads `data` from its most significant bit on; `what` names it in errors."""

    __slots__ = ("_data", "_end", "_position", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._position = 0
        self._end = 8 * len(data)
        self._what = what

    @property
    def position(self) -> int:
        """Bits read so far."""
        return self._position

    @property
    def bits_left(self) -> int:
        """Bits not yet read."""
        return self._end - self._position

    def error(self, problem: str) -> RemoteProtocolError:
        """An error that names this data and the place in it."""
        return RemoteProtocolError(f"{self._what}: {problem}", offset=self._position // 8, head=self._data)

    def read(self, count: int) -> int:
        """The next `count` bits as an unsigned number, u(n)."""
        start = self._position
        stop = start + count
        if stop > self._end:
            raise self.error("ends too early")
        self._position = stop
        value = int.from_bytes(self._data[start >> 3 : (stop + 7) >> 3])
        return (value >> (-stop & 7)) & ((1 << count) - 1)

    def flag(self) -> bool:
        """The next bit."""
        return bool(self.read(1))

    def skip(self, count: int) -> None:
        """Pass over `count` bits."""
        if count > self.bits_left:
            raise self.error("ends too early")
        self._position += count

    def rest(self) -> bytes:
        """The bits not yet read, filled up with zeros to whole bytes; they are not passed over."""
        data = self._data[self._position >> 3 :]
        return (int.from_bytes(data) << (self._position & 7)).to_bytes(len(data) + 1)[1:]

    def align(self) -> None:
        """Go on at the next whole byte."""
        self._position = (self._position + 7) & ~7

    def unsigned(self, name: str, maximum: int = 0xFFFFFFFE) -> int:
        """An unsigned Exp-Golomb number, ue(v), at most `maximum`."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 31:  # 2**32 - 2 is the largest number the syntax has (9.1)
                raise self.error(f"{name} has more than 32 bits")
        value = (1 << zeros) - 1 + self.read(zeros)
        if value > maximum:
            raise self.error(f"{name} is {value}, at most {maximum} is allowed")
        return value

    def signed(self, name: str, minimum: int = -0x7FFFFFFF, maximum: int = 0x7FFFFFFF) -> int:
        """A signed Exp-Golomb number, se(v), from `minimum` to `maximum`."""
        code = self.unsigned(name)
        value = (code + 1) // 2 if code & 1 else -(code // 2)
        if not minimum <= value <= maximum:
            raise self.error(f"{name} is {value}, {minimum} to {maximum} is allowed")
        return value
