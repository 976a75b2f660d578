"""Finding the evidence in a pasted text: a reply, a bounce, a log of several lines, an answer in JSON.

A text is read for what servers said in it. Nothing of it is believed, and nothing of it is kept but what a
case holds as ``observed``, so that a text and a case are explained by the same rules.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any
from urllib.parse import parse_qsl

from smtp_preflight.diagnosis.numbers import listed_numbers
from smtp_preflight.diagnosis.wordings import code_by_words, joined
from smtp_preflight.model import Stage

MOST_CHARS = 200_000
MOST_LINES = 4_000
MOST_OBJECTS = 200
MOST_REPLY_LINES = 30
MOST_OF_A_DESCRIPTION = 12  # lines
LEAST_TOKEN = 40
LOOK_UP = "https://login.microsoftonline.com/error?code={}"

# Reply codes of SMTP and its extensions; other numbers of three digits are somebody else's.
_CODES = r"2[0-5]\d|334|354|421|43[02]|45[0-8]|471|50[0-4]|52[135]|53[0458]|55[0-7]|571"
_MARK = (
    r"(?:\S{0,40}[\]|>:]\s+|(?:S|Server|Reply|Response|Received|SMTP|<)\s*[:<]+\s*|<[-<]*\s|[<~]\s*|->\s*)"
)
_STAMP = r"(?:\[[^\]]{1,60}\]\s*|\d[\dT:.,/Z+-]{5,40}\s+)"
_AT_START = re.compile(rf"\s*(?:{_STAMP}|{_MARK}){{0,4}}({_CODES})(?:([ -])(.*)|)$")
_ENHANCED = re.compile(rf"(?<![\d.])({_CODES})[ \-:;,]{{1,3}}#?(([245])\.\d{{1,3}}\.\d{{1,3}})(?![\d.])(.*)")
_QUOTED = re.compile(rf"\(({_CODES}),\s*b?(['\"])(.*?)\2[,)]")
_AFTER_WORD = re.compile(
    r"(?:said|repl(?:y|ied)|returned|responded|response|error|login|failed|rejected|smtp|server"
    r"|fehler|antwort(?:et|ete)?|erreur|r[ée]pon(?:se|du)|serveur)"
    rf"\W{{1,5}}({_CODES})[ -](\D.*|[245]\.\d{{1,3}}\.\d{{1,3}} .*)",
    re.IGNORECASE,
)
_STATUS = re.compile(
    r"(?:^|(?:response|reply|said|returned|error|status|fehler|r[ée]ponse)(?: was)?)\W{0,5}"
    r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?:$|[ \-:;,]{1,3}([A-Za-z(].*))",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"(?:^|[\s>:'\"<~])(EHLO|HELO|STARTTLS|AUTH|MAIL FROM|RCPT TO|DATA|BDAT)(?=$|[\s:'\"\\])", re.IGNORECASE
)
_MECHANISM = re.compile(
    r"\bAUTH(?:enticator)?[ =]+(?:mechanism[ =]+)?[\"']?(XOAUTH2|OAUTHBEARER|LOGIN|PLAIN|CRAM-MD5|NTLM)\b",
    re.IGNORECASE,
)
_LOGIN_PROMPTS = ("VXNlcm5hbWU6", "UGFzc3dvcmQ6", "VXNlciBOYW1lAA==", "UGFzc3dvcmQA")
_AADSTS = re.compile(r"AADSTS(\d{1,10})\b", re.IGNORECASE | re.ASCII)
_OAUTH_ERROR = re.compile(
    r"\b(invalid_(?:grant|client|request|scope|resource|tenant|token)|unauthorized_client|access_denied"
    r"|unsupported_(?:grant_type|response_type)|interaction_required|consent_required|login_required"
    r"|authorization_(?:pending|declined)|expired_token|bad_verification_code|slow_down|server_error"
    r"|temporarily_unavailable|redirect_uri_mismatch|(?:deleted|disabled)_client|admin_policy_enforced|org_internal"
    r"|disallowed_useragent)\b"
)
# How Google's sign-in pages name the error.
ERROR_ON_PAGE = re.compile(r"\berror\s+(4\d\d):\s+([a-z]+(?:_[a-z]+)+)\b", re.IGNORECASE)
_BASE64 = re.compile(r"(?:334[ -])?\s*(eyJ[A-Za-z0-9+/]{6,2000}={0,2})(?![\w.])")
_QUERY = re.compile(r"[?&#]((?:[\w.~%+-]+=[^\s\"'<>&#]*&)*error=[^\s\"'<>]*)")
_BOUNCE = re.compile(
    r"diagnostic-code|remote server returned|delivery (has failed|status notification)|undeliver",
    re.IGNORECASE,
)

_ENTITY = re.compile(r"&(?:quot|apos|lt|gt|amp|nbsp|#\d{1,5}|#x[0-9a-f]{1,4});", re.IGNORECASE)
_TAG = re.compile(r"</?(?:p|br|div|pre|td|tr|li|blockquote)(?:\s[^<>]{0,300})?/?>", re.IGNORECASE)
_TRAILER = re.compile(r"\s*(Trace|Correlation|Timestamp)")
# How a line begins that is something else than the rest of a sentence.
_NEWS = re.compile(r"\s*(?:$|[A-Z]\S*[:>|]\s|\d{4}-|[\[{\"]|AADSTS)")

_TOKEN = re.compile(
    r"eyJ[\w-]+(?:\.[\w-]*){1,4}|(?:ya29\.|1//|4/|Ew[A-C]|[01]\.A|M\.[CR])[\w.+/=!*$~-]+", re.ASCII
)
_GUID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_IDS = (
    ("Trace ID", rf"trace[ _]id[\"']?\s*:\s*[\"']?{_GUID}"),
    ("Correlation ID", rf"correlation[ _]id[\"']?\s*:\s*[\"']?{_GUID}"),
    ("Timestamp", r"timestamp[\"']?\s*:\s*[\"']?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ)"),
)

_STAGE_OF_COMMAND = {
    "EHLO": Stage.GREETING,
    "HELO": Stage.GREETING,
    "STARTTLS": Stage.STARTTLS,
    "AUTH": Stage.AUTH,
    "MAIL FROM": Stage.MAIL_FROM,
    "RCPT TO": Stage.RCPT_TO,
    "DATA": Stage.DATA,
    "BDAT": Stage.DATA,
}


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The evidence in a text: in the form of a case, where it stood, and what the text says around it."""

    observed: Mapping[str, Any]
    at: int = 0  # the line
    quote: tuple[str, ...] = ()
    stage: Stage | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> bool:
        """A server said it; otherwise there is nothing but the words of the text."""
        return "exception" not in self.observed


