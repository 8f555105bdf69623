"""The control API: what every path does, as MediaMTX says it, with our state and its reason at the end.

Strategy: a small Starlette app over the `PathManager`, read-only for now, behind a guard that keeps web
pages out: `Host` must be this machine (a name that a foreign DNS server points here is refused), `Origin`
absent or allowed, and clients from elsewhere are refused until there are credentials for them.

Spec: MediaMTX v1.20 control API v3: `/v3/info`, `/v3/paths/list`, `/v3/paths/get/{name}`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rtspkit._version import __version__
from rtspkit.asgitypes import App, Header, Receive, Scope, Send
from rtspkit.quirks import SENTENCES
from rtspkit.server.http import peer_address, split_address
from rtspkit.server.manager import PathManager
from rtspkit.server.paths import Path
from rtspkit.server.tracks import announced, properties
from rtspkit.server.values import camel

__all__ = ["create_api", "health_item", "path_item"]

#: Paths put into a list at once: half a millisecond each.
_AT_ONCE = 20


def _time(seconds: float | None) -> str | None:
    """Unix seconds as RFC 3339."""
    return None if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat()


def health_item(value: object) -> Any:
    """`CameraHealth`, or a part of it, for JSON: names as everywhere in the API, quirks with their sentences."""
    if is_dataclass(value):
        found = {field.name: getattr(value, field.name) for field in fields(value)}
        if "quirks" in found:
            found["quirks"] = {quirk: SENTENCES[quirk] for quirk in found["quirks"]}
        return {camel(name): health_item(part) for name, part in found.items()}
    if isinstance(value, tuple):
        return [health_item(part) for part in value]
    return round(value, 6) if isinstance(value, float) else value


def path_item(path: Path) -> dict[str, Any]:
    """One path as `/v3/paths/get` shows it; the last five fields are our own."""
    online = path.state == "live"
    readers = [{"type": "hidden", "id": ""}] if path.readable else []  # MediaMTX shows its muxer so
    if path.readable:
        readers += [{"type": "hlsSession", "id": viewer.id} for viewer in path.viewers.present(time.monotonic())]
    tracks = announced(path.tracks, path.skipped) if path.readable else []
    available, since = path.readable, _time(path.available_since)
    return {
        "name": path.name,
        "confName": path.name,
        "ready": available,
        "readyTime": since,
        "available": available,
        "availableTime": since,
        "online": online,
        "onlineTime": _time(path.online_since),
        "source": {"type": "rtspSource", "id": ""} if path.has_camera else None,
        "tracks": [label for label, _ in tracks],
        "tracks2": [{"codec": label, "codecProps": track and properties(track)} for label, track in tracks],
        "readers": readers,
        "inboundBytes": path.source.inbound_bytes,
        "outboundBytes": path.outbound_bytes,
        "inboundFramesInError": path.source.inbound_errors,
        "bytesReceived": path.source.inbound_bytes,
        "bytesSent": path.outbound_bytes,
        "state": path.state,
        "stateReason": path.reason,
        "nextTry": _time(path.next_try),
        "sourceURL": path.config.shown_source,
        "health": health_item(path.source.health()) if path.has_camera else None,
    }


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"status": "error", "error": text}, status, headers)


def _number(request: Request, name: str, default: int, least: int) -> int:
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) < least:
        raise HTTPException(400, f"invalid {name}: expected a whole number of at least {least}")
    return int(text)


def create_api(manager: PathManager, *, address: str = "", allow_origins: Iterable[str] = ()) -> App:
    """The control API as an ASGI app.

    Args:
        manager: the paths it shows.
        address: where it listens, as configured; its host may stand in `Host`.
        allow_origins: web origins that may use it, such as "https://vms.example".
    """
    started = _time(time.time())

    async def info(_: Request) -> Response:
        return JSONResponse({"version": __version__, "started": started})

    async def paths_list(request: Request) -> Response:
        page = _number(request, "page", 0, 0)
        size = _number(request, "itemsPerPage", 100, 1)
        paths = sorted(manager, key=lambda path: path.name)
        items = []
        for path in paths[page * size : (page + 1) * size]:
            items.append(path_item(path))
            if len(items) % _AT_ONCE == 0:
                await asyncio.sleep(0)  # cameras and viewers are not to wait for hundreds of them
        return JSONResponse({"itemCount": len(paths), "pageCount": -(-len(paths) // size), "items": items})

    async def paths_get(request: Request) -> Response:
        path = manager.find(request.path_params["name"])
        return _error(404, "path not found") if path is None else JSONResponse(path_item(path))

    async def refused(_: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            text = str(error.detail)
            if text == HTTPStatus(error.status_code).phrase:  # Starlette's own words
                text = text.lower()
            return _error(error.status_code, text, dict(error.headers or {}))
        return _error(500, "internal error")

    app = Starlette(
        routes=[
            Route("/v3/info", info),
            Route("/v3/paths/list", paths_list),
            Route("/v3/paths/get/{name:path}", paths_get),
        ],
        exception_handlers={HTTPException: refused, Exception: refused},
    )
    return _Guard(app, split_address(address)[0] if address else "", frozenset(allow_origins) - {"*"})


class _Guard:
    """Refuses what a foreign web page, or somebody elsewhere, could have sent."""

    def __init__(self, app: Any, host: str, origins: frozenset[str]) -> None:
        self._app = app
        self._host = host.lower()
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        headers: dict[bytes, list[bytes]] = {}
        for key, value in scope["headers"]:
            headers.setdefault(bytes(key), []).append(bytes(value))
        origin = b"".join(headers.get(b"origin", [])).decode("latin-1")
        refusal = self._refusal(scope, [host.decode("latin-1") for host in headers.get(b"host", [])], origin)
        extra: list[Header] = []
        if origin and refusal is None:
            extra = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]
            if scope["method"] == "OPTIONS":
                refusal = Response(None, 204, {"access-control-allow-methods": "GET, OPTIONS"})

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), *extra]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        await (refusal or self._app)(scope, receive, answer)

    def _refusal(self, scope: Scope, hosts: list[str], origin: str) -> Response | None:
        own = scope.get("server") or ("", None)
        if len(hosts) != 1 or not self._is_us(hosts[0], str(own[0])):
            return _error(403, "the Host header names another machine; ask by IP address or as localhost")
        if origin and origin not in self._origins:
            return _error(403, "this web origin may not use the API (apiAllowOrigins)")
        peer = peer_address(scope)
        if peer and not _is_loopback(peer):
            return _error(
                401,
                "the API answers this machine only until credentials can be given",
                {"www-authenticate": 'Basic realm="mediamtx"'},
            )
        return None

    def _is_us(self, host: str, own: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name == "localhost" or _is_loopback(name) or (bool(name) and name in (own.lower(), self._host))


def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
