"""The chain of evidence, top to bottom: one fixture per observation, in the order of the mail's way.

A fixture never asks, never judges and never fails. It hands on what was observed, or it is blocked by the
finding that kept it from being asked, or it skips a question that does not apply.
"""

from __future__ import annotations

import pytest

from smtp_preflight.diagnosis.claim_signs import for_this_resource, permitted
from smtp_preflight.diagnosis.claims import why_claim_differs, why_undecodable
from smtp_preflight.diagnosis.delivery import (
    can_be_looked_into,
    says_something_of,
    why_not_arrived,
    why_not_looked_into,
)
from smtp_preflight.diagnosis.discovery import why_not_discovered
from smtp_preflight.diagnosis.ends import End, end_of_credential
from smtp_preflight.diagnosis.greeting import why_not_greeted
from smtp_preflight.diagnosis.mail_domain import (
    why_mail_refused,
    why_mta_sts_unreadable,
    why_no_dmarc,
    why_no_mail_server,
    why_no_mta_sts_policy,
    why_no_single_spf,
    why_spf_takes_too_long,
    why_spf_unreadable,
)
from smtp_preflight.diagnosis.profile import why_secret_unavailable
from smtp_preflight.diagnosis.signs import is_address
from smtp_preflight.diagnosis.tls import why_no_handshake
from smtp_preflight.diagnosis.tlsa import announces, comparable, tlsa_question
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.evidence import Evidence, asks
from smtp_preflight.model import (
    MOST_SPF_LOOKUPS,
    AccessToken,
    Arrival,
    AuthExchange,
    DataExchange,
    Discovery,
    DkimKeys,
    DmarcWalk,
    DnsAnswer,
    Ehlo,
    FoundMessage,
    Grant,
    GrantType,
    Keys,
    MailboxLogin,
    MailExchangers,
    MailFrom,
    MtaSts,
    NameServers,
    Profile,
    Published,
    RcptTo,
    ReaderGrant,
    SecretCheck,
    Seen,
    SignatureCheck,
    SignatureState,
    SmtpGreeting,
    SpfTree,
    StartTls,
    SystemAddresses,
    TcpConnects,
    TlsHandshake,
    TlsReporting,
    TokenInfo,
    trouble_in,
)
from smtp_preflight.outcome import Blocked
from smtp_preflight.probes.questions import (
    AFTER_TLS,
    BEFORE_TLS,
    discovers,
    first_ehlo,
    keys_uri,
    publishes_keys,
)

pytest_plugins = ["smtp_preflight.plugin"]


@pytest.fixture(scope="session")
def written(profile: Profile) -> Profile:
    """The profile as its file says it."""
    return profile.as_written


@pytest.fixture(scope="session")
@asks(DnsAnswer, lambda profile, _: (f"{profile.smtp.host} A", f"{profile.smtp.host} AAAA"))
def published(evidence: Evidence, profile: Profile) -> Published:
    """What DNS publishes for the submission host; skipped where the host is given as an address."""
    host = profile.smtp.host
    if is_address(host):
        pytest.skip("the host is given as an address")
    return Published(evidence[DnsAnswer, f"{host} A"], evidence[DnsAnswer, f"{host} AAAA"])


@pytest.fixture(scope="session")
@asks(SystemAddresses, lambda profile, _: (profile.smtp.host,))
def system(evidence: Evidence, profile: Profile) -> SystemAddresses:
    """What this machine's own resolver makes of the submission host."""
    return evidence[SystemAddresses, profile.smtp.host]


@pytest.fixture(scope="session")
def resolved_here(system: SystemAddresses) -> SystemAddresses:
    """The same, where it was this machine's resolver that was asked and it had an answer."""
    if not system.by_system:
        pytest.skip("the profile names its own DNS servers")
    return system


@pytest.fixture(scope="session")
@asks(NameServers, lambda profile, _: (profile.smtp.host,) if len(profile.dns_servers) > 1 else ())
def name_servers(evidence: Evidence, profile: Profile) -> NameServers:
    """Each of the profile's name servers, where it lists several and at least two of them answered."""
    if len(profile.dns_servers) < 2:
        pytest.skip("the profile does not list several DNS servers")
    asked = evidence[NameServers, profile.smtp.host]
    if len(asked.settled) < 2:
        pytest.skip("fewer than two of the DNS servers gave an answer")
    return asked


