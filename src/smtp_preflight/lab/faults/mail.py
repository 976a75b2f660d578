"""Faults from AUTH to the end of the message: what the mail server says, in the words of its provider.

{server}, {stamp}, {id} and the like are filled in as in ``wording``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smtp_preflight.lab.conditions import (
    AUTH,
    HANG_UP,
    SILENCE,
    Conditions,
    ConnectionConditions,
    IdentityConditions,
    MailConditions,
    Manner,
    TokenFlaw,
)
from smtp_preflight.lab.faults.fault import (
    MICROSOFT,
    PROVIDERS,
    REDEEMS_REFRESH_TOKEN,
    SENDS_MESSAGE,
    SIGNS_IN_AS_ITSELF,
    Fault,
)
from smtp_preflight.model import Profile, Stage

_TENANT = ("microsoft365",)
_PERSONAL = ("outlook_personal",)
_GOOGLE = ("google", "google_workspace")
_WORKSPACE = ("google_workspace",)
_OWN = ("custom",)

_EXCHANGE_MARK = "[{server} {stamp} {id}]"
_LATE_S = 1.5
_SHORT_S = 1.0
_HESITATION_S = 0.6  # before each reply of an exchange, of which there are two at least


def _mail(**changes: Any) -> Conditions:
    return Conditions(mail=MailConditions(**changes))


def _auth_says(reply: str) -> Conditions:
    return _mail(auth_refusal=reply)


def _unsuccessful(words: str) -> Conditions:
    """Exchange's refusal with a reason: many of them under one number."""
    return _auth_says(f"535 5.7.139 Authentication unsuccessful, {words} {_EXCHANGE_MARK}")


def _gmail_says(code: str, words: str, page: str) -> Conditions:
    first, link = code.replace(" ", "-", 1), f"https://support.google.com/mail/?p={page}"
    return _auth_says(f"{first} {words}\n{code}  {link} {{id}} - gsmtp")


def _by_rbac(_profile: Profile) -> Mapping[str, Any]:
    """The profile counts on RBAC for Applications, in the place of the permission in the token."""
    return {"oauth.app_permission": "rbac"}


def _as_another(profile: Profile) -> Mapping[str, Any]:
    """The message is from another mailbox of the domain, as in most programs that meet this refusal."""
    return {"send.sender": _beside(profile, "noreply")} if profile.send else {}


def _as_another_to_three(profile: Profile) -> Mapping[str, Any]:
    recipients = tuple(_beside(profile, name) for name in ("one", "two", "three"))
    return {**_as_another(profile), "send.to": recipients}


def _beside(profile: Profile, name: str) -> str:
    return f"{name}@{profile.mailbox.rpartition('@')[2]}"


_SWITCHED_OFF = (
    Fault(
        "smtp_auth_disabled_mailbox",
        Stage.AUTH,
        _TENANT,
        "client submission is switched off for the mailbox",
        _unsuccessful(
            "SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled "
            "for more information."
        ),
    ),
    Fault(
        "smtp_auth_disabled_tenant",
        Stage.AUTH,
        _TENANT,
        "client submission is switched off for the whole organisation",
        _unsuccessful(
            "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled "
            "for more information."
        ),
    ),
    Fault(
        "new_consumer_account_smtp_disabled",
        Stage.AUTH,
        _PERSONAL,
        "a new personal mailbox may not submit mail yet",
        _unsuccessful(
            "SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled "
            "for more information."
        ),
    ),
    Fault(
        "security_defaults_block",
        Stage.AUTH,
        _TENANT,
        "the mail server refuses the login by the tenant's security defaults",
        _unsuccessful(
            "user is locked by your organization's security defaults policy. Contact your administrator."
        ),
        way="auth",
    ),
    Fault(
        "conditional_access_block",
        Stage.AUTH,
        _TENANT,
        "the mail server refuses the login by a policy of the tenant",
        _unsuccessful(
            "the request did not meet the criteria to be authenticated successfully. Contact your "
            "administrator."
        ),
        way="auth",
    ),
    Fault(
        "account_credentials_rejected",
        Stage.AUTH,
        _TENANT,
        "the account is locked after too many wrong passwords",
        _unsuccessful("account locked. Contact your administrator."),
        way="locked",
    ),
    Fault(
        "user_account_disabled",
        Stage.AUTH,
        _TENANT,
        "the mail server has something against the account",
        _unsuccessful("account has an issue. Contact your administrator."),
        way="auth",
    ),
    Fault(
        "mfa_required",
        Stage.AUTH,
        _TENANT,
        "the mail server wants a second factor",
        _unsuccessful("MFA required."),
        way="auth",
    ),
    Fault(
        "federation_server_unreachable",
        Stage.AUTH,
        _TENANT,
        "the organisation's own sign-in server cannot be reached",
        _unsuccessful("federated STS service was unreachable."),
    ),
    Fault(
        "federation_server_unreachable",
        Stage.AUTH,
        _TENANT,
        "the organisation's own sign-in server speaks no TLS that is good enough",
        _unsuccessful("the federated STS URL does not support HTTPS."),
        way="https",
    ),
)

