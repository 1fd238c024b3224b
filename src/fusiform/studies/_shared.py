"""What studies have in common: faces framed for networks, records for run.json, tables and examples."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import prod
from traceback import format_exc
from typing import Any

import numpy as np
import pandas as pd

from fusiform.errors import DataError, FusiformError, NetworkError, RunError
from fusiform.faces import FaceSet, pick_faces
from fusiform.networks import FaceNetwork, Layer, frame_faces
from fusiform.probing import Sampling
from fusiform.runs import Progress, Run, atomic_write
from fusiform.studies._request import StudyRequest

_EXAMPLES = 24


def framed(
    networks: Sequence[FaceNetwork], faces: FaceSet, request: StudyRequest, progress: Progress
) -> tuple[list[FaceSet], list[str], pd.DataFrame]:
    """Frame the readable faces for each network, and keep those images that every network gets.

    Returns
    -------
    sets : list of FaceSet
        One a network, of the same images in the same order.
    done : list of str
        What was done for each, in words.
    skipped : DataFrame
        ``image_id, reason`` of the images left out.
    """
    readable = faces.readable(strict=request.strict, progress=progress.task("Reading faces"))
    pairs = [frame_faces(net, readable, request.align) for net in networks]
    sets, done = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    shared = set.intersection(*(set(each.table.image_id) for each in sets))
    skipped = pd.concat([each.skipped for each in sets]).drop_duplicates("image_id", ignore_index=True)
    sets = [
        each if len(each) == len(shared) else each.subset(np.flatnonzero(each.table.image_id.isin(shared)))
        for each in sets
    ]
    for text in dict.fromkeys(done):
        if text.startswith("resized only:"):
            progress.say(f"The faces are {text}. Figures will be lower than the network's best.")
    if len(skipped):
        progress.say(f"{len(skipped)} of {len(faces)} images left out; see tables/skipped.parquet")
    return sets, done, skipped


def say_left_out(sampling: Sampling, progress: Progress) -> None:
    """Say which attributes are not probed, and why."""
    for row in sampling.table[sampling.table.status != "probed"].itertuples():
        progress.say(f"Attribute '{row.attribute}' is left out: {row.note}")


def named_layers(net: FaceNetwork, names: tuple[str, ...] | None) -> list[Layer]:
    """Give the layers of these names; the layers to look at first when None, all for ``("all",)``."""
    if names is None:
        return net.default_layers()
    return net.layers if names == ("all",) else [net.layer(name) for name in names]


def network_record(net: FaceNetwork) -> dict[str, Any]:
    """Describe a network for run.json."""
    return asdict(net.card) | {
        "digest": net.digest(),
        "n_parameters": net.n_parameters,
        "n_layers": len(net.layers),
        "architecture": type(net.module).__name__,
    }


def layer_table(net: FaceNetwork) -> pd.DataFrame:
    """List a network's layers: ``network, layer, depth, kind, role, block, shape, features``."""
    rows = [asdict(layer) | {"network": net.card.name, "features": prod(layer.shape)} for layer in net.layers]
    table = pd.DataFrame(rows).rename(columns={"name": "layer"})
    table["shape"] = [" x ".join(map(str, shape)) for shape in table["shape"]]
    return table[["network", "layer", "depth", "kind", "role", "block", "shape", "features"]]


def write_examples(run: Run, faces: FaceSet, sampling: Sampling | None) -> None:
    """Write pictures of some faces and what is known of them into ``images/``."""
    from PIL import Image

    chosen = pick_faces(faces, _EXAMPLES, among=None if sampling is None else sampling.others)
    names = list(faces.schema) if sampling is None else [draw.attribute for draw in sampling.draws]
    records = []
    for number, (row, image) in enumerate(zip(chosen, faces.images(chosen), strict=True)):
        file = f"example_{number:02d}.png"
        with atomic_write(run.path / "images" / file) as part:
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(part, format="PNG")
        values = faces.table.iloc[int(row)]
        shown = {name: None if pd.isna(values[name]) else _plain(values[name]) for name in names}
        records.append({"file": file, "image_id": str(values.image_id), "attributes": shown})
    with atomic_write(run.path / "images" / "examples.json") as part:
        part.write_text(json.dumps(records, indent=1), encoding="utf-8")


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the context takes to those of this name."""
    start = time.monotonic()
    try:
        yield
    finally:
        timings[name] = round(timings.get(name, 0.0) + time.monotonic() - start, 2)


class Attempts:
    """The experiments of a study: one that fails is recorded and said, and the study goes on.

    Parameters
    ----------
    run : Run
        Where timings and problems are recorded.
    progress : Progress
        Whom to tell.

    Attributes
    ----------
    timings : dict of str to float
        Seconds by name.
    problems : list of dict
        What failed: ``experiment, network, error, trace``.
    again : bool
        Whether the same command would do something again that may succeed then.
    """

    def __init__(self, run: Run, progress: Progress) -> None:
        self.run, self.progress = run, progress
        self.timings = dict(run.timings)
        self.problems: list[dict[str, str]] = []
        self.again = False

    def __call__(
        self,
        experiment: str,
        name: str,
        work: Callable[[], Any],
        *,
        timing: str | None = None,
        needed: bool = False,
    ) -> Any:
        """Give what `work` gives, None where it fails; what is `needed` is always to be tried again."""
        try:
            with timed(self.timings, timing or experiment):
                return work()
        except RunError:
            # The run folder itself is in trouble: nothing that follows could be kept.
            raise
        except Exception as error:
            text = str(error) if isinstance(error, FusiformError) else f"{type(error).__name__}: {error}"
            self.problems.append(
                {"experiment": experiment, "network": name, "error": text, "trace": format_exc(limit=-6)}
            )
            self.run.record(problems=self.problems)
            self.progress.say(f"Failed: {experiment} of '{name}'. {text}")
            # What the faces do not hold they will not hold the next time, and a network stays what it is.
            self.again |= needed or not isinstance(error, DataError | NetworkError)
            return None
        finally:
            self.run.record(timings=self.timings)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
