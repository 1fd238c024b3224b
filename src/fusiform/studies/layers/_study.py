import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fusiform.errors import DataError, RunError
from fusiform.faces import FaceSet, open_faces
from fusiform.networks import FaceNetwork, framing_template
from fusiform.probing import ConfoundedDraw, confounded_draws
from fusiform.runs import Progress, Run
from fusiform.studies._request import BUDGETS
from fusiform.studies._shared import Attempts, framed, network_record, say_left_out, timed, write_examples
from fusiform.studies.layers._best import averages, best_units
from fusiform.studies.layers._depths import branching, gained
from fusiform.studies.layers._draws import drawn, fewer
from fusiform.studies.layers._experiments import EXPERIMENTS, Bench, not_measured, probing
from fusiform.studies.layers._families import families, unknown_attributes
from fusiform.studies.layers._findings import findings
from fusiform.studies.layers._request import SWITCHES, LayersRequest
from fusiform.studies.layers._rows import RANDOM_WEIGHTS
from fusiform.studies.layers._sawtooth import sawtooth
from fusiform.studies.layers._subjects import (
    Networks,
    Subject,
    asked_networks,
    check_layers,
    chosen_layers,
    load_subjects,
    random_twin,
    subject_layers,
)
from fusiform.studies.layers._vip import vip_correlation


