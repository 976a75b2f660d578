"""The table of what can be asked: kind, subjects, needs, coroutine.

A row says once what a question is about and what has to be answered before it; the recorder asks, checks and
reports only ever name the kind. Adding an observation is one row here, and its probe.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import platform
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import dns.asyncresolver

from smtp_preflight.model import (
    Arrival,
    AuthExchange,
    DataExchange,
    Discovery,
    DkimKeys,
    DmarcWalk,
    DnsAnswer,
    DnsStatus,
    Ehlo,
    Endpoint,
    Failure,
    Grant,
    GrantType,
    HttpExchange,
    Keys,
    MailboxAccess,
    MailboxLogin,
    MailboxProtocol,
    MailExchangers,
    MailFrom,
    MtaSts,
    NameServers,
    Observation,
    PortCheck,
    Profile,
    Question,
    RcptTo,
    ReaderGrant,
    SecretCheck,
    Seen,
    ServiceCheck,
    SignatureCheck,
    SmtpGreeting,
    SmtpStep,
    SpfTree,
    StartTls,
    SystemAddresses,
    TcpConnects,
    TlsFailure,
    TlsHandshake,
    TlsReporting,
    TokenInfo,
    trouble_in,
)
from smtp_preflight.oauth.http import Resolve
from smtp_preflight.probes.dns import probe_addresses, probe_dns, resolver_for
from smtp_preflight.probes.imap import Imap
from smtp_preflight.probes.mail_domain import (
    probe_dkim,
    probe_dmarc,
    probe_mail_exchangers,
    probe_mta_sts,
    probe_spf,
    probe_tls_reporting,
)
from smtp_preflight.probes.mailbox import Fate, close, leave, probe_arrival, probe_mailbox_login
from smtp_preflight.probes.name_servers import probe_name_servers
from smtp_preflight.probes.pop import Pop
from smtp_preflight.probes.port import probe_port
from smtp_preflight.probes.secret import probe_secret
from smtp_preflight.probes.service import probe_service
from smtp_preflight.probes.smtp import (
    Dialogue,
    build_message,
    hang_up,
    probe_auth,
    probe_data,
    probe_ehlo,
    probe_greeting,
    probe_mail_from,
    probe_rcpt_to,
    probe_starttls,
)
from smtp_preflight.probes.stream import Stream
from smtp_preflight.probes.tcp import probe_tcp
from smtp_preflight.probes.tls import probe_tls
from smtp_preflight.probes.token import (
    discovered,
    probe_discovery,
    probe_grant,
    probe_keys,
    probe_signature,
    probe_token_info,
)
from smtp_preflight.secrets import Secret, Wallet

IPV4, IPV6 = "ipv4", "ipv6"
BEFORE_TLS, AFTER_TLS = "before TLS", "after TLS"


class Asking:
    """What the questions of one profile share while they are asked: connection, resolver, secrets.

    One SMTP connection serves every step of the dialogue: the first TCP connection that comes about becomes
    it, the others are closed.
    """

    def __init__(self, profile: Profile, wallet: Wallet, seen: Callable[[], Seen]) -> None:
        self.profile = profile
        self.wallet = wallet
        self.seen = seen  # what has been answered so far
        self.jwks: Mapping[str, Any] = {}  # the published keys, for checking a signature with
        self.reader_wallet = _reader_wallet(profile, wallet)
        self.mailboxes: dict[str, Imap | Pop] = {}  # the open ones, by the subjects of their logins
        self.fate: Fate | None = None  # of the message, once it was accepted
        self._spare: list[Stream] = []
        self._dialogue: Dialogue | None = None

    @cached_property
    def resolver(self) -> dns.asyncresolver.Resolver:
        """The name servers of the profile, or this machine's."""
        return resolver_for(self.profile)

    @property
    def dialogue(self) -> Dialogue:
        """The one SMTP connection, made from the first TCP connection that came about."""
        if self._dialogue is None:
            self._dialogue = Dialogue(self._spare.pop(0), self.profile, self.wallet)
            self._close_spare()
        return self._dialogue

    @property
    def resolve(self) -> Resolve | None:
        """How HTTPS hosts are resolved: by the profile's name servers, or as this machine does."""
        return self._resolve if self.profile.dns_servers else None

    async def _resolve(self, host: str) -> tuple[str, ...]:
        found = await probe_addresses(self.profile, self.resolver, host, 443)
        return found.addresses

    def token(self) -> Secret:
        """The access token; a row's needs make sure that it was granted."""
        token = self.wallet.get("access_token")
        assert token is not None
        return token

    def offer(self, streams: tuple[Stream, ...]) -> None:
        """Connections that came about; no more than one is needed."""
        self._spare.extend(streams)
        if self._dialogue is not None:
            self._close_spare()

    async def close(self) -> None:
        """Say goodbye where a dialogue was held, and close every socket."""
        if self._dialogue is not None:
            await hang_up(self._dialogue)
        self._close_spare()
        await asyncio.gather(*(leave(one) for one in self.mailboxes.values()))

    def hang_up_for_good(self) -> None:
        """Close the connection; whoever asks next begins with a new one."""
        self._abort_dialogue()
        self._dialogue = None

    def abort(self) -> None:
        """Close every socket without another word."""
        self._abort_dialogue()
        for server in self.mailboxes.values():
            close(server)

    def _abort_dialogue(self) -> None:
        if self._dialogue is not None:
            self._dialogue.stream.close()
        self._close_spare()

    def _close_spare(self) -> None:
        while self._spare:
            self._spare.pop().close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of question.

    subjects: whom or what it can be about, by the profile alone.
    needs: what has to be answered before it.
    may_ask: whether those answers leave it to be asked.
    any_need: one sufficient need is enough; the others need not be waited for.
    on_the_way: the message has to pass it, so whatever prevents it is red (product.md section 3).
    """

    kind: type[Observation]
    ask: Callable[[Asking, str], Awaitable[Observation]]
    subjects: Callable[[Profile], tuple[str, ...]] = lambda profile: ("",)
    needs: Callable[[Profile, str], tuple[Question, ...]] = lambda profile, subject: ()
    may_ask: Callable[[Seen, str], bool] = lambda seen, subject: True
    any_need: bool = False
    on_the_way: bool = False


# --- names and connections ---------------------------------------------------------------------------------


def _host(profile: Profile) -> tuple[str, ...]:
    return (profile.smtp.host,)


def _host_records(profile: Profile) -> tuple[str, ...]:
    return tuple(f"{profile.smtp.host} {rdtype}" for rdtype in ("A", "AAAA"))


async def _ask_dns(asking: Asking, subject: str) -> DnsAnswer:
    name, _, rdtype = subject.rpartition(" ")
    return await probe_dns(asking.resolver, name, rdtype, limit_s=asking.profile.limits.dns_s)


async def _ask_addresses(asking: Asking, subject: str) -> SystemAddresses:
    return await probe_addresses(asking.profile, asking.resolver, subject, asking.profile.smtp.port)


def _needs_addresses(profile: Profile, subject: str) -> tuple[Question, ...]:
    return (Question(SystemAddresses, profile.smtp.host),)


def _has_addresses(seen: Seen, subject: str) -> bool:
    found = seen.get(SystemAddresses, seen.profile.smtp.host)
    return found is not None and bool(found.addresses)


async def _ask_tcp(asking: Asking, subject: str) -> TcpConnects:
    found = asking.seen().get(SystemAddresses, asking.profile.smtp.host)
    assert found is not None  # the row needs it
    connects, streams = await probe_tcp(
        found.addresses, subject, asking.profile.smtp.port, asking.profile.limits
    )
    asking.offer(streams)
    return connects


async def _ask_port(asking: Asking, subject: str) -> PortCheck:
    host, _, port = subject.rpartition(":")
    return await probe_port(asking.profile, asking.resolver, host, int(port))


async def _ask_service(asking: Asking, subject: str) -> ServiceCheck:
    """The subject: host, port and how TLS is begun there, `smtp.gmail.com:465 implicit` say."""
    place, _, tls = subject.rpartition(" ")
    host, _, port = place.rpartition(":")
    return await probe_service(asking.profile, asking.wallet, asking.resolver, Endpoint(host, int(port), tls))


# --- the domains that mail is sent from --------------------------------------------------------------------


def _sender_domains(profile: Profile) -> tuple[str, ...]:
    return profile.sender_domains


async def _ask_mail_exchangers(asking: Asking, subject: str) -> MailExchangers:
    return await probe_mail_exchangers(asking.resolver, subject, limit_s=asking.profile.limits.dns_s)


async def _ask_spf(asking: Asking, subject: str) -> SpfTree:
    include, limit_s = asking.profile.provider.spf_include, asking.profile.limits.dns_s
    return await probe_spf(asking.resolver, subject, include, limit_s=limit_s)


async def _ask_dkim(asking: Asking, subject: str) -> DkimKeys:
    selectors, limit_s = asking.profile.provider.dkim_selectors, asking.profile.limits.dns_s
    return await probe_dkim(asking.resolver, subject, selectors, limit_s=limit_s)


async def _ask_dmarc(asking: Asking, subject: str) -> DmarcWalk:
    return await probe_dmarc(asking.resolver, subject, limit_s=asking.profile.limits.dns_s)


async def _ask_mta_sts(asking: Asking, subject: str) -> MtaSts:
    return await probe_mta_sts(
        asking.profile, asking.wallet, asking.resolver, subject, resolve=asking.resolve
    )


async def _ask_tls_reporting(asking: Asking, subject: str) -> TlsReporting:
    return await probe_tls_reporting(asking.resolver, subject, limit_s=asking.profile.limits.dns_s)


# --- the dialogue up to the second EHLO --------------------------------------------------------------------


def _connections(profile: Profile, subject: str = "") -> tuple[Question, ...]:
    return (Question(TcpConnects, IPV4), Question(TcpConnects, IPV6))


def _connected(seen: Seen, subject: str = "") -> bool:
    return any(one.connected for one in seen.every(TcpConnects))


def _implicit(profile: Profile) -> bool:
    return profile.smtp.tls == "implicit"


def _verified(seen: Seen) -> bool:
    tls = seen.get(TlsHandshake)
    return tls is not None and tls.verified


def _needs_of_greeting(profile: Profile, subject: str) -> tuple[Question, ...]:
    return (Question(TlsHandshake),) if _implicit(profile) else _connections(profile)


def _may_greet(seen: Seen, subject: str) -> bool:
    return _verified(seen) if _implicit(seen.profile) else _connected(seen)


def first_ehlo(profile: Profile) -> str:
    """The subject of the first EHLO: in the clear, or under implicit TLS."""
    return AFTER_TLS if _implicit(profile) else BEFORE_TLS


def _ehlo_subjects(profile: Profile) -> tuple[str, ...]:
    return (AFTER_TLS,) if _implicit(profile) else (BEFORE_TLS, AFTER_TLS)


def _needs_of_ehlo(profile: Profile, subject: str) -> tuple[Question, ...]:
    if subject == BEFORE_TLS or _implicit(profile):
        return (Question(SmtpGreeting),)
    return (Question(TlsHandshake),)


def _may_ehlo(seen: Seen, subject: str) -> bool:
    greeting = seen.get(SmtpGreeting)
    greeted = greeting is not None and greeting.accepted
    return greeted if subject == BEFORE_TLS else greeted and _verified(seen)


def _may_starttls(seen: Seen, subject: str) -> bool:
    ehlo = seen.get(Ehlo, BEFORE_TLS)
    return ehlo is not None and ehlo.offers("STARTTLS")


def _needs_of_tls(profile: Profile, subject: str) -> tuple[Question, ...]:
    return _connections(profile) if _implicit(profile) else (Question(StartTls),)


def _may_tls(seen: Seen, subject: str) -> bool:
    if _implicit(seen.profile):
        return _connected(seen)
    answer = seen.get(StartTls)
    return answer is not None and answer.may_begin


# --- the identity provider ---------------------------------------------------------------------------------


def _secret_keys(profile: Profile) -> tuple[str, ...]:
    return tuple(profile.oauth.secrets())


def _secrets_of(profile: Profile, subject: str = "") -> tuple[Question, ...]:
    return tuple(Question(SecretCheck, key) for key in _secret_keys(profile))


def _needs_of_secret(profile: Profile, subject: str) -> tuple[Question, ...]:
    """A certificate is opened with its passphrase."""
    locked = subject == "certificate" and profile.oauth.certificate_passphrase is not None
    return (Question(SecretCheck, "certificate_passphrase"),) if locked else ()


def _secrets_resolved(seen: Seen, subject: str) -> bool:
    return all(one.resolved for one in seen.every(SecretCheck))


def discovers(profile: Profile) -> bool:
    """Whether the profile knows where the identity provider publishes its metadata."""
    return bool(profile.oauth.discovery_uri or profile.oauth.issuer)


def _needs_of_grant(profile: Profile, subject: str) -> tuple[Question, ...]:
    """Discovery only where the profile leaves the token endpoint to it."""
    found_out = () if profile.oauth.token_endpoint else (Question(Discovery),)
    return (*_secrets_of(profile), *found_out)


def _may_ask_for_token(seen: Seen, subject: str) -> bool:
    oauth = seen.profile.oauth
    place = oauth.token_endpoint or discovered(seen.get(Discovery), "token_endpoint", seen.profile)
    return _secrets_resolved(seen, subject) and (bool(place) or oauth.grant is GrantType.ACCESS_TOKEN)


def publishes_keys(profile: Profile) -> bool:
    """Whether there may be keys to verify tokens with: the profile names them, or metadata that may."""
    return bool(profile.oauth.jwks_uri) or discovers(profile)


IN_METADATA: Mapping[str, str] = {  # what the metadata call that which a profile may name itself
    "authorize_endpoint": "authorization_endpoint",
    "device_endpoint": "device_authorization_endpoint",
    "token_endpoint": "token_endpoint",
    "jwks_uri": "jwks_uri",
}


def place(seen: Seen, key: str) -> str:
    """Where the profile says something is, or the metadata, if that is a place to trust; else empty."""
    profile = seen.profile
    named: str = getattr(profile.oauth, key)
    return named or discovered(seen.get(Discovery), IN_METADATA[key], profile)


def keys_uri(seen: Seen) -> str:
    """Where the published keys are; empty where nobody says, or nobody to be trusted."""
    return place(seen, "jwks_uri")


async def _ask_discovery(asking: Asking, subject: str) -> Discovery:
    """The metadata the profile knows of; after a failure those of the tenant of a domain."""
    profile = asking.profile
    if subject:
        elsewhere = profile.oauth.discovery_uri.replace(f"/{profile.oauth.tenant}/", f"/{subject}/", 1)
        profile = replace(profile, oauth=replace(profile.oauth, discovery_uri=elsewhere))
    return await probe_discovery(profile, asking.wallet, resolve=asking.resolve)


async def _ask_keys(asking: Asking, subject: str) -> Keys:
    uri = keys_uri(asking.seen())
    keys, asking.jwks = await probe_keys(asking.profile, asking.wallet, uri, resolve=asking.resolve)
    return keys


async def _ask_grant(asking: Asking, subject: str) -> Grant:
    discovery = asking.seen().get(Discovery)
    return await probe_grant(asking.profile, asking.wallet, resolve=asking.resolve, discovery=discovery)


async def _ask_signature(asking: Asking, subject: str) -> SignatureCheck:
    return probe_signature(asking.token(), asking.jwks)


async def _ask_token_info(asking: Asking, subject: str) -> TokenInfo:
    return await probe_token_info(asking.profile, asking.wallet, resolve=asking.resolve)


def _granted(seen: Seen, subject: str = "") -> bool:
    grant = seen.get(Grant)
    return grant is not None and grant.granted


# --- from AUTH to the end of the message -------------------------------------------------------------------


def _mechanism(seen: Seen) -> str:
    ehlo = seen.get(Ehlo, AFTER_TLS)
    return ehlo.bearer_for(seen.profile.smtp.mechanism) if ehlo else ""


def _may_auth(seen: Seen, subject: str) -> bool:
    return bool(_mechanism(seen)) and _granted(seen)


async def _ask_auth(asking: Asking, subject: str) -> AuthExchange:
    return await probe_auth(
        asking.dialogue,
        user=asking.profile.mailbox,
        token=asking.token(),
        mechanism=_mechanism(asking.seen()),
    )


def _accepted(kind: type[SmtpStep]) -> Callable[[Seen, str], bool]:
    def accepted(seen: Seen, subject: str) -> bool:
        step = seen.get(kind)
        return step is not None and step.accepted

    return accepted


def _recipients(profile: Profile) -> tuple[Question, ...]:
    return tuple(Question(RcptTo, one) for one in profile.recipients)


def _needs_of_rcpt(profile: Profile, subject: str) -> tuple[Question, ...]:
    """One recipient after the other, in the profile's order."""
    number = profile.recipients.index(subject)
    return (Question(MailFrom), *_recipients(profile)[:number][-1:])


