"""`rtspkit.liveness`: how long media may stay away, and BYE."""

import math

from rtspkit.liveness import BYE_GRACE, Liveness


def watching(media_timeout: float = 10.0) -> Liveness:
    liveness = Liveness(media_timeout)
    liveness.restart(100.0)
    return liveness


def test_nothing_is_due_before_it_plays():
    assert Liveness(10.0).due == math.inf


def test_media_that_never_come():
    liveness = watching()
    assert liveness.due == 110.0
    assert liveness.verdict(109.9, 0.0, is_paused=False) is None
    assert liveness.verdict(110.0, 0.0, is_paused=False) == "silent"


def test_each_packet_buys_time():
    liveness = watching()
    assert liveness.verdict(109.0, 108.0, is_paused=False) is None
    assert liveness.due == 118.0
    assert liveness.verdict(118.0, 108.0, is_paused=False) == "silent"


def test_who_does_not_read_cannot_complain():
    liveness = watching()
    assert liveness.verdict(500.0, 101.0, is_paused=True) is None
    assert liveness.verdict(509.9, 101.0, is_paused=False) is None
    assert liveness.verdict(510.0, 101.0, is_paused=False) == "silent"


def test_a_goodbye_that_is_meant():
    liveness = watching()
    liveness.bye(103.0)
    assert liveness.due == 103.0 + BYE_GRACE
    assert liveness.verdict(104.0, 102.9, is_paused=False) is None
    liveness.bye(104.5)  # said again: it counts from the first time
    assert liveness.verdict(105.0, 102.9, is_paused=False) == "bye"
    assert liveness.how == "RTCP BYE"


def test_the_first_goodbye_is_the_one_that_is_told():
    liveness = watching()
    liveness.bye(103.0, "454 to a keep-alive")
    liveness.bye(104.0)
    assert liveness.verdict(105.0, 102.9, is_paused=False) == "bye"
    assert liveness.how == "454 to a keep-alive"


def test_a_goodbye_that_is_not_meant():
    liveness = watching()
    liveness.bye(103.0)
    assert liveness.verdict(104.0, 103.5, is_paused=False) is None
    assert liveness.verdict(106.0, 105.9, is_paused=False) is None
    assert liveness.due == 115.9
