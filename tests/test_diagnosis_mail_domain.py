"""What a sender's domain publishes, what name servers and ports say, and the cause it stands for."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smtp_preflight.diagnosis import mail_domain
from smtp_preflight.diagnosis.dns import why_no_address
from smtp_preflight.diagnosis.follow_ups import follow_ups
from smtp_preflight.diagnosis.mail_domain import (
    covers_provider,
    why_dmarc_unusable,
    why_mail_refused,
    why_mail_server_is_alias,
    why_mail_server_without_address,
    why_mta_sts_policy_differs,
    why_mta_sts_unreadable,
    why_no_dkim_key,
    why_no_dmarc,
    why_no_mail_server,
    why_no_mta_sts_policy,
    why_no_single_spf,
    why_spf_lacks_provider,
    why_spf_takes_too_long,
    why_spf_unreadable,
    why_tls_reporting_unreadable,
)
from smtp_preflight.diagnosis.name_servers import servers_agree, why_servers_disagree
from smtp_preflight.diagnosis.tcp import why_not_connected
from smtp_preflight.diagnosis.tlsa import announces, comparable, tlsa_question, why_not_announced
from smtp_preflight.knowledge import entry
from smtp_preflight.ledger import CheckFrame, Ledger
from smtp_preflight.model import (
    Announced,
    Certainty,
    Certificate,
    DkimKeys,
    DmarcWalk,
    DnsAnswer,
    DnsStatus,
    Endpoint,
    Finding,
    Grant,
    HttpExchange,
    HttpFailure,
    MailExchangers,
    MailHost,
    MtaSts,
    NameServers,
    Outcome,
    PortCheck,
    PortState,
    Profile,
    Provider,
    Published,
    Question,
    Seen,
    ServerAnswer,
    Severity,
    Smtp,
    SpfTree,
    Stage,
    SystemAddresses,
    TcpAttempt,
    TcpConnects,
    TcpOutcome,
    TlsHandshake,
    TlsReporting,
    tags_of,
    trouble_in,
)
from smtp_preflight.probes.mail_domain import spf_record

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
DOMAIN = "contoso.com"
PRESET = "smtp.office365.com"
OUTLOOK = "spf.protection.outlook.com"

MakeProfile = Callable[..., Profile]
MakeSeen = Callable[..., Seen]


def answer(
    name: str, rdtype: str, *records: str, status: DnsStatus = DnsStatus.NODATA, aliases: tuple[str, ...] = ()
) -> DnsAnswer:
    """What DNS says: the records, or where there are none the status."""
    return DnsAnswer(
        asked_at=NOW,
        name=name,
        rdtype=rdtype,
        status=DnsStatus.ANSWER if records else status,
        records=records,
        aliases=aliases,
    )


def text(name: str, *records: str) -> DnsAnswer:
    return answer(name, "TXT", *records)


def addresses(host: str, *found: str, aliases: tuple[str, ...] = ()) -> Published:
    four = [one for one in found if ":" not in one]
    six = [one for one in found if ":" in one]
    return Published(answer(host, "A", *four, aliases=aliases), answer(host, "AAAA", *six, aliases=aliases))


def only(finding: Finding, code: str, subject: str = DOMAIN) -> dict[str, str]:
    """The facts of a finding that is certain, a mere warning, and about this."""
    assert [(one.code, one.certainty) for one in finding.causes] == [(code, Certainty.CERTAIN)]
    assert entry(code).severity is Severity.WARNING
    assert finding.subject == subject
    return dict(finding.causes[0].facts)


@pytest.fixture
def told(seen_with: MakeSeen, profile_with: MakeProfile) -> Callable[..., dict[str, str]]:
    """The facts of the one cause that a judgement names for what was seen of the domain."""

    def tell(why: Callable[[Seen, str], Finding], code: str, *observations: Any) -> dict[str, str]:
        seen = seen_with(*((DOMAIN, one) for one in observations), profile=outlook(profile_with))
        return only(why(seen, DOMAIN), code)

    return tell


Told = Callable[..., dict[str, str]]


def outlook(profile_with: MakeProfile, **changes: Any) -> Profile:
    provider = replace(
        profile_with().provider, spf_include=(OUTLOOK,), dkim_selectors=("selector1", "selector2")
    )
    return profile_with(**{"provider": provider, **changes})


# --- who takes mail ----------------------------------------------------------------------------------------


def exchangers(*records: str, **hosts: Published) -> MailExchangers:
    return MailExchangers(
        asked_at=NOW,
        domain=DOMAIN,
        mx=answer(DOMAIN, "MX", *records),
        hosts=tuple(MailHost(name.replace("_", "."), found) for name, found in hosts.items()),
    )


HEALTHY_MX = exchangers("10 mx.contoso.com", mx_contoso_com=addresses("mx.contoso.com", "192.0.2.25"))


def test_healthy_mail_servers() -> None:
    assert HEALTHY_MX.names == ("mx.contoso.com",)
    assert not HEALTHY_MX.refuses_mail
    assert HEALTHY_MX.aliases == HEALTHY_MX.without_address == ()


def test_preference_decides_the_order_and_numbers_are_numbers() -> None:
    found = exchangers("100 c.example.com", "20 B.example.com", "3 a.example.com", "20 b.example.com", "odd")
    assert found.names == ("", "a.example.com", "b.example.com", "c.example.com")


def test_domain_without_mx(told: Told) -> None:
    facts = told(why_no_mail_server, "mx_missing", exchangers())
    assert facts["seen"] == "contoso.com MX: nodata"
    assert facts["domain"] == DOMAIN


def test_domain_that_takes_no_mail(told: Told) -> None:
    found = exchangers("0 .")
    assert found.refuses_mail
    assert told(why_mail_refused, "mx_null", found)["seen"] == "contoso.com MX: 0 ."


@pytest.mark.parametrize("beside", ["192.0.2.25", "2001:db8::25"])
def test_mail_server_that_is_an_alias(beside: str, told: Told) -> None:
    """That it leads to an address does not help."""
    host = addresses("mx.contoso.com", beside, aliases=("mail.example.com",))
    found = exchangers("10 mx.contoso.com", mx_contoso_com=host)
    assert (found.aliases, found.without_address) == (("mx.contoso.com",), ())
    facts = told(why_mail_server_is_alias, "mx_is_alias", found)
    assert facts["mx_host"] == "mx.contoso.com"
    assert "(via mail.example.com)" in facts["seen"]


def test_mail_server_without_address(told: Told) -> None:
    """One of several is enough; the others are not named."""
    found = exchangers(
        "10 mx.contoso.com",
        "20 old.contoso.com",
        mx_contoso_com=addresses("mx.contoso.com", "2001:db8::25"),
        old_contoso_com=addresses("old.contoso.com"),
    )
    facts = told(why_mail_server_without_address, "mx_unresolvable", found)
    assert facts["mx_host"] == "old.contoso.com"


# --- who may send ------------------------------------------------------------------------------------------


def tree(own: str | tuple[str, ...], **others: str | tuple[str, ...]) -> SpfTree:
    """SPF records by name, in which underscores stand for dots."""
    named = {DOMAIN: own, **{name.replace("_", "."): one for name, one in others.items()}}
    records = [
        spf_record(text(name, *((one,) if isinstance(one, str) else one))) for name, one in named.items()
    ]
    return SpfTree(asked_at=NOW, domain=DOMAIN, own=records[0], others=tuple(records[1:]))


PROVIDERS = {"spf_protection_outlook_com": "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"}


def test_domain_without_spf(told: Told) -> None:
    facts = told(why_no_single_spf, "spf_missing", tree(("MS=ms123", "hello")))
    assert facts["seen"] == "contoso.com TXT: MS=ms123 | hello"
    assert facts["spf_include"] == OUTLOOK


def test_domain_with_two_spf_records(told: Told) -> None:
    facts = told(why_no_single_spf, "spf_multiple", tree(("v=spf1 mx -all", "v=spf1 -all")))
    assert facts["seen"] == "contoso.com: v=spf1 mx -all\ncontoso.com: v=spf1 -all"


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (tree("v=spf1 ip4:192.0.2.300 -all"), "ip4:192.0.2.300"),
        (tree("v=spf1 include:a.b -all", a_b="v=spf1 foo -all"), "a.b: foo"),
        (tree("v=spf1 include:a.b -all", a_b=()), "a.b: no SPF record there"),
        (tree("v=spf1 redirect=a.b", a_b=("v=spf1", "v=spf1 mx")), "a.b: more than one SPF record there"),
    ],
)
def test_spf_that_cannot_be_read(found: SpfTree, problem: str, told: Told) -> None:
    """The domain's own, or one that it leads to: a void one too."""
    assert found.problem == problem
    assert told(why_spf_unreadable, "spf_invalid", found)["spf_problem"] == problem


