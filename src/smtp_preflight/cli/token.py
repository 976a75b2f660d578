"""``token``: what a profile's token says, and until when everything lasts; never the token."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator

from smtp_preflight.cli.profiles import INTERRUPTED, age, end_rows, explain, profile_named, say_rows
from smtp_preflight.cli.words import Commands, declare, refuse, say, tell
from smtp_preflight.diagnosis.refresh import why_refresh_token_not_kept
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.evidence import Recorder
from smtp_preflight.model import AccessToken, Grant, Profile, Question, Seen, TlsHandshake, TokenInfo
from smtp_preflight.outcome import Blocked
from smtp_preflight.profile import ProfileError
from smtp_preflight.reporting.inert import printable
from smtp_preflight.secrets import Wallet

TIMES = ("exp", "nbf", "iat")


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = declare(commands, "token", token, "say what the token says, and until when everything lasts")
    command.add_argument("name", metavar="NAME_OR_PATH", help="profiles/NAME.toml, or a path to a .toml")


def token(args: argparse.Namespace) -> int:
    """Get a token as a run does, which keeps a rotated refresh token first, and tell of it."""
    try:
        profile = profile_named(args.name)
    except ProfileError as problem:
        return refuse(f"token: {printable(str(problem))}")
    if profile.lab:
        return refuse(
            f"token: {profile.name} has a lab of its own in each run; its reports tell of the token"
        )
    try:
        return asyncio.run(_told(profile))
    except KeyboardInterrupt:
        tell("smtp-preflight token: interrupted")
        return INTERRUPTED


async def _told(profile: Profile) -> int:
    evidence = await Recorder(profile, Wallet(), _questions(profile)).record()
    try:
        grant = evidence[Grant]
    except Blocked as blocked:
        return explain(blocked.finding, evidence.seen)
    if grant.token is None:
        return explain(why_not_granted(evidence.seen), evidence.seen)
    _say_claims(evidence.seen, grant.token)
    _say_ages(grant)
    say("Until when")
    say_rows((f"  {what}", ends) for what, ends in end_rows(evidence.seen))
    if grant.refresh_token_kept:
        return 0
    say("")
    return explain(why_refresh_token_not_kept(evidence.seen), evidence.seen)


def _questions(profile: Profile) -> Iterable[Question]:
    """The token, what the provider says of it, and the mail server's certificate for its end date."""
    info = [Question(TokenInfo)] if profile.oauth.token_info_uri else []
    return (Question(Grant), *info, Question(TlsHandshake))


# --- the token ---------------------------------------------------------------------------------------------


def _say_claims(seen: Seen, token: AccessToken) -> None:
    opaque = ", opaque" if token.opaque else ""
    say(f"Access token ({token.length} characters{opaque}, fingerprint {token.fingerprint})")
    grant = seen.get(Grant)
    scope = " ".join(grant.scope_granted or ()) if grant else ""
    say_rows(
        (
            ("  permissions", signs_of(seen).facts.get("permissions", "")),
            ("  scope granted", scope),
            *((f"  {name}", value) for name, value in _claims(token)),
            *((f"  {name}, by the provider", value) for name, value in _info(seen)),
            ("  other claims", " ".join(token.other_claims)),
            ("  trouble", token.problem),
        )
    )


def _claims(token: AccessToken) -> Iterator[tuple[str, str]]:
    """The header's members and the claims, those that are times as such."""
    yield from ((name, str(value)) for name, value in token.header.items())
    for name in sorted(token.claims):
        value = token.claims[name]
        at = token.time(name) if name in TIMES else None
        shown = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        yield name, f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else shown


def _info(seen: Seen) -> Iterator[tuple[str, str]]:
    found = seen.get(TokenInfo)
    yield from found.claims.items() if found else ()


def _say_ages(grant: Grant) -> None:
    """Of the refresh token that was redeemed: where it was, when somebody signed in, when it was used."""
    stored, now = grant.stored, grant.observed_at
    if stored is None:
        return
    rotated = "a new one came, and is kept" if grant.refresh_token_rotated else "no new one came"
    say(f"Refresh token (fingerprint {stored.fingerprint})")
    say_rows(
        (
            ("  taken from", "the store" if stored.source == "store" else "the profile's reference"),
            ("  signed in", age(stored.obtained_at, now)),
            ("  last used", age(stored.last_used_at, now)),
            ("  this time", rotated if grant.refresh_token_kept else "a new one came, and is not kept"),
        )
    )
