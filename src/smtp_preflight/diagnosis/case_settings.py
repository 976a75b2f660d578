"""What is known besides what was observed: settings, and what somebody has looked up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from smtp_preflight.diagnosis import lint
from smtp_preflight.diagnosis.case_answers import body_in
from smtp_preflight.diagnosis.case_reading import Case
from smtp_preflight.diagnosis.case_tokens import LOGIN, SCOPE, USER, read_elsewhere, scopes_in
from smtp_preflight.diagnosis.hearsay import HTTP_STAGES, is_decorated, target_of
from smtp_preflight.diagnosis.said import Said, several, table, url_in, words
from smtp_preflight.model import Endpoint, Expect, GrantType, OAuth, Profile, Provider, Smtp, Stage, short

HOST = ("server", "configured_host", "smtp_host", "mail_host", "host", "smtp_server")
PORT = ("port", "smtp_port")
SPOKEN = (
    "mechanism_used", "mechanism", "auth_command_sent", "client_sent", "auth_line", "auth", "commands_sent",
    "dialogue",
)  # fmt: skip
PASSWORD = ("password_kind", "password_source", "imap_password_equals_smtp_password")
SIGN_IN = ("token_endpoint", "token_url", "endpoint", "url", "authority", "authorize_endpoint", "auth_url")
TENANT = ("tenant_setting", "authorize_endpoint_tenant", "authority", "tenant_id")
CLIENT_TLS = ("client_tls", "tls_versions_of_client")
SUBJECT = ("sub", "subject", "subject_claim")
SERVICE_ACCOUNTS = ".gserviceaccount.com"
ADDED = ("minutes_since_Add-MailboxPermission", "minutes_since_change")

GOOGLE_TESTING_DAYS = 9  # a consent screen in Testing: seven days (support.google.com/cloud/answer/15549945)
IDLE_DAYS = 180  # Google's six months; Microsoft says of itself that a token lapsed (AADSTS700082)
CHANGE_SPREADS_IN_MINUTES = 120

_MECHANISM = re.compile(r"\b(XOAUTH2|OAUTHBEARER|CRAM-MD5|NTLM|LOGIN|PLAIN)\b", re.IGNORECASE)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OLD_TLS = re.compile(r"^(?!.*1\.[23]).*(SSL ?v?3|TLS ?v?1(\.[01])?\b|\b1\.[01]\b)", re.IGNORECASE)
_LATE = re.compile(r"\b(behind|ahead|slow|fast|off|wrong|skew)", re.IGNORECASE)


def profile_of(case: Case) -> Profile:
    """The profile under which a run would have met this, as far as it is told; the preset's where not."""
    said, preset = case.said, case.preset
    host, port = said.endpoint(*HOST)
    if not host and case.stage is Stage.PROFILE:
        host = said.text(*HOST)  # as it was written, which may be what is wrong with it
    first = preset.endpoints[0] if preset.endpoints else Endpoint("", 0)
    grant = GrantType(case.grant) if case.grant in set(GrantType) else GrantType.AUTHORIZATION_CODE
    return Profile(
        name="",
        provider=preset,
        mailbox=said.address(*LOGIN, "mailbox"),
        smtp=Smtp(
            host or first.host, int(port or said.number(*PORT) or first.port), _tls_mode(said) or first.tls
        ),
        oauth=OAuth(
            grant=grant,
            tenant=_tenant(said),
            client_id=said.text("client_id"),
            scope=scopes_in(said.everything(*SCOPE)),
            token_endpoint=said.url(*SIGN_IN),
            redirect_uri=said.url("redirect_uri"),
            app_permission="rbac" if "rbac" in said.text("design", "app_permission").lower() else "role",
        ),
        expect=Expect(
            aud=preset.aud,
            tid=_tenant_id(said),
            permissions=preset.permissions,
        ),
    )


def _tenant(said: Said) -> str:
    """The tenant in the address of the identity provider, or as it was set."""
    sign_in = urlsplit(said.url(*SIGN_IN))
    path = sign_in.path.split("/")
    if len(path) > 1 and ("oauth2" in path[2:] or (sign_in.hostname or "").startswith("login.")):
        return path[1]
    word = said.text(*TENANT)
    return word if re.fullmatch(r"[\w.-]+", word) and "://" not in word else ""


