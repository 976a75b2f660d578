"""Failures that others met are named as a run would name them, in whatever form, and never too surely."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.diagnosis.cases import causes_of_case, signs_of_case, stage_of_case
from smtp_preflight.diagnosis.numbers import aadsts_sign, listed_numbers
from smtp_preflight.diagnosis.said import Said, every_text, several, table, url_in, words
from smtp_preflight.diagnosis.wordings import enhanced_by_words
from smtp_preflight.knowledge import Entry, entries
from smtp_preflight.model import Certainty, Stage
from smtp_preflight.profile import load_providers

Case = dict[str, Any]

OWN = Path(__file__).parent / "corpus" / "own.jsonl"
CASES = [json.loads(line) for line in OWN.read_text("utf-8").splitlines()]
PRESETS = load_providers()
SWITCHED_OFF = "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the"
EXCHANGE = "[AM0PR02CA0134.eurprd02.prod.outlook.com 2025-05-12T09:41:07.042Z 08DD0218218166FB]"


def codes(case: Mapping[str, Any]) -> list[str]:
    return [one.code for one in causes_of_case(case, PRESETS)]


def signs(case: Mapping[str, Any]) -> dict[str, str]:
    """The signs of a case at its own stage."""
    return signs_of_case(case, PRESETS).at(stage_of_case(case))


def refused(code: int, text: str, **more: Any) -> Case:
    """A case of one reply to AUTH at Microsoft 365."""
    return {
        "provider": "microsoft365",
        "stage": "auth",
        "observed": {"smtp_code": code, "text": text},
        **more,
    }


def token_case(claims: Mapping[str, Any], provider: str = "microsoft365", **context: Any) -> Case:
    """A case of a token that was decoded."""
    return {"provider": provider, "stage": "claims", "observed": {"claims": claims}, "context": context}


# --- known failures ----------------------------------------------------------------------------------------

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])


@every_case
def test_cause_is_named(case: Case) -> None:
    """The cause comes first, or as far up as the evidence lets it."""
    expected = case["causes"]
    assert codes(case)[: len(expected)] == expected
    assert bool(codes(case)) == bool(expected)


@every_case
def test_certainty_is_as_promised(case: Case) -> None:
    """Only what nothing else can be is certain; what comes after the first is possible."""
    causes = causes_of_case(case, PRESETS)
    if causes:
        assert causes[0].certainty == case.get("certainty", causes[0].certainty)
    assert {one.certainty for one in causes[1:]} <= {Certainty.POSSIBLE}
    assert len(causes) <= 5


# --- the words of programs ---------------------------------------------------------------------------------


def test_a_class_of_a_program_is_no_host() -> None:
    """Java's names have dots as host names have."""
    told = "com.sun.mail.util.MailConnectException: Couldn't connect to host, port: smtp.office365.com, 465"
    case = {"provider": "microsoft365", "stage": "tcp", "observed": {"exception": told}}
    assert codes(case)[0] == "port_not_offered"
    assert "port" not in signs({**case, "observed": {"exception": "java.net.ConnectException: refused"}})


def test_a_certificate_that_is_refused_without_a_word_is_named_all_the_same() -> None:
    told = "warning: TLS library problem: error:0A000086:SSL routines::certificate verify failed"
    found = causes_of_case({"stage": "tls", "observed": {"exception": told}}, PRESETS)
    assert {one.code for one in found} == {"ca_bundle_missing", "tls_interception"}
    assert found[0].certainty is Certainty.LIKELY


def test_a_server_is_known_by_the_name_it_answers_ehlo_with() -> None:
    lines = ["250-mx.google.com at your service", "250-SIZE 157286400", "250 STARTTLS"]
    case = {"provider": "google", "stage": "auth_offered", "observed": {"ehlo_lines": lines}}
    assert codes(case)[0] == "wrong_submission_host"


def test_claims_and_a_scope_that_are_told_together_add_up() -> None:
    """The scope tells of the permission where no claim does, unless it is about another resource."""
    told = {
        "token_aud": "https://outlook.office365.com",
        "requested_scope": "https://outlook.office365.com/X.Y",
    }
    assert (
        signs(refused(535, "5.7.3 Authentication unsuccessful", context=told))["scope_permission"]
        == "missing"
    )
    told = {"token_aud": "https://outlook.office365.com", "requested_scope": "User.Read"}
    assert "scope_resource" not in signs(refused(535, "5.7.3 No", context=told))


def test_a_program_may_quote_the_server() -> None:
    """Its own words around a reply or an answer do not hide them, and make no hearsay of it."""
    said = f"{SWITCHED_OFF} Tenant. {EXCHANGE}"
    for told in (
        f"Invalid login: 535 {said}",
        f"smtplib.SMTPAuthenticationError: (535, b'{said}')",
        f"SASL authentication failed; server smtp.office365.com[52.96.0.1] said: 535 {said}",
    ):
        (cause,) = causes_of_case({"provider": "microsoft365", "observed": {"exception": told}}, PRESETS)
        assert (cause.code, cause.certainty) == ("smtp_auth_disabled_tenant", Certainty.CERTAIN)
    answer = (
        '{"error": "invalid_client", "error_description": "AADSTS7000222: expired", "error_codes": [7000222]}'
    )
    told = f"HTTP 401 from the token endpoint: {answer} in mailer.py"
    case = {"provider": "microsoft365", "stage": "token", "observed": {"exception": told}}
    assert codes(case) == ["client_secret_expired"]


