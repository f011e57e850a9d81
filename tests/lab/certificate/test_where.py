"""What holds where: one row for each profile that a stored run has shown, by hardware, version and model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.lab.made import CERTIFICATES
from vqa.answers import Json
from vqa.cli import main
from vqa.lab.certificate.where import Held, what_holds
from vqa.lab.report.where import where_lines, where_table
from vqa.store import Run
from vqa.text import LANGUAGES

HERE = {"machine": {"gpus": [{"name": "H200"}], "vllm_version": "0.33.0"}, "model": "/models/probe"}


def run(kind: str, *profiles: dict[str, Json], header: Json = None, **result: Json) -> Run:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    whole = {"profiles": [{"reason": None} | profile for profile in profiles], **result}
    return Run(f"{kind}1", kind, "", "finished", now, now, HERE | (header or {}), {}, whole, None, 1)


def load(number: int, bitwise: bool | None, tokens: bool | None) -> dict[str, Json]:
    return {"load": number, "holds": {"bitwise": bitwise, "tokens": tokens}}


def test_a_certificate_tells_the_most_that_held_and_the_fewest_that_did_not() -> None:
    loads = [load(1, True, True), load(8, False, True), load(32, False, None)]
    (row,) = what_holds([run("certify", {"name": "default", "loads": loads})])
    assert row == Held("H200", "0.33.0", "probe", "default", "certify", "certify1", (1, 8), (8, None))


def test_a_horizon_tells_its_levels_and_a_matrix_whether_neighbours_changed_an_answer() -> None:
    levels = {"bitwise": {"up_to": 43, "fails_at": 44}, "tokens": {"up_to": 256, "fails_at": None}}
    columns = {"same": {"changed": [], "as_any": [], "held": 4}, "prefix_cache": {"changed": ["1x64x64"], "as_any": []}}
    split = columns | {"sizes": {"changed": ["1x64x64"], "as_any": [], "held": 3}}
    found = what_holds(
        [
            run("horizon", {"name": "default", "levels": levels}),
            run("matrix", {"name": "default", "columns": columns}, {"name": "serial", "columns": split}, concurrency=8),
        ]
    )
    assert [(each.kind, each.profile, each.bitwise, each.tokens) for each in found] == [
        ("horizon", "default", (43, 44), (256, None)),
        ("matrix", "default", (None, None), (8, None)),
        ("matrix", "serial", (None, None), (None, 8)),
    ]


def test_of_several_engines_each_has_its_own_row_and_of_several_gpus_their_number_is_told() -> None:
    two = "vllm serve probe --tensor-parallel-size 2"
    rows = [
        {
            "name": f"default ({vllm})",
            "profile": "default",
            "vllm": vllm,
            "loads": [load(1, True, True)],
            "command": two,
        }
        for vllm in ("vllm-0.32.0", "vllm-0.33.0")
    ]
    found = what_holds([run("certify", *rows)])
    assert [(each.hardware, each.profile, each.version) for each in found] == [
        ("2 × H200", "default", "0.32.0"),
        ("2 × H200", "default", "0.33.0"),
    ]


@pytest.mark.parametrize(
    "without",
    [
        {"reason": "no GPU"},
        {"changed": True},
        {"several": {"n": 2}},
        {"control": {"detects": False}},
        {"loads": [load(1, None, None)]},
    ],
)
def test_what_shows_nothing_has_no_row(without: dict[str, Json]) -> None:
    profile = {"name": "default", "loads": [load(1, True, True)]}
    assert what_holds([run("certify", profile)])
    assert what_holds([run("certify", profile | without)]) == []


def test_a_run_that_tells_no_hardware_has_no_row_and_nothing_stored_is_said() -> None:
    profile = {"name": "default", "loads": [load(1, True, True)]}
    assert what_holds([run("certify", profile, header={"machine": None}), run("repeat", profile)]) == []
    for language in LANGUAGES:
        (said,) = where_lines([], language)
        assert said in where_table([], language)


def test_the_command_tells_of_what_is_stored_and_of_the_recorded_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VQA_DATA_DIR", str(tmp_path))
    assert main(["holds"]) == 0
    assert "is stored yet" in capsys.readouterr().out
    assert main(["holds", "--recorded"]) == 0
    out = capsys.readouterr().out
    assert all(run_id in out for run_id in CERTIFICATES)
    assert "batch-invariant-triton: bit for bit up to 67 at a time" in out
    assert "2 × NVIDIA H100" in out
