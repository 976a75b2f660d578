"""Stage auth_offered: does the server take tokens?

Evidence: ``capabilities`` is what EHLO lists under verified TLS, the only list that counts.
"""

from smtp_preflight.diagnosis.auth_offered import remark_on_passwords, why_no_bearer_offered
from smtp_preflight.model import Ehlo, Profile, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.AUTH_OFFERED


def test_sign_in_with_a_token_is_offered(
    capabilities: Ehlo, profile: Profile, seen: Seen, explain: Explain, remark: Remark
) -> None:
    """AUTH lists XOAUTH2 or OAUTHBEARER; passwords beside it are mentioned (RFC 4954 section 3, RFC 7628)."""
    assert capabilities.bearer_for(profile.smtp.mechanism), explain(why_no_bearer_offered(seen))
    remark(remark_on_passwords(seen, capabilities))
