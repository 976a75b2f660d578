"""`535 5.7.3`: one reply for a dozen causes, and the evidence that puts each of them first.

Each row is told twice: by what a run has seen, and by what somebody says who asks `explain`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from smtp_preflight.diagnosis.cases import causes_of_case
from smtp_preflight.diagnosis.signs import reply_signs
from smtp_preflight.diagnosis.submission import why_not_authenticated
from smtp_preflight.model import (
    AccessToken,
    AuthExchange,
    Cause,
    Certainty,
    Expect,
    Failure,
    Grant,
    GrantType,
    MailboxAccess,
    MailboxLogin,
    MailboxProtocol,
    MailboxTrouble,
    Profile,
    Seen,
    Smtp,
    SmtpReply,
)
from smtp_preflight.profile import load_providers

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
PRESETS = load_providers()
TENANT = "72f8a9d3-4d3e-4c55-9a1b-2f6d0c8b7e61"
CLIENT = "6731de76-14a6-49ae-97bc-6eba6914391e"
MAILBOX = "alerts@contoso.com"
AUD = "https://outlook.office.com"
WORDS = "5.7.3 Authentication unsuccessful [AM0PR02CA0001.eurprd02.prod.outlook.com 2026-11-20T07:00:00.000Z]"
IMAP = "imap outlook.office365.com:993"

USER = {"aud": AUD, "scp": "SMTP.Send IMAP.AccessAsUser.All", "upn": MAILBOX, "tid": TENANT, "appid": CLIENT}
APP = {
    "aud": AUD,
    "roles": ["SMTP.SendAsApp", "IMAP.AccessAsApp"],
    "idtyp": "app",
    "tid": TENANT,
    "appid": CLIENT,
}
TOLD_USER = {"token_aud": AUD, "token_scp": "SMTP.Send", "token_upn": MAILBOX, "sasl_user": MAILBOX}
TOLD_APP = {"token_aud": AUD, "token_roles": ["SMTP.SendAsApp"]}


@dataclass(frozen=True)
class Row:
    """One line of the differential table."""

    code: str
    claims: Mapping[str, Any] | None = None  # of the token that a run has seen; none: only others can tell
    told: Mapping[str, Any] = field(default_factory=dict)  # the context of a case; none: only a run can tell
    mailbox: MailboxTrouble | str = ""  # what IMAP says to the token: "works", or its trouble
    app_permission: str = "role"
    beside: tuple[str, ...] = ()  # causes that must be named as well

    @property
    def by_application(self) -> bool:
        """Whether it is about a token of the application's own."""
        return (self.claims or {}).get("idtyp") == "app" or "token_roles" in self.told


