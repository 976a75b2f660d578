"""Stages delivery and mailbox_access: what became of the message, and who may look."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.diagnosis.delivery import (
    can_be_looked_into,
    is_from_sender,
    remark_on_delivery_time,
    says_something_of,
    why_not_arrived,
    why_not_looked_into,
    why_not_proven,
    why_outside_inbox,
    why_sender_rewritten,
)
from smtp_preflight.diagnosis.mailbox_access import fault_of_token, why_mailbox_not_opened
from smtp_preflight.diagnosis.mailbox_logins import login_words, reading_permission, wanted_for_reading
from smtp_preflight.diagnosis.submission import why_not_authenticated
from smtp_preflight.evidence import AskingThread, Evidence, Recorder, decode, encode
from smtp_preflight.lab import FAULTS, Lab
from smtp_preflight.lab.faults import mailbox as faults
from smtp_preflight.model import (
    AccessToken,
    Arrival,
    AuthExchange,
    Bounce,
    Delivery,
    Expect,
    Finding,
    FoundMessage,
    Grant,
    MailboxAccess,
    MailboxLogin,
    MailboxProtocol,
    MailboxTrouble,
    OAuthError,
    Profile,
    Provider,
    Question,
    ReaderGrant,
    Seen,
    SmtpReply,
)
from smtp_preflight.probes.questions import ROWS, closure, mailbox_logins
from smtp_preflight.profile import load_profile, load_providers
from smtp_preflight.secrets import Wallet

ROOT = Path(__file__).parent.parent
NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
PLACE = "imap outlook.office365.com:993"
IMAP = MailboxAccess("outlook.office365.com", 993)
CHECKED = replace(IMAP, check=True)
ME = "alerts@contoso.com"
LIMIT_S = 60


def login(
    trouble: str = "", reply: str = "", protocol: str = "imap", **more: Any
) -> tuple[str, MailboxLogin]:
    """A login to a mailbox, under its question's subject."""
    of = MailboxLogin(
        asked_at=NOW,
        protocol=MailboxProtocol(protocol),
        host=IMAP.host,
        port=IMAP.port,
        user=ME,
        trouble=MailboxTrouble(trouble) if trouble else None,
        reply=reply,
        **more,
    )
    return PLACE, of


def arrival(**told: Any) -> tuple[str, Arrival]:
    return ME, Arrival(asked_at=NOW, mailbox=ME, **told)


def granted(scp: str = "SMTP.Send", aud: str = "https://outlook.office.com", **more: Any) -> Grant:
    token = AccessToken(NOW, 1500, "0123456789ab", opaque=False, claims={"aud": aud, "scp": scp, "upn": ME})
    return Grant(asked_at=NOW, grant="refresh_token", token=token, **more)


@pytest.fixture
def seen_of(seen_with: Callable[..., Seen], profile_with: Callable[..., Profile]) -> Callable[..., Seen]:
    """What was seen of a profile that looks for the message; keywords replace its fields."""

    def make(*answers: Any, **changes: Any) -> Seen:
        profile = profile_with(
            **{
                "delivery": Delivery(ME, within_s=60),
                "imap": IMAP,
                "expect": Expect(aud=("https://outlook.office.com",), permissions=("SMTP.Send",)),
                **changes,
            }
        )
        return seen_with(*answers, profile=profile)

    return make


def told(finding: Finding) -> tuple[str, str, str]:
    return finding.code, finding.subject, finding.causes[0].facts["seen"]


# --- who may look ------------------------------------------------------------------------------------------


def test_own_mailbox_is_read_by_the_profiles_own_login(profile_with: Callable[..., Profile]) -> None:
    profile = profile_with(delivery=Delivery("Alerts@contoso.com"), imap=IMAP)
    assert profile.delivery_login == PLACE
    assert profile.watched == {ME: PLACE}


def test_another_mailbox_takes_another_profiles_login(profile_with: Callable[..., Profile]) -> None:
    """The login under test may not open it, whatever its token would allow."""
    alone = profile_with(delivery=Delivery("probe@contoso.com"), imap=IMAP)
    assert alone.delivery_login == ""
    named = replace(alone, delivery=Delivery("probe@contoso.com", "reader"))
    assert named.delivery_login == "imap of reader"


