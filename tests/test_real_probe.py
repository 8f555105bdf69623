"""`HlsProbe` sees what it is meant to see: a stream without fault passes, each fault is named."""

import struct
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

import httpx
import pytest
from real import decoders, mp4
from real.hlsprobe import HlsProbe

EPOCH = "0123456789abcdef0123456789abcdef"
START = 1_800_000_000


def box(kind, *content):
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def init_section(track=1, timescale=1000):
    tkhd = box(b"tkhd", bytes(12), struct.pack(">I", track), bytes(60), struct.pack(">II", 640 << 16, 360 << 16))
    mdhd = box(b"mdhd", bytes(12), struct.pack(">I", timescale), bytes(8))
    hdlr = box(b"hdlr", bytes(8), b"vide", bytes(13))
    stsd = box(b"stsd", bytes(8), box(b"avc1", bytes(20)))
    mdia = box(b"mdia", mdhd, hdlr, box(b"minf", box(b"stbl", stsd)))
    trex = box(b"trex", bytes(4), struct.pack(">5I", track, 1, 1000, 0, 0x10000))
    return box(b"ftyp", b"iso5") + box(b"moov", box(b"trak", tkhd, mdia), box(b"mvex", trex))


def segment(sequence, dts, *, sync=True, durations=(1000, 1000), track=1):
    samples = b"".join(
        struct.pack(">III", duration, 3, 0 if sync and not index else 0x10000)
        for index, duration in enumerate(durations)
    )
    trun = box(b"trun", struct.pack(">II", 0x700, len(durations)), samples)
    traf = box(
        b"traf", box(b"tfhd", struct.pack(">II", 0x20000, track)), box(b"tfdt", struct.pack(">IQ", 1 << 24, dts)), trun
    )
    return box(b"moof", box(b"mfhd", struct.pack(">II", 0, sequence)), traf) + box(b"mdat", b"abc" * len(durations))


class Origin:
    """A faultless stream of two-second segments that advances one segment a poll; faults are put in by subclassing."""

    window = 4

    def __init__(self):
        self.polls = 0

    def entry(self, msn):
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=2 * (msn - START))
        return [
            f"#EXT-X-PROGRAM-DATE-TIME:{moment.isoformat(timespec='milliseconds')}",
            "#EXTINF:2.00000,",
            f"{EPOCH}/seg_{msn}.mp4",
        ]

    def head(self, first):
        return ["#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{first}", f'#EXT-X-MAP:URI="{EPOCH}/init_0.mp4"']

    def media(self, msn):
        return 200, segment(msn - START + 1, 2000 * (msn - START))

    def headers(self, kind):
        control = {
            "m3u8": "max-age=0, s-maxage=1",
            "index": "public, max-age=10",
            "mp4": "public, max-age=3600, immutable",
        }
        return {
            "content-type": "video/mp4" if kind == "mp4" else "application/vnd.apple.mpegurl",
            "cache-control": control[kind],
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "Age, Date",
            "etag": '"1"',
        }

    def __call__(self, request):
        name = request.url.path.rpartition("/")[2]
        if name == "index.m3u8":
            inf = '#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1.42c01e",RESOLUTION=640x360,FRAME-RATE=25.000'
            return httpx.Response(200, text=f"#EXTM3U\n{inf}\nstream.m3u8\n", headers=self.headers("index"))
        if name == "stream.m3u8":
            first = START + self.polls
            self.polls += 1
            lines = ["#EXTM3U", "#EXT-X-VERSION:7", *self.head(first)]
            for msn in range(first, first + self.window):
                lines += self.entry(msn)
            return httpx.Response(200, text="\n".join(lines) + "\n", headers=self.headers("m3u8"))
        if name == "init_0.mp4":
            return httpx.Response(200, content=init_section(), headers=self.headers("mp4"))
        status, content = self.media(int(name[4:-4]))
        return httpx.Response(status, content=content, headers=self.headers("mp4"))


def probe(origin, polls=4, step=0.0):
    client = httpx.Client(transport=httpx.MockTransport(origin))
    with HlsProbe("http://camera/cam/index.m3u8", client=client) as reader:
        reader.open()
        for _ in range(polls):
            reader.poll()
            reader._changed -= step
        return reader


def test_no_fault_no_word():
    reader = probe(Origin())
    reader.check()
    assert sorted(reader.segments) == list(range(START, START + 7))
    assert reader.ticks(START + 2) == {"vide": 2.0}
    assert reader.statuses == {200: 1 + 4 + 1 + 7 + 3}


class BackwardsNumber(Origin):
    def head(self, first):
        return super().head(first if self.polls != 3 else first - 2)


class OtherTargetDuration(Origin):
    def head(self, first):
        return [*super().head(first)[1:], f"#EXT-X-TARGETDURATION:{2 + (self.polls > 2)}"]


class LongSegment(Origin):
    def entry(self, msn):
        return [line.replace("2.00000", "2.60000") for line in super().entry(msn)]


class ShortList(Origin):
    window = 2


class LateDiscontinuity(Origin):
    def entry(self, msn):
        return [*(["#EXT-X-DISCONTINUITY"] if msn == START + 3 else []), *super().entry(msn)]


class SlippedTime(Origin):
    def entry(self, msn):
        return [line.replace(":00.000", ":00.400").replace(":04.000", ":04.400") for line in super().entry(msn)]


class NoTime(Origin):
    def entry(self, msn):
        return super().entry(msn)[1:]


class Missing(Origin):
    def media(self, msn):
        return (404, b"") if msn == START + 4 else super().media(msn)


