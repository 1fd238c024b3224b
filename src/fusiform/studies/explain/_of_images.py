"""Questions about images: a pair, a triplet, or images one by one."""

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import torch

from fusiform.errors import NotApplicableError
from fusiform.runs import Run
from fusiform.studies.attribution._canonical import FOLDER, write_map
from fusiform.studies.attribution._targets import Classes, predicted
from fusiform.studies.explain._material import FaceParts
from fusiform.studies.explain._methods import Chosen, parsed
from fusiform.studies.explain._question import Question
from fusiform.studies.explain._questions import asked_questions, class_name
from fusiform.studies.explain._schema import typed
from fusiform.studies.explain._sentences import findings
from fusiform.studies.explain._shares import (
    SHAPLEY,
    described,
    group_shares,
    mass_in_parts,
    part_shares,
    shared,
)
from fusiform.studies.explain._work import Rows, Work
from fusiform.targets import Similarity

_AT_ONCE = 8  # images whose maps are one piece of work


def explain_images(work: Work) -> Run:
    """Scores, maps by each method, and shares of the parts."""
    asked, parts = asked_questions(work.request, work.net, work.framed, work.calibration)
    _show(work, asked, parts)
    same = _scores(work, asked)
    methods = [parsed(name, "the request") for name in work.request.methods_asked]
    step, pieces = work.progress.task("Explaining"), []
    for start in range(0, len(asked), _AT_ONCE):
        batch = range(start, min(start + _AT_ONCE, len(asked)))
        pieces += [partial(_maps, work, asked, batch, k, method) for k, method in enumerate(methods)]
        pieces.append(partial(_shares, work, asked, batch))
    for done, piece in enumerate(pieces):
        piece()
        step(done + 1, len(pieces))
    tables = _shared_out(work, asked)
    scores = typed("scores", work.rows["scores"])
    return work.write(tables, findings(work.request, scores, tables["part_groups"], same=same))


def _show(work: Work, asked: Question, parts: FaceParts) -> None:
    request = work.request
    roles = dict.fromkeys(asked.images, "image")
    if request.pair:
        words = ("probe", "mate", "nonmate") if request.nonmate else ("first", "second")
        named = (*request.pair, *filter(None, [request.nonmate]))
        # An image that is named twice is shown once.
        roles = {name: words[named.index(name)] for name in named}
    source = dict(zip(asked.images, parts.source, strict=True))
    for name, role in roles.items():
        work.picture_of(name, role, source.get(name, ""))
    for part, why in parts.left_out.items():
        work.skip(reason=f"part '{part}': {why}")
    seen = (asked.parts > 0).flatten(2).any(dim=2)
    for k, p in (~seen).nonzero().tolist():
        work.skip(image_id=asked.images[k], reason=f"part '{asked.part_names[p]}' is not seen in it")


def _scores(work: Work, asked: Question) -> bool:
    """Add the scores; says whether both images of a pair are the same."""
    net, request = work.net, work.request
    if request.kind == "images":
        with torch.no_grad():
            scores = asked.confidence(net, asked.x).double().cpu().tolist()
        decisions: Sequence[Any] = [None] * len(asked)
        if isinstance(asked.target, Classes):
            decisions = [class_name(net, int(c)) for c in predicted(net, asked.x)]
        for k, score in enumerate(scores):
            work.add("scores", **described(asked, k), score=score, decision=decisions[k])
        return False
    others = [request.pair[1], *filter(None, [request.nonmate])]
    rows = np.array([work.framed.row(name) for name in (request.pair[0], *others)])
    x = torch.cat([net.prepare(work.framed.faces.images([row])) for row in rows])
    with torch.no_grad():
        cosines = Similarity(net.embed(x[:1]))(net, x[1:]).double().cpu().tolist()
    for other, cosine in zip(others, cosines, strict=True):
        work.add_similarity(request.pair[0], other, cosine)
    if request.nonmate is not None:
        work.add("scores", **described(asked, 0), score=cosines[0] - cosines[1])
    return bool((x[0] == x[1]).all())


def _maps(work: Work, asked: Question, batch: range, number: int, method: Chosen) -> None:
    def made() -> Rows | None:
        start = monotonic()
        try:
            maps = method.maps(
                work.net,
                asked,
                batch,
                baseline=work.request.baseline,
                seed=work.request.seed,
                memory_gb=work.request.memory_gb,
            )
        except NotApplicableError as why:
            if method.label not in {row["method"] for row in work.rows["not_applicable"]}:
                work.add("not_applicable", method=method.label, why=str(why))
            return None
        seconds = (monotonic() - start) / len(batch)
        rows = []
        for values, k in zip(maps.double().cpu(), batch, strict=True):
            file = f"map_{number:02d}_{k:03d}.npy"
            write_map(work.run, file, values.numpy())
            said = {"method": method.label, "family": method.family, "options": method.told()}
            rows.append(
                described(asked, k) | said | {"file": file, "total": float(values.sum()), "seconds": seconds}
            )
        return rows

    work.rows["maps"] += work.kept(f"maps@{method.label}@{batch.start}", method.label, made, "maps") or []


def _shares(work: Work, asked: Question, batch: range) -> None:
    done = partial(shared, work.net, asked, batch, seed=work.request.seed, memory_gb=work.request.memory_gb)
    work.rows["variants"] += work.kept(f"shares@{batch.start}", SHAPLEY, done, "variants") or []


def _shared_out(work: Work, asked: Question) -> dict[str, pd.DataFrame]:
    """Tables of parts: Shapley values with the range over all variants, and what each map holds in each part."""
    variants = typed("variants", work.rows["variants"])
    shapley: list[pd.DataFrame] = [part_shares(variants)] if len(variants) else []
    groups = [group_shares(variants, together=work.request.kind == "pair")] if len(variants) else []
    place = {name: k for k, name in enumerate(asked.images)}
    rows: Rows = []
    for row in work.rows["maps"]:
        values = torch.from_numpy(np.load(work.run.path / FOLDER / row["file"])).double()
        inside = mass_in_parts(values, asked.parts[place[row["image"]]].cpu(), asked.part_names)
        rows += [
            {k: row[k] for k in ("network", "image", "other", "target", "method")} | own for own in inside
        ]
    parts = (
        pd.concat([*shapley, pd.DataFrame(rows)], ignore_index=True) if rows or shapley else pd.DataFrame()
    )
    return {
        "parts": typed("parts", parts),
        "part_groups": typed("part_groups", groups[0] if groups else []),
    }