# --- certainty is a promise --------------------------------------------------------------------------------


def cases_of(entry: Entry) -> Iterator[Case]:
    """The examples of an entry that a server's answer can show, as cases."""
    for example in entry.examples:
        case: Case = {"stage": example.get("stage", entry.stage), "context": {}}
        case |= {key: example[key] for key in ("grant", "provider") if key in example}
        if "smtp_code" in example:
            case["observed"] = {
                key: example[key] for key in ("smtp_code", "enhanced", "text") if key in example
            }
        elif {"error", "aadsts", "http_status"} & set(example):
            number = f"AADSTS{example['aadsts']}: " if example.get("aadsts", "none") != "none" else ""
            body = {key: example[key] for key in ("error", "suberror") if key in example}
            case["observed"] = {"body": {**body, "error_description": number + example.get("text", "")}}
        elif "text" in example:
            case["observed"] = {"exception": example["text"]}
        else:
            continue
        yield case


DECISIVE = [(entry.code, case) for entry in entries().values() if entry.decisive for case in cases_of(entry)]


@pytest.mark.parametrize(("code", "case"), DECISIVE)
@pytest.mark.parametrize("provider", [*PRESETS, "other", "any", ""])
def test_nothing_is_certain_at_a_provider_that_cannot_show_it(code: str, case: Case, provider: str) -> None:
    """The example of a decisive entry, from another provider: nothing else, and nothing alien, is certain."""
    for one in causes_of_case({**case, "provider": provider}, PRESETS):
        if one.certainty is Certainty.CERTAIN:
            # A personal account's switch looks like the mailbox's where the provider is a tenant's.
            assert one.code in (code, "smtp_auth_disabled_mailbox")
            assert not provider or entries()[one.code].applies_to(provider)


@pytest.mark.parametrize("code", ["421", "450", "451", "454", "500", "535", "550", "554"])
def test_words_of_nobody_are_never_certain(code: str) -> None:
    """A refusal in words that no provider has is at most likely, at whatever stage."""
    for stage in Stage:
        case = {
            "provider": "other",
            "stage": stage,
            "observed": {"smtp_code": code, "text": "x.y.z No, sorry"},
        }
        certainties = [one.certainty for one in causes_of_case(case, PRESETS)]
        assert Certainty.CERTAIN not in certainties


def test_hearsay_is_never_certain() -> None:
    """What a program says of its own failure has not been seen."""
    case = {"provider": "google", "stage": "tls", "observed": {"exception": "EE certificate key too weak"}}
    assert [(one.code, one.certainty) for one in causes_of_case(case, PRESETS)] == [
        ("certificate_key_weak", Certainty.LIKELY)
    ]


def test_a_guessed_provider_makes_nothing_certain() -> None:
    """The reply bears Exchange's mark; whether it is a tenant's mailbox or a personal one, nobody said."""
    text = f"{SWITCHED_OFF} Mailbox. {EXCHANGE}"
    first = causes_of_case(refused(535, text, provider=None), PRESETS)[0]
    assert (first.code, first.certainty) == ("smtp_auth_disabled_mailbox", Certainty.LIKELY)
    assert causes_of_case(refused(535, text), PRESETS)[0].certainty is Certainty.CERTAIN


def test_an_unlisted_number_is_explained_as_far_as_its_error_goes() -> None:
    """And no further: it may be anything else."""
    body = {"error": "interaction_required", "error_description": "AADSTS59999999: Something new."}
    case = {"provider": "microsoft365", "stage": "token", "observed": {"body": body}}
    assert codes(case) == ["conditional_access_block", "mfa_required"]
    assert signs(case)["aadsts"] == "59999999 none"
    assert "59999999" not in listed_numbers()
    assert aadsts_sign(["7000222", "1"]) == "7000222 1"
    assert aadsts_sign([]) == "none"


def test_unknown_words_are_unexplained() -> None:
    case = {"provider": "other", "stage": "auth", "observed": {"exception": "the gremlins did it"}}
    assert [(one.code, one.certainty) for one in causes_of_case(case)] == [
        ("unexplained", Certainty.POSSIBLE)
    ]


