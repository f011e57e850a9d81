"""`python -m scripts.determinism`: writes the pages and their figures anew from the recorded runs."""

from __future__ import annotations

import sys

from scripts.determinism.pages import DOCS, everything


def main() -> int:
    """Writes every file and says which changed."""
    for name, content in everything().items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        changed = not path.is_file() or path.read_text(encoding="utf-8") != content
        path.write_text(content, encoding="utf-8")
        print(f"{'wrote' if changed else 'same '} docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
