"""What was seen, put into the words that knowledge entries match on.

The signs of each stage:

====================  ===============================================================================
common                ``provider``, ``grant``, ``tls_mode``, ``host_known`` (the host is one the preset names)
                      or ``host_kind`` (what the preset says of another one that it knows)
profile               ``problem`` and what each expectation adds
dns                   ``host_dns`` (a ``DnsStatus``), ``bogus``, ``system`` (same, differs, none, only),
                      ``other_names`` (resolved, unresolved: the host where tokens are asked for)
tcp                   ``tcp`` (a ``TcpOutcome``, or ``mixed``), ``some_connect``
greeting              ``failure`` (a ``Failure``), ``smtp_code``, ``enhanced``, ``text``, ``looks_like``,
                      ``step`` (greeting, ehlo, ehlo_tls); ``begins`` (implicit: TLS at once, as was tried)
starttls              ``starttls`` (offered, absent, stripped), ``smtp_code``, ``enhanced``, ``text``,
                      ``failure``, ``injected``, ``auth_in_clear``
tls                   ``tls_failure`` (a ``TlsFailure``), ``verify_code``, ``cert_dates`` (valid, expired,
                      not_yet_valid), ``cert_name`` (match, mismatch), ``cert_issuer`` (trusted, self_signed,
                      incomplete, untrusted, inspector, none, no_store), ``cert_key`` and
                      ``cert_signature`` (strong, weak), ``tls_version``, ``text``, ``https`` (trusted,
                      distrusted), ``begins`` (starttls)
auth_offered          ``auth_offered`` (none, no_bearer, other_bearer, bearer), ``encrypted`` (yes),
                      ``password_mechanisms`` (offered), ``preset_offers`` (bearer, nothing)
discovery             ``discovery`` (unreachable, invalid, no_tenant, issuer_differs), ``keys`` (unreachable),
                      ``http_failure`` (an ``HttpFailure``), ``http_status``, ``is_json``, ``error``,
                      ``aadsts``, ``mailbox_tenant`` (found, elsewhere, unknown)
token                 ``http_failure``, ``http_status``, ``is_json``, ``error``, ``suberror``, ``aadsts``
                      (numbers, separated by blanks), ``text``, ``refresh_answer`` (lost), ``problem``,
                      ``mailbox_tenant``, ``refresh_token_idle`` (too_long), ``testing_age`` (yes),
                      ``cloud`` (mismatch: the profile mixes national clouds)
claims                ``aud`` (expected, graph, other), ``permission`` (present, missing, rbac),
                      ``claims_kind`` (user, app), ``expired`` (no, yes, not_yet), ``tid`` and ``appid``
                      (match, mismatch), ``user`` (match, mismatch, or alias: only an address of it is the
                      mailbox's), ``token_use`` (access_token, id_token), ``token_fault`` (none, opaque, or
                      the first of these that is wrong)
auth                  those of claims, ``smtp_code``, ``enhanced``, ``text``, ``failure``, ``mechanism``,
                      ``challenge_status``, ``challenge_scope``, ``sasl_string`` (malformed), ``imap`` (works,
                      refused, closed: what the mailbox says to the same token), ``signature`` (invalid),
                      ``clock`` (right, off: not the identity provider's), ``auth_by`` (suite: it was this
                      suite that sent AUTH, and it sends tokens only)
mail_from … data      ``smtp_code``, ``enhanced``, ``text``, ``failure``, ``body_sent``
delivery              ``delivery`` (unavailable, missing, bounced, junk), ``dmarc``, ``spf_result``,
                      ``dkim_result`` (fail), ``from`` (rewritten); of a bounce the words in it
mailbox_access        ``mailbox`` (a ``MailboxTrouble``), ``protocol``, ``text``, ``reading`` (present,
                      missing, unknown: whether the token allows it)
====================  ===============================================================================
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from smtp_preflight.diagnosis.claim_signs import claim_signs, permissions_of
from smtp_preflight.diagnosis.clock import clock_sign
from smtp_preflight.diagnosis.comparisons import (
    https_sign,
    imap_sign,
    preset_sign,
    tenant_sign,
    tls_begun_otherwise,
)
from smtp_preflight.diagnosis.ends import age_signs, words_on_problem
from smtp_preflight.diagnosis.expected import endpoints_as_expected, issuer_as_expected
from smtp_preflight.diagnosis.lint import kind_of_host, problem_with_cloud
from smtp_preflight.diagnosis.numbers import NO_SUCH_TENANT, aadsts_sign
from smtp_preflight.diagnosis.rank import Signs
from smtp_preflight.diagnosis.wordings import enhanced_by_words, joined
from smtp_preflight.knowledge.inspectors import inspector_in
from smtp_preflight.model import (
    AccessToken,
    AuthExchange,
    DataExchange,
    Discovery,
    DnsAnswer,
    Ehlo,
    Failure,
    Grant,
    HttpExchange,
    HttpFailure,
    Keys,
    MailFrom,
    OAuth,
    OAuthError,
    Profile,
    Published,
    Seen,
    SignatureCheck,
    SignatureState,
    SmtpGreeting,
    SmtpStep,
    Stage,
    StartTls,
    SystemAddresses,
    TcpConnects,
    TlsHandshake,
    TokenInfo,
    short,
)

FAMILIES = ("ipv4", "ipv6")
BEFORE_TLS, AFTER_TLS = "before TLS", "after TLS"
PASSWORD_MECHANISMS = frozenset({"LOGIN", "PLAIN", "CRAM-MD5", "NTLM"})
ANONYMOUS = ("ADH-", "AECDH-")  # OpenSSL's names of ciphers without a certificate
STRIPPED = "XXXXXXXA"  # what some firewalls put in the place of STARTTLS


def signs_of(seen: Seen) -> Signs:
    """Everything recorded, and the profile's settings, as signs; facts fill the remedies."""
    signs = Signs(common=_common(seen.profile), facts=_facts(seen.profile))
    for part in (
        _dns,
        _tcp,
        _greeting,
        _starttls,
        _tls,
        _offered,
        _discovery,
        _token,
        _claims,
        _auth,
        _envelope,
    ):
        signs = part(signs, seen)
    return signs


