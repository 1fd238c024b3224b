"""MINE of one attribute as Dhar and others (2020) write it: one network, one restart, a plain loop."""

import numpy as np
import torch
from torch import Tensor, nn


class Critic(nn.Module):
    """T(f, a): the features and the attribute side by side, 256 and 128 ELU units, one output (section IV.C)."""

    def __init__(self, features: int, attribute: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features + attribute, 256), nn.ELU(), nn.Linear(256, 128), nn.ELU(), nn.Linear(128, 1)
        )

    def forward(self, f: Tensor, a: Tensor) -> Tensor:
        return self.layers(torch.cat([f, a], dim=1))[:, 0]


class PlainMine:
    """One critic in training.

    `decay` is that of the running mean that stands in the denominator of eq. 5; without it (None), the batch's own
    mean stands there, as the equation is printed.
    """

    def __init__(
        self,
        features: int,
        attribute: int,
        *,
        learning_rate: float = 1e-3,
        decay: float | None = 0.99,
        seed: int = 0,
        fused: bool | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.critic = Critic(features, attribute).to(dtype)
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=learning_rate, fused=fused)
        self.decay = decay
        self.running: float | None = None

    def gradient(self, f: Tensor, a: Tensor, a_shuffled: Tensor) -> float:
        """Leave the gradient of eq. 5 in the critic's parameters; returns V of the batch (eq. 3), in nats."""
        joint, marginal = self.critic(f, a), self.critic(f, a_shuffled)
        mean = marginal.exp().mean()
        now = float(mean.detach())
        if self.decay is None or self.running is None:
            self.running = now
        else:
            self.running = self.decay * self.running + (1 - self.decay) * now
        self.optimiser.zero_grad()
        (-(joint.mean() - mean / self.running)).backward()
        return float((joint.mean() - mean.log()).detach())

    def step(self, f: Tensor, a: Tensor, a_shuffled: Tensor) -> float:
        """One step of Adam; returns V of the batch before it."""
        value = self.gradient(f, a, a_shuffled)
        self.optimiser.step()
        return value

    @torch.no_grad()
    def value(self, f: Tensor, a: Tensor) -> float:
        """V (eq. 2) in nats, each feature vector being paired with every attribute value."""
        joint = self.critic(f, a).mean()
        every = [self.critic(f, a.roll(shift, dims=0)) for shift in range(len(a))]
        return float(joint - torch.logsumexp(torch.cat(every), dim=0) + 2 * np.log(len(a)))


def train(mine: PlainMine, f: Tensor, a: Tensor, *, steps: int, batch: int, seed: int = 0) -> list[float]:
    """So many steps on random batches; returns V of each batch."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(steps):
        joint, marginal = rng.choice(len(f), batch, replace=False), rng.choice(len(f), batch, replace=False)
        values.append(mine.step(f[joint], a[joint], a[marginal]))
    return values
