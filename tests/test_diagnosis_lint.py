"""What can be read off a profile: the mistakes that guides teach, each named, with what would be right."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.diagnosis import lint
from smtp_preflight.diagnosis.ends import end_of_credential
from smtp_preflight.diagnosis.lint import Problem, problem_with_end_date, problem_with_secret, problems_with
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

WORKSPACE: dict[str, Any] = {
    "provider": "google_workspace",
    "oauth.tenant": None,
    "oauth.client_id": None,
    "oauth.client_secret": None,
    "oauth.grant": "jwt_bearer",
    "oauth.service_account": {"file": "key.json"},
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
    end = end_of_credential(Seen(profile, dt.datetime(2026, 11, 20, tzinfo=dt.UTC)))
    ended = problem_with_end_date(end, TODAY)
    return [*problems_with(profile), *([ended] if ended else [])]


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
    (
        "Microsoft's own tenant of personal accounts for a work account",
        {**BY_USER, "oauth.tenant": "9188040d-6c67-4c5b-b112-36a304b66dad"},
        "wrong_tenant_endpoint_for_account",
        "id",
    ),
    ("a placeholder for the tenant", {"oauth.tenant": "tenant_id"}, "wrong_tenant_id", "domains"),
    ("another placeholder", {"oauth.tenant": "your-tenant-id"}, "wrong_tenant_id", "domains"),
    ("crosses for the tenant", {"oauth.tenant": "xxxxxxxx-xxxx"}, "wrong_tenant_id", "domains"),
    (
        "a slash at the end",
        {"oauth.scope": "https://outlook.office365.com/.default/"},
        "scope_invalid_or_malformed",
        "https://outlook.office365.com/.default",
    ),
    (
        "a permission that only applications have",
        {**BY_USER, "oauth.scope": "https://outlook.office365.com/SMTP.SendAsApp offline_access"},
        "scope_invalid_or_malformed",
        DELEGATED,
    ),
    (
        "a permission for reading that lacks its end",
        {**BY_USER, "oauth.scope": f"https://outlook.office.com/IMAP.AccessAsUser {DELEGATED}"},
        "scope_invalid_or_malformed",
        DELEGATED,
    ),
    (
        "a resource that is not the mail service",
        {**BY_USER, "oauth.scope": "https://ps.outlook.com/SMTP.Send offline_access"},
        "token_wrong_audience",
        DELEGATED,
    ),
    (
        "a mailbox of a personal account",
        {"mailbox": "somebody@hotmail.com"},
        "wrong_tenant_endpoint_for_account",
        'provider = "outlook_personal"',
    ),
    (
        "a guest's name for the mailbox",
        {"mailbox": "bob_fabrikam.com#EXT#@contoso.onmicrosoft.com"},
        "token_wrong_tenant",
        "a guest has no mailbox here",
    ),
    (
        "a service account that acts for itself",
        {**WORKSPACE, "mailbox": "mailer@project.iam.gserviceaccount.com"},
        "google_service_account_subject_wrong",
        "not the service account's",
    ),
    (
        "a service account for somebody's own mailbox",
        {**WORKSPACE, "mailbox": "somebody@gmail.com"},
        "google_service_account_subject_wrong",
        "a mailbox of the organisation",
    ),
    (
        "a host with its port",
        {"smtp.host": "smtp.office365.com:587"},
        "host_name_wrong",
        "the name alone, smtp.office365.com",
    ),
    (
        "a URL for the host",
        {**OUTLOOK, "smtp.host": "smtp://smtp-mail.outlook.com"},
        "host_name_wrong",
        "the name alone, smtp-mail.outlook.com",
    ),
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
        "the name of the application for its id",
        {"oauth.client_id": "Contoso Mailer"},
        "client_id_wrong",
        "a GUID",
    ),
    (
        "the zeros of a template",
        {"oauth.client_id": "00000000-0000-0000-0000-000000000000"},
        "client_id_wrong",
        "a GUID",
    ),
    (
        "the tenant's id for the client's",
        {"oauth.tenant": HEALTHY["oauth.client_id"]},
        "client_id_wrong",
        "a GUID",
    ),
    (
        "Google's project number for the client id",
        {**GMAIL, "oauth.client_id": "407408718192"},
        "client_id_wrong",
        ".apps.googleusercontent.com",
    ),
    (
        "an address of version 1",
        {"oauth.token_endpoint": "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/token"},
        "wrong_tenant_endpoint_for_account",
        "/contoso.onmicrosoft.com/oauth2/v2.0/token",
    ),
    (
        "a sign-in page of another tenant",
        {
            **BY_USER,
            "oauth.authorize_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        },
        "wrong_tenant_endpoint_for_account",
        "one tenant in both",
    ),
    (
        "Google without its word for a refresh token",
        {**GMAIL, "oauth.authorize_params": {"access_type": "online"}},
        "offline_access_not_requested",
        "access_type=offline",
    ),
    (
        "Google without the consent that brings one each time",
        {**GMAIL, "oauth.authorize_params": {"prompt": "select_account"}},
        "offline_access_not_requested",
        "prompt=consent",
    ),
    (
        "a public client with a secret",
        {**BY_USER, "oauth.client_type": "public"},
        "public_client_sent_secret",
        "no secret",
    ),
    (
        "a public client on its own",
        {"oauth.client_type": "public", "oauth.client_secret": None},
        "client_secret_missing",
        "confidential, with a credential",
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
        "a loopback address that cannot be registered",
        {**BY_USER, "oauth.redirect_uri": "http://[::1]:8080"},
        "redirect_uri_mismatch",
        "http://127.0.0.1",
    ),
    (
        "an address longer than can be registered",
        {**BY_USER, "oauth.redirect_uri": f"https://mail.contoso.com/{'x' * 256}"},
        "redirect_uri_mismatch",
        "256 characters",
    ),
    (
        "a query where personal accounts are admitted",
        {**OUTLOOK, "oauth.redirect_uri": "https://mail.contoso.com/callback?from=mail"},
        "redirect_uri_mismatch",
        "no query",
    ),
    (
        "a sign-in page of another cloud",
        {
            **BY_USER,
            "oauth.authorize_endpoint": "https://login.microsoftonline.us/common/oauth2/v2.0/authorize",
        },
        "wrong_national_cloud",
        "one cloud",
    ),
    (
        "the cloud that was closed",
        {"oauth.token_endpoint": "https://login.microsoftonline.de/contoso.onmicrosoft.de/oauth2/v2.0/token"},
        "wrong_national_cloud",
        "one cloud",
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


OF_SECRETS = {"client_secret_wrong", "refresh_token_invalid", "credential_unusable"}


def test_every_problem_that_can_be_named_is_tried() -> None:
    """By the codes in the source: none is without a mistake here that leads to it."""
    tried = {code for *_, code, _ in MISTAKES} | OF_SECRETS
    source = "".join(one.read_text("utf-8") for one in Path(inspect.getfile(lint)).parent.glob("*.py"))
    assert tried >= set(source.split('"')) & set(entries())


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
        **({"oauth.client_id": GMAIL["oauth.client_id"]} if preset.startswith("google") else {}),
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
        {**BY_USER, "oauth.redirect_uri": "https://mail.contoso.com/callback?from=mail"},
        {**GMAIL, "oauth.redirect_uri": "http://[::1]:8080"},
        {"oauth.scope": "00000002-0000-0ff1-ce00-000000000000/.default"},
        # What a preset itself rests on a vendor's word for is nobody's mistake.
        {"provider": "microsoft365_gcc_high", "smtp.host": "smtp.office365.us", "smtp.port": 25},
        {"provider": "microsoft365_21vianet", "oauth.scope": "https://smtp.partner.outlook.cn/.default"},
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
    ("key", "shape", "found", "code"),
    [
        ("client_secret", {"looks_like_guid": True}, "shape of an id", "client_secret_wrong"),
        ("client_secret", {"looks_like_json": True}, "JSON", "client_secret_wrong"),
        ("client_secret", {"quoted": True}, "quotes or blanks", "client_secret_wrong"),
        ("refresh_token", {"blank_edges": True}, "quotes or blanks", "refresh_token_invalid"),
    ],
)
def test_a_secret_of_the_wrong_shape(
    key: str, shape: dict[str, Any], found: str, code: str, now: dt.datetime, seen_with: Callable[..., Seen]
) -> None:
    """Its id in the place of its value above all: both stand in one table of the portal."""
    check = SecretCheck(asked_at=now, key=key, reference="env:X", length=36, **shape)
    problem = problem_with_secret(check)
    assert problem is not None
    assert (problem.code, problem.key, problem.wanted) == (code, f"oauth.{key}", "the secret's value alone")
    assert found in problem.found
    assert why_it_cannot_work(seen_with((key, check)), problem).code == code


@pytest.mark.parametrize("key", ["certificate", "service_account"])
def test_a_key_file_that_proves_nothing_is_named_with_why(
    key: str, now: dt.datetime, seen_with: Callable[..., Seen]
) -> None:
    check = SecretCheck(
        asked_at=now, key=key, reference="file:app", unusable="the passphrase does not open it"
    )
    problem = problem_with_secret(check)
    assert problem is not None
    assert (problem.key, problem.found) == (f"oauth.{key}", "the passphrase does not open it")
    assert why_it_cannot_work(seen_with((key, check)), problem).id == "credential_unusable"


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("client_secret", {}),
        ("refresh_token", {"looks_like_guid": True}),
        ("service_account", {"looks_like_json": True}),
        ("certificate", {"blank_edges": True}),
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
