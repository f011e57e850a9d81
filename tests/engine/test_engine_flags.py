"""What vLLM's own parser is known to take is accepted in every spelling of it, and what it would refuse is not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vqa.engine.parser_facts import FlagFacts, ParserFacts, check_flags
from vqa.engine.profiles import TRIALS
from vqa.engine.spec import PROFILES, EngineSpec, check
from vqa.engine.vllm_args import check_with_vllm, known_facts, must_ask
from vqa.errors import InputError
from vqa.json_file import write_json
from vqa.settings import Settings

WHOLE = ("integer",)
HUMAN = ("integer", "suffix")
ANY = ("integer", "decimal", "suffix", "binary", "auto", "none", "json", "word")
BASE = {
    "--host": FlagFacts(takes=ANY),
    "--port": FlagFacts(takes=WHOLE),
    "--enable-prompt-tokens-details": FlagFacts("0"),
}
FACTS = ParserFacts(
    {
        **BASE,
        "--dtype": FlagFacts(choices=("auto", "float32"), takes=ANY),
        "--kv-cache-dtype": FlagFacts(choices=("auto", "fp8"), takes=ANY),
        "--kv-cache-dtype-skip-layers": FlagFacts("+", takes=ANY),
        "--max-num-seqs": FlagFacts(takes=WHOLE),
        "--max-logprobs": FlagFacts(takes=WHOLE),
        "--max-num-batched-tokens": FlagFacts(takes=HUMAN),
        "--gpu-memory-utilization": FlagFacts(takes=("integer", "decimal")),
        "--kv-cache-memory-bytes": FlagFacts(takes=(*HUMAN, "none")),
        "--limit-mm-per-prompt": FlagFacts(takes=("integer", "decimal", "json")),
        "--enable-prefix-caching": FlagFacts("0"),
        "--no-enable-prefix-caching": FlagFacts("0"),
        "-tp": FlagFacts(takes=WHOLE),
        "--hf-token": FlagFacts("?", takes=ANY),
    }
)
TAKEN = [
    "--kv-cache-dtype fp8",
    "--kv-cache-dtype=fp8",
    "--kv_cache_dtype=fp8",
    "--kv_cache_dtype fp8 --max_num_seqs 4",
    "--kv-cache-dtype-skip-layers 1 2 3 --dtype auto",
    "--max-logprobs -1",
    "--max-num-batched-tokens 8k",
    "--gpu-memory-utilization .5",
    "--kv-cache-memory-bytes None",
    "--limit-mm-per-prompt.image 4",
    '--limit_mm_per_prompt {"image":4}',
    "--enable_prefix_caching",
    "--gpu-mem 0.5",
    "-tp 2",
    "-O3",
    "--hf-token --dtype auto",
]
REFUSED = [
    ("--kv-cache-dtype fp9", "flag_choice"),
    ("--kv_cache_dtype=fp9", "flag_choice"),
    ("--kv-cache-dtype", "flag_without_value"),
    ("--kv-cache-dtype --dtype auto", "flag_without_value"),
    ("--kv-cache-d fp8", "vllm_parser"),
    ("--no-such=1", "vllm_parser"),
    ("--no_such 1", "vllm_parser"),
    ("--max-num-seqs x", "flag_not_integer"),
    ("--max_num_seqs=4.5", "flag_not_integer"),
    ("--max-num-seqs 4k", "flag_not_integer"),
    ("--max-num-batched-tokens 1.5K", "flag_not_integer"),
    ("--gpu-memory-utilization=high", "flag_not_number"),
    ("--enable-prefix-caching=true", "vllm_parser"),
    ("-tp two", "flag_not_integer"),
]
EVERY_FIELD = EngineSpec(
    "/m", "name", "127.0.0.1", 8000, 2, 2, 2, "mp", -1, 2048, 8, 0.9, 2**30, "half", 1, True, True, '{"image": 4}',
    "vllm", "awq", "template.jinja",
)  # fmt: skip


@pytest.mark.parametrize("text", TAKEN)
def test_every_spelling_that_vllm_accepts_is_accepted(text: str) -> None:
    assert check_flags(EngineSpec("/m", extra_args=tuple(text.split())), FACTS) == []


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_what_vllm_would_refuse_is_refused_before_anything_starts(text: str, code: str) -> None:
    (found,) = check_flags(EngineSpec("/m", extra_args=tuple(text.split())), FACTS)
    assert found.code == code
    assert found.message("en") != found.message("zh")


def test_a_field_of_the_form_is_checked_like_a_flag() -> None:
    assert check_flags(EngineSpec("/m", dtype="float32"), FACTS) == []
    assert [each.code for each in check_flags(EngineSpec("/m", dtype="half"), FACTS)] == ["flag_choice"]


def test_before_the_parser_was_asked_and_with_notes_of_another_form_nothing_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, vllm_python=Path("/bin/false"))
    odd = EngineSpec("/m", extra_args=("--nope=1",))
    assert check_flags(odd, known_facts(settings)) == []
    write_json(tmp_path / "engine" / "parser-None-None.json", {"flags": {"--dtype": ["auto"]}, "checked": {}})
    assert known_facts(settings) == ParserFacts()
    assert must_ask(odd, EngineSpec("/m"), settings)


@pytest.mark.slow
def test_the_installed_parser_agrees(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    words = ("--kv-cache-dtype", "fp8", "--max_num_seqs=4", "--max-num-batched-tokens", "8k", "-tp", "1")
    fine = EngineSpec("/m", extra_args=words)
    assert check_with_vllm(fine, settings) is None
    facts = known_facts(settings)
    assert len(facts.flags) > 100
    assert check_flags(fine, facts) == []
    for name in (*PROFILES, *TRIALS):
        assert check_flags(EVERY_FIELD.with_profile(name), facts) == [], name
    for text, code in REFUSED:
        found = check_flags(replace(fine, extra_args=tuple(text.split())), facts)
        assert [each.code for each in found] == [code], text


def test_variables_before_a_pasted_command_go_into_the_engines_environment() -> None:
    spec = EngineSpec.from_command("CUDA_VISIBLE_DEVICES=1 VLLM_CPU_KVCACHE_SPACE=40 vllm serve /m")
    environment = spec.env({"CUDA_VISIBLE_DEVICES": "0"})
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["VLLM_CPU_KVCACHE_SPACE"]) == ("1", "40")
    assert EngineSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert EngineSpec.from_command(spec.command()) == EngineSpec.from_command(spec.module_command()) == spec
    assert check(spec) == []


@pytest.mark.parametrize(
    "variable", ["LD_PRELOAD=x", "VLLM_USE_MODELSCOPE=True", "CUDA_VISIBLE_DEVICES='$(id)'", "VLLM_BATCH_INVARIANT=2"]
)
def test_a_variable_that_is_not_honoured_is_refused_by_its_name(variable: str) -> None:
    with pytest.raises(InputError, match=variable.partition("=")[0]):
        EngineSpec.from_command(f"{variable} vllm serve /m")


def test_no_other_way_brings_another_variable_into_the_engine() -> None:
    spec = EngineSpec.from_dict({"model": "/m", "environment": [["LD_PRELOAD", "x"]]})
    assert [problem.code for problem in check(spec)] == ["command_variable"]


def test_batch_invariance_of_the_shell_does_not_reach_the_engine() -> None:
    shell = {"VLLM_BATCH_INVARIANT": "1"}
    assert "VLLM_BATCH_INVARIANT" not in EngineSpec("/m").env(shell)
    assert EngineSpec("/m").with_profile("batch-invariant").env({})["VLLM_BATCH_INVARIANT"] == "1"
