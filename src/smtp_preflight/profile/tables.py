"""What a file may say, table by table (product.md section 4): pydantic models, and nothing but."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from smtp_preflight.model import Severity
from smtp_preflight.profile.references import (
    AccessTokenRef,
    Certificate,
    FederatedRef,
    Ref,
    RotationCommand,
)
from smtp_preflight.profile.values import (
    Address,
    Code,
    Count,
    EndpointUrl,
    Grant,
    Host,
    NameServer,
    Port,
    ProxyUrl,
    PublicParams,
    Recipients,
    Scope,
    Seconds,
    Stem,
    Text,
)


class Table(BaseModel):
    """A table of the file; a key that is not given is None, and is filled from preset and defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self) -> dict[str, Any]:
        """What the file says, by the names of the model."""
        return {key: value for key, value in self if value is not None}


class SmtpTable(Table):
    """``[smtp]``: where the message is handed in."""

    host: Host | None = None
    port: Port | None = None
    tls: Literal["starttls", "implicit"] | None = None
    ehlo_name: str | None = None
    mechanism: Literal["xoauth2", "oauthbearer"] | None = None


class _DnsTable(Table):
    servers: list[NameServer] = []


class _TlsTable(Table):
    ca_file: Text | None = None


class _HttpTable(Table):
    proxy: ProxyUrl | None = None


class _OAuthTable(Table):
    tenant: str | None = None
    client_id: str | None = None
    client_type: Literal["confidential", "public"] | None = None
    client_auth: Literal["post", "basic"] | None = None
    grant: Grant | None = None
    scope: Scope | None = None
    issuer: EndpointUrl | None = None
    authorize_endpoint: EndpointUrl | None = None
    token_endpoint: EndpointUrl | None = None
    device_endpoint: EndpointUrl | None = None
    jwks_uri: EndpointUrl | None = None
    authorize_params: PublicParams | None = None
    redirect_uri: str | None = None
    client_secret: Ref | None = None
    certificate: Certificate | None = None
    federated: FederatedRef | None = None
    service_account: Ref | None = None
    refresh_token: Ref | None = None
    access_token: AccessTokenRef | None = None
    secret_expires: dt.date | None = None
    app_permission: Literal["role", "rbac"] | None = None
    store: Text | None = None
    on_rotation: RotationCommand | None = None

    def given(self) -> dict[str, Any]:
        """The certificate and its passphrase are two secrets, each read and checked by itself."""
        given = super().given()
        if self.certificate:
            given["certificate"] = self.certificate.file
            if self.certificate.passphrase:
                given["certificate_passphrase"] = self.certificate.passphrase
        return given


class _ExpectTable(Table):
    aud: list[str] | None = None
    tid: list[str] | None = None
    permissions: list[str] | None = None


class _SendTable(Table):
    sender: Address | None = None
    to: Recipients | None = None


class _DeliveryTable(Table):
    mailbox: Address | None = None
    profile: Stem | None = None
    within_s: Seconds | None = None


class AccessTable(Table):
    """``[imap]`` and ``[pop]``: where the mailbox can be read."""

    host: Host | None = None
    port: Port | None = None
    check: bool | None = None


class _ImapTable(AccessTable):
    """Described in words of its own."""


class _PopTable(AccessTable):
    """Described in words of its own."""


class _LimitsTable(Table):
    dns_s: Seconds | None = None
    tcp_s: Seconds | None = None
    greeting_s: Seconds | None = None
    reply_s: Seconds | None = None
    tls_s: Seconds | None = None
    data_s: Seconds | None = None
    http_s: Seconds | None = None
    run_s: Seconds | None = None
    dns_slow_s: Seconds | None = None
    tcp_slow_s: Seconds | None = None
    greeting_slow_s: Seconds | None = None
    reply_slow_s: Seconds | None = None
    tls_slow_s: Seconds | None = None
    data_slow_s: Seconds | None = None
    http_slow_s: Seconds | None = None


class _ThresholdsTable(Table):
    certificate_days: Count | None = None
    secret_days: Count | None = None
    refresh_token_days: Count | None = None
    token_life_s: Count | None = None


class _WaiverTable(Table):
    code: Code
    subject: str = ""
    reason: Text
    until: dt.date


class File(Table):
    """A whole profile file, its bases merged into it."""

    provider: str
    mailbox: Address
    lab: str | None = None
    extends: Stem | None = None
    smtp: SmtpTable = SmtpTable()
    dns: _DnsTable = _DnsTable()
    tls: _TlsTable = _TlsTable()
    http: _HttpTable = _HttpTable()
    oauth: _OAuthTable = _OAuthTable()
    expect: _ExpectTable = _ExpectTable()
    send: _SendTable | None = None
    delivery: _DeliveryTable | None = None
    imap: _ImapTable = _ImapTable()
    pop: _PopTable = _PopTable()
    limits: _LimitsTable = _LimitsTable()
    thresholds: _ThresholdsTable = _ThresholdsTable()
    severity: dict[Code, Annotated[Severity, Field(strict=False)]] = {}
    waivers: list[_WaiverTable] = []


def _tables() -> Mapping[str, type[Table]]:
    """Find the tables among the types of the file's keys: ``X``, ``X | None``, ``list[X]``."""
    types = {key: (field.annotation, *get_args(field.annotation)) for key, field in File.model_fields.items()}
    return {
        key: one
        for key, among in types.items()
        for one in among
        if isinstance(one, type) and issubclass(one, Table)
    }


TABLES = _tables()
"""The table behind each key of a file that has one."""
