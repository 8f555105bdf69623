"""What the viewers of one path are served from: its muxer, that muxer's clock, and what must be kept of it.

Strategy: `paths` decides when there is a muxer; this class makes it, feeds it and lets it go. The muxer's own clock
(it writes GAP while no media come) is one timer a path, armed again only when it fires: media that come in time cost
nothing. Numbers and target durations of a muxer go on from those before it, in this process or an earlier one
(`state`), and are noted there whenever one has come that must not be used again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rtspkit.formats import picture_refusal
from rtspkit.media import Fragment, Track
from rtspkit.muxer import Muxer
from rtspkit.server.config import PathConfig
from rtspkit.server.log import logger
from rtspkit.server.state import Settings, StateFile
from rtspkit.server.tracks import describe, labels, not_carried
from rtspkit.store import DirectoryStore

__all__ = ["NEXT_TRY", "NO_PICTURE", "Output"]

#: The muxer's clock is not looked at more often (s).
_LEAST_WAIT = 0.005

_NOTHING = (0, 0, 0, None)

#: In the multivariant playlist, for the player page: why a camera's sound alone is served, and what to do.
NO_PICTURE = "rtspkit.no-picture"
#: Likewise: when a camera that is lost is tried again.
NEXT_TRY = "rtspkit.next-try"


class Output:
    """The muxers of one path, one after the other.

    Attributes:
        muxer: the present one; None where there is nothing to serve.

    Args:
        name, config: of the path.
        state: where numbers are kept.
        take_rest: writes what the camera still holds of a fragment.
    """

    def __init__(
        self, name: str, config: PathConfig, state: StateFile, *, take_rest: Callable[[], None] = lambda: None
    ) -> None:
        self.muxer: Muxer | None = None
        self._name = name
        self._config = config
        self._state = state
        self._take_rest = take_rest
        self._settings = Settings(config.hls_variant, config.hls_segment_duration, config.part_duration)
        self._log = logger("HLS", f"muxer {name}")
        self._is_announced = False
        self._noted: tuple[int, int, int, int | None] = _NOTHING  # discontinuities, segments, gaps, target duration
        self._timer: asyncio.TimerHandle | None = None
        self._store: DirectoryStore | None = None
        self._store_errors = 0

    @property
    def has_media(self) -> bool:
        """Somebody may be playing what it lists."""
        return self.muxer is not None and self.muxer.has_media

    def open(self, tracks: Sequence[Track], skipped: Sequence[str] = ()) -> Muxer:
        """Makes the muxer.

        Args:
            tracks: they need their parameters for it to answer anything.
            skipped: see `announce`.

        Raises:
            OSError: the directory for segments cannot be written.
        """
        config = self._config
        self._store, self._store_errors = None, 0
        if config.hls_directory:
            self._store = DirectoryStore(Path(config.hls_directory, *self._name.split("/")))
        wall = time.time()
        continues = self._state.begin(self._name, self._settings, wall)
        self.muxer = Muxer(
            tracks,
            segment_duration=config.hls_segment_duration,
            segment_count=config.hls_segment_count,
            segment_max_size=config.hls_segment_max_size,
            part_duration=config.part_duration,
            use_absolute_timestamp=config.use_absolute_timestamp,
            store=self._store,
            continues=continues,
            first_msn=continues.msn,
            first_discontinuity=continues.discontinuity,
            now=time.monotonic(),
            wall=wall,
        )
        self._noted = _NOTHING
        self._tell_of_picture(tracks, skipped)
        return self.muxer

    def announce(self, requester: str, tracks: Sequence[Track], skipped: Sequence[str]) -> None:
        """Says that there is something to watch now; in the log once a muxer.

        Args:
            requester: address and port of the viewer it was made for; "" where it was made unasked.
            tracks: of the camera, those that are received.
            skipped: of the camera, those that are not.
        """
        if self.muxer is None:
            return
        self._tell_of_picture(tracks, skipped)
        if self._is_announced:
            return
        self._is_announced = True
        self._log.info(
            "created (requested by %s)" if requester else "created automatically", *filter(None, [requester])
        )
        for name in not_carried(self.muxer.skipped, tracks, skipped):
            self._log.warning("skipping %s", name)
        self._log.info("is converting into HLS, %s", describe(labels(self.muxer.tracks)))

    def tell(self, name: str, text: str) -> None:
        """Has the multivariant playlist say something to the player page; "": it says that no more.

        Args:
            name: `NO_PICTURE` or `NEXT_TRY`.
            text: what.
        """
        if self.muxer is not None:
            told = {**self.muxer.session_data, name: text}
            self.muxer.session_data = {key: value for key, value in told.items() if value}

    def _tell_of_picture(self, tracks: Sequence[Track], skipped: Sequence[str]) -> None:
        has_video = any(track.kind == "video" for track in tracks)
        self.tell(NO_PICTURE, "" if has_video else picture_refusal(skipped))

    def write(self, fragment: Fragment) -> int | None:
        """Takes media; returns where the next fragment should end, None where it does not matter."""
        muxer = self.muxer
        if muxer is None:
            return None
        muxer.write(fragment, now=time.monotonic(), wall=time.time())
        if self._timer is None:
            self._arm()
        self._note_news()
        return muxer.next_cut

    def interrupt(self) -> None:
        """The camera was lost in the midst of its media."""
        if self.muxer is not None:
            self.muxer.interrupt()
            self._note_news()
            if self._timer is None:
                self._arm()

    def close(self, reason: str) -> bool:
        """Lets the muxer go; whether there was one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        muxer = self.muxer
        if muxer is None:
            return False
        self.note()
        self.muxer = None
        muxer.close()
        if self._is_announced:
            self._is_announced = False
            self._log.info("destroyed: %s", reason)
        return True

    # -- what is kept -----------------------------------------------------

    def note(self) -> None:
        """Tells `state` how far the muxer has come. One that never listed anything has used up nothing."""
        if self.muxer is not None and self.muxer.has_media:
            self._state.note(self._name, self._settings, self.muxer.continuation)

    def _note_news(self) -> None:
        muxer = self.muxer
        assert muxer is not None
        news = (muxer.media_stats.discontinuities, muxer.stats.segments, muxer.media_stats.gaps, muxer.target_duration)
        if news != self._noted and muxer.has_media:
            self._noted = news
            self.note()

    # -- the muxer's clock ------------------------------------------------

    def _arm(self) -> None:
        assert self.muxer is not None
        due = self.muxer.next_timeout()
        if due is not None:
            wait = max(_LEAST_WAIT, due - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._attend)

    def _attend(self) -> None:
        self._timer = None
        if self.muxer is None:
            return
        try:
            due = self.muxer.next_timeout()
            if due is not None and due <= time.monotonic():  # media that came in time have put it off
                self._take_rest()  # the camera has fallen silent: within a gap its last media would come too late
                self.muxer.handle_timeout(now=time.monotonic(), wall=time.time())
                self._note_news()
            if self._timer is None:
                self._arm()
        except Exception:  # the camera's next media may put it right
            self._log.exception("internal error")

    def report_disk(self) -> None:
        """Logs what could not be written to the directory."""
        if self._store is not None and self._store.errors > self._store_errors:
            self._store_errors = self._store.errors
            self._log.warning("%s", self._store.last_error)
