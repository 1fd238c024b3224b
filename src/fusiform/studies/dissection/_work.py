"""The work of the study: networks dissected in groups of layers, tables derived, strips drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from fusiform.dissection import Dissection, dissect
from fusiform.errors import DataError
from fusiform.faces import FaceDictionary, FaceSet, overlap
from fusiform.networks import FaceNetwork, Layer
from fusiform.runs import Progress, Run
from fusiform.studies._shared import Attempts, framed, network_record, timed, write_examples
from fusiform.studies.dissection import _tables as tables_of
from fusiform.studies.dissection._bias import associated_groups, bias, with_task
from fusiform.studies.dissection._choose import Candidates, final_choice, firing_places
from fusiform.studies.dissection._findings import findings
from fusiform.studies.dissection._layers import dissected_layers, in_groups
from fusiform.studies.dissection._pictures import draw_strips
from fusiform.studies.dissection._request import DissectionRequest
from fusiform.studies.layers._rows import RANDOM_WEIGHTS
from fusiform.studies.layers._subjects import Subject, subject_layers

# What is kept of a layer, as tables; what is there with the last of them is whole.
_KEPT = ("pairs", "coverage", "candidates", "where", "units")
_FEW = 10
_TASK = "association with the task"
_PICTURES = {
    "network": "string",
    "layer": "string",
    "depth": "int64",
    "unit": "int64",
    "kind": "string",
    "concept": "string",
    "rank": "int64",
    "image_id": "string",
    "file": "string",
    "iou": "float64",
    "probability": "float64",
    "image_iou": "float64",
    "caption": "string",
}
_WHERE = {
    "network": "string",
    "layer": "string",
    "unit": "int64",
    "rows": "int64",
    "columns": "int64",
    "values": "object",
}


@dataclass
class Bench:
    """A network, the dictionary as it sees it, and its layers."""

    name: str
    net: FaceNetwork
    dictionary: FaceDictionary
    layers: list[Layer]
    main: str
    control: bool = False
    tables: dict[str, list[pd.DataFrame]] = field(default_factory=lambda: {name: [] for name in _KEPT})

    @property
    def title(self) -> str:
        """What to call it where its twin is named too."""
        return self.name + RANDOM_WEIGHTS if self.control else self.name


class Work:
    """One run of the study."""

    def __init__(self, run: Run, request: DissectionRequest, progress: Progress) -> None:
        self.run = run
        self.request = request
        self.progress = progress
        self.attempt = Attempts(run, progress)
        self.tables: dict[str, pd.DataFrame] = {}
        self.not_measured: dict[str, str] = {}

    def go(
        self,
        subjects: Sequence[Subject],
        dictionary: FaceDictionary,
        training: FaceSet | None,
        task_faces: FaceSet | None,
    ) -> Run:
        """Do all of it.

        Parameters
        ----------
        subjects : sequence of Subject
            The networks.
        dictionary : FaceDictionary
            The dictionary.
        training, task_faces : FaceSet or None
            Faces with which a network was trained: to be looked for in the dictionary; to take the task from.
        """
        benches = self._benches(subjects, dictionary)
        for bench in benches:
            if bench.control and not any(each.tables["units"] for each in benches):
                break
            self._network(bench)
        trained = [bench for bench in benches if bench.tables["units"] and not bench.control]
        if not trained:
            first = self.attempt.problems[0]["error"] if self.attempt.problems else "nothing was asked for"
            raise DataError(
                f"No layer could be dissected: {first} Mend this and give the same command again."
            )
        self._together(benches)
        self.tables["pictures"], self.tables["where"] = _typed({}, _PICTURES), _typed({}, _WHERE)
        for number, bench in enumerate(trained):
            self.attempt("pictures", bench.name, partial(self._pictures, bench, number))
        if training is not None:
            task = self.progress.task("Overlap with the training faces")
            self._derive("overlap", lambda: overlap(dictionary, training, progress=task))
        self._derive_all(dictionary, task_faces)
        for name, table in self.tables.items():
            self.run.write_table(name, table)
        self.run.record(timings=self.attempt.timings)
        if self.attempt.again:
            self.progress.say("Something failed; the same command does that again and nothing else.")
        else:
            self.run.finish()
        return self.run

    # what is looked at --------------------------------------------------------------------------------

    def _benches(self, subjects: Sequence[Subject], dictionary: FaceDictionary) -> list[Bench]:
        run, request = self.run, self.request
        nets = [subject.net for subject in subjects]
        with timed(self.attempt.timings, "reading"):
            sets, alignments, skipped = framed(nets, dictionary.faces, request, self.progress)
        benches, listed = [], []
        for subject, faces in zip(subjects, sets, strict=True):
            layers, main = dissected_layers(subject.net, request.layers, request.most_layers)
            benches.append(Bench(subject.setup, subject.net, dictionary.on(faces), layers, main))
            table = subject_layers(subject, [layer.name for layer in layers])
            listed.append(table.assign(network=subject.setup, main=table["layer"] == main))
        records = [
            network_record(subject.net)
            | {"setup": subject.setup, "alignment_done": done, "main_layer": bench.main}
            for subject, done, bench in zip(subjects, alignments, benches, strict=True)
        ]
        self.tables["layers"] = pd.concat(listed, ignore_index=True)
        self.tables["skipped"] = skipped
        self.tables["dictionary"] = _described(dictionary)
        self.tables["problems"] = dictionary.problems
        for name, table in self.tables.items():
            run.write_table(name, table)
        for name, given, why in (
            ("control", request.control, "switched off"),
            ("overlap", request.training_faces, "no training faces were named"),
            (_TASK, request.task, "no task was named"),
        ):
            if not given:
                self.not_measured[name] = why
        run.record(
            seed=request.seed,
            network=records[0],
            networks=records,
            faces=sets[0].card() | {"digest": dictionary.faces.digest(), "alignment": alignments[0]},
            dictionary=dictionary.card,
            not_measured=self.not_measured,
            problems=[],
        )
        write_examples(run, sets[0], None)
        self._say_plan(benches, len(sets[0]))
        if request.control:
            # What is random already needs no twin.
            benches += [
                Bench(
                    b.name, b.net.randomized(request.seed + k), b.dictionary, b.layers, b.main, control=True
                )
                for k, b in enumerate(benches)
                if RANDOM_WEIGHTS not in b.net.card.name
            ]
        return benches

    def _say_plan(self, benches: Sequence[Bench], n: int) -> None:
        say = self.progress.say
        for bench in benches:
            units = sum(layer.shape[0] for layer in bench.layers)
            concepts = bench.dictionary.concepts
            groups = sum(len(each.groups) for each in concepts.categories)
            say(
                f"{bench.name}: {_layers(len(bench.layers))}, {units} units, {n} faces, {len(concepts.local)} local concepts, "
                f"{groups} global groups; {2 * len(in_groups(bench.layers))} times all faces"
            )
        if self.request.control:
            say("The same of each with random weights. What is finished is kept: the same command continues.")
        for name, reason in self.not_measured.items():
            if reason != "switched off":
                say(f"Not measured: {name}, because {reason}")

    # what is measured ---------------------------------------------------------------------------------

    def _network(self, bench: Bench) -> None:
        pending = []
        for layer in bench.layers:
            if self.run.part(self._key("units", bench, layer.name)) is None:
                pending.append(layer)
        for group in in_groups(pending) if pending else ():
            names = [layer.name for layer in group]
            work = partial(self._dissected, bench, names)
            self.attempt(
                "dissection", f"{bench.title}: {', '.join(names)}", work, timing=f"dissection {bench.title}"
            )
        for layer in bench.layers:
            kept = {name: self.run.part(self._key(name, bench, layer.name)) for name in _KEPT}
            if kept["units"] is not None:
                for name, table in kept.items():
                    if table is not None:
                        bench.tables[name].append(table)

    def _dissected(self, bench: Bench, names: list[str]) -> bool:
        request = self.request
        found = dissect(
            bench.net,
            bench.dictionary,
            names,
            method=list(request.methods),
            quantile=request.quantile,
            iou_threshold=request.iou,
            union=request.union,
            permutations=request.permutations,
            top=request.top,
            pictures=not bench.control,
            # The faces are framed.
            align="none",
            batch_size=request.batch_size,
            seed=request.seed,
            memory_gb=request.memory_gb,
            progress=self.progress.task(f"{bench.title}: {_layers(len(names))}"),
        )
        for name in names:
            for what, table in self._of_layer(bench, found, name).items():
                self.run.write_part(self._key(what, bench, name), table)
        return True

    def _of_layer(self, bench: Bench, found: Dissection, name: str) -> dict[str, pd.DataFrame]:
        """The tables of a layer, in the order of `_KEPT`."""

        def own(table: pd.DataFrame) -> pd.DataFrame:
            table = table[table["layer"] == name].drop(columns=["network", "control"], errors="ignore")
            table.insert(0, "network", bench.name)
            table.insert(1, "control", bench.control)
            return table.reset_index(drop=True)

        pairs, units, arrays = own(found.table), own(found.units), found.layers[name]
        kept = {"pairs": pairs, "coverage": own(found.coverage)}
        if not bench.control:
            kept["candidates"] = Candidates(arrays, pairs, units, bench.dictionary).table(
                self.request.unit_pages
            )
            kept["where"] = firing_places(arrays, name, kept["candidates"]["unit"])
        return kept | {"units": units}

    def _key(self, what: str, bench: Bench, layer: str) -> str:
        return "@".join([what, bench.title, layer])

    # what follows -------------------------------------------------------------------------------------

    def _together(self, benches: Sequence[Bench]) -> None:
        """Put the layers' tables together."""
        for name in ("pairs", "units", "coverage"):
            filled = [table for bench in benches for table in bench.tables[name]]
            # Tables without rows have no types.
            some = [table for table in filled if len(table)] or filled[:1]
            self.tables[name] = pd.concat(some, ignore_index=True)
        self.tables["units"] = tables_of.with_network_dissection(self.tables["units"], self.request.iou)
        self.tables["coverage"] = tables_of.with_intervals(self.tables["coverage"])

    def _pictures(self, bench: Bench, number: int) -> None:
        pairs, candidates = (
            pd.concat([t for t in bench.tables[name] if len(t)] or bench.tables[name][:1], ignore_index=True)
            for name in ("pairs", "candidates")
        )
        if not len(candidates):
            return
        chosen = final_choice(candidates, pairs, self.request.unit_pages)
        task = self.progress.task(f"{bench.name}: pictures")
        faces, batch_size = bench.dictionary.faces, self.request.batch_size
        drawn = draw_strips(
            self.run, bench.net, faces, chosen, f"strip{number}", batch_size=batch_size, progress=task
        )
        places = pd.concat([t for t in bench.tables["where"] if len(t)], ignore_index=True)
        places = places.merge(drawn[["layer", "unit"]].drop_duplicates(), on=["layer", "unit"])
        for name, table, types in (("pictures", drawn, _PICTURES), ("where", places, _WHERE)):
            own = _typed(table.assign(network=bench.name), types)
            self.tables[name] = pd.concat([self.tables[name], own], ignore_index=True)

    def _derive(self, name: str, work: Callable[[], pd.DataFrame]) -> None:
        table = self.attempt("the table", name, work)
        if table is not None:
            self.tables[name] = table

    def _not_told(self, task: str, faces: FaceSet) -> None:
        reason = (
            f"none of the dictionary's concepts and groups could be compared with '{task}' in '{faces.name}': each needs a "
            "column there, ten images with both, and two values of each"
        )
        self.not_measured[_TASK] = reason
        self.run.record(not_measured=self.not_measured)
        self.progress.say(f"Not measured: {_TASK}, because {reason}")

    def _derive_all(self, dictionary: FaceDictionary, task_faces: FaceSet | None) -> None:
        pairs, units, concepts = self.tables["pairs"], self.tables["units"], dictionary.concepts
        self._derive("counts", lambda: tables_of.counts(pairs, units, concepts, self.request.methods))
        self._derive("regions", lambda: tables_of.regions(pairs, units, concepts.regions))
        self._derive("unique", lambda: tables_of.unique(self.tables["counts"], units))
        if "hierarchical" in self.request.methods:
            found = list(tables_of.detectors(pairs, units, concepts))
            self._derive("kinds", lambda: tables_of.kinds(pairs, units))
            self._derive("overlay", lambda: tables_of.overlay(found, concepts))
            told = None
            if task_faces is not None and self.request.task is not None:
                told = self.attempt(
                    "the task", "bias", partial(with_task, task_faces, self.request.task, concepts)
                )
                if told is not None and not told.concepts and not told.groups:
                    self._not_told(self.request.task, task_faces)
            self._derive("bias", lambda: bias(found, associated_groups(dictionary), told))
        self._derive("findings", lambda: findings(self.tables))


def _typed(table: pd.DataFrame | dict[str, Any], types: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(table, columns=list(types)).astype(types)


def _layers(n: int) -> str:
    return f"{n} layer{'s' * (n != 1)}"


def _described(dictionary: FaceDictionary) -> pd.DataFrame:
    """The histogram of figure 3, with a note where there are hardly any images."""
    table = dictionary.histogram
    few = (table["images"] < _FEW) & (table["note"] == "")
    return table.assign(note=table["note"].mask(few, f"fewer than {_FEW} images"))
