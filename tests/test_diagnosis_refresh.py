"""How long a refresh token and an application's credential last, and what that is based on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smtp_preflight.diagnosis.ends import dates_agree, end_of_credential, end_of_refresh_token
from smtp_preflight.diagnosis.lint import problem_with_end_date
from smtp_preflight.diagnosis.profile import remark_on_other_date, remark_on_secret_end, why_secret_ended
from smtp_preflight.diagnosis.refresh import (
    outlives_password_change,
    refresh_token_lasts,
    why_it_ends_soon,
    why_it_ends_with_the_password,
)
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.knowledge import entry
from smtp_preflight.model import (
    AccessToken,
    Certainty,
    Grant,
    GrantType,
    HttpExchange,
    OAuth,
    OAuthError,
    Profile,
    SecretCheck,
    SecretRef,
    Seen,
    StoredToken,
)
from smtp_preflight.profile import load_providers

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
TOKEN = AccessToken(observed_at=NOW, length=900, fingerprint="0123456789ab")

MakeSeen = Callable[..., Seen]


@pytest.fixture
def seen(seen_with: MakeSeen, profile_with: Callable[..., Profile]) -> MakeSeen:
    """What was seen of a sign-in at a provider, with this ``[oauth]``."""

    def make(*answers: Any, provider: str = "microsoft365", **oauth: Any) -> Seen:
        given = {"grant": GrantType.REFRESH_TOKEN, "client_id": "our-client", **oauth}
        profile = profile_with(provider=load_providers()[provider], oauth=OAuth(**given))
        return seen_with(*answers, profile=profile)

    return make


def redeemed(*, ends: dt.datetime | None = None, **stored: Any) -> Grant:
    return Grant(
        asked_at=NOW,
        grant="refresh_token",
        token=TOKEN,
        stored=StoredToken("store", **stored),
        refresh_token_ends=ends,
    )


def refused(**stored: Any) -> Grant:
    """As Google says it of every token that is no longer good."""
    return Grant(
        asked_at=NOW,
        grant="refresh_token",
        http=HttpExchange("POST", "https://oauth2.googleapis.com/token", status=400, is_json=True),
        error=OAuthError("invalid_grant", "Token has been expired or revoked."),
        stored=StoredToken("store", **stored),
    )


# --- forecasts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "grant", "ends", "based_on"),
    [
        ("microsoft365", redeemed(), NOW + 90 * DAY, "the provider's rule: 90 days without use"),
        ("google", redeemed(), NOW + 180 * DAY, "the provider's rule: 180 days without use"),
        (
            "google",
            redeemed(ends=NOW + 5 * DAY, obtained_at=NOW - 2 * DAY),
            NOW + 5 * DAY,
            "the provider's answer; an app in Testing, or access given for a time: 168 hours from the "
            "sign-in on",
        ),
        (
            "microsoft365",
            redeemed(ends=NOW + dt.timedelta(hours=23, minutes=59)),
            NOW + dt.timedelta(hours=23, minutes=59),
            "the provider's answer; a sign-in through a single-page redirect: 24 hours from the sign-in on",
        ),
        ("microsoft365", redeemed(ends=NOW + 30 * DAY), NOW + 30 * DAY, "the provider's answer"),
        ("custom", redeemed(ends=NOW + DAY), NOW + DAY, "the provider's answer"),
    ],
    ids=["90 days", "six months", "7 days", "24 hours", "no rule of ours", "another server"],
)
def test_each_forecast_says_what_it_is_based_on(
    provider: str, grant: Grant, ends: dt.datetime, based_on: str, seen: MakeSeen
) -> None:
    found = end_of_refresh_token(seen(grant, provider=provider))
    assert found is not None
    assert (found.at, found.based_on) == (ends, based_on)


@pytest.mark.parametrize(
    ("provider", "grant"),
    [
        ("custom", redeemed()),
        ("google", replace(redeemed(), stored=None)),
        ("google", replace(redeemed(ends=NOW + DAY), token=None)),
    ],
    ids=["no rule", "no refresh token", "refused"],
)
def test_where_nothing_is_known_nothing_is_forecast(provider: str, grant: Grant, seen: MakeSeen) -> None:
    assert end_of_refresh_token(seen(grant, provider=provider)) is None
    assert end_of_refresh_token(seen(provider=provider)) is None
    assert refresh_token_lasts(seen(grant, provider=provider))
    assert refresh_token_lasts(seen(provider=provider))


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        (
            redeemed(ends=NOW + 7 * DAY - dt.timedelta(seconds=1)),
            "ends 2026-11-27 06:59 UTC, by the provider's",
        ),
        (redeemed(last_used_at=NOW - 84 * DAY), "last used 2026-08-28; lapses after 90 days without use"),
        (redeemed(ends=NOW + 7 * DAY), ""),
        (redeemed(last_used_at=NOW - 83 * DAY), ""),
        (redeemed(last_used_at=NOW - 30 * DAY), ""),
    ],
    ids=["ends soon", "seldom used", "ends later", "just often enough", "in use"],
)
def test_a_token_near_its_end_is_a_warning(grant: Grant, words: str, seen: MakeSeen) -> None:
    """Seven days ahead, by default; also where only this very run has kept it from lapsing."""
    found = seen(grant)
    assert refresh_token_lasts(found) is not bool(words)
    if words:
        finding = why_it_ends_soon(found)
        assert finding.code == "refresh_token_expires_soon"
        assert finding.causes[0].facts["seen"].startswith(words)


def test_the_threshold_is_the_profiles(seen: MakeSeen) -> None:
    found = seen(redeemed(ends=NOW + 20 * DAY))
    patient = replace(found.profile.thresholds, refresh_token_days=21)
    assert refresh_token_lasts(found)
    assert not refresh_token_lasts(replace(found, profile=replace(found.profile, thresholds=patient)))


@pytest.mark.parametrize(
    ("provider", "client_type", "outlives"),
    [
        ("microsoft365", "confidential", True),
        ("microsoft365", "public", False),
        ("google", "confidential", False),
        ("google_workspace", "confidential", False),
        ("custom", "public", True),
    ],
)
def test_whom_a_new_password_signs_out(
    provider: str, client_type: str, outlives: bool, seen: MakeSeen
) -> None:
    """Entra's public clients, and at Google whoever has the mail scope; said as a notice, with its date."""
    found = seen(redeemed(), provider=provider, client_type=client_type)
    assert outlives_password_change(found) is outlives
    if not outlives:
        finding = why_it_ends_with_the_password(found)
        assert finding.code == "refresh_token_ends_with_password"
        assert "as known on 2026-11-20" in finding.causes[0].facts["seen"]


