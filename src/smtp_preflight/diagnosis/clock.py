"""This machine's clock, held against the identity provider's."""

from __future__ import annotations

from smtp_preflight.model import Grant, Seen

CLOCK_TOLERANCE_S = 300  # what token issuers and mail servers forgive


def clock_offset_s(grant: Grant) -> float | None:
    """How far this machine's clock is ahead of the token endpoint's, in seconds (Date header)."""
    if grant.http is None or grant.http.date is None:
        return None
    return (grant.observed_at - grant.http.date).total_seconds()


def clock_is_right(grant: Grant) -> bool:
    """This clock is near enough to the token endpoint's, or that did not tell the time."""
    offset = clock_offset_s(grant)
    return offset is None or abs(offset) <= CLOCK_TOLERANCE_S


def clock_sign(seen: Seen) -> dict[str, str]:
    """Whether the clocks differ: ``clock`` (right, off), where the endpoint told the time.

    Off, it is a reason to refuse a token that shows no other, and dates of certificates prove nothing.
    """
    grant = seen.get(Grant)
    if grant is None or clock_offset_s(grant) is None:
        return {}
    return {"clock": "right" if clock_is_right(grant) else "off"}
