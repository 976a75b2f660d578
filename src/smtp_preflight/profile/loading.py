"""The doors: from names to the files of profiles, and from a file to its profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from smtp_preflight.model import Profile, Provider, short
from smtp_preflight.profile.assembly import Assembly
from smtp_preflight.profile.errors import ProfileError, one_of, quoted
from smtp_preflight.profile.files import names_in, read
from smtp_preflight.profile.parsing import check_complete, parsed
from smtp_preflight.profile.values import STEM

TEMPLATES = "templates"


def load_profile(path: Path, providers: Mapping[str, Provider]) -> Profile:
    """Read a profile; relative paths in it are taken from its folder.

    Raises ProfileError for what cannot be read as a profile, by the first thing that is wrong.
    """
    _check_stem(path)
    chain = read(path)
    file = parsed(chain, path.stem)
    for key, name in (("provider", file.provider), ("lab", file.lab)):
        if name is not None and name not in providers:
            raise chain.error((key,), quoted(name), one_of(list(providers), name))
    provider = providers[file.provider]
    check_complete(chain, file, provider)
    return Assembly(file, provider).profile(path.stem)


def find_profiles(names: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """Find the files of profiles given by name, by path to a ``.toml``, or all together by ``all``.

    ``all`` leaves out the profiles of a lab, and never looks into sub-folders (templates).
    Raises ProfileError for an unknown name, for a template, and for two files of one stem: their reports
    would collide.
    """
    found: dict[str, Path] = {}
    for path in (path for name in names for path in _files_named(name, folder)):
        # Reports go to a folder of that name, and file systems exist that do not tell case apart.
        other = found.setdefault(path.stem.casefold(), path)
        if other.resolve() != path.resolve():
            raise ProfileError(str(path), "", f"a second profile of this name ({other})", "another file name")
    return tuple(found.values())


def _files_named(name: str, folder: Path) -> list[Path]:
    if name == "all":
        return _files_of_all(folder)
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    _check_no_template(path, folder)
    if not path.is_file():
        wanted = f"a path to a .toml file, or {one_of(names_in(folder), Path(name).stem)}"
        raise ProfileError(short(name, 60), "", "no such profile", wanted)
    _check_stem(path)
    return [path]


def _check_no_template(path: Path, folder: Path) -> None:
    """Neither the path of a template, nor a name that only a template has."""
    templates = folder / TEMPLATES
    meant = path if path.is_file() else templates / path.name
    if meant.is_file() and meant.resolve().parent == templates.resolve():
        wanted = f"a copy with your own values, {folder / 'NAME.toml'}, as smtp-preflight init NAME makes it"
        raise ProfileError(str(meant), "", "a template", wanted)


def _files_of_all(folder: Path) -> list[Path]:
    files = [path for path in sorted(folder.glob("*.toml")) if not _is_of_a_lab(path)]
    for path in files:
        _check_stem(path)
    if not files:
        raise ProfileError(str(folder), "", "no profile", "at least one NAME.toml that is not of a lab")
    return files


def _is_of_a_lab(path: Path) -> bool:
    """Whether a file or one it extends names a lab; a broken one is kept, so that somebody hears of it."""
    try:
        return bool(read(path).merged().get("lab"))
    except ProfileError:
        return False


def _check_stem(path: Path) -> None:
    if not STEM.fullmatch(path.stem) or path.suffix != ".toml":
        raise ProfileError(str(path), "", f"the name {quoted(path.name)}", "one such as contoso.toml")