def is_address(host: str) -> bool:
    """Whether the host is given as an address, so that there is nothing to look up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def published(seen: Seen) -> Published | None:
    """What DNS says of the submission host, where both families were asked."""
    host = seen.profile.smtp.host
    a, aaaa = seen.get(DnsAnswer, f"{host} A"), seen.get(DnsAnswer, f"{host} AAAA")
    return Published(a, aaaa) if a and aaaa else None


def reply_signs(step: SmtpStep) -> dict[str, str]:
    """How a step of the dialogue ended, as signs."""
    signs: dict[str, str] = {}
    if step.failure:
        signs["failure"] = step.failure
    if step.failure is Failure.TLS:
        signs["text"] = step.detail  # OpenSSL's name for the server's alert
    if step.reply:
        code, text = str(step.reply.code), joined(step.reply.lines)
        signs |= {"smtp_code": code, "text": text}
        if enhanced := step.reply.enhanced or enhanced_by_words(code, text):
            signs["enhanced"] = enhanced
    return signs


def words_of(step: SmtpStep) -> str:
    """What was seen of a step, for the report: the reply as it came, or how the wait for it ended."""
    if step.reply:
        return str(step.reply)
    return short(f"no reply: {step.failure or 'none'} after {step.took_s:.1f} s {step.detail}")


def _common(profile: Profile) -> dict[str, str]:
    known, host = {one.host for one in profile.provider.endpoints}, profile.as_written.smtp.host.lower()
    kind = "" if host in known else kind_of_host(profile.provider, host)
    return {
        "provider": profile.provider.name,
        "grant": profile.oauth.grant,
        "tls_mode": profile.smtp.tls,
        "port": str(profile.as_written.smtp.port),
        "host_known": "yes" if host in known else "no",
        **({"host_kind": kind} if kind not in ("", "accepted") else {}),
        "client_type": profile.oauth.client_type,
        "app_permission": profile.oauth.app_permission,
    }


def _facts(profile: Profile) -> dict[str, str]:
    return {
        "provider": profile.provider.title,
        "preset": profile.provider.name,
        "resolver": "profile" if profile.as_written.dns_servers else "machine",
        "found_name_servers": ", ".join(profile.as_written.dns_servers),
        "host": profile.smtp.host,
        "port": str(profile.smtp.port),
        "written_port": str(profile.as_written.smtp.port),
        "tls_mode": profile.smtp.tls,
        "mailbox": profile.mailbox,
        "sender": profile.sender,
        "tenant": profile.oauth.tenant,
        "client_id": profile.oauth.client_id,
        "scope": " ".join(profile.oauth.scope),
        "token_endpoint": profile.oauth.token_endpoint,
        "profile": profile.name,
        "preset_host": profile.provider.endpoints[0].host if profile.provider.endpoints else "",
        "preset_port": str(profile.provider.endpoints[0].port) if profile.provider.endpoints else "",
    }


def _dns(signs: Signs, seen: Seen) -> Signs:
    found, system = published(seen), seen.get(SystemAddresses, seen.profile.smtp.host)
    added: dict[str, str] = {}
    facts: dict[str, str] = {}
    if found:
        added |= {"host_dns": found.status, "bogus": "yes" if found.a.bogus or found.aaaa.bogus else "no"}
        facts["dns_answer"] = _dns_words(found)
    if system:
        words = ", ".join(system.addresses) or system.error or "nothing"
        facts = {"system_answer": words, **facts} if system.by_system else {"dns_answer": words, **facts}
        added["system"] = _system_sign(found, system)
    added_of_others, facts_of_others = _other_names(seen)
    return signs.having(Stage.DNS, added | added_of_others, facts | facts_of_others)


def _other_names(seen: Seen) -> tuple[dict[str, str], dict[str, str]]:
    """Whether the host where tokens are asked for was found; through a proxy that is the proxy's business."""
    grant = seen.get(Grant)
    http = grant.http if grant else None
    if http is None or http.proxy or not (host := _host_in(http.url)):
        return {}, {}
    if http.failure is HttpFailure.DNS:
        return {"other_names": "unresolved"}, {}
    reached = http.status is not None or http.failure is HttpFailure.TLS
    return ({"other_names": "resolved"}, {"found_other_name": host}) if reached else ({}, {})


