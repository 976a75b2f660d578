"""Until when the application's credential and the refresh token last, by what was seen and by rule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from smtp_preflight.model import Grant, Profile, SecretCheck, Seen, StoredToken

LEEWAY = dt.timedelta(hours=1)
"""A life of seven days is stated as some seconds less, and read some seconds later."""


@dataclass(frozen=True, slots=True)
class End:
    """A moment after which something no longer works, and how that is known."""

    at: dt.datetime
    based_on: str

    @property
    def day(self) -> dt.date:
        """The day in UTC."""
        return self.at.date()


# --- the client's credential -------------------------------------------------------------------------------


def end_of_certificate(seen: Seen) -> End | None:
    """The certificate's own last moment, where it could be opened."""
    check = seen.get(SecretCheck, "certificate")
    return End(check.ends, "the certificate itself") if check and check.ends else None


def end_of_credential(seen: Seen) -> End | None:
    """When the application can no longer show who it is: by its certificate, else by the profile's word."""
    stated = seen.profile.oauth.secret_expires
    by_profile = End(dt.datetime.combine(stated, dt.time(), dt.UTC), "profile") if stated else None
    return end_of_certificate(seen) or by_profile


def words_on_problem(seen: Seen, grant: Grant) -> str:
    """Why no request was formed; of a key file that proves nothing, what is wrong with it."""
    files = seen.every(SecretCheck) if grant.problem == "credential_unusable" else ()
    return next((f"{one.reference}: {one.unusable}" for one in files if one.unusable), grant.problem)


def dates_agree(seen: Seen) -> bool:
    """The profile's date is the certificate's own, or one of the two is not known."""
    own, stated = end_of_certificate(seen), seen.profile.oauth.secret_expires
    return own is None or stated is None or own.day == stated


# --- the refresh token -------------------------------------------------------------------------------------


def end_of_refresh_token(seen: Seen) -> End | None:
    """When the refresh token that is good now ends if it is not used again; the first of what is known."""
    return min(_ends_of_refresh_token(seen), key=lambda one: one.at, default=None)


def _ends_of_refresh_token(seen: Seen) -> Iterator[End]:
    grant = seen.get(Grant)
    if grant is None or not grant.granted or grant.stored is None:
        return
    if grant.refresh_token_ends:
        yield End(grant.refresh_token_ends, _stated(seen.profile, grant, grant.refresh_token_ends))
    if days := seen.profile.provider.refresh_idle_days:
        lapses = grant.observed_at + dt.timedelta(days=days)
        yield End(lapses, f"the provider's rule: {days} days without use")


def _stated(profile: Profile, grant: Grant, ends: dt.datetime) -> str:
    """Name the limit of the provider that a stated end fits: the shortest that is as long as the life is."""
    signed_in = grant.stored.obtained_at if grant.stored else None
    life = ends - (signed_in or grant.observed_at) - LEEWAY
    limits = sorted(profile.provider.refresh_limits, key=lambda one: one.days)
    fitting = (one for one in limits if life <= dt.timedelta(days=one.days))
    rule = next((f"; {one.name}: {one.days * 24} hours from the sign-in on" for one in fitting), "")
    return f"the provider's answer{rule}"


def age_signs(profile: Profile, grant: Grant) -> dict[str, str]:
    """What the store knows of a refresh token's age, as far as the provider's rules make something of it."""
    token = grant.stored
    if token is None:
        return {}
    found = {
        "refresh_token_idle": "too_long" if _lapsed(profile, token, grant.observed_at) else "",
        "testing_age": "yes" if _died_young(profile, token) else "",
    }
    return {key: value for key, value in found.items() if value}


def _lapsed(profile: Profile, token: StoredToken, now: dt.datetime) -> bool:
    """By the provider's rule it had not been used for too long."""
    days, used = profile.provider.refresh_idle_days, token.last_used_at
    return bool(days) and used is not None and used + dt.timedelta(days=days) <= now


def _died_young(profile: Profile, token: StoredToken) -> bool:
    """It was last good within the life that the provider gives to some tokens only (of an app in testing)."""
    longest = max((one.days for one in profile.provider.refresh_limits), default=0)
    if token.obtained_at is None or not longest:
        return False
    return (token.last_used_at or token.obtained_at) - token.obtained_at <= dt.timedelta(days=longest)


def ends_with_password(profile: Profile) -> bool:
    """Whoever changes the mailbox's password ends this sign-in, by what the provider says."""
    whose = profile.provider.password_change_ends
    return whose == "all" or (whose == "public" and profile.oauth.client_type == "public")
