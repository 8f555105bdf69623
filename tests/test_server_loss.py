"""Cameras that packets are lost of, through the gateway, with each `lossPolicy`; two healthy ones run beside."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hlsscene import OWN, TCP, VARIANTS, pictures_in_order, scene
from test_server_faults import PLI

from rtspkit.media import H264Parameters
from rtspkit.testing import Client, Clip, ScriptedCamera, clip, video_track
from rtspkit.testing.faults import Fault

pytestmark = pytest.mark.slow

POLICIES = ["keep", "drop", "skip"]
#: Pictures from one sync sample of the clip to the next: a second.
GOP = 25


def sliced_clip() -> Clip:
    """Each picture has a second slice, of two packets; no decoder would like it."""
    video, sound = clip().tracks
    units = [
        [*unit, bytes((unit[-1][0], 0x13)) + number.to_bytes(2, "big") * 1000 + b"\x80"]
        for number, unit in enumerate(video.units, 1000)
    ]
    sps, pps = (next(nal for nal in units[0] if nal[0] & 0x1F == kind) for kind in (7, 8))
    return Clip((video_track(units, H264Parameters(sps, (pps,))), sound))


@dataclass(eq=False)
class Lossy(Fault):
    """Of every 150 pictures, six GOPs, a packet is lost of some: in midst of a GOP; of a sync sample; of both."""

    _next: dict[Client, int] = field(default_factory=dict, init=False)

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        if track:
            return packets
        number = self._next.get(client, 0)
        self._next[client] = number + 1
        return [*packets[:-2], *packets[-1:]] if number % 150 in {40, 75, 120, 125} else packets


async def test_what_is_left_out_and_what_goes_on() -> None:
    """The playlist has no gap for it, whatever the policy; what "skip" leaves out ends with a sync sample."""
    began, media = time.monotonic(), sliced_clip()
    names = [f"{variant}-{policy}" for variant in VARIANTS for policy in POLICIES]
    cameras = {name: ScriptedCamera(Lossy(), media=media) for name in names}
    own = {name: f"{OWN[name[:5]]}    lossPolicy: {name[6:]}\n" for name in cameras}
    async with scene("quick", cameras, more=TCP, own=own) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.plays()
        await asyncio.sleep(9)  # Lossy loses something every second or two
        for name, viewer in viewers.items():
            await viewer.plays()
            policy, camera = name[6:], cameras[name]
            assert set(viewer.statuses) == {200}, name
            assert viewer.audit.violations == [], name
            assert "gap" not in re.sub(r"^(gap )+", "", " ".join(viewer.media)), name
            # with parts time may begin anew behind a hole of more than a second
            is_even = name != "quick-skip"
            assert not is_even or "#EXT-X-DISCONTINUITY\n" not in viewer.text, name

            pictures, sound = await one.samples(viewer, 1), await one.samples(viewer, 2)
            order = {data: number for number, data in enumerate(pictures_in_order(camera))}
            numbers = [order.get(sample.data, -1) for sample in pictures]
            jumps = [(a, b) for a, b in pairwise(numbers) if b != (a + 1) % len(order)]
            assert jumps, name
            assert (-1 in numbers) is (policy == "keep"), name
            if policy == "drop":
                assert all((b - a) % len(order) == 2 for a, b in jumps), name
            if policy == "skip":
                assert all(b % GOP == 0 for _, b in jumps), name
            holes = [after.dts for before, after in pairwise(sound) if after.dts != before.dts + before.duration]
            assert not is_even or not holes, name
            video, audio = (
                (run[-1].dts + run[-1].duration) / rate for run, rate in ((pictures, 90000), (sound, 16000))
            )
            assert audio > video - 0.5, name  # it goes on where pictures do not

            health = (await one.api(name))["health"]["tracks"][0]
            assert health["lost"] > 0
            assert health["damagedUnits"] > 0
            assert bool(health["unitsLeftOut"]) is (policy != "keep"), name
            asked = sum(PLI in report.payload for report in camera.reports)
            assert bool(asked) is (policy == "skip"), name
            assert asked <= 1 + (time.monotonic() - began) / 2, name
