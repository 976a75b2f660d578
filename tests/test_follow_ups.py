"""What is asked after a failure, that it is harmless and bounded, and which cause its answer settles."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import trustme

from smtp_preflight.diagnosis.auth_offered import why_no_bearer_offered
from smtp_preflight.diagnosis.discovery import why_not_discovered
from smtp_preflight.diagnosis.follow_ups import follow_ups
from smtp_preflight.diagnosis.greeting import why_not_greeted
from smtp_preflight.diagnosis.tls import why_issuer_not_trusted, why_no_handshake
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.evidence import Recorder
from smtp_preflight.knowledge import entry
from smtp_preflight.knowledge.inspectors import inspector_in
from smtp_preflight.model import (
    AccessToken,
    AuthExchange,
    Certainty,
    Certificate,
    Discovery,
    Ehlo,
    Endpoint,
    Failure,
    Finding,
    Grant,
    HttpExchange,
    Limits,
    MailboxAccess,
    MailboxLogin,
    OAuth,
    OAuthError,
    Observation,
    Profile,
    Provider,
    Question,
    Seen,
    ServiceCheck,
    Smtp,
    SmtpGreeting,
    SmtpReply,
    TlsFailure,
    TlsHandshake,
)
from smtp_preflight.probes.dns import resolver_for
from smtp_preflight.probes.questions import AFTER_TLS, ROWS, Asking
from smtp_preflight.probes.service import probe_service
from smtp_preflight.secrets import Wallet

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
PRESET = "smtp.office365.com"
LOGIN = "login.microsoftonline.com:443 https"
TENANT = "00000000-0000-4000-8000-00000000c0de"

MakeSeen = Callable[..., Seen]
MakeProfile = Callable[..., Profile]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def greeting(failure: Failure, **more: Any) -> SmtpGreeting:
    return SmtpGreeting(asked_at=NOW, failure=failure, **more)


def handshake(failure: TlsFailure, **more: Any) -> TlsHandshake:
    return TlsHandshake(asked_at=NOW, host=PRESET, failure=failure, **more)


def certificate(issuer: str) -> Certificate:
    return Certificate(
        subject=f"CN={PRESET}",
        issuer=issuer,
        names=(PRESET,),
        not_before=NOW - dt.timedelta(days=9),
        not_after=NOW + dt.timedelta(days=90),
        key_type="EC",
        key_bits=256,
        signature_hash="sha256",
        sha256="aa" * 32,
    )


def distrusted(issuer: str, code: int = 19, *, sent: int = 2) -> TlsHandshake:
    """A chain of so many certificates that leads to nobody who is trusted."""
    chain = (certificate(issuer),) * sent
    return handshake(TlsFailure.VERIFY, verify_code=code, version="TLSv1.3", chain=chain, diagnosed=True)


def capabilities(*mechanisms: str) -> tuple[str, Ehlo]:
    lines = ("mail.contoso.com", *((f"AUTH {' '.join(mechanisms)}",) if mechanisms else ()))
    return AFTER_TLS, Ehlo(asked_at=NOW, reply=SmtpReply(250, lines), encrypted=True)


def no_such_tenant() -> Grant:
    error = OAuthError("invalid_request", "AADSTS90002: Tenant 'contosso' not found.", ("90002",))
    http = HttpExchange(
        "POST", "https://login.microsoftonline.com/x/oauth2/v2.0/token", status=400, is_json=True
    )
    return Grant(asked_at=NOW, grant="client_credentials", http=http, error=error)


def check(place: str, **shown: Any) -> tuple[str, ServiceCheck]:
    where, _, tls = place.rpartition(" ")
    host, _, port = where.rpartition(":")
    return place, ServiceCheck(asked_at=NOW, host=host, port=int(port), tls=tls, **shown)


def microsoft(profile: Profile, tenant: str = "contosso.onmicrosoft.com", **changes: Any) -> Profile:
    """With the endpoints of the preset, for this tenant."""
    template = "https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration"
    oauth = replace(profile.oauth, tenant=tenant, discovery_uri=template.replace("{tenant}", tenant))
    provider = replace(profile.provider, oauth={"discovery_uri": template})
    return replace(profile, oauth=oauth, provider=provider, **changes)


# --- what is asked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [Failure.TIMEOUT, Failure.CLOSED, Failure.RESET], ids=["timeout", "closed", "reset"]
)
def test_where_no_greeting_comes_tls_is_tried_at_once(
    failure: Failure, seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup = profile_with(smtp=Smtp(PRESET, 465))
    asked = follow_ups(seen_with(greeting(failure), profile=setup))
    assert asked == (Question(ServiceCheck, f"{PRESET}:465 implicit"),)


def test_where_tls_answers_it_is_begun_at_once(seen_with: MakeSeen) -> None:
    found = greeting(Failure.NOT_SMTP, first_bytes="\\x15\\x03", looks_like="tls")
    assert follow_ups(seen_with(found)) == (Question(ServiceCheck, f"{PRESET}:587 implicit"),)


@pytest.mark.parametrize("failure", [TlsFailure.NOT_TLS, TlsFailure.TIMEOUT, TlsFailure.CLOSED])
def test_where_tls_at_once_is_not_answered_the_greeting_is_waited_for(
    failure: TlsFailure, seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup = profile_with(smtp=Smtp(PRESET, 587, "implicit"))
    asked = follow_ups(seen_with(handshake(failure), profile=setup))
    assert asked == (Question(ServiceCheck, f"{PRESET}:587 starttls"),)


def test_where_hands_were_shaken_no_other_way_is_tried(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup = profile_with(smtp=Smtp(PRESET, 587, "implicit"))
    shaken = TlsHandshake(asked_at=NOW, host=PRESET, version="TLSv1.3")
    assert follow_ups(seen_with(shaken, profile=setup)) == ()


def test_where_an_issuer_is_not_trusted_https_is_looked_at(seen_with: MakeSeen) -> None:
    assert follow_ups(seen_with(distrusted("CN=Contoso Root"))) == (Question(ServiceCheck, LOGIN),)


def test_behind_a_proxy_https_says_nothing(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    setup = profile_with(proxy="http://proxy.contoso.com:8080")
    assert follow_ups(seen_with(distrusted("CN=Contoso Root"), profile=setup)) == ()


@pytest.mark.parametrize("mechanisms", [(), ("LOGIN", "PLAIN")])
def test_where_no_token_is_taken_the_providers_own_service_is_looked_at(
    mechanisms: tuple[str, ...], seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup = profile_with(smtp=Smtp("mail.contoso.com"))
    asked = follow_ups(seen_with(capabilities(*mechanisms), profile=setup))
    assert asked == (Question(ServiceCheck, f"{PRESET}:587 starttls"),)


def test_the_providers_own_service_is_not_looked_at_twice(seen_with: MakeSeen) -> None:
    """Nor in a lab, which takes the place of the provider's."""
    assert follow_ups(seen_with(capabilities("LOGIN"))) == ()