_REFUSED = (
    Fault(
        "token_rejected_by_server",
        Stage.AUTH,
        _GOOGLE,
        "the token is good by all that can be seen, and is refused",
        _mail(token_refused=True),
    ),
    Fault(
        "token_rejected_by_server",
        Stage.AUTH,
        _OWN,
        "a token that nobody can read is refused with the 401 that stands for whatever is wrong",
        Conditions(
            manner=Manner(opaque_tokens=True, wording={"auth_status": "401", "auth_scope": "mail"}),
            mail=MailConditions(token_refused=True),
        ),
        way="opaque",
    ),
    Fault(
        "token_rejected_by_server",
        Stage.AUTH,
        (*_GOOGLE, *_OWN),
        "the token is refused, and whoever is refused is kept waiting",
        Conditions(
            connection=ConnectionConditions(late_s={AUTH: _HESITATION_S}),
            mail=MailConditions(token_refused=True),
        ),
        way="late",
        limits={"reply_slow_s": _SHORT_S},
    ),
    Fault(
        "mailbox_missing_or_unlicensed",
        Stage.AUTH,
        _TENANT,
        "the user has no mailbox in Exchange Online",
        _mail(token_refused=True),
        named_first="smtp_auth_disabled_mailbox",
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "login_name_not_upn",
        Stage.CLAIMS,
        _TENANT,
        "the user's login name is not the mail address that the profile gives",
        Conditions(identity=IdentityConditions(token_flaw=TokenFlaw(user="a.lerts@contoso.example"))),
        named_first="token_user_mismatch",
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "shared_mailbox_as_sasl_user",
        Stage.CLAIMS,
        _TENANT,
        "a user signs in for a shared mailbox, to which the user has no right",
        Conditions(identity=IdentityConditions(token_flaw=TokenFlaw(user="clerk@contoso.example"))),
        named_first="token_user_mismatch",
        needs=(REDEEMS_REFRESH_TOKEN,),
    ),
    Fault(
        "app_only_sp_not_registered_in_exchange",
        Stage.AUTH,
        _TENANT,
        "Exchange Online knows no service principal of the application",
        _mail(token_refused=True),
        needs=(SIGNS_IN_AS_ITSELF,),
    ),
    Fault(
        "app_only_sp_wrong_object_id",
        Stage.AUTH,
        _TENANT,
        "the application is registered in Exchange Online with the wrong one of its object ids",
        _mail(token_refused=True),
        named_first="app_only_sp_not_registered_in_exchange",
        needs=(SIGNS_IN_AS_ITSELF,),
    ),
    Fault(
        "exchange_permission_propagation",
        Stage.AUTH,
        _TENANT,
        "all has been set up well, a minute ago",
        _mail(token_refused=True),
        named_first="app_only_sp_not_registered_in_exchange",
        needs=(SIGNS_IN_AS_ITSELF,),
    ),
    Fault(
        "app_rbac_assignment_missing",
        Stage.AUTH,
        _TENANT,
        "no role assignment of the application covers the mailbox",
        Conditions(
            identity=IdentityConditions(token_flaw=TokenFlaw(permits=False)),
            mail=MailConditions(token_refused=True),
        ),
        needs=(SIGNS_IN_AS_ITSELF,),
        settings=_by_rbac,
    ),
    Fault(
        "app_rbac_conflicts_with_role_claim",
        Stage.AUTH,
        _TENANT,
        "the role in the token keeps the role assignment from being looked at",
        Conditions(
            identity=IdentityConditions(token_flaw=TokenFlaw(role="SMTP.SendAsApp")),
            mail=MailConditions(token_refused=True),
        ),
        needs=(SIGNS_IN_AS_ITSELF,),
        settings=_by_rbac,
    ),
    Fault(
        "app_only_mailbox_permission_missing",
        Stage.DATA,
        _TENANT,
        "the application may log in, and has no right to the mailbox",
        _mail(
            message_refusal="430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Submission.Exception:"
            "ConnectionFailedTransientException.MapiExceptionLogonFailed; Failed to process message due to a "
            "transient exception with message Cannot open mailbox. [Hostname={server}]"
        ),
        needs=(SIGNS_IN_AS_ITSELF,),
    ),
    Fault(
        "xoauth2_string_malformed",
        Stage.AUTH,
        MICROSOFT,
        "the login string does not arrive as it was sent",
        _auth_says("501 5.5.124 Invalid XOAUTH2 auth data"),
    ),
    Fault(
        "gmail_service_disabled",
        Stage.AUTH,
        _WORKSPACE,
        "the organisation has switched Gmail off for the user",
        _gmail_says(
            "534 5.7.9", "Please log in with your web browser and then try again.", "WebLoginRequired"
        ),
    ),
    Fault(
        "client_protocol_error",
        Stage.AUTH,
        PROVIDERS,
        "something on the way takes no line as long as a token's",
        _auth_says("500 5.5.6 Authentication exchange line is too long"),
    ),
    Fault(
        "google_security_challenge",
        Stage.AUTH,
        ("google",),
        "Google wants the user to sign in by a web browser first",
        _gmail_says(
            "534 5.7.14", "Please log in through your web browser and then try again.", "WebLoginRequired"
        ),
    ),
)

