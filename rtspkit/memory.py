"""What is known of a camera from one connection to the next.

A connection ends and forgets; some things are not to be learnt twice, or must not be unlearnt: which
transport brought media, that a camera has offered Digest (so that nobody in between can ask for the password
in the clear later), which request it answers to as a keep-alive. Whoever keeps a camera connected has one
`CameraMemory` for it and gives it to every `rtspkit.connect`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CameraMemory", "LowerTransport"]

#: What carries RTP: the RTSP connection itself, UDP to one receiver, UDP to a group.
LowerTransport = Literal["tcp", "udp", "multicast"]


@dataclass(slots=True)
class CameraMemory:
    """What outlives a connection to a camera. Give the same one to each connection.

    Attributes:
        transport: what media have come over last where "automatic" chose it; None before the first.
        transport_reason: why it is TCP and not UDP; one line, "" where it is not, or was not chosen.
        digest_origins: the (scheme, host, port) that have offered Digest: a password never goes there in the
            clear any more.
        keepalive_method: the request it answered last to keep its session; None before the first.
        reconnects: connections that have been lost so far.
        last_error: why the last one was; one line, "" before the first.
    """

    transport: LowerTransport | None = None
    transport_reason: str = ""
    digest_origins: set[tuple[str, str, int]] = field(default_factory=set)
    keepalive_method: str | None = None
    reconnects: int = 0
    last_error: str = ""
