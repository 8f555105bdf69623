"""`FaultCamera`: a camera that streams what x264 made and goes wrong at a word.

It is a `ScriptedCamera` with another clock and other packets: what it sends, when, and with which time stamped on it
are told apart here, for those are what real cameras get wrong. The tests drive it from their own thread.
"""

import asyncio
import secrets
from collections import deque

from rtspkit import h264
from rtspkit.packetizer import RTPSender, interleaved_frame
from rtspkit.testing import Client, Clip, ScriptedCamera

from .clips import ReorderedTrack

#: Bytes of one piece of padding: a NAL unit of filler data.
_FILLER = 500_000


class FaultCamera(ScriptedCamera):
    """A camera with these further vices, to be set while it runs:

    rate: pictures a second, whatever the clip was made for; None: as it was made. The clip runs slower, so a GOP
        keeps its number of pictures.
    clock: of the timestamps: "right", "frozen" (all equal), or "fast" (ten seconds a second).
    still: numbers of the tracks that are not sent.
    lose: of every so many packets of video one is not sent (0: none).
    ssrc_each_gop: each sync sample comes with a new SSRC.
    sync_lost: no sync sample is sent, nor anything in its place: pictures that refer to others only.
    pad: bytes of filler data put before the slices of the next sync sample.
    wall_error: seconds by which the NTP times of the sender reports are wrong; a list is gone through round and round.
    """

    def __init__(self, media: Clip, **vices: object) -> None:
        self.rate: float | None = None
        self.clock = "right"
        self.still: set[int] = set()
        self.lose = 0
        self.ssrc_each_gop = False
        self.sync_lost = False
        self.pad = 0
        self.wall_error: list[float] = []
        self._stray: deque[float] = deque()
        self._anchors = [(0, 0.0)] * len(media.tracks)  # a unit's number and when it is due
        self._warp = (0.0, 0.0, 0.0)  # from so many seconds on the clock shows so many, and runs that fast (0: rightly)
        self._packet_count = 0
        self._reports = 0
        super().__init__(media=media, transports=("tcp",), **vices)  # type: ignore[arg-type]

    # -- commands

    def play(self, clip: Clip) -> None:
        """Goes over to another clip, at its first sync sample, now."""
        self._anchor(0, number=0)
        self.clip = clip

    def set_rate(self, rate: float | None) -> None:
        self._anchor(0, number=self._numbers[0])
        self.rate = rate

    def set_clock(self, clock: str) -> None:
        """Stops the clock, makes it run ten times as fast, or sets it right again: then it jumps."""
        now = self.due(0, self._numbers[0])
        self._warp = (now, now, {"right": 1.0, "frozen": 0.0, "fast": 10.0}[clock])
        self.clock = clock

    def jump(self, seconds: float) -> None:
        """All clocks are set forwards by so much, or back."""
        for index, track in enumerate(self.clip.tracks):
            self._origins[index] += round(seconds * track.clock_rate)

    def set_clocks(self, seconds_to_wrap: float) -> None:
        """The RTP clocks pass 2**32 so many seconds from now."""
        for index, track in enumerate(self.clip.tracks):
            shown = self.timestamp(index, self.due(index, self._numbers[index]))
            self._origins[index] += (1 << 32) - round(seconds_to_wrap * track.clock_rate) - shown

    def stray(self, *seconds: float) -> None:
        """The next pictures are stamped so many seconds off, one after the other."""
        self._stray.extend(seconds)

    def renumber(self) -> None:
        """The sequence numbers begin anew somewhere else; so does the SSRC, if it is a camera that does it right."""
        for sender in self._senders:
            sender.sequence = secrets.randbits(15)

    def reboot(self) -> None:
        """As after a power cycle: other SSRCs, sequence numbers and clocks."""
        self._senders = [
            RTPSender(payload_type=track.payload_type, ssrc=secrets.randbits(32), sequence=secrets.randbits(15))
            for track in self.clip.tracks
        ]
        self._origins = [secrets.randbits(32) for _ in self.clip.tracks]

    async def vanish(self, seconds: float, **vices: object) -> None:
        """Is gone for so long (connections are refused); then it has been rebooted, with these vices."""
        await self.close()
        await asyncio.sleep(seconds)
        self.reboot()
        for name, value in vices.items():
            assert hasattr(self, name), f"a camera has no {name}"
            setattr(self, name, value)
        await self.start()

    # -- time

    def due(self, index: int, number: int) -> float:
        first, seconds = self._anchors[index]
        return seconds + (number - first) * self._period(index)

    def timestamp(self, index: int, seconds: float) -> int:
        if self.clock != "right":
            since, shown, speed = self._warp
            seconds = shown + (seconds - since) * speed
        return super().timestamp(index, seconds)

    def _period(self, index: int) -> float:
        if index == 0 and self.rate is not None:
            return 1 / self.rate
        track = self.clip.tracks[index]
        return track.unit_ticks / track.clock_rate

    def _anchor(self, index: int, *, number: int) -> None:
        """From the next unit on, which gets that number, time is counted from where it stands."""
        self._anchors[index] = (number, self.due(index, self._numbers[index]))
        self._numbers[index] = number

    # -- packets

    def packets(self, index: int, number: int) -> list[bytes]:
        track = self.clip.tracks[index]
        unit = list(track.units[number % len(track.units)])
        seconds = self.due(index, number)
        if index == 0:
            is_sync = track.is_sync(number)
            if is_sync and self.ssrc_each_gop:
                self._senders[0].ssrc = secrets.randbits(32)
            if is_sync and self.pad:
                place = next(i for i, nal in enumerate(unit) if h264.nal_type(nal) == h264.NAL_IDR)
                count, self.pad = -(-self.pad // _FILLER), 0
                unit[place + 1 : place + 1] = [bytes((h264.NAL_FILLER,)) + b"\xff" * _FILLER + b"\x80"] * count
            if isinstance(track, ReorderedTrack):
                seconds += track.offsets[number % len(track.units)] / track.clock_rate
            if self._stray:
                seconds += self._stray.popleft()
        packets = self._senders[index].packets(track.payloads(unit), self.timestamp(index, seconds))
        if index in self.still or (index == 0 and self.sync_lost and track.is_sync(number)):
            return []
        if index == 0 and self.lose:
            packets = [packet for packet in packets if not self._is_lost()]
        return packets

    def deliver(self, client: Client, index: int, packets: list[bytes]) -> None:
        channel = client.carriers[index].channel  # type: ignore[attr-defined]
        client.writer.write(b"".join(interleaved_frame(channel, packet) for packet in packets))  # however much it is

    def _is_lost(self) -> bool:
        self._packet_count += 1
        return self._packet_count % self.lose == 0

    def _takes(self, client: Client, index: int, number: int) -> bool:
        if self.sync_lost and client.is_playing:
            client.awaits_sync = False  # a camera that sends whatever comes next
        return super()._takes(client, index, number)

    def _report(self, seconds: float, wall: float) -> None:
        if self.wall_error:
            wall += self.wall_error[self._reports % len(self.wall_error)]
            self._reports += 1
        super()._report(seconds, wall)
