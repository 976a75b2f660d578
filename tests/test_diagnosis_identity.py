"""What the identity provider and, with its token, the mail server said, and the cause it stands for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from smtp_preflight.diagnosis.auth_offered import remark_on_passwords, why_no_bearer_offered
from smtp_preflight.diagnosis.claim_signs import audience, claim_signs, permissions_of, permitted
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
from smtp_preflight.diagnosis.clock import clock_is_right
from smtp_preflight.diagnosis.discovery import remark_on_discovery_time, why_no_keys, why_not_discovered
from smtp_preflight.diagnosis.expected import endpoints_as_expected, issuer_as_expected
from smtp_preflight.diagnosis.refresh import remark_on_rotation, why_refresh_token_not_kept
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.diagnosis.submission import (
    remark_on_submission_time,
    why_message_refused,
    why_no_recipient_accepted,
    why_not_authenticated,
    why_recipient_refused,
    why_sender_refused,
)
from smtp_preflight.diagnosis.token import (
    remark_on_token_time,
    scope_is_granted,
    scopes_to_be_granted,
    why_clock_wrong,
    why_not_granted,
    why_not_renewed,
    why_scope_not_granted,
    why_token_type_differs,
)
from smtp_preflight.knowledge import entries
from smtp_preflight.model import (
    AccessToken,
    AuthExchange,
    Certainty,
    DataExchange,
    Discovery,
    Ehlo,
    Expect,
    Failure,
    Finding,
    Grant,
    GrantType,
    HttpExchange,
    HttpFailure,
    Keys,
    MailFrom,
    OAuth,
    OAuthError,
    Profile,
    RcptTo,
    SecretRef,
    Seen,
    SignatureCheck,
    SignatureState,
    Smtp,
    SmtpReply,
    SmtpStep,
    Stage,
    StoredToken,
    TokenInfo,
)
from smtp_preflight.profile import load_providers

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
MAIL = "https://outlook.office.com"
LOGIN = "https://login.microsoftonline.com/contoso"
TENANT = "72f8a9d3-4d3e-4c55-9a1b-2f6d0c8b7e61"
CLIENT = "6731de76-14a6-49ae-97bc-6eba6914391e"
MAILBOX = "alerts@contoso.com"
AFTER_TLS = "after TLS"

MakeSeen = Callable[..., Seen]


@pytest.fixture
def seen(seen_with: Callable[..., Seen], profile_with: Callable[..., Profile]) -> MakeSeen:
    """What was seen with a profile of this preset and grant; further keywords change its ``[oauth]``."""

    def make(*answers: Any, preset: str = "microsoft365", grant: str = "refresh_token", **oauth: Any) -> Seen:
        provider = load_providers()[preset]
        own: dict[str, Any] = {
            "tenant": "contoso.onmicrosoft.com",
            "client_id": CLIENT,
            "scope": (f"{MAIL}/SMTP.Send", "offline_access"),
            "issuer": f"{LOGIN}/v2.0",
            "token_endpoint": f"{LOGIN}/oauth2/v2.0/token",
        }
        profile = profile_with(
            provider=provider,
            mailbox=MAILBOX,
            smtp=Smtp(provider.endpoints[0].host if provider.endpoints else "mail.contoso.com"),
            oauth=OAuth(grant=GrantType(grant), **{**own, **oauth}),
            expect=Expect(aud=provider.aud, permissions=provider.permissions, tid=(TENANT,)),
        )
        return seen_with(*answers, profile=profile)

    return make


def http(status: int | None = 200, *, is_json: bool = True, **more: Any) -> HttpExchange:
    return HttpExchange("POST", f"{LOGIN}/oauth2/v2.0/token", status, is_json=is_json, **more)


def code_and_words(finding: Finding) -> tuple[str, str]:
    return finding.code, finding.causes[0].facts["seen"]


# --- auth_offered ------------------------------------------------------------------------------------------


def ehlo(*lines: str) -> tuple[str, Ehlo]:
    return AFTER_TLS, Ehlo(asked_at=NOW, encrypted=True, reply=SmtpReply(250, ("mail.contoso.com", *lines)))


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("AUTH LOGIN PLAIN",), "xoauth2_not_advertised"),
        (("SIZE 1000", "8BITMIME"), "auth_not_advertised"),
        (("AUTH",), "auth_not_advertised"),
    ],
)
def test_why_no_bearer_is_offered(lines: tuple[str, ...], code: str, seen: MakeSeen) -> None:
    """Passwords only, or no sign-in at all: two different causes."""
    found, words = code_and_words(why_no_bearer_offered(seen(ehlo(*lines))))
    assert found == code
    assert lines[0] in words


def test_passwords_beside_a_bearer_token_are_mentioned(seen: MakeSeen) -> None:
    """With what the provider says of their end."""
    both, alone = ehlo("AUTH LOGIN XOAUTH2"), ehlo("AUTH XOAUTH2")
    remark = remark_on_passwords(seen(both), both[1])
    assert remark is not None
    assert remark.code == "password_mechanisms_offered"
    assert "2026" in remark.causes[0].facts["password_retirement"]
    assert remark_on_passwords(seen(alone), alone[1]) is None


# --- discovery ---------------------------------------------------------------------------------------------


def discovery(
    issuer: str = f"{LOGIN}/v2.0", endpoint: str = f"{LOGIN}/oauth2/v2.0/token", **more: Any
) -> Discovery:
    given: dict[str, Any] = {"http": http(), "metadata": {"issuer": issuer, "token_endpoint": endpoint}}
    return Discovery(asked_at=NOW, **{**given, **more})


UNREADABLE: dict[str, Any] = {"metadata": {}}


@pytest.mark.parametrize(
    ("found", "code"),
    [
        *(
            (
                discovery(**UNREADABLE, http=http(None, is_json=False, failure=failure)),
                "discovery_unreachable",
            )
            for failure in HttpFailure
            if failure is not HttpFailure.DNS
        ),
        (discovery(**UNREADABLE, http=http(503, is_json=False)), "discovery_unreachable"),
        (discovery(**UNREADABLE, http=http(404, is_json=False)), "discovery_invalid"),
        (discovery(**UNREADABLE), "discovery_invalid"),
        (discovery(issuer="https://login.contoso.example"), "discovery_invalid"),
        (discovery(endpoint="https://login.contoso.example/token"), "discovery_invalid"),
        (discovery(endpoint="http://login.microsoftonline.com/token"), "discovery_invalid"),
        (
            discovery(**UNREADABLE, http=http(400), error="invalid_tenant", error_codes=("90002",)),
            "wrong_tenant_id",
        ),
    ],
)
def test_why_not_discovered(found: Discovery, code: str, seen: MakeSeen) -> None:
    """No answer, no metadata, somebody else's, or no such tenant."""
    assert why_not_discovered(seen(found)).code == code


