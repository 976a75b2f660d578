"""Write ``docs/profile.schema.json`` from the tables of a profile: ``make docs``."""

from __future__ import annotations

from pathlib import Path

from smtp_preflight.profile import load_providers
from smtp_preflight.profile.schema import schema_text

PAGE = Path(__file__).parent / "profile.schema.json"


if __name__ == "__main__":
    PAGE.write_text(schema_text(load_providers()), encoding="utf-8")
