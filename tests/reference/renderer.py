"""Slow, plain ways to see a surface: what the scatter z-buffer of synthetic faces is held to."""

import numpy as np


def zbuffer(pixels: list[np.ndarray], depths: list[np.ndarray], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest sample of every pixel, one sample at a time: depth and number of the sample (-1 none)."""
    depth = np.full(side * side, np.inf, np.float32)
    owner = np.full(side * side, -1, np.int64)
    number = 0
    for pixel, z in zip(pixels, depths, strict=True):
        for place, value in zip(pixel.ravel().tolist(), z.ravel().tolist(), strict=True):
            if place >= 0 and value < depth[place]:
                depth[place], owner[place] = value, number
            number += 1
    return depth, owner


def filled(depth: np.ndarray, near: float) -> np.ndarray:
    """Depths after gaps of one and two pixels are closed across, then down (square array)."""
    for _ in range(2):
        for before, after in ((1, 1), (1, 2), (2, 1)):
            out = depth.copy()
            rows, columns = depth.shape
            for r in range(rows):
                for c in range(before, columns - after):
                    cover = max(depth[r, c - before], depth[r, c + after])
                    if cover < depth[r, c] - np.float32(near):
                        out[r, c] = cover
            depth = out
        depth = depth.T  # the second time round is the other direction
    return depth


def triangles(
    screens: list[np.ndarray], keeps: list[np.ndarray | None], side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Depth and surface (-1 none) at pixel centres by drawing every grid cell as two triangles."""
    depth = np.full((side, side), np.inf)
    owner = np.full((side, side), -1)
    for number, (screen, keep) in enumerate(zip(screens, keeps, strict=True)):
        _, rows, columns = screen.shape
        for r in range(rows - 1):
            for c in range(columns - 1):
                corners = ((r, c), (r, c + 1), (r + 1, c), (r + 1, c + 1))
                if keep is not None and not all(keep[corner] > 0 for corner in corners):
                    continue
                a, b, d, e = (screen[:, i, j] for i, j in corners)
                for triangle in ((a, b, d), (b, e, d)):
                    _draw(np.array(triangle, np.float64), number, depth, owner)
    return depth, owner


def _draw(corners: np.ndarray, number: int, depth: np.ndarray, owner: np.ndarray) -> None:
    side = len(depth)
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = corners
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if abs(area) < 1e-9:
        return
    low = np.maximum(np.ceil(corners[:, :2].min(0) - 0.5), 0).astype(int)
    high = np.minimum(np.floor(corners[:, :2].max(0) - 0.5), side - 1).astype(int)
    for row in range(low[1], high[1] + 1):
        for column in range(low[0], high[0] + 1):
            x, y = column + 0.5, row + 0.5
            u = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
            v = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
            if u < 0 or v < 0 or u + v > 1:
                continue
            z = corners[0, 2] * (1 - u - v) + corners[1, 2] * u + corners[2, 2] * v
            if z < depth[row, column]:
                depth[row, column], owner[row, column] = z, number