@pytest.mark.parametrize(
    ("found", "lookups"),
    [
        (tree("v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 exp=x.example.com all"), 0),
        (tree("v=spf1 a mx ptr exists:%{i}.x.com include:a.b -all", a_b="v=spf1 -all"), 5),
        (tree("v=spf1 include:a.b include:c.d -all", a_b="v=spf1 include:c.d", c_d="v=spf1 mx a"), 7),
        (tree("v=spf1 redirect=a.b", a_b="v=spf1 mx -all"), 2),
        (tree("v=spf1 mx -all include:a.b redirect=a.b a", a_b="v=spf1 mx"), 1),
        (tree("v=spf1 " + "a " * 10), 10),
        (tree("v=spf1 " + "a " * 1000), 50),
        (tree("v=spf1 redirect=a.b", a_b="v=spf1 redirect=contoso.com"), 50),
        (tree("v=spf1 include:contoso.com -all"), 50),
    ],
)
def test_lookups_are_counted_within_inclusions(found: SpfTree, lookups: int) -> None:
    """Nothing behind ``all`` counts, no ``redirect`` beside it; what is included twice is evaluated twice."""
    assert found.lookups == lookups


@pytest.mark.parametrize(
    ("found", "words"),
    [(tree("v=spf1 " + "a " * 11), "11"), (tree("v=spf1 include:contoso.com"), "50 or more")],
)
def test_spf_with_too_many_lookups(found: SpfTree, words: str, told: Told) -> None:
    assert told(why_spf_takes_too_long, "spf_too_many_lookups", found)["spf_lookups"] == words


