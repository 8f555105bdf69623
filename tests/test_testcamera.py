"""The built-in test camera, as a reader that shares no code with it and as ffmpeg see it."""

import asyncio
import base64
import re
import subprocess
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from rtsp_reader import RTSPReader, until

import rtspkit
from rtspkit import aac, h264
from rtspkit.packetizer import NTP_OFFSET
from rtspkit.server.testcamera import TestCamera
from rtspkit.testing import Clip, clip

TCP = "RTP/AVP/TCP;unicast;interleaved=0-1"


def nal_types(payloads: list[bytes]) -> set[int]:
    """Types of the NAL units in these payloads, those in STAP-A and FU-A included."""
    types = set()
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind == 24:
            at = 1
            while at < len(payload):
                types.add(payload[at + 2] & 0x1F)
                at += 2 + int.from_bytes(payload[at : at + 2], "big")
        else:
            types.add(payload[1] & 0x1F if kind == 28 else kind)
    return types


class TestClip:
    def test_both_tracks_are_equally_long(self) -> None:
        """Else the second turn would not fit to the first."""
        seconds = {len(track.units) * track.unit_ticks / track.clock_rate for track in clip().tracks}
        assert seconds == {8.0}

    def test_video(self) -> None:
        units = clip().tracks[0].units
        syncs = [number for number in range(len(units)) if clip().tracks[0].is_sync(number)]
        assert syncs == list(range(0, 200, 25))
        for number in syncs:
            assert [h264.nal_type(nal) for nal in units[number]] == [h264.NAL_SPS, h264.NAL_PPS, h264.NAL_IDR]
        sps = h264.parse_sps(units[0][0])
        assert (sps.width, sps.height, sps.profile_idc) == (1280, 720, 100)
        assert sps.frame_rate == 25

    def test_audio(self) -> None:
        found = re.search(r"config=([0-9a-f]+)", " ".join(clip().tracks[1].media))
        assert found is not None
        config = aac.parse_config(bytes.fromhex(found[1]))
        assert (config.object_type, config.sample_rate, config.channels) == (2, 16000, 1)