# --- a token that is dead, and what the store knows of it --------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "code"),
    [
        (
            {"obtained_at": NOW - 8 * DAY, "last_used_at": NOW - 2 * DAY},
            "google_refresh_expired_testing_status",
        ),
        (
            {"obtained_at": NOW - 400 * DAY, "last_used_at": NOW - 200 * DAY},
            "refresh_token_expired_inactivity",
        ),
    ],
    ids=["died young", "not used for long"],
)
def test_the_age_of_a_dead_token_tells_what_it_died_of(
    stored: dict[str, Any], code: str, seen: MakeSeen
) -> None:
    """Google has the same words for all; when somebody signed in, and used it last, stands in the store."""
    assert why_not_granted(seen(refused(**stored), provider="google")).code == code


# --- the application's credential --------------------------------------------------------------------------

CERTIFICATE = SecretRef("file", ("app.pfx",))
STATED = dt.date(2027, 3, 31)


def certificate(ends: dt.datetime | None) -> tuple[str, SecretCheck]:
    return "certificate", SecretCheck(asked_at=NOW, key="certificate", reference="file:app.pfx", ends=ends)


@pytest.mark.parametrize(
    ("own", "stated", "day", "based_on"),
    [
        (NOW + 60 * DAY, None, dt.date(2027, 1, 19), "the certificate itself"),
        (NOW + 60 * DAY, STATED, dt.date(2027, 1, 19), "the certificate itself"),
        (None, STATED, STATED, "profile"),
    ],
)
def test_the_certificates_own_date_comes_before_the_profiles(
    own: dt.datetime | None, stated: dt.date | None, day: dt.date, based_on: str, seen: MakeSeen
) -> None:
    end = end_of_credential(seen(certificate(own), certificate=CERTIFICATE, secret_expires=stated))
    assert end is not None
    assert (end.day, end.based_on) == (day, based_on)


