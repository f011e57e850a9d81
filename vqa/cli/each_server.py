"""`repeat --each-server`: every server behind one address asked by itself, and their answers held side by side."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vqa.cli import cli_language
from vqa.cli.lab import followed
from vqa.cli.lab_output import STDOUT, Outputs
from vqa.client import Client, normalize_base_url
from vqa.errors import InputError
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.documents import exit_code
from vqa.lab.run.manager import RunManager
from vqa.lab.run.server import ServerView
from vqa.lab.stats.agreement import LEVELS
from vqa.lab.stats.summarize import RunSummarizer
from vqa.settings import Settings
from vqa.store import Store
from vqa.text import t


def repeat_each(settings: Settings, spec: RunSpec, base_url: str, outputs: Outputs) -> int:
    """Repeats on each server behind the address, says how far they agree, and returns the exit status for all.

    Files are written for each server, with its number in their names.

    Raises:
        InputError: the address does not tell which servers are behind it.
    """
    language = cli_language()
    addresses = asyncio.run(servers_behind(settings, base_url))
    if not addresses:
        raise InputError("workers_untold", address=base_url)
    together, runs, lone = RunSummarizer(), [], []
    for place, address in enumerate(addresses, 1):
        print(t("cli.server_of", language, place=place, n=len(addresses), address=address), flush=True)

        def start(manager: RunManager, address: str = address) -> str:
            runs.append(manager.start(spec, address))
            return runs[-1]

        lone.append(followed(settings, start, spec.require, _numbered(outputs, place)))
    with closing(Store(settings.database)) as store:
        for run in runs:
            for sample in store.samples(run):
                # By name two replicas of one model may well differ: each was asked at its own address.
                named = sample.answer and replace(sample.answer, system_fingerprint=None)
                together.add(replace(sample, answer=named))
    found = together.summary()
    held = next((level for level in LEVELS if found.holds(level)), None)
    key = "cli.servers_differ" if held is None else "cli.servers_agree"
    print(t(key, language, n=len(addresses), level=t(f"lab.level_{held}", language) if held else ""))
    return max(*lone, exit_code(found.holds(spec.require)), key=(0, 2, 1).index)


async def servers_behind(settings: Settings, base_url: str) -> tuple[str, ...]:
    """Returns the addresses of the servers behind an address, as a router lists them; empty where it lists none."""
    client = Client(normalize_base_url(base_url), settings.api_key.get_secret_value(), timeout=settings.request_timeout)
    try:
        fleet = await ServerView(client).fleet()
    finally:
        await client.close()
    return tuple(normalize_base_url(address) for address in sorted(fleet.workers))


def _numbered(outputs: Outputs, place: int) -> Outputs:
    def numbered(path: str | None) -> str | None:
        if path is None or path == STDOUT:
            return path
        name = Path(path)
        return str(name.with_stem(f"{name.stem}-{place}"))

    return Outputs(*(numbered(path) for path in (outputs.json, outputs.html, outputs.csv, outputs.junit)))
