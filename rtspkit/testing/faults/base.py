"""What a fault is: a subclass of `Fault` that overrides one hook or two."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from rtspkit.testing.playout import Client, Reply

if TYPE_CHECKING:
    from rtspkit.testing.camera import ScriptedCamera, Seen

__all__ = ["Fault", "OnRequest"]


@dataclass(eq=False, kw_only=True)
class Fault:
    """One way to misbehave; this one does nothing.

    Attributes:
        connections: numbers of the connections it shows on, from 1 (``range(2, 99)``: not on the first); None: all.
    """

    #: Whether `answer` is asked before the credentials are looked at.
    is_rude: ClassVar[bool] = False

    connections: Container[int] | None = None

    def greet(self, camera: ScriptedCamera, client: Client) -> bool:
        """A reader has connected; False hangs up at once."""
        return True

    def leave(self, camera: ScriptedCamera, client: Client) -> None:
        """A reader is gone."""

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        """The answer to a request: a reply, bytes to be sent as they are (b"": nothing), or None: go on."""
        return None

    def amend(self, camera: ScriptedCamera, client: Client, request: Seen, reply: Reply) -> None:
        """Changes a reply that is about to be sent."""

    async def transmit(self, camera: ScriptedCamera, client: Client, data: bytes) -> bool:
        """Sends a reply's bytes in its own way; False: it is for another to do."""
        return False

    def mutes(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        """Whether the next access unit is not sent (and its packets never numbered)."""
        return False

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        """The RTP packets of an access unit, as they are to be sent; it may send other things itself."""
        return packets

    def silences(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        """Whether a sender report is not sent."""
        return False


@dataclass(eq=False)
class OnRequest(Fault):
    """A fault in the answer to one method.

    Attributes:
        method: "DESCRIBE" and so on; None: any.
        uri_ends: only where the request's URI ends so ("trackID=1").
        times: how often at most; None: always.
    """

    method: str | None = None
    uri_ends: str = field(default="", kw_only=True)
    times: int | None = field(default=None, kw_only=True)

    def _hits(self, request: Seen) -> bool:
        if self.method not in (None, request.method) or not request.uri.endswith(self.uri_ends) or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True
