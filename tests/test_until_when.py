"""Until when everything lasts, what that is based on, and what comes first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smtp_preflight.model import (
    AccessToken,
    Certificate,
    Deadline,
    Grant,
    OAuth,
    Profile,
    Provider,
    Retirement,
    SecretCheck,
    SecretRef,
    Seen,
    StoredToken,
    TlsHandshake,
)
from smtp_preflight.until_when import deadlines

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
LEAF = Certificate(
    subject="CN=mail.contoso.com",
    issuer="CN=Contoso CA",
    names=("mail.contoso.com",),
    not_before=NOW - DAY,
    not_after=NOW + 20 * DAY,
    key_type="RSA",
    key_bits=2048,
    signature_hash="sha256",
    sha256="00",
)
TLS = TlsHandshake(asked_at=NOW, host="mail.contoso.com", version="TLSv1.3", chain=(LEAF,))
TOKEN = AccessToken(observed_at=NOW, length=900, fingerprint="0123456789ab")
GRANT = Grant(asked_at=NOW, grant="refresh_token", token=TOKEN, stored=StoredToken("store"))


@pytest.fixture
def seen(seen_with: Callable[..., Seen], profile_with: Callable[..., Profile]) -> Callable[..., Seen]:
    """What was seen with a profile whose provider lets refresh tokens lapse, and with this ``[oauth]``."""

    def make(*answers: Any, idle_days: int = 90, **oauth: Any) -> Seen:
        provider = Provider("custom", "Your server", refresh_idle_days=idle_days)
        return seen_with(*answers, profile=profile_with(provider=provider, oauth=OAuth(**oauth)))

    return make


MakeSeen = Callable[..., Seen]


def test_nothing_known_ends_nowhere(seen: MakeSeen) -> None:
    assert deadlines(seen()) == ()


def test_an_access_token_ends_within_the_hour_and_says_when(seen: MakeSeen) -> None:
    """By its own claim, or where it is opaque by the answer it came in."""
    opaque = replace(GRANT, token=replace(TOKEN, expires_in_s=3599))
    readable = replace(GRANT, token=replace(TOKEN, opaque=False, claims={"exp": NOW.timestamp() + 5400}))
    found = [deadlines(seen(grant))[-1] for grant in (opaque, readable)]
    assert found == [
        Deadline("access_token", NOW.date(), 0, "expires_in of the answer: 07:59 UTC"),
        Deadline("access_token", NOW.date(), 0, "its own claim exp: 08:30 UTC"),
    ]


def test_what_a_provider_has_announced_says_when_we_learnt_of_it(seen: MakeSeen) -> None:
    """What has passed is no deadline any more."""
    announced = (
        Retirement("password_sign_in", dt.date(2026, 12, 31)),
        Retirement("old_endpoint", dt.date(2026, 11, 19)),
    )
    provider = Provider("custom", "Your server", retirements=announced, verified=dt.date(2026, 10, 1))
    found = seen()
    found = replace(found, profile=replace(found.profile, provider=provider))
    known = "announced by the provider; known to us on 2026-10-01"
    assert deadlines(found) == (Deadline("password_sign_in", dt.date(2026, 12, 31), 41, known),)


def test_the_nearest_comes_first(seen: MakeSeen) -> None:
    """The profile's word for the secret, the server's certificate, the provider's rule for the token."""
    assert deadlines(seen(TLS, GRANT, secret_expires=dt.date(2026, 12, 20))) == (
        Deadline("server_certificate", dt.date(2026, 12, 10), 20, "the certificate shown"),
        Deadline("client_secret", dt.date(2026, 12, 20), 30, "profile"),
        Deadline("refresh_token", dt.date(2027, 2, 18), 90, "the provider's rule: 90 days without use"),
    )


def test_what_needs_nobody_to_act_comes_last(seen: MakeSeen) -> None:
    """However near it is: an access token ends every hour, and OAuth does not use passwords."""
    announced = (
        Retirement("password_sign_in", dt.date(2026, 12, 31)),
        Retirement("old_endpoint", dt.date(2027, 12, 31)),
    )
    found = seen(TLS, replace(GRANT, token=replace(TOKEN, expires_in_s=3599)))
    provider = replace(found.profile.provider, retirements=announced)
    found = replace(found, profile=replace(found.profile, provider=provider))
    assert [one.what for one in deadlines(found)] == [
        *("server_certificate", "refresh_token", "old_endpoint"),
        *("access_token", "password_sign_in"),
    ]


def test_what_has_ended_counts_below_nothing(seen: MakeSeen) -> None:
    """Days left as of the run's start: none on the last day, less than none after it."""
    ends = [dt.date(2026, 11, 20), dt.date(2026, 11, 19)]
    assert [deadlines(seen(secret_expires=one))[0].days_left for one in ends] == [0, -1]


def test_a_certificate_of_the_application_is_called_so(seen: MakeSeen) -> None:
    """Its own date comes before the profile's, where it could be read."""
    given = {"certificate": SecretRef("file", ("client.pem",)), "secret_expires": dt.date(2026, 12, 20)}
    check = SecretCheck(asked_at=NOW, key="certificate", reference="file:client.pem", ends=NOW + 9 * DAY)
    assert deadlines(seen(**given)) == (Deadline("certificate", dt.date(2026, 12, 20), 30, "profile"),)
    assert deadlines(seen(("certificate", check), **given)) == (
        Deadline("certificate", dt.date(2026, 11, 29), 9, "the certificate itself"),
    )


@pytest.mark.parametrize(
    ("grant", "idle_days"),
    [
        (replace(GRANT, token=None), 90),
        (replace(GRANT, stored=None), 90),
        (GRANT, 0),
    ],
    ids=["not granted", "not from a refresh token", "no rule"],
)
def test_a_refresh_token_of_which_nothing_is_known(grant: Grant, idle_days: int, seen: MakeSeen) -> None:
    assert deadlines(seen(grant, idle_days=idle_days)) == ()


def test_a_handshake_without_a_certificate(seen: MakeSeen) -> None:
    assert deadlines(seen(replace(TLS, chain=()))) == ()
