"""Until when everything lasts: pure, from the profile and what was seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from smtp_preflight.diagnosis.ends import end_of_credential, end_of_refresh_token
from smtp_preflight.model import Deadline, Grant, Seen, TlsHandshake


def deadlines(seen: Seen) -> tuple[Deadline, ...]:
    """Everything that ends, the nearest first; what needs nobody to act comes last."""
    return tuple(sorted(_all(seen), key=lambda one: (one.needs_nobody, one.date)))


def _all(seen: Seen) -> Iterator[Deadline]:
    today = seen.started.date()
    if end := end_of_credential(seen):
        what = "certificate" if seen.profile.oauth.certificate else "client_secret"
        yield _deadline(what, end.day, today, end.based_on)
    tls = seen.get(TlsHandshake)
    if tls and tls.leaf:
        yield _deadline("server_certificate", tls.leaf.not_after.date(), today, "the certificate shown")
    if end := end_of_refresh_token(seen):
        yield _deadline("refresh_token", end.day, today, end.based_on)
    grant = seen.get(Grant)
    if grant and grant.token and (ends := grant.token.expires_at):
        by = "its own claim exp" if grant.token.time("exp") else "expires_in of the answer"
        yield _deadline("access_token", ends.date(), today, f"{by}: {ends:%H:%M} UTC")
    yield from _announced(seen, today)


def _announced(seen: Seen, today: dt.date) -> Iterator[Deadline]:
    """What the provider has said will end; how fresh that is, the date of our knowledge tells."""
    provider = seen.profile.provider
    for one in provider.retirements:
        if one.date >= today:
            known = f"announced by the provider; known to us on {provider.verified}"
            yield _deadline(one.what, one.date, today, known)


def _deadline(what: str, ends: dt.date, today: dt.date, based_on: str) -> Deadline:
    return Deadline(what, ends, (ends - today).days, based_on)
