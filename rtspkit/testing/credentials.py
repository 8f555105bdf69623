"""What a scripted camera asks of who connects: Basic or Digest, as servers check them.

Strategy: written apart from `rtspkit.auth`, so that each is a check on the other.

Specs: RFC 7617 (Basic); RFC 7616 and RFC 2617 (Digest: MD5, SHA-256 and their -sess forms, qop auth, auth-int or none,
userhash, stale).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Basic", "Credentials", "Digest"]


class Credentials(Protocol):
    """What may be asked for."""

    username: str
    password: str

    def challenge(self, authorization: str) -> str:
        """The WWW-Authenticate value, for a request that came with this Authorization (or "")."""

    def accepts(self, method: str, uri: str, authorization: str) -> bool:
        """Whether a request is let in."""


@dataclass
class Basic:
    """RFC 7617: the password as good as in the clear."""

    username: str = "admin"
    password: str = "secret"
    realm: str = "scripted, camera"

    def challenge(self, authorization: str) -> str:
        """The WWW-Authenticate value."""
        return f'Basic realm="{self.realm}"'

    def accepts(self, method: str, uri: str, authorization: str) -> bool:
        """Whether a request is let in."""
        told = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return authorization == f"Basic {told}"


@dataclass
class Digest:
    """RFC 7616, or RFC 2617 with MD5.

    Attributes:
        username: who is let in.
        password: with what.
        realm: has a comma in it by default, which has caught readers out.
        algorithm: "MD5", "SHA-256", or one of these with "-sess".
        qop: "auth", "auth-int", or None: the form of RFC 2069.
        opaque: None leaves it out.
        userhash: the user's name is to come hashed.
        nonce_life: the nonce changes after so many accepted requests, with stale=true; None: only by `renew`.
    """

    username: str = "admin"
    password: str = "secret"
    realm: str = "scripted, camera"
    algorithm: str = "MD5"
    qop: str | None = "auth"
    opaque: str | None = None
    userhash: bool = False
    nonce_life: int | None = None
    _nonce: str = field(default_factory=lambda: secrets.token_hex(8), init=False)
    _used: int = field(default=0, init=False)
    _old: set[str] = field(default_factory=set, init=False)

    def renew(self) -> None:
        """From now on another nonce; who comes with the old one is told that it is stale."""
        self._old.add(self._nonce)
        self._nonce, self._used = secrets.token_hex(8), 0

    def challenge(self, authorization: str) -> str:
        """The WWW-Authenticate value."""
        parts = [f'realm="{self.realm}"', f'nonce="{self._nonce}"', f"algorithm={self.algorithm}"]
        if self.qop is not None:
            parts.append(f'qop="{self.qop}"')
        if self.opaque is not None:
            parts.append(f'opaque="{self.opaque}"')
        if self.userhash:
            parts.append("userhash=true")
        if any(nonce in authorization for nonce in self._old):
            parts.append("stale=true")
        return "Digest " + ", ".join(parts)

    def accepts(self, method: str, uri: str, authorization: str) -> bool:
        """Whether a request is let in."""
        found = re.findall(r'(\w+)=(?:"((?:\\.|[^"\\])*)"|([^\s,]+))', authorization)
        fields = {name: re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in found}
        if not authorization.startswith("Digest ") or fields.get("nonce") != self._nonce or fields.get("uri") != uri:
            return False
        name = self._hash(f"{self.username}:{self.realm}") if self.userhash else self.username
        if fields.get("username") != name or fields.get("opaque") != self.opaque:
            return False
        secret = self._hash(f"{self.username}:{self.realm}:{self.password}")
        if self.algorithm.endswith("-sess"):
            secret = self._hash(f"{secret}:{self._nonce}:{fields.get('cnonce')}")
        request = f"{method}:{uri}" if self.qop != "auth-int" else f"{method}:{uri}:{self._hash('')}"
        middle = self._nonce
        if self.qop is not None:
            if fields.get("qop") != self.qop:
                return False
            middle += f":{fields.get('nc')}:{fields.get('cnonce')}:{self.qop}"
        if fields.get("response") != self._hash(f"{secret}:{middle}:{self._hash(request)}"):
            return False
        self._used += 1
        if self.nonce_life is not None and self._used >= self.nonce_life:
            self.renew()
        return True

    def _hash(self, text: str) -> str:
        return hashlib.new("sha256" if self.algorithm.startswith("SHA-256") else "md5", text.encode()).hexdigest()
