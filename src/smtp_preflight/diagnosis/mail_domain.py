"""Stage dns, the domains that mail is sent from: why receivers have reason to doubt it.

None of this keeps mail from leaving. Each cause is about one domain, which is the finding's subject, and each
function adds the one sign it knows: ``mx``, ``spf``, ``dkim``, ``dmarc``, ``mta_sts`` or ``tls_rpt``. Where
the name server does not know the names of the internet, that is the cause, and nothing is said of the domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from smtp_preflight.diagnosis.dns import knows_internet_names, why_no_address
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import http_words
from smtp_preflight.model import (
    MOST_COUNTED,
    Announced,
    DkimKeys,
    DmarcWalk,
    DnsAnswer,
    Finding,
    MailExchangers,
    MtaSts,
    Profile,
    Seen,
    SpfTree,
    Stage,
    TlsReporting,
    short,
)


def covers_provider(profile: Profile, spf: SpfTree) -> bool:
    """Mail that leaves through the provider passes the domain's SPF record."""
    return any(spf.covers(one) for one in profile.provider.spf_include)


# --- who takes mail ----------------------------------------------------------------------------------------


def why_no_mail_server(seen: Seen, domain: str) -> Finding:
    """The domain has no MX."""
    return _about_mx(seen, domain, "missing")


def why_mail_refused(seen: Seen, domain: str) -> Finding:
    """The domain's MX says that it takes no mail."""
    return _about_mx(seen, domain, "null")


def why_mail_server_is_alias(seen: Seen, domain: str) -> Finding:
    """An MX names an alias."""
    found = seen.get(MailExchangers, domain)
    return _about_mx(seen, domain, "alias", found.aliases if found else ())


def why_mail_server_without_address(seen: Seen, domain: str) -> Finding:
    """An MX names a host that has no address."""
    found = seen.get(MailExchangers, domain)
    return _about_mx(seen, domain, "unresolvable", found.without_address if found else ())


def _about_mx(seen: Seen, domain: str, sign: str, hosts: Iterable[str] = ()) -> Finding:
    found = seen.get(MailExchangers, domain)
    facts = {"mx_host": ", ".join(hosts)}
    return _finding(seen, domain, {"mx": sign}, _words(found.answers if found else ()), facts)


# --- who may send ------------------------------------------------------------------------------------------


def why_no_single_spf(seen: Seen, domain: str) -> Finding:
    """There is no SPF record, or more than one."""
    found = seen.get(SpfTree, domain)
    return _about_spf(seen, domain, "multiple" if found and found.own.texts else "missing")


def why_spf_unreadable(seen: Seen, domain: str) -> Finding:
    """A word of the record, or of one that it includes, is not SPF; or nothing is there to be included."""
    found = seen.get(SpfTree, domain)
    return _about_spf(seen, domain, "invalid", {"spf_problem": found.problem if found else ""})


def why_spf_takes_too_long(seen: Seen, domain: str) -> Finding:
    """Evaluating the record takes more look-ups than receivers make."""
    found = seen.get(SpfTree, domain)
    count = found.lookups if found else 0
    facts = {"spf_lookups": f"{count} or more" if count == MOST_COUNTED else str(count)}
    return _about_spf(seen, domain, "too_many_lookups", facts)


def why_spf_lacks_provider(seen: Seen, domain: str) -> Finding:
    """The provider's servers are not among those that may send."""
    return _about_spf(seen, domain, "provider_not_included")


def _about_spf(seen: Seen, domain: str, sign: str, facts: Mapping[str, str] | None = None) -> Finding:
    found = seen.get(SpfTree, domain)
    records = found.reached(found.own.name, passing=False) if found else ()
    lines = [f"{one.name}: {text}" for one in records for text in one.texts]
    words = "\n".join(map(short, lines)) or _words(found.answers if found else ())
    include = next(iter(seen.profile.provider.spf_include), "")
    return _finding(seen, domain, {"spf": sign}, words, {"spf_include": include, **(facts or {})})


# --- how it can be told ------------------------------------------------------------------------------------


def why_no_dkim_key(seen: Seen, domain: str) -> Finding:
    """At none of the provider's selectors is a key."""
    found = seen.get(DkimKeys, domain)
    selector = next(iter(seen.profile.provider.dkim_selectors), "")
    words = _words(found.answers if found else ())
    return _finding(seen, domain, {"dkim": "missing"}, words, {"dkim_selector": selector})


def why_no_dmarc(seen: Seen, domain: str) -> Finding:
    """Neither the domain nor one above it has a DMARC record."""
    found = seen.get(DmarcWalk, domain)
    return _finding(seen, domain, {"dmarc": "missing"}, _words(found.answers if found else ()))


def why_dmarc_unusable(seen: Seen, domain: str) -> Finding:
    """What is published as a DMARC record is none, is not alone, or asks for what does not exist."""
    found = seen.get(DmarcWalk, domain)
    wrong = found.invalid if found else None
    where = {"domain": wrong.answer.name.removeprefix("_dmarc.")} if wrong else {}
    return _finding(seen, domain, {"dmarc": "invalid"}, _announced(wrong), where)


# --- how it travels ----------------------------------------------------------------------------------------


def why_mta_sts_unreadable(seen: Seen, domain: str) -> Finding:
    """The announcement is none, or not alone."""
    found = seen.get(MtaSts, domain)
    return _finding(seen, domain, {"mta_sts": "invalid"}, _announced(found.announced if found else None))


def why_no_mta_sts_policy(seen: Seen, domain: str) -> Finding:
    """A policy is announced, and none can be fetched."""
    return _about_policy(seen, domain, "policy_unreachable")


def why_mta_sts_policy_differs(seen: Seen, domain: str) -> Finding:
    """The policy does not admit a host that takes the domain's mail."""
    return _about_policy(seen, domain, "policy_mismatch")


def _about_policy(seen: Seen, domain: str, sign: str) -> Finding:
    found, mx = seen.get(MtaSts, domain), seen.get(MailExchangers, domain)
    http = found.http if found else None
    lines = [
        *([http_words(http), f"content-type: {http.headers.get('content-type', 'none')}"] if http else ()),
        *(found.policy if found else ()),
        *([f"MX: {', '.join(mx.names)}"] if mx else ()),
    ]
    return _finding(seen, domain, {"mta_sts": sign}, "\n".join(map(short, lines)))


def why_tls_reporting_unreadable(seen: Seen, domain: str) -> Finding:
    """The record is none, is not alone, or names no place for reports."""
    found = seen.get(TlsReporting, domain)
    return _finding(seen, domain, {"tls_rpt": "invalid"}, _announced(found.announced if found else None))


# --- words -------------------------------------------------------------------------------------------------


def _announced(what: Announced | None) -> str:
    return _words((what.answer,) if what else ())


def _words(answers: Iterable[DnsAnswer]) -> str:
    """What DNS said, one line an answer."""
    return "\n".join(
        short(f"{one.name} {one.rdtype}: {' | '.join(one.records) or one.status}")
        + (f" (via {' → '.join(one.aliases)})" if one.aliases else "")
        for one in answers
    )


def _finding(
    seen: Seen, domain: str, signs: Mapping[str, str], words: str, facts: Mapping[str, str] | None = None
) -> Finding:
    if not knows_internet_names(seen):
        return why_no_address(seen)
    known = {"domain": domain, "seen": words, **(facts or {})}
    return finding(seen, Stage.DNS, *signs, subject=domain, signs=signs, facts=known)
