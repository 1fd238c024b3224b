import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr, log_softmax, ndtr, ndtri

from fusiform.probing.information._attributes import Encoded

# Penalties of the ridge regression, in means of the squared singular values of the features.
_PENALTIES = np.logspace(-4, 3, 8)
# Share of the marginal in what is predicted: one image far out then costs 7 nats at most.
_MARGINAL = 1e-3


class Target:
    """An attribute as ridge regression is asked for it, and how predictions of it are read."""

    def __init__(self, attribute: Encoded) -> None:
        self.note = attribute.note
        self.edges: Float[ndarray, "2 n"] | None = None
        self.classes = attribute.classes if attribute.encoding == "categorical" else None
        n = len(attribute)
        if attribute.constant:
            self.scores = np.zeros((n, 0))
        elif self.classes is not None:
            self.shares = np.bincount(self.classes) / n
            self.scores = np.eye(len(self.shares))[self.classes] - self.shares
        else:
            scored = [_normal_scores(column) for column in attribute.values.T]
            self.scores = np.stack([scores for scores, _ in scored], axis=1)
            if len(scored) == 1:
                self.edges = scored[0][1]
            else:
                values, vectors = np.linalg.eigh(self.scores.T @ self.scores / n)
                kept = values > 1e-6 * values[-1]
                self.scores = self.scores @ (vectors[:, kept] / np.sqrt(values[kept]))

    def ratios(
        self, residual: Float[ndarray, "n k"], known: Int[ndarray, " k"], asked: Int[ndarray, " m"]
    ) -> Float[ndarray, " m"]:
        """Differences log q(a | f) - log p(a) of the images asked for, from what is known of the others' residuals."""
        if not self.scores.shape[1]:
            return np.zeros(len(asked))
        if self.classes is not None:
            found = self._of_classes(residual, known, asked)
        elif self.edges is not None:
            found = self._of_one_number(residual[:, 0], known, asked)
        else:
            spread = residual[known].T @ residual[known] / len(known)
            factor = np.linalg.cholesky(spread + 1e-9 * np.eye(len(spread)))
            white = solve_triangular(factor, residual[asked].T, lower=True).T
            squares = np.square(self.scores[asked]).sum(axis=1) - np.square(white).sum(axis=1)
            found = squares / 2 - np.log(np.diag(factor)).sum()
        return np.logaddexp(found + np.log1p(-_MARGINAL), np.log(_MARGINAL))

    def _of_one_number(self, residual: ndarray, known: ndarray, asked: ndarray) -> ndarray:
        assert self.edges is not None
        scores = self.scores[:, 0]
        # Scores vary within the interval of a shared value, too.
        within = max(0.0, 1 - np.square(scores).mean())
        deviation = np.sqrt(np.square(residual[known]).mean() + within + 1e-9)
        # From here on, what is above the prediction is mirrored: small tails have digits left.
        low, high = (self.edges[:, asked] - (scores - residual)[asked]) / deviation
        mirrored = low > 0
        low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
        below, above = ndtr(self.edges[:, asked])
        with np.errstate(divide="ignore"):
            mass = log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))
        return mass - np.log(above - below)

    def _of_classes(self, residual: ndarray, known: ndarray, asked: ndarray) -> ndarray:
        assert self.classes is not None
        labels, prior = self.classes, np.log(self.shares)
        predicted = (self.scores - residual) / np.sqrt(self.shares)

        def ratios(sharpness: float, evidence: ndarray, rows: ndarray) -> ndarray:
            logs = log_softmax(prior + sharpness * evidence, axis=1)
            return logs[np.arange(len(rows)), labels[rows]] - prior[labels[rows]]

        halves = np.array_split(np.random.default_rng(0).permutation(known), 2)
        rows = np.concatenate(halves)
        fits = []
        # With many classes there are too few images to weigh directions by, and equal weights tell more.
        for canonical in (False, True):
            evidence = np.concatenate(
                [self._evidence(predicted, seen, new, canonical) for seen, new in (halves[::-1], halves)]
            )
            fit = minimize_scalar(
                lambda sharpness, evidence=evidence: -ratios(sharpness, evidence, rows).mean(),
                bounds=(0, 100),
                method="bounded",
                options={"xatol": 1e-4},
            )
            fits.append((float(fit.fun), float(fit.x), canonical))
        _, sharpness, canonical = min(fits)
        return ratios(sharpness, self._evidence(predicted, known, asked, canonical), asked)

    def _evidence(
        self,
        predicted: Float[ndarray, "n k"],
        seen: Int[ndarray, " s"],
        asked: Int[ndarray, " m"],
        canonical: bool,
    ) -> Float[ndarray, "m k"]:
        """Logarithm of how likely each class makes an image, but for a factor, by discriminant analysis."""
        assert self.classes is not None
        scale, labels = np.sqrt(self.shares), self.classes[seen]
        turned = np.diag(1 / scale)
        if canonical:
            # What predictions share with the truth: squared canonical correlations (Hastie and others, section 3).
            shared = (self.scores[seen] / scale).T @ predicted[seen] / len(seen)
            sq_correlations, directions = np.linalg.eigh((shared + shared.T) / 2)
            spread = np.square(predicted[seen] @ directions).mean(axis=0)
            slopes = np.divide(sq_correlations, spread, out=np.zeros_like(spread), where=spread > 0).clip(
                0, 1
            )
            weights = slopes / (1 - sq_correlations.clip(0, 0.999))
            turned = (directions * weights) @ (directions / scale[:, None]).T
        counts = np.bincount(labels, minlength=len(scale))
        own = np.einsum("ij,ji->i", predicted[seen], turned[:, labels])
        halves = np.bincount(labels, own, minlength=len(scale)) / np.maximum(counts, 1) / 2
        return np.where(counts > 0, predicted[asked] @ turned - halves, 0.0)


