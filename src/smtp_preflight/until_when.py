"""Until when everything lasts: pure, from the profile and what was seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from smtp_preflight.model import Deadline, Grant, Seen, TlsHandshake


def deadlines(seen: Seen) -> tuple[Deadline, ...]:
    """Everything that ends, the nearest first."""
    return tuple(sorted(_all(seen), key=lambda one: one.date))


def _all(seen: Seen) -> Iterator[Deadline]:
    today = seen.started.date()
    if (ends := seen.profile.oauth.secret_expires) is not None:
        what = "certificate" if seen.profile.oauth.certificate else "client_secret"
        yield _deadline(what, ends, today, "profile")
    tls = seen.get(TlsHandshake)
    if tls and tls.leaf:
        yield _deadline("server_certificate", tls.leaf.not_after.date(), today, "the certificate shown")
    grant = seen.get(Grant)
    idle_days = seen.profile.provider.refresh_idle_days
    if grant and grant.granted and grant.stored and idle_days:
        lapses = (grant.observed_at + dt.timedelta(days=idle_days)).date()
        yield _deadline("refresh_token", lapses, today, f"the provider's rule: {idle_days} days without use")


def _deadline(what: str, ends: dt.date, today: dt.date, based_on: str) -> Deadline:
    return Deadline(what, ends, (ends - today).days, based_on)
