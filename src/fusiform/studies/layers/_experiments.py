"""The experiments of the study: each takes the bench and a network, and gives one table of tables.

What they share (sampling, framed faces, layers, budgets) lies on the bench. Columns are told in docs/layers.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fusiform.faces import FaceSet, transformed
from fusiform.networks.training import train_multitask
from fusiform.probing import (
    ConfoundedDraw,
    Draw,
    Probes,
    ProbeSet,
    Sampling,
    ablate,
    detect_manipulation,
    fit_probes,
    identify,
    measure_answers,
    probe_network,
)
from fusiform.runs import Progress, Run
from fusiform.studies.layers._request import LayersRequest
from fusiform.studies.layers._subjects import Subject, evenly

_PLACE = ["network", "setup", "layer", "depth"]
_WHAT = ["attribute", "kind"]


@dataclass
class Bench:
    """What every experiment needs: the request, the run, the draws, and each network's layers and faces."""

    request: LayersRequest
    run: Run
    sampling: Sampling
    progress: Progress
    layers: dict[str, list[str]]
    faces: dict[str, FaceSet]
    shuffled: tuple[Draw, ...]
    treated: tuple[ConfoundedDraw, ...]
    _frozen: dict[str, ProbeSet] = field(default_factory=dict)

    def corner(self, experiment: str) -> Path:
        """A folder for what an experiment keeps until the run is complete."""
        return self.run.path / "parts" / experiment

    def probe(
        self,
        subject: Subject,
        experiment: str,
        *,
        faces: FaceSet | None = None,
        units: Sequence[str] = ("layer",),
        vip_neurons: int = 0,
        also: Mapping[str, Sequence[Draw]] | None = None,
    ) -> Probes:
        """Probe a network; finished layers are kept under the experiment's name."""
        request = self.request
        return probe_network(
            subject.net,
            self.faces[subject.name] if faces is None else faces,
            layers=self.layers[subject.name],
            units=tuple(units),
            top=request.top,
            n_components=request.n_components,
            scale=request.scale,
            vip_neurons=vip_neurons,
            also=also,
            seed=request.seed,
            memory_gb=request.memory_gb,
            batch_size=request.batch_size,
            sampling=self.sampling,
            progress=self.progress,
            run=Run(self.corner(experiment), {}),
        )

    def frozen(self, subject: Subject) -> ProbeSet:
        """Give probes that can be asked about other activations; those of one network at a time are kept."""
        if subject.name not in self._frozen:
            request = self.request
            self._frozen = {
                subject.name: fit_probes(
                    subject.net,
                    self.faces[subject.name],
                    self._layers_to_freeze(subject),
                    sampling=self.sampling,
                    units=request.units,
                    top=request.top,
                    n_components=request.n_components,
                    scale=request.scale,
                    memory_gb=request.memory_gb,
                    batch_size=request.batch_size,
                    seed=request.seed,
                    progress=self.progress,
                    scratch=self.corner("frozen"),
                )
            }
        return self._frozen[subject.name]

    def _layers_to_freeze(self, subject: Subject) -> list[str]:
        """As many layers, evenly spread, as have weights that fit into half of the memory; three at the least."""
        probed = self.layers[subject.name]
        columns = sum(len(d.classes) if len(d.classes) > 2 else 1 for d in self.sampling.draws)
        a_feature = 4 * columns * self.request.n_components
        for most in range(len(probed), 2, -1):
            chosen = evenly(probed, most)
            features = sum(prod(subject.net.layer(name).shape) for name in chosen)
            if a_feature * features <= 0.5e9 * self.request.memory_gb:
                break
        else:
            chosen = evenly(probed, 3)
        if len(chosen) < len(probed):
            self.progress.say(
                f"{subject.name}: frozen probes for {len(chosen)} of {len(probed)} layers; more would not fit into half "
                f"of memory_gb ({self.request.memory_gb:g})"
            )
        return chosen


def probing(bench: Bench, subject: Subject) -> dict[str, pd.DataFrame]:
    """What every layer, channel and neuron knows, and the controls of it that are measured in the same passes."""
    leads = is_leading(subject)
    also: dict[str, tuple[Draw, ...]] = {}
    if leads and bench.shuffled:
        also["shuffled"] = bench.shuffled
    if leads and bench.treated:
        also["treated"] = tuple(each.draw for each in bench.treated)
        also["raw"] = tuple(_untreated(each, bench.sampling) for each in bench.treated)
    found = bench.probe(
        subject,
        "probing",
        units=bench.request.units,
        vip_neurons=0 if subject.control else bench.request.extent.vip_neurons,
        also=also,
    )
    probes = subject.stamped(_with_relative_depth(found.table, subject), control=True)
    tables = {"probes": probes}
    if not subject.control:
        tables["vip_neurons"] = subject.stamped(found.neurons)
        tables["vip_histogram"] = subject.stamped(found.histogram)
    if "shuffled" in also:
        tables["selectivity"] = _selectivity(entire_layers(probes), entire_layers(found.also["shuffled"]))
    if "treated" in also:
        tables["confounded"] = subject.stamped(
            _confounded(
                bench.treated,
                entire_layers(probes),
                entire_layers(found.also["treated"]),
                entire_layers(found.also["raw"]),
            )
        )
    return tables


