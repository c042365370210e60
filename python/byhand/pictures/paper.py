"""Find the sheet of paper in a picture that also shows what the sheet lies on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from .ink import Floats, Mask, Pixels, rim_of, scaled_down

# The sheet is searched for in a copy of the picture. This is the longest side of the copy, in
# pixels.
_SIDE = 128
# The number of grey levels that are tried as the threshold between the sheet and the table.
_LEVELS = 12
# A sheet covers at least this share of the picture, and leaves at least this share free.
_LEAST = 0.04
# The other pixels that are lighter than the threshold cover at most this share of the sheet's area.
# The paper around a printed box covers more, so the inside of the box is not taken for a sheet.
_BESIDE = 0.1
# The surroundings of a sheet are dim if their median brightness is less than the share `_DIM` of
# the sheet's brightness. A dark table is dim, a shadow on paper is not. Both brightnesses are
# measured within `_BAND` pixels of the sheet's outline. The sheet's brightness there is the
# quantile `_SHEET_QUANTILE`: darker pixels may be written on, or belong to a light part of the
# table that was taken for the sheet.
_DIM, _BAND, _SHEET_QUANTILE = 0.38, 4, 0.25
# If the surroundings are not dim, at most this share of a sheet's outline lies on the picture's
# edge. This excludes the lit part of a sheet that fills the picture and has a shadow across it: a
# larger share of its outline lies there.
_ON_PICTURE_EDGE = 0.15
# A sheet fills at least this share of its convex hull. The rest may be writing that touches the
# sheet's edge.
_CONVEX = 0.9
# Several thresholds may find a sheet. The best sheet has the largest `area * share**_EVENNESS`,
# where `share` is the share of its convex hull that it fills. If light parts of the table are taken
# for the sheet, they make its outline uneven and this share small.
_EVENNESS = 8
# The convex hull of a sheet fills at least this share of the smallest rectangle around it. The hull
# of a sheet in perspective fills 0.9, an ellipse 0.79.
_RECTANGLE = 0.86
# The edge of a sheet is blurred, so a rim is cut off. The width of the rim is this share of the
# square root of the sheet's area.
_EDGE = 0.025


def sheet_in(pixels: Pixels) -> tuple[Pixels, tuple[int, int]] | None:
    """Cut out the sheet of paper that lies on a table.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C), uint8
        The picture.

    Returns
    -------
    (part, (row, column)) or None
        The part of the picture that holds the sheet, and the position of its first pixel in the
        picture. Pixels of this part that are not on the sheet get the median colour of the sheet.
        The result is None if no sheet was found.
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
    """Return a mask of the sheet of paper without its edge, or None if there is no sheet.

    `light` is the brightness of each pixel, shape (H, W). The function searches for a sheet at each
    of several thresholds of the brightness, and takes the best sheet.
    """
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
        if _beside_dim(light, piece) or _on_picture_edge(piece) <= _ON_PICTURE_EDGE:
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
    """Return true if the surroundings of a piece are dim compared with its edge."""
    beside = ndimage.binary_dilation(piece, iterations=_BAND) & ~ndimage.binary_dilation(piece)
    edge = piece & ~ndimage.binary_erosion(piece, iterations=_BAND, border_value=1)
    if not beside.any() or not edge.any():
        return False
    return bool(np.median(light[beside]) < _DIM * np.quantile(light[edge], _SHEET_QUANTILE))


def _on_picture_edge(piece: Mask) -> float:
    """Return the share of a piece's outline that lies on the picture's edge."""
    outline = piece & ~ndimage.binary_erosion(piece)
    return float(rim_of(outline).sum() / max(outline.sum(), 1))


def sheet_corners(piece: Mask) -> tuple[NDArray[np.float64], float] | None:
    """Return the corners of a piece's convex hull if the piece has the shape of a sheet.

    The shape of a sheet is nearly convex and nearly a rectangle.

    Parameters
    ----------
    piece : ndarray, shape (H, W), bool
        The pixels of the piece.

    Returns
    -------
    (corners, share) or None
        The corners (x, y) of the hull, an array of shape (n, 2), and the share of the hull that the
        piece fills. The result is None if the piece does not have the shape of a sheet.
    """
    points = np.argwhere(piece & ~ndimage.binary_erosion(piece))[:, ::-1]
    if not len(points):
        return None
    try:
        hull = ConvexHull(points)
    except QhullError:  # all points lie on one line
        return None
    corners = points[hull.vertices].astype(np.float64)
    edges = np.diff(corners, axis=0, append=corners[:1])
    along = edges / np.hypot(*edges.T)[:, np.newaxis]
    across = along[:, ::-1] * (-1, 1)
    # For each edge of the hull: the area of the smallest rectangle around the hull that has a side
    # parallel to this edge.
    rectangles = (np.ptp(corners @ along.T, axis=0) + 1) * (np.ptp(corners @ across.T, axis=0) + 1)
    # In two dimensions, `hull.volume` is the area of the hull and `hull.area` its perimeter. The
    # hull of `points` ends at the centres of pixels. The hull of the whole pixels is larger by half
    # a pixel on each side.
    full = hull.volume + hull.area / 2 + 1
    share = float(piece.sum() / full)
    return (corners, share) if share >= _CONVEX and full >= _RECTANGLE * rectangles.min() else None
