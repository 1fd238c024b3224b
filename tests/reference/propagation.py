"""Rules of propagation as the papers write them: one unit, one weight at a time, on small graphs of dense layers."""

import math

import numpy as np


def _contributions(w, x, b, j):
    return [w[j][i] * x[i] for i in range(len(x))], b[j]


def _off_zero(value, epsilon):
    return value + (epsilon if value >= 0 else -epsilon)


def lrp_layer(
    rule, w, b, x, relevance, *, epsilon=1e-6, gamma=0.25, alpha=2.0, beta=1.0, low=None, high=None
):
    """Relevance of the inputs of ``w @ x + b``."""
    found = [0.0] * len(x)
    for j, r in enumerate(relevance):
        parts, bias = _contributions(w, x, b, j)
        positive = sum(p for p in parts if p > 0) + max(bias, 0)
        negative = sum(p for p in parts if p < 0) + min(bias, 0)
        value = sum(parts) + bias
        for i, part in enumerate(parts):
            if rule == "epsilon":
                found[i] += r * part / _off_zero(value, epsilon)
            elif rule == "z_plus":
                found[i] += r * max(part, 0) / (positive + 1e-6)
            elif rule == "alpha_beta":
                found[i] += alpha * r * max(part, 0) / (positive + 1e-6)
                found[i] -= beta * r * min(part, 0) / (negative - 1e-6)
            elif rule == "gamma" and value > 0:
                found[i] += r * (part + gamma * max(part, 0)) / (value + gamma * positive + 1e-6)
            elif rule == "gamma" and value < 0:
                found[i] += r * (part + gamma * min(part, 0)) / (value + gamma * negative - 1e-6)
            elif rule == "flat":
                # Convolutions as matrices: what lies outside the window has no weight.
                inside = sum(v != 0 for v in w[j])
                found[i] += r * (w[j][i] != 0) / (inside + 1e-6)
            elif rule == "w_square":
                found[i] += r * w[j][i] ** 2 / (sum(v**2 for v in w[j]) + 1e-6)
            elif rule == "z_box":
                boxed = [
                    p - low[k] * max(w[j][k], 0) - high[k] * min(w[j][k], 0) for k, p in enumerate(parts)
                ]
                found[i] += r * boxed[i] / _off_zero(sum(boxed), 1e-6)
    return np.array(found)


def excitation_layer(w, x, probability, sign):
    """Probabilities of the inputs of ``w @ x``; `sign` says which products excite each unit."""
    found = [0.0] * len(x)
    for j, p in enumerate(probability):
        excites = [max(sign[j] * w[j][i] * x[i], 0.0) for i in range(len(x))]
        total = sum(excites)
        for i, e in enumerate(excites):
            found[i] += p * e / total if total > 0 else 0.0
    return np.array(found)


class Graph:
    """A network as a list of nodes: (kind, parents, data); kinds input, affine, prelu, add, maximum, mean."""

    def __init__(self, nodes):
        self.nodes = nodes

    def forward(self, x):
        values = []
        for kind, parents, data in self.nodes:
            given = [values[p] for p in parents]
            if kind == "input":
                values.append(x)
            elif kind == "affine":
                values.append(data[0] @ given[0] + data[1])
            elif kind == "prelu":
                values.append(np.array([v if v > 0 else a * v for v, a in zip(given[0], data, strict=True)]))
            elif kind == "add":
                values.append(given[0] + given[1])
            elif kind == "maximum":
                values.append(np.array([max(a, b) for a, b in zip(*given, strict=True)]))
            elif kind == "mean":
                values.append(np.array([given[0][group].mean() for group in data]))
        return values

    def lrp(self, x, start, rules, **numbers):
        """Relevance of the input; `rules` names one for each affine node, in order."""
        values = self.forward(x)
        relevance = [np.zeros(len(v)) for v in values]
        relevance[-1] = start
        rules = list(rules)
        for number in reversed(range(len(self.nodes))):
            kind, parents, data = self.nodes[number]
            r, given = relevance[number], [values[p] for p in parents]
            if kind == "affine":
                relevance[parents[0]] += lrp_layer(rules.pop(), *data, given[0], r, **numbers)
            elif kind == "prelu":
                relevance[parents[0]] += r
            elif kind == "add":
                for p, v in zip(parents, given, strict=True):
                    relevance[p] += [
                        r[i] * v[i] / _off_zero(given[0][i] + given[1][i], 1e-6) for i in range(len(r))
                    ]
            elif kind == "maximum":
                for i in range(len(r)):
                    relevance[parents[0 if given[0][i] >= given[1][i] else 1]][i] += r[i]
            elif kind == "mean":
                for j, group in enumerate(data):
                    mean = _off_zero(given[0][group].mean(), 1e-6)
                    for i in group:
                        relevance[parents[0]][i] += r[j] * given[0][i] / len(group) / mean
        return relevance[0]

    def excitation(self, x, start, sign):
        """Probabilities of the input; units below the start are excited by what has their own sign."""
        values = self.forward(x)
        probability = [np.zeros(len(v)) for v in values]
        probability[-1] = start
        signs = [np.sign(v) for v in values]
        signs[-1] = sign
        for number in reversed(range(len(self.nodes))):
            kind, parents, data = self.nodes[number]
            p, given = probability[number], [values[q] for q in parents]
            if kind == "affine":
                probability[parents[0]] += excitation_layer(data[0], given[0], p, signs[number])
            elif kind == "prelu":
                probability[parents[0]] += p
            elif kind == "add":
                shares = [np.maximum(signs[number] * v, 0) for v in given]
                for q, share in zip(parents, shares, strict=True):
                    total = shares[0] + shares[1]
                    probability[q] += [
                        p[i] * share[i] / total[i] if total[i] > 0 else 0 for i in range(len(p))
                    ]
            elif kind == "maximum":
                for i in range(len(p)):
                    probability[parents[0 if given[0][i] >= given[1][i] else 1]][i] += p[i]
            elif kind == "mean":
                for j, group in enumerate(data):
                    excites = {i: max(signs[number][j] * given[0][i], 0) for i in group}
                    total = math.fsum(excites.values())
                    for i in group:
                        probability[parents[0]][i] += p[j] * excites[i] / total if total > 0 else 0
        return probability[0]