def _selectivity(probes: pd.DataFrame, shuffled: pd.DataFrame) -> pd.DataFrame:
    """How far probes are above those of shuffled labels (Hewitt and Liang 2019)."""
    shuffled = shuffled[["layer", "attribute", "value", "lower", "upper"]].rename(
        columns={"value": "shuffled", "lower": "shuffled_lower", "upper": "shuffled_upper"}
    )
    table = probes.merge(shuffled, on=["layer", "attribute"])
    table["selectivity"] = table.value - table.shuffled
    columns = [*_PLACE, "relative_depth", *_WHAT, "metric", "value", "shuffled", "shuffled_lower"]
    return table[[*columns, "shuffled_upper", "chance", "selectivity", "n"]]


def _untreated(treated: ConfoundedDraw, sampling: Sampling) -> Draw:
    """The images of a treated draw, asked for the attribute as it is by the same measure."""
    (own,) = (draw for draw in sampling.draws if draw.attribute == treated.draw.attribute)
    values = own.values
    if treated.treatment == "residualised" and len(own.classes) > 2:
        # Of several classes one against the rest was treated; the note names it.
        (number,) = (k for k, name in enumerate(own.classes) if treated.note == f"{name} against the rest")
        values = (values == number).astype(np.float64)
    return replace(treated.draw, values=values)


def _confounded(
    treated: Sequence[ConfoundedDraw], probes: pd.DataFrame, measured: pd.DataFrame, untreated: pd.DataFrame
) -> pd.DataFrame:
    """Beside each other: probes with the strongest associate balanced or taken out, and without.

    Balanced draws hold other images than the attribute's own draw, with which they are compared. Residuals are
    numbers, so they are compared with the attribute itself as a number on the same images.
    """
    about = pd.DataFrame(
        {
            "attribute": [each.draw.attribute for each in treated],
            "confounder": [each.confounder for each in treated],
            "association": [each.association for each in treated],
            "treatment": [each.treatment for each in treated],
            "note": [each.note for each in treated],
        }
    )
    on = ["layer", "attribute"]
    raw = probes[[*on, "value"]].merge(untreated[[*on, "value"]], on=on, suffixes=("_own", "_same"))
    table = measured.merge(about, on="attribute").merge(raw, on=on)
    table["raw"] = table.value_own.where(table.treatment == "balanced", table.value_same)
    columns = ["network", "layer", "depth", *_WHAT, "confounder", "association", "treatment", "metric", "raw"]
    return table[[*columns, "value", "lower", "upper", "chance", "n", "note"]]


def baseline(bench: Bench, subject: Subject, _: pd.DataFrame) -> pd.DataFrame:
    """A network supervised on all attributes, scored on each attribute's test images."""
    request, sampling, faces = bench.request, bench.sampling, bench.faces[subject.name]
    if request.baseline == "none":
        return pd.DataFrame()
    people = sampling.groups
    tested = np.isin(people, people[np.concatenate([draw.test for draw in sampling.draws])])
    drawn = np.isin(people, people[np.concatenate([draw.valid for draw in sampling.draws])])
    result = train_multitask(
        subject.net,
        faces,
        {draw.attribute: (draw.kind, draw.values, len(draw.classes)) for draw in sampling.draws},
        np.flatnonzero(~tested & ~drawn),
        np.flatnonzero(drawn & ~tested),
        bench.corner("baseline"),
        start=request.baseline,
        epochs=request.epochs,
        seed=request.seed,
        memory_gb=request.memory_gb,
        progress=bench.progress,
    )
    rows = np.unique(np.concatenate([draw.test for draw in sampling.draws]))
    answers = result.predict(faces, rows)
    records = []
    for draw in sampling.draws:
        own = np.asarray(answers[draw.attribute])[np.searchsorted(rows, draw.test)]
        (measures,) = measure_answers(draw, {"test": own[None]}, people, seed=request.seed)
        for measure in measures:
            records.append(
                {
                    "attribute": draw.attribute,
                    "kind": draw.kind,
                    "metric": measure.metric,
                    "value": measure.value,
                    "lower": measure.lower,
                    "upper": measure.upper,
                    "chance": measure.chance,
                    "n": measure.n,
                    "network": result.name,
                }
            )
    return pd.DataFrame(records)


