"""`repeat --each-server`: every server behind one address asked by itself, and their answers held side by side."""

from __future__ import annotations

import asyncio

from vqa.cli import cli_language
from vqa.cli.lab import followed
from vqa.cli.lab_output import Outputs
from vqa.errors import InputError
from vqa.lab.plan.arms import RunSpec
from vqa.lab.run.each_server import each_work, servers_behind
from vqa.lab.run.manager import RunManager
from vqa.settings import Settings


def repeat_each(settings: Settings, spec: RunSpec, base_url: str, outputs: Outputs) -> int:
    """Repeats on each server behind the address, says how far they agree, and returns the exit status for all.

    Raises:
        InputError: the address does not tell which servers are behind it.
    """
    outputs.check(cli_language())
    addresses = asyncio.run(servers_behind(settings, base_url))
    if not addresses:
        raise InputError("workers_untold", address=base_url)

    def start(manager: RunManager) -> str:
        return manager.start_work(each_work(spec, addresses), spec, base_url, kind="diagnose")

    return followed(settings, start, spec.require, outputs)