# --- nothing wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        {"observed": {"smtp_code": 235, "text": "2.7.0 Authentication successful"}, "stage": "auth"},
        {"observed": {"http_status": 428, "body": {"error": "authorization_pending"}}, "stage": "device"},
        {
            "observed": {
                "body": {"access_token": "x", "refresh_token": "y", "scope": "https://mail.google.com/"}
            },
            "provider": "google",
            "grant": "authorization_code",
        },
        token_case({"opaque": True, "prefix": "EwBgA8", "dots": 0}, "outlook_personal"),
        token_case({"opaque": True, "prefix": "ya29.a", "dots": 1}, "google"),
        token_case(
            {
                "aud": "https://outlook.office.com",
                "scp": "SMTP.Send",
                "upn": "a@contoso.com",
                "exp_in_seconds": 9,
            },
            sasl_user="a@contoso.com",
        ),
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(case: Case) -> None:
    assert causes_of_case(case, PRESETS) == ()


# --- what is missing is inferred ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "stage"),
    [
        ({"config": {}}, "profile"),
        ({"claims": {"aud": "x"}}, "claims"),
        ({"challenge_json": {"status": "400"}}, "auth"),
        ({"smtp_code": 535}, "auth"),
        ({"text": "530 5.7.0 Must issue a STARTTLS command first"}, "mail_from"),
        ({"smtp_code": 421, "text": "4.7.66 TLS 1.0 and 1.1 are not supported"}, "tls"),
        ({"smtp_code": 454, "text": "4.7.0 TLS not available"}, "starttls"),
        ({"smtp_code": 501, "text": "5.5.4 Empty HELO/EHLO argument not allowed"}, "greeting"),
        ({"smtp_code": 421, "text": "4.3.2 Service not active"}, "greeting"),
        ({"smtp_code": 550, "text": "5.7.26 Unauthenticated email is not accepted due to DMARC"}, "delivery"),
        ({"smtp_code": 550, "text": "5.7.1 Unable to relay"}, "rcpt_to"),
        ({"smtp_code": 550, "text": "5.1.1 User unknown"}, "rcpt_to"),
        ({"smtp_code": 550, "text": "5.1.8 Access denied, bad outbound sender"}, "data"),
        ({"smtp_code": 554, "text": "5.2.252 SendAsDenied"}, "data"),
        ({"body": {"error": "slow_down"}}, "device"),
        ({"body": {"page_text": "AADSTS50011"}}, "authorize"),
        ({"http_status": 302, "body": {"error": "access_denied"}}, "authorize"),
        ({"body": {"issuer": "https://login.microsoftonline.com/x/v2.0"}}, "discovery"),
        ({"body": {"error": "invalid_grant"}}, "token"),
        ({"ehlo_lines": ["SIZE"]}, "auth_offered"),
        ({"exception": "request to https://oauth2.googleapis.com/token failed"}, "token"),
        ({"exception": "Greeting never received"}, "greeting"),
        ({"exception": "getaddrinfo ENOTFOUND smtp.contoso.com"}, "dns"),
        ({"exception": "wrong version number"}, "tls"),
        ({"exception": "connect ECONNREFUSED 192.0.2.1:587"}, "tcp"),
        ({"exception": "no idea"}, "auth"),
        ({}, "auth"),
    ],
)
def test_stage_is_shown_by_the_evidence(observed: Case, stage: str) -> None:
    assert stage_of_case({"observed": observed}) == stage
    assert stage_of_case({"observed": observed, "stage": "DATA"}) is Stage.DATA


def test_a_token_request_with_a_refresh_token_is_stage_refresh() -> None:
    """And at stage refresh what is redeemed is a refresh token, however it was come by."""
    case = {"grant": "refresh_token", "observed": {"body": {"error": "invalid_grant"}}}
    assert stage_of_case(case) is Stage.REFRESH
    assert signs({**case, "grant": "authorization_code", "stage": "refresh"})["grant"] == "refresh_token"


@pytest.mark.parametrize(
    ("told", "grant"),
    [
        ({"grant": "Client_Credentials"}, "client_credentials"),
        ({"grant": "ropc"}, "ropc"),
        ({"grant": 7, "context": {"grant_type": "password"}}, "ropc"),
        ({"context": {"flow": "device code poll"}}, "device_code"),
        ({"context": {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}}, "jwt_bearer"),
        ({"context": {"flow": "magic"}}, None),
    ],
)
def test_grant_is_known_by_its_names(told: Case, grant: str | None) -> None:
    assert signs({"observed": {}, **told}).get("grant") == grant


@pytest.mark.parametrize(
    ("observed", "grant", "provider"),
    [
        ({"smtp_code": 535, "text": "5.7.8 Username and Password not accepted - gsmtp"}, None, "google"),
        ({"smtp_code": 535, "text": "5.7.0 (#MBR1240) Please verify your account"}, None, "yahoo"),
        ({"exception": "smtp-mail.outlook.com says no"}, "device_code", "outlook_personal"),
        ({"exception": "smtp-mail.outlook.com says no"}, "client_credentials", "microsoft365"),
        ({"body": {"error_description": "AADSTS50011"}}, None, "microsoft365"),
        ({"exception": "mail.contoso.com says no"}, None, "any"),
    ],
)
def test_provider_is_shown_by_its_marks(observed: Case, grant: str | None, provider: str) -> None:
    assert signs({"observed": observed, "grant": grant})["provider"] == provider
    assert signs({"observed": observed, "provider": "other"})["provider"] == "other"


