from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pandas as pd

from fusiform.faces import FaceSet, open_faces
from fusiform.networks import FaceNetwork, framing_template
from fusiform.runs import Progress, Run
from fusiform.studies._request import BUDGETS
from fusiform.studies._shared import Attempts, network_record, write_examples
from fusiform.studies.layers._rows import RANDOM_WEIGHTS
from fusiform.studies.planted_bias._book import Book, open_book, training_overlap
from fusiform.studies.planted_bias._findings import findings
from fusiform.studies.planted_bias._measure import (
    Tables,
    accuracies,
    biased_units,
    dissected,
    how_many_top,
    quantities,
    top_pictures,
    training_sheets,
    unit_maxima,
    unit_probabilities,
    write_sprite,
)
from fusiform.studies.planted_bias._networks import (
    OUTPUT,
    open_trained,
    random_network,
    stage_convolutions,
    train_network,
    untrained,
)
from fusiform.studies.planted_bias._pool import Pool, check_columns, pool_of, synthetic_pool, unknown_people
from fusiform.studies.planted_bias._request import Cue, PlantedBiasRequest
from fusiform.studies.planted_bias._summary import ratios, summary

if TYPE_CHECKING:
    from fusiform.faces import FaceDictionary

_TABLES = ("units_regions", "units_concepts", "ious", "probabilities", "biased", "top", "trained")
# Networks on their way are kept where a run keeps what it drops at its end.
_SCRATCH = "parts"
# What belongs to all networks of a cue, written before any of them.
_OF_CUE = ("skipped", "overlap", "training")


