"""What is worth knowing about a camera from one connection to the next.

Strategy: one plain mutable object a camera, made by whoever connects again and again, filled in by the
connections. It does no input or output, holds no secret, and nothing in it has to be right: a camera that
has changed its mind is found out anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CameraMemory"]


@dataclass(slots=True)
class CameraMemory:
    """What earlier connections to one camera have found out.

    Attributes:
        transport: what media came by last where the transport was chosen automatically; None: not known.
        digest_origins: scheme, host and port of servers that have offered Digest authentication; none of them
            is ever sent a password in the clear again.
        keepalive_method: the keep-alive it answered last; None: not known.
        reconnects: how often it had to be connected to again.
        last_error: why it was lost last, in one line; empty where it never was.
    """

    transport: Literal["udp", "tcp", "multicast"] | None = None
    digest_origins: set[tuple[str, str, int]] = field(default_factory=set)
    keepalive_method: str | None = None
    reconnects: int = 0
    last_error: str = ""
