"""Names of the drawn world in English and Chinese, and the shades each colour may take."""

from dataclasses import dataclass
from enum import StrEnum


class Lang(StrEnum):
    """A language that the demo model is asked in and answers in."""

    EN = "en"
    ZH = "zh"


KINDS: tuple[str, ...] = ("circle", "square", "triangle", "star", "rectangle")
COLORS: tuple[str, ...] = (
    "red",
    "green",
    "blue",
    "yellow",
    "orange",
    "purple",
    "black",
    "gray",
    "teal",
    "brown",
)

# What a question may call a thing; the first name is the one that answers use.
KIND_NAMES: dict[Lang, dict[str, tuple[str, ...]]] = {
    Lang.EN: {
        "circle": ("circle",),
        "square": ("square",),
        "triangle": ("triangle",),
        "star": ("star",),
        "rectangle": ("rectangle",),
    },
    Lang.ZH: {
        "circle": ("圆形", "圆", "圆圈"),
        "square": ("正方形", "方形", "方块"),
        "triangle": ("三角形", "三角"),
        "star": ("星形", "星星", "五角星"),
        "rectangle": ("长方形", "矩形"),
    },
}
COLOR_NAMES: dict[Lang, dict[str, tuple[str, ...]]] = {
    Lang.EN: {**{c: (c,) for c in COLORS}, "gray": ("gray", "grey")},
    Lang.ZH: {
        "red": ("红色",),
        "green": ("绿色",),
        "blue": ("蓝色",),
        "yellow": ("黄色",),
        "orange": ("橙色", "橘色"),
        "purple": ("紫色",),
        "black": ("黑色",),
        "gray": ("灰色",),
        "teal": ("青色", "蓝绿色"),
        "brown": ("棕色", "褐色"),
    },
}
SIZE_NAMES: dict[Lang, dict[str, tuple[str, ...]]] = {
    Lang.EN: {"small": ("small", "little"), "large": ("large", "big")},
    Lang.ZH: {"small": ("小", "小的"), "large": ("大", "大的")},
}
THING_NAMES: dict[Lang, tuple[str, ...]] = {
    Lang.EN: ("shape", "object", "figure"),
    Lang.ZH: ("图形", "形状", "物体"),
}
ONLY_DRAWN: dict[Lang, str] = {
    Lang.EN: "I only know drawn shapes, their colors, counts, sizes, positions and printed numbers.",
    Lang.ZH: "我只认识画出来的图形，以及它们的颜色、数量、大小、位置和印出的数字。",
}


@dataclass(frozen=True)
class Shades:
    """A box of HSV values that everybody would call by one name; hue in degrees, the rest in 0..1."""

    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]


# The boxes leave gaps between the classes, so that no shade is a matter of opinion.
SHADES: dict[str, Shades] = {
    "red": Shades((-8, 7), (0.74, 1.0), (0.78, 1.0)),
    "orange": Shades((23, 39), (0.8, 1.0), (0.9, 1.0)),
    "yellow": Shades((49, 61), (0.7, 1.0), (0.9, 1.0)),
    "green": Shades((96, 142), (0.55, 1.0), (0.45, 1.0)),
    "teal": Shades((173, 187), (0.78, 1.0), (0.4, 0.6)),
    "blue": Shades((205, 242), (0.7, 1.0), (0.55, 1.0)),
    "purple": Shades((268, 300), (0.45, 1.0), (0.45, 0.85)),
    "brown": Shades((0, 28), (0.45, 0.84), (0.35, 0.65)),
    "black": Shades((0, 360), (0.0, 0.15), (0.0, 0.13)),
    "gray": Shades((0, 360), (0.0, 0.05), (0.38, 0.68)),
}
# What drawing programs use when asked for the colour by name.
PURE: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((255, 0, 0), (220, 20, 60), (214, 39, 40), (229, 57, 53)),
    "orange": ((255, 165, 0), (255, 127, 14), (251, 140, 0)),
    "yellow": ((255, 255, 0), (255, 215, 0), (253, 216, 53)),
    "green": ((0, 128, 0), (0, 255, 0), (44, 160, 44), (67, 160, 71)),
    "teal": ((0, 128, 128), (0, 137, 123)),
    "blue": ((0, 0, 255), (31, 119, 180), (30, 136, 229), (65, 105, 225)),
    "purple": ((128, 0, 128), (148, 103, 189), (142, 36, 170)),
    "brown": ((165, 42, 42), (139, 69, 19), (140, 86, 75), (121, 85, 72)),
    "black": ((0, 0, 0), (33, 33, 33)),
    "gray": ((128, 128, 128), (127, 127, 127), (105, 105, 105), (158, 158, 158)),
}
