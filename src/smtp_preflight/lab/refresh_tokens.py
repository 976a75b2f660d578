"""Refresh tokens: which sign-in one belongs to, and what becomes of it once it was redeemed.

Those that follow one another from one sign-in are a family. A token carries its family and its number in it,
with a proof, so that a lab remembers families and no tokens.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass

from smtp_preflight.lab.conditions import Reuse
from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.tokens import base64url

MOST_FAMILIES = 1000
"""Kept in memory; with more, the oldest is forgotten."""

_NAME_BYTES = 9
_NUMBER_BYTES = 6
_FILLING_BYTES = 285
_PROOF_CHARACTERS = 43
"""A SHA-256 in base64url."""


@dataclass(slots=True)
class Family:
    """The refresh tokens of one sign-in, counted from 1."""

    name: bytes
    consent: Consent
    issued: int = 0
    redeemed: int = 0  # the newest that was
    revoked: bool = False


class RefreshTokens:
    """All that were issued by one identity provider."""

    def __init__(self, prefix: str, reuse: Reuse) -> None:
        self._prefix = prefix
        self._reuse = reuse
        self._seal = secrets.token_bytes(32)
        self._families: dict[bytes, Family] = {}

    def begin(self, consent: Consent) -> tuple[Family, str]:
        """A new family and its first token."""
        family = Family(secrets.token_bytes(_NAME_BYTES), consent)
        self._families[family.name] = family
        if len(self._families) > MOST_FAMILIES:
            del self._families[next(iter(self._families))]
        return family, self.successor(family)

    def successor(self, family: Family) -> str:
        """The family's next token."""
        family.issued += 1
        number = family.issued.to_bytes(_NUMBER_BYTES, "big")
        body = self._prefix + base64url(family.name + number + secrets.token_bytes(_FILLING_BYTES))
        return body + self._proof_of(body)

    def redeem(self, token: str) -> Family | None:
        """The family of a token that may be redeemed now; its use counts."""
        family, number = self._read(token)
        if family is None or family.revoked:
            return None
        if not self._may_redeem(family, number):
            # Two parties hold it, and nobody can tell which is the thief (RFC 9700 section 4.14.2).
            family.revoked = self._reuse is not Reuse.REFUSED
            return None
        family.redeemed = max(family.redeemed, number)
        return family

    def _may_redeem(self, family: Family, number: int) -> bool:
        match self._reuse:
            case Reuse.ALLOWED:
                return True
            case Reuse.UNTIL_SUCCESSOR_USED:
                return number >= family.redeemed
            case Reuse.REFUSED | Reuse.REVOKES:
                return number == family.issued

    def _read(self, token: str) -> tuple[Family | None, int]:
        body, proof = token[:-_PROOF_CHARACTERS], token[-_PROOF_CHARACTERS:]
        if not hmac.compare_digest(proof.encode(), self._proof_of(body).encode()):
            return None, 0
        content = base64.urlsafe_b64decode(body.removeprefix(self._prefix))
        number = int.from_bytes(content[_NAME_BYTES : _NAME_BYTES + _NUMBER_BYTES], "big")
        return self._families.get(content[:_NAME_BYTES]), number

    def _proof_of(self, body: str) -> str:
        return base64url(hmac.digest(self._seal, body.encode(), "sha256"))