# --- replies -----------------------------------------------------------------------------------------------


def test_a_refusal_repeated_behind_a_530_is_the_evidence() -> None:
    """Exchange tells a program that goes on why its login was refused before."""
    text = "5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, x"
    found = signs({"observed": {"smtp_code": 530, "text": text}})
    assert (found["smtp_code"], found["enhanced"]) == ("535", "5.7.139")


def test_a_reply_is_taken_from_wherever_it_stands() -> None:
    """Code in the text, lines as a list, a code that JSON made a fraction."""
    assert signs({"observed": {"text": ["535-5.7.8 No", "535 5.7.8 really"]}})["text"] == "5.7.8 No really"
    assert signs({"observed": {"smtp_code": 535.0, "text": None}})["smtp_code"] == "535"
    assert "smtp_code" not in signs({"observed": {"smtp_code": [535], "text": "no code"}})


@pytest.mark.parametrize(
    "challenge",
    [
        {"status": 400, "scope": "HTTPS://mail.google.com/"},
        '{"status": "400", "scope": "https://mail.google.com/"}',
        "334 eyJzdGF0dXMiOiI0MDAiLCJzY29wZSI6Imh0dHBzOi8vbWFpbC5nb29nbGUuY29tLyJ9",
    ],
)
def test_a_challenge_is_read_in_every_form(challenge: Any) -> None:
    found = signs({"observed": {"challenge_json": challenge, "smtp_code": 334}})
    told = (found["challenge_status"], found["challenge_scope"], found["smtp_code"])
    assert told == ("400", "https://mail.google.com/", "334")


@pytest.mark.parametrize("challenge", ["334 no", "e30", [], 7])
def test_what_is_no_challenge_says_nothing(challenge: Any) -> None:
    found = signs({"observed": {"challenge_json": challenge, "smtp_code": 535}})
    assert "challenge_status" not in found
    assert found["smtp_code"] == "535"


@pytest.mark.parametrize(
    ("stage", "lines", "sign"),
    [
        ("auth_offered", ["SIZE", "AUTH LOGIN XOAUTH2"], ("auth_offered", "bearer")),
        ("auth_offered", "250-SIZE\n250 AUTH LOGIN", ("auth_offered", "no_bearer")),
        ("auth_offered", ["SIZE"], ("auth_offered", "none")),
        ("starttls", ["SIZE", "STARTTLS"], ("starttls", "offered")),
        ("starttls", ["XXXXXXXA"], ("starttls", "stripped")),
        ("starttls", ["SIZE"], ("starttls", "absent")),
    ],
)
def test_what_a_server_offers_is_read_as_in_a_run(stage: str, lines: Any, sign: tuple[str, str]) -> None:
    observed = signs({"stage": stage, "observed": {"ehlo_lines": lines}})
    told = signs({"stage": stage, "observed": {}, "context": {"offered": lines}})
    assert observed[sign[0]] == told[sign[0]] == sign[1]


def test_what_is_offered_says_nothing_elsewhere() -> None:
    assert not {"starttls", "auth_offered"} & set(
        signs({"stage": "data", "observed": {"ehlo_lines": ["SIZE"]}})
    )


# --- answers of identity providers -------------------------------------------------------------------------


def test_an_answer_is_read_in_every_form() -> None:
    """An object, JSON as text, a page, plain text, Google's nested error."""
    assert signs({"observed": {"body": '{"error": "Invalid_Grant"}'}})["error"] == "invalid_grant"
    assert signs({"observed": {"body": "<html>Sign in</html>", "http_status": 200}})["is_json"] == "no"
    nested = signs({"observed": {"body": {"error": {"status": "UNAUTHENTICATED", "message": "No."}}}})
    assert (nested["error"], nested["text"]) == ("unauthenticated", "No.")
    assert signs({"observed": {"http_status": "503"}, "stage": "token"}) == {
        "provider": "any",
        "http_status": "503",
        "stage": "token",
    }


def test_numbers_come_from_the_member_first() -> None:
    body = {
        "error": "x",
        "error_codes": [70002, "50012", None, True, -1],
        "error_description": "aadsts7000215: y",
    }
    assert signs({"observed": {"body": body}})["aadsts"] == "70002 50012 7000215"
    assert signs({"observed": {"body": {"error": "x", "error_codes": 5}}})["aadsts"] == "none"


@pytest.mark.parametrize(
    ("scope", "context", "causes"),
    [
        (
            "https://outlook.office.com/IMAP.AccessAsUser.All",
            {},
            ["refresh_scope_omitted", "token_missing_smtp_scope"],
        ),
        ("https://graph.microsoft.com/Mail.Send", {}, ["token_wrong_audience"]),
        ("SMTP.Send", {"refresh_request_has_scope": False}, ["refresh_scope_omitted"]),
        (
            "https://outlook.office.com/SMTP.Send",
            {"expected_scope": "https://outlook.office.com/POP.AccessAsUser.All"},
            ["scope_not_granted"],
        ),
        ("", {}, []),
    ],
)
def test_a_grant_of_less_is_noticed(scope: str, context: Case, causes: list[str]) -> None:
    """A token came, and not the one that was wanted."""
    body = {"access_token": "x", "scope": scope}
    case = {"provider": "microsoft365", "stage": "refresh", "grant": "refresh_token", "context": context}
    assert codes({**case, "observed": {"http_status": 200, "body": body}}) == causes


