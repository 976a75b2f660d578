"""Reading a case: the provider, the stage and the grant it is about, named or shown by what it observed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smtp_preflight.diagnosis.case_answers import body_in, reply_in
from smtp_preflight.diagnosis.excerpts import excerpt_of
from smtp_preflight.diagnosis.hearsay import HTTP_STAGES, signs_of_words
from smtp_preflight.diagnosis.said import Said, every_text, table, words
from smtp_preflight.model import GrantType, Provider, Stage

_GRANTS = {
    "password": "ropc",
    "urn:ietf:params:oauth:grant-type:device_code": GrantType.DEVICE_CODE,
    "urn:ietf:params:oauth:grant-type:jwt-bearer": GrantType.JWT_BEARER,
    "device code": GrantType.DEVICE_CODE,
    "client credentials": GrantType.CLIENT_CREDENTIALS,
    "authorization code": GrantType.AUTHORIZATION_CODE,
    "refresh token": GrantType.REFRESH_TOKEN,
}
_MARKS = (  # of each provider's servers, in all that a case says, in lower case
    (
        "google",
        r"gsmtp|(mail|support)\.google\.com|gmail\.com|\.googleapis\.com|token has been expired or revoked",
    ),
    ("yahoo", r"login\.yahoo\.com|mail\.yahoo\.com|yahooinc\.com|#(mbr|auth)\d+"),
    (
        "outlook_personal",
        r"smtp-mail\.outlook\.com|@(hotmail|outlook|live|msn)\.com\b|/consumers/|\bconsumers$",
    ),
    (
        "microsoft365",
        r"prod\.outlook\.com|office365\.com|outlook\.office|aadsts\d|microsoftonline|sts\.windows\.net"
        r"|graph\.microsoft|aka\.ms/smtp_auth|5\.7\.(3|139) authentication unsuccessful",
    ),
)
UNKNOWN = Provider("any", "")


@dataclass(frozen=True, slots=True)
class Case:
    """A case that has been read: each part of the kind it should be, or empty."""

    provider: str
    preset: Provider
    stage: Stage
    grant: str
    observed: Mapping[str, Any]
    said: Said
    hearsay: bool  # there is nothing but what a program says of its own failure
    is_named: bool  # the provider is told, and not only shown by its marks


def read_case(case: Mapping[str, Any], presets: Mapping[str, Provider]) -> Case:
    """Take the case apart: what is not of the form of a case is left out, what is missing is inferred."""
    observed, context = table(case.get("observed")), table(case.get("context"))
    told = words(observed.get("exception"))
    named = _stage_named(case.get("stage"))
    found = excerpt_of(str(observed.get("exception", "")))
    if told and found.told and ("body" in found.observed or named not in HTTP_STAGES):
        observed, context = found.observed, {**found.context, **context}
        named = named or found.stage
    said = Said({**context, **table(observed.get("config"))})
    grant = _grant(case.get("grant"), said)
    stage = named or _stage_shown(observed, grant)
    if stage is Stage.REFRESH and grant in ("", "authorization_code", "device_code"):
        grant = GrantType.REFRESH_TOKEN  # that is what is redeemed, however it was come by
    provider = words(case.get("provider")).lower()
    is_named = provider in presets or provider == "other"
    if not is_named:
        provider = _provider_shown(case)
    return Case(
        provider,
        presets.get(provider, UNKNOWN),
        stage,
        grant,
        observed,
        Said({**said.facts, "grant": grant}),
        hearsay="exception" in observed,
        is_named=is_named,
    )


def _stage_named(value: object) -> Stage | None:
    name = words(value).lower()
    return Stage(name) if name in set(Stage) else None


def _grant(value: object, said: Said) -> str:
    """The grant in use, by the name a profile has for it."""
    for told in (words(value), said.text("grant"), said.text("grant_type"), said.text("flow")):
        name = told.lower()
        known = next((word for word in ("ropc", *GrantType) if name.startswith(word)), "")
        if found := known or next((grant for word, grant in _GRANTS.items() if name.startswith(word)), ""):
            return str(found)
    return ""


def _provider_shown(case: Mapping[str, Any]) -> str:
    """Where no provider is named, the one whose marks the case bears: hosts, and how its servers sign."""
    text = " ".join(every_text([case.get("observed"), case.get("context")])).lower()
    found = next((name for name, marks in _MARKS if re.search(marks, text)), "any")
    # An application on its own has no personal account, whichever host it speaks to.
    return (
        "microsoft365" if found == "outlook_personal" and case.get("grant") == "client_credentials" else found
    )


def _stage_shown(observed: Mapping[str, Any], grant: str) -> Stage:
    """The stage at which such evidence shows."""
    if "config" in observed:
        return Stage.PROFILE
    if "claims" in observed:
        return Stage.CLAIMS
    if "challenge_json" in observed:
        return Stage.AUTH
    if "smtp_code" in observed or "text" in observed:
        return _stage_of_reply(reply_in(observed))
    if "body" in observed or "http_status" in observed:
        return _stage_of_answer(observed, grant)
    if "ehlo_lines" in observed:
        return Stage.AUTH_OFFERED
    return _stage_of_words(words(observed.get("exception")))


def _stage_of_answer(observed: Mapping[str, Any], grant: str) -> Stage:
    body = body_in(observed.get("body"))
    error = words(body.get("error"))
    if error in ("authorization_pending", "slow_down", "expired_token", "bad_verification_code"):
        return Stage.DEVICE
    if "page_text" in body or words(observed.get("http_status")).startswith("30"):
        return Stage.AUTHORIZE
    if "issuer" in body:
        return Stage.DISCOVERY
    return Stage.REFRESH if grant == GrantType.REFRESH_TOKEN else Stage.TOKEN


def _stage_of_words(text: str) -> Stage:
    if re.search(
        r"oauth|/token\b|login\.(microsoftonline|live|windows)|proxy|HTTP ?Error", text, re.IGNORECASE
    ):
        return Stage.TOKEN
    if re.search("greeting|banner", text, re.IGNORECASE):
        return Stage.GREETING
    found = signs_of_words(text, Stage.TCP)
    shown = (("host_dns", Stage.DNS), ("tls_failure", Stage.TLS), ("tcp", Stage.TCP))
    return next((stage for sign, stage in shown if sign in found), Stage.AUTH)


# Where in the dialogue a reply belongs that came without one: by code, enhanced code and words, first fit.
_SHOWN_AT = (
    (r"(421|554|501|550) .*(HELO|EHLO)", Stage.GREETING),
    (r"421 4\.7\.66", Stage.TLS),
    (r"(454|502|530) .*TLS (is )?(not|unavailable)|(454|525) .*STARTTLS", Stage.STARTTLS),
    (
        r"\S+ .*(DMARC|SPF|DKIM)|\S+ [45]\.7\.(2[35679]|32[1-5]|509|515|129|124) |421 4\.7\.3[02] ",
        Stage.DELIVERY,
    ),
    (r"\S+ \d\.4\.7 ", Stage.DELIVERY),
    (r"421 .*RCPT", Stage.RCPT_TO),
    (r"421 ", Stage.GREETING),
    (r"(334|535|534|538|504|503|500|454) |432 4\.7\.12|501 (5\.5\.|$)", Stage.AUTH),
    (r"530 |555 |\S+ 5\.7\.750 |\S+ .*mail sending denied", Stage.MAIL_FROM),
    (r"\S+ .*relay(?!.*limit)|\S+ 5\.7\.(64|54) |\S+ 4\.5\.3 ", Stage.RCPT_TO),
    (r"\S+ 5\.1\.(8|20|90) ", Stage.DATA),
    (
        r"\S+ [45]\.1\.\d|\S+ .*(user|recipient|mailbox) .{0,20}(unknown|unavailable|not found|rejected)",
        Stage.RCPT_TO,
    ),
)


def _stage_of_reply(reply: Mapping[str, str]) -> Stage:
    line = f"{reply.get('smtp_code', '')} {reply.get('enhanced', '')} {reply.get('text', '')}"
    return next((stage for pattern, stage in _SHOWN_AT if re.match(pattern, line, re.IGNORECASE)), Stage.DATA)