def residuals(
    X: Float[ndarray, "n d"], targets: list[Target], members: list[Int[ndarray, " m"]]
) -> tuple[list[Float[ndarray, "n k"]], list[Float[ndarray, "folds n k"]]]:
    """Residuals of ridge regression for each target: on the images trained on, and with each fold left out.

    With a fold left out, its own residuals are of a fit to all others, and those of another fold of a fit to what is
    left without both: nothing that the fold's images are read with has seen them, but for the choice of the penalty.
    All fits follow from one decomposition: residuals of images left out are ``(I - H)^-1 r``, with r the residuals
    when they are not, and H what their fitted values take from their own targets.
    """
    n, U, squares = len(X), *_decomposed(X)
    penalties = _PENALTIES * (squares.mean() if len(squares) else 1.0)

    def fitted(Y: ndarray, penalty: float) -> tuple[ndarray, ndarray]:
        shrunk = squares / (squares + penalty)
        return shrunk, Y - Y.mean(axis=0) - U @ (shrunk[:, None] * (U.T @ Y))

    def left_out(rows: ndarray, shrunk: ndarray, inside: ndarray) -> ndarray:
        rest = np.eye(len(rows)) - (U[rows] * shrunk) @ U[rows].T - 1 / n
        return cho_solve(cho_factor(rest, overwrite_a=True), inside[rows])

    Y = np.concatenate([np.zeros((n, 0)), *(target.scores for target in targets)], axis=1)
    ends = np.cumsum([target.scores.shape[1] for target in targets])
    columns = [slice(end - target.scores.shape[1], end) for target, end in zip(targets, ends, strict=True)]
    errors = np.empty((len(penalties), len(targets)))
    for number, penalty in enumerate(penalties):
        shrunk, inside = fitted(Y, penalty)
        squared = sum(np.square(left_out(fold, shrunk, inside)).sum(axis=0) for fold in members)
        errors[number] = [squared[own].sum() for own in columns]
    chosen = errors.argmin(axis=0)
    results_in: list[ndarray] = [np.empty(0)] * len(targets)
    results_out: list[ndarray] = [np.empty(0)] * len(targets)
    for number in np.unique(chosen):
        alike = np.flatnonzero(chosen == number)
        shrunk, inside = fitted(np.concatenate([Y[:, columns[t]] for t in alike], axis=1), penalties[number])
        outside = np.empty((len(members), *inside.shape))
        for first, fold in enumerate(members):
            outside[first, fold] = left_out(fold, shrunk, inside)
            for second in range(first):
                both = np.concatenate([fold, members[second]])
                residual = left_out(both, shrunk, inside)
                outside[second, fold] = residual[: len(fold)]
                outside[first, members[second]] = residual[len(fold) :]
        start = 0
        for t in alike:
            end = start + targets[t].scores.shape[1]
            results_in[t], results_out[t] = inside[:, start:end], outside[:, :, start:end]
            start = end
    return results_in, results_out


def _decomposed(X: Float[ndarray, "n d"]) -> tuple[Float[ndarray, "n r"], Float[ndarray, " r"]]:
    """Left singular vectors and squared singular values."""
    n, d = X.shape
    squares, vectors = np.linalg.eigh(X @ X.T if n < d else X.T @ X)
    kept = squares > 1e-9 * squares.max(initial=0.0)
    squares, vectors = squares[kept], vectors[:, kept]
    return (vectors if n < d else X @ (vectors / np.sqrt(squares))), squares


def _normal_scores(values: Float[ndarray, " n"]) -> tuple[Float[ndarray, " n"], Float[ndarray, "2 n"]]:
    """The interval of the normal distribution that each value takes up by its rank, and its mean there."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = ndtri(np.cumsum([0, *counts]) / len(values))  # from -inf to inf
    edges = np.stack([ends[:-1], ends[1:]])
    density = np.exp(-np.square(edges) / 2) / np.sqrt(2 * np.pi)
    means = (density[0] - density[1]) / (counts / len(values))
    return means[which], edges[:, which]