def _host_in(url: str) -> str:
    """The name in an address; nothing where it is no name, or the address is none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return "" if is_address(host) else host


def _dns_words(found: Published) -> str:
    return "; ".join(
        f"{one.name} {one.rdtype}: {', '.join(one.records) or one.status}"
        + (f" (via {' → '.join(one.aliases)})" if one.aliases else "")
        + (f" {one.detail}" if one.detail else "")
        for one in (found.a, found.aaaa)
    )


def _system_sign(found: Published | None, system: SystemAddresses) -> str:
    if not system.addresses:
        return "none"
    if found is None or not found.addresses:
        return "only"
    return "same" if found.agrees_with(system.addresses) else "differs"


def _tcp(signs: Signs, seen: Seen) -> Signs:
    tried = families_tried(seen)
    attempts = [one for each in tried for one in each.attempts]
    failed = [one for each in tried for one in each.failed]
    if not failed:
        return signs
    outcomes = {one.outcome for one in failed}
    added = {
        "tcp": failed[0].outcome if len(outcomes) == 1 else "mixed",
        "some_connect": "yes" if len(failed) < len(attempts) else "no",
    }
    words = "; ".join(
        f"{one.address} port {one.port}: {one.outcome} after {one.took_s:.1f} s" for one in failed
    )
    return signs.having(Stage.TCP, added, {"tcp_attempts": words})


def families_tried(seen: Seen) -> tuple[TcpConnects, ...]:
    """The families that were tried in earnest: one that this machine has no route for says nothing."""
    every = seen.every(TcpConnects)
    routable = tuple(one for one in every if one.routable and one.attempts)
    return routable or every


def _greeting(signs: Signs, seen: Seen) -> Signs:
    """The signs of whatever step of the opening came last: greeting, EHLO, EHLO under TLS."""
    for step, name in (
        (seen.get(SmtpGreeting), "greeting"),
        (seen.get(Ehlo, BEFORE_TLS), "ehlo"),
        (seen.get(Ehlo, AFTER_TLS), "ehlo_tls"),
    ):
        if step is not None and not step.accepted:
            added = _ended_greeting_signs(step, seen) | {"step": name}
            return signs.having(Stage.GREETING, added, {"greeting_seen": _greeting_words(step)})
    return signs


def _ended_greeting_signs(step: SmtpStep, seen: Seen) -> dict[str, str]:
    """How the opening ended; where TLS is begun otherwise on this port, nothing ended: it never began."""
    if not isinstance(step, SmtpGreeting) or step.is_smtp:
        return reply_signs(step)
    if begins := tls_begun_otherwise(seen):
        return {"begins": begins}
    return reply_signs(step) | {"looks_like": step.looks_like or "unknown", "text": step.first_bytes}


def _greeting_words(step: SmtpStep) -> str:
    first = step.first_bytes if isinstance(step, SmtpGreeting) else ""
    return f"first bytes: {first}" if first else words_of(step)


def _starttls(signs: Signs, seen: Seen) -> Signs:
    ehlo, answer = seen.get(Ehlo, BEFORE_TLS), seen.get(StartTls)
    added: dict[str, str] = {}
    facts: dict[str, str] = {}
    if ehlo and ehlo.accepted and ehlo.reply:
        added |= {"starttls": _starttls_sign(ehlo), "auth_in_clear": "yes" if ehlo.mechanisms else "no"}
        facts["ehlo_lines"] = str(ehlo.reply)
    if answer:
        added |= reply_signs(answer) | ({"injected": "yes"} if answer.injected else {})
        facts["starttls_seen"] = words_of(answer) + (
            f"\nbehind it: {answer.injected}" if answer.injected else ""
        )
    return signs.having(Stage.STARTTLS, added, facts)


def _starttls_sign(ehlo: Ehlo) -> str:
    if ehlo.offers("STARTTLS"):
        return "offered"
    return "stripped" if STRIPPED in ehlo.keywords else "absent"


def _tls(signs: Signs, seen: Seen) -> Signs:
    tls = seen.get(TlsHandshake)
    if tls is None:
        return signs
    if not tls.completed and (begins := tls_begun_otherwise(seen)):
        return signs.having(Stage.TLS, {"begins": begins}, {"tls_seen": _tls_words(tls)})
    added = {"cert_issuer": _issuer_sign(tls), **https_sign(seen), **clock_sign(seen)}
    if tls.failure:
        issuer = tls.leaf.issuer if tls.leaf else ""
        added |= {"tls_failure": tls.failure, "text": f"{tls.detail} {tls.verify_message} {issuer}".strip()}
    if tls.verify_code is not None:
        added["verify_code"] = str(tls.verify_code)
    if tls.version:
        added["tls_version"] = tls.version
    facts = {"tls_version": tls.version, "tls_seen": _tls_words(tls)}
    if tls.leaf:
        added |= _leaf_signs(tls)
        facts |= _leaf_facts(tls)
    return signs.having(Stage.TLS, added, facts)


def _tls_words(tls: TlsHandshake) -> str:
    return short(f"{tls.failure or 'verified'} {tls.detail}")


def _issuer_sign(tls: TlsHandshake) -> str:
    """Whether the chain leads to a trusted authority; OpenSSL's codes 18 to 21 say how it does not.

    ``inspector``: the issuer bears the name of a product that opens connections.
    """
    if tls.ca_problem:
        return "no_store"
    if tls.cipher.startswith(ANONYMOUS):
        return "none"
    if tls.issuer_trusted or tls.verify_code is None:
        return "trusted"
    if any(inspector_in(one.issuer) for one in tls.chain):
        return "inspector"
    if tls.verify_code == 18 or (tls.leaf and tls.leaf.self_issued):
        return "self_signed"
    if tls.verify_code in (20, 21) and len(tls.chain) == 1:
        return "incomplete"
    return "untrusted" if tls.verify_code in (2, 19, 20, 21) else "other"


def _leaf_signs(tls: TlsHandshake) -> dict[str, str]:
    ended = tls.verify_code == 10 or tls.observed_at > tls.chain[0].not_after
    return {
        "cert_dates": "valid" if tls.dates_hold else "expired" if ended else "not_yet_valid",
        "cert_name": "match" if tls.names_host else "mismatch",
        "cert_key": "strong" if tls.keys_strong else "weak",
        "cert_signature": "strong" if tls.signatures_strong else "weak",
    }


def _offered(signs: Signs, seen: Seen) -> Signs:
    ehlo = seen.get(Ehlo, AFTER_TLS)
    if ehlo is None or not ehlo.accepted:
        return signs
    usable = ehlo.bearer_for(seen.profile.smtp.mechanism)
    offered = "bearer" if usable else _without_bearer(ehlo)
    passwords = sorted(set(ehlo.mechanisms) & PASSWORD_MECHANISMS)
    return signs.having(
        Stage.AUTH_OFFERED,
        {
            "auth_offered": offered,
            "encrypted": "yes",
            **({"password_mechanisms": "offered"} if passwords else {}),
            **preset_sign(seen),
        },
        {
            "mechanisms": " ".join(ehlo.mechanisms) or "none",
            "found_mechanism": " ".join(ehlo.bearer_mechanisms) if not usable else "",
            "password_mechanisms": " ".join(passwords),
            "password_retirement": seen.profile.provider.password_retirement,
        },
    )


def _without_bearer(ehlo: Ehlo) -> str:
    """What is offered in place of the bearer mechanism that was wanted."""
    if ehlo.bearer_mechanisms:
        return "other_bearer"
    return "no_bearer" if ehlo.mechanisms else "none"


def _discovery(signs: Signs, seen: Seen) -> Signs:
    found, keys = seen.get(Discovery), seen.get(Keys)
    added: dict[str, str] = {}
    facts: dict[str, str] = {}
    if found:
        told = {"aadsts": " ".join(found.error_codes), "error": found.error}
        added |= http_signs(found.http) | {key: value for key, value in told.items() if value}
        added["discovery"] = _discovery_sign(seen.profile, found)
        tenant, told_of_it = tenant_sign(seen)
        added |= tenant
        facts |= {"discovery_seen": http_words(found.http), "issuer": found.metadata.get("issuer", "none")}
        facts |= told_of_it
    if keys:
        added["keys"] = "present" if keys.readable else "unreachable"
        facts["keys_seen"] = http_words(keys.http)
    return signs.having(Stage.DISCOVERY, added, facts)


def _discovery_sign(profile: Profile, found: Discovery) -> str:
    if found.http.failure or (found.http.status or 0) >= 500:
        return "unreachable"
    if not found.readable:
        return "no_tenant" if NO_SUCH_TENANT & set(found.error_codes) else "invalid"
    as_expected = issuer_as_expected(profile, found) and endpoints_as_expected(profile, found)
    return "as_expected" if as_expected else "issuer_differs"


def _token(signs: Signs, seen: Seen) -> Signs:
    grant = seen.get(Grant)
    if grant is None:
        return signs
    added = {"grant": grant.grant, **(http_signs(grant.http) if grant.http else {})}
    facts = {"token_seen": http_words(grant.http) if grant.http else words_on_problem(seen, grant)}
    tenant, told_of_it = tenant_sign(seen)
    added |= tenant
    facts |= told_of_it
    if problem_with_cloud(seen.profile.as_written):
        added["cloud"] = "mismatch"
    if grant.problem:
        added["problem"] = grant.problem
    if grant.answer_lost:
        added["refresh_answer"] = "lost"
    if grant.error:
        added |= _error_signs(grant.error) | age_signs(seen.profile, grant)
        facts |= {
            "token_seen": f"HTTP {grant.http.status if grant.http else '?'} {grant.error.error}\n"
            f"{grant.error.description}".strip(),
            "trace_id": grant.error.trace_id,
            "correlation_id": grant.error.correlation_id,
            "found_thumbprint": _thumbprint_in(grant.error.description),
            **_other_client_auth(seen.profile.oauth, grant.error),
        }
    return signs.having(Stage.TOKEN, added, facts)


def _thumbprint_in(description: str) -> str:
    """The certificate's, as Entra writes it behind AADSTS700027: in hexadecimal digits or in base64url."""
    found = re.search(r"Thumbprint of key used by client: '([\w-]{20,64})'", description)
    return found[1] if found else ""


