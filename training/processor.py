"""The demo model's tokenizer, chat template and image processor, built from its own phrases."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Idefics3Processor, PreTrainedTokenizerFast
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from training.lexicon import Lang
from training.phrases import SYSTEM
from training.questions import ask
from training.scenes import SceneOptions, sample_scene

IMAGE_SIDE = 256
PATCH = 16
SHUFFLE = 2
IMAGE_TOKENS = (IMAGE_SIDE // PATCH // SHUFFLE) ** 2
VOCABULARY = 1152
MAX_LENGTH = 2048
PAD, END, IMAGE, FAKE, GLOBAL = "<pad>", "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>"
USER, ASSISTANT, SYSTEM_ROLE = "<|user|>", "<|assistant|>", "<|system|>"
SPECIAL = (PAD, END, IMAGE, FAKE, GLOBAL, USER, ASSISTANT, SYSTEM_ROLE)
IMAGE_BLOCK = FAKE + GLOBAL + IMAGE * IMAGE_TOKENS + FAKE

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + (message['role'] if message['role'] in ['user', 'assistant', 'system'] else 'user') + '|>' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] | trim -}}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] in ['image', 'image_url'] -%}{{- '<image>' -}}"
    "{%- elif 'text' in part -%}{{- part['text'] | trim -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{- '<end_of_utterance>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def corpus(scenes: int = 6000) -> Iterator[str]:
    """Yield the texts that the tokenizer's merges are learnt from: questions lower-cased, answers as they are."""
    rng = random.Random(0)
    for seed in range(scenes):
        scene = sample_scene(seed, SceneOptions(largest=256))
        for lang in Lang:
            for question in ask(scene, lang, rng, 6):
                yield question.text.lower().replace("？", "?").replace("，", ",")
                yield question.answer
    yield from SYSTEM


def build_tokenizer() -> Tokenizer:
    """Return a byte-level BPE tokenizer that reads any text, case-blind, and writes with capitals.

    Learning the merges before the normalizer is set keeps the capitals of the answers in the vocabulary, while
    whatever is read is lower-cased: 'WHAT' and 'what' are then one question to the model.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        max_token_length=10,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    return tokenizer


def build_processor(tokenizer: Tokenizer) -> Any:
    """Return the Idefics3 processor: pictures squashed to a square, 64 image tokens each."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[IMAGE, FAKE, GLOBAL, USER, ASSISTANT, SYSTEM_ROLE],
        model_max_length=MAX_LENGTH,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": IMAGE_SIDE},
        max_image_size={"longest_edge": IMAGE_SIDE},
        do_image_splitting=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return Idefics3Processor(images, fast, image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Return the id of a token that the tokenizer must have."""
    found = tokenizer.token_to_id(token)
    assert found is not None, token
    return int(found)


class Codec:
    """Turns texts into token ids as the served model reads and writes them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.reader = tokenizer
        self.writer = Tokenizer.from_str(tokenizer.to_str())
        self.writer.normalizer = normalizers.Sequence([])
        self.ids = {token: token_id(tokenizer, token) for token in SPECIAL}
        self._read: dict[str, list[int]] = {}
        self._written: dict[str, list[int]] = {}

    def read(self, text: str) -> list[int]:
        """Return the ids of a text that stands in a prompt."""
        return self._cached(self._read, self.reader, text)

    def write(self, text: str) -> list[int]:
        """Return the ids of an answer as the model is to write it, without the end token."""
        return self._cached(self._written, self.writer, text)

    @staticmethod
    def _cached(cache: dict[str, list[int]], tokenizer: Tokenizer, text: str) -> list[int]:
        ids = cache.get(text)
        if ids is None:
            if len(cache) > 200_000:
                cache.clear()
            ids = cache[text] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def load_codec(folder: Path) -> Codec:
    """Return the codec of a saved checkpoint or of a folder with a tokenizer.json."""
    return Codec(Tokenizer.from_file(str(folder / "tokenizer.json")))
