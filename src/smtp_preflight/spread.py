"""A profile stays in one worker of pytest-xdist, whatever ``--dist`` says (product.md section 3).

Its evidence is asked once, so its checks have to be judged where it was.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-not-found,unused-ignore] # no types
from xdist.workermanage import WorkerController  # type: ignore[import-not-found,unused-ignore] # no types


def profile_in(nodeid: str) -> str:
    """The profile a node id is about, ``…[contoso:ipv4]`` say: no profile's name holds a colon."""
    return nodeid.partition("[")[2].removesuffix("]").partition(":")[0] or nodeid


class ProfileScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """One unit of work per profile; what a dead worker had begun is not begun again."""

    def _split_scope(self, nodeid: str) -> str:
        return profile_in(nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """Give a dead worker's untouched profiles to others; the one it was at stays incomplete.

        It may have redeemed a token or sent a message, so asking it again could do harm.
        """
        workload = self.assigned_work[node]
        begun = next((name for name, unit in workload.items() if not all(unit.values())), None)
        if begun is None:
            return super().remove_node(node)  # type: ignore[no-any-return] # xdist ships no types
        at: str = next(nodeid for nodeid, done in workload.pop(begun).items() if not done)
        super().remove_node(node)
        return at
