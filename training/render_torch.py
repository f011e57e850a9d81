"""Draws batches of scenes as tensors by signed distance functions, and says what each patch shows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training.fonts import text_mask
from training.lexicon import COLORS, KINDS
from training.scenes import MAX_NUMBERS, MAX_SHAPES, Scene, World

STRIP_H, STRIP_W = 48, 144
_WORLDS = tuple(World)
_K1 = (0.809016994375, -0.587785252292)


@dataclass
class SceneArrays:
    """A batch of scenes of one native size, as arrays: B scenes, N shapes or M numbers each.

    shapes (B, N, 16): present, kind, x, y, radius, cos, sin, filled, stroke, ratio, skew, border, r, g, b, colour.
    numbers (B, M, 10): present, x, y, strip pixels a picture pixel, cos, sin, r, g, b, colour.
    strips (B, M, 48, 144): the numbers' masks, uint8.  backdrop (B, 13): rgb, rgb2, cos, sin, texture, grain,
    antialias, blur, world.  boxes (B, M, 2): width and height of each number in pixels.
    texts (B, M, 4): digits, -1 past the end.  size: (height, width) in pixels.
    """

    shapes: NDArray[np.float32]
    numbers: NDArray[np.float32]
    strips: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    backdrop: NDArray[np.float32]
    texts: NDArray[np.int64]
    cells: int
    size: tuple[int, int]
    seed: int


def pack(scenes: list[Scene]) -> SceneArrays:
    """Return the arrays of `scenes`, which must share one size."""
    count = len(scenes)
    shapes = np.zeros((count, MAX_SHAPES, 16), np.float32)
    numbers = np.zeros((count, MAX_NUMBERS, 10), np.float32)
    boxes = np.zeros((count, MAX_NUMBERS, 2), np.float32)
    strips = np.zeros((count, MAX_NUMBERS, STRIP_H, STRIP_W), np.uint8)
    texts = np.full((count, MAX_NUMBERS, 4), -1, np.int64)
    backdrop = np.zeros((count, 13), np.float32)
    for b, scene in enumerate(scenes):
        bg = scene.background
        backdrop[b] = [
            *(c / 255 for c in bg.rgb), *(c / 255 for c in bg.rgb2), math.cos(bg.angle), math.sin(bg.angle),
            bg.texture, bg.grain, scene.antialias, scene.blur, _WORLDS.index(scene.world),
        ]  # fmt: skip
        for n, s in enumerate(scene.shapes):
            shapes[b, n] = [
                1, KINDS.index(s.kind), s.x, s.y, s.radius, math.cos(s.angle), math.sin(s.angle), s.filled,
                s.stroke, s.ratio, s.skew, s.border, *(c / 255 for c in s.rgb), COLORS.index(s.color),
            ]  # fmt: skip
        for m, number in enumerate(scene.numbers):
            mask = text_mask(number.text, number.font, number.height, number.width)
            boxes[b, m] = mask.size
            shrink = max(1.0, mask.width / STRIP_W, mask.height / STRIP_H)
            if shrink > 1:
                mask = mask.resize((int(mask.width / shrink), int(mask.height / shrink)), Image.Resampling.BOX)
            top, left = (STRIP_H - mask.height) // 2, (STRIP_W - mask.width) // 2
            strips[b, m, top : top + mask.height, left : left + mask.width] = np.asarray(mask)
            texts[b, m, : len(number.text)] = [int(d) for d in number.text]
            numbers[b, m] = [
                1, number.x, number.y, 1 / shrink, math.cos(number.angle), math.sin(number.angle),
                *(c / 255 for c in number.rgb), COLORS.index(number.color),
            ]  # fmt: skip
    first = scenes[0]
    return SceneArrays(
        shapes, numbers, strips, boxes, backdrop, texts, first.background.texture_cells,
        (first.height, first.width), first.seed,
    )  # fmt: skip


def signed_distance(shapes: Tensor, px: Tensor, py: Tensor) -> Tensor:
    """Return the distance in pixels from each point to each shape's edge, negative inside.

    Args:
        shapes: (B, N, 16) as in SceneArrays.
        px: across, in pixels, broadcastable to (B, N, P).
        py: down, likewise.
    """
    column = shapes.unsqueeze(-2).unbind(-1)  # each (B, N, 1)
    kind, x, y, r, cos, sin, ratio, skew = (column[i] for i in (1, 2, 3, 4, 5, 6, 9, 10))
    dx, dy = px - x, py - y
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    circle = torch.sqrt(u * u + v * v) - r
    is_square = kind == 1
    short = torch.where(is_square, r / math.sqrt(2), r / torch.sqrt(1 + ratio**2))
    long = torch.where(is_square, short, short * ratio)
    box = torch.maximum(u.abs() - long, v.abs() - short)
    distance = torch.where(kind == 0, circle, box)
    distance = torch.where(kind == 2, _triangle(u, v, r, ratio, skew), distance)
    distance = torch.where(kind == 3, _star(u, v, r, ratio), distance)
    return torch.where(column[0] > 0, distance, torch.full_like(distance, 1e4))


def _triangle(u: Tensor, v: Tensor, r: Tensor, ratio: Tensor, skew: Tensor) -> Tensor:
    corners = [(skew * r, -r * ratio), (0.866 * r, 0.5 * r), (-0.866 * r, 0.5 * r)]
    planes = []
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey = bx - ax, by - ay
        length = torch.sqrt(ex * ex + ey * ey).clamp_min(1e-6)
        planes.append((ey * (u - ax) - ex * (v - ay)) / length)
    return torch.maximum(torch.maximum(planes[0], planes[1]), planes[2])


def _star(u: Tensor, v: Tensor, r: Tensor, inner: Tensor) -> Tensor:
    """Return the distance to a five-pointed star (Quilez, '2D distance functions', sdStar5)."""
    px, py = u.abs(), -v
    for kx in (_K1[0], -_K1[0]):
        fold = 2 * (kx * px + _K1[1] * py).clamp_min(0)
        px, py = px - fold * kx, py - fold * _K1[1]
    px, py = px.abs(), py - r
    bx, by = inner * -_K1[1], inner * _K1[0] - 1
    h = torch.minimum(((px * bx + py * by) / (bx * bx + by * by)).clamp_min(0), r)
    return torch.sqrt((px - bx * h) ** 2 + (py - by * h) ** 2) * torch.sign(py * bx - px * by)


def lanczos_matrix(source: int, target: int, device: torch.device) -> Tensor:
    """Return the (target, source) matrix by which PIL resizes a line with LANCZOS."""
    scale = max(source / target, 1.0)
    centers = (torch.arange(target, device=device, dtype=torch.float32) + 0.5) * source / target
    offsets = (torch.arange(source, device=device, dtype=torch.float32)[None] + 0.5 - centers[:, None]) / scale
    weights = torch.where(offsets.abs() < 3, torch.sinc(offsets) * torch.sinc(offsets / 3), 0.0)
    return weights / weights.sum(1, keepdim=True)


def squash(images: Tensor, side: int) -> Tensor:
    """Return (B, 3, side, side) from (B, 3, h, w) in 0..1, resized twice as the checkpoint's processor does."""
    h, w = images.shape[-2:]
    if w >= h:
        mid_h, mid_w = int(side / (w / h)), side
    else:
        mid_h, mid_w = side, int(side * (w / h))
    mid_h, mid_w = max(1, mid_h + mid_h % 2), max(1, mid_w + mid_w % 2)
    for target_h, target_w in ((mid_h, mid_w), (side, side)):
        h, w = images.shape[-2:]
        if w != target_w:
            images = (images @ lanczos_matrix(w, target_w, images.device).T).clamp(0, 1)
        if h != target_h:
            images = (lanczos_matrix(h, target_h, images.device) @ images).clamp(0, 1)
    return images