# --- the domains that mail is sent from --------------------------------------------------------------------
#
# Nothing here keeps mail from leaving. A name server in trouble says nothing of what a domain publishes: the
# check is skipped then, for neither "missing" nor an error of the way to the mail server would be true.


def settled(*answers: DnsAnswer) -> None:
    """Skip where one of the questions got neither yes nor no."""
    if told := trouble_in(answers):
        pytest.skip(f"the name server did not answer for {told}")


@pytest.fixture(scope="session")
@asks(MailExchangers, lambda profile, parameters: (parameters["sender_domain"],))
def mail_servers(evidence: Evidence, sender_domain: str) -> MailExchangers:
    """Who takes the domain's mail."""
    asked = evidence[MailExchangers, sender_domain]
    settled(asked.mx)
    return asked


@pytest.fixture(scope="session")
def named_servers(mail_servers: MailExchangers, seen: Seen) -> MailExchangers:
    """The same, where there is an MX."""
    if not mail_servers.names:
        raise Blocked(why_no_mail_server(seen, mail_servers.domain), on_the_way=False)
    return mail_servers


@pytest.fixture(scope="session")
def taking_servers(named_servers: MailExchangers, seen: Seen) -> MailExchangers:
    """The same, where it names hosts."""
    if named_servers.refuses_mail:
        raise Blocked(why_mail_refused(seen, named_servers.domain), on_the_way=False)
    return named_servers


@pytest.fixture(scope="session")
def looked_up_servers(taking_servers: MailExchangers) -> MailExchangers:
    """The same, with what DNS says of each host."""
    settled(*taking_servers.answers)
    return taking_servers


@pytest.fixture(scope="session")
@asks(SpfTree, lambda profile, parameters: (parameters["sender_domain"],))
def spf(evidence: Evidence, sender_domain: str) -> SpfTree:
    """The domain's SPF record, and those it leads to."""
    asked = evidence[SpfTree, sender_domain]
    settled(asked.own.answer)
    return asked


@pytest.fixture(scope="session")
def single_spf(spf: SpfTree, seen: Seen) -> SpfTree:
    """The same, where there is exactly one and all that it leads to is known."""
    if len(spf.own.texts) != 1:
        raise Blocked(why_no_single_spf(seen, spf.domain), on_the_way=False)
    settled(*spf.answers)
    return spf


@pytest.fixture(scope="session")
def readable_spf(single_spf: SpfTree, seen: Seen) -> SpfTree:
    """The same, where receivers can read all of it."""
    if single_spf.problem:
        raise Blocked(why_spf_unreadable(seen, single_spf.domain), on_the_way=False)
    return single_spf


@pytest.fixture(scope="session")
def spf_of_senders(readable_spf: SpfTree, profile: Profile, seen: Seen) -> SpfTree:
    """The same, where it can be known whether the provider is in it."""
    if not profile.provider.spf_include:
        pytest.skip("the preset does not say where the provider publishes its servers")
    if readable_spf.lookups > MOST_SPF_LOOKUPS:
        raise Blocked(why_spf_takes_too_long(seen, readable_spf.domain), on_the_way=False)
    if readable_spf.by_macro:
        pytest.skip("the SPF record is answered for each message anew")
    return readable_spf


@pytest.fixture(scope="session")
@asks(DkimKeys, lambda profile, parameters: (parameters["sender_domain"],))
def dkim(evidence: Evidence, profile: Profile, sender_domain: str) -> DkimKeys:
    """The provider's keys for the domain; one that is found is enough, whatever became of the others."""
    if not profile.provider.dkim_selectors:
        pytest.skip("the preset does not say under which names the provider's keys are")
    asked = evidence[DkimKeys, sender_domain]
    settled(*(() if asked.published else asked.answers))
    return asked


