"""A study at work: layer by layer, checkpoint by checkpoint, into the tables of a run."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import DataError, nearest
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork
from fusiform.probing import calibrate
from fusiform.runs import Progress, Run
from fusiform.studies._shared import Attempts, framed, network_record, timed, write_examples
from fusiform.studies.expressivity._analyses import correlation, order, relative
from fusiform.studies.expressivity._asked import Known, ask, draw_images, few, named
from fusiform.studies.expressivity._bench import (
    Bench,
    chosen_features,
    describe_features,
    list_layers,
    predict,
    say_plan,
    watched,
)
from fusiform.studies.expressivity._course import Checkpoint, Course
from fusiform.studies.expressivity._decay import compression, decay
from fusiform.studies.expressivity._described import described, histograms
from fusiform.studies.expressivity._embeddings import Embeddings
from fusiform.studies.expressivity._features import IMAGE, Chosen, collect, in_groups, in_memory
from fusiform.studies.expressivity._findings import findings
from fusiform.studies.expressivity._ledger import CALIBRATION, Ledger
from fusiform.studies.expressivity._measure import measure
from fusiform.studies.expressivity._request import ExpressivityRequest
from fusiform.studies.expressivity._traces import Traces
from fusiform.studies.layers._rows import RANDOM_WEIGHTS
from fusiform.studies.layers._subjects import Subject, random_twin

FEATURES = "features"
_FEWER = 4  # a calibration has so many times fewer restarts
_SHARE_OF_IMAGES = 0.25  # of the memory; features may take half of it
Predictors = dict[str, tuple[FaceNetwork, str | int | None]]


class Work:
    """One study at work: its tables grow layer by layer, and a failure stays with its layer."""

    def __init__(self, run: Run, request: ExpressivityRequest, progress: Progress) -> None:
        self.run = run
        self.request = request
        self.progress = progress
        self.attempt = Attempts(run, progress)
        self.ledger = Ledger(run)
        self.not_measured: dict[str, str] = {}

    # features that somebody has ------------------------------------------------------------------------

    def go_features(self, read: Embeddings) -> Run:
        request = self.request
        for text in read.said:
            self.progress.say(text)
        names = self._names(read.known, request.only, "only")
        rows = draw_images(read.known, names, request)
        asked = ask(read.known.subset(rows), names, request)
        values = read.values[rows]
        chosen = Chosen(FEATURES, 0, (values.shape[1],))
        self.not_measured = {"layers and training": "features were given, without a network"}
        bench = Bench(request, self.run, self.progress, asked, {}, {"": [chosen]})
        layers = {
            "network": "",
            "setup": "",
            "layer": FEATURES,
            "depth": 0,
            "kind": FEATURES,
            "role": "",
            "shape": str(values.shape[1]),
            "features": values.shape[1],
            "probed": True,
        }
        self._prepare(
            bench, [pd.DataFrame([layers | {"protocol": 1, "channels": None, "used": values.shape[1]}])]
        )
        self.run.record(
            seed=request.seed,
            features=describe_features(request.features or "", read.known, values.shape[1], read.said),
            not_measured=self.not_measured,
            problems=[],
        )
        say_plan(bench, [], self.not_measured)
        place = {"network": "", "layer": FEATURES, "depth": 0}
        self._layer(bench, "expressivity", place, chosen, values)
        self._calibrate(bench, place, values)
        return self._finish(bench)

    # networks -----------------------------------------------------------------------------------------

    def go_networks(
        self,
        opened: FaceSet,
        subjects: list[Subject],
        predicted: Predictors,
        past: Course | None,
        pretrained: FaceNetwork | None,
    ) -> Run:
        run, request = self.run, self.request
        trained = [subject.net for subject in subjects]
        with timed(self.attempt.timings, "reading"):
            sets, alignments, skipped = framed(
                trained if pretrained is None else [*trained, pretrained], opened, request, self.progress
            )
            names = self._names(Known.of(opened), request.attributes, "attributes")
            before = None if names is None else [name for name in names if name not in predicted]
            rows = draw_images(Known.of(sets[0]), before, request)
            sets = [each.subset(rows) for each in sets]
            plain = opened.subset(np.flatnonzero(opened.table.image_id.isin(sets[0].table.image_id)))
        with timed(self.attempt.timings, "predicting"):
            known = predict(run, plain, predicted, request, self.progress)
        asked = ask(
            known, None if names is None else [*names, *(n for n in predicted if n not in names)], request
        )
        room = _SHARE_OF_IMAGES * request.memory_gb * 1e9 / len(sets)
        with timed(self.attempt.timings, "reading"):
            held = [
                in_memory(each, n_bytes=room, progress=self.progress.task("Framing faces")) for each in sets
            ]
        faces = dict(zip([subject.name for subject in subjects], held, strict=False))
        chosen = {subject.name: chosen_features(subject.net, request) for subject in subjects}
        listed = [list_layers(subject, chosen[subject.name]) for subject in subjects]
        records = [
            network_record(subject.net) | {"setup": subject.setup, "alignment_done": done}
            for subject, done in zip(subjects, alignments, strict=False)
        ]
        if request.control:
            # What is random already needs no twin, and the image has no weights.
            for number, subject in enumerate(
                [s for s in subjects if s.leads and RANDOM_WEIGHTS not in s.name]
            ):
                twin = random_twin(subject, request.seed + number)
                subjects = [*subjects, twin]
                faces[twin.name] = faces[subject.name]
                chosen[twin.name] = [each for each in chosen[subject.name] if each.layer != IMAGE]
        if pretrained is not None:
            faces[_apart(pretrained, subjects[0])] = held[-1]
        bench = Bench(request, run, self.progress, asked, faces, chosen, past, pretrained)
        self.not_measured = self._missing(bench)
        self.ledger.tables["skipped"] = skipped
        self._prepare(bench, listed)
        run.record(
            seed=request.seed,
            network=records[0],
            networks=records,
            faces=sets[0].card() | {"digest": opened.digest(), "alignment": alignments[0]},
            not_measured=self.not_measured,
            problems=[],
            **({} if past is None else {"step_unit": past.step_unit, "initial": past.initial}),
        )
        write_examples(run, sets[0], None)
        say_plan(bench, subjects, self.not_measured)
        for subject in subjects:
            if subject.control and "expressivity" not in self.ledger.tables:
                break
            self._network(bench, subject)
        if past is not None:
            self._course(bench, subjects[0])
        return self._finish(bench)

    def _names(self, known: Known, given: Sequence[str] | None, option: str) -> list[str] | None:
        """The attributes asked for; of a quick look that names none, a few."""
        names = few(known, given, self.request.most_attributes)
        left = len(named(known, None)) - len(names or ()) if given is None else 0
        if names is not None and left > 0:
            self.progress.say(
                f"A quick look takes {len(names)} attributes and leaves {left}; choose them by --{option}."
            )
        return names

    def _missing(self, bench: Bench) -> dict[str, str]:
        """What is not measured, and why."""
        found = {}
        if bench.course is None:
            found["the course of training"] = "no checkpoints were named"
        elif self._task(bench) not in bench.asked.attributes:
            task, studied = self._task(bench), bench.asked.attributes
            said = "" if task is None else f" ('{task}')"
            found["compression"] = (
                f"what the network is trained to tell{said} is not among the attributes studied; {nearest(task or '', studied)}"
            )
        for name in ("linear", "calibration", "control"):
            if not getattr(self.request, name):
                found[name] = "switched off"
        return found

    def _task(self, bench: Bench) -> str | None:
        return self.request.task or bench.asked.known.identity

    def _network(self, bench: Bench, subject: Subject) -> None:
        chosen = bench.chosen[subject.name]
        places = {
            each.layer: {"network": subject.name, "layer": each.layer, "depth": each.depth} for each in chosen
        }
        # Calibrated at the last layer, which the paper's conclusions rest on, and at the widest.
        trial: set[str] = set()
        if subject.first and self.request.calibration:
            widest = max(chosen, key=lambda each: each.features)
            trial = {chosen[-1].layer} if self.request.quick else {chosen[-1].layer, widest.layer}
        pending: list[Chosen] = []
        for each in chosen:
            place = places[each.layer]
            calibrated = each.layer not in trial or self.ledger.finished(CALIBRATION, place)
            if not (self.ledger.finished("expressivity", place) and calibrated):
                pending.append(each)
        for values, each in self._collected(bench, subject.net, subject.name, pending):
            self._layer(bench, "expressivity", places[each.layer], each, values)
            if each.layer in trial:
                self._calibrate(bench, places[each.layer], values)

    def _course(self, bench: Bench, subject: Subject) -> None:
        states = [] if bench.course is None else list(bench.course.checkpoints)
        passed = []
        if bench.pretrained is not None:
            objects = bench.pretrained
            states.insert(0, Checkpoint(0, "pretrained", self.request.pretrained or "", lambda: objects))
        for state in states:
            net = self.attempt("loading", state.source, state.load)
            if net is None:
                continue
            theirs = state.start == "pretrained"
            name = _apart(net, subject) if theirs else subject.name
            wanted = self.attempt("layers", state.source, partial(watched, net, self.request, own=not theirs))
            passed.append(
                {
                    "step": state.step,
                    "start": state.start,
                    "source": state.source,
                    "network": name,
                    "digest": net.digest(),
                }
            )
            places = {
                each.layer: {
                    "network": name,
                    "layer": each.layer,
                    "depth": each.depth,
                    "step": state.step,
                    "start": state.start,
                }
                for each in wanted or ()
            }
            pending = [
                each for each in wanted or () if not self.ledger.finished("course", places[each.layer])
            ]
            for values, each in self._collected(bench, net, name, pending):
                self._layer(bench, "course", places[each.layer], each, values)
            self.run.record(checkpoints=passed)

    # one layer ----------------------------------------------------------------------------------------

    def _collected(
        self, bench: Bench, net: FaceNetwork, name: str, pending: list[Chosen]
    ) -> Iterator[tuple[Float[ndarray, "n m"], Chosen]]:
        """Features of the pending layers, as many in one pass as fit into memory."""
        if not pending:
            return
        for group in in_groups(pending, len(bench.asked.known), self.request.memory_gb):
            task = self.progress.task(f"{name}: faces through the network")
            work = partial(
                collect, net, bench.faces[name], group, batch_size=self.request.batch_size, progress=task
            )
            values = self.attempt("features", name, work)
            for each in group if values is not None else ():
                yield values.pop(each.layer), each

    def _layer(self, bench: Bench, into: str, place: dict[str, Any], chosen: Chosen, values: ndarray) -> None:
        """Measure a layer, unless that is done."""
        if self.ledger.finished(into, place):
            return
        name = " ".join(str(place[key]) for key in ("network", "layer", "step") if key in place).strip()
        work = partial(measure, values, place, chosen, bench.asked, self.request, self.progress.task)
        found = self.attempt(into, name, work)
        if found is None:
            return
        unknown = found["values"][found["values"]["value"].isna()]
        for (attribute, estimator), rows in unknown.groupby(["attribute", "estimator"], sort=False):
            self.progress.say(f"Not measured: '{attribute}' by {estimator} in {name}. {rows['note'].iloc[0]}")
        self.ledger.keep(into, place, found)

    def _calibrate(self, bench: Bench, place: dict[str, Any], values: ndarray) -> None:
        """Hold the estimators to known mutual information with a layer's features, unless that is done."""
        if not self.request.calibration or self.ledger.finished(CALIBRATION, place):
            return
        work = partial(
            calibrate,
            values,
            estimators=self.request.estimators,
            restarts=min(self.request.restarts, max(2, self.request.restarts // _FEWER)),
            seed=self.request.seed,
            groups=bench.asked.groups,
            progress=self.progress.task(f"Calibration at {place['layer']}"),
        )
        table = self.attempt(CALIBRATION, place["layer"], work)
        if table is not None:
            where = {key: [place[key]] * len(table) for key in ("network", "layer")}
            self.ledger.keep(CALIBRATION, place, {"values": table.assign(**where)[[*where, *table.columns]]})

    # before and after ---------------------------------------------------------------------------------

    def _prepare(self, bench: Bench, listed: list[pd.DataFrame]) -> None:
        self.ledger.tables["described"] = described(bench.asked)
        self.ledger.tables["histograms"] = histograms(bench.asked)
        self.ledger.tables["layers"] = pd.concat(listed, ignore_index=True)
        for name in ("described", "histograms", "layers", "skipped"):
            if name in self.ledger.tables:
                self.run.write_table(name, self.ledger.tables[name])

    def _finish(self, bench: Bench) -> Run:
        if "expressivity" not in self.ledger.tables and "course" not in self.ledger.tables:
            first = self.attempt.problems[0]["error"] if self.attempt.problems else "nothing was asked for"
            raise DataError(f"No layer could be measured: {first} Mend this and give the same command again.")
        self._derive(bench)
        for name, table in self.ledger.tables.items():
            self.run.write_table(name, table)
        self.run.record(timings=self.attempt.timings)
        if self.attempt.again:
            self.progress.say("Something failed; the same command does that again and nothing else.")
        else:
            self.run.finish()
        return self.run

    def _derive(self, bench: Bench) -> None:
        tables = self.ledger.tables
        traces = Traces(tables)
        steps: dict[str, Callable[[], pd.DataFrame]] = {"correlation": lambda: correlation(tables)}
        if "expressivity" in tables:
            steps["order"] = lambda: order(traces)
            steps["relative"] = lambda: relative(tables["expressivity"], tables["described"])
        if "course" in tables:
            task = self._task(bench) or ""
            steps["decay"] = lambda: decay(traces)
            steps["compression"] = lambda: compression(traces, decay(traces), task)
        steps["findings"] = lambda: findings(tables)
        for name, work in steps.items():
            table = self.attempt("the table", name, work)
            if table is not None and len(table):
                tables[name] = table


def _apart(net: FaceNetwork, subject: Subject) -> str:
    """The name of a network trained on objects, unlike that of the one whose training is followed."""
    return net.card.name if net.card.name != subject.name else f"{net.card.name} (pretrained)"
