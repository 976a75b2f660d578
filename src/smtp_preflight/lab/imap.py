"""The lab's IMAP server (RFC 9051): what finding a message takes, read-only, in the providers' words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from smtp_preflight.lab.mailbox import FOLDERS, Letter, Session

_COMMAND = re.compile(r"(\S{1,20}) (\S+) ?(.*)")
_QUOTED = re.compile(r'"([^"]*)"')
_FETCH = re.compile(r"FETCH (\d{1,10}) \(BODY\.PEEK\[\]<0\.(\d{1,7})>\)", re.IGNORECASE)


class ImapSession(Session):
    """One IMAP dialogue, under TLS."""

    protocol = "imap"
    _tag = "*"
    _folder = ""

    def greeting(self) -> str:
        """The server is ready."""
        return "* OK The lab's IMAP4 service is ready."

    def question(self, text: str) -> str:
        """A continuation (RFC 9051 section 7.6)."""
        return f"+ {text}"

    def command(self, line: str) -> str:
        """One tagged command."""
        found = _COMMAND.fullmatch(line)
        if not found:
            return "* BAD Command not recognised"
        self._tag, verb, argument = found.groups()
        handlers: Mapping[str, Callable[[str], str]] = {
            "CAPABILITY": self._capability,
            "AUTHENTICATE": self._authenticate,
            "EXAMINE": self._examine,
            "LIST": self._list,
            "UID": self._by_number,
            "LOGOUT": self._logout,
            "NOOP": self._noop,
        }
        handler = handlers.get(verb.upper())
        if handler is None or (not self.user and verb.upper() in ("EXAMINE", "LIST", "UID")):
            return f"{self._tag} BAD Command received in Invalid state."
        return handler(argument)

    def authenticated(self, admitted: bool) -> str:
        """Exchange says little, Gmail says why; it also says here that IMAP is off, Exchange only later."""
        by_challenge = self.world.wording.auth_challenges
        if not admitted:
            words = (
                "[AUTHENTICATIONFAILED] Invalid credentials (Failure)"
                if by_challenge
                else "AUTHENTICATE failed."
            )
            return f"{self._tag} NO {words}"
        if self.conditions.imap_busy:
            self.user = ""
            return f"{self._tag} NO [LIMIT] Maximum number of connections from user+IP exceeded"
        if by_challenge and not self.conditions.imap_enabled:
            self.user = ""
            return (
                f"{self._tag} NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail "
                "settings page and enable your account for IMAP access. (Failure)"
            )
        return self._ok("AUTHENTICATE completed.")

    def _capability(self, _argument: str) -> str:
        offered = [
            f"AUTH={one}" for one in self.world.wording.mechanisms if one in ("XOAUTH2", "OAUTHBEARER")
        ]
        initial = ["SASL-IR"] if self.conditions.initial_response else []
        mechanisms = offered if self.conditions.bearer_offered else ["AUTH=PLAIN"]
        words = " ".join(["IMAP4", "IMAP4rev1", *mechanisms, *initial, "UIDPLUS", "SPECIAL-USE"])
        return f"* CAPABILITY {words}\n{self._ok('CAPABILITY completed.')}"

    def _authenticate(self, argument: str) -> str:
        mechanism, _, initial = argument.partition(" ")
        if initial and not self.conditions.initial_response:
            return f"{self._tag} BAD Command Argument Error. 12"
        return self.begin(mechanism, initial)

    def _examine(self, argument: str) -> str:
        name = argument.strip('"')
        if not self.conditions.imap_enabled:
            return f"{self._tag} BAD User is authenticated but not connected."
        if name not in FOLDERS:
            return f"{self._tag} NO {name} doesn't exist."
        self._folder = name
        return f"* {len(self._letters)} EXISTS\n{self._ok('[READ-ONLY] EXAMINE completed.')}"

    def _list(self, _argument: str) -> str:
        lines = [f'* LIST (\\HasNoChildren {mark}) "/" "{name}"' for name, mark in FOLDERS.items()]
        return "\n".join([*lines, self._ok("LIST completed.")])

    def _by_number(self, argument: str) -> str:
        if argument.upper().startswith("SEARCH "):
            return self._search(argument)
        if found := _FETCH.fullmatch(argument):
            return self._fetch(int(found[1]), int(found[2]))
        return f"{self._tag} BAD Command Argument Error. 11"

    def _search(self, argument: str) -> str:
        """Whatever holds one of the quoted texts, wherever: dates are not looked at."""
        texts = [one.encode() for one in _QUOTED.findall(argument)]
        found = [one.number for one in self._letters if any(text in one.content for text in texts)]
        return f"* SEARCH {' '.join(map(str, found))}".rstrip() + f"\n{self._ok('SEARCH completed.')}"

    def _fetch(self, number: int, most_bytes: int) -> str:
        content = next((one.content for one in self._letters if one.number == number), b"")[:most_bytes]
        text = content.decode("utf-8", "replace").replace("\r\n", "\n")
        size = len(text.replace("\n", "\r\n").encode())
        return f"* 1 FETCH (UID {number} BODY[]<0> {{{size}}}\n{text})\n{self._ok('FETCH completed.')}"

    def _noop(self, _argument: str) -> str:
        return self._ok("NOOP completed.")

    def _logout(self, _argument: str) -> str:
        self.closed = True
        return f"* BYE The lab's IMAP4 server signing off.\n{self._ok('LOGOUT completed.')}"

    @property
    def _letters(self) -> tuple[Letter, ...]:
        return self.world.mailboxes.letters(self.user, self._folder)

    def _ok(self, words: str) -> str:
        return f"{self._tag} OK {words}"