def test_metadata_of_another_cloud_is_noticed() -> None:
    case = {
        "provider": "microsoft365",
        "observed": {"body": {"issuer": "https://login.partner.microsoftonline.cn/x/v2.0"}},
        "context": {"mail_host": "smtp.office365.com"},
    }
    assert codes(case)[:1] == ["wrong_national_cloud"]


# --- tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "dots", "sign"),
    [
        ("0.AXoA", 2, ("token_use", "refresh_token")),
        ("1//0ab", 0, ("token_use", "refresh_token")),
        ("4/0Ade", 0, ("token_use", "code")),
        ("eyJ0eX", 1, ("token", "damaged")),
        ("EwBgA8", 0, ("token", "opaque")),
    ],
)
def test_opaque_tokens_are_known_by_how_they_begin(prefix: str, dots: int, sign: tuple[str, str]) -> None:
    found = signs(token_case({"opaque": True, "prefix": prefix, "dots": dots}))
    assert found[sign[0]] == sign[1]


def test_an_opaque_token_is_a_finding_where_readable_ones_are_issued() -> None:
    """Entra's tokens can be read; one that cannot is a personal account's, or another provider's."""
    found = causes_of_case(token_case({"opaque": True, "prefix": "EwBgA8"}), PRESETS)
    assert [one.code for one in found] == ["opaque_token_expected"]


@pytest.mark.parametrize(
    ("claims", "context", "first"),
    [
        ({"aud": "https://graph.microsoft.com", "scp": "SMTP.Send"}, {}, "token_wrong_audience"),
        (
            {"aud": "https://outlook.office.com", "scp": "IMAP.AccessAsUser.All"},
            {},
            "token_missing_smtp_scope",
        ),
        (
            {"aud": "https://outlook.office365.com/", "roles": [], "idtyp": "app"},
            {},
            "app_only_smtp_role_missing",
        ),
        (
            {"aud": "https://outlook.office.com", "scp": "SMTP.Send", "exp_in_seconds": -1},
            {},
            "token_expired",
        ),
        (
            {
                "aud": "https://outlook.office.com",
                "scp": "SMTP.Send",
                "nbf_in_seconds": 900,
                "exp_in_seconds": 4500,
            },
            {},
            "clock_skew",
        ),
        (
            {
                "aud": "https://outlook.office.com",
                "scp": "SMTP.Send",
                "tid": "22222222-3333-4444-5555-666666666666",
            },
            {
                "endpoint": "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token"
            },
            "token_wrong_tenant",
        ),
        (
            {"aud": "https://outlook.office.com", "scp": "SMTP.Send", "upn": "a@contoso.com"},
            {"sasl_user": "b@contoso.com"},
            "token_user_mismatch",
        ),
        (
            {"aud": "app-id", "appid": "app-id", "preferred_username": "a@contoso.com"},
            {},
            "wrong_token_type_presented",
        ),
        ({"aud": "x", "nonce": "n"}, {}, "wrong_token_type_presented"),
    ],
)
def test_claims_are_held_against_the_preset(claims: Case, context: Case, first: str) -> None:
    assert codes(token_case(claims, **context))[:1] == [first]


def test_what_is_not_told_of_a_token_is_not_missing_from_it() -> None:
    """A single claim that was quoted says nothing of the others."""
    found = signs({**token_case({"exp_in_seconds": 9}), "grant": "authorization_code"})
    assert not {"aud", "permission", "claims_kind"} & set(found)


def test_token_info_is_read_as_in_a_run() -> None:
    """Google's answer about an opaque token: its scope, its owner, its end."""
    info = {"scope": "openid https://mail.google.com/", "email": "A@gmail.com", "expires_in": "3000"}
    found = signs(token_case(info, "google", sasl_user="b@gmail.com"))
    assert (found["permission"], found["user"], found["expired"]) == ("present", "mismatch", "no")
    assert codes(token_case({**info, "scope": "email"}, "google"))[0] == "google_scope_not_full_mail"


