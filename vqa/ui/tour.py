"""The guided tour's script, rules and words; what it needs of a tab is beside that tab, in `ask/tour_ask.py` and
`lab/tour_repeat.py`. The script, assets/tour.js, walks through the page.
"""

import json

from vqa.markup import Markup, html
from vqa.settings import ASSETS
from vqa.text import LANGUAGES, table


def head() -> Markup:
    """Returns the tour's rules and script, and its words in every language, for <head>.

    Not through Gradio's `css`: of what stands in a media query there only what is inside its own root is met.
    """
    prefix = "tour."
    texts = {
        lang: {key.removeprefix(prefix): text for key, text in table(lang).items() if key.startswith(prefix)}
        for lang in LANGUAGES
    }
    rules, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("tour.css", "tour.js"))
    listed = json.dumps(texts, ensure_ascii=False).replace("</", "<\\/")
    return html("<style>{}</style><script>window.vqaTour={};{}</script>", *map(Markup, (rules, listed, script)))
