"""Retries: which pause follows which trouble; no clock runs here."""

import pytest

from rtspkit.errors import (
    AuthenticationError,
    ConnectionLost,
    RemoteProtocolError,
    ResponseError,
    TimeoutExceeded,
    UnsupportedError,
)
from rtspkit.server.retry import Retry, RetryPolicy, Trouble, classify


def pauses(trouble: Trouble, count: int, retry: Retry | None = None, **options: bool) -> list[float]:
    """The pauses after so many failures in a row, none of which takes any time itself."""
    retry = retry or Retry(RetryPolicy())
    return [retry.failed(trouble, 0.0, **options) for _ in range(count)]


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (AuthenticationError("no", status=401), "refused"),
        (ResponseError("no", status=453), "busy"),
        (ResponseError("no", status=403), "busy"),
        (ResponseError("no", status=503), "busy"),
        (ResponseError("no", status=454), "stale"),
        (ResponseError("no", status=404), "lost"),
        (ResponseError("no", status=500), "lost"),
        (UnsupportedError("no"), "unusable"),
        (ConnectionLost("no"), "lost"),
        (TimeoutExceeded("no"), "lost"),
        (RemoteProtocolError("no"), "lost"),
        (OSError("no"), "lost"),
        (ZeroDivisionError("no"), "lost"),
    ],
)
def test_what_kind_of_trouble_it_is(error: Exception, trouble: str) -> None:
    assert classify(error) == trouble


def test_back_off_has_full_jitter_up_to_its_limit() -> None:
    rows = list(zip(*(pauses("lost", 11) for _ in range(200)), strict=True))
    for number, longest in {1: 0.5, 2: 0.5, 3: 1.0, 4: 2.0, 6: 8.0, 8: 30.0, 11: 30.0}.items():
        row = rows[number - 1]
        assert max(row) <= longest
        assert max(row) > longest * 0.8
        assert min(row) < longest * 0.2


def test_viewers_on_the_playlist_wait_for_shorter_pauses() -> None:
    rows = list(zip(*(pauses("lost", 11, is_watched=True) for _ in range(200)), strict=True))
    assert 4.0 < max(rows[-1]) <= 5.0


def test_every_time_can_be_set() -> None:
    policy = RetryPolicy(tries=2, try_pause=3.0, pause=7.0, pause_max=20.0, pause_gap=9.0)
    rows = list(zip(*(pauses("lost", 5, Retry(policy)) for _ in range(200)), strict=True))
    for row, longest in zip(rows, (3.0, 7.0, 14.0, 20.0, 20.0), strict=True):
        assert longest * 0.8 < max(row) <= longest


def test_a_first_pause_that_is_longer_than_the_longest() -> None:
    """Whoever asks for a minute between tries is not to get half a minute."""
    rows = list(zip(*(pauses("lost", 6, Retry(RetryPolicy(pause=60.0))) for _ in range(200)), strict=True))
    assert 50.0 < max(rows[2]) <= 60.0
    assert 50.0 < max(rows[5]) <= 60.0


def test_it_gives_up_after_its_tries() -> None:
    retry = Retry(RetryPolicy(tries=3))
    given_up = []
    for _ in range(4):
        retry.failed("lost", 0.0)
        given_up.append(retry.has_given_up)
    assert given_up == [False, False, True, True]
    retry.begin()
    assert (retry.failures, retry.has_given_up) == (0, False)


def test_pauses_after_refusals_are_long_from_the_second_on() -> None:
    retry = Retry(RetryPolicy())
    assert retry.failed("refused", 0.0) <= 0.5
    assert not retry.has_given_up
    for number in range(9):
        pause = retry.failed("refused", 0.0)
        longest = min(600.0, 60.0 * 2**number)
        assert longest / 2 <= pause <= longest
        assert retry.has_given_up


def test_refused_credentials_wait_whoever_wants_the_camera() -> None:
    retry = Retry(RetryPolicy(refused_pause=10.0))
    retry.failed("refused", 100.0)
    assert retry.refused_for(100.0) == 0.0
    pause = retry.failed("refused", 100.0)
    retry.begin()  # a viewer comes
    assert retry.refused_for(100.0) == pytest.approx(pause)
    assert retry.refused_for(100.0 + pause) == 0.0
    pause = retry.failed("refused", 200.0)
    assert 10.0 <= pause <= 20.0  # and it is not the first refusal again
    retry.succeeded()
    assert retry.refused_for(200.0) == 0.0
    assert retry.failed("refused", 300.0) <= 0.5


def test_other_trouble_after_refusals_is_not_punished_like_them() -> None:
    retry = Retry(RetryPolicy())
    pauses("refused", 3, retry)
    assert retry.failed("lost", 1000.0) <= 2.0


def test_a_camera_without_room_is_left_alone_for_longer() -> None:
    retry = Retry(RetryPolicy())
    found = pauses("busy", 5, retry)
    for pause, longest in zip(found, (5.0, 10.0, 20.0, 30.0, 30.0), strict=True):
        assert longest / 2 <= pause <= longest
    retry.succeeded()
    assert retry.failed("busy", 0.0) <= 5.0


def test_a_camera_without_room_is_left_alone_even_where_pauses_are_short() -> None:
    assert min(pauses("busy", 8, Retry(RetryPolicy(pause=0.1, pause_max=0.1)))) >= 2.5


def test_a_stale_session_is_followed_by_a_new_one_at_once_once() -> None:
    retry = Retry(RetryPolicy(tries=1, pause=1e9))
    assert retry.failed("stale", 0.0) == 0.0
    assert retry.failed("stale", 0.0) > 0.0
    assert retry.failed("lost", 0.0) > 0.0
    assert retry.failed("stale", 0.0) == 0.0


def test_nothing_usable_is_given_up_at_once() -> None:
    retry = Retry(RetryPolicy())
    first = retry.failed("unusable", 0.0)
    assert retry.has_given_up
    assert first <= 1.0
    assert max(pauses("unusable", 200, retry)) > 20.0


def test_a_camera_that_flaps_is_not_hammered() -> None:
    retry = Retry(RetryPolicy())
    found = []
    for _ in range(50):
        retry.succeeded()
        found.append(retry.failed("lost", 0.0, lived=5.0, is_watched=True))
    assert max(found) > 3.0


def test_long_media_forgive_earlier_failures() -> None:
    retry = Retry(RetryPolicy(stable=60.0))
    pauses("lost", 9, retry)
    retry.failed("lost", 0.0, lived=59.0)
    assert retry.failures == 10
    retry.failed("lost", 0.0, lived=60.0)
    assert retry.failures == 1
