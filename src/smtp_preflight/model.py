"""The words of the house: profile, question, observation, cause, finding, run.

Everything here is frozen plain data of the standard library. Observations are what probes bring home; they
hold no secret and no judgement, and properties that read well after ``assert``.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

# --- closed lists (product.md sections 2, 5 and 10) --------------------------------------------------------


class Stage(StrEnum):
    """A stretch of the mail path, in the order in which a run is judged and reported."""

    PROFILE = "profile"
    DNS = "dns"
    TCP = "tcp"
    GREETING = "greeting"
    STARTTLS = "starttls"
    TLS = "tls"
    AUTH_OFFERED = "auth_offered"
    DISCOVERY = "discovery"
    DEVICE = "device"
    AUTHORIZE = "authorize"
    TOKEN = "token"  # noqa: S105 - a stage, not a password
    REFRESH = "refresh"
    CLAIMS = "claims"
    AUTH = "auth"
    MAIL_FROM = "mail_from"
    RCPT_TO = "rcpt_to"
    DATA = "data"
    DELIVERY = "delivery"
    MAILBOX_ACCESS = "mailbox_access"

    @property
    def place(self) -> int:
        """Where the stage stands in the order."""
        return list(Stage).index(self)


class Severity(StrEnum):
    """What a cause does to the mail: it does not leave, not for long or not safely, or it is good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


class Certainty(StrEnum):
    """How sure the evidence makes us of a cause."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Outcome(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    ERROR = "error"


class Verdict(StrEnum):
    """What a run says in one word."""

    READY = "ready"
    READY_WITH_WARNINGS = "ready_with_warnings"
    NOT_READY = "not_ready"
    INCOMPLETE = "incomplete"


class Until(StrEnum):
    """How far a run goes (``--until``)."""

    CONNECT = "connect"
    AUTH = "auth"
    ENVELOPE = "envelope"
    SEND = "send"
    DELIVERY = "delivery"


class GrantType(StrEnum):
    """How a profile's tokens are first obtained."""

    AUTHORIZATION_CODE = "authorization_code"
    DEVICE_CODE = "device_code"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant
    CLIENT_CREDENTIALS = "client_credentials"
    JWT_BEARER = "jwt_bearer"
    ACCESS_TOKEN = "access_token"  # noqa: S105 - the name of a grant


# --- a profile ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is kept; never the secret itself."""

    kind: str  # env | file | command | keyring | stdin | github
    place: tuple[str, ...]  # the variable, the path, the command's words, service and user, the audience

    def __str__(self) -> str:
        return f"{self.kind}:{' '.join(self.place)}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host, port and TLS mode of one submission service."""

    host: str
    port: int
    tls: str = "starttls"  # starttls | implicit

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


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


# --- questions and what comes back -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that can be asked: the kind of observation, and whom or what it is about."""

    kind: type[Observation]
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind.__name__} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one question brought: begun when (UTC), taking how long, answered by whom."""

    asked_at: dt.datetime
    took_s: float = 0.0
    peer: str = ""

    @property
    def observed_at(self) -> dt.datetime:
        """When the answer was complete; "now" for whoever judges it."""
        return self.asked_at + dt.timedelta(seconds=self.took_s)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.peer or self.asked_at.isoformat()}>"


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


class DnsStatus(StrEnum):
    """What a name server's answer amounts to; kept apart because the remedies differ."""

    ANSWER = "answer"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # no name server could be asked at all
    INVALID_NAME = "invalid_name"  # what was to be asked is not a domain name


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DnsAnswer(Observation):
    """The answer to one DNS query (RFC 1035; NODATA as in RFC 2308 section 2.2)."""

    name: str
    rdtype: str
    status: DnsStatus
    records: tuple[str, ...] = ()  # presentation form; TXT strings joined (RFC 7208 section 3.3)
    aliases: tuple[str, ...] = ()  # the CNAME chain, in order, without the name asked
    ttl_s: int | None = None
    detail: str = ""
    bogus: bool = False  # SERVFAIL that became an answer with checking disabled

    @property
    def found(self) -> bool:
        """There are records of the type asked for."""
        return self.status is DnsStatus.ANSWER and bool(self.records)

    @property
    def settled(self) -> bool:
        """The name server said yes or no, rather than nothing or that it is in trouble."""
        return self.status in (DnsStatus.ANSWER, DnsStatus.NODATA, DnsStatus.NXDOMAIN)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SystemAddresses(Observation):
    """What this machine's own resolver (``getaddrinfo``) makes of a name; this is what gets connected to.

    Where the profile names its own DNS servers, those are asked instead and ``by_system`` is false.
    """

    host: str
    addresses: tuple[str, ...] = ()
    error: str = ""  # the resolver's word for it, EAI_NONAME say
    by_system: bool = True


def _is_public(address: str) -> bool:
    """An address that anybody on the internet may have been given (RFC 6890)."""
    return ipaddress.ip_address(address).is_global


