# ruff: noqa: E501 - lines of a log are quoted as they are
"""Why a start failed is read from what vLLM, torch, triton, transformers and the drivers write."""

import json
from pathlib import Path

import pytest

from vqa.engine.causes import CAUSES as KNOWN
from vqa.engine.causes import NEVER_RETRY, failure_of
from vqa.text import LANGUAGES

LOGS = Path(__file__).parent / "failed"
ERROR = "(EngineCore pid=2) ERROR 11-22 13:16:46 [core.py:900] "
CAUSES = [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity", "out_of_memory"),
    ("ValueError: Free memory on device cuda:0 (3.1/79.2 GiB) on startup is less than desired GPU memory utilization", "out_of_memory"),
    ("RuntimeError: [enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory", "out_of_memory"),
    ("ValueError: To serve at least one request with the model's max seq len (32768), (3.50 GiB KV cache is needed, which is "
     "larger than the available KV cache memory (1.00 GiB). Based on the available memory, the estimated maximum model length is 9344.", "kv_cache_small"),
    ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`", "kv_cache_none"),
    ("OSError: [Errno 98] Address already in use", "port_taken"),
    ("ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: dict_keys", "architecture"),
    ("ValueError: The checkpoint you are trying to load has model type `foo` but Transformers does not recognize this architecture.", "architecture"),
    ("ValueError: The repository /m contains custom code which must be executed to correctly load the model.", "remote_code"),
    ("Please pass the argument `trust_remote_code=True` to allow custom code to be run.", "remote_code"),
    ("api_server.py: error: unrecognized arguments: --no-such-flag", "unknown_flag"),
    ("api_server.py: error: argument --dtype: invalid choice: 'float7' (choose from 'auto', 'bfloat16')", "flag_value"),
    ("OSError: [Errno 28] No space left on device", "disk_full"),
    ("RuntimeError: No CUDA GPUs are available", "no_gpu"),
    ("RuntimeError: Failed to infer device type, please set the environment variable", "no_gpu"),
    ("ValueError: World size (8) is larger than the number of available GPUs (1) in this node.", "tensor_parallel"),
    ("RuntimeError: CUDA error: invalid device ordinal", "tensor_parallel"),
    ("ValueError: Total number of attention heads (7) must be divisible by tensor parallel size (2).", "heads_not_divisible"),
    ("ValueError: User-specified max_model_len (99999) is greater than the derived max_model_len (max_position_embeddings=1024)", "context_long"),
    ("RuntimeError: Cannot find any model weights with `/m`", "model_incomplete"),
    ("safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer", "model_incomplete"),
    ("OSError: /m does not appear to have a file named preprocessor_config.json.", "model_incomplete"),
    ("RuntimeError: operator torchvision::nms does not exist", "no_torchvision"),
    ("RuntimeError: cannot reshape tensor of 0 elements into shape [0, -1] because the unspecified dimension size -1", "vllm_old"),
    ("/usr/bin/python: Error while finding module specification for 'vllm.entrypoints.openai.api_server'", "not_installed"),
    ("RuntimeError: Engine core initialization failed. Failed core proc(s): {'EngineCore_DP0': -9}", "part_killed"),
    ("Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.", "part_killed"),
    ("RuntimeError: Process ApiServer_0 (PID: 4711) died with exit code -9", "part_killed"),
    ("ValueError: max_num_seqs (256) exceeds available Mamba cache blocks (40). Each decode sequence requires one", "mamba_blocks"),
    ("ValueError: Chunked MM input disabled but max_tokens_per_mm_item (2731) is larger than max_num_batched_tokens (2048).", "picture_over_batch"),
    ("  Value error, max_num_batched_tokens (64) is smaller than max_model_len (512). This effectively limits the maximum", "batch_below_length"),
    ("AssertionError: Error in memory profiling. Initial free memory 70.1 GiB, current free memory 75.9 GiB.", "memory_moved"),
    ("ValueError: Available memory on node 0 (2.1/23.5 GiB) on startup is less than desired CPU memory utilization (0.9, 21.2 GiB).", "out_of_memory"),
    ("ValueError: The worker already uses 9.1 GiB (model weights and runtime), more than the 8.0 GiB of CPU memory reserved", "out_of_memory"),
    ("RuntimeError: Triton Error [CUDA]: out of memory", "out_of_memory"),
    ("torch.distributed.DistBackendError: NCCL error: Cuda failure 2 'out of memory'", "out_of_memory"),
    ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "out_of_memory"),
    ("OSError: [Errno 28] No space left on device: '/psm_1a2b3c4d'", "shared_memory"),
    ("RuntimeError: unable to allocate shared memory(shm) for file </torch_17_4>: No space left on device (28)", "shared_memory"),
    ("AssertionError: Tried to load weights of size torch.Size([320, 1280])to a parameter of size torch.Size([640, 1280])", "weights_other"),
    ("  Value error, Unrecognized model in /m. Should have a `model_type` key in its config.json. [type=value_error", "config_without_type"),
    ("OSError: It looks like the config file at '/m/config.json' is not a valid JSON file.", "model_incomplete"),
    ("ValueError: Couldn't instantiate the backend tokenizer from one of:", "model_incomplete"),
    ("ModuleNotFoundError: No module named 'vllm._C'", "vllm_broken"),
    ("ImportError: /e/vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEa", "vllm_broken"),
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized", "gpu_asleep"),
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 803: system has unsupported display driver / cuda driver combination", "driver_old"),
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward compatibility was attempted on non supported HW", "driver_old"),
    ("RuntimeError: The NVIDIA driver on your system is too old (found version 12020).", "driver_old"),
    ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "gpu_unknown"),
    ("ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'", "gpu_unknown"),
    ("ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute capability 7.5.", "gpu_capability"),
    ("ValueError: The quantization method awq_marlin is not supported for the current GPU. Minimum capability: 80. Current capability: 75.", "gpu_capability"),
    ("RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist", "no_cuda_compiler"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'ninja'", "no_cuda_compiler"),
    ("RuntimeError: Failed to find C compiler. Please specify via CC environment variable", "no_c_compiler"),
    ("torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')", "no_c_compiler"),
    ("/tmp/t/main.c:5:10: fatal error: Python.h: No such file or directory", "no_c_compiler"),
    ("ModuleNotFoundError: No module named 'timm'", "package_missing"),
    ("ImportError: This modeling file requires the following packages that were not found in your environment: einops, timm. Run", "package_missing"),
    ("ImportError: Please install torchao>=0.10.0 via `pip install torchao>=0.10.0` to use torchao quantization.", "package_missing"),
    ("torch.distributed.DistBackendError: NCCL error: Cuda failure 'out of memory'", "out_of_memory"),
    ("AttributeError: '_OpNamespace' '_C' object has no attribute 'rms_norm'", "vllm_broken"),
    ("ImportError: libcudart.so.13: cannot open shared object file: No such file or directory", "vllm_broken"),
    ("ImportError: libcuda.so.1: cannot open shared object file: No such file or directory", "no_gpu"),
    ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", "library_missing"),
    ("ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /e/vllm/_C.abi3.so)", "library_missing"),
    ("  Value error, fp8 quantization is currently not supported in cpu. [type=value_error", "quantization_device"),
    ("  Value error, Unknown quantization method: bitsandbytes. Must be one of ['awq', 'auto_awq', 'fp8'] [type=value_error", "quantization_device"),
    ("ValueError: Quantization method specified in the model config (gptq) does not match the quantization method specified in the `quantization` argument (awq).", "not_quantized"),
    ("ValueError: There is no module or parameter named 'visual' in Qwen2VLForConditionalGeneration", "weights_other"),
    ("ValueError: GGUF checkpoints are not supported", "gguf"),
    ("RuntimeError: Insufficient space in /dev/shm for shared-memory allocation: 160 MiB required, 0 MiB free.", "shared_memory"),
    ("  Value error, Cannot find the config file for awq [type=value_error, input_value=ArgsKwargs((), {})]", "not_quantized"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'lscpu'", "no_lscpu"),
    ("PermissionError: [Errno 13] Permission denied: '/m/config.json'", "permission"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code"), CAUSES)
def test_a_cause_is_recognised_with_its_line_among_its_consequences(line: str, code: str) -> None:
    log = [
        "(APIServer pid=1) INFO 11-22 13:16:18 fine",
        ERROR + line,
        "RuntimeError: Engine core initialization failed.",
    ]
    failure = failure_of(log, 1, was_ready=False)
    assert (failure.code, failure.log_line) == (code, ERROR + line)
    for language in LANGUAGES:
        values = dict(failure.values) | {"port": 1, "owner": "x", "free": 2}
        assert type(failure)(failure.code, values).message(language)
        assert type(failure)(failure.code, values).hint(language)


def test_settings_that_a_crash_quotes_are_no_cause() -> None:
    """vLLM's dump of a crash names every setting: a model's own code had been allowed."""
    log = [
        f"{ERROR}Dumping input data for V1 LLM engine (v0.32.0) with config: model='/m', trust_remote_code=True, load_format=auto",
        f"{ERROR}RuntimeError: the vision tower broke",
    ]
    assert failure_of(log, 1, was_ready=True).code == "died"
    asking = "ValueError: Please pass the argument `trust_remote_code=True` to allow custom code to be run."
    assert failure_of([asking], 1, was_ready=False).code == "remote_code"
    assert failure_of([asking], 1, was_ready=False, trusting=True).code == "exited"


def test_lines_of_source_code_in_a_traceback_are_no_cause() -> None:
    log = [
        f"{ERROR}Traceback (most recent call last):",
        f'{ERROR}  File "/e/loader.py", line 9, in load',
        f'{ERROR}    raise OSError("No space left on device") if full else RuntimeError(reason)',
        f"{ERROR}RuntimeError: the shard ended early",
    ]
    failure = failure_of(log, 1, was_ready=False)
    assert (failure.code, failure.log_line) == ("exited", log[-1])


def test_the_reason_of_a_refused_setting_stands_a_line_below() -> None:
    log = [
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        "  Value error, no such thing. [type=value_error, input_value=ArgsKwargs((), {}), input_type=ArgsKwargs]",
    ]
    assert failure_of(log, 1, was_ready=False).log_line == log[1].strip()


def test_the_first_exception_counts_however_far_above_the_end_and_comes_with_its_lines() -> None:
    log = [f"(Worker pid=3) INFO 11-22 13:16:45 [x.py:1] {number}" for number in range(130)]
    log += [f"{ERROR}RuntimeError: the vision tower broke", *(f"{ERROR}  more {number}" for number in range(60))]
    log += ["RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"]
    failure = failure_of(log, 1, was_ready=False)
    assert failure.log_line == log[130]
    assert failure.log_around == tuple(log[118:143])
    assert log[130] not in failure.log_tail


@pytest.mark.parametrize("seen", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_a_start_that_was_made_to_fail_tells_why(seen: Path) -> None:
    """Whole logs of vLLM, but for folders and what stands beyond 400 characters of a line."""
    expected = json.loads((LOGS / "expected.json").read_text())[seen.name]
    lines = seen.read_text().splitlines()
    failure = failure_of(lines, 1, was_ready=False)
    assert [failure.code, lines.index(next(line for line in lines if line.strip() == failure.log_line)) + 1] == expected


def test_what_vllm_merely_mentions_is_no_cause() -> None:
    calm = "(APIServer pid=1) WARNING 11-22 13:16:18 [system_utils.py:255] CUDA out of memory can happen; No space left on device"
    assert failure_of([calm], 3, was_ready=False).code == "exited"


def test_an_unknown_end_is_told_by_its_status() -> None:
    assert failure_of([], -9, was_ready=True).code == "killed"
    died = failure_of(
        ["x", "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."], 1, was_ready=True
    )
    assert died.code == "died"
    assert "EngineDeadError" in died.log_line
    assert "1" in died.message()


def test_a_part_that_was_killed_for_memory_is_named_and_one_that_failed_of_itself_is_not_called_killed() -> None:
    line = (
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': %d}"
    )
    killed = failure_of([line % -9], 1, was_ready=False)
    assert "EngineCore" in killed.message("en")
    assert "memory" in killed.message("en")
    assert failure_of([line % 1], 1, was_ready=False).code == "exited"
    first = failure_of(["torch.OutOfMemoryError: CUDA out of memory.", line % -9], 1, was_ready=False)
    assert first.code == "out_of_memory"


def test_an_unknown_cause_is_told_by_its_own_line_and_not_by_the_one_that_points_to_it() -> None:
    own = f"{ERROR}RuntimeError: the vision tower broke"
    pointing = "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    failure = failure_of([own, "(APIServer pid=1)     raise e", pointing], 1, was_ready=False)
    assert (failure.code, failure.log_line) == ("exited", own)
    assert failure_of([pointing], 1, was_ready=False).log_line == pointing


def test_the_last_fifty_lines_are_kept() -> None:
    assert failure_of([str(number) for number in range(99)], 1, was_ready=False).log_tail[0] == "49"


def test_memory_flags_and_disk_are_never_tried_again() -> None:
    assert {"out_of_memory", "unknown_flag", "disk_full"} <= NEVER_RETRY


def test_every_cause_has_a_line_here_and_stands_in_the_document() -> None:
    told = (Path(__file__).resolve().parents[2] / "docs" / "failures.md").read_text()
    codes = {cause.code for cause in KNOWN}
    assert codes == {code for _, code in CAUSES}
    assert [code for code in sorted(codes) if f"`{code}`" not in told] == []
    assert codes >= NEVER_RETRY
