"""Who is asking: the application's id, its kind, and what proves it."""

from __future__ import annotations

import datetime as dt
import re

from smtp_preflight.diagnosis.ends import End
from smtp_preflight.diagnosis.lint.problem import Problem, is_google, is_microsoft
from smtp_preflight.diagnosis.lint.sign_in import problem_with_grant
from smtp_preflight.model import GrantType, Profile, SecretCheck

KEY_FILES = {
    "certificate": "a certificate with its RSA key, in PEM or PKCS#12, and the passphrase where it is locked",
    "service_account": "the JSON file of a service account's key, as Google hands it out",
}
GOOGLE_CLIENT = ".apps.googleusercontent.com"
_GUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_ENTRA_CLIENT = re.compile(rf"{_GUID}|[0-9A-Fa-f]{{16}}")  # the second form is of personal accounts' old apps
_EXAMPLE = re.compile(r"[0-]+|0+-example\.apps\.googleusercontent\.com")  # as templates have them


def problem_with_client(profile: Profile) -> Problem | None:
    """A confidential client has a credential, a public one has none (RFC 6749 section 2.1)."""
    oauth = profile.oauth
    if oauth.grant in (GrantType.ACCESS_TOKEN, GrantType.JWT_BEARER):
        return None
    credential = oauth.client_secret or oauth.certificate or oauth.federated
    if oauth.client_type == "public" and credential and not profile.provider.client_secret_required:
        return Problem("public_client_sent_secret", "oauth.client_type", "public, with a secret", "no secret")
    alone = oauth.grant is GrantType.CLIENT_CREDENTIALS and problem_with_grant(profile) is None
    if oauth.client_type == "public" and alone:  # which only confidential ones may (RFC 6749 section 4.4)
        found = f"public, with grant {oauth.grant}"
        return Problem("client_secret_missing", "oauth.client_type", found, "confidential, with a credential")
    if credential is None and (
        oauth.client_type == "confidential" or profile.provider.client_secret_required
    ):
        wanted = "client_secret, certificate or federated"
        return Problem(
            "client_secret_missing", "oauth.client_type", f"{oauth.client_type}, no secret", wanted
        )
    return None


def problem_with_client_id(profile: Profile) -> Problem | None:
    """The client id has the form of those that the provider gives out, and is no example or other id."""
    oauth = profile.oauth
    if not oauth.client_id or oauth.grant in (GrantType.ACCESS_TOKEN, GrantType.JWT_BEARER):
        return None
    if is_google(profile):
        fits, wanted = oauth.client_id.endswith(GOOGLE_CLIENT), f"an id that ends in {GOOGLE_CLIENT}"
    elif is_microsoft(profile):
        fits, wanted = bool(_ENTRA_CLIENT.fullmatch(oauth.client_id)), "the Application (client) ID, a GUID"
    else:
        fits, wanted = True, "the application's client id"
    if fits and oauth.client_id.lower() == oauth.tenant.lower():
        return Problem("client_id_wrong", "oauth.client_id", "the tenant's id", wanted)
    fits = fits and not _EXAMPLE.fullmatch(oauth.client_id)
    return None if fits else Problem("client_id_wrong", "oauth.client_id", oauth.client_id, wanted)


def problem_with_secret(check: SecretCheck) -> Problem | None:
    """A secret has the shape of one: no quotes or blanks around it, no id in its place, no whole file."""
    wanted = "the secret's value alone"
    if check.unusable:
        return Problem("credential_unusable", f"oauth.{check.key}", check.unusable, KEY_FILES[check.key])
    if check.key in KEY_FILES:
        return None
    if check.quoted or check.blank_edges:
        code = "refresh_token_invalid" if check.key == "refresh_token" else "client_secret_wrong"
        return Problem(code, f"oauth.{check.key}", "quotes or blanks around it", wanted)
    if check.key != "client_secret":
        return None
    if check.looks_like_guid:
        return Problem("client_secret_wrong", "oauth.client_secret", "the shape of an id", wanted)
    if check.looks_like_json:
        return Problem("client_secret_wrong", "oauth.client_secret", "a JSON document", wanted)
    return None


def problem_with_end_date(end: End | None, today: dt.date) -> Problem | None:
    """The application's secret or certificate has not ended."""
    if end is None or end.day >= today:
        return None
    key = "oauth.secret_expires" if end.based_on == "profile" else "oauth.certificate"
    return Problem("client_secret_expired", key, end.day.isoformat(), "a day to come")