@pytest.mark.parametrize(
    "own",
    [
        "v=spf1 include:spf.protection.outlook.com -all",
        "v=spf1 INCLUDE:SPF.Protection.Outlook.com. ~all",
        "v=spf1 redirect=a.b",
        "v=spf1 ?include:x.y include:a.b -all",
        "v=spf1 +all",
        "v=spf1 ip4:192.0.0.0/16 ip6:2001:db8::/32 -all",
        "v=spf1 include:x.y ip6:2001:db8::/31 ip4:192.0.2.0/24 -all",
    ],
)
def test_provider_that_is_covered(own: str, profile_with: MakeProfile) -> None:
    """By its name, on whatever way; by everybody's leave; by addresses that somebody copied."""
    nested = {"a_b": f"v=spf1 include:{OUTLOOK} -all", "x_y": "v=spf1 ip4:198.51.100.1 -all"}
    assert covers_provider(outlook(profile_with), tree(own, **nested, **PROVIDERS))


@pytest.mark.parametrize(
    "own",
    [
        "v=spf1 mx -all",
        "v=spf1 -all include:spf.protection.outlook.com",
        "v=spf1 -include:spf.protection.outlook.com mx",
        "v=spf1 ~include:spf.protection.outlook.com ?all",
        "v=spf1 include=spf.protection.outlook.com -all",
        "v=spf1 -all redirect=spf.protection.outlook.com",
        "v=spf1 ip4:192.0.2.0/25 ip6:2001:db8::/32 -all",
        "v=spf1 ip4:192.0.2.0/24 -all",
        "v=spf1 -ip4:192.0.2.0/24 -ip6:2001:db8::/32",
    ],
)
def test_provider_that_is_not_covered(own: str, told: Told, profile_with: MakeProfile) -> None:
    found = tree(own, **PROVIDERS)
    assert not covers_provider(outlook(profile_with), found)
    facts = told(why_spf_lacks_provider, "spf_provider_not_included", found)
    assert facts["spf_include"] == OUTLOOK
    assert facts["seen"].startswith(f"contoso.com: {own}")


def test_provider_that_publishes_nothing_is_not_covered() -> None:
    """Nothing is not within everything."""
    assert not tree("v=spf1 ip4:0.0.0.0/0 -all").covers(OUTLOOK)


@pytest.mark.parametrize(
    ("own", "by_macro"),
    [
        ("v=spf1 include:%{ir}.spf.contoso.com -all", True),
        ("v=spf1 exists:%{i}._spf.%{d} -all", True),
        ("v=spf1 redirect=%{d}.spf.example.com", True),
        ("v=spf1 include:a.b -all", True),
        ("v=spf1 -exists:%{i}.blocked.contoso.com include:c.d -all", False),
        ("v=spf1 exp=%{i}.contoso.com -all", False),
    ],
)
def test_macros_leave_the_answer_to_receivers(own: str, by_macro: bool) -> None:
    """Where they let mail pass, that is."""
    assert tree(own, a_b="v=spf1 exists:%{i}.x.com", c_d="v=spf1 mx").by_macro is by_macro


# --- how mail can be told ----------------------------------------------------------------------------------


def test_domain_without_a_key(told: Told) -> None:
    names = [f"selector{n}._domainkey.{DOMAIN}" for n in (1, 2)]
    revoked = DkimKeys(asked_at=NOW, domain=DOMAIN, answers=(text(names[0], "v=DKIM1; p="), text(names[1])))
    assert not revoked.published
    facts = told(why_no_dkim_key, "dkim_selector_missing", revoked)
    assert facts["dkim_selector"] == "selector1"
    assert facts["seen"].splitlines() == [f"{names[0]} TXT: v=DKIM1; p=", f"{names[1]} TXT: nodata"]


