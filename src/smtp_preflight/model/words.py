"""The closed lists: stages, severities, certainties, outcomes, verdicts, grants.

Source: product.md sections 2, 5 and 10.
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A stretch of the mail path, in the order in which a run is judged and reported."""

    PROFILE = "profile"
    DNS = "dns"
    TCP = "tcp"
    GREETING = "greeting"
    STARTTLS = "starttls"
    TLS = "tls"
    AUTH_OFFERED = "auth_offered"
    DISCOVERY = "discovery"
    DEVICE = "device"
    AUTHORIZE = "authorize"
    TOKEN = "token"  # noqa: S105 - a stage, not a password
    REFRESH = "refresh"
    CLAIMS = "claims"
    AUTH = "auth"
    MAIL_FROM = "mail_from"
    RCPT_TO = "rcpt_to"
    DATA = "data"
    DELIVERY = "delivery"
    MAILBOX_ACCESS = "mailbox_access"

    @property
    def place(self) -> int:
        """Where the stage stands in the order."""
        return list(Stage).index(self)


class Severity(StrEnum):
    """What a cause does to the mail: it does not leave, not for long or not safely, or it is good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


class Certainty(StrEnum):
    """How sure the evidence makes us of a cause."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Outcome(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    ERROR = "error"


class Verdict(StrEnum):
    """What a run says in one word."""

    READY = "ready"
    READY_WITH_WARNINGS = "ready_with_warnings"
    NOT_READY = "not_ready"
    INCOMPLETE = "incomplete"


class Until(StrEnum):
    """How far a run goes (``--until``)."""

    CONNECT = "connect"
    AUTH = "auth"
    ENVELOPE = "envelope"
    SEND = "send"
    DELIVERY = "delivery"


class GrantType(StrEnum):
    """How a profile's tokens are first obtained."""

    AUTHORIZATION_CODE = "authorization_code"
    DEVICE_CODE = "device_code"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant
    CLIENT_CREDENTIALS = "client_credentials"
    JWT_BEARER = "jwt_bearer"
    ACCESS_TOKEN = "access_token"  # noqa: S105 - the name of a grant