def paint(image: Tensor, shapes: Tensor, smooth: Tensor, px: Tensor, py: Tensor) -> Tensor:
    """Return the picture (B, 3, P) with the shapes drawn on it in their order.

    Args:
        image: the backdrop, (B, 3, P).
        shapes: (B, N, 16) as in SceneArrays.
        smooth: (B,), 1 where edges are anti-aliased.
        px: (1, 1, P), the points' places across, in pixels.
        py: (1, 1, P), their places down.
    """
    distance = signed_distance(shapes, px, py)
    column = shapes.unsqueeze(-2).unbind(-1)
    filled, stroke, border, radius = column[7], column[8], column[11], column[4]
    edge = torch.where(filled > 0, distance, (distance + stroke / 2).abs() - stroke / 2)
    alpha = torch.where(smooth[:, None, None] > 0, (0.5 - edge).clamp(0, 1), (edge < 0).float())
    rim_width = (0.05 * radius).clamp_min(1.0)
    rim = 1 - (0.5 - ((distance + rim_width / 2).abs() - rim_width / 2)).clamp(0, 1) * border
    for n in range(shapes.shape[1]):
        a = alpha[:, n, None]
        image = (image * (1 - a) + shapes[:, n, 12:15, None] * a) * rim[:, n, None]
    return image


