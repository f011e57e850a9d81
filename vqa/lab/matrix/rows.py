"""What a matrix stores of each cell and prompt, and what follows from them; works on stored rows alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from vqa.answers import Json, Sample
from vqa.lab.certificate.rows import detects
from vqa.lab.diagnosis.facts import Facts
from vqa.lab.diagnosis.premises import ENOUGH_LOOKS, ENOUGH_TOGETHER, invalid_reason
from vqa.lab.matrix.asked import ALONE, BESIDE, NEIGHBOURS
from vqa.lab.run.documents import exit_code
from vqa.lab.run.public_header import public
from vqa.lab.stats.agreement import LEVELS, Level
from vqa.lab.stats.summarize import RunSummarizer, summarize_run
from vqa.lab.stats.summary import RunSummary, Summary

VERSION = 1
ENOUGH_BROKEN_OFF = 0.5
"""A neighbour must have been broken off during this share of a cell's answers."""


def cell_row(
    beside: str, arm: str, lone: Iterable[Sample], samples: Sequence[Sample], facts: Facts, concurrency: int
) -> dict[str, Json]:
    """Returns what one cell showed, its answers compared with the lone, cold ones of the same prompt.

    `arm` is the name under which the samples and their facts are stored. `together` is how many answers were under way
    at once with each that counts, in the one that met fewest; None where nothing ran beside it.
    """
    run = summarize_run(samples)
    summary = run.questions[0]
    both = RunSummarizer()
    for sample in samples if beside == ALONE else (*lone, *samples):
        both.add(sample)
    whole: Summary = both.summary().questions[0]
    cached = [count for count in summary.cached_tokens if count is not None]
    blocks = facts.of(arm)
    invalid = invalid_reason(arm, run, facts) or _reason(beside, run, facts, arm, concurrency)
    bitwise = whole.levels[Level.BITWISE]
    holds = {str(level): whole.holds(level) for level in LEVELS}
    if beside in NEIGHBOURS and any(value is False for value in holds.values()) and invalid in UNREACHED:
        invalid = None  # what already differs beside fewer is a difference all the same
    return {
        "beside": beside,
        "arm": arm,
        "n": summary.n,
        "ok": summary.ok,
        "failed": summary.failed,
        "holds": {name: None if invalid else value for name, value in holds.items()},
        "level": str(whole.level),
        "together": _together(arm, facts) if beside in NEIGHBOURS else None,
        "running": max((block.running for block in blocks if block.running is not None), default=None),
        "looks": sum(block.looks for block in blocks),
        "broken_off": sum(sum(block.broken_beside) for block in blocks),
        "image_hits": _counted(facts, arm, "mm_cache_hits"),
        "cached_tokens": [min(cached), max(cached)] if cached else None,
        "invalid": invalid,
        "distinct": summary.levels[summary.display_level].distinct,
        "answer": _digest(summary),
        "distinct_with_alone": whole.levels[whole.display_level].distinct,
        "logprob_variants": bitwise.distinct if bitwise.visible else None,
        "epsilon": whole.drift.epsilon if whole.drift else None,
        "first_divergence": min((each.index for each in whole.divergences), default=None),
        "median_seconds": summary.latency.median,
        "facts": public(facts.to_record()),
    }


def _digest(summary: Summary) -> str | None:
    """Returns a name for the most frequent answer; None where none came."""
    return None if summary.modal is None else hashlib.sha256(summary.modal.text.encode()).hexdigest()[:12]


UNREACHED = ("lab.invalid_not_together",)


def _reason(beside: str, run: RunSummary, facts: Facts, arm: str, concurrency: int) -> str | None:
    """Returns the text key of why a cell's requests did not meet what it promises; None if they did."""
    cached = [count for each in run.questions for count in each.cached_tokens if count is not None]
    hits = _counted(facts, arm, "prefix_cache_hits")
    found = max(cached) if cached else hits
    pictures = _counted(facts, arm, "mm_cache_hits")
    if not facts.capabilities.vllm:
        return _beside_reason(beside, facts, arm, concurrency)
    if beside == "prefix_cache":
        least = min(cached) if cached else hits
        return "lab.invalid_cache_unknown" if least is None else None if least else "lab.invalid_not_warm"
    if found:
        return "lab.invalid_not_cold"
    if beside == "image_cache":
        return "lab.invalid_cache_unknown" if pictures is None else None if pictures else "matrix.pictures_not_warm"
    if beside == ALONE and pictures:
        return "matrix.pictures_not_cold"
    return _beside_reason(beside, facts, arm, concurrency)


def _beside_reason(beside: str, facts: Facts, arm: str, concurrency: int) -> str | None:
    """Returns why neighbours were not those, or not as many, as a cell promises."""
    if beside not in NEIGHBOURS:
        return None
    blocks = facts.of(arm)
    if not any(block.background_answered for block in blocks):
        return "lab.invalid_no_background"
    if beside == "structured" and any(block.background_freely for block in blocks):
        return "matrix.not_structured"
    if beside == "logprobs" and "logprobs" in facts.refused:
        return "matrix.no_logprobs"
    met = _together(arm, facts)
    if met is None or met < ENOUGH_TOGETHER * concurrency:
        return "lab.invalid_not_together"
    met_one = [count > 0 for block in blocks for count in block.broken_beside]
    if beside == "aborted" and sum(met_one) < ENOUGH_BROKEN_OFF * len(met_one):
        return "matrix.none_broken_off"
    return None