def test_a_host_of_metadata_that_has_no_address(seen: MakeSeen) -> None:
    """A matter of DNS, and it says so."""
    found = discovery(**UNREADABLE, http=http(None, is_json=False, failure=HttpFailure.DNS))
    assert why_not_discovered(seen(found)).code in ("dns_resolution_failure", "discovery_unreachable")


@pytest.mark.parametrize(
    ("of_token", "code"),
    [
        (http(None, is_json=False, failure=HttpFailure.CONNECT), "token_endpoint_unreachable"),
        (http(None, is_json=False, failure=HttpFailure.TIMEOUT, sent=True), "discovery_unreachable"),
        (http(400), "discovery_unreachable"),
        (None, "discovery_unreachable"),
    ],
    ids=["the same", "another way, and sent", "answered", "not asked"],
)
def test_the_way_to_one_host_is_one_cause(of_token: HttpExchange | None, code: str, seen: MakeSeen) -> None:
    """Metadata and token kept away in the same manner: the token alone says it."""
    away = discovery(**UNREADABLE, http=http(None, is_json=False, failure=HttpFailure.CONNECT))
    grant = Grant(asked_at=NOW, grant="client_credentials", http=of_token)
    assert why_not_discovered(seen(away, grant)).code == code


@pytest.mark.parametrize(
    ("preset", "issuer", "published", "expected"),
    [
        ("custom", f"{LOGIN}/v2.0", f"{LOGIN}/v2.0/", True),
        ("custom", f"{LOGIN}/v2.0", "https://login.contoso.example/v2.0", False),
        ("custom", "", "https://login.contoso.example/v2.0", True),
        ("microsoft365", f"{LOGIN}/v2.0", "https://login.microsoftonline.com/{tenantid}/v2.0", True),
        ("microsoft365", f"{LOGIN}/v2.0", f"https://login.microsoftonline.com/{TENANT}/v2.0", True),
        ("microsoft365", f"{LOGIN}/v2.0", "https://login.contoso.example/v2.0", False),
    ],
)
def test_an_issuer_is_as_expected(
    preset: str, issuer: str, published: str, expected: bool, seen: MakeSeen
) -> None:
    """The one configured; Entra's may name the tenant by its id, on a host the preset knows."""
    profile = seen(preset=preset, issuer=issuer).profile
    assert issuer_as_expected(profile, discovery(issuer=published)) is expected


@pytest.mark.parametrize(
    ("oauth", "published", "expected"),
    [
        ({}, f"{LOGIN}/elsewhere", True),
        ({}, "https://login.contoso.example/token", False),
        ({"token_endpoint": ""}, f"{LOGIN}/token", True),
        ({"token_endpoint": ""}, "https://login.contoso.example/token", False),
        ({"token_endpoint": "", "issuer": "", "discovery_uri": f"{LOGIN}/meta"}, f"{LOGIN}/token", True),
        ({}, "http://login.microsoftonline.com/token", False),
        ({}, "", False),
    ],
)
def test_endpoints_are_as_expected(
    oauth: Mapping[str, str], published: str, expected: bool, seen: MakeSeen
) -> None:
    """Https, and on a host that the profile or the preset names: tokens go nowhere else."""
    profile = seen(preset="custom", **oauth).profile
    assert endpoints_as_expected(profile, discovery(endpoint=published)) is expected


def test_why_no_keys(seen: MakeSeen) -> None:
    assert why_no_keys(seen(Keys(asked_at=NOW, http=http(500, is_json=False)))).code == "jwks_unreachable"
    assert (
        signs_of(seen(Keys(asked_at=NOW, http=http(), kids=("a",)))).at(Stage.DISCOVERY)["keys"] == "present"
    )


# --- token -------------------------------------------------------------------------------------------------


def refused(error: str, *codes: str, text: str = "", suberror: str = "", status: int = 400) -> Grant:
    told = OAuthError(error, text or " ".join(f"AADSTS{code}: …" for code in codes), codes, suberror)
    return Grant(asked_at=NOW, grant="refresh_token", http=http(status), error=told)


APP, USER = "client_credentials", "refresh_token"


