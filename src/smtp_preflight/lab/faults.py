"""The faults of the lab: what can be broken, one thing at a time.

A fault is a row of ``FAULTS``: its code, where it shows, at which providers it exists, and the ``Conditions``
it puts the servers under. Servers read their conditions and know no fault by name, so that another fault is
another row, and at most another condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtp_preflight.model import Stage

SMTP_HOST = "smtp.lab.example"
LOGIN_HOST = "login.lab.example"

PROVIDERS = ("microsoft365", "outlook_personal", "google", "custom")
"""The providers whose manner a lab can take on."""

_MICROSOFT = ("microsoft365", "outlook_personal")


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
class Conditions:
    """What the servers of a lab do; the defaults are a healthy setup."""

    starttls_offered: bool = True
    certificate: CertificateTerms = field(default_factory=CertificateTerms)
    bearer_offered: bool = True  # XOAUTH2 and OAUTHBEARER stand in the EHLO reply
    client_refusal: Refusal | None = None  # to an application that shows the right secret
    refresh_refusal: Refusal | None = None  # to a refresh token that was issued here
    token_flaw: TokenFlaw | None = None
    auth_refusal: str = ""  # the reply to AUTH with a good token
    send_as_granted: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can be broken."""

    code: str
    stage: Stage
    provider: tuple[str, ...]  # the providers at which it exists
    line: str
    conditions: Conditions


_ROWS = (
    Fault(
        "starttls_not_offered",
        Stage.STARTTLS,
        PROVIDERS,
        "the mail server's EHLO reply lists no STARTTLS",
        Conditions(starttls_offered=False),
    ),
    Fault(
        "certificate_expired",
        Stage.TLS,
        PROVIDERS,
        "the mail server's certificate ended three days ago",
        Conditions(certificate=CertificateTerms(begins_days=-93, ends_days=-3)),
    ),
    Fault(
        "certificate_name_mismatch",
        Stage.TLS,
        PROVIDERS,
        "the mail server's certificate is for another host",
        Conditions(certificate=CertificateTerms(name="other.lab.example")),
    ),
    Fault(
        "xoauth2_not_advertised",
        Stage.AUTH_OFFERED,
        PROVIDERS,
        "the mail server offers password mechanisms only",
        Conditions(bearer_offered=False),
    ),
    Fault(
        "client_secret_expired",
        Stage.TOKEN,
        _MICROSOFT,
        "the application's client secret has passed its last day",
        Conditions(
            client_refusal=Refusal(
                401,
                "invalid_client",
                "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal "
                "to create new keys for your app: https://aka.ms/NewClientSecret, or consider using "
                "certificate credentials for added security: https://aka.ms/certCreds.",
                code="7000222",
            )
        ),
    ),
    Fault(
        "refresh_token_expired_inactivity",
        Stage.REFRESH,
        ("microsoft365",),
        "the refresh token was not used for ninety days",
        Conditions(
            refresh_refusal=Refusal(
                400,
                "invalid_grant",
                "The refresh token has expired due to inactivity. The token was issued on {issued} and was "
                "inactive for 90.00:00:00.",
                code="700082",
                suberror="bad_token",
            )
        ),
    ),
    Fault(
        "token_wrong_audience",
        Stage.CLAIMS,
        ("microsoft365",),
        "the identity provider grants a token for Microsoft Graph",
        Conditions(
            token_flaw=TokenFlaw(
                resource="https://graph.microsoft.com",
                audience="00000003-0000-0000-c000-000000000000",
                scope="Mail.Send",
                role="Mail.Send",
                nonce=True,
            )
        ),
    ),
    Fault(
        "token_missing_smtp_scope",
        Stage.CLAIMS,
        ("microsoft365",),
        "the token is for Exchange Online and allows IMAP only",
        Conditions(token_flaw=TokenFlaw(scope="IMAP.AccessAsUser.All", role="IMAP.AccessAsApp")),
    ),
    Fault(
        "smtp_auth_disabled_mailbox",
        Stage.AUTH,
        ("microsoft365",),
        "client submission is switched off for the mailbox",
        Conditions(
            auth_refusal="535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for "
            "the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. "
            "[{server} {stamp} {id}]"
        ),
    ),
    Fault(
        "send_as_denied",
        Stage.DATA,
        _MICROSOFT,
        "the mailbox may log in, but not send as the sender",
        Conditions(send_as_granted=False),
    ),
)

FAULTS: Mapping[str, Fault] = {row.code: row for row in _ROWS}


def conditions_for(provider: str, fault: str | None) -> Conditions:
    """Return what the servers are to do; raises ValueError for what a lab cannot be."""
    if provider not in PROVIDERS:
        raise ValueError(f"no lab for provider {provider!r}; there is one for {', '.join(PROVIDERS)}")
    if fault is None:
        return Conditions()
    if fault not in FAULTS:
        raise ValueError(f"unknown fault {fault!r}; known are {', '.join(FAULTS)}")
    row = FAULTS[fault]
    if provider not in row.provider:
        raise ValueError(f"{fault} does not exist at {provider}; it does at {', '.join(row.provider)}")
    return row.conditions
