"""The player page and what it needs, served as static files.

Everything is a file beside this one, so that the pages need neither inline script nor inline style and can be sent with
`CONTENT_SECURITY_POLICY`; nothing is asked of any other host. The addresses in the pages are relative: they hold below any prefix.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import quote

__all__ = ["CONTENT_SECURITY_POLICY", "asset", "index_page", "player_page"]

#: For both pages. hls.js plays through a blob: URL and works in a worker it makes from a blob.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob:; "
    "worker-src 'self' blob:; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)

_FOLDER = Path(__file__).resolve().parent
_TYPES = {
    "hls.min.js": "text/javascript; charset=utf-8",
    "player.js": "text/javascript; charset=utf-8",
    "player.css": "text/css; charset=utf-8",
}


@cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _address(name: str) -> str:
    return quote(name, errors="replace")


def player_page(path: str) -> bytes:
    """The page that plays one path, in UTF-8; it belongs at ``/{path}/``.

    Args:
        path: the name of the path, shown as the title. Any text is safe.
    """
    return _read("player.html").replace(b"{{path}}", html.escape(path).encode("utf-8", "replace"))


def index_page(names: Iterable[str]) -> bytes:
    """A page with a link to the player page of each path, in the order given; it belongs at ``/``."""
    items = "\n".join(f'<li><a href="./{_address(name)}/">{html.escape(name)}</a></li>' for name in names)
    body = f"<ul>\n{items}\n</ul>" if items else '<p class="none">No camera is configured.</p>'
    return _read("index.html").replace(b"{{list}}", body.encode("utf-8", "replace"))


def asset(name: str) -> tuple[bytes, str] | None:
    """A file of the pages with its content type; None where there is none of that name.

    Args:
        name: the last part of the URL; ``/{path}/player.js`` and ``/player.css`` are asked for so.
    """
    content_type = _TYPES.get(name)
    return None if content_type is None else (_read(name), content_type)
