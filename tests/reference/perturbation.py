"""Methods that perturb images, as the papers write them: one image, one mask, one coalition at a time, in double precision."""

import itertools
import math

import numpy as np


def slow_windows(size, window, stride):
    """Corners of windows that cover the image; the last ends at the border."""
    starts = []
    for s, w, step in zip(size, window, stride, strict=True):
        at, found = 0, []
        while at + w < s:
            found.append(at)
            at += step
        starts.append([*found, s - w])
    return list(itertools.product(*starts))


def slow_occlusion(score, image, base, window, stride):
    """Eq. 1, averaged over the windows that cover a pixel. `score` takes one image (c, h, w)."""
    height, width = image.shape[1:]
    total, times = np.zeros((height, width)), np.zeros((height, width))
    whole = score(image)
    for top, left in slow_windows((height, width), window, stride):
        p = np.zeros((height, width))
        p[top : top + window[0], left : left + window[1]] = 1
        drop = whole - score(image * (1 - p) + base * p)
        total += drop * p
        times += p
    return total / times


def slow_shapley(game, players):
    """Eq. 2, term by term. `game` takes a frozenset of players."""
    values = []
    for i in range(players):
        others = [j for j in range(players) if j != i]
        phi = 0.0
        for k in range(players):
            for chosen in itertools.combinations(others, k):
                weight = math.factorial(k) * math.factorial(players - k - 1) / math.factorial(players)
                phi += weight * (game(frozenset(chosen) | {i}) - game(frozenset(chosen)))
        values.append(phi)
    return np.array(values)


def slow_rise(scores, masks, probability, centred):
    """Mean of masks weighted by their scores, over the probability of a pixel to be kept."""
    mean = sum(scores) / len(scores)
    total = np.zeros(masks[0].shape)
    for score, mask in zip(scores, masks, strict=True):
        total += (score - mean if centred else score) * mask
    return total / (len(scores) * probability)


def slow_bilinear(grid, y, x):
    """Value of a grid between its points."""
    top, left = int(y), int(x)
    dy, dx = y - top, x - left
    return (
        grid[top, left] * (1 - dy) * (1 - dx)
        + grid[top, left + 1] * (1 - dy) * dx
        + grid[top + 1, left] * dy * (1 - dx)
        + grid[top + 1, left + 1] * dy * dx
    )


def slow_constrained(z, weights, gains, total):
    """Weighted least squares whose coefficients sum to a total, by its Lagrangian."""
    p = z.shape[1]
    system, right = np.zeros((p + 1, p + 1)), np.zeros(p + 1)
    for row, w, gain in zip(z, weights, gains, strict=True):
        system[:p, :p] += 2 * w * np.outer(row, row)
        right[:p] += 2 * w * gain * row
    system[:p, p] = system[p, :p] = 1
    right[p] = total
    return np.linalg.solve(system, right)[:p]


def slow_ridge(z, weights, y, ridge):
    """Weighted ridge regression with a free intercept: coefficients by the normal equations."""
    design = np.hstack([z, np.ones((len(z), 1))])
    penalty = np.diag([ridge] * z.shape[1] + [0.0])
    return np.linalg.solve(design.T * weights @ design + penalty, design.T * weights @ y)[:-1]
