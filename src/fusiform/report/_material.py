import base64
import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pandas as pd
from PIL import Image, UnidentifiedImageError

from fusiform.plotting.tables import KINDS, PRIMARY, check_columns, layer_order, primary
from fusiform.runs import Run

_MOST_EXAMPLES = 24
_EMBEDDED_AS_IT_IS = 80_000
_THUMBNAIL_PX = 224
_COLUMNS = {
    "best": (
        *("attribute", "kind", "metric", "layer", "depth", "value", "lower", "upper", "chance"),
        "control_value",
    ),
    "attributes": (
        *("attribute", "kind", "unit", "n_known", "share", "classes", "n_train", "n_valid", "n_test"),
        *("rarer_test", "status", "note"),
    ),
    "layers": ("layer", "depth", "kind", "role", "block", "shape", "features"),
    "verification": ("network", "control", "n_genuine", "n_impostor", "auc", "lower", "upper"),
    "skipped": ("image_id", "reason"),
    "confounds": ("attribute", "other", "measure", "value", "lower", "upper", "n", "strong"),
}


@dataclass(frozen=True)
class Example:
    """An example face, ready for the page."""

    source: str
    image_id: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Material:
    """All that a page is made of, read from a run folder; a table that is missing or empty is None."""

    run: Run
    probes: pd.DataFrame | None
    rows: pd.DataFrame | None
    best: pd.DataFrame | None
    attributes: pd.DataFrame | None
    layers: pd.DataFrame | None
    verification: pd.DataFrame | None
    skipped: pd.DataFrame | None
    confounds: pd.DataFrame | None
    examples: list[Example] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """Kinds of attributes that were probed."""
        return [] if self.rows is None else [k for k in KINDS if (self.rows["kind"] == k).any()]

    @property
    def probed_layers(self) -> list[str]:
        """Layers that were probed, in order of depth."""
        return [] if self.rows is None else layer_order(self.rows)

    @property
    def has_control(self) -> bool:
        """Whether the same network with random weights was probed too."""
        return self.rows is not None and bool(self.rows["control"].any())

    @property
    def synthetic(self) -> bool:
        """Whether the faces were drawn, so that nobody is shown."""
        provenance = self.run.faces.get("provenance")
        if isinstance(provenance, dict) and "synthetic" in provenance:
            return bool(provenance["synthetic"])
        return str(self.run.faces.get("spec") or self.run.request.get("faces", "")).startswith("synthetic")

    @property
    def people_known(self) -> bool:
        """Whether it is known who is shown, so that splits and intervals can keep people together."""
        return bool(self.run.faces.get("n_identities"))

    def of_best(self, kind: str) -> pd.DataFrame:
        """Rows of `best` of a kind; no rows where there are none."""
        if self.best is None:
            return pd.DataFrame()
        return self.best[self.best["kind"] == kind]


def read_material(run: Run) -> Material:
    """Read a run folder."""
    probes = _table(run, "probes")
    rows = None
    if probes is not None:
        rows = primary(probes)
        rows = rows if len(rows) else None
    best = _table(run, "best")
    if best is not None:
        # One measure an attribute, as in the plots.
        best = best[best["metric"] == best["kind"].map(PRIMARY)].reset_index(drop=True)
        for column in ("value", "lower", "upper", "chance", "control_value"):
            best[column] = pd.to_numeric(best[column]).astype(float)
    return Material(
        run=run,
        probes=probes,
        rows=rows,
        best=best if best is not None and len(best) else None,
        attributes=_table(run, "attributes"),
        layers=_table(run, "layers"),
        verification=_table(run, "verification"),
        skipped=_table(run, "skipped"),
        confounds=_table(run, "confounds"),
        examples=_examples(run),
    )


def _table(run: Run, name: str) -> pd.DataFrame | None:
    if name not in run.tables:
        return None
    table = run.table(name)
    if not len(table):
        return None
    check_columns(table, _COLUMNS.get(name, ()), what=name)
    return table


def _examples(run: Run) -> list[Example]:
    folder = run.path / "images"
    try:
        listed = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    examples = []
    for entry in listed[:_MOST_EXAMPLES] if isinstance(listed, list) else []:
        # Only what lies in the folder itself, whatever the list says.
        path = folder / str(entry.get("file", "")).replace("\\", "/").rpartition("/")[2]
        try:
            source = _data_uri(path.read_bytes())
        except (OSError, UnidentifiedImageError):
            continue
        examples.append(Example(source, str(entry.get("image_id", path.stem)), entry.get("attributes") or {}))
    return examples


def _data_uri(content: bytes) -> str:
    with Image.open(BytesIO(content)) as image:
        kind = image.format or ""
        if kind not in ("PNG", "JPEG") or len(content) > _EMBEDDED_AS_IT_IS:
            small = image.convert("RGB")
            small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
            buffer = BytesIO()
            small.save(buffer, format="JPEG", quality=88)
            kind, content = "JPEG", buffer.getvalue()
        else:
            image.load()
    return f"data:image/{kind.lower()};base64," + base64.b64encode(content).decode("ascii")
