"""What is the same for everyone at one mail service, as ``providers/*.toml`` says it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host, port and TLS mode of one submission service."""

    host: str
    port: int
    tls: str = "starttls"  # starttls | implicit

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RefreshLimit:
    """A life that a provider gives to some refresh tokens, however often they are used; its answers say."""

    name: str  # what brings it about
    days: int  # from the sign-in on


@dataclass(frozen=True, slots=True)
class Retirement:
    """Something a provider has announced to end on a day."""

    what: str
    date: dt.date


@dataclass(frozen=True, slots=True)
class Provider:
    """What is the same for everyone at one mail service (``providers/*.toml``)."""

    name: str
    title: str
    endpoints: tuple[Endpoint, ...] = ()
    imap: Endpoint | None = None
    pop: Endpoint | None = None
    legacy_hosts: Mapping[str, str] = field(default_factory=dict)  # host -> what it is
    oauth: Mapping[str, str] = field(default_factory=dict)  # endpoint templates with {tenant}
    default_tenant: str = ""
    scope: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # grant -> scopes
    grants: tuple[str, ...] = ()  # the grants that can work here; empty: any
    aud: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    opaque_tokens: bool = False
    signed_tokens: bool = True  # whether the published keys are expected to verify an access token
    client_secret_required: bool = False
    own_domains: tuple[str, ...] = ()  # domains of the provider itself: their DNS is not the user's
    spf_include: tuple[str, ...] = ()
    dkim_selectors: tuple[str, ...] = ()
    mx_suffixes: tuple[str, ...] = ()
    issuer_hosts: tuple[str, ...] = ()  # hosts whose endpoints discovery may name
    refresh_idle_days: int = 0
    renews_refresh_tokens: bool = False  # each redemption brings a new refresh token
    token_life_s: int = 0  # seconds a token should have left; 0: as anywhere
    sign_in_scope: tuple[str, ...] = ()  # asked of a person besides, where tokens do not say whose they are
    password_retirement: str = ""
    refresh_limits: tuple[RefreshLimit, ...] = ()
    password_change_ends: str = ""  # refresh tokens of: public (clients) | all | empty: nobody is known to
    retirements: tuple[Retirement, ...] = ()
    domains_elsewhere: Mapping[str, str] = field(default_factory=dict)  # domain -> the preset it is at
    verified: dt.date | None = None  # the day all this was last looked up
    unverified: Mapping[str, str] = field(default_factory=dict)  # key -> what its value rests on instead
    sources: tuple[str, ...] = ()

    def owns(self, domain: str) -> bool:
        """Whether the domain, or one above it, is the provider's own (``contoso.onmicrosoft.com``)."""
        return any(domain == own or domain.endswith(f".{own}") for own in self.own_domains)