ROWS = {
    "mechanism": Row("client_used_password_auth", told={"mechanism_used": "LOGIN"}),
    "string": Row(
        "xoauth2_string_malformed", told={"xoauth2_decoded": "user=a@contoso.com^Aauth=Bearer x y^A^A"}
    ),
    "audience": Row(
        "token_wrong_audience",
        USER | {"aud": "https://graph.microsoft.com"},
        TOLD_USER | {"token_aud": "https://graph.microsoft.com"},
    ),
    "audience by its id": Row(
        "token_wrong_audience",
        USER | {"aud": "00000003-0000-0000-c000-000000000000"},
        TOLD_USER | {"token_aud": "00000003-0000-0000-c000-000000000000"},
    ),
    "scope": Row(
        "token_missing_smtp_scope",
        USER | {"scp": "IMAP.AccessAsUser.All"},
        TOLD_USER | {"token_scp": "IMAP.AccessAsUser.All"},
    ),
    "roles": Row(
        "app_only_smtp_role_missing",
        APP | {"roles": ["IMAP.AccessAsApp"]},
        TOLD_APP | {"token_roles": ["IMAP.AccessAsApp"]},
    ),
    "no roles, with RBAC": Row(
        "app_rbac_assignment_missing",
        {key: value for key, value in APP.items() if key != "roles"},
        TOLD_APP | {"token_roles": [], "design": "RBAC for Applications", "management_role_assignment": None},
        app_permission="rbac",
    ),
    "roles, with RBAC": Row(
        "app_rbac_conflicts_with_role_claim",
        APP,
        TOLD_APP | {"design": "RBAC for Applications"},
        app_permission="rbac",
        beside=("app_only_mailbox_permission_missing",),
    ),
    "expiry": Row(
        "token_expired",
        USER | {"exp": (NOW - dt.timedelta(hours=1)).timestamp()},
        TOLD_USER | {"token_expires_in_seconds": -3600},
    ),
    "another user": Row(
        "token_user_mismatch",
        USER | {"upn": "admin@contoso.com"},
        TOLD_USER | {"token_upn": "admin@contoso.com"},
        beside=("login_name_not_upn", "shared_mailbox_as_sasl_user"),
    ),
    "UPN against address": Row(
        "login_name_not_upn",
        USER | {"upn": "a.lerts@contoso.com", "email": MAILBOX},
        TOLD_USER | {"token_upn": "a.lerts@contoso.com", "token_email": MAILBOX},
    ),
    "shared mailbox": Row(
        "shared_mailbox_as_sasl_user",
        USER | {"upn": "clerk@contoso.com"},
        TOLD_USER | {"token_upn": "clerk@contoso.com", "mailbox_type": "SharedMailbox"},
        mailbox="works",
        beside=("token_user_mismatch",),
    ),
    "tenant": Row(
        "token_wrong_tenant",
        USER | {"tid": "00000000-0000-4000-8000-000000000001"},
        TOLD_USER | {"token_tid": "00000000-0000-4000-8000-000000000001", "mailbox_tenant": TENANT},
    ),
    "switch": Row("smtp_auth_disabled_mailbox", USER, TOLD_USER, beside=("mailbox_missing_or_unlicensed",)),
    "switch, and the mailbox opens": Row(
        "smtp_auth_disabled_mailbox", USER, TOLD_USER | {"imap_same_token": "works"}, mailbox="works"
    ),
    "switch, of an application": Row(
        "smtp_auth_disabled_mailbox", APP, TOLD_APP | {"imap_same_token": "works"}, mailbox="works"
    ),
    "licence": Row("mailbox_missing_or_unlicensed", told=TOLD_USER | {"licence": "none"}),
    "the mailbox does not open either": Row(
        "mailbox_missing_or_unlicensed",
        USER,
        mailbox=MailboxTrouble.NOT_OPENED,
        beside=("smtp_auth_disabled_mailbox",),
    ),
    "service principal": Row(
        "app_only_sp_not_registered_in_exchange",
        APP,
        TOLD_APP,
        beside=(
            "app_only_sp_wrong_object_id",
            "app_only_mailbox_permission_missing",
            "exchange_permission_propagation",
        ),
    ),
    "service principal, looked up": Row(
        "app_only_sp_not_registered_in_exchange", told=TOLD_APP | {"exchange_service_principal": False}
    ),
    "its object id": Row(
        "app_only_sp_wrong_object_id",
        told=TOLD_APP | {"Get-ServicePrincipal.ObjectId": "differs from the token's oid"},
    ),
    "mailbox permission": Row(
        "app_only_mailbox_permission_missing",
        APP,
        TOLD_APP | {"exchange_service_principal": True, "mailbox_permission": None},
        mailbox=MailboxTrouble.NOT_OPENED,
    ),
    "recent change": Row(
        "exchange_permission_propagation", told=TOLD_APP | {"minutes_since_Add-MailboxPermission": 10}
    ),
}
SEEN = {name: row for name, row in ROWS.items() if row.claims is not None}
TOLD = {name: row for name, row in ROWS.items() if row.told}


def token(claims: Mapping[str, Any]) -> AccessToken:
    lasting = {"exp": (NOW + dt.timedelta(hours=1)).timestamp(), **claims}
    return AccessToken(observed_at=NOW, length=1400, fingerprint="0123456789ab", opaque=False, claims=lasting)


def login(outcome: MailboxTrouble | str) -> MailboxLogin:
    trouble = outcome if isinstance(outcome, MailboxTrouble) else None
    return MailboxLogin(
        asked_at=NOW,
        protocol=MailboxProtocol.IMAP,
        host="outlook.office365.com",
        port=993,
        user=MAILBOX,
        trouble=trouble,
    )


