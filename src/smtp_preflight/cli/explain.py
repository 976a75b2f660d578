"""``explain``: for whoever has an error text, and no setup at hand."""

from __future__ import annotations

import argparse
import codecs
import datetime as dt
import difflib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from smtp_preflight import profile as profiles
from smtp_preflight.cli.words import Commands, declare, refuse, say
from smtp_preflight.diagnosis.cases import causes_of_case, signs_of_case
from smtp_preflight.diagnosis.excerpts import excerpt_of, looks_like_token, marks_in
from smtp_preflight.diagnosis.withheld import without_credentials
from smtp_preflight.knowledge import entries
from smtp_preflight.model import Cause, Certainty, Endpoint, GrantType, Profile, Stage, short
from smtp_preflight.profile import load_providers
from smtp_preflight.reporting.explanation import cause_lines, entry_lines
from smtp_preflight.reporting.inert import printable
from smtp_preflight.secrets import Secret

MOST_PASTED = 1024 * 1024
MOST_OF_A_CASE = 1024 * 1024
MOST_BEYOND = 10  # codes, of causes that are not told in full
TOKEN_PREFIX = 6  # characters of an opaque token that say whose and of which kind it is, and no more


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = declare(commands, "explain", explain, "say what a failure means, who can act, and what to do")
    command.add_argument(
        "text",
        nargs="*",
        metavar="TEXT_OR_CODE",
        help="a cause's CODE, an AADSTS number, a server's reply; without it, standard input: a transcript, "
        "a bounce, an answer in JSON, an access token",
    )
    command.add_argument("--provider", choices=(*load_providers(), "other", "any"), metavar="NAME")
    command.add_argument("--stage", choices=tuple(Stage), metavar="STAGE")
    command.add_argument("--grant", choices=(*GrantType, "ropc"), metavar="GRANT")
    command.add_argument("--profile", metavar="NAME_OR_PATH", help="the set-up it happened in")
    command.add_argument(
        "--json",
        action="store_true",
        help="cases on standard input, their causes on standard output, each a line",
    )


def explain(args: argparse.Namespace) -> int:
    """Explain a code, a number, a token, a reply or a whole transcript; or cases, one a line."""
    try:
        told = _told_by(args)
    except profiles.ProfileError as problem:
        return refuse(f"explain: {printable(str(problem))}")
    if args.json:
        return _explain_lines(told)
    try:
        text = " ".join(args.text) or _pasted(sys.stdin)
    except OSError as problem:
        return refuse(f"explain: give a CODE or a TEXT; {printable(str(problem))}")
    if not text.strip():
        return refuse("explain: nothing to explain: give a CODE, a TEXT, or standard input")
    if text in entries():
        lines = explanation_lines(text, told)
    else:
        case, quote, marks = _case_in(text, told)
        causes = causes_of_case(case, load_providers())
        if _is_only_a_word(text, causes, marks):
            return refuse(f"explain: {_unknown(text)}")
        lines = cause_lines(causes, quote, marks, told.get("provider", ""), _beyond(case, causes))
    for line in lines:
        say(line)
    return 0


def explanation_lines(code: str, told: Mapping[str, Any] = MappingProxyType({})) -> Iterator[str]:
    """The entry of a known code, with what is told of the set-up; what only a run sees stays ``<name>``."""
    facts = signs_of_case({**told, "observed": {}}, load_providers()).facts
    return entry_lines(entries()[code], facts, provider=told.get("provider", ""))


def _unknown(code: str) -> str:
    near = difflib.get_close_matches(code, entries(), n=3, cutoff=0.4)
    found = f"; nearest: {', '.join(near)}" if near else ", and none is near"
    return f"unknown code {printable(short(code, 60))}{found}"


def _is_only_a_word(text: str, causes: Sequence[Cause], marks: Mapping[str, str]) -> bool:
    """One word that says nothing of a failure: a code that was mistyped, most likely."""
    return len(text.split()) == 1 and not marks and [one.code for one in causes] == ["unexplained"]


def _beyond(case: Mapping[str, Any], causes: Sequence[Cause]) -> str:
    """The causes that fit too and are not among these, and which options would say more.

    Where nothing tells how tokens are obtained, some could only be seen if it were known.
    """
    if not causes or causes[0].certainty is Certainty.CERTAIN or causes[0].code == "unexplained":
        return ""
    presets = load_providers()
    known = signs_of_case(case, presets).common
    cases = [case] if known.get("grant") else [case, *({**case, "grant": one} for one in GrantType)]
    found = dict.fromkeys(one.code for each in cases for one in causes_of_case(each, presets, len(entries())))
    beyond = [code for code in found if code not in {one.code for one in causes}]
    if not beyond:
        return ""
    listed = ", ".join(beyond[:MOST_BEYOND]) + (", …" if len(beyond) > MOST_BEYOND else "")
    missing = {"--provider": known.get("provider") == "any", "--grant": "grant" not in known}
    options = " and ".join(name for name, lacks in missing.items() if lacks)
    hint = f" {options} would narrow them." if options else ""
    return f"{len(beyond)} more are possible: {listed}.{hint}"


