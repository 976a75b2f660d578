"""A profile put together from its tables, the provider's preset and the defaults; no file is read here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from smtp_preflight.model import (
    Delivery,
    Endpoint,
    Expect,
    GrantType,
    Limits,
    MailboxAccess,
    OAuth,
    Profile,
    Provider,
    Send,
    Smtp,
    Thresholds,
    Waiver,
)
from smtp_preflight.profile.settings import PLAIN_KEYS, flat
from smtp_preflight.profile.tables import AccessTable, File, SmtpTable, Table

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

T = TypeVar("T")


class Assembly:
    """One profile being put together: each value from the file, else the preset, else the default."""

    def __init__(self, file: File, provider: Provider) -> None:
        self.file = file
        self.provider = provider
        self.origins = dict.fromkeys(("provider", *PLAIN_KEYS), "profile")

    def profile(self, name: str) -> Profile:
        """Put all sections together, and note where each of their values came from."""
        file, provider = self.file, self.provider
        oauth, send = self.oauth(), self.send()
        profile = Profile(
            name=name,
            provider=provider,
            mailbox=file.mailbox,
            smtp=self.smtp(),
            oauth=oauth,
            expect=self.expect(oauth),
            send=send,
            delivery=self.delivery(send),
            imap=self.access("imap", file.imap, provider.imap, 993),
            pop=self.access("pop", file.pop, provider.pop, 995),
            dns_servers=tuple(file.dns.servers),
            ca_file=file.tls.ca_file or "",
            proxy=file.http.proxy or "",
            lab=file.lab or "",
            limits=self.section("limits", Limits(), file.limits),
            thresholds=self.thresholds(),
            severity=file.severity,
            waivers=tuple(Waiver(one.code, one.reason, one.until, one.subject) for one in file.waivers),
        )
        return replace(profile, origins={key: self.origins.get(key, "default") for key in flat(profile)})

    def section(self, name: str, default: T, table: Table, preset: Mapping[str, Any] | None = None) -> T:
        """Fill a section: what the table gives, then the preset, then the default's own values."""
        given = table.given()
        values = {**(preset or {}), **given}
        self.origins |= {f"{name}.{key}": "profile" if key in given else "preset" for key in values}
        plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return replace(default, **plain)  # type: ignore[type-var]  # T is one of the model's dataclasses

    def smtp(self) -> Smtp:
        """Host, port and TLS mode: those of the first preset endpoint that fits what the file says."""
        table, endpoints = self.file.smtp, self.provider.endpoints
        if endpoint := next((one for one in endpoints if _fits(one, table)), None):
            preset = {"host": endpoint.host, "port": endpoint.port, "tls": endpoint.tls}
            return self.section("smtp", Smtp(""), table, preset)
        # Port 465 speaks TLS from the first byte (RFC 8314 section 3.3).
        port = table.port or (465 if table.tls == "implicit" else 587)
        default = Smtp("", port, "implicit" if port == 465 else "starttls")
        return self.section("smtp", default, table, {"host": endpoints[0].host} if endpoints else {})

    def oauth(self) -> OAuth:
        """The application and its endpoints, the preset's templates filled in with the tenant."""
        table, provider = self.file.oauth, self.provider
        grant = table.grant or GrantType(next(iter(provider.grants), GrantType.CLIENT_CREDENTIALS))
        tenant = table.tenant or provider.default_tenant
        filled = {key: text.replace("{tenant}", tenant) for key, text in provider.oauth.items()}
        params = {key.partition(".")[2]: text for key, text in filled.items() if "." in key}
        preset: dict[str, Any] = {key: text for key, text in filled.items() if "." not in key}
        if table.issuer:
            # OpenID Connect Discovery section 4: the place of the metadata follows from the issuer.
            preset["discovery_uri"] = f"{table.issuer.rstrip('/')}/.well-known/openid-configuration"
        preset |= {"grant": grant, "tenant": tenant, "scope": provider.scope.get(grant, ())}
        preset |= {"authorize_params": params}
        if table.token_endpoint and not _is_of(provider, table.token_endpoint):
            preset.pop("token_info_uri", None)  # somebody else's token is none of this provider's business
        oauth = self.section("oauth", OAuth(), table, preset)
        return replace(oauth, authorize_params={**params, **oauth.authorize_params})

    def expect(self, oauth: OAuth) -> Expect:
        """What the token has to say: the preset's words, and the tenant where the profile knows its id."""
        preset = {"aud": self.provider.aud, "permissions": self.provider.permissions}
        expect = self.section("expect", Expect(), self.file.expect, preset)
        if expect.tid or not _GUID.fullmatch(oauth.tenant):
            return expect
        self.origins["expect.tid"] = self.origins["oauth.tenant"]
        return replace(expect, tid=(oauth.tenant.lower(),))

    def send(self) -> Send | None:
        """The one message; from the mailbox to itself unless the file says otherwise."""
        mailbox = self.file.mailbox
        return self.section("send", Send(mailbox, (mailbox,)), self.file.send) if self.file.send else None

    def delivery(self, send: Send | None) -> Delivery | None:
        """Where the message is looked for: at its first recipient unless the file says otherwise."""
        if not self.file.delivery or not send:
            return None
        return self.section("delivery", Delivery(send.to[0]), self.file.delivery)

    def access(self, name: str, table: AccessTable, endpoint: Endpoint | None, port: int) -> MailboxAccess:
        """Where the mailbox can be read; ``port`` is the protocol's own, for a host of the file's."""
        if endpoint and not table.host:
            return self.section(name, MailboxAccess(), table, {"host": endpoint.host, "port": endpoint.port})
        return self.section(name, MailboxAccess(port=port if table.host else 0), table)

    def thresholds(self) -> Thresholds:
        """How near an end may come; a provider may want tokens to live longer than most do."""
        preset = {"token_life_s": self.provider.token_life_s} if self.provider.token_life_s else {}
        return self.section("thresholds", Thresholds(), self.file.thresholds, preset)


def _is_of(provider: Provider, url: str) -> bool:
    """Whether an address is one of the provider's own."""
    return urlsplit(url).hostname in provider.issuer_hosts


def _fits(endpoint: Endpoint, table: SmtpTable) -> bool:
    """Whether the file contradicts nothing of this endpoint."""
    same_host = table.host is None or table.host.lower() == endpoint.host
    return same_host and table.port in (None, endpoint.port) and table.tls in (None, endpoint.tls)
