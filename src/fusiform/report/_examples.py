import json
from typing import Any

from fusiform.report._format import missing, scalar
from fusiform.report._pictures import embedded
from fusiform.runs import Run

_MOST_EXAMPLES = 24
_FACTS_OF_EXAMPLE = 5


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
        name = str(entry.get("file", "")).replace("\\", "/").rpartition("/")[2]
        source = embedded(run, name)
        if source is None:
            continue
        image_id = str(entry.get("image_id", name.rpartition(".")[0]))
        found.append(_example(source, image_id, entry.get("attributes") or {}))
    return found


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
