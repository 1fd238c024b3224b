import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.probing.information._critic import Critics, Shown
from fusiform.probing.information._objectives import OBJECTIVES, Terms, estimates, running_mean, terms

# Steps between looks at the validation images, and looks without a better one after which a critic is done.
_EVERY, _PATIENCE = 50, 8
_SEEN_EVERY = 10
# What counts as better, in nats.
_BETTER = 0.001
_WARM_UP = 50
# The reported critic is a running mean over the last hundred steps or so.
_AVERAGE, _AVERAGE_EVERY = 0.99, 5
# Scores beyond this are those of a critic that has left the road.
_ABSURD = 1e4
# Pairs looked at: other attribute values an image, classes that are all looked at, images whose marginal is taken.
_OTHERS, _CLASSES, _IMAGES = 64, 512, 1024
_OTHERS_IN_TRAINING, _CLASSES_IN_TRAINING = 16, 64
# Numbers of a hidden layer held at a time.
_HELD = 8_000_000


@dataclass(frozen=True)
class Schooling:
    """How critics are trained.

    Attributes
    ----------
    estimator : str
        One of `OBJECTIVES`.
    batch_size : int
        Images a step.
    steps : int
        Steps of a course. Critics that have not converged at its end go through another.
    step_size : float
        Adam's, at its highest; it falls to a fiftieth along a cosine, and in every further course it starts at half of
        where it started before. Weights that see d features have one that is smaller by 64 / d, where that is below 1.
    courses : int
        The most courses.
    """

    estimator: str = "mine"
    batch_size: int = 128
    steps: int = 1500
    step_size: float = 0.01
    courses: int = 6


@dataclass(frozen=True)
class Task:
    """One attribute: as critics take it, with the values that it can have and their probabilities."""

    shown: Shown
    width: int
    choices: Shown | None = None
    log_shares: Float[Tensor, " m"] | None = None


@dataclass(frozen=True)
class Trained:
    """Critics after training, attribute by attribute; axes of numbers are attributes and seeds."""

    critics: Critics
    steps: Int[ndarray, "a r"]
    converged: Bool[ndarray, "a r"]
    diverged: Bool[ndarray, "a r"]
    curve: list[tuple[int, int, float, float]]  # critic, step, train, valid


def train_critics(
    features: Float[Tensor, "n d"],
    tasks: Sequence[Task],
    seeds: Sequence[int],
    train: Int[Tensor, " k"],
    valid: Int[Tensor, " v"],
    schooling: Schooling,
    seed: int,
) -> Trained:
    """Train critics of several attributes and initialisations on the same batches, each until it has converged.

    Every fifty steps the running mean of a critic's weights is looked at on the validation images; it is done when eight
    looks brought nothing better, and the best of them stands. What critics go through does not depend on which others
    are trained beside them.
    """
    return _School(features, tasks, seeds, train, valid, schooling, seed).go()