@dataclass(frozen=True, slots=True)
class Published:
    """What DNS publishes for the submission host: its A and its AAAA answer."""

    a: DnsAnswer
    aaaa: DnsAnswer

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses of both families."""
        return (*self.a.records, *self.aaaa.records)

    @property
    def status(self) -> DnsStatus:
        """An answer where either has one; else what was said of the name, trouble before a plain no."""
        told = (self.a.status, self.aaaa.status)
        if DnsStatus.ANSWER in told:
            return DnsStatus.ANSWER
        return next((one for one in told if one not in (DnsStatus.NODATA, DnsStatus.NXDOMAIN)), self.a.status)

    def agrees_with(self, addresses: tuple[str, ...]) -> bool:
        """Whether another resolver may have had the same source.

        Large providers answer every query with another part of their addresses. So different public ones are
        no contradiction; a private address beside public ones is.
        """
        if not addresses or not self.addresses:
            return False
        shared = bool(set(addresses) & set(self.addresses))
        return shared or all(map(_is_public, (*addresses, *self.addresses)))

    @property
    def took_s(self) -> float:
        """The longer of the two."""
        return max(self.a.took_s, self.aaaa.took_s)


class TcpOutcome(StrEnum):
    """What came of one attempt to connect."""

    CONNECTED = "connected"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NO_ROUTE = "no_route"
    PROHIBITED = "prohibited"
    RESET = "reset"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TcpAttempt:
    """One address, one attempt."""

    address: str
    port: int
    outcome: TcpOutcome
    took_s: float = 0.0
    error: str = ""  # the system's name for it, ECONNREFUSED say


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TcpConnects(Observation):
    """Every published address of one family, each tried once."""

    family: str  # ipv4 | ipv6
    attempts: tuple[TcpAttempt, ...] = ()  # none: no address of this family is published
    routable: bool = True  # this machine has a route for the family

    @property
    def connected(self) -> tuple[TcpAttempt, ...]:
        """The attempts that succeeded."""
        return tuple(one for one in self.attempts if one.outcome is TcpOutcome.CONNECTED)

    @property
    def failed(self) -> tuple[TcpAttempt, ...]:
        """The attempts that did not."""
        return tuple(one for one in self.attempts if one.outcome is not TcpOutcome.CONNECTED)


class Failure(StrEnum):
    """How a dialogue came to an end without the reply that was due."""

    TIMEOUT = "timeout"
    CLOSED = "closed"
    RESET = "reset"
    TOO_LONG = "too_long"  # more bytes or lines than a reply may have
    NOT_SMTP = "not_smtp"  # something else than a reply of RFC 5321 section 4.2
    TLS = "tls"  # the TLS layer broke
    NOT_SENT = "not_sent"  # it cannot be said in SMTP, or not safely; the server was not asked


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """One reply: its code, and the text of each line without the code (RFC 5321 section 4.2)."""

    code: int
    lines: tuple[str, ...] = ()
    cut: bool = False  # more came than is kept

    @property
    def text(self) -> str:
        """The lines as one."""
        return " ".join(self.lines)

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), or nothing."""
        found = re.match(r"([245]\.\d{1,3}\.\d{1,3})(?=\s|$)", self.lines[0] if self.lines else "")
        return found[1] if found else ""

    @property
    def positive(self) -> bool:
        """The server did what was asked, or asks to go on."""
        return 200 <= self.code < 400

    def __str__(self) -> str:
        *before, last = self.lines or ("",)
        return "\n".join([*(f"{self.code}-{line}" for line in before), f"{self.code} {last}"])


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a dialogue as the transcript shows it, credentials already replaced."""

    at_s: float  # since the connection was opened
    who: str  # C: we, S: the server, -: what happened to the connection
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SmtpStep(Observation):
    """One step of the SMTP dialogue: what was said, and how it ended."""

    reply: SmtpReply | None = None
    failure: Failure | None = None
    detail: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def accepted(self) -> bool:
        """A positive reply came, whole."""
        return self.failure is None and self.reply is not None and 200 <= self.reply.code < 300


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SmtpGreeting(SmtpStep):
    """The server's first words (RFC 5321 section 4.3.1)."""

    first_bytes: str = ""  # escaped, where they are no reply
    looks_like: str = ""  # tls | ssh | http | imap | pop3, where that can be told

    @property
    def is_smtp(self) -> bool:
        """What answers is an SMTP server."""
        return self.reply is not None and self.failure is None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ehlo(SmtpStep):
    """The server's capabilities (RFC 5321 section 4.1.1.1); asked before and after TLS, for they differ."""

    name_sent: str = ""
    encrypted: bool = False

    @property
    def keywords(self) -> Mapping[str, tuple[str, ...]]:
        """Capability to its parameters, in upper case; ``AUTH=`` is read as ``AUTH`` where no ``AUTH`` is."""
        found: dict[str, tuple[str, ...]] = {}
        old: tuple[str, ...] = ()
        for line in self.reply.lines[1:] if self.accepted and self.reply else ():
            words = line.upper().split()
            if words and words[0].startswith("AUTH="):
                old = (words[0].removeprefix("AUTH="), *words[1:])
            elif words:
                found[words[0]] = (*found.get(words[0], ()), *words[1:])
        if old and "AUTH" not in found:
            found["AUTH"] = old
        return found

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered (RFC 4954 section 3)."""
        return self.keywords.get("AUTH", ())

    @property
    def bearer_mechanisms(self) -> tuple[str, ...]:
        """Those that take a bearer token, the one to prefer first."""
        return tuple(one for one in ("XOAUTH2", "OAUTHBEARER") if one in self.mechanisms)

    def bearer_for(self, wanted: str) -> str:
        """The one to use: the first offered, or the one the profile asks for; empty where it is not there."""
        return next((one for one in self.bearer_mechanisms if wanted.upper() in ("", one)), "")

    def offers(self, keyword: str) -> bool:
        """Whether the capability is listed."""
        return keyword.upper() in self.keywords


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StartTls(SmtpStep):
    """The answer to STARTTLS (RFC 3207), and whatever was sent in the clear behind it."""

    injected: str = ""  # escaped

    @property
    def may_begin(self) -> bool:
        """The server said 220 and nothing else."""
        return self.accepted and self.reply is not None and self.reply.code == 220 and not self.injected


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of a chain, as far as judging it needs."""

    subject: str
    issuer: str
    names: tuple[str, ...]  # subjectAltName, DNS names and addresses
    not_before: dt.datetime
    not_after: dt.datetime
    key_type: str  # RSA | EC | Ed25519 | …
    key_bits: int
    signature_hash: str  # sha256 | sha1 | …; empty where the scheme has none of its own
    sha256: str  # fingerprint of the whole certificate, hex
    spki_sha256: str = ""  # of its public key, for TLSA 3 1 1

    @property
    def self_issued(self) -> bool:
        """It names itself as its issuer."""
        return self.subject == self.issuer

    @property
    def weak_key(self) -> bool:
        """RSA under 2048 bits, or elliptic curves under 224 (RFC 9325 section 4.5)."""
        least = {"RSA": 2048, "DSA": 2048, "EC": 224}.get(self.key_type, 0)
        return self.key_bits < least

    @property
    def weak_signature(self) -> bool:
        """Signed over MD5 or SHA-1; a self-issued one is trusted by itself, not by its signature."""
        return self.signature_hash in ("md5", "sha1") and not self.self_issued

    def names_host(self, host: str) -> bool:
        """A DNS name matches, a wildcard standing for one whole left-most label (RFC 9525 section 6.3)."""
        wanted = host.lower().rstrip(".")
        parent = wanted.partition(".")[2]
        offered = {name.lower().rstrip(".") for name in self.names}
        return wanted in offered or (bool(parent) and f"*.{parent}" in offered)


