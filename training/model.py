"""The demo model: an Idefics3 of fifteen million parameters, with heads that teach its tower to see."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import GenerationConfig, Idefics3Config, Idefics3ForConditionalGeneration

from training.lexicon import COLORS
from training.processor import (
    END,
    IMAGE,
    IMAGE_SIDE,
    MAX_LENGTH,
    PAD,
    PATCH,
    SHUFFLE,
    VOCABULARY,
    build_processor,
    token_id,
)
from training.targets import KIND_CLASSES, PatchTargets

VISION_WIDTH, VISION_LAYERS = 320, 7
TEXT_WIDTH, TEXT_LAYERS, TEXT_INNER = 320, 5, 832
HEAD_WIDTH = 64


def build_config(tokenizer: Tokenizer) -> Any:
    """Return the configuration: 256 patches, 64 image tokens, 2,048 positions."""
    pad, end = tokenizer.token_to_id(PAD), tokenizer.token_to_id(END)
    return Idefics3Config(
        image_token_id=tokenizer.token_to_id(IMAGE),
        pad_token_id=pad,
        eos_token_id=end,
        scale_factor=SHUFFLE,
        tie_word_embeddings=True,
        vision_config={
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 4 * VISION_WIDTH,
            "num_hidden_layers": VISION_LAYERS,
            "num_attention_heads": VISION_WIDTH // HEAD_WIDTH,
            "image_size": IMAGE_SIDE,
            "patch_size": PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": VOCABULARY,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": TEXT_INNER,
            "num_hidden_layers": TEXT_LAYERS,
            "num_attention_heads": TEXT_WIDTH // HEAD_WIDTH,
            "num_key_value_heads": TEXT_WIDTH // HEAD_WIDTH,
            "head_dim": HEAD_WIDTH,
            "max_position_embeddings": MAX_LENGTH,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "tie_word_embeddings": True,
            "pad_token_id": pad,
            "bos_token_id": None,
            "eos_token_id": end,
        },
    )


class SightHeads(nn.Module):
    """Linear heads on each patch, and on their mean; thrown away after training."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = (KIND_CLASSES, len(COLORS), 2, 10, 2, 3)
        self.patch = nn.Linear(VISION_WIDTH, sum(self.sizes))
        self.aspect = nn.Linear(VISION_WIDTH, 1)

    def forward(self, seen: Tensor, targets: PatchTargets) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss on patches (B, P, width), and the share of right answers by head."""
        kind, color, filled, digit, center, place = self.patch(seen).float().split(self.sizes, -1)
        pairs = {"kind": (kind, targets.kind), "color": (color, targets.color), "filled": (filled, targets.filled),
                 "digit": (digit, targets.digit), "center": (center, targets.center)}  # fmt: skip
        loss = seen.new_zeros((), dtype=torch.float32)
        right: dict[str, Tensor] = {}
        for name, (logits, label) in pairs.items():
            known = label >= 0
            each = F.cross_entropy(logits.flatten(0, 1), label.flatten(), ignore_index=-100, reduction="sum")
            # Bare backdrop is most of a picture: count it less than what is drawn on it.
            loss = loss + each / known.sum().clamp_min(1) * (3.0 if name in ("kind", "center") else 1.0)
            judged = known & targets.inside
            right[name] = ((logits.argmax(-1) == label) & judged).sum() / judged.sum().clamp_min(1)
        inside = targets.inside[..., None]
        miss = F.smooth_l1_loss(place, targets.place, reduction="none", beta=0.1) * inside
        loss = loss + 2.0 * miss.sum() / inside.sum().clamp_min(1)
        aspect = self.aspect(seen.mean(1)).float()[:, 0]
        return loss + F.smooth_l1_loss(aspect, targets.aspect, beta=0.1), right


class DemoModel(nn.Module):
    """The Idefics3 model with its sight heads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.core = Idefics3ForConditionalGeneration(build_config(tokenizer))
        self.heads = SightHeads()
        self.image_id = token_id(tokenizer, IMAGE)
        scale = (2 * TEXT_LAYERS) ** -0.5
        for name, weight in self.core.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.data.mul_(scale)

    def see(self, pictures: Tensor) -> Tensor:
        """Return patch states (B, P, width) of pictures (B, 3, side, side) in 0..1."""
        tower = self.core.model.vision_model
        patches = F.pixel_unshuffle((pictures - 0.5) / 0.5, PATCH).flatten(2).transpose(1, 2)
        # The tower's convolution over patches that do not overlap, spelt as the matrix product that it is.
        projection = tower.embeddings.patch_embedding
        hidden = F.linear(patches, projection.weight.flatten(1), projection.bias)
        hidden = hidden + tower.embeddings.position_embedding.weight
        for layer in tower.encoder.layers:
            hidden = layer(hidden, None)
        out: Tensor = tower.post_layernorm(hidden)
        return out

    def read(self, seen: Tensor, tokens: Tensor, positions: Tensor, blocks: Tensor) -> Tensor:
        """Return the hidden states (B, L, width) after the text layers."""
        text = self.core.model.text_model
        embeds = text.embed_tokens(tokens)
        places = torch.eq(tokens, self.image_id)
        features = self.core.model.connector(seen)
        turn = (places.cumsum(1) - 1).clamp(0, features.shape[1] - 1)[..., None].expand(-1, -1, features.shape[2])
        embeds = torch.where(places[..., None], features.gather(1, turn).to(embeds.dtype), embeds)
        length = tokens.shape[1]
        order = torch.arange(length, device=tokens.device)
        open_to = (blocks[:, None, :] == 0) | (blocks[:, :, None] == blocks[:, None, :])
        allowed = (order[:, None] >= order[None]) & open_to
        rope = text.rotary_emb(embeds, positions)
        hidden = embeds
        for layer in text.layers:
            hidden = layer(hidden, attention_mask=allowed[:, None], position_ids=positions, position_embeddings=rope)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        out: Tensor = text.norm(hidden)
        return out

    def answer_logits(self, hidden: Tensor, where: Tensor) -> Tensor:
        """Return logits (K, vocabulary) at the K flat places `where` of hidden states (B, L, width)."""
        out: Tensor = self.core.lm_head(hidden.flatten(0, 1)[where]).float()
        return out


def export(model: DemoModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a folder that vLLM serves and transformers loads: bf16 weights in shards under 14 MB, and the processor."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.safetensors*"):
        old.unlink()
    core = Idefics3ForConditionalGeneration(build_config(tokenizer)).to(torch.bfloat16)
    core.load_state_dict(model.core.state_dict())
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    core.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, do_sample=False, max_new_tokens=128)
    core.save_pretrained(folder, max_shard_size="13MB")
    build_processor(tokenizer).save_pretrained(folder)
    _name_plainly(folder)


def _name_plainly(folder: Path) -> None:
    """Name the image processor's class as every version of transformers and vLLM knows it."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        if path.exists():
            text = path.read_text(encoding="utf-8").replace("Idefics3ImageProcessorPil", "Idefics3ImageProcessor")
            path.write_text(text, encoding="utf-8")
    processor = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))
    if not (folder / "preprocessor_config.json").exists() and "image_processor" in processor:
        text = json.dumps(processor["image_processor"], indent=2) + "\n"
        (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    shutil.rmtree(folder / ".cache", ignore_errors=True)