def test_senders_mailbox_is_watched_for_bounces_where_it_is_read_anyway(
    profile_with: Callable[..., Profile],
) -> None:
    """Otherwise a login for sending would be tried for reading, which nobody has asked for."""
    profile = profile_with(delivery=Delivery("probe@contoso.com", "reader"), imap=IMAP)
    assert profile.watched == {"probe@contoso.com": "imap of reader"}
    both = replace(profile, imap=CHECKED)
    assert both.watched == {ME: PLACE, "probe@contoso.com": "imap of reader"}


def test_logins_a_profile_sets_up(profile_with: Callable[..., Profile]) -> None:
    """Those that are to be checked, and those that look for the message; each once."""
    pop = MailboxAccess("outlook.office365.com", 995, check=True)
    profile = profile_with(delivery=Delivery(ME), imap=CHECKED, pop=pop)
    assert mailbox_logins(profile) == (PLACE, "pop outlook.office365.com:995")
    assert mailbox_logins(profile_with(imap=IMAP)) == ()


def test_looking_needs_the_accepted_message_and_the_login(profile_with: Callable[..., Profile]) -> None:
    profile = profile_with(delivery=Delivery("probe@contoso.com", "reader"), imap=IMAP)
    asked = closure((Question(Arrival, "probe@contoso.com"),), profile)
    names = [f"{one.kind.__name__} {one.subject}".strip() for one in asked]
    assert names.index("DataExchange") < names.index("Arrival probe@contoso.com")
    assert names.index("ReaderGrant reader") < names.index("MailboxLogin imap of reader")


# --- why nobody can look -----------------------------------------------------------------------------------


def test_mailbox_of_somebody_else_cannot_be_looked_into(seen_of: Callable[..., Seen]) -> None:
    seen = seen_of(granted(), delivery=Delivery("probe@contoso.com"))
    assert not can_be_looked_into(None)
    assert told(why_not_looked_into(seen)) == (
        "delivery_check_unavailable",
        "",
        "probe@contoso.com is not the mailbox of this login, alerts@contoso.com",
    )


def test_missing_permission_is_named(seen_of: Callable[..., Seen]) -> None:
    """The scope under test is never widened; what is missing is said."""
    seen = seen_of(granted(), login("refused", "NO AUTHENTICATE failed."))
    code, _, words = told(why_not_looked_into(seen))
    assert code == "delivery_check_unavailable"
    assert "NO AUTHENTICATE failed." in words
    assert "the token allows: SMTP.Send; wanted: IMAP.AccessAsUser.All or IMAP.AccessAsApp" in words


def test_what_this_token_allows_says_nothing_of_another_login(seen_of: Callable[..., Seen]) -> None:
    """The login of ``[delivery] profile`` brings a token of its own."""
    own = login("refused", "NO AUTHENTICATE failed.")[1]
    seen = seen_of(granted(), delivery=Delivery("probe@contoso.com", "reader"))
    assert "the token allows" in login_words(seen, own)
    assert "the token allows" not in login_words(seen, replace(own, user="probe@contoso.com"))


def test_login_that_has_to_work_anyway_is_named_itself(seen_of: Callable[..., Seen]) -> None:
    """One cause, one red line: its own check meets the same finding."""
    seen = seen_of(granted(), login("unreachable", "ECONNREFUSED"), imap=CHECKED)
    assert why_not_looked_into(seen).id == why_mailbox_not_opened(seen, PLACE).id
    assert why_not_looked_into(seen).id == f"mailbox_server_unreachable:{PLACE}"


@pytest.mark.parametrize(
    ("reader", "words"),
    [
        (ReaderGrant(asked_at=NOW, profile="reader", problem="env:X: X is not set"), "env:X: X is not set"),
        (
            ReaderGrant(
                asked_at=NOW,
                profile="reader",
                grant=Grant(
                    asked_at=NOW, grant="refresh_token", error=OAuthError("invalid_grant", "expired")
                ),
            ),
            "expired",
        ),
        (
            ReaderGrant(
                asked_at=NOW,
                profile="reader",
                grant=Grant(asked_at=NOW, grant="refresh_token", problem="sign_in_needed"),
            ),
            "sign_in_needed",
        ),
    ],
)
def test_reader_without_a_token(reader: ReaderGrant, words: str, seen_of: Callable[..., Seen]) -> None:
    """Nothing of the profile under test is at fault, so it is a warning."""
    seen = seen_of(granted(), ("reader", reader), delivery=Delivery("probe@contoso.com", "reader"))
    assert not reader.granted
    assert told(why_not_looked_into(seen)) == ("delivery_check_unavailable", "", f"profile reader: {words}")


