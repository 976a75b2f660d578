"""The words of the house: profile, question, observation, cause, finding, run.

Everything here is frozen plain data of the standard library. Observations are what probes bring home; they
hold no secret and no judgement, and properties that read well after ``assert``.

Other rooms import from here, whatever the module; which one holds what, each using only those before it:

- ``words``: the closed lists (stages, severities, outcomes, …); ``text``: shortening for a line of a report
- ``provider``, ``profile``: what should be true of a setup
- ``observation``: questions, the base of what comes back, and all of it together (``Seen``)
- ``dns``, ``connection``, ``smtp``: the way of the mail, from the host's name to the accepted message
- ``http``, ``tokens``: the way to a token, and what the token says
- ``mailbox``: reading it, and looking for the message there
- ``spf``, ``mail_domain``: what the domains that mail is sent from publish
- ``neighbours``: answers to follow-up questions, which tell like causes apart
- ``findings``, ``run``: what was concluded, and the run that every report is written from
"""

from __future__ import annotations

from smtp_preflight.model.connection import (
    Certificate,
    TcpAttempt,
    TcpConnects,
    TcpOutcome,
    TlsFailure,
    TlsHandshake,
)
from smtp_preflight.model.dns import DnsAnswer, DnsStatus, Published, SystemAddresses, trouble_in
from smtp_preflight.model.findings import Alternative, Cause, Finding, ReportedFinding
from smtp_preflight.model.http import HttpExchange, HttpFailure
from smtp_preflight.model.mail_domain import (
    Announced,
    DkimKeys,
    DmarcWalk,
    MailExchangers,
    MailHost,
    MtaSts,
    TlsReporting,
    tags_of,
)
from smtp_preflight.model.mailbox import (
    Arrival,
    Bounce,
    FoundMessage,
    MailboxLogin,
    MailboxProtocol,
    MailboxTrouble,
    ReaderGrant,
)
from smtp_preflight.model.neighbours import NameServers, PortCheck, PortState, ServerAnswer, ServiceCheck
from smtp_preflight.model.observation import Line, Observation, Question, Seen, public_fields
from smtp_preflight.model.profile import (
    Delivery,
    Expect,
    Limits,
    MailboxAccess,
    OAuth,
    Profile,
    SecretRef,
    Send,
    Setting,
    Smtp,
    Thresholds,
    Waiver,
)
from smtp_preflight.model.provider import Endpoint, Provider, RefreshLimit, Retirement
from smtp_preflight.model.run import Change, CheckResult, Deadline, Run, SinceLastReady
from smtp_preflight.model.smtp import (
    AuthExchange,
    DataExchange,
    Ehlo,
    Failure,
    MailFrom,
    RcptTo,
    SmtpGreeting,
    SmtpReply,
    SmtpStep,
    StartTls,
)
from smtp_preflight.model.spf import MOST_COUNTED, MOST_SPF_LOOKUPS, SpfRecord, SpfTerm, SpfTree
from smtp_preflight.model.text import short
from smtp_preflight.model.tokens import (
    APPLICATION,
    AccessToken,
    Discovery,
    Grant,
    Keys,
    OAuthError,
    SecretCheck,
    SignatureCheck,
    SignatureState,
    StoredToken,
    TokenInfo,
)
from smtp_preflight.model.words import Certainty, GrantType, Outcome, Severity, Stage, Until, Verdict

__all__ = [
    "APPLICATION",
    "MOST_COUNTED",
    "MOST_SPF_LOOKUPS",
    "AccessToken",
    "Alternative",
    "Announced",
    "Arrival",
    "AuthExchange",
    "Bounce",
    "Cause",
    "Certainty",
    "Certificate",
    "Change",
    "CheckResult",
    "DataExchange",
    "Deadline",
    "Delivery",
    "Discovery",
    "DkimKeys",
    "DmarcWalk",
    "DnsAnswer",
    "DnsStatus",
    "Ehlo",
    "Endpoint",
    "Expect",
    "Failure",
    "Finding",
    "FoundMessage",
    "Grant",
    "GrantType",
    "HttpExchange",
    "HttpFailure",
    "Keys",
    "Limits",
    "Line",
    "MailExchangers",
    "MailFrom",
    "MailHost",
    "MailboxAccess",
    "MailboxLogin",
    "MailboxProtocol",
    "MailboxTrouble",
    "MtaSts",
    "NameServers",
    "OAuth",
    "OAuthError",
    "Observation",
    "Outcome",
    "PortCheck",
    "PortState",
    "Profile",
    "Provider",
    "Published",
    "Question",
    "RcptTo",
    "ReaderGrant",
    "RefreshLimit",
    "ReportedFinding",
    "Retirement",
    "Run",
    "SecretCheck",
    "SecretRef",
    "Seen",
    "Send",
    "ServerAnswer",
    "ServiceCheck",
    "Setting",
    "Severity",
    "SignatureCheck",
    "SignatureState",
    "SinceLastReady",
    "Smtp",
    "SmtpGreeting",
    "SmtpReply",
    "SmtpStep",
    "SpfRecord",
    "SpfTerm",
    "SpfTree",
    "Stage",
    "StartTls",
    "StoredToken",
    "SystemAddresses",
    "TcpAttempt",
    "TcpConnects",
    "TcpOutcome",
    "Thresholds",
    "TlsFailure",
    "TlsHandshake",
    "TlsReporting",
    "TokenInfo",
    "Until",
    "Verdict",
    "Waiver",
    "public_fields",
    "short",
    "tags_of",
    "trouble_in",
]
