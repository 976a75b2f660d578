"""Stage refresh: does the refresh token still work, and will it the next time?

Evidence: ``refreshed`` is the token endpoint's answer, where it was a refresh token that was redeemed.
"""

from smtp_preflight.diagnosis.refresh import (
    outlives_password_change,
    refresh_token_lasts,
    remark_on_rotation,
    why_it_ends_soon,
    why_it_ends_with_the_password,
    why_refresh_token_not_kept,
)
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.model import Grant, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.REFRESH


def test_refresh_token_redeems(refreshed: Grant, seen: Seen, explain: Explain) -> None:
    """The stored refresh token is exchanged for an access token (RFC 6749 section 6)."""
    assert refreshed.granted, explain(why_not_granted(seen))


def test_new_refresh_token_is_kept(redeemed: Grant, seen: Seen, explain: Explain, remark: Remark) -> None:
    """A refresh token that was replaced is stored for the next run (RFC 6749 section 6)."""
    assert redeemed.refresh_token_kept, explain(why_refresh_token_not_kept(seen))
    remark(remark_on_rotation(seen, redeemed))


def test_refresh_token_lasts(redeemed: Grant, seen: Seen, explain: Explain) -> None:
    """By the provider's word and its rule for disuse, the refresh token does not end within days."""
    assert refresh_token_lasts(seen), explain(why_it_ends_soon(seen))


def test_sign_in_outlives_a_password_change(redeemed: Grant, seen: Seen, explain: Explain) -> None:
    """A new password for the mailbox leaves the refresh token as it is, as far as the provider says."""
    assert outlives_password_change(seen), explain(why_it_ends_with_the_password(seen))
