"""Writes the held-out questions or easy-VQA as a data set that `python -m vqa evaluate` reads: pictures and lines."""

import argparse
import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from training.evaluate import Item, easy_vqa, held_out


def write(items: Iterable[Item], folder: Path, *, single: bool = False) -> Path:
    """Write the pictures and `rows.jsonl`; with `single` only conversations of one turn. Return the path of the rows.

    The picture stands in a message where its mark `<image>` is.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    path = folder / "rows.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for item in items:
            if single and len(item.messages) > 1:
                continue
            picture = base64.b64decode(item.url.partition(",")[2])
            name = f"images/{hashlib.sha256(picture).hexdigest()[:16]}.png"  # several questions share a picture
            if not (folder / name).exists():
                (folder / name).write_bytes(picture)
            messages = [{"role": turn["role"], "content": _text(turn["content"])} for turn in item.messages]
            row = {"id": item.key, "messages": messages, "images": [name], "answer": item.answer,
                   "type": f"{item.type} ({item.lang})"}  # fmt: skip
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    assert isinstance(content, list)
    return "".join("<image>" if part["type"] == "image" else str(part["text"]) for part in content)


def main() -> None:
    """Write the data set that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", choices=["held-out", "easy-vqa"], default="held-out")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--single", action="store_true", help="only conversations of one turn")
    options = parser.parse_args()
    source = held_out if options.set == "held-out" else easy_vqa
    print(write(source(options.count), options.folder, single=options.single))


if __name__ == "__main__":
    main()
