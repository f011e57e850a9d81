"""Whether the recorded runs show what the pages say in words; a claim that they do not bear out raises."""

from __future__ import annotations

from scripts.determinism.runs import (
    CPU,
    CURE,
    DEFAULT,
    GPU,
    GPU_PROFILES,
    HISTORY,
    HISTORY_ARMS,
    LOAD_ARMS,
    MATRICES,
    MEASURED,
    ONE,
    REPEAT,
    TRITON,
    TWO,
    arms,
    horizon_rows,
    length_rows,
    matrix,
    report,
    verdict,
)
from vqa.lab.stats.agreement import Level

NEIGHBOURS = ("same", "sizes", "structured", "logprobs", "aborted")


def bear_out(claim: bool, words: str) -> None:
    """Raises ValueError when the recorded runs do not show what the page says."""
    if not claim:
        raise ValueError(f"the recorded runs do not show that {words}")


def check() -> None:
    """Checks every sentence of the pages that is no number."""
    first, under, cured = arms(REPEAT)["repeat"].summary, arms(DEFAULT), arms(TRITON)
    bear_out(first.first_differs, "the first answer alone differs")
    repeat = under["repeat"]
    head = {tuple(repeat.samples[0].answer.token_ids or ())} if repeat.samples[0].answer else set()
    bear_out(under["cold"].answers() == under["fully_cold"].answers() == head, "cold answers equal the first")
    bear_out(under["warm"].answers(found=True) == repeat.answers() - head, "answers from the cache equal the rest")
    bear_out(all(under[name].distinct > 1 for name in LOAD_ARMS[1:]), "answers split under load by default")
    bear_out(under["concurrent_2"].distinct == 1, "two at a time agreed")
    counted = [arm for name, arm in cured.items() if name != "positive_control"]
    bear_out(all(arm.summary.level is Level.BITWISE for arm in counted), "every arm is bitwise identical under triton")
    bear_out(len(set.union(*(arm.answers() for arm in counted))) == 1, "all arms agree with one another under triton")
    bear_out(cured["positive_control"].distinct > 1, "the control can see differences")
    causes = [(each["cause"], each["confidence"]) for each in verdict(DEFAULT)["findings"]]
    bear_out(("prefix_cache_history", "confirmed") in causes, "the lab confirmed the history of the cache")
    cold, warm = under["cold"].answers(), repeat.answers() - head
    for name in ("after_shorter", "after_longer", "as_asked"):
        bear_out(not under[name].answers() & (cold | warm), f"{name} makes answers of its own")
    bear_out(under["after_unrelated"].answers() == cold, "on the GPU an unrelated chat changed nothing")
    bear_out(("batch_composition", "confirmed") in causes, "the lab confirmed the batch composition")
    _check_history()
    _check_horizon()
    _check_lengths()
    _check_matrix()
    _check_gpu_certificate()
    _check_two_gpus()
    cpu = {name: arm.summary for name, arm in arms(CPU).items()}
    bear_out(cpu["default/concurrent_8"].level is Level.NONE, "bfloat16 splits on a CPU")
    bear_out(cpu["float32/concurrent_8"].level is Level.TOKENS, "float32 holds its tokens on a CPU")
    bear_out(cpu["serial/concurrent_8"].level is Level.BITWISE, "serial is identical on a CPU")


def _check_history() -> None:
    causes = [(each["cause"], each["confidence"]) for each in verdict(HISTORY)["findings"]]
    bear_out(("prefix_cache_history", "confirmed") in causes, "the lab confirmed the history of the cache")
    found = arms(HISTORY)
    for name in HISTORY_ARMS[:5]:
        bear_out(found[name].distinct == 1, f"{name} repeats exactly")
    itself = found["cold"].answers() | found["warm"].answers()
    bear_out(not found["after_unrelated"].answers() & itself, "an unrelated chat before makes another answer")
    bear_out(not found["as_asked"].answers() & itself, "as it was asked it met a history")
    bear_out(found["salt_per_request"].summary.level is Level.BITWISE, "a salt for each request is bitwise identical")