class TlsFailure(StrEnum):
    """How a handshake ended, where it did not succeed."""

    TIMEOUT = "timeout"
    CLOSED = "closed"
    RESET = "reset"
    ALERT = "alert"
    VERSION = "version"  # no version in common
    NOT_TLS = "not_tls"  # the answer is no TLS record
    VERIFY = "verify"  # the certificate is not accepted
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TlsHandshake(Observation):
    """The verified handshake; where that failed, what a second, unverified one could still read."""

    host: str
    failure: TlsFailure | None = None
    detail: str = ""
    verify_code: int | None = None  # OpenSSL's X509_V_ERR_…
    verify_message: str = ""
    version: str = ""  # TLSv1.3
    cipher: str = ""
    chain: tuple[Certificate, ...] = ()  # as sent, leaf first, at most 20
    diagnosed: bool = False  # version, cipher and chain are from the second handshake
    ca_problem: str = ""  # why no trust store could be loaded, in words
    lines: tuple[Line, ...] = ()

    @property
    def verified(self) -> bool:
        """The handshake succeeded and the certificate is good for the configured name."""
        return self.failure is None

    @property
    def leaf(self) -> Certificate | None:
        """The server's own certificate."""
        return self.chain[0] if self.chain else None

    @property
    def dates_hold(self) -> bool:
        """The chain has begun and not ended; where OpenSSL found another fault first, we read the leaf."""
        if self.verified or self.leaf is None:
            return True
        return (
            self.verify_code not in (9, 10)
            and self.leaf.not_before <= self.observed_at <= self.leaf.not_after
        )

    @property
    def names_host(self) -> bool:
        """The server's certificate is for the configured host; OpenSSL has said so where it verified."""
        return self.verified or self.leaf is None or self.leaf.names_host(self.host)

    @property
    def keys_strong(self) -> bool:
        """No key of the chain is too short for OpenSSL, nor the server's own for RFC 9325 section 4.5."""
        return self.verify_code not in (66, 67) and not (self.leaf and self.leaf.weak_key)

    @property
    def signatures_strong(self) -> bool:
        """The chain is not signed over a broken hash."""
        return self.verify_code != 68 and not (self.leaf and self.leaf.weak_signature)

    @property
    def modern(self) -> bool:
        """TLS 1.2 or newer was agreed on (RFC 9325 section 3.1.1)."""
        return self.version in ("TLSv1.2", "TLSv1.3")

    @property
    def completed(self) -> bool:
        """A handshake came to its end, be it the second, unverified one."""
        return bool(self.version)

    @property
    def issuer_trusted(self) -> bool:
        """The chain leads to an authority this machine trusts, whatever its dates and names are.

        OpenSSL builds the chain before it looks at key sizes, names and dates, and reports the first error:
        one about those (66 to 68; 62, 64; 9, 10) means that the chain had been found.
        """
        return self.verified or self.verify_code in (9, 10, 62, 64, 66, 67, 68)


