"""Stage refresh: does the refresh token still work, and will it the next time?

Evidence: ``refreshed`` is the token endpoint's answer, where it was a refresh token that was redeemed.
"""

from smtp_preflight.diagnosis.token import (
    remark_on_refresh_token,
    why_not_granted,
    why_refresh_token_not_kept,
)
from smtp_preflight.model import Grant, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.REFRESH


def test_refresh_token_redeems(refreshed: Grant, seen: Seen, explain: Explain) -> None:
    """The stored refresh token is exchanged for an access token (RFC 6749 section 6)."""
    assert refreshed.granted, explain(why_not_granted(seen))


def test_new_refresh_token_is_kept(redeemed: Grant, seen: Seen, explain: Explain, remark: Remark) -> None:
    """A refresh token that was replaced is stored for the next run (RFC 6749 section 6)."""
    assert redeemed.refresh_token_kept, explain(why_refresh_token_not_kept(seen))
    remark(remark_on_refresh_token(seen, redeemed))