def _some_recipient(seen: Seen, subject: str) -> bool:
    return any(one.accepted for one in seen.every(RcptTo))


async def _ask_data(asking: Asking, subject: str) -> DataExchange:
    message, message_id, marker = build_message(
        asking.profile, sent_at=dt.datetime.now(dt.UTC), token=secrets.token_hex(8)
    )
    return await probe_data(asking.dialogue, message, message_id=message_id, marker=marker)


# --- the mailbox -------------------------------------------------------------------------------------------

OF_READER = "imap of "  # so begins the subject of the login that another profile gives
_READERS = "reader."  # so begin the names of its secrets where they are given with the profile's own


def _reader_wallet(profile: Profile, wallet: Wallet) -> Wallet:
    """What is given of the secrets of the profile that reads the mailbox, in a wallet of its own."""
    own = Wallet()
    for key in profile.reader.oauth.secrets() if profile.reader else ():
        if given := wallet.get(f"{_READERS}{key}"):
            own.put(key, given)
    return own


def mailbox_logins(profile: Profile) -> tuple[str, ...]:
    """The logins to mailboxes that a profile sets up, as questions name them."""
    checked = [profile.place_of(one) for one, at in mailbox_protocols(profile).items() if at.check]
    return tuple(dict.fromkeys(one for one in (*checked, *profile.watched.values()) if one))


