"""A profile stays in one worker of pytest-xdist, whatever ``--dist`` says (product.md section 3).

Its evidence is asked once, so its checks have to be judged where it was.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-not-found,unused-ignore] # no types
from xdist.workermanage import WorkerController  # type: ignore[import-not-found,unused-ignore] # no types


def profile_in(nodeid: str, names: Iterable[str]) -> str:
    """The profile a node id is about; the longest name that fits, for one may begin like another."""
    parameters = nodeid.partition("[")[2].rstrip("]")
    fitting = [name for name in names if parameters == name or parameters.startswith(f"{name}-")]
    return max(fitting, key=len, default=nodeid)


class ProfileScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """One unit of work per profile; what a dead worker had begun is not begun again."""

    def __init__(self, config: pytest.Config, names: Iterable[str], log: object = None) -> None:
        super().__init__(config, log)
        self._names = tuple(names)

    def _split_scope(self, nodeid: str) -> str:
        return profile_in(nodeid, self._names)

    def remove_node(self, node: WorkerController) -> str | None:
        """Give a dead worker's untouched profiles to others; the one it was at stays incomplete.

        It may have redeemed a token or sent a message, so asking it again could do harm.
        """
        workload = self.assigned_work[node]
        begun = next((name for name, unit in workload.items() if not all(unit.values())), None)
        if begun is None:
            return super().remove_node(node)  # type: ignore[no-any-return] # xdist ships no types
        at = next(nodeid for nodeid, done in workload.pop(begun).items() if not done)
        super().remove_node(node)
        return at