@pytest.fixture(scope="session")
@asks(DmarcWalk, lambda profile, parameters: (parameters["sender_domain"],))
def dmarc(evidence: Evidence, sender_domain: str) -> DmarcWalk:
    """The DMARC record that applies to the domain."""
    asked = evidence[DmarcWalk, sender_domain]
    settled(*asked.answers)
    return asked


@pytest.fixture(scope="session")
def published_dmarc(dmarc: DmarcWalk, seen: Seen) -> DmarcWalk:
    """The same, where there is one."""
    if not dmarc.published:
        raise Blocked(why_no_dmarc(seen, dmarc.domain), on_the_way=False)
    return dmarc


@pytest.fixture(scope="session")
@asks(MtaSts, lambda profile, parameters: (parameters["sender_domain"],))
def mta_sts(evidence: Evidence, sender_domain: str) -> MtaSts:
    """The domain's announcement of MTA-STS; skipped where there is none."""
    asked = evidence[MtaSts, sender_domain]
    settled(*asked.answers)
    if not asked.announced.meant:
        pytest.skip("the domain does not announce MTA-STS")
    return asked


@pytest.fixture(scope="session")
def announced_policy(mta_sts: MtaSts, seen: Seen) -> MtaSts:
    """The same, where the announcement can be read."""
    if not mta_sts.valid:
        raise Blocked(why_mta_sts_unreadable(seen, mta_sts.domain), on_the_way=False)
    return mta_sts


@pytest.fixture(scope="session")
def fetched_policy(announced_policy: MtaSts, seen: Seen) -> MtaSts:
    """The same, where its policy came."""
    if not announced_policy.fetched:
        raise Blocked(why_no_mta_sts_policy(seen, announced_policy.domain), on_the_way=False)
    return announced_policy


@pytest.fixture(scope="session")
@asks(TlsReporting, lambda profile, parameters: (parameters["sender_domain"],))
def failure_reports(evidence: Evidence, sender_domain: str) -> TlsReporting:
    """Where the domain wants to be told of failed TLS; skipped where it does not."""
    asked = evidence[TlsReporting, sender_domain]
    settled(*asked.answers)
    if not asked.announced.meant:
        pytest.skip("the domain does not ask for reports")
    return asked


# --- the connection ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
@asks(TcpConnects, lambda profile, parameters: ("ipv4", "ipv6"))
def connects(evidence: Evidence, family: str) -> TcpConnects:
    """The attempts to connect to each address of one family."""
    mine = evidence[TcpConnects, family]
    others = [one for one in evidence.seen.every(TcpConnects) if one.family != family and one.attempts]
    if not mine.attempts:
        pytest.skip(f"no {family} address is published")
    if not mine.routable and others:
        pytest.skip(f"this machine has no {family}")
    return mine


@pytest.fixture(scope="session")
@asks(SmtpGreeting)
def greeting(evidence: Evidence) -> SmtpGreeting:
    """The server's first words."""
    return evidence[SmtpGreeting]


@pytest.fixture(scope="session")
@asks(Ehlo, BEFORE_TLS)
def ehlo(evidence: Evidence, profile: Profile) -> Ehlo:
    """The capabilities before TLS; skipped with implicit TLS, where there is no such moment."""
    if profile.smtp.tls == "implicit":
        pytest.skip("TLS comes first on this port")
    return evidence[Ehlo, BEFORE_TLS]


@pytest.fixture(scope="session")
def ehlo_accepted(ehlo: Ehlo, seen: Seen) -> Ehlo:
    """The capabilities before TLS, once there are any."""
    if not ehlo.accepted:
        raise Blocked(why_not_greeted(seen))
    return ehlo


@pytest.fixture(scope="session")
@asks(Ehlo, lambda profile, _: (first_ehlo(profile),))
def hello(evidence: Evidence, profile: Profile) -> Ehlo:
    """The answer to the first EHLO, in the clear or, with implicit TLS, under encryption."""
    return evidence[Ehlo, first_ehlo(profile)]


@pytest.fixture(scope="session")
@asks(StartTls)
def starttls(evidence: Evidence, profile: Profile) -> StartTls:
    """The answer to STARTTLS."""
    if profile.smtp.tls == "implicit":
        pytest.skip("TLS comes first on this port")
    return evidence[StartTls]