def mailbox_protocols(profile: Profile) -> Mapping[str, MailboxAccess]:
    """How a mailbox can be read, and where."""
    return {"imap": profile.imap, "pop": profile.pop}


def _readers(profile: Profile) -> tuple[str, ...]:
    return (profile.delivery.profile,) if profile.delivery and profile.delivery.profile else ()


async def _ask_reader_grant(asking: Asking, subject: str) -> ReaderGrant:
    """By the reader's own secrets, store and endpoints; nothing of it enters the profile's own wallet."""
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    reader, wallet, grant = asking.profile.reader, asking.reader_wallet, None
    assert reader is not None, "the reader is read with the profile"
    keys = sorted(reader.oauth.secrets(), key=lambda key: key != "certificate_passphrase")
    checks = [await probe_secret(reader, wallet, key, resolve=asking.resolve) for key in keys]
    problem = next((f"{one.reference}: {one.problem}" for one in checks if not one.resolved), "")
    if not problem:
        unknown = not reader.oauth.token_endpoint and discovers(reader)
        found = await probe_discovery(reader, wallet, resolve=asking.resolve) if unknown else None
        grant = await probe_grant(reader, wallet, resolve=asking.resolve, discovery=found)
    took_s = time.monotonic() - begun_s
    return ReaderGrant(asked_at=asked_at, took_s=took_s, profile=subject, grant=grant, problem=problem)