Distance = Callable[[Tensor, Tensor, Tensor], Tensor]
Painter = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class Renderer:
    """Draws SceneArrays on a device."""

    def __init__(self, device: torch.device, side: int) -> None:
        self.device, self.side = device, side
        self._paint: Painter = paint
        self.distance: Distance = signed_distance

    def compile(self) -> None:
        """Fuse the arithmetic of the shapes into a few kernels."""
        self._paint = torch.compile(paint, dynamic=True)
        self.distance = torch.compile(signed_distance, dynamic=True)

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)

    @torch.no_grad()
    def draw(self, arrays: SceneArrays) -> Tensor:
        """Return pictures (B, 3, side, side) in 0..1, float32."""
        height, width = arrays.size
        gen = torch.Generator(self.device).manual_seed(arrays.seed)
        shapes, backdrop = self._tensor(arrays.shapes), self._tensor(arrays.backdrop)
        ys = torch.arange(height, device=self.device, dtype=torch.float32) + 0.5
        xs = torch.arange(width, device=self.device, dtype=torch.float32) + 0.5
        image = self._backdrop(backdrop, xs / width, ys / height, arrays.cells, gen)
        py, px = torch.meshgrid(ys, xs, indexing="ij")
        image = self._paint(image.flatten(2), shapes, backdrop[:, 10], px.reshape(1, 1, -1), py.reshape(1, 1, -1))
        image = image.view(-1, 3, height, width)
        if arrays.numbers[..., 0].any():
            image = self._numbers(image, arrays, px, py)
        blurred = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
        image = image + (blurred - image) * backdrop[:, 11, None, None, None]
        return squash((image * 255).round().clamp(0, 255) / 255, self.side)

    def _numbers(self, image: Tensor, arrays: SceneArrays, px: Tensor, py: Tensor) -> Tensor:
        numbers, strips = self._tensor(arrays.numbers), self._tensor(arrays.strips).float() / 255
        for m in range(numbers.shape[1]):
            if not arrays.numbers[:, m, 0].any():
                continue
            present, x, y, scale, cos, sin = (numbers[:, m, i, None, None] for i in range(6))
            dx, dy = px - x, py - y
            u, v = (dx * cos + dy * sin) * scale, (dy * cos - dx * sin) * scale
            grid = torch.stack((u / (STRIP_W / 2), v / (STRIP_H / 2)), -1)
            a = F.grid_sample(strips[:, m : m + 1], grid, align_corners=False) * present[:, None]
            image = image * (1 - a) + numbers[:, m, 6:9, None, None] * a
        return image

    def _backdrop(self, params: Tensor, xs: Tensor, ys: Tensor, cells: int, gen: torch.Generator) -> Tensor:
        count, h, w = params.shape[0], ys.shape[0], xs.shape[0]
        p = params[:, :, None, None]
        blend = ((xs - 0.5)[None, None] * p[:, 6] + (ys - 0.5)[None, :, None] * p[:, 7] + 0.5).clamp(0, 1)[:, None]
        image = params[:, 0:3, None, None] * (1 - blend) + params[:, 3:6, None, None] * blend
        rough = torch.rand(count, 1, cells, cells, device=self.device, generator=gen) * 2 - 1
        image = image + p[:, 8:9] * F.interpolate(rough, (h, w), mode="bicubic")
        grain = torch.randn(count, 1, h, w, device=self.device, generator=gen)
        image = (image + p[:, 9:10] * grain).clamp(0, 1)
        world = params[:, 12].long()
        foreign = (world > 0).nonzero()[:, 0]
        if len(foreign):
            image[foreign] = self._foreign(world[foreign], h, w, gen)
        return image

    def _foreign(self, world: Tensor, h: int, w: int, gen: torch.Generator) -> Tensor:
        """Return noise, strong gradients or photograph-like texture, (B, 3, h, w) in 0..1."""

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, device=self.device, generator=gen)

        count = world.shape[0]
        block = int(torch.randint(1, 6, (1,), device=self.device, generator=gen))
        noise = F.interpolate(rand(count, 3, -(-h // block), -(-w // block)), (h, w), mode="nearest")
        corners = rand(count, 3, 2, 2)
        corners = (corners - corners.mean((2, 3), keepdim=True)) / corners.std((2, 3), keepdim=True).clamp_min(0.05)
        corners = corners * 0.33 + 0.25 + 0.5 * rand(count, 3, 1, 1)
        gradient = F.interpolate(corners, (h, w), mode="bilinear", align_corners=True)
        photo = 0.25 + 0.5 * rand(count, 3, 1, 1)
        for octave in range(6):
            weight, cells = (0.55 + 0.35 * rand(count, 1, 1, 1)) ** octave, 3 * 2**octave
            for channels, strength in ((1, 0.75), (3, 0.32)):
                layer = rand(count, channels, cells, cells) - 0.5
                photo = photo + strength * weight * F.interpolate(layer, (h, w), mode="bicubic")
        world = world[:, None, None, None]
        return torch.where(world == 1, noise, torch.where(world == 2, gradient, photo)).clamp(0, 1)
