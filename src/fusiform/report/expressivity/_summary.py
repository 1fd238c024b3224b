from collections import Counter

import pandas as pd

from fusiform.plotting._expressivity_order import order_rows
from fusiform.plotting._expressivity_rows import HELD_OUT, TRAIN, by_value, of_estimator, with_series
from fusiform.plotting.tables import layer_order
from fusiform.report._cards import cautions_on_faces
from fusiform.report._format import count, listing, missing, number, percent, signed
from fusiform.report._verdicts import verdicts_figure, verdicts_said
from fusiform.report.expressivity._curves import main_of
from fusiform.report.expressivity._material import Material
from fusiform.report.expressivity._trust import agreement, trained

_SURE = 0.95
_MOST = 6


def sentences(material: Material) -> list[str]:
    """Say in plain words what was found; every number comes from a table."""
    said = [_opening(material)]
    if "expressivity" not in material.tables:
        over_training = [s for name in material.networks_of("course") for s in _decay(material, name)]
        nothing = "No expressivity was measured over the layers, so there is little to say yet."
        return [*said, nothing, *over_training, *_compression(material), *_problems(material)]
    for name in material.names:
        said += _order(material, name)
    for name in material.names:
        said += [*_layers(material, name), *_decay(material, name)]
    return [
        *said,
        *_compression(material),
        *_linear(material),
        *_held_out(material),
        *_estimators(material),
        *_calibration(material),
        *_restarts(material),
        *verdicts_said(material.tables.get("findings")),
        *_problems(material),
    ]


def _opening(material: Material) -> str:
    if "expressivity" not in material.tables:
        return "This run asks how much features say about attributes of faces."
    rows = material.tables["expressivity"]
    n = rows["attribute"].nunique()
    attributes = f"{n} {'attribute' if n == 1 else 'attributes'}"
    how = "The numbers are mutual information in nats, estimated by small networks on images that these were not trained on."
    if material.features_only:
        images, dimension = rows["n"].max(), rows["features"].max()
        size = "" if missing(dimension) else f" of {count(dimension)} dimensions"
        return f"How much do feature vectors{size} say about {attributes} of {count(images)} images? {how}"
    faces, shown = material.run.faces.get("name", ""), material.run.faces.get("n")
    who = f"The network{'s' if len(material.names) > 1 else ''} {listing(material.names)}"
    were = "were" if len(material.names) > 1 else "was"
    what = (f"{count(shown)} faces" if shown else "faces") + (f" of “{faces}”" if faces else "")
    layers = rows[rows["network"].isin(material.names)].drop_duplicates(["network", "layer"]).shape[0]
    places = "does one layer" if layers == 1 else f"do {layers} layers"
    if (rows["layer"] == "image").any():
        places += ", the image itself among them,"
    return f"{who} {were} shown {what}. How much {places} say about {attributes}? {how}"


def _place(material: Material, name: str, layer: str) -> str:
    return "the features" if material.features_only else f"the last layer of {name} ({layer})"


def _order(material: Material, name: str) -> list[str]:
    layer = material.last(name)
    rows = by_value(material.values(name, layer=layer)).dropna(subset=["value"])
    if len(rows) < 2:
        return [
            f"What {_place(material, name, layer)} says about {row['series']}: {number(row['value'])} nats "
            f"({number(row['lower'])} to {number(row['upper'])})."
            for row in rows.to_dict("records")
        ]
    # What has no interval may be anything, and is listed with its value.
    found = rows[~(rows["lower"] <= 0)]
    chance = rows.loc[rows["lower"] <= 0, "series"].tolist()
    parts = [f"{row['series']} {number(row['value'])}" for row in found.head(_MOST).to_dict("records")]
    more = f" (and {len(found) - _MOST} lower ones)" if len(found) > _MOST else ""
    said = f"Order in {_place(material, name, layer)}: {' > '.join(parts)} nats{more}." if parts else ""
    nothing = f"No more than chance {'there' if said else 'in ' + _place(material, name, layer)}: {listing(chance)}."
    unsure = _unsure(material, name, set(found["attribute"]))
    return [" ".join(filter(None, (said, nothing if chance else "", unsure)))]


def _unsure(material: Material, name: str, among: set[str]) -> str:
    table = material.tables.get("order")
    if table is None or name not in material.networks_of("order"):
        return ""
    own = table[table["network"] == name]
    estimator = material.estimator if (own["estimator"] == material.estimator).any() else None
    rows = order_rows(own, network=name, estimator=estimator)
    rows = rows[rows["attribute"].isin(among)]
    pairs = [
        f"{a} above {b}"
        for a, b, p in zip(rows["series"], rows["series"].iloc[1:], rows["above_next"], strict=False)
        if p < _SURE
    ]
    if not pairs:
        return ""
    return f"Not settled at {percent(_SURE)}: {listing(pairs, most=4)}."


