"""Find the sheet of paper in a picture that also shows what the sheet lies on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from .ink import Floats, Mask, Pixels, rim_of, scaled_down

# Longest side of the copy in which the sheet is looked for.
_SIDE = 128
# Number of grey levels that are tried as the one between the sheet and the table.
_LEVELS = 12
# The least share of the picture that a sheet covers.
_LEAST = 0.04
# Other places as light as the sheet have together less than this share of its area. Paper around a
# printed box has more, so the inside of the box is not taken for a sheet.
_BESIDE = 0.1
# A table beside a sheet has less than this share of the sheet's light. Shadows are lighter. Both
# are measured within this many pixels of the sheet's edge. At most this share of the edge may lie
# between a lighter and a darker part of the table, or be written on.
_DIM, _BAND, _OTHER_EDGE = 0.38, 4, 0.25
# The largest share of a sheet's outline that lies on the picture's frame, unless the table is dim.
# A shadow across a sheet that fills the picture leaves more.
_ON_FRAME = 0.15
# The least share of its convex hull that a sheet fills. Writing that reaches its edge takes the
# rest.
_CONVEX = 0.9
# Light parts of the table, if they are taken for the sheet, make its outline uneven. The best
# sheet has the largest area times this power of the share of its hull that it fills.
_EVENNESS = 8
# The least share of the smallest rectangle around it that a sheet fills. Perspective leaves 0.9,
# an ellipse has 0.79.
_RECTANGLE = 0.86
# A rim of this share of the sheet's size, the root of its area, is left out: its edge is blurred.
_EDGE = 0.025


def sheet_in(pixels: Pixels) -> tuple[Pixels, tuple[int, int]] | None:
    """Cut out the sheet of paper that lies on a table.

    Returns the part of the picture that holds the sheet, in which all that is not the sheet has the
    colour of paper, and the row and column where that part begins. None if there is no such sheet.
    """
    small = _sheet(scaled_down(pixels, _SIDE).min(axis=-1))
    if small is None:
        return None
    image = Image.fromarray(small.astype(np.float32))
    mask = np.asarray(image.resize(pixels.shape[1::-1], Image.Resampling.BILINEAR)) > 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    where = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part, mask = pixels[where].copy(), mask[where]
    part[~mask] = np.median(part[mask], axis=0)
    return part, (int(rows[0]), int(columns[0]))


def _sheet(light: Floats) -> Mask | None:
    """The sheet of paper without its edge, at the level that shows most of it and least else."""
    sheets: list[tuple[float, list[list[float]]]] = []
    dark, bright = np.percentile(light, (2, 98))
    for level in np.linspace(dark, bright, _LEVELS + 2)[1:-1]:
        labels, _ = ndimage.label(light > level)
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        piece = ndimage.binary_fill_holes(labels == areas.argmax())
        area = int(piece.sum())
        beside = areas.sum() - areas.max()
        if not _LEAST < area / light.size < 1 - _LEAST or beside > _BESIDE * area:
            continue
        if _beside_dim(light, piece) or _on_frame(piece) <= _ON_FRAME:
            found = sheet_corners(piece)
            if found is not None:
                corners, filled = found
                sheets.append((area * filled**_EVENNESS, corners.tolist()))
    if not sheets:
        return None
    mask = Image.new("1", light.shape[::-1])
    ImageDraw.Draw(mask).polygon([tuple(corner) for corner in max(sheets)[1]], fill=1)
    edge = max(2, round(_EDGE * np.asarray(mask).sum() ** 0.5))
    sheet = ndimage.binary_erosion(np.asarray(mask), iterations=edge, border_value=1)
    return np.asarray(sheet) if sheet.any() else None


def _beside_dim(light: Floats, piece: Mask) -> bool:
    """Whether what lies beside a piece is as dark, compared with the piece, as a table is."""
    beside = ndimage.binary_dilation(piece, iterations=_BAND) & ~ndimage.binary_dilation(piece)
    edge = piece & ~ndimage.binary_erosion(piece, iterations=_BAND, border_value=1)
    if not beside.any() or not edge.any():
        return False
    return bool(np.median(light[beside]) < _DIM * np.quantile(light[edge], _OTHER_EDGE))


def _on_frame(piece: Mask) -> float:
    """The share of the outline that lies on the picture's frame."""
    outline = piece & ~ndimage.binary_erosion(piece)
    return float(rim_of(outline).sum() / max(outline.sum(), 1))


def sheet_corners(piece: Mask) -> tuple[NDArray[np.float64], float] | None:
    """The corners (x, y) of a piece's convex hull, and the share of the hull that it fills.

    None if the piece has not a sheet's straight sides.
    """
    points = np.argwhere(piece & ~ndimage.binary_erosion(piece))[:, ::-1]
    if not len(points):
        return None
    try:
        hull = ConvexHull(points)
    except QhullError:  # all on one line
        return None
    corners = points[hull.vertices].astype(np.float64)
    edges = np.diff(corners, axis=0, append=corners[:1])
    along = edges / np.hypot(*edges.T)[:, np.newaxis]
    across = along[:, ::-1] * (-1, 1)
    room = (np.ptp(corners @ along.T, axis=0) + 1) * (np.ptp(corners @ across.T, axis=0) + 1)
    # Pixels are squares round the points: the hull of their middles is smaller by half a rim.
    full = hull.volume + hull.area / 2 + 1
    share = float(piece.sum() / full)
    return (corners, share) if share >= _CONVEX and full >= _RECTANGLE * room.min() else None