def study_layers(
    networks: Networks,
    faces: str | FaceSet,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Study what each layer, channel and neuron of face networks knows (Diniz 2020).

    Probes every layer, its best channels and its best neurons for every attribute, and does the experiments of the
    thesis and those that its conclusion proposes. Writes tables, example faces and run.json into a run folder, of
    which `fusiform.report.write_report` makes the page; docs/layers.md tells the protocol and all tables.

    Parameters
    ----------
    networks : str, FaceNetwork, sequence of these, or mapping of str to these
        Networks or specifications. The keys of a mapping, and what stands before ``=`` in ``"SETUP=SPEC"``, name the
        setup: networks of one setup are initialisations of the same thing.
    faces : str or FaceSet
        The faces or their specification.
    out : str or Path
        The run folder. An unfinished run that was asked the same is continued, perhaps with other experiments
        switched on or off.
    overwrite : bool, default False
        Replace an earlier run in that folder.
    progress : Progress, optional
        Where to show progress; silent when not given.
    **options
        The other fields of `LayersRequest`.

    Returns
    -------
    Run
        The run. Where an experiment failed, the others are done, and its ``problems`` name it. Unless the faces or the
        network do not allow that experiment, the run then is not complete, and a second call does again what failed.

    Raises
    ------
    FusiformError
        One of its kinds, for whatever is wrong with what was given. What is finished is kept.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> off = dict.fromkeys(("control", "selectivity", "confounds", "ablation", "consistency", "geometry"), False)
    >>> with TemporaryDirectory() as folder:
    ...     run = study_layers("demo", "synthetic?n=600&seed=1&size=32", folder + "/run", attributes=["Male"],
    ...                        layers=["stage4"], quick=True, **off)
    ...     sorted(set(run.table("probes").unit_kind))
    ['channel', 'channels', 'layer', 'neuron', 'neurons']
    """
    asked = asked_networks(networks)
    request = LayersRequest.from_mapping(
        {
            "network": [_described(setup, net) for setup, net in asked],
            "faces": faces if isinstance(faces, str) else faces.spec or faces.name,
            **options,
        }
    )
    progress = progress or Progress(quiet=True)
    # Everything that may be wrong with what was asked is looked at before a folder is made.
    family_table = families(request.families)
    subjects = load_subjects(asked)
    check_layers(subjects, request.layers)
    opened = open_faces(faces) if isinstance(faces, str) else faces
    for subject in subjects:
        framing_template(subject.net, opened, request.align)
    drawn(opened, request)
    run = Run.start(
        out,
        asdict(request)
        | {
            "study": "layers",
            "digests": {
                "networks": {subject.name: subject.net.digest() for subject in subjects},
                "faces": opened.digest(),
            },
        },
        overwrite=overwrite,
        not_compared=(*BUDGETS, *SWITCHES),
    )
    return _Study(run, request, progress, subjects).go(opened, family_table)


class _Study:
    """One study at work: its tables grow experiment by experiment, and a failure stays with its experiment."""

    def __init__(self, run: Run, request: LayersRequest, progress: Progress, subjects: list[Subject]) -> None:
        self.run = run
        self.request = request
        self.progress = progress
        self.subjects = subjects
        self.attempt = Attempts(run, progress)
        self.tables: dict[str, pd.DataFrame] = {}
        self.not_measured: dict[str, str] = {}

    def go(self, opened: FaceSet, family_table: pd.DataFrame) -> Run:
        bench = self._bench(opened)
        self.tables["families"] = family_table
        unknown = unknown_attributes(family_table, opened.schema)
        if unknown:
            self.progress.say(
                f"The families name attributes that these faces do not have: {', '.join(unknown)}"
            )
        try:
            self._measure(bench)
        except RunError:
            # What is measured is shown, as far as the run folder still takes it.
            if self._any_trained():
                with suppress(RunError):
                    self._derive()
            raise
        self._derive()
        for name, table in self.tables.items():
            self.run.write_table(name, table)
        self.run.record(timings=self.attempt.timings)
        if self.attempt.again:
            self.progress.say("Experiments failed; the same command does these again and nothing else.")
        else:
            self.run.finish()
        return self.run

    # what is measured on ------------------------------------------------------------------------------

    def _bench(self, opened: FaceSet) -> Bench:
        run, request, progress = self.run, self.request, self.progress
        with timed(self.attempt.timings, "reading"):
            nets = [subject.net for subject in self.subjects]
            sets, alignments, skipped = framed(nets, opened, request, progress)
        sampling = drawn(sets[0], request)
        if request.attributes is None:
            sampling = fewer(sampling, request.extent.attributes)
        say_left_out(sampling, progress)
        table = sampling.table
        for row in table[(table.status == "probed") & (table.n_train <= request.n_components)].itertuples():
            progress.say(f"Attribute '{row.attribute}': {row.note}")
        layers = {
            subject.name: chosen_layers(subject.net, request.layers, most=request.extent.layers)
            for subject in self.subjects
        }
        self.tables["attributes"] = sampling.table
        self.tables["skipped"] = skipped
        self.tables["layers"] = pd.concat(
            [subject_layers(subject, layers[subject.name]) for subject in self.subjects], ignore_index=True
        )
        for name in ("attributes", "skipped", "layers"):
            run.write_table(name, self.tables[name])
        self.not_measured = not_measured(request, sets[0], self.subjects, layers)
        treated: tuple[ConfoundedDraw, ...] = ()
        if "confounds" not in self.not_measured:
            treated = tuple(confounded_draws(sets[0], sampling, seed=request.seed))
        if not treated:
            self.not_measured.setdefault("confounds", "no attributes go together strongly enough")
        records = [
            network_record(subject.net) | {"setup": subject.setup, "alignment_done": done}
            for subject, done in zip(self.subjects, alignments, strict=True)
        ]
        run.record(
            seed=request.seed,
            network=records[0],
            networks=records,
            faces=sets[0].card() | {"digest": opened.digest(), "alignment": alignments[0]},
            not_measured=self.not_measured,
            problems=[],
        )
        write_examples(run, sets[0], sampling)
        framed_for = {subject.name: each for subject, each in zip(self.subjects, sets, strict=True)}
        if request.control:
            # What is random already needs no twin.
            leading = [s for s in self.subjects if s.leads and RANDOM_WEIGHTS not in s.name]
            # One seed would make one network of all setups of one architecture.
            for number, subject in enumerate(leading):
                twin = random_twin(subject, request.seed + number)
                self.subjects.append(twin)
                layers[twin.name], framed_for[twin.name] = layers[subject.name], framed_for[subject.name]
        shuffled = () if "selectivity" in self.not_measured else sampling.shuffled(request.seed).draws
        bench = Bench(request, run, sampling, progress, layers, framed_for, shuffled, treated)
        self._say_plan(bench)
        return bench

    def _say_plan(self, bench: Bench) -> None:
        say = self.progress.say
        n = len(next(iter(bench.faces.values())))
        wanted = [each for each in EXPERIMENTS if each.name not in self.not_measured]
        controls = [each for each in ("selectivity", "confounds") if each not in self.not_measured]
        say(
            f"Networks: {len(self.subjects)}, attributes: {len(bench.sampling.draws)}, faces: {n}, by "
            f"{', '.join(dict.fromkeys(('layer', *self.request.units)))}; experiments: "
            f"{', '.join(['probing', *controls, *(each.name for each in wanted)])}"
        )
        minutes = 0.0
        for subject in self.subjects:
            names = {each.name for each in wanted if each.of(subject)}
            frozen = bool(names & {"ablation", "consistency"})
            passes = 1 + len(names & {"identification", "geometry"}) + frozen
            first, again = _seconds_a_face(subject.net, bench.faces[subject.name], self.request.batch_size)
            minutes += n * (first + (passes - 1) * again) / 60
            say(
                f"  {subject.name} (setup '{subject.setup}'): {len(bench.layers[subject.name])} layers, "
                f"{passes} times all faces at {1 / max(again, 1e-9):.0f} a second"
            )
        for name, reason in self.not_measured.items():
            if reason != "switched off":
                say(f"Not measured: {name}, because {reason}")
        say(
            f"About {minutes:.1f} minutes for the faces alone; probes, zeroed neurons, attacks and the "
            "baseline come on top. What is finished is kept: the same command continues what was stopped."
        )

    # what is measured ---------------------------------------------------------------------------------

    def _measure(self, bench: Bench) -> None:
        # Twins with random weights come last.
        for subject in self.subjects:
            if subject.control and not self._any_trained():
                break
            found = self._attempt("probing", subject.name, partial(probing, bench, subject))
            for name, table in (found or {}).items():
                self._add(name, table)
        if not self._any_trained():
            raise DataError(
                f"No network could be probed: {self.attempt.problems[0]['error']} Finished layers are kept; mend this and "
                "give the same command again."
            )
        probes = self.tables["probes"]
        probed = [subject for subject in self.subjects if subject.name in set(probes.network)]
        for subject in probed:
            for experiment in EXPERIMENTS:
                if experiment.name in self.not_measured or not experiment.of(subject):
                    continue
                part = f"{experiment.name}@{subject.name}"
                table = self.run.part(part)
                if table is None:
                    work = partial(experiment.measure, bench, subject, probes)
                    table = self._attempt(experiment.name, subject.name, work)
                    if table is None:
                        continue
                    self.run.write_part(part, table)
                self._add(experiment.name, table)

    def _attempt(self, experiment: str, name: str, work: Callable[[], Any]) -> Any:
        # Little is left of a study without the probes of a network.
        return self.attempt(
            experiment, name, work, timing=f"{experiment} {name}", needed=experiment == "probing"
        )

    def _any_trained(self) -> bool:
        """Whether a network that is no control was probed."""
        return "probes" in self.tables and len(_trained(self.tables["probes"])) > 0

    def _add(self, name: str, table: pd.DataFrame) -> None:
        """Add rows to a table, and write what there is of it."""
        if len(table):
            known = [self.tables[name]] if name in self.tables else []
            self.tables[name] = pd.concat([*known, table], ignore_index=True)
            self.run.write_table(name, self.tables[name])

    # what follows from the tables ---------------------------------------------------------------------

    def _derive(self) -> None:
        tables = self.tables
        probes = tables["probes"]
        trained = _trained(probes)
        derived: dict[str, Callable[[], pd.DataFrame]] = {
            "best": lambda: best_units(probes, tables.get("baseline")),
            "averages": lambda: averages(_trained(tables["best"]), tables.get("baseline")),
            "sawtooth": lambda: sawtooth(trained, tables["layers"]),
            "gained": lambda: gained(trained),
            "branching": lambda: branching(trained, tables["layers"]),
            "vip_correlation": lambda: vip_correlation(tables["vip_neurons"]),
            "findings": lambda: findings(tables),
        }
        if "vip_neurons" not in tables:
            del derived["vip_correlation"]
        for name, work in derived.items():
            table = self._attempt("the table", name, work)
            if table is not None:
                self._add(name, table)


def _trained(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table.control.astype(bool)]


def _described(setup: str | None, net: str | FaceNetwork) -> str:
    text = net if isinstance(net, str) else net.card.name
    return text if setup is None else f"{setup}={text}"


def _seconds_a_face(net: FaceNetwork, faces: FaceSet, batch_size: int) -> tuple[float, float]:
    """Seconds a face through reading, framing and the network, for the first time and again."""
    rows = range(min(len(faces), batch_size))
    measured = []
    for _ in range(2):
        start = time.monotonic()
        with torch.no_grad():
            net(net.prepare(faces.images(rows)))
        measured.append((time.monotonic() - start) / len(rows))
    return measured[0], measured[1]
