"""Stage token: does the identity provider grant a token, and the one asked for?

Evidence: ``grant`` is the token endpoint's one answer; a refusal is an answer too. ``granted`` is the same,
once it holds a token.
"""

from smtp_preflight.diagnosis.clock import clock_is_right
from smtp_preflight.diagnosis.token import (
    remark_on_token_time,
    scope_is_granted,
    why_clock_wrong,
    why_not_granted,
    why_not_renewed,
    why_scope_not_granted,
    why_token_type_differs,
)
from smtp_preflight.model import Grant, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.TOKEN


def test_token_endpoint_answers(asked_grant: Grant, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The token endpoint can be reached over verified TLS and responds in time."""
    assert asked_grant.answered, explain(why_not_granted(seen))
    remark(remark_on_token_time(seen, asked_grant))


def test_answer_is_json(answered_grant: Grant, seen: Seen, explain: Explain) -> None:
    """What answers is a token endpoint: its response is a JSON object (RFC 6749 sections 5.1 and 5.2)."""
    assert answered_grant.is_json, explain(why_not_granted(seen))


def test_token_is_granted(asked_grant: Grant, seen: Seen, explain: Explain) -> None:
    """The response holds an access token (RFC 6749 section 5.1)."""
    assert asked_grant.granted, explain(why_not_granted(seen))


def test_token_type_is_bearer(granted: Grant, seen: Seen, explain: Explain) -> None:
    """The token's type is Bearer, which XOAUTH2 needs (RFC 6749 section 7.1)."""
    assert granted.is_bearer, explain(why_token_type_differs(seen))


def test_scope_is_granted(granted: Grant, scope: str, seen: Seen, explain: Explain) -> None:
    """Whatever else was asked for is granted too (RFC 6749 section 3.3)."""
    assert scope_is_granted(granted, scope), explain(why_scope_not_granted(seen, scope))


def test_grant_is_renewed(renewing: Grant, seen: Seen, explain: Explain) -> None:
    """A provider that renews the refresh token at each use did so."""
    assert renewing.refresh_token_issued, explain(why_not_renewed(seen))


def test_clock_is_right(answered_grant: Grant, seen: Seen, explain: Explain) -> None:
    """This machine's clock agrees with the identity provider's to five minutes (Date header)."""
    assert clock_is_right(answered_grant), explain(why_clock_wrong(seen))
