"""What a case says of a token: its claims as far as they are given, or how it was asked for."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from smtp_preflight.diagnosis.claim_signs import (
    OPENID,
    audience,
    claim_signs,
    fault_of,
    permitted,
    scope_signs,
)
from smtp_preflight.diagnosis.said import Said, several, words
from smtp_preflight.model import AccessToken, HttpExchange, Profile, Question, Seen, TokenInfo

NOW = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)  # a case tells times in seconds from now, whichever that is
TIMES = ("exp", "nbf", "iat")
FURTHEST_S = 10**9

# How tokens begin that cannot be read. Prefixes are no promise of the providers, and have been stable.
REFRESH_TOKENS = ("0.A", "1.A", "1//", "M.C", "M.R")
CODES = ("4/",)
OPAQUE_ACCESS_TOKENS = ("EwA", "EwB", "EwC", "ya29.")

USER = ("token_upn", "token_signed_in_as", "token_account", "token_user", "token_email")
LOGIN = ("sasl_user", "sasl_user_sent", "configured_smtp_user", "login", "user")
SCOPE = ("requested_scope", "scope", "scopes", "authorized_scope", "requested")
GRANTED = ("token_response_scope", "granted_scope")
NEVER_RENEWED = (
    "client_credentials",
    "jwt_bearer",
    "refresh_token",
)  # whose answers bring none
LEFT = ("token_expires_in_seconds", "token_remaining_seconds")
_SCOPE = re.compile(r"[\w:/.-]*[A-Za-z][\w:/.-]*", re.ASCII)
_SPELLED = {"gmailsend": "https://www.googleapis.com/auth/gmail.send"}


def scopes_in(text: str) -> tuple[str, ...]:
    """The scopes in a text that may say more: what looks like one, or like a library's name of one."""
    found = (one.strip(".,") for one in re.split(r"[\s,;()]+", text) if _SCOPE.fullmatch(one))
    return tuple(one for one in found if one.lower() in OPENID or re.search(r"[./:_-]", one))


def signs_of_claims(claims: Mapping[str, Any], said: Said, profile: Profile) -> dict[str, str]:
    """A token whose claims, whose token info or at least whose first characters are given."""
    if said_opaque(claims):
        return _signs_of_opaque(claims, said, profile)
    if "scope" in claims and not {"scp", "roles"} & set(claims):
        return _signs_of_token_info(claims, said, profile)
    token = AccessToken(
        observed_at=NOW,
        length=0,
        fingerprint="",
        opaque=False,
        claims=_readable(claims),
        other_claims=tuple(sorted(name for name in claims if name in ("nonce", "at_hash", "c_hash"))),
    )
    found = claim_signs(Seen(profile, NOW), token)
    if _addressed_to_the_application(token, profile):
        found |= {"token_use": "id_token"}
    if (
        not {"scp", "roles"} & set(claims)
        and found.get("claims_kind") == "app"
        and not _for_application(claims, said)
    ):
        found = {key: value for key, value in found.items() if key not in ("permission", "claims_kind")}
    if "aud" not in claims:
        found.pop("aud", None)
    return {**found, "token_fault": fault_of(found, "none")}


def _addressed_to_the_application(token: AccessToken, profile: Profile) -> bool:
    """An ID token is for the application that asked for it (OpenID Connect Core section 2)."""
    own = token.values("appid") | {profile.oauth.client_id.lower()}
    return bool(token.values("aud") & (own - {""})) and not token.permissions


def _for_application(claims: Mapping[str, Any], said: Said) -> bool:
    return claims.get("idtyp") == "app" or said.text("grant") in ("client_credentials", "")


def said_opaque(claims: Mapping[str, Any]) -> bool:
    """There is nothing to read in it."""
    return claims.get("opaque") is True


