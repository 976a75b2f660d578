"""What is to be said of a login to a mailbox: as signs, as words, and whether the token allowed it."""

from __future__ import annotations

from smtp_preflight.diagnosis.claim_signs import permissions_of
from smtp_preflight.model import Grant, MailboxLogin, MailboxProtocol, Profile, Seen

# The permissions that open a mailbox, by protocol (Microsoft delegated and application, Google).
READING = {
    MailboxProtocol.IMAP: ("IMAP.AccessAsUser.All", "IMAP.AccessAsApp", "https://mail.google.com/"),
    MailboxProtocol.POP: ("POP.AccessAsUser.All", "POP.AccessAsApp", "https://mail.google.com/"),
}


KNOWN_WORDS = ("smtp.", "imap.", "pop.", "https://mail.google.com/", "https://www.googleapis.com/auth/gmail")


def wanted_for_reading(profile: Profile) -> tuple[str, ...]:
    """The permissions that a profile needs beside sending, by what it wants to have looked at."""
    imap = profile.imap.check or profile.place_of("imap") in profile.watched.values()
    return (
        *(READING[MailboxProtocol.IMAP] if imap else ()),
        *(READING[MailboxProtocol.POP] if profile.pop.check else ()),
    )


def login_signs(seen: Seen, login: MailboxLogin) -> dict[str, str]:
    """How a login to a mailbox ended, as signs."""
    return {
        "mailbox": login.trouble or "opened",
        "protocol": login.protocol,
        "text": login.reply,
        "reading": reading_permission(seen, login.protocol),
    }


def login_words(seen: Seen, login: MailboxLogin) -> str:
    """What was seen of a login, for the report."""
    challenge = ", ".join(f"{key}: {value}" for key, value in login.challenge.items())
    ended = f"{login.trouble or 'opened'}: {login.reply}".rstrip(": ")
    told = [f"{login.protocol} {login.host}:{login.port} as {login.user}: {ended}"]
    if challenge:
        told.append(f"challenge: {challenge}")
    own = login.user.lower() == seen.profile.mailbox.lower()  # another profile's login has another token
    if own and reading_permission(seen, login.protocol) == "missing":
        told.append(f"the token allows: {_allowed(seen)}; wanted: {' or '.join(READING[login.protocol])}")
    return "\n".join(told)


def reading_permission(seen: Seen, protocol: MailboxProtocol) -> str:
    """Whether the token under test may read mailboxes: present, missing, or unknown where nobody says.

    An application that RBAC permits needs nothing in its token; other providers have words of their own.
    """
    grant = seen.get(Grant)
    if grant is None or grant.token is None or seen.profile.oauth.app_permission == "rbac":
        return "unknown"
    allowed = {one.lower() for one in permissions_of(seen, grant.token)}
    if allowed & {one.lower() for one in READING[protocol]}:
        return "present"
    by_known_words = any(one.startswith(KNOWN_WORDS) for one in allowed)
    microsoft_or_google = seen.profile.provider.name.startswith(("microsoft365", "outlook", "google"))
    return "missing" if by_known_words and microsoft_or_google else "unknown"


def _allowed(seen: Seen) -> str:
    grant = seen.get(Grant)
    held = permissions_of(seen, grant.token) if grant and grant.token else ()
    return " ".join(sorted(held)) or "nothing"