def study_planted_bias(
    faces: str | FaceSet | None,
    out: str | Path,
    *,
    dictionary: "str | Path | FaceSet | FaceDictionary | None" = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Plant a bias in the training of a network, and see whether dissection finds it (Teotia and others 2022, section 4).

    Small ResNets are trained to tell men from women, on sets in which P% of the men and (100 - P)% of the women carry a cue:
    eyeglasses, or a grey picture. Of the cue eyeglasses the second-to-last convolution is dissected; of the cue grey,
    stage I (equations 1, 2) says which units of the second-to-last convolution of each stage are biased. Writes tables, the
    pictures that activate the networks most, the networks' weights and run.json into a run folder, of which
    `fusiform.report.write_report` makes the page; docs/planted_bias.md tells the protocol and all tables.

    Parameters
    ----------
    faces : str, FaceSet or None
        The faces or their specification; None for synthetic ones.
    out : str or Path
        The run folder. An unfinished run that was asked the same is continued, network by network.
    dictionary : str, Path, FaceSet or FaceDictionary, optional
        What the networks of the cue eyeglasses are dissected with. When not given, people of `faces` that are not trained
        on, where these have masks or 68 landmarks; other synthetic faces otherwise.
    overwrite : bool, default False
        Replace an earlier run in that folder.
    progress : Progress, optional
        Where to show progress; silent when not given.
    **options
        The other fields of `PlantedBiasRequest`.

    Returns
    -------
    Run
        The run. Where a network failed, the others are done, and its ``problems`` name it.

    Raises
    ------
    FusiformError
        One of its kinds, for whatever is wrong with what was given. What is finished is kept.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> tiny = dict(network="resnet10?width=2&variant=small", train_images=16, test_images=8, epochs=1, repeats=1)
    >>> with TemporaryDirectory() as folder:
    ...     run = study_planted_bias(None, folder + "/run", cues=["grey"], percents=[100], control=False, **tiny)
    ...     run.table("biased").groupby("stage")["of"].first().tolist()
    [2, 4, 8, 16]
    """
    given = {
        "faces": faces if isinstance(faces, str | None) else faces.spec or faces.name,
        "dictionary": None if dictionary is None else _named(dictionary),
    }
    request = PlantedBiasRequest.from_mapping({k: v for k, v in given.items() if v} | options)
    progress = progress or Progress(quiet=True)
    # Everything that may be wrong with what was asked is looked at before a folder is made.
    net = untrained(request)
    stage_convolutions(net)
    opened = open_faces(faces) if isinstance(faces, str) else faces
    if opened is not None:
        for cue in request.cues:
            check_columns(opened, cue)
        framing_template(net, opened, request.align)
    book = None
    if "eyeglasses" in request.cues:
        book = open_book(dictionary, request, net, opened, progress)
    digests = {
        "network": net.digest(),
        "faces": None if opened is None else opened.digest(),
        "dictionary": None if book is None else book.dictionary.digest(),
    }
    asked = asdict(request) | {"study": "planted-bias", "digests": digests}
    run = Run.start(out, asked, overwrite=overwrite, not_compared=BUDGETS)
    return _Work(run, request, progress, net, opened, book).go()


def _named(dictionary: "str | Path | FaceSet | FaceDictionary") -> str:
    if isinstance(dictionary, str | Path):
        return str(dictionary)
    return getattr(dictionary, "spec", "") or dictionary.name


class _Work:
    """One run on its way."""

    def __init__(
        self,
        run: Run,
        request: PlantedBiasRequest,
        progress: Progress,
        net: FaceNetwork,
        faces: FaceSet | None,
        book: Book | None,
    ) -> None:
        self.run, self.request, self.progress = run, request, progress
        self.net, self.faces, self.book = net, faces, book
        self.stages = stage_convolutions(net)
        self.attempt = Attempts(run, progress)
        self.tables: dict[str, list[pd.DataFrame]] = {}
        self.values: list[pd.DataFrame] = []
        self.control: list[pd.DataFrame] = []
        self.of_cue: dict[str, list[pd.DataFrame]] = {}
        self.cautions: list[str] = []
        self.not_measured: dict[str, str] = {}
        self._files: FaceDictionary | None = None

    def go(self) -> Run:
        request = self.request
        self.run.record(
            seed=request.seed, network=network_record(self.net), problems=[], stages=self._stage_names()
        )
        if self.faces is not None:
            self._caution(unknown_people(self.faces))
        if self.book is not None:
            self._caution(self.book.caution)
        for cue in request.cues:
            self._cue(cue)
        self._finish()
        return self.run

    def _caution(self, text: str) -> None:
        """Say what has to be known before the numbers are read, and keep it for the report."""
        if text:
            self.cautions.append(text)
            self.progress.say(f"Caution: {text}")
            self.run.record(cautions=self.cautions)

    def _stage_names(self) -> dict[str, str]:
        return {str(stage): layer.name for stage, layer in self.stages.items()}

    # one cue ------------------------------------------------------------------------------------------

    def _cue(self, cue: Cue) -> None:
        request, seeds = self.request, self.request.seeds
        wanted = [(percent, seed) for seed in seeds for percent in request.levels]
        missing = [place for place in wanted if not self._known(cue, *place)]
        controls = seeds if request.control else []
        if missing or any(self.run.part(f"control@{cue}@{seed}") is None for seed in controls):
            found = self.attempt(f"pictures for {cue}", request.network, lambda: self._pool(cue), needed=True)
            if found is None:
                return
            pool, skipped = found
            self._begin(cue, pool, skipped)
        for name in _OF_CUE:
            whole = self.run.part(f"{name}@{cue}")
            if whole is not None:
                self.of_cue.setdefault(name, []).append(whole)
                if name == "overlap" and len(whole):
                    self._narrow(whole)
        for percent, seed in missing:
            done = self.attempt(
                f"{cue}, P = {percent}, seed {seed}",
                request.network,
                partial(self._network, cue, percent, seed, pool),
                timing=cue,
            )
            if done is not None:
                self._enter(cue, percent, seed, done)
        for seed in controls:
            part = f"control@{cue}@{seed}"
            table = self.run.part(part)
            if table is None:
                table = self.attempt(
                    f"{cue}, random weights, seed {seed}",
                    request.network,
                    partial(self._random, cue, seed, pool),
                    timing=f"{cue}, control",
                )
                if table is not None:
                    self.run.write_part(part, table)
            if table is not None:
                self.control.append(table)

    def _begin(self, cue: Cue, pool: Pool, skipped: pd.DataFrame) -> None:
        run = self.run
        run.write_part(f"skipped@{cue}", skipped)
        if not (run.path / "images" / "examples.json").exists():
            write_examples(run, pool.faces.subset(pool.test), None)
            run.record(faces=(pool.faces if self.faces is None else self.faces).card())
        if run.part(f"training@{cue}") is None:
            sheets = training_sheets(cue, pool, self.request, run.path / "images")
            run.write_part(f"training@{cue}", sheets)
        looked_for = cue == "eyeglasses" and self.book is not None and not self.book.drawn
        if looked_for and self.faces is not None and run.part(f"overlap@{cue}") is None:
            assert self.book is not None
            step = self.progress.task("Overlap of dictionary and training pictures")
            ids = pool.faces.table["image_id"].iloc[pool.train]
            run.write_part(f"overlap@{cue}", training_overlap(self.book, self.faces, ids, step))
        if not how_many_top(pool):
            self.not_measured["top"] = f"there are too few test pictures, {len(pool.test) // 2} of each group"
            run.record(not_measured=self.not_measured)

    def _narrow(self, found: pd.DataFrame) -> None:
        """Leave images that are trained on out of the dictionary."""
        assert self.book is not None
        n = len(self.book.dictionary.faces)
        self.book = self.book.without(found["image_id"])
        self._caution(
            f"{len(found)} of the {n} images of the Face Dictionary are among the training pictures, and were left out of it."
        )

    def _pool(self, cue: Cue) -> tuple[Pool, pd.DataFrame]:
        if self.faces is None:
            return synthetic_pool(cue, self.request, self.net.card.input_size[0], self.progress)
        return pool_of(cue, self.faces, self.net, self.request, self.progress)

    def _network(self, cue: Cue, percent: int, seed: int, pool: Pool) -> Tables:
        path = self.run.path / "networks" / f"{cue}_p{percent:03d}_s{seed}.safetensors"
        rows = pool.biased(percent, seed)
        start = monotonic()
        train_network(
            self.net,
            pool.faces.subset(rows),
            path,
            self.run.path / _SCRATCH / path.stem,
            self.request,
            seed,
            self.progress,
        )
        seconds = monotonic() - start
        net = open_trained(self.request, path)
        tables, right = self._measured(cue, net, pool, sprites=f"{cue}_p{percent:03d}_s{seed}")
        steps = self.request.epochs * max(1, len(rows) // 64)
        tables["trained"] = pd.DataFrame(
            [
                {
                    "epochs": self.request.epochs,
                    "steps": steps,
                    "seconds": round(seconds, 1),
                    **right,
                    "n_train": len(rows),
                    "n_test": len(pool.test),
                    "weights": str(path.relative_to(self.run.path)),
                }
            ]
        )
        self.progress.say(
            f"{cue}, P = {percent}, seed {seed}: accuracy {right['accuracy']:.3f}, with the bias "
            f"{right['accuracy_congruent']:.3f}, against it {right['accuracy_incongruent']:.3f}"
        )
        for name in _TABLES:  # "trained" comes last: what is there with it is whole
            if name in tables:
                self.run.write_part(f"{name}@{cue}@{percent}@{seed}", tables[name])
        return tables

    def _measured(
        self, cue: Cue, net: FaceNetwork, pool: Pool, sprites: str | None
    ) -> tuple[Tables, dict[str, float]]:
        maxima = unit_maxima(net, pool, self.stages, self.request)
        right = accuracies(maxima[OUTPUT][:, 0], pool.male[pool.test], pool.cue[pool.test])
        tables: Tables = {}
        last = self.stages[max(self.stages)]
        if cue == "grey":
            tables["probabilities"] = unit_probabilities(maxima, pool.cue[pool.test], self.stages)
            tables["biased"] = biased_units(tables["probabilities"])
        elif self.book is not None:
            step = self.progress.task(f"Dissecting {last.name}")
            tables |= dissected(net, last, self._on_disk(self.book), self.request, step)
        top = top_pictures(maxima[last.name], pool)
        top["file"] = ""
        # The pictures of one seed are enough to look at.
        if sprites is not None and sprites.endswith(f"_s{self.request.seed}"):
            for group, own in top.groupby("group", sort=False):
                file = f"top_{sprites}_{str(group).lower()}.jpg"
                write_sprite(pool.faces.images(own["row"].to_numpy()), self.run.path / "images" / file)
                top.loc[own.index, "file"] = file
        tables["top"] = top.drop(columns="row")
        return tables, right

    def _on_disk(self, book: Book) -> "FaceDictionary":
        """A dictionary of synthetic faces as files: it is looked at twice a network, and reading is faster than drawing."""
        from fusiform.faces import open_dictionary

        if not book.drawn:
            return book.dictionary
        if self._files is None:
            step = self.progress.task("Drawing the dictionary")
            self._files = open_dictionary(
                book.dictionary.save(self.run.path / _SCRATCH / "dictionary", overwrite=True, progress=step)
            )
        return self._files

    def _random(self, cue: Cue, seed: int, pool: Pool) -> pd.DataFrame:
        tables, _ = self._measured(cue, random_network(self.request, seed), pool, sprites=None)
        return _placed(quantities(tables), cue=cue, seed=seed)

    # tables -------------------------------------------------------------------------------------------

    def _known(self, cue: Cue, percent: int, seed: int) -> bool:
        """Whether a network is finished; its rows are then in the tables."""
        first = self.run.part(f"trained@{cue}@{percent}@{seed}")
        if first is None or not (self.run.path / first["weights"].iloc[0]).exists():
            return False
        parts = {name: self.run.part(f"{name}@{cue}@{percent}@{seed}") for name in _TABLES}
        self._enter(cue, percent, seed, {name: t for name, t in parts.items() if t is not None})
        return True

    def _enter(self, cue: Cue, percent: int, seed: int, found: Tables) -> None:
        place = {"cue": cue, "percent": percent, "seed": seed}
        for name, table in found.items():
            self.tables.setdefault(name, []).append(_placed(table, **place))
        self.values.append(_placed(quantities(found), **place))

    def _finish(self) -> None:
        run, request = self.run, self.request
        order = ["cue", "percent", "seed"]
        tables = {
            name: pd.concat(parts, ignore_index=True).sort_values(order, kind="stable", ignore_index=True)
            for name, parts in self.tables.items()
        }
        values = _joined(self.values, [*order, "quantity", "layer", "value"])
        control = _joined(self.control, ["cue", "seed", "quantity", "layer", "value"])
        tables["summary"] = summary(values)
        tables["ratios"] = ratios(values)
        tables["control"] = control
        # What was trained is named, not the weights that it began with.
        name = self.net.card.name.removesuffix(RANDOM_WEIGHTS)
        tables["findings"] = findings(values, control, tables.get("biased"), list(request.cues), name)
        for name, parts in self.of_cue.items():
            tables[name] = pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)
        tables.setdefault("skipped", _joined([], ["image_id", "reason"]))
        for name, table in tables.items():
            run.write_table(name, table)
        run.record(timings=self.attempt.timings)
        if self.book is not None:
            run.record(dictionary=self.book.dictionary.card)
        if not self.attempt.again:
            run.finish()


def _placed(table: pd.DataFrame, **place: Any) -> pd.DataFrame:
    table = table.copy()
    for number, (name, value) in enumerate(place.items()):
        table.insert(number, name, value)
    return table


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