@pytest.mark.parametrize(
    ("context", "fault"),
    [
        ({}, "unknown"),
        ({"token": "correct"}, "none"),
        ({"token": "aud graph"}, "aud"),
        ({"token": "expired"}, "expired"),
        ({"token": "fresh, SMTP scope"}, "none"),
        ({"token": "who knows"}, "unknown"),
        ({"token_aud": "https://outlook.office.com", "token_scp": "SMTP.Send"}, "none"),
        ({"token_aud": "https://ps.outlook.com"}, "aud"),
        ({"token_roles": ["SMTP.SendAsApp"], "scope": "https://outlook.office365.com/.default"}, "none"),
        ({"token_roles": []}, "permission"),
        ({"token_tid": "22222222-3333-4444-5555-666666666666"}, "unknown"),
        ({"token_expires_in_seconds": "-5"}, "expired"),
        ({"token_age_seconds": 5400, "expires_in": 3600}, "expired"),
        ({"token_age_seconds": 60}, "unknown"),
        ({"token_upn": "a@contoso.com", "sasl_user": "b@contoso.com (the shared mailbox)"}, "user"),
        ({"token_upn": "a@contoso.com", "sasl_user": "A@contoso.com"}, "unknown"),
    ],
)
def test_a_token_is_judged_by_what_is_told_of_it(context: Case, fault: str) -> None:
    """None at fault only where audience and permission are told and right."""
    assert signs(refused(535, "5.7.3 Authentication unsuccessful", context=context))["token_fault"] == fault


def test_a_permission_is_judged_where_it_is_known_which_is_wanted() -> None:
    """A server of one's own may want any."""
    context = {"token_roles": ["Mail.Send"]}
    found = signs(refused(535, "5.7.8 No", provider="other", context=context))
    assert found["claims_kind"] == "app"
    assert "permission" not in found


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("https://outlook.office.com/SMTP.Send offline_access", ("expected", "present")),
        (["https://outlook.office365.com/.default"], ("expected", "present")),
        ("https://outlook.office.com/IMAP.AccessAsUser.All", ("expected", "missing")),
        ("offline_access User.Read Mail.Send", ("graph", None)),
        ("https://ps.outlook.com/.default", ("other", None)),
        ("openid", (None, None)),
    ],
)
def test_a_scope_tells_what_a_token_can_be_good_for(scope: Any, told: tuple[str | None, str | None]) -> None:
    found = signs(refused(535, "5.7.3 Authentication unsuccessful", context={"scope": scope}))
    assert (found.get("scope_resource"), found.get("scope_permission")) == told


def test_a_token_that_opens_the_mailbox_is_for_the_mail_service() -> None:
    """A scope without a resource would be Graph's; IMAP with the same token shows that it is not."""
    context = {"requested_scope": "IMAP.AccessAsUser.All offline_access", "imap_same_token": "works"}
    assert (
        codes(refused(535, "5.7.3 Authentication unsuccessful", context=context))[0]
        == "token_missing_smtp_scope"
    )


def test_a_password_login_shows_no_token() -> None:
    """Nothing is said of a token that the mail server never saw."""
    found = signs(refused(535, "5.7.3 Authentication unsuccessful", context={"mechanism": "AUTH LOGIN"}))
    assert found["mechanism"] == "LOGIN"
    assert "token_fault" not in found
    assert signs(refused(535, "5.7.3 No", context={"password_kind": "app password"}))["mechanism"] == "LOGIN"


@pytest.mark.parametrize(
    ("decoded", "right"),
    [
        ("user=a@contoso.com\x01auth=Bearer abc\x01\x01", True),
        ("user=a@contoso.com^Aauth=Bearer abc^A^A", True),
        (r"user=a@contoso.com\x01auth=Bearer abc\x01\x01", True),
        ("user=a@contoso.com^Aauth=Bearer abc\n^A^A", False),
        ("user=a@contoso.com^Aauth=bearer^A", False),
        (7, True),
    ],
)
def test_the_sasl_string_is_looked_at(decoded: Any, right: bool) -> None:
    found = signs(refused(535, "5.7.3 No", context={"xoauth2_decoded": decoded}))
    assert ("sasl_string" not in found) == right


# --- settings, and what was looked up ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "sign"),
    [
        ({"server": "smtp.office365.com:587"}, ("port", "587")),
        ({"host": "SMTP.Office365.com", "port": "465"}, ("port", "465")),
        ({"server": "smtp.office365.com"}, ("host_known", "yes")),
        ({"server": "smtp.contoso.com"}, ("host_known", "no")),
        ({"server": "contoso-com.mail.protection.outlook.com:25"}, ("host_kind", "direct_send")),
        ({"secure": True}, ("tls_mode", "implicit")),
        ({"tls_mode": "SSL"}, ("tls_mode", "implicit")),
        ({"tls_mode": "starttls"}, ("tls_mode", "starttls")),
        ({"client_sends_secret": True}, ("client_type", "confidential")),
        ({"app_allow_public_client_flows": False}, ("client_type", "public")),
        ({"design": "RBAC for Applications"}, ("app_permission", "rbac")),
        ({"mailbox_type": "shared"}, ("mailbox_kind", "shared")),
        ({"recipient_type": "MailUser"}, ("mailbox_kind", "on_premises")),
        ({"licence": "none"}, ("mailbox_kind", "unlicensed")),
        ({"exchange_service_principal": False}, ("sp", "missing")),
        ({"exchange_service_principal": True}, ("sp", "registered")),
        ({"Get-ServicePrincipal.ObjectId": "differs from oid"}, ("sp_object", "wrong")),
        ({"management_role_assignment": None}, ("rbac", "missing")),
        ({"management_role_assignment": "Application SMTP.SendAsApp"}, ("rbac", "assigned")),
        ({"mailbox_permission": None}, ("mailbox_right", "missing")),
        ({"cas_mailbox.SmtpClientAuthenticationDisabled": True}, ("smtp_auth", "off")),
        ({"minutes_since_Add-MailboxPermission": 5}, ("recent_change", "yes")),
        ({"host_clock": "12 minutes behind"}, ("clock", "off")),
        ({"days_since_consent": 7}, ("testing_age", "yes")),
        ({"consent_screen": "External, Testing"}, ("testing_age", "yes")),
        ({"months_since_consent": 8}, ("refresh_token_idle", "too_long")),
        ({"client_tls": "TLS 1.0"}, ("client_tls", "old")),
        ({"starttls_sent": False}, ("starttls_sent", "no")),
    ],
)
def test_facts_are_known_by_their_names(context: Case, sign: tuple[str, str]) -> None:
    found = signs({"provider": "microsoft365", "stage": "mail_from", "observed": {}, "context": context})
    assert found[sign[0]] == sign[1]


