"""Stage profile: what can be read off the profile before anything is asked."""

from __future__ import annotations

import datetime as dt

from smtp_preflight.diagnosis.comparisons import looked_at
from smtp_preflight.diagnosis.ends import dates_agree, end_of_certificate, end_of_credential
from smtp_preflight.diagnosis.lint import Problem
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.model import Finding, Grant, SecretCheck, Seen, Stage


def why_secret_unavailable(seen: Seen, key: str) -> Finding:
    """A secret the profile names is not there."""
    check = seen.get(SecretCheck, key)
    words = f"{check.reference}: {check.problem}" if check else key
    facts = {"seen": words, "secret": key, "reference": check.reference if check else ""}
    return finding(seen, Stage.PROFILE, "secret", subject=key, signs={"secret": "unavailable"}, facts=facts)


def why_any_secret_unavailable(seen: Seen) -> Finding:
    """The first of the secrets without which no token request can be formed."""
    missing = (one.key for one in seen.every(SecretCheck) if not one.resolved)
    return why_secret_unavailable(seen, next(missing, ""))


def why_it_cannot_work(seen: Seen, problem: Problem | None) -> Finding:
    """Something in the profile does not fit, by what the provider documents."""
    if problem is None:
        return finding(seen, Stage.PROFILE, "problem")
    heard = looked_at(seen) if problem.key.startswith("smtp.") else ()
    return finding(
        seen,
        Stage.PROFILE,
        "problem",
        signs={"problem": problem.code},
        facts={
            "seen": "\n".join((f"{problem.key}: {problem.found}", f"wanted: {problem.wanted}", *heard)),
            "key": problem.key,
            "found": problem.found,
            "wanted": problem.wanted,
        },
    )


def remark_on_secret_end(seen: Seen) -> Finding | None:
    """The application's secret or certificate ends within the threshold."""
    end = end_of_credential(seen)
    if end is None:
        return None
    left = end.day - seen.started.date()
    if left >= dt.timedelta(days=seen.profile.thresholds.secret_days):
        return None
    last = f"{end.day.isoformat()}, {_in_days(left.days)}"
    facts = {"seen": f"ends {last}, by {end.based_on}", "found_last_day": last}
    return finding(seen, Stage.PROFILE, "soon", signs={"soon": "client_secret"}, facts=facts)


def _in_days(days: int) -> str:
    return {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")


def why_secret_ended(seen: Seen, problem: Problem | None) -> Finding:
    """By its date the application's secret or certificate has ended; one that was taken has another date."""
    grant, end = seen.get(Grant), end_of_credential(seen)
    if grant is None or grant.http is None or not grant.granted or end is None or end.based_on != "profile":
        return why_it_cannot_work(seen, problem)
    words = (
        f"secret_expires: {end.day.isoformat()}\nthe token endpoint took the secret on {seen.started.date()}"
    )
    return finding(seen, Stage.PROFILE, "secret_date", signs={"secret_date": "passed"}, facts={"seen": words})


def remark_on_other_date(seen: Seen) -> Finding | None:
    """The profile gives another last day than the certificate itself, which is the one that counts."""
    own, stated = end_of_certificate(seen), seen.profile.oauth.secret_expires
    if own is None or dates_agree(seen):
        return None
    words = f"secret_expires: {stated}\nthe certificate ends {own.day.isoformat()}"
    return finding(
        seen, Stage.PROFILE, "secret_date", signs={"secret_date": "differs"}, facts={"seen": words}
    )
