"""Draws a scene with PIL, in its native size; independent of the tensor renderer that training uses most."""

import io
import math
import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from training.fonts import text_mask
from training.scenes import Background, Number, Rgb, Scene, Shape, World

FloatArray = NDArray[np.float32]


def vertices(shape: Shape) -> list[tuple[float, float]]:
    """Return a polygon's corners in pixels relative to its centre; a circle has none."""
    r = shape.radius
    if shape.kind == "square":
        points = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
        points = [(x * r / math.sqrt(2), y * r / math.sqrt(2)) for x, y in points]
    elif shape.kind == "rectangle":
        b = r / math.hypot(1, shape.ratio)
        a = b * shape.ratio
        points = [(-a, -b), (a, -b), (a, b), (-a, b)]
    elif shape.kind == "triangle":
        points = [(shape.skew * r, -r * shape.ratio), (0.866 * r, 0.5 * r), (-0.866 * r, 0.5 * r)]
    elif shape.kind == "star":
        points = []
        for i in range(10):
            reach = r if i % 2 == 0 else r * shape.ratio
            points.append((reach * math.sin(math.pi * i / 5), -reach * math.cos(math.pi * i / 5)))
    else:
        return []
    c, s = math.cos(shape.angle), math.sin(shape.angle)
    return [(x * c - y * s, x * s + y * c) for x, y in points]


def _smooth_noise(gen: np.random.Generator, height: int, width: int, cells: int, channels: int) -> FloatArray:
    """Return smooth noise in about -1..1, shape (height, width, channels)."""
    layers = []
    for _ in range(channels):
        grid = Image.fromarray(gen.uniform(-1, 1, (cells, cells)).astype(np.float32))
        layers.append(np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)))
    return np.stack(layers, axis=-1)


def _backdrop(gen: np.random.Generator, bg: Background, width: int, height: int) -> FloatArray:
    """Return the backdrop as floats in 0..255, shape (height, width, 3)."""
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    along = (xs / width - 0.5) * math.cos(bg.angle) + (ys / height - 0.5) * math.sin(bg.angle)
    blend = np.clip(along + 0.5, 0, 1)[..., None]
    image: FloatArray = np.asarray(bg.rgb, np.float32) * (1 - blend) + np.asarray(bg.rgb2, np.float32) * blend
    if bg.texture:
        image += 255 * bg.texture * _smooth_noise(gen, height, width, bg.texture_cells, 1)
    if bg.grain:
        image += 255 * bg.grain * gen.standard_normal((height, width, 1)).astype(np.float32)
    return image


def _foreign(gen: np.random.Generator, scene: Scene) -> FloatArray:
    """Return noise, a strong gradient or photograph-like texture, floats in 0..255, shape (height, width, 3)."""
    width, height = scene.width, scene.height
    if scene.world is World.NOISE:
        block = int(gen.choice([1, 1, 2, 4, 8]))
        small = gen.uniform(0, 255, (-(-height // block), -(-width // block), int(gen.choice([1, 3]))))
        image = np.repeat(np.repeat(small, block, 0), block, 1)[:height, :width]
        return np.broadcast_to(image, (height, width, 3)).astype(np.float32)
    if scene.world is World.GRADIENT:
        while True:
            corners = gen.uniform(0, 255, (2, 2, 3)).astype(np.float32)
            if corners.std(axis=(0, 1)).max() > 55:
                break
        grids = [Image.fromarray(corners[..., c]) for c in range(3)]
        return np.stack([np.asarray(g.resize((width, height), Image.Resampling.BILINEAR)) for g in grids], -1)
    photo: FloatArray = np.zeros((height, width, 3), np.float32) + gen.uniform(60, 190, 3).astype(np.float32)
    weight = 1.0
    for cells in (3, 6, 12, 24, 48, 96):
        light = _smooth_noise(gen, height, width, cells, 1)
        photo += 95 * weight * light + 40 * weight * _smooth_noise(gen, height, width, cells, 3)
        weight *= float(gen.uniform(0.55, 0.9))
    return photo


def _shape_mask(shape: Shape, scale: int, *, rim: float = 0.0) -> tuple[Image.Image, int]:
    """Return the mask of a shape and its half size in pixels; `rim` > 0 draws only an edge that wide."""
    half = math.ceil(shape.radius * 1.15 + shape.stroke + 2)
    side = 2 * half * scale
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    cx, cy = (half + shape.x % 1) * scale, (half + shape.y % 1) * scale
    line = round((rim or shape.stroke) * scale)
    outlined = rim > 0 or not shape.filled
    if shape.kind == "circle":
        reach = shape.radius * scale
        box = [cx - reach, cy - reach, cx + reach, cy + reach]
        draw.ellipse(box, fill=None if outlined else 255, outline=255 if outlined else None, width=max(1, line))
    else:
        points = [(cx + x * scale, cy + y * scale) for x, y in vertices(shape)]
        if outlined:
            draw.line([*points, *points[:2]], fill=255, width=max(1, line), joint="curve")
        else:
            draw.polygon(points, fill=255)
    if scale > 1:
        mask = mask.resize((2 * half, 2 * half), Image.Resampling.BOX)
    return mask, half


def _paste(image: Image.Image, mask: Image.Image, rgb: Rgb, x: int, y: int) -> None:
    image.paste(Image.new("RGB", mask.size, rgb), (x, y), mask)


def _draw_shape(image: Image.Image, shape: Shape, scale: int) -> None:
    mask, half = _shape_mask(shape, scale)
    corner = (math.floor(shape.x) - half, math.floor(shape.y) - half)
    _paste(image, mask, shape.rgb, *corner)
    if shape.border:
        rim, _ = _shape_mask(shape, scale, rim=max(1.0, 0.05 * shape.radius))
        _paste(image, rim, (0, 0, 0), *corner)


def _draw_number(image: Image.Image, number: Number) -> None:
    mask = text_mask(number.text, number.font, number.height, number.width)
    if number.angle:
        mask = mask.rotate(-math.degrees(number.angle), Image.Resampling.BICUBIC, expand=True)
    _paste(image, mask, number.rgb, round(number.x - mask.width / 2), round(number.y - mask.height / 2))


def render(scene: Scene) -> Image.Image:
    """Return the picture of `scene` in its native size (RGB); the same scene gives the same picture."""
    gen = np.random.default_rng(scene.seed)
    rng = random.Random(scene.seed + 1)
    backdrop = _backdrop(gen, scene.background, scene.width, scene.height)
    if scene.world is not World.SHAPES:
        backdrop = _foreign(gen, scene)
    image = Image.fromarray(np.clip(backdrop, 0, 255).astype(np.uint8), "RGB")
    scale = rng.choice((2, 3, 4)) if scene.antialias else 1
    for shape in scene.shapes:
        _draw_shape(image, shape, scale)
    for number in scene.numbers:
        _draw_number(image, number)
    if scene.blur:
        image = image.filter(ImageFilter.GaussianBlur(scene.blur))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(45, 95))
        image = Image.open(buffer).convert("RGB")
    return image


def squash(image: Image.Image, side: int) -> Image.Image:
    """Return `image` as the checkpoint's processor hands it on: longest edge to `side`, then to a square."""
    width, height = image.size
    if width >= height:
        size = (side, max(1, _even(int(side / (width / height)))))
    else:
        size = (max(1, _even(int(side * (width / height)))), side)
    return image.resize(size, Image.Resampling.LANCZOS).resize((side, side), Image.Resampling.LANCZOS)


def _even(length: int) -> int:
    return length + length % 2
