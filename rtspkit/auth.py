"""WWW-Authenticate in, Authorization out.

Strategy: challenges are read by one tolerant tokenizer (cameras forget quotes, add commas and spaces,
write schemes in capitals); the strongest one that can be answered is kept, and where Digest has been
offered once, Basic is never answered in the clear. Values are echoed exactly as they came.

Specs: RFC 2617 and RFC 7616 (Digest: MD5, SHA-256, SHA-512-256 and their -sess forms, qop auth and
auth-int, opaque, stale, userhash, charset, nextnonce), RFC 7617 (Basic), RFC 2326 section 14.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import quote

from rtspkit.memory import CameraMemory
from rtspkit.url import CameraURL

__all__ = ["Authenticator", "Challenge", "parse_challenges", "refusal_text"]

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

#: Digest algorithms, as challenges name them without "-SESS", and what hashlib calls them; the better ones first.
_ALGORITHMS = {
    algorithm: name
    for algorithm, name in {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}.items()
    if name in hashlib.algorithms_available
}


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
        charset: in capitals ("UTF-8"); None where absent.
        quotes_algorithm: the algorithm stood in quotes, so it does in the answer.
    """

    scheme: str
    realm: str | None = None
    nonce: str | None = None
    opaque: str | None = None
    stale: bool | None = None
    algorithm: str | None = None
    qop: tuple[str, ...] = ()
    userhash: bool = False
    charset: str | None = None
    quotes_algorithm: bool = False

    @property
    def strength(self) -> int:
        """How good it is: 3 Digest SHA, 2 Digest MD5, 1 Basic, 0 cannot be answered."""
        if self.scheme == "Basic":
            return 1
        algorithm = (self.algorithm or "MD5").removesuffix("-SESS")
        if self.scheme != "Digest" or self.nonce is None or algorithm not in _ALGORITHMS:
            return 0
        return 2 if algorithm == "MD5" else 3


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Reads the values of all WWW-Authenticate headers of a response.

    Args:
        values: one string a header line; a line may hold several challenges.

    Returns:
        The challenges in their order. What cannot be read, or holds control characters, is left out.
    """
    found: list[Challenge] = []
    for value in values:
        if _is_unsafe(value):
            continue  # it would be echoed into a request
        scheme: str | None = None
        parameters: dict[str, re.Match[str]] = {}
        for item in _ITEM.finditer(value):
            if item["scheme"]:
                if scheme is not None:
                    found.append(_challenge(scheme, parameters))
                scheme, parameters = item["scheme"], {}
            elif item["key"]:
                parameters.setdefault(item["key"].lower(), item)
        if scheme is not None:
            found.append(_challenge(scheme, parameters))
    return found[:MAX_CHALLENGES]


def _is_unsafe(value: str) -> bool:
    """Whether a header value holds what must never get into a request."""
    return _CONTROL.search(value) is not None


def _value(item: re.Match[str] | None) -> str | None:
    if item is None:
        return None
    return item["quoted"] if item["quoted"] is not None else item["plain"]


def _challenge(scheme: str, parameters: dict[str, re.Match[str]]) -> Challenge:
    values = {key: _value(item) or "" for key, item in parameters.items()}
    stale, algorithm = values.get("stale"), values.get("algorithm")
    return Challenge(
        scheme={"basic": "Basic", "digest": "Digest"}.get(scheme.lower(), scheme),
        realm=values.get("realm"),
        nonce=values.get("nonce"),
        opaque=values.get("opaque"),
        stale=None if stale is None else stale.strip().lower() == "true",
        algorithm=algorithm.strip().upper() if algorithm else None,
        qop=tuple(values.get("qop", "").lower().replace(",", " ").split()),
        userhash=values.get("userhash", "").strip().lower() == "true",
        charset=values.get("charset", "").strip().upper() or None,
        quotes_algorithm=bool(algorithm) and parameters["algorithm"]["quoted"] is not None,
    )


class Authenticator:
    """Answers the challenges of one server with one user's credentials.

    It belongs to one connection to one scheme, host and port; it never shows the password.

    Args:
        username: as it is, not percent-encoded.
        password: as it is, not percent-encoded.
        basic_allowed: Basic may be answered even after Digest was offered: TLS hides the password.
        digest_known: the server has offered Digest in an earlier connection.
        make_cnonce: gives the client's nonces; random by default.

    Attributes:
        digest_known: the server has offered Digest, now or earlier.
        basic_refused: the last challenge was not answered because it wanted Basic where Digest was offered before.
    """

    def __init__(
        self,
        username: str,
        password: str,
        *,
        basic_allowed: bool = False,
        digest_known: bool = False,
        make_cnonce: Callable[[], str] | None = None,
    ) -> None:
        self._username = username
        self._password = password
        self._basic_allowed = basic_allowed
        self.digest_known = digest_known
        self.basic_refused = False
        self._make_cnonce = make_cnonce or (lambda: secrets.token_hex(8))
        self._challenge: Challenge | None = None
        self._cnonce = ""
        self._count = 0

    def __repr__(self) -> str:
        return f"Authenticator({self._username!r}, '***', scheme={self.scheme!r})"

    @classmethod
    def of(cls, url: CameraURL, memory: CameraMemory) -> Authenticator | None:
        """The one for a camera; None where its URL has no credentials."""
        if url.username is None:
            return None
        return cls(
            url.username,
            url.password or "",
            basic_allowed=url.is_secure,
            digest_known=url.origin in memory.digest_origins,
        )

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
            Whether one of them can be answered. The best one is; Basic is not where Digest was seen
            (somebody in between may want the password in the clear).
        """
        best = max(parse_challenges(values), key=lambda one: one.strength, default=None)
        self.basic_refused = False
        if best is None or not best.strength:
            return False
        if best.scheme == "Digest":
            self.digest_known = True
        elif self.digest_known and not self._basic_allowed:
            self.basic_refused = True
            return False
        if (
            self._challenge is None
            or best.nonce != self._challenge.nonce
            or best.algorithm != self._challenge.algorithm
        ):
            self._start_nonce()
        self._challenge = best
        return True

    def take_info(self, values: Iterable[str]) -> None:
        """Takes the Authentication-Info values of a good answer: they may name the nonce to go on with."""
        for value in values:
            if self._challenge is None or _is_unsafe(value):
                continue
            for item in _ITEM.finditer(value):
                nonce = _value(item)
                if (item["key"] or "").lower() == "nextnonce" and nonce:
                    self._challenge = replace(self._challenge, nonce=nonce)
                    self._start_nonce()

    def _start_nonce(self) -> None:
        self._count = 0
        self._cnonce = self._make_cnonce()

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
        realm, nonce = challenge.realm or "", challenge.nonce or ""
        user, password = self._username, self._password
        if challenge.charset == "UTF-8":
            user, password = (unicodedata.normalize("NFC", text) for text in (user, password))

        def new(text: str) -> str:
            name = _ALGORITHMS[algorithm.removesuffix("-SESS")]
            return hashlib.new(name, text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()

        qop = next((one for one in ("auth", "auth-int") if one in challenge.qop), None)
        secret = new(f"{user}:{realm}:{password}")
        if algorithm.endswith("-SESS"):
            secret = new(f"{secret}:{nonce}:{self._cnonce}")
        # our requests have no body, so auth-int signs the empty one
        request = new(f"{method}:{uri}:{new('')}" if qop == "auth-int" else f"{method}:{uri}")
        self._count += 1
        count = f"{self._count:08x}"
        middle = f"{nonce}:{count}:{self._cnonce}:{qop}" if qop else nonce
        parts = [
            _name_parameter(new(f"{user}:{realm}"), None) if challenge.userhash else _name_parameter(user, challenge),
            f'realm="{realm}"',
            f'nonce="{nonce}"',
            f'uri="{uri}"',
            f'response="{new(f"{secret}:{middle}:{request}")}"',
        ]
        if challenge.algorithm is not None:
            # as offered, quotes included; the -sess forms are written with a small suffix in RFC 7616
            mark = '"' if challenge.quotes_algorithm else ""
            parts.append(f"algorithm={mark}{algorithm.replace('-SESS', '-sess')}{mark}")
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


def refusal_text(url: CameraURL, authenticator: Authenticator | None) -> str:
    """What to say of a 401 that is final; one line."""
    if authenticator is None:
        return f"{url.address} wants a user name and a password; the URL has none ({url.scheme}://user:password@…)"
    if authenticator.basic_refused:
        return (
            f"{url.address} offers only Basic authentication, which sends the password readably, and has offered "
            "Digest before: it was set up anew, or somebody is in between; not answered before a restart"
        )
    if authenticator.scheme is None:
        return f"{url.address} wants a kind of authentication that is not known here"
    return f"{url.address} refuses the user name or the password"


def _name_parameter(name: str, challenge: Challenge | None) -> str:
    """The user name as a parameter; one that is not ASCII has a form of its own where the server knows UTF-8."""
    if challenge is not None and challenge.charset == "UTF-8" and not name.isascii():
        return f"username*=UTF-8''{quote(name, safe='', errors='surrogateescape')}"
    return f'username="{_escape(name)}"'


def _escape(text: str) -> str:
    """A user name inside quotes; control characters would break the header."""
    return _CONTROL.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"')
