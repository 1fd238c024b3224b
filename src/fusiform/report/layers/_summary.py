from collections import Counter

import pandas as pd

from fusiform.plotting._experiments import mean_drops
from fusiform.plotting.tables import CONTROL_ENDING, METRIC_TITLES, curves
from fusiform.report._cards import cautions_on_faces, people_known
from fusiform.report._format import count, large, listing, missing, number, percent
from fusiform.report.layers._material import Material

_UNITS = ("layer", "channel", "neuron")


def sentences(material: Material) -> list[str]:
    """Say in plain words what was found; every number comes from a table."""
    said = [_opening(material)]
    if "probes" not in material.tables:
        return [*said, "Nothing was probed, so there is nothing to say yet about what these networks know."]
    return [
        *said,
        *_verdicts(material),
        *_depth(material),
        *_units(material),
        *_vip(material),
        *_zeroed(material),
        *_manipulated(material),
        *_problems(material),
    ]


def _opening(material: Material) -> str:
    faces, n = material.run.faces.get("name", ""), material.run.faces.get("n")
    shown = (f"{count(n)} faces" if n else "faces") + (f" of “{faces}”" if faces else "")
    names = material.setups or [str(card.get("name", "the network")) for card in material.networks]
    were = "were" if len(names) > 1 else "was"
    who = f"The network{'s' if len(names) > 1 else ''}" + (f" {listing(names)}" if names else "")
    if "probes" not in material.tables:
        return f"{who} {were} shown {shown}."
    probes = material.tables["probes"]
    n_layers = probes[~probes["control"].astype(bool)].drop_duplicates(["setup", "layer"]).shape[0]
    n_attributes = probes["attribute"].nunique()
    several = f" of {len(names)} networks" if len(names) > 1 else ""
    units = [
        word
        for kind, word in (("layer", "entire layers"), ("channels", "channels"), ("neurons", "neurons"))
        if material.with_units(kind)
    ]
    return (
        f"{who} {were} shown {shown}. {n_layers} layers{several} were asked for "
        f"{n_attributes} {'attribute' if n_attributes == 1 else 'attributes'} of the face, by {listing(units)}: can a "
        f"simple read-out tell the attribute, for {'people' if people_known(material.run) else 'faces'} it was not "
        "fitted on?"
    )


def verdict_counts(material: Material) -> Counter[str]:
    """Count the findings, each once: by its verdict where all setups that were judged agree.

    Otherwise a finding that holds in one of them is ``"some"``, and one that holds in none is unclear.
    """
    table = material.tables.get("findings")
    counts: Counter[str] = Counter()
    if table is None:
        return counts
    for _, verdicts in table.groupby("finding", sort=False)["verdict"]:
        judged = set(verdicts) - {"not measured"}
        if len(judged) > 1:
            counts["some" if "holds" in judged else "unclear"] += 1
        else:
            counts[judged.pop() if judged else "not measured"] += 1
    return counts


def _verdicts(material: Material) -> list[str]:
    counts = verdict_counts(material)
    judged = counts.total() - counts["not measured"]
    if not judged:
        return []
    holds, some, fails, unclear = (counts[v] for v in ("holds", "some", "does not hold", "unclear"))
    rest = f"; {counts['not measured']} could not be measured" if counts["not measured"] else ""
    said = (
        f"{holds} hold in every network that they were judged in, {some} in some of them only, {fails} in none, "
        if len(material.setups_of("findings")) > 1
        else f"{holds} hold here, {fails} do not, "
    )
    return [f"Of {judged} findings of the thesis that could be judged, {said}{unclear} are unclear{rest}."]


def _depth(material: Material) -> list[str]:
    """First and last layer, trained beside random, for the metric of most attributes."""
    if not material.with_units("layer"):
        return []
    rows = curves(material.curve_rows, split=material.split)
    metric = rows.drop_duplicates("attribute")["metric"].value_counts().index[0]
    rows = rows[rows["metric"] == metric]
    parts = []
    for setup in material.setups:
        trained = _ends(rows[rows["setup"] == setup])
        control = _ends(rows[rows["setup"] == setup + CONTROL_ENDING])
        if trained is not None:
            beside = f" (random weights {number(control[0])} to {number(control[1])})" if control else ""
            parts.append(f"{setup} {number(trained[0])} to {number(trained[1])}{beside}")
    return [f"Mean {METRIC_TITLES[metric]}, first to last layer: {'; '.join(parts)}."] if parts else []


def _ends(rows: pd.DataFrame) -> tuple[float, float] | None:
    if not len(rows):
        return None
    mean = rows.groupby("depth")["value"].mean().sort_index()
    return float(mean.iloc[0]), float(mean.iloc[-1])


