"""The work of the study: every method on every network, each kept when it is done."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
from PIL import Image
from torch import Tensor

from fusiform.errors import FusiformError
from fusiform.faces import FaceSet
from fusiform.networks import frame_faces
from fusiform.runs import Progress, Run, atomic_write
from fusiform.studies._shared import Attempts, network_record, timed, write_examples
from fusiform.studies.attribution._bench import Bench, make_bench
from fusiform.studies.attribution._canonical import add_canonical, write_map
from fusiform.studies.attribution._derived import compared, ranks
from fusiform.studies.attribution._findings import findings
from fusiform.studies.attribution._measure import Measured, Sheet, rows_of
from fusiform.studies.attribution._methods import Competitor
from fusiform.studies.attribution._request import AttributionRequest
from fusiform.studies.attribution._schema import SCHEMA, typed
from fusiform.studies.attribution._truth import Truth, truths
from fusiform.studies.layers._subjects import Subject

_PICTURES = 6
_OWN = ("settings", "networks", "ranks")
# Networks on their way are kept where a run keeps what it drops at its end.
_SCRATCH = "parts"


class Work:
    """One run of the study."""

    def __init__(self, run: Run, request: AttributionRequest, progress: Progress) -> None:
        self.run, self.request, self.progress = run, request, progress
        self.attempt = Attempts(run, progress)
        self.parts: list[pd.DataFrame] = []
        self.networks: list[dict[str, Any]] = []
        self.not_measured: dict[str, str] = {}
        self.notes: list[dict[str, Any]] = []

    def go(
        self,
        subjects: Sequence[Subject],
        faces: FaceSet,
        masked: FaceSet | None,
        played: FaceSet | None,
        methods: Sequence[Competitor],
    ) -> Run:
        """Do all of it.

        Parameters
        ----------
        subjects : sequence of Subject
            The networks.
        faces, masked, played : FaceSet or None
            The faces, those of the pointing games, those of the inpainting game.
        methods : sequence of Competitor
            Methods and baseline maps.
        """
        self.run.record(
            seed=self.request.seed,
            network=network_record(subjects[0].net),
            networks=[network_record(s.net) | {"setup": s.setup} for s in subjects],
            problems=[],
        )
        with timed(self.attempt.timings, "reading"):
            readable = faces.readable(
                strict=self.request.strict, progress=self.progress.task("Reading faces")
            )
        self._leave_out(readable)
        for number, subject in enumerate(subjects):
            bench = self.attempt(
                "material",
                subject.setup,
                partial(self._bench, subject, readable, masked, played),
                needed=True,
            )
            if bench is not None:
                self._compete(bench, number, methods)
        for truth in truths(self.request, self.run.path / _SCRATCH, self.progress):
            self._truth(truth, methods)
        self._write(methods, subjects)
        if self.attempt.again:
            self.progress.say("Something failed; the same command does that again and nothing else.")
        else:
            self.run.finish()
        return self.run

    # networks that were given ---------------------------------------------------------------------------

    def _bench(
        self, subject: Subject, faces: FaceSet, masked: FaceSet | None, played: FaceSet | None
    ) -> Bench:
        framed, done = frame_faces(subject.net, faces, self.request.align)
        if done.startswith("resized only:"):
            self.progress.say(f"The faces are {done}. What maps show will be less than the network's best.")
        self._leave_out(framed, subject.setup)
        bench = make_bench(subject.setup, subject.net, framed, self.request, self.progress, masked, played)
        if not self.networks:
            self.run.record(faces=framed.card() | {"digest": faces.digest(), "alignment": done})
            write_examples(self.run, framed, None)
        first, found = bench.tasks[0], bench.calibration
        kept = 0 if bench.game is None else len(bench.game.task)
        self.progress.say(
            f"{bench.name}: images {len(first)}, people {len(set(first.identities))}, targets "
            f"{', '.join(task.name for task in bench.tasks)}"
            + ("" if bench.game is None else f"; {kept} triplets of the inpainting game told apart")
        )
        for what, why in bench.lacking.items():
            self.not_measured[f"{what} of {bench.name}"] = why
            self.progress.say(f"Not measured: {what} of {bench.name}, because {why}")
        self.networks.append(
            {
                "network": bench.name,
                "kind": bench.kind,
                "targets": ", ".join(task.name for task in bench.tasks),
                "input_size": " x ".join(map(str, bench.net.card.input_size)),
                "n_parameters": bench.net.n_parameters,
                "n_images": len(first),
                "n_identities": len(set(first.identities)),
                "score": "match probability"
                if found
                else "cosine"
                if bench.kind == "verifier"
                else "probability",
                "slope": None if found is None else found.slope,
                "intercept": None if found is None else found.intercept,
                "accuracy": None,
                "note": "; ".join(f"{what}: {why}" for what, why in bench.lacking.items()),
            }
        )
        return bench

    def _leave_out(self, faces: FaceSet, network: str = "") -> None:
        self.notes += [
            {"network": network, "target": "", "method": "", "image_id": row.image_id, "reason": row.reason}
            for row in faces.skipped.itertuples()
            if row.image_id not in {note["image_id"] for note in self.notes}
        ]

    def _compete(self, bench: Bench, number: int, methods: Sequence[Competitor]) -> None:
        task = self.progress.task(f"{bench.name}: methods")
        images = self._images(bench, number)
        for done, method in enumerate(methods):
            self._kept(bench.name, method, partial(self._measured, bench, number, method, images))
            task(done + 1, len(methods))

    def _kept(self, network: str, method: Competitor, work: Any) -> None:
        """Read what is kept of a method on a network, or do it and keep it."""
        key = f"method@{network}@{method.name}"
        part = self.run.part(key)
        if part is None:
            sheet = self.attempt(method.name, network, work, timing=f"{network}: {method.name}")
            if sheet is None:
                why = self.attempt.problems[-1]["error"]
                note = {
                    "network": network,
                    "target": "",
                    "method": method.name,
                    "image_id": "",
                    "reason": why,
                }
                self.notes.append(note)
                return
            part = sheet.table()
            self.run.write_part(key, part)
        self.parts.append(part)

    def _measured(self, bench: Bench, number: int, method: Competitor, images: list[str]) -> Sheet:
        measured = Measured(bench, method, self.request)
        sheet = measured.go()
        first = bench.tasks[0]
        if first.name in measured.maps:
            maps = measured.maps[first.name]
            with sheet.trying(first.name, "canonical maps"):
                add_canonical(sheet, self.run, bench, number, maps, self.request.seed)
            self._pictures(sheet, bench, number, maps, images)
        return sheet

    def _images(self, bench: Bench, number: int) -> list[str]:
        """Pictures of the first images, as the network is given them."""
        rows = bench.tasks[0].rows[:_PICTURES]
        files = [f"face{number}_{k}.png" for k in range(len(rows))]
        for file, image in zip(files, bench.faces.images(rows), strict=True):
            with atomic_write(self.run.path / "images" / file) as part:
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(part, format="PNG")
        return files

    def _pictures(self, sheet: Sheet, bench: Bench, number: int, maps: Tensor, images: list[str]) -> None:
        first = bench.tasks[0]
        for k, image in enumerate(images):
            file = f"map{number}_{sheet.method.name}_{k}.npy"
            write_map(self.run, file, maps[k].cpu().numpy())
            sheet.add("pictures", first.name, image_id=first.ids[k], file=file, image=image)

    # networks of which the answer is known ----------------------------------------------------------------

    def _truth(self, truth: Truth, methods: Sequence[Competitor]) -> None:
        pending = any(self.run.part(f"method@{truth.name}@{method.name}") is None for method in methods)
        if pending and self.attempt("training", truth.name, truth.prepare) is None:
            return
        task = self.progress.task(f"{truth.name}: methods")
        for done, method in enumerate(methods):
            self._kept(truth.name, method, partial(truth.measured, method))
            task(done + 1, len(methods))

    # what is written --------------------------------------------------------------------------------------

    def _write(self, methods: Sequence[Competitor], subjects: Sequence[Subject]) -> None:
        tables = {name: typed(name, rows_of(self.parts, name)) for name in SCHEMA if name not in _OWN}
        if not len(tables["measures"]) and not len(tables["ground_truth"]):
            first = self.attempt.problems[0]["error"] if self.attempt.problems else "no method applied"
            raise FusiformError(
                f"No map could be measured: {first} Mend this and give the same command again."
            )
        tables["measures"] = compared(tables["measures"], tables["values"], seed=self.request.seed)
        tables["ranks"] = ranks(tables["measures"])
        trained = rows_of(self.parts, "networks")
        seen = {row["network"]: row for row in self.networks + trained}
        tables["networks"] = typed("networks", seen.values())
        tables["skipped"] = typed("skipped", [*self.notes, *rows_of(self.parts, "skipped")])
        tables["settings"] = typed("settings", settings(methods, subjects))
        tables["findings"] = findings(tables)
        for name, table in tables.items():
            self.run.write_table(name, table)
        self.run.record(timings=self.attempt.timings, not_measured=self.not_measured)


def settings(methods: Sequence[Competitor], subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """Rows of the options with which each method is used."""
    size = subjects[0].net.card.input_size
    rows = []
    for method in methods:
        own = {"method": method.name, "baseline_map": method.baseline_map}
        try:
            family = method.family
        except FusiformError:
            continue
        explains = "nothing" if method.baseline_map else "score"
        if family == "perturbation":
            explains = "probability (of a match or class) where there is one"
        for use in ("full", "light"):
            options = method.options(use, size)
            told = ", ".join(f"{k}={v}" for k, v in options.items()) or "defaults"
            rows.append(own | {"family": family, "use": use, "options": told, "explains": explains})
    return rows