@dataclass(frozen=True, slots=True)
class _Reply:
    code: str
    lines: tuple[str, ...]
    at: int
    quote: tuple[str, ...]

    @property
    def text(self) -> str:
        return joined(list(self.lines))


def excerpt_of(text: str) -> Excerpt:
    """What in the text tells most of the failure: the first refusal; the text itself where there is none."""
    lines = _plain(text[:MOST_CHARS]).splitlines()[:MOST_LINES]
    if number := _bare_number(text[:MOST_CHARS]):
        return Excerpt({"body": {"error_description": f"AADSTS{number}"}}, 0, tuple(lines))
    found = [*_answers(lines), *_refusals(lines), *_pages(lines), *_numbers(lines)]
    if found:
        return min(found, key=lambda one: one.at)
    told = {"exception": " ".join(text[:MOST_CHARS].split())}
    return _accepted(lines) or next(_statuses(lines), None) or Excerpt(told, 0, tuple(lines))


def _plain(text: str) -> str:
    """A page's source as it is shown; any other text as it is."""
    if not _ENTITY.search(text) and not _TAG.search(text):
        return text
    return html.unescape(_TAG.sub("\n", text)).replace("\xa0", " ")


# --- replies -----------------------------------------------------------------------------------------------


def _refusals(lines: list[str]) -> Iterator[Excerpt]:
    """The first refusal for good, else the first for now; with the challenge before it, if there was one."""
    replies = list(_replies(lines))
    refused = [one for one in replies if one.code[0] in "45"]
    first = next((one for one in refused if one.code[0] == "5"), next(iter(refused), None))
    if first is not None and first.code == "530":
        # A program that goes on after a refused login is told so, with the refusal repeated behind it.
        first = next((one for one in refused if one.code in ("535", "534")), first)
    challenge = _challenge(lines, first.at if first else len(lines))
    if challenge is None and first is None:
        return
    until = first.at if first else challenge.at if challenge else 0
    context = _mechanism(lines[: until + 1]) or _mechanism(_command_of(lines[until + 1 :]))
    stage = _stage(lines, until) if first else Stage.AUTH
    observed: dict[str, Any] = {"challenge_json": challenge.observed, "smtp_code": "334"} if challenge else {}
    if first:
        reply = {"smtp_code": first.code, "text": first.text}
        observed |= {"final_reply": reply} if challenge else reply
    quote = (*(challenge.quote if challenge else ()), *(first.quote if first else ()))
    yield Excerpt(observed, until, quote, stage, context)


def _replies(lines: list[str]) -> Iterator[_Reply]:
    """Every reply, those of several lines as one."""
    at = 0
    while at < len(lines):
        reply = _reply_at(lines, at)
        if reply is None:
            at += 1
            continue
        yield reply
        inner = _ENHANCED.search(reply.text)
        if inner and inner[1] != reply.code:
            yield _Reply(inner[1], (f"{inner[2]}{inner[4]}",), at, reply.quote)
        at += len(reply.quote)