@pytest.fixture
def refused(seen_with: Callable[..., Seen], profile_with: Callable[..., Profile]) -> Callable[[Row], Seen]:
    """What a run has seen whose AUTH was refused with these words."""

    def make(row: Row) -> Seen:
        preset = PRESETS["microsoft365"]
        grant = GrantType.CLIENT_CREDENTIALS if row.by_application else GrantType.REFRESH_TOKEN
        setup = profile_with(
            provider=preset,
            mailbox=MAILBOX,
            smtp=Smtp("smtp.office365.com"),
            imap=MailboxAccess("outlook.office365.com", 993),
            expect=Expect(aud=preset.aud, permissions=preset.permissions, tid=(TENANT,)),
        )
        setup = replace(
            setup,
            oauth=replace(setup.oauth, grant=grant, client_id=CLIENT, app_permission=row.app_permission),
        )
        answers: list[Any] = [
            Grant(asked_at=NOW, grant=grant, token=token(row.claims or {})),
            AuthExchange(asked_at=NOW, reply=SmtpReply(535, (WORDS,))),
        ]
        return seen_with(*answers, *([(IMAP, login(row.mailbox))] if row.mailbox else []), profile=setup)

    return make


def case(row: Row) -> dict[str, Any]:
    grant = "client_credentials" if row.by_application else "authorization_code"
    return {
        "provider": "microsoft365",
        "stage": "auth",
        "grant": grant,
        "observed": {"smtp_code": 535, "enhanced": "5.7.3", "text": WORDS},
        "context": {"mechanism_used": "XOAUTH2", **row.told},
    }


def hold(row: Row, causes: tuple[Cause, ...]) -> None:
    """The row's cause comes first, never certain; others that fit are named, with the look that decides."""
    codes = [one.code for one in causes]
    assert codes[0] == row.code
    assert causes[0].certainty is Certainty.LIKELY
    assert set(row.beside) <= set(codes)
    assert all(one.certainty is Certainty.POSSIBLE and one.decide_by for one in causes[1:])


@pytest.mark.parametrize("name", SEEN)
def test_a_run_ranks_what_its_evidence_says_first(name: str, refused: Callable[[Row], Seen]) -> None:
    hold(SEEN[name], why_not_authenticated(refused(SEEN[name])).causes)


@pytest.mark.parametrize("name", TOLD)
def test_explain_ranks_what_it_is_told_first(name: str) -> None:
    hold(TOLD[name], causes_of_case(case(TOLD[name]), PRESETS))


@pytest.mark.parametrize("preset", ["google", "custom", "yahoo", "fastmail"])
def test_microsofts_switch_is_no_cause_elsewhere(preset: str) -> None:
    """The same code and a token that cannot be read, at a server that has no such switch."""
    told = case(Row("")) | {
        "provider": preset,
        "observed": {"smtp_code": 535, "enhanced": "5.7.3", "text": "no"},
    }
    assert "smtp_auth_disabled_mailbox" not in [one.code for one in causes_of_case(told, PRESETS)]


def test_a_client_that_is_too_old_is_not_a_server_that_is_busy(
    seen_with: Callable[..., Seen], profile_with: Callable[..., Profile]
) -> None:
    """4.7.66 says which of the two, although its code begins with 4."""
    words = "4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2."
    seen = seen_with(AuthExchange(asked_at=NOW, reply=SmtpReply(421, (words,))), profile=profile_with())
    assert why_not_authenticated(seen).code == "tls_version_too_old"


def test_a_token_with_a_line_end_in_it_is_a_string_wrongly_built(seen_with: Callable[..., Seen]) -> None:
    """It was not sent: the server would have taken it for another command."""
    auth = AuthExchange(asked_at=NOW, failure=Failure.NOT_SENT, detail="control character in the token")
    assert why_not_authenticated(seen_with(auth)).code == "xoauth2_string_malformed"


def test_the_enhanced_code_is_read_once_from_a_reply_of_several_lines(seen_with: Callable[..., Seen]) -> None:
    """And from its words, where it was lost on the way."""
    lines = (
        "5.7.8 Username and Password not accepted. For more information, go to",
        "5.7.8  https://x.example",
    )
    signs = reply_signs(AuthExchange(asked_at=NOW, reply=SmtpReply(535, lines)))
    assert signs["text"].count("5.7.8") == 1
    bare = reply_signs(AuthExchange(asked_at=NOW, reply=SmtpReply(535, ("Authentication unsuccessful",))))
    assert bare["enhanced"] == "5.7.3"
