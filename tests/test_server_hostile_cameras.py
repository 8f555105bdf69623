"""Cameras, and whoever is in between, that send what nobody should (faults R15 to R27), beside two healthy ones.

What is asserted of the healthy ones, and of the log, is in `hlsscene`. R22 is in `test_server_secure`, R23 in
`test_server_connecting`. The table of R24 is `data/cameras/challenges.json`, which `test_auth` goes through. R25 is
about an RTSP server of our own: there is none. R15, R16, R18, R26 and R27 are fuzzed, too: see
`test_messages_properties`, `test_rtp_properties`, `test_sdp_properties` and `test_rtsp_properties`.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hlsscene import ONCE, TCP, scene

from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.testing import ScriptedCamera
from rtspkit.testing.credentials import Credentials, Digest
from rtspkit.testing.faults import (
    LIES,
    SDP_BOMBS,
    Between,
    ContentLength,
    Describe,
    Endless,
    Fault,
    Flood,
    Header,
    Redirect,
    ShortBody,
    WrongLength,
)

pytestmark = pytest.mark.slow

#: What a camera may have sent before it was given up: the bound, and what waits in the sockets between.
MOST_SENT = 16 << 20


def slug(name: str) -> str:
    """As a path's name."""
    return re.sub(r"[^\w-]+", "-", name)


# -- R15: the length of a body --------------------------------------------------


async def test_lengths_that_are_none() -> None:
    reasons = {
        "-1": "a Content-Length that is not a number",
        "many": "a Content-Length that is not a number",
        "4294967296": "a body of 4294967296 bytes; at most 262144 are read",
        "262145": "a body of 262145 bytes; at most 262144 are read",
    }
    cameras = {value: ScriptedCamera(ContentLength(value=value)) for value in reasons}
    async with scene("quick", cameras, more=ONCE) as one:
        for value, reason in reasons.items():
            await one.failed(f"{reason} at byte .*", value)


# -- R16: no end of it ----------------------------------------------------------


async def test_answers_without_an_end() -> None:
    faults = {
        "a line of more than 4096 bytes": Endless("DESCRIBE", piece=b"x"),
        "more than 128 header lines": Endless("DESCRIBE"),
        "headers of more than 32768 bytes": Endless("DESCRIBE", piece=b"X-Header: " + 4000 * b"x" + b"\r\n"),
        "more than 65536 bytes that are neither .*": Endless("DESCRIBE", start=b"", piece=b"\xff"),
        r"\d+ bytes on channels nobody set up": Endless("DESCRIBE", start=b"", piece=b"$\x09\x05\x78" + bytes(1400)),
    }
    limits = replace(DEFAULT_LIMITS, unknown_channel_size=1 << 20)
    cameras = {slug(reason): ScriptedCamera(fault) for reason, fault in faults.items()}
    async with scene("quick", cameras, more=ONCE, limits=limits) as one:
        for reason, fault in faults.items():
            await one.failed(f"{reason}( at byte .*)?", slug(reason))
            assert fault.sent < MOST_SENT


# -- R17: a body that does not come ---------------------------------------------


async def test_a_body_that_does_not_come() -> None:
    async with scene("quick", ScriptedCamera(ShortBody()), more=ONCE) as one:
        await one.failed("HERE did not answer DESCRIBE within 2 s")


# -- R18: what is neither messages nor frames -----------------------------------


async def test_garbage_between_frames() -> None:
    cameras = {
        "little": ScriptedCamera(Between(b"\x00\xff\x01garbage\xfe")),
        "length": ScriptedCamera(WrongLength(by=7, every=50)),
        "much": ScriptedCamera(Between(b"\xff" * 70_000, connections=(1,))),
    }
    async with scene("quick", cameras, more=TCP) as one:
        await one.lost(r"no RTSP message or interleaved frame within 65536 bytes at byte \d+", "much")
        await one.live(*cameras)
        viewers = [one.viewer(name) for name in cameras]
        for viewer in viewers:
            await viewer.plays()
        health = {name: (await one.api(name))["health"] for name in cameras}
        assert health["little"]["resyncs"] > 50
        assert health["little"]["tracks"][0]["lost"] == 0
        assert health["length"]["resyncs"] > 0
        assert cameras["much"].connections == 2
        assert cameras["little"].connections == 1
        assert "TEARDOWN" in cameras["much"].methods(1)


# -- R19: channels that nobody has set up ---------------------------------------


async def test_frames_on_channels_that_nobody_has_set_up() -> None:
    """Passed over and counted; at 64 MB (here: one) the connection ends."""
    cameras = {"little": ScriptedCamera(Flood(count=1)), "much": ScriptedCamera(Flood(count=40, connections=(1,)))}
    limits = replace(DEFAULT_LIMITS, unknown_channel_size=1 << 20)
    async with scene("quick", cameras, more=TCP, limits=limits) as one:
        await one.lost(r"more than 1048576 bytes on interleaved channels that were never set up at byte \d+", "much")
        await one.live(*cameras)
        viewers = [one.viewer(name) for name in cameras]
        for viewer in viewers:
            await viewer.plays()
        little = (await one.api("little"))["health"]
        assert 50_000 < little["unknownBytes"] <= 1 << 20
        assert little["tracks"][0]["lost"] == 0
        assert [cameras[name].connections for name in ("little", "much")] == [1, 2]
        assert "TEARDOWN" in cameras["much"].methods(1)
    assert DEFAULT_LIMITS.unknown_channel_size == 64 << 20