@pytest.mark.parametrize(
    "context", [{"client_tls": "TLS 1.0 to 1.2"}, {"tls_mode": "maybe"}, {"server": "a sentence"}]
)
def test_facts_that_say_nothing_leave_no_sign(context: Case) -> None:
    found = signs({"stage": "mail_from", "observed": {}, "context": context})
    assert set(found) == {"provider", "stage"}


def test_remedies_get_the_users_own_values() -> None:
    """From settings and claims, never from what a server said."""
    case = token_case(
        {"aud": "https://graph.microsoft.com", "roles": ["Mail.Send"], "oid": "o-1"},
        sasl_user="alerts@contoso.com",
        tenant_setting="contoso.onmicrosoft.com",
        client_id="c-1",
    )
    facts = signs_of_case(case, PRESETS).facts
    wanted = {
        "mailbox": "alerts@contoso.com",
        "tenant": "contoso.onmicrosoft.com",
        "client_id": "c-1",
        "aud": "https://graph.microsoft.com",
        "permissions": "Mail.Send",
        "oid": "o-1",
        "host": "smtp.office365.com",
    }
    assert wanted.items() <= facts.items()
    assert not {"token_user", "sender"} & set(facts)
    assert signs_of_case({"observed": {}, "context": {"mail_from": "News@contoso.com"}}).facts["sender"] == (
        "news@contoso.com"
    )


def test_a_healthy_configuration_has_no_problem() -> None:
    config = {
        "host": "smtp.office365.com",
        "port": 587,
        "scope": "https://outlook.office.com/SMTP.Send offline_access",
    }
    case = {"provider": "microsoft365", "grant": "authorization_code", "observed": {"config": config}}
    assert "problem" not in signs(case)


# --- hearsay -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "text", "expected"),
    [
        ("dns", "getaddrinfo EAI_AGAIN smtp.contoso.com", {"host_dns": "timeout", "system": "none"}),
        ("dns", "queryA ESERVFAIL smtp.contoso.com", {"host_dns": "servfail"}),
        ("dns", "No address associated with hostname", {"host_dns": "nodata"}),
        ("tcp", "connect ENETUNREACH 2001:db8::1:587", {"tcp": "no_route", "some_connect": "no"}),
        ("tcp", "connection reset by peer", {"tcp": "reset"}),
        ("tcp", "connect EPERM: operation not permitted", {"tcp": "prohibited"}),
        ("tls", "tlsv1 alert protocol version", {"tls_failure": "version"}),
        ("tls", "sslv3 alert handshake failure", {"tls_failure": "alert"}),
        ("tls", "EOF occurred in violation of protocol", {"tls_failure": "closed"}),
        (
            "tls",
            "certificate verify failed: unable to get issuer",
            {"tls_failure": "verify", "verify_code": "20"},
        ),
        ("greeting", "Connection unexpectedly closed", {"failure": "closed", "step": "greeting"}),
        ("auth", "read ECONNRESET", {"failure": "reset"}),
        ("auth", "the read operation timed out", {"failure": "timeout"}),
        ("token", "connect ETIMEDOUT 192.0.2.1:443", {"http_failure": "timeout"}),
        ("token", "connect ECONNREFUSED 192.0.2.1:443", {"http_failure": "connect"}),
        ("token", "Failed to resolve 'login.microsoftonline.com'", {"http_failure": "dns"}),
        ("token", "Tunnel connection failed: 407", {"http_failure": "proxy"}),
        (
            "token",
            "self-signed certificate in certificate chain",
            {"http_failure": "tls", "verify_code": "19"},
        ),
        ("token", "HTTP Error 401: Unauthorized", {"http_status": "401"}),
        ("data", "read ECONNRESET", {}),
        ("token", "no idea", {}),
    ],
)
def test_words_of_programs_become_the_signs_of_a_probe(
    stage: str, text: str, expected: dict[str, str]
) -> None:
    found = signs({"stage": stage, "observed": {"exception": text}})
    assert {"text": text, "witness": "program", **expected}.items() <= found.items()
    layers = {"host_dns", "tcp", "tls_failure", "failure", "http_failure"}
    assert expected or not layers & set(found)


