"""What each patch of a picture shows: the labels by which the vision tower learns to see before it reads."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.lexicon import KINDS
from training.render_torch import Distance, SceneArrays, signed_distance

NOTHING = 0
NUMBER = len(KINDS) + 1
KIND_CLASSES = len(KINDS) + 2
_FINE = 4  # points a side at which a patch is sampled
MIN_COVER = 0.12


@dataclass
class PatchTargets:
    """Labels of P = grid * grid patches of B pictures; -100 where a label does not apply.

    kind, color, filled, digit, center: (B, P) int64.  place: (B, P, 3) float32: the way from the patch to the
    thing's centre in picture sides, and the log of its radius over sqrt(width * height).  inside: (B, P) bool.
    aspect: (B,) float32, log of width over height.
    """

    kind: Tensor
    color: Tensor
    filled: Tensor
    digit: Tensor
    center: Tensor
    place: Tensor
    inside: Tensor
    aspect: Tensor


@torch.no_grad()
def patch_targets(
    arrays: SceneArrays, grid: int, device: torch.device, distance: Distance = signed_distance
) -> PatchTargets:
    """Return the labels of a batch for a `grid` by `grid` raster of patches."""
    height, width = arrays.size
    shapes = torch.from_numpy(arrays.shapes).to(device)
    numbers, boxes = torch.from_numpy(arrays.numbers).to(device), torch.from_numpy(arrays.boxes).to(device)
    texts = torch.from_numpy(arrays.texts).to(device)
    fine = grid * _FINE
    line = (torch.arange(fine, device=device, dtype=torch.float32) + 0.5) / fine
    py, px = torch.meshgrid(line * height, line * width, indexing="ij")
    inside = (distance(shapes, px.reshape(1, 1, -1), py.reshape(1, 1, -1)) < 0).float()
    text_u, text_v = _in_text(numbers, px, py)
    half = boxes / 2
    in_text = ((text_u.abs() < half[..., :1]) & (text_v.abs() < half[..., 1:])).float() * numbers[..., :1]
    cover = torch.cat((inside, in_text), 1).view(len(shapes), -1, grid, _FINE, grid, _FINE).mean((3, 5)).flatten(2)
    share, owner = cover.max(1)
    seen = share > MIN_COVER
    n_shapes = shapes.shape[1]
    everything = torch.cat((shapes[..., 1] + 1, torch.full_like(numbers[..., 0], NUMBER)), 1).long()
    kind = torch.where(seen, everything.gather(1, owner), NOTHING)
    colors = torch.cat((shapes[..., 15], numbers[..., 9]), 1).long()
    is_shape = seen & (owner < n_shapes)
    filled = torch.cat((shapes[..., 7], numbers[..., 0]), 1).long().gather(1, owner)
    centers = torch.cat((shapes[..., 2:4], numbers[..., 1:3]), 1) / torch.tensor([width, height], device=device)
    unit = (width * height) ** 0.5
    size = torch.cat((shapes[..., 4], boxes[..., 1] / 2), 1).clamp_min(1) / unit
    raster = (torch.arange(grid, device=device, dtype=torch.float32) + 0.5) / grid
    patch = torch.stack(torch.meshgrid(raster, raster, indexing="xy"), -1).view(1, -1, 2)
    mine = centers.gather(1, owner[..., None].expand(-1, -1, 2))
    place = torch.cat((mine - patch, size.log().gather(1, owner)[..., None]), -1)
    near = (mine - patch).abs().amax(-1) <= 0.5 / grid
    return PatchTargets(
        kind=kind,
        color=torch.where(seen, colors.gather(1, owner), -100),
        filled=torch.where(is_shape, filled, -100),
        digit=_digits(texts, boxes, text_u, seen, owner - n_shapes, grid),
        center=(seen & near).long(),
        place=place,
        inside=seen,
        aspect=torch.full((len(shapes),), width / height, device=device).log(),
    )


def _in_text(numbers: Tensor, px: Tensor, py: Tensor) -> tuple[Tensor, Tensor]:
    """Return each point's coordinates along and across each number, in pixels from its centre: (B, M, P)."""
    x, y, cos, sin = (numbers[..., i, None] for i in (1, 2, 4, 5))
    dx, dy = px.reshape(1, 1, -1) - x, py.reshape(1, 1, -1) - y
    return dx * cos + dy * sin, dy * cos - dx * sin


def _digits(texts: Tensor, boxes: Tensor, text_u: Tensor, seen: Tensor, owner: Tensor, grid: int) -> Tensor:
    """Return the digit under each patch's centre, (B, P), taking the digits as equally wide."""
    length = (texts >= 0).sum(-1, keepdim=True)
    fine = text_u.view(*text_u.shape[:2], grid, _FINE, grid, _FINE)
    along = fine[:, :, :, _FINE // 2, :, :].mean(-1).flatten(2)
    width = boxes[..., :1].clamp_min(1)
    cell = ((along / width + 0.5) * length).floor().long().clamp_min(0)
    cell = torch.minimum(cell, (length - 1).clamp_min(0))
    digits = texts.gather(-1, cell)  # (B, M, P)
    mine = digits.gather(1, owner.clamp_min(0)[:, None])[:, 0]
    return torch.where(seen & (owner >= 0), mine, -100)
