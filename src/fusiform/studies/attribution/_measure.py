"""What is measured of one method on one network."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform import evaluation
from fusiform.errors import FusiformError, NotApplicableError
from fusiform.evaluation._given import Explain
from fusiform.networks import FaceNetwork
from fusiform.statistics import cluster_intervals
from fusiform.studies.attribution._bench import Bench
from fusiform.studies.attribution._cost import Meter
from fusiform.studies.attribution._layers import steps_of
from fusiform.studies.attribution._methods import LAID_OUT, Competitor
from fusiform.studies.attribution._request import AttributionRequest
from fusiform.studies.attribution._tasks import Task
from fusiform.targets import Target

LOWER = frozenset(
    [
        "deletion",
        "completeness_error",
        "max_sensitivity",
        "implementation_invariance",
        "symmetry",
        "parameter_randomization",
    ]
)
"""Measures of which less is better; of all others more is."""

SANITY = "rank correlation of absolute values below 0.5, upper end of its interval, once all weights or labels are random"
_NOT_JUDGED = "not judged: maps lie where the parts are, and are alike by that, whatever the network"
DESCRIPTORS = {
    "chunks": "chunks",
    "chunk_px": "chunk_size",
    "area": "covered_area",
    "frequency": "centroid_frequency",
    "edge_correlation": "edge_correlation",
}
_FALSE_ALARMS = {0.01: "inpainting_far_1e-2", 0.05: "inpainting_far_5e-2"}


class Sheet:
    """Rows of tables that one method on one network gives."""

    def __init__(self, network: str, method: Competitor) -> None:
        self.network, self.method = network, method
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def add(self, table: str, target: str, **values: Any) -> None:
        """Add a row."""
        said = {"network": self.network, "target": target, "method": self.method.name}
        self.rows.append((table, said | {"baseline_map": self.method.baseline_map} | values))

    def measure(self, target: str, metric: str, summary: Any, n_identities: int, note: str = "") -> None:
        """Add a row of `measures`."""
        value, lower, upper, n = summary
        better = "lower" if metric in LOWER else "higher"
        self.add(
            "measures", target, metric=metric, better=better, value=value, lower=lower, upper=upper, n=n,
            n_identities=n_identities, note=note,
        )  # fmt: skip

    def each(self, task: Task, metric: str, values: Tensor, seed: int, note: str = "") -> None:
        """Add a measure with one value an image, and the values."""
        found = values.detach().cpu().double().numpy()
        summary = evaluation.summarise(found, task.identities, seed=seed)
        known = ~np.isnan(found)
        people = len({who for who, there in zip(task.identities, known, strict=True) if there})
        self.measure(task.name, metric, summary, people, note)
        for image, who, value in zip(task.ids, task.identities, found.tolist(), strict=True):
            self.add("values", task.name, metric=metric, image_id=image, identity=who, value=value)

    @contextmanager
    def trying(self, target: str, what: str = "") -> Iterator[None]:
        """Note why something does not apply or failed, and go on."""
        told = f"{what}: " if what else ""
        try:
            yield
        except NotApplicableError as why:
            self.add("not_applicable", target, why=f"{told}{why}")
        except FusiformError as why:
            self.add("skipped", target, reason=f"{told}{why}")

    def table(self) -> pd.DataFrame:
        """All rows as one table, ``table`` and ``row`` (JSON), for a part of a run."""
        return pd.DataFrame(
            {"table": [name for name, _ in self.rows], "row": [json.dumps(row) for _, row in self.rows]},
            dtype="string",
        )


def rows_of(parts: list[pd.DataFrame], name: str) -> list[dict[str, Any]]:
    """The rows of one table in what `Sheet.table` gave."""
    return [json.loads(row) for part in parts for row in part.loc[part["table"] == name, "row"]]


class Measured:
    """One method on one network."""

    def __init__(self, bench: Bench, method: Competitor, request: AttributionRequest) -> None:
        self.bench, self.method, self.request = bench, method, request
        self.net, self.seed, self.memory_gb = bench.net, request.seed, request.memory_gb
        self.sheet = Sheet(bench.name, method)
        self.maps: dict[str, Tensor] = {}

    def go(self) -> Sheet:
        """Measure all of it; what fails is noted."""
        for task in self.bench.tasks:
            with self.sheet.trying(task.name):
                self.maps[task.name] = self._made(task, cost=task is self.bench.tasks[0])
                self._curves(task, self.maps[task.name])
                self._completeness(task, self.maps[task.name])
        first = self.bench.tasks[0]
        if first.name in self.maps:
            maps = self.maps[first.name]
            self._descriptors(first, maps)
            self._pointing(maps)
            self._again(first.first(self.request.few), maps[: self.request.few])
        self._inpainting()
        return self.sheet

    def _made(self, task: Task, *, cost: bool = False) -> Float[Tensor, "n h w"]:
        with Meter(self.net) as meter:
            maps = self.method.maps(self.net, task, seed=self.seed, memory_gb=self.memory_gb)
        if cost:
            n = max(1, len(task))
            self.sheet.add(
                "cost", task.name, seconds_per_image=meter.seconds / n, forward_passes=meter.images / n,
                peak_mb=meter.peak_mb, batch=n,
            )  # fmt: skip
        return maps

    # measures of maps ---------------------------------------------------------------------------------

    def _curves(self, task: Task, maps: Tensor) -> None:
        how: dict[str, Any] = {"memory_gb": self.memory_gb}
        codes = pd.factorize(np.asarray(task.identities, dtype=object))[0]
        pixels = maps.shape[1] * maps.shape[2]
        for kind, flip in (("deletion", evaluation.deletion), ("insertion", evaluation.insertion)):
            curve = flip(
                self.net,
                task.x,
                task.confidence,
                maps,
                min(self.request.steps, pixels),
                seed=self.seed,
                **how,
            )
            self.sheet.each(task, kind, curve.auc, self.seed)
            scores = curve.scores.cpu().double().numpy()
            for fraction, column in zip(curve.fractions.tolist(), scores.T, strict=True):
                terms = np.stack([column, np.ones_like(column)], axis=1)
                score, lower, upper = cluster_intervals(terms, codes, _ratio, seed=self.seed)
                self.sheet.add(
                    "curves", task.name, kind=kind, fraction=fraction, score=score, lower=lower, upper=upper, n=len(column)
                )  # fmt: skip
        masked = evaluation.mask_and_evaluate(self.net, task.x, task.confidence, maps, seed=self.seed, **how)
        self.sheet.each(task, "mask_and_evaluate", masked.drop, self.seed)

    def _completeness(self, task: Task, maps: Tensor) -> None:
        explained = self.method.explained(task)
        with self.sheet.trying(task.name, "completeness"):
            found = evaluation.completeness(
                self.net, task.x, explained, maps, baseline=self.method.complete_at, seed=self.seed
            )
            terms = torch.stack([found.error.abs(), found.difference.abs()], dim=1).cpu().double().numpy()
            codes = pd.factorize(np.asarray(task.identities, dtype=object))[0]
            value, lower, upper = cluster_intervals(terms, codes, _ratio, seed=self.seed)
            at = self.method.complete_at
            note = "of the whole score" if at is None else f"of the difference from the baseline {at}"
            if not self.method.claims_completeness:
                note += "; not claimed by the method"
            self.sheet.measure(
                task.name, "completeness_error", (value, lower, upper, len(terms)), int(codes.max()) + 1, note
            )

    def _descriptors(self, task: Task, maps: Tensor) -> None:
        with self.sheet.trying(task.name, "descriptors"):
            table = evaluation.describe_maps(maps, task.x)
            for column, metric in DESCRIPTORS.items():
                summary = evaluation.summarise(table[column].to_numpy(), task.identities, seed=self.seed)
                self.sheet.add("descriptors", task.name, metric=metric, **summary._asdict())

    def _pointing(self, maps: Tensor) -> None:
        regions = self.bench.regions
        if regions is None:
            return
        task = regions.task
        with self.sheet.trying(task.name, "pointing games"):
            if task is not self.bench.tasks[0]:
                maps = self._made(task)
            games: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
                "pointing_game": evaluation.pointing_game,
                "energy_pointing_game": evaluation.energy_pointing_game,
            }
            for metric, game in games.items():
                self.sheet.each(task, metric, game(maps, regions.union), self.seed, regions.source)
                for part, masks in regions.masks.items():
                    summary = evaluation.summarise(game(maps, masks), task.identities, seed=self.seed)
                    shown = masks.flatten(1).any(dim=1)
                    area = float(masks[shown].float().mean()) if shown.any() else float("nan")
                    self.sheet.add(
                        "parts", task.name, part=part, metric=metric, chance=area, **summary._asdict()
                    )

    def _inpainting(self) -> None:
        game, name = self.bench.game, "contrast"
        if game is None or not len(game.task) or name not in self.maps:
            return
        with self.sheet.trying(name, "inpainting game"):
            maps = self._made(game.task)
            found = evaluation.inpainting_game(
                self.net, game.task.x, game.target, maps, game.inpainted, game.masks,
                parts=game.parts, groups=game.task.identities, levels=self.request.steps, seed=self.seed,
                memory_gb=self.memory_gb,
            )  # fmt: skip
            people = len(set(game.task.identities))
            for row in records(found.table):
                part, rate, value = row["part"], row["false_alarm_rate"], row["value"]
                lower, upper = row["lower"], row["upper"]
                dropped = sum(game.dropped.values()) if part == "all" else game.dropped.get(part, 0)
                self.sheet.add(
                    "inpainting", name, part=part, played=row["n"], dropped=dropped, false_alarm_rate=rate,
                    probability=value, lower=lower, upper=upper,
                )  # fmt: skip
                if part == "all":
                    self.sheet.measure(name, _FALSE_ALARMS[rate], (value, lower, upper, row["n"]), people)

    # measures that make maps again and again ----------------------------------------------------------

    def _explain(self, task: Task) -> Explain:
        """Makes the maps of these images for whatever network and inputs of theirs."""

        def explain(net: FaceNetwork, x: Tensor, target: Target) -> Tensor:
            return self.method.maps(
                net, task, target, use="light", x=x, seed=self.seed, memory_gb=self.memory_gb
            )

        return explain

    def _again(self, task: Task, maps: Tensor) -> None:
        explained, explain = self.method.explained(task), self._explain(task)
        seed, sheet, net, x = self.seed, self.sheet, self.net, task.x
        with sheet.trying(task.name, "sensitivity_n"):
            found = evaluation.sensitivity(
                net, x, task.confidence, maps, subsets=24, baseline="mean", seed=seed
            )
            sheet.each(task, "sensitivity_n", found, seed)
        with sheet.trying(task.name, "max_sensitivity"):
            shaken = evaluation.stability(net, x, explained, explain, draws=2, seed=seed)
            sheet.each(task, "max_sensitivity", shaken.maximum, seed)
        with sheet.trying(task.name, "implementation_invariance"):
            self._invariance(task)
        with sheet.trying(task.name, "symmetry"):
            even = task.mirrored()
            found = evaluation.symmetry(net, x, self.method.explained(even), self._explain(even))
            sheet.each(task, "symmetry", found, seed)
        self._randomization(task, "cascading")
        if not self.request.quick:
            self._randomization(task.first(max(2, len(task) // 4)), "independent")

    def _invariance(self, task: Task) -> None:
        table = evaluation.implementation_invariance(
            self.net,
            task.x,
            self.method.explained(task),
            self._explain(task),
            groups=task.identities,
            seed=self.seed,
        )
        table = table[table["metric"] == "relative_difference"]
        tried = table[table["value"].notna()]
        if not len(tried):
            why = "; ".join(f"{row['variant']}: {row['note']}" for row in records(table))
            self.sheet.add("skipped", task.name, reason=f"implementation_invariance: {why}")
            return
        worst = tried.sort_values("value").iloc[-1]
        told = [f"{r['variant']} {'equal' if r['equal'] else 'not equal'}" for r in records(tried)]
        told += [f"{name} not tried" for name in table.loc[table["value"].isna(), "variant"]]
        note = f"worst of the copies; {', '.join(told)}"
        self._measured(task, "implementation_invariance", worst, note)

    def _randomization(self, task: Task, kind: str) -> None:
        with self.sheet.trying(task.name, f"parameter_randomization ({kind})"):
            table = evaluation.parameter_randomization(
                self.net,
                task.x,
                self.method.explained(task),
                self._explain(task),
                cascading=kind == "cascading",
                layers=steps_of(self.net),
                groups=task.identities,
                seed=self.seed,
            )
            add_sanity(self.sheet, task.name, table, kind)
            if kind == "cascading" and self.method.name not in LAID_OUT:
                last = table[table["metric"] == "spearman_absolute"].sort_values("depth").iloc[-1]
                note = "rank correlation of absolute values once all weights are drawn anew"
                self._measured(task, "parameter_randomization", last, note)

    def _measured(self, task: Task, metric: str, row: pd.Series, note: str) -> None:
        value, lower, upper = (float(row[k]) for k in ("value", "lower", "upper"))
        self.sheet.measure(
            task.name, metric, (value, lower, upper, int(row["n"])), len(set(task.identities)), note
        )


def add_sanity(sheet: Sheet, target: str, table: pd.DataFrame, kind: str) -> None:
    """Rows of `sanity` from a table of randomisation; the verdict stands where all is random."""
    deepest, laid_out = table["depth"].max(), sheet.method.name in LAID_OUT
    for row in records(table):
        judged = kind != "independent" and row["depth"] == deepest and row["metric"] == "spearman_absolute"
        passes = bool(row["passed"]) if judged and row["n"] and not laid_out else None
        criterion = (_NOT_JUDGED if laid_out else SANITY) if judged else ""
        said = {k: row[k] for k in ("layer", "depth", "metric", "value", "lower", "upper", "n")}
        sheet.add("sanity", target, kind=kind, passes=passes, criterion=criterion, **said)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table by column, as plain Python values."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _ratio(sums: ndarray) -> ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1])
