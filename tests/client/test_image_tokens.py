"""Tokens of images are told apart from the markers around them, as model cards count them."""

from __future__ import annotations

from vqa.client.collect import Collector


def collected(prompt_ids: list[int] | None, image: int | None) -> Collector:
    made = Collector()
    details = {} if image is None else {"multimodal_tokens": {"image": image}}
    made.add({"prompt_token_ids": prompt_ids, "usage": {"prompt_tokens": 90, "prompt_tokens_details": details}})
    return made


def test_markers_are_what_is_left_of_the_image_tokens() -> None:
    prompt = [1, 2, 3, 50, *[7] * 64, 51, 52, 9]
    answer = collected(prompt, 67).answer()
    assert (answer.image_tokens, answer.image_markers) == (67, 3)
    assert collected(prompt, None).answer().image_markers == 0


def test_without_the_prompts_ids_nobody_knows_the_markers() -> None:
    answer = collected(None, 67).answer()
    assert (answer.image_tokens, answer.image_markers) == (67, None)
