"""The window: what the media playlist lists, and what has left it but is still to be had.

Strategy: what a `Segmenter` gives goes through here, the bytes into the store, the rest into the list. The
text of a segment is made for the first playlist after it has changed (it is closed, it becomes the first of the
list, its parts are not listed any more) and kept for the next ones: with parts there are several a second.

The list is never shorter than three target durations once it has been that long. A segment stays available, from
when it was first listed, for its own duration and that of the longest list it was in, and for its own duration
after it has left the list, whichever is longer. Parts are listed within one
target duration of the list's end (the draft wants them gone after three) and stay available for three more.

Spec: draft-pantos-hls-rfc8216bis 6.2.2 (what may leave a live playlist, and when its media may go), 6.2.5.1
(what a delta update skips), 6.2.5.2 (what a request waits for).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from rtspkit import playlist
from rtspkit.rates import Rates
from rtspkit.segments import InitSection, Output, Part, PartData, Segment, SegmentData
from rtspkit.store import Store

__all__ = ["Window"]

_MICROSECOND = 1_000_000
#: Target durations: the least length of the list, and how long parts are to be had after they have left it.
_LIST, _PARTS_KEPT = 3, 3


@dataclass(slots=True)
class _Listed:
    """What is known of a segment in the list.

    Attributes:
        segment: itself.
        has_map: its init section is not that of the segment before it in the list.
        has_parts: its parts are listed.
        at: when it was first listed, monotonic seconds.
        longest: the longest list it was in, microseconds.
        text: its lines; None until somebody wants them.
    """

    segment: Segment
    has_map: bool
    has_parts: bool
    at: float
    longest: int = 0
    text: str | None = None


class Window:
    """What one muxer lists.

    Attributes:
        listed: closed segments, oldest first.
        rates: what is announced of them.
        has_media: something with media has been listed, a part or a segment.
    """

    def __init__(self, store: Store, *, epoch: str, segment_count: int) -> None:
        self.listed: deque[Segment] = deque()
        self.rates = Rates()
        self.has_media = False
        self._store = store
        self._epoch = epoch
        self._segment_count = segment_count
        self._duration = 0  # of the list
        self._entries: dict[int, _Listed] = {}  # by media sequence number, as they are listed
        self._with_parts: deque[Segment] = deque()  # those whose parts are listed
        self._left: deque[tuple[Segment, float]] = deque()  # with the time (monotonic s) to forget it at
        self._left_parts: deque[tuple[Part, float]] = deque()
        self._inits: deque[int] = deque()

    @property
    def has_init(self) -> bool:
        """An init section is to be had."""
        return bool(self._inits)

    # -- what comes in ------------------------------------------------------------------------------------

    def take(self, output: Output, target_duration: int, now: float) -> bool:
        """Take one output of the segmenter; whether the media playlist has changed with it.

        Args:
            output: as it comes.
            target_duration: seconds; 0 while it is not fixed.
            now: monotonic seconds.
        """
        match output:
            case SegmentData():
                self._store.append(f"seg_{output.msn}.mp4", output.data)
            case PartData():
                if not output.part.is_gap:
                    self.has_media = True
                    self._store.put(f"part_{output.part.number}.mp4", output.data)
                return True
            case InitSection():
                if not self._inits or output.number > self._inits[-1]:
                    self._store.append(f"init_{output.number}.mp4", output.data)
                    self._store.commit(f"init_{output.number}.mp4")
                    self._inits.append(output.number)
            case Segment():
                self._add(output, target_duration, now)
                return True
        return False

    def _add(self, segment: Segment, target_duration: int, now: float) -> None:
        if not segment.is_gap:
            self._store.commit(f"seg_{segment.msn}.mp4")
            self.has_media = True
        has_new_map = not self.listed or self.listed[-1].init != segment.init
        self.listed.append(segment)
        self._duration += segment.duration
        self._entries[segment.msn] = _Listed(segment, has_new_map, bool(segment.parts), now)
        if segment.parts:
            self._with_parts.append(segment)
        shortest = _LIST * target_duration * _MICROSECOND
        while len(self.listed) > self._segment_count and self._duration - self.listed[0].duration >= shortest:
            self._remove_first(now)
        for entry in self._entries.values():
            entry.longest = max(entry.longest, self._duration)
        self._strip_parts(target_duration, now)

    def _remove_first(self, now: float) -> None:
        old = self.listed.popleft()
        self._duration -= old.duration
        entry = self._entries.pop(old.msn)
        seconds = old.duration / _MICROSECOND
        self._left.append((old, max(entry.at + seconds + entry.longest / _MICROSECOND, now + seconds)))
        first = self.listed[0]
        entry = self._entries[first.msn]
        entry.has_map, entry.text = True, None

    def _strip_parts(self, target_duration: int, now: float) -> None:
        """Take the parts of old segments from the list."""
        while self._with_parts:
            old = self._with_parts[0]
            if self._duration_behind(old.msn) <= target_duration * _MICROSECOND:
                break
            self._with_parts.popleft()
            forget_at = now + _PARTS_KEPT * target_duration
            self._left_parts += [(part, forget_at) for part in old.parts if not part.is_gap]
            entry = self._entries.get(old.msn)
            if entry is not None:
                entry.has_parts, entry.text = False, None

    def _duration_behind(self, msn: int) -> int:
        return sum(segment.duration for segment in self.listed if segment.msn > msn)

    def forget(self, now: float) -> None:
        """Let go of what has left the list long enough ago, and of init sections nothing refers to."""
        while self._left_parts and self._left_parts[0][1] <= now:
            self._store.remove(f"part_{self._left_parts.popleft()[0].number}.mp4")
        while self._left and self._left[0][1] <= now:
            self._store.remove(f"seg_{self._left.popleft()[0].msn}.mp4")
            oldest = self._left[0][0] if self._left else self.listed[0]
            while self._inits and self._inits[0] < oldest.init:
                self._store.remove(f"init_{self._inits.popleft()}.mp4")

    def clear(self) -> None:
        """Forget everything but the bytes: the store is closed by its owner."""
        self.listed.clear()
        self._entries.clear()
        self._with_parts.clear()
        self._left.clear()
        self._left_parts.clear()

    # -- what is asked for --------------------------------------------------------------------------------

    def lists(self, msn: int, part: int | None, edge: Segment | None) -> bool:
        """Whether the playlist has that segment, or that part of it or a later one.

        Args:
            msn: media sequence number; one that has left the list counts as listed.
            part: index within the segment; one behind the last means the first of the next segment.
            edge: the open segment, where its parts are listed.
        """
        last = self.listed[-1] if self.listed else None
        if last is not None and msn < last.msn:
            return True
        if last is not None and msn == last.msn:
            if part is None or part < max(1, len(last.parts)):
                return True
            msn, part = msn + 1, 0
        return edge is not None and msn == edge.msn and part is not None and part < len(edge.parts)

    def skippable(self, until: int) -> int:
        """How many of the oldest segments are further from the list's end than so many seconds."""
        skipped, left = 0, self._duration
        for segment in self.listed:
            left -= segment.duration
            if left <= until * _MICROSECOND:
                break
            skipped += 1
        return skipped

    def _lines(self, entry: _Listed) -> str:
        if entry.text is None:
            entry.text = playlist.segment_text(
                entry.segment, epoch=self._epoch, with_map=entry.has_map, with_parts=entry.has_parts
            )
        return entry.text

    def text(
        self,
        target_duration: int,
        control: playlist.ServerControl | None,
        edge: Segment | None,
        hint: int | None,
        *,
        skipped: int = 0,
    ) -> str:
        """The media playlist.

        Args:
            target_duration: seconds.
            control: what is offered besides; None for plain HLS.
            edge: the open segment, where its parts are listed.
            hint: number of the part to announce; None for none.
            skipped: how many of the oldest segments are left out, which makes it a delta update.
        """
        first = self.listed[0] if self.listed else edge
        assert first is not None
        texts = [self._lines(entry) for entry in islice(self._entries.values(), skipped, None)]
        if edge is not None:
            has_new_map = not self.listed or self.listed[-1].init != edge.init
            texts.append(playlist.edge_text(edge, epoch=self._epoch, with_map=has_new_map))
        if hint is not None:
            texts.append(playlist.hint_text(hint, epoch=self._epoch))
        return playlist.media_playlist(
            texts, target_duration=target_duration, first=first, control=control, skipped=skipped
        )
