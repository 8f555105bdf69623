"""Media that nobody should send (faults R28 to R49), through the gateway; two healthy cameras run beside each.

What is asserted of the healthy ones, and of the log, is in `hlsscene`. Many cameras share a scene, each with its fault.
R29 with each `lossPolicy` is in `test_server_loss`, R33 in `test_server_faults`; R47, which takes days, is in
`test_clocks`. The same as players meet it, and with pictures that x264 made, is in `test_real_faults` and
`test_real_loss`. R29, R30, R31 and R37 are fuzzed, too: see `test_rtp_properties`, `test_rtp_senders_properties` and
`test_h264_properties`.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import boxes
import pytest
from hlsscene import OWN, TCP, VARIANTS, Scene, Viewer, pictures_of, scene, until
from real.clips import ReorderedTrack
from real.faultcamera import FaultCamera
from test_h265 import PARAMETERS as H265

import rtspkit
from rtspkit import h264
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.media import H264Parameters
from rtspkit.packetizer import Payload, stap_a
from rtspkit.testing import Client, Clip, ScriptedCamera, clip, video_track
from rtspkit.testing.faults import Describe, Fault, Network, Rewrite

pytestmark = pytest.mark.slow

HOUR = 3600.0
#: An access unit may have so many bytes; those of the clip have 14 kB.
SMALL = replace(DEFAULT_LIMITS, access_unit_size=100_000)
SPS, PPS = (next(nal for nal in clip().tracks[0].units[0] if nal[0] & 0x1F == kind) for kind in (7, 8))
SEI = b"\x06\x05\x04junk\x80"


def some(change: Callable[[list[Payload]], Iterable[Payload]]) -> Rewrite:
    """Something else in the place of every tenth picture, none of them a sync sample."""

    def changed(number: int, payloads: list[Payload]) -> Iterable[Payload]:
        return change(payloads) if number % 10 == 3 else payloads

    return Rewrite(changed)


async def tracks(one: Scene[Any], name: str) -> list[dict[str, Any]]:
    """What the API tells of a camera's tracks."""
    return list((await one.api(name))["health"]["tracks"])


async def sound(one: Scene[ScriptedCamera], viewers: dict[str, Viewer]) -> dict[str, list[bytes]]:
    """All of them go on playing; of a camera's pictures, what was sent and nothing else."""
    found = {}
    for name, viewer in viewers.items():
        await viewer.plays()
        found[name] = pictures = await one.pictures(viewer)
        assert pictures, name
        assert set(pictures) <= pictures_of(one.cameras[name]), name
        assert one.cameras[name].connections == 1, name
        assert set(viewer.statuses) == {200}, name
        assert viewer.audit.violations == [], name
    return found


# -- R28 to R32: packets --------------------------------------------------------


def never_ending(_: list[Payload]) -> list[Payload]:
    """A fragmented NAL unit of 280 kB, and no end of it."""
    return [Payload(b"\x5c" + (b"\x81" if n == 0 else b"\x01") + bytes(1400), False) for n in range(200)]


def without_start(payloads: list[Payload]) -> list[Payload]:
    return [one._replace(data=one.data[:1] + bytes((one.data[1] & 0x7F,)) + one.data[2:]) for one in payloads]


def without_end(payloads: list[Payload]) -> list[Payload]:
    return [one._replace(data=one.data[:1] + bytes((one.data[1] & 0xBF,)) + one.data[2:]) for one in payloads]


def mixed_types(payloads: list[Payload]) -> list[Payload]:
    """Tiandy: only the first fragment says what it is."""
    first, *rest = payloads
    return [first, *(one._replace(data=one.data[:1] + bytes((one.data[1] ^ 4,)) + one.data[2:]) for one in rest)]


def lying_sizes(payloads: list[Payload]) -> list[Payload]:
    """STAP-A: a size beyond the end, none, a NAL unit without bytes, and another STAP-A inside."""
    lies = [b"\x78\xff\xff\x41\x9a", b"\x78", b"\x78\0", b"\x78\0\0\0\0\0"]
    lies.append(stap_a([b"\x78\0\2\x06\x05", b"\x0c\xff\x80"]))
    return [*(Payload(lie, False) for lie in lies), *payloads]