@pytest.fixture(scope="session")
@asks(TlsHandshake)
def tls(evidence: Evidence) -> TlsHandshake:
    """The handshake, and the certificates that were shown in it."""
    return evidence[TlsHandshake]


@pytest.fixture(scope="session")
def certificate(tls: TlsHandshake, seen: Seen) -> TlsHandshake:
    """The handshake, once it came to its end and a certificate was shown."""
    if not tls.completed:
        raise Blocked(why_no_handshake(seen))
    return tls


@pytest.fixture(scope="session")
@asks(DnsAnswer, lambda profile, _: tlsa_question(profile))
def tlsa(evidence: Evidence, profile: Profile, certificate: TlsHandshake) -> DnsAnswer:
    """What DNS announces of the certificate, where it does and that can be held against what was shown."""
    if is_address(profile.smtp.host):
        pytest.skip("the host is given as an address")
    announced = evidence[DnsAnswer, tlsa_question(profile)[0]]
    settled(announced)
    if not announced.records:
        pytest.skip("DNS announces no certificate for this service")
    if not announces(announced, certificate) and not comparable(announced):
        pytest.skip("what DNS announces cannot be held against what was seen")
    return announced


@pytest.fixture(scope="session")
@asks(Ehlo, AFTER_TLS)
def ehlo_tls(evidence: Evidence) -> Ehlo:
    """The capabilities under verified TLS; the only ones that count (RFC 3207 section 4.2)."""
    return evidence[Ehlo, AFTER_TLS]


@pytest.fixture(scope="session")
def capabilities(ehlo_tls: Ehlo, seen: Seen) -> Ehlo:
    """The same, once there are any."""
    if not ehlo_tls.accepted:
        raise Blocked(why_not_greeted(seen))
    return ehlo_tls


# --- the identity provider, asked at the same time ---------------------------------------------------------


@pytest.fixture(scope="session")
@asks(SecretCheck, lambda profile, _: ("certificate",) if profile.oauth.certificate else ())
def credential_end(evidence: Evidence, seen: Seen) -> End | None:
    """When the application's secret or certificate ends, as the certificate says, else the profile."""
    return end_of_credential(seen)


@pytest.fixture(scope="session")
@asks(SecretCheck, lambda profile, parameters: (parameters["secret"],))
def secret_check(evidence: Evidence, secret: str) -> SecretCheck:
    """Whether one of the profile's secrets could be read."""
    return evidence[SecretCheck, secret]


@pytest.fixture(scope="session")
def readable_secret(secret_check: SecretCheck, seen: Seen) -> SecretCheck:
    """The same, once it could be read."""
    if not secret_check.resolved:
        raise Blocked(why_secret_unavailable(seen, secret_check.key))
    return secret_check


@pytest.fixture(scope="session")
@asks(Discovery, lambda profile, _: ("",) if discovers(profile) else ())
def metadata(evidence: Evidence, profile: Profile) -> Discovery:
    """The discovery document; skipped where the profile knows of none."""
    if not discovers(profile):
        pytest.skip("this provider publishes no metadata")
    return evidence[Discovery]


@pytest.fixture(scope="session")
def readable_metadata(metadata: Discovery, seen: Seen) -> Discovery:
    """The same, once it can be read."""
    if not metadata.readable:
        raise Blocked(why_not_discovered(seen), on_the_way=False)
    return metadata


@pytest.fixture(scope="session")
@asks(Keys, lambda profile, _: ("",) if publishes_keys(profile) else ())
def keys(evidence: Evidence, profile: Profile, seen: Seen) -> Keys:
    """The public signing keys; skipped where none are published, or on a foreign host."""
    if not publishes_keys(profile):
        pytest.skip("this provider publishes no keys")
    found = seen.get(Discovery)
    if found and found.readable and not keys_uri(seen):
        pytest.skip("the metadata name no keys on a host of the issuer")
    return evidence[Keys]


