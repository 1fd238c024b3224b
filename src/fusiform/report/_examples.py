import base64
import json
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from fusiform.report._format import missing, scalar
from fusiform.runs import Run

_MOST_EXAMPLES = 24
_FACTS_OF_EXAMPLE = 5
_EMBEDDED_AS_IT_IS = 80_000
_THUMBNAIL_PX = 224


def examples(run: Run) -> list[dict[str, Any]]:
    """Read the example faces that a run keeps, ready for the page."""
    folder = run.path / "images"
    try:
        listed = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = []
    for entry in listed[:_MOST_EXAMPLES] if isinstance(listed, list) else []:
        # Only what lies in the folder itself, whatever the list says.
        path = folder / str(entry.get("file", "")).replace("\\", "/").rpartition("/")[2]
        try:
            source = _data_uri(path.read_bytes())
        except (OSError, UnidentifiedImageError):
            continue
        found.append(_example(source, str(entry.get("image_id", path.stem)), entry.get("attributes") or {}))
    return found


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


def _example(source: str, image_id: str, attributes: dict[str, Any]) -> dict[str, Any]:
    facts = []
    for name, value in attributes.items():
        if value is True:
            facts.append(name)
        elif value is not False and not missing(value):
            facts.append(f"{name} {scalar(float(f'{value:.3g}') if isinstance(value, float) else value)}")
    return {
        "source": source,
        "image_id": image_id,
        "shown": facts[:_FACTS_OF_EXAMPLE],
        "more": max(0, len(facts) - _FACTS_OF_EXAMPLE),
        "all": ", ".join(facts),
    }
