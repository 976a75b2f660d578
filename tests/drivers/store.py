"""Drives the token store hard, against the lab's identity provider over TLS.

``store.py races --number 200``: so many times two processes redeem the same login at the same moment, while
the identity provider takes each refresh token once and revokes the whole sign-in when one comes again.
``store.py kills --number 200``: so many times a process that does nothing but redeem is killed (SIGKILL) at a
random moment; after each, the next redemption has to work. The identity provider forgives a lost answer, as
nobody could keep a token that never came, and nothing else: an older token revokes the whole sign-in.

Ends with status 0 and one line of JSON, or with status 1 and what went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smtp_preflight.lab import Lab
from smtp_preflight.lab.conditions import Conditions, IdentityConditions, Reuse
from smtp_preflight.model import Grant, GrantType, Limits, OAuth, Profile, Provider, SecretRef, Smtp
from smtp_preflight.oauth.store import opened
from smtp_preflight.probes.token import probe_grant
from smtp_preflight.secrets import Secret, Wallet

SCOPE = ("https://outlook.office.com/SMTP.Send", "offline_access")
LIMITS = Limits(http_s=60)  # a busy machine is no finding here
LONGEST_LIFE_S = 0.4  # of a process that is killed; a redemption takes a tenth of it

Setup = dict[str, str]


class Wrong(Exception):
    """Something was lost."""


# --- one login, as every process sees it -------------------------------------------------------------------


def profile_of(setup: Setup) -> Profile:
    """The profile of the one login; its token comes from the store, or is the seed."""
    oauth = OAuth(
        grant=GrantType.REFRESH_TOKEN,
        tenant="contoso.example",
        client_id="6731de76-14a6-49ae-97bc-6eba6914391e",
        scope=SCOPE,
        token_endpoint=setup.get("token_endpoint", ""),
        store=setup.get("store", ""),
        client_secret=SecretRef("lab", ("client_secret",)),
        refresh_token=SecretRef("lab", ("refresh_token",)),
    )
    return Profile(
        name="driven",
        provider=Provider(name="microsoft365", title="Microsoft 365", renews_refresh_tokens=True),
        mailbox="alerts@contoso.example",
        smtp=Smtp("smtp.office365.com"),
        oauth=oauth,
        ca_file=setup.get("ca_file", ""),
        limits=LIMITS,
    )


async def redeem(setup: Setup) -> Grant:
    """One redemption, as a run does it."""
    wallet = Wallet()
    for key in ("client_secret", "refresh_token"):
        wallet.put(key, Secret(setup[key], f"driver:{key}"))
    return await probe_grant(profile_of(setup), wallet, resolve=_loopback)


async def _loopback(_host: str) -> tuple[str, ...]:
    return ("127.0.0.1",)


def must_be_granted(grant: Grant, when: str) -> None:
    """Raise Wrong unless a token was granted and its successor kept."""
    if not grant.granted or not grant.refresh_token_kept:
        told = grant.problem or (grant.error.description if grant.error else grant.http)
        raise Wrong(f"{when}: {told} {grant.keep_problem}")


@contextlib.contextmanager
def login(reuse: Reuse) -> Iterator[Setup]:
    """A lab, and all that a process needs to redeem at it."""
    conditions = Conditions(identity=IdentityConditions(reuse=reuse))
    with Lab.start(under=conditions) as lab:
        profile = lab.overlay(profile_of({}))
        yield {
            "token_endpoint": profile.oauth.token_endpoint,
            "store": profile.oauth.store,
            "ca_file": profile.ca_file,
            **{key: secret.reveal() for key, secret in lab.secrets().items()},
        }


async def kept(setup: Setup) -> str:
    """The token in the store."""
    async with opened(profile_of(setup), setup["token_endpoint"], limit_s=60) as store:
        found = await store.read()
        if found is None or found.token is None:
            raise Wrong("the store is empty")
        return found.token.reveal()


# --- races -------------------------------------------------------------------------------------------------


def races(number: int) -> dict[str, Any]:
    """Two processes redeem at the same moment, again and again."""
    with login(Reuse.REVOKES) as setup, _racer(setup) as one, _racer(setup) as other:
        tokens = set()
        for race in range(number):
            for process in (one, other):
                _write(process, "go")
            told = [_read(process) for process in (one, other)]
            if told != ["granted", "granted"]:
                raise Wrong(f"race {race}: {told}")
            tokens.add(asyncio.run(kept(setup)))
        must_be_granted(asyncio.run(redeem(setup)), "after all races")
    if len(tokens) != number:
        raise Wrong(f"{number} races left {len(tokens)} different tokens in the store")
    return {"races": number, "redemptions": 2 * number + 1}


@contextlib.contextmanager
def _racer(setup: Setup) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, __file__, "racer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        _write(process, json.dumps(setup))
        yield process
    finally:
        process.kill()
        process.wait()


def racer() -> None:
    """Redeem at each word."""
    setup = json.loads(sys.stdin.readline())
    for _ in sys.stdin:
        grant = asyncio.run(redeem(setup))
        told = grant.error.description if grant.error else grant.problem or str(grant.http)
        print("granted" if grant.granted and grant.refresh_token_kept else told, flush=True)  # noqa: T201


def _write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- kills -------------------------------------------------------------------------------------------------


def kills(number: int, seed: int) -> dict[str, Any]:
    """A process of its own does the killing: it has no threads, so that it can fork."""
    with login(Reuse.UNTIL_SUCCESSOR_USED) as setup:
        done = subprocess.run(
            [sys.executable, __file__, "killer", "--number", str(number), "--seed", str(seed)],
            input=json.dumps(setup),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Wrong(done.stdout.strip())
        told: dict[str, Any] = json.loads(done.stdout)
        return told


def killer(number: int, seed: int) -> dict[str, Any]:
    """Kill a process that redeems, look whether the next redemption works, and begin again."""
    setup = json.loads(sys.stdin.readline())
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    must_be_granted(asyncio.run(redeem(setup)), "before all kills")
    between = 0
    for kill in range(number):
        before = asyncio.run(kept(setup))
        _killed_after(chance.uniform(0, LONGEST_LIFE_S), setup)
        between += asyncio.run(kept(setup)) != before
        must_be_granted(asyncio.run(redeem(setup)), f"after kill {kill} with seed {seed}")
        _must_be_private(Path(setup["store"]))
    return {"kills": number, "seed": seed, "with_a_token_stored_before": between}


def _killed_after(life_s: float, setup: Setup) -> None:
    child = os.fork()
    if child == 0:
        try:
            while True:
                asyncio.run(redeem(setup))
        finally:
            os._exit(1)
    time.sleep(life_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise Wrong("the process ended before it was killed")


def _must_be_private(folder: Path) -> None:
    for file in folder.iterdir():
        if file.stat().st_mode & 0o077:
            raise Wrong(f"{file.name} can be opened by others")


def main() -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("races", "kills", "racer", "killer"))
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    args = parser.parse_args()
    begun_s = time.monotonic()
    try:
        match args.what:
            case "races":
                told = races(args.number)
            case "kills":
                told = kills(args.number, args.seed)
            case "killer":
                told = killer(args.number, args.seed)
            case _:
                racer()
                return 0
    except Wrong as problem:
        print(problem)  # noqa: T201
        return 1
    print(json.dumps({**told, "took_s": round(time.monotonic() - begun_s, 1)}))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