class HttpFailure(StrEnum):
    """How an HTTP exchange ended, where no whole response came."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    PROXY = "proxy"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True)
class HttpExchange:
    """One request and its response, bounded; the body itself is read by the probe and not kept."""

    method: str
    url: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # those that matter, in lower case
    size_bytes: int = 0
    cut: bool = False
    is_json: bool = False
    excerpt: str = ""  # the first characters of a body that is not JSON, inert
    date: dt.datetime | None = None  # the Date header
    proxy: str = ""  # through which proxy, without credentials
    failure: HttpFailure | None = None
    detail: str = ""
    sent: bool = False  # the request left, wholly or in part; whatever it asks for may have happened


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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthExchange(SmtpStep):
    """AUTH with a bearer token: both shapes of RFC 4954 section 4, the challenge decoded and answered."""

    mechanism: str = "XOAUTH2"
    user: str = ""
    shape: str = ""  # initial_response | two_steps
    response_bytes: int = 0
    challenge: Mapping[str, str] = field(default_factory=dict)  # the 334's JSON
    challenge_text: str = ""  # where it is something else

    @property
    def accepted(self) -> bool:
        """235; a 334 is a question, and 503 is no success either."""
        return self.failure is None and self.reply is not None and self.reply.code == 235


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MailFrom(SmtpStep):
    """The answer to MAIL FROM."""

    sender: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RcptTo(SmtpStep):
    """The answer to one RCPT TO."""

    recipient: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DataExchange(SmtpStep):
    """The message and what the server said to it."""

    message_id: str = ""
    marker: str = ""
    size_bytes: int = 0
    go_ahead: SmtpReply | None = None  # the 354
    body_sent: bool = False  # whether any byte of the message left

    @property
    def queue_id(self) -> str:
        """The server's own name for the message, where its reply shows one."""
        if not self.accepted or self.reply is None:
            return ""
        found = re.search(r"(?:queued as\s+|id=|OK\s+)<?([\w.@-]{5,})", self.reply.text)
        return found[1] if found else ""


# --- the mailbox -------------------------------------------------------------------------------------------


class MailboxProtocol(StrEnum):
    """How a mailbox is read (RFC 9051, RFC 1939)."""

    IMAP = "imap"
    POP = "pop"


class MailboxTrouble(StrEnum):
    """How far opening a mailbox came, where it was not opened or what was asked in it got no answer."""

    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"  # nothing listens there, or no packet comes back
    TLS = "tls"  # no handshake, or a certificate that is not accepted: nothing was said
    NOT_SPOKEN = "not_spoken"  # what answers is no such server, or not in its right mind
    NOT_OFFERED = "not_offered"  # TLS by STARTTLS, or a mechanism that takes a bearer token
    REFUSED = "refused"  # the token
    NOT_OPENED = "not_opened"  # the token was accepted, the mailbox stays closed
    NO_ANSWER = "no_answer"
    HUNG_UP = "hung_up"
    TOO_LONG = "too_long"  # more bytes or lines than an answer may have
    NOT_SENT = "not_sent"  # it cannot be said in the protocol; the server was not asked


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MailboxLogin(Observation):
    """A login to read a mailbox, over IMAP or POP, with a bearer token; what is in it was not looked at."""

    protocol: MailboxProtocol
    host: str
    port: int
    user: str
    mechanism: str = ""  # XOAUTH2 | OAUTHBEARER; empty: it did not come to that
    shape: str = ""  # initial_response | two_steps
    capabilities: tuple[str, ...] = ()  # under TLS, in upper case
    trouble: MailboxTrouble | None = None
    reply: str = ""  # the server's words at the end
    challenge: Mapping[str, str] = field(default_factory=dict)  # the refusal's JSON
    challenge_text: str = ""  # where it is something else
    lines: tuple[Line, ...] = ()

    @property
    def opened(self) -> bool:
        """The mailbox can be read."""
        return self.trouble is None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReaderGrant(Observation):
    """The token request of the profile whose login reads the mailbox, by its own grant and secrets."""

    profile: str
    grant: Grant | None = None  # none where a secret could not be read
    problem: str = ""  # which one, and why

    @property
    def granted(self) -> bool:
        """A token came back."""
        return self.grant is not None and self.grant.granted


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """The message as it lies in the mailbox; of its headers what is judged, and nothing of its body."""

    folder: str
    in_inbox: bool
    author: str  # the address in From
    authentication_results: str = ""  # the topmost, as the last server wrote it (RFC 8601 section 5)

    def result_of(self, method: str) -> str:
        """What it says of spf, dkim or dmarc: pass where one of several passes; empty: nothing."""
        without_comments = re.sub(r"\([^()]*\)", " ", self.authentication_results)
        told = re.findall(rf"(?:^|;|\s){method}\s*=\s*(\w+)", without_comments, re.IGNORECASE)
        words = [one.lower() for one in told]
        return "pass" if "pass" in words else next(iter(words), "")


