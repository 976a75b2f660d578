"""How a token is come by, and what it says: secrets, discovery, keys, the grant and its token.

Nothing here holds a secret or a token; what can be known of them is their shape, length and fingerprint.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from smtp_preflight.model.http import HttpExchange
from smtp_preflight.model.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SecretCheck(Observation):
    """Whether a secret the profile names could be read, and its shape; nothing of its content."""

    key: str
    reference: str
    problem: str = ""  # why it could not be read, in words; empty where it could
    length: int = 0
    looks_like_guid: bool = False
    quoted: bool = False
    blank_edges: bool = False
    looks_like_json: bool = False
    unusable: str = ""  # why it is there and still proves nothing, in words: a wrong passphrase, say
    ends: dt.datetime | None = None  # a certificate's last moment

    @property
    def resolved(self) -> bool:
        """The secret is there."""
        return not self.problem


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Discovery(Observation):
    """The identity provider's metadata (OpenID Connect Discovery section 4, RFC 8414)."""

    http: HttpExchange
    metadata: Mapping[str, str] = field(default_factory=dict)  # issuer, *_endpoint, jwks_uri
    error: str = ""  # the body's own error code
    error_codes: tuple[str, ...] = ()  # AADSTS numbers in the body

    @property
    def readable(self) -> bool:
        """A JSON object with an issuer and a token endpoint came back."""
        return self.http.status == 200 and "issuer" in self.metadata and "token_endpoint" in self.metadata


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Keys(Observation):
    """The identity provider's public signing keys (RFC 7517), by their ids."""

    http: HttpExchange
    kids: tuple[str, ...] = ()

    @property
    def readable(self) -> bool:
        """A key set with at least one key came back."""
        return bool(self.kids)


@dataclass(frozen=True, slots=True)
class OAuthError:
    """An error response of the token endpoint (RFC 6749 section 5.2), and the provider's own marks in it."""

    error: str
    description: str = ""
    codes: tuple[str, ...] = ()  # AADSTS numbers
    suberror: str = ""
    trace_id: str = ""
    correlation_id: str = ""
    timestamp: str = ""


class SignatureState(StrEnum):
    """What could be said of a token's signature."""

    VALID = "valid"
    INVALID = "invalid"
    NO_KEY = "no_key"
    NOT_CHECKED = "not_checked"


APPLICATION = ("appid", "azp", "client_id")
"""The claim that names the application: with Entra in versions 1 and 2 of its tokens, and by RFC 9068."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What may be known of an access token: allow-listed claims, length and fingerprint, never the token."""

    observed_at: dt.datetime
    length: int
    fingerprint: str  # the first 12 hex digits of its SHA-256
    opaque: bool = True
    header: Mapping[str, Any] = field(default_factory=dict)  # alg, kid, typ, and whether a nonce is there
    claims: Mapping[str, Any] = field(default_factory=dict)
    other_claims: tuple[str, ...] = ()  # names only
    expires_in_s: int | None = None  # as the answer said
    problem: str = ""  # why something that looks like a JWT does not decode

    def claim(self, name: str) -> str:
        """The claim as text; of ``appid`` by any of the names in ``APPLICATION``."""
        value = self._said(name)
        return "" if value is None else str(value)

    def values(self, name: str) -> frozenset[str]:
        """The claim's values in one form for comparing: lower case, no slash at the end of a URI."""
        value = self._said(name)
        several = value if isinstance(value, (list, tuple)) else () if value is None else (value,)
        return frozenset(str(one).lower().rstrip("/") for one in several)

    def _said(self, name: str) -> Any:
        names = APPLICATION if name == "appid" else (name,)
        return next((self.claims[one] for one in names if self.claims.get(one) is not None), None)

    @property
    def user(self) -> str:
        """Whom the token is about, by the first of the claims that say so."""
        named = ("upn", "preferred_username", "unique_name", "email")
        return next((self.claim(name) for name in named if self.claim(name)), "")

    @property
    def is_id_token(self) -> bool:
        """It says who somebody is rather than what may be done (OpenID Connect Core section 2)."""
        if {"scp", "scope"} & set(self.claims):
            return False
        of_sign_in = "nonce" in self.other_claims and not {*APPLICATION, "roles"} & set(self.claims)
        return "at_hash" in self.other_claims or of_sign_in

    @property
    def permissions(self) -> frozenset[str]:
        """What ``scp``, ``scope`` (RFC 9068 section 2.2.3) and ``roles`` allow."""
        said = (self.claims.get(name) for name in ("scp", "scope", "roles"))
        texts = (" ".join(map(str, one)) if isinstance(one, (list, tuple)) else one for one in said)
        return frozenset(word for text in texts if isinstance(text, str) for word in text.split())

    @property
    def for_application(self) -> bool:
        """Issued to the application itself: it says so, or names neither a user nor what one has granted."""
        on_behalf = bool({"scp", "scope"} & set(self.claims)) or bool(self.user)
        return self.claims.get("idtyp") == "app" or not on_behalf

    def time(self, name: str) -> dt.datetime | None:
        """A NumericDate claim (RFC 7519 section 2) as UTC, or nothing where it is absent or no such thing."""
        value = self.claims.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            return dt.datetime.fromtimestamp(value, dt.UTC)
        except (OverflowError, ValueError, OSError):
            return None

    @property
    def expires_at(self) -> dt.datetime | None:
        """When it ends: by its own claim, else by what the answer said of it."""
        if (stated := self.time("exp")) is not None:
            return stated
        if self.expires_in_s is None:
            return None
        return self.observed_at + dt.timedelta(seconds=self.expires_in_s)


@dataclass(frozen=True, slots=True)
class StoredToken:
    """What is known of the refresh token that was redeemed; never the token."""

    source: str  # seed | store
    obtained_at: dt.datetime | None = None  # when somebody signed in
    last_used_at: dt.datetime | None = None
    fingerprint: str = ""
    ends_at: dt.datetime | None = None  # as the provider has said, where it has


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Grant(Observation):
    """The token endpoint's answer; a refusal is an answer too."""

    grant: str  # the grant type that was redeemed; access_token: one was given, nothing was asked
    http: HttpExchange | None = None
    error: OAuthError | None = None
    token: AccessToken | None = None
    token_type: str = ""
    scope_asked: tuple[str, ...] = ()
    scope_granted: tuple[str, ...] | None = None  # as the answer said; None: it did not
    refresh_token_issued: bool = False
    refresh_token_rotated: bool = False
    refresh_token_kept: bool = True  # whatever was issued is on disk, or nothing was
    keep_problem: str = ""
    refresh_token_ends: dt.datetime | None = None  # of whichever is good now, where the provider says
    stored: StoredToken | None = None
    answer_lost: bool = False  # the request left, its answer did not arrive
    problem: str = ""  # why no request could be formed

    @property
    def granted(self) -> bool:
        """A token came back."""
        return self.token is not None

    @property
    def is_json(self) -> bool:
        """What answered speaks JSON, as a token endpoint does."""
        return self.http is None or self.http.is_json

    @property
    def is_bearer(self) -> bool:
        """The token's type is Bearer, whatever its case (RFC 6749 section 5.1)."""
        return self.token_type.lower() == "bearer"

    @property
    def answered(self) -> bool:
        """The endpoint gave a response, whatever it says."""
        return self.http is None or self.http.status is not None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SignatureCheck(Observation):
    """Whether the published keys verify the token's signature (RFC 7515)."""

    state: SignatureState
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TokenInfo(Observation):
    """What the provider's own endpoint says of an opaque token."""

    http: HttpExchange
    claims: Mapping[str, str] = field(default_factory=dict)
