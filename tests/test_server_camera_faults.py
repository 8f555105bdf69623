"""Cameras that are slow, silent, cut off or out of step (faults R03 to R14), while two healthy ones run beside them.

What is asserted of the healthy ones, and of the log, is in `hlsscene`. R01, R02, R08, R11, R12 and R23 are
in `test_server_connecting`; what cameras send on purpose (R15 to R27) is in `test_server_hostile_cameras`.
"""

import re
import socket
import time
from dataclasses import dataclass, field

import pytest
from hlsscene import ONCE, TCP, pictures_of, scene, until

from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.packetizer import bye
from rtspkit.server.config import load_text_config
from rtspkit.server.gateway import Gateway
from rtspkit.testing import Client, ScriptedCamera, clip
from rtspkit.testing.credentials import Digest
from rtspkit.testing.faults import (
    Ask,
    Bye,
    CSeq,
    Drip,
    Fault,
    Foreign,
    Freeze,
    HangUp,
    Header,
    Mute,
    NeverAnswer,
    Refuse,
    SessionTimeout,
)

pytestmark = pytest.mark.slow

# -- R03: accepts connections, and never answers --------------------------------


async def test_a_request_that_is_not_answered() -> None:
    cameras = {method: ScriptedCamera(NeverAnswer(method)) for method in ("OPTIONS", "DESCRIBE", "SETUP", "PLAY")}
    async with scene("quick", cameras, more=ONCE) as one:
        for method, camera in cameras.items():
            await one.failed(f"HERE did not answer {method} within 2 s", method)
            assert camera.methods(1).count(method) == 1
        asked = next(seen.at for seen in cameras["OPTIONS"].requests)
        assert time.monotonic() - asked > 1.9
        await cameras["PLAY"].wait_for("TEARDOWN")


def test_how_long_a_camera_has_to_answer() -> None:
    for setting, seconds in (("", 5.0), ("readTimeout: 30s\n", 5.0), ("readTimeout: 3s\n", 3.0)):
        gateway = Gateway(load_text_config(f"{setting}paths:\n  cam:\n".encode(), "test"))
        path = gateway.paths.find("cam")
        assert path is not None
        assert path.source.options.limits.reply_timeout == seconds
    assert DEFAULT_LIMITS.connect_timeout == 10.0


async def test_a_camera_that_takes_its_time_over_each_answer() -> None:
    """All of them together take longer than one of them may."""
    async with scene("quick", ScriptedCamera(Drip(seconds=0.7, size=1 << 20)), more=ONCE) as one:
        await one.live()
        assert one.camera.connections == 1
        seen = one.camera.requests
        assert seen[-1].at - seen[0].at > 2


# -- R04: a byte now and then ---------------------------------------------------


async def test_answers_byte_by_byte() -> None:
    async with scene("quick", ScriptedCamera(Drip(seconds=0.5)), more=ONCE) as one:
        await one.failed("HERE did not answer OPTIONS within 2 s")


# -- R05: half-open after PLAY --------------------------------------------------


async def test_nothing_comes_any_more_and_nobody_says_so() -> None:
    async with scene("quick", ScriptedCamera(), more=f"readTimeout: 2s\n{TCP}") as one:
        viewer = one.viewer()
        await viewer.plays()
        discontinuities, epoch = viewer.discontinuities, viewer.epoch
        camera = one.path.source.camera
        assert camera is not None
        assert camera._link is not None
        sock = camera._link._sock
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 20_000
        one.camera.faults.append(Freeze(connections=(1,)))
        frozen = time.monotonic()
        await until(lambda: one.path.state == "gap", 5)
        assert time.monotonic() - frozen > 1.9
        item = await one.api()
        assert item["state"] == "gap"
        assert item["stateReason"] == f"the camera is lost: 127.0.0.1:{one.camera.port} sends no media any more (RTP)"
        await one.live()
        await viewer.plays()
        assert any("gap" in text for text in viewer.texts)
        assert set(viewer.statuses) == {200}
        assert (viewer.discontinuities, viewer.epoch) == (discontinuities + 1, epoch)
        assert viewer.audit.violations == []
        assert "TEARDOWN" in one.camera.methods(1)


