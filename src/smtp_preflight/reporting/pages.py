"""What our HTML pages have in common: every value in them is inert, and they load nothing."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from smtp_preflight.reporting.inert import bounded_lines, spans, visible

SEEN_LINES, SEEN_WIDTH = 200, 1000


@cache
def template(name: str) -> jinja2.Template:
    """A template of this folder; autoescape and ``finalize`` make every value inert, wherever it stands."""
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_inert,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"spans": spans, "seconds": _seconds, "seen": _seen, "sentence": _sentence}
    return environment.from_string(resource(name))


@cache
def resource(name: str, package: str = __package__) -> str:
    """A file that comes with a package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")


def policy(style: str, script: str = "") -> str:
    """A Content Security Policy that lets these two in, and nothing else."""
    scripts = f"script-src '{_digest(script)}'; " if script else ""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; {scripts}"
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _inert(value: Any) -> Any:
    """Applied to every value a template shows; what is marked safe is our own style and script."""
    return value if hasattr(value, "__html__") else visible(str(value))


def _seconds(value: float) -> str:
    """A duration for people: milliseconds below one second, tenths of them where they count."""
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"


def _seen(text: str) -> str:
    return "\n".join(bounded_lines(text, SEEN_LINES, SEEN_WIDTH)) or "(nothing)"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
