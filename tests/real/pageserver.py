"""The pages with players of others on them, over HTTP on a free port of 127.0.0.1."""

import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .parts import SHAKA

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = Path(__file__).with_name("pages")
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript"}


@cache
def files() -> dict[str, Path]:
    """What is served, by address."""
    found = [*PAGES.glob("*.html"), ROOT / "rtspkit" / "server" / "web" / "hls.min.js", SHAKA]
    return {f"/{path.name}": path for path in found}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = files().get(self.path.partition("?")[0])
        if path is None or not path.exists():
            self.send_error(404)
            return
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", TYPES[path.suffix])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class PageServer:
    """``with PageServer() as pages: pages.base``."""

    def __enter__(self) -> "PageServer":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
