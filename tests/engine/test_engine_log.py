"""Phases are read from lines that vLLM 0.24 and 0.32 really write."""

import os
from pathlib import Path

import pytest

from vqa.engine import logfile
from vqa.engine.computing import computing, differences
from vqa.engine.log import later, phase_of
from vqa.engine.spec import EngineSpec
from vqa.engine.state import Phase
from vqa.lab.report.reasons import likely_reasons
from vqa.text import LANGUAGES

API, CORE, WORKER = (
    "(APIServer pid=1) INFO 11-22 13:16:18",
    "(EngineCore pid=2) INFO 11-22 13:16:46",
    "(Worker pid=3) INFO 11-22 13:16:45",
)
LINES = [
    (f"{API} [api_utils.py:347]  version 0.32.0", Phase.IMPORTING),
    (
        f"{API} [utils.py:233] non-default args: {{'model': 'x', 'compilation_config': 'torch.compile'}}",
        Phase.IMPORTING,
    ),
    (f"{API} [model.py:733] Resolved architecture: Idefics3ForConditionalGeneration", Phase.IMPORTING),
    (
        f"{CORE} [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: torch.compile, KV cache size",
        Phase.IMPORTING,
    ),
    (f"{WORKER} [cpu_model_runner.py:68] Starting to load model /m...", Phase.LOADING),
    ("Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00, 155.34it/s]", Phase.LOADING),
    (f"{WORKER} [default_loader.py:501] Loading weights took 0.01 seconds", Phase.LOADING),
    (f"{WORKER} [gpu_model_runner.py:4000] Model loading took 1.9 GiB memory and 2.1 seconds", Phase.LOADING),
    (f"{CORE} [backends.py:872] Dynamo bytecode transform time: 5.12 s", Phase.COMPILING),
    (f"{CORE} [monitor.py:34] torch.compile takes 12.3 s in total", Phase.COMPILING),
    (f"{CORE} [gpu_worker.py:298] Available KV cache memory: 60.5 GiB", Phase.KV_CACHE),
    (f"{CORE} [kv_cache_utils.py:2327] CPU KV cache size: 1,048,576 tokens, Maximum concurrency", Phase.KV_CACHE),
    (f"{CORE} [kv_cache_utils.py:1087] GPU KV cache size: 1,980,000 tokens", Phase.KV_CACHE),
    (f"{WORKER} [cpu_worker.py:260] Explicitly set (1.0/7.59) GiB for KV cache on node 0.", Phase.KV_CACHE),
    ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): 100%|##########| 51/51", Phase.WARMING_UP),
    (f"{CORE} [core.py:402] init engine (profile, create kv cache, warmup model) took 3.50 s", Phase.WARMING_UP),
    (f"{API} [entry.py:140] Starting vLLM server on http://127.0.0.1:8311", Phase.WARMING_UP),
    ("INFO:     Application startup complete.", Phase.WARMING_UP),
    (f"{API} [vllm.py:1703] Enforce eager set, disabling torch.compile, CUDAGraphs, and JIT kernel warmup.", None),
    ('INFO:     127.0.0.1:44552 - "GET /metrics HTTP/1.1" 200 OK', None),
]


@pytest.mark.parametrize(("line", "phase"), LINES)
def test_a_line_shows_its_phase(line: str, phase: Phase | None) -> None:
    assert phase_of(line) == phase


def test_phases_only_go_forward() -> None:
    assert later(Phase.KV_CACHE, Phase.LOADING) is Phase.KV_CACHE
    assert later(None, Phase.LOADING) is Phase.LOADING
    assert later(None, None) is None


def test_a_follower_reads_whole_lines_across_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    logfile.begin(path)
    follower = logfile.LogFollower(path, cap=100, keep=40)
    with path.open("ab", buffering=0) as child:
        child.write(b"one\ntw")
        assert follower.read() == ["one"]
        child.write(b"o\r30%\r100%\n\x1b[32mgreen\x1b[0m\n")
        assert follower.read() == ["two", "30%", "100%", "green"]
        child.write(b"x" * 200 + b"\n")
        follower.read()
        assert follower.trim()
        assert path.stat().st_size == 0
        child.write(b"after\n")  # in append mode it lands at the beginning
        assert follower.read() == ["after"]
        assert os.fstat(child.fileno()).st_size == 6
    assert logfile.tail(path, 5)[-1] == "after"


def test_the_tail_leaves_out_what_our_own_probes_cause(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text(
        'a\nINFO:     127.0.0.1:1 - "GET /metrics HTTP/1.1" 200 OK\nINFO: "GET /health HTTP/1.1" 503 Bad\n\n'
    )
    assert logfile.tail(path, 10) == ("a", 'INFO: "GET /health HTTP/1.1" 503 Bad')
    assert len(logfile.tail(path, 10, quiet=False)) == 3
    assert logfile.tail(tmp_path / "none.log", 10) == ()


RECORDED = Path(__file__).parent / "vllm-0.33-h200.log"
"""The demo model on an H200 under vLLM 0.33.0, without the lines of its settings and routes."""


def test_the_phases_of_a_recorded_start_on_a_gpu_come_in_their_order() -> None:
    reached: list[Phase] = []
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        phase = phase_of(line)
        if phase is not None and (not reached or later(phase, reached[-1]) == phase != reached[-1]):
            reached.append(phase)
    assert reached == [Phase.IMPORTING, Phase.LOADING, Phase.COMPILING, Phase.WARMING_UP]


def test_what_changes_answers_between_processes_is_read_from_the_log_and_else_from_the_flags() -> None:
    core = "(EngineCore pid=2) INFO 11-30 13:45:38 "
    log = [
        f"{core}[core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='probe', dtype=torch.bfloat16, "
        "enforce_eager=True, seed=0, enable_prefix_caching=True, enable_chunked_prefill=False",
        f"{core}[ompmultiprocessing.py:185] \tVLLM_CPU_OMP_THREADS_BIND='auto', auto_setup=True, skip_setup=False",
        f"{core}[ompmultiprocessing.py:185] \tlocal_rank=0, core ids=[0]",
    ]
    usual = EngineSpec("probe", max_num_batched_tokens=2048)
    told = computing(usual, log)
    assert told == {
        "threads": 1, "threads_bind": "auto", "compiled": False, "max_num_batched_tokens": 2048,
        "chunked_prefill": False, "prefix_caching": True, "dtype": "bfloat16",
    }  # fmt: skip
    wider = computing(usual, [line.replace("[0]", "[0, 1]").replace("eager=True", "eager=False") for line in log])
    assert differences(told, wider) == [("threads", 1, 2), ("compiled", False, True)]
    flags = computing(EngineSpec("probe", enforce_eager=True, extra_args=("--no-enable-chunked-prefill",)))
    assert (flags["compiled"], flags["chunked_prefill"], flags["threads"]) == (False, False, None)
    assert differences(told, flags) == [], "what is not told is no difference"
    said = [
        likely_reasons({"engine": {"computing": told}}, {"engine": {"computing": wider}}, language)[0]
        for language in LANGUAGES
    ]
    assert said[0] == "A likely reason for other answers: the threads that vLLM bound, 1 against 2."
    assert "1" in said[1] and "2" in said[1]
