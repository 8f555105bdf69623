"""Which access unit is this, and when was it sent? Marks inside the media, and the cameras' log of them.

Each access unit of a marked camera begins with an SEI NAL unit of unregistered user data (ITU-T H.264, D.1.7) that
holds its serial number. No gateway touches it, so whoever has some bytes of media finds in them which unit is their
last. The cameras write down when each unit left, in memory they share with the bench, on the clock that all processes
of a machine share (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

SEI = 6
USER_DATA_UNREGISTERED = 5
IDENTIFIER = b"rtspkit bench 01"  # in place of a UUID
DIGITS = 8  # hexadecimal: no byte of a mark needs emulation prevention
#: Units of a camera that the log remembers: 40 s.
REMEMBERED = 1024

_RECORD = struct.Struct("=dq")  # when, serial number


def mark_nal(serial: int) -> bytes:
    """The NAL unit that marks an access unit."""
    data = IDENTIFIER + serial_digits(serial)
    return bytes((SEI, USER_DATA_UNREGISTERED, len(data))) + data + b"\x80"


def serial_digits(serial: int) -> bytes:
    """What stands behind `IDENTIFIER`."""
    return b"%0*x" % (DIGITS, serial % 16**DIGITS)


def serials(data: bytes) -> list[int]:
    """The serial numbers of the units in there, in their order."""

    def places() -> Iterator[int]:
        place = data.find(IDENTIFIER)
        while place >= 0:
            yield place + len(IDENTIFIER)
            place = data.find(IDENTIFIER, place + 1)

    return [int(data[place : place + DIGITS], 16) for place in places()]


class Log:
    """When each camera sent which unit: written by the cameras, read by the bench.

    Attributes:
        fd: of the shared memory; to be inherited by the other process.
    """

    def __init__(self, cameras: int, fd: int | None = None) -> None:
        size = cameras * (1 + REMEMBERED) * _RECORD.size
        if fd is None:
            fd = os.memfd_create("marks")
            os.ftruncate(fd, size)
        self.fd = fd
        self._memory = mmap.mmap(fd, size)

    def close(self) -> None:
        """Gives the memory back."""
        self._memory.close()
        os.close(self.fd)

    def _place(self, camera: int, serial: int | None) -> int:
        entry = 0 if serial is None else 1 + serial % REMEMBERED
        return (camera * (1 + REMEMBERED) + entry) * _RECORD.size

    def begin(self, camera: int, at: float, serial: int) -> None:
        """The camera was told to play and will begin with that unit."""
        _RECORD.pack_into(self._memory, self._place(camera, None), at, serial)

    def note(self, camera: int, serial: int, at: float) -> None:
        """The last bytes of that unit leave now."""
        _RECORD.pack_into(self._memory, self._place(camera, serial), at, serial)

    def began(self, camera: int) -> tuple[float, int]:
        """When the camera was last told to play, and the first unit it sent; (0, 0) where it never was."""
        at, serial = _RECORD.unpack_from(self._memory, self._place(camera, None))
        return at, serial

    def sent(self, camera: int, serial: int) -> float | None:
        """When it sent the last byte of that unit (monotonic seconds); None where it has not, or long ago."""
        at, found = _RECORD.unpack_from(self._memory, self._place(camera, serial))
        return at if found == serial and at else None