@pytest.mark.parametrize(
    ("error", "number", "grant", "code"),
    [
        ("invalid_client", "7000222", APP, "client_secret_expired"),
        ("invalid_client", "7000215", APP, "client_secret_wrong"),
        ("invalid_client", "7000218", APP, "client_secret_missing"),
        ("invalid_client", "700027", APP, "assertion_signing_key_unknown"),
        ("invalid_client", "700024", APP, "clock_skew"),
        ("invalid_client", "700025", USER, "public_client_sent_secret"),
        ("unauthorized_client", "700016", APP, "app_not_found_in_tenant"),
        ("invalid_request", "90002", APP, "wrong_tenant_id"),
        ("invalid_request", "50059", APP, "wrong_tenant_endpoint_for_account"),
        ("invalid_scope", "70011", APP, "scope_default_required"),
        ("invalid_scope", "1002012", APP, "scope_default_required"),
        ("invalid_scope", "70011", USER, "scope_invalid_or_malformed"),
        ("invalid_request", "28000", USER, "scope_mixes_resources"),
        ("invalid_request", "90009", USER, "refresh_scope_omitted"),
        ("invalid_resource", "500011", APP, "resource_not_available_in_tenant"),
        ("invalid_grant", "700082", USER, "refresh_token_expired_inactivity"),
        ("invalid_grant", "50173", USER, "refresh_token_revoked"),
        ("invalid_request", "9002313", USER, "refresh_token_invalid"),
        ("invalid_grant", "70043", USER, "sign_in_frequency_expired"),
        ("invalid_grant", "65001", USER, "consent_missing"),
        ("invalid_grant", "50076", USER, "mfa_required"),
        ("invalid_grant", "53003", USER, "conditional_access_block"),
        ("access_denied", "530035", USER, "security_defaults_block"),
        ("invalid_grant", "50126", USER, "account_credentials_rejected"),
        ("invalid_grant", "50057", USER, "user_account_disabled"),
        ("invalid_grant", "50020", USER, "user_not_in_tenant"),
        ("invalid_grant", "700084", USER, "redirect_platform_mismatch"),
        ("invalid_request", "50196", USER, "token_endpoint_throttled"),
        ("temporarily_unavailable", "90033", USER, "provider_side_fault"),
        ("invalid_grant", "1", USER, "refresh_token_invalid"),  # unlisted: as far as its OAuth error goes
    ],
)
def test_why_entra_grants_nothing(error: str, number: str, grant: str, code: str, seen: MakeSeen) -> None:
    """By the number, whatever the words."""
    finding = why_not_granted(seen(replace(refused(error, number, status=401), grant=grant), grant=grant))
    assert finding.code == code
    assert f"AADSTS{number}" in finding.causes[0].facts["seen"]


def test_nothing_is_told_of_whose_an_opaque_token_is_unless_the_provider_says(seen: MakeSeen) -> None:
    """Not even that it is nobody's."""
    opaque = AccessToken(observed_at=NOW, length=200, fingerprint="", opaque=True)
    grant = Grant(asked_at=NOW, grant=USER, http=http(), token=opaque)
    info = TokenInfo(asked_at=NOW, http=http(), claims={"email": "bob@contoso.com"})
    assert signs_of(seen(grant, preset="google")).facts["token_user"] == ""
    assert signs_of(seen(grant, info, preset="google")).facts["token_user"] == "bob@contoso.com"


@pytest.mark.parametrize(
    ("oauth", "words", "named"),
    [
        ({"client_auth": "post"}, "Client authentication failed", "basic"),
        ({"client_auth": "basic"}, "", "post"),
        ({"client_auth": "post"}, "The provided client secret is invalid.", ""),
        ({"client_auth": "post", "certificate": SecretRef("file", ("app.pem",))}, "", ""),
        ({"client_secret": None}, "", ""),
    ],
    ids=["in the body", "by Basic", "it was read", "a certificate was sent", "nothing was sent"],
)
def test_a_secret_may_have_been_sent_the_wrong_way(
    oauth: dict[str, Any], words: str, named: str, seen: MakeSeen
) -> None:
    """The remedy names the other way, where the refusal may be about that; we try one way only."""
    sent = {"client_secret": SecretRef("env", ("CONTOSO_SECRET",)), **oauth}
    refusal = replace(refused("invalid_client", text=words, status=401), grant=APP)
    finding = why_not_granted(seen(refusal, preset="custom", grant=APP, **sent))
    steps = " ".join(entries()[finding.code].steps(finding.causes[0].facts))
    assert finding.code == "client_secret_wrong"
    assert ("try `client_auth" in steps) is bool(named)
    assert f'try `client_auth = "{named}"`' in steps or not named


def test_a_public_client_has_no_secret_to_forget(seen: MakeSeen) -> None:
    """The same number: for a public client, public flows are switched off."""
    found = why_not_granted(seen(refused("invalid_client", "7000218"), client_type="public"))
    assert found.code == "public_client_flow_disabled"


@pytest.mark.parametrize(
    ("preset", "grant", "answer", "code"),
    [
        ("google", USER, refused("invalid_grant", text="Bad Request"), "refresh_token_invalid"),
        (
            "google",
            USER,
            refused("invalid_grant", text="Token has been expired or revoked."),
            "google_refresh_expired_testing_status",
        ),
        (
            "google",
            USER,
            refused("unauthorized_client", text="Unauthorized"),
            "refresh_token_other_client",
        ),
        ("google", USER, refused("invalid_client", text="Unauthorized"), "client_secret_wrong"),
        (
            "google",
            USER,
            refused("invalid_client", text="The OAuth client was not found."),
            "client_id_wrong",
        ),
        (
            "google_workspace",
            USER,
            refused("invalid_grant", text="reauth related error (invalid_rapt)", suberror="invalid_rapt"),
            "sign_in_frequency_expired",
        ),
        ("google_workspace", "jwt_bearer", refused("unauthorized_client"), "google_dwd_not_authorized"),
        (
            "google_workspace",
            "jwt_bearer",
            refused("invalid_grant", text="Invalid email or User ID"),
            "google_service_account_subject_wrong",
        ),
        ("custom", USER, refused("invalid_grant"), "refresh_token_invalid"),
        ("custom", USER, refused("invalid_grant", text="token already used"), "refresh_token_reused"),
        ("custom", APP, refused("invalid_scope"), "scope_invalid_or_malformed"),
        ("custom", APP, refused("of_its_own"), "unexplained"),
    ],
)
def test_why_others_grant_nothing(preset: str, grant: str, answer: Grant, code: str, seen: MakeSeen) -> None:
    answer = replace(answer, grant=grant)
    assert why_not_granted(seen(answer, preset=preset, grant=grant)).code == code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        *(
            (http(None, is_json=False, failure=failure), "token_endpoint_unreachable")
            for failure in HttpFailure
            if failure is not HttpFailure.DNS
        ),
        (http(None, is_json=False, failure=HttpFailure.DNS), "dns_resolution_failure"),
        (http(200, is_json=False), "token_response_not_json"),
        (http(302, is_json=False), "token_response_not_json"),
        (http(404, is_json=False), "token_response_not_json"),
        (http(407, is_json=False), "token_endpoint_unreachable"),
        (http(429), "token_endpoint_throttled"),
        (http(500, is_json=False), "provider_side_fault"),
        (http(503), "provider_side_fault"),
        (http(200), "unexplained"),
    ],
)
def test_why_no_answer_is_a_grant(answer: HttpExchange, code: str, seen: MakeSeen) -> None:
    """No response, none of a token endpoint, or one that says nothing."""
    found = why_not_granted(seen(Grant(asked_at=NOW, grant=APP, http=answer), grant=APP))
    assert found.code == code
    assert f"{LOGIN}/oauth2/v2.0/token" in found.causes[0].facts["seen"]


