"""What can be found out about a mailbox before there is a profile: who runs its mail, and its tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtp_preflight.evidence import Recorder
from smtp_preflight.model import (
    Discovery,
    Limits,
    MailExchangers,
    OAuth,
    Profile,
    Provider,
    Question,
    Seen,
    Smtp,
)
from smtp_preflight.secrets import Wallet

LIMIT_S = 10.0  # for each question, of which there are three at most
SINGLE_PURPOSE = ("microsoft365_hve",)  # never guessed: its domains are those of ordinary mailboxes
PERSONAL_AND_WORK = ("google", "google_workspace")  # the same servers, for Gmail's domains and for others
BEHIND_A_FILTER = "microsoft365"  # whose tenants are looked for where the MX is some mail filter's


@dataclass(frozen=True, slots=True)
class Network:
    """How the network is reached where not directly: as in a profile's [dns], [tls] and [http]."""

    dns_servers: tuple[str, ...] = ()
    ca_file: str = ""
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Something that was looked for, and in words how it was found, or why not."""

    value: str
    by: str


@dataclass(frozen=True, slots=True)
class Search:
    """A search on behalf of one mailbox. It never raises for what the network does."""

    mailbox: str
    providers: Mapping[str, Provider]
    network: Network = field(default_factory=Network)

    @property
    def domain(self) -> str:
        """The domain of the mailbox."""
        return self.mailbox.rpartition("@")[2].lower()

    async def provider(self) -> Found:
        """Who runs the mail: by the domain itself, who takes its mail, or where it has a tenant."""
        guessable = [one for one in self.providers.values() if one.name not in SINGLE_PURPOSE]
        owners = [one.name for one in guessable if one.owns(self.domain)]
        if len(owners) == 1 or owners == [*PERSONAL_AND_WORK]:
            return Found(owners[0], f"{self.domain} is its own")
        exchangers = (await self._ask(Question(MailExchangers, self.domain))).get(MailExchangers, self.domain)
        hosts = [host.rstrip(".") for host in exchangers.names] if exchangers else []
        takers = [one.name for one in guessable if any(_is_below(host, one.mx_suffixes) for host in hosts)]
        if takers:  # of Google's two the later one, which is for domains of one's own
            return Found(takers[-1], f"{hosts[0]} takes the mail of {self.domain}")
        told = f"{hosts[0]} takes the mail of {self.domain}" if hosts else f"no MX of {self.domain} was found"
        tenant = await self.tenant(BEHIND_A_FILTER)
        return Found(BEHIND_A_FILTER if tenant.value else "", f"{told}; {tenant.by}")

    async def tenant(self, provider: str) -> Found:
        """The id of the tenant in this provider's cloud that the domain belongs to."""
        oauth = self.providers[provider].oauth
        place = oauth["discovery_uri"].replace("{tenant}", self.domain)
        discovery = (await self._ask(Question(Discovery), place)).get(Discovery)
        if discovery is None or discovery.http.status is None:
            return Found("", "the identity provider could not be asked for its tenant")
        tenant = _tenant_in(discovery.metadata.get("issuer", ""), oauth["issuer"])
        return Found(tenant, f"{self.domain} belongs to {'it' if tenant else 'no tenant'}")

    async def _ask(self, question: Question, discovery_uri: str = "") -> Seen:
        """One question, as a profile would ask it that reaches the network like this."""
        profile = Profile(
            name="",
            provider=self.providers[BEHIND_A_FILTER],
            mailbox=self.mailbox,
            smtp=Smtp(""),
            oauth=OAuth(discovery_uri=discovery_uri),
            dns_servers=self.network.dns_servers,
            ca_file=self.network.ca_file,
            proxy=self.network.proxy,
            limits=Limits(dns_s=LIMIT_S / 3, http_s=LIMIT_S, run_s=LIMIT_S),
        )
        return (await Recorder(profile, Wallet(), [question]).record()).seen


def _is_below(host: str, suffixes: tuple[str, ...]) -> bool:
    return any(host == one or host.endswith(f".{one}") for one in suffixes)


def _tenant_in(issuer: str, template: str) -> str:
    """The tenant's id in an issuer of this form; nothing where it is another's."""
    before, _, after = template.partition("{tenant}")
    fits = issuer.startswith(before) and issuer.endswith(after) and len(issuer) > len(before) + len(after)
    return issuer[len(before) : len(issuer) - len(after)] if fits else ""
