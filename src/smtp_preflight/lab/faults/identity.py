"""Faults of the identity provider and its tokens."""

from __future__ import annotations

from smtp_preflight.lab.conditions import Conditions, IdentityConditions, Refusal, TokenFlaw
from smtp_preflight.lab.faults.fault import MICROSOFT, Fault
from smtp_preflight.model import Stage

ROWS = (
    Fault(
        "client_secret_expired",
        Stage.TOKEN,
        MICROSOFT,
        "the application's client secret has passed its last day",
        Conditions(
            identity=IdentityConditions(
                client_refusal=Refusal(
                    401,
                    "invalid_client",
                    "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal "
                    "to create new keys for your app: https://aka.ms/NewClientSecret, or consider using "
                    "certificate credentials for added security: https://aka.ms/certCreds.",
                    code="7000222",
                )
            )
        ),
    ),
    Fault(
        "refresh_token_expired_inactivity",
        Stage.REFRESH,
        ("microsoft365",),
        "the refresh token was not used for ninety days",
        Conditions(
            identity=IdentityConditions(
                refresh_refusal=Refusal(
                    400,
                    "invalid_grant",
                    "The refresh token has expired due to inactivity. The token was issued on {issued} and was "
                    "inactive for 90.00:00:00.",
                    code="700082",
                    suberror="bad_token",
                )
            )
        ),
    ),
    Fault(
        "token_wrong_audience",
        Stage.CLAIMS,
        ("microsoft365",),
        "the identity provider grants a token for Microsoft Graph",
        Conditions(
            identity=IdentityConditions(
                token_flaw=TokenFlaw(
                    resource="https://graph.microsoft.com",
                    audience="00000003-0000-0000-c000-000000000000",
                    scope="Mail.Send",
                    role="Mail.Send",
                    nonce=True,
                )
            )
        ),
    ),
    Fault(
        "token_missing_smtp_scope",
        Stage.CLAIMS,
        ("microsoft365",),
        "the token is for Exchange Online and allows IMAP only",
        Conditions(
            identity=IdentityConditions(
                token_flaw=TokenFlaw(scope="IMAP.AccessAsUser.All", role="IMAP.AccessAsApp")
            )
        ),
    ),
)