@pytest.mark.parametrize("failure", [HttpFailure.CLOSED, HttpFailure.TIMEOUT, HttpFailure.PROTOCOL])
def test_a_refresh_whose_answer_was_lost_is_its_own_cause(failure: HttpFailure, seen: MakeSeen) -> None:
    """The token may be spent; that is more than an endpoint that cannot be reached."""
    lost = Grant(asked_at=NOW, grant=USER, http=http(None, is_json=False, failure=failure), answer_lost=True)
    assert why_not_granted(seen(lost)).code == "refresh_answer_lost"


def test_nothing_to_redeem_is_told(seen: MakeSeen) -> None:
    """Nobody has signed in yet."""
    finding = why_not_granted(seen(Grant(asked_at=NOW, grant=USER, problem="sign_in_needed")))
    assert (finding.code, finding.causes[0].certainty) == ("sign_in_needed", Certainty.CERTAIN)


def granted(token: AccessToken | None = None, **more: Any) -> Grant:
    token = token or AccessToken(observed_at=NOW, length=900, fingerprint="0123456789ab", expires_in_s=3600)
    given: dict[str, Any] = {"grant": USER, "http": http(date=NOW), "token": token, "token_type": "Bearer"}
    return Grant(asked_at=NOW, **{**given, **more})


def test_a_refusal_may_come_of_mixed_national_clouds(seen: MakeSeen) -> None:
    """The same number, where sign-in and mail host are of one cloud, is about the tenant's services."""
    answer, abroad = refused("invalid_resource", "500011"), "https://login.microsoftonline.us/contoso/token"
    assert why_not_granted(seen(answer)).code == "resource_not_available_in_tenant"
    assert why_not_granted(seen(answer, token_endpoint=abroad)).code == "wrong_national_cloud"


def test_what_a_grant_lacks_is_named(seen: MakeSeen) -> None:
    """Another type, less than was asked for, no refresh token, one that is not kept."""
    assert why_token_type_differs(seen(granted(token_type="mac"))).code == "token_type_not_bearer"
    less = why_scope_not_granted(seen(granted(scope_granted=("openid",))), "User.Read")
    assert less.id == "scope_not_granted:User.Read"
    assert why_not_renewed(seen(granted())).code == "offline_access_not_requested"
    lost = granted(refresh_token_rotated=True, refresh_token_kept=False, keep_problem="disk full")
    assert code_and_words(why_refresh_token_not_kept(seen(lost))) == ("refresh_token_not_kept", "disk full")


def test_a_token_for_another_service_does_not_also_lack_a_scope(seen: MakeSeen) -> None:
    """Whatever is granted there is of no use here."""
    abroad = granted(token(aud="https://graph.microsoft.com"), scope_granted=("Mail.Send",))
    assert why_scope_not_granted(seen(abroad), "User.Read").id == "token_wrong_audience"
    here = granted(token(), scope_granted=("SMTP.Send",))
    assert why_scope_not_granted(seen(here), "User.Read").id == "scope_not_granted:User.Read"


def test_scopes_that_show_elsewhere_are_not_looked_for(seen: MakeSeen) -> None:
    """The mail permission at claims, ``offline_access`` as a refresh token, ``.default`` as anything."""
    scope = (
        f"{MAIL}/SMTP.Send",
        "offline_access",
        "openid",
        f"{MAIL}/.default",
        f"{MAIL}/IMAP.AccessAsUser.All",
    )
    assert scopes_to_be_granted(seen(scope=scope).profile) == (f"{MAIL}/IMAP.AccessAsUser.All",)


@pytest.mark.parametrize(
    ("told", "expected"), [(None, True), (("user.read",), True), ((), False), (("openid",), False)]
)
def test_a_scope_is_granted_where_none_is_told(told: tuple[str, ...] | None, expected: bool) -> None:
    """RFC 6749 section 5.1: an answer without ``scope`` granted all of it."""
    assert scope_is_granted(granted(scope_granted=told), "User.Read") is expected


@pytest.mark.parametrize(
    ("ahead_s", "right"), [(0, True), (300, True), (-300, True), (301, False), (-3600, False)]
)
def test_a_clock_is_right_to_five_minutes(ahead_s: int, right: bool, seen: MakeSeen) -> None:
    grant = granted(http=http(date=NOW - dt.timedelta(seconds=ahead_s)))
    assert clock_is_right(grant) is right
    code, words = code_and_words(why_clock_wrong(seen(grant)))
    assert code == "clock_skew"
    assert f"{ahead_s:+d} s" in words


def test_a_clock_nobody_tells_is_right(seen: MakeSeen) -> None:
    assert clock_is_right(granted(http=None))
    assert clock_is_right(granted(http=http()))
    assert why_clock_wrong(seen()).code == "clock_skew"