def dmarc(*records: str, above: tuple[str, ...] = ()) -> DmarcWalk:
    return DmarcWalk(
        asked_at=NOW,
        domain=DOMAIN,
        own=Announced(text(f"_dmarc.{DOMAIN}", *records), "DMARC1"),
        above=(Announced(text("_dmarc.com", *above), "DMARC1"),),
    )


@pytest.mark.parametrize(
    "record",
    [
        "v=DMARC1",
        "v=DMARC1;",
        "v = DMARC1 ; p = Reject ; rua=mailto:dmarc@contoso.com",
        "v=DMARC1; rua=mailto:dmarc@contoso.com",
        "v=DMARC1; sp=quarantine; np=none; p=none",
        "v=DMARC1; p=reject; pct=many; rf=afrf; ri=never; x-of-our-own=1; novalue",
    ],
)
def test_dmarc_that_can_be_used(record: str) -> None:
    """A policy that is missing is ``none``; tags that were dropped, or are not known, say nothing."""
    assert (dmarc(record).published, dmarc(record).invalid) == (True, None)


@pytest.mark.parametrize(
    "records",
    [
        ("v=DMARC1; p=none", "v=DMARC1; p=reject"),
        ("v=dmarc1; p=none",),
        ("v=DMARC1 p=none",),
        ("p=none; v=DMARC1",),
        ("v=DMARC2; p=none",),
        ("v=DMARC1; p=monitor",),
        ("v=DMARC1; p=none; sp=all",),
        ("v=DMARC1; p=",),
    ],
)
def test_dmarc_that_cannot_be_used(records: tuple[str, ...], told: Told) -> None:
    """One at a higher level does not make up for it."""
    for found in (dmarc(*records), dmarc(*records, above=("v=DMARC1; p=none",))):
        assert found.published
        assert found.invalid is found.own
        facts = told(why_dmarc_unusable, "dmarc_invalid", found)
        assert facts["domain"] == DOMAIN
        assert facts["seen"] == f"_dmarc.contoso.com TXT: {' | '.join(records)}"


def test_dmarc_that_is_wrong_above_is_named_there(told: Told) -> None:
    facts = told(why_dmarc_unusable, "dmarc_invalid", dmarc(above=("v=DMARC1; p=of course",)))
    assert facts["domain"] == "com"


def test_text_for_something_else_is_no_dmarc(told: Told) -> None:
    """A wildcard record, say."""
    found = dmarc("v=spf1 -all", above=("google-site-verification=dmarc",))
    assert (found.published, found.invalid, found.applies) == (False, None, None)
    facts = told(why_no_dmarc, "dmarc_missing", found)
    assert facts["seen"].startswith("_dmarc.contoso.com TXT: v=spf1 -all\n_dmarc.com TXT")


# --- how mail travels --------------------------------------------------------------------------------------


def mta_sts(*records: str, http: HttpExchange | None = None, policy: tuple[str, ...] = ()) -> MtaSts:
    announced = Announced(text(f"_mta-sts.{DOMAIN}", *records), "STSv1")
    return MtaSts(asked_at=NOW, domain=DOMAIN, announced=announced, http=http, policy=policy)


WELL = "v=STSv1; id=20261120T070000"
URL = "https://mta-sts.contoso.com/.well-known/mta-sts.txt"
GOT = HttpExchange("GET", URL, status=200, headers={"content-type": "text/plain; charset=utf-8"})


@pytest.mark.parametrize(
    "records",
    [("v=STSv1; id=1", "v=STSv1; id=2"), ("v=STSv1",), ("v=sts1; id=1",), ("v=STSv1; id=2026-11-20",)],
)
def test_mta_sts_that_is_broken(records: tuple[str, ...], told: Told) -> None:
    found = mta_sts(*records)
    assert (found.announced.meant, found.valid) == (True, False)
    assert " | ".join(records) in told(why_mta_sts_unreadable, "mta_sts_invalid", found)["seen"]


def test_mta_sts_that_is_not_there_is_nothing() -> None:
    assert not mta_sts().announced.meant
    assert not mta_sts("v=spf1 -all").announced.meant
    assert trouble_in(mta_sts().answers) == ""


@pytest.mark.parametrize(
    ("http", "words"),
    [
        (
            HttpExchange("GET", URL, failure=HttpFailure.TLS, detail="hostname mismatch"),
            "tls: hostname mismatch",
        ),
        (HttpExchange("GET", URL, status=404), "HTTP 404"),
        (replace(GOT, headers={"content-type": "text/html"}), "content-type: text/html"),
    ],
)
def test_policy_that_does_not_come(http: HttpExchange, words: str, told: Told) -> None:
    found = mta_sts(WELL, http=http, policy=("version: STSv1", "mode: enforce"))
    assert (found.valid, found.fetched) == (True, False)
    assert words in told(why_no_mta_sts_policy, "mta_sts_policy_unreachable", found)["seen"]