def _needs_of_login(profile: Profile, subject: str) -> tuple[Question, ...]:
    if subject.startswith(OF_READER):
        return (Question(ReaderGrant, subject.removeprefix(OF_READER)),)
    return (Question(Grant),)


def _may_log_in(seen: Seen, subject: str) -> bool:
    if not subject.startswith(OF_READER):
        return _granted(seen)
    reader = seen.get(ReaderGrant, subject.removeprefix(OF_READER))
    return reader is not None and reader.granted


async def _ask_mailbox_login(asking: Asking, subject: str) -> MailboxLogin:
    profile, delivery = asking.profile, asking.profile.delivery
    if subject.startswith(OF_READER):
        assert profile.reader is not None
        assert delivery is not None
        login, server = await probe_mailbox_login(
            profile.reader, asking.reader_wallet, asking.resolver, MailboxProtocol.IMAP, user=delivery.mailbox
        )
    else:
        name, _, endpoint = subject.partition(" ")
        host, _, port = endpoint.rpartition(":")
        protocol, at = MailboxProtocol(name), MailboxAccess(host, int(port))
        login, server = await probe_mailbox_login(profile, asking.wallet, asking.resolver, protocol, place=at)
    if server is not None:
        asking.mailboxes[subject] = server
    return login


def _needs_of_arrival(profile: Profile, subject: str) -> tuple[Question, ...]:
    return (Question(DataExchange), Question(MailboxLogin, profile.watched[subject]))


