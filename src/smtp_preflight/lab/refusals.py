"""What each identity provider says where a sign-in, a device, an assertion or a used token will not do.

The words that belong to a plain token request stand with the provider itself, in ``entra`` and ``google``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from smtp_preflight.lab.conditions import Refusal


class Refused(Exception):
    """The identity provider says no; ``facts`` is what its text may name beside the request's own words."""

    def __init__(self, refusal: Refusal, facts: Mapping[str, str] | None = None) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal
        self.facts: Mapping[str, str] = facts or {}


@dataclass(frozen=True, slots=True)
class SignInRefusals:
    """The authorization endpoint's, and those of the code it hands out."""

    redirect_uri: Refusal
    parameter_missing: Refusal  # names {parameter}
    response_type: Refusal
    response_mode: Refusal
    challenge: Refusal
    scope: Refusal
    prompt: Refusal
    login_required: Refusal
    declined: Refusal
    code_unknown: Refusal
    code_used: Refusal
    code_expired: Refusal
    code_of_another: Refusal
    code_redirect_uri: Refusal
    verifier: Refusal


@dataclass(frozen=True, slots=True)
class DeviceRefusals:
    """The device endpoint's, and those of whoever waits at the token endpoint."""

    scope: Refusal
    pending: Refusal
    slow_down: Refusal
    declined: Refusal
    expired: Refusal
    unknown: Refusal


@dataclass(frozen=True, slots=True)
class ProofRefusals:
    """Of an application that shows an assertion in the place of a secret (RFC 7523 section 2.2)."""

    type: Refusal
    key: Refusal
    signature: Refusal
    times: Refusal
    audience: Refusal
    subject: Refusal
    claims: Refusal
    replay: Refusal
    federated_issuer: Refusal
    federated_subject: Refusal
    federated_audience: Refusal


@dataclass(frozen=True, slots=True)
class BearerRefusals:
    """Of a service account's assertion as a grant (RFC 7523 section 2.1)."""

    account: Refusal
    signature: Refusal
    audience: Refusal
    times: Refusal
    user: Refusal
    not_delegated: Refusal


@dataclass(frozen=True, slots=True)
class Refusals:
    """One provider's."""

    sign_in: SignInRefusals
    device: DeviceRefusals
    proof: ProofRefusals
    bearer: BearerRefusals | None = None  # none: the grant is not known there


# --- Entra -------------------------------------------------------------------------------------------------


def _invalid_client(text: str, code: str) -> Refusal:
    return Refusal(401, "invalid_client", text, code)


def _invalid_grant(text: str, code: str) -> Refusal:
    return Refusal(400, "invalid_grant", text, code)


def _invalid_request(text: str, code: str) -> Refusal:
    return Refusal(400, "invalid_request", text, code)


ENTRA = Refusals(
    sign_in=SignInRefusals(
        redirect_uri=_invalid_request(
            "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs "
            "configured for the application '{client_id}'. Make sure the redirect URI sent in the request "
            "matches one added to your application in the Azure portal.",
            "50011",
        ),
        parameter_missing=_invalid_request(
            "The request body must contain the following parameter: '{parameter}'.", "900144"
        ),
        response_type=Refusal(
            400,
            "unsupported_response_type",
            "The provided value for the input parameter 'response_type' is not allowed for this client.",
            "70005",
        ),
        response_mode=_invalid_request(
            "The provided value for the input parameter 'response_mode' is not allowed.", "70007"
        ),
        challenge=_invalid_request("The size of the code_challenge parameter is not valid.", "501491"),
        scope=Refusal(
            400,
            "invalid_client",
            "The application '{client_id}' asked for scope '{scope}' that doesn't exist on the resource.",
            "650053",
        ),
        prompt=_invalid_request("Unsupported 'prompt' value.", "90023"),
        login_required=Refusal(
            400,
            "login_required",
            "A silent sign-in request was sent but no user is signed in.",
            "50058",
        ),
        declined=Refusal(400, "access_denied", "User declined to consent to access the app.", "65004"),
        code_unknown=_invalid_grant("The provided value for the 'code' parameter is not valid.", "70000"),
        code_used=_invalid_grant(
            "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an "
            "existing refresh token.",
            "54005",
        ),
        code_expired=_invalid_grant(
            "The provided authorization code or refresh token has expired due to inactivity. Send a new "
            "interactive authorization request for this user and resource.",
            "70008",
        ),
        code_of_another=_invalid_grant(
            "The provided value for the 'code' parameter was issued to another application.", "70000"
        ),
        code_redirect_uri=_invalid_grant(
            "The redirect URI '{redirect_uri}' is not the one the authorization code was requested with.",
            "70000",
        ),
        verifier=_invalid_grant(
            "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
            "501481",
        ),
    ),
    device=DeviceRefusals(
        scope=Refusal(400, "invalid_scope", "The provided value for scope {scope} is not valid.", "70011"),
        pending=Refusal(
            400,
            "authorization_pending",
            "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
            "70016",
        ),
        slow_down=Refusal(400, "slow_down", "Too many requests. Poll less often.", "70016"),
        declined=Refusal(
            400, "authorization_declined", "User declined to consent to access the app.", "65004"
        ),
        expired=Refusal(400, "expired_token", "The verification code has expired.", "70019"),
        unknown=Refusal(400, "bad_verification_code", "The device_code is not recognised.", "70018"),
    ),
    proof=ProofRefusals(
        type=_invalid_request(
            "The value of 'client_assertion_type' must be "
            "'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'.",
            "90023",
        ),
        key=_invalid_client(
            "The certificate with identifier used to sign the client assertion is not registered on "
            "application. [Reason - The key was not found., Thumbprint of key used by client: "
            "'{thumbprint}']",
            "700027",
        ),
        signature=_invalid_client(
            "Client assertion contains an invalid signature. [Reason - The key used is not authorised for "
            "application '{client_id}'.]",
            "700027",
        ),
        times=_invalid_client(
            "Client assertion is not within its valid time range. Ensure that the client's clock is right.",
            "700024",
        ),
        audience=_invalid_client(
            "Client assertion audience claim does not match Realm issuer. Review the documentation.", "700023"
        ),
        subject=_invalid_client(
            "Client assertion application identifier doesn't match 'client_id' parameter.", "700021"
        ),
        claims=_invalid_client("Client assertion lacks a claim, or has one in a wrong form.", "50027"),
        replay=_invalid_client("Assertion is not valid: it was presented before.", "50013"),
        federated_issuer=_invalid_client(
            "No matching federated identity record found for presented assertion issuer '{issuer}'.", "700211"
        ),
        federated_subject=_invalid_client(
            "No matching federated identity record found for presented assertion subject '{subject}'. The "
            "subject of the record and of the assertion must be the same, case included.",
            "700213",
        ),
        federated_audience=_invalid_client(
            "No matching federated identity record found for presented assertion audience '{audience}'.",
            "700212",
        ),
    ),
)