class GoneAtOnce(Origin):
    def media(self, msn):
        return (404, b"") if msn < START + self.polls - 1 else super().media(msn)


class Hole(Origin):
    def media(self, msn):
        return 200, segment(1, 2000 * (msn - START) + (msn > START + 1))


class NoSync(Origin):
    def media(self, msn):
        return 200, segment(1, 2000 * (msn - START), sync=False)


class WrongDuration(Origin):
    def media(self, msn):
        return 200, segment(1, 1900 * (msn - START), durations=(1000, 900))


class Torn(Origin):
    def media(self, msn):
        return 200, super().media(msn)[1][:-1]


class Renamed(Origin):
    def entry(self, msn):
        return [line.replace("/seg_", f"/seg_{self.polls}_") for line in super().entry(msn)]

    def __call__(self, request):
        request.url = request.url.copy_with(path=request.url.path.replace("/seg_", "/").replace("/init", "/init"))
        name = request.url.path.rpartition("/")[2]
        if name.count("_") == 1 and name[0].isdigit():
            return httpx.Response(200, content=self.media(int(name.split("_")[1][:-4]))[1], headers=self.headers("mp4"))
        return super().__call__(request)


class Ended(Origin):
    def head(self, first):
        return [*super().head(first), "#EXT-X-ENDLIST"]


class Cookie(Origin):
    def headers(self, kind):
        return {**super().headers(kind), "set-cookie": "a=b"}


class CachedTooLong(Origin):
    def headers(self, kind):
        return {**super().headers(kind), "cache-control": "public, max-age=60"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (BackwardsNumber, "media_sequence goes back"),
        (OtherTargetDuration, "EXT-X-TARGETDURATION was 2, is 3"),
        (LongSegment, "over EXT-X-TARGETDURATION"),
        (ShortList, "under three target durations"),
        (LateDiscontinuity, "discontinuity was"),
        (SlippedTime, "PROGRAM-DATE-TIME"),
        (NoTime, "without PROGRAM-DATE-TIME"),
        (Missing, "404 for a listed segment"),
        (GoneAtOnce, "404 for a segment that has just left"),
        (Hole, "the segment before ends at"),
        (NoSync, "no sync sample"),
        (WrongDuration, "its video lasts"),
        (Torn, "bad segment"),
        (Renamed, "uri was"),
        (Ended, "EXT-X-ENDLIST"),
        (Cookie, "cookie"),
        (CachedTooLong, "cache-control"),
    ],
)
def test_each_fault_is_named(fault, said):
    reader = probe(fault(), polls=5)
    assert [problem for problem in reader.problems if said in problem], reader.problems
    with pytest.raises(AssertionError):
        reader.check()


class Still(Origin):
    def __call__(self, request):
        self.polls = min(self.polls, 2)
        return super().__call__(request)


def test_a_stream_that_stands_still():
    assert not probe(Still(), polls=8).problems
    assert "no new segment" in "".join(probe(Still(), polls=8, step=1.5).problems)
    probe(Origin(), polls=8, step=1.5).check()


def test_boxes_must_add_up():
    with pytest.raises(ValueError, match="left over"):
        list(mp4.boxes(box(b"free") + b"123"))
    with pytest.raises(ValueError, match="has size"):
        list(mp4.boxes(struct.pack(">I4s", 20, b"free")))


@pytest.fixture
def ffmpeg_hls(tmp_path, ffmpeg):
    """Another maker's live playlist over HTTP, with the player page beside it; gives the directory's address."""
    web = tmp_path / "web"
    web.mkdir()
    for name in ("player.html", "player.js", "player.css", "hls.min.js"):
        (web / name).write_bytes((files("rtspkit.server.web") / name).read_bytes())
    maker = subprocess.Popen(
        [
            *("ffmpeg", "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"),
            *("-re", "-f", "lavfi", "-i", "sine=sample_rate=48000"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p"),
            *("-c:a", "aac", "-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", "1", "-hls_list_size", "4"),
            *("-hls_flags", "delete_segments+program_date_time+temp_file", "-master_pl_name", "index.m3u8"),
            str(web / "stream.m3u8"),
        ]
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=web))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        end = time.monotonic() + 20
        while not (web / "index.m3u8").exists() and time.monotonic() < end:
            time.sleep(0.2)
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        maker.terminate()
        maker.wait(10)


@pytest.mark.real
def test_the_hls_of_ffmpeg(ffmpeg_hls):
    """Read without complaint, down to the ticks; and by ffmpeg itself, which shows what it says of any playlist."""
    decoder = decoders.Decoder(f"{ffmpeg_hls}/index.m3u8", 5)
    with HlsProbe(f"{ffmpeg_hls}/index.m3u8", strict=False) as reader:
        reader.run(7)
    assert decoder.result().frames["video"] == pytest.approx(125, abs=2)
    reader.check()
    assert len(reader.segments) >= 6
    assert reader.ticks(max(reader.segments))["vide"] == pytest.approx(1)


@pytest.mark.real
def test_chromium_plays_the_hls_of_ffmpeg(ffmpeg_hls, player, tmp_path):
    """The page and the recorder, before the gateway has a part in it."""
    player.open(f"{ffmpeg_hls}/player.html")
    assert player.supports("h264")
    assert player.supports("aac")
    started = player.plays()
    player.wait(3)
    series = player.series(since=started)
    assert series[-1].position - series[0].position == pytest.approx(3, abs=0.8)
    assert player.size == (320, 180)
    assert player.events("playing")
    assert player.loads == 1
    assert not player.message
    assert not player.errors, player.errors
    assert player.screenshot(tmp_path / "page.png").stat().st_size > 2000