def test_looking_that_broke_off(seen_of: Callable[..., Seen]) -> None:
    broken = arrival(trouble=MailboxTrouble.HUNG_UP, reply="BYE too busy")
    seen = seen_of(granted("IMAP.AccessAsUser.All SMTP.Send"), login(), broken)
    assert told(why_not_arrived(seen)) == (
        "delivery_check_unavailable",
        "",
        "alerts@contoso.com: hung_up: BYE too busy",
    )


# --- what became of it -------------------------------------------------------------------------------------


def test_message_that_is_nowhere(seen_of: Callable[..., Seen]) -> None:
    code, _, words = told(why_not_arrived(seen_of(login(), arrival(missing_after_s=60.2, looks=21))))
    assert code == "delivery_not_confirmed"
    assert words == "not in alerts@contoso.com 60 s after it was accepted, the last of 21 looks"


@pytest.mark.parametrize(
    ("bounce", "code"),
    [
        (Bounce("5.0.0", "554 5.0.0 Transaction failed"), "delivery_bounced"),
        (Bounce("5.1.1", "550 5.1.1 no such user here", "probe@contoso.com"), "recipient_rejected"),
        (Bounce("5.7.26", "550 5.7.26 Unauthenticated email is not accepted"), "dmarc_alignment_failure"),
        (Bounce(), "delivery_bounced"),
    ],
)
def test_bounce_is_explained_by_the_words_in_it(
    bounce: Bounce, code: str, seen_of: Callable[..., Seen]
) -> None:
    """As if the server further on had said them to us."""
    finding = why_not_arrived(seen_of(login(), arrival(bounce=bounce)))
    assert "delivery_bounced" in {one.code for one in finding.causes}
    assert finding.code == code


def test_bounce_counts_wherever_it_is_found(seen_of: Callable[..., Seen]) -> None:
    """In the sender's mailbox, while the recipient's stays empty."""
    empty = ("probe@contoso.com", Arrival(asked_at=NOW, mailbox="probe@contoso.com"))
    bounced = arrival(bounce=Bounce("5.0.0", "554 5.0.0 Transaction failed"))
    seen = seen_of(bounced, empty, delivery=Delivery("probe@contoso.com", "reader"), imap=CHECKED)
    assert why_not_arrived(seen).code == "delivery_bounced"


@pytest.mark.parametrize(("missing_after_s", "slow"), [(0, False), (29, False), (31, True)])
def test_late_is_what_is_missing_after_half_the_time(
    missing_after_s: float, slow: bool, seen_of: Callable[..., Seen]
) -> None:
    """A machine that was busy and looked late has seen nothing late."""
    found = arrival(message=FoundMessage("INBOX", True, ME), missing_after_s=missing_after_s)
    remark = remark_on_delivery_time(seen_of(login(), found), found[1])
    assert (remark is not None) is slow
    assert remark is None or remark.code == "delivery_slow"


def message(results: str = "", author: str = ME, folder: str = "INBOX") -> FoundMessage:
    return FoundMessage(folder, folder == "INBOX", author, results)


def test_message_outside_the_inbox(seen_of: Callable[..., Seen]) -> None:
    assert told(why_outside_inbox(seen_of(), message("dmarc=pass", folder="Junk Email"))) == (
        "delivered_to_junk",
        "",
        "folder Junk Email\ndmarc=pass",
    )


@pytest.mark.parametrize(
    ("results", "method", "wanted"),
    [
        ("mx.a.example; spf=pass smtp.mailfrom=a; dmarc=fail (p=none) header.from=a", "spf", "pass"),
        ("mx.a.example; spf=pass smtp.mailfrom=a; dmarc=fail (p=none) header.from=a", "dmarc", "fail"),
        ("spf=softfail (sender IP is 1.2.3.4; dkim=pass) smtp.mailfrom=a; dkim=none", "dkim", "none"),
        ("dkim=pass (signature was verified) header.d=a;dmarc=pass action=none", "dmarc", "pass"),
        ("mx; dkim=fail header.d=b; dkim=pass header.d=a", "dkim", "pass"),
        ("mx; DKIM = Pass header.d=a", "dkim", "pass"),
        ("mx; x-dmarc=fail", "dmarc", ""),
        ("mx; none", "spf", ""),
        ("", "spf", ""),
    ],
)
def test_results_are_read_without_the_comments(results: str, method: str, wanted: str) -> None:
    """Of Microsoft, which names no server first, and of everybody else (RFC 8601 section 2.2)."""
    assert message(results).result_of(method) == wanted