def test_host_and_port_are_read_from_the_words() -> None:
    found = signs({"stage": "tcp", "observed": {"exception": "connect ETIMEDOUT smtp.office365.com:465"}})
    assert (found["host_known"], found["port"]) == ("yes", "465")
    decorated = {"stage": "dns", "observed": {"exception": 'getaddrinfo ENOTFOUND "smtp.office365.com";'}}
    assert signs(decorated)["host_known"] == "no"
    assert codes(decorated)[0] == "host_name_wrong"
    assert "port" not in signs({"stage": "tcp", "observed": {"exception": "timed out"}})


# --- whatever comes ----------------------------------------------------------------------------------------

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1e308, float("nan"), float("inf"), 10**400, "", "535", "x" * 3000),
    *(
        "\x00\x1b[31m",
        "\ud800",
        [],
        {},
        [1, [2]],
        {"a": {"b": [None]}},
        "AADSTS7000222",
        "334 eyJ9",
        "eyJ" * 200,
    ),
    *("[::1]:587", "a@b", "host:99999999999", "https://[abc", "https://[", "http://a:99999999/x", "urn:x"),
]
NAMES = [
    *(
        "smtp_code",
        "enhanced",
        "text",
        "final_reply",
        "challenge_json",
        "http_status",
        "body",
        "claims",
        "exception",
    ),
    *(
        "ehlo_lines",
        "config",
        "error",
        "error_description",
        "error_codes",
        "page_text",
        "access_token",
        "scope",
    ),
    *(
        "aud",
        "scp",
        "roles",
        "exp_in_seconds",
        "opaque",
        "prefix",
        "dots",
        "issuer",
        "server",
        "port",
        "endpoint",
    ),
    *(
        "token_aud",
        "token_upn",
        "sasl_user",
        "secure",
        "redirect_uri",
        "authority",
        "mechanism",
        "offered",
        "token",
    ),
]


def odd_value(dice: random.Random, depth: int = 0) -> Any:
    roll = dice.random()
    if depth < 3 and roll < 0.6:
        return {dice.choice(NAMES): odd_value(dice, depth + 1) for _ in range(dice.randint(0, 6))}
    if depth < 3 and roll < 0.7:
        return [odd_value(dice, depth + 1) for _ in range(3)]
    return dice.choice(ODD)


@pytest.mark.parametrize("seed", range(10))
def test_no_form_of_a_case_breaks_anything(seed: int) -> None:
    """Any JSON value anywhere: there is an answer, of at most five causes."""
    dice = random.Random(seed)  # noqa: S311 - nothing secret comes of it
    for _ in range(100):
        case = {
            "provider": dice.choice([*PRESETS, *ODD]),
            "stage": dice.choice([*Stage, *ODD]),
            "grant": dice.choice(["ropc", *ODD]),
            "observed": {dice.choice(NAMES): odd_value(dice) for _ in range(4)},
            "context": {dice.choice(NAMES): odd_value(dice) for _ in range(4)},
        }
        assert len(causes_of_case(case, PRESETS)) <= 5


@pytest.mark.parametrize("odd", ODD)
def test_odd_parts_are_left_out(odd: Any) -> None:
    """Where a part should be, something else stands."""
    case = {"provider": odd, "stage": odd, "grant": odd, "observed": odd, "context": odd}
    assert len(causes_of_case(case)) <= 5


def test_facts_are_read_without_believing_their_form() -> None:
    said = Said(
        {"a": None, "b": " x\ty ", "c": ["1", {}, 2], "d": {"e": 1}, "n": "12.5", "f": "YES", "t": True}
    )
    assert (said.text("a", "b"), said.text("d"), said.text("z")) == ("x y", "", "")
    assert (said.values("c"), said.values("d", "b"), said.values("z")) == (("1", "2"), ("x", "y"), ())
    assert (said.number("b", "n"), said.number("t")) == (12.5, None)
    assert (said.flag("a", "f"), said.flag("b")) == (True, None)
    assert said.everything("b", "c") == "x y 1 2"
    assert said.has("z", "a")
    assert not said.has("z")
    assert said.address("b") == ""
    assert said.endpoint("b", "n") == ("12.5", "")
    assert (table([]), several({}), words([])) == ({}, (), "")
    assert url_in("https://a/b rest") == "https://a/b"
    assert list(every_text({"a": ["x", {"b": "y"}], "c": 1})) == ["x", "y"]
    assert list(every_text([[[[["too deep"]]]]])) == []


def test_words_that_are_nobodys_have_no_enhanced_code() -> None:
    assert enhanced_by_words("535", "Authentication unsuccessful") == "5.7.3"
    assert enhanced_by_words("535", "No") == ""