def no_marker(_: int, payloads: list[Payload]) -> list[Payload]:
    return [one._replace(marker=False) for one in payloads]


def slices(_: list[Payload]) -> list[Payload]:
    """Five thousand of them."""
    first = Payload(b"\x41\x9a" + bytes(9) + b"\x80", False)
    return [first, *[Payload(b"\x41\x02" + bytes(9) + b"\x80", False)] * 4998, first._replace(marker=True)]


@dataclass(eq=False)
class Lies(Fault):
    """Packets whose header says more than there is of them: CSRCs, an extension, padding."""

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        (head, rest), *_ = [(packet[0], packet[1:12]) for packet in packets]
        lies = [bytes((head | 0x0F,)) + rest, bytes((head | 0x10,)) + rest + b"\xbe\xde\xff\xff"]
        lies += [bytes((head | 0x20,)) + rest + b"\0\0\xff", bytes((head | 0x20,)) + rest + b"\0\0\0"]
        return [*lies, *packets]


async def test_packets_that_contradict_themselves() -> None:
    """What cannot be right is dropped and counted, and what can is shown as it was sent."""
    cameras = {
        "endless": ScriptedCamera(some(never_ending)),  # R28
        "start": ScriptedCamera(some(without_start)),  # R29
        "end": ScriptedCamera(some(without_end)),
        "types": ScriptedCamera(some(mixed_types)),
        "sizes": ScriptedCamera(some(lying_sizes)),  # R30
        "header": ScriptedCamera(Lies()),  # R31
        "nomark": ScriptedCamera(Rewrite(no_marker)),  # R32
        "slices": ScriptedCamera(some(slices)),
    }
    quirks = {
        "types": "nal-type-changes-in-fu",
        "sizes": "stap-padding",
        "nomark": "marker-never-set",
        "slices": "many-slices",
    }
    dropped = {"endless", "start", "end", "slices"}  # a picture of ten
    broken = dropped - {"end"} | {"sizes", "header"}
    async with scene("quick", cameras, more=TCP, limits=SMALL) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.until(lambda seen=viewer: seen.text.count("#EXTINF") - seen.text.count("EXT-X-GAP") > 2)
        for name, pictures in (await sound(one, viewers)).items():
            (video, audio) = await tracks(one, name)
            assert (video["lost"], audio["lost"], audio["damagedUnits"]) == (0, 0, 0), name
            assert bool(video["broken"]) is (name in broken), name
            assert bool(video["damagedUnits"]) is (name in dropped | {"sizes"}), name
            assert len(pictures) >= 40, name
            assert set(video["quirks"]) == {quirks[name]} if name in quirks else not video["quirks"], name
            assert "#EXT-X-DISCONTINUITY\n" not in viewers[name].text, name
            if name in dropped & broken:
                assert 0.85 < video["units"] / (video["units"] + video["broken"]) < 0.95, name


async def test_nothing_but_the_middle_of_a_picture() -> None:
    """R28: packets come, for four seconds, and no picture; viewers have a gap, and it plays on by itself."""

    def middle(number: int, payloads: list[Payload]) -> list[Payload]:
        return [Payload(b"\x5c\x01" + bytes(1400), False)] * 3 if 50 <= number < 150 else payloads

    async with scene("plain", ScriptedCamera(Rewrite(middle)), more=TCP) as one:
        viewer = one.viewer()
        await viewer.plays()
        discontinuities = viewer.discontinuities
        await viewer.until(lambda: viewer.media[-1] == "gap")
        await sound(one, {"cam": viewer})
        assert viewer.discontinuities == discontinuities + 1


# -- R35 to R38: pictures, and what they are like ---------------------------------