@dataclass(frozen=True, slots=True)
class Bounce:
    """A report that the message could not be delivered (RFC 3464)."""

    status: str = ""  # 5.1.1
    diagnostic: str = ""  # the refusing server's words
    recipient: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Arrival(Observation):
    """What was found in a mailbox after the message had been accepted, within the time allowed."""

    mailbox: str
    message: FoundMessage | None = None
    bounce: Bounce | None = None
    missing_after_s: float = 0.0  # since it was accepted: when it was last looked for in vain; 0: never
    looks: int = 0
    trouble: MailboxTrouble | None = None  # why looking ended early
    reply: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def found(self) -> bool:
        """The message is there."""
        return self.message is not None


# --- what the domains that mail is sent from publish -------------------------------------------------------


def tags_of(record: str) -> Mapping[str, str]:
    """The tags of a record in DKIM's manner (RFC 6376 section 3.2): name in lower case, and value."""
    found: dict[str, str] = {}
    for one in record.split(";"):
        name, sign, value = one.partition("=")
        if sign:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def trouble_in(answers: Iterable[DnsAnswer]) -> str:
    """The first question of several that got neither yes nor no, and how it ended; empty where all did."""
    known = (DnsStatus.ANSWER, DnsStatus.NODATA, DnsStatus.NXDOMAIN, DnsStatus.INVALID_NAME)
    told = (f"{one.name} {one.rdtype} ({one.status})" for one in answers if one.status not in known)
    return next(told, "")