def test_policy_that_names_other_mail_servers(told: Told) -> None:
    found = mta_sts(WELL, http=GOT, policy=("version: STSv1", "mode: testing", "mx: *.contoso.com"))
    assert found.fetched
    assert found.unnamed(HEALTHY_MX.names) == ()
    assert found.unnamed(["contoso.com", "a.b.contoso.com"]) == ("contoso.com", "a.b.contoso.com")
    seen = told(why_mta_sts_policy_differs, "mta_sts_policy_mismatch", found, HEALTHY_MX)["seen"]
    assert seen.splitlines()[-2:] == ["mx: *.contoso.com", "MX: mx.contoso.com"]


def test_reports_that_lead_nowhere(told: Told) -> None:
    found = TlsReporting(
        asked_at=NOW,
        domain=DOMAIN,
        announced=Announced(text(f"_smtp._tls.{DOMAIN}", "v=TLSRPTv1; rua=me"), "TLSRPTv1"),
    )
    assert not found.valid
    assert "rua=me" in told(why_tls_reporting_unreadable, "tls_rpt_invalid", found)["seen"]


@pytest.mark.parametrize(
    "why",
    [
        one
        for name, one in vars(mail_domain).items()
        if name.startswith("why_") and one.__module__ == mail_domain.__name__
    ],
    ids=lambda one: one.__name__,
)
def test_what_was_not_seen_is_explained_all_the_same(
    why: Callable[[Seen, str], Finding], seen_with: MakeSeen
) -> None:
    """With a provider of which nothing is known; the subject stays the domain."""
    finding = why(seen_with(), DOMAIN)
    assert finding.subject == DOMAIN
    assert finding.causes[0].facts["seen"] == ""


# --- a name server that knows no names of the internet -----------------------------------------------------


def denied(host: str) -> list[tuple[str, Any]]:
    """Neither DNS nor this machine knows the host."""
    four, six = (answer(host, kind, status=DnsStatus.NXDOMAIN) for kind in ("A", "AAAA"))
    nobody = SystemAddresses(asked_at=NOW, host=host, error="EAI_NONAME")
    return [(f"{host} A", four), (f"{host} AAAA", six), (host, nobody)]


def missing() -> list[tuple[str, Any]]:
    """What such a name server says of the sender's domain."""
    nothing = answer(DOMAIN, "MX", status=DnsStatus.NXDOMAIN)
    policy = Announced(replace(nothing, name=f"_dmarc.{DOMAIN}", rdtype="TXT"), "DMARC1")
    keys = replace(nothing, name=f"selector1._domainkey.{DOMAIN}", rdtype="TXT")
    return [
        (DOMAIN, MailExchangers(asked_at=NOW, domain=DOMAIN, mx=nothing)),
        (DOMAIN, SpfTree(asked_at=NOW, domain=DOMAIN, own=spf_record(replace(nothing, rdtype="TXT")))),
        (DOMAIN, DkimKeys(asked_at=NOW, domain=DOMAIN, answers=(keys,))),
        (DOMAIN, DmarcWalk(asked_at=NOW, domain=DOMAIN, own=policy)),
    ]


MISSING = [why_no_mail_server, why_no_single_spf, why_no_dkim_key, why_no_dmarc]


