"""``login``: a person signs in once, and the refresh token of it is kept for the runs to come."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from dataclasses import replace

from smtp_preflight.cli.desk import (
    CannotSignIn,
    Desk,
    NotReady,
    by_browser,
    by_device,
    by_paste,
    prepared,
)
from smtp_preflight.cli.profiles import (
    INTERRUPTED,
    REFUSED,
    command_line,
    end_rows,
    explain,
    profile_named,
    say_rows,
)
from smtp_preflight.cli.words import Commands, declare, refuse, say, tell
from smtp_preflight.diagnosis.claims import why_not_permitted
from smtp_preflight.diagnosis.sign_in import (
    is_the_mailbox,
    lacks_permission,
    may_be_a_member,
    who_signed_in,
    why_another_signed_in,
    why_not_signed_in,
)
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.diagnosis.token import why_not_renewed
from smtp_preflight.knowledge import entry
from smtp_preflight.model import Grant, GrantType, Profile, Question, Seen, Stage, TokenInfo
from smtp_preflight.oauth.loopback import CannotListen
from smtp_preflight.oauth.sign_in import SignedIn
from smtp_preflight.oauth.store import KEYRING, StoreProblem, folder_of
from smtp_preflight.probes.questions import ROWS, Asking
from smtp_preflight.profile import ProfileError
from smtp_preflight.reporting.explanation import wrapped
from smtp_preflight.reporting.inert import printable

BY_A_PERSON = (GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE, GrantType.REFRESH_TOKEN)

Way = Callable[[Desk], SignedIn]


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = declare(commands, "login", login, "sign in once, so that runs can redeem what was granted")
    command.add_argument("name", metavar="NAME_OR_PATH", help="profiles/NAME.toml, or a path to a .toml")
    way = command.add_mutually_exclusive_group()
    way.add_argument(
        "--device",
        action="store_const",
        const=by_device,
        dest="way",
        help="type a code on another device, one that has a browser",
    )
    way.add_argument(
        "--paste",
        action="store_const",
        const=by_paste,
        dest="way",
        help="sign in in any browser, and paste the address it ends at",
    )


def login(args: argparse.Namespace) -> int:
    """Sign in; the refresh token is stored before anything is said of it."""
    try:
        profile = profile_named(args.name)
        if told := why_nobody_signs_in(profile):
            return refuse(f"login: {printable(told)}")
        return _signed_in(profile, args.way or usual_way(profile), args.name)
    except (ProfileError, CannotSignIn) as problem:
        return refuse(f"login: {printable(str(problem))}")
    except (StoreProblem, CannotListen) as problem:
        tell(f"smtp-preflight login: {printable(str(problem))}")
        return REFUSED
    except NotReady as reason:
        return explain(reason.finding, reason.seen)
    except KeyboardInterrupt:
        tell("smtp-preflight login: interrupted before the sign-in was complete")
        return INTERRUPTED


def usual_way(profile: Profile) -> Way:
    """The way that the profile's grant names."""
    return by_device if profile.oauth.grant is GrantType.DEVICE_CODE else by_browser


def why_nobody_signs_in(profile: Profile) -> str:
    """Why a sign-in would be of no use to this profile, in one line; empty where it is of use."""
    oauth = profile.oauth
    if profile.lab:
        return f"{profile.name} has a lab of its own in each run; to sign in, keep one: smtp-preflight lab"
    if oauth.grant not in BY_A_PERSON:
        return f"{profile.name} needs no sign-in: its grant is {oauth.grant}"
    if oauth.refresh_token is not None:
        return f"{profile.name} needs no sign-in: its refresh token is given by {oauth.refresh_token.kind}"
    return ""


def _signed_in(profile: Profile, way: Way, name: str) -> int:
    desk = asyncio.run(prepared(profile))
    found = way(desk)
    seen = _with(desk.seen, found.grant)
    if not found.grant.granted:
        failure = found.grant.http.failure if found.grant.http else None
        return explain(why_not_signed_in(seen, Stage.TOKEN if failure else found.stage), seen)
    if not found.grant.refresh_token_issued:
        return explain(why_not_renewed(seen), seen)
    if not found.grant.refresh_token_kept:
        tell(f"smtp-preflight login: signed in, but not stored: {printable(found.grant.keep_problem)}")
        return REFUSED
    try:
        seen = asyncio.run(_with_token_info(desk, seen))
        return _told(seen, who_signed_in(seen, found.user), name)
    except KeyboardInterrupt:
        tell("smtp-preflight login: interrupted; the sign-in is stored")
        return INTERRUPTED


def _with(seen: Seen, grant: Grant) -> Seen:
    return replace(seen, answers={**seen.answers, Question(Grant): grant})


async def _with_token_info(desk: Desk, seen: Seen) -> Seen:
    """What the provider says of the token, where it has a place to ask."""
    if not desk.profile.oauth.token_info_uri:
        return seen
    info = await ROWS[TokenInfo].ask(Asking(desk.profile, desk.line.wallet, lambda: seen), "")
    return replace(seen, answers={**seen.answers, Question(TokenInfo): info})


# --- what came of it ---------------------------------------------------------------------------------------


def _told(seen: Seen, user: str, name: str) -> int:
    """Say who signed in, for what, until when; and at once, where it was somebody else than expected."""
    profile = seen.profile
    say_rows(
        (
            ("Signed in", user or _nobody_says_who(profile)),
            ("For mailbox", profile.mailbox),
            ("Permissions", signs_of(seen).facts.get("permissions", "")),
            ("Stored", "in the keyring" if profile.oauth.store == KEYRING else f"in {folder_of(profile)}"),
        )
    )
    say("Until when")
    say_rows((f"  {what}", ends) for what, ends in end_rows(seen))
    status = _misgivings(seen, user)
    say("")
    say(f"Next: {command_line('check', name)}")
    return status


def _nobody_says_who(profile: Profile) -> str:
    """Of an opaque token only an ID token tells whose it is, and that comes to whoever asks for it."""
    asked = {"openid", "email"} <= set(profile.oauth.scope)
    return f"the provider does not say who{'' if asked else '; with openid and email in the scope it may'}"


def _misgivings(seen: Seen, user: str) -> int:
    """Whether this sign-in will do: another account, or one that has not permitted sending."""
    status = 0
    if user and not is_the_mailbox(user, seen.profile):
        say("")
        if may_be_a_member(seen):
            tell_of_member(seen, user)
        else:
            status = explain(why_another_signed_in(seen, user), seen)
    if lacks_permission(seen):
        say("")
        status = explain(why_not_permitted(seen), seen)
    return status


def tell_of_member(seen: Seen, user: str) -> None:
    """Say that the account is another one, and what it may be: a member's, another name, a wrong one."""
    say(printable(f"Note: {user} signed in, not {seen.profile.mailbox}. What that can be:"))
    for cause in why_another_signed_in(seen, user).causes:
        title = entry(cause.code).filled(entry(cause.code).title, cause.facts)
        for line in wrapped(f"{cause.code}: {title}. {cause.decide_by}", first="- "):
            say(line)
    say(f"More of each: {command_line('explain', 'CODE')}")
