"""A profile stays in one worker of pytest-xdist, and what a dead worker had begun is not begun again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from smtp_preflight.spread import ProfileScheduling, profile_in


@pytest.mark.parametrize(
    ("nodeid", "profile"),
    [
        ("checks/test_dns.py::test_host_has_an_address[contoso]", "contoso"),
        ("checks/test_tcp.py::test_each_address_connects[contoso:ipv4]", "contoso"),
        ("checks/test_tcp.py::test_each_address_connects[contoso-ipv4:ipv4]", "contoso-ipv4"),
        ("checks/test_rcpt_to.py::test_recipient_is_accepted[contoso:a[1]@contoso.com]", "contoso"),
        ("checks/test_dns.py::test_host_has_an_address[contoso.com]", "contoso.com"),
        ("tests/test_rooms.py::test_something", "tests/test_rooms.py::test_something"),
    ],
)
def test_profile_in_a_node_id(nodeid: str, profile: str) -> None:
    """The profile stands before the first colon; what has no profile is a unit of its own."""
    assert profile_in(nodeid) == profile


class Worker:
    """What the scheduler needs of a worker: it is told what to run."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.ran: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.ran.extend(indices)

    def shutdown(self) -> None:
        self.shutting_down = True


CHECKS = [f"checks/{module}[{name}]" for name in "abc" for module in ("test_dns.py::one", "test_tcp.py::two")]


@pytest.fixture
def workers() -> list[Any]:
    return [Worker("gw0"), Worker("gw1")]


@pytest.fixture
def scheduling(workers: list[Any]) -> ProfileScheduling:
    """Three profiles of two checks each, given to two workers."""
    options = SimpleNamespace(loadscopereorder=True)
    config: Any = SimpleNamespace(option=options, getvalue=lambda name: ["popen"] * len(workers))
    made = ProfileScheduling(config)
    for worker in workers:
        made.add_node(worker)
        made.add_node_collection(worker, CHECKS)
    made.schedule()
    return made


def profiles_of(worker: Worker) -> set[str]:
    return {profile_in(CHECKS[index]) for index in worker.ran}


def run_everything(scheduling: ProfileScheduling, worker: Any) -> None:
    """Let a worker do all it is given, and what it is given then."""
    units = scheduling.assigned_work[worker]
    while left := [check for unit in units.values() for check, done in unit.items() if not done]:
        scheduling.mark_test_complete(worker, CHECKS.index(left[0]))


def test_a_profile_goes_to_one_worker(scheduling: ProfileScheduling, workers: list[Any]) -> None:
    """No two workers are given checks of the same profile, and all are given."""
    for worker in workers:
        run_everything(scheduling, worker)
    first, second = map(profiles_of, workers)
    assert first | second == {"a", "b", "c"}
    assert first.isdisjoint(second)


def test_what_a_dead_worker_had_begun_is_not_run_again(
    scheduling: ProfileScheduling, workers: list[Any]
) -> None:
    """The check it was at is told; its profile goes to nobody, an untouched one to whoever is left."""
    dead, left = workers
    scheduling.mark_test_complete(dead, dead.ran[0])
    begun, at = profile_in(CHECKS[dead.ran[0]]), CHECKS[dead.ran[1]]
    assert scheduling.remove_node(dead) == at
    left.shutting_down = False  # xdist puts a new worker in the place of the dead one
    scheduling.schedule()
    run_everything(scheduling, left)
    assert profiles_of(left) == {"a", "b", "c"} - {begun}


def test_a_worker_that_has_done_its_work_leaves_nothing(
    scheduling: ProfileScheduling, workers: list[Any]
) -> None:
    """Taking it away is no crash."""
    run_everything(scheduling, workers[0])
    assert scheduling.remove_node(workers[0]) is None