_BUSY = (
    Fault(
        "too_many_logins",
        Stage.AUTH,
        _GOOGLE,
        "the account logs in too often",
        _gmail_says("454 4.7.0", "Too many login attempts, please try again later.", "TooManyLogins"),
    ),
    Fault(
        "too_many_logins",
        Stage.AUTH,
        MICROSOFT,
        "too many sessions are open at the same time",
        _auth_says(
            f"421 4.7.0 Too many concurrent SMTP connections; please try again later. {_EXCHANGE_MARK}"
        ),
        way="sessions",
    ),
    Fault(
        "provider_side_fault",
        Stage.AUTH,
        (*MICROSOFT, *_GOOGLE),
        "the mail server cannot look the account up for the moment",
        _auth_says(f"451 4.7.0 Temporary server error. Please try again later. PRX4 {_EXCHANGE_MARK}"),
        elsewhere=dict.fromkeys(
            _GOOGLE,
            _auth_says("454 4.7.0 Cannot authenticate due to temporary system problem. {id} - gsmtp"),
        ),
        way="auth",
    ),
    Fault(
        "auth_temporary_failure",
        Stage.AUTH,
        PROVIDERS,
        "the mail server cannot judge the login for the moment, and does not say why",
        _auth_says("451 4.5.0 Requested action aborted: try again"),
    ),
    Fault(
        "auth_no_answer",
        Stage.AUTH,
        PROVIDERS,
        "the login is never answered",
        _auth_says(SILENCE),
        limits={"reply_s": _SHORT_S},
    ),
    Fault(
        "auth_connection_closed",
        Stage.AUTH,
        PROVIDERS,
        "the mail server hangs up on the login",
        _auth_says(HANG_UP),
    ),
    Fault(
        "concurrent_connection_limit",
        Stage.MAIL_FROM,
        MICROSOFT,
        "others submit mail for the mailbox at the same time",
        _mail(
            sender_refusal="432 4.3.2 Concurrent connections limit exceeded. Visit "
            f"https://aka.ms/concurrent_sending for more information. {_EXCHANGE_MARK}"
        ),
    ),
)