def invalid(sps: bytes) -> Rewrite:
    """Before each sync sample an SPS that cannot be; the right one comes behind it."""

    def changed(number: int, payloads: list[Payload]) -> list[Payload]:
        return [Payload(sps, False)] * (number % 25 == 0) + payloads

    return Rewrite(changed)


def without_the_right_one(number: int, payloads: list[Payload]) -> list[Payload]:
    """From the second sync sample on."""
    if not number or number % 25:
        return payloads
    sets = [Payload(bytes.fromhex(INVALID["huge"]), False), Payload(PPS, False)]
    return [*sets, *(one for one in payloads if one.data[0] & 0x1F == 28)]


def only_in_band(number: int, payloads: list[Payload]) -> list[Payload]:
    """Ivel: parameter sets and SEI in one packet with the marker, and the picture behind it."""
    if number % 25:
        return payloads
    return [Payload(stap_a([SPS, PPS, SEI]), True), *(one for one in payloads if one.data[0] & 0x1F == 28)]


#: Of SPSs that no camera has: 65535x65535 pixels, a log2 of 2**31, a VUI that ends in the midst, and noise.
INVALID = {
    "huge": "6742c01edc0100001000040000100020",
    "log2": "674d001f00000001fffffffe80",
    "vui": SPS[:-6].hex(),
    "noise": "67640028ffffffffffffffff",
}


async def test_parameter_sets_that_cannot_be() -> None:
    """R37: they change nothing. R38: those that come in band only are waited for."""
    cameras = {name: ScriptedCamera(invalid(bytes.fromhex(sps))) for name, sps in INVALID.items()}
    cameras["alone"] = ScriptedCamera(Rewrite(without_the_right_one))
    no_sprop = Describe(lambda sdp: re.sub(rb";sprop-parameter-sets=[^\r;]+", b"", sdp))
    cameras["inband"] = ScriptedCamera(Rewrite(only_in_band), no_sprop)
    async with scene("quick", cameras, more=TCP) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.until(lambda seen=viewer: seen.text.count("#EXTINF") - seen.text.count("EXT-X-GAP") > 2)
        for name, viewer in viewers.items():
            assert "#EXT-X-DISCONTINUITY\n" not in viewer.text, name
            assert viewer.text.count("#EXT-X-MAP") == 1, name
            assert "RESOLUTION=1280x720" in (await one.client.get(f"/{name}/index.m3u8")).text
            (video, _) = await tracks(one, name)
            assert (video["lost"], video["damagedUnits"]) == (0, 0)
        viewers.pop("inband")  # its SEI makes its pictures others
        await sound(one, viewers)


# -- R34 to R36, R44: pictures ----------------------------------------------------


class EndlessGOP(ScriptedCamera):
    """Sends one sync sample, when it is connected to, and no other."""

    def _send_unit(self, index: int) -> None:
        if index == 0 and self.clip.tracks[0].is_sync(self._numbers[0]) and any(one.units for one in self.clients):
            self._numbers[0] += 1
        else:
            super()._send_unit(index)


def only_recovery_points(number: int, payloads: list[Payload]) -> list[Payload]:
    """No IDR pictures: in their place others, and SEI that says that decoding can start there."""
    sets, *fragments = payloads
    if number % 25:
        return payloads
    others = [one._replace(data=one.data[:1] + bytes((one.data[1] & 0xE0 | 1,)) + one.data[2:]) for one in fragments]
    return [sets, Payload(b"\x06\x06\x01\xc4\x80", False), *others]


def other_clip() -> Clip:
    """Another SPS, of another size."""
    video, audio = clip().tracks
    sps = bytes.fromhex("6764001eacd940a02ff97011000003000100000300320f162d96")
    assert h264.parse_sps(sps) != h264.parse_sps(SPS)
    units = [[sps if nal == SPS else nal for nal in unit] for unit in video.units]
    return Clip((video_track(units, H264Parameters(sps, (PPS,))), audio))


def with_b_pictures() -> ReorderedTrack:
    """Each third picture is sent before the two that are shown before it; sync samples stay where they are."""
    video = clip().tracks[0]
    offsets = [3600 * (1 if number % 25 == 0 else (3, 0, 0)[number % 25 % 3 - 1]) for number in range(len(video.units))]
    return ReorderedTrack(**vars(video), offsets=tuple(offsets))


