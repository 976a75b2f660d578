"""Take the pictures of docs/gallery/ and write its page: ``make gallery``, where Chromium is installed.

Each is the first screen of the report of a run with one thing broken, with a palette so that it stays small.
"""

from __future__ import annotations

import base64
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ViewportSize, sync_playwright

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SCREEN: ViewportSize = {"width": 1100, "height": 860}
RUN_LIMIT_S = 120
COLOURS = 256

# Fault -> the demonstration whose report shows it; in the order of the mail's way.
FAULTS = {
    "tcp_port_blocked": "demo",
    "starttls_stripped": "demo",
    "tls_interception": "demo",
    "certificate_expired": "demo-custom",
    "client_secret_expired": "demo-app",
    "refresh_token_revoked": "demo",
    "conditional_access_block": "demo",
    "token_missing_smtp_scope": "demo",
    "smtp_auth_disabled_mailbox": "demo",
    "app_only_sp_not_registered_in_exchange": "demo-app",
    "send_as_denied": "demo",
    "recipient_rejected": "demo-gmail",
    "delivered_to_junk": "demo-delivery",
}

HEAD = """<!-- Written by `make gallery`: change docs/gallery/make.py. -->

# What reports look like

The first screen of a report for each of a dozen faults, and of a run in which nothing is broken. Below it
follow the way of the mail with its times, until when everything lasts, every question with when it was asked,
the transcript, commands to ask the same by hand, all checks, and all settings. The servers are the
demonstration's own; every picture can be had on your machine by the command above it."""

# Runs in the browser: pixels to a palette of the most frequent colours, each other one to its nearest.
TO_PALETTE = """
async ([source, most]) => {
  const image = new Image(); image.src = source; await image.decode();
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const counts = new Map();
  for (const one of pixels) counts.set(one, (counts.get(one) ?? 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, most).map(([colour]) => colour);
  const parts = (colour) => [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
  const far = (a, b) => parts(a).reduce((sum, part, at) => sum + (part - parts(b)[at]) ** 2, 0);
  const nearest = (colour) => palette.reduce((best, _, at) =>
    far(palette[at], colour) < far(palette[best], colour) ? at : best, 0);
  const places = new Map([...counts.keys()].map((colour) => [colour, nearest(colour)]));
  let text = "";
  for (const one of pixels) text += String.fromCharCode(places.get(one));
  return { width, height, palette: palette.map(parts), pixels: btoa(text) };
}
"""


def main() -> None:
    """Take every picture, and write the page."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        lines = [HEAD, *shown(browser, Path(folder), "demo-delivery", "")]
        for fault, profile in FAULTS.items():
            lines += shown(browser, Path(folder), profile, fault)
        browser.close()
    (HERE / "README.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


def shown(browser: Browser, folder: Path, profile: str, fault: str) -> list[str]:
    """Run a demonstration and take its picture; returns the lines of the page about it."""
    options = [f"--profile={profile}", *([f"--fault={fault}"] if fault else [])]
    report = run(options, folder / (fault or "healthy")) / profile
    name = f"{fault or 'healthy'}.png"
    (HERE / name).write_bytes(picture(browser, report / "report.html"))
    findings = json.loads((report / "report.json").read_text(encoding="utf-8"))["findings"]
    title = findings[0]["title"] if fault else "Nothing is broken"
    words = f"Report of {profile}: {title}"
    return ["", f"## {title}", "", f"`pytest {' '.join(options)}`", "", f"![{words}]({name})"]


def run(options: list[str], reports: Path) -> Path:
    """One run of the suite; a red one is what is wanted."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    command.append(f"--report-dir={reports}")
    done = subprocess.run(  # noqa: S603 - our own suite
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(done.stdout + done.stderr)
    return reports


def picture(browser: Browser, page: Path) -> bytes:
    """The first screen of a page as a PNG with a palette."""
    window = browser.new_page(viewport=SCREEN, color_scheme="light")
    window.goto(page.as_uri())
    shot = base64.b64encode(window.screenshot()).decode("ascii")
    window.goto("about:blank")  # the report's policy would not let anything be run
    found = window.evaluate(TO_PALETTE, [f"data:image/png;base64,{shot}", COLOURS])
    window.close()
    return png(found)


def png(found: dict[str, Any]) -> bytes:
    """A PNG of indexed colours (RFC 2083 sections 4.1 and 6)."""
    width, height, pixels = found["width"], found["height"], base64.b64decode(found["pixels"])
    rows = b"".join(b"\0" + pixels[at : at + width] for at in range(0, width * height, width))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(part for colour in found["palette"] for part in colour)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


if __name__ == "__main__":
    main()