@dataclass(frozen=True, slots=True)
class MailHost:
    """A host that takes a domain's mail, and what DNS says of its name."""

    name: str
    published: Published

    @property
    def is_alias(self) -> bool:
        """The name stands for another one, which an MX must not name (RFC 2181 section 10.3)."""
        return bool(self.published.a.aliases or self.published.aaaa.aliases)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MailExchangers(Observation):
    """Who takes a domain's mail (RFC 5321 section 5.1); nobody there is ever connected to."""

    domain: str
    mx: DnsAnswer
    hosts: tuple[MailHost, ...] = ()  # those that were looked up, the preferred ones first

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return (self.mx, *(one for host in self.hosts for one in (host.published.a, host.published.aaaa)))

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts that are named, in the order of preference."""
        pairs = sorted((record.partition(" ") for record in self.mx.records), key=_preference)
        return tuple(dict.fromkeys(name.lower() for _, _, name in pairs))

    @property
    def refuses_mail(self) -> bool:
        """The domain says that it takes no mail (RFC 7505 section 3)."""
        return "." in self.names

    @property
    def aliases(self) -> tuple[str, ...]:
        """The hosts whose names are only aliases."""
        return tuple(one.name for one in self.hosts if one.is_alias)

    @property
    def without_address(self) -> tuple[str, ...]:
        """The hosts that nobody could connect to."""
        return tuple(one.name for one in self.hosts if not one.published.addresses)


def _preference(record: tuple[str, str, str]) -> int:
    return int(record[0]) if record[0].isdecimal() else 0


@dataclass(frozen=True, slots=True)
class SpfTerm:
    """One word of an SPF record (RFC 7208 section 4.6.1)."""

    word: str  # as it is written
    name: str  # of the mechanism or modifier, in lower case
    value: str = ""
    qualifier: str = "+"

    @property
    def looks_up(self) -> bool:
        """Evaluating it takes a look-up that counts (RFC 7208 section 4.6.4)."""
        return self.name in ("include", "a", "mx", "ptr", "exists", "redirect")

    @property
    def by_macro(self) -> bool:
        """What it looks up is made from the message, so that only a receiver can (RFC 7208 section 7)."""
        return self.looks_up and "%" in self.value

    @property
    def leads_to(self) -> str:
        """The name of another record that takes part, or nothing."""
        if self.name not in ("include", "redirect") or self.by_macro:
            return ""
        return self.value.lower().removesuffix(".")


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """What one name publishes for SPF."""

    answer: DnsAnswer
    terms: tuple[SpfTerm, ...] = ()  # where there is exactly one record
    problem: str = ""  # the first word of it that cannot be read

    @property
    def name(self) -> str:
        """Where it stands."""
        return self.answer.name.lower().removesuffix(".")

    @property
    def texts(self) -> tuple[str, ...]:
        """The TXT records that are meant for SPF (RFC 7208 section 4.5)."""
        return tuple(one for one in self.answer.records if re.match(r"v=spf1( |$)", one, re.IGNORECASE))

    @property
    def evaluated(self) -> tuple[SpfTerm, ...]:
        """The terms that can take part: nothing behind ``all``, and no ``redirect`` beside one.

        Source: RFC 7208 sections 5.1 and 6.1.
        """
        mechanisms = [one for one in self.terms if one.name not in ("redirect", "exp")]
        end = next((place for place, one in enumerate(mechanisms, 1) if one.name == "all"), None)
        redirect = [one for one in self.terms if one.name == "redirect" and end is None]
        return (*mechanisms[:end], *redirect)

    @property
    def passing(self) -> tuple[SpfTerm, ...]:
        """Those of them that let mail pass."""
        return tuple(one for one in self.evaluated if one.qualifier == "+")

    @property
    def trouble(self) -> str:
        """Why a receiver gives the record up, or nothing."""
        if len(self.texts) != 1:
            return "more than one SPF record there" if self.texts else "no SPF record there"
        return self.problem


MOST_SPF_LOOKUPS = 10  # RFC 7208 section 4.6.4
MOST_COUNTED = 50  # a record that leads back to itself would be counted without end


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SpfTree(Observation):
    """A domain's SPF record (RFC 7208), with those it leads to and the provider's own; each name once."""

    domain: str
    own: SpfRecord
    others: tuple[SpfRecord, ...] = ()

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return tuple(one.answer for one in (self.own, *self.others))

    @property
    def lookups(self) -> int:
        """How many look-ups evaluating all of it takes, inclusions within inclusions among them; 50 at most.

        The void ones among them (section 4.6.4) are told by ``problem`` where a record is missing.
        """
        count, waiting = 0, [self.own]
        while waiting and count < MOST_COUNTED:
            terms = waiting.pop().evaluated
            count += sum(one.looks_up for one in terms)
            waiting += self._at(one.leads_to for one in terms)
        return min(count, MOST_COUNTED)

    @property
    def problem(self) -> str:
        """Why a receiver gives up on evaluating it, or nothing."""
        told = ((one, one.trouble) for one in self.reached(self.own.name, passing=False))
        return next((what if one is self.own else f"{one.name}: {what}" for one, what in told if what), "")

    @property
    def by_macro(self) -> bool:
        """Who may send is partly answered for each message anew."""
        return any(term.by_macro for one in self.reached(self.own.name) for term in one.passing)

    def covers(self, include: str) -> bool:
        """Whether mail passes that comes from where the record at ``include`` says.

        By its name; by admitting everybody; or by addresses, where somebody copied them.
        """
        allowed = self.reached(self.own.name)
        if include in {one.name for one in allowed} or any(_for_all(one) for one in allowed):
            return True
        wanted, listed = _networks(self.reached(include)), _networks(allowed)
        return bool(wanted) and all(any(_within(one, other) for other in listed) for one in wanted)

    def reached(self, name: str, *, passing: bool = True) -> tuple[SpfRecord, ...]:
        """The record at a name, and those it leads to; passing: through terms that let mail pass only."""
        found: dict[str, SpfRecord] = {}
        waiting = list(self._at([name]))
        while waiting:
            record = waiting.pop(0)
            if record.name not in found:
                found[record.name] = record
                terms = record.passing if passing else record.evaluated
                waiting += self._at(one.leads_to for one in terms)
        return tuple(found.values())

    def _at(self, names: Iterable[str]) -> list[SpfRecord]:
        known = {one.name: one for one in (*self.others, self.own)}
        return [known[name] for name in names if name in known]


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _for_all(record: SpfRecord) -> bool:
    return any(one.name == "all" for one in record.passing)


def _networks(records: Iterable[SpfRecord]) -> list[Network]:
    terms = (term for one in records for term in one.passing)
    return [ipaddress.ip_network(one.value, strict=False) for one in terms if one.name in ("ip4", "ip6")]


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DkimKeys(Observation):
    """What stands at the names where the provider's signatures have their keys (RFC 6376 section 3.6.1)."""

    domain: str
    answers: tuple[DnsAnswer, ...] = ()  # one for each selector

    @property
    def published(self) -> bool:
        """At least one has a key; an empty one is revoked, and of two selectors only one is in use."""
        return any(tags_of(record).get("p") for one in self.answers for record in one.records)