class _School:
    def __init__(
        self,
        features: Tensor,
        tasks: Sequence[Task],
        seeds: Sequence[int],
        train: Tensor,
        valid: Tensor,
        schooling: Schooling,
        seed: int,
    ) -> None:
        self.features, self.tasks, self.schooling = features, tasks, schooling
        self.train, self.valid = train, valid
        self.batch = min(schooling.batch_size, len(train))
        self.generator = torch.Generator().manual_seed(seed)
        self.live = Critics(
            [task.shown for task in tasks],
            [task.width for task in tasks],
            features.shape[1],
            seeds,
            features.device,
        )
        self.shape = (len(tasks), len(seeds))
        every = torch.ones(len(self.live), dtype=torch.bool)
        self.best = self.live.chosen(every)
        self.average = self.live.chosen(every)
        self.active = every.clone()
        self.value = torch.full((len(every),), -math.inf, dtype=torch.float64)
        self.best_step = torch.zeros(len(every), dtype=torch.int64)
        self.ended = torch.zeros(len(every), dtype=torch.int64)
        self.since = torch.zeros(len(every), dtype=torch.int64)
        self.diverged = torch.zeros(len(every), dtype=torch.bool)
        self.converged = torch.zeros(len(every), dtype=torch.bool)
        self.order = torch.empty(0, dtype=torch.int64)
        self.seen = torch.zeros(len(every), dtype=torch.float64)
        self.n_seen = 0
        self.looks: list[tuple[int, Tensor]] = []
        self.curve: list[tuple[int, int, float, float]] = []
        self.log_mean: Tensor | None = None
        self.optimiser = self._optimiser()
        # The same pairs at every look, so that what changes is the critic.
        self.pairs = _shifted(valid, _OTHERS_IN_TRAINING, torch.Generator().manual_seed(seed))

    def go(self) -> Trained:
        self._look(0)
        for course in range(self.schooling.courses):
            self._course(course)
            if not self.active.any():
                break
        return Trained(
            self.best,
            self.ended.view(self.shape).numpy(),
            self.converged.view(self.shape).numpy(),
            self.diverged.view(self.shape).numpy(),
            self.curve,
        )

    def _course(self, course: int) -> None:
        """Train until the critics are done or the course is over; then let go of those that hardly became better."""
        before, last = course * self.schooling.steps, (course + 1) * self.schooling.steps
        self.since = torch.full_like(self.best_step, before)
        for step in range(before + 1, last + 1):
            if not self.active.any():
                return
            if len(self.order) < self.batch:
                self.order = torch.randperm(len(self.train), generator=self.generator)
            images, self.order = self.order[: self.batch], self.order[self.batch :]
            self._step(self.train[images.to(self.train.device)], step)
            if step % _EVERY == 0 or step == last:
                self._look(step)
        rise = self._rise_since(before + 0.9 * self.schooling.steps)
        late = self.active & (rise <= torch.clamp(0.01 * self.value, min=0.005))
        self.converged |= late
        self.ended[self.active] = last
        self._leave(late)

    def _step(self, images: Int[Tensor, " b"], step: int) -> None:
        objective = OBJECTIVES[self.schooling.estimator]
        drawn = torch.randint(len(self.train), (objective.marginals, self.batch), generator=self.generator)
        others = self.train[drawn.to(self.train.device)]
        rows = torch.cat([images[None], others])
        seen = self.features[images]
        scores, kept = self.live.scores(self.live.first(self.live.of_features(seen), rows))
        joint, marginal = scores[:, 0], scores[:, 1:]
        self.log_mean = running_mean(self.log_mean, marginal)
        down, up = objective.slopes(joint, marginal, self.log_mean)
        gradients = self.live.gradients(torch.cat([down[:, None], up], dim=1), kept, seen, rows)
        for weight, gradient in zip(self.live.parameters, gradients, strict=True):
            weight.grad = gradient
        self._set_step_size(step)
        self.optimiser.step()
        if step % _AVERAGE_EVERY == 0:
            moves = max(1 - _AVERAGE**_AVERAGE_EVERY, _AVERAGE_EVERY / (step + _AVERAGE_EVERY))
            torch._foreach_lerp_(self.average.parameters, self.live.parameters, moves)
        if step % _SEEN_EVERY == 0:
            found = terms(self.schooling.estimator, joint, marginal, None)
            self.seen[self.active] += estimates(self.schooling.estimator, found)[:, 0].cpu()
            self.n_seen += 1

    def _look(self, step: int) -> None:
        """Measure the active critics on the validation images, remember the better, and let go of the done."""
        values = torch.cat(
            [
                estimates(
                    self.schooling.estimator,
                    self._measured(number, task),
                )[:, 0]
                for number, task in enumerate(self.tasks)
                if self.average.counts[number]
            ]
        ).cpu()
        where = torch.nonzero(self.active)[:, 0]
        lost = ~torch.isfinite(values) | (values.abs() > _ABSURD)
        self.diverged[where[lost]] = True
        better = ~lost & (values > self.value[where] + _BETTER)
        mine = torch.zeros_like(self.active)
        mine[where[better]] = True
        self.best.take(mine, self.average, better)
        self.value[mine] = values[better]
        self.best_step[mine] = step
        self.looks.append((step, self.value.clone()))
        for critic, value in zip(where.tolist(), values.tolist(), strict=True):
            seen = float(self.seen[critic]) / self.n_seen if self.n_seen else math.nan
            self.curve.append((critic, step, seen, value))
        self.seen.zero_()
        self.n_seen = 0
        waited = step - torch.maximum(self.best_step, self.since)[where] >= _PATIENCE * _EVERY
        self.converged[where[waited & ~lost]] = True
        done = torch.zeros_like(self.active)
        done[where[lost | waited]] = True
        self.ended[done] = step
        self._leave(done)

    def _measured(self, number: int, task: Task) -> Terms:
        return measure(
            self.average.of(number),
            self.features,
            self.valid,
            self.pairs,
            task,
            self.schooling.estimator,
            most=_CLASSES_IN_TRAINING,
        )

    def _leave(self, done: Bool[Tensor, " g"]) -> None:
        stay = ~done[self.active]
        self.active &= ~done
        if stay.all() or not stay.any():
            return
        masks = self.live.masks(stay)
        states = [self.optimiser.state[weight] for weight in self.live.parameters]
        self.live, self.average = self.live.chosen(stay), self.average.chosen(stay)
        if self.log_mean is not None:
            self.log_mean = self.log_mean[stay]
        self.optimiser = self._optimiser()
        for weight, state, mask in zip(self.live.parameters, states, masks, strict=True):
            self.optimiser.state[weight] = {
                name: value[mask] if name.startswith("exp") else value for name, value in state.items()
            }

    def _optimiser(self) -> torch.optim.Adam:
        first, *others = self.live.parameters
        groups: list[dict[str, Any]] = [{"params": [first]}, {"params": others}]
        return torch.optim.Adam(groups, lr=self.schooling.step_size, fused=True)

    def _set_step_size(self, step: int) -> None:
        course, along = divmod(step - 1, self.schooling.steps)
        along += 1
        turn = 0.5 * (1 + math.cos(math.pi * along / self.schooling.steps))
        size = self.schooling.step_size * 0.5**course * min(1.0, along / _WARM_UP) * (0.02 + 0.98 * turn)
        narrow, wide = self.optimiser.param_groups
        # A step moves what a unit sees by its sum over the features.
        narrow["lr"] = size * min(1.0, 64 / self.features.shape[1])
        wide["lr"] = size

    def _rise_since(self, step: float) -> Float[Tensor, " g"]:
        """How much better critics have become since a step."""
        before = [value for seen, value in self.looks if seen <= step]
        return self.value - before[-1]