def _check_horizon() -> None:
    held = {each["name"]: each for each in horizon_rows()}
    bear_out(held["default"]["tokens"] == held["batch-invariant"]["tokens"] == 1, "both split at two at a time")
    bear_out(held[CURE]["bitwise"] == held[CURE]["reached"] > 2, "the cure holds as far as requests met")


def _check_lengths() -> None:
    rows = length_rows()
    held = {(row["name"], row["parts"] > 1): {level for _, level in row["levels"]} for row in rows}
    bear_out({row["parts"] for row in rows} == {1, 2}, "one prompt was computed in two parts, the others in one")
    bear_out(held[CURE, False] == held[CURE, True] == {"bitwise"}, "triton is bitwise at every length and load")
    lone = {(row["name"], row["tokens"]): row["levels"][0][1] for row in rows}
    short = [level for (name, tokens), level in lone.items() if name == "batch-invariant" and tokens < 2000]
    long = [level for (name, tokens), level in lone.items() if name == "batch-invariant" and tokens > 2000]
    bear_out(set(short) == {"bitwise"} and set(long) == {"none"}, "batch-invariant's lone answers split by length only")


def _check_matrix() -> None:
    found = matrix(MATRICES[0])
    told = {name: dict(zip(found["profiles"], cells, strict=True)) for name, cells in found["rows"]}
    bear_out(
        all(told["image_cache"][name][0] == 0 for name in ("default", CURE)), "a warm picture cache changes nothing"
    )
    bear_out(
        told["prefix_cache"]["default"][0] == told["prefix_cache"]["default"][1], "a warm prefix changes every one"
    )
    bear_out(told["prefix_cache"][CURE][0] == 0, "a warm prefix changes nothing under triton")
    row = next(each for each in (report(MATRICES[0]).run.result or {})["profiles"] if each["name"] == CURE)
    names = {name for key in NEIGHBOURS for name in (*row["columns"][key]["changed"], *row["columns"][key]["as_any"])}
    bear_out(
        bool(names) and all(name.startswith(("1x64x64", "1x448x448")) for name in names),
        "under triton only prompts of one small picture changed beside neighbours",
    )


def _check_gpu_certificate() -> None:
    gpu = {name: arm.summary for name, arm in arms(GPU).items()}
    bear_out(all(gpu[f"{name}/repeat"].first_differs for name in ("default", "serial")), "both keep the first answer")
    for name in ("no-prefix-cache", "batch-invariant"):
        bear_out(gpu[f"{name}/repeat"].level is Level.BITWISE, f"{name} is identical in a row")
        bear_out(gpu[f"{name}/concurrent_8"].level is Level.NONE, f"{name} splits under load")
    bear_out(all(gpu[f"{CURE}/{arm}"].level is Level.BITWISE for arm in MEASURED), "the cure holds under every load")
    bear_out(all(gpu[f"float32/{arm}"].level is Level.TOKENS for arm in MEASURED), "float32 holds its tokens")
    controls = [gpu[f"{name}/positive_control"] for name in GPU_PROFILES]
    bear_out(all(len(each.groups) == each.ok > 1 for each in controls), "every profile's control sees differences")
    serial = [len(arms(GPU)[f"serial/{arm}"].answers()) for arm in MEASURED]
    bear_out(serial == [2, 2, 2], "serial has the first answer and the usual one, and no other")


def _check_two_gpus() -> None:
    one, two, six = arms(ONE), arms(TWO), arms(GPU)
    bear_out(two["default/repeat"].summary.level is Level.BITWISE, "two GPUs give the first answer like the others")
    bear_out(two["default/concurrent_8"].summary.level is Level.NONE, "two GPUs split under load by default")
    for found in (one, two):
        bear_out(
            all(found[f"{CURE}/{arm}"].summary.level is Level.BITWISE for arm in MEASURED), "the cure holds on both"
        )
    answers = [found[f"{CURE}/repeat"].answers() for found in (six, one, two)]
    bear_out(answers[0] == answers[1] != answers[2], "another machine answers the same, another number of GPUs not")
