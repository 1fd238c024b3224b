"""Canonical faces by loops over pixels and triangles."""

import numpy as np


def weights(point, corners):
    """Barycentric coordinates by areas, of one triangle or of many."""

    def area(p, q, r):
        return (q[0] - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (q[1] - p[1])

    a, b, c = corners
    whole = area(a, b, c)
    return np.array([area(point, b, c), area(a, point, c), area(a, b, point)]) / whole


def bilinear(image, x, y):
    height, width = image.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = int(np.floor(x)), int(np.floor(y))
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = image[top, left] * (1 - x + left) + image[top, right] * (x - left)
    lower = image[bottom, left] * (1 - x + left) + image[bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


def carry(image, there, here, triangles, size):
    """An image with the mesh `there` brought to a square with the mesh `here`; NaN beside it."""
    out = np.full((size, size), np.nan)
    for y in range(size):
        for x in range(size):
            shares = weights((x, y), here[triangles].transpose(1, 2, 0))
            inside = np.flatnonzero(shares.min(axis=0) >= -1e-9)
            if len(inside):
                out[y, x] = bilinear(image, *(shares[:, inside[0]] @ there[triangles[inside[0]]]))
    return out


def occlude(score, image, base, coordinates, boxes, size):
    """Mean drop of the score over the windows on the canonical face that cover each of its pixels."""
    total, count = np.zeros((size, size)), np.zeros((size, size))
    whole = score(image)
    for top, left, bottom, right in boxes:
        hidden = image.copy()
        for row in range(image.shape[1]):
            for column in range(image.shape[2]):
                x, y = coordinates[row, column]
                if left - 0.5 <= x < right - 0.5 and top - 0.5 <= y < bottom - 0.5:
                    hidden[:, row, column] = base[:, row, column]
        total[top:bottom, left:right] += whole - score(hidden)
        count[top:bottom, left:right] += 1
    return total / np.where(count, count, np.nan)
