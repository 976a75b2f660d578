"""Stage dns: do the names lead somewhere, and does the sender's domain vouch for its mail?

Evidence: ``published`` is what DNS says of the submission host, ``system`` what this machine makes of it;
the latter is what gets connected to. All further fixtures are about a domain that mail is sent from, if it is
the user's own; what is wrong there keeps no mail from leaving.
"""

from smtp_preflight.diagnosis.dns import remark_on_lookup_time, why_no_address, why_resolver_differs
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
from smtp_preflight.model import (
    MOST_SPF_LOOKUPS,
    DkimKeys,
    DmarcWalk,
    MailExchangers,
    MtaSts,
    NameServers,
    Profile,
    Published,
    Seen,
    SpfTree,
    Stage,
    SystemAddresses,
    TlsReporting,
)
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.DNS


def test_host_has_an_address(
    published: Published, system: SystemAddresses, seen: Seen, explain: Explain, remark: Remark
) -> None:
    """The submission host has an IPv4 or IPv6 address (RFC 5321 section 5)."""
    assert published.addresses or system.addresses, explain(why_no_address(seen))
    remark(remark_on_lookup_time(seen, published))


def test_this_machine_resolves_what_is_published(
    published: Published, resolved_here: SystemAddresses, seen: Seen, explain: Explain
) -> None:
    """What this machine resolves is what DNS says of the submission host."""
    assert published.agrees_with(resolved_here.addresses), explain(why_resolver_differs(seen))


def test_name_servers_agree(
    name_servers: NameServers, profile: Profile, seen: Seen, explain: Explain
) -> None:
    """The name servers that the profile lists say the same of the submission host."""
    assert servers_agree(profile, name_servers), explain(why_servers_disagree(seen))


def test_domain_names_its_mail_servers(
    mail_servers: MailExchangers, sender_domain: str, seen: Seen, explain: Explain
) -> None:
    """The sender's domain has an MX, so that answers and bounces arrive (RFC 5321 section 5.1)."""
    assert mail_servers.names, explain(why_no_mail_server(seen, sender_domain))


def test_domain_takes_mail(
    named_servers: MailExchangers, sender_domain: str, seen: Seen, explain: Explain
) -> None:
    """The MX is not the one that says that the domain takes no mail (RFC 7505 section 4.2)."""
    assert not named_servers.refuses_mail, explain(why_mail_refused(seen, sender_domain))


def test_mail_servers_go_by_their_own_name(
    looked_up_servers: MailExchangers, sender_domain: str, seen: Seen, explain: Explain
) -> None:
    """No host that an MX names is an alias (RFC 2181 section 10.3)."""
    assert not looked_up_servers.aliases, explain(why_mail_server_is_alias(seen, sender_domain))


def test_mail_servers_have_addresses(
    looked_up_servers: MailExchangers, sender_domain: str, seen: Seen, explain: Explain
) -> None:
    """Every host that an MX names has an address (RFC 5321 section 5.1)."""
    assert not looked_up_servers.without_address, explain(
        why_mail_server_without_address(seen, sender_domain)
    )


def test_spf_is_published_once(spf: SpfTree, sender_domain: str, seen: Seen, explain: Explain) -> None:
    """The domain has one SPF record, and not two (RFC 7208 section 4.5)."""
    assert len(spf.own.texts) == 1, explain(why_no_single_spf(seen, sender_domain))


def test_spf_can_be_read(single_spf: SpfTree, sender_domain: str, seen: Seen, explain: Explain) -> None:
    """The SPF record, and each that it includes, is there and without a mistake (RFC 7208 section 4.6)."""
    assert not single_spf.problem, explain(why_spf_unreadable(seen, sender_domain))


def test_spf_takes_ten_lookups_at_most(
    single_spf: SpfTree, sender_domain: str, seen: Seen, explain: Explain
) -> None:
    """Receivers evaluate the SPF record to its end (RFC 7208 section 4.6.4)."""
    assert single_spf.lookups <= MOST_SPF_LOOKUPS, explain(why_spf_takes_too_long(seen, sender_domain))


def test_spf_covers_the_provider(
    spf_of_senders: SpfTree, sender_domain: str, profile: Profile, seen: Seen, explain: Explain
) -> None:
    """The provider's servers may send for the domain (RFC 7208 section 5.2)."""
    assert covers_provider(profile, spf_of_senders), explain(why_spf_lacks_provider(seen, sender_domain))


def test_dkim_key_is_published(dkim: DkimKeys, sender_domain: str, seen: Seen, explain: Explain) -> None:
    """At one of the provider's selectors at least there is a key (RFC 6376 section 3.6)."""
    assert dkim.published, explain(why_no_dkim_key(seen, sender_domain))


def test_dmarc_is_published(dmarc: DmarcWalk, sender_domain: str, seen: Seen, explain: Explain) -> None:
    """The domain, or one above it, has a DMARC record (RFC 9989)."""
    assert dmarc.published, explain(why_no_dmarc(seen, sender_domain))


def test_dmarc_can_be_used(
    published_dmarc: DmarcWalk, sender_domain: str, seen: Seen, explain: Explain
) -> None:
    """The DMARC record is one, and asks for what exists; From and envelope are aligned here, being one."""
    assert not published_dmarc.invalid, explain(why_dmarc_unusable(seen, sender_domain))


def test_mta_sts_can_be_read(mta_sts: MtaSts, sender_domain: str, seen: Seen, explain: Explain) -> None:
    """MTA-STS, where the domain announces it, is announced once and well (RFC 8461 section 3.1)."""
    assert mta_sts.valid, explain(why_mta_sts_unreadable(seen, sender_domain))


def test_mta_sts_policy_can_be_fetched(
    announced_policy: MtaSts, sender_domain: str, seen: Seen, explain: Explain
) -> None:
    """The policy that is announced comes over verified HTTPS (RFC 8461 section 3.3)."""
    assert announced_policy.fetched, explain(why_no_mta_sts_policy(seen, sender_domain))


def test_mta_sts_policy_names_the_mail_servers(
    fetched_policy: MtaSts,
    taking_servers: MailExchangers,
    sender_domain: str,
    seen: Seen,
    explain: Explain,
) -> None:
    """The policy admits every host that an MX names (RFC 8461 section 4.1)."""
    assert not fetched_policy.unnamed(taking_servers.names), explain(
        why_mta_sts_policy_differs(seen, sender_domain)
    )


def test_failure_reports_have_an_address(
    failure_reports: TlsReporting, sender_domain: str, seen: Seen, explain: Explain
) -> None:
    """Where the domain asks for reports of failed TLS, it says well where to (RFC 8460 section 3)."""
    assert failure_reports.valid, explain(why_tls_reporting_unreadable(seen, sender_domain))
