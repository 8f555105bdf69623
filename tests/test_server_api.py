"""The control API: its shapes, its pages, and whom it refuses."""

import json
from dataclasses import fields
from typing import Any

import httpx
import pytest
from test_server_paths import AUDIO, SOURCE, VIDEO, FakeCamera, FakeNetwork, running, until

from rtspkit._version import __version__
from rtspkit.client import connect
from rtspkit.health import CameraHealth, Timings, TrackHealth
from rtspkit.server.api import create_api, health_item
from rtspkit.server.config import PathConfig
from rtspkit.server.manager import PathManager
from rtspkit.testing import ScriptedCamera

FIELDS = [
    *("name", "confName", "ready", "readyTime", "available", "availableTime", "online", "onlineTime"),
    *("source", "tracks", "tracks2", "readers", "inboundBytes", "outboundBytes", "inboundFramesInError"),
    *("bytesReceived", "bytesSent", "state", "stateReason", "nextTry", "sourceURL", "health"),
]


def client(manager: PathManager, peer: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
    app = create_api(manager, address="127.0.0.1:9997", **options)
    transport = httpx.ASGITransport(app=app, client=(peer, 1234))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9997")


def idle(*names: str) -> PathManager:
    """Paths that never start."""
    return PathManager({name: PathConfig(source=SOURCE) for name in names}, connect=FakeNetwork().connect)


async def test_a_live_path() -> None:
    network = FakeNetwork()
    network.answer = lambda: FakeCamera((VIDEO, AUDIO), ("track 2 (PCMU)",))
    async with running(network) as (manager, path), client(manager) as api:
        (await network.camera()).send(3)
        path.admit("192.0.2.9", "browser")
        item = (await api.get("/v3/paths/get/cam")).json()
        assert list(item) == FIELDS
        assert item["name"] == item["confName"] == "cam"
        assert item["ready"] is item["available"] is item["online"] is True
        assert item["readyTime"] == item["availableTime"]
        assert item["onlineTime"][:2] == "20"
        assert item["source"] == {"type": "rtspSource", "id": ""}
        assert item["tracks"] == ["H264", "G711", "MPEG-4 Audio"]
        assert item["tracks2"] == [
            {"codec": "H264", "codecProps": {"width": 1280, "height": 720, "profile": "High", "level": "3.1"}},
            {"codec": "G711", "codecProps": None},
            {"codec": "MPEG-4 Audio", "codecProps": {"sampleRate": 16000, "channelCount": 1}},
        ]
        assert [reader["type"] for reader in item["readers"]] == ["hidden", "hlsSession"]
        assert item["inboundBytes"] == item["bytesReceived"] == 600
        assert item["state"] == "live"
        assert item["stateReason"] == "the camera sends media"
        assert item["sourceURL"] == "rtsp://admin:***@192.0.2.1/stream1"
        assert item["health"]["transport"] == "udp"
        network.answer = OSError("away")
        (await network.camera()).lose()
        await until(lambda: path.state == "gap" and "away" in path.reason)
        item = (await api.get("/v3/paths/get/cam")).json()
        assert item["health"]["reconnects"] == 1
        assert item["health"]["lastError"] == "away"
        assert item["health"]["transport"] is None
        assert item["health"]["tracks"] == []
        assert (item["available"], item["online"], item["state"]) == (True, False, "gap")
        assert item["onlineTime"] is None


async def test_a_path_that_does_nothing() -> None:
    async with client(idle("cam")) as api:
        item = (await api.get("/v3/paths/get/cam")).json()
    assert list(item) == FIELDS
    assert item["ready"] is item["online"] is False
    assert item["readyTime"] is item["availableTime"] is item["onlineTime"] is None
    assert item["tracks"] == item["tracks2"] == item["readers"] == []


async def test_a_path_without_a_source() -> None:
    manager = PathManager({"cam": PathConfig()}, connect=FakeNetwork().connect)
    async with client(manager) as api:
        item = (await api.get("/v3/paths/get/cam")).json()
        assert item["source"] is item["health"] is None


def test_health_as_json() -> None:
    numbers = dict.fromkeys((field.name for field in fields(TrackHealth)), 0)
    track = TrackHealth(**{**numbers, "kind": "video", "clock_drift": 1 / 3, "quirks": ("marker-never-set",)})
    timings = Timings(connect=0.0012345678, first_sync=2.0)
    health = CameraHealth("tcp", 3, "no route", timings, 1000, None, 0, 0, ("version-line",), (track,))
    item = health_item(health)
    assert json.loads(json.dumps(item)) == item
    assert list(item) == [
        *("transport", "reconnects", "lastError", "timings", "bytes", "bitrate", "resyncs", "unknownBytes", "quirks"),
        "tracks",
    ]
    assert item["timings"] == {
        "connect": 0.001235,
        "describe": None,
        "play": None,
        "firstPacket": None,
        "firstSync": 2.0,
    }
    assert item["quirks"] == {"version-line": "The SDP does not begin with its version (v=0)."}
    (found,) = item["tracks"]
    assert (found["kind"], found["clockDrift"], found["senderReportAge"]) == ("video", 0.333333, 0)
    assert list(found["quirks"]) == ["marker-never-set"]
    assert all(name.isalnum() and name[0].islower() for name in found)


async def test_health_of_a_camera_that_sends() -> None:
    """Everything that the API promises, of a real connection."""
    async with ScriptedCamera() as camera:
        manager = PathManager({"cam": PathConfig(source=camera.url, rtsp_transport="tcp")}, connect=connect)
        manager.start()
        try:
            async with client(manager) as api:
                await until(lambda: manager.find("cam").state == "live")  # type: ignore[union-attr]
                camera.drop(reset=True)
                await until(lambda: manager.find("cam").state == "gap")  # type: ignore[union-attr]
                await until(lambda: manager.find("cam").state == "live", 10)  # type: ignore[union-attr]
                health = (await api.get("/v3/paths/get/cam")).json()["health"]
        finally:
            await manager.close()
    assert (health["transport"], health["reconnects"]) == ("tcp", 1)
    assert "127.0.0.1" in health["lastError"]
    times = [health["timings"][name] for name in ("connect", "describe", "play", "firstPacket", "firstSync")]
    assert times == sorted(times)
    video, audio = health["tracks"]
    assert (video["codec"], audio["codec"]) == ("h264", "aac")
    assert video["packets"] > 10
    assert video["lost"] == video["reordered"] == 0
    assert video["syncSamples"] >= 1
    assert video["jitterKind"] == "arrival"


async def test_names_with_slashes() -> None:
    async with client(idle("a/b/c")) as api:
        assert (await api.get("/v3/paths/get/a/b/c")).json()["name"] == "a/b/c"
        assert (await api.get("/v3/paths/get/a%2Fb%2Fc")).json()["name"] == "a/b/c"


async def test_pages() -> None:
    names = [f"cam{number:03}" for number in range(250)]
    async with client(idle(*reversed(names))) as api:
        first = (await api.get("/v3/paths/list")).json()
        assert list(first) == ["itemCount", "pageCount", "items"]
        assert (first["itemCount"], first["pageCount"]) == (250, 3)
        assert [item["name"] for item in first["items"]] == names[:100]
        last = (await api.get("/v3/paths/list?page=2")).json()
        assert [item["name"] for item in last["items"]] == names[200:]
        assert (await api.get("/v3/paths/list?page=3")).json()["items"] == []
        small = (await api.get("/v3/paths/list?page=1&itemsPerPage=7")).json()
        assert small["pageCount"] == 36
        assert [item["name"] for item in small["items"]] == names[7:14]


async def test_empty_list() -> None:
    async with client(idle()) as api:
        assert (await api.get("/v3/paths/list")).json() == {"itemCount": 0, "pageCount": 0, "items": []}


@pytest.mark.parametrize(
    "query", ["itemsPerPage=0", "itemsPerPage=x", "page=-1", "page=1.5", "page=99999999999999", "page=%D9%A1"]
)
async def test_wrong_pages(query: str) -> None:
    async with client(idle()) as api:
        reply = await api.get(f"/v3/paths/list?{query}")
    assert reply.status_code == 400
    assert list(reply.json()) == ["status", "error"]
    assert reply.json()["status"] == "error"
    assert query.partition("=")[0] in reply.json()["error"]  # as it is written


async def test_info() -> None:
    async with client(idle()) as api:
        info = (await api.get("/v3/info")).json()
    assert list(info) == ["version", "started"]
    assert info["version"] == __version__


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v3/paths/get/none", 404, "path not found"),
        ("GET", "/", 404, "not found"),
        ("GET", "/v3/rtspconns/list", 404, "not found"),
        ("POST", "/v3/paths/list", 405, "method not allowed"),
        ("DELETE", "/v3/paths/get/cam", 405, "method not allowed"),
    ],
)
async def test_errors_have_their_shape(method: str, path: str, status: int, error: str) -> None:
    async with client(idle("cam")) as api:
        reply = await api.request(method, path)
    assert reply.status_code == status
    assert reply.json() == {"status": "error", "error": error}
    assert reply.headers["cache-control"] == "no-store"


