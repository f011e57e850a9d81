#!/usr/bin/env bash
# `pip install vllm gradio` gives an older vLLM than `pip install vllm`, and no warning says so: vLLM 0.33.0 wants
# pillow>=13, gradio 6.31.0 wants pillow<13, and pip steps back to vLLM 0.32.0, with exit status 0. All that it says is
# that it "is looking at multiple versions of vllm"; the reason is told only to those who ask for the two by their
# versions (ResolutionImpossible).
# Nothing is installed (pip's --dry-run); the bound <=0.33.0 stands for the newest of the day on which this was written.
# Needs: python3 (3.10 or newer), Linux x86_64. Takes two to eight minutes. Exit
# status 0: seen as described; 1: it changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip --version

# resolve NAME REQUIREMENT...: pip's answer in NAME.json, what it says in NAME.txt, its exit status in NAME.rc
resolve() {
  local name=$1 status=0
  shift
  "$python" -m pip install --dry-run --disable-pip-version-check --report "$work/$name.json" \
    ${FINDINGS_EXTRA_INDEX:+--extra-index-url "$FINDINGS_EXTRA_INDEX"} "$@" >"$work/$name.txt" 2>&1 || status=$?
  echo "$status" >"$work/$name.rc"
}
resolve alone --no-deps 'vllm<=0.33.0'
resolve both 'vllm<=0.33.0' gradio==6.31.0
resolve exact vllm==0.33.0 gradio==6.31.0

"$python" - "$work" <<'PYTHON'
import json
import re
import sys
from pathlib import Path

work = Path(sys.argv[1])


def status(name):
    return int((work / f"{name}.rc").read_text())


def chosen(name):
    """Returns {package: (version, what it says of pillow)} of a resolution that succeeded."""
    found = {}
    for item in json.loads((work / f"{name}.json").read_text())["install"]:
        data = item["metadata"]
        pillow = [each for each in data.get("requires_dist", ()) if re.match(r"pillow\b", each, re.IGNORECASE)]
        found[data["name"].lower()] = (data["version"], pillow)
    return found


alone, both = chosen("alone"), chosen("both")
# Warnings about package indexes are none about these packages.
lines = [line for line in (work / "both.txt").read_text().splitlines() if "is ignored" not in line]
said = [line for line in lines if re.match(r"(WARNING|ERROR).*(vllm|pillow|gradio|conflict)", line, re.IGNORECASE)]
refused = "ResolutionImpossible" in (work / "exact.txt").read_text()
print(f"vllm alone: {alone['vllm']}")
taken = ", ".join(f"{name} {both[name]}" for name in ("vllm", "gradio", "pillow"))
print(f"vllm and gradio: exit status {status('both')}, {taken}")
print(f"warnings about it: {said}")
print(f"both by their versions: exit status {status('exact')}, ResolutionImpossible: {refused}")
right = (
    alone["vllm"][0] == "0.33.0"
    and (status("both"), both["vllm"][0], both["gradio"][0], said) == (0, "0.32.0", "6.31.0", [])
    and status("exact") != 0
    and refused
)
print("as described: the older vLLM, without a warning" if right else "CHANGED")
sys.exit(0 if right else 1)
PYTHON