@pytest.mark.parametrize("word", ["", "none", "neutral", "temperror", "bestguesspass"])
def test_receiver_that_came_to_no_result_says_nothing(word: str) -> None:
    """Within one organisation nobody looks; a check of it does not apply then."""
    assert not says_something_of(message(f"mx; spf={word}" if word else ""), "spf")


@pytest.mark.parametrize(
    ("results", "method", "code"),
    [
        ("mx; spf=fail a; dkim=fail b; dmarc=fail c", "spf", "dmarc_alignment_failure"),
        ("mx; spf=fail a; dkim=fail b; dmarc=fail c", "dkim", "dmarc_alignment_failure"),
        ("mx; spf=fail a; dkim=pass b; dmarc=pass c", "spf", "spf_fails_at_receiver"),
        ("mx; spf=pass a; dkim=fail b; dmarc=pass c", "dkim", "dkim_fails_at_receiver"),
    ],
)
def test_proof_that_failed(results: str, method: str, code: str, seen_of: Callable[..., Seen]) -> None:
    """Where DMARC fails it is the reason for all three; where it does not, one of them still failed."""
    assert why_not_proven(seen_of(), message(results), method).code == code


def test_sender_that_was_rewritten(seen_of: Callable[..., Seen]) -> None:
    found = message(author="relay@contoso.com")
    assert is_from_sender(message(author="Alerts@Contoso.com"), ME)
    assert not is_from_sender(found, ME)
    assert why_sender_rewritten(seen_of(), found).code == "from_rewritten_by_provider"


# --- the login ---------------------------------------------------------------------------------------------

REFUSED = ("refused", "NO AUTHENTICATE failed.")


@pytest.mark.parametrize(
    ("trouble", "reply", "scp", "code"),
    [
        ("unresolved", "EAI_NONAME", "IMAP.AccessAsUser.All", "mailbox_server_unreachable"),
        ("tls", "certificate has expired", "IMAP.AccessAsUser.All", "mailbox_server_untrusted"),
        ("not_spoken", "220 smtp", "IMAP.AccessAsUser.All", "not_a_mailbox_server"),
        ("too_long", "", "IMAP.AccessAsUser.All", "not_a_mailbox_server"),
        ("no_answer", "", "IMAP.AccessAsUser.All", "mailbox_server_no_answer"),
        ("not_offered", "PLAIN", "IMAP.AccessAsUser.All", "mailbox_bearer_not_offered"),
        ("not_opened", "NO", "IMAP.AccessAsUser.All", "mailbox_protocol_disabled"),
        (
            "refused",
            "NO [ALERT] Your account is not enabled for IMAP use.",
            "SMTP.Send",
            "mailbox_protocol_disabled",
        ),
        (*REFUSED, "SMTP.Send", "mailbox_scope_missing"),
        (*REFUSED, "SMTP.Send IMAP.AccessAsUser.All", "mailbox_token_refused"),
        ("not_sent", "control character in the token", "SMTP.Send", "mailbox_token_refused"),
    ],
)
def test_login_that_failed(
    trouble: str, reply: str, scp: str, code: str, seen_of: Callable[..., Seen]
) -> None:
    """By how far it came, what the server said, and what the token allows."""
    finding = why_mailbox_not_opened(seen_of(granted(scp), login(trouble, reply)), PLACE)
    assert (finding.code, finding.subject) == (code, PLACE)


@pytest.mark.parametrize("trouble", MailboxTrouble)
def test_every_trouble_has_a_name(trouble: MailboxTrouble, seen_of: Callable[..., Seen]) -> None:
    assert why_mailbox_not_opened(seen_of(granted(), login(trouble)), PLACE).code != "unexplained"


def refused_auth() -> AuthExchange:
    return AuthExchange(asked_at=NOW, reply=SmtpReply(535, ("5.7.3 Authentication unsuccessful",)))


