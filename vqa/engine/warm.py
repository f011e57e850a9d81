"""What a started server computes before it is called ready, so that its first answer takes no longer than later ones.

The one-token question of the health check leaves out what a real one needs first: the candidates of each token (a
kernel of their own, which torch.compile builds at their first use), a second token, a picture of a usual size. So one
question is asked as the page asks, and its answer thrown away.

It touches the prefix cache without changing any later answer: its blocks bear a salt that nobody else has, so no other
prompt finds them, and they are the first to make room. The picture cache keeps its picture until it is pushed out; the
counters of /metrics count one request more.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from io import BytesIO
from typing import Any

import httpx2 as httpx

from vqa.engine.health import Endpoint, Probe, WrongError, post_question
from vqa.engine.metrics import plain_client
from vqa.engine.state import Limits

SIZE = 640, 480
"""Pixels: the shape of most photographs, which models that cut pictures into tiles cut into several."""
TOKENS = 4
CANDIDATES = 5
"""As the Ask tab asks for them."""


def warm_up(target: Endpoint, found: Probe, limits: Limits) -> None:
    """Has the server that `found` describes answer once as it will be asked; whatever goes wrong is left to others.

    Takes at most `limits.warm` seconds. A server that takes no picture is asked without, and one that refuses a field
    of the question would refuse it later too: that is the answer's to tell, and no reason not to be ready.
    """
    from vqa.client.address import server_root  # `status` and `stop` warm nobody, and need not load it

    content: list[dict[str, Any]] = [{"type": "text", "text": "What is in this picture?"}]
    if found.takes_images:
        content.insert(0, {"type": "image_url", "image_url": {"url": _picture()}})
    body = {
        "model": found.model_id,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": CANDIDATES,
        "return_token_ids": True,
        "cache_salt": secrets.token_hex(16),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    path = f"{target.base_url.removeprefix(server_root(target.base_url))}/chat/completions"
    with (
        contextlib.suppress(WrongError, httpx.HTTPError),
        plain_client(target.base_url, target.api_key, limits.connect) as client,
    ):
        post_question(client, path, body, limits.warm)


def _picture() -> str:
    from PIL import Image

    out = BytesIO()
    Image.linear_gradient("L").resize(SIZE).convert("RGB").save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