class TestRequests:
    async def test_options(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            public = (await reader.ask("OPTIONS")).headers["public"].split(", ")
            assert {"DESCRIBE", "SETUP", "PLAY", "TEARDOWN", "GET_PARAMETER"} <= set(public)

    async def test_describe(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            answer = await reader.ask("DESCRIBE", Accept="application/sdp")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/sdp"
        assert answer.headers["content-base"] == camera.url + "/"
        text = answer.body.decode()
        assert "a=rtpmap:96 H264/90000\r\n" in text
        assert "a=rtpmap:97 MPEG4-GENERIC/16000/1\r\n" in text
        assert "config=1408" in text
        sets = re.search(r"sprop-parameter-sets=(\S+)", text)
        assert sets is not None
        assert [base64.b64decode(part)[0] & 0x1F for part in sets[1].split(",")] == [7, 8]

    async def test_udp_is_refused_and_tcp_taken(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            track = f"{camera.url}/trackID=0"
            answer = await reader.ask("SETUP", track, Transport="RTP/AVP;unicast;client_port=5000-5001")
            assert answer.status == 461
            answer = await reader.ask("SETUP", track, Transport="RTP/AVP/TCP;unicast;interleaved=6-7")
            assert answer.status == 200
            assert "interleaved=6-7" in answer.headers["transport"]
            assert re.fullmatch(r"\w+;timeout=60", answer.headers["session"])

    @pytest.mark.parametrize("track", ["trackID=2", "trackID=", "trackID=x", "trackID=-1", ""])
    async def test_no_such_track(self, track: str) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask("SETUP", f"{camera.url}/{track}", Transport=TCP)).status == 404

    @pytest.mark.parametrize("method", ["PLAY", "PAUSE", "TEARDOWN"])
    async def test_no_session(self, method: str) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            assert (await reader.ask(method)).status == 454

    async def test_unknown_method(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            assert (await reader.ask("RECORD")).status == 501

    async def test_keepalive_while_playing(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            await reader.packet()
            assert (await reader.ask("GET_PARAMETER")).status == 200

    async def test_rtcp_of_the_reader_is_taken_and_not_answered(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            reader.writer.write(b"$\x01\x00\x08\x80\xc9\x00\x01\x00\x00\x00\x01")
            assert (await reader.ask("OPTIONS")).status == 200

    async def test_what_is_not_rtsp_ends_the_connection_and_nothing_else(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            async with RTSPReader(camera.url) as other:
                other.writer.write(b"GET / HTTP/1.1\r\n" + b"x" * 100_000 + b"\r\n\r\n")
                assert await other.hung_up()
            assert (await reader.ask("OPTIONS")).status == 200


class TestMedia:
    async def test_media_begin_with_a_sync_sample_at_the_time_told(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            info = (await reader.play()).headers["rtp-info"]
            rtptime = [int(value) for value in re.findall(r"rtptime=(\d+)", info)]
            assert re.findall(r"url=([^;]+)", info) == [f"{camera.url}/trackID={n}" for n in (0, 1)]
            packets = [packet for packet in await reader.packets(1.6) if packet.channel in {0, 2}]
        assert packets[0].channel == 0
        assert packets[0].timestamp == rtptime[0]
        first = [packet.payload for packet in packets if packet.timestamp == rtptime[0] and packet.channel == 0]
        assert nal_types(first) == {7, 8, 5}
        sound = next(packet for packet in packets if packet.channel == 2)
        assert 0 <= sound.timestamp - rtptime[1] <= 1024

    async def test_numbers_go_on_where_the_clip_begins_anew(self) -> None:
        """A clip of 3 pictures, so that some turns pass within the test."""
        whole = clip()
        video = whole.tracks[0]
        short = Clip((replace(video, units=video.units[:3]), whole.tracks[1]))
        async with TestCamera(media=short) as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            packets = [packet for packet in await reader.packets(1.0) if packet.channel == 0]
        sequences = [packet.sequence for packet in packets]
        assert all((b - a) & 0xFFFF == 1 for a, b in pairwise(sequences))
        times = [packet.timestamp for packet in packets if packet.marker]
        assert {b - a for a, b in pairwise(times)} == {3600}
        assert 15 <= len(times) <= 30

    async def test_the_sender_reports_tell_the_time(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            info = (await reader.play()).headers["rtp-info"]
            rtptime = int(re.findall(r"rtptime=(\d+)", info)[0])
            told = time.time()
            async with asyncio.timeout(8):
                while (packet := await reader.packet()).channel != 1:
                    pass
        assert packet.data[1] == 200
        seconds = int.from_bytes(packet.data[8:16], "big") / 2**32 - NTP_OFFSET
        assert abs(seconds - time.time()) < 1
        timestamp = int.from_bytes(packet.data[16:20], "big")
        # the sync sample came at most a second (the GOP) after PLAY
        assert -0.5 < seconds - (timestamp - rtptime) / 90000 - told < 1.5

    async def test_sound_is_sound_at_any_clock_rate(self) -> None:
        video, audio = clip().tracks
        assert (video.kind, audio.kind) == ("video", "audio")
        audio = replace(audio, clock_rate=90000)
        assert all(audio.is_sync(number) for number in range(len(audio.units)))
        async with TestCamera(media=Clip((video, audio))) as camera, RTSPReader(camera.url) as reader:
            await reader.play(1)
            sound = [packet for packet in await reader.packets(0.2) if packet.channel == 2]
        assert sound
        sent = {b"".join(unit) for unit in audio.units}
        for packet in sound:  # RFC 3640: 16 bits that say how long the headers are, one header, the unit
            assert packet.payload[:2] == b"\x00\x10"
            assert packet.payload[4:] in sent

    async def test_only_what_was_set_up(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.play(1)
            assert {packet.channel for packet in await reader.packets(0.5)} <= {2, 3}

    async def test_a_second_reader_gets_the_same_bytes(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as a, RTSPReader(camera.url) as b:
            await a.play()
            await b.play()
            first, second = await asyncio.gather(a.packets(1.5), b.packets(1.5))
        shared = {packet.data for packet in first} & {packet.data for packet in second}
        assert len(shared) > 20

    async def test_pause_and_teardown(self) -> None:
        async with TestCamera() as camera, RTSPReader(camera.url) as reader:
            await reader.play()
            await reader.packet()
            assert (await reader.ask("PAUSE")).status == 200
            reader.early.clear()
            assert await reader.packets(0.2) == []
            assert (await reader.ask("PLAY")).status == 200
            await reader.packet()
            assert (await reader.ask("TEARDOWN")).status == 200
            reader.early.clear()
            assert await reader.packets(0.2) == []

    async def test_who_does_not_read_is_dropped_and_the_others_go_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rtspkit.testing.playout._SEND_BUFFER", 10_000)
        whole = clip()
        video = whole.tracks[0]
        flood = Clip((replace(video, units=((b"\x65\x88" + bytes(2_000_000),),)), whole.tracks[1]))
        async with TestCamera(media=flood) as camera, RTSPReader(camera.url) as reader, RTSPReader(camera.url) as idle:
            await reader.play(1)
            await idle.play(0)
            await until(lambda: len(camera.clients) == 1)
            reader.early.clear()
            assert len(await reader.packets(0.5)) > 3


class TestLife:
    async def test_ports(self) -> None:
        async with TestCamera() as camera:
            assert camera.port > 0
            with pytest.raises(OSError, match="in use"):
                await TestCamera(port=camera.port).start()

    async def test_close_hangs_up_and_start_takes_the_same_port(self) -> None:
        camera = TestCamera()
        await camera.start()
        port = camera.port
        async with RTSPReader(camera.url) as reader:
            await reader.play()
            await camera.close()
            assert await reader.hung_up()
        assert not camera.clients
        await camera.start()
        assert camera.port == port
        await camera.close()
        await camera.close()

    async def test_a_reader_that_leaves_is_forgotten(self) -> None:
        async with TestCamera() as camera:
            async with RTSPReader(camera.url) as reader:
                await reader.play()
                assert len(camera.clients) == 1
            await until(lambda: not camera.clients)


async def test_started_again_it_plays_at_once() -> None:
    camera = TestCamera()
    await camera.start()
    async with asyncio.timeout(15):
        async with rtspkit.open(camera.url) as source:
            async for unit in source:
                if unit.pts > 2 * unit.track.clock_rate:
                    break
        await camera.close()
        await camera.start()
        began = asyncio.get_running_loop().time()
        async with rtspkit.open(camera.url) as source:
            await anext(aiter(source))
        assert asyncio.get_running_loop().time() - began < 2  # a sync sample comes every second
    await camera.close()


async def test_our_own_client_reads_it() -> None:
    async with TestCamera() as camera, rtspkit.open(camera.url) as source:
        assert [(track.codec, track.clock_rate) for track in source.tracks] == [("h264", 90000), ("aac", 16000)]
        sizes = {0: 0, 1: 0}
        first = None
        async with asyncio.timeout(10):
            async for unit in source:
                first = first or unit
                sizes[unit.track.index] += 1
                assert not unit.damaged
                if min(sizes.values()) >= 20:
                    break
    assert first is not None
    assert first.is_sync


@pytest.mark.real
@pytest.mark.parametrize(("options", "seconds"), [(["-rtsp_transport", "tcp"], 8.6), ([], 1)])
async def test_ffmpeg_decodes_it_without_a_complaint(ffmpeg: None, options: list[str], seconds: float) -> None:
    """Over the place where the clip begins anew; and where it asks for UDP first, it comes back for TCP by itself."""
    async with TestCamera() as camera:
        command = ["ffmpeg", "-v", "warning", "-nostdin", *options, "-i", camera.url]
        process = await asyncio.create_subprocess_exec(
            *command, "-t", str(seconds), "-f", "null", "-", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, complaints = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0
    lines = [line for line in complaints.decode().splitlines() if not line.endswith("461 Unsupported Transport")]
    assert lines == []
