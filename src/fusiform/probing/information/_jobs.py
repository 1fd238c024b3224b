"""The work of an estimate: who trains beside whom, what each restart leaves out, and what becomes of the lost."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform._threads import each_on_one_thread
from fusiform.probing.information._attributes import Encoded
from fusiform.probing.information._folds import folds_of
from fusiform.probing.information._objectives import estimates
from fusiform.probing.information._references import Reference, gaussian_information, ksg_information
from fusiform.probing.information._result import DRAWS, Expressivity, curve_of
from fusiform.probing.information._train import (
    Schooling,
    Task,
    as_task,
    measure,
    pairs_of,
    train_critics,
)
from fusiform.statistics import cluster_weights

REFERENCES = ("gaussian", "ksg")
"""Estimators that train no critics."""

# Discriminant analysis of more classes takes longer than critics do.
_MOST_CLASSES = 512
# Critics trained as one network; more of them no longer fit the processor's cache.
_TOGETHER = 16
# A diverged restart is done again with a step so much smaller, so often.
_SMALLER, _AGAIN = 4.0, 3
# Nats outside these are those of a critic that has left the road.
_LEAST, _MOST = -10.0, 50.0


@dataclass(frozen=True)
class _Job:
    """Critics that are trained together: attributes split alike, restarts that leave out the same fold."""

    folds: Int[ndarray, " n"]
    fold: int
    restarts: tuple[int, ...]
    names: tuple[str, ...]
    step_size: float


class Jobs:
    def __init__(
        self,
        features: Float[ndarray, "n d"],
        attributes: dict[str, Encoded],
        clusters: Int[ndarray, " n"] | None,
        seed: int,
        restarts: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.features, self.attributes, self.seed, self.restarts = features, attributes, seed, restarts
        self.clusters = np.arange(len(features)) if clusters is None else clusters
        self.folds = {name: folds_of(each, clusters, seed, name) for name, each in attributes.items()}
        self.progress = progress
        self.done = 0
        n_clusters = int(self.clusters.max()) + 1
        # A row of ones first: the estimate itself.
        self.weights = np.vstack([np.ones(n_clusters), cluster_weights(n_clusters, draws=DRAWS, seed=seed)])
        self.counting = Lock()

    # estimators that train nothing ---------------------------------------------------------------------

    def references(self, estimator: str) -> dict[str, Expressivity]:
        found = {}
        for name, result in self._referred(estimator).items():
            encoded = self.attributes[name]
            sums = np.bincount(self.clusters, weights=result.contributions)
            values = self.weights @ sums / (self.weights @ np.bincount(self.clusters))
            found[name] = Expressivity(
                estimator,
                encoded.encoding,
                np.array([result.value]),
                np.array([result.train_value]),
                values[1:],
                encoded.entropy,
                len(self.features),
                self.features.shape[1],
                curve_of([]),
                np.zeros(1),
                np.ones(1, dtype=bool),
                0,
                result.note,
            )
            self._count(1, len(self.attributes))
        return found

    def _referred(self, estimator: str) -> dict[str, Reference]:
        if estimator == "ksg":
            every = ksg_information(self.features, list(self.attributes.values()))
            return dict(zip(self.attributes, every, strict=True))
        alike: dict[bytes, list[str]] = {}
        found: dict[str, Reference] = {}
        for name, folds in self.folds.items():
            encoded = self.attributes[name]
            if encoded.encoding == "categorical" and encoded.values.shape[1] > _MOST_CLASSES:
                found[name] = _too_many(encoded)
            else:
                alike.setdefault(folds.tobytes(), []).append(name)
        for names in alike.values():
            some = [self.attributes[name] for name in names]
            found |= zip(names, gaussian_information(self.features, some, self.folds[names[0]]), strict=True)
        return found

    # estimators that train critics ----------------------------------------------------------------------

    def trained(self, schooling: Schooling, device: torch.device) -> dict[str, Expressivity]:
        features = torch.from_numpy(self.features).to(device)
        tasks = {name: _task(each, device) for name, each in self.attributes.items()}
        held: dict[tuple[str, int], _Held] = {}
        retried = dict.fromkeys(self.attributes, 0)
        jobs = self._jobs({name: range(self.restarts) for name in tasks}, schooling.step_size)
        for again in range(_AGAIN + 1):
            for some in each_on_one_thread(lambda job: self._run(job, features, tasks, schooling), jobs):
                held |= some
            lost = {name: [r for r in range(self.restarts) if held[name, r].diverged] for name in tasks}
            if again == _AGAIN or not any(lost.values()):
                break
            for name, some_lost in lost.items():
                retried[name] += len(some_lost)
            jobs = self._jobs(lost, schooling.step_size / _SMALLER ** (again + 1))
        return {
            name: self._summary(
                name, schooling, [held[name, restart] for restart in range(self.restarts)], retried[name]
            )
            for name in tasks
        }

    def _jobs(self, wanted: Mapping[str, Sequence[int]], step_size: float) -> list[_Job]:
        alike: dict[tuple[bytes, int, tuple[int, ...]], list[str]] = {}
        for name, restarts in wanted.items():
            folds = self.folds[name]
            n_folds = int(folds.max()) + 1
            for fold in range(n_folds):
                turn = tuple(restart for restart in restarts if restart % n_folds == fold)
                if turn:
                    alike.setdefault((folds.tobytes(), fold, turn), []).append(name)
        jobs = []
        for (_, fold, turn), names in alike.items():
            most = max(1, _TOGETHER // len(turn))
            for start in range(0, len(names), most):
                some = tuple(names[start : start + most])
                jobs.append(_Job(self.folds[some[0]], fold, turn, some, step_size))
        return jobs

    def _run(
        self, job: _Job, features: Tensor, tasks: Mapping[str, Task], schooling: Schooling
    ) -> dict[tuple[str, int], "_Held"]:
        watched = (job.fold + 1) % (int(job.folds.max()) + 1)
        of_fold = _mixed(self.seed, 1000 + job.fold)
        rng = np.random.default_rng(of_fold)
        # The marginal is taken of the first images, so their order must not be that of the file.
        left_out, valid, train = (
            torch.from_numpy(rng.permutation(np.flatnonzero(rows))).to(features.device)
            for rows in (
                job.folds == job.fold,
                job.folds == watched,
                (job.folds != job.fold) & (job.folds != watched),
            )
        )
        seeds = [_mixed(self.seed, restart) for restart in job.restarts]
        some = [tasks[name] for name in job.names]
        school = replace(schooling, step_size=job.step_size)
        result = train_critics(features, some, seeds, train, valid, school, of_fold)
        curves: dict[int, list[tuple[int, float, float]]] = {}
        for critic, step, on_train, on_valid in result.curve:
            curves.setdefault(critic, []).append((step, on_train, on_valid))
        found: dict[tuple[str, int], _Held] = {}
        for number, (name, task) in enumerate(zip(job.names, some, strict=True)):
            critics = result.critics.of(number)
            outside, inside = (
                measure(critics, features, images, pairs_of(images, of_fold), task, school.estimator)
                for images in (left_out, train)
            )
            weights = self._weights(left_out)
            values = estimates(school.estimator, outside, weights)
            own = estimates(school.estimator, inside)[:, 0]
            for place, restart in enumerate(job.restarts):
                found[name, restart] = _Held(
                    job.fold,
                    values[place].cpu().numpy(),
                    weights.sum(dim=1).cpu().numpy(),
                    float(own[place]),
                    int(result.steps[number, place]),
                    bool(result.converged[number, place]),
                    bool(result.diverged[number, place]),
                    curves[number * len(job.restarts) + place],
                    len(train) / min(school.batch_size, len(train)),
                )
        self._count(len(job.names) * len(job.restarts), len(tasks) * self.restarts)
        return found

    def _weights(self, images: Int[Tensor, " b"]) -> Float[Tensor, "w b"]:
        return torch.from_numpy(self.weights[:, self.clusters[images.cpu().numpy()]]).to(images.device)

    def _count(self, more: int, total: int) -> None:
        with self.counting:
            self.done = min(total, self.done + more)
            if self.progress is not None:
                self.progress(self.done, total)

    def _summary(self, name: str, schooling: Schooling, held: list["_Held"], retried: int) -> Expressivity:
        encoded = self.attributes[name]
        rows = [
            (restart, step / each.steps_an_epoch, step, train, valid)
            for restart, each in enumerate(held)
            for step, train, valid in each.curve
        ]
        lost = sum(each.diverged for each in held)
        notes = [encoded.note]
        if lost:
            notes.append(f"{lost} of {len(held)} restarts diverged even with a smaller step and count as 0")
        values = np.array([0.0 if each.diverged else each.values[0] for each in held])
        return Expressivity(
            schooling.estimator,
            encoded.encoding,
            values,
            np.array([0.0 if each.diverged else each.train_value for each in held]),
            values.mean() + _deviations(held, self.seed),
            encoded.entropy,
            len(self.features),
            self.features.shape[1],
            curve_of(rows),
            np.array([each.steps / each.steps_an_epoch for each in held]),
            np.array([each.converged for each in held]),
            retried,
            "; ".join(filter(None, notes)),
        )


@dataclass(frozen=True)
class _Held:
    """What one restart found: its values under each row of weights, and its course."""

    fold: int
    values: Float[ndarray, " w"]
    weight: Float[ndarray, " w"]
    train_value: float
    steps: int
    converged: bool
    lost: bool
    curve: list[tuple[int, float, float]]  # step, train, valid
    steps_an_epoch: float

    @property
    def diverged(self) -> bool:
        return self.lost or not (_LEAST < self.values[0] < _MOST and _LEAST < self.train_value < _MOST)


def _too_many(encoded: Encoded) -> Reference:
    note = f"not measured: more than {_MOST_CLASSES} classes"
    notes = "; ".join(filter(None, (encoded.note, note)))
    return Reference(math.nan, math.nan, np.full(len(encoded), math.nan), notes)


def _deviations(held: Sequence[_Held], seed: int) -> Float[ndarray, " draws"]:
    """How the mean over restarts deviates in each bootstrap sample.

    A fold counts by how much of it was drawn. Where several restarts leave out the same fold, they are resampled too, for
    they differ by how they were trained.
    """
    rng = np.random.default_rng([seed, 1])
    folds = np.array([each.fold for each in held])
    values = np.array([np.zeros_like(each.values) if each.diverged else each.values for each in held])
    weights = np.array([each.weight for each in held])
    # Of a fold of which nothing was drawn, there is no value.
    values = np.where(weights > 0, values, 0.0)
    total, weight = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for fold in np.unique(folds):
        some = values[folds == fold]
        k = len(some)
        middle = some.mean(axis=0)
        if k > 1:
            chosen = rng.integers(k, size=(k, some.shape[1] - 1))
            again = np.take_along_axis(some[:, 1:], chosen, axis=0).mean(axis=0)
            middle[1:] += (again - middle[1:]) * (k / (k - 1)) ** 0.5
        of_fold = k * weights[folds == fold][0]
        total += of_fold * middle
        weight += of_fold
    means = total / np.where(weight > 0, weight, 1.0)
    return np.where(weight > 0, means - means[0], 0.0)[1:]


def _task(encoded: Encoded, device: torch.device) -> Task:
    if encoded.encoding == "categorical":
        shown = torch.from_numpy(encoded.classes).to(device)
    else:
        shown = torch.from_numpy(encoded.values).to(device)
    return as_task(shown, encoded.values.shape[1], encoded.classes)


def _mixed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
