"""A property of `DatagramDrain`: it gives what feeding the camera's own datagrams gives, whatever else comes."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from test_rtp_properties import SMALL, quick, visible
from test_rtp_reorder_properties import datagrams, receiver

from rtspkit.rtp import DatagramDrain, Receiver, track_stats


@quick
@given(datagrams(), st.integers(1, 5), st.integers(20, 400), st.lists(st.booleans(), min_size=1, max_size=20))
def test_drain_gives_what_feeding_gives(given_: Any, slots: int, size: int, foreign: list[bool]) -> None:
    tracks, steps, duration = given_
    steps = steps[:60]  # what a socket's buffer holds
    drained, fed = (receiver(Receiver, tracks, SMALL, duration) for _ in range(2))
    expected = [0] * len(tracks)
    with contextlib.ExitStack() as stack:

        def open_socket() -> socket.socket:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind(("127.0.0.1", 0))
            return sock

        ours = {(i, is_rtcp): open_socket() for i in range(len(tracks)) for is_rtcp in (False, True)}
        camera, stranger = open_socket(), open_socket()
        port = camera.getsockname()[1]
        for i in range(len(tracks)):
            drained.pin(i, "127.0.0.1", port, port)
        for number, (index, is_rtcp, data, _, _) in enumerate(steps):
            is_foreign = foreign[number % len(foreign)]
            (stranger if is_foreign else camera).sendto(data, ours[index, is_rtcp].getsockname())
            expected[index] += is_foreign
        drain = DatagramDrain(slots, size)
        found = 0
        for key, sock in ours.items():  # one to its end before the next, as they are fed below
            more = True
            while more:
                more = drain.drain(drained, [(sock.fileno(), *key)], 10**9)
                found += drain.packets
        assert found == len(steps)
    too_long = [0] * len(tracks)
    for key in ours:
        for number, (index, is_rtcp, data, _, _) in enumerate(steps):
            if (index, is_rtcp) != key or foreign[number % len(foreign)]:
                continue
            if len(data) > size:
                too_long[index] += 1
            else:
                fed.feed_datagram(index, is_rtcp, data, 10**9)
    for one in (drained, fed):
        one.finish()
    for i in range(len(tracks)):
        told, same = track_stats(drained, i), track_stats(fed, i)
        assert told == same._replace(foreign=expected[i], broken=same.broken + too_long[i])
    assert visible(drained, 0) == visible(fed, 0)