def _may_look(seen: Seen, subject: str) -> bool:
    login = seen.get(MailboxLogin, seen.profile.watched.get(subject, ""))
    return login is not None and login.opened and _accepted(DataExchange)(seen, "")


async def _ask_arrival(asking: Asking, subject: str) -> Arrival:
    sent, delivery = asking.seen().get(DataExchange), asking.profile.delivery
    assert sent is not None
    assert delivery is not None
    asking.fate = asking.fate or Fate(sent, delivery.within_s)
    imap = asking.mailboxes[asking.profile.watched[subject]]
    assert isinstance(imap, Imap)
    return await probe_arrival(imap, asking.fate, asking.profile.limits, subject)


ROWS: Mapping[type[Observation], Row] = {
    row.kind: row
    for row in (
        Row(kind=DnsAnswer, ask=_ask_dns, subjects=_host_records),
        Row(kind=SystemAddresses, ask=_ask_addresses, subjects=_host, on_the_way=True),
        Row(
            kind=TcpConnects,
            ask=_ask_tcp,
            subjects=lambda profile: (IPV4, IPV6),
            needs=_needs_addresses,
            may_ask=_has_addresses,
            on_the_way=True,
        ),
        Row(
            kind=NameServers,
            ask=lambda asking, subject: probe_name_servers(asking.profile, subject),
            subjects=_host,
        ),
        Row(kind=PortCheck, ask=_ask_port, subjects=lambda profile: ()),  # follow-ups only
        Row(kind=ServiceCheck, ask=_ask_service, subjects=lambda profile: ()),  # follow-ups only
        Row(kind=MailExchangers, ask=_ask_mail_exchangers, subjects=_sender_domains),
        Row(kind=SpfTree, ask=_ask_spf, subjects=_sender_domains),
        Row(kind=DkimKeys, ask=_ask_dkim, subjects=_sender_domains),
        Row(kind=DmarcWalk, ask=_ask_dmarc, subjects=_sender_domains),
        Row(kind=MtaSts, ask=_ask_mta_sts, subjects=_sender_domains),
        Row(kind=TlsReporting, ask=_ask_tls_reporting, subjects=_sender_domains),
        Row(
            kind=SmtpGreeting,
            ask=lambda asking, subject: probe_greeting(asking.dialogue),
            needs=_needs_of_greeting,
            may_ask=_may_greet,
            any_need=True,
            on_the_way=True,
        ),
        Row(
            kind=Ehlo,
            ask=lambda asking, subject: probe_ehlo(asking.dialogue, encrypted=subject == AFTER_TLS),
            subjects=_ehlo_subjects,
            needs=_needs_of_ehlo,
            may_ask=_may_ehlo,
            on_the_way=True,
        ),
        Row(
            kind=StartTls,
            ask=lambda asking, subject: probe_starttls(asking.dialogue),
            subjects=lambda profile: () if _implicit(profile) else ("",),
            needs=lambda profile, subject: (Question(Ehlo, BEFORE_TLS),),
            may_ask=_may_starttls,
            on_the_way=True,
        ),
        Row(
            kind=TlsHandshake,
            ask=lambda asking, subject: probe_tls(asking.dialogue),
            needs=_needs_of_tls,
            may_ask=_may_tls,
            any_need=True,
            on_the_way=True,
        ),
        Row(
            kind=SecretCheck,
            ask=lambda asking, subject: probe_secret(
                asking.profile, asking.wallet, subject, resolve=asking.resolve
            ),
            subjects=_secret_keys,
            needs=_needs_of_secret,
            on_the_way=True,
        ),
        Row(
            kind=Discovery,
            ask=_ask_discovery,
            subjects=lambda profile: ("",) if discovers(profile) else (),
        ),
        Row(
            kind=Keys,
            ask=_ask_keys,
            needs=lambda profile, subject: () if profile.oauth.jwks_uri else (Question(Discovery),),
            may_ask=lambda seen, subject: bool(keys_uri(seen)),
        ),
        Row(
            kind=Grant,
            ask=_ask_grant,
            needs=_needs_of_grant,
            may_ask=_may_ask_for_token,
            on_the_way=True,
        ),
        Row(
            kind=SignatureCheck,
            ask=_ask_signature,
            needs=lambda profile, subject: (Question(Grant), Question(Keys)),
            may_ask=lambda seen, subject: _granted(seen) and any(one.readable for one in seen.every(Keys)),
        ),
        Row(
            kind=TokenInfo,
            ask=_ask_token_info,
            subjects=lambda profile: ("",) if profile.oauth.token_info_uri else (),
            needs=lambda profile, subject: (Question(Grant),),
            may_ask=_granted,
        ),
        Row(
            kind=AuthExchange,
            ask=_ask_auth,
            needs=lambda profile, subject: (Question(Ehlo, AFTER_TLS), Question(Grant)),
            may_ask=_may_auth,
            on_the_way=True,
        ),
        Row(
            kind=MailFrom,
            ask=lambda asking, subject: probe_mail_from(asking.dialogue, asking.profile.sender),
            needs=lambda profile, subject: (Question(AuthExchange),),
            may_ask=_accepted(AuthExchange),
            on_the_way=True,
        ),
        Row(
            kind=RcptTo,
            ask=lambda asking, subject: probe_rcpt_to(asking.dialogue, subject),
            subjects=lambda profile: profile.recipients,
            needs=_needs_of_rcpt,
            may_ask=_accepted(MailFrom),
            on_the_way=True,
        ),
        Row(
            kind=DataExchange,
            ask=_ask_data,
            subjects=lambda profile: ("",) if profile.send else (),
            needs=lambda profile, subject: _recipients(profile),
            may_ask=_some_recipient,
            on_the_way=True,
        ),
        Row(kind=ReaderGrant, ask=_ask_reader_grant, subjects=_readers),
        Row(
            kind=MailboxLogin,
            ask=_ask_mailbox_login,
            subjects=mailbox_logins,
            needs=_needs_of_login,
            may_ask=_may_log_in,
        ),
        Row(
            kind=Arrival,
            ask=_ask_arrival,
            subjects=lambda profile: tuple(one for one, login in profile.watched.items() if login),
            needs=_needs_of_arrival,
            may_ask=_may_look,
        ),
    )
}


