"""Faults of the profile itself: what somebody has written into it, and what the servers make of that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from smtp_preflight.lab.conditions import (
    GREETING,
    SILENCE,
    CertificateTerms,
    Conditions,
    ConnectionConditions,
    IdentityConditions,
    NameConditions,
    Port,
    TokenFlaw,
)
from smtp_preflight.lab.faults import identity
from smtp_preflight.lab.faults.fault import (
    HAS_CLIENT_SECRET,
    HAS_KEY_FILE,
    MICROSOFT,
    PROVIDERS,
    REDEEMS_REFRESH_TOKEN,
    SIGNS_IN_AS_ITSELF,
    Fault,
    Need,
    Settings,
)
from smtp_preflight.lab.faults.mailbox import ALSO_CHECKS_IMAP
from smtp_preflight.model import GrantType, Profile, SecretRef, Stage

_GMAIL_SEND = "https://www.googleapis.com/auth/gmail.send"
_EXCHANGE = "https://outlook.office.com"
_INBOUND = "contoso-example.mail.protection.outlook.com"


def _mistake(
    code: str,
    provider: tuple[str, ...],
    line: str,
    settings: Mapping[str, Any] | Settings,
    *needs: Need,
    way: str = "",
    conditions: Conditions | None = None,
) -> Fault:
    """Settings that somebody got wrong: the same for everybody, or by the profile."""
    written = settings if callable(settings) else lambda _profile: settings
    return Fault(
        code,
        Stage.PROFILE,
        provider,
        line,
        conditions or Conditions(),
        way,
        needs=needs,
        settings=written,
    )


def _scope(
    code: str,
    provider: tuple[str, ...],
    line: str,
    *scope: str,
    need: Need = REDEEMS_REFRESH_TOKEN,
    way: str = "",
) -> Fault:
    return _mistake(code, provider, line, {"oauth.scope": scope}, need, way=way)


def _misspelt(profile: Profile) -> Mapping[str, Any]:
    return {"smtp.host": profile.smtp.host.replace("smtp", "stmp", 1)}


def _ends_in(days: int) -> Settings:
    return lambda _profile: {"oauth.secret_expires": dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)}


_EXPIRED = next(one for one in identity.ROWS if one.name == "client_secret_expired")

_SECRETS = (
    _mistake(
        "secret_unavailable",
        PROVIDERS,
        "the profile names a variable for the client secret that nobody has set",
        {"oauth.client_secret": SecretRef("env", ("A_VARIABLE_THAT_NOBODY_SETS",))},
        HAS_CLIENT_SECRET,
    ),
    _mistake(
        "client_secret_expires_soon",
        PROVIDERS,
        "the client secret ends within ten days",
        _ends_in(10),
        HAS_CLIENT_SECRET,
    ),
    _mistake(
        "client_secret_expired",
        MICROSOFT,
        "the profile itself says that the client secret has ended",
        _ends_in(-3),
        HAS_CLIENT_SECRET,
        way="by_profile",
        conditions=_EXPIRED.conditions,
    ),
    _mistake(
        "secret_date_passed",
        PROVIDERS,
        "the profile says that the client secret has ended, and it has not",
        _ends_in(-3),
        HAS_CLIENT_SECRET,
    ),
    replace(
        _mistake(
            "client_secret_wrong",
            PROVIDERS,
            "the client secret's id stands where its value belongs",
            {},
            HAS_CLIENT_SECRET,
            way="id",
        ),
        secrets={"client_secret": "0d4c3f6e-8f0e-4c9b-9a7e-2b1f7f5f6a10"},
    ),
    _mistake(
        "client_secret_missing",
        ("microsoft365", "google"),
        "the profile has no client secret",
        {"oauth.client_secret": None},
        HAS_CLIENT_SECRET,
    ),
)

_CREDENTIALS = (
    replace(
        _mistake(
            "credential_unusable",
            PROVIDERS,
            "the key file that the profile names is no key file",
            {},
            HAS_KEY_FILE,
        ),
        secrets={"certificate": "no certificate", "service_account": "no key"},
    ),
    replace(
        _mistake(
            "sign_in_needed",
            PROVIDERS,
            "nobody has signed in for this profile yet",
            {"oauth.grant": GrantType.AUTHORIZATION_CODE, "oauth.refresh_token": None},
            REDEEMS_REFRESH_TOKEN,
        ),
        stage=Stage.REFRESH,
    ),
)

_SCOPES = (
    _scope(
        "scope_default_required",
        ("microsoft365",),
        "an application asks for a single permission",
        "https://outlook.office365.com/SMTP.SendAsApp",
        need=SIGNS_IN_AS_ITSELF,
    ),
    _scope(
        "scope_mixes_resources",
        MICROSOFT,
        "scopes of Exchange and of Graph are asked for together",
        f"{_EXCHANGE}/SMTP.Send",
        "https://graph.microsoft.com/Mail.Send",
        "offline_access",
    ),
    _scope(
        "scope_invalid_or_malformed",
        ("google",),
        "the scope lacks the slash at its end",
        "https://mail.google.com",
    ),
    _mistake(
        "google_scope_not_full_mail",
        ("google",),
        "the scope is for Gmail's own programming interface",
        {"oauth.scope": (_GMAIL_SEND,)},
        way="by_profile",
        # Somebody has consented to just that.
        conditions=Conditions(identity=IdentityConditions(token_flaw=TokenFlaw(scope=_GMAIL_SEND))),
    ),
    _scope(
        "token_missing_smtp_scope",
        MICROSOFT,
        "the scope is for reading mail only",
        f"{_EXCHANGE}/IMAP.AccessAsUser.All",
        "offline_access",
        way="by_profile",
    ),
    _scope(
        "token_wrong_audience",
        ("microsoft365",),
        "the scope is Graph's",
        "https://graph.microsoft.com/SMTP.Send",
        "offline_access",
        way="by_profile",
    ),
    replace(
        _scope(
            "mailbox_scope_missing",
            ("microsoft365",),
            "the scope is for sending and for POP, and the mailbox is to be read over IMAP as well",
            f"{_EXCHANGE}/SMTP.Send",
            f"{_EXCHANGE}/POP.AccessAsUser.All",
            "offline_access",
            need=ALSO_CHECKS_IMAP,
        ),
        stage=Stage.DELIVERY,
    ),
    _scope(
        "wrong_national_cloud",
        ("microsoft365",),
        "the scope is for the mail of the US government's cloud",
        "https://outlook.office365.us/SMTP.Send",
        "offline_access",
        way="by_profile",
    ),
)

_TENANTS = (
    _mistake(
        "wrong_tenant_id",
        ("microsoft365",),
        "the tenant is still the placeholder of a guide",
        {"oauth.tenant": "TENANT_ID"},
        way="placeholder",
    ),
    _mistake(
        "wrong_tenant_endpoint_for_account",
        ("microsoft365",),
        "an application signs in to no tenant in particular",
        {"oauth.tenant": "common"},
        SIGNS_IN_AS_ITSELF,
    ),
)

_SERVICES = (
    replace(
        _mistake(
            "host_name_wrong",
            ("microsoft365", "outlook_personal", "google", "google_workspace"),
            "the mail server's name is misspelt",
            _misspelt,
            conditions=Conditions(names=NameConditions(host={})),
        ),
        stage=Stage.DNS,
    ),
    _mistake(
        "wrong_submission_host",
        ("microsoft365",),
        "the mail server is the one that takes the domain's own mail",
        {"smtp.host": _INBOUND},
        conditions=Conditions(
            connection=ConnectionConditions(auth_offered=False, certificate=CertificateTerms(name=_INBOUND))
        ),
    ),
    _mistake(
        "port_not_offered",
        MICROSOFT,
        "the port is one on which the provider takes no mail",
        {"smtp.port": 465, "smtp.tls": "implicit"},
        conditions=Conditions(connection=ConnectionConditions(port=Port.CLOSED)),
    ),
    _mistake(
        "tls_mode_mismatch",
        PROVIDERS,
        "TLS is begun at once on a port that wants STARTTLS",
        {"smtp.tls": "implicit"},
    ),
    replace(
        _mistake(
            "tls_mode_mismatch",
            ("google",),
            "STARTTLS is awaited on a port that wants TLS at once",
            {"smtp.port": 465, "smtp.tls": "starttls"},
            way="starttls",
        ),
        limits={"greeting_s": 1, "tls_s": 5},
    ),
    replace(
        _mistake(
            "ca_bundle_missing",
            PROVIDERS,
            "the file of trusted authorities is not there",
            {"tls.ca_file": "/nonexistent/ca.pem"},
        ),
        stage=Stage.TLS,
    ),
    replace(
        _mistake(
            "run_limit_reached",
            PROVIDERS,
            "the run's own limit is shorter than the mail server is slow",
            {},
            conditions=Conditions(connection=ConnectionConditions(instead={GREETING: SILENCE})),
        ),
        limits={"run_s": 2},
        stage=Stage.GREETING,
    ),
)

ROWS = (*_SECRETS, *_CREDENTIALS, *_SCOPES, *_TENANTS, *_SERVICES)
