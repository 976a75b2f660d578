"""Annotations for GitHub's log: commands are ours alone, so every value in them is escaped."""

from smtp_preflight.model import Run
from smtp_preflight.reporting.inert import printable
from smtp_preflight.reporting.wording import WHO, is_red, told


def annotations(run: Run) -> list[str]:
    """One line for each finding that somebody should act on; for a log of GitHub Actions and nowhere else."""
    return [
        _command(
            "error" if is_red(run, one) else "warning",
            title=f"{run.profile}: {one.code}",
            message=f"{one.title} ({one.certainty}; for: {WHO[one.who]})",
        )
        for one in told(run)
    ]


def _command(name: str, *, title: str, message: str) -> str:
    escaped = _data(printable(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{name} title={escaped}::{_data(printable(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