def environment() -> Mapping[str, str]:
    """What asks: the versions that decide what can be negotiated, and the system they run on."""
    return {
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "system": platform.platform(terse=True),
    }


def needs_of(question: Question, profile: Profile) -> tuple[Question, ...]:
    """What has to be answered before a question."""
    return ROWS[question.kind].needs(profile, question.subject)


def closure(questions: tuple[Question, ...], profile: Profile) -> tuple[Question, ...]:
    """The questions and, before each, everything it needs; each once."""
    ordered: dict[Question, None] = {}

    def add(question: Question) -> None:
        if question not in ordered:
            for need in needs_of(question, profile):
                add(need)
            ordered[question] = None

    for question in questions:
        add(question)
    return tuple(ordered)


# The kinds that live on the one SMTP connection.
DIALOGUE = frozenset(
    {TcpConnects, SmtpGreeting, Ehlo, StartTls, TlsHandshake, AuthExchange, MailFrom, RcptTo, DataExchange}
)


def is_transient(answer: Observation) -> bool:
    """Whether asking again could bring another answer, and does no harm."""
    match answer:
        case DnsAnswer(status=status):
            return status in (DnsStatus.SERVFAIL, DnsStatus.TIMEOUT)
        case NameServers() | MailExchangers() | SpfTree() | DkimKeys() | DmarcWalk() | TlsReporting():
            return bool(trouble_in(answer.answers))
        case MtaSts(http=http):
            return bool(trouble_in(answer.answers)) or (http is not None and _http_is_transient(http))
        case SystemAddresses(error=error):
            return error in ("EAI_AGAIN", "TIMEOUT", "SERVFAIL")
        case TcpConnects(attempts=attempts, connected=connected):
            return bool(attempts) and not connected
        case TlsHandshake(failure=failure):
            return failure in (TlsFailure.TIMEOUT, TlsFailure.CLOSED, TlsFailure.RESET)
        case DataExchange():
            return False
        case SmtpStep(reply=reply, failure=failure):
            lost = failure in (Failure.TIMEOUT, Failure.CLOSED, Failure.RESET)
            return lost or (reply is not None and 400 <= reply.code < 500)
        case Grant(grant=GrantType.CLIENT_CREDENTIALS, http=HttpExchange() as http):
            return _http_is_transient(http)
        case Discovery(http=http) | Keys(http=http):
            return _http_is_transient(http)
    return False


def _http_is_transient(http: HttpExchange) -> bool:
    return http.failure is not None or http.status in (429, 500, 502, 503, 504)


def wanted_pause_s(answer: Observation) -> float:
    """How long a server wants to be left alone: its Retry-After (RFC 9110 section 10.2.3), in seconds."""
    http = getattr(answer, "http", None)
    told = http.headers.get("retry-after", "") if http else ""
    if not told or told.isdecimal():
        return float(told or 0)
    try:
        return max(0.0, (parsedate_to_datetime(told) - answer.observed_at).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a zone
        return 0.0