@pytest.fixture(scope="session")
@asks(Grant)
def grant(evidence: Evidence) -> Grant:
    """The token endpoint's answer; a refusal is an answer too."""
    return evidence[Grant]


@pytest.fixture(scope="session")
def asked_grant(grant: Grant) -> Grant:
    """The same, where an endpoint was asked rather than a token given."""
    if grant.grant == GrantType.ACCESS_TOKEN:
        pytest.skip("the profile gives an access token; no endpoint is asked")
    return grant


@pytest.fixture(scope="session")
def answered_grant(asked_grant: Grant, seen: Seen) -> Grant:
    """The same, once the endpoint responded."""
    if not asked_grant.answered:
        raise Blocked(why_not_granted(seen))
    return asked_grant


@pytest.fixture(scope="session")
def granted(asked_grant: Grant, seen: Seen) -> Grant:
    """The same, once it holds a token."""
    if not asked_grant.granted:
        raise Blocked(why_not_granted(seen))
    return asked_grant


@pytest.fixture(scope="session")
def refreshed(asked_grant: Grant) -> Grant:
    """The answer, where it was a refresh token that was to be redeemed."""
    if asked_grant.grant != GrantType.REFRESH_TOKEN:  # what a sign-in has stored is redeemed by this grant
        pytest.skip("this grant has no refresh token")
    return asked_grant


@pytest.fixture(scope="session")
def redeemed(refreshed: Grant, seen: Seen) -> Grant:
    """The same, once it was redeemed."""
    if not refreshed.granted:
        raise Blocked(why_not_granted(seen))
    return refreshed


@pytest.fixture(scope="session")
def renewing(redeemed: Grant, profile: Profile) -> Grant:
    """The same, at a provider that issues a new refresh token each time."""
    if not profile.provider.renews_refresh_tokens:
        pytest.skip("this provider does not issue a new refresh token each time")
    return redeemed


@pytest.fixture(scope="session")
def any_token(grant: Grant, seen: Seen) -> AccessToken:
    """What may be known of the token; blocked when nothing was granted."""
    if grant.token is None:
        raise Blocked(why_not_granted(seen))
    return grant.token


@pytest.fixture(scope="session")
def whole_token(any_token: AccessToken, seen: Seen) -> AccessToken:
    """The same, opaque or readable; blocked where it is a readable one that does not decode."""
    if not any_token.opaque and not any_token.claims:
        raise Blocked(why_undecodable(seen, any_token), on_the_way=False)
    return any_token


@pytest.fixture(scope="session")
def token(whole_token: AccessToken) -> AccessToken:
    """The claims of the token; skipped when it is opaque."""
    if whole_token.opaque:
        pytest.skip("the token is opaque: only the provider can read it")
    return whole_token


@pytest.fixture(scope="session")
def expected_values(claim: str, token: AccessToken, profile: Profile) -> frozenset[str]:
    """What the profile expects of a claim; skipped where it expects nothing, or the token does not say."""
    expected = profile.expected_values(claim)
    if not expected:
        pytest.skip(f"the profile does not say which {claim} to expect")
    if claim != "aud" and not token.values(claim):
        pytest.skip(f"the token does not say its {claim}")
    return expected


@pytest.fixture(scope="session")
@asks(TokenInfo, lambda profile, _: ("",) if profile.oauth.token_info_uri else ())
def token_for_mail(whole_token: AccessToken, profile: Profile, seen: Seen) -> AccessToken:
    """The token, where it is for the mail service and its permissions can be known."""
    if not whole_token.opaque and profile.expect.aud and not for_this_resource(profile, whole_token):
        raise Blocked(why_claim_differs(seen, "aud"), on_the_way=False)
    if whole_token.for_application and profile.oauth.app_permission == "rbac" and not whole_token.opaque:
        pytest.skip("RBAC for Applications decides, not the token")
    if permitted(seen, whole_token) is None:
        pytest.skip("what the token permits is not said anywhere")
    return whole_token


@pytest.fixture(scope="session")
def user_token(token: AccessToken) -> AccessToken:
    """The token, where it is on behalf of a user and says of whom."""
    if token.for_application:
        pytest.skip("the token is the application's own, not a user's")
    if not token.user:
        pytest.skip("the token does not name its user")
    return token


