"""A run becomes files: one module per format, each with ``write(run, path)`` and a ``NAME``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from smtp_preflight.model import Run
from smtp_preflight.reporting import history, json


def formats() -> Iterator[ModuleType]:
    """The modules of this folder that write a file; a format is found by being there."""
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if hasattr(module, "NAME"):
            yield module


def publish(run: Run, folder: Path) -> Path:
    """Write every format of a run, each replacing the last one at once; returns the folder."""
    place = folder / (f"{run.profile}-replay" if run.replayed_from else run.profile)
    place.mkdir(parents=True, exist_ok=True)
    for module in formats():
        new = place / f".{module.NAME}.new"
        module.write(run, new)
        new.replace(place / module.NAME)
    history.keep(run, place / json.NAME)
    return place
