"""WWW-Authenticate in, Authorization out.

Strategy: challenges are read by one tolerant tokenizer (cameras forget quotes, add commas and spaces,
write schemes in capitals); the strongest one that can be answered is kept, and Digest, once seen, is
never given up for Basic on the same connection. Values are echoed exactly as they came.

Specs: RFC 2617 and RFC 7616 (Digest: MD5, SHA-256 and their -sess forms, qop auth and auth-int,
opaque, stale, userhash), RFC 7617 (Basic), RFC 2326 section 14.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Authenticator", "Challenge", "parse_challenges"]

#: Cameras offer up to three.
MAX_CHALLENGES = 16

#: Possessive, so that no header takes more than linear time. A closing quote may be missing.
_ITEM = re.compile(
    r"""(?P<key>[A-Za-z0-9!#$%&'*+.^_`|~-]++)[ \t]*+=[ \t]*+
          (?:"(?P<quoted>(?:\\.|[^"\\])*+)"?|(?P<plain>[^,"\s]*+))
      | (?P<scheme>[A-Za-z0-9!#$%&'*+.^_`|~-]++)(?=[\s,]|$)
      | .""",
    re.VERBOSE | re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a server.

    Attributes:
        scheme: "Basic", "Digest", or another in the server's own spelling.
        realm: as it came, without its quotes; so are nonce and opaque. None where absent.
        stale: the credentials were right and only the nonce is too old; None where not said.
        algorithm: in capitals ("MD5", "SHA-256"); None where absent, which means MD5.
        qop: qualities of protection on offer, in lower case.
        userhash: the server wants the user name hashed.
    """

    scheme: str
    realm: str | None = None
    nonce: str | None = None
    opaque: str | None = None
    stale: bool | None = None
    algorithm: str | None = None
    qop: tuple[str, ...] = ()
    userhash: bool = False

    @property
    def strength(self) -> int:
        """How good it is: 3 Digest SHA-256, 2 Digest MD5, 1 Basic, 0 cannot be answered."""
        if self.scheme == "Basic":
            return 1
        if self.scheme != "Digest" or self.nonce is None:
            return 0
        return {"MD5": 2, "MD5-SESS": 2, "SHA-256": 3, "SHA-256-SESS": 3}.get(self.algorithm or "MD5", 0)


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Reads the values of all WWW-Authenticate headers of a response.

    Args:
        values: one string a header line; a line may hold several challenges.

    Returns:
        The challenges in their order. What cannot be read, or holds control characters, is left out.
    """
    found: list[Challenge] = []
    for value in values:
        if _CONTROL.search(value):
            continue  # it would be echoed into a request
        scheme: str | None = None
        parameters: dict[str, str] = {}
        for item in _ITEM.finditer(value):
            if item["scheme"]:
                if scheme is not None:
                    found.append(_challenge(scheme, parameters))
                scheme, parameters = item["scheme"], {}
            elif item["key"]:
                text = item["quoted"] if item["quoted"] is not None else item["plain"]
                parameters.setdefault(item["key"].lower(), text)
        if scheme is not None:
            found.append(_challenge(scheme, parameters))
    return found[:MAX_CHALLENGES]


def _challenge(scheme: str, parameters: dict[str, str]) -> Challenge:
    stale = parameters.get("stale")
    algorithm = parameters.get("algorithm")
    return Challenge(
        scheme={"basic": "Basic", "digest": "Digest"}.get(scheme.lower(), scheme),
        realm=parameters.get("realm"),
        nonce=parameters.get("nonce"),
        opaque=parameters.get("opaque"),
        stale=None if stale is None else stale.strip().lower() == "true",
        algorithm=algorithm.strip().upper() if algorithm else None,
        qop=tuple(parameters.get("qop", "").lower().replace(",", " ").split()),
        userhash=parameters.get("userhash", "").strip().lower() == "true",
    )


class Authenticator:
    """Answers the challenges of one server with one user's credentials.

    It belongs to one connection to one scheme, host and port; it never shows the password.

    Args:
        username: as it is, not percent-encoded.
        password: as it is, not percent-encoded.
        make_cnonce: gives the client's nonces; random by default.
    """

    def __init__(self, username: str, password: str, *, make_cnonce: Callable[[], str] | None = None) -> None:
        self._username = username
        self._password = password
        self._make_cnonce = make_cnonce or (lambda: secrets.token_hex(8))
        self._challenge: Challenge | None = None
        self._cnonce = ""
        self._count = 0

    def __repr__(self) -> str:
        return f"Authenticator({self._username!r}, '***', scheme={self.scheme!r})"

    @property
    def scheme(self) -> str | None:
        """The scheme in use: "Basic" or "Digest"; None before the first challenge."""
        return self._challenge.scheme if self._challenge else None

    @property
    def stale(self) -> bool:
        """The last challenge said that only the nonce was too old."""
        return bool(self._challenge and self._challenge.stale)

    def challenge(self, values: Iterable[str]) -> bool:
        """Takes the WWW-Authenticate values of a 401.

        Returns:
            Whether one of them can be answered. The best one is; Basic is refused once Digest was seen
            (somebody in between may want the password in the clear).
        """
        best = max(parse_challenges(values), key=lambda one: one.strength, default=None)
        if best is None or not best.strength:
            return False
        if self._challenge is not None and self._challenge.scheme == "Digest" and best.scheme == "Basic":
            return False
        if (
            self._challenge is None
            or best.nonce != self._challenge.nonce
            or best.algorithm != self._challenge.algorithm
        ):
            self._count = 0
            self._cnonce = self._make_cnonce()
        self._challenge = best
        return True

    def authorization(self, method: str, uri: str) -> str | None:
        """The Authorization value for one request; None before the first challenge.

        Args:
            method: of the request.
            uri: exactly as it stands in the request line.
        """
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "Basic":
            token = base64.b64encode(f"{self._username}:{self._password}".encode())
            return f"Basic {token.decode('ascii')}"
        return self._digest(challenge, method, uri)

    def _digest(self, challenge: Challenge, method: str, uri: str) -> str:
        algorithm = challenge.algorithm or "MD5"
        new = _sha256 if algorithm.startswith("SHA-256") else _md5
        realm, nonce = challenge.realm or "", challenge.nonce or ""
        qop = next((one for one in ("auth", "auth-int") if one in challenge.qop), None)
        secret = new(f"{self._username}:{realm}:{self._password}")
        if algorithm.endswith("-SESS"):
            secret = new(f"{secret}:{nonce}:{self._cnonce}")
        # our requests have no body, so auth-int signs the empty one
        request = new(f"{method}:{uri}:{new('')}" if qop == "auth-int" else f"{method}:{uri}")
        self._count += 1
        count = f"{self._count:08x}"
        middle = f"{nonce}:{count}:{self._cnonce}:{qop}" if qop else nonce
        username = new(f"{self._username}:{realm}") if challenge.userhash else _escape(self._username)
        parts = [
            f'username="{username}"',
            f'realm="{realm}"',
            f'nonce="{nonce}"',
            f'uri="{uri}"',
            f'response="{new(f"{secret}:{middle}:{request}")}"',
        ]
        if challenge.algorithm is not None:
            # as offered; the -sess forms are written with a small suffix in RFC 7616
            parts.append(f"algorithm={algorithm.replace('-SESS', '-sess')}")
        if challenge.opaque is not None:
            parts.append(f'opaque="{challenge.opaque}"')
        if qop:
            # without quotes: Amcrest refuses quoted ones
            parts += [f"qop={qop}", f"nc={count}"]
        if qop or algorithm.endswith("-SESS"):
            parts.append(f'cnonce="{self._cnonce}"')
        if challenge.userhash:
            parts.append("userhash=true")
        return "Digest " + ", ".join(parts)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _escape(text: str) -> str:
    """A user name inside quotes; control characters would break the header."""
    return _CONTROL.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"')