@pytest.mark.parametrize("why", MISSING)
def test_who_knows_no_names_of_the_internet_denies_nothing(
    why: Callable[[Seen, str], Finding], seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    """The provider's own host is denied, so that the domain's "no such name" proves nothing."""
    seen = seen_with(*denied(PRESET), *missing(), profile=outlook(profile_with))
    assert why(seen, DOMAIN).id == why_no_address(seen).id == "dns_resolution_failure"


@pytest.mark.parametrize("why", MISSING)
def test_a_wrong_host_of_ones_own_excuses_no_missing_record(
    why: Callable[[Seen, str], Finding], seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    """Unless the host where tokens are asked for is denied as well."""
    own = outlook(profile_with, smtp=Smtp("mail.contoso.com"))
    seen = seen_with(*denied("mail.contoso.com"), *missing(), profile=own)
    assert why(seen, DOMAIN).code in ("mx_missing", "spf_missing", "dkim_selector_missing", "dmarc_missing")
    http = HttpExchange("POST", "https://login.contoso.com/token", failure=HttpFailure.DNS)
    unasked = Grant(asked_at=NOW, grant="client_credentials", http=http)
    seen = seen_with(*denied("mail.contoso.com"), *missing(), unasked, profile=own)
    assert why(seen, DOMAIN).code == "dns_resolution_failure"


def test_a_name_server_that_is_cut_off_is_one_red_line(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    seen = seen_with(*denied(PRESET), *missing(), profile=outlook(profile_with))
    ledger = Ledger(seen)
    frames = [CheckFrame(f"test_dns.py::test_{number}", Stage.DNS, "It is there.") for number in range(5)]
    told = [why_no_address(seen), *(why(seen, DOMAIN) for why in MISSING)]
    outcomes = [ledger.fails(*pair).outcome for pair in zip(frames, told, strict=True)]
    assert outcomes == [Outcome.FAILED, *[Outcome.BLOCKED] * 4]
    assert [one.code for one in ledger.findings] == ["dns_resolution_failure"]


@pytest.mark.parametrize("asked", missing(), ids=lambda one: type(one[1]).__name__)
def test_whether_a_name_server_knows_the_internet_is_asked_where_it_was_not(
    asked: tuple[str, Any], seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    """``-k spf`` alone does not ask for the mail server's address."""
    profile = outlook(profile_with)
    wanted = {Question(type(one), subject) for subject, one in denied(PRESET)}
    assert set(follow_ups(seen_with(asked, profile=profile))) == wanted
    before = follow_ups(seen_with(*denied(PRESET), profile=profile))
    assert follow_ups(seen_with(asked, *denied(PRESET), profile=profile)) == before


def test_a_domain_that_exists_raises_no_doubt(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    assert follow_ups(seen_with((DOMAIN, exchangers()), profile=outlook(profile_with))) == ()


@pytest.mark.parametrize(
    "status", [DnsStatus.SERVFAIL, DnsStatus.REFUSED, DnsStatus.TIMEOUT, DnsStatus.UNREACHABLE]
)
def test_trouble_is_neither_yes_nor_no(status: DnsStatus) -> None:
    quiet = [
        text("a"),
        answer("b", "A", status=DnsStatus.NXDOMAIN),
        answer("c", "A", status=DnsStatus.INVALID_NAME),
    ]
    assert trouble_in(quiet) == ""
    assert trouble_in([*quiet, answer("d", "MX", status=status)]) == f"d MX ({status})"


def test_tags_are_read_leniently() -> None:
    assert tags_of(" V = 1 ;; p= a=b ;junk; P=second;") == {"v": "1", "p": "a=b"}


# --- name servers side by side -----------------------------------------------------------------------------


def asked(*each: tuple[str, ...] | DnsStatus) -> NameServers:
    """What each name server says: addresses, or a status."""
    host = "mail.contoso.com"
    published = [
        Published(answer(host, "A", status=one), answer(host, "AAAA", status=one))
        if isinstance(one, DnsStatus)
        else addresses(host, *one)
        for one in each
    ]
    servers = [ServerAnswer(f"192.0.2.{n}", one) for n, one in enumerate(published, 1)]
    return NameServers(asked_at=NOW, host=host, each=tuple(servers))


OWN, PUBLIC, OTHER = ("10.0.0.1",), ("52.97.1.1",), ("40.99.2.2", "2603:1026::1")


@pytest.mark.parametrize(
    ("each", "own_host", "preset_host"),
    [
        ((PUBLIC, PUBLIC), True, True),
        ((OTHER, OTHER[:1]), True, True),
        ((PUBLIC, OTHER), False, True),
        ((PUBLIC, OWN), False, False),
        ((PUBLIC, ()), False, False),
        ((PUBLIC, DnsStatus.NXDOMAIN), False, False),
        ((DnsStatus.NXDOMAIN, ()), True, True),
        ((PUBLIC, DnsStatus.TIMEOUT, PUBLIC), True, True),
    ],
)
def test_name_servers_agree_or_not(
    each: tuple[Any, ...], own_host: bool, preset_host: bool, profile_with: MakeProfile
) -> None:
    """Providers give each asker other addresses of their hosts; of one's own host the same are expected."""
    assert servers_agree(profile_with(smtp=Smtp("mail.contoso.com")), asked(*each)) is own_host
    assert servers_agree(profile_with(), asked(*each)) is preset_host


def test_name_servers_that_disagree(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    setup = profile_with(smtp=Smtp("mail.contoso.com"))
    seen = seen_with(("mail.contoso.com", asked(PUBLIC, DnsStatus.NXDOMAIN)), profile=setup)
    facts = only(why_servers_disagree(seen), "dns_servers_disagree", "")
    assert facts["seen"] == "192.0.2.1: 52.97.1.1\n192.0.2.2: nxdomain"
    assert only(why_servers_disagree(seen_with()), "dns_servers_disagree", "")["seen"] == ""


# --- what DNS announces of a certificate -------------------------------------------------------------------

PLAIN = "30820122"  # stands for a whole certificate


def certificate(name: str, sha256: str, key: str) -> Certificate:
    return Certificate(
        subject=name,
        issuer="CA",
        names=(),
        not_before=NOW,
        not_after=NOW,
        key_type="EC",
        key_bits=256,
        signature_hash="sha256",
        sha256=sha256,
        spki_sha256=key,
    )


WHOLE = hashlib.sha256(bytes.fromhex(PLAIN)).hexdigest()
SHOWN = TlsHandshake(
    asked_at=NOW,
    host=PRESET,
    chain=(certificate("leaf", "aa" * 32, "bb" * 32), certificate("authority", WHOLE, "cc" * 32)),
)


def tlsa(*records: str) -> DnsAnswer:
    return answer(f"_587._tcp.{PRESET}", "TLSA", *records)


@pytest.mark.parametrize(
    "record",
    [
        f"3 0 1 {'aa' * 32}",
        f"3 1 1 {'BB' * 32}",
        f"2 1 1 {'cc' * 32}",
        f"2 1 1 {'bb' * 32}",
        f"2 0 0 {PLAIN}",
    ],
)
def test_certificate_that_is_announced(record: str) -> None:
    """One record that fits is enough, whatever the others are."""
    assert announces(tlsa(f"3 1 1 {'dd' * 32}", record, "3 1 2 ff"), SHOWN)


@pytest.mark.parametrize(
    ("record", "known"),
    [
        (f"3 1 1 {'dd' * 32}", True),
        (f"3 1 1 {'cc' * 32}", True),  # the authority's key, where the server's own is asked for
        (f"3 1 1 {'aa' * 32}", True),  # the certificate's digest, where the key's is asked for
        (f"3 0 0 {PLAIN}", True),
        ("3 0 0 xy", True),
        (f"3 1 2 {'bb' * 64}", False),
        (f"3 9 1 {'bb' * 32}", False),
        (f"3 1 9 {'bb' * 32}", False),
        (f"1 1 1 {'bb' * 32}", False),
        ("3 1 1", False),
    ],
)
def test_certificate_that_is_not_announced(record: str, known: bool) -> None:
    """It takes a record that can be compared to say that another certificate is meant."""
    assert not announces(tlsa(record), SHOWN)
    assert comparable(tlsa(record)) is known


def test_certificate_that_is_not_the_announced_one(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    (question,) = tlsa_question(profile_with())
    assert question == f"_587._tcp.{PRESET} TLSA"
    seen = seen_with((question, tlsa(f"3 1 1 {'dd' * 32}")), SHOWN)
    facts = only(why_not_announced(seen), "tlsa_mismatch", "")
    assert facts["seen"].startswith(f"_587._tcp.{PRESET} TLSA: 3 1 1 dd")
    assert f"of its key {'bb' * 32}" in facts["seen"]
    assert only(why_not_announced(seen_with()), "tlsa_mismatch", "")["seen"] == ""


def test_address_has_no_announcement(profile_with: MakeProfile) -> None:
    assert tlsa_question(profile_with(smtp=Smtp("2001:db8::1"))) == ()


# --- other ports, after nothing connects -------------------------------------------------------------------

LOGIN = "login.microsoftonline.com:443"
GOOGLE = Provider(
    "google",
    "Gmail",
    endpoints=(Endpoint("smtp.gmail.com", 587), Endpoint("smtp.gmail.com", 465, "implicit")),
)


def connects(*outcomes: TcpOutcome, family: str = "ipv4", port: int = 587) -> tuple[str, TcpConnects]:
    attempts = tuple(TcpAttempt(f"192.0.2.{n}", port, one) for n, one in enumerate(outcomes, 1))
    return family, TcpConnects(asked_at=NOW, family=family, attempts=attempts)


def check(place: str, state: PortState) -> tuple[str, PortCheck]:
    host, _, port = place.rpartition(":")
    return place, PortCheck(asked_at=NOW, host=host, port=int(port), state=state)


def gmail(profile_with: MakeProfile, port: int = 587) -> Profile:
    return profile_with(provider=GOOGLE, smtp=Smtp("smtp.gmail.com", port))


def test_other_ports_are_tried_where_nothing_connects(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    seen = seen_with(connects(TcpOutcome.TIMEOUT), connects(family="ipv6"), profile=gmail(profile_with))
    assert follow_ups(seen) == (Question(PortCheck, LOGIN), Question(PortCheck, "smtp.gmail.com:465"))


@pytest.mark.parametrize(
    "answers",
    [
        (),
        (connects(),),
        (connects(TcpOutcome.CONNECTED, TcpOutcome.TIMEOUT),),
        (connects(TcpOutcome.CONNECTED), connects(TcpOutcome.NO_ROUTE, family="ipv6")),
    ],
)
def test_nothing_more_is_asked_where_something_connects(
    answers: tuple[Any, ...], seen_with: MakeSeen
) -> None:
    assert follow_ups(seen_with(*answers)) == ()


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("https://login.example.com:8443/token", ("login.example.com:8443",)),
        ("https://[2001:db8::1]/token", ("2001:db8::1:443",)),
        ("https://login.example.com:none/token", ()),
        ("", ()),
    ],
)
def test_internet_is_where_the_token_endpoint_is(
    endpoint: str, place: tuple[str, ...], seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    oauth = replace(profile_with().oauth, token_endpoint=endpoint)
    seen = seen_with(connects(TcpOutcome.TIMEOUT), profile=profile_with(oauth=oauth))
    assert follow_ups(seen) == tuple(Question(PortCheck, one) for one in place)


def test_behind_a_proxy_port_443_says_nothing(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    setup = profile_with(proxy="http://proxy.contoso.com:8080")
    assert follow_ups(seen_with(connects(TcpOutcome.TIMEOUT), profile=setup)) == ()


def test_lab_asks_for_the_ports_of_the_file(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    """Which port is the other one is said by the profile as it was written."""
    written = gmail(profile_with, 465)
    seen = seen_with(
        connects(TcpOutcome.REFUSED), profile=replace(written, smtp=Smtp("lab", 1), written=written)
    )
    assert Question(PortCheck, "smtp.gmail.com:587") in follow_ups(seen)


OPEN, CLOSED, SILENT, NOWHERE = PortState.OPEN, PortState.CLOSED, PortState.TIMEOUT, PortState.UNRESOLVED


@pytest.mark.parametrize(
    ("port", "outcome", "internet", "other", "codes"),
    [
        (587, TcpOutcome.TIMEOUT, None, None, ["tcp_port_blocked"]),
        (587, TcpOutcome.TIMEOUT, OPEN, SILENT, ["tcp_port_blocked"]),
        (587, TcpOutcome.TIMEOUT, OPEN, OPEN, ["tcp_port_blocked"]),
        (587, TcpOutcome.TIMEOUT, SILENT, SILENT, ["tcp_port_blocked"]),
        (587, TcpOutcome.TIMEOUT, NOWHERE, NOWHERE, ["tcp_port_blocked"]),
        (587, TcpOutcome.REFUSED, None, None, ["tcp_refused"]),
        (587, TcpOutcome.REFUSED, OPEN, None, ["tcp_refused"]),
        (587, TcpOutcome.REFUSED, CLOSED, CLOSED, ["tcp_refused"]),
        (587, TcpOutcome.REFUSED, OPEN, CLOSED, ["tcp_port_blocked", "tcp_refused"]),
        (587, TcpOutcome.REFUSED, OPEN, OPEN, ["tcp_port_blocked", "tcp_refused"]),
        (2525, TcpOutcome.REFUSED, OPEN, None, ["tcp_refused"]),
        (2525, TcpOutcome.REFUSED, OPEN, OPEN, ["port_not_offered", "tcp_refused"]),
        (2525, TcpOutcome.TIMEOUT, OPEN, OPEN, ["port_not_offered", "tcp_port_blocked"]),
        (2525, TcpOutcome.TIMEOUT, OPEN, SILENT, ["tcp_port_blocked"]),
        (587, TcpOutcome.PROHIBITED, OPEN, OPEN, ["tcp_prohibited"]),
    ],
)
def test_other_ports_tell_causes_apart(
    port: int,
    outcome: TcpOutcome,
    internet: PortState | None,
    other: PortState | None,
    codes: list[str],
    seen_with: MakeSeen,
    profile_with: MakeProfile,
) -> None:
    """A port that only this network lacks, one that the provider does not have, one that is down."""
    other_place = "smtp.gmail.com:465" if port == 587 else "smtp.gmail.com:587"
    checks = [check(place, state) for place, state in ((LOGIN, internet), (other_place, other)) if state]
    seen = seen_with(connects(outcome, port=port), *checks, profile=gmail(profile_with, port))
    finding = why_not_connected(seen)
    assert [one.code for one in finding.causes] == codes
    facts = finding.causes[0].facts
    assert facts["seen"].count("; ") == len(checks)
    assert facts["tcp_attempts"] == facts["seen"]


def test_port_check_reads_as_a_line() -> None:
    assert str(replace(check(LOGIN, CLOSED)[1], error="ECONNREFUSED")) == (
        "login.microsoftonline.com port 443: closed ECONNREFUSED"
    )
