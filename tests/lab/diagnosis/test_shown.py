"""The remedy follows what was measured: what certificates of this hardware have shown, best of this version."""

from __future__ import annotations

from vqa.answers import Json
from vqa.lab.diagnosis.findings import Cause, Confidence, Diagnosis, Finding, Verdict
from vqa.lab.diagnosis.shown import offered, records, shown_lines, shown_profiles
from vqa.text import LANGUAGES


def machine(gpu: str | None, version: str) -> dict[str, Json]:
    return {"machine": {"gpus": [{"name": gpu}] if gpu else [], "cpu": "some CPU", "vllm_version": version}}


def profile(name: str, *loads: tuple[int, bool | None], detects: bool = True) -> dict[str, Json]:
    rows = [{"load": load, "holds": {"tokens": holds}} for load, holds in loads]
    return {"name": name, "loads": rows, "control": {"detects": detects}}


HERE = machine("H200", "0.33.0")
FINDING = Finding(
    Cause.BATCH_COMPOSITION, Confidence.CONFIRMED, {}, ("batch-invariant", "serial", "batch-invariant-triton")
)
FOUND = Diagnosis(Verdict.DIFFERS, (FINDING,), (), {})
MADE = {
    "profiles": [
        profile("batch-invariant", (1, True), (8, False)),
        profile("batch-invariant-triton", (1, True), (8, True), (64, True)),
        profile("serial", (1, True)),
    ]
}


def test_what_was_shown_to_hold_comes_first_and_what_was_shown_not_to_is_not_offered() -> None:
    shown = shown_profiles([("c1", HERE, MADE)], HERE)
    assert offered(FOUND, shown).profiles == ("batch-invariant-triton", "serial")
    result = {"shown": records(shown, FOUND.profiles)}
    assert shown_lines(result) == [
        "batch-invariant-triton was shown to hold on this hardware, up to 64 at a time (vLLM 0.33.0, certificate c1).",
        "batch-invariant is not offered: it was shown not to hold on this hardware at 8 at a time "
        "(vLLM 0.33.0, certificate c1).",
    ]
    assert all("{" not in line for language in LANGUAGES for line in shown_lines(result, language))


def test_other_hardware_and_blind_certificates_show_nothing() -> None:
    blind = {"profiles": [profile("serial", (1, True), (8, True), detects=False)]}
    assert (
        shown_profiles([("c1", machine("H100", "0.33.0"), MADE), ("c2", HERE, blind), ("c3", HERE, None)], HERE) == ()
    )
    for open_ in ({"changed": True}, {"several": {"n": 2}}):
        told = {"profiles": [row | open_ for row in MADE["profiles"]]}
        assert shown_profiles([("c1", HERE, told)], HERE) == ()
    assert shown_profiles([("c1", machine("H100", "0.33.0"), MADE)], {}) == ()
    assert offered(FOUND, ()) == FOUND


def test_a_certificate_of_this_version_counts_before_one_of_another() -> None:
    older = {"profiles": [profile("batch-invariant", (1, True), (8, True))]}
    for order in (1, -1):
        made = [("old", machine("H200", "0.24.0"), older), ("new", HERE, MADE)][::order]
        (known,) = (each for each in shown_profiles(made, HERE) if each.profile == "batch-invariant")
        assert (known.run, known.holds) == ("new", False)
