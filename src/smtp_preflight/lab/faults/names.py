"""Faults of the name servers: about the mail server's name, and about the domains that mail is sent from."""

from __future__ import annotations

from smtp_preflight.lab.conditions import Conditions, NameConditions
from smtp_preflight.lab.faults.fault import (
    HAS_DKIM_OF_PROVIDER,
    HAS_OWN_DOMAIN,
    HAS_SPF_OF_PROVIDER,
    PROVIDERS,
    Fault,
    Need,
)
from smtp_preflight.lab.sockets import LOOPBACK
from smtp_preflight.model import Stage


def _about_host(code: str, line: str, names: NameConditions, **more: float) -> Fault:
    return Fault(code, Stage.DNS, PROVIDERS, line, Conditions(names=names), limits=more)


def _about_domain(
    code: str,
    line: str,
    prefix: str,
    rdtype: str,
    *records: str,
    way: str = "",
    needs: Need = HAS_OWN_DOMAIN,
    also: NameConditions | None = None,
) -> Fault:
    """Other records, or none, at this name of each domain that mail is sent from."""
    others = also.domain if also else {}
    names = NameConditions(domain={(prefix, rdtype): records, **others})
    return Fault(code, Stage.DNS, PROVIDERS, line, Conditions(names=names), way, needs=(needs,))


ROWS = (
    _about_host(
        "dns_resolution_failure",
        "the name servers answer nothing at all",
        NameConditions(silent=True),
        dns_s=1,
    ),
    _about_host(
        "dns_no_address", "the mail server's name has no address", NameConditions(host={"TXT": ('"here"',)})
    ),
    _about_host(
        "dns_server_failure",
        "the name servers answer SERVFAIL for the mail server",
        NameConditions(host_rcode="SERVFAIL"),
    ),
    _about_host("dnssec_bogus", "the mail server's name is signed wrongly", NameConditions(host_bogus=True)),
    _about_host(
        "dns_slow",
        "the name servers take their time for the mail server",
        NameConditions(host_late_s=0.4),
        dns_slow_s=0.3,
    ),
    _about_host(
        "dns_servers_disagree",
        "of two name servers one knows no such mail server",
        NameConditions(second_server={"TXT": ('"elsewhere"',)}),
    ),
    _about_domain("mx_missing", "the sender's domain has no MX", "", "MX"),
    _about_domain("mx_null", "the sender's domain says that it takes no mail", "", "MX", "0 ."),
    _about_domain(
        "mx_is_alias",
        "an MX of the sender's domain names an alias",
        "",
        "MX",
        "10 alias.{domain}.",
        also=NameConditions(domain={("alias", "CNAME"): ("mx.{domain}.",)}),
    ),
    _about_domain(
        "mx_unresolvable", "an MX of the sender's domain has no address", "", "MX", "10 gone.{domain}."
    ),
    _about_domain("spf_missing", "the sender's domain has no SPF record", "", "TXT", '"hello"'),
    _about_domain(
        "spf_multiple",
        "the sender's domain has two SPF records",
        "",
        "TXT",
        '"v=spf1 -all"',
        '"v=spf1 mx -all"',
    ),
    _about_domain(
        "spf_invalid", "the SPF record has a misspelt word", "", "TXT", '"v=spf1 inlcude:spf.{domain} -all"'
    ),
    _about_domain(
        "spf_provider_not_included",
        "the SPF record leaves the provider out",
        "",
        "TXT",
        '"v=spf1 ip4:198.51.100.0/24 -all"',
        needs=HAS_SPF_OF_PROVIDER,
    ),
    _about_domain(
        "spf_too_many_lookups",
        "the SPF record takes more than ten look-ups",
        "",
        "TXT",
        '"v=spf1 a a a a a a a a a a a -all"',
    ),
    Fault(
        "dkim_selector_missing",
        Stage.DNS,
        ("microsoft365", "google", "google_workspace"),
        "no DKIM key of the provider is published",
        Conditions(
            names=NameConditions(
                domain={
                    (f"{selector}._domainkey", rdtype): ()
                    for selector in ("selector1", "selector2", "google")
                    for rdtype in ("CNAME", "TXT")
                }
            )
        ),
        needs=(HAS_DKIM_OF_PROVIDER,),
    ),
    _about_domain("dmarc_missing", "the sender's domain has no DMARC record", "_dmarc", "TXT"),
    _about_domain(
        "dmarc_invalid",
        "the DMARC record asks for a policy that does not exist",
        "_dmarc",
        "TXT",
        '"v=DMARC1; p=rejekt"',
    ),
    _about_domain(
        "mta_sts_invalid", "MTA-STS is announced without an id", "_mta-sts", "TXT", '"v=STSv1; id="'
    ),
    _about_domain(
        "mta_sts_policy_unreachable",
        "MTA-STS is announced, and there is no policy",
        "_mta-sts",
        "TXT",
        '"v=STSv1; id=20261120"',
    ),
    _about_domain(
        "tls_rpt_invalid",
        "reports on failed TLS are wanted at no address",
        "_smtp._tls",
        "TXT",
        '"v=TLSRPTv1; rua=postmaster"',
    ),
    Fault(
        "address_unreachable",
        Stage.TCP,
        PROVIDERS,
        "one of two addresses of the mail server takes no connections",
        Conditions(names=NameConditions(host={"A": (LOOPBACK, "127.0.0.2")})),
    ),
    Fault(
        "tcp_port_blocked",
        Stage.TCP,
        PROVIDERS,
        "there is no route to the mail server's address",
        # A group's address (RFC 5771): TCP has no way there, whoever asks.
        Conditions(names=NameConditions(host={"A": ("224.0.0.1",)})),
        "no_route",
    ),
    Fault(
        "tlsa_mismatch",
        Stage.TLS,
        PROVIDERS,
        "DNS announces another certificate than the mail server shows",
        Conditions(names=NameConditions(announces_other_key=True)),
    ),
)
