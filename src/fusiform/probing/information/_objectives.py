"""Lower bounds of mutual information from critics' scores: what is climbed, and what is reported."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Scores of independent pairs above e^5 are cut by SMILE (Song and Ermon 2020, eq. 10).
_SMILE_CUT = 5.0
# The running mean of eq. 5's denominator moves by this share of each batch's.
_MOVES = 0.01
# Above this, single precision has no exponential.
_MOST = 80.0

Scores = Float[Tensor, "g b"]
Marginals = Float[Tensor, "g m b"]


@dataclass(frozen=True)
class Objective:
    """One estimator: gradients of what it climbs, and the terms of what it reports.

    Attributes
    ----------
    slopes : callable
        From scores of joint samples, of marginal samples, and the running log-mean, to the gradients of minus the
        objective with respect to both.
    marginals : int
        Marginal samples a joint one in training.
    """

    slopes: Callable[[Scores, Marginals, Float[Tensor, " g"]], tuple[Scores, Marginals]]
    marginals: int = 1


def running_mean(before: Float[Tensor, " g"] | None, marginal: Marginals) -> Float[Tensor, " g"]:
    """The running mean of exp T over marginal samples, as a logarithm (Belghazi and others 2018, section 3.2)."""
    now = torch.logsumexp(marginal.flatten(1), dim=1) - math.log(marginal[0].numel())
    if before is None:
        return now
    return torch.logaddexp(before + math.log1p(-_MOVES), now + math.log(_MOVES))


def _mine(joint: Scores, marginal: Marginals, log_mean: Float[Tensor, " g"]) -> tuple[Scores, Marginals]:
    # Eq. 5, its denominator being the running mean.
    weights = torch.exp((marginal - log_mean[:, None, None]).clamp_(max=_MOST)) / marginal[0].numel()
    return torch.full_like(joint, -1 / joint.shape[1]), weights


def _nwj(joint: Scores, marginal: Marginals, log_mean: Float[Tensor, " g"]) -> tuple[Scores, Marginals]:
    weights = torch.exp((marginal - 1).clamp_(max=_MOST)) / marginal[0].numel()
    return torch.full_like(joint, -1 / joint.shape[1]), weights


def _smile(joint: Scores, marginal: Marginals, log_mean: Float[Tensor, " g"]) -> tuple[Scores, Marginals]:
    # The Jensen-Shannon objective, whose best critic is the same.
    return -torch.sigmoid(-joint) / joint.shape[1], torch.sigmoid(marginal) / marginal[0].numel()


def _infonce(joint: Scores, marginal: Marginals, log_mean: Float[Tensor, " g"]) -> tuple[Scores, Marginals]:
    shares = torch.softmax(torch.cat([joint[:, None], marginal], dim=1), dim=1) / joint.shape[1]
    return shares[:, 0] - 1 / joint.shape[1], shares[:, 1:]


OBJECTIVES = {
    "mine": Objective(_mine),
    "nwj": Objective(_nwj),
    "smile": Objective(_smile),
    "infonce": Objective(_infonce, marginals=7),
}
"""Estimators that train critics: Belghazi and others 2018; Nguyen and others 2010; Song and Ermon 2020; van den Oord
and others 2018."""


@dataclass(frozen=True)
class Terms:
    """What an estimate is made of, an image at a time.

    Attributes
    ----------
    joint : array, shape (g, n)
        T of each image with its own attribute.
    log_marginal : array, shape (g, k)
        Logarithm of the mean of exp T over other attribute values, of each of the ``k`` images that it was taken of.
    """

    joint: Float[Tensor, "g n"]
    log_marginal: Float[Tensor, "g k"]


def terms(
    estimator: str, joint: Scores, marginal: Marginals, log_shares: Float[Tensor, " m"] | None
) -> Terms:
    """Reduce scores to what an estimate needs.

    Parameters
    ----------
    estimator : str
        One of `OBJECTIVES`.
    joint, marginal : tensor, shapes (g, b) and (g, m, b)
        Scores with the own, and with other attribute values.
    log_shares : tensor, shape (m,), optional
        Logarithms of the probabilities of the other values; all alike when not given.
    """
    joint, marginal = joint.double(), marginal.double()
    weights = _alike(marginal) if log_shares is None else log_shares.double()
    if estimator == "smile":
        marginal = marginal.clamp(-_SMILE_CUT, _SMILE_CUT)
    if estimator == "infonce" and log_shares is None:
        # The own value is one of the values to choose from.
        marginal = torch.cat([joint[:, None], marginal], dim=1)
        weights = _alike(marginal)
    return Terms(joint, torch.logsumexp(marginal + weights[None, :, None], dim=1))


def _alike(marginal: Marginals) -> Float[Tensor, " m"]:
    return torch.full_like(marginal[0, :, 0], -math.log(marginal.shape[1]))


def estimates(
    estimator: str,
    found: Terms,
    weights: Float[Tensor, "w n"] | None = None,
) -> Float[Tensor, "g w"]:
    """Mutual information in nats; with weights of images, once for each row of weights.

    Images whose marginal was not taken (where ``k < n``) are the last ones; weights need all of them.
    """
    n, k = found.joint.shape[1], found.log_marginal.shape[1]
    if weights is None:
        weights = torch.ones(1, n, dtype=torch.float64, device=found.joint.device)
    shares = weights / weights.sum(dim=1, keepdim=True)
    joint = found.joint @ shares.T
    taken = weights[:, :k] / weights[:, :k].sum(dim=1, keepdim=True)
    if estimator == "infonce":
        return joint - found.log_marginal @ taken.T
    highest = found.log_marginal.amax(dim=1, keepdim=True)
    mean = torch.exp(found.log_marginal - highest) @ taken.T
    if estimator == "nwj":
        return joint - mean * torch.exp(highest - 1)
    return joint - (mean.log() + highest)
