"""Every text a user can see, in English and Chinese, looked up by key.

The tables are `vqa/text/<language>/<topic>.json`; the key of an entry is `<topic>.<name>`. Placeholders are
those of `str.format`. Both languages hold the same keys and placeholders: a test compares them.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@cache
def table(language: Language) -> dict[str, str]:
    """Returns all texts of one language, keyed `topic.name`."""
    entries: dict[str, str] = {}
    for topic in sorted((files(__name__) / language).iterdir(), key=lambda path: path.name):
        if topic.name.endswith(".json"):
            texts: dict[str, str] = json.loads(topic.read_text(encoding="utf-8"))
            entries |= {f"{topic.name.removesuffix('.json')}.{name}": text for name, text in texts.items()}
    return entries


def t(key: str, language: Language = "en", **values: object) -> str:
    """Returns the text of `key` in `language` with its placeholders filled in.

    Raises:
        KeyError: the key, or a placeholder's value, is missing.
    """
    text = table(language)[key]
    return text.format(**values) if values else text


def text_or_itself(key: str, language: Language = "en") -> str:
    """Returns the text of a key, and what is none as it is: reasons are stored as keys, or as a server's own words."""
    return table(language).get(key, key)


def pick_language(wanted: str | None) -> Language:
    """Returns the supported language nearest to a tag or Accept-Language header such as 'zh-CN,zh;q=0.9'."""
    return "zh" if (wanted or "").strip().lower().startswith("zh") else "en"