def _tenant_id(said: Said) -> tuple[str, ...]:
    """The tenant a token has to be of: the mailbox's, else the one asked; nothing but ids compare."""
    known = (one.lower() for one in (said.text("mailbox_tenant"), _tenant(said)) if _GUID.fullmatch(one))
    return tuple(known)[:1]


def _tls_mode(said: Said) -> str:
    word = said.text("tls_mode", "tls", "security", "encryption").lower()
    if (secure := said.flag("secure")) is not None:
        return "implicit" if secure else "starttls"
    if word in ("implicit", "ssl", "smtps", "ssl/tls"):
        return "implicit"
    return "starttls" if word in ("starttls", "explicit") else ""


def common_signs(case: Case, profile: Profile, text: str, presets: Mapping[str, Provider]) -> dict[str, str]:
    """What is true wherever one looks; settings only as far as they were told."""
    said = case.said
    host, port = said.endpoint(*HOST)
    if not host and case.stage not in HTTP_STAGES and case.hearsay:
        host, port = target_of(text)
    number = port or f"{said.number(*PORT) or 0:.0f}"
    kind = lint.kind_of_host(case.preset, host or _greeted_by(case))
    found = {
        "provider": case.provider,
        "grant": case.grant,
        "tls_mode": _tls_mode(said),
        "port": number if number != "0" else "",
        "host_known": "no" if is_decorated(text) else _known(host, presets) if host else "",
        "host_kind": kind if kind != "accepted" else "",
        "mechanism": mechanism_of(said),
        "client_type": _client_type(said),
        "app_permission": profile.oauth.app_permission if said.has("design", "app_permission") else "",
        "imap": "works" if read_elsewhere(said) else "",
    }
    return {key: value for key, value in found.items() if value}


def _greeted_by(case: Case) -> str:
    """The name by which a server answers EHLO, which stands first (RFC 5321 section 4.1.1.1)."""
    lines = case.observed.get("ehlo_lines")
    first = words(lines[0]) if isinstance(lines, list) and lines else ""
    return re.sub(r"^250[ -]", "", first).partition(" ")[0].lower()


def mechanism_of(said: Said) -> str:
    """The one that was used; a login with a password is one by LOGIN where it is not named."""
    spoken = _MECHANISM.search(said.everything(*SPOKEN))
    return spoken[1].upper() if spoken else "LOGIN" if said.text(*PASSWORD) else ""


def _known(host: str, presets: Mapping[str, Provider]) -> str:
    """A host that some preset names: it exists, so a name server that does not know it is at fault."""
    hosts = {one.host for preset in presets.values() for one in preset.endpoints}
    return "yes" if host in hosts.union(*(preset.legacy_hosts for preset in presets.values())) else "no"


def _client_type(said: Said) -> str:
    if said.flag("client_secret_configured", "client_sends_secret", "client_secret_sent"):
        return "confidential"
    return "public" if said.flag("app_allow_public_client_flows") is False else ""


def lint_signs(case: Case, profile: Profile) -> dict[str, str]:
    """What a run would say of these settings before it asks anybody; only of those that are told."""
    said = case.said
    if case.stage in HTTP_STAGES:
        issuer = (
            url_in(words(body_in(case.observed.get("body")).get("issuer"))) or profile.oauth.token_endpoint
        )
        asked = replace(profile, oauth=replace(profile.oauth, token_endpoint=issuer))
        return {"cloud": "mismatch"} if issuer and lint.problem_with_cloud(asked) else {}
    if case.stage is not Stage.PROFILE:
        return {}
    told = (
        (bool(case.grant), lint.problem_with_grant),
        (said.has(*TENANT, *SIGN_IN), lint.problem_with_tenant),
        (said.has(*SCOPE), lint.problem_with_scope),
        (said.has(*HOST), lint.problem_with_host),
        (said.has(*PORT) or said.has(*HOST), lint.problem_with_port),
        (bool(_tls_mode(said)), lint.problem_with_tls_mode),
        (said.has(*SIGN_IN), lint.problem_with_cloud),
        (said.has("redirect_uri"), lint.problem_with_redirect),
        (said.has("client_id"), lint.problem_with_client_id),
        (bool(profile.mailbox), lint.problem_with_mailbox),
    )
    problems = (problem_with(profile) for is_told, problem_with in told if is_told)
    found = next((one for one in problems if one), None)
    return {"problem": found.code} if found else {}