def _together(arm: str, facts: Facts) -> int | None:
    """Returns how many answers were under way at once with each of an arm's, in the one that met fewest.

    A server that was looked at often and never said that it was running so many refutes that.
    """
    blocks = facts.of(arm)
    met = [count for block in blocks for count in block.met]
    looked = [block for block in blocks if block.running is not None]
    said = max((block.running or 0 for block in looked), default=None)
    if not met:
        return None
    if said is not None and sum(block.looks for block in looked) >= ENOUGH_LOOKS:
        return min(*met, said)
    return min(met)


def _counted(facts: Facts, arm: str, name: str) -> int | None:
    """Returns what the server's counter of that name rose by; None where it does not count, or others asked too."""
    blocks = facts.of(arm)
    if not blocks or any(block.counters is None or block.others for block in blocks):
        return None
    return sum(int(getattr(block.counters, name)) for block in blocks)


def unmeasured(beside: str, reason: str) -> dict[str, Json]:
    """Returns a cell that was not asked, and why: a text key, or the server's words."""
    return {"beside": beside, "reason": reason}


def judged(cell: Mapping[str, Json], require: Level) -> bool | None:
    """Returns whether a cell's answers equal the lone ones on the required level; None where that is not told.

    Answers that were asked for without logprobs show none: there, tokens are the most that can be required.
    """
    if "holds" not in cell:
        return None
    held: bool | None = cell["holds"][str(require)]
    if held is None and cell["beside"] == "own_logprobs" and require is Level.BITWISE:
        held = cell["holds"][str(Level.TOKENS)]
    return held


def alone_of(prompt: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Returns the cell of a prompt's lone answers, where they count."""
    cell = next((cell for cell in prompt["cells"] if cell["beside"] == ALONE), None)
    return None if cell is None or "holds" not in cell or cell["invalid"] else cell


def columns(row: Mapping[str, Json], require: Level) -> dict[str, dict[str, Json]]:
    """Returns for each thing that stood beside: the prompts whose answer it changed, and what else became of it.

    `changed` are names of prompts; `as_any` those where equal neighbours change it as well, so that nothing is said of
    what is special about these; `held` and `open` are counts of cells, `open` being those that are invalid.
    Prompts whose lone answers differ are in no column.
    """
    found: dict[str, dict[str, Json]] = {}
    for name in BESIDE:
        column: dict[str, Json] = {"changed": [], "as_any": [], "held": 0, "open": 0}
        asked = False
        for prompt in row["prompts"]:
            alone = alone_of(prompt)
            cells = {cell["beside"]: cell for cell in prompt["cells"]}
            cell = cells.get(name)
            if cell is None or alone is None or judged(alone, require) is False:
                continue
            asked = asked or "holds" in cell
            told = judged(cell, require)
            same = name in NEIGHBOURS and name != "same" and judged(cells.get("same", {}), require) is False
            if told is False:
                column["as_any" if same else "changed"].append(prompt["name"])
            elif told:
                column["held"] += 1
            elif "holds" in cell:
                column["open"] += 1
        if asked:
            found[name] = column
    return found


def orders(row: Mapping[str, Json]) -> dict[str, Json]:
    """Returns of how many pairs of prompts that differ in their order alone the answers are the same ones."""
    pairs: dict[tuple[int, ...], list[str | None]] = {}
    for prompt in row["prompts"]:
        if (alone := alone_of(prompt)) is not None:
            pairs.setdefault((prompt["pictures"], *prompt["size"]), []).append(alone["answer"])
    both = [answers for answers in pairs.values() if len(answers) == 2]
    return {"pairs": len(both), "same": sum(one == other for one, other in both)}


def matrix_result(rows: Sequence[Mapping[str, Json]], require: Level, asked: Mapping[str, Json]) -> dict[str, Json]:
    """Returns what is stored: every profile's prompts and cells, and whether nothing changed an answer.

    `asked` is what stands in the plan. `holds` is False where something changed an answer on the required level, or
    lone answers differ; None where a cell is invalid, a profile could not run or its control saw no difference, or
    nothing was measured. A prompt that the server refuses and a cell that does not apply leave nothing open.
    """
    made = [
        dict(row) | {"columns": columns(row, require), "orders": orders(row)} if row["prompts"] else dict(row)
        for row in rows
    ]
    told = [_holds(row, require) for row in made]
    holds = False if False in told else None if not told or None in told else True
    return {
        "version": VERSION,
        "require": str(require),
        "n": asked["n"],
        "concurrency": asked["concurrency"],
        "beside": list(asked["beside"]),
        "holds": holds,
        "exit_code": exit_code(holds),
        "profiles": made,
    }


def _holds(row: Mapping[str, Json], require: Level) -> bool | None:
    if row.get("changed") or row.get("several"):
        return None
    told: list[bool | None] = []
    for prompt in row["prompts"]:
        cells = [cell for cell in prompt["cells"] if "holds" in cell]
        told += [judged(cell, require) for cell in cells] if alone_of(prompt) else [None] if cells else []
    if False in told:
        return False
    return None if row["reason"] or not told or None in told or not detects(row) else True
