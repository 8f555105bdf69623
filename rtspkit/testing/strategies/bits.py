"""Writes NAL units bit by bit, as ITU-T H.264 and H.265 spell their syntax (7.2, 9.1 and 9.2)."""

from __future__ import annotations

__all__ = ["Bits"]


class Bits:
    """Writes a NAL unit bit by bit."""

    def __init__(self) -> None:
        self._text = ""

    def u(self, size: int, value: int) -> Bits:
        """An unsigned number of `size` bits, u(n)."""
        self._text += f"{value:0{size}b}"
        return self

    def ue(self, *values: int) -> Bits:
        """Unsigned Exp-Golomb numbers, ue(v)."""
        for value in values:
            code = f"{value + 1:b}"
            self._text += "0" * (len(code) - 1) + code
        return self

    def se(self, *values: int) -> Bits:
        """Signed Exp-Golomb numbers, se(v)."""
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def nal(self, header: bytes | int, more: bytes = b"") -> bytes:
        """The NAL unit: header, these bits, `more` bytes, a stop bit; escaped (7.3.1)."""
        text = self._text if more else self._text + "1"
        text += "0" * (-len(text) % 8)
        payload = int(text, 2).to_bytes(len(text) // 8, "big") + (more + b"\x80" if more else b"")
        found = bytearray((header,) if isinstance(header, int) else header)
        zeros = 0
        for byte in payload:
            if zeros == 2 and byte <= 3:
                found.append(3)
                zeros = 0
            found.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes(found)
