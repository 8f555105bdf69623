"""`rtspkit.reports`: sender reports that are the track's and those that are not, and our answers."""

import struct

import pytest
from rtp_camera import IDR, Camera

from rtspkit.packetizer import bye, ntp_timestamp, sender_report
from rtspkit.reports import Reports

WALL = 1.7e9
OURS = 0xABCD


class Session:
    """A camera whose first picture came at second 0, and the reports about it."""

    def __init__(self) -> None:
        self.camera = Camera()
        self.camera.picture(IDR, at=0.0, now=0)
        self.ssrc = self.camera.video.ssrc
        self.reports = Reports(self.camera.receiver, OURS)
        self.reports.begin(1, 100.0)

    def take(self, at: float, clock: float, *, ssrc: int | None = None):
        """A report of second `at` of the media, that calls it `clock`; `WALL` is when the media began."""
        ssrc = self.ssrc if ssrc is None else ssrc
        timestamp = round(at * 90000) & 0xFFFFFFFF
        packet = sender_report(ssrc=ssrc, ntp=ntp_timestamp(clock), timestamp=timestamp, packet_count=0, octet_count=0)
        return self.reports.take(0, packet, now=100.0 + at)


def test_a_report_of_the_track():
    news = Session().take(1.0, WALL + 3.0)
    assert [report.wall_clock for report in news.sender_reports] == pytest.approx([WALL + 3.0])
    assert not news.is_bye


def test_reports_of_others_and_noise():
    session = Session()
    assert session.take(1.0, WALL, ssrc=session.ssrc + 1).sender_reports == ()
    assert session.reports.take(0, b"\x80\xc8\xff", now=101.0).sender_reports == ()


def test_goodbye_of_the_source_and_of_another():
    session = Session()
    assert session.reports.take(0, bye(session.ssrc), now=101.0).is_bye
    assert not session.reports.take(0, bye(session.ssrc + 1), now=101.0).is_bye


def test_an_answer_for_what_has_come():
    session = Session()
    assert session.reports.due == 110.0
    session.take(1.0, WALL)
    ((index, packet),) = session.reports.make(103.0)
    assert index == 0
    reporter, source = struct.unpack_from("!II", packet, 4)
    last_sr, delay = struct.unpack_from("!II", packet, 24)
    assert (reporter, source) == (OURS, session.ssrc)
    assert (last_sr, delay) == (ntp_timestamp(WALL) >> 16 & 0xFFFFFFFF, 2 * 65536)
    assert session.reports.due == 113.0
    assert session.reports.make(113.0) == []  # nothing has come since
    session.camera.picture(IDR, at=20.0)
    assert len(session.reports.make(123.0)) == 1