@dataclass(eq=False)
class Times(Fault):
    """Of every tenth picture the timestamp is that of the one before, or earlier by that much."""

    earlier: int = 0
    _last: int = 0

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        if track or client.units % 10 != 3:
            return packets
        first = int.from_bytes(packets[0][4:8], "big") - 3600 - self.earlier
        return [packet[:4] + (first & 0xFFFFFFFF).to_bytes(4, "big") + packet[8:] for packet in packets]


async def test_pictures_that_change_and_sync_samples_that_do_not_come() -> None:
    """R34, R35, R36, R44: segments go on, and begin anew only where the size of the pictures does."""
    bframes = Clip((with_b_pictures(), clip().tracks[1]))
    cameras = {
        "gop": EndlessGOP(),
        "recovery": ScriptedCamera(Rewrite(only_recovery_points)),
        "huge": FaultCamera(clip()),
        "size": ScriptedCamera(),
        "equal": ScriptedCamera(Times()),
        "back": ScriptedCamera(Times(earlier=7200)),
        "b": FaultCamera(bframes),
    }
    async with scene("quick", cameras, more=TCP, limits=SMALL) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.plays()
        cameras["size"].change(other_clip())
        cameras["huge"].pad = 20_000_000
        await asyncio.sleep(4)
        sizes = {name: viewer.number("TARGETDURATION") for name, viewer in viewers.items()}
        await sound(one, {name: viewer for name, viewer in viewers.items() if name != "recovery"})
        for name, viewer in viewers.items():
            (video, audio) = await tracks(one, name)
            assert (video["lost"], audio["lost"]) == (0, 0), name
            assert viewer.number("TARGETDURATION") == sizes[name] == 4, name
            assert viewer.text.count("#EXT-X-DISCONTINUITY\n") == (name == "size"), name
            assert viewer.text.count("#EXT-X-MAP") == 1 + (name == "size"), name
            assert bool(video["broken"]) is (name == "huge"), name
            playlist = (await one.client.get(f"/{name}/index.m3u8")).text
            assert ("RESOLUTION=640x360" if name == "size" else "RESOLUTION=1280x720") in playlist, name
            if name in {"b", "equal", "back"}:
                assert video["unitsPerSecond"] is None or 20 < video["unitsPerSecond"] < 30
        # its segments are cut without a sync sample, and do not say that they begin with one
        parts = re.findall(r"#EXT-X-PART:.*", viewers["gop"].text)
        assert sum("INDEPENDENT=YES" in part for part in parts) <= 1
        assert "INDEPENDENT-SEGMENTS" not in viewers["gop"].text
        # here each begins with a recovery point, and says so
        parts = re.findall(r"#EXT-X-PART:.*", viewers["recovery"].text)
        assert sum("INDEPENDENT=YES" in part for part in parts) >= 3
        assert viewers["recovery"].audit.violations == []


# -- R49: another codec -----------------------------------------------------------


def h265_clip() -> Clip:
    """As many pictures, which no decoder would like."""
    sets = [H265.vps, H265.sps, *H265.pps]
    slices = [
        bytes((38 if number % 25 == 0 else 2, 1, 0xA0)) + number.to_bytes(2, "big") * 400 for number in range(200)
    ]
    units = [[*sets, nal] if number % 25 == 0 else [nal] for number, nal in enumerate(slices)]
    return Clip((video_track(units, H265), clip().tracks[1]))


