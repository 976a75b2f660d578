"""The commands for an administrator: the smallest change, with a look before, a look after and a way back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from smtp_preflight import cli
from smtp_preflight.knowledge import entries
from smtp_preflight.knowledge.admin import CHANGE, admin_block, codes_with_a_block
from smtp_preflight.knowledge.powershell import filled
from smtp_preflight.model import (
    AccessToken,
    Certainty,
    Grant,
    Question,
    ReportedFinding,
    Run,
    Seen,
    Severity,
    Stage,
    Until,
    Verdict,
)
from smtp_preflight.reporting.admin import blocks, values_of

APP, OBJECT = "6731de76-14a6-49ae-97bc-6eba6914391e", "0a1b2c3d-0000-4444-8888-123456789abc"
VALUES = {
    "mailbox": "alerts@contoso.com",
    "sender": "news@contoso.com",
    "client_id": APP,
    "login": "alerts@contoso.com",
    "oid": OBJECT,
    "token_user": "ann@contoso.com",
}
HOSTILE = [
    "x'; Remove-Item C:\\ -Recurse; '",
    "a@contoso.com'; Disable-Mailbox b@contoso.com #",
    "a@contoso.com’; Disable-Mailbox b@contoso.com #",  # noqa: RUF001 - PowerShell takes it for a quote
    "a@contoso.com\nDisable-Mailbox b@contoso.com",
    "a@contoso.com\x00",
    "\u202emoc.osotnoc@a",
    "a@contoso.com\u2028Disable-Mailbox",
    "$(Get-Mailbox)@contoso.com",
    '"; calc; "@contoso.com',
    "a`n@contoso.com",
    "{oid}",
    "",
]

every_code = pytest.mark.parametrize("code", sorted(codes_with_a_block()))


def commands_in(lines: tuple[str, ...]) -> list[str]:
    """The lines that do something."""
    return [line for line in lines if line and not line.startswith("#")]


@every_code
def test_a_block_is_for_a_cause_that_an_administrator_can_end(code: str) -> None:
    assert entries()[code].who in (
        "exchange_admin",
        "tenant_admin",
        "app_owner",
        "profile_author",
        "mailbox_user",
    )


@every_code
def test_a_block_has_every_part(code: str) -> None:
    """How it is now, the change, how to verify it, and the way back, in this order."""
    lines = admin_block(code, "microsoft365", VALUES)
    titles = ["# How it is now", CHANGE, "# To verify", "# To take it back"]
    assert [line for line in lines if line in titles] == titles
    assert all(lines[lines.index(title) + 1] for title in titles)
    assert "Nobody has run this" in " ".join(lines)


@every_code
def test_a_block_holds_the_users_values_and_asks_for_what_is_missing(code: str) -> None:
    assert not re.search(
        r"[{}]", re.sub(r"\{ .*? \}", "", "\n".join(admin_block(code, "microsoft365", VALUES)))
    )
    known = admin_block(code, "microsoft365", VALUES)
    assert "<" not in "\n".join(known)
    assert re.search(r"'<[a-z(), ]+>'|\"appId eq '<", "\n".join(admin_block(code, "microsoft365", {})))


@every_code
def test_the_change_is_the_smallest(code: str) -> None:
    """One mailbox or one application: nothing that changes the organisation."""
    lines = admin_block(code, "microsoft365", VALUES)
    change = lines[lines.index(CHANGE) + 1 : lines.index("# To verify")]
    whole = r"Set-(TransportConfig|OrganizationConfig|AuthenticationPolicy)|-Confirm:\$false|\| *Set-"
    assert not re.search(whole, "\n".join(change))
    assert any(value in line for line in change for value in VALUES.values()) or "$app.Id" in change[0]


@every_code
def test_the_way_back_leads_to_what_was_before(code: str) -> None:
    """No switch is put where it may never have been, and no right is taken that was there already."""
    lines = admin_block(code, "microsoft365", VALUES)
    back = lines[lines.index("# To take it back") + 1 :]
    assert not [line for line in back if line.startswith("Set-") and "$before" not in line]
    if any("$before" in line for line in back):
        assert [line for line in lines[: lines.index(CHANGE)] if line.startswith("$before = ")]
        assert [line for line in lines[: lines.index(CHANGE)] if line.startswith("$before  #")]  # is shown
    looked_at = "".join(lines[: lines.index(CHANGE)])
    for line in back:
        if line.startswith("Remove-") and "Permission" in line and "Permission" in looked_at:
            assert line.endswith("# unless the first look listed it")


@pytest.mark.parametrize("hostile", HOSTILE)
@every_code
def test_a_hostile_value_never_gets_into_a_command(code: str, hostile: str) -> None:
    """The block is then the same as with no value at all."""
    assert admin_block(code, "microsoft365", dict.fromkeys(VALUES, hostile)) == admin_block(
        code, "microsoft365", {}
    )


@pytest.mark.parametrize(
    ("code", "same"),
    [("send_as_denied", ("sender", "login")), ("shared_mailbox_as_sasl_user", ("mailbox", "token_user"))],
)
def test_nobody_is_given_a_right_on_itself(code: str, same: tuple[str, str]) -> None:
    """Where the sender is the account that logs in, there is nothing to give."""
    assert admin_block(code, "microsoft365", VALUES | dict.fromkeys(same, "Alerts@contoso.com")) == ()
    application = VALUES | {"sender": "alerts@contoso.com", "mailbox": "alerts@contoso.com", "login": OBJECT}
    assert admin_block(code, "microsoft365", application)


def test_a_quote_in_a_name_is_doubled() -> None:
    (line,) = (
        line
        for line in admin_block(
            "smtp_auth_disabled_mailbox", "microsoft365", {"mailbox": "o'brien@contoso.com"}
        )
        if line.startswith("Set-CASMailbox") and "$false" in line
    )
    assert line == "Set-CASMailbox -Identity 'o''brien@contoso.com' -SmtpClientAuthenticationDisabled $false"


def test_a_value_of_another_kind_is_left_out() -> None:
    """An address is no object id, and a name that nobody knows has no value."""
    assert filled("-User '{oid}'", {"oid": "a@contoso.com"}).endswith(
        "'<object id of the enterprise application>'"
    )
    assert filled("'{mailbox}'", {"mailbox": APP}) == "'<mailbox>'"
    assert filled("'{tenant}'", {"tenant": "contoso.onmicrosoft.com"}) == "'contoso.onmicrosoft.com'"
    assert filled("'{no_such}'", {"no_such": "x"}) == "'<no such>'"


def test_which_object_id_is_meant_is_explained() -> None:
    """Where a command takes one, the three ids of an application are told apart."""
    told = " ".join(" ".join(admin_block("app_only_sp_wrong_object_id", "microsoft365", VALUES)).split("# "))
    assert f"The application (client) id: '{APP}'" in " ".join(told.split())
    assert "object id of the enterprise application" in " ".join(told.split())
    assert "under App registrations" in " ".join(told.split())
    assert "enterprise application" not in " ".join(admin_block("send_as_denied", "microsoft365", VALUES))


def test_every_cloud_has_its_own_connection() -> None:
    def connection(provider: str) -> str:
        return commands_in(admin_block("send_as_denied", provider, VALUES))[0]

    assert connection("microsoft365") == "Connect-ExchangeOnline"
    assert connection("microsoft365_gcc_high").endswith("O365USGovGCCHigh")
    assert connection("microsoft365_21vianet").endswith("O365China")
    graph = commands_in(admin_block("app_only_smtp_role_missing", "microsoft365_dod", VALUES))[0]
    assert graph.startswith("Connect-MgGraph -Environment USGovDoD")


@pytest.mark.parametrize("provider", ["google", "outlook_personal", "custom", "other", "any", ""])
def test_other_providers_have_no_such_commands(provider: str) -> None:
    assert admin_block("smtp_auth_disabled_mailbox", provider, VALUES) == ()


def test_other_causes_have_nothing_to_run() -> None:
    assert admin_block("certificate_expired", "microsoft365", VALUES) == ()


def finding(code: str, severity: Severity = Severity.ERROR) -> ReportedFinding:
    """A finding of which nothing counts here but its code and severity."""
    return ReportedFinding(
        id=code, code=code, subject="", severity=severity, certainty=Certainty.LIKELY, transient=False,
        waived=None, stage=Stage.AUTH, check="", who="exchange_admin", title=code, expected="", seen="",
        meaning="", remedy=(), references=(),
    )  # fmt: skip


@pytest.fixture
def failing(seen_with: Callable[..., Seen]) -> Run:
    """A run of Microsoft 365 with one cause that has commands, one that has none, and a notice."""
    seen = seen_with()
    return Run(
        profile="contoso", provider="microsoft365", tool="", knowledge="", started=seen.started, duration_s=0,
        until=Until.AUTH, verdict=Verdict.NOT_READY, proven=None, not_asked=(), settings={}, checks=(),
        selected=(), until_when=(), seen=seen, evidence=(),
        findings=(
            finding("smtp_auth_disabled_mailbox"),
            finding("certificate_expired"),
            finding("send_as_denied", Severity.NOTICE),
        ),
    )  # fmt: skip


def test_the_values_come_from_profile_and_token(failing: Run) -> None:
    """And from nothing that a server said; without a token its claims are to be filled in."""
    claims = {"oid": OBJECT, "upn": "ann@contoso.com"}
    token = AccessToken(failing.started, 1, "0" * 12, opaque=False, claims=claims)
    granted = Grant(asked_at=failing.started, grant="refresh_token", token=token)
    seen = replace(failing.seen, answers={**failing.seen.answers, Question(Grant): granted})
    told = values_of(replace(failing, seen=seen))
    assert (told["oid"], told["token_user"]) == (OBJECT, "ann@contoso.com")
    assert told["login"] == OBJECT  # an application logs in as itself, whatever the mailbox is
    assert told["mailbox"] == failing.seen.profile.mailbox
    assert not {"oid", "token_user"} & set(values_of(failing))


def test_every_acted_on_finding_has_its_block_once(failing: Run) -> None:
    """In the order of the findings; notices, and causes without commands, have none."""
    (block,) = blocks(failing)
    assert block.code == "smtp_auth_disabled_mailbox"
    assert [line.rpartition("# ")[2] for line in block.commands] == [
        "How it is now",
        "How it is now",
        "The change",
        "To verify",
        "To take it back",
    ]
    assert blocks(replace(failing, findings=failing.findings * 2)) == (block,)
    assert blocks(replace(failing, findings=())) == ()


def test_explain_shows_the_commands_of_a_provider(capsys: pytest.CaptureFixture[str]) -> None:
    """With the set-up's values where a profile is named; without a provider there are none."""
    assert cli.main(["explain", "smtp_auth_disabled_mailbox", "--provider", "microsoft365"]) == 0
    assert "Set-CASMailbox -Identity '<mailbox>' -SmtpClient" in capsys.readouterr().out
    assert cli.main(["explain", "smtp_auth_disabled_mailbox", "--profile", "demo"]) == 0
    assert "\nSet-CASMailbox -Identity 'alerts@contoso.example' -Smtp" in capsys.readouterr().out
    assert cli.main(["explain", "smtp_auth_disabled_mailbox"]) == 0
    assert "\nSet-CASMailbox" not in capsys.readouterr().out
