"""The conditions that the servers of a lab are put under; the defaults are a healthy setup.

Servers read their conditions and know no fault by name, so that another fault is another row in ``faults``,
and at most another condition here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

SMTP_HOST = "smtp.lab.example"
LOGIN_HOST = "login.lab.example"
MAILBOX_HOST = "outlook.lab.example"  # where mailboxes are read
BROWSER_HOST = "localhost"
"""Where people find the identity provider's pages: no browser asks the lab's name server."""

HANG_UP = "(hangs up)"
SILENCE = "(says nothing)"
DRIP = "(never comes to an end)"  # of servers for reading mailboxes
"""What a server can do in the place of a reply."""

GREETING = "greeting"
EHLO = "EHLO"
SECURE_EHLO = "EHLO under TLS"
STARTTLS = "STARTTLS"
HANDSHAKE = "handshake"
AUTH = "AUTH"
"""The steps of a mail server's opening, and the first one after it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer of a token endpoint (RFC 6749 section 5.2).

    ``text`` may name what the provider fills in: client_id, tenant, resource, scope, user, issued.
    """

    status: int
    error: str
    text: str
    code: str = ""  # the AADSTS number, at the providers that have one
    suberror: str = ""


@dataclass(frozen=True, slots=True)
class TokenFlaw:
    """What every granted token says instead of what was asked for; an empty field leaves it as asked."""

    resource: str = ""  # as it stands before the permission in the answer's ``scope``
    audience: str = ""
    scope: str = ""  # the permission of a token on behalf of a user
    role: str = ""  # the permission of a token of the application itself
    permits: bool = True  # no: no permission at all
    user: str = ""
    tenant_id: str = ""
    client_id: str = ""
    begins_s: int = 0  # from now, in the place of five minutes ago
    life_s: int = 0  # from when it is issued; negative: it has ended already
    nonce: bool = False  # Graph's way of signing: see Mint.signed_with_nonce
    id_token: bool = False  # says who somebody is, and not what may be done
    damaged: bool = False  # a part of it was lost
    forged: bool = False  # signed by another key than it says


@dataclass(frozen=True, slots=True)
class Instead:
    """What an endpoint of the identity provider does in the place of its own answer, or to it.

    Without a status the answer stays its own, and is at most late.
    """

    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    late_s: float = 0
    fate: str = ""  # HANG_UP or SILENCE: no answer at all


@dataclass(frozen=True, slots=True)
class CertificateTerms:
    """What a server's certificate says and how it came about; dates are in days from now.

    An intermediate of the lab's authority has signed it, unless it is another one, or nobody at all.
    """

    name: str = SMTP_HOST
    begins_days: int = -1
    ends_days: int = 89
    further_names: tuple[str, ...] = ()
    issuer_sent: bool = True
    stranger: str = ""  # the authority that has signed it instead, which nobody here trusts
    self_signed: bool = False
    rsa_bits: int = 0  # 0: a key on an elliptic curve
    by_sha1: bool = False


@dataclass(frozen=True, slots=True)
class NameConditions:
    """The name server.

    Records are (name, type) to records in presentation form; none is what is not published.
    """

    silent: bool = False  # answers nothing at all
    host: Mapping[str, tuple[str, ...]] | None = None  # instead of the mail server's address, by type
    host_rcode: str = ""  # SERVFAIL, say: the answer to all questions about the mail server
    host_bogus: bool = False  # SERVFAIL to them, unless checking is disabled (RFC 4035 section 3.2.2)
    host_late_s: float = 0
    second_server: Mapping[str, tuple[str, ...]] | None = None  # what another one says of the mail server
    announces_other_key: bool = False  # TLSA of a certificate that the mail server does not have
    # Of each domain that mail is sent from, as text may name it: {domain}. The name is what stands before it.
    domain: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


class Port(StrEnum):
    """What becomes of whoever connects to the mail server's port."""

    SERVED = "served"
    CLOSED = "closed"
    FULL = "full"  # no connection is completed, as if packets were dropped
    UNATTENDED = "unattended"  # connections come about, nobody takes them


@dataclass(frozen=True, slots=True)
class ConnectionConditions:
    """From the mail server's port to the second EHLO.

    Steps are GREETING, EHLO, SECURE_EHLO (under TLS), STARTTLS and HANDSHAKE; late can be AUTH, too.
    """

    port: Port = Port.SERVED
    first_bytes: bytes = b""  # in the place of a greeting: something else listens here
    instead: Mapping[str, str] = field(default_factory=dict)  # by step: another reply, HANG_UP or SILENCE
    late_s: Mapping[str, float] = field(default_factory=dict)  # by step
    starttls_offered: bool = True
    starttls_keyword: str = "STARTTLS"  # as it is listed, if it is
    auth_in_clear: bool = False  # AUTH stands in the first EHLO reply, too
    injected: bytes = b""  # behind the 220 to STARTTLS, in the clear
    tls_version: str = ""  # the only one spoken, as ``ssl.TLSVersion`` names it; none: those of today
    alerts_vague: bool = False  # whatever fails, the alert says "handshake failure", as with GnuTLS
    client_certificate_wanted: bool = False
    anonymous: bool = False  # TLS without a certificate
    anonymous_first: bool = False  # TLS without a certificate for whoever offers it
    certificate: CertificateTerms = field(default_factory=CertificateTerms)
    bearer_offered: bool = True  # XOAUTH2 and OAUTHBEARER stand in the EHLO reply
    auth_offered: bool = True  # AUTH stands there


class Reuse(StrEnum):
    """What becomes of a refresh token once a new one was issued in its place."""

    ALLOWED = "allowed"  # it stays good, as at Entra
    UNTIL_SUCCESSOR_USED = "until_successor_used"  # a lost answer is forgiven, and nothing else
    REFUSED = "refused"
    REVOKES = "revokes"  # refused, and all that came from the same sign-in with it