async def test_a_camera_that_is_back_with_another_codec() -> None:
    """The same URL: numbers go on, under a new epoch, and the multivariant playlist says what there is now."""
    cameras = {name: ScriptedCamera() for name in VARIANTS}
    async with scene("quick", cameras, more=TCP, own=OWN) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        known = {}
        for name, viewer in viewers.items():
            await viewer.plays()
            known[name] = viewer.epoch, viewer.first + viewer.text.count("#EXTINF"), viewer.discontinuities
            reply = await one.client.get(f"/{name}/index.m3u8")
            assert "avc1." in reply.text
        for camera in cameras.values():
            await camera.close()
            camera.clip = h265_clip()
            await camera.start()
        for name, viewer in viewers.items():
            epoch, following, discontinuities = known[name]
            await viewer.until(lambda seen=viewer, old=epoch: seen.epoch != old)
            await viewer.plays()
            assert viewer.first >= following
            assert viewer.discontinuities > discontinuities
            assert set(viewer.statuses) <= {200, 503}
            reply = await one.client.get(f"/{name}/index.m3u8")
            assert "hvc1." in reply.text
            assert "avc1." not in reply.text
            assert reply.headers["cache-control"] == "public, max-age=10"
            init = await one.client.get(f"/{name}/{viewer.epoch}/init_0.mp4")
            assert b"hvcC" in init.content
            assert one.log.errors.count(f"[path {name}] [RTSP source] internal error") == 0


# -- R41: a bad network ------------------------------------------------------------


def samples(data: bytes) -> list[tuple[bool, bytes]]:
    """Of the video: whether each says that it is a sync sample, and its bytes."""
    runs = (run for fragment in boxes.fragments(data) for run in fragment.runs)
    return [(sample.is_sync, sample.data) for run in runs if run.track_id == 1 for sample in run.samples]


async def test_a_bad_network() -> None:
    """What is only out of order, or comes twice, does not show; what says that it is a sync sample is whole."""
    bad = Network(loss=0.05, duplicates=0.05, reordered=0.05, distance=1)
    order = Network(duplicates=0.1, reordered=0.2, distance=2)
    cameras = {"bad": ScriptedCamera(bad), "order": ScriptedCamera(order)}
    limits = replace(DEFAULT_LIMITS, reorder_time=0.5)  # between two pictures 40 ms pass, and on a busy machine more
    async with scene("quick", cameras, own="    rtspTransport: udp\n", limits=limits) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.until(lambda seen=viewer: seen.text.count("#EXTINF") - seen.text.count("EXT-X-GAP") > 5)
        for name, viewer in viewers.items():
            assert "#EXT-X-DISCONTINUITY\n" not in viewer.text
            assert viewer.audit.violations == []
            (video, audio) = await tracks(one, name)
            counted = {key: video[key] + audio[key] for key in ("lost", "reordered", "duplicates", "damagedUnits")}
            assert counted["reordered"] > 10
            assert counted["duplicates"] > 10
            assert video["late"] == 0
            uris = re.findall(r"(?m)^(\w+/seg_\d+\.mp4)$", viewer.text)
            found = [pair for uri in uris for pair in samples((await one.client.get(f"/{name}/{uri}")).content)]
            whole = pictures_of(cameras[name])
            assert sum(is_sync for is_sync, _ in found) >= 2
            assert all(data in whole for is_sync, data in found if is_sync)
            if name == "order":
                assert (counted["lost"], counted["damagedUnits"]) == (0, 0)
                assert {data for _, data in found} <= whole
            else:
                assert 0 < counted["lost"] <= bad.lost
                assert counted["damagedUnits"] > 5


# -- R39, R40, R42, R43, R45, R46, R48: numbers and clocks -------------------------


def dates(viewer: Viewer) -> list[float]:
    """Of the segments that are listed, in Unix seconds."""
    found = re.findall(r"#EXT-X-PROGRAM-DATE-TIME:(.+)Z", viewer.text)
    return [datetime.fromisoformat(f"{text}+00:00").timestamp() for text in found]


