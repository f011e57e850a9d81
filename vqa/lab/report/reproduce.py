"""The command lines that repeat a stored run: the engine's and ours, from its header and plan."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from vqa.answers import Json
from vqa.lab.plan.arms import MAX_CONCURRENCY
from vqa.lab.run.public_header import public
from vqa.models.probe import PROBE_MAX_TOKENS, PROBE_QUESTION
from vqa.store import Run
from vqa.text import Language, t

DRAWN = re.compile(r"\d+x\d+-\d\.png")
"""The names of a matrix's own pictures."""


def commands(run: Run, language: Language) -> list[tuple[str, str]]:
    """Returns (label, command line) pairs: how to serve the model, how to repeat the run, how to make the report.

    Engines that a certificate compared are called as set-up calls their environments, whichever Pythons ran them here:
    the line before it makes those.
    """
    found = []
    argv = engine_argv(run.header)
    if argv:
        found.append((t("report.reproduce_engine", language), argv))
    if made := [f"make engine VLLM={_requirement(vllm)}" for vllm in _compared(run)]:
        found.append((t("report.reproduce_engines", language), " && ".join(made)))
    found.append((t("report.reproduce_run", language), shlex.join(run_argv(run))))
    remake = ["python", "-m", "vqa", "report", f"{run.id}.json", "--html", f"{run.id}.html"]
    return [*found, (t("report.reproduce_report", language), shlex.join(remake))]


def engine_argv(header: Mapping[str, Json]) -> str:
    """Returns how the engine was started, environment first, without secrets; empty when it was not ours to start."""
    engine = header.get("engine") or {}
    argv = public(list(engine.get("argv") or []))
    if not argv:
        return ""
    environment = public(dict(engine.get("environment") or {}))
    kept = [f"{name}={shlex.quote(str(value))}" for name, value in environment.items() if name.startswith("VLLM_")]
    return " ".join([*kept, shlex.join(str(word) for word in argv)])


def run_argv(run: Run) -> list[str]:
    """Returns the words of the `python -m vqa` command that repeats a run."""
    spec = run.plan.get("spec") or {}
    sampling = spec.get("sampling") or {}
    if run.kind == "certify":
        rows = (run.result or {}).get("profiles") or []
        loads = sorted({str(load["load"]) for row in rows for load in row.get("loads") or ()}, key=int)
        profiles = dict.fromkeys(str(row.get("profile", row["name"])) for row in rows)
        argv = ["python", "-m", "vqa", "certify", "--profiles", ",".join(profiles)]
        if engines := _compared(run):
            argv += ["--engines", ",".join(engines)]
        argv += ["--loads", ",".join(loads)] if loads else []
        return [*argv, *_require(spec, "tokens")]
    if run.kind == "horizon":
        return _horizon_argv(run, spec, sampling)
    if run.kind == "matrix":
        return _matrix_argv(run, spec, sampling)
    result = run.result or {}
    each = "servers" in result
    diagnosed = run.kind == "diagnose" and not each
    argv = ["python", "-m", "vqa", "diagnose" if diagnosed else "repeat"]
    argv += [_name(image, place) for place, image in enumerate(run.header.get("images") or [])]
    argv += list(spec.get("questions") or [])
    argv += [f"--{name}" for name in ("across", "restarts") if diagnosed and result.get(name)]
    argv += ["--each-server"] if each else []
    if not diagnosed:
        argv += ["-n", str(spec.get("n", 20))]
        if spec.get("concurrency", 1) > 1:
            argv += ["-c", str(spec["concurrency"])]
        if spec.get("cache", "as_is") != "as_is":
            argv += ["--cache", spec["cache"]]
        if spec.get("seed_policy", "fixed") != "fixed":
            argv += ["--seeds", spec["seed_policy"]]
    for name, usual in (("temperature", 0.0), ("top_p", 0.9), ("max_tokens", None), ("seed", None)):
        if sampling.get(name, usual) not in (usual, None):
            argv += [f"--{name.replace('_', '-')}", str(sampling[name])]
    argv += _require(spec, "text")
    if spec.get("each_image"):
        argv.append("--each-image")
    if spec.get("model"):
        argv += ["--model", str(spec["model"])]
    if spec.get("system"):
        argv += ["--system", spec["system"]]
    if run.header.get("base_url"):
        argv += ["--base-url", str(public(run.header["base_url"]))]
    return argv


