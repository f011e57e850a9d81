"""What is checked where torch is: these run in the engine's Python, by `tests.in_engine`, and import no pytest.

`python -m tests.with_torch` reads lines of JSON, the name of a check and its arguments, and answers each with how the
check failed, or with nothing.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

ASSETS = Path(__file__).parents[1] / "assets"


def bfloat16_is_rounded_as_torch_rounds_it(values: str, written: str) -> None:
    import torch
    from safetensors.torch import load_file

    expected = torch.from_numpy(np.load(values)).to(torch.bfloat16)
    found = load_file(written)["values"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found.view(torch.int16), expected.view(torch.int16))


def transformers_finds_every_weight_and_no_other(folder: str, kind: str) -> None:
    import transformers

    _, info = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True, local_files_only=True)
    # LLaVA's last vision layers are there though nobody reads them; nothing may be missing.
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    assert not info["unexpected_keys"]


def the_prompt_fills_more_than_one_block(folder: str, picture: str, question: str) -> None:
    import transformers
    from PIL import Image

    processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
    content = [{"type": "image"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    with Image.open(picture) as opened:
        inputs = processor(text=[text], images=[opened])
    tokens = list(inputs["input_ids"][0])
    assert 2 * 128 < len(tokens) < 512
    assert processor.tokenizer.decode(tokens, skip_special_tokens=True).endswith(f"{question}Assistant:")
    assert tokens.count(processor.tokenizer.convert_tokens_to_ids("<image>")) == 64


def both_renderers_draw_the_same_scene() -> None:
    import torch

    from training.render_pil import render, squash
    from training.render_torch import Renderer, pack
    from training.scenes import SceneOptions, sample_scene

    renderer = Renderer(torch.device("cpu"), 256)
    for seed in range(12):
        scene = sample_scene(10**13 + 500 + seed, SceneOptions(size=(256, 192), offworld_share=0.0))
        # Texture and grain are random in each in its own way, and outlines lie a little further out in PIL.
        plain = replace(scene.background, texture=0.0, grain=0.0)
        filled = tuple(replace(s, filled=True, border=False) for s in scene.shapes)
        scene = replace(scene, background=plain, shapes=filled, numbers=(), blur=0.0)
        drawn = renderer.draw(pack([scene]))[0].permute(1, 2, 0).numpy() * 255
        reference = np.asarray(squash(render(scene), 256)).astype(float)
        assert (np.abs(drawn - reference).max(-1) > 60).mean() < 0.008, seed


def patch_targets_find_every_shape_apart_from_the_others() -> None:
    import torch

    from training.lexicon import KINDS
    from training.render_torch import pack
    from training.scenes import SceneOptions, sample_scene
    from training.targets import patch_targets

    for seed in range(20):
        scene = sample_scene(10**13 + 900 + seed, SceneOptions(size=(256, 256), offworld_share=0.0))
        targets = patch_targets(pack([scene]), 16, torch.device("cpu"))
        found = set(targets.kind[0].tolist())
        assert {KINDS.index(s.kind) + 1 for s in scene.shapes} <= found


def any_text_can_be_read_and_what_is_written_reads_back() -> None:
    from training.processor import load_codec

    codec = load_codec(ASSETS / "demo-model")
    assert codec.read("WHAT IS RED？") == codec.read("what is red?")
    for text in ("Привет 🎉 ¿qué? 色", "\x00\t", ""):
        codec.reader.decode(codec.read(text))
    for answer in ("There is no red star.", "图中有红色的圆形。"):
        assert codec.reader.decode(codec.write(answer)) == answer


def a_few_steps_on_the_cpu_lower_the_loss(out: str) -> None:
    from training.train import Run, parse

    common = ["--device", "cpu", "--rows", "2", "--chunks", "1", "--workers", "0", "--trial", "1", "--note", "1"]
    options = parse([*common, "--overfit", "--pil-share", "0", "--steps", "8", "--seconds", "200", "--warmup", "2",
                     "--sight-seconds", "0", "--lr", "2e-3", "--report", "1000", "--out", out,
                     "--tokenizer", str(ASSETS / "demo-model" / "tokenizer.json")])  # fmt: skip
    outcome = Run(options).train()
    answers = [a for a, _ in outcome.losses]
    sight = [s for _, s in outcome.losses]
    assert answers[-1] < 0.8 * answers[0]
    assert sight[-1] < sight[0]
    exported = Path(out) / "export"
    assert json.loads((exported / "generation_config.json").read_text())["eos_token_id"] == 1
    assert max(f.stat().st_size for f in exported.iterdir()) < 14_000_000
    assert sum(f.stat().st_size for f in exported.iterdir()) < 32_000_000


def main() -> None:
    """Runs the checks that are asked for, one after the other; what they print goes to the error output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            globals()[name](*arguments)
            told = ""
        except Exception:
            told = traceback.format_exc()
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main()