@dataclass(frozen=True, slots=True)
class Announced:
    """The TXT records at a name that a protocol takes for its own, by the version they begin with."""

    answer: DnsAnswer
    version: str  # DMARC1 | STSv1 | TLSRPTv1

    @property
    def record(self) -> str:
        """The one there is; where there are several, none of them counts."""
        begins = re.compile(rf"v\s*=\s*{re.escape(self.version)}\s*(;|$)")
        found = [one for one in self.answer.records if begins.match(one)]
        return found[0] if len(found) == 1 else ""

    @property
    def meant(self) -> bool:
        """Somebody wanted one to be there, well made or not."""
        kind = re.escape(re.sub(r"v?\d+$", "", self.version))
        return any(re.search(rf"v\s*=\s*{kind}", one, re.IGNORECASE) for one in self.answer.records)

    @property
    def tags(self) -> Mapping[str, str]:
        """What the record says."""
        return tags_of(self.record)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DmarcWalk(Observation):
    """The DMARC record that applies to a domain: its own, or the next one above (RFC 9989, tree walk)."""

    domain: str
    own: Announced
    above: tuple[Announced, ...] = ()  # asked until one was found

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return tuple(one.answer for one in (self.own, *self.above))

    @property
    def applies(self) -> Announced | None:
        """The one that receivers use, where there is one."""
        return next((one for one in (self.own, *self.above) if one.record), None)

    @property
    def published(self) -> bool:
        """There is one, be it a broken one."""
        return self.own.meant or self.applies is not None

    @property
    def invalid(self) -> Announced | None:
        """What is published and cannot be used: the domain's own, or what it asks for does not exist.

        A policy that is not named is ``none``; tags that RFC 9989 dropped, or does not know, say nothing.
        """
        if self.own.meant and not self.own.record:
            return self.own
        asked = self.applies.tags if self.applies else {}
        known = ("none", "quarantine", "reject")
        wrong = any(asked[one].lower() not in known for one in ("p", "sp", "np") if one in asked)
        return self.applies if wrong else None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MtaSts(Observation):
    """A domain's demand for verified TLS (RFC 8461): its announcement, and the policy behind it."""

    domain: str
    announced: Announced
    http: HttpExchange | None = None  # not asked where nothing is announced
    policy: tuple[str, ...] = ()  # the lines of the policy

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return (self.announced.answer,)

    @property
    def valid(self) -> bool:
        """The announcement can be read (RFC 8461 section 3.1)."""
        return re.fullmatch(r"[A-Za-z0-9]{1,32}", self.announced.tags.get("id", "")) is not None

    @property
    def fetched(self) -> bool:
        """A policy came, as plain text, from the very place (RFC 8461 sections 3.2 and 3.3)."""
        if self.http is None or self.http.status != 200:
            return False
        kind = self.http.headers.get("content-type", "").partition(";")[0].strip().lower()
        mode = next(iter(self._values("mode")), "")
        return (
            kind == "text/plain"
            and "STSv1" in self._values("version")
            and mode in ("enforce", "testing", "none")
        )

    def unnamed(self, hosts: Iterable[str]) -> tuple[str, ...]:
        """Those of the hosts that the policy does not admit (RFC 8461 section 4.1)."""
        if "none" in self._values("mode"):
            return ()
        patterns = {one.lower().removesuffix(".") for one in self._values("mx")}
        return tuple(one for one in hosts if not {one, f"*.{one.partition('.')[2]}"} & patterns)

    def _values(self, key: str) -> tuple[str, ...]:
        pairs = (line.partition(":") for line in self.policy)
        return tuple(value.strip() for name, _, value in pairs if name.strip() == key)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TlsReporting(Observation):
    """Where a domain wants to be told of failed TLS (RFC 8460 section 3)."""

    domain: str
    announced: Announced

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return (self.announced.answer,)

    @property
    def valid(self) -> bool:
        """It names at least one place, and each of them is one."""
        places = self.announced.tags.get("rua", "").split(",")
        return all(re.match(r"(mailto:[^@]+@|https://)[^/]", one.strip()) for one in places)


# --- what tells neighbours apart ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What one name server says of the submission host."""

    server: str  # as the profile has it
    published: Published


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NameServers(Observation):
    """The profile's name servers, each asked for the addresses of the submission host."""

    host: str
    each: tuple[ServerAnswer, ...] = ()

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return tuple(one for server in self.each for one in (server.published.a, server.published.aaaa))

    @property
    def settled(self) -> tuple[ServerAnswer, ...]:
        """Those that said yes or no."""
        return tuple(one for one in self.each if one.published.a.settled and one.published.aaaa.settled)


class PortState(StrEnum):
    """What becomes of whoever connects."""

    OPEN = "open"
    CLOSED = "closed"
    TIMEOUT = "timeout"
    UNRESOLVED = "unresolved"  # the host has no address here


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PortCheck(Observation):
    """Whether a port takes connections; nothing is said there."""

    host: str
    port: int
    state: PortState
    error: str = ""  # the system's name for it, ECONNREFUSED say

    def __str__(self) -> str:
        return f"{self.host} port {self.port}: {self.state} {self.error}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ServiceCheck(Observation):
    """What a service shows to whoever does not log in; asked after a failure, to compare with."""

    host: str
    port: int
    tls: str  # starttls | implicit | https: how TLS is begun there
    greeting: str = ""  # the server's first line
    begun: bool = False  # TLS was begun as asked, be it with a certificate that is not accepted
    trusted: bool = False  # and its certificate is good for the host
    issuer: str = ""  # of that certificate
    mechanisms: tuple[str, ...] = ()  # what AUTH lists under TLS
    problem: str = ""  # how it ended before all was said
    lines: tuple[Line, ...] = ()

    @property
    def takes_tokens(self) -> bool:
        """Under TLS that is verified it offers a way to sign in with a token."""
        return bool({"XOAUTH2", "OAUTHBEARER"} & set(self.mechanisms))

    def __str__(self) -> str:
        shown = (self.greeting, f"AUTH {' '.join(self.mechanisms)}" if self.mechanisms else "", self.issuer)
        told = "; ".join(filter(None, (*shown, self.problem)))
        return short(f"{self.host} port {self.port} ({self.tls}): {told or 'nothing'}")


