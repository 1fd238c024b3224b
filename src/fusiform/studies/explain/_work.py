"""What every question has in common: a run, its tables, and pieces of work that are kept when they are done."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, frame_faces
from fusiform.runs import Progress, Run, atomic_write
from fusiform.studies._shared import Attempts, network_record
from fusiform.studies.explain._material import Framed
from fusiform.studies.explain._request import ExplainRequest
from fusiform.studies.explain._schema import SCHEMA, typed
from fusiform.verification import Calibration, calibrate

Rows = list[dict[str, Any]]


class Work:
    """One run: what is asked of which network, and the rows of its tables so far."""

    def __init__(
        self, run: Run, request: ExplainRequest, net: FaceNetwork, framed: Framed, progress: Progress
    ) -> None:
        self.run, self.request, self.net, self.framed = run, request, net, framed
        self.progress = progress
        self.attempt = Attempts(run, progress)
        self.rows: dict[str, Rows] = {name: [] for name in SCHEMA}
        self.not_measured: dict[str, str] = {}
        self.calibration: Calibration | None = None
        run.record(seed=request.seed, problems=[], question=request.kind)
        if framed.done.startswith("resized only:"):
            progress.say(f"The faces are {framed.done}. They are taken as aligned.")
        for name, why in framed.lost.items():
            self.skip(image_id=name, reason=why)

    # the threshold ----------------------------------------------------------------------------------------

    def know_threshold(self, faces: FaceSet | None) -> None:
        """Put the threshold that was given, or is found on faces, into the network's card."""
        card = self.net.card
        if faces is not None:
            self.calibration = self._calibrated(faces)
            card = self.calibration.card(self.net)
        elif self.request.threshold is not None:
            card = card.replace(threshold=self.request.threshold)
        self.net = FaceNetwork(self.net.module, card)
        self.run.record(
            network=network_record(self.net),
            faces=self.framed.faces.card() | {"alignment": self.framed.done},
            calibration=None if self.calibration is None else asdict(self.calibration),
        )

    def _calibrated(self, faces: FaceSet) -> Calibration:
        kept = self.run.part("calibration")
        if kept is not None:
            (row,) = kept.to_dict("records")
            return Calibration(**{str(name): value for name, value in row.items()})
        framed, _ = frame_faces(self.net, faces.readable(), self.request.align)
        found = calibrate(
            self.net,
            framed,
            false_match_rate=self.request.false_match_rate,
            seed=self.request.seed,
            progress=self.progress.task("Calibration"),
        )
        self.run.write_part("calibration", pd.DataFrame([asdict(found)]))
        return found

    def add_similarity(self, first: str, second: str, cosine: float) -> None:
        """Add the similarity of two images, with the decision where a threshold is known."""
        threshold, found = self.net.card.threshold, self.calibration
        decision = None if threshold is None else "match" if cosine >= threshold else "no match"
        known: dict[str, float] = {}
        if found is not None:
            known = {
                "lower": found.lower,
                "upper": found.upper,
                "match_probability": float(found.probability(cosine)),
            }
        said = {"image": first, "other": second, "target": "similarity"}
        self.add("scores", **said, score=cosine, threshold=threshold, decision=decision, **known)

    # pieces of work ---------------------------------------------------------------------------------------

    def kept(self, key: str, what: str, work: Callable[[], Rows | None], table: str) -> Rows | None:
        """Read the rows of a piece of work that is kept, or do it and keep it; None where there are none.

        What fails is noted among what was skipped; work that gives None is not kept.
        """
        part = self.run.part(key)
        if part is None:
            problems = len(self.attempt.problems)
            found = self.attempt(what, self.net.card.name, work)
            if found is None:
                if len(self.attempt.problems) > problems:
                    self.skip(method=what, reason=self.attempt.problems[-1]["error"])
                return None
            part = typed(table, [{"network": self.net.card.name} | row for row in found])
            self.run.write_part(key, part)
        return [{str(name): value for name, value in row.items()} for row in part.to_dict("records")]

    def add(self, table: str, **row: Any) -> None:
        """Add a row to a table."""
        self.rows[table].append({"network": self.net.card.name} | row)

    def skip(self, *, image_id: str = "", method: str = "", reason: str) -> None:
        """Note what is left out, and why."""
        self.add("skipped", image_id=image_id, method=method, reason=reason)

    def picture(self, file: str, pixels: UInt8[ndarray, "..."]) -> None:
        """Write a picture, grey or RGB, into ``images/``."""
        with atomic_write(self.run.path / "images" / file) as part:
            Image.fromarray(np.ascontiguousarray(pixels)).save(part, format="PNG")

    def picture_of(self, name: str, role: str, parts_from: str = "") -> None:
        """Write an image as the network sees it, and add it to the table of images."""
        (pixels,) = self.framed.faces.images([self.framed.row(name)])
        file = f"face_{len(self.rows['images']):03d}.png"
        self.picture(file, pixels.permute(1, 2, 0).numpy())
        self.add("images", image=name, role=role, file=file, parts_from=parts_from)

    def write(self, tables: dict[str, pd.DataFrame], sentences: Rows) -> Run:
        """Write all tables, those that were made of rows and those that are given, and end the run."""
        made = {name: typed(name, rows) for name, rows in self.rows.items()} | tables
        made["findings"] = typed("findings", [{"network": self.net.card.name} | row for row in sentences])
        for name, table in made.items():
            self.run.write_table(name, table)
        self.run.record(timings=self.attempt.timings, not_measured=self.not_measured)
        for row in sentences:
            self.progress.say(row["finding"])
        if self.attempt.again:
            self.progress.say("Something failed; the same command does that again and nothing else.")
        else:
            self.run.finish()
        return self.run
