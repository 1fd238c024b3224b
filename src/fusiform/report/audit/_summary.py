from dataclasses import dataclass

import pandas as pd

from fusiform.plotting.tables import METRIC_TITLES, skill
from fusiform.report._format import count, interval, large, listing, number
from fusiform.report.audit._material import Material


@dataclass(frozen=True)
class Findings:
    """What the table of best layers says in short.

    ``below_control`` names the attributes whose interval reaches down to the best value of the random-weights
    control; ``below_chance`` those whose interval reaches down to chance; ``thirds`` counts attributes by the third
    of the probed layers in which they are read out best.
    """

    total: int
    below_control: list[str]
    without_control: list[str]
    below_chance: list[str]
    thirds: tuple[int, int, int]


def findings(best: pd.DataFrame, layers: list[str]) -> Findings:
    """Count what the page's first paragraph says.

    Examples
    --------
    >>> row = {"attribute": "Male", "layer": "fc", "lower": 0.85, "chance": 0.5, "control_value": 0.6}
    >>> findings(pd.DataFrame([row, row | {"attribute": "Young", "lower": 0.55}]), ["stem", "fc"]).below_control
    ['Young']
    """
    names = best["attribute"].astype(str)
    compared = best["control_value"].notna()
    beaten = best["lower"] > best["control_value"]
    thirds = [0, 0, 0]
    for layer in best["layer"]:
        if layer in layers:
            thirds[min(2, 3 * layers.index(layer) // len(layers))] += 1
    return Findings(
        total=len(best),
        below_control=names[compared & ~beaten].tolist(),
        without_control=names[~compared].tolist(),
        below_chance=names[~(best["lower"] > best["chance"])].tolist(),
        thirds=(thirds[0], thirds[1], thirds[2]),
    )


def sentences(material: Material) -> list[str]:
    """Say in plain words what was found; every number comes from a table."""
    said = [_opening(material)]
    if material.best is None and material.verification is not None:
        said.append(
            "No attribute of these faces was probed; what every layer knows of identity was measured."
        )
    elif material.best is None:
        said.append("No read-out was measured, so there is nothing to say yet about what the network knows.")
    else:
        for kind, text in (("binary", _classes), ("categorical", _classes), ("continuous", _quantities)):
            rows = material.of_best(kind)
            if len(rows):
                said += text(rows, material)
        said += _against_control(material)
        said += _depth(material)
    said += _verification(material)
    return said


def _opening(material: Material) -> str:
    run = material.run
    network = run.network.get("name", "the network")
    parameters = run.network.get("n_parameters")
    size = f" ({large(parameters)} parameters)" if parameters else ""
    faces = run.faces.get("name", "")
    n = run.faces.get("n")
    shown = (f"{count(n)} faces" if n else "faces") + (f" of “{faces}”" if faces else "")
    if material.rows is None:
        return f"This page is about {network}{size}" + (f", which was shown {shown}." if n or faces else ".")
    n_attributes = material.rows["attribute"].nunique()
    n_layers = len(material.probed_layers)
    return (
        f"{network[:1].upper() + network[1:] if network == 'the network' else network}{size} was shown {shown}. "
        f"{'One layer was' if n_layers == 1 else f'{n_layers} of its layers were'} asked for {n_attributes} "
        f"{'attribute' if n_attributes == 1 else 'attributes'} of the face: can a simple read-out tell the attribute "
        f"from the layer's activations, for {'people' if material.people_known else 'faces'} it was not fitted on?"
    )


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    ranked = rows.assign(skill=skill(rows["value"], rows["chance"]))
    return ranked.sort_values("skill", ascending=False, kind="stable")


def _classes(rows: pd.DataFrame, material: Material) -> list[str]:
    ranked = _ranked(rows)
    top = ranked.iloc[0]
    kind = top["kind"]
    control = "" if pd.isna(top["control_value"]) else f", with random weights {number(top['control_value'])}"
    lead = "The network knows" if kind == "binary" else "Among attributes of several classes it knows"
    said = [
        f"{lead} {top['attribute']} best: {METRIC_TITLES[top['metric']]} {number(top['value'])} at {top['layer']} "
        f"(95% interval {interval(top['lower'], top['upper'])}; chance {number(top['chance'])}{control})."
    ]
    if len(ranked) > 1:
        low = ranked.iloc[-1]
        said.append(
            f"It knows {low['attribute']} least ({number(low['value'])}, chance {number(low['chance'])})."
        )
    return said


def _quantities(rows: pd.DataFrame, material: Material) -> list[str]:
    top = _ranked(rows).iloc[0]
    error = mean_absolute_error(material, top["attribute"], top["layer"])
    unit = attribute_unit(material, top["attribute"])
    off = "" if error is None else f", on average {number(error)}{f' {unit}' if unit else ''} off"
    return [
        f"Of the measured quantities, {top['attribute']} is read out best: R² {number(top['value'])} at {top['layer']} "
        f"(95% interval {interval(top['lower'], top['upper'])}{off})."
    ]


def _against_control(material: Material) -> list[str]:
    if material.best is None:
        return []
    found = findings(material.best, material.probed_layers)
    if len(found.without_control) == found.total:
        if not found.below_chance:
            return ["All are read out above chance; no random-weights control was measured to compare with."]
        return [
            f"{len(found.below_chance)} of {found.total} attributes are not read out above chance "
            f"({listing(found.below_chance)}); no random-weights control was measured to compare with."
        ]
    compared = found.total - len(found.without_control)
    if not found.below_control:
        return [
            "Every attribute is read out above the same network with random weights."
            if compared > 1
            else "It is read out above the same network with random weights."
        ]
    if compared == 1:
        return ["It is not read out above the same network with random weights."]
    n = len(found.below_control)
    return [
        f"{n} of {compared} attributes {'is' if n == 1 else 'are'} never read out above the same network with "
        f"random weights: {listing(found.below_control)}."
    ]


def _depth(material: Material) -> list[str]:
    if material.best is None or len(material.probed_layers) < 3:
        return []
    found = findings(material.best, material.probed_layers)
    most = max(found.thirds)
    if found.total < 4 or found.thirds.count(most) > 1:
        return []
    where = ("first", "middle", "last")[found.thirds.index(most)]
    return [
        f"{most} of {found.total} attributes are read out best in the {where} third of the probed layers."
    ]


def _verification(material: Material) -> list[str]:
    table = material.verification
    if table is None:
        return []
    control = table["control"].astype(bool)
    trained = table[~control]
    if not len(trained):
        return []
    # The last layer is what the network answers with; that an earlier one may do better, the table shows.
    row = trained.iloc[-1]
    layer = row.get("layer", "embedding")
    same = table[control & (table["layer"] == layer)] if "layer" in table.columns else table[control]
    other = f", with random weights {number(same.iloc[0]['auc'], 3)}" if len(same) else ""
    return [
        f"As a verifier it tells the same person from another with an area under the ROC curve of "
        f"{number(row['auc'], 3)} at its {layer} (chance 0.5{other})."
    ]


def mean_absolute_error(material: Material, attribute: str, layer: str) -> float | None:
    """Mean absolute error of the trained network on the test images, where it was measured."""
    probes = material.probes
    if probes is None:
        return None
    rows = probes[
        (probes["attribute"] == attribute)
        & (probes["layer"] == layer)
        & (probes["metric"] == "mae")
        & (probes["split"] == "test")
        & ~probes["control"].astype(bool)
    ]
    return float(rows["value"].iloc[0]) if len(rows) else None


def attribute_unit(material: Material, attribute: str) -> str:
    """Unit of a continuous attribute, or an empty string."""
    table = material.attributes
    if table is None or "unit" not in table.columns:
        return ""
    units = table.loc[table["attribute"] == attribute, "unit"].dropna()
    return str(units.iloc[0]) if len(units) else ""