def test_token_that_no_server_takes_is_one_cause(seen_of: Callable[..., Seen]) -> None:
    """What AUTH was refused for explains the mailbox's refusal, too: for another service, say."""
    seen = seen_of(granted(aud="https://graph.microsoft.com"), refused_auth(), login(*REFUSED), imap=CHECKED)
    assert why_mailbox_not_opened(seen, PLACE).id == "token_wrong_audience"
    assert why_not_looked_into(seen).id == "token_wrong_audience"


def test_token_that_was_taken_for_sending_is_not_at_fault(seen_of: Callable[..., Seen]) -> None:
    taken = AuthExchange(asked_at=NOW, reply=SmtpReply(235, ("ok",)))
    seen = seen_of(granted("IMAP.AccessAsUser.All", aud="https://other.example"), taken, login(*REFUSED))
    assert why_mailbox_not_opened(seen, PLACE).code == "mailbox_token_refused"


def test_what_refuses_a_token_everywhere_is_one_cause(seen_of: Callable[..., Seen]) -> None:
    """A token without fault that neither server of the provider takes."""
    own, token = Provider("custom", "A server of one's own"), granted("SMTP.Send IMAP.AccessAsUser.All")
    refused = AuthExchange(asked_at=NOW, reply=SmtpReply(535, ("5.7.8 Authentication failed",)))
    seen = seen_of(token, refused, login(*REFUSED), provider=own)
    assert why_mailbox_not_opened(seen, PLACE).id == "token_rejected_by_server"
    assert why_not_authenticated(seen).id == "token_rejected_by_server"
    not_asked = seen_of(token, login(*REFUSED), provider=own)
    assert why_mailbox_not_opened(not_asked, PLACE).code == "mailbox_token_refused"


def test_what_only_the_sending_server_minds_is_not_the_mailboxs(seen_of: Callable[..., Seen]) -> None:
    """That submission is switched off says nothing of reading."""
    words = "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."
    switched_off = AuthExchange(asked_at=NOW, reply=SmtpReply(535, (words,)))
    seen = seen_of(granted("SMTP.Send IMAP.AccessAsUser.All"), switched_off, login(*REFUSED))
    assert why_mailbox_not_opened(seen, PLACE).code == "mailbox_token_refused"


def test_login_of_a_reader_says_nothing_of_this_token(seen_of: Callable[..., Seen]) -> None:
    """The other profile signs in with a token of its own."""
    _, refusal = login(*REFUSED)
    of_reader = ("imap of reader", replace(refusal, user="reader@contoso.com"))
    flawed = granted(aud="https://graph.microsoft.com")
    seen = seen_of(flawed, of_reader, delivery=Delivery("probe@contoso.com", "reader"))
    assert why_not_looked_into(seen).code == "delivery_check_unavailable"
    assert fault_of_token(seen, replace(refusal, user=ME.upper())) is not None
    assert fault_of_token(seen_of(), refusal) is None


def test_scope_that_was_asked_for_in_vain_is_one_cause(seen_of: Callable[..., Seen]) -> None:
    """Stage token has shown it already."""
    scope = "https://outlook.office.com/IMAP.AccessAsUser.All"
    asked = granted(scope_granted=("https://outlook.office.com/SMTP.Send",))
    seen = seen_of(asked, login(*REFUSED))
    oauth = replace(seen.profile.oauth, scope=("https://outlook.office.com/SMTP.Send", scope))
    seen = replace(seen, profile=replace(seen.profile, oauth=oauth))
    assert why_mailbox_not_opened(seen, PLACE).id == f"scope_not_granted:{scope}"


@pytest.mark.parametrize(
    ("scp", "wanted"),
    [
        ("SMTP.Send", "missing"),
        ("IMAP.AccessAsUser.All", "present"),
        ("mail.everything", "unknown"),
        ("", "unknown"),
    ],
)
def test_permission_to_read(scp: str, wanted: str, seen_of: Callable[..., Seen]) -> None:
    """Missing only where the words of the token are those of a provider we know."""
    assert reading_permission(seen_of(granted(scp)), MailboxProtocol.IMAP) == wanted


def test_permission_is_unknown_where_rbac_decides(seen_of: Callable[..., Seen]) -> None:
    seen = seen_of(granted())
    oauth = replace(seen.profile.oauth, app_permission="rbac")
    assert (
        reading_permission(replace(seen, profile=replace(seen.profile, oauth=oauth)), MailboxProtocol.IMAP)
        == "unknown"
    )