@dataclass(frozen=True, slots=True)
class DeviceTerms:
    """How often a device may ask, and for how long, in seconds."""

    interval_s: int = 1
    life_s: int = 900


@dataclass(frozen=True, slots=True)
class IdentityConditions:
    """The identity provider.

    What it does not know or take, it refuses in its own words; a ``Refusal`` here has words of its own.
    """

    tenant_known: bool = True
    client_known: bool = True
    secret_taken: bool = True
    refresh_token_known: bool = True
    client_refusal: Refusal | None = None  # to an application that shows the right secret
    refresh_refusal: Refusal | None = None  # to a refresh token that was issued here
    grant_refusal: Refusal | None = None  # to every request that would be granted
    token_flaw: TokenFlaw | None = None
    renews: bool = True  # issues a new refresh token where the provider does
    reuse: Reuse = Reuse.ALLOWED
    code_life_s: float = 60  # of an authorization code
    device: DeviceTerms = field(default_factory=DeviceTerms)
    instead: Mapping[str, Instead] = field(default_factory=dict)  # by an endpoint's name in ``OAuth``
    issuer: str = ""  # whom the metadata name in the place of itself
    clock_ahead_s: int = 0  # of its Date header
    certificate: CertificateTerms = CertificateTerms(name=LOGIN_HOST, further_names=(BROWSER_HOST,))


@dataclass(frozen=True, slots=True)
class MailConditions:
    """The mail server from AUTH on: what it says in the place of yes. Empty is yes.

    Instead of a reply there can be HANG_UP or SILENCE.
    """

    auth_refusal: str = ""  # to AUTH with a good token
    token_refused: bool = False  # a good token is refused as a bad one would be
    sender_refusal: str = ""
    sender_refused_late: bool = False  # at each RCPT TO, in the place of MAIL FROM
    recipient_refusal: str = ""
    data_refusal: str = ""  # to DATA
    message_refusal: str = ""  # to a message that has come whole
    message_late_s: float = 0  # between a message and the reply to it
    send_as_granted: bool = True


@dataclass(frozen=True, slots=True)
class MailboxConditions:
    """What becomes of accepted messages, and the servers from which they are read."""

    delivers: bool = True
    late_s: float = 0  # between acceptance and arrival
    to_junk: bool = False
    bounce: str = ""  # the words of a server further on that refuses: a report comes instead
    author: str = ""  # From is replaced by it
    results: Mapping[str, str] = field(default_factory=dict)  # of spf, dkim and dmarc; else pass
    imap_port: Port = Port.SERVED  # or closed
    imap_enabled: bool = True  # for the mailbox
    imap_token_refused: bool = False  # whatever the token allows
    imap_busy: bool = False  # takes the token, and no further connection for now
    bearer_offered: bool = True
    initial_response: bool = True  # IMAP takes the token with the command (RFC 4959)
    # By GREETING or command: another reply, SILENCE, HANG_UP or DRIP. Of both servers.
    instead: Mapping[str, str] = field(default_factory=dict)
    imap_certificate: CertificateTerms = field(default_factory=lambda: CertificateTerms(name=MAILBOX_HOST))


@dataclass(frozen=True, slots=True)
class Manner:
    """How a provider without a fault may differ from the one that is played."""

    wording: Mapping[str, Any] = field(default_factory=dict)  # by a field of ``Wording``
    lower_case: bool = False  # what EHLO lists
    legacy_auth: bool = False  # EHLO lists "AUTH=", too, for clients of before RFC 2554
    mail_address: str = "127.0.0.1"  # where the mail server listens; DNS does not know of it
    command_bytes: int = 65_536  # of a longer command the rest is cut off, and nobody is told
    opaque_tokens: bool = False
    tokens_by_rfc9068: bool = False  # from a provider that is nobody in particular
    groups: int = 0  # that a token names: each makes it 39 bytes longer
    full_access: bool = False  # whoever is of the tenant may open the mailbox, as far as the token allows


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the servers of a lab do."""

    manner: Manner = field(default_factory=Manner)
    names: NameConditions = field(default_factory=NameConditions)
    connection: ConnectionConditions = field(default_factory=ConnectionConditions)
    identity: IdentityConditions = field(default_factory=IdentityConditions)
    mail: MailConditions = field(default_factory=MailConditions)
    mailbox: MailboxConditions = field(default_factory=MailboxConditions)


ROTATIONS: Mapping[str, Conditions] = {
    "": Conditions(),
    "none": Conditions(identity=IdentityConditions(renews=False)),
    "strict": Conditions(identity=IdentityConditions(reuse=Reuse.REVOKES)),
}
"""What becomes of refresh tokens in a lab that is kept running, by the command's option."""


def combined(one: Conditions, other: Conditions) -> Conditions:
    """Both at once: of each condition whatever is not healthy; raises ValueError where neither is."""
    return _combined(Conditions(), one, other)


T = TypeVar("T")


def _combined(healthy: T, one: T, other: T) -> T:
    changes = {
        each.name: _either(each.name, *(getattr(which, each.name) for which in (healthy, one, other)))
        for each in fields(one)  # type: ignore[arg-type]  # T is one of the dataclasses above
    }
    return replace(one, **changes)  # type: ignore[type-var]  # likewise


def _either(name: str, healthy: object, one: object, other: object) -> object:
    if other in (healthy, one):
        return one
    if one == healthy:
        return other
    if is_dataclass(healthy):
        return _combined(healthy, one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping) and not one.keys() & other.keys():
        return {**one, **other}
    raise ValueError(f"both say otherwise of {name}")