def _other_client_auth(oauth: OAuth, error: OAuthError) -> dict[str, str]:
    """How a secret was sent and how it was not, where a refusal may be about that (RFC 6749 section 2.3.1).

    Whoever names a number or speaks of the secret has read it.
    """
    sent = oauth.client_secret and not (oauth.certificate or oauth.federated)
    was_read = error.codes or "secret" in error.description.lower()
    if error.error != "invalid_client" or not sent or was_read:
        return {}
    other = {"post": "basic", "basic": "post"}[oauth.client_auth]
    return {"found_client_auth": oauth.client_auth, "found_other_client_auth": other}


def _error_signs(error: OAuthError) -> dict[str, str]:
    told = {
        "error": error.error,
        "text": error.description,
        "suberror": error.suberror,
        "aadsts": aadsts_sign(error.codes),
    }
    return {key: value for key, value in told.items() if value}


def http_signs(http: HttpExchange) -> dict[str, str]:
    """How an HTTP exchange went, as signs."""
    if http.failure:
        return {"http_failure": http.failure, "text": http.detail}
    return {"http_status": str(http.status), "is_json": "yes" if http.is_json else "no"}


def http_words(http: HttpExchange) -> str:
    """What was seen of an HTTP exchange, for the report."""
    told = f"{http.failure}: {http.detail}" if http.failure else f"HTTP {http.status} {http.excerpt}"
    return short(f"{http.method} {http.url}: {told}", 600)