def ablation(bench: Bench, subject: Subject, _: pd.DataFrame) -> pd.DataFrame:
    """What later layers lose when the neurons that matter most to an attribute are zeroed (table 5.4)."""
    table = ablate(
        subject.net,
        bench.faces[subject.name],
        bench.frozen(subject),
        n_images=bench.request.extent.ablation_images,
        seed=bench.request.seed,
        batch_size=bench.request.batch_size,
        progress=bench.progress,
    )
    return subject.stamped(table)


def consistency(bench: Bench, subject: Subject, _: pd.DataFrame) -> pd.DataFrame:
    """How well manipulated inputs are told by attributes that do not fit the identity (chapter 6)."""
    extent = bench.request.extent
    table = detect_manipulation(
        subject.net,
        bench.faces[subject.name],
        bench.frozen(subject),
        n_pairs=extent.pairs,
        steps=extent.steps,
        seed=bench.request.seed,
        progress=bench.progress,
    )
    return subject.stamped(table)


def identification(bench: Bench, subject: Subject, _: pd.DataFrame) -> pd.DataFrame:
    """How often the network names the right person (table 5.1)."""
    table = identify(
        subject.net,
        bench.faces[subject.name],
        seed=bench.request.seed,
        batch_size=bench.request.batch_size,
        progress=bench.progress,
    )
    return subject.stamped(table, control=True)


def geometry(bench: Bench, subject: Subject, probes: pd.DataFrame) -> pd.DataFrame:
    """Probes trained and tested on faces under random rotation, scaling and shift, beside aligned ones."""
    moved = transformed(bench.faces[subject.name], seed=bench.request.seed)
    table = entire_layers(bench.probe(subject, "geometry", faces=moved).table)
    table = entire_layers(probes, subject).merge(
        table[["layer", "attribute", "value"]].rename(columns={"value": "transformed"}),
        on=["layer", "attribute"],
    )
    table = table.rename(columns={"value": "aligned"})
    table["drop"] = table.aligned - table.transformed
    return table[[*_PLACE, "relative_depth", *_WHAT, "metric", "aligned", "transformed", "drop", "n"]]


@dataclass(frozen=True)
class Experiment:
    """An experiment after probing: its name, which is its table's, its function, and of which networks it is done."""

    name: str
    measure: Callable[[Bench, Subject, pd.DataFrame], pd.DataFrame]
    of: Callable[[Subject], bool]


def is_leading(subject: Subject) -> bool:
    """Whether experiments that are done once a setup are done of this network."""
    return subject.leads and not subject.control


def _any(subject: Subject) -> bool:
    return True


def _embedding(subject: Subject) -> bool:
    return is_leading(subject) and subject.net.card.head == "embedding"


EXPERIMENTS = (
    Experiment("identification", identification, _any),
    Experiment("geometry", geometry, is_leading),
    # These two share frozen probes, so they stand side by side.
    Experiment("ablation", ablation, is_leading),
    Experiment("consistency", consistency, _embedding),
    Experiment("baseline", baseline, lambda subject: subject.first),
)


def entire_layers(probes: pd.DataFrame, subject: Subject | None = None) -> pd.DataFrame:
    """Give the rows of entire layers' primary metric on test images."""
    rows = (
        (probes.unit_kind == "layer")
        & (probes.split == "test")
        & probes.metric.isin(("balanced_accuracy", "r2"))
    )
    if subject is not None:
        rows &= probes.network == subject.name
    return probes[rows].reset_index(drop=True)


def not_measured(
    request: LayersRequest, faces: FaceSet, subjects: Sequence[Subject], layers: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Say which experiments these faces and networks do not allow, and why."""
    reasons: dict[str, str] = {}
    counts: Any = None if faces.identity is None else faces.table[faces.identity].value_counts()
    if counts is None or int((counts > 1).sum()) < 2:
        reason = "fewer than two people are known by two images"
        reasons |= {"identification": reason, "consistency": reason}
    elif not any(subject.leads and subject.net.card.head == "embedding" for subject in subjects):
        reasons["consistency"] = "no network gives an embedding, so no identity can be claimed"
    if any(len(layers[subject.name]) < 2 for subject in subjects):
        reasons["ablation"] = "there is no later layer: fewer than two are probed"
    for option in ("selectivity", "confounds", "geometry", "ablation", "consistency", "baseline"):
        if getattr(request, option) in (False, "none"):
            reasons[option] = "switched off"
    return reasons


def _with_relative_depth(table: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    if "relative_depth" not in table:
        last = max(1, len(subject.net.layers) - 1)
        table = table.copy()
        table.insert(list(table.columns).index("depth") + 1, "relative_depth", table.depth / last)
    return table