def _layers(material: Material, name: str) -> list[str]:
    rows = material.values(name)
    if rows["layer"].nunique() < 2:
        return []
    order = layer_order(rows)
    wide = rows.pivot_table(index="series", columns="layer", values="value", sort=False)
    change = (wide[order[-1]] - wide[order[0]]).dropna().sort_values()
    if not len(change):
        return []
    parts = []
    if change.iloc[-1] > 0:
        parts.append(f"{change.index[-1]} rises most ({signed(change.iloc[-1])} nats)")
    if change.iloc[0] < 0:
        parts.append(f"{change.index[0]} falls most ({signed(change.iloc[0])})")
    return [f"From {order[0]} to {order[-1]} of {name}, {' and '.join(parts)}."] if parts else []


def _decay(material: Material, name: str) -> list[str]:
    table = material.tables.get("decay")
    if table is None or name not in material.networks_of("decay"):
        return []
    layer = material.layers_of("course", name)[-1] if name in material.networks_of("course") else None
    own = table[(table["network"] == name) & (table["layer"] == layer)]
    rows = with_series(of_estimator(own, main_of(material, own) if "estimator" in own and len(own) else None))
    fallen = by_value(rows[(rows["fall_lower"] > 0) & rows["share"].notna()], "fall")
    still = rows.loc[(rows["fall"] == 0) & rows["share"].notna(), "series"].tolist()
    ends = f" Highest at the end: {listing(still)}." if still else ""
    if not len(fallen):
        nothing = (
            f"Over training, no attribute falls by more than chance after its peak at {layer} of {name}."
        )
        return [nothing + ends] if len(rows) else []
    most, least = fallen.iloc[0], fallen.iloc[-1]
    said = (
        f"Over training, {most['series']} loses most at {layer} of {name}: {number(most['fall'])} nats "
        f"({percent(most['share'])}) after its peak at {material.step_unit} {count(most['peak_step'])}"
    )
    if len(fallen) > 1:
        said += f"; {least['series']} loses least, {number(least['fall'])} ({percent(least['share'])})"
    return [f"{said}.{ends}"]


def _compression(material: Material) -> list[str]:
    table = material.tables.get("compression")
    if table is None:
        return []
    counts = Counter(table["reading"].astype(str))
    readings = [f"{reading} {n}" for reading, n in counts.items()]
    tasks = listing([str(t) for t in dict.fromkeys(table["task_attribute"])])
    return [
        f"Attributes beside the task ({tasks}), by what becomes of them in training: {', '.join(readings)}."
    ]


def _linear(material: Material) -> list[str]:
    table = material.tables.get("correlation")
    if table is None:
        return []
    parts = []
    for over in ("layers", "training"):
        rows = table[(table["over"] == over) & (table["estimator"] == material.estimator)]["pearson"].dropna()
        if len(rows):
            low, high = number(rows.min()), number(rows.max())
            ends = f" ({low} to {high})" if low != high else ""
            parts.append(f"{number(rows.median())} over {'the layers' if over == 'layers' else over}{ends}")
    if not parts:
        return []
    return [f"With errors of linear probes expressivity correlates at a median r of {' and '.join(parts)}."]


def gaps(material: Material) -> pd.DataFrame:
    """Put the estimate on the training images beside that on others, for the main estimator."""
    rows = material.tables["expressivity"]
    rows = rows[(rows["estimator"] == material.estimator) & rows["network"].isin(material.names)]
    keys = ["network", "layer", "attribute", "encoding"]
    held, train = (rows[rows["split"] == s].set_index(keys) for s in (HELD_OUT, TRAIN))
    both = pd.concat([held["value"], train["value"]], axis=1, keys=["held", "train"]).dropna()
    return both.assign(found=~(held["lower"] <= 0))