def test_without_a_preset_there_is_no_other_service(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    setup = profile_with(provider=Provider("custom", "Custom"), smtp=Smtp("mail.contoso.com"))
    assert follow_ups(seen_with(capabilities("LOGIN"), profile=setup)) == ()


def test_where_a_tenant_is_not_known_that_of_the_mailbox_is_looked_up(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    asked = follow_ups(seen_with(no_such_tenant(), profile=microsoft(profile_with())))
    assert asked == (Question(Discovery, "contoso.com"),)


def test_a_tenant_that_is_named_by_the_mailboxs_domain_is_not_looked_up_again(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    seen = seen_with(no_such_tenant(), profile=microsoft(profile_with(), "contoso.com"))
    assert follow_ups(seen) == ()


MAIL = "imap outlook.office365.com:993"
REFUSED = AuthExchange(asked_at=NOW, reply=SmtpReply(535, ("5.7.3 Authentication unsuccessful",)))


def with_token(profile: Profile, scope: str) -> tuple[Profile, Grant]:
    """A profile whose mailbox can be read somewhere, and a token that allows this."""
    token = AccessToken(
        observed_at=NOW,
        length=1400,
        fingerprint="0123456789ab",
        opaque=False,
        claims={"scp": scope, "upn": profile.mailbox},
    )
    provider = replace(profile.provider, permissions=("SMTP.Send",))
    expect = replace(profile.expect, permissions=("SMTP.Send",))
    setup = replace(
        profile, provider=provider, expect=expect, imap=MailboxAccess("outlook.office365.com", 993)
    )
    return setup, Grant(asked_at=NOW, grant="refresh_token", token=token)


def test_a_token_that_smtp_refuses_is_shown_to_the_mailbox(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup, grant = with_token(profile_with(), "SMTP.Send IMAP.AccessAsUser.All")
    assert follow_ups(seen_with(grant, REFUSED, profile=setup)) == (Question(MailboxLogin, MAIL),)


def test_a_token_is_not_used_for_what_it_was_not_asked_for(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    """The scope under test is never widened, and a token without it would only be refused."""
    setup, grant = with_token(profile_with(), "SMTP.Send")
    assert follow_ups(seen_with(grant, REFUSED, profile=setup)) == ()


@pytest.mark.parametrize(
    "reply",
    [
        SmtpReply(535, ("5.7.0 (#AUTH005) Too many bad auth attempts.",)),
        SmtpReply(454, ("4.7.0 Temporary authentication failure",)),
        SmtpReply(235, ("2.7.0 Authentication successful",)),
    ],
)
def test_where_logins_are_counted_there_is_no_second_one(
    reply: SmtpReply, seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup, grant = with_token(profile_with(), "SMTP.Send IMAP.AccessAsUser.All")
    auth = AuthExchange(asked_at=NOW, reply=reply)
    assert follow_ups(seen_with(grant, auth, profile=setup)) == ()


@pytest.mark.parametrize(
    "answers",
    [
        (SmtpGreeting(asked_at=NOW, reply=SmtpReply(220, ("ready",))),),
        (SmtpGreeting(asked_at=NOW, reply=SmtpReply(554, ("no",))),),
        (greeting(Failure.NOT_SMTP, first_bytes="SSH-2.0", looks_like="ssh"),),
        (TlsHandshake(asked_at=NOW, host=PRESET, version="TLSv1.3"),),
        (handshake(TlsFailure.OTHER, ca_problem="no such file"),),
        (capabilities("XOAUTH2", "LOGIN"),),
        (Grant(asked_at=NOW, grant="refresh_token", error=OAuthError("invalid_grant", codes=("700082",))),),
    ],
)
def test_nothing_more_is_asked_where_it_would_tell_nothing(
    answers: Iterable[Any], seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    """A healthy answer, or one that is explained as it is."""
    assert follow_ups(seen_with(*answers, profile=microsoft(profile_with()))) == ()


def test_a_look_elsewhere_is_asked_after_a_failure_only(profile_with: MakeProfile) -> None:
    """It has no subject of its own, so that no check can bring it about."""
    assert ROWS[ServiceCheck].subjects(profile_with()) == ()


# --- what the answers settle -------------------------------------------------------------------------------


def told(finding: Finding) -> tuple[str, Certainty]:
    return finding.code, finding.causes[0].certainty


def test_a_port_that_begins_tls_at_once_is_a_mix_up_for_certain(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup = profile_with(smtp=Smtp("mail.contoso.com", 2465), provider=Provider("custom", "Custom"))
    shown = check("mail.contoso.com:2465 implicit", begun=True, trusted=True, greeting="220 ready")
    finding = why_not_greeted(seen_with(greeting(Failure.TIMEOUT), shown, profile=setup))
    assert told(finding) == ("tls_mode_mismatch", Certainty.CERTAIN)
    assert "mail.contoso.com port 2465 (implicit): 220 ready" in finding.causes[0].facts["seen"]


def test_a_port_that_wants_starttls_is_a_mix_up_for_certain(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup = profile_with(smtp=Smtp("mail.contoso.com", 2587, "implicit"))
    shown = check("mail.contoso.com:2587 starttls", begun=True)
    finding = why_no_handshake(seen_with(handshake(TlsFailure.NOT_TLS), shown, profile=setup))
    assert told(finding) == ("tls_mode_mismatch", Certainty.CERTAIN)


def test_a_port_that_speaks_neither_way_is_silent(seen_with: MakeSeen) -> None:
    shown = check(f"{PRESET}:587 implicit", problem="timeout")
    assert why_not_greeted(seen_with(greeting(Failure.TIMEOUT), shown)).code == "greeting_timeout"


@pytest.mark.parametrize(
    ("issuer", "product"),
    [
        ("CN=Zscaler Root CA,O=Zscaler Inc.", "Zscaler"),
        ("CN=Avast Web/Mail Shield Root", "Avast"),
        ("O=Fortinet,CN=FortiGate CA", "Fortinet"),
        ("CN=ESET SSL Filter CA", "ESET"),
        ("CN=Kaspersky Anti-Virus Personal Root Certificate", "Kaspersky"),
        ("CN=Cisco Umbrella Root CA", "Cisco Umbrella"),
        ("CN=DO_NOT_TRUST_FiddlerRoot", "Fiddler"),
        ("CN=ACME SSL Inspection CA", "an inspecting proxy or firewall"),
        ("CN=DigiCert Global Root G2", ""),
        ("CN=Cloudflare Inc ECC CA-3", ""),
        ("CN=Contoso Reset Presets", ""),
    ],
)
def test_the_issuer_names_who_opens_the_connection(issuer: str, product: str) -> None:
    """Products by the names they write, and no public authority."""
    assert inspector_in(issuer) == product


def test_at_a_providers_host_a_product_as_issuer_is_interception_for_certain(seen_with: MakeSeen) -> None:
    """Whatever else is missing in the chain; and the remedy names the product."""
    for seen in (
        seen_with(distrusted("CN=Zscaler Root CA")),
        seen_with(distrusted("CN=Zscaler Root CA", 20, sent=1)),
    ):
        finding = why_issuer_not_trusted(seen)
        assert told(finding) == ("tls_interception", Certainty.CERTAIN)
        assert any("Zscaler" in step for step in entry(finding.code).steps(finding.causes[0].facts))


def test_elsewhere_such_a_product_may_be_the_server_itself(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    setup = profile_with(smtp=Smtp("mail.contoso.com"), provider=Provider("custom", "Custom"))
    finding = why_issuer_not_trusted(seen_with(distrusted("O=Fortinet,CN=support"), profile=setup))
    assert told(finding) == ("tls_interception", Certainty.LIKELY)


def causes(finding: Finding) -> list[str]:
    return [one.code for one in finding.causes]


def test_only_the_mail_server_is_distrusted(seen_with: MakeSeen) -> None:
    """HTTPS from here is as it should be, so it is that server's issuer."""
    seen = seen_with(distrusted("CN=Contoso Root"), check(LOGIN, begun=True, trusted=True))
    assert causes(why_issuer_not_trusted(seen))[0] == "certificate_issuer_untrusted"
    seen = seen_with(distrusted("CN=Contoso Root", 20, sent=1), check(LOGIN, begun=True, trusted=True))
    assert causes(why_issuer_not_trusted(seen))[0] == "certificate_chain_incomplete"


def test_everything_is_distrusted(seen_with: MakeSeen) -> None:
    """An authority that is sent along was put there by somebody; one that is only missing is missing here."""
    shown = check(LOGIN, begun=True, issuer="CN=Contoso Root", problem="TLS: verify")
    first, second, *_ = causes(why_issuer_not_trusted(seen_with(distrusted("CN=Contoso Root"), shown)))
    assert first == "tls_interception"
    finding = why_issuer_not_trusted(seen_with(distrusted("CN=DigiCert", 20), shown))
    assert (causes(finding)[0], second) == ("ca_bundle_missing",) * 2


def test_the_wrong_host_is_told_from_a_server_without_tokens(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    """Where the provider's own service offers what is missing, it is the host that is wrong."""
    setup, place = profile_with(smtp=Smtp("mail.contoso.com")), f"{PRESET}:587 starttls"
    offers = check(place, begun=True, trusted=True, mechanisms=("LOGIN", "XOAUTH2"))
    lacks = check(place, begun=True, trusted=True, mechanisms=("LOGIN",))
    for mechanisms, without in (((), "auth_not_advertised"), (("LOGIN",), "xoauth2_not_advertised")):
        finding = why_no_bearer_offered(seen_with(capabilities(*mechanisms), offers, profile=setup))
        assert causes(finding) == ["wrong_submission_host", without]
        finding = why_no_bearer_offered(seen_with(capabilities(*mechanisms), lacks, profile=setup))
        assert causes(finding) == [without]


def test_at_the_providers_own_host_the_list_is_what_it_is(seen_with: MakeSeen) -> None:
    """It came over verified TLS, so that nothing on the way can have changed it."""
    for mechanisms, code in (((), "auth_not_advertised"), (("LOGIN",), "xoauth2_not_advertised")):
        assert told(why_no_bearer_offered(seen_with(capabilities(*mechanisms)))) == (code, Certainty.CERTAIN)


def test_a_mechanism_that_the_profile_insists_on_is_not_offered(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    """Another one is, and the remedy says which."""
    setup = profile_with(smtp=Smtp(PRESET, mechanism="oauthbearer"))
    finding = why_no_bearer_offered(seen_with(capabilities("XOAUTH2"), profile=setup))
    assert told(finding) == ("xoauth2_not_advertised", Certainty.LIKELY)
    assert "XOAUTH2" in entry(finding.code).steps(finding.causes[0].facts)[0]


def metadata(tenant: str, host: str = "login.microsoftonline.com") -> tuple[str, Discovery]:
    url = "https://login.microsoftonline.com/contoso.com/v2.0/.well-known/openid-configuration"
    found = {
        "issuer": f"https://{host}/{tenant}/v2.0",
        "token_endpoint": f"https://{host}/{tenant}/oauth2/v2.0/token",
    }
    http = HttpExchange("GET", url, status=200, is_json=True)
    return "contoso.com", Discovery(asked_at=NOW, http=http, metadata=found)


def test_the_remedy_names_the_mailboxs_tenant(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    seen = seen_with(no_such_tenant(), metadata(TENANT), profile=microsoft(profile_with()))
    finding = why_not_granted(seen)
    assert told(finding) == ("wrong_tenant_id", Certainty.CERTAIN)
    assert any(TENANT in step for step in entry(finding.code).steps(finding.causes[0].facts))


def test_a_tenant_that_was_not_looked_up_is_not_named(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    """The step is left out rather than half a sentence."""
    finding = why_not_granted(seen_with(no_such_tenant(), profile=microsoft(profile_with())))
    assert told(finding) == ("wrong_tenant_id", Certainty.LIKELY)
    assert not any("found tenant" in step for step in entry(finding.code).steps(finding.causes[0].facts))


def test_a_tenant_of_another_cloud_is_that(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    elsewhere = metadata(TENANT, "login.microsoftonline.us")
    finding = why_not_granted(seen_with(no_such_tenant(), elsewhere, profile=microsoft(profile_with())))
    assert causes(finding)[0] == "wrong_national_cloud"


def test_a_domain_that_nobody_knows_leaves_both_open(seen_with: MakeSeen, profile_with: MakeProfile) -> None:
    http = HttpExchange("GET", "https://login.microsoftonline.com/contoso.com/", status=400, is_json=True)
    unknown = Discovery(asked_at=NOW, http=http, error="invalid_tenant", error_codes=("90002",))
    seen = seen_with(no_such_tenant(), ("contoso.com", unknown), profile=microsoft(profile_with()))
    assert causes(why_not_granted(seen)) == ["wrong_tenant_id", "wrong_national_cloud"]


def test_what_discovery_itself_says_of_a_tenant_is_followed_up(
    seen_with: MakeSeen, profile_with: MakeProfile
) -> None:
    http = HttpExchange("GET", "https://login.microsoftonline.com/contosso/", status=400, is_json=True)
    asked = Discovery(asked_at=NOW, http=http, error="invalid_tenant", error_codes=("90002",))
    setup = microsoft(profile_with())
    assert follow_ups(seen_with(asked, profile=setup)) == (Question(Discovery, "contoso.com"),)
    finding = why_not_discovered(seen_with(asked, metadata(TENANT), profile=setup))
    assert told(finding) == ("wrong_tenant_id", Certainty.CERTAIN)


# --- looking at another service, over real sockets ---------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


@contextlib.asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


class MailServer:
    """Speaks as much SMTP as a look needs, and remembers what was said to it."""

    def __init__(self, tls: ssl.SSLContext, *, refuses: bytes = b"") -> None:
        self.heard: list[str] = []
        self._tls = tls
        self._refuses = refuses

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._refuses or b"220 mail.contoso.com ready\r\n")
        while line := await reader.readline():
            verb = line.decode().split()[0].upper()
            self.heard.append(verb)
            writer.write(self._answer(verb, encrypted=writer.get_extra_info("ssl_object") is not None))
            await writer.drain()
            if verb == "STARTTLS":
                await writer.start_tls(self._tls)
            if verb == "QUIT":
                return

    @staticmethod
    def _answer(verb: str, *, encrypted: bool) -> bytes:
        listed = b"AUTH LOGIN XOAUTH2" if encrypted else b"STARTTLS"
        known = {
            "EHLO": b"250-mail.contoso.com\r\n250 " + listed + b"\r\n",
            "STARTTLS": b"220 go\r\n",
            "QUIT": b"221 bye\r\n",
        }
        return known.get(verb, b"500 what?\r\n")


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


PATIENT = Limits(tcp_s=20, greeting_s=20, reply_s=20, tls_s=20)


def local(ca_file: str, port: int = 587, tls: str = "starttls", limits: Limits = PATIENT) -> Profile:
    return Profile(
        name="contoso",
        provider=Provider("custom", "Custom"),
        mailbox="alerts@contoso.com",
        smtp=Smtp("127.0.0.1", port, tls, ehlo_name="client.contoso.com"),
        oauth=OAuth(),
        ca_file=ca_file,
        limits=limits,
    )


def look(handler: Handler, tls: str, ca_file: str, server_tls: ssl.SSLContext | None = None) -> ServiceCheck:
    """One look at a server of this machine."""

    async def run() -> ServiceCheck:
        async with listening(handler, server_tls) as port:
            setup = local(ca_file)
            place = Endpoint("127.0.0.1", port, tls)
            return await probe_service(setup, Wallet(), resolver_for(setup), place)

    return asyncio.run(run())


def test_a_look_ends_before_any_login(authority: trustme.CA, ca_file: str) -> None:
    """STARTTLS: two EHLOs and QUIT, and what AUTH lists between them."""
    server = MailServer(context(authority))
    found = look(server, "starttls", ca_file)
    assert server.heard == ["EHLO", "STARTTLS", "EHLO", "QUIT"]
    assert found.takes_tokens
    assert (found.greeting, found.begun, found.trusted, found.problem) == (
        "220 mail.contoso.com ready",
        True,
        True,
        "",
    )
    assert next(line.text for line in found.lines if line.who == "C") == "EHLO client.contoso.com"


def test_a_look_at_implicit_tls(authority: trustme.CA, ca_file: str) -> None:
    server = MailServer(context(authority))
    found = look(server, "implicit", ca_file, context(authority))
    assert server.heard == ["EHLO", "QUIT"]
    assert found.takes_tokens


def test_a_look_at_https_says_nothing(authority: trustme.CA, ca_file: str) -> None:
    """The certificate is all that is wanted."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    found = look(listen, "https", ca_file, context(authority))
    assert (found.trusted, found.problem, b"".join(heard)) == (True, "", b"")
    assert "trustme" in found.issuer


def test_a_look_at_a_certificate_of_nobody(ca_file: str) -> None:
    """It is read all the same, and nothing is offered to such a server."""
    server = MailServer(context(trustme.CA()))
    found = look(server, "starttls", ca_file)
    assert (found.begun, found.trusted, found.takes_tokens) == (True, False, False)
    assert "trustme" in found.issuer
    assert found.problem.startswith("TLS: ")
    assert set(server.heard) <= {"EHLO", "STARTTLS", "QUIT"}


def test_a_look_at_a_server_that_turns_away(authority: trustme.CA, ca_file: str) -> None:
    server = MailServer(context(authority), refuses=b"554 go away\r\n")
    found = look(server, "starttls", ca_file)
    assert (found.greeting, found.problem, found.begun) == ("554 go away", "554 go away", False)


def test_a_look_where_nothing_listens(ca_file: str) -> None:
    """A port that is held and not listened at refuses."""
    setup = local(ca_file)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        place = Endpoint("127.0.0.1", held.getsockname()[1], "starttls")
        found = asyncio.run(probe_service(setup, Wallet(), resolver_for(setup), place))
    assert (found.problem, found.peer, found.begun) == ("ECONNREFUSED", "", False)


@pytest.mark.parametrize("tls", ["starttls", "implicit", "https"])
def test_a_look_at_silence_ends(tls: str, ca_file: str) -> None:
    """Within one deadline for all of it."""

    async def run() -> ServiceCheck:
        async with listening(silent) as port:
            setup = local(ca_file, limits=Limits(tcp_s=0.1, greeting_s=0.1, tls_s=0.1))
            place = Endpoint("127.0.0.1", port, tls)
            return await probe_service(setup, Wallet(), resolver_for(setup), place)

    found = asyncio.run(run())
    assert "timeout" in found.problem
    assert not found.begun


def test_a_run_finds_out_that_the_port_begins_tls_at_once(authority: trustme.CA, ca_file: str) -> None:
    """The whole way: no greeting, a second look, one certain cause; and the look is marked as what it is."""

    async def run() -> Seen:
        async with listening(MailServer(context(authority)), context(authority)) as port:
            quick = replace(PATIENT, greeting_s=0.5)
            setup = local(ca_file, port, limits=quick)
            return (await Recorder(setup, Wallet(), [Question(SmtpGreeting)]).record()).seen

    seen = asyncio.run(run())
    (asked,) = seen.follow_ups
    assert asked.kind is ServiceCheck
    assert told(why_not_greeted(seen)) == ("tls_mode_mismatch", Certainty.CERTAIN)


def test_metadata_of_another_tenant_are_asked_for_in_the_same_cloud(profile_with: MakeProfile) -> None:
    """Only the tenant in the address is another one; nobody listens here, so that nothing leaves."""
    setup = microsoft(profile_with(), "contosso.example", limits=Limits(http_s=5))
    oauth = replace(
        setup.oauth,
        discovery_uri="https://127.0.0.1:1/contosso.example/v2.0/.well-known/openid-configuration",
    )
    setup = replace(setup, oauth=oauth)
    asking = Asking(setup, Wallet(), lambda: Seen(setup, NOW))

    async def ask() -> Observation:
        return await ROWS[Discovery].ask(asking, "contoso.com")

    found = asyncio.run(ask())
    assert isinstance(found, Discovery)
    assert found.http.url == "https://127.0.0.1:1/contoso.com/v2.0/.well-known/openid-configuration"
