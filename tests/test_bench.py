"""The benches' own parts: what they read, what they say of it, and a small run of the Low-Latency bench."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
sys.path.insert(0, str(BENCH))

from harness import markdown, spread  # noqa: E402
from latency import PARTS, percentile  # noqa: E402
from marks import REMEMBERED, Log, mark_nal, serials  # noqa: E402
from measure import BenchError  # noqa: E402
from parked import Crowd  # noqa: E402
from returning import most_in  # noqa: E402
from viewer import media_playlists, next_address, parse_playlist, parse_reply  # noqa: E402

MULTIVARIANT = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="a",DEFAULT=YES,URI="sound.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=3000000,AUDIO="audio"
video.m3u8
"""
MEDIA = """#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init.mp4"
#EXT-X-GAP
#EXTINF:2.0,
gap.mp4
#EXT-X-PART:DURATION=0.2,URI="part_8_0.mp4",INDEPENDENT=YES
#EXTINF:2.0,
seg_8.mp4
"""
OPEN = '#EXT-X-PART:DURATION=0.2,URI="part_9_0.mp4"\n#EXT-X-PART:DURATION=0.2,URI="gap.mp4",GAP=YES\n'
HINT = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="part_9_2.mp4"\n'


class TestMarks:
    def test_serials_are_found_in_any_media_in_their_order(self) -> None:
        data = b"moof" + mark_nal(41) + b"\0\0\0\1slice" + mark_nal(2**32 - 1) + b"sound"
        assert serials(data) == [41, 2**32 - 1]

    def test_a_mark_is_sei_without_a_byte_to_escape(self) -> None:
        nal = mark_nal(0)
        assert nal[0] & 0x1F == 6
        assert nal[2] == len(nal) - 4
        assert b"\0\0" not in nal

    def test_the_log_knows_the_units_of_each_camera(self) -> None:
        log = Log(2)
        log.note(1, 5, 10.5)
        assert log.sent(1, 5) == 10.5
        assert log.sent(0, 5) is None
        assert log.sent(1, 5 + REMEMBERED) is None, "that unit was not sent yet"
        log.note(1, 5 + REMEMBERED, 50.0)
        assert log.sent(1, 5) is None, "forgotten"
        log.begin(0, 3.0, 17)
        assert log.began(0) == (3.0, 17)
        log.close()


class TestPlaylists:
    def test_a_gap_is_no_media(self) -> None:
        playlist = parse_playlist(MEDIA + OPEN + HINT)
        assert playlist.segments == ("seg_8.mp4",)
        assert playlist.parts == ("part_8_0.mp4", "part_9_0.mp4")
        assert playlist.hint == "part_9_2.mp4"

    @pytest.mark.parametrize(("text", "following"), [(MEDIA, (9, 0)), (MEDIA + OPEN, (9, 2))])
    def test_the_next_part(self, text: str, following: tuple[int, int]) -> None:
        found = parse_playlist(text).following
        assert found == following
        assert next_address("http://h/a", found) == f"http://h/a?_HLS_msn={found[0]}&_HLS_part={found[1]}"

    def test_nothing_to_fetch(self) -> None:
        with pytest.raises(BenchError):
            parse_playlist("#EXTM3U\n")

    def test_pictures_come_before_sound(self) -> None:
        assert media_playlists(MULTIVARIANT, "http://h/cam/index.m3u8") == [
            "http://h/cam/video.m3u8",
            "http://h/cam/sound.m3u8",
        ]


class TestReplies:
    REPLIES = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
    )

    @pytest.mark.parametrize("data", REPLIES, ids=["length", "chunked"])
    def test_whole_with_its_last_byte(self, data: bytes) -> None:
        assert all(parse_reply(data[:end]) is None for end in range(len(data)))
        reply = parse_reply(data)
        assert reply is not None
        assert (reply.status, reply.body) == (200, b"hello world")

    def test_cookies_keep_their_lines(self) -> None:
        reply = parse_reply(b"HTTP/1.1 302 Found\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n")
        assert reply is not None
        assert reply.headers["set-cookie"] == "a=1\nb=2"


@pytest.fixture
def halving_server() -> Iterator[int]:
    """Answers three connections, each in two pieces; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connections = [listener.accept()[0] for _ in range(3)]
            for _ in range(2):
                for connection in connections:
                    assert connection.recv(100)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
                for connection in connections:
                    connection.sendall(b"cd")
            for connection in connections:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


class TestCrowd:
    def test_a_reply_counts_when_it_is_whole(self, halving_server: int) -> None:
        crowd = Crowd("127.0.0.1", halving_server)
        try:
            crowd.connect(3, b"GET / HTTP/1.1\r\n\r\n")
            crowd.ask(b"GET / HTTP/1.1\r\n\r\n")
            replies = crowd.replies(3)
        finally:
            crowd.close()
        assert [reply.body for reply in replies] == [b"abcd"] * 3
        assert [reply.at for reply in replies] == sorted(reply.at for reply in replies)


class TestFigures:
    def test_percentiles(self) -> None:
        values = [float(value) for value in range(100, 0, -1)]
        assert (percentile(values, 50), percentile(values, 95)) == (51.0, 96.0)
        assert percentile([7.0], 95) == 7.0

    def test_most_in_a_span(self) -> None:
        assert most_in([3.0, 1.0, 1.05, 1.1, 2.0], 0.1) == 2
        assert most_in([1.0, 1.05, 1.09, 2.0], 0.1) == 3

    def test_median_and_range(self) -> None:
        assert (spread([3.0], 1), spread([3.0, 1.0, 2.0], 1)) == ("3.0", "2.0 (1.0-3.0)")

    def test_table(self) -> None:
        assert markdown([["a", "bb"], ["ccc", "d"]]) == "| a   | bb |\n|-----|----|\n| ccc | d  |"


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.usefixtures("ffmpeg")  # makes the cameras' media
@pytest.mark.parametrize("part", PARTS)
def test_low_latency_bench_runs(part: str) -> None:
    options = "--cameras 2 --seconds 2 --fill 0 --blocked 50 --part"
    command = [sys.executable, str(BENCH / "latency.py"), *options.split(), part]
    found = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "\n| rtspkit |" in found.stdout


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("options", ["", "--away 8 --gap 2"], ids=["dropped", "away until all have failed"])
def test_cameras_that_return_bench_runs(options: str) -> None:
    """Twenty of them, within ten seconds."""
    command = [sys.executable, str(BENCH / "returning.py"), "--cameras", "20", *options.split()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    after = re.search(r"all live after ([0-9.]+) s", found.stdout)
    assert after is not None
    assert float(after[1]) < 10
