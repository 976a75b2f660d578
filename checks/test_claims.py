"""Stage claims: does the token say what the mail server wants to read?

Evidence: ``token`` holds the claims of what was granted (RFC 7519 section 4.1). Without a grant these checks
are blocked; for an opaque token those that need claims are skipped. What is found here predicts what AUTH
will decide.
"""

from smtp_preflight.diagnosis.claim_signs import permitted
from smtp_preflight.diagnosis.claims import (
    begins_and_ends_around,
    remark_on_excess,
    remark_on_lifetime,
    why_claim_differs,
    why_not_an_access_token,
    why_not_permitted,
    why_not_valid_now,
    why_signature_fails,
    why_undecodable,
    why_user_differs,
)
from smtp_preflight.model import AccessToken, Profile, Seen, SignatureCheck, SignatureState, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.CLAIMS


def test_token_decodes(any_token: AccessToken, seen: Seen, explain: Explain) -> None:
    """The token is a JSON web token that decodes, or opaque as some providers' tokens are (RFC 7519)."""
    assert not any_token.problem, explain(why_undecodable(seen, any_token))


def test_signature_is_valid(signature: SignatureCheck, seen: Seen, explain: Explain) -> None:
    """The issuer's published keys verify the token (RFC 7515 section 5.2)."""
    assert signature.state is SignatureState.VALID, explain(why_signature_fails(seen))


def test_it_is_an_access_token(token: AccessToken, seen: Seen, explain: Explain) -> None:
    """The token says what may be done, not who somebody is (OpenID Connect Core section 2)."""
    assert not token.is_id_token, explain(why_not_an_access_token(seen, token))


def test_claim_is_as_expected(
    claim: str, token: AccessToken, expected_values: frozenset[str], seen: Seen, explain: Explain
) -> None:
    """The token is for this mail service, of this tenant, issued to this application (RFC 7519 4.1)."""
    assert token.values(claim) & expected_values, explain(why_claim_differs(seen, claim))


def test_token_permits_submission(
    token_for_mail: AccessToken, seen: Seen, explain: Explain, remark: Remark
) -> None:
    """At least one of the provider's submission permissions is in ``scp``, ``roles`` or the granted scope."""
    assert permitted(seen, token_for_mail), explain(why_not_permitted(seen))
    remark(remark_on_excess(seen, token_for_mail))


def test_token_is_valid_now(any_token: AccessToken, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The token has begun and not ended, and lasts long enough (RFC 7519 sections 4.1.4 and 4.1.5)."""
    assert begins_and_ends_around(any_token), explain(why_not_valid_now(seen, any_token))
    remark(remark_on_lifetime(seen, any_token))


def test_token_belongs_to_the_mailbox(
    user_token: AccessToken, profile: Profile, seen: Seen, explain: Explain
) -> None:
    """The token's owner is the user who signs in to the mail server."""
    assert user_token.user.lower() == profile.mailbox.lower(), explain(why_user_differs(seen))