# --- causes and findings -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that may be wrong, how sure that is, and the facts that tell it; prose is in knowledge/."""

    code: str
    certainty: Certainty
    facts: Mapping[str, str] = field(default_factory=dict)
    decide_by: str = ""  # the look that would settle it


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check reports: its causes, best first, never none."""

    causes: tuple[Cause, ...]
    subject: str = ""  # the recipient, address or domain it is about; (code, subject) is its identity

    @property
    def code(self) -> str:
        """The code of its best cause."""
        return self.causes[0].code

    @property
    def id(self) -> str:
        """Its identity within a run."""
        return f"{self.code}:{self.subject}" if self.subject else self.code


T = TypeVar("T", bound=Observation)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was asked about one profile and what came back; closed before the first check."""

    profile: Profile
    started: dt.datetime
    answers: Mapping[Question, Observation] = field(default_factory=dict)
    follow_ups: frozenset[Question] = frozenset()  # those of the questions that were asked after a failure
    cut_short: str = ""  # run_limit | interrupted: why the asking ended early

    def get(self, kind: type[T], subject: str = "") -> T | None:
        """The answer to a question, or nothing where it was not asked."""
        found = self.answers.get(Question(kind, subject))
        return found if isinstance(found, kind) else None

    def every(self, kind: type[T]) -> tuple[T, ...]:
        """All answers of a kind, in the order in which they were asked."""
        return tuple(one for one in self.answers.values() if isinstance(one, kind))


# --- a run -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alternative:
    """A cause that the evidence does not rule out."""

    code: str
    certainty: Certainty
    decide_by: str


@dataclass(frozen=True, slots=True)
class ReportedFinding:
    """A finding in words, as reports and tickets carry it."""

    id: str
    code: str
    subject: str
    severity: Severity
    certainty: Certainty
    transient: bool
    waived: str | None  # the waiver's reason and last day
    stage: Stage
    check: str
    who: str
    title: str
    expected: str
    seen: str
    meaning: str
    remedy: tuple[str, ...]
    references: tuple[str, ...]
    alternatives: tuple[Alternative, ...] = ()
    predicted: bool = False  # read off the profile or the token; no server has decided it


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of one check."""

    id: str
    stage: Stage
    outcome: Outcome
    title: str = ""  # the expectation in a sentence
    code: str | None = None
    blocked_by: str | None = None
    reason: str | None = None
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something that ends."""

    what: str
    date: dt.date
    days_left: int
    based_on: str


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that two runs were told differently."""

    stage: Stage | None  # where it shows; None: of this machine or of what judges
    what: str
    before: str  # empty: nothing
    after: str


@dataclass(frozen=True, slots=True)
class SinceLastReady:
    """What has changed since the last run in which mail could leave; the likeliest to matter first."""

    started: dt.datetime  # of that run
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One profile, asked and judged: what every report is written from."""

    profile: str
    provider: str
    tool: str
    knowledge: str  # its date
    started: dt.datetime
    duration_s: float
    until: Until
    verdict: Verdict
    proven: Stage | None
    not_asked: tuple[Stage, ...]
    settings: Mapping[str, Setting]
    findings: tuple[ReportedFinding, ...]
    checks: tuple[CheckResult, ...]
    selected: tuple[str, ...]  # the ids of the checks that were to be judged
    until_when: tuple[Deadline, ...]
    seen: Seen
    evidence: tuple[Mapping[str, Any], ...]  # the answers of ``seen`` as plain data
    complete: bool = True  # every check that the profile's set-up calls for was judged
    replayed_from: str | None = None
    recorded_knowledge: str | None = None  # the date of the knowledge that judged it first
    recorded_codes: tuple[str, ...] = ()  # what that had found to act on; of a replay only
    since_last_ready: SinceLastReady | None = None  # None: no ready run is known
    environment: Mapping[str, str] = field(default_factory=dict)  # of the machine that asked: Python, OpenSSL

    @property
    def red(self) -> tuple[ReportedFinding, ...]:
        """The findings that keep mail from leaving."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR and not one.waived)


def short(value: object, most: int = 300) -> str:
    """Text made fit for one line of a report: bounded, and what was cut said so."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more characters)"


def public_fields(observation: Observation) -> tuple[str, ...]:
    """The names of what an observation holds beyond its time and peer."""
    return tuple(one.name for one in fields(observation) if one.name not in ("asked_at", "took_s", "peer"))
