"""Whether a camera that plays is still there: for how long its media may stay away, and what a BYE means.

Strategy: sans-IO; the shell tells when media last came and asks now and then what is to be made of it. RTP counts and
RTCP does not: encoders hang while sender reports go on. A BYE is not believed at once, for some cameras say it when
they only change their SSRC; nor is a keep-alive's 454, which some answer to what they do not know.

Spec: RFC 3550, 6.6 (BYE).
"""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["BYE_GRACE", "Liveness"]

#: Seconds after a BYE within which media must go on.
BYE_GRACE = 2.0


class Liveness:
    """Watches one session, from PLAY on.

    Args:
        media_timeout: seconds without media after which a camera is lost.

    Attributes:
        how: in what words the camera has said goodbye; "" while it has not.
    """

    def __init__(self, media_timeout: float) -> None:
        self._timeout = media_timeout
        self._silent_after = math.inf
        self.how = ""
        self._bye = 0.0  # when the camera said it; 0: it has not, or media have come since

    @property
    def due(self) -> float:
        """The monotonic second at which `verdict` should be asked again."""
        return min(self._silent_after, self._bye + BYE_GRACE if self._bye else math.inf)

    def restart(self, now: float) -> None:
        """Nobody has listened until now."""
        self._silent_after = now + self._timeout

    def bye(self, now: float, how: str = "RTCP BYE") -> None:
        """The camera says, and how, that the source of its media or its session is gone."""
        if not self._bye:
            self._bye, self.how = now, how

    def verdict(self, now: float, arrival: float, *, is_paused: bool) -> Literal["silent", "bye"] | None:
        """What is wrong with the camera, if anything is.

        Args:
            now: monotonic seconds.
            arrival: when media last came; 0: never.
            is_paused: nobody reads, so nothing can come.
        """
        if arrival:
            self._silent_after = max(self._silent_after, arrival + self._timeout)
        if is_paused:
            self._silent_after = now + self._timeout
        if arrival > self._bye or is_paused:
            self._bye = 0.0
        if self._bye and self._bye + BYE_GRACE <= now:
            return "bye"
        return "silent" if self._silent_after <= now else None