def _told_by(args: argparse.Namespace) -> dict[str, Any]:
    """What the options say of provider, stage, grant and set-up, in the form of a case."""
    told: dict[str, Any] = {"context": {}}
    if args.profile:
        (path,) = profiles.find_profiles([args.profile], Path("profiles"))
        told |= case_of_profile(profiles.load_profile(path, load_providers()))
    named = {"provider": args.provider, "stage": args.stage, "grant": args.grant}
    return told | {key: value for key, value in named.items() if value}


def case_of_profile(profile: Profile) -> dict[str, Any]:
    """What a profile says of a set-up, in the form of a case."""
    return {
        "provider": profile.provider.name,
        "grant": str(profile.oauth.grant),
        "context": {
            "server": str(Endpoint(profile.smtp.host, profile.smtp.port)),
            "tls_mode": profile.smtp.tls,
            "sasl_user": profile.mailbox,
            "mail_from": profile.sender if profile.sender != profile.mailbox else "",
            "scope": " ".join(profile.oauth.scope),
            "token_endpoint": profile.oauth.token_endpoint,
            "client_id": profile.oauth.client_id,
            "profile": profile.name,
        },
    }


def _case_in(text: str, told: Mapping[str, Any]) -> tuple[dict[str, Any], str, dict[str, str]]:
    """The case of a token or a text, what of it is judged, and what else is to be told of it."""
    case = dict(told)
    if looks_like_token(text):
        case["observed"], quote, marks = _token_case(text)
    else:
        found = excerpt_of(text)
        quote, marks = without_credentials("\n".join(found.quote)), marks_in(text)
        case["observed"] = found.observed
        case["stage"] = told.get("stage") or found.stage
        case["context"] = {**found.context, **told["context"]}
    return case, quote, marks


def _token_case(text: str) -> tuple[dict[str, Any], str, dict[str, str]]:
    """The claims of a pasted token, or how one begins that cannot be read; nothing of it is shown."""
    from smtp_preflight.oauth.tokens import read_token  # its libraries are slow to load, and rarely needed

    now = dt.datetime.now(dt.UTC)
    token = read_token(Secret(text.strip(), "stdin"), observed_at=now, clean=str)
    shown = f"a token of {token.length} characters"
    if token.opaque or token.problem:
        prefix = text.strip()[:TOKEN_PREFIX]
        return {"claims": {"opaque": True, "prefix": prefix, "dots": text.count(".")}}, f"{shown}, opaque", {}
    claims = dict(token.claims) | dict.fromkeys(token.other_claims, True)
    for name in ("exp", "nbf", "iat"):
        if (at := token.time(name)) is not None:
            claims[f"{name}_in_seconds"] = (at - now).total_seconds()
    told = {name: " ".join(sorted(token.values(name))) for name in ("aud", "scp", "roles", "tid", "appid")}
    told |= {
        "user": token.user,
        "expires": f"{token.expires_at:%Y-%m-%d %H:%M:%S} UTC" if token.expires_at else "",
    }
    return {"claims": claims}, shown, {name: value for name, value in told.items() if value}


def _explain_lines(told: Mapping[str, Any]) -> int:
    """One case a line in, its causes a line out; a line that is none is told of, the others are answered.

    told: what the options say, for the cases that do not say it themselves.
    """
    presets, status = load_providers(), 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            case = _case_of(line)
        except ValueError as problem:
            status = refuse(f"explain: line {number}: {printable(str(problem))}")
            continue
        causes = causes_of_case({**told, **case}, presets)
        named = [{"code": one.code, "certainty": str(one.certainty)} for one in causes]
        say(json.dumps({"id": case.get("id"), "causes": named}))
    return status


def _case_of(line: bytes) -> dict[str, Any]:
    """The case on a line; ValueError says what it is instead, and nothing of what it holds."""
    if len(line) > MOST_OF_A_CASE:
        raise ValueError(f"longer than {MOST_OF_A_CASE} bytes")
    try:
        case = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(case, dict) or not isinstance(case.get("observed"), dict):
        raise ValueError("found no JSON object with an object 'observed'")
    return case


def _pasted(stream: TextIO) -> str:
    """Standard input, bounded; nothing where somebody sits at it, who has not been asked for anything."""
    if stream is None or stream.isatty():
        return ""
    content = stream.buffer.read(MOST_PASTED)
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return content.decode(encoding, "replace")