_ENVELOPE = (
    Fault(
        "sender_domain_not_accepted",
        Stage.MAIL_FROM,
        _TENANT,
        "the sender's domain is none of the tenant's",
        _mail(
            sender_refusal="550 5.7.750 Service unavailable. Client blocked from sending from unregistered "
            f"domains. {_EXCHANGE_MARK}"
        ),
    ),
    Fault(
        "send_as_denied",
        Stage.MAIL_FROM,
        MICROSOFT,
        "the mail server minds the sender at once",
        _mail(
            sender_refusal="550 5.7.60 SMTP; Client does not have permissions to send as this sender "
            f"{_EXCHANGE_MARK}"
        ),
        way="mail_from",
        settings=_as_another,
    ),
    Fault(
        "send_as_denied",
        Stage.RCPT_TO,
        _OWN,
        "the mail server minds the sender, and says so of each of three recipients",
        _mail(
            sender_refusal="553 5.7.1 <{sender}>: Sender address rejected: not owned by user {user}",
            sender_refused_late=True,
        ),
        way="rcpt_to",
        needs=(SENDS_MESSAGE,),
        settings=_as_another_to_three,
    ),
    Fault(
        "sending_quota_exceeded",
        Stage.MAIL_FROM,
        (*_GOOGLE, *MICROSOFT),
        "the mailbox has sent all it may in a day",
        _mail(
            sender_refusal="550 5.1.90 Your message can't be sent because you've reached your daily limit "
            f"for message recipients {_EXCHANGE_MARK}"
        ),
        elsewhere=dict.fromkeys(
            _GOOGLE,
            _mail(
                sender_refusal="550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n"
                "550 5.4.5 sending limits go to https://support.google.com/a/answer/166852 {id} - gsmtp"
            ),
        ),
    ),
    Fault(
        "reply_timeout",
        Stage.MAIL_FROM,
        PROVIDERS,
        "MAIL FROM is never answered",
        _mail(sender_refusal=SILENCE),
        way="mail_from",
        limits={"reply_s": _SHORT_S},
    ),
    Fault(
        "connection_lost",
        Stage.MAIL_FROM,
        PROVIDERS,
        "the mail server hangs up at MAIL FROM",
        _mail(sender_refusal=HANG_UP),
        way="mail_from",
    ),
    Fault(
        "recipient_rejected",
        Stage.RCPT_TO,
        PROVIDERS,
        "there is no such recipient",
        _mail(recipient_refusal="550 5.1.1 <{recipient}>: Recipient address rejected: user unknown"),
        elsewhere=dict.fromkeys(
            MICROSOFT,
            _mail(recipient_refusal="550 5.4.1 Recipient address rejected: Access denied. " + _EXCHANGE_MARK),
        ),
    ),
    Fault(
        "greylisted",
        Stage.RCPT_TO,
        PROVIDERS,
        "the recipient's server wants to be asked again later",
        _mail(recipient_refusal="451 4.7.1 <{recipient}>: Greylisted, please try again later"),
    ),
    Fault(
        "message_limits_exceeded",
        Stage.RCPT_TO,
        PROVIDERS,
        "the message has more recipients than are allowed",
        _mail(recipient_refusal="452 4.5.3 Too many recipients"),
        way="recipients",
    ),
    Fault(
        "connection_lost",
        Stage.RCPT_TO,
        PROVIDERS,
        "the mail server hangs up at RCPT TO",
        _mail(recipient_refusal=HANG_UP),
        way="rcpt_to",
    ),
)

