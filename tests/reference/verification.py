"""Verification by loops over pairs: no histogram, no tail, people copied instead of weighted."""

import numpy as np


def pair_scores(embedded, people, images):
    """Scores of mate and non-mate pairs among copies of images: (image, copy of the person it belongs to)."""
    mates, nonmates = [], []
    for i in range(len(images)):
        for j in range(i + 1, len(images)):
            (a, copy_a), (b, copy_b) = images[i], images[j]
            score = float(embedded[a] @ embedded[b])
            if people[a] != people[b]:
                nonmates.append(score)
            elif copy_a == copy_b:
                # Two copies of one person are neither mates (the same pictures) nor two people.
                mates.append(score)
    return mates, nonmates


def lowest_threshold(nonmates, rate):
    """The lowest score of a non-mate at which the share of non-mates that match is no more than asked."""
    best = max(nonmates) + 1e-12
    for candidate in sorted(set(nonmates), reverse=True):
        if sum(score >= candidate for score in nonmates) > rate * len(nonmates) * (1 + 1e-12):
            break
        best = candidate
    return best


def slow_calibration(embedded, people, rate, samples):
    """Threshold, FNMR, and both for each sample of people (how often each is drawn)."""
    names = sorted(set(people), key=list(people).index)
    found = []
    for counts in [[1] * len(names), *samples]:
        images = [
            (image, copy)
            for name, times in zip(names, counts, strict=True)
            for copy in range(int(times))
            for image in range(len(people))
            if people[image] == name
        ]
        mates, nonmates = pair_scores(embedded, people, images)
        threshold = lowest_threshold(nonmates, rate)
        missed = np.mean([score < threshold for score in mates]) if mates else np.nan
        found.append((threshold, missed))
    return np.array(found)
