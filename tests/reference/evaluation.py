"""Measures of maps as the papers write them: one image, one pixel, one step at a time, in double precision."""

import math
from itertools import pairwise

import numpy as np
from scipy.stats import spearmanr


def slow_order(saliency, shuffled):
    """Pixels from the most salient down; equal ones in the order of a shuffle."""
    place = {pixel: k for k, pixel in enumerate(shuffled)}
    flat = saliency.ravel().tolist()
    return sorted(range(len(flat)), key=lambda pixel: (-flat[pixel], place[pixel]))


def slow_curve(score, image, base, order, steps, insert):
    """Scores (steps + 1) while pixels of `image` (c, h, w) turn into the baseline's, or the other way round."""
    start, end = (base, image) if insert else (image, base)
    width = image.shape[2]
    found = []
    for s in range(steps + 1):
        now = start.copy()
        for pixel in order[: round(s * len(order) / steps)]:
            now[:, pixel // width, pixel % width] = end[:, pixel // width, pixel % width]
        found.append(score(now))
    return found


def slow_auc(scores):
    return sum((a + b) / 2 for a, b in pairwise(scores)) / (len(scores) - 1)


def slow_mask(saliency, area):
    """min(1, c * map) that sums to a share of the pixels; c by halving an interval."""
    positive = np.clip(saliency.astype(np.float64), 0, None)
    wanted = area * positive.size
    if (positive > 0).sum() <= wanted:
        return (positive > 0).astype(np.float64)
    low, high = 0.0, wanted / positive[positive > 0].min()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1, middle * positive).sum() < wanted else (low, middle)
    return np.minimum(1, high * positive)


def slow_pointing(saliency, mask, tolerance):
    """Share of the highest pixels within a distance of the mask."""
    if not mask.any():
        return math.nan
    rows, columns = np.nonzero(saliency == saliency.max())
    inside = np.argwhere(mask)
    hits = [
        min(math.hypot(r - i, c - j) for i, j in inside) <= tolerance
        for r, c in zip(rows, columns, strict=True)
    ]
    return sum(hits) / len(hits)


def slow_energy(saliency, mask):
    within = whole = 0.0
    for value, inside in zip(saliency.ravel().tolist(), mask.ravel().tolist(), strict=True):
        whole += max(value, 0)
        within += max(value, 0) if inside else 0
    return within / whole if mask.any() and whole else math.nan


def slow_game(contrast, probes, twins, maps, masks, parts, rates, levels):
    """Probability of the non-mate at false alarm rates, balanced over parts; maps without equal values."""
    classified, false, outside = [], [], []
    for probe, twin, saliency, mask in zip(probes, twins, maps, masks, strict=True):
        positive = np.clip(saliency, 0, None).astype(np.float64)
        order = np.argsort(-saliency, axis=None)
        mine, alarms = [], []
        for level in range(levels + 1):
            blend, held, wrong = probe.copy(), 0.0, 0
            for pixel in order:
                r, c = divmod(int(pixel), saliency.shape[1])
                if level < levels and held >= level / levels * positive.sum() * (1 - 1e-12):
                    break
                blend[:, r, c] = twin[:, r, c]
                held += positive[r, c]
                wrong += not mask[r, c]
            mine.append(float(contrast(blend) < 0))
            alarms.append(wrong)
        classified.append(mine)
        false.append(alarms)
        outside.append(int((~mask).sum()))
    parts = np.asarray(parts)
    probability = np.mean(
        [np.mean([m for m, p in zip(classified, parts, strict=True) if p == q], axis=0) for q in set(parts)],
        axis=0,
    )
    rate = np.sum(false, axis=0) / sum(outside)
    found = []
    for wanted in rates:
        k = max(i for i in range(levels + 1) if rate[i] <= wanted)
        value = probability[k]
        if k < levels:
            value += (probability[k + 1] - probability[k]) * (wanted - rate[k]) / (rate[k + 1] - rate[k])
        found.append(value)
    return found


def slow_spearman(a, b):
    return spearmanr(a.ravel(), b.ravel()).statistic


def slow_auc_judd(saliency, points):
    """Chance that a pixel looked at is higher than one that was not, pair by pair."""
    inside, outside = saliency[points].tolist(), saliency[~points].tolist()
    won = sum((p > q) + (p == q) / 2 for p in inside for q in outside)
    return won / (len(inside) * len(outside))


def slow_chunks(salient):
    """Sizes of connected groups of pixels, diagonals connecting, by flooding."""
    left, sizes = {tuple(p) for p in np.argwhere(salient).tolist()}, []
    while left:
        front, size = [left.pop()], 0
        while front:
            r, c = front.pop()
            size += 1
            for near in [(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    front.append(near)
        sizes.append(size)
    return sizes