async def test_an_error_of_our_own_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = idle("cam")
    monkeypatch.setattr(manager, "find", lambda name: 1 / 0)
    app = create_api(manager)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        reply = await api.get("/v3/paths/get/cam")
    assert reply.status_code == 500
    assert reply.json() == {"status": "error", "error": "internal error"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9997", 200),
        ("localhost:9997", 200),
        ("LOCALHOST", 200),
        ("[::1]:9997", 200),
        ("127.8.7.6", 200),
        ("evil.example:9997", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("localhost@evil.example", 403),
        ("192.0.2.1", 403),
        ("", 403),
        ("[", 403),
        ("[::1", 403),
    ],
)
async def test_foreign_hosts_are_refused(host: str, status: int) -> None:
    async with client(idle()) as api:
        reply = await api.get("/v3/info", headers={"host": host})
    assert reply.status_code == status
    assert (status == 200) == ("version" in reply.json())


async def test_two_hosts_are_refused() -> None:
    async with client(idle()) as api:
        reply = await api.get("/v3/info", headers=[("host", "localhost"), ("host", "evil.example")])
    assert reply.status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9997", "https://vms.example.evil"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_foreign_origins_are_refused(origin: str, method: str) -> None:
    async with client(idle(), allow_origins=["https://vms.example", "*"]) as api:
        reply = await api.request(method, "/v3/info", headers={"origin": origin})
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers


async def test_allowed_origin() -> None:
    async with client(idle(), allow_origins=["https://vms.example"]) as api:
        for method, status in (("GET", 200), ("OPTIONS", 204)):
            reply = await api.request(method, "/v3/info", headers={"origin": "https://vms.example"})
            assert reply.status_code == status
            assert reply.headers["access-control-allow-origin"] == "https://vms.example"
            assert reply.headers["vary"] == "origin"


@pytest.mark.parametrize(
    ("peer", "status"), [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("192.0.2.7", 401)]
)
async def test_from_elsewhere_credentials_are_needed(peer: str, status: int) -> None:
    async with client(idle(), peer) as api:
        reply = await api.get("/v3/info")
    assert reply.status_code == status
    if status == 401:
        assert reply.headers["www-authenticate"] == 'Basic realm="mediamtx"'
        assert reply.json()["status"] == "error"