def _claims(signs: Signs, seen: Seen) -> Signs:
    """What the token says; AUTH is judged by it as well."""
    grant = seen.get(Grant)
    if grant is None or grant.token is None:
        return signs
    found = claim_signs(seen, grant.token)
    facts = {
        "aud": grant.token.claim("aud"),
        "permissions": " ".join(sorted(permissions_of(seen, grant.token))) or "none",
        "token_user": _owner(seen, grant.token),
        "tid": grant.token.claim("tid"),
        "appid": grant.token.claim("appid"),
        "oid": grant.token.claim("oid"),
        "wanted_aud": " or ".join(seen.profile.expect.aud),
        "wanted_permissions": " or ".join(seen.profile.expect.permissions),
        "token_expires": f"{grant.token.expires_at:%Y-%m-%d %H:%M} UTC"
        if grant.token.expires_at
        else "unknown",
    }
    return signs.having(Stage.CLAIMS, found, facts).having(Stage.AUTH, found | _signature_sign(seen))


def _owner(seen: Seen, token: AccessToken) -> str:
    """Whom the token was issued to; empty where only the provider can read it, and has not said."""
    info = seen.get(TokenInfo)
    told = token.user or (info.claims.get("email", "") if info else "")
    return told or ("" if token.opaque else "nobody")


