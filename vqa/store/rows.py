"""From runs, samples and answers to rows of the store, and back.

Answers that are bitwise identical share one row, which their digest names.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import orjson
import psutil
import sqlalchemy as sa

from vqa.answers import Answer, Json, Sample, SampleError, answer_of, content_json
from vqa.store.tables import answers

AT_ONCE = 500
"""Contents fetched by one query."""


@dataclass(frozen=True)
class Run:
    """One stored run: what was planned, everything that fixes it, how it ended."""

    id: str
    kind: str
    """`repeat`, `diagnose`, `certify`, `horizon`, `matrix`, `compare` or `evaluate`."""
    name: str
    status: str
    """`running`, `finished`, `stopped` (by the user), `failed`, or `interrupted` (its process is gone)."""
    created_at: datetime
    finished_at: datetime | None
    header: dict[str, Json]
    plan: dict[str, Json]
    result: dict[str, Json] | None
    error: str | None
    samples: int


def content_of(answer: Answer | None) -> tuple[str | None, bytes]:
    """Returns the digest and the bytes of what an answer shares with others; no digest for no answer."""
    if answer is None:
        return None, b""
    content = content_json(answer.content)
    return hashlib.sha256(content).hexdigest(), content


def noted(contents: dict[str, bytes], answer: Answer | None) -> str | None:
    """Returns the digest of what a fresh answer shares with others, and lays that among the contents."""
    if answer is None:
        return None
    try:  # in a tenth of the time of `content_json`
        content = orjson.dumps(answer.content, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # half a character, which only Python's own writer takes
        content = b"null"
    if b"null" in content:  # orjson writes an infinity so
        content = content_json(answer.content)
    digest = hashlib.sha256(content).hexdigest()
    contents.setdefault(digest, content)
    return digest


def chunks(digests: Iterable[str]) -> Iterator[list[str]]:
    """Yields the digests in order, as many at a time as one query takes."""
    wanted = sorted(digests)
    for start in range(0, len(wanted), AT_ONCE):
        yield wanted[start : start + AT_ONCE]


def read_contents(connection: sa.Connection, digests: set[str]) -> dict[str, Answer]:
    """Returns the shared part of all samples with these contents, by digest."""
    found = {}
    for chunk in chunks(digests):
        query = sa.select(answers.c.sha256, answers.c.content).where(answers.c.sha256.in_(chunk))
        for digest, packed in connection.execute(query):
            found[digest] = answer_of(json.loads(zlib.decompress(packed)))
    return found


def sample_of(row: sa.RowMapping, content: Answer | None) -> Sample:
    """Returns the sample of a row; `content` is what its answer shares with others."""
    error = row["error"]
    return Sample(
        arm=row["arm"],
        index=row["position"],
        answer=content and replace(content, **row["measured"]),
        error=None if error is None else SampleError(**error),
        question=row["question"],
        started_at=row["started_at"],
        seed=row["seed"],
        concurrency=row["concurrency"],
        id=row["id"],
    )


FIELDS = ("id", "kind", "name", "created_at", "finished_at", "header", "plan", "result", "error")
MEASURED = (
    "prompt_token_ids_sha256",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "image_tokens",
    "model",
    "request_id",
    "system_fingerprint",
    "server",
    "retried",
    "seconds_to_first_token",
    "seconds",
)


def sample_row(run_id: str, sample: Sample, digest: str | None) -> dict[str, Json]:
    """Returns the row of a sample; `digest` names what its answer shares with others."""
    measured = sample.answer and {name: getattr(sample.answer, name) for name in MEASURED}
    return {
        "run_id": run_id,
        "arm": sample.arm,
        "position": sample.index,
        "question": sample.question,
        "started_at": sample.started_at,
        "seed": sample.seed,
        "concurrency": sample.concurrency,
        "answer": digest,
        "measured": measured,
        "error": None if sample.error is None else asdict(sample.error),
    }


def run_of(row: sa.RowMapping, count: int) -> Run:
    """Returns the run of a row, which has so many samples; one whose process is gone is interrupted."""
    status = row["status"]
    if status == "running" and not _alive(row["owner"]):
        status = "interrupted"
    return Run(status=status, samples=count, **{name: row[name] for name in FIELDS})


def this_process() -> str:
    """Returns what names this process once and for all: PID and creation time."""
    return f"{os.getpid()}:{psutil.Process().create_time():.2f}"


def _alive(owner: str) -> bool:
    pid, _, created = owner.partition(":")
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(created)) < 1.0
    except (psutil.Error, ValueError):
        return False