def _statuses(lines: list[str]) -> Iterator[Excerpt]:
    """A refusal of which a program shows the enhanced code and the words only, as .NET and bounces do."""
    for at, line in enumerate(lines):
        if told := _STATUS.search(line):
            said = told[2] or ""
            reply = _wrapped(lines, at, code_by_words(told[1], said), f"{told[1]} {said}")
            observed = {"smtp_code": reply.code, "text": reply.text}
            yield Excerpt(observed, at, reply.quote, _stage(lines, at))


def _reply_at(lines: list[str], at: int) -> _Reply | None:
    line = lines[at]
    if whole := _AT_START.match(line):
        return _of_several_lines(lines, at, whole)
    if told := _QUOTED.search(line):
        return _Reply(told[1], (told[3].replace("\\r", " ").replace("\\n", " "),), at, (line,))
    told = _ENHANCED.search(line)
    if told and told[1][0] == told[3]:  # the classes of both codes agree (RFC 2034 section 4)
        more = _more_lines(lines, at, told[1]) if told[0][len(told[1])] == "-" else []
        if not more:
            return _wrapped(lines, at, told[1], f"{told[2]}{told[4]}")
        texts = (f"{told[2]}{told[4]}", *(one[3] or "" for one in more))
        return _Reply(told[1], texts, at, tuple(lines[at : at + len(texts)]))
    after = _AFTER_WORD.search(line)
    return _Reply(after[1], (after[2],), at, (line,)) if after else None


def _of_several_lines(lines: list[str], at: int, first: re.Match[str]) -> _Reply:
    """RFC 5321 section 4.2.1: a hyphen behind the code says that more follows."""
    more = _more_lines(lines, at, first[1]) if first[2] == "-" else []
    if not more:
        return _wrapped(lines, at, first[1], first[3] or "")
    texts = tuple(one[3] or "" for one in (first, *more))
    return _Reply(first[1], texts, at, tuple(lines[at : at + len(texts)]))


def _more_lines(lines: list[str], at: int, code: str) -> list[re.Match[str]]:
    """The lines after the first of a reply, to the one without a hyphen behind the code."""
    more: list[re.Match[str]] = []
    for line in lines[at + 1 : at + MOST_REPLY_LINES]:
        following = _AT_START.match(line)
        if following is None or following[1] != code:
            break
        more.append(following)
        if following[2] != "-":
            break
    return more


def _wrapped(lines: list[str], at: int, code: str, text: str) -> _Reply:
    """A refusal that a terminal or a mail program has broken: its rest is indented, or is all there is."""
    texts, end = [text], at
    while (
        code[0] in "45"
        and end + 1 < len(lines)
        and len(texts) < MOST_REPLY_LINES
        and _goes_on(lines[end + 1], at, end)
    ):
        end += 1
        texts.append(lines[end].strip())
    return _Reply(code, tuple(texts), at, tuple(lines[at : end + 1]))


def _goes_on(line: str, at: int, end: int) -> bool:
    if not line.strip() or _AT_START.match(line) or _COMMAND.search(line) or _ENHANCED.search(line):
        return False
    return line[0] in " \t" or (
        (at == 0 and not re.match(r"\s*(?:\S+[:>|]\s|\d{4}-|\{|\[(?!\S+\.outlook\.com))", line)) and end < 4
    )


def _stage(lines: list[str], at: int) -> Stage | None:
    """Where in the dialogue a reply stands, by the last command before it."""
    if any(_BOUNCE.search(line) for line in lines[: at + 1]):
        return Stage.DELIVERY
    for line in reversed(lines[: at + 1]):
        if found := _COMMAND.search(line):
            return _STAGE_OF_COMMAND[found[1].upper()]
    return None


def _command_of(following: list[str]) -> list[str]:
    """The command that was refused, where a program tells of it after the refusal (nodemailer)."""
    return [line for line in following[:MOST_REPLY_LINES] if re.match(r"\W*command\W", line)]


def _mechanism(lines: list[str]) -> dict[str, str]:
    for line in reversed(lines):
        if found := _MECHANISM.search(line):
            return {"mechanism_used": found[1].upper()}
        if any(prompt in line for prompt in _LOGIN_PROMPTS):
            return {"mechanism_used": "LOGIN"}
    return {}


def _challenge(lines: list[str], before: int) -> Excerpt | None:
    """A 334 that is a refusal in JSON (XOAUTH2's, and RFC 7628 section 3.2.2)."""
    for at, line in enumerate(lines[: before + 1]):
        for found in _BASE64.finditer(line):
            told = decoded_challenge(found[1])
            if told and ("status" in told or "schemes" in told):
                return Excerpt(told, at, (f"334 {json.dumps(told)}",))
    return None