def _signature_sign(seen: Seen) -> dict[str, str]:
    check = seen.get(SignatureCheck)
    failed = check is not None and check.state in (SignatureState.INVALID, SignatureState.NO_KEY)
    return {"signature": "invalid"} if failed else {}


def _auth(signs: Signs, seen: Seen) -> Signs:
    auth = seen.get(AuthExchange)
    if auth is None:
        return signs
    added = reply_signs(auth) | {"mechanism": auth.mechanism, "auth_by": "suite"}
    added |= imap_sign(seen) | clock_sign(seen)
    if auth.failure is Failure.NOT_SENT and "token" in auth.detail:
        added["sasl_string"] = "malformed"
    added |= {f"challenge_{key}": auth.challenge[key] for key in ("status", "scope") if key in auth.challenge}
    challenge = ", ".join(f"{key}: {value}" for key, value in auth.challenge.items())
    words = (f"challenge (334): {challenge}\n" if challenge else "") + words_of(auth)
    return signs.having(Stage.AUTH, added, {"auth_seen": words, "mechanism": auth.mechanism})


def _envelope(signs: Signs, seen: Seen) -> Signs:
    """Sender and message; recipients are many, so whoever explains one adds its own signs."""
    sender, data = seen.get(MailFrom), seen.get(DataExchange)
    if sender:
        signs = signs.having(Stage.MAIL_FROM, reply_signs(sender), {"mail_from_seen": words_of(sender)})
    if data:
        added = reply_signs(data) | {"body_sent": "yes" if data.body_sent else "no"}
        signs = signs.having(Stage.DATA, added, {"data_seen": words_of(data)})
    return signs


def _leaf_facts(tls: TlsHandshake) -> dict[str, str]:
    leaf = tls.chain[0]
    return {
        "cert_subject": leaf.subject,
        "cert_issuer": leaf.issuer,
        "found_inspector": next(filter(None, (inspector_in(one.issuer) for one in tls.chain)), ""),
        "cert_names": ", ".join(leaf.names) or "none",
        "cert_not_before": f"{leaf.not_before:%Y-%m-%d %H:%M} UTC",
        "cert_not_after": f"{leaf.not_after:%Y-%m-%d %H:%M} UTC",
        "cert_key": f"{leaf.key_type} {leaf.key_bits} bits",
        "cert_signature": leaf.signature_hash,
        "chain_length": str(len(tls.chain)),
        "now": f"{tls.observed_at:%Y-%m-%d %H:%M} UTC",
    }