def test_right_to_read_is_no_excess_where_the_profile_reads(profile_with: Callable[..., Profile]) -> None:
    reading = profile_with(delivery=Delivery(ME), imap=IMAP)
    assert "IMAP.AccessAsUser.All" in wanted_for_reading(reading)
    assert wanted_for_reading(profile_with(imap=IMAP)) == ()


WHYS: Mapping[str, Callable[[Seen], Finding]] = {
    "not_looked_into": why_not_looked_into,
    "not_arrived": why_not_arrived,
    "not_opened": lambda seen: why_mailbox_not_opened(seen, PLACE),
}


@pytest.mark.parametrize("why", WHYS)
def test_every_why_answers_where_nothing_was_seen(why: str, seen_of: Callable[..., Seen]) -> None:
    assert WHYS[why](seen_of()).causes
    assert WHYS[why](seen_of(delivery=None)).causes


# --- the faults of the lab, over real sockets --------------------------------------------------------------


@pytest.fixture(scope="module")
def thread() -> Iterator[AskingThread]:
    asking = AskingThread()
    yield asking
    asking.stop()


def demo(name: str = "demo-delivery") -> Profile:
    return load_profile(ROOT / "profiles" / f"{name}.toml", load_providers())


def asked_of(lab: Lab, of: Profile, thread: AskingThread) -> Evidence:
    """Everything that the two stages need, asked in a lab."""
    profile = lab.overlay(of)
    wallet = Wallet()
    for key, secret in lab.secrets().items():
        wallet.put(key, secret)
    wanted = [
        Question(kind, subject)
        for kind in (MailboxLogin, Arrival)
        for subject in ROWS[kind].subjects(profile)
    ]
    return thread.submit(Recorder(profile, wallet, wanted)).result(LIMIT_S)


def code_of(seen: Seen) -> str:
    """What the checks of delivery and mailbox_access say first, in their order."""
    profile = seen.profile
    looking = seen.get(MailboxLogin, profile.delivery_login)
    if not can_be_looked_into(looking):
        return why_not_looked_into(seen).code
    found = seen.get(Arrival, list(profile.watched)[-1])
    if found is None or found.message is None:
        return why_not_arrived(seen).code
    if remark := remark_on_delivery_time(seen, found):
        return remark.code
    if not found.message.in_inbox:
        return why_outside_inbox(seen, found.message).code
    for method in ("spf", "dkim", "dmarc"):
        if says_something_of(found.message, method) and found.message.result_of(method) != "pass":
            return why_not_proven(seen, found.message, method).code
    if not is_from_sender(found.message, profile.sender):
        return why_sender_rewritten(seen, found.message).code
    return next(
        (why_mailbox_not_opened(seen, place).code for place, one in named_logins(seen) if not one.opened), ""
    )


def named_logins(seen: Seen) -> list[tuple[str, MailboxLogin]]:
    found = ((one.subject, answer) for one, answer in seen.answers.items() if one.kind is MailboxLogin)
    return [(place, answer) for place, answer in found if isinstance(answer, MailboxLogin)]


@pytest.mark.parametrize("fault", [row.name for row in faults.ROWS])
def test_fault_is_named(fault: str, thread: AskingThread) -> None:
    """Each is recognised by what it does on the wire, and a replay of the evidence says the same."""
    row, profile = FAULTS[fault], demo()
    if row.lacks(profile):
        profile = replace(profile, imap=replace(profile.imap, check=False))
    assert not row.lacks(profile)
    with Lab.start("microsoft365", fault) as lab:
        seen = asked_of(lab, profile, thread).seen
    assert code_of(seen) == row.code
    answers, _ = decode(json.loads(json.dumps(encode(seen))))
    assert code_of(replace(seen, answers=answers)) == row.code


def test_healthy_lab_shows_nothing(thread: AskingThread) -> None:
    with Lab.start() as lab:
        assert code_of(asked_of(lab, demo(), thread).seen) == ""


