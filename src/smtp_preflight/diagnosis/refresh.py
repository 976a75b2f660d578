"""Stage refresh: whether the refresh token will still be good when it is needed next."""

from __future__ import annotations

import datetime as dt

from smtp_preflight.diagnosis.ends import end_of_refresh_token, ends_with_password
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.model import Finding, Grant, Seen, Stage


def why_refresh_token_not_kept(seen: Seen) -> Finding:
    """A new refresh token was issued and is not kept for the next run."""
    grant = seen.get(Grant)
    words = (grant.keep_problem if grant else "") or "this machine passes (CI), and nothing keeps the token"
    return finding(
        seen, Stage.REFRESH, "refresh_token", signs={"refresh_token": "not_kept"}, facts={"seen": words}
    )


def remark_on_rotation(seen: Seen, grant: Grant) -> Finding | None:
    """The new token is kept in one place and not in another, or each refresh ends the token before."""
    if grant.keep_problem:
        return why_refresh_token_not_kept(seen)
    if not grant.refresh_token_rotated or seen.profile.provider.renews_refresh_tokens:
        return None  # where every answer brings a new one, the one before stays good
    return finding(
        seen,
        Stage.REFRESH,
        "refresh_token",
        signs={"refresh_token": "rotated"},
        facts={"seen": "the answer held a new refresh token; the one before was not tried again"},
    )


def refresh_token_lasts(seen: Seen) -> bool:
    """The token, and the rhythm in which it is used, leave more time than the profile's threshold."""
    return not _words_on_end(seen)


def why_it_ends_soon(seen: Seen) -> Finding:
    """The refresh token ends within days, or would have lapsed soon had it not been used now."""
    return finding(
        seen, Stage.REFRESH, "soon", signs={"soon": "refresh_token"}, facts={"seen": _words_on_end(seen)}
    )


def _words_on_end(seen: Seen) -> str:
    """What is near its end; empty where nothing is."""
    grant, least = seen.get(Grant), dt.timedelta(days=seen.profile.thresholds.refresh_token_days)
    end = end_of_refresh_token(seen)
    if grant is None or end is None:
        return ""
    if end.at - grant.observed_at < least:
        return f"ends {end.at:%Y-%m-%d %H:%M} UTC, by {end.based_on}"
    idle_days = seen.profile.provider.refresh_idle_days
    used = grant.stored.last_used_at if grant.stored else None
    if idle_days and used and used + dt.timedelta(days=idle_days) - grant.observed_at < least:
        return f"last used {used:%Y-%m-%d}; lapses after {idle_days} days without use"
    return ""


def outlives_password_change(seen: Seen) -> bool:
    """A new password leaves the sign-in as it is, as far as the provider says."""
    return not ends_with_password(seen.profile)


def why_it_ends_with_the_password(seen: Seen) -> Finding:
    """The provider ends such a sign-in when the mailbox's password is changed."""
    provider = seen.profile.provider
    whom = ", for a public client" if provider.password_change_ends == "public" else ""  # noqa: S105 - no password
    words = f"the provider's rule{whom}, as known on {provider.verified}"
    return finding(
        seen,
        Stage.REFRESH,
        "refresh_token",
        signs={"refresh_token": "ends_with_password"},
        facts={"seen": words},
    )
