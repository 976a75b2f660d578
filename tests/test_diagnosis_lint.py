"""What can be read off a profile: the mistakes that guides teach, each named, with what would be right."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.diagnosis import lint
from smtp_preflight.diagnosis.lint import (
    Problem,
    problem_with_client,
    problem_with_cloud,
    problem_with_end_date,
    problem_with_grant,
    problem_with_host,
    problem_with_port,
    problem_with_redirect,
    problem_with_scope,
    problem_with_secret,
    problem_with_tenant,
    problem_with_tls_mode,
)
from smtp_preflight.diagnosis.profile import (
    remark_on_secret_end,
    why_any_secret_unavailable,
    why_it_cannot_work,
    why_secret_unavailable,
)
from smtp_preflight.knowledge import entries
from smtp_preflight.model import Certainty, Profile, SecretCheck, Seen
from smtp_preflight.profile import load_profile, load_providers

TODAY = dt.date(2026, 11, 20)
GRAPH = "https://graph.microsoft.com"
DELEGATED = "https://outlook.office.com/SMTP.Send offline_access"
OF_PROFILE = [
    problem_with_scope,
    problem_with_tenant,
    problem_with_grant,
    problem_with_host,
    problem_with_port,
    problem_with_tls_mode,
    problem_with_client,
    problem_with_redirect,
    problem_with_cloud,
]
HEALTHY: dict[str, Any] = {
    "provider": "microsoft365",
    "mailbox": "alerts@contoso.com",
    "oauth.tenant": "contoso.onmicrosoft.com",
    "oauth.client_id": "6731de76-14a6-49ae-97bc-6eba6914391e",
    "oauth.grant": "client_credentials",
    "oauth.client_secret": {"env": "CONTOSO_CLIENT_SECRET"},
}
BY_USER = {"oauth.grant": "authorization_code"}
GMAIL: dict[str, Any] = {
    "provider": "google",
    "mailbox": "user@gmail.com",
    "oauth.tenant": None,
    "oauth.client_id": "407408718192-abc.apps.googleusercontent.com",
    "oauth.grant": "authorization_code",
}
OUTLOOK: dict[str, Any] = {
    "provider": "outlook_personal",
    "mailbox": "user@outlook.com",
    "oauth.tenant": None,
    "oauth.client_type": "public",
    "oauth.client_secret": None,
    "oauth.grant": "authorization_code",
}

MakeProfile = Callable[..., Profile]


def as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


@pytest.fixture
def written(tmp_path: Path) -> MakeProfile:
    """Write a profile as a user would, and read it; dotted keys, None leaves one out."""

    def write(changes: dict[str, Any]) -> Profile:
        settings = {**HEALTHY, **changes}
        lines = [f"{key} = {as_toml(value)}" for key, value in settings.items() if value is not None]
        path = tmp_path / "contoso.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        return load_profile(path, load_providers())

    return write


def problems(profile: Profile) -> list[Problem]:
    found = [problem(profile) for problem in OF_PROFILE] + [problem_with_end_date(profile, TODAY)]
    return [one for one in found if one is not None]


# --- what guides teach -------------------------------------------------------------------------------------

MISTAKES: list[tuple[str, dict[str, Any], str, str]] = [
    # what is wrong, what the profile says, the code, what would be right
    (
        "a permission without its resource",
        {**BY_USER, "oauth.scope": "SMTP.Send offline_access"},
        "token_wrong_audience",
        DELEGATED,
    ),
    (
        "Graph's permission of the same name",
        {**BY_USER, "oauth.scope": f"{GRAPH}/SMTP.Send offline_access"},
        "token_wrong_audience",
        DELEGATED,
    ),
    (
        "Graph's Mail.Send",
        {**BY_USER, "oauth.scope": "Mail.Send offline_access"},
        "token_wrong_audience",
        DELEGATED,
    ),
    (
        "Graph for an application",
        {"oauth.scope": f"{GRAPH}/.default"},
        "token_wrong_audience",
        "https://outlook.office365.com/.default",
    ),
    (
        "two resources at once",
        {**BY_USER, "oauth.scope": f"{GRAPH}/User.Read https://outlook.office.com/SMTP.Send"},
        "scope_mixes_resources",
        DELEGATED,
    ),
    (
        "reading instead of sending",
        {**BY_USER, "oauth.scope": "https://outlook.office.com/IMAP.AccessAsUser.All offline_access"},
        "token_missing_smtp_scope",
        DELEGATED,
    ),
    (
        "no offline_access",
        {**BY_USER, "oauth.scope": "https://outlook.office.com/SMTP.Send"},
        "offline_access_not_requested",
        DELEGATED,
    ),
    (
        "commas between scopes",
        {**BY_USER, "oauth.scope": ["https://outlook.office.com/SMTP.Send,offline_access"]},
        "scope_invalid_or_malformed",
        DELEGATED,
    ),
    (
        "a user's permission for an application",
        {"oauth.scope": "https://outlook.office365.com/SMTP.Send"},
        "scope_default_required",
        "https://outlook.office365.com/.default",
    ),
    (
        "more than .default for an application",
        {"oauth.scope": "https://outlook.office365.com/.default offline_access"},
        "scope_default_required",
        "https://outlook.office365.com/.default",
    ),
    (
        "several tenants for an application",
        {"oauth.tenant": "common"},
        "wrong_tenant_endpoint_for_account",
        "id",
    ),
    (
        "all organisations for an application",
        {"oauth.tenant": "organizations"},
        "wrong_tenant_endpoint_for_account",
        "id",
    ),
    (
        "personal accounts for a work account",
        {**BY_USER, "oauth.tenant": "consumers"},
        "wrong_tenant_endpoint_for_account",
        "id",
    ),
    (
        "a tenant for a personal account",
        {**OUTLOOK, "oauth.tenant": "contoso.onmicrosoft.com"},
        "wrong_tenant_endpoint_for_account",
        "consumers",
    ),
    ("a placeholder for the tenant", {"oauth.tenant": "tenant_id"}, "wrong_tenant_id", "domains"),
    ("braces left around the tenant", {"oauth.tenant": "{contoso}"}, "wrong_tenant_id", "domains"),
    ("a host of old", {"smtp.host": "smtp.live.com"}, "wrong_submission_host", "smtp.office365.com:587"),
    (
        "the host of personal accounts",
        {"smtp.host": "smtp-mail.outlook.com"},
        "wrong_submission_host",
        "smtp.office365.com:587",
    ),
    (
        "the host for inbound mail",
        {"smtp.host": "contoso-com.mail.protection.outlook.com", "smtp.port": 25},
        "wrong_submission_host",
        "smtp.office365.com:587",
    ),
    (
        "a host of old, in capitals",
        {**OUTLOOK, "smtp.host": "SMTP.Live.com"},
        "wrong_submission_host",
        "smtp-mail.outlook.com:587",
    ),
    (
        "Google's relay",
        {**GMAIL, "smtp.host": "smtp-relay.gmail.com"},
        "wrong_submission_host",
        "smtp.gmail.com:587",
    ),
    (
        "port 465 at Microsoft",
        {"smtp.host": "smtp.office365.com", "smtp.port": 465, "smtp.tls": "implicit"},
        "port_not_offered",
        "587",
    ),
    (
        "STARTTLS on port 465",
        {**GMAIL, "smtp.host": "smtp.gmail.com", "smtp.port": 465, "smtp.tls": "starttls"},
        "tls_mode_mismatch",
        "implicit",
    ),
    (
        "TLS at once on port 587",
        {**GMAIL, "smtp.tls": "implicit", "smtp.port": 587},
        "tls_mode_mismatch",
        "starttls",
    ),
    (
        "a public client with a secret",
        {**BY_USER, "oauth.client_type": "public"},
        "public_client_sent_secret",
        "no secret",
    ),
    ("an application without one", {"oauth.client_secret": None}, "client_secret_missing", "client_secret"),
    (
        "Google's desktop client without one",
        {**GMAIL, "oauth.client_type": "public", "oauth.client_secret": None},
        "client_secret_missing",
        "client_secret",
    ),
    (
        "gmail.send",
        {**GMAIL, "oauth.scope": "https://www.googleapis.com/auth/gmail.send"},
        "google_scope_not_full_mail",
        "https://mail.google.com/",
    ),
    (
        "no slash at the end",
        {**GMAIL, "oauth.scope": "https://mail.google.com"},
        "scope_invalid_or_malformed",
        "https://mail.google.com/",
    ),
    (
        "a device code at Google",
        {**GMAIL, "oauth.grant": "device_code"},
        "google_flow_not_allowed",
        "refresh_token",
    ),
    (
        "an application alone at Outlook.com",
        {
            **OUTLOOK,
            "oauth.grant": "client_credentials",
            "oauth.scope": "https://outlook.office.com/.default",
        },
        "wrong_tenant_endpoint_for_account",
        "device_code",
    ),
    (
        "a code shown for copying, at Google",
        {**GMAIL, "oauth.redirect_uri": "urn:ietf:wg:oauth:2.0:oob"},
        "google_flow_not_allowed",
        "http://127.0.0.1",
    ),
    (
        "a code shown for copying, at Microsoft",
        {**BY_USER, "oauth.redirect_uri": "urn:ietf:wg:oauth:2.0:oob"},
        "redirect_uri_mismatch",
        "http://127.0.0.1",
    ),
    (
        "Postman's address",
        {**BY_USER, "oauth.redirect_uri": "https://oauth.pstmn.io/v1/callback"},
        "redirect_uri_mismatch",
        "own address",
    ),
    (
        "Postman's old address",
        {**BY_USER, "oauth.redirect_uri": "https://www.getpostman.com/oauth2/callback"},
        "redirect_uri_mismatch",
        "own address",
    ),
    (
        "an address in the clear",
        {**BY_USER, "oauth.redirect_uri": "http://mail.contoso.com/callback"},
        "redirect_uri_mismatch",
        "https",
    ),
    (
        "a fragment",
        {**BY_USER, "oauth.redirect_uri": "https://mail.contoso.com/callback#done"},
        "redirect_uri_mismatch",
        "no fragment",
    ),
    (
        "another nation's sign-in",
        {"oauth.token_endpoint": "https://login.microsoftonline.us/contoso.onmicrosoft.us/oauth2/v2.0/token"},
        "wrong_national_cloud",
        "one cloud",
    ),
    (
        "a secret that has ended",
        {"oauth.secret_expires": dt.date(2026, 11, 19)},
        "client_secret_expired",
        "to come",
    ),
]


@pytest.mark.parametrize(
    ("changes", "code", "wanted"), [one[1:] for one in MISTAKES], ids=[one[0] for one in MISTAKES]
)
def test_a_mistake_is_named_with_what_would_be_right(
    changes: dict[str, Any], code: str, wanted: str, written: MakeProfile, seen_with: Callable[..., Seen]
) -> None:
    """It is the only problem, knowledge explains it first, and the right value is among the facts."""
    profile = written(changes)
    (problem,) = problems(profile)
    assert problem.code == code
    assert wanted in problem.wanted
    finding = why_it_cannot_work(seen_with(profile=profile), problem)
    assert finding.code == code
    assert finding.causes[0].facts["wanted"] == problem.wanted
    assert problem.found in finding.causes[0].facts["seen"]


def test_every_problem_that_can_be_named_is_tried() -> None:
    """By the codes in the source: none is without a mistake here that leads to it."""
    tried = {code for *_, code, _ in MISTAKES} | {"client_secret_wrong"}
    assert tried >= set(inspect.getsource(lint).split('"')) & set(entries())


# --- what is right -----------------------------------------------------------------------------------------

PRESETS = [
    (name, grant)
    for name, provider in load_providers().items()
    for grant in provider.grants or ("refresh_token", "client_credentials")
]


@pytest.mark.parametrize(("preset", "grant"), PRESETS)
def test_a_preset_as_it_comes_has_no_problem(preset: str, grant: str, written: MakeProfile) -> None:
    """Each provider, each way to a token that it offers, with nothing set that has a default."""
    own = {"smtp.host": "smtp.contoso.com", "oauth.token_endpoint": "https://login.contoso.com/token"}
    provider = load_providers()[preset]
    public = grant in ("authorization_code", "device_code") and not provider.client_secret_required
    changes: dict[str, Any] = {
        "provider": preset,
        "oauth.grant": grant,
        "oauth.tenant": "contoso.onmicrosoft.com" if grant == "client_credentials" else None,
        "oauth.client_type": "public" if public else None,
        "oauth.client_secret": None if public else {"env": "CONTOSO_CLIENT_SECRET"},
        **({"oauth.refresh_token": {"env": "SEED"}} if grant == "refresh_token" else {}),
        **({"oauth.access_token": {"env": "TOKEN"}} if grant == "access_token" else {}),
        **({"oauth.service_account": {"file": "key.json"}} if grant == "jwt_bearer" else {}),
        **({} if provider.endpoints else own),
    }
    assert problems(written(changes)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {**BY_USER, "oauth.tenant": "common", "oauth.scope": DELEGATED},
        {**BY_USER, "oauth.scope": "https://outlook.office.com/.default offline_access"},
        {**BY_USER, "oauth.scope": f"{DELEGATED} openid profile email"},
        {**OUTLOOK, "oauth.tenant": "common"},
        {"smtp.host": "outlook.office365.com"},
        {"smtp.host": "relay.contoso.com"},
        {**GMAIL, "smtp.host": "smtp.gmail.com", "smtp.port": 465, "smtp.tls": "implicit"},
        {**GMAIL, "oauth.scope": "openid https://mail.google.com/"},
        {**BY_USER, "oauth.redirect_uri": "http://localhost:8080/callback"},
        {**BY_USER, "oauth.redirect_uri": "http://127.0.0.1/testApp/"},
        {**BY_USER, "oauth.redirect_uri": "https://mail.contoso.com/callback"},
        {"oauth.secret_expires": TODAY},
        {"oauth.client_secret": None, "oauth.certificate": {"file": "client.pem"}},
    ],
    ids=str,
)
def test_what_differs_and_works_is_no_problem(changes: dict[str, Any], written: MakeProfile) -> None:
    assert problems(written(changes)) == []


def test_a_given_token_makes_scope_and_client_irrelevant(written: MakeProfile) -> None:
    """Whoever got it has dealt with both."""
    changes = {
        "oauth.grant": "access_token",
        "oauth.access_token": {"env": "TOKEN"},
        "oauth.client_secret": None,
        "oauth.scope": "SMTP.Send",
    }
    assert problems(written(changes)) == []


# --- secrets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "shape", "found"),
    [
        ("client_secret", {"looks_like_guid": True}, "shape of an id"),
        ("client_secret", {"looks_like_json": True}, "JSON"),
        ("client_secret", {"quoted": True}, "quotes or blanks"),
        ("refresh_token", {"blank_edges": True}, "quotes or blanks"),
    ],
)
def test_a_secret_of_the_wrong_shape(
    key: str, shape: dict[str, Any], found: str, now: dt.datetime, seen_with: Callable[..., Seen]
) -> None:
    """Its id in the place of its value above all: both stand in one table of the portal."""
    check = SecretCheck(asked_at=now, key=key, reference="env:X", length=36, **shape)
    problem = problem_with_secret(check)
    assert problem is not None
    assert (problem.code, problem.key, problem.wanted) == (
        "client_secret_wrong",
        f"oauth.{key}",
        "the secret's value alone",
    )
    assert found in problem.found
    assert why_it_cannot_work(seen_with((key, check)), problem).code == "client_secret_wrong"


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("client_secret", {}),
        ("refresh_token", {"looks_like_guid": True}),
        ("service_account", {"looks_like_json": True}),
    ],
)
def test_a_secret_of_the_right_shape(key: str, shape: dict[str, Any], now: dt.datetime) -> None:
    """A key file is JSON, and some providers' tokens look like ids."""
    assert problem_with_secret(SecretCheck(asked_at=now, key=key, reference="env:X", **shape)) is None