async def test_what_a_camera_sent_last_comes_before_the_gap() -> None:
    """Its last media, of a fragment that nothing ends, are shown; they do not come in the midst of the gap."""
    async with scene("plain", ScriptedCamera(), more=f"readTimeout: 6s\n{TCP}") as one:
        viewer = one.viewer()
        await viewer.plays()
        discontinuities = viewer.discontinuities
        one.camera.faults.append(Freeze(connections=(1,)))
        await until(lambda: one.path.state == "gap", 10)
        await one.live()
        await viewer.plays()
        assert viewer.discontinuities == discontinuities + 1
        assert any("gap" in text for text in viewer.texts)
        assert viewer.audit.violations == []


# -- R06: RTCP, and no RTP ------------------------------------------------------


@dataclass(eq=False)
class Reports(Fault):
    """Not a fault: when sender reports were sent."""

    sent: list[float] = field(default_factory=list)

    def silences(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        self.sent.append(time.monotonic())
        return False


async def test_reports_are_no_media() -> None:
    """Nor does an answered keep-alive count."""
    reports = Reports()
    camera = ScriptedCamera(Mute(after=30, connections=(1,)), SessionTimeout(2), reports)
    async with scene("quick", camera, more=f"readTimeout: 4s\n{TCP}") as one:
        await until(lambda: one.path.state == "gap")
        lost = time.monotonic()
        assert one.path.reason.endswith("sends no media any more (RTP)")
        assert sum(lost - 3.5 < at < lost for at in reports.sent) >= 1
        assert camera.methods(1).count("GET_PARAMETER") >= 2
        await one.live()
        assert "TEARDOWN" in camera.methods(1)


# -- R07: the end in the middle of a frame --------------------------------------


async def test_the_end_in_the_middle_of_a_frame() -> None:
    reasons = {"reset": "dropped the connection: connection reset by peer", "closed": "closed the connection"}
    cameras = {
        name: ScriptedCamera(HangUp(after=100, reset=name == "reset", inside=True, connections=(1,)))
        for name in reasons
    }
    async with scene("plain", cameras, more=TCP) as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for name, camera in cameras.items():
            viewer = viewers[name]
            await one.lost(f"HERE {reasons[name]}", name)
            await one.live(name)
            assert camera.connections == 2
            await viewer.plays()
            await viewer.until(lambda seen=viewer: "#EXT-X-DISCONTINUITY\n" in seen.text)
            pictures = await one.pictures(viewer)
            assert len(pictures) > 40
            assert set(pictures) <= pictures_of(camera)
            assert set(viewer.statuses) == {200}
            assert viewer.audit.violations == []


# -- R09: keep-alives that are refused ------------------------------------------


async def test_keepalives_that_are_refused() -> None:
    """No session is given up for it; the next is another request, where there is one that is answered."""
    tapo = [Refuse("GET_PARAMETER", 400, "Bad Request"), CSeq("GET_PARAMETER", value="1")]
    cameras = {
        "tapo": ScriptedCamera(*tapo, SessionTimeout(2)),
        "anything": ScriptedCamera(*(Refuse(method) for method in ("OPTIONS", "GET_PARAMETER")), SessionTimeout(2)),
        "silent": ScriptedCamera(NeverAnswer("GET_PARAMETER"), SessionTimeout(2)),
        "numbers": ScriptedCamera(CSeq(value="1"), SessionTimeout(2)),
        "none": ScriptedCamera(CSeq(), SessionTimeout(2)),
    }
    async with scene("quick", cameras, more=f"readTimeout: 2s\n{TCP}") as one:

        def kept(name: str) -> list[str]:
            """What was asked after PLAY."""
            methods = cameras[name].methods()
            return methods[methods.index("PLAY") + 1 :] if "PLAY" in methods else []

        await until(lambda: all(len(kept(name)) >= 3 for name in cameras))
        for name, camera in cameras.items():
            assert (one.find(name).state, camera.connections) == ("live", 1), name
            assert "TEARDOWN" not in camera.methods()
            assert set(kept(name)) <= {"GET_PARAMETER", "OPTIONS", "SET_PARAMETER"}
        assert kept("tapo")[:3] == ["GET_PARAMETER", "OPTIONS", "OPTIONS"]
        assert kept("silent")[:2] == ["GET_PARAMETER", "OPTIONS"]
        assert set(kept("numbers")) == set(kept("none")) == {"GET_PARAMETER"}
        assert len(set(kept("anything"))) >= 2


# -- R10: another nonce in the middle of a session ------------------------------


class Unmarked(Digest):
    """Does not say that it is only the nonce."""

    def challenge(self, authorization: str) -> str:
        return super().challenge(authorization).replace(", stale=true", "")


async def test_another_nonce_in_the_middle_of_a_session() -> None:
    """A keep-alive is said once more with the new one; what is refused then was an answer all the same."""
    forms = {"stale": Digest(password="hunter22"), "unmarked": Unmarked(password="hunter22")}
    forms["always"] = Digest(password="hunter22", nonce_life=1)
    forms["changed"] = Digest(password="hunter22")
    cameras = {name: ScriptedCamera(SessionTimeout(2), credentials=form) for name, form in forms.items()}
    async with scene("quick", cameras, more=TCP) as one:
        await one.live(*cameras)
        since = {name: len(camera.requests) for name, camera in cameras.items()}
        for name in ("stale", "unmarked"):
            forms[name].renew()
        forms["changed"].password = "something else"

        def nonces(name: str) -> list[str]:
            """Of the keep-alives since."""
            told = (seen.headers["authorization"] for seen in cameras[name].requests[since[name] :])
            return [re.findall(r'nonce="(\w+)"', value)[0] for value in told]

        await until(lambda: all(len(nonces(name)) >= 3 for name in cameras))
        for name, camera in cameras.items():
            assert (one.find(name).state, camera.connections) == ("live", 1), name
        for name in ("stale", "unmarked"):
            old, *new = nonces(name)
            assert set(new) == {forms[name]._nonce} != {old}
        requests = cameras["changed"].requests
        first = requests[since["changed"]].at
        assert sum(seen.at < first + 0.5 for seen in requests[since["changed"] :]) <= 2


# -- R13: datagrams of others ---------------------------------------------------


async def test_datagrams_of_others() -> None:
    """Another host; another port of the same; and a camera that does not say which port is its own."""

    def silent(value: str) -> str:
        return re.sub(r";server_port=[\d-]+", "", value)

    cameras = {
        "host": ScriptedCamera(Foreign("127.0.0.2")),
        "port": ScriptedCamera(Foreign("127.0.0.1")),
        "unknown": ScriptedCamera(Foreign("127.0.0.2"), Header("SETUP", name="Transport", value=silent)),
    }
    async with scene("plain", cameras, own="    rtspTransport: udp\n") as one:
        viewers = {name: one.viewer(name) for name in cameras}
        for name, viewer in viewers.items():
            await viewer.plays()
            (video, _) = (await one.api(name))["health"]["tracks"]
            assert (video["lost"], video["broken"], video["restarts"]) == (0, 0, 0), name
            assert video["foreign"] > 50
            pictures = await one.pictures(viewer)
            assert len(pictures) > 20
            assert set(pictures) <= pictures_of(cameras[name])
            assert cameras[name].connections == 1


# -- R14: what a camera asks ----------------------------------------------------


@dataclass(eq=False)
class Goodbye(Fault):
    """Says BYE with each access unit, and goes on."""

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        client.carriers[track].send([bye(camera.ssrc(track))], is_rtcp=True)
        return packets


async def test_requests_of_the_camera() -> None:
    """What only wants an answer gets it; an end of the session is one, and another session follows."""
    asked = {"options": "OPTIONS", "announce": "ANNOUNCE", "parameter": "GET_PARAMETER", "strange": "DANCE"}
    ended = {"teardown": "TEARDOWN", "redirect": "REDIRECT", "bye": "RTCP BYE"}
    cameras = {name: ScriptedCamera(Ask(method, after=30)) for name, method in asked.items()}
    elsewhere = {"Location": "rtsp://127.0.0.1:1/"}
    cameras |= {
        name: ScriptedCamera(Ask(method, after=30, headers=elsewhere, connections=(1,)))
        for name, method in ended.items()
        if name != "bye"
    }
    cameras["goodbye"] = ScriptedCamera(Goodbye())
    cameras["bye"] = ScriptedCamera(Bye(after=30, connections=(1,)))
    async with scene("quick", cameras, more=TCP) as one:
        for name in asked:
            await until(lambda camera=cameras[name]: camera.answers)
            (answer,) = cameras[name].answers
            assert answer.status == (501 if name == "strange" else 200)
            assert answer.headers.get("CSeq") == "77"
        for name, method in ended.items():
            await one.lost(rf"HERE ended the session \({method}\)", name)
        await one.live(*cameras)
        for name, camera in cameras.items():
            assert camera.connections == (2 if name in ended else 1), name
            assert ("TEARDOWN" in camera.methods(1)) is (name in ended)


def test_the_clip_has_pictures_of_its_own() -> None:
    """Else nothing could be told from what was sent."""
    assert len(pictures_of(ScriptedCamera())) == len(clip().tracks[0].units)
