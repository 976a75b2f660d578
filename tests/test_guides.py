"""Every mistake that five well-known guides teach is caught by name, with the values that the guides give.

What a guide has somebody enter stands here as the profile it comes to, and what its reader meets as the
server's answer. A mistake that cannot be made with us is shown not to be.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from smtp_preflight import cli
from smtp_preflight.diagnosis.cases import causes_of_case
from smtp_preflight.diagnosis.lint import problems_with
from smtp_preflight.model import Profile
from smtp_preflight.oauth.authorize import Issuer, begin
from smtp_preflight.profile import ProfileError, load_profile, load_providers
from smtp_preflight.secrets import Wallet

POSTMAN = "https://www.getpostman.com/oauth2/callback"
SMTP_SEND = "https://outlook.office.com/SMTP.Send"
APPLICATION = "https://outlook.office365.com/.default"
SEVERAL = "https://login.microsoftonline.com/common/oauth2/v2.0"
CLIENT = '"6731de76-14a6-49ae-97bc-6eba6914391e"'
SECRET = '{ env = "CONTOSO_CLIENT_SECRET" }'

BY_USER = {
    "provider": '"microsoft365"',
    "mailbox": '"alerts@contoso.com"',
    "oauth.tenant": '"contoso.onmicrosoft.com"',
    "oauth.client_id": CLIENT,
    "oauth.client_type": '"public"',
    "oauth.grant": '"authorization_code"',
}
WEB = BY_USER | {"oauth.client_type": '"confidential"', "oauth.client_secret": SECRET}
ALONE = {key: one for key, one in WEB.items() if key != "oauth.client_type"} | {
    "oauth.grant": '"client_credentials"'
}
PERSONAL = {key: one for key, one in BY_USER.items() if key != "oauth.tenant"} | {
    "provider": '"outlook_personal"',
    "mailbox": '"somebody@outlook.com"',
}
GMAIL = {
    "provider": '"google"',
    "mailbox": '"somebody@gmail.com"',
    "oauth.client_id": '"407408718192-abc.apps.googleusercontent.com"',
    "oauth.client_secret": SECRET,
    "oauth.grant": '"authorization_code"',
}


def profile_of(settings: Mapping[str, str], folder: Path) -> Profile:
    path = folder / "contoso.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in settings.items()), encoding="utf-8")
    return load_profile(path, load_providers())


def quoted(value: str) -> str:
    return f'"{value}"'


def scope(*words: str) -> dict[str, str]:
    return {"oauth.scope": quoted(" ".join(words))}


# --- what a guide has somebody enter -----------------------------------------------------------------------

ENTERED: Mapping[str, tuple[Mapping[str, str], str]] = {
    # Email Sender and Postman: a tool on the desktop that signs in as a web application
    "S1 a scope that brings no refresh token": (WEB | scope(SMTP_SEND), "offline_access_not_requested"),
    "S1 a secret in a program at its user's": (
        WEB | {"oauth.client_type": '"public"', "oauth.redirect_uri": '"http://localhost"'},
        "public_client_sent_secret",
    ),
    "S1 a web application without its secret": (
        BY_USER | {"oauth.client_type": '"confidential"'},
        "client_secret_missing",
    ),
    "S1 the address of a test program": (
        WEB | {"oauth.redirect_uri": quoted(POSTMAN)},
        "redirect_uri_mismatch",
    ),
    # twelve steps: Graph's permissions, and an application that signs in nowhere in particular
    "S2 Graph's permissions for sending and reading": (
        BY_USER | scope("Mail.Send", "Mail.ReadWrite"),
        "token_wrong_audience",
    ),
    "S2 Graph's permissions by their whole names": (
        BY_USER
        | scope("https://graph.microsoft.com/Mail.Send", "https://graph.microsoft.com/Mail.ReadWrite"),
        "token_wrong_audience",
    ),
    "S2 all of an application's rights at Graph": (
        ALONE | scope("https://graph.microsoft.com/.default"),
        "token_wrong_audience",
    ),
    "S2 an id, a secret and no tenant": (
        ALONE | {"oauth.tenant": '"common"'},
        "wrong_tenant_endpoint_for_account",
    ),
    "S2 a refresh token for an application": (
        ALONE | scope(APPLICATION, "offline_access"),
        "scope_default_required",
    ),
    "S2 TLS at once on port 587": (
        ALONE | {"smtp.host": '"Smtp.office365.com"', "smtp.port": "587", "smtp.tls": '"implicit"'},
        "tls_mode_mismatch",
    ),
    "S2 port 465": (
        ALONE | {"smtp.host": '"Smtp.office365.com"', "smtp.port": "465", "smtp.tls": '"implicit"'},
        "port_not_offered",
    ),
    # EASendMail: Hotmail as it was
    "S3 a host of old": (PERSONAL | {"smtp.host": '"smtp.live.com"'}, "wrong_submission_host"),
    "S3 the registered names of permissions": (
        PERSONAL | scope("User.Read email offline_access openid profile SMTP.Send IMAP.AccessAsUser.All"),
        "token_wrong_audience",
    ),
    "S3 the registered name by its whole name": (
        PERSONAL | scope("https://graph.microsoft.com/SMTP.Send", "offline_access"),
        "token_wrong_audience",
    ),
    "S3 Exchange's other interface": (
        BY_USER | scope("https://outlook.office365.com/EWS.AccessAsUser.All", "offline_access"),
        "token_missing_smtp_scope",
    ),
    # HYPERPLANNING: the most accurate one
    "S4 Google on another device": (GMAIL | {"oauth.grant": '"device_code"'}, "google_flow_not_allowed"),
    "S4 Google's permission for its own interface": (
        GMAIL | scope("https://www.googleapis.com/auth/gmail.send"),
        "google_scope_not_full_mail",
    ),
    "S4 Google without the words for a refresh token": (
        GMAIL | {"oauth.authorize_params": '{ access_type = "online" }'},
        "offline_access_not_requested",
    ),
    "S4 Microsoft without the word for one": (BY_USER | scope(SMTP_SEND), "offline_access_not_requested"),
    "S4 a secret where public flows are allowed": (
        BY_USER | {"oauth.client_secret": SECRET},
        "public_client_sent_secret",
    ),
    # SocketTools: a personal account called one of Microsoft 365
    "S5 a free account taken for one of Microsoft 365": (
        BY_USER | {"mailbox": '"somebody@outlook.com"'},
        "wrong_tenant_endpoint_for_account",
    ),
    "S5 no personal accounts": (
        PERSONAL | {"oauth.tenant": '"organizations"'},
        "wrong_tenant_endpoint_for_account",
    ),
    "S5 permissions of two services at once": (
        PERSONAL | scope(SMTP_SEND, "https://graph.microsoft.com/Mail.Send", "offline_access"),
        "scope_mixes_resources",
    ),
    "S5 a loopback address that cannot be registered": (
        PERSONAL | {"oauth.redirect_uri": '"http://[::1]/testApp/"'},
        "redirect_uri_mismatch",
    ),
    # the table of scope names
    "a permission for reading, cut short": (
        BY_USER | scope("https://outlook.office.com/IMAP.AccessAsUser", SMTP_SEND, "offline_access"),
        "scope_invalid_or_malformed",
    ),
    "SMTP.SendAsUser": (
        BY_USER | scope("https://outlook.office.com/SMTP.SendAsUser", "offline_access"),
        "scope_invalid_or_malformed",
    ),
    "SMTP.Send.All": (
        BY_USER | scope("https://outlook.office.com/SMTP.Send.All", "offline_access"),
        "scope_invalid_or_malformed",
    ),
    "full_access_as_app": (
        BY_USER | scope("https://outlook.office365.com/full_access_as_app", "offline_access"),
        "scope_invalid_or_malformed",
    ),
    "an application's permission for a user": (
        BY_USER | scope("https://outlook.office365.com/SMTP.SendAsApp", "offline_access"),
        "scope_invalid_or_malformed",
    ),
    "an application's permission by its name": (
        ALONE | scope("https://outlook.office365.com/SMTP.SendAsApp"),
        "scope_default_required",
    ),
    "a user's resource for an application": (
        ALONE | scope("https://outlook.office.com/.default"),
        "token_wrong_audience",
    ),
    "the resource of another consent": (
        ALONE | scope("https://ps.outlook.com/.default"),
        "token_wrong_audience",
    ),
}


@pytest.mark.parametrize(("settings", "code"), ENTERED.values(), ids=ENTERED)
def test_what_a_guide_has_somebody_enter_is_caught_before_anything_is_asked(
    settings: Mapping[str, str], code: str, tmp_path: Path
) -> None:
    """By one cause, and with what would be right."""
    (problem,) = problems_with(profile_of(settings, tmp_path))
    assert problem.code == code
    assert problem.wanted


RIGHT: Mapping[str, Mapping[str, str]] = {
    "S1 the secret in the header": WEB
    | {"oauth.client_auth": '"basic"'}
    | scope(SMTP_SEND, "offline_access"),
    "S2 host and port": ALONE | {"smtp.host": '"Smtp.office365.com"', "smtp.port": "587"},
    "S4 somebody else's address, if one trusts them": GMAIL
    | {"oauth.redirect_uri": '"https://execonnect.index-education.com/callback"'},
    "S4 Google's scope and words": GMAIL
    | scope("https://mail.google.com/")
    | {"oauth.authorize_params": '{ prompt = "consent", access_type = "offline" }'},
    "S4 Microsoft's scope": BY_USER | scope(SMTP_SEND, "offline_access"),
    "S4 Microsoft on another device": BY_USER | {"oauth.grant": '"device_code"'},
    "S5 a path of one's own on loopback": PERSONAL
    | {"oauth.redirect_uri": '"http://127.0.0.1/testApp/"', "oauth.tenant": '"common"'},
    "S5 three permissions of one service": PERSONAL
    | scope(
        "offline_access",
        "https://outlook.office.com/POP.AccessAsUser.All",
        "https://outlook.office.com/IMAP.AccessAsUser.All",
        SMTP_SEND,
    ),
}


@pytest.mark.parametrize("settings", RIGHT.values(), ids=RIGHT)
def test_what_a_guide_has_right_is_no_mistake(settings: Mapping[str, str], tmp_path: Path) -> None:
    assert list(problems_with(profile_of(settings, tmp_path))) == []


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ({"smtp.tls": '"TryTLS"'}, "wanted one of starttls, implicit"),
        ({"smtp.tls": '"SSLAuto"'}, "wanted one of starttls, implicit"),
        ({"smtp.mechanism": '"auto"'}, "wanted one of xoauth2, oauthbearer"),
        ({"oauth.grant": '"password"'}, "RFC 9700 forbids handing a password to a program"),
        ({"oauth.client_secret": '"canary~secret"'}, "wanted where it is kept"),
    ],
    ids=str,
)
def test_what_is_unsafe_cannot_be_set_up(setting: dict[str, str], wanted: str, tmp_path: Path) -> None:
    """S2, S3: TLS if it happens to work, whatever login the server takes, passwords, secrets in files."""
    with pytest.raises(ProfileError) as caught:
        profile_of(BY_USER | setting, tmp_path)
    assert wanted in caught.value.line
    assert "canary" not in caught.value.line


# --- what a guide's reader meets ---------------------------------------------------------------------------


def reply(text: str, provider: str = "microsoft365", **context: str) -> dict[str, Any]:
    observed = {"smtp_code": 535, "enhanced": "5.7.139", "text": f"Authentication unsuccessful, {text}"}
    return {"provider": provider, "stage": "auth", "observed": observed, "context": context}


def answer(error: str, text: str, stage: str = "token", **more: Any) -> dict[str, Any]:
    observed = {"http_status": 400, "body": {"error": error, "error_description": text}}
    return {"provider": "microsoft365", "stage": stage, "observed": observed, **more}


BASIC = "basic authentication is disabled."
MET: Mapping[str, tuple[dict[str, Any], str]] = {
    "S1 a refresh token that was not used": (
        answer("invalid_grant", "AADSTS700082: The refresh token has expired due to inactivity.", "refresh"),
        "refresh_token_expired_inactivity",
    ),
    "S1 SMTP AUTH is off": (
        reply("SmtpClientAuthentication is disabled for the Tenant."),
        "smtp_auth_disabled_tenant",
    ),
    "S1 the address of a test program": (
        answer("invalid_request", "AADSTS50011: The redirect URI does not match.", "authorize"),
        "redirect_uri_mismatch",
    ),
    "S1 the token in the place of a password": (
        reply(BASIC, mechanism_used="AUTH LOGIN"),
        "client_used_password_auth",
    ),
    "S2 an application that Exchange does not know": (
        answer("unauthorized_client", "AADSTS7000229: The client is missing a service principal."),
        "app_not_found_in_tenant",
    ),
    "S3 a password for Hotmail": (reply(BASIC, "outlook_personal"), "client_used_password_auth"),
    "S3 an unverified publisher": (
        answer("access_denied", "AADSTS90094: The grant requires administrator permission.", "authorize"),
        "admin_consent_required",
    ),
    "S3 a token for Graph": (
        {
            "provider": "microsoft365",
            "stage": "claims",
            "observed": {"claims": {"aud": "https://graph.microsoft.com", "scp": "SMTP.Send"}},
        },
        "token_wrong_audience",
    ),
    "S4 a consent screen in Testing": (
        {
            "provider": "google",
            "stage": "refresh",
            "observed": {
                "http_status": 400,
                "body": {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
            },
            "context": {"days_since_consent": 7, "consent_screen": "External, Testing"},
        },
        "google_refresh_expired_testing_status",
    ),
    "S5 an application without personal accounts": (
        answer("invalid_request", "AADSTS9002331: Application is configured for use by Azure AD users only."),
        "app_account_type_mismatch",
    ),
    "S5 a code that was copied too slowly": (
        answer("invalid_grant", "AADSTS70008: The provided authorization code has expired."),
        "auth_code_invalid",
    ),
    "S5 a code that was redeemed before": (
        answer("invalid_grant", "AADSTS54005: OAuth2 Authorization code was already redeemed."),
        "auth_code_invalid",
    ),
    "S5 permissions of two services": (
        answer("invalid_scope", "AADSTS28000: Provided value for the input parameter scope is not valid."),
        "scope_mixes_resources",
    ),
}


@pytest.mark.parametrize(("case", "code"), MET.values(), ids=MET)
def test_what_a_guides_reader_meets_is_explained_by_its_cause(case: dict[str, Any], code: str) -> None:
    assert causes_of_case(case, load_providers())[0].code == code


# --- what cannot go wrong with us --------------------------------------------------------------------------


def test_every_sign_in_carries_state_and_pkce(tmp_path: Path) -> None:
    """S1, S5: neither guide does."""
    profile = profile_of(PERSONAL, tmp_path)
    attempt = begin(profile, Wallet(), profile.oauth.authorize_endpoint, "http://127.0.0.1:8400", Issuer())
    asked = parse_qs(urlsplit(attempt.url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["state"][0]) >= 32
    assert len(asked["code_challenge"][0]) == 43


def test_idle_times_are_each_providers_own() -> None:
    """S1 gives Google's half year for Microsoft's ninety days."""
    idle = {name: load_providers()[name].refresh_idle_days for name in ("microsoft365", "outlook_personal")}
    assert idle == {"microsoft365": 90, "outlook_personal": 90}
    assert load_providers()["google"].refresh_idle_days == 180


def test_a_new_refresh_token_takes_the_place_of_the_old() -> None:
    """S5 keeps using the first; where tokens are renewed, the presets say so."""
    assert load_providers()["outlook_personal"].renews_refresh_tokens
    assert load_providers()["microsoft365"].renews_refresh_tokens


def test_a_week_is_known_to_be_the_end_of_a_test() -> None:
    """S4 says nothing of the publishing status."""
    limits = load_providers()["google"].refresh_limits
    assert [(one.name, one.days) for one in limits] == [("an app in Testing, or access given for a time", 7)]


def test_passwords_have_their_dates() -> None:
    """S3 sends passwords to Hotmail, which has not taken them since 2024."""
    assert "2024-09-16" in load_providers()["outlook_personal"].password_retirement
    (end,) = load_providers()["microsoft365"].retirements
    assert end.date == dt.date(2026, 12, 31)


def test_nothing_that_is_said_uses_a_product_name_of_old(capsys: pytest.CaptureFixture[str]) -> None:
    """S1, S2, S4: the directory is called Entra ID."""
    for code in ("client_secret_expired", "app_only_smtp_role_missing", "admin_consent_required"):
        assert cli.main(["explain", code]) == 0
    told = capsys.readouterr().out
    assert "Entra" in told
    assert "Azure Active Directory" not in told