def _held_out(material: Material) -> list[str]:
    both = gaps(material)
    if not len(both):
        return []
    gap = float((both["train"] - both["held"]).mean())
    side = "above" if gap >= 0 else "below"
    said = (
        f"On the training images, as the paper reports it, the estimate is on average {number(abs(gap))} nats {side} that on "
        "other images"
    )
    changed = []
    for name in material.names:
        rows = both[
            (both.index.get_level_values("network") == name)
            & (both.index.get_level_values("layer") == material.last(name))
            & both["found"]
        ]
        if len(rows) > 1 and (rows["held"].rank() != rows["train"].rank()).any():
            changed.append(name)
    if not (both.groupby(level="network").size() > 1).any():
        return [f"{said}."]
    order = (
        "the order in the last layer is the same"
        if not changed
        else "the order in the last layer is another" + (f" ({listing(changed)})" if any(changed) else "")
    )
    if material.features_only and not changed:
        order = "the order is the same"
    return [f"{said}; {order}."]


def _estimators(material: Material) -> list[str]:
    parts = []
    for name in material.names:
        found = [(e, agreement(material, name, e)) for e in material.estimators[1:]]
        known = [f"{estimator} {number(r)}" for estimator, r in found if r is not None]
        if known:
            parts.append((f"{name}: " if len(material.names) > 1 else "") + ", ".join(known))
    if not parts:
        return []
    return [
        f"Other estimators' order of the attributes correlates with that of {material.estimator} (Spearman's rho): "
        f"{'; '.join(parts)}."
    ]


def _calibration(material: Material) -> list[str]:
    table = material.tables.get("calibration")
    if table is None:
        return []
    rows = table[(table["split"] == HELD_OUT) & (table["estimator"] == material.estimator)]
    off = (rows["value"] - rows["truth"]).dropna()
    if not len(off):
        return []
    worst = rows.loc[[off.abs().idxmax()]].iloc[0]
    return [
        f"Where the truth is known, {material.estimator} is off by {number(off.abs().mean())} nats on average, at most by "
        f"{signed(worst['value'] - worst['truth'])} where {number(worst['truth'])} is true."
    ]


def _restarts(material: Material) -> list[str]:
    rows = trained(material)
    if not len(rows):
        return []
    all_, done, again = (int(rows[c].sum()) for c in ("restarts", "converged", "retried"))
    said = f"{count(done)} of {count(all_)} restarts converged"
    return [
        f"{said}; {count(again)} diverged and were done again with a smaller step."
        if again
        else f"{said}; none diverged."
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
    if "expressivity" not in material.tables:
        return figures
    rows = material.tables["expressivity"]
    if len(material.names) > 1:
        add("Networks", str(len(material.names)))
    add("Attributes", str(rows["attribute"].nunique()))
    name = material.names[0]
    top = by_value(material.values(name, layer=material.last(name))).dropna(subset=["value"])
    if len(top):
        where = "" if material.features_only else f", {material.last(name)}"
        add("Highest", f"{number(top['value'].iloc[0])} nats", f"{top['series'].iloc[0]}{where}")
    both = gaps(material)
    if len(both):
        add("Training minus held out", signed((both["train"] - both["held"]).mean()), "nats on average")
    restarts = trained(material)
    if len(restarts):
        share = restarts["converged"].sum() / restarts["restarts"].sum()
        again = int(restarts["retried"].sum())
        note = f"of {count(restarts['restarts'].sum())} restarts" + (f", {again} done again" if again else "")
        add("Converged", percent(share), note)
    return figures + verdicts_figure(material.tables.get("findings"))


def cautions(material: Material) -> list[str]:
    """Say what the numbers of this page do not show."""
    measured = "expressivity" in material.tables
    notes = [] if material.features_only else cautions_on_faces(material.run, probed=measured)
    if material.features_only and material.run.status != "complete":
        notes.append("This run is not complete: some of its tables are missing or may still grow.")
    if material.run.request.get("quick"):
        notes.append(
            "This was a quick look, at little of everything: numbers are rougher than those of a whole study."
        )
    if not material.features_only:
        notes.append(
            "A rise over the layers is a gain in what a small network can read, not in information, which no layer adds; see "
            "“Over the layers”."
        )
    notes += [
        "Every value is a lower bound found by a trained network, with an error of its own: a low value may be one that this "
        "network did not find. The calibration says how much it misses at this sample size and dimension.",
        "The estimate on the training images, which the paper reports, counts what was learnt by heart; the one on held-out "
        "images does not. Where the two part, trust the latter, and ask for more images. Below 0 it says that what the networks "
        "learnt does not hold for other images: nothing was found.",
        "That features say something about an attribute does not show that the network uses it, and attributes go together: a "
        "high value of one may come from another.",
        "Nats of different attributes can be compared, but an attribute of little entropy cannot have a high value: of two equal "
        f"classes it is at most {number(0.6931, 2)}.",
    ]
    return notes