@pytest.mark.parametrize(
    ("rotated", "preset", "problem", "code"),
    [
        (True, "microsoft365", "", None),
        (True, "custom", "", "refresh_token_rotates"),
        (False, "custom", "", None),
        (True, "microsoft365", "keep-token ended with exit status 1", "refresh_token_not_kept"),
    ],
)
def test_a_rotation_is_remarked_on_where_it_matters(
    rotated: bool, preset: str, problem: str, code: str | None, seen: MakeSeen
) -> None:
    """Where each token ends the one before, and where the new one did not reach every place it should."""
    grant = granted(stored=StoredToken("store"), refresh_token_rotated=rotated, keep_problem=problem)
    remark = remark_on_rotation(seen(grant, preset=preset), grant)
    assert (remark and remark.code) == code


def test_what_took_long_is_remarked_on(seen: MakeSeen) -> None:
    """Metadata, the token, the message; just in time is no remark."""
    metadata, slow_metadata = discovery(), discovery(took_s=5.1)
    assert remark_on_discovery_time(seen(metadata), metadata) is None
    slow = remark_on_discovery_time(seen(slow_metadata), slow_metadata)
    assert slow is not None
    assert slow.code == "discovery_slow"
    assert remark_on_token_time(seen(), granted(took_s=5.0)) is None
    late = remark_on_token_time(seen(), granted(took_s=5.1))
    assert late is not None
    assert late.code == "token_endpoint_slow"
    message = DataExchange(asked_at=NOW, took_s=10.1)
    sent = remark_on_submission_time(seen(message), message)
    assert sent is not None
    assert sent.code == "submission_slow"
    assert remark_on_submission_time(seen(), DataExchange(asked_at=NOW)) is None


# --- claims ------------------------------------------------------------------------------------------------

OF_USER: dict[str, Any] = {
    "aud": MAIL,
    "scp": "SMTP.Send",
    "upn": MAILBOX,
    "tid": TENANT,
    "appid": CLIENT,
    "nbf": NOW.timestamp() - 300,
    "exp": NOW.timestamp() + 3600,
}
OF_APP: dict[str, Any] = {"scp": None, "upn": None, "idtyp": "app", "roles": ["SMTP.SendAsApp"]}


def token(other_claims: tuple[str, ...] = (), **changes: Any) -> AccessToken:
    """A token as Entra issues it to the mailbox's user; None leaves a claim out."""
    claims = {name: value for name, value in {**OF_USER, **changes}.items() if value is not None}
    return AccessToken(
        observed_at=NOW,
        length=1500,
        fingerprint="0123456789ab",
        opaque=False,
        claims=claims,
        other_claims=other_claims,
    )


OPAQUE = AccessToken(observed_at=NOW, length=900, fingerprint="0123456789ab", expires_in_s=3600)
GOOD = {
    "claims_kind": "user",
    "token_use": "access_token",
    "expired": "no",
    "aud": "expected",
    "permission": "present",
    "tid": "match",
    "appid": "match",
    "user": "match",
    "token_fault": "none",
}


@pytest.mark.parametrize(
    ("flawed", "signs"),
    [
        (token(), {}),
        (token(aud=f"{MAIL.upper()}/"), {}),
        (token(aud="https://graph.microsoft.com"), {"aud": "graph", "token_fault": "aud"}),
        (token(aud="00000003-0000-0000-c000-000000000000"), {"aud": "graph", "token_fault": "aud"}),
        (token(aud="https://management.azure.com"), {"aud": "other", "token_fault": "aud"}),
        (token(aud=None), {"aud": "other", "token_fault": "aud"}),
        (token(scp="IMAP.AccessAsUser.All"), {"permission": "missing", "token_fault": "permission"}),
        (token(scp="smtp.send User.Read"), {}),
        (token(exp=NOW.timestamp() - 1), {"expired": "yes", "token_fault": "expired"}),
        (token(nbf=NOW.timestamp() + 301), {"expired": "not_yet", "token_fault": "expired"}),
        (token(nbf=NOW.timestamp() + 299), {}),
        (token(nbf="soon", exp="later"), {}),
        (token(tid="other"), {"tid": "mismatch", "token_fault": "tid"}),
        (token(upn="bob@contoso.com"), {"user": "mismatch", "token_fault": "user"}),
        (token(upn=MAILBOX.upper()), {}),
        (token(appid="other"), {"appid": "mismatch"}),
        (token(appid=None, azp=CLIENT), {}),
    ],
)
def test_each_claim_is_a_sign(flawed: AccessToken, signs: Mapping[str, str], seen: MakeSeen) -> None:
    """The first one that is wrong is the fault that servers mind; another application's token works too."""
    assert claim_signs(seen(granted(flawed)), flawed) == {**GOOD, **signs}


@pytest.mark.parametrize(
    ("flawed", "rbac", "signs"),
    [
        (token(**OF_APP), False, {"permission": "present", "token_fault": "none"}),
        (token(**{**OF_APP, "roles": None}), False, {"permission": "missing", "token_fault": "permission"}),
        (token(**{**OF_APP, "roles": None}), True, {"permission": "rbac", "token_fault": "none"}),
        (
            token(**{**OF_APP, "roles": ["Mail.Send"]}),
            True,
            {"permission": "rbac", "token_fault": "none"},
        ),
    ],
)
def test_the_claims_of_an_application(
    flawed: AccessToken, rbac: bool, signs: Mapping[str, str], seen: MakeSeen
) -> None:
    """With RBAC for Applications its roles say nothing of mail; it has no user."""
    found = claim_signs(seen(granted(flawed), grant=APP, app_permission="rbac" if rbac else "role"), flawed)
    of_app = {key: one for key, one in GOOD.items() if key != "user"}
    assert found == {**of_app, "claims_kind": "app", **signs}


