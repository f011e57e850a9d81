"""InternVL 2.5, 3 and 3.5 by shape: InternViT, a projector, and Qwen2, Qwen3 or InternLM2; custom code of our own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vqa.models.twins.checkpoint import IMAGENET, Checkpoint, chatml
from vqa.models.twins.qwen_text import QWEN2_MARKERS, QWEN3_MARKERS, QWEN_WORDS
from vqa.models.twins.tensors import Decoder, Tensor, Tensors, decoder, embedding, head, linear, norm
from vqa.models.twins.vocabulary import Vocabulary

IMAGE_SIDE, PATCH, HALVING = 448, 14, 2
"""Pixels of a tile and of a patch; every `HALVING` x `HALVING` patches become one image token: 256 a tile."""
MARKERS = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
_INTERNLM2_LAST = ("<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>", "<|im_end|>", "<|im_start|>")
_SYSTEM = "Answer questions about pictures."

CONFIGURATION = '''"""The configuration of an InternVL checkpoint: a vision part and a language part."""

from transformers import AutoConfig, PretrainedConfig


class InternVisionConfig(PretrainedConfig):
    """InternViT's sizes, kept as they are given."""

    model_type = "intern_vit_6b"


class InternLM2Config(PretrainedConfig):
    """InternLM2's sizes, kept as they are given."""

    model_type = "internlm2"


class InternVLChatConfig(PretrainedConfig):
    """Both, as objects."""

    model_type = "internvl_chat"
    sub_configs = {"vision_config": InternVisionConfig}

    def __init__(self, vision_config=None, llm_config=None, **more):
        self.vision_config = InternVisionConfig(**(vision_config or {}))
        text = dict(llm_config or {})
        kind = text.pop("model_type", "qwen2")
        self.llm_config = InternLM2Config(**text) if kind == "internlm2" else AutoConfig.for_model(kind, **text)
        super().__init__(**more)

    def get_text_config(self, *args, **kwargs):
        """The language part, whatever is asked for."""
        return self.llm_config
