"""Fonts found on this machine, and digits drawn with them as masks."""

import functools
import importlib.util
import os
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

DIGIT_HEIGHT = 0.72  # of the font size, roughly, in the fonts at hand
_MATPLOTLIB = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10", "cmss10", "cmtt10")


@functools.cache
def font_files() -> tuple[str, ...]:
    """Return the usable font files, sorted: matplotlib's, the system's and those in $VQA_FONTS; '' is PIL's own."""
    folders = [Path("/usr/share/fonts/truetype")]
    if os.environ.get("VQA_FONTS"):
        folders.append(Path(os.environ["VQA_FONTS"]))
    found = [path for folder in folders for path in folder.rglob("*.ttf") if "ExtraLight" not in path.name]
    spec = importlib.util.find_spec("matplotlib")
    if spec and spec.origin:
        folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
        found += [path for path in folder.glob("*.ttf") if path.stem.split("-")[0] in _MATPLOTLIB]
    by_name = {path.name: str(path) for path in found if "Symbol" not in path.name and "Math" not in path.name}
    return ("", *(by_name[key] for key in sorted(by_name)))


@functools.lru_cache(maxsize=512)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    if path:
        return ImageFont.truetype(path, size)
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def text_mask(text: str, font: int, height: float, width: float) -> Image.Image:
    """Return `text` as a tight mask (mode L), its digits about `height` pixels tall, at most `width` wide."""
    files = font_files()
    path = files[font % len(files)]
    size = max(8, round(height / DIGIT_HEIGHT))
    while size > 8 and _font(path, size).getlength(text) > width:
        size = min(size - 1, int(size * 0.93))
    face = _font(path, size)
    left, top, right, bottom = face.getbbox(text)
    mask = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))), 0)
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=face)
    return mask
