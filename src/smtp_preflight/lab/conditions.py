"""The conditions that the servers of a lab are put under; the defaults are a healthy setup.

Servers read their conditions and know no fault by name, so that another fault is another row in ``faults``,
and at most another condition here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SMTP_HOST = "smtp.lab.example"
LOGIN_HOST = "login.lab.example"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer of a token endpoint (RFC 6749 section 5.2).

    ``text`` may name what the provider fills in: client_id, tenant, resource, scope, issued.
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
    nonce: bool = False  # Graph's way of signing: see Mint.signed_with_nonce


@dataclass(frozen=True, slots=True)
class CertificateTerms:
    """For which name, from when and until when, in days from now, the mail server's certificate is good."""

    name: str = SMTP_HOST
    begins_days: int = -1
    ends_days: int = 89


@dataclass(frozen=True, slots=True)
class ConnectionConditions:
    """From the mail server's greeting to the second EHLO."""

    starttls_offered: bool = True
    certificate: CertificateTerms = field(default_factory=CertificateTerms)
    bearer_offered: bool = True  # XOAUTH2 and OAUTHBEARER stand in the EHLO reply


@dataclass(frozen=True, slots=True)
class IdentityConditions:
    """The identity provider."""

    client_refusal: Refusal | None = None  # to an application that shows the right secret
    refresh_refusal: Refusal | None = None  # to a refresh token that was issued here
    token_flaw: TokenFlaw | None = None


@dataclass(frozen=True, slots=True)
class MailConditions:
    """The mail server from AUTH on."""

    auth_refusal: str = ""  # the reply to AUTH with a good token
    send_as_granted: bool = True


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the servers of a lab do."""

    connection: ConnectionConditions = field(default_factory=ConnectionConditions)
    identity: IdentityConditions = field(default_factory=IdentityConditions)
    mail: MailConditions = field(default_factory=MailConditions)