def best_means(material: Material) -> pd.DataFrame | None:
    """Average the best units' accuracy over attributes: a row a setup, a column a unit kind and the baseline."""
    best = material.tables.get("best")
    if best is None:
        return None
    rows = best[(best["metric"] == "accuracy") & ~best["control"].astype(bool)]
    if not len(rows):
        return None
    means = rows.pivot_table(index="setup", columns="unit_kind", values="value", aggfunc="mean", sort=False)
    means["baseline"] = (
        rows[rows["unit_kind"] == rows["unit_kind"].iloc[0]].groupby("setup")["baseline"].mean()
    )
    return means.reindex([s for s in material.setups_of("best") if s in means.index])


def _units(material: Material) -> list[str]:
    means = best_means(material)
    if means is None:
        return []
    parts = []
    for setup, row in means.iterrows():
        units = [
            f"{kind} {percent(row[kind])}" for kind in _UNITS if kind in means and not missing(row[kind])
        ]
        parts.append(f"{setup} {listing(units)}")
    base = means["baseline"].dropna()
    beside = f"; a network supervised for all attributes {percent(base.iloc[0])}" if len(base) else ""
    return [
        "Mean test accuracy of the best single units, chosen on validation: "
        + "; ".join(parts)
        + beside
        + "."
    ]


def _vip(material: Material) -> list[str]:
    table = material.tables.get("vip_correlation")
    if table is None or table["r_vip"].isna().all():
        return []
    other = table["r_mean_activation"].mean()
    beside = "" if missing(other) else f", with their mean activation {number(other)}"
    return [
        f"What single neurons know goes along with VIP at r = {number(table['r_vip'].mean())} on average{beside} "
        "(thesis: 0.93 and 0.38)."
    ]


def _zeroed(material: Material) -> list[str]:
    table = material.tables.get("ablation")
    if table is None:
        return []
    parts = []
    for setup in material.setups_of("ablation"):
        drops = mean_drops(table, setup)
        rows = drops[(drops["unit_kind"] == "layer") & (drops["share"] == drops["share"].max())]
        by = rows.groupby("selection")["drop"].mean()
        if "top" in by:
            other = f", as many random ones {number(by['random'], 3)}" if "random" in by else ""
            parts.append(f"{setup} {number(by['top'], 3)}{other}")
    share = percent(table["share"].max())
    if not parts:
        return []
    return [
        f"Zeroing the {share} of a layer's neurons with the highest VIP costs later layers: {'; '.join(parts)}."
    ]


def _manipulated(material: Material) -> list[str]:
    table = material.tables.get("consistency")
    if table is None:
        return []
    rows = table[(table["attack"] != "none") & (table["layer"] == "all")].dropna(subset=["auc"])
    if not len(rows):
        return []
    parts = [f"{number(row['auc'])} for {row['setup']} ({row['attack']})" for row in rows.to_dict("records")]
    return [
        "Attributes that do not fit the claimed person, of all layers together, tell manipulated inputs from genuine "
        f"ones with an area under the ROC curve of {listing(parts, most=len(parts))}; chance is 0.5."
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

    faces = material.run.faces
    if not missing(faces.get("n")):
        people = faces.get("n_identities")
        add("Faces", count(faces["n"]), f"of {count(people)} people" if people else "")
    if material.networks:
        n = len(material.setups)
        add(
            "Networks",
            str(len(material.networks)),
            f"in {n} setups" if 0 < n < len(material.networks) else "",
        )
        sizes = [c["n_parameters"] for c in material.networks if not missing(c.get("n_parameters"))]
        if len(material.networks) == len(sizes) == 1:
            add("Parameters", large(sizes[0]))
    if "probes" in material.tables:
        add("Attributes", str(material.tables["probes"]["attribute"].nunique()))
    means = best_means(material)
    if means is not None and "layer" in means:
        top = int(means["layer"].to_numpy().argmax())
        add("Best layers", percent(means["layer"].iloc[top]), f"mean accuracy, {means.index[top]}")
    counts = verdict_counts(material)
    judged = counts.total() - counts["not measured"]
    if judged:
        several = len(material.setups_of("findings")) > 1
        where = "of the thesis, in every network" if several else "of the thesis"
        add("Findings that hold", f"{counts['holds']} of {judged}", where)
    return figures


def cautions(material: Material) -> list[str]:
    """Say what the numbers of this page do not show."""
    notes = cautions_on_faces(material.run, probed="probes" in material.tables)
    if "probes" in material.tables and not material.has_control:
        notes.append(
            "No random-weights control was measured. A network that was never trained also lets some attributes be "
            "read out, so a value above chance alone does not show that training taught it."
        )
    notes += [
        "Probes are not causes: that an attribute can be read out of a layer does not show that the network uses it.",
        "Attributes are entangled. A read-out of one may rest on another that goes along with it in these faces; "
        "look at “Confounders taken out” and at the data card.",
        "Curves are measured on balanced validation images, where chance is 0.5 for two classes. Accuracies of the "
        "best units are measured on test images as they come, where always saying the larger class may be far above "
        "0.5: compare with that share.",
        "Hundreds of values stand side by side. Of those whose intervals just miss chance some do so by luck.",
    ]
    return notes
