"""Recordings: made of real sessions, fit for strangers, and read with suspicion."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from real.gstcamera import PASSWORD, USER, GstCamera

import rtspkit
from rtspkit import h264
from rtspkit.errors import LocalProtocolError
from rtspkit.options import CameraOptions
from rtspkit.recording import Recorder, Recording, load, loads
from rtspkit.replay import Replay
from rtspkit.rtsp import parse_url
from rtspkit.testing import Digest, ScriptedCamera, faults
from rtspkit.transcript import Transcript

TCP = CameraOptions(transport="tcp")
HEAD = '{"format": "rtspkit recording", "version": 1, "software": "x", "url": "rtsp://camera.example/live"}\n'


class Session:
    """What a session with a camera was like.

    Attributes:
        tracks, units, quirks: as the client has them.
        text: the recording.
    """

    def __init__(self, url: str, options: CameraOptions = TCP) -> None:
        self.url = parse_url(url)
        self.options = options
        self.tracks: tuple[rtspkit.Track, ...] = ()
        self.units: list[rtspkit.AccessUnit] = []
        self.quirks: dict[str, str] = {}
        self.in_band: list[tuple[str, ...]] = []
        self._transcript = Transcript()
        self._recorder = Recorder(self.url)

    async def run(self, seconds: float) -> "Session":
        camera = await rtspkit.connect(self.url, options=self.options, tap=self._tap)
        try:
            async with asyncio.timeout(seconds):
                async for unit in camera:
                    self.units.append(unit)
        except (TimeoutError, rtspkit.ConnectionLost):
            pass
        self.tracks = camera.tracks
        self.quirks = dict(camera._connection.quirks)
        self.in_band = [camera._receiver.quirks(track.index) for track in camera.tracks]
        await camera.close()
        self._recorder.add(self._transcript.finish(time.monotonic()))
        return self

    def _tap(self, way, data, socket=None) -> None:
        self._recorder.add(self._transcript.feed(time.monotonic(), way, data, socket))

    @property
    def text(self) -> str:
        return self._recorder.text()

    def shape(self, track: int) -> list[tuple[int, bool, bool, int]]:
        """Everything about the units of a track but their bytes."""
        return [(u.pts, u.is_sync, u.damaged, len(u.data)) for u in self.units if u.track.index == track]


async def replayed(recording: Recording, options: CameraOptions = TCP) -> Session:
    async with Replay(recording) as camera:
        return await Session(camera.url, options).run(20)


def assert_alike(session: Session, again: Session) -> None:
    assert again.tracks == session.tracks
    for track in session.tracks:
        shape = session.shape(track.index)
        assert len(shape) > 20
        # what was under way when the reader left may have come all the same
        assert again.shape(track.index)[: len(shape)] == shape
        assert len(again.shape(track.index)) <= len(shape) + 5
    assert again.quirks == session.quirks
    assert again.in_band == session.in_band


def odd(sdp: bytes) -> bytes:
    """No origin, no name, two media that cannot be received, a serial number."""
    lines = [line for line in sdp.split(b"\r\n") if not line.startswith((b"o=", b"s="))]
    return b"\r\n".join(lines) + b"m=audio 0 RTP/AVP 0\r\na=control:trackID=2\r\na=x-serial:4G05B2CPAG12345\r\n"


class TestScriptedCamera:
    async def test_a_session_comes_back_as_it_was(self) -> None:
        async with ScriptedCamera(credentials=Digest("installer", "Tr0ub4dor&3")) as camera:
            session = await Session(camera.url_with_credentials).run(3)
        assert_alike(session, await replayed(loads(session.text)))

    async def test_so_does_one_with_quirks(self) -> None:
        camera = ScriptedCamera(
            faults.Describe(odd),
            faults.CSeq(value=""),
            faults.Header("SETUP", name="Transport", value=lambda value: value.replace("ssrc=", "ssrc= ")),
            faults.Between(b"\r\n"),
            faults.Flood(channel=9),
            faults.Network(loss=0.05),
        )
        async with camera:
            session = await Session(camera.url).run(3)
        assert {"origin-line", "session-name", "cseq"} <= session.quirks.keys()
        assert any(unit.damaged for unit in session.units)
        assert_alike(session, await replayed(loads(session.text)))

    async def test_over_udp(self) -> None:
        options = CameraOptions(transport="udp")
        async with ScriptedCamera() as camera:
            session = await Session(camera.url, options).run(3)
        recording = loads(session.text)
        assert {event.socket for event in recording.events if event.kind == "packet"} >= {0, 2}
        assert_alike(session, await replayed(recording, options))

    async def test_no_secret_is_in_it(self) -> None:
        async with ScriptedCamera(
            faults.Describe(odd),
            faults.Header(name="Server", value="Cam 4G05B2CPAG12345 at 192.168.77.5"),
            credentials=Digest("installer", "Tr0ub4dor&3"),
        ) as camera:
            session = await Session(camera.url_with_credentials).run(2)
            nonces = {
                part.partition('nonce="')[2].partition('"')[0]
                for seen in camera.requests
                for part in [seen.headers.get("authorization", "")]
            }
            secrets = {"installer", "Tr0ub4dor", "192.168.77.5", "127.0.0.1", "4G05B2CPAG12345", *nonces}
            secrets |= {seen.headers["session"] for seen in camera.requests if "session" in seen.headers}
        for secret in secrets - {""}:
            assert secret not in session.text
            assert secret.encode().hex() not in session.text
        slices = {nal for unit in session.units if unit.track.kind == "video" for nal in h264.split_avcc(unit.data)}
        assert len(slices) > 20
        for nal in slices:
            assert nal[40:60].hex() not in session.text, "a picture"

    async def test_a_camera_that_hangs_up(self) -> None:
        async with ScriptedCamera(faults.HangUp(after=30)) as camera:
            session = await Session(camera.url).run(5)
        events = loads(session.text).events
        assert events[-1].kind == "end"
        assert len((await replayed(loads(session.text))).units) == len(session.units)

    async def test_a_camera_that_says_no(self) -> None:
        async with ScriptedCamera(faults.Refuse("SETUP", status=453, reason="Not Enough Bandwidth")) as camera:
            session = Session(camera.url)
            with pytest.raises(rtspkit.ResponseError, match="453"):
                await session.run(1)
        async with Replay(loads(session.text)) as camera:
            with pytest.raises(rtspkit.ResponseError, match="453"):
                await rtspkit.connect(camera.url, options=TCP)

    async def test_its_size_is_bounded(self) -> None:
        recorder = Recorder(parse_url("rtsp://h/x"), max_size=2000)
        transcript = Transcript()
        for number in range(100):
            recorder.add(
                transcript.feed(number, "out", f"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: {number}\r\n\r\n".encode())
            )
        assert len(recorder.text()) < 2200
        recording = loads(recorder.text())
        assert recording.is_truncated
        assert 5 < len(recording.events) < 100


@pytest.mark.real
@pytest.mark.parametrize("variant", ["h264+aac", "h264-bframes"])
async def test_a_camera_of_gstreamers(gst_camera: Callable[..., GstCamera], tmp_path: Path, variant: str) -> None:
    camera = gst_camera(variant, auth="digest")
    session = await Session(camera.url).run(4)
    for secret in (USER, PASSWORD, "view%20er", "127.0.0.1"):
        assert secret not in session.text
    (tmp_path / "camera.rec").write_text(session.text)
    assert_alike(session, await replayed(load(tmp_path / "camera.rec")))


class TestReading:
    def test_what_it_says(self) -> None:
        recording = loads(
            HEAD
            + '{"at": 0, "connection": 0}\n{"at": 0, "way": "out", "text": "OPTIONS * RTSP/1.0\\r\\n\\r\\n"}\n'
            + '{"at": 0.5, "way": "in", "channel": 1, "data": "80c8 *3 01"}\n{"at": 1, "connection": 1}\n'
            + '{"at": 1, "way": "in", "socket": 2, "data": ""}\n{"at": 2, "way": "in", "data": "0d0a", "new": 1}\n'
            + '{"at": 2, "something": "new"}\n{"at": 3, "way": "in", "end": true}\n'
        )
        assert [(event.kind, event.data, event.channel, event.socket) for event in recording.events] == [
            ("message", b"OPTIONS * RTSP/1.0\r\n\r\n", None, None),
            ("packet", b"\x80\xc8\xaa\xaa\xaa\x01", 1, None),
            ("packet", b"", None, 2),
            ("bytes", b"\r\n", None, None),
            ("end", b"", None, None),
        ]
        assert [len(events) for events in recording.connections] == [2, 3]
        assert recording.url == "rtsp://camera.example/live"
        assert not recording.is_truncated

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "no recording"),
            ("\x00\xff", "line 1 of the recording is no JSON object"),
            ('{"format": "another"}', "no recording"),
            (HEAD.replace('"version": 1', '"version": 2'), "a later rtspkit"),
            (HEAD + "[]", "line 2 of the recording is no JSON object"),
            (HEAD + "[" * 100_000, "line 2 of the recording is no JSON object"),
            (HEAD + '{"way": "in"}', "has no time"),
            (HEAD + '{"at": -1, "way": "in"}', "has no time"),
            (HEAD + '{"at": 1e400, "way": "in"}', "has no time"),
            (HEAD + '{"at": 1, "way": "in"}', "neither text nor data"),
            (HEAD + '{"at": 1, "way": "in", "data": "0x"}', "not hexadecimal"),
            (HEAD + '{"at": 1, "way": "in", "data": "*9999999"}', "more than"),
            (HEAD + '{"at": 1, "way": "in", "data": "*x"}', "not hexadecimal"),
            (HEAD + '{"at": 1, "way": "in", "channel": 1, "data": "*65536"}', "a packet of 65536 bytes"),
            (HEAD + "{}\n" * 200_001, "lines"),
        ],
    )
    def test_what_is_none(self, text: str, message: str) -> None:
        with pytest.raises(LocalProtocolError, match=message):
            loads(text)

    def test_many_connections_cost_nothing(self) -> None:
        recording = loads(HEAD + '{"at": 0, "connection": 1000000000}\n{"at": 0, "way": "in", "end": true}\n')
        assert len(recording.connections) == 1

    def test_a_file_of_anything(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(bytes(range(256)))
        with pytest.raises(LocalProtocolError):
            load(tmp_path / "x")

    def test_nothing_to_replay(self) -> None:
        with pytest.raises(LocalProtocolError, match="nothing was recorded"):
            Replay(loads(HEAD))


def test_lines_are_json_and_ascii() -> None:
    recorder = Recorder(parse_url("rtsp://h/x"))
    recorder.add(Transcript().feed(1.0, "out", "OPTIONS rtsp://h/é RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode()))
    lines = recorder.text().splitlines()
    assert [json.loads(line).get("at") for line in lines] == [None, 0.0, 0.0]
    assert recorder.text().isascii()
    assert replace(loads(recorder.text()), events=()).software.startswith("rtspkit ")