'''


@dataclass(frozen=True)
class Size:
    """The sizes of one InternVL; `text_kind` is the language part's model type."""

    text: Decoder
    text_kind: str
    vision_hidden: int = 1024
    vision_layers: int = 24


def _qwen2(hidden: int, layers: int, inner: int, heads: int, kv_heads: int) -> Size:
    return Size(Decoder(hidden, layers, inner, heads, kv_heads, 151674, hidden // heads, qkv_bias=True), "qwen2")


def _qwen3(hidden: int, layers: int, inner: int, heads: int) -> Size:
    return Size(Decoder(hidden, layers, inner, heads, 8, 151936, 128, qk_norm=True), "qwen3")


def _internlm2(hidden: int, layers: int, inner: int, heads: int) -> Size:
    return Size(Decoder(hidden, layers, inner, heads, 8, 92553, 128), "internlm2")


FULL = {
    "OpenGVLab/InternVL2_5-1B": _qwen2(896, 24, 4864, 14, 2),
    "OpenGVLab/InternVL2_5-2B": _internlm2(2048, 24, 8192, 16),
    "OpenGVLab/InternVL2_5-4B": _qwen2(2048, 36, 11008, 16, 2),
    "OpenGVLab/InternVL2_5-8B": _internlm2(4096, 32, 14336, 32),
    "OpenGVLab/InternVL3-1B": _qwen2(896, 24, 4864, 14, 2),
    "OpenGVLab/InternVL3-2B": _qwen2(1536, 28, 8960, 12, 2),
    "OpenGVLab/InternVL3_5-1B": _qwen3(1024, 28, 3072, 16),
    "OpenGVLab/InternVL3_5-2B": _qwen3(2048, 28, 6144, 16),
    "OpenGVLab/InternVL3_5-4B": _qwen3(2560, 36, 9728, 32),
}


def tiny(size: Size) -> Size:
    """Returns the same structure in miniature: two layers each, 4,096 tokens."""
    text = replace(size.text, hidden=256, layers=2, inner=512, heads=4, kv_heads=2, head_dim=64, vocabulary=4096)
    return replace(size, text=text, vision_hidden=128, vision_layers=2)


def checkpoint(size: Size) -> Checkpoint:
    """Returns the checkpoint of that size."""
    words = _vocabulary(size)
    pad = "</s>" if size.text_kind == "internlm2" else "<|endoftext|>"
    return Checkpoint(
        config=_config(size, words),
        vocabulary=words,
        end="<|im_end|>",
        pad=pad,
        chat_template=chatml(None, system=_SYSTEM),
        tensors=lambda: _tensors(size, words),
        tokenizer={"model_max_length": 8192, "additional_special_tokens": list(MARKERS)},
        files={
            "configuration_internvl_chat.py": CONFIGURATION,
            "preprocessor_config.json": {
                "crop_size": IMAGE_SIDE,
                "do_center_crop": True,
                "do_normalize": True,
                "do_resize": True,
                "feature_extractor_type": "CLIPFeatureExtractor",
                "resample": 3,
                "size": IMAGE_SIDE,
                **IMAGENET,
            },
        },
    )


def _vocabulary(size: Size) -> Vocabulary:
    if size.text_kind == "internlm2":
        last = (*_INTERNLM2_LAST, *MARKERS)
        return Vocabulary(("<unk>", "<s>", "</s>"), last, size.text.vocabulary - len(last), size.text.vocabulary)
    last = (*(QWEN3_MARKERS if size.text_kind == "qwen3" else QWEN2_MARKERS), *MARKERS)
    return Vocabulary((), last, min(QWEN_WORDS, size.text.vocabulary - len(last)), size.text.vocabulary)


def _config(size: Size, words: Vocabulary) -> dict[str, object]:
    names = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "internlm2": "InternLM2ForCausalLM"}
    text = size.text.config(
        architectures=[names[size.text_kind]],
        model_type=size.text_kind,
        head_dim=size.text.head_dim,
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        eos_token_id=words.ids["<|im_end|>"],
        torch_dtype="bfloat16",
        **({"bias": False, "rope_scaling": None} if size.text_kind == "internlm2" else {}),
        **({"attention_bias": False} if size.text_kind == "qwen3" else {}),
    )
    vision = {
        "architectures": ["InternVisionModel"],
        "model_type": "intern_vit_6b",
        "hidden_size": size.vision_hidden,
        "intermediate_size": 4 * size.vision_hidden,
        "num_hidden_layers": size.vision_layers,
        "num_attention_heads": size.vision_hidden // 64,
        "image_size": IMAGE_SIDE,
        "patch_size": PATCH,
        "num_channels": 3,
        "qk_normalization": False,
        "qkv_bias": True,
        "norm_type": "layer_norm",
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu",
        "initializer_factor": 1.0,
        "attention_dropout": 0.0,
        "drop_path_rate": 0.0,
        "dropout": 0.0,
        "use_flash_attn": True,
        "torch_dtype": "bfloat16",
    }
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
        "llm_config": text,
        "vision_config": vision,
        "downsample_ratio": 1 / HALVING,
        "dynamic_image_size": True,
        "force_image_size": IMAGE_SIDE,
        "max_dynamic_patch": 12,
        "min_dynamic_patch": 1,
        "ps_version": "v2",
        "select_layer": -1,
        "template": "internvl2_5",
        "use_thumbnail": True,
        "tie_word_embeddings": size.text.tied,
        "torch_dtype": "bfloat16",
    }


def _tensors(size: Size, words: Vocabulary) -> Tensors:
    yield from _vision("vision_model", size.vision_hidden, size.vision_layers)
    joined = HALVING * HALVING * size.vision_hidden
    yield from norm("mlp1.0", joined, bias=True)
    yield from linear("mlp1.1", size.text.hidden, joined, bias=True)
    yield from linear("mlp1.3", size.text.hidden, size.text.hidden, bias=True)
    if size.text_kind == "internlm2":
        yield from _internlm2_tensors("language_model", size.text, words.unsaid)
    else:
        yield from decoder("language_model.model", "language_model.lm_head.weight", size.text, words.unsaid)


def _vision(at: str, width: int, layers: int) -> Tensors:
    grid = IMAGE_SIDE // PATCH
    yield Tensor(f"{at}.embeddings.class_embedding", (1, 1, width), 0.5)
    yield Tensor(f"{at}.embeddings.patch_embedding.weight", (width, 3, PATCH, PATCH))
    yield Tensor(f"{at}.embeddings.patch_embedding.bias", (width,), value=0.0)
    yield Tensor(f"{at}.embeddings.position_embedding", (1, grid * grid + 1, width), 0.5)
    for layer in range(layers):
        here = f"{at}.encoder.layers.{layer}"
        yield from norm(f"{here}.norm1", width, bias=True)
        yield from norm(f"{here}.norm2", width, bias=True)
        yield Tensor(f"{here}.ls1", (width,), value=0.3)
        yield Tensor(f"{here}.ls2", (width,), value=0.3)
        yield from linear(f"{here}.attn.qkv", 3 * width, width, bias=True)
        yield from linear(f"{here}.attn.proj", width, width, bias=True)
        yield from linear(f"{here}.mlp.fc1", 4 * width, width, bias=True)
        yield from linear(f"{here}.mlp.fc2", width, 4 * width, bias=True)


def _internlm2_tensors(at: str, size: Decoder, quiet: tuple[tuple[int, int], ...]) -> Tensors:
    yield from embedding(f"{at}.model.tok_embeddings.weight", size, quiet)
    for layer in range(size.layers):
        here = f"{at}.model.layers.{layer}"
        yield from linear(f"{here}.attention.wqkv", (size.heads + 2 * size.kv_heads) * size.head_dim, size.hidden)
        yield from linear(f"{here}.attention.wo", size.hidden, size.heads * size.head_dim)
        yield from linear(f"{here}.feed_forward.w1", size.inner, size.hidden)
        yield from linear(f"{here}.feed_forward.w2", size.hidden, size.inner)
        yield from linear(f"{here}.feed_forward.w3", size.inner, size.hidden)
        yield from norm(f"{here}.attention_norm", size.hidden)
        yield from norm(f"{here}.ffn_norm", size.hidden)
    yield from norm(f"{at}.model.norm", size.hidden)
    yield from head(f"{at}.output.weight", size, quiet)
