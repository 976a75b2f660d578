"""Stage mailbox_access: can the mailbox be read with the same token?

Evidence: ``mailbox_login`` is the login over IMAP or POP, for each of them that the profile wants checked.
"""

from smtp_preflight.diagnosis.mailbox_access import why_mailbox_not_opened
from smtp_preflight.model import MailboxLogin, Profile, Seen, Stage
from smtp_preflight.outcome import Explain

STAGE = Stage.MAILBOX_ACCESS


def test_mailbox_opens(
    protocol: str, mailbox_login: MailboxLogin, profile: Profile, seen: Seen, explain: Explain
) -> None:
    """The server takes the token over IMAP or POP, and opens the mailbox."""
    assert mailbox_login.opened, explain(why_mailbox_not_opened(seen, profile.place_of(protocol)))
