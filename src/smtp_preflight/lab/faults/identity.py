"""Faults of the identity provider and its tokens.

Numbers and error words are those of ``reference-error-codes`` of Entra and of Google's OAuth pages.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from smtp_preflight.lab.conditions import (
    HANG_UP,
    LOGIN_HOST,
    CertificateTerms,
    Conditions,
    IdentityConditions,
    Instead,
    Manner,
    Refusal,
    TokenFlaw,
)
from smtp_preflight.lab.faults.fault import (
    HAS_CLIENT_SECRET,
    IS_PUBLIC_CLIENT,
    IS_SERVICE_ACCOUNT,
    MICROSOFT,
    PROVIDERS,
    REDEEMS_REFRESH_TOKEN,
    SIGNS_IN_AS_ITSELF,
    SIGNS_IN_BY_CERTIFICATE,
    Fault,
)
from smtp_preflight.lab.refusals import ENTRA, GOOGLE
from smtp_preflight.model import Severity, Stage

_TENANT = ("microsoft365",)
_OWN = ("custom",)
_PERSONAL = ("outlook_personal",)
_GOOGLE = ("google", "google_workspace")
_WORKSPACE = ("google_workspace",)
_OAUTH = (*MICROSOFT, *_GOOGLE)

_ANOTHER_TENANT = "c1f7b1de-6f0e-4f3e-9d0a-0d6f1b8f2a55"
_ANOTHER_CLIENT = "3d2d3f4e-5a17-4c3b-8f0e-9c1a7b6e5d21"
_HOUR_S = 3600
_LATE_S = 1.5

assert GOOGLE.bearer is not None  # the grant is known there
_BEARER = GOOGLE.bearer


def _identity(**changes: Any) -> Conditions:
    return Conditions(identity=IdentityConditions(**changes))


def _refused(
    number: str, error: str, text: str, *, status: int = 400, suberror: str = "", by: str = "grant_refusal"
) -> Conditions:
    """Entra says no, with this number."""
    return _identity(**{by: Refusal(status, error, text, code=number, suberror=suberror)})


def _google_refused(error: str, text: str, *, status: int = 400, subtype: str = "") -> Conditions:
    return _identity(grant_refusal=Refusal(status, error, text, suberror=subtype))


def _token(**flaw: Any) -> Conditions:
    return _identity(token_flaw=TokenFlaw(**flaw))


def _instead_of(endpoint: str, **answer: Any) -> Conditions:
    return _identity(instead={endpoint: Instead(**answer)})


def _page(text: str) -> Mapping[str, Any]:
    """A web page in the place of the token."""
    body = f"<!DOCTYPE html><html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>"
    return {"body": body.encode(), "headers": {"Content-Type": "text/html; charset=utf-8"}}


def _packed_zeros(size_mib: int) -> bytes:
    """So many zeros as gzip has them (RFC 1952); the end is missing, and nobody gets as far."""
    packer, zeros = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(1024 * 1024)
    first, next_one = (packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + next_one * (size_mib - 1)


_DISCOVERY = (
    Fault(
        "wrong_tenant_id",
        Stage.DISCOVERY,
        _TENANT,
        "no tenant has the name or id that the profile gives",
        _identity(tenant_known=False),
    ),
    Fault(
        "discovery_unreachable",
        Stage.DISCOVERY,
        PROVIDERS,
        "the identity provider's metadata are not to be had",
        _instead_of("discovery_uri", status=503, **_page("Service unavailable")),
    ),
    Fault(
        "discovery_invalid",
        Stage.DISCOVERY,
        PROVIDERS,
        "a sign-in page of the network stands in the place of the metadata",
        _instead_of("discovery_uri", status=200, **_page("Welcome to the guest network")),
    ),
    Fault(
        "discovery_invalid",
        Stage.DISCOVERY,
        PROVIDERS,
        "the metadata are those of another identity provider",
        _identity(issuer="https://login.elsewhere.example/v2.0"),
        way="issuer",
    ),
    Fault(
        "discovery_slow",
        Stage.DISCOVERY,
        PROVIDERS,
        "the metadata come late",
        _instead_of("discovery_uri", late_s=_LATE_S),
        settings=lambda _profile: {"limits.http_slow_s": _LATE_S},
    ),
    Fault(
        "jwks_unreachable",
        Stage.DISCOVERY,
        PROVIDERS,
        "the signing keys are not to be had",
        _instead_of("jwks_uri", status=503, **_page("Service unavailable")),
    ),
)

_ANSWER = (
    Fault(
        "token_endpoint_unreachable",
        Stage.DISCOVERY,
        PROVIDERS,
        "the identity provider's certificate ended yesterday, so nothing is sent to it",
        _identity(certificate=CertificateTerms(name=LOGIN_HOST, begins_days=-91, ends_days=-1)),
    ),
    Fault(
        "token_endpoint_unreachable",
        Stage.DISCOVERY,
        PROVIDERS,
        "the identity provider shows a certificate for another host",
        _identity(certificate=CertificateTerms(name="proxy.lab.example")),
        way="certificate_name",
    ),
    Fault(
        "token_endpoint_unreachable",
        Stage.TOKEN,
        _TENANT,
        "the token endpoint hangs up on every request",
        _instead_of("token_endpoint", fate=HANG_UP),
        way="closed",
        needs=(SIGNS_IN_AS_ITSELF,),
    ),
    Fault(
        "refresh_answer_lost",
        Stage.REFRESH,
        PROVIDERS,
        "the token endpoint takes the refresh token and hangs up",
        _instead_of("token_endpoint", fate=HANG_UP),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "token_response_not_json",
        Stage.TOKEN,
        PROVIDERS,
        "a proxy's web page comes in the place of the token",
        _instead_of("token_endpoint", status=200, **_page("Web access is restricted")),
    ),
    Fault(
        "token_response_not_json",
        Stage.TOKEN,
        PROVIDERS,
        "a captive portal sends the token request on to a page without TLS",
        _instead_of(
            "token_endpoint",
            status=302,
            body=b"",
            headers={"Location": "http://portal.lab.example/login", "Content-Type": "text/html"},
        ),
        way="portal",
    ),
    Fault(
        "token_response_not_json",
        Stage.TOKEN,
        PROVIDERS,
        "the token answer ends in the middle of its JSON",
        _instead_of(
            "token_endpoint",
            status=200,
            body=b'{"token_type":"Bearer","expires_in":3599,"acce',
            headers={"Content-Type": "application/json"},
        ),
        way="half",
    ),
    Fault(
        "token_response_not_json",
        Stage.TOKEN,
        PROVIDERS,
        "the token answer comes packed, and would unpack to 256 MiB",
        _instead_of(
            "token_endpoint",
            status=200,
            body=_packed_zeros(256),
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ),
        way="packed",
    ),
    Fault(
        "token_response_not_json",
        Stage.TOKEN,
        PROVIDERS,
        "a web filter forbids the token request with a page of its own",
        _instead_of("token_endpoint", status=403, **_page("Blocked by your organization")),
        way="forbidden",
    ),
    Fault(
        "token_endpoint_throttled",
        Stage.TOKEN,
        PROVIDERS,
        "the token endpoint has had too many requests",
        _instead_of(
            "token_endpoint",
            status=429,
            body=b'{"error":"too_many_requests","error_description":"Too many requests."}',
            headers={"Content-Type": "application/json", "Retry-After": "60"},
        ),
    ),
    Fault(
        "token_endpoint_throttled",
        Stage.TOKEN,
        _TENANT,
        "Entra sees the same request again and again",
        _refused("50196", "invalid_grant", "The server terminated an operation: client request loop."),
        way="loop",
    ),
    Fault(
        "provider_side_fault",
        Stage.TOKEN,
        _OAUTH,
        "the identity provider has a fault of its own",
        _refused(
            "90033",
            "temporarily_unavailable",
            "A transient error has occurred. Please try again.",
            status=503,
        ),
        elsewhere=dict.fromkeys(
            _GOOGLE, _google_refused("internal_failure", "Backend error, try again.", status=500)
        ),
    ),
    Fault(
        "token_endpoint_slow",
        Stage.TOKEN,
        PROVIDERS,
        "the token comes late",
        _instead_of("token_endpoint", late_s=_LATE_S),
        settings=lambda _profile: {"limits.http_slow_s": _LATE_S},
    ),
    Fault(
        "clock_skew",
        Stage.TOKEN,
        PROVIDERS,
        "this machine's clock is an hour slow, by the identity provider's",
        _identity(clock_ahead_s=_HOUR_S),
        severity=Severity.WARNING,  # the token is granted and taken all the same
    ),
    Fault(
        "clock_skew",
        Stage.TOKEN,
        _OWN,
        "the mail server refuses a token that is issued in the future, and does not say why",
        Conditions(
            manner=Manner(tokens_by_rfc9068=True),  # which say nothing else of when they begin
            identity=IdentityConditions(
                clock_ahead_s=_HOUR_S, token_flaw=TokenFlaw(begins_s=_HOUR_S, life_s=2 * _HOUR_S)
            ),
        ),
        way="refused",
    ),
)

_CLIENT = (
    Fault(
        "client_id_wrong",
        Stage.TOKEN,
        _GOOGLE,
        "Google knows no client of this id",
        _identity(client_known=False),
        needs=(HAS_CLIENT_SECRET,),
    ),
    Fault(
        "app_not_found_in_tenant",
        Stage.TOKEN,
        MICROSOFT,
        "the tenant knows no application of this id",
        _identity(client_known=False),
    ),
    Fault(
        "app_not_found_in_tenant",
        Stage.TOKEN,
        _TENANT,
        "the application is registered, and has no service principal in the tenant",
        _refused(
            "7000229",
            "invalid_client",
            "The client application {client_id} is missing service principal in the tenant {tenant}.",
            status=401,
        ),
        way="service_principal",
    ),
    Fault(
        "oauth_client_deleted_or_disabled",
        Stage.TOKEN,
        (*_TENANT, *_GOOGLE),
        "the application was switched off, or deleted",
        _refused("7000112", "unauthorized_client", "Application '{client_id}' is disabled."),
        elsewhere=dict.fromkeys(
            _GOOGLE, _google_refused("deleted_client", "The OAuth client was deleted.", status=401)
        ),
    ),
    Fault(
        "app_account_type_mismatch",
        Stage.TOKEN,
        _PERSONAL,
        "the application is for work accounts only",
        _refused(
            "9002332",
            "invalid_request",
            "Application '{client_id}' is configured for use by Azure Active Directory users only. Please do "
            "not use the /consumers endpoint to serve this request.",
        ),
    ),
    Fault(
        "app_account_type_mismatch",
        Stage.TOKEN,
        _TENANT,
        "the application is for one tenant only, and this is not its own",
        _refused(
            "50194", "invalid_request", "Application '{client_id}' is not configured as a multi-tenant one."
        ),
        way="single_tenant",
    ),
    Fault(
        "wrong_national_cloud",
        Stage.TOKEN,
        _TENANT,
        "the tenant lives in another national cloud",
        _refused(
            "900432",
            "invalid_request",
            "Confidential client is not supported in cross-cloud request.",
        ),
    ),
    Fault(
        "tenant_restrictions_block",
        Stage.TOKEN,
        _TENANT,
        "a company proxy forbids signing in to this tenant",
        _refused("500021", "access_denied", "Access to '{tenant}' tenant is denied."),
    ),
    Fault(
        "client_secret_wrong",
        Stage.TOKEN,
        PROVIDERS,
        "the secret is none of the application's",
        _identity(secret_taken=False),
        needs=(HAS_CLIENT_SECRET,),
    ),
    Fault(
        "client_secret_expired",
        Stage.TOKEN,
        MICROSOFT,
        "the application's client secret has passed its last day",
        _refused(
            "7000222",
            "invalid_client",
            "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to "
            "create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate "
            "credentials for added security: https://aka.ms/certCreds.",
            status=401,
            by="client_refusal",
        ),
        needs=(HAS_CLIENT_SECRET,),
    ),
    Fault(
        "public_client_sent_secret",
        Stage.TOKEN,
        _TENANT,
        "the application is registered as a public client, and must not show a secret",
        _refused(
            "700025",
            "invalid_client",
            "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
            status=401,
            by="client_refusal",
        ),
        needs=(HAS_CLIENT_SECRET,),
    ),
    Fault(
        "public_client_flow_disabled",
        Stage.TOKEN,
        MICROSOFT,
        "the application may not be used without a secret: public client flows are off",
        _refused(
            "7000218",
            "invalid_client",
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            status=401,
        ),
        needs=(IS_PUBLIC_CLIENT,),
    ),
    Fault(
        "request_malformed",
        Stage.TOKEN,
        MICROSOFT,
        "the token request arrives without its body",
        _refused(
            "900144",
            "invalid_request",
            "The request body must contain the following parameter: 'grant_type'.",
        ),
    ),
    Fault(
        "resource_not_available_in_tenant",
        Stage.TOKEN,
        _TENANT,
        "the tenant has no Exchange Online",
        _refused(
            "500011",
            "invalid_resource",
            "The resource principal named https://outlook.office.com was not found in the tenant named "
            "{tenant}.",
        ),
    ),
)

_ASSERTION = (
    Fault(
        "assertion_signing_key_unknown",
        Stage.TOKEN,
        _TENANT,
        "the certificate that signs is not registered with the application",
        _identity(client_refusal=ENTRA.proof.signature),
        needs=(SIGNS_IN_BY_CERTIFICATE,),
    ),
    Fault(
        "assertion_signing_key_unknown",
        Stage.TOKEN,
        _WORKSPACE,
        "the service account's key was deleted",
        _identity(grant_refusal=_BEARER.signature),
        way="service_account",
        needs=(IS_SERVICE_ACCOUNT,),
    ),
    Fault(
        "assertion_claims_invalid",
        Stage.TOKEN,
        _TENANT,
        "the signed assertion is for another endpoint",
        _identity(client_refusal=ENTRA.proof.audience),
        needs=(SIGNS_IN_BY_CERTIFICATE,),
    ),
    Fault(
        "assertion_claims_invalid",
        Stage.TOKEN,
        _WORKSPACE,
        "the service account's assertion is for another endpoint",
        _identity(grant_refusal=_BEARER.audience),
        way="service_account",
        needs=(IS_SERVICE_ACCOUNT,),
    ),
    Fault(
        "clock_skew",
        Stage.TOKEN,
        _TENANT,
        "the signed assertion begins in the future, by the identity provider's clock",
        _identity(client_refusal=ENTRA.proof.times),
        way="assertion",
        needs=(SIGNS_IN_BY_CERTIFICATE,),
    ),
    Fault(
        "clock_skew",
        Stage.TOKEN,
        _WORKSPACE,
        "the service account's assertion is not of this hour, by Google's clock",
        _identity(grant_refusal=_BEARER.times),
        way="service_account",
        needs=(IS_SERVICE_ACCOUNT,),
    ),
    Fault(
        "google_service_account_subject_wrong",
        Stage.TOKEN,
        _WORKSPACE,
        "the service account acts for somebody who does not exist",
        _identity(grant_refusal=_BEARER.user),
        needs=(IS_SERVICE_ACCOUNT,),
    ),
    Fault(
        "google_dwd_not_authorized",
        Stage.TOKEN,
        _WORKSPACE,
        "nobody has allowed the service account to act for the organisation's users",
        _identity(grant_refusal=_BEARER.not_delegated),
        needs=(IS_SERVICE_ACCOUNT,),
    ),
)

_USER = (
    Fault(
        "user_not_in_tenant",
        Stage.TOKEN,
        _TENANT,
        "the tenant has no such user",
        _refused(
            "50034",
            "invalid_grant",
            "The user account {user} does not exist in the {tenant} directory.",
        ),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "user_account_disabled",
        Stage.REFRESH,
        _TENANT,
        "the user may not sign in any more",
        _refused("50057", "invalid_grant", "The user account is disabled."),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "user_account_disabled",
        Stage.REFRESH,
        _PERSONAL,
        "Microsoft has locked the account for misuse",
        _refused("70000", "invalid_grant", "The user could not be authenticated: service abuse mode."),
        way="abuse",
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "account_credentials_rejected",
        Stage.TOKEN,
        _TENANT,
        "the user's password has expired",
        _refused("50055", "invalid_grant", "The password is expired."),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "user_not_assigned_to_app",
        Stage.TOKEN,
        _TENANT,
        "the application wants users to be assigned, and this one is not",
        _refused(
            "50105",
            "access_denied",
            "The signed in user '{user}' is not assigned to a role for the application '{client_id}'.",
        ),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "mfa_required",
        Stage.TOKEN,
        _TENANT,
        "a second factor is wanted, which a run cannot give",
        _refused(
            "50076",
            "invalid_grant",
            "Due to a configuration change made by your administrator, or because you moved to a new "
            "location, you must use multi-factor authentication to access "
            "'00000002-0000-0ff1-ce00-000000000000'.",
            suberror="basic_action",
        ),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "conditional_access_block",
        Stage.TOKEN,
        _TENANT,
        "a Conditional Access policy refuses the token",
        _refused(
            "53003",
            "invalid_grant",
            "Access has been blocked by Conditional Access policies. The access policy does not allow token "
            "issuance.",
            suberror="message_only",
        ),
    ),
    Fault(
        "security_defaults_block",
        Stage.TOKEN,
        _TENANT,
        "the tenant's security defaults refuse the token",
        _refused("530035", "access_denied", "Access has been blocked by security defaults."),
    ),
    Fault(
        "consent_missing",
        Stage.REFRESH,
        _TENANT,
        "nobody has consented to the permission that is asked for",
        _refused(
            "65001",
            "invalid_grant",
            "The user or administrator has not consented to use the application with ID '{client_id}'. Send "
            "an interactive authorization request for this user and resource.",
            suberror="consent_required",
        ),
    ),
    Fault(
        "google_admin_policy_blocks_app",
        Stage.TOKEN,
        _GOOGLE,
        "the organisation's administrator does not trust the application",
        _google_refused(
            "admin_policy_enforced", "Access is restricted by policies within your organization."
        ),
    ),
    Fault(
        "google_app_audience_restricted",
        Stage.TOKEN,
        _GOOGLE,
        "the application is for its own organisation only",
        _google_refused(
            "org_internal", "This client is restricted to users within its organization.", status=403
        ),
    ),
)

_REFRESH = (
    Fault(
        "refresh_token_invalid",
        Stage.REFRESH,
        _OAUTH,
        "the refresh token is damaged, or no refresh token at all",
        _identity(refresh_token_known=False),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "refresh_token_expired_inactivity",
        Stage.REFRESH,
        _TENANT,
        "the refresh token was not used for ninety days",
        _refused(
            "700082",
            "invalid_grant",
            "The refresh token has expired due to inactivity. The token was issued on {issued} and was "
            "inactive for 90.00:00:00.",
            suberror="bad_token",
            by="refresh_refusal",
        ),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "refresh_token_revoked",
        Stage.REFRESH,
        _TENANT,
        "the user has changed the password, which revoked the refresh token",
        _refused(
            "50173",
            "invalid_grant",
            "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user "
            "might have changed or reset their password. The grant was issued on '{issued}'.",
            suberror="bad_token",
            by="refresh_refusal",
        ),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "refresh_token_revoked",
        Stage.REFRESH,
        _GOOGLE,
        "the user has withdrawn the access, in the words that Google has for several endings",
        _google_refused("invalid_grant", "Token has been expired or revoked."),
        way="unsaid",
        named_first="google_refresh_expired_testing_status",
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "google_refresh_expired_testing_status",
        Stage.REFRESH,
        _GOOGLE,
        "the application is in testing, so the refresh token ended after a week",
        _google_refused("invalid_grant", "Token has been expired or revoked."),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "sign_in_frequency_expired",
        Stage.REFRESH,
        (*_TENANT, *_GOOGLE),
        "the organisation wants users to sign in anew every so often",
        _refused(
            "70043",
            "invalid_grant",
            "The refresh token has expired or is invalid due to sign-in frequency checks by conditional "
            "access. The token was issued on {issued} and the maximum allowed lifetime for this request is "
            "28800.",
            suberror="token_expired",
            by="refresh_refusal",
        ),
        elsewhere=dict.fromkeys(
            _GOOGLE,
            _google_refused("invalid_grant", "reauth related error (invalid_rapt)", subtype="invalid_rapt"),
        ),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "refresh_token_other_client",
        Stage.REFRESH,
        (*_TENANT, *_GOOGLE),
        "the refresh token was issued to another application",
        _refused(
            "70000",
            "invalid_grant",
            "Provided grant is invalid or malformed: it was issued to a different client id.",
            suberror="client_mismatch",
            by="refresh_refusal",
        ),
        elsewhere=dict.fromkeys(_GOOGLE, _google_refused("unauthorized_client", "Unauthorized", status=401)),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "refresh_token_reused",
        Stage.REFRESH,
        _OWN,
        "somebody else has redeemed the refresh token, of which each works once",
        _identity(refresh_refusal=Refusal(400, "invalid_grant", "The refresh token was already used.")),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "refresh_token_reused",
        Stage.REFRESH,
        _OWN,
        "the refresh token is used up, in the words for every refresh token that is no good",
        _identity(refresh_refusal=Refusal(400, "invalid_grant", "grant request is invalid")),
        way="unsaid",
        named_first="refresh_token_invalid",
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "redirect_platform_mismatch",
        Stage.REFRESH,
        _TENANT,
        "the user signed in through a single-page application, whose refresh tokens last a day",
        _refused(
            "700084",
            "invalid_grant",
            "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited "
            "lifetime of 1.00:00:00, which cannot be extended. It was issued on {issued}.",
            suberror="bad_token",
            by="refresh_refusal",
        ),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "offline_access_not_requested",
        Stage.TOKEN,
        MICROSOFT,
        "no new refresh token comes with the access token",
        _identity(renews=False),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "scope_not_granted",
        Stage.TOKEN,
        _OWN,
        "of two permissions asked for, one is granted",
        _token(scope="smtp"),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
)

_CLAIMS = (
    Fault(
        "token_wrong_audience",
        Stage.CLAIMS,
        (*_TENANT, *_OWN),
        "the identity provider grants a token for another service, Microsoft Graph say",
        _token(
            resource="https://graph.microsoft.com",
            audience="00000003-0000-0000-c000-000000000000",
            scope="Mail.Send",
            role="Mail.Send",
            nonce=True,
        ),
        elsewhere=dict.fromkeys(_OWN, _token(audience="https://files.contoso.example")),
    ),
    Fault(
        "token_missing_smtp_scope",
        Stage.CLAIMS,
        MICROSOFT,
        "the token is for Exchange Online and allows IMAP only",
        _token(scope="IMAP.AccessAsUser.All"),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "token_missing_smtp_scope",
        Stage.CLAIMS,
        _OWN,
        "the token lacks the one permission that is for everything, and mail is to be read with it as well",
        _token(permits=False),
        way="everywhere",
        settings=lambda _profile: {"imap.check": True, "pop.check": True},
    ),
    Fault(
        "app_only_smtp_role_missing",
        Stage.CLAIMS,
        _TENANT,
        "the application's token holds no role: the permission, or the consent to it, is missing",
        _token(permits=False),
        needs=(SIGNS_IN_AS_ITSELF,),
    ),
    Fault(
        "app_only_smtp_role_missing",
        Stage.CLAIMS,
        _TENANT,
        "the application's token allows IMAP only",
        _token(role="IMAP.AccessAsApp"),
        way="other_role",
        needs=(SIGNS_IN_AS_ITSELF,),
    ),
    Fault(
        "google_scope_not_full_mail",
        Stage.CLAIMS,
        _GOOGLE,
        "the token allows sending through Google's web interface, and not through SMTP",
        _token(scope="https://www.googleapis.com/auth/gmail.send"),
    ),
    Fault(
        "token_expired",
        Stage.CLAIMS,
        (*_TENANT, *_OWN),
        "the token that is granted has ended ten minutes ago",
        _token(begins_s=-2 * _HOUR_S, life_s=-600),
    ),
    Fault(
        "clock_skew",
        Stage.CLAIMS,
        _TENANT,
        "the token begins in an hour, as it does where a clock is slow",
        _token(begins_s=_HOUR_S, life_s=2 * _HOUR_S),
        way="not_yet_valid",
    ),
    Fault(
        "token_life_short",
        Stage.CLAIMS,
        _OAUTH,
        "the token ends in a minute",
        _token(life_s=60),
    ),
    Fault(
        "token_wrong_tenant",
        Stage.CLAIMS,
        _TENANT,
        "the token is of another tenant",
        _token(tenant_id=_ANOTHER_TENANT),
    ),
    Fault(
        "token_user_mismatch",
        Stage.CLAIMS,
        (*_TENANT, *_OWN),
        "somebody else has signed in than the mailbox's owner",
        _token(user="somebody.else@contoso.example"),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "token_user_mismatch",
        Stage.AUTH,
        _GOOGLE,
        "somebody else has signed in than the mailbox's owner, as Google says of the token",
        _token(user="somebody.else@gmail.example"),
        way="token_info",
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "token_other_client",
        Stage.CLAIMS,
        _TENANT,
        "the token was issued to another application",
        _token(client_id=_ANOTHER_CLIENT),
    ),
    Fault(
        "wrong_token_type_presented",
        Stage.CLAIMS,
        _TENANT,
        "an ID token comes in the place of the access token",
        _token(id_token=True),
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "token_signature_invalid",
        Stage.CLAIMS,
        _OWN,
        "the token is signed by another key than the one that is published",
        _token(forged=True),
    ),
    Fault(
        "token_damaged",
        Stage.CLAIMS,
        _TENANT,
        "half of the token is lost on the way",
        _token(damaged=True),
    ),
)

ROWS = (*_DISCOVERY, *_ANSWER, *_CLIENT, *_ASSERTION, *_USER, *_REFRESH, *_CLAIMS)