def _readable(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims with their times made absolute; values that no claim has are left out."""
    kept: dict[str, Any] = {}
    for name, value in claims.items():
        if isinstance(value, list):
            kept[name] = list(several(value))
        elif isinstance(value, (str, bool)):
            kept[name] = value if isinstance(value, bool) else words(value)
    for name in TIMES:
        seconds = Said(claims).number(f"{name}_in_seconds", *(("expires_in",) if name == "exp" else ()))
        if seconds is not None and abs(seconds) < FURTHEST_S:
            kept[name] = NOW.timestamp() + seconds
    return kept


def _signs_of_opaque(claims: Mapping[str, Any], said: Said, profile: Profile) -> dict[str, str]:
    begins = words(claims.get("prefix"))
    if begins.startswith(REFRESH_TOKENS):
        return {"token_use": "refresh_token", "token_fault": "token_use"}
    if begins.startswith(CODES):
        return {"token_use": "code", "token_fault": "token_use"}
    if begins.startswith("eyJ") and words(claims.get("dots")) in ("0", "1", "3"):
        return {"token": "damaged"}
    found = _asked_for(said, profile)
    found |= _user(said.address(*USER), said)
    found |= {"token": "opaque", "token_fault": fault_of(found, "opaque")}
    expected = profile.provider.opaque_tokens or not profile.provider.aud
    return {**found, "opaque_expected": "yes"} if expected else found


def _signs_of_token_info(claims: Mapping[str, Any], said: Said, profile: Profile) -> dict[str, str]:
    """What the provider's own endpoint says of an opaque token."""
    kept = {"scope": " ".join(several(claims.get("scope"))), "email": words(claims.get("email"))}
    http = HttpExchange("GET", "", status=200)
    info = TokenInfo(asked_at=NOW, http=http, claims={key: value for key, value in kept.items() if value})
    token = AccessToken(observed_at=NOW, length=0, fingerprint="", claims=_readable(claims))
    mailbox = said.address(*LOGIN, "mailbox") or kept["email"]
    seen = Seen(replace(profile, mailbox=mailbox), NOW, {Question(TokenInfo): info})
    return claim_signs(seen, token)


def signs_of_token(said: Said, profile: Profile) -> dict[str, str]:
    """What is told of a token beside its use: single claims, its owner, or the scope it was asked with.

    ``token_fault`` is none only where audience and permission are both told and right; where too little is
    told it is unknown.
    """
    found = _told_claims(said, profile)
    if "permission" not in found:
        found = _asked_beside(found, said, profile)
    found |= _user(said.address(*USER), said) | _age(said)
    if said.flag("token_file_read_with_newline") or _malformed(said.facts.get("xoauth2_decoded")):
        found["sasl_string"] = "malformed"
    found |= _in_words(said.text("token").lower())
    known = found.get("permission") in ("present", "rbac") or found.get("token_fault") == "none"
    return {**found, "token_fault": fault_of(found, "none" if known else "unknown")}


def _asked_beside(claims: Mapping[str, str], said: Said, profile: Profile) -> dict[str, str]:
    """What the scope says where no claim tells of a permission, unless it is about another resource."""
    asked = _asked_for(said, profile)
    if claims and asked.get("scope_resource", "expected") != "expected":
        return dict(claims)
    return {**asked, **claims}


def _told_claims(said: Said, profile: Profile) -> dict[str, str]:
    """Single claims of a token that was decoded elsewhere."""
    claims = {
        name: value
        for name in ("aud", "scp", "roles", "tid")
        if (value := said.facts.get(f"token_{name}")) is not None
    }
    if not claims:
        return {}
    token = AccessToken(observed_at=NOW, length=0, fingerprint="", opaque=False, claims=_readable(claims))
    found: dict[str, str] = {}
    if "aud" in claims and profile.expect.aud:
        found["aud"] = audience(profile, token)
    elif _asked_for(said, profile).get("scope_resource") == "expected":
        found["aud"] = "expected"
    if "scp" in claims or "roles" in claims:
        found["claims_kind"] = "user" if "scp" in claims else "app"
        found.setdefault("aud", "unknown")
        if (right := permitted(Seen(profile, NOW), token)) is not None:
            found["permission"] = "present" if right else _without_permission(found, profile)
    if "tid" in claims and profile.expect.tid:
        found["tid"] = "match" if token.values("tid") & set(profile.expect.tid) else "mismatch"
    return found


def _without_permission(found: Mapping[str, str], profile: Profile) -> str:
    """An application that RBAC permits has none in its token."""
    by_rbac = found["claims_kind"] == "app" and profile.oauth.app_permission == "rbac"
    return "rbac" if by_rbac else "missing"


def _asked_for(said: Said, profile: Profile) -> dict[str, str]:
    """What the scope lets one expect; what was granted counts before what was asked for."""
    text = said.everything(*GRANTED) or said.everything(*SCOPE)
    scopes = tuple(_SPELLED.get(one.rpartition(".")[2].lower(), one) for one in scopes_in(text))
    found = scope_signs(scopes, profile.provider)
    if found.get("scope_resource") != "graph" or not read_elsewhere(said):
        return found
    # The mailbox opens with this token, so it is for the mail service, whatever its scope left out.
    sends = any(one.lower().endswith(("smtp.send", ".default")) for one in scopes)
    return {"scope_resource": "expected", "scope_permission": "present" if sends else "missing"}


def read_elsewhere(said: Said) -> bool:
    """The mailbox can be read over IMAP with the same token."""
    told = said.text("imap_same_token", "imap_same_identity", "imap").lower()
    return told.startswith(("works", "ok", "yes", "success", "accepted"))


def _user(owner: str, said: Said) -> dict[str, str]:
    login = said.address(*LOGIN)
    if not owner or not login:
        return {}
    also = {said.address(name) for name in USER}
    whose = "match" if owner == login else "alias" if login in also else "mismatch"
    return {"user": whose, "claims_kind": "user"}


def _age(said: Said) -> dict[str, str]:
    left = said.number(*LEFT)
    age = said.number("token_age_seconds")
    if left is None and age is not None:
        left = (said.number("expires_in") or 3600) - age
    return {} if left is None else {"expired": "yes" if left <= 0 else "no"}


def _malformed(decoded: object) -> bool:
    """Not user, 01, ``auth=Bearer`` token, 01, 01, however the bytes 01 are shown (XOAUTH2)."""
    if not isinstance(decoded, str) or not decoded:
        return False
    shown = re.sub(r"\\x01|\\u0001|\^A|\\001|<SOH>|\x01", "\x01", decoded)
    return not re.fullmatch(r"user=[^\x01\s]+\x01auth=Bearer [^\x01\s\\\"']+\x01\x01", shown)


def _in_words(told: str) -> dict[str, str]:
    """The few words in which a token is summed up."""
    if "graph" in told:
        return {"aud": "graph"}
    if "expired" in told:
        return {"expired": "yes"}
    if re.search(r"\b(smtp scope|smtp\.send)", told):
        return {"permission": "present"}
    return (
        {"token_fault": "none"}
        if re.fullmatch(r"(the )?(correct|valid|good|right|fine|ok)\b.*", told)
        else {}
    )


def granted_otherwise(body: Mapping[str, Any], said: Said, profile: Profile) -> dict[str, str]:
    """A token answer that holds less than was wanted: no refresh token, or another scope (RFC 6749 5.1)."""
    if said.flag("refresh_request_has_scope") is False:
        return {"refresh_scope": "omitted"}
    granted = several(body.get("scope"))
    held = {one.lower() for one in granted}
    wanted = said.values("expected_scope") or said.values(*SCOPE)
    found = _granted_for(scope_signs(granted, profile.provider))
    if held and any(one.lower() not in held | OPENID and not one.endswith("/.default") for one in wanted):
        found["scope_granted"] = "less"
    if "refresh_token" not in body and said.text("grant") not in NEVER_RENEWED:
        found |= {"refresh_token_issued": "no"}
    return found


def _granted_for(scope: Mapping[str, str]) -> dict[str, str]:
    """What the scope of an answer says of the token that came with it."""
    if scope.get("scope_resource", "expected") != "expected":
        return {"aud": scope["scope_resource"]}
    if scope.get("scope_permission") != "missing":
        return {}
    return {"aud": scope.get("scope_resource", "unknown"), "permission": "missing", "claims_kind": "user"}
