"""A profile as read, table by table: what should be true of one mail setup."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smtp_preflight.model.provider import Provider
from smtp_preflight.model.words import GrantType, Severity, Until


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is kept; never the secret itself."""

    kind: str  # env | file | command | keyring | stdin | github
    place: tuple[str, ...]  # the variable, the path, the command's words, service and user, the audience

    def __str__(self) -> str:
        return f"{self.kind}:{' '.join(self.place)}"


@dataclass(frozen=True, slots=True)
class Smtp:
    """``[smtp]``: where mail is submitted, and how we introduce ourselves."""

    host: str
    port: int = 587
    tls: str = "starttls"  # starttls | implicit
    ehlo_name: str = ""  # empty: this machine's name, or its address literal
    mechanism: str = ""  # xoauth2 | oauthbearer | empty: XOAUTH2, or OAUTHBEARER where only that is offered


@dataclass(frozen=True, slots=True)
class OAuth:
    """``[oauth]``: the application, its endpoints and where its secrets are kept."""

    grant: GrantType = GrantType.CLIENT_CREDENTIALS
    tenant: str = ""
    client_id: str = ""
    client_type: str = "confidential"  # confidential | public
    client_auth: str = "post"  # post | basic
    scope: tuple[str, ...] = ()
    issuer: str = ""
    authorize_endpoint: str = ""
    token_endpoint: str = ""
    device_endpoint: str = ""
    jwks_uri: str = ""
    discovery_uri: str = ""
    token_info_uri: str = ""
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    redirect_uri: str = ""
    client_secret: SecretRef | None = None
    certificate: SecretRef | None = None
    certificate_passphrase: SecretRef | None = None
    federated: SecretRef | None = None
    service_account: SecretRef | None = None
    refresh_token: SecretRef | None = None
    access_token: SecretRef | None = None
    secret_expires: dt.date | None = None
    app_permission: str = "role"  # role | rbac
    store: str = ""  # empty: the user's state folder; "keyring"; a path
    on_rotation: tuple[str, ...] = ()

    def secrets(self) -> Mapping[str, SecretRef]:
        """The secrets this profile names, by key, in the order of the keys."""
        named = (
            "client_secret",
            "certificate",
            "certificate_passphrase",
            "federated",
            "service_account",
            "refresh_token",
            "access_token",
        )
        return {key: ref for key in named if (ref := getattr(self, key)) is not None}


@dataclass(frozen=True, slots=True)
class Expect:
    """``[expect]``: what the token has to say."""

    aud: tuple[str, ...] = ()
    tid: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Send:
    """``[send]``: the one message that may leave."""

    sender: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """``[delivery]``: where the message is looked for."""

    mailbox: str
    profile: str = ""
    within_s: float = 60


@dataclass(frozen=True, slots=True)
class MailboxAccess:
    """``[imap]`` and ``[pop]``: where the mailbox can be read."""

    host: str = ""
    port: int = 0
    check: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """``[limits]``: seconds after which a question gives up, and after which its answer is called slow."""

    dns_s: float = 10
    tcp_s: float = 10
    greeting_s: float = 30
    reply_s: float = 30
    tls_s: float = 15
    data_s: float = 120
    http_s: float = 30
    run_s: float = 240
    dns_slow_s: float = 2
    tcp_slow_s: float = 2
    greeting_slow_s: float = 5
    reply_slow_s: float = 10
    tls_slow_s: float = 5
    data_slow_s: float = 10
    http_slow_s: float = 5


@dataclass(frozen=True, slots=True)
class Thresholds:
    """``[thresholds]``: how near an end may come before it is mentioned."""

    certificate_days: int = 14
    secret_days: int = 30
    refresh_token_days: int = 7
    token_life_s: int = 300