@pytest.mark.parametrize("provider", ["google", "custom", "outlook_personal"])
def test_message_is_found_in_the_lab_of_every_provider(provider: str, thread: AskingThread) -> None:
    """Each has tokens, refusals and permissions of its own."""
    name = {"google": "demo-gmail", "outlook_personal": "demo-outlook"}.get(provider, "")
    of = demo(name) if name else load_profile(ROOT / "profiles/templates/custom.toml", load_providers())
    of = replace(of, delivery=Delivery(of.mailbox), imap=CHECKED)
    if provider == "outlook_personal":
        scope = ("SMTP.Send", "IMAP.AccessAsUser.All")
        oauth = replace(of.oauth, scope=tuple(f"https://outlook.office.com/{one}" for one in scope))
        of = replace(of, oauth=oauth)
    of = replace(of, send=replace(of.send, sender=of.mailbox, to=(of.mailbox,)) if of.send else None)
    with Lab.start(provider) as lab:
        assert code_of(asked_of(lab, of, thread).seen) == ""


def test_application_that_only_sends_cannot_look(thread: AskingThread) -> None:
    """Its token holds no permission to read, and gets none for this check."""
    of = demo("demo-app")
    of = replace(of, delivery=Delivery(of.mailbox), send=replace(of.send, to=(of.mailbox,)))  # type: ignore[type-var] # it has one
    with Lab.start() as lab:
        seen = asked_of(lab, of, thread).seen
    code, _, words = told(why_not_looked_into(seen))
    assert code == "delivery_check_unavailable"
    assert "the token allows: SMTP.SendAsApp; wanted: IMAP.AccessAsUser.All or IMAP.AccessAsApp" in words


def test_reader_finds_the_message_and_the_sender_the_bounce(thread: AskingThread) -> None:
    """Two logins, two wallets, two mailboxes; whoever learns of it first ends the wait of both."""
    of, probe = demo(), "probe@contoso.example"
    reader = replace(demo("demo"), name="reader", mailbox=probe)
    of = replace(
        of,
        send=replace(of.send, to=(probe,)),  # type: ignore[type-var] # it has one
        delivery=Delivery(probe, "reader", 600),
        reader=reader,
    )
    with Lab.start() as lab:
        assert code_of(asked_of(lab, of, thread).seen) == ""
    with Lab.start("microsoft365", "delivery_bounced") as lab:
        seen = asked_of(lab, of, thread).seen
    assert code_of(seen) == "delivery_bounced"
    assert [bool(one.bounce) for one in seen.every(Arrival)] == [
        one.mailbox != probe for one in seen.every(Arrival)
    ]


def test_no_token_stands_in_the_evidence(thread: AskingThread) -> None:
    """Neither the profile's nor the reader's, in no transcript."""
    with Lab.start("microsoft365", "mailbox_token_refused") as lab:
        evidence = asked_of(lab, demo(), thread)
        secrets = [secret.reveal() for secret in lab.secrets().values()]
    text = json.dumps(encode(evidence.seen))
    coded = [base64.b64encode(one.encode()).decode()[:40] for one in secrets]
    assert not any(one in text for one in (*secrets, *coded))
    assert "Bearer ey" not in text
    assert base64.b64encode(b"user=alerts").decode()[:12] not in text


# --- the suite, as its users run it ------------------------------------------------------------------------

DELIVERY = "test_delivery.py::"


