"""Packets are lost of what x264 and x265 made: what ffmpeg shows of it, by `lossPolicy`."""

import asyncio
import re
from pathlib import Path
from typing import Any

import boxes
import pytest
from hlsscene import TCP, Scene, Viewer, scene
from real.faultcamera import FaultCamera
from real.oddclips import OddClip, pictures

from rtspkit import h264, h265
from rtspkit.media import H264Parameters, H265Parameters
from rtspkit.testing import Clip, video_track

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.usefixtures("ffmpeg")]

#: Pictures of several slices, so that one that lacks a packet is no picture less, but half a picture; a sync sample a
#: second, each with its parameter sets.
CLIPS = {
    "h264": OddClip("keyint=15:slices=4:bframes=0:scenecut=0"),
    "h265": OddClip("keyint=15:slices=3:bframes=0:open-gop=0:scenecut=0", size=(320, 240), preset="superfast"),
}
POLICIES = ["keep", "drop", "skip"]


def clip(path: Path) -> Clip:
    """What a byte stream's name says is in it."""
    nals = h264.split_annexb(path.read_bytes())
    if path.suffix == ".h264":
        units = list(h264.access_units(nals))
        sps, pps = (next(nal for nal in nals if h264.nal_type(nal) == kind) for kind in (7, 8))
        return Clip((video_track(units, H264Parameters(sps, (pps,)), 15),))
    units = list(h265.access_units(nals))
    vps, sps, pps = (next(nal for nal in nals if h265.nal_type(nal) == kind) for kind in (32, 33, 34))
    return Clip((video_track(units, H265Parameters(vps, sps, (pps,)), 15),))


async def stored(one: Scene[Any], viewer: Viewer) -> bytes:
    """The init section, and of all segments that are listed those from the first that begins with a sync sample.

    A list that had to grow just when the pictures came back has cut their first segment short, and the next one begins
    in midst of a GOP: where that is the oldest that is left, nobody starts with it.
    """
    init = re.findall(r'(?m)^#EXT-X-MAP:URI="(.+)"$', viewer.text)[0]
    segments = await one.segments(viewer)
    begins = [boxes.fragments(data)[0].runs[0].samples[0].is_sync for data in segments]
    return b"".join([(await one.client.get(f"/{viewer.name}/{init}")).content, *segments[begins.index(True) :]])


def shown(file: Path, data: bytes) -> list[str]:
    """Of each picture in it a digest; AssertionError where ffmpeg complains."""
    file.write_bytes(data)
    return pictures(file)


async def test_what_is_shown(tmp_path: Path) -> None:
    """With "skip" pictures that were sent, and none else, and ffmpeg has nothing to say; not so with the others."""
    files = {codec: tmp_path / f"clip.{codec}" for codec in CLIPS}
    for codec, file in files.items():
        CLIPS[codec].make(file)
    sent = {codec: set(pictures(file)) for codec, file in files.items()}
    cameras = {f"{codec}-{policy}": FaultCamera(clip(file)) for codec, file in files.items() for policy in POLICIES}
    for camera in cameras.values():
        camera.lose = 90
    own = {name: f"    lossPolicy: {name[5:]}\n" for name in cameras}
    async with scene("plain", cameras, more=TCP, own=own) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        await asyncio.sleep(12)
        for name, viewer in viewers.items():
            data, file = await stored(one, viewer), tmp_path / f"{name}.mp4"
            if name.endswith("skip"):
                found = await asyncio.to_thread(shown, file, data)
                assert len(found) > 30, name
                assert set(found) <= sent[name[:4]], name
                continue
            try:
                found = await asyncio.to_thread(shown, file, data)
            except AssertionError:  # ffmpeg complains
                continue
            assert not set(found) <= sent[name[:4]], name
