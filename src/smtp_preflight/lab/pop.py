"""The lab's POP3 server (RFC 1939, RFC 5034): a login in two steps, as Exchange wants it, and a count."""

from __future__ import annotations

from smtp_preflight.lab.mailbox import Session


class PopSession(Session):
    """One POP3 dialogue, under TLS."""

    protocol = "pop"

    def greeting(self) -> str:
        """The server is ready."""
        return "+OK The lab's POP3 service is ready."

    def question(self, text: str) -> str:
        """A continuation (RFC 5034 section 4)."""
        return f"+ {text}"

    def command(self, line: str) -> str:
        """One command."""
        verb, _, argument = line.partition(" ")
        match verb.upper():
            case "CAPA":
                return f"+OK\nTOP\nUIDL\nSASL {' '.join(self._mechanisms)}\nUSER\n."
            case "AUTH":
                return self._auth(argument)
            case "STAT" if self.user:
                letters = self.world.mailboxes.letters(self.user, "INBOX")
                return f"+OK {len(letters)} {sum(len(one.content) for one in letters)}"
            case "NOOP":
                return "+OK"
            case "QUIT":
                self.closed = True
                return "+OK The lab's POP3 server signing off."
        return "-ERR Command is not valid in this state."

    def authenticated(self, admitted: bool) -> str:
        """In the words of Exchange."""
        if admitted:
            return "+OK User successfully authenticated."
        return "-ERR Authentication failure: unknown user name or bad password."

    def _auth(self, argument: str) -> str:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() not in self._mechanisms or initial:
            return "-ERR Protocol error. 18"
        return self.begin(mechanism, "")

    @property
    def _mechanisms(self) -> list[str]:
        return [one for one in self.world.wording.mechanisms if one in ("XOAUTH2", "OAUTHBEARER")]
