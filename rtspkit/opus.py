"""Opus: what a packet says of itself, and packets in which nothing is heard.

Strategy: a packet's first byte says how long its frames are, and with the second how many there are; no more is read
of it. Its clock is 48 kHz whatever was recorded.

Spec: RFC 6716, 3.1 (TOC byte), 3.2 (frames of a packet), 3.4 (what makes one malformed).
"""

from __future__ import annotations

from typing import Final

__all__ = ["CLOCK_RATE", "LONGEST", "packet_samples", "silent_packet"]

#: Samples a second of every duration here, and ticks of its RTP clock (RFC 7587, 4.1).
CLOCK_RATE: Final = 48_000
#: Samples of the longest packet, 120 ms.
LONGEST: Final = 5_760

#: Samples of a frame by configuration: SILK, hybrid, CELT (table 2).
_FRAME_SAMPLES = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
#: CELT, full band: (samples, configuration), longest first.
_CELT = ((960, 31), (480, 30), (240, 29), (120, 28))
#: What an encoder makes of digital silence; the same for every length and number of channels.
_SILENT_FRAME = b"\xff\xfe"


def packet_samples(packet: bytes) -> int:
    """Samples (of 48 kHz) that a packet lasts, 120 to 5760; 0 where its first bytes make it malformed."""
    if not packet:
        return 0
    code = packet[0] & 3
    if code == 3 and len(packet) < 2:
        return 0
    count = (1, 2, 2)[code] if code < 3 else packet[1] & 0x3F
    samples = count * _FRAME_SAMPLES[packet[0] >> 3]
    return samples if samples <= LONGEST else 0


def silent_packet(samples: int, channels: int) -> bytes | None:
    """A packet of digital silence.

    Args:
        samples: of 48 kHz.
        channels: 1 or 2.

    Returns:
        None where no packet lasts so long.
    """
    size, configuration = next((each for each in _CELT if samples % each[0] == 0), (0, 0))
    if not size or not 0 < samples <= LONGEST:
        return None
    count = samples // size
    toc = configuration << 3 | (channels == 2) << 2
    if count == 1:
        return bytes((toc,)) + _SILENT_FRAME
    return bytes((toc | 3, count)) + _SILENT_FRAME * count  # code 3: so many frames of one size