def test_a_secret_of_which_nobody_says_when_it_ends(seen: MakeSeen) -> None:
    assert end_of_credential(seen()) is None
    assert remark_on_secret_end(seen()) is None


@pytest.mark.parametrize(
    ("own", "stated", "agree"),
    [
        (dt.datetime(2027, 3, 31, 23, 59, tzinfo=dt.UTC), STATED, True),
        (dt.datetime(2027, 4, 1, tzinfo=dt.UTC), STATED, False),
        (dt.datetime(2027, 4, 1, tzinfo=dt.UTC), None, True),
        (None, STATED, True),
    ],
)
def test_a_profile_that_names_another_day_is_told(
    own: dt.datetime | None, stated: dt.date | None, agree: bool, seen: MakeSeen
) -> None:
    found = seen(certificate(own), certificate=CERTIFICATE, secret_expires=stated)
    assert dates_agree(found) is agree
    remark = remark_on_other_date(found)
    assert (remark is None) is agree
    assert remark is None or remark.code == "secret_date_differs"


def test_a_certificate_that_ends_soon_is_remarked_on_by_its_own_date(seen: MakeSeen) -> None:
    """Thirty days ahead, by default, whatever the profile says."""
    found = seen(certificate(NOW + 29 * DAY), certificate=CERTIFICATE, secret_expires=dt.date(2030, 1, 1))
    remark = remark_on_secret_end(found)
    assert remark is not None
    assert remark.code == "client_secret_expires_soon"
    assert remark.causes[0].facts["seen"] == "ends 2026-12-19, in 29 days, by the certificate itself"


@pytest.mark.parametrize(("days", "words"), [(0, "today"), (1, "tomorrow"), (2, "in 2 days")])
def test_the_last_days_of_a_secret_have_words_of_their_own(days: int, words: str, seen: MakeSeen) -> None:
    """And nobody is told of weeks."""
    last = NOW.date() + days * DAY
    remark = remark_on_secret_end(seen(secret_expires=last))
    assert remark is not None
    assert remark.causes[0].facts["seen"] == f"ends {last}, {words}, by profile"
    meaning = entry(remark.code).told(remark.causes[0].facts)
    assert f"It is {last}, {words}." in meaning
    assert "weeks" not in meaning


@pytest.mark.parametrize(
    ("granted", "own", "code"),
    [
        (True, None, "secret_date_passed"),
        (False, None, "client_secret_expired"),
        (True, NOW - DAY, "client_secret_expired"),
    ],
)
def test_a_secret_that_was_taken_after_its_date_has_another(
    granted: bool, own: dt.datetime | None, code: str, seen: MakeSeen
) -> None:
    """The profile's date is wrong then; a certificate's own date is not the profile's."""
    token = AccessToken(observed_at=NOW, length=1500, fingerprint="0123456789ab") if granted else None
    http = HttpExchange("POST", "https://login.contoso.com/token", 200, is_json=True)
    grant = Grant(asked_at=NOW, grant="client_credentials", http=http, token=token)
    found = seen(certificate(own), grant, certificate=CERTIFICATE, secret_expires=NOW.date() - DAY)
    problem = problem_with_end_date(end_of_credential(found), NOW.date())
    finding = why_secret_ended(found, problem)
    assert finding.code == code
    assert code == "client_secret_expired" or finding.causes[0].certainty is Certainty.LIKELY


def test_a_key_file_that_proves_nothing_is_named_where_the_token_was_to_be_asked_for(seen: MakeSeen) -> None:
    check = SecretCheck(asked_at=NOW, key="certificate", reference="file:app.pfx", unusable="it is locked")
    grant = Grant(asked_at=NOW, grant="client_credentials", problem="credential_unusable")
    finding = why_not_granted(seen(("certificate", check), grant))
    assert finding.code == "credential_unusable"
    assert finding.causes[0].facts["seen"] == "file:app.pfx: it is locked"
