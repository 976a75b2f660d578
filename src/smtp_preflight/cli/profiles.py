"""The one profile a command is about, and what is told of its token."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from smtp_preflight.cli.words import say
from smtp_preflight.model import Finding, Grant, Profile, Seen
from smtp_preflight.profile import ProfileError, find_profiles, load_profile, load_providers
from smtp_preflight.reporting.explanation import cause_lines
from smtp_preflight.reporting.inert import printable
from smtp_preflight.reporting.wording import left
from smtp_preflight.until_when import deadlines

REFUSED = 1  # pytest.ExitCode.TESTS_FAILED
INTERRUPTED = 2  # pytest.ExitCode.INTERRUPTED


def profile_named(name: str) -> Profile:
    """The profile of this name in ``profiles/``, or at this path; raises ProfileError."""
    if name == "all":
        raise ProfileError(name, "", "several profiles", "one NAME, or a path to a .toml")
    (path,) = find_profiles([name], Path("profiles"))
    return load_profile(path, load_providers())


def command_line(*words: str) -> str:
    """A command of ours as it is typed."""
    return printable(shlex.join(("smtp-preflight", *words)))


def explain(finding: Finding, seen: Seen) -> int:
    """Say why it failed, in the words of `smtp-preflight explain`; returns the exit status for that."""
    first = finding.causes[0]
    # Where nothing was asked, the code itself is all that was seen; it is said below.
    quote = "\n".join(line for line in first.facts.get("seen", "").splitlines() if line != first.code)
    for line in cause_lines(finding.causes, quote, _marks(seen, quote), seen.profile.provider.name):
        say(line)
    return REFUSED


def _marks(seen: Seen, quote: str) -> Mapping[str, str]:
    """What a provider's support asks for, as far as the quoted answer does not show it."""
    grant = seen.get(Grant)
    if grant is None or grant.error is None:
        return {}
    told = {
        "Trace ID": grant.error.trace_id,
        "Correlation ID": grant.error.correlation_id,
        "Timestamp": grant.error.timestamp,
    }
    return {name: value for name, value in told.items() if value and value not in quote}


def say_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values in two columns; a value that is empty is left out with its name."""
    shown = [(name, printable(value)) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name:<{width}}  {value}")


def end_rows(seen: Seen) -> Iterator[tuple[str, str]]:
    """Until when everything lasts: what, and its last day with what that is based on."""
    for one in deadlines(seen):
        yield one.what.replace("_", " "), f"{one.date.isoformat()} ({left(one)}; {one.based_on})"


def age(since: dt.datetime | None, now: dt.datetime) -> str:
    """A time and how long ago that was; empty where it is not known."""
    if since is None:
        return ""
    days = (now - since).days
    ago = {0: "less than a day", 1: "a day"}.get(days, f"{days} days")
    return f"{since:%Y-%m-%d %H:%M} UTC ({ago} ago)"
