"""A run as one JSON document with a versioned schema, and back again.

The schema is `report.schema.json`, explained in `docs/report-schema.md`. Answers that are bitwise identical
are written once, as in the store, so that ten thousand equal samples stay small.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import jsonschema_rs

import vqa
from vqa.answers import Answer, Json, Sample, SampleError, answer_of, content_json
from vqa.errors import InputError
from vqa.garbage import not_searched
from vqa.lab.run.public_header import public
from vqa.media.images import ImagePayload
from vqa.store import MEASURED, Run
from vqa.store.version1 import renamed_arm, renamed_plan, renamed_result

SCHEMA = "vqa-lab/run"
VERSION = 2
GZIP = b"\x1f\x8b"
MAX_BYTES = 1 << 30
"""Of a report's JSON, unpacked."""
LONGEST = 20
"""Digits of a whole number, with its sign."""


@dataclass(frozen=True)
class Report:
    """A run with all that belongs to it: what an export is made of."""

    run: Run
    samples: tuple[Sample, ...]
    images: tuple[ImagePayload, ...] = ()
    app_version: str = vqa.__version__


def document(report: Report) -> dict[str, Json]:
    """Returns the report as the JSON value that `docs/report-schema.md` describes; no secret and no path in it."""
    answers: dict[str, Json] = {}
    rows = [_sample_row(sample, answers) for sample in report.samples]
    run = asdict(report.run) | {
        "header": public(report.run.header),
        "plan": _public_plan(report.run.plan),
        "result": _public_result(report.run.result),
        "created_at": report.run.created_at.isoformat(),
        "finished_at": report.run.finished_at and report.run.finished_at.isoformat(),
    }
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "app_version": report.app_version,
        "run": run,
        "images": [_image_row(image) for image in report.images],
        "answers": answers,
        "samples": rows,
    }


def _public_plan(plan: dict[str, Json]) -> dict[str, Json]:
    """Returns the plan without the folder of the model that a horizon or a matrix started."""
    return plan | {name: public(plan[name]) for name in ("horizon", "matrix") if name in plan}


def _public_result(result: Json) -> Json:
    """Returns a result without the folder of the model, which the server named before and after the run."""
    if not isinstance(result, dict):
        return result
    known = dict(result)
    if known.get("facts"):
        known["facts"] = known["facts"] | {side: public(known["facts"].get(side)) for side in ("before", "after")}
    if (known.get("before") or {}).get("result"):
        known["before"] = known["before"] | {"result": _public_result(known["before"]["result"])}
    return known


def dump(report: Report) -> str:
    """Returns the JSON text of a report."""
    return json.dumps(document(report), ensure_ascii=False, separators=(",", ":")) + "\n"


def load_report(source: Path | str | bytes) -> Report:
    """Returns the report in a file (or in the bytes of one) written by `dump`, as it is or packed by gzip.

    Raises:
        InputError: it cannot be read, is not such a document, or is of a later version.
    """
    name = "JSON" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as problem:
        raise InputError("report_unreadable", path=name, reason=problem.strerror) from problem
    with not_searched():
        return _read(data, name)


def _read(data: bytes, name: str) -> Report:
    try:
        value = json.loads(_unpacked(data), parse_int=_whole, parse_float=_number)
    except (ValueError, OSError, EOFError, RecursionError, zlib.error) as problem:
        raise InputError("report_invalid", path=name, reason=str(problem)) from problem
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise InputError("report_invalid", path=name, reason=f"schema is not {SCHEMA}")
    if not isinstance(value.get("version"), int) or value["version"] > VERSION:
        raise InputError("report_too_new", path=name, version=value.get("version"), known=VERSION)
    try:
        value = value if value["version"] > 1 else _with_todays_words(value)
        if fault := next(_validator().iter_errors(value), None):
            place = "/".join(str(part) for part in fault.instance_path)
            raise InputError("report_invalid", path=name, reason=f"{place}: {fault.message[:200]}")
        return _report(value)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as problem:
        raise InputError("report_invalid", path=name, reason=f"{type(problem).__name__}: {problem}") from problem


