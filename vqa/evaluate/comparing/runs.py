"""Two runs over the same rows, paired: what changed, how sure that is, and how much is the servers' own noise. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import median

from vqa.answers import Json
from vqa.evaluate.comparing.noise import Noise, noise_of
from vqa.evaluate.comparing.paired import difference_interval, mcnemar
from vqa.evaluate.comparing.rows import RIGHT, Side
from vqa.store import Run

SHOWN = 200
EXIT_SAME, EXIT_CHANGED, EXIT_CANNOT_TELL = 0, 1, 2
Pair = tuple[str, Side, Side]


def compare(a: Mapping[str, Side], b: Mapping[str, Side]) -> dict[str, Json]:
    """Returns the comparison of two runs as plain values; only rows that both have are compared.

    `verdict` is `same` (no answer differs), `noise` (no more than the servers differ from themselves), `changed`, or
    `unknown` (answers differ, and without repeats on both sides nobody can tell why); `exit_code` says the same.
    """
    pairs = [(name, side, b[name]) for name, side in a.items() if name in b]
    noise = noise_of([(one.answers, other.answers) for _, one, other in pairs])
    changed = [pair for pair in pairs if set(pair[1].answers) != set(pair[2].answers)]
    texts = sum(set(one.texts) != set(other.texts) for _, one, other in pairs)
    verdict = _verdict(noise, texts, pairs)
    codes = {"same": EXIT_SAME, "noise": EXIT_SAME, "changed": EXIT_CHANGED}
    return {
        "version": 1,
        "rows": len(pairs),
        "only_a": _only(a, b),
        "only_b": _only(b, a),
        "verdict": verdict,
        "exit_code": codes.get(verdict, EXIT_CANNOT_TELL),
        "changed_texts": texts,
        "changed_answers": len(changed),
        **_right_and_wrong(pairs),
        "noise": noise and {**asdict(noise), "changed": noise.changed},
        "a": _figures([one for _, one, _ in pairs]),
        "b": _figures([other for _, _, other in pairs]),
        "by_kind": _by_kind(pairs),
        "changes": [_change(pair) for pair in sorted(changed, key=_most_first)[:SHOWN]],
    }


def _verdict(noise: Noise | None, texts: int, pairs: list[Pair]) -> str:
    if not pairs:
        return "unknown"
    if noise is not None and noise.rows == len(pairs):
        return "changed" if noise.changed else "same" if not texts else "noise"
    return "same" if not texts else "unknown"


def _only(one: Mapping[str, Side], other: Mapping[str, Side]) -> dict[str, Json]:
    names = [name for name in one if name not in other]
    return {"count": len(names), "rows": names[:SHOWN]}


def _right_and_wrong(pairs: list[Pair]) -> dict[str, Json]:
    scored = [(one, other) for _, one, other in pairs if one.scores and other.scores]
    lost = sum(one.right and not other.right for one, other in scored)
    won = sum(other.right and not one.right for one, other in scored)
    stable = [(one, other) for one, other in scored if one.stable and other.stable]
    stable_lost = sum(one.right and not other.right for one, other in stable)
    stable_won = sum(other.right and not one.right for one, other in stable)
    differences = [(other.score or 0.0) - (one.score or 0.0) for one, other in scored]
    return {
        "scored": len(scored),
        "difference": sum(differences) / len(differences) if differences else None,
        "interval": difference_interval(differences),
        "right_to_wrong": lost,
        "wrong_to_right": won,
        "p": mcnemar(lost, won) if scored else None,
        "stable": {
            "rows": len(stable),
            "right_to_wrong": stable_lost,
            "wrong_to_right": stable_won,
            "p": mcnemar(stable_lost, stable_won) if stable else None,
        },
    }


def _figures(rows: list[Side]) -> dict[str, Json]:
    scores = [row.score for row in rows if row.score is not None]
    repeated = [row for row in rows if len(row.texts) > 1]
    return {
        "accuracy": sum(scores) / len(scores) if scores else None,
        "repeats": max((len(row.texts) for row in rows), default=0),
        "tar_raw": sum(len(set(row.texts)) == 1 for row in repeated) / len(repeated) if repeated else None,
        "tar_answer": sum(len(set(row.answers)) == 1 for row in repeated) / len(repeated) if repeated else None,
        "median_seconds": median([row.seconds for row in rows]) if rows else None,
        "tokens": sum(row.tokens for row in rows),
    }


def _by_kind(pairs: list[Pair]) -> dict[str, Json]:
    kinds: dict[str, list[tuple[Side, Side]]] = {}
    for _, one, other in pairs:
        if one.kind and one.scores and other.scores:
            kinds.setdefault(one.kind, []).append((one, other))
    found = {}
    for kind, rows in sorted(kinds.items()):
        differences = [(other.score or 0.0) - (one.score or 0.0) for one, other in rows]
        lost = sum(one.right and not other.right for one, other in rows)
        won = sum(other.right and not one.right for one, other in rows)
        found[kind] = {
            "rows": len(rows),
            "a": sum(one.score or 0.0 for one, _ in rows) / len(rows),
            "b": sum(other.score or 0.0 for _, other in rows) / len(rows),
            "difference": sum(differences) / len(rows),
            "interval": difference_interval(differences),
            "right_to_wrong": lost,
            "wrong_to_right": won,
            "p": mcnemar(lost, won),
        }
    return found


def _most_first(pair: Pair) -> tuple[float, int]:
    _, one, other = pair
    return -abs((other.score or 0.0) - (one.score or 0.0)), one.place


def _change(pair: Pair) -> dict[str, Json]:
    name, one, other = pair
    return {
        "row": name,
        "place": one.place,
        "question": one.question,
        "wanted": list(dict.fromkeys(one.wanted)),
        "a": sorted(set(one.texts))[:5],
        "b": sorted(set(other.texts))[:5],
        "score_a": one.score,
        "score_b": other.score,
    }


def discordance(one: Mapping[str, Side], other: Mapping[str, Side] | None) -> tuple[float, str]:
    """Returns the share of rows on which two runs are not both right or both wrong, and where it was seen.

    `seen`: between two runs; `noise`: between the repeats of one; `bound`: nowhere, and errors independent of each
    other are assumed, 2 p (1 - p), which is more than two runs of one kind will show.
    """
    if other is not None:
        pairs = [(row, other[name]) for name, row in one.items() if name in other]
        if pairs:
            return sum(a.right != b.right for a, b in pairs) / len(pairs), "seen"
    repeated = [row for row in one.values() if len(row.scores) > 1]
    if repeated:
        return sum((row.scores[0] >= RIGHT) != (row.scores[1] >= RIGHT) for row in repeated) / len(repeated), "noise"
    share = sum(row.right for row in one.values()) / max(len(one), 1)
    return 2 * share * (1 - share), "bound"


def differences(one: Run, other: Run) -> dict[str, tuple[Json, Json]]:
    """Returns what was set otherwise in two runs: model, engine profile, prompt, sampling, load."""

    def told(run: Run) -> dict[str, Json]:
        engine = run.header.get("engine") or {}
        asking = run.plan["asking"]
        return {
            "model": run.header.get("model"),
            "vllm": (run.header.get("server") or {}).get("vllm_version"),
            "profile": engine.get("profile"),
            "prompt": run.plan["dataset"]["prompt"],
            "system": run.plan["dataset"]["system"],
            "concurrency": asking["concurrency"],
            "repeats": asking["repeats"],
            **asking["sampling"],
        }

    first, second = told(one), told(other)
    return {name: (first[name], second[name]) for name in first if first[name] != second[name]}