def test_a_secret_that_is_not_there_is_named(now: dt.datetime, seen_with: Callable[..., Seen]) -> None:
    """By its key and where it was looked for; the first of several, where any would do."""
    there = SecretCheck(asked_at=now, key="client_secret", reference="env:THERE")
    gone = SecretCheck(asked_at=now, key="refresh_token", reference="env:GONE", problem="it is not set")
    seen = seen_with(("client_secret", there), ("refresh_token", gone))
    for finding in (why_secret_unavailable(seen, "refresh_token"), why_any_secret_unavailable(seen)):
        assert finding.id == "secret_unavailable:refresh_token"
        assert finding.causes[0].facts["seen"] == "env:GONE: it is not set"
        assert finding.causes[0].certainty is Certainty.CERTAIN


def test_why_answers_where_nothing_was_looked_at(seen_with: Callable[..., Seen]) -> None:
    assert why_secret_unavailable(seen_with(), "client_secret").code == "secret_unavailable"
    assert why_any_secret_unavailable(seen_with()).code == "secret_unavailable"
    assert why_it_cannot_work(seen_with(), None).code == "unexplained"


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (None, None),
        (dt.date(2026, 12, 20), None),
        (dt.date(2026, 12, 19), "client_secret_expires_soon"),
        (TODAY, "client_secret_expires_soon"),
    ],
)
def test_a_secret_that_ends_soon_is_remarked_on(
    ends: dt.date | None, code: str | None, written: MakeProfile, seen_with: Callable[..., Seen]
) -> None:
    """Thirty days ahead, by default."""
    remark = remark_on_secret_end(seen_with(profile=written({"oauth.secret_expires": ends})))
    assert (remark and remark.code) == code