def looked_up(said: Said) -> dict[str, str]:
    """What the other side was asked for: an administrator's look, a clock, an age."""
    kind = said.text("mailbox_type", "recipient_type").lower()
    changed = said.number(*ADDED)
    consent = said.number("days_since_consent", "token_age_days")
    months = said.number("months_since_consent")
    age_days = consent if consent is not None else months * 30 if months is not None else None
    found = {
        "mailbox_kind": "shared" if "shared" in kind
        else "on_premises" if "mailuser" in kind
        else "unlicensed" if said.text("licence").lower() in ("none", "no") else "",
        "sp": _yes_or_no(said.flag("exchange_service_principal"), "registered", "missing"),
        "sp_object": "wrong" if "differs" in said.text("Get-ServicePrincipal.ObjectId") else "",
        "rbac": "" if not said.has("management_role_assignment")
        else "assigned" if said.text("management_role_assignment") else "missing",
        "mailbox_right": "missing" if said.facts.get("mailbox_permission", "") is None else "",
        "smtp_auth": _yes_or_no(
            said.flag("cas_mailbox.SmtpClientAuthenticationDisabled", "smtp_auth_disabled"), "off", "on"
        ),
        "recent_change": "yes" if changed is not None and changed < CHANGE_SPREADS_IN_MINUTES else "",
        "clock": "off" if _LATE.search(said.text("host_clock")) else "",
        "testing_age": "yes" if (age_days is not None and age_days <= GOOGLE_TESTING_DAYS)
        or "testing" in said.text("consent_screen").lower() else "",
        "refresh_token_idle": "too_long" if age_days is not None and age_days >= IDLE_DAYS else "",
        "client_tls": "old" if _OLD_TLS.search(said.everything(*CLIENT_TLS)) else "",
        "starttls_sent": _yes_or_no(said.flag("starttls_sent"), "yes", "no"),
        "auth_sent": "no" if said.flag("auth_command_sent") is False else "",
        "subject": _subject(said),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def _subject(said: Said) -> str:
    """For whom a service account asks: nobody (none), or for itself (own), which has no mailbox."""
    if not said.has(*SUBJECT):
        return ""
    named = said.address(*SUBJECT)
    return "own" if named.endswith(SERVICE_ACCOUNTS) else "" if named else "none"


def _yes_or_no(flag: bool | None, yes: str, no: str) -> str:
    return "" if flag is None else yes if flag else no


def facts_of(case: Case, profile: Profile) -> dict[str, str]:
    """The user's own values for the remedies; none of them comes from what a server said."""
    preset, smtp = case.preset, profile.smtp
    found = {
        "provider": preset.title,
        "preset": {"any": "", "other": "custom"}.get(case.provider, case.provider),
        "host": smtp.host,
        "port": str(smtp.port or ""),
        "written_port": str(smtp.port or ""),
        "tls_mode": smtp.tls if smtp.host else "",
        "mailbox": profile.mailbox,
        "sender": case.said.address("mail_from", "header_from"),
        "login": "" if profile.oauth.grant is GrantType.CLIENT_CREDENTIALS else profile.mailbox,
        "tenant": profile.oauth.tenant,
        "client_id": profile.oauth.client_id,
        "scope": " ".join(profile.oauth.scope),
        "token_endpoint": profile.oauth.token_endpoint,
        "profile": _plain_name(case.said.text("profile")),
        "preset_host": preset.endpoints[0].host if preset.endpoints else "",
        "preset_port": str(preset.endpoints[0].port) if preset.endpoints else "",
        **_claimed(case),
    }
    return {key: value for key, value in found.items() if value}


def _plain_name(name: str) -> str:
    """The name of a profile, which stands in commands; nothing where it is anything else."""
    return name if re.fullmatch(r"[\w.-]{1,100}", name, re.ASCII) else ""


def _claimed(case: Case) -> dict[str, str]:
    """What the token says of itself, as far as remedies ask for it."""
    claims = table(case.observed.get("claims"))
    told = {name: " ".join(several(claims.get(name))) for name in ("aud", "tid", "appid", "oid")}
    told["aud"] = told["aud"] or case.said.text("token_aud")
    told["permissions"] = " ".join(several(claims.get("scp")) + several(claims.get("roles")))
    told["token_user"] = case.said.address(*USER) or Said(claims).address(
        "upn", "preferred_username", "email"
    )
    return {name: short(value) for name, value in told.items()}
