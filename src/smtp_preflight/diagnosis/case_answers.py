"""What servers said in a case, the mail server and the identity provider, as signs of a run."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from smtp_preflight.diagnosis.case_tokens import granted_otherwise
from smtp_preflight.diagnosis.excerpts import ERROR_ON_PAGE, decoded_challenge, excerpt_of
from smtp_preflight.diagnosis.numbers import aadsts_sign
from smtp_preflight.diagnosis.said import Said, several, table, words
from smtp_preflight.diagnosis.signs import STRIPPED
from smtp_preflight.diagnosis.wordings import STATUS, enhanced_by_words, joined
from smtp_preflight.model import Ehlo, Profile, SmtpReply, Stage

_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)  # a case is of no day
_CODE = re.compile(r"\s*([2-5]\d\d)(?:\.0)?(?![\d.])")
_AADSTS = re.compile(r"AADSTS(\d{1,10})\b", re.IGNORECASE | re.ASCII)

# --- the mail server ---------------------------------------------------------------------------------------


def dialogue_signs(observed: Mapping[str, Any], stage: Stage, said: Said) -> dict[str, str]:
    """A reply of the mail server, the challenge before it, or what it offers."""
    found: dict[str, str] = {}
    challenge = _challenge(observed.get("challenge_json"))
    if challenge:
        told = {"challenge_status": "status", "challenge_scope": "scope"}
        found |= {sign: one.lower() for sign, key in told.items() if (one := words(challenge.get(key)))}
        found["smtp_code"] = "334"
    found |= reply_in(observed)
    found |= reply_in(table(observed.get("final_reply")))
    about_name = said.has("ehlo") or re.search("HELO|EHLO", found.get("text", ""))
    if stage is Stage.GREETING and about_name:
        found["step"] = "ehlo"
    if "ehlo_lines" in observed or said.has("ehlo_lines", "offered"):
        return found | _offered(observed, stage, said)
    return found | ({"starttls": "unknown"} if stage is Stage.STARTTLS else {})


def _challenge(value: object) -> Mapping[str, Any]:
    return decoded_challenge(value.removeprefix("334 ").strip()) if isinstance(value, str) else table(value)


def reply_in(told: Mapping[str, Any]) -> dict[str, str]:
    """Code, enhanced code and text of a reply, each wherever it stands."""
    value = told.get("text")
    lines = [str(one) for one in value] if isinstance(value, list) else str(value or "").splitlines()
    code = _CODE.match(words(told.get("smtp_code"))) or _CODE.match(lines[0] if lines else "")
    if code is None:
        return {}
    text = words(joined([re.sub(rf"^\s*{code[1]}(?:[ -]|$)", "", line) for line in lines]))
    status = STATUS.fullmatch(words(told.get("enhanced")))
    number, text, is_inner = _refusal_behind(code[1], text)
    if status is None or is_inner:
        status = STATUS.search(text)
    enhanced = status[1] if status else enhanced_by_words(number, text)
    return {"smtp_code": number, "text": text} | ({"enhanced": enhanced} if enhanced else {})


def _refusal_behind(code: str, text: str) -> tuple[str, str, bool]:
    """Code and text; those of the refused login that a server repeats to a program that went on after it."""
    found = re.search(r"(?<![\d.])(53[45]) (\D.*|5\.\d.*)", text) if code == "530" else None
    return (found[1], found[2], True) if found else (code, text, False)


def _offered(observed: Mapping[str, Any], stage: Stage, said: Said) -> dict[str, str]:
    """What EHLO listed, under the same signs as a run's two stages of it."""
    value = observed.get("ehlo_lines") or said.facts.get("ehlo_lines") or said.facts.get("offered")
    lines = [words(one) for one in value] if isinstance(value, list) else str(value or "").splitlines()
    stripped = tuple(re.sub(r"^\s*250[ -]", "", line) for line in lines)
    ehlo = Ehlo(asked_at=_EPOCH, reply=SmtpReply(250, ("", *stripped)))
    if stage is Stage.STARTTLS:
        kind = "offered" if ehlo.offers("STARTTLS") else "stripped" if STRIPPED in ehlo.keywords else "absent"
        return {"starttls": kind}
    if stage is not Stage.AUTH_OFFERED:
        return {}
    offered = "bearer" if ehlo.bearer_mechanisms else "no_bearer" if ehlo.mechanisms else "none"
    return {"auth_offered": offered}


# --- the identity provider ---------------------------------------------------------------------------------


def body_in(value: object) -> Mapping[str, Any]:
    """The answer's JSON object, be it given as text."""
    if isinstance(value, str):
        return table(excerpt_of(value).observed.get("body"))
    return table(value)


def answer_signs(observed: Mapping[str, Any], said: Said, profile: Profile) -> dict[str, str]:
    """The answer of an identity provider."""
    status, value = words(observed.get("http_status")), observed.get("body")
    body = body_in(value)
    found = {"http_status": status} if status else {}
    if "page_text" in body:
        found["text"] = words(body["page_text"])
        if named := ERROR_ON_PAGE.search(found["text"]):
            found |= {"http_status": named[1], "error": named[2].lower()}
    elif body:
        found |= {"is_json": "yes"} | _refusal(body)
    elif shown := words(value):
        found |= {"is_json": "no", "text": shown}
    if "access_token" in body:
        found |= granted_otherwise(body, said, profile)
    numbers = _numbers(body, found.get("text", ""))
    return found | ({"aadsts": aadsts_sign(numbers)} if numbers or "error" in found else {})


def _refusal(body: Mapping[str, Any]) -> dict[str, str]:
    """RFC 6749 section 5.2, and the members that providers add to it."""
    error, inner = body.get("error"), table(body.get("error"))
    told = {
        "error": words(error).lower() or words(inner.get("status")).lower(),
        "suberror": words(body.get("suberror")) or words(body.get("error_subtype")),
        "text": words(body.get("error_description")) or words(inner.get("message")),
    }
    return {key: value for key, value in told.items() if value}


def _numbers(body: Mapping[str, Any], text: str) -> list[str]:
    """AADSTS numbers, those of the member first."""
    members = body.get("error_codes")
    listed = several(members) if isinstance(members, list) else ()
    return [one for one in (*listed, *_AADSTS.findall(text)) if re.fullmatch(r"\d{1,10}", one, re.ASCII)][:20]
