"""What the servers of one lab share: whom they serve, under which conditions, and what they have seen."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace

from smtp_preflight.lab.conditions import Conditions
from smtp_preflight.lab.mailbox import Mailboxes
from smtp_preflight.lab.tokens import Mint, TokenFacts
from smtp_preflight.lab.wording import Wording
from smtp_preflight.model import Profile

PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant id of all personal Microsoft accounts."""

_SHARED_TENANTS = {
    "": PERSONAL_TENANT,
    "common": PERSONAL_TENANT,
    "consumers": PERSONAL_TENANT,
}


@dataclass(frozen=True, slots=True)
class LabEvent:
    """Something one of the servers was asked: a query, a request, a command. Holds no credentials."""

    server: str  # dns | http | smtp
    what: str


@dataclass(frozen=True, slots=True)
class Account:
    """What the provider has on file for a profile: its tenant, application, mailbox and senders."""

    tenant: str = ""  # as the profile writes it
    tenant_id: str = ""
    client_id: str = ""
    confidential: bool = True
    redirect_uri: str = ""  # empty: any loopback address
    rbac: bool = False  # permitted by RBAC for Applications: its tokens carry no role
    mailbox: str = ""
    reader: str = ""  # the mailbox that another profile's login reads
    senders: frozenset[str] = frozenset()
    audiences: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()

    @classmethod
    def of(cls, profile: Profile) -> Account:
        """Sign the profile's owner up."""
        oauth = profile.oauth
        return cls(
            tenant=oauth.tenant.lower(),
            tenant_id=tenant_id_of(oauth.tenant),
            client_id=oauth.client_id,
            confidential=oauth.client_type == "confidential",
            redirect_uri=oauth.redirect_uri,
            rbac=oauth.app_permission == "rbac",
            mailbox=profile.mailbox.lower(),
            reader=profile.delivery.mailbox.lower() if profile.delivery and profile.reader else "",
            senders=frozenset({profile.mailbox.lower(), profile.sender.lower()}),
            audiences=profile.expect.aud,
            permissions=profile.expect.permissions,
            scope=oauth.scope,
        )

    def asked_at(self, tenant: str) -> Account:
        """The same, asked for where this tenant is named: a shared endpoint is everybody's."""
        return replace(self, tenant=tenant.lower()) if tenant.lower() in SHARED_TENANTS else self


SHARED_TENANTS = ("common", "organizations", "consumers")


def tenant_id_of(tenant: str) -> str:
    """The tenant's id: itself where it is one, the personal accounts' tenant, or one made from its name."""
    try:
        return str(uuid.UUID(tenant))
    except ValueError:
        return _SHARED_TENANTS.get(tenant.lower()) or str(uuid.uuid5(uuid.NAMESPACE_DNS, tenant.lower()))


@dataclass(slots=True)
class World:
    """One lab's state. ``account`` is replaced whole, by the thread that overlays a profile."""

    conditions: Conditions
    wording: Wording
    mint: Mint
    client_secret: str
    account: Account = field(default_factory=Account)
    audiences: frozenset[str] = frozenset()  # those the mail server takes; none: what the profile expects
    permissions: frozenset[str] = frozenset()  # any of them is enough to submit mail; none: likewise
    log: list[LabEvent] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    mailboxes: Mailboxes = field(init=False)

    def __post_init__(self) -> None:
        self.mailboxes = Mailboxes(self.conditions.mailbox)

    def note(self, server: str, what: str) -> None:
        """Keep what a server was asked, bounded to one line."""
        self.log.append(LabEvent(server, what[:300]))

    def admits(self, token: str, user: str) -> bool:
        """Whether the mail server lets the bearer of this token submit mail as this user."""
        facts = self.mint.read(token)
        return facts is not None and self._for_mail(facts) and self._may_open(facts, user.lower())

    def _for_mail(self, facts: TokenFacts) -> bool:
        audiences = self.audiences or frozenset(self.account.audiences)
        permissions = self.permissions or frozenset(self.account.permissions)
        by_rbac = self.account.rbac and not facts.user
        return facts.audience.rstrip("/") in {one.rstrip("/") for one in audiences} and (
            by_rbac or bool(facts.permissions & permissions)
        )

    def _may_open(self, facts: TokenFacts, user: str) -> bool:
        of_this_tenant = facts.tenant_id in ("", self.account.tenant_id)
        has_access = facts.user.lower() in ("", user) or self.conditions.manner.full_access
        return of_this_tenant and user == self.account.mailbox and has_access