def false_answers(source: Path | str) -> list[str]:
    """Returns the digests in a report's file that do not name the answer beside them; none where it is no file."""
    path = Path(source)
    if not path.is_file():
        return []
    answers = json.loads(_unpacked(path.read_bytes()))["answers"]
    return [
        digest for digest, content in answers.items() if hashlib.sha256(content_json(content)).hexdigest() != digest
    ]


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    schema = (files("vqa.lab.run") / "report.schema.json").read_text(encoding="utf-8")
    return jsonschema_rs.Draft202012Validator(json.loads(schema), validate_formats=False)


def _whole(digits: str) -> int:
    if len(digits) > LONGEST:
        raise ValueError(f"{digits[:LONGEST]}… is no number of a run")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if abs(value) >= 10**LONGEST:
        raise ValueError(f"{digits[:LONGEST]} is no number of a run")
    return value


def _unpacked(data: bytes) -> bytes:
    """Returns what a gzip file holds; other bytes as they are. One that grows past any report is refused."""
    if not data.startswith(GZIP):
        return data
    with gzip.open(io.BytesIO(data)) as packed:
        content = packed.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"over {MAX_BYTES} bytes")
    return content


def _with_todays_words(value: Mapping[str, Json]) -> dict[str, Json]:
    """Returns a document of version 1 as one of version 2."""
    run = value["run"]
    run = run | {"plan": renamed_plan(run["plan"]), "result": renamed_result(run["result"])}
    samples = [row | {"arm": renamed_arm(row["arm"])} for row in value["samples"]]
    return {**value, "run": run, "samples": samples}


def _report(value: Mapping[str, Json]) -> Report:
    row = value["run"]
    run = Run(
        **row
        | {
            "created_at": datetime.fromisoformat(row["created_at"]),
            "finished_at": None if row["finished_at"] is None else datetime.fromisoformat(row["finished_at"]),
        }
    )
    answers = {digest: answer_of(content) for digest, content in value["answers"].items()}
    samples = tuple(_sample(place, row, answers) for place, row in enumerate(value["samples"], 1))
    return Report(run, samples, tuple(_image(row) for row in value["images"]), value["app_version"])


def _sample_row(sample: Sample, answers: dict[str, Json]) -> dict[str, Json]:
    row: dict[str, Json] = {
        "arm": sample.arm,
        "question": sample.question,
        "index": sample.index,
        "started_at": round(sample.started_at, 6),
        "seed": sample.seed,
        "concurrency": sample.concurrency,
        "answer": None,
        "error": sample.error and asdict(sample.error),
    }
    if sample.answer is not None:
        content = sample.answer.content
        digest = hashlib.sha256(content_json(content)).hexdigest()
        answers.setdefault(digest, content)
        row["answer"] = digest
        row |= {name: getattr(sample.answer, name) for name in MEASURED}
    return row


def _sample(place: int, row: Mapping[str, Json], answers: Mapping[str, Answer]) -> Sample:
    answer = None
    if row["answer"] is not None:
        answer = replace(answers[row["answer"]], **{name: row[name] for name in MEASURED if name in row})
    return Sample(
        arm=row["arm"],
        index=row["index"],
        answer=answer,
        error=row["error"] and SampleError(**row["error"]),
        question=row["question"],
        started_at=row["started_at"],
        seed=row["seed"],
        concurrency=row["concurrency"],
        id=place,
    )


def _image_row(image: ImagePayload) -> dict[str, Json]:
    kept = {name: value for name, value in asdict(image).items() if name != "data"}
    return {"sha256": image.sha256, **kept, "notes": list(image.notes), "data": base64.b64encode(image.data).decode()}


def _image(row: Mapping[str, Json]) -> ImagePayload:
    values = {name: value for name, value in row.items() if name != "sha256"}
    data = base64.b64decode(values["data"], validate=True)
    image = ImagePayload(**{**values, "data": data, "notes": tuple(values["notes"])})
    if image.sha256 != row["sha256"]:
        raise ValueError("an image does not match its sha256")
    return image