@dataclass(frozen=True, slots=True)
class Waiver:
    """``[[waivers]]``: a finding somebody has accepted, why, and until when (its last day, UTC)."""

    code: str
    reason: str
    until: dt.date
    subject: str = ""

    def covers(self, code: str, subject: str, day: dt.date) -> bool:
        """Whether the waiver stands for this finding on that day."""
        return self.code == code and self.subject in ("", subject) and day <= self.until


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as the reports show it: its value as text, and where it came from."""

    value: Any  # what JSON can hold; a secret is its reference ("env:CONTOSO_CLIENT_SECRET")
    origin: str  # profile | preset | default | lab


@dataclass(frozen=True, slots=True)
class Profile:
    """What should be true of one mail setup: its file, over its preset, over the defaults."""

    name: str
    provider: Provider
    mailbox: str
    smtp: Smtp
    oauth: OAuth
    expect: Expect = field(default_factory=Expect)
    send: Send | None = None
    delivery: Delivery | None = None
    imap: MailboxAccess = field(default_factory=MailboxAccess)
    pop: MailboxAccess = field(default_factory=MailboxAccess)
    dns_servers: tuple[str, ...] = ()
    ca_file: str = ""
    proxy: str = ""
    lab: str = ""
    limits: Limits = field(default_factory=Limits)
    thresholds: Thresholds = field(default_factory=Thresholds)
    severity: Mapping[str, Severity] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    origins: Mapping[str, str] = field(
        default_factory=dict
    )  # "smtp.host" -> profile | preset | default | lab
    written: Profile | None = None  # as the file says it, where a lab has taken its place
    reader: Profile | None = None  # the one that [delivery] names, while its login can be used

    @property
    def as_written(self) -> Profile:
        """The profile before a lab's overlay: what stage profile judges."""
        return self.written or self

    @property
    def sender(self) -> str:
        """The envelope's sender."""
        return self.send.sender if self.send else self.mailbox

    @property
    def recipients(self) -> tuple[str, ...]:
        """The envelope's recipients; without ``[send]`` the mailbox itself, and no message follows."""
        return self.send.to if self.send else (self.mailbox,)

    def expected_values(self, claim: str) -> frozenset[str]:
        """What a claim of the token has to be, in the form of ``AccessToken.values``; empty: anything."""
        wanted = {
            "aud": self.expect.aud,
            "tid": self.expect.tid,
            "appid": (self.oauth.client_id,) if self.oauth.client_id else (),
        }
        return frozenset(one.lower().rstrip("/") for one in wanted[claim])

    def place_of(self, protocol: str) -> str:
        """Where the mailbox can be read over "imap" or "pop", as questions name it; empty: nowhere known."""
        at = self.imap if protocol == "imap" else self.pop
        return f"{protocol} {at.host}:{at.port}" if at.host else ""

    @property
    def delivery_login(self) -> str:
        """The login that looks for the message, as questions name it; empty where none may open it."""
        if self.delivery is None:
            return ""
        if self.delivery.profile:
            return f"imap of {self.delivery.profile}"
        its_own = self.delivery.mailbox.lower() == self.mailbox.lower()
        return self.place_of("imap") if its_own else ""

    @property
    def watched(self) -> Mapping[str, str]:
        """The mailboxes to look into once the message is accepted, each with the login that opens it.

        Where another login reads the recipient's, the sender's own is watched for a bounce if ``[imap]``
        has ``check = true``: it is read anyway then.
        """
        if self.delivery is None:
            return {}
        both = bool(self.delivery.profile) and self.imap.check
        own = {self.mailbox.lower(): self.place_of("imap")} if both else {}
        return {**own, self.delivery.mailbox.lower(): self.delivery_login}

    @property
    def furthest(self) -> Until:
        """How far this profile is set up to go."""
        if self.delivery:
            return Until.DELIVERY
        return Until.SEND if self.send else Until.ENVELOPE

    @property
    def sign_in_scope(self) -> tuple[str, ...]:
        """What a person who signs in is asked to permit."""
        return tuple(dict.fromkeys((*self.oauth.scope, *self.provider.sign_in_scope)))

    @property
    def sender_domains(self) -> tuple[str, ...]:
        """The domains mail is sent from that are not the provider's own: their DNS is the user's to mend."""
        named = dict.fromkeys(address.rpartition("@")[2].lower() for address in (self.sender, self.mailbox))
        return tuple(name for name in named if name and not self.provider.owns(name))
