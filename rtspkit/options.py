"""How to talk to a camera: `CameraOptions`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rtspkit.errors import LocalProtocolError
from rtspkit.limits import DEFAULT_LIMITS, Limits

__all__ = ["CameraOptions", "LossPolicy", "TransportChoice", "normal_fingerprint"]

TransportChoice = Literal["automatic", "tcp", "udp", "multicast"]
LossPolicy = Literal["keep", "drop", "skip"]


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """How to talk to a camera.

    Attributes:
        limits: bounds on what it may send, and the timeouts.
        fragment_duration: seconds of media in a `Fragment` that no sync sample ends.
        low_latency: a fragment ends as soon as the access unit is whole that fills it (or that `Camera.cut_at`
            asks for), not when the one behind it begins.
        transport: what carries the media. "automatic": UDP, and TCP where the camera does not offer UDP or none
            comes through within `Limits.udp_timeout`; over TLS and HTTP it is TCP in any case.
        any_port: over UDP, take media from any port of the camera's address, not only from the announced one.
        udp_source_ports: the ports to receive on, first and last.
        udp_read_buffer_size: bytes of a UDP socket's receive buffer at least; 0: as much as suits.
        fingerprint: SHA-256 of the camera's certificate in hexadecimal, which is then all that is checked of it
            (rtsps); None: the certificate must be good for the URL's host.
        allow_redirect_hosts: follow redirects to other hosts (without the credentials).
        loss_policy: what becomes of access units of H.264 and H.265 where packets were lost. "keep": what came of them
            is handed over. "drop": but for units that are not whole: of which a slice is missing, or a part of one, or
            may be, for no marker had told that the unit was over. "skip": from the loss of such a packet, or of whole
            units, nothing is handed over before the next whole sync sample; the camera is asked for one (RTCP PLI),
            every two seconds at most. Before the first sync sample "skip" does as "drop". Whatever the policy, the
            first unit that is handed over behind a loss is marked (`AccessUnit.damaged`), and H.265 pictures that refer
            to some before a sync sample (RASL) are left out where something was lost there. Sound is the same with all
            three: a unit of it that is not whole is never handed over.

    Raises:
        LocalProtocolError: a value that cannot be meant.
    """

    limits: Limits = DEFAULT_LIMITS
    fragment_duration: float = 1.0
    low_latency: bool = False
    transport: TransportChoice = "automatic"
    any_port: bool = False
    udp_source_ports: tuple[int, int] = (32768, 60999)
    udp_read_buffer_size: int = 0
    fingerprint: str | None = None
    allow_redirect_hosts: bool = False
    loss_policy: LossPolicy = "keep"

    def __post_init__(self) -> None:
        first, last = self.udp_source_ports
        if not (1 <= first < last <= 65535):
            raise LocalProtocolError(f"UDP ports {first} to {last} are no range of at least two")
        if self.fingerprint is not None:
            normal_fingerprint(self.fingerprint)


def normal_fingerprint(text: str) -> str:
    """The 64 hexadecimal digits of a fingerprint, in lower case and without colons.

    Raises:
        LocalProtocolError: it is none.
    """
    digits = text.strip().replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise LocalProtocolError("a fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits")
    return digits