def decoded_challenge(coded: str) -> Mapping[str, Any]:
    """The JSON object of a challenge, in base64 or as it is; nothing where there is none."""
    with_padding = coded + "=" * (-len(coded) % 4)
    try:
        text = (
            coded
            if coded.lstrip().startswith("{")
            else base64.b64decode(with_padding, validate=True).decode()
        )
        told = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _accepted(lines: list[str]) -> Excerpt | None:
    """Nobody refused anything: what a server offers, or the one reply that the text is."""
    replies = list(_replies(lines))
    for reply in replies:
        if reply.code == "250" and len(reply.lines) > 1:
            return Excerpt({"ehlo_lines": list(reply.lines)}, reply.at, reply.quote)
    if len(replies) == 1 and len(replies[0].quote) == len(lines):
        return Excerpt({"smtp_code": replies[0].code, "text": replies[0].text}, 0, replies[0].quote)
    return None


# --- answers of identity providers -------------------------------------------------------------------------


def _answers(lines: list[str]) -> Iterator[Excerpt]:
    """JSON objects that an identity provider answers with, and redirects that carry an error."""
    text = "\n".join(lines)
    decoder = json.JSONDecoder(strict=False)
    for number, start in enumerate(found.start() for found in re.finditer(r"\{\s*[\"}]", text)):
        if number == MOST_OBJECTS:
            break
        try:
            told, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        at = text.count("\n", 0, start)
        if isinstance(told.get("error"), str) or "error_codes" in told:
            yield Excerpt({"body": told}, at, tuple(text[start:end].splitlines()))
        elif "status" in told and ("schemes" in told or "scope" in told):
            yield Excerpt({"challenge_json": told}, at, tuple(text[start:end].splitlines()), Stage.AUTH)
    for at, line in enumerate(lines):
        if found := _QUERY.search(line):
            told = dict(parse_qsl(found[1], max_num_fields=50))
            yield Excerpt({"http_status": 302, "body": told}, at, (line,), Stage.AUTHORIZE)


def _pages(lines: list[str]) -> Iterator[Excerpt]:
    """A sign-in page that ends in the name of an error, as Google's do; what explains it stands before."""
    text = "\n".join(lines)
    for found in ERROR_ON_PAGE.finditer(text):
        at, end = (text.count("\n", 0, place) for place in found.span())
        page = lines[max(0, at - MOST_OF_A_DESCRIPTION) : end + MOST_OF_A_DESCRIPTION]
        quote = tuple(lines[at : end + 1])
        yield Excerpt({"body": {"page_text": " ".join(page)}}, at, quote, Stage.AUTHORIZE)
        return


def _numbers(lines: list[str]) -> Iterator[Excerpt]:
    """An AADSTS number, or the name of an OAuth error, in running text."""
    for at, line in enumerate(lines):
        number, error = _AADSTS.search(line), _OAUTH_ERROR.search(line)
        if number is None and error is None:
            continue
        told = line[number.start() :] if number else line[error.end() :].lstrip(" :,-\"'(") if error else ""
        rest = _description(lines, at, told)
        body = {"error": error[1]} if error else {}
        yield Excerpt({"body": {**body, "error_description": rest}}, at, (line,))
        return


def _description(lines: list[str], at: int, told: str) -> str:
    """The description, which may be broken into lines, and its trailer of ids on lines of their own."""
    following = lines[at + 1 : at + MOST_OF_A_DESCRIPTION]
    wrapped = list(takewhile(lambda line: not _NEWS.match(line) and not _AT_START.match(line), following))
    trailer = [line for line in following[len(wrapped) :] if _TRAILER.match(line)]
    return " ".join([told, *wrapped, *trailer])


# --- numbers and tokens alone ------------------------------------------------------------------------------


def _bare_number(text: str) -> str:
    """An AADSTS number that was given alone, with or without its prefix."""
    found = re.fullmatch(r"(?:AADSTS)?(\d{5,10})", text.strip(), re.IGNORECASE | re.ASCII)
    return found[1] if found else ""


def looks_like_token(text: str) -> bool:
    """The text is one token and nothing else: a JSON web token, or opaque in a provider's way."""
    word = text.strip()
    return len(word) >= LEAST_TOKEN and bool(_TOKEN.fullmatch(word)) and not decoded_challenge(word)


def marks_in(text: str) -> dict[str, str]:
    """What a provider's support asks for: ids and time of an Entra answer; where its number is explained."""
    found = ((name, re.search(pattern, text, re.IGNORECASE)) for name, pattern in _IDS)
    marks = {name: one[1] for name, one in found if one}
    number = _AADSTS.search(text)
    unlisted = number and number[1] not in listed_numbers()
    return marks | ({"Look up": LOOK_UP.format(number[1])} if number and unlisted else {})
