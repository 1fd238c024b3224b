"""Dissection as the papers write it: one unit, one concept, one image at a time, at full size, in double precision."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata


def slow_threshold(values, quantile):
    """The value that no more than the quantile's share of the values exceeds: the K-th largest."""
    ordered = sorted(values.ravel().tolist(), reverse=True)
    return ordered[math.floor(round(quantile * len(ordered), 9))]


def slow_upsampled(activation, size):
    map_ = torch.from_numpy(np.asarray(activation, dtype=np.float64))[None, None]
    return F.interpolate(map_, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def slow_iou(activations, masks, known, present, quantile, union="all"):
    """IoU (units, concepts), and that of every image (units, concepts, images)."""
    n, units = activations.shape[:2]
    concepts, size = masks.shape[1], masks.shape[2:]
    iou, each = np.zeros((units, concepts)), np.zeros((units, concepts, n))
    for u in range(units):
        threshold = slow_threshold(activations[:, u], quantile)
        # Less the threshold first: a map that equals it throughout must not exceed it by rounding.
        above = activations[:, u].astype(np.float64) - threshold
        lit = [slow_upsampled(above[i], size) > 0 for i in range(n)]
        for c in range(concepts):
            shared = whole = 0
            for i in range(n):
                if not known[i, c]:
                    continue
                mask = masks[i, c] if present[i, c] else np.zeros(size, dtype=bool)
                both, either = int((lit[i] & mask).sum()), int((lit[i] | mask).sum())
                each[u, c, i] = both / either if either else 0
                if union == "labelled" and not (present[i, c] and lit[i].any()):
                    continue
                shared, whole = shared + both, whole + either
            iou[u, c] = shared / whole if whole else np.nan
    return iou, each


def slow_global(maxima, groups):
    """Stage I, equations 1 and 2, a map at a time."""
    kept = [i for i in range(len(groups)) if groups[i] >= 0]
    n_groups = max(groups[i] for i in kept) + 1
    result = np.zeros((maxima.shape[1], n_groups))
    for u in range(maxima.shape[1]):
        values = maxima[kept, u].astype(np.float64)
        ranks = rankdata(values)
        low, high = values.min(), values.max()
        scores = np.zeros(n_groups)
        for rank, value, i in zip(ranks, values, kept, strict=True):
            scores[groups[i]] += rank * ((value - low) / (high - low) if high > low else 0.0)
        for g in range(n_groups):
            scores[g] /= sum(groups[i] == g for i in kept)
        result[u] = scores / scores.sum() if scores.sum() > 0 else 1 / n_groups
    return result


def slow_local(maxima, present, iou):
    """Stage III, equation 3, a map at a time."""
    kept = [i for i in range(len(present)) if present[i].any()]
    concepts = present.shape[1]
    result = np.zeros(iou.shape)
    for u in range(maxima.shape[1]):
        values = maxima[kept, u].astype(np.float64)
        ranks = rankdata(values)
        low, high = values.min(), values.max()
        scores = np.zeros(concepts)
        for rank, value, i in zip(ranks, values, kept, strict=True):
            for k in range(concepts):
                if present[i, k]:
                    scores[k] += rank * ((value - low) / (high - low) if high > low else 0.0)
        for k in range(concepts):
            scores[k] *= iou[u, k] / max(1, sum(present[i, k] for i in kept))
        result[u] = scores / scores.sum() if scores.sum() > 0 else 1 / concepts
    return result


def slow_pairs(iou, maxima, present, regions, iou_threshold):
    """Stages II and III: the local pairs (unit, concept) of hierarchical dissection."""
    pairs = set()
    for u in range(len(iou)):
        best = max(range(iou.shape[1]), key=lambda c: np.nan_to_num(iou[u, c]))
        if not iou[u, best] >= iou_threshold:
            continue
        members = [c for c in range(iou.shape[1]) if regions[c] == regions[best]]
        found = slow_local(maxima[:, [u]], present[:, members], np.nan_to_num(iou[[u]][:, members]))[0]
        pairs |= {(u, c) for c, p in zip(members, found, strict=True) if p > 1.5 / len(members)}
    return pairs