def test_an_id_token_is_no_access_token(seen: MakeSeen) -> None:
    """It is the first thing that is wrong with it."""
    flawed = token(scp=None, aud=CLIENT, other_claims=("at_hash",))
    found = claim_signs(seen(granted(flawed)), flawed)
    assert (found["token_use"], found["token_fault"]) == ("id_token", "token_use")
    whom = why_claim_differs(seen(granted(flawed)), "aud")
    what = why_not_an_access_token(seen(granted(flawed)), flawed)
    assert whom.id == what.id == "wrong_token_type_presented"
    assert whom.causes[0].facts["seen"] == what.causes[0].facts["seen"]


def test_what_nobody_expects_is_no_sign(seen: MakeSeen) -> None:
    """A custom server's profile may say nothing of audience, permission, tenant and client."""
    without = replace(seen(granted(token())), profile=replace(seen().profile, expect=Expect(), oauth=OAuth()))
    assert set(claim_signs(without, token())) == {
        "claims_kind",
        "token_use",
        "expired",
        "user",
        "token_fault",
    }


def info(**claims: str) -> TokenInfo:
    return TokenInfo(asked_at=NOW, http=http(), claims=claims)


@pytest.mark.parametrize(
    ("preset", "scope", "told", "signs"),
    [
        (
            "outlook_personal",
            (f"{MAIL}/SMTP.Send",),
            None,
            {"permission": "present", "token_fault": "opaque"},
        ),
        (
            "outlook_personal",
            ("https://graph.microsoft.com/SMTP.Send",),
            None,
            {"permission": "missing", "token_fault": "permission"},
        ),
        ("google", ("https://mail.google.com/",), None, {"permission": "present", "token_fault": "opaque"}),
        (
            "google",
            None,
            info(scope="https://mail.google.com/ openid", email=MAILBOX),
            {"permission": "present", "user": "match", "token_fault": "opaque"},
        ),
        (
            "google",
            ("https://mail.google.com/",),
            info(scope="https://www.googleapis.com/auth/gmail.send", email=MAILBOX),
            {"permission": "missing", "user": "match", "token_fault": "permission"},
        ),
        (
            "google",
            ("https://mail.google.com/",),
            info(email="bob@gmail.com"),
            {"permission": "present", "user": "mismatch", "token_fault": "user"},
        ),
        ("custom", None, None, {"token_fault": "opaque"}),
    ],
)
def test_an_opaque_token_shows_what_others_say_of_it(
    preset: str, scope: Any, told: TokenInfo | None, signs: Mapping[str, str], seen: MakeSeen
) -> None:
    """The answer it came in, and token info, which knows better."""
    answers = [granted(OPAQUE, scope_granted=scope), *([told] if told else [])]
    found = claim_signs(seen(*answers, preset=preset, scope=("openid",)), OPAQUE)
    assert found == {"aud": "unknown", "expired": "no", **signs}


@pytest.mark.parametrize(
    ("preset", "scope", "signs"),
    [
        ("microsoft365", ("SMTP.Send",), {"scope_resource": "graph"}),
        (
            "microsoft365",
            (f"{MAIL}/SMTP.Send",),
            {"scope_resource": "expected", "scope_permission": "present"},
        ),
        (
            "microsoft365",
            (f"{MAIL}/IMAP.All",),
            {"scope_resource": "expected", "scope_permission": "missing"},
        ),
        ("microsoft365", ("https://management.azure.com/.default",), {"scope_resource": "other"}),
        ("google", ("https://mail.google.com/",), {"scope_permission": "present"}),
        ("google", ("https://www.googleapis.com/auth/gmail.send",), {"scope_permission": "missing"}),
        ("microsoft365", ("openid",), {}),
    ],
)
def test_where_nobody_says_it_the_scope_asked_for_counts(
    preset: str, scope: tuple[str, ...], signs: Mapping[str, str], seen: MakeSeen
) -> None:
    found = claim_signs(seen(granted(OPAQUE), preset=preset, scope=scope), OPAQUE)
    assert found == {"aud": "unknown", "expired": "no", "token_fault": "opaque", **signs}


def test_permissions_of_an_opaque_token_that_came_from_nowhere(seen: MakeSeen) -> None:
    """Nothing is known of it, which is neither yes nor no."""
    assert permissions_of(seen(), OPAQUE) == frozenset()
    assert permitted(seen(), OPAQUE) is None
    assert audience(seen().profile, OPAQUE) == "other"


@pytest.mark.parametrize(
    ("flawed", "why", "code"),
    [
        (
            token(aud="https://graph.microsoft.com"),
            lambda s: why_claim_differs(s, "aud"),
            "token_wrong_audience",
        ),
        (
            token(aud="https://management.azure.com"),
            lambda s: why_claim_differs(s, "aud"),
            "token_wrong_audience",
        ),
        (token(tid="other"), lambda s: why_claim_differs(s, "tid"), "token_wrong_tenant"),
        (token(appid="other"), lambda s: why_claim_differs(s, "appid"), "token_other_client"),
        (token(scp="IMAP.AccessAsUser.All"), why_not_permitted, "token_missing_smtp_scope"),
        (token(**{**OF_APP, "roles": None}), why_not_permitted, "app_only_smtp_role_missing"),
        (
            token(aud="https://graph.microsoft.com", scp="Mail.Send"),
            why_not_permitted,
            "token_wrong_audience",
        ),
        (token(upn="bob@contoso.com"), why_user_differs, "token_user_mismatch"),
    ],
)
def test_why_a_claim_is_wrong(
    flawed: AccessToken, why: Callable[[Seen], Finding], code: str, seen: MakeSeen
) -> None:
    """A token for another service never also lacks its permission."""
    assert why(seen(granted(flawed))).code == code


