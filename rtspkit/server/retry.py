"""When a camera that was lost, or never answered, is tried again.

Strategy: pure arithmetic over what went wrong; no clock, no task. A failure is one of five kinds (`classify`), for
each of which another pause is right:

- `lost`: a few quick tries, then back-off with full jitter, so that cameras that were lost together do not come back
  together (a fixed pause cannot be right for everybody: users ask for shorter ones for cameras that are only there
  while something happens);
- `refused`: the credentials. Cameras lock accounts, so after the second try pauses are long from the start;
- `busy`: 453, 503 and Dahua's 403: the camera has no room for another session, often because it keeps an old one
  until that times out. Asking again at once would keep it busy;
- `stale`: 454: it has forgotten the session. A new one is asked for at once, once;
- `unusable`: it offers nothing that can be played: quick tries would not change that.

Spec: RFC 2326, 7.1.1 (statuses).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from rtspkit.errors import AuthenticationError, ResponseError, UnsupportedError

__all__ = ["Retry", "RetryPolicy", "Trouble", "classify"]

Trouble = Literal["lost", "refused", "busy", "stale", "unusable"]

#: Session Not Found.
_STALE = 454
#: Seconds of the first pause after a `busy`; it doubles.
_BUSY_PAUSE = 5.0
#: By how much the longest pause after refusals is longer than the first.
_REFUSED_FACTOR = 10.0


def classify(error: Exception) -> Trouble:
    """What kind of trouble an error is."""
    if isinstance(error, AuthenticationError):
        return "refused"
    if isinstance(error, UnsupportedError):
        return "unusable"
    if isinstance(error, ResponseError) and error.is_busy:
        return "busy"
    if isinstance(error, ResponseError) and error.status == _STALE:
        return "stale"
    return "lost"


@dataclass(frozen=True)
class RetryPolicy:
    """How patient a path is. All pauses are seconds.

    Attributes:
        tries: failures in a row before a path is `failed`.
        try_pause: the longest pause between those.
        pause: the longest pause after them; it doubles with each further failure …
        pause_max: … up to this.
        pause_gap: the same while viewers are kept on the playlist.
        refused_pause: the longest pause after refused credentials, half of it the shortest; it doubles, up to ten
            times this.
        stable: media for this long, and earlier failures are forgotten.
    """

    tries: int = 3
    try_pause: float = 0.5
    pause: float = 1.0
    pause_max: float = 30.0
    pause_gap: float = 5.0
    refused_pause: float = 60.0
    stable: float = 60.0


class Retry:
    """Counts the failures of one path.

    Args:
        policy: how patient it is.

    Attributes:
        failures: in a row.
        has_given_up: there have been enough of them for the path to be `failed`.
        trouble: what the last one was; None before the first, and after media.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.failures = 0
        self.has_given_up = False
        self.trouble: Trouble | None = None
        self._refusals = 0
        self._rejections = 0  # for want of room
        self._refused_until = 0.0

    def begin(self) -> None:
        """The path is started (anew). Refusals are not forgotten: whoever comes next is no reason to try again."""
        self.failures = 0
        self.has_given_up = False

    def succeeded(self) -> None:
        """Media have come."""
        self._refusals = self._rejections = 0
        self.trouble = None
        self._refused_until = 0.0

    def failed(self, trouble: Trouble, now: float, *, lived: float = 0.0, is_watched: bool = False) -> float:
        """Counts a failure.

        Args:
            trouble: of what kind it was.
            now: monotonic seconds.
            lived: seconds for which media had come.
            is_watched: viewers are kept on the playlist.

        Returns:
            Seconds until the next try.
        """
        policy = self.policy
        if lived >= policy.stable:
            self.failures = 0
        self.failures += 1
        if trouble == "unusable":
            self.failures = max(self.failures, policy.tries)
        before, self.trouble = self.trouble, trouble
        self.has_given_up = self.failures >= policy.tries
        if trouble == "refused":
            self._refusals += 1
            if self._refusals >= 2:
                self.has_given_up = True
                longest = policy.refused_pause * min(_REFUSED_FACTOR, 2.0 ** min(self._refusals - 2, 10))
                pause = random.uniform(longest / 2, longest)
                self._refused_until = now + pause
                return pause
        elif trouble == "busy":
            self._rejections += 1
            longest = min(max(_BUSY_PAUSE, policy.pause_max), _BUSY_PAUSE * 2.0 ** min(self._rejections - 1, 10))
            return random.uniform(longest / 2, longest)
        elif trouble == "stale" and before != "stale":
            return 0.0
        return self._back_off(is_watched=is_watched)

    def _back_off(self, *, is_watched: bool) -> float:
        """Full jitter: any time up to the longest, which doubles."""
        policy = self.policy
        beyond = self.failures - policy.tries
        if beyond < 0:
            return random.uniform(0.0, policy.try_pause)
        longest = policy.pause_gap if is_watched else max(policy.pause, policy.pause_max)
        return random.uniform(0.0, min(longest, policy.pause * 2.0 ** min(beyond, 20)))

    def refused_for(self, now: float) -> float:
        """Seconds for which the camera must not be asked again, whoever wants it; 0: it may be."""
        return max(0.0, self._refused_until - now)
