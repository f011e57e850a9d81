"""Shapes of pictures that families of models refuse. Pure; asks nobody."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vqa.errors import InputError
from vqa.media.images import ImagePayload

SMART_RESIZE = 200.0
"""Longest side over shortest: above it the image processors that derive from Qwen2-VL's raise an error in
`smart_resize` (transformers/models/qwen2_vl/image_processing_qwen2_vl.py, models/glm4v/image_processing_glm4v.py)."""
FAMILIES = re.compile(
    r"qwen(?:2|2\.5|3|3\.5)?-?(?:vl|omni)|qwen3\.5|qvq|glm-?4(?:\.\d+)?v|keye|ernie-?4\.5-?vl|paddleocr-?vl|dots\.?ocr"
    r"|mimo-?vl",
    re.IGNORECASE,
)


def refused_from(model: str) -> float | None:
    """Returns from which ratio of its sides on a picture is refused by a model of this name; None where unknown."""
    return SMART_RESIZE if FAMILIES.search(model) else None


def check_shapes(images: Iterable[ImagePayload], model: str) -> None:
    """Lets pictures pass that the model's family takes.

    Raises:
        InputError: one is too long for it.
    """
    most = refused_from(model)
    for image in images:
        ratio = max(image.width, image.height) / max(1, min(image.width, image.height))
        if most is not None and ratio > most:
            name = image.given_name or "image"
            raise InputError("image_ratio_refused", name=name, ratio=f"{ratio:.0f}", limit=f"{most:.0f}", model=model)