_MESSAGE = (
    Fault(
        "send_as_denied",
        Stage.DATA,
        MICROSOFT,
        "the mailbox may log in, but not send as the sender",
        _mail(send_as_granted=False),
        settings=_as_another,
    ),
    Fault(
        "sending_quota_exceeded",
        Stage.DATA,
        _PERSONAL,
        "a personal mailbox has sent more than Outlook.com lets it",
        _mail(
            message_refusal="554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to "
            "process message due to a permanent exception with message WASCL UserAction verdict is not None. "
            "Actual verdict is RefuseQuota, ShowTierUpgrade. [Hostname={server}]"
        ),
        way="refuse_quota",
        named_first="sender_blocked_for_spam",
    ),
    Fault(
        "tenant_outbound_limit",
        Stage.DATA,
        _TENANT,
        "the organisation has sent all it may to others in a day",
        _mail(
            message_refusal="550 5.7.233 Your message can't be sent because your tenant exceeded its daily "
            f"limit for sending email to external recipients {_EXCHANGE_MARK}"
        ),
    ),
    Fault(
        "continuous_error_throttling",
        Stage.DATA,
        MICROSOFT,
        "the same error came too often, so nothing is taken for a while",
        _mail(
            message_refusal="550 5.2.254 Sender throttled due to continuous send as denied errors; "
            "[Hostname={server}]"
        ),
    ),
    Fault(
        "sender_mailbox_full",
        Stage.DATA,
        MICROSOFT,
        "the sending mailbox is full, so no copy can be kept",
        _mail(
            message_refusal="554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException."
            "MapiException(Shutoff)QuotaExceeded; Failed to process message. [Hostname={server}]"
        ),
    ),
    Fault(
        "message_format_invalid",
        Stage.DATA,
        (*_TENANT, *_GOOGLE),
        "the message loses its From line on the way",
        _mail(
            message_refusal="550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant "
            f"{_EXCHANGE_MARK}"
        ),
        elsewhere=dict.fromkeys(
            _GOOGLE,
            _mail(
                message_refusal="550-5.7.1 Messages missing a valid address in From: header, or having no\n"
                "550 5.7.1 From: header, are not RFC 5322 compliant. {id} - gsmtp"
            ),
        ),
    ),
    Fault(
        "content_rejected",
        Stage.DATA,
        PROVIDERS,
        "a filter does not like the message",
        _mail(message_refusal="554 5.7.1 Message rejected as spam by content filtering"),
        elsewhere=dict.fromkeys(
            _GOOGLE,
            _mail(
                message_refusal="552-5.7.0 This message was blocked because its content presents a\n"
                "552 5.7.0 potential security issue. {id} - gsmtp"
            ),
        ),
    ),
    Fault(
        "sender_blocked_for_spam",
        Stage.DATA,
        _TENANT,
        "the mailbox is restricted, because it has sent spam",
        _mail(message_refusal=f"550 5.1.8 Access denied, bad outbound sender {_EXCHANGE_MARK}"),
    ),
    Fault(
        "message_limits_exceeded",
        Stage.DATA,
        PROVIDERS,
        "the message is bigger than is allowed",
        _mail(message_refusal="552 5.3.4 Message size exceeds fixed maximum message size"),
    ),
    Fault(
        "connection_lost",
        Stage.DATA,
        PROVIDERS,
        "the mail server hangs up at DATA, before the message",
        _mail(data_refusal=HANG_UP),
        way="data",
    ),
    Fault(
        "connection_lost_after_data",
        Stage.DATA,
        PROVIDERS,
        "the mail server hangs up on the message instead of answering",
        _mail(message_refusal=HANG_UP),
    ),
    Fault(
        "submission_slow",
        Stage.DATA,
        PROVIDERS,
        "the message is accepted late",
        _mail(message_late_s=_LATE_S),
        settings=lambda _profile: {"limits.data_slow_s": _LATE_S},
    ),
)

ROWS = (*_SWITCHED_OFF, *_REFUSED, *_BUSY, *_ENVELOPE, *_MESSAGE)