def write(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """The demonstration with some of its text replaced."""
    text = (ROOT / "profiles/demo-delivery.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


ELSEWHERE = ('to = ["alerts@contoso.example"]', 'to = ["probe@contoso.example"]')
UNCHECKED = ("check = true", "check = false")


@pytest.fixture(scope="module")
def healthy(run_suite: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The demonstrations, one that may not look, and one for which another looks: one run for them all."""
    folder = tmp_path_factory.mktemp("profiles")
    blind = write(folder, "blind", ELSEWHERE, UNCHECKED)
    lookout = write(folder, "lookout", ELSEWHERE, UNCHECKED, ("within_s", 'profile = "reader"\nwithin_s'))
    write(folder, "reader")
    names = ("demo-delivery", "demo", blind, lookout)
    return run_suite(*(f"--profile={one}" for one in names), "-vv", "--showlocals", "-rA")


def worth_acting_on(report: Mapping[str, Any]) -> list[str]:
    """The codes of the findings that are no mere notices."""
    return [one["code"] for one in report["findings"] if one["severity"] != "notice"]


def test_demonstration_is_ready(healthy: Any) -> None:
    """Nothing is left out, and the verdict says that the message was found."""
    report = healthy.report("demo-delivery")
    assert healthy.status == 0
    assert (report["verdict"], report["proven"], report["not_asked"]) == ("ready", "delivery", [])
    assert worth_acting_on(report) == []
    assert "excess_permissions" not in {one["code"] for one in report["findings"]}
    assert "a message was sent and found in the mailbox" in healthy.stdout


def test_demonstration_shows_no_token(healthy: Any) -> None:
    """In no file of the report, and on no terminal."""
    texts = [healthy.stdout, healthy.stderr]
    texts += [one.read_text(encoding="utf-8") for one in healthy.folder.rglob("*") if one.is_file()]
    forms = ("Bearer ey", "eyJ0eXAi", "eyJhbGci", base64.b64encode(b"user=alerts@").decode()[:12])
    assert not [form for form in forms if any(form in text for text in texts)]


def test_replay_of_the_demonstration_judges_the_same(healthy: Any, run_suite: Any) -> None:
    again = run_suite(f"--replay={healthy.path('demo-delivery')}")
    assert again.status == 0
    assert again.outcomes("demo-delivery-replay") == healthy.outcomes("demo-delivery")
    assert again.report("demo-delivery-replay")["verdict"] == "ready"


def test_login_is_asked_without_sending(run_suite: Any) -> None:
    """``--until=auth``: mailbox_access is part of it, the message is not."""
    suite = run_suite("--profile=demo-delivery", "--until=auth")
    assert suite.outcomes("demo-delivery")["test_mailbox_access.py::test_mailbox_opens[imap]"] == "passed"
    assert not {"DataExchange", "Arrival", "MailFrom"} & suite.kinds_asked("demo-delivery")


def test_profile_without_a_mailbox_to_read_opens_none(healthy: Any) -> None:
    assert not {"MailboxLogin", "Arrival", "ReaderGrant"} & healthy.kinds_asked("demo")


def test_where_nobody_may_look_it_is_a_warning(healthy: Any) -> None:
    """Nothing turns red and nothing is incomplete; the verdict does not claim that the message arrived."""
    report = healthy.report("blind")
    assert (report["verdict"], report["proven"]) == ("ready_with_warnings", "data")
    assert worth_acting_on(report) == ["delivery_check_unavailable"]
    assert healthy.having("warned", "blind") == [f"{DELIVERY}test_mailbox_can_be_looked_into"]
    assert f"{DELIVERY}test_message_arrives" in healthy.having("blocked", "blind")


def test_another_profiles_login_looks(healthy: Any) -> None:
    """Named by its file beside this one."""
    report = healthy.report("lookout")
    assert (report["verdict"], report["proven"]) == ("ready", "delivery")
    assert "ReaderGrant" in healthy.kinds_asked("lookout")


def test_profile_that_is_named_and_not_there_is_a_usage_line(run_suite: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "lookout", ("within_s", 'profile = "raeder"\nwithin_s'))
    write(tmp_path, "reader")
    suite = run_suite(f"--profile={path}")
    assert suite.status == 4
    assert suite.usage == [
        f"{path}: delivery.profile: found 'raeder'; wanted one of reader; did you mean reader?"
    ]


def test_bounce_is_one_red_line(run_suite: Any) -> None:
    """What depends on it is blocked; the logins are as ever."""
    suite = run_suite("--profile=demo-delivery", "--fault=delivery_bounced")
    assert suite.status == 1
    assert suite.having("failed", "demo-delivery") == [f"{DELIVERY}test_message_arrives"]
    assert worth_acting_on(suite.report("demo-delivery")) == ["delivery_bounced"]
    assert "\nnot ready: a message was accepted by the server, and came back undelivered.\n" in suite.stdout
    assert "\nTo be sure: Read the status code in the bounce.\n" in suite.stdout
    assert len(suite.having("blocked", "demo-delivery")) == 5


def test_login_that_fails_is_one_red_line(run_suite: Any) -> None:
    """At the first check that meets it; its own is blocked by it."""
    suite = run_suite("--profile=demo-delivery", "--fault=mailbox_protocol_disabled")
    assert suite.status == 1
    assert suite.having("failed", "demo-delivery") == [f"{DELIVERY}test_mailbox_can_be_looked_into"]
    assert "test_mailbox_access.py::test_mailbox_opens[imap]" in suite.having("blocked", "demo-delivery")
    assert suite.outcomes("demo-delivery")["test_mailbox_access.py::test_mailbox_opens[pop]"] == "passed"
