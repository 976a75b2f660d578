"""What the questions asked after a failure have told, as signs beside those of the failure itself."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from smtp_preflight.diagnosis.places import (
    in_the_other_mode,
    mailbox_tenant,
    over_https,
    preset_service,
)
from smtp_preflight.model import Discovery, MailboxLogin, MailboxTrouble, Seen, ServiceCheck, short

_TENANT_ID = re.compile(r"/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/|$)", re.IGNORECASE)


def tls_begun_otherwise(seen: Seen) -> str:
    """How TLS is begun on this port, where it is not as the profile has it: implicit or starttls."""
    found = seen.get(ServiceCheck, in_the_other_mode(seen.profile))
    return found.tls if found and found.begun else ""


def https_sign(seen: Seen) -> dict[str, str]:
    """Whether the certificate of the token endpoint is accepted: ``https`` (trusted, distrusted)."""
    found = seen.get(ServiceCheck, over_https(seen.profile))
    if found is None or not found.begun:
        return {}
    return {"https": "trusted" if found.trusted else "distrusted"}


def preset_sign(seen: Seen) -> dict[str, str]:
    """Whether the provider's own service offers what is missing here: ``preset_offers`` (bearer, nothing)."""
    found = seen.get(ServiceCheck, preset_service(seen.profile))
    if found is None or not found.trusted:
        return {}
    return {"preset_offers": "bearer" if found.takes_tokens else "nothing"}


def tenant_sign(seen: Seen) -> tuple[dict[str, str], dict[str, str]]:
    """What became of the search for the mailbox's tenant: ``mailbox_tenant`` (found, elsewhere, unknown).

    The fact ``found_tenant`` is its id. Elsewhere: its sign-in is in another national cloud.
    """
    found = seen.get(Discovery, mailbox_tenant(seen.profile))
    if found is None or not (found.readable or found.error_codes):
        return {}, {}
    tenant = _TENANT_ID.search(found.metadata.get("issuer", ""))
    if tenant is None:
        return {"mailbox_tenant": "unknown"}, {}
    hosts = {urlsplit(url).hostname for url in (found.http.url, found.metadata["token_endpoint"])}
    where = "found" if len(hosts) == 1 else "elsewhere"
    return {"mailbox_tenant": where}, {"found_tenant": tenant[1]}


def imap_sign(seen: Seen) -> dict[str, str]:
    """What the mailbox says to the token that SMTP was shown: ``imap`` (works, refused, closed).

    Closed: the token is accepted there, and behind it is no mailbox that opens.
    """
    login = seen.get(MailboxLogin, seen.profile.place_of("imap"))
    if login is None:
        return {}
    ends = {None: "works", MailboxTrouble.REFUSED: "refused", MailboxTrouble.NOT_OPENED: "closed"}
    return {"imap": ends[login.trouble]} if login.trouble in ends else {}


def same_token_at_mailbox(seen: Seen) -> tuple[str, ...]:
    """The same in one line, where it was asked."""
    login = seen.get(MailboxLogin, seen.profile.place_of("imap"))
    if login is None:
        return ()
    return (short(f"the same token over IMAP at {login.host}: {login.trouble or 'accepted'} {login.reply}"),)


def looked_at(seen: Seen) -> tuple[str, ...]:
    """What was seen elsewhere, in one line for each place."""
    return tuple(str(one) for one in seen.every(ServiceCheck))