@pytest.mark.parametrize(
    ("flawed", "why", "code"),
    [
        (token(exp=NOW.timestamp() - 1), why_not_valid_now, "token_expired"),
        (token(nbf=NOW.timestamp() + 900), why_not_valid_now, "clock_skew"),
        (token(scp=None, other_claims=("at_hash",)), why_not_an_access_token, "wrong_token_type_presented"),
        (replace(OPAQUE, problem="not base64"), why_undecodable, "token_damaged"),
    ],
)
def test_why_a_token_is_not_what_it_should_be(
    flawed: AccessToken, why: Callable[[Seen, AccessToken], Finding], code: str, seen: MakeSeen
) -> None:
    assert why(seen(granted(flawed)), flawed).code == code


def test_why_a_signature_fails(seen: MakeSeen) -> None:
    check = SignatureCheck(asked_at=NOW, state=SignatureState.INVALID, detail="by key a")
    assert code_and_words(why_signature_fails(seen(check))) == (
        "token_signature_invalid",
        "invalid: by key a",
    )


def test_why_a_signature_fails_says_which_keys_there_are(seen: MakeSeen) -> None:
    """The key that the token names, and those that are published."""
    check = SignatureCheck(asked_at=NOW, state=SignatureState.INVALID)
    signed = replace(token(), header={"alg": "RS256", "kid": "old"})
    http = HttpExchange("GET", "https://login.contoso.com/keys", status=200)
    keys = Keys(asked_at=NOW, http=http, kids=("new", "", *map(str, range(10))))
    assert code_and_words(why_signature_fails(seen(check, granted(signed), keys)))[1] == (
        "invalid\nthe token: alg RS256, kid old\n"
        "published kids: new, (one without a kid), 0, 1, 2, 3, 4, 5, 6, 7, 2 more"
    )
    bare = replace(token(), header={})
    assert code_and_words(why_signature_fails(seen(check, granted(bare))))[1] == (
        "invalid\nthe token: alg none, kid none"
    )


@pytest.mark.parametrize(
    ("timed", "expected"),
    [
        (token(), True),
        (token(nbf=NOW.timestamp() + 300), True),
        (token(nbf=NOW.timestamp() + 301), False),
        (token(exp=NOW.timestamp()), True),
        (token(exp=NOW.timestamp() - 1), False),
        (OPAQUE, True),
        (replace(OPAQUE, expires_in_s=None), True),
    ],
)
def test_a_token_begins_and_ends_around_now(timed: AccessToken, expected: bool) -> None:
    assert begins_and_ends_around(timed) is expected


def test_a_token_that_soon_ends_is_remarked_on(seen: MakeSeen) -> None:
    """Less than five minutes; where nobody says when it ends, nothing is remarked."""
    for timed, code in (
        (token(exp=NOW.timestamp() + 299), "token_life_short"),
        (token(exp=NOW.timestamp() + 300), None),
        (replace(OPAQUE, expires_in_s=299), "token_life_short"),
        (replace(OPAQUE, expires_in_s=None), None),
    ):
        remark = remark_on_lifetime(seen(granted(timed)), timed)
        assert (remark and remark.code) == code


def test_rights_beyond_sending_are_mentioned(seen: MakeSeen) -> None:
    """Those every sign-in brings are not, nor are any where sending is not among them."""
    much, enough = token(scp="SMTP.Send Mail.ReadWrite"), token(scp="SMTP.Send User.Read openid")
    remark = remark_on_excess(seen(granted(much)), much)
    assert remark is not None
    assert code_and_words(remark) == ("excess_permissions", "also allowed: Mail.ReadWrite")
    assert remark_on_excess(seen(granted(enough)), enough) is None
    other = token(scp="Mail.ReadWrite")
    assert remark_on_excess(seen(granted(other)), other) is None


# --- auth --------------------------------------------------------------------------------------------------


def reply(kind: type[SmtpStep], code: int, text: str = "", **more: Any) -> Any:
    return kind(asked_at=NOW, reply=SmtpReply(code, (text,)), **more)


def lost(kind: type[SmtpStep], failure: Failure, **more: Any) -> Any:
    return kind(asked_at=NOW, failure=failure, took_s=30.0, **more)


def auth(code: int, text: str, **more: Any) -> AuthExchange:
    return reply(AuthExchange, code, text, mechanism="XOAUTH2", **more)  # type: ignore[no-any-return] # of its kind


UNSUCCESSFUL = auth(535, "5.7.3 Authentication unsuccessful [LO1P123CA0001.GBRP123.PROD.OUTLOOK.COM]")
NOT_ACCEPTED = auth(
    535,
    "5.7.8 Username and Password not accepted",
    challenge={"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"},
)