# --- Google ------------------------------------------------------------------------------------------------

_BAD_REQUEST = Refusal(400, "invalid_grant", "Bad Request")
_UNPROVEN = Refusal(401, "invalid_client", "Unauthorized")

GOOGLE = Refusals(
    sign_in=SignInRefusals(
        redirect_uri=Refusal(
            400,
            "redirect_uri_mismatch",
            "The redirect URI in the request, {redirect_uri}, does not match the ones authorized for the "
            "OAuth client.",
        ),
        parameter_missing=Refusal(400, "invalid_request", "Required parameter is missing: {parameter}"),
        response_type=Refusal(400, "unsupported_response_type", "Invalid response_type"),
        response_mode=Refusal(400, "invalid_request", "Invalid response_mode"),
        challenge=Refusal(400, "invalid_request", "code_challenge missing or invalid"),
        scope=Refusal(400, "invalid_scope", "Some requested scopes were invalid: {scope}"),
        prompt=Refusal(400, "invalid_request", "Invalid parameter value for prompt"),
        login_required=Refusal(400, "interaction_required", "Interaction required"),
        declined=Refusal(403, "access_denied", "The user refused"),
        code_unknown=Refusal(400, "invalid_grant", "Malformed auth code."),
        code_used=_BAD_REQUEST,
        code_expired=_BAD_REQUEST,
        code_of_another=_BAD_REQUEST,
        code_redirect_uri=Refusal(400, "redirect_uri_mismatch", "Bad Request"),
        verifier=Refusal(400, "invalid_grant", "Invalid code verifier."),
    ),
    device=DeviceRefusals(
        scope=Refusal(400, "invalid_scope", "Invalid device flow scope: {scope}"),
        pending=Refusal(428, "authorization_pending", "Precondition Required"),
        slow_down=Refusal(403, "slow_down", "Forbidden"),
        declined=Refusal(403, "access_denied", "Forbidden"),
        expired=Refusal(400, "expired_token", "Bad Request"),
        unknown=Refusal(400, "invalid_grant", "Malformed device code."),
    ),
    # Google's clients show secrets; an assertion is a service account's, and a grant.
    proof=ProofRefusals(**dict.fromkeys(ProofRefusals.__dataclass_fields__, _UNPROVEN)),
    bearer=BearerRefusals(
        account=Refusal(400, "invalid_grant", "Invalid grant: account not found"),
        signature=Refusal(400, "invalid_grant", "Invalid JWT Signature."),
        audience=Refusal(400, "invalid_grant", "Invalid JWT: Failed audience check."),
        times=Refusal(
            400,
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
            "Check your 'iat' and 'exp' values and use a clock with skew to account for clock differences "
            "between systems.",
        ),
        user=Refusal(400, "invalid_grant", "Invalid email or User ID"),
        not_delegated=Refusal(
            401,
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized "
            "for any of the scopes requested.",
        ),
    ),
)


# --- nobody in particular ----------------------------------------------------------------------------------

PLAIN = replace(
    GOOGLE,
    sign_in=replace(
        GOOGLE.sign_in,
        redirect_uri=Refusal(400, "invalid_request", "redirect_uri is not registered: {redirect_uri}"),
        login_required=Refusal(400, "login_required", "Nobody is signed in"),
        declined=Refusal(400, "access_denied", "The resource owner denied the request"),
        code_redirect_uri=Refusal(400, "invalid_grant", "redirect_uri is another one"),
    ),
    device=DeviceRefusals(  # RFC 8628 section 3.5, on the status of RFC 6749 section 5.2
        scope=Refusal(400, "invalid_scope", "Invalid scope: {scope}"),
        pending=Refusal(400, "authorization_pending", "The user has not decided yet"),
        slow_down=Refusal(400, "slow_down", "Polled too soon"),
        declined=Refusal(400, "access_denied", "The user denied the request"),
        expired=Refusal(400, "expired_token", "The device code has expired"),
        unknown=Refusal(400, "invalid_grant", "Unknown device code"),
    ),
    proof=ProofRefusals(
        **{
            name: Refusal(401, "invalid_client", f"client_assertion refused: {name.replace('_', ' ')}")
            for name in ProofRefusals.__dataclass_fields__
        }
    ),
)
