"""The same request as code that anybody can run: Python with the openai client, curl, and JavaScript."""

from __future__ import annotations

import json

from vqa.answers import Json, Question
from vqa.client import request_body
from vqa.errors import VQAError
from vqa.ui.ask.clients import Clients
from vqa.ui.services import Services

PICTURE = "__PICTURE_{}__"


async def code_of(services: Services, clients: Clients, question: Question | None) -> tuple[str, str, str]:
    """Returns a request as code; where there is none, or no server to send it to, no code."""
    if question is None:
        return "", "", ""
    try:
        client = await clients.current()
        info = await client.info()
    except VQAError:
        return "", "", ""
    # Where the server of a public demo stands is nobody's business; to run the code one needs one's own anyway.
    address = "http://127.0.0.1:8000/v1" if services.settings.public else client.base_url
    return snippets(question, address, info.model_ids[0], vllm=info.is_vllm)


def snippets(question: Question, base_url: str, model: str, *, vllm: bool) -> tuple[str, str, str]:
    """Returns the request as Python, shell and JavaScript; pictures are read from files named as they were given."""
    body, files = _body(question, model, vllm=vllm)
    return _python(body, files, base_url), _curl(body, files, base_url), _javascript(body, files, base_url)


def _body(question: Question, model: str, *, vllm: bool) -> tuple[dict[str, Json], list[tuple[str, str]]]:
    """Returns the request without logprobs and token ids, and the (file, MIME type) of each placeholder in it."""
    body = request_body(question, model, vllm=vllm)
    for name in ("logprobs", "top_logprobs"):
        body.pop(name, None)
    extra = {name: value for name, value in body.pop("extra_body", {}).items() if name != "return_token_ids"}
    if extra:
        body["extra_body"] = extra
    pictures = [image for turn in question.history for image in turn.images] + list(question.images)
    files = [(image.given_name or f"picture-{place}.png", image.mime) for place, image in enumerate(pictures, 1)]
    place = 0
    for message in body["messages"]:
        if isinstance(message["content"], list):
            for part in message["content"]:
                if part["type"] == "image_url":
                    part["image_url"] = {"url": PICTURE.format(place)}
                    place += 1
    return body, files


def _python(body: dict[str, Json], files: list[tuple[str, str]], base_url: str) -> str:
    arguments = []
    for name, value in body.items():
        shown = _python_value(value)
        for place, (path, mime) in enumerate(files):
            shown = shown.replace(repr(PICTURE.format(place)), f"data_url({path!r}, {mime!r})")
        arguments.append(f"    {name}={shown},")
    return "\n".join(
        [
            "import base64",
            "from pathlib import Path",
            "",
            "from openai import OpenAI",
            "",
            f'client = OpenAI(base_url={json.dumps(base_url)}, api_key="EMPTY")',
            "",
            "",
            "def data_url(path: str, mime: str) -> str:",
            '    return f"data:{mime};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"',
            "",
            "",
            "answer = client.chat.completions.create(",
            *arguments,
            ")",
            "print(answer.choices[0].message.content)",
            "",
        ]
    )


def _python_value(value: Json, depth: int = 1) -> str:
    """Returns a literal, broken into lines where it holds other containers."""
    pad, end = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict) and value:
        rows = [f"{pad}{key!r}: {_python_value(item, depth + 1)}," for key, item in value.items()]
        return "\n".join(["{", *rows, f"{end}}}"]) if len(str(value)) > 60 else repr(value)
    if isinstance(value, list) and value:
        rows = [f"{pad}{_python_value(item, depth + 1)}," for item in value]
        return "\n".join(["[", *rows, f"{end}]"]) if len(str(value)) > 60 else repr(value)
    return repr(value)


def _plain(body: dict[str, Json]) -> dict[str, Json]:
    """Returns the body as it goes over the wire: vLLM's own fields stand beside the others."""
    extra: dict[str, Json] = body.get("extra_body", {})
    return {name: value for name, value in body.items() if name != "extra_body"} | extra


def _curl(body: dict[str, Json], files: list[tuple[str, str]], base_url: str) -> str:
    text = json.dumps(_plain(body), ensure_ascii=False, indent=2).replace("'", "'\\''")
    for place, (path, mime) in enumerate(files):
        quoted = path.replace("'", "'\\''")
        source = f"\"data:{mime};base64,'\"$(base64 < '{quoted}' | tr -d '\\n')\"'\""
        text = text.replace(f'"{PICTURE.format(place)}"', source)
    headers = "-H 'Content-Type: application/json' -H 'Authorization: Bearer EMPTY'"
    return f"curl -sS {base_url}/chat/completions \\\n  {headers} \\\n  --data-binary @- <<< '{text}'\n"


def _javascript(body: dict[str, Json], files: list[tuple[str, str]], base_url: str) -> str:
    text = json.dumps(_plain(body), ensure_ascii=False, indent=2)
    for place, (path, mime) in enumerate(files):
        text = text.replace(f'"{PICTURE.format(place)}"', f"dataUrl({json.dumps(path)}, {json.dumps(mime)})")
    return (
        'import { readFileSync } from "node:fs";\n\n'
        'const dataUrl = (path, mime) => `data:${mime};base64,${readFileSync(path).toString("base64")}`;\n\n'
        f"const reply = await fetch({json.dumps(base_url + '/chat/completions')}, {{\n"
        '  method: "POST",\n'
        '  headers: { "Content-Type": "application/json", Authorization: "Bearer EMPTY" },\n'
        f"  body: JSON.stringify({text}),\n"
        "});\n"
        "console.log((await reply.json()).choices[0].message.content);\n"
    )