@pytest.mark.parametrize(
    ("flawed", "grant", "code", "also"),
    [
        (token(), USER, "smtp_auth_disabled_mailbox", "mailbox_missing_or_unlicensed"),
        (token(aud="https://graph.microsoft.com"), USER, "token_wrong_audience", ""),
        (token(scp="IMAP.AccessAsUser.All"), USER, "token_missing_smtp_scope", ""),
        (token(exp=NOW.timestamp() - 1), USER, "token_expired", ""),
        (token(nbf=NOW.timestamp() + 900), USER, "clock_skew", ""),
        (token(tid="other"), USER, "token_wrong_tenant", ""),
        (token(upn="bob@contoso.com"), USER, "token_user_mismatch", "shared_mailbox_as_sasl_user"),
        (
            token(**OF_APP),
            APP,
            "app_only_sp_not_registered_in_exchange",
            "app_only_mailbox_permission_missing",
        ),
        (token(**{**OF_APP, "roles": None}), APP, "app_only_smtp_role_missing", ""),
        (token(**{**OF_APP, "aud": "https://graph.microsoft.com"}), APP, "token_wrong_audience", ""),
    ],
)
def test_what_the_token_says_tells_one_refusal_from_another(
    flawed: AccessToken, grant: str, code: str, also: str, seen: MakeSeen
) -> None:
    """Exchange answers all of these with the same bytes."""
    answers = (granted(flawed, grant=grant), UNSUCCESSFUL)
    finding = why_not_authenticated(seen(*answers, grant=grant))
    assert finding.code == code
    assert finding.causes[0].certainty is Certainty.LIKELY
    assert {also} - {""} <= {cause.code for cause in finding.causes[1:]}
    assert all(cause.certainty is Certainty.POSSIBLE for cause in finding.causes[1:])
    assert all(cause.decide_by for cause in finding.causes)


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (info(scope="https://mail.google.com/", email=MAILBOX), "token_rejected_by_server"),
        (info(scope="https://mail.google.com/", email="bob@gmail.com"), "token_user_mismatch"),
        (
            info(scope="https://www.googleapis.com/auth/gmail.send", email=MAILBOX),
            "google_scope_not_full_mail",
        ),
    ],
)
def test_token_info_tells_one_refusal_of_google_from_another(
    told: TokenInfo, code: str, seen: MakeSeen
) -> None:
    finding = why_not_authenticated(seen(granted(OPAQUE), told, NOT_ACCEPTED, preset="google"))
    assert finding.code == code
    assert "challenge (334): status: 400" in finding.causes[0].facts["seen"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (
            auth(
                535,
                "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
            ),
            "smtp_auth_disabled_mailbox",
        ),
        (
            auth(
                535,
                "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            ),
            "smtp_auth_disabled_tenant",
        ),
        (auth(430, "4.2.0 STOREDRV; mailbox logon failure"), "app_only_mailbox_permission_missing"),
        (auth(432, "4.3.2 Concurrent connections limit exceeded"), "concurrent_connection_limit"),
        (auth(454, "4.7.0 Temporary authentication failure"), "auth_temporary_failure"),
        (auth(501, "5.5.2 Cannot decode"), "xoauth2_string_malformed"),
        (auth(503, "5.5.1 Bad sequence of commands"), "client_protocol_error"),
        (auth(504, "5.7.4 Unrecognized authentication type"), "xoauth2_not_advertised"),
        (auth(550, "5.7.1 of its own"), "unexplained"),
        (lost(AuthExchange, Failure.TIMEOUT), "auth_no_answer"),
        (lost(AuthExchange, Failure.CLOSED), "auth_connection_closed"),
        (lost(AuthExchange, Failure.RESET), "auth_connection_closed"),
        (lost(AuthExchange, Failure.TOO_LONG), "auth_connection_closed"),
    ],
)
def test_why_not_authenticated(answer: AuthExchange, code: str, seen: MakeSeen) -> None:
    """Where code or words tell more than the token does."""
    assert why_not_authenticated(seen(granted(token()), answer)).code == code


# --- the envelope and the message --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (
            reply(MailFrom, 550, "5.7.60 Client does not have permissions to send as this sender"),
            "send_as_denied",
        ),
        (
            reply(MailFrom, 530, "5.7.57 Client not authenticated to send mail."),
            "client_did_not_authenticate",
        ),
        (reply(MailFrom, 550, "5.1.8 Access denied, bad outbound sender"), "sender_blocked_for_spam"),
        (reply(MailFrom, 501, "5.1.7 Invalid address"), "sender_domain_not_accepted"),
        (reply(MailFrom, 451, "4.7.500 Server busy"), "provider_side_fault"),
        (lost(MailFrom, Failure.TIMEOUT), "reply_timeout"),
        (lost(MailFrom, Failure.CLOSED), "connection_lost"),
        (lost(MailFrom, Failure.NOT_SENT), "unexplained"),
    ],
)
def test_why_the_sender_is_refused(step: MailFrom, code: str, seen: MakeSeen) -> None:
    assert why_sender_refused(seen(step)).code == code


PROBE = "probe@contoso.com"


@pytest.mark.parametrize(
    ("step", "identity"),
    [
        (reply(RcptTo, 550, "5.1.1 User unknown"), f"recipient_rejected:{PROBE}"),
        (reply(RcptTo, 451, "4.7.1 Greylisted, come back later"), f"greylisted:{PROBE}"),
        (reply(RcptTo, 553, "5.7.1 Sender address rejected: not owned by user"), "send_as_denied"),
        (reply(RcptTo, 550, "5.7.54 Unable to relay"), "wrong_submission_host"),
        (reply(RcptTo, 452, "4.5.3 Too many recipients"), "message_limits_exceeded"),
        (lost(RcptTo, Failure.TIMEOUT), "reply_timeout"),
        (lost(RcptTo, Failure.NOT_SENT), f"recipient_rejected:{PROBE}"),
    ],
)
def test_why_a_recipient_is_refused(step: RcptTo, identity: str, seen: MakeSeen) -> None:
    """One finding per recipient, but one for all where it is not about them."""
    assert why_recipient_refused(seen((PROBE, step)), PROBE).id == identity
    assert why_no_recipient_accepted(seen((PROBE, step))).id == identity


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (reply(DataExchange, 554, "5.2.252 SendAsDenied; a not allowed to send as b"), "send_as_denied"),
        (reply(DataExchange, 552, "5.3.4 Message size exceeds fixed maximum"), "message_limits_exceeded"),
        (reply(DataExchange, 550, "5.7.501 Access denied, spam abuse detected"), "sender_blocked_for_spam"),
        (reply(DataExchange, 550, "5.1.90 Daily limit exceeded"), "sending_quota_exceeded"),
        (lost(DataExchange, Failure.TIMEOUT), "reply_timeout"),
        (lost(DataExchange, Failure.CLOSED), "connection_lost"),
        *(
            (lost(DataExchange, failure, body_sent=True), "connection_lost_after_data")
            for failure in Failure
            if failure is not Failure.NOT_SENT
        ),
    ],
)
def test_why_the_message_is_refused(step: DataExchange, code: str, seen: MakeSeen) -> None:
    """Once a byte of it has left, silence is a cause of its own."""
    assert why_message_refused(seen(step)).code == code