async def test_numbers_and_clocks_that_begin_anew() -> None:
    """The timeline goes on: no gap, no discontinuity, and dates that are right."""
    cameras = {name: FaultCamera(clip()) for name in ("ssrc", "sequence", "wrap", "stray", "reports")}
    cameras["ssrc"].ssrc_each_gop = True
    cameras["reports"].wall_error = [-time.time(), 10 * 365 * 24 * HOUR, 0, -HOUR]
    async with scene("quick", cameras, more=TCP) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.plays()
        for sender in cameras["sequence"]._senders:
            sender.sequence = (sender.sequence + 20_000) % 65536
        cameras["wrap"].set_clocks(1.0)
        for seconds in (HOUR, -HOUR, 5 * HOUR):
            cameras["stray"].stray(seconds)
            await asyncio.sleep(0.7)
        await sound(one, viewers)
        for name, viewer in viewers.items():
            assert "#EXT-X-DISCONTINUITY\n" not in viewer.text, name
            assert max(map(float, re.findall(r"#EXTINF:([\d.]+)", viewer.text))) < 4.5, name
            (video, audio) = await tracks(one, name)
            # of a sequence that begins anew somewhere else the first packet is not believed yet
            assert video["lost"] + audio["lost"] == 0, name
            assert bool(video["damagedUnits"]) is (name == "sequence"), name
            assert abs(dates(viewer)[-1] - time.time()) < 10, name
            assert abs(dates(viewer)[-1] - dates(one.neighbours[0])[-1]) < 6, name
        assert set((await tracks(one, "ssrc"))[0]["quirks"]) == {"ssrc-changes"}
        assert set((await tracks(one, "sequence"))[0]["quirks"]) == {"sequence-restarts"}
        assert set((await tracks(one, "stray"))[0]["quirks"]) == {"timestamp-outlier"}


async def test_segments_dated_by_the_cameras_clock() -> None:
    """`useAbsoluteTimestamp`, and the same for those who read the camera unit by unit."""
    cameras = {name: FaultCamera(clip()) for name in ("theirs", "ours")}
    for camera in cameras.values():
        camera.wall_error = [-HOUR]
    async with scene("quick", cameras, more=TCP, own={"theirs": "    useAbsoluteTimestamp: yes\n", "ours": ""}) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.plays()
        await until(lambda: abs(dates(viewers["theirs"])[-1] - time.time() + HOUR) < 10)
        assert abs(dates(viewers["ours"])[-1] - time.time()) < 10
        async with rtspkit.open(cameras["ours"].url) as camera:
            async for unit in camera:
                if unit.wall_clock is not None:
                    break
        assert unit.wall_clock == pytest.approx(time.time() - HOUR, abs=5)


async def test_clocks_that_stand_or_run_wrong_and_sound_that_does_not_come() -> None:
    """R45: time is that of the arrival, soon. R48: sound stops, or never comes; the pictures do not wait for it."""
    cameras = {name: FaultCamera(clip()) for name in ("frozen", "fast", "stops", "never")}
    for name in ("frozen", "fast"):
        cameras[name].set_clock(name)
    cameras["never"].still = {1}
    async with scene("quick", cameras, more=TCP) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for viewer in viewers.values():
            await viewer.plays()
        cameras["stops"].still = {1}
        began, first = time.monotonic(), {name: len(viewer.texts) for name, viewer in viewers.items()}
        await asyncio.sleep(4)
        await sound(one, viewers)
        for name, viewer in viewers.items():
            published = (len(viewer.texts) - first[name]) / (time.monotonic() - began)
            assert published > (0.5 if name == "fast" else 1.5), name  # of five parts a second, on an idle machine
            assert "gap" not in re.sub(r"^(gap )+", "", " ".join(viewer.media)), name
            # what is believed for a second and a half, ten times over, stays
            assert abs(dates(viewer)[-1] - time.time()) < (25 if name == "fast" else 10), name
        for name in ("stops", "never"):
            assert "#EXT-X-DISCONTINUITY\n" not in viewers[name].text, name
            assert "mp4a.40.2" in (await one.client.get(f"/{name}/index.m3u8")).text
            found = re.findall(r"(?m)^(\w+/seg_\d+\.mp4)$", viewers[name].text)
            runs = boxes.fragments((await one.client.get(f"/{name}/{found[-1]}")).content)
            assert {run.track_id for fragment in runs for run in fragment.runs} == {1, 2}