def verifiable(profile: Profile) -> bool:
    """Whether this provider publishes keys that are expected to verify an access token."""
    return profile.provider.signed_tokens and publishes_keys(profile)


@pytest.fixture(scope="session")
@asks(SignatureCheck, lambda profile, _: ("",) if verifiable(profile) else ())
def signature(token: AccessToken, evidence: Evidence, profile: Profile, seen: Seen) -> SignatureCheck:
    """Whether the published keys verify the token; skipped where they are not expected to."""
    if not verifiable(profile):
        pytest.skip("this provider's tokens are not for clients to verify")
    found = seen.get(Discovery)
    if found and found.readable and not keys_uri(seen):
        pytest.skip("the metadata name no keys on a host of the issuer")
    checked = evidence[SignatureCheck]
    if checked.state is SignatureState.NOT_CHECKED:
        pytest.skip("the token's signature is not made to be checked by others")
    return checked


# --- the same connection, from AUTH to the end of the message ----------------------------------------------


@pytest.fixture(scope="session")
@asks(AuthExchange)
def auth(evidence: Evidence) -> AuthExchange:
    """AUTH with the token, and the server's answer."""
    return evidence[AuthExchange]


@pytest.fixture(scope="session")
@asks(MailFrom)
def mail_from(evidence: Evidence) -> MailFrom:
    """The answer to the sender."""
    return evidence[MailFrom]


@pytest.fixture(scope="session")
@asks(RcptTo, lambda profile, parameters: (parameters["recipient"],))
def rcpt_to(evidence: Evidence, recipient: str) -> RcptTo:
    """The answer to one recipient."""
    return evidence[RcptTo, recipient]


@pytest.fixture(scope="session")
@asks(DataExchange)
def data(evidence: Evidence) -> DataExchange:
    """The server's last word on the message."""
    return evidence[DataExchange]


# --- the mailbox -------------------------------------------------------------------------------------------
#
# Nothing here keeps mail from leaving: where a mailbox cannot be looked into, nothing of it turns red.


@pytest.fixture(scope="session")
@asks(MailboxLogin, lambda profile, parameters: (profile.place_of(parameters["protocol"]),))
def mailbox_login(evidence: Evidence, profile: Profile, protocol: str) -> MailboxLogin:
    """The login to the mailbox over one protocol."""
    return evidence[MailboxLogin, profile.place_of(protocol)]


@pytest.fixture(scope="session")
@asks(MailboxLogin, lambda profile, _: filter(None, (profile.delivery_login,)))
def delivery_login(evidence: Evidence, profile: Profile, seen: Seen) -> MailboxLogin | None:
    """The login that looks for the message; none where nobody may, or the one who may got no token."""
    reader = next(iter(seen.every(ReaderGrant)), None)
    if not profile.delivery_login or (reader and not reader.granted):
        return None
    return evidence[MailboxLogin, profile.delivery_login]


@pytest.fixture(scope="session")
@asks(Arrival, lambda profile, _: (mailbox for mailbox, login in profile.watched.items() if login))
def arrival(evidence: Evidence, profile: Profile, delivery_login: MailboxLogin | None, seen: Seen) -> Arrival:
    """What was found in the recipient's mailbox once the message had been accepted."""
    if not can_be_looked_into(delivery_login):
        raise Blocked(why_not_looked_into(seen), on_the_way=False)
    *_, recipients = profile.watched
    return evidence[Arrival, recipients]


@pytest.fixture(scope="session")
def message(arrival: Arrival, seen: Seen) -> FoundMessage:
    """The message as it lies in the mailbox."""
    if arrival.message is None:
        raise Blocked(why_not_arrived(seen), on_the_way=False)
    return arrival.message


@pytest.fixture(scope="session")
def judged_message(message: FoundMessage, method: str) -> FoundMessage:
    """The same, where the receiver says what came of this proof."""
    if not says_something_of(message, method):
        pytest.skip(f"the receiver does not say what came of {method.upper()}")
    return message
