from fusiform.plotting._dissection_rows import HIERARCHICAL, METHOD_NAMES, NETWORK_DISSECTION
from fusiform.report._cards import cautions_on_faces
from fusiform.report._format import count, listing, missing, percent
from fusiform.report._verdicts import verdicts_figure, verdicts_said
from fusiform.report.dissection._material import Material

_MOST = 5
_ALPHA = 0.05


def sentences(material: Material) -> list[str]:
    """Say in plain words what was found; every number comes from a table."""
    said = [_opening(material)]
    if not material.names:
        return [*said, "No unit was dissected, so there is little to say yet.", *_problems(material)]
    for name in material.names:
        said += [*_coverage(material, name), *_concepts(material, name), *_significance(material, name)]
    return [*said, *_overlap(material), *verdicts_said(material.tables.get("findings")), *_problems(material)]


def _opening(material: Material) -> str:
    if not material.names:
        return "This run asks which units of a face network detect which facial concepts."
    images = material.dictionary.get("n", material.run.faces.get("n"))
    shown = f"{count(images)} faces" if images else "faces"
    layers = sum(material.rows("coverage", n)["layer"].nunique() for n in material.networks_of("coverage"))
    where = f"{layers} layer{'s' if layers != 1 else ''} of " if layers else ""
    return (
        f"Which units of {where}{listing(material.names)} detect which facial concepts? Each unit's response to {shown} with "
        "labelled concepts was compared with the concepts' masks and groups."
    )


def _share(material: Material, name: str, method: str, scope: str, *, control: bool = False) -> float | None:
    rows = material.rows("coverage", name, control=control)
    if not len(rows):
        return None
    own = rows[(rows["method"] == method) & (rows["scope"] == scope) & (rows["layer"] == material.main(name))]
    return None if not len(own) or missing(own["share"].iloc[0]) else float(own["share"].iloc[0])


def _coverage(material: Material, name: str) -> list[str]:
    parts = []
    for method, scope in ((HIERARCHICAL, "either"), (NETWORK_DISSECTION, "local")):
        value = _share(material, name, method, scope)
        if value is None:
            continue
        twin = _share(material, name, method, scope, control=True)
        beside = f" (random weights {percent(twin)})" if twin is not None else ""
        parts.append(f"{percent(value)} by {METHOD_NAMES[method]}{beside}")
    if not parts:
        return []
    return [f"Interpretable units at {material.main(name)} of {name}: {', '.join(parts)}."]


def _concepts(material: Material, name: str) -> list[str]:
    rows = material.rows("counts", name)
    if not len(rows):
        return []
    rows = rows[
        (rows["layer"] == material.main(name)) & (rows["method"] == HIERARCHICAL) & (rows["units"] > 0)
    ]
    said = []
    for kind, of in (
        ("local", rows["concept_kind"] != "global"),
        ("global", rows["concept_kind"] == "global"),
    ):
        own = rows[of].sort_values("units", ascending=False, kind="stable")
        if len(own):
            parts = [f"{r['concept']} {count(r['units'])}" for r in own.head(_MOST).to_dict("records")]
            said.append(f"{kind} {', '.join(parts)}")
    where = f"at {material.main(name)} of {name}"
    return [f"Concepts with the most units {where}: {'; '.join(said)}."] if said else []


def _significance(material: Material, name: str) -> list[str]:
    rows = material.rows("pairs", name)
    if not len(rows):
        return []
    rows = rows[rows["method"] == HIERARCHICAL].dropna(subset=["q_value"])
    if not len(rows):
        return []
    sure = int((rows["q_value"] <= _ALPHA).sum())
    return [
        f"Of {count(len(rows))} pairs of a unit and a concept in {name}, {count(sure)} ({percent(sure / len(rows))}) are beyond "
        f"chance at a false discovery rate of {percent(_ALPHA)}."
    ]


def _overlap(material: Material) -> list[str]:
    overlap = material.tables.get("overlap")
    if overlap is None:
        # The table is there, without rows.
        looked = "overlap" in material.run.tables
        return ["No image of the dictionary was found among the training faces."] if looked else []
    n = len(overlap)
    return [
        f"{count(n)} {'image' if n == 1 else 'images'} of the dictionary {'is' if n == 1 else 'are'} in the training set too."
    ]


def _problems(material: Material) -> list[str]:
    if not material.problems:
        return []
    names = [f"{p.get('experiment', '')} of {p.get('network', '')}" for p in material.problems]
    return [f"Failed, and therefore missing here: {listing(names, most=12)}."]


def key_figures(material: Material) -> list[dict[str, str]]:
    """Give the numbers at the top of the page: label, value, note."""
    figures = []

    def add(label: str, value: str, note: str = "") -> None:
        figures.append({"label": label, "value": value, "note": note})

    images = material.dictionary.get("n", material.run.faces.get("n"))
    if images:
        add("Images of the dictionary", count(images))
    listed = material.tables.get("dictionary")
    if listed is not None:
        add("Concepts", str(listed["concept"].nunique()))
    if len(material.names) > 1:
        add("Networks", str(len(material.names)))
    if not material.names:
        return figures
    name = material.names[0]
    for method, scope, label in (
        (HIERARCHICAL, "either", "Interpretable, hierarchical"),
        (NETWORK_DISSECTION, "local", "Interpretable, Network Dissection"),
    ):
        value = _share(material, name, method, scope)
        if value is not None:
            twin = _share(material, name, method, scope, control=True)
            add(label, percent(value), "" if twin is None else f"random weights {percent(twin)}")
    rows = material.rows("unique", name)
    if len(rows):
        own = rows[(rows["layer"] == material.main(name)) & (rows["method"] == HIERARCHICAL)]
        if len(own):
            add("Different concepts", count(own["concepts"].iloc[0]), material.main(name))
    return [*figures, *verdicts_figure(material.tables.get("findings"))]


def _masks(material: Material) -> list[str]:
    settings = material.dictionary.get("settings")
    if not isinstance(settings, dict):
        return []
    if settings.get("confidence") or settings.get("masks") == "as published":
        return [
            "Masks, or some of them, are Gaussian confidence ellipses around landmarks, as in the paper, not drawn outlines: they "
            "say about where a concept is, and an IoU with them is that of an area, not of a shape."
        ]
    return [
        "Masks are exact outlines. The paper's are ellipses around landmarks, so that IoUs here and there cannot be compared."
    ]


def cautions(material: Material) -> list[str]:
    """Say what the numbers of this page do not show."""
    notes = cautions_on_faces(material.run, probed=False)
    if material.run.request.get("quick"):
        notes.append(
            "This was a quick look, at little of everything: numbers are rougher than those of a whole study."
        )
    notes += _masks(material)
    if not material.has_control and material.names:
        notes.append(
            "No network with random weights was dissected, so this page cannot say what training is responsible for."
        )
    if "overlap" not in material.run.tables:
        notes.append("Whether images of the dictionary are in the network's training set was not checked.")
    notes += [
        "That a unit is paired with a concept says that the two go together on these images, not that the network uses the "
        "unit for it, nor that the unit means the concept: others outside the dictionary may fit better.",
        "Concepts that cover much of the face have high IoUs by their size alone, and concepts that go together are paired "
        "together. Random weights show how much of that needs no training.",
        "Stage I compares maxima and ranks, so that a small but consistent difference between groups passes; a threshold of 0.3 of "
        "four groups, or 0.55 of two, is little above a quarter or a half. The q-values say which are beyond chance.",
        "Names of groups such as gender, age and ethnicity are labels of the data set, given by people or by machines who looked at a "
        "picture; they are not what the people shown would say of themselves.",
    ]
    return notes