def measure(
    critics: Critics,
    features: Float[Tensor, "n d"],
    images: Int[Tensor, " b"],
    pairs: Int[Tensor, "m k"],
    task: Task,
    estimator: str,
    *,
    most: int = _CLASSES,
) -> Terms:
    """The terms of the estimate of one attribute's critics on some images.

    Where the attribute has at most so many values, the marginal is a sum over all of them, each with its probability;
    otherwise a mean over the images of `pairs`, whose columns stand for the first of `images`.
    """
    of_features = critics.of_features(features[images])
    joint = critics.scores(critics.first(of_features, images[None]))[0][:, 0]
    exact = task.choices is not None and len(task.choices) <= most
    if task.choices is not None and exact:
        critics = critics.of(0, task.choices)
        n = min(len(images), _IMAGES)
        rows = torch.arange(len(task.choices), device=features.device)[:, None].expand(-1, n)
    else:
        rows = pairs
        n = pairs.shape[1]
    of_features = of_features[:, :, :n].contiguous()
    block = max(1, _HELD // of_features.numel())
    marginal = torch.cat(
        [critics.scores(critics.first(of_features, part))[0] for part in rows.split(block)], dim=1
    )
    found = terms(estimator, joint[:, :n], marginal, task.log_shares if exact else None)
    return Terms(joint.double(), found.log_marginal)


def pairs_of(images: Int[Tensor, " b"], seed: int) -> Int[Tensor, "m k"]:
    """Other images of the same set for the first of them, for the marginal of a reported estimate."""
    return _shifted(images, _OTHERS, torch.Generator().manual_seed(seed))


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """For each image, as many others: all images moved on by the same number of places."""
    shifts = (1 + torch.randperm(len(images) - 1, generator=generator))[:most]
    places = (torch.arange(min(len(images), _IMAGES))[None] + shifts[:, None]) % len(images)
    return images[places.to(images.device)]


def as_task(shown: Shown, width: int, classes: Int[ndarray, " n"] | None) -> Task:
    """Make a task of an attribute; where it has classes, its values are those of the classes."""
    if classes is None:
        return Task(shown, width)
    counts = np.bincount(classes)
    first = torch.from_numpy(np.unique(classes, return_index=True)[1])
    choices = shown[first.to(shown.device)]
    log_shares = torch.from_numpy(np.log(counts / counts.sum())).to(shown.device)
    return Task(shown, width, choices, log_shares)