# -- R20: redirected for ever ---------------------------------------------------


async def test_a_redirect_that_leads_back() -> None:
    async with scene("quick", ScriptedCamera(Redirect()), more=TCP) as one:
        await one.failed("HERE redirects more than 3 times")
        tries = one.path._retry.failures
        assert 4 * tries <= one.camera.methods().count("DESCRIBE") <= 4 * tries + 4
        assert tries < 20


# -- R21: redirected elsewhere --------------------------------------------------


async def test_credentials_go_to_nobody_else() -> None:
    """Not by redirects, and not by what a description says; and no other host is asked unless that is allowed."""
    secret = Digest(password="hunter22")
    async with (
        ScriptedCamera(credentials=Digest(password="hunter22")) as port,
        ScriptedCamera(credentials=Digest(password="hunter22"), host="127.0.0.2") as host,
        ScriptedCamera(host="127.0.0.3") as forbidden,
        ScriptedCamera(host="127.0.0.3") as open_host,
    ):
        absolute = f"a=control:{forbidden.url}/trackID="
        faults: dict[str, list[Fault]] = {
            "port": [Redirect(location=port.url)],
            "forbidden": [Redirect(location=forbidden.url)],
            "host": [Redirect(location=host.url)],
            "open": [Redirect(location=open_host.url.replace("://", "://someone:else@"))],
            "control": [Describe(lambda sdp: sdp.replace(b"a=control:trackID=", absolute.encode()))],
            "base": [Header("DESCRIBE", name="Content-Base", value=f"{forbidden.url}/")],
        }
        cameras = {name: ScriptedCamera(*some, credentials=secret) for name, some in faults.items()}
        own = dict.fromkeys(("host", "open"), "    allowRedirectHosts: yes\n")
        async with scene("quick", cameras, more=ONCE, own=own) as one:
            text = "HERE redirects to {0}, which asks for a user name and a password: those for HERE do not go there"
            await one.failed(text.format(f"127.0.0.1:{port.port}"), "port")
            await one.failed(text.format(f"127.0.0.2:{host.port}"), "host")
            text = "HERE redirects to another host, "
            text += rf"127.0.0.3:{forbidden.port}; use that as the source, or allow it \(allowRedirectHosts\)"
            await one.failed(text, "forbidden")
            await one.live("open", "control", "base")
        assert forbidden.connections == 0
        for other in (port, host, open_host):
            assert other.requests
            assert not any("authorization" in seen.headers for seen in other.requests)
        for camera in cameras.values():
            assert any("authorization" in seen.headers for seen in camera.requests)
            for seen in camera.requests:
                assert seen.uri.startswith(camera.url)


# -- R24: challenges ------------------------------------------------------------


async def test_forms_of_digest() -> None:
    forms: dict[str, Credentials] = {
        name: Digest(password="hunter22", **fields)
        for name, fields in {
            "md5": {},
            "md5-sess": {"algorithm": "MD5-sess"},
            "sha-256": {"algorithm": "SHA-256", "opaque": "o, p=q"},
            "old": {"qop": None},
            "userhash": {"algorithm": "SHA-256", "userhash": True},
            "commas": {"realm": "a, nonce=b, c"},
            "stale": {"nonce_life": 1},
        }.items()
    }
    cameras = {name: ScriptedCamera(credentials=form) for name, form in forms.items()}
    async with scene("quick", cameras, more=ONCE) as one:
        await one.live(*cameras)
        assert {camera.connections for camera in cameras.values()} == {1}


# -- R26: descriptions ----------------------------------------------------------


async def test_descriptions_that_are_too_much() -> None:
    """What can be played is played; what is larger than 64 kB (and its message, than 256 kB) is not read."""
    refused = {
        "10000 media": r"an SDP of \d+ bytes; at most 65536 are read",
        "a line of 1 MB": r"a body of \d+ bytes; at most 262144 are read at byte \d+ .*",
    }
    cameras = {slug(name): ScriptedCamera(Describe(bomb)) for name, bomb in SDP_BOMBS.items()}
    async with scene("quick", cameras, more=ONCE) as one:
        await one.live(*(slug(name) for name in SDP_BOMBS if name not in refused))
        for name, reason in refused.items():
            await one.failed(reason, slug(name))
        for name, camera in cameras.items():
            if one.find(name).state == "live":
                assert [track.kind for track in one.find(name).tracks] == ["video", "audio"]
                assert camera.connections == 1


# -- R27: lies ------------------------------------------------------------------


def lying(header: str, lie: Callable[[str], str]) -> Header:
    return Header("PLAY" if header == "RTP-Info" else "SETUP", name=header, value=lie)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_headers_that_cannot_be_relied_on(transport: str) -> None:
    """It plays all the same, from where it was connected to, on what was asked for."""
    cameras = {
        slug(f"{header} {name}"): ScriptedCamera(lying(header, lie))
        for header, lies in LIES.items()
        for name, lie in lies.items()
        if transport == "tcp" or header == "Transport"
    }
    async with scene("quick", cameras, more="sourceTries: 1\n", own=f"    rtspTransport: {transport}\n") as one:
        await one.live(*cameras)
        for name, camera in cameras.items():
            health: dict[str, Any] = (await one.api(name))["health"]
            assert camera.connections == 1
            assert health["transport"] == transport
            assert [track["lost"] for track in health["tracks"]] == [0, 0]
