"""Which harmless questions would tell more, once something has failed."""

from __future__ import annotations

from smtp_preflight.diagnosis.signs import is_address
from smtp_preflight.model import DnsAnswer, Question, Seen, SystemAddresses


def follow_ups(seen: Seen) -> tuple[Question, ...]:
    """Questions from the table that separate the causes still open; none where all went well."""
    return _what_is_published(seen)


def _what_is_published(seen: Seen) -> tuple[Question, ...]:
    """This machine finds no address: is there none, or can it only not see it?"""
    host = seen.profile.smtp.host
    system = seen.get(SystemAddresses, host)
    if system is None or system.addresses or is_address(host):
        return ()
    return (Question(DnsAnswer, f"{host} A"), Question(DnsAnswer, f"{host} AAAA"))
