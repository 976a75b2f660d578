"""What people see of an identity provider: plain HTML pages, with no scripts and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from smtp_preflight.lab.http import Response

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the address of the page holds state and challenge
    "X-Content-Type-Options": "nosniff",
}

_STYLE = """
body { font: 1.05rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff }
label { display: block; font-weight: 600; margin-top: 1rem }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid #5c5c5c }
button { font: inherit; margin: 1.2rem .6rem 0 0; padding: .5rem 1.2rem; border: 1px solid #1b1b1b }
[role=alert] { border-left: .3rem solid #a4000f; padding-left: .8rem }
"""


def sign_in_page(
    provider: str,
    *,
    application: str,
    scopes: Iterable[str],
    hidden: Mapping[str, str],
    account: str,
    problem: str = "",
) -> Response:
    """Whoever asks, what for, and a form that says who somebody is and whether they agree."""
    wanted = "".join(f"<li>{escape(one)}</li>" for one in scopes)
    return _page(
        f"Sign in: {provider}, as a lab plays it",
        f"<p>The application <strong>{escape(application)}</strong> asks for:</p><ul>{wanted}</ul>",
        _alert(problem),
        _form(hidden, _field("account", "Account", account, kind="email", autocomplete="username")),
        "<p>This is a lab: nothing here is real, and there are no passwords.</p>",
    )


def device_page(provider: str, *, code: str, account: str, problem: str = "") -> Response:
    """A form for the code that a device shows (RFC 8628 section 3.3)."""
    return _page(
        f"Connect a device: {provider}, as a lab plays it",
        "<p>Enter the code that your device shows, and who you are.</p>",
        _alert(problem),
        _form(
            {},
            _field("user_code", "Code", code, autocomplete="off"),
            _field("account", "Account", account, kind="email", autocomplete="username"),
        ),
        "<p>Go on only if the device is yours, and in front of you.</p>",
    )


def message_page(title: str, text: str, *, status: int = 200) -> Response:
    """A page without anything to do on it."""
    return _page(title, f"<p>{escape(text)}</p>", status=status)


def _page(title: str, *parts: str, status: int = 200) -> Response:
    body = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body><main><h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "</main></body></html>\n"
    )
    return Response(status, body.encode(), HEADERS)


def _form(hidden: Mapping[str, str], *fields: str) -> str:
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    return (
        f'<form method="post">{kept}{"".join(fields)}'
        '<button name="decision" value="allow">Sign in and allow</button>'
        # Formally valid or not, whoever declines need not fill in anything.
        '<button name="decision" value="deny" formnovalidate>Cancel</button></form>'
    )


def _field(name: str, label: str, value: str, *, kind: str = "text", autocomplete: str) -> str:
    return (
        f'<label for="{name}">{label}</label><input id="{name}" name="{name}" type="{kind}" '
        f'value="{escape(value)}" autocomplete="{autocomplete}" required>'
    )


def _alert(problem: str) -> str:
    return f'<p role="alert">{escape(problem)}</p>' if problem else ""