def _compared(run: Run) -> list[str]:
    """Returns the vLLM that a certificate compared, such as `vllm-0.33.0`; none where it was one."""
    rows = (run.result or {}).get("profiles") or [] if run.kind == "certify" else []
    return list(dict.fromkeys(str(row["vllm"]) for row in rows if row.get("vllm")))


def _requirement(vllm: str) -> str:
    return "==".join(vllm.rsplit("-", 1))


def _horizon_argv(run: Run, spec: Mapping[str, Json], sampling: Mapping[str, Json]) -> list[str]:
    asked = run.plan.get("horizon") or {}
    argv = ["python", "-m", "vqa", "horizon"]
    if list(spec.get("questions") or []) != [PROBE_QUESTION]:
        argv += [_name(image, place) for place, image in enumerate(run.header.get("images") or [])]
        argv += list(spec.get("questions") or [])
    if asked.get("profiles"):
        argv += ["--profiles", ",".join(asked["profiles"])]
    elif run.header.get("base_url"):
        argv += ["--base-url", str(public(run.header["base_url"]))]
    usual = {"most": MAX_CONCURRENCY, "waves": 2, "at_least": 1, "model": None}
    for name, value in usual.items():
        if asked.get(name, value) != value:
            argv += [f"--{name.replace('_', '-')}", str(public(asked[name]))]
    if (length := sampling.get("max_tokens")) not in (None, PROBE_MAX_TOKENS):
        argv += ["--max-tokens", str(length)]
    return [*argv, *_require(spec, "tokens")]


def _matrix_argv(run: Run, spec: Mapping[str, Json], sampling: Mapping[str, Json]) -> list[str]:
    asked = run.plan.get("matrix") or {}
    argv = ["python", "-m", "vqa", "matrix"]
    argv += [question for question in spec.get("questions") or [] if question != PROBE_QUESTION]
    names = dict.fromkeys(_name(image, place) for place, image in enumerate(run.header.get("images") or []))
    for name in names:
        argv += [] if DRAWN.fullmatch(name) else ["--image", name]
    if asked.get("profiles"):
        argv += ["--profiles", ",".join(asked["profiles"])]
    elif run.header.get("base_url"):
        argv += ["--base-url", str(public(run.header["base_url"]))]
    lists = {"pictures": asked.get("pictures"), "order": asked.get("orders"), "beside": asked.get("beside")}
    lists["sizes"] = [f"{width}x{height}" for width, height in asked.get("sizes") or ()]
    for name, values in lists.items():
        argv += [f"--{name}", ",".join(map(str, values))] if values else []
    argv += ["-n", str(asked.get("n", 4)), "-c", str(asked.get("concurrency", 8))]
    argv += ["--model", str(public(asked["model"]))] if asked.get("model") else []
    if (length := sampling.get("max_tokens")) not in (None, PROBE_MAX_TOKENS):
        argv += ["--max-tokens", str(length)]
    return [*argv, *_require(spec, "tokens")]


def _require(spec: Mapping[str, Json], usual: str) -> list[str]:
    named = spec.get("require", usual)
    return [] if named == usual else ["--require", str(named)]


def _name(image: Mapping[str, Json], place: int) -> str:
    given = str(image.get("given_name") or "").replace("\\", "/").rsplit("/", 1)[-1]
    kind = str(image.get("mime", "image/png")).rpartition("/")[2]
    return given or f"image{place + 1}.{kind}"


def case_texts(plan: Mapping[str, Json]) -> list[str]:
    """Returns the question of each case, in the order in which `Sample.question` counts them."""
    spec = plan.get("spec") or {}
    questions = list(spec.get("questions") or [])
    images = len(spec.get("images") or [])
    return questions * images if spec.get("each_image") and images > 1 else questions
