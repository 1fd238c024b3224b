import pandas as pd

from fusiform.plotting._attribution_study_lines import FAILS, NOT_JUDGED, sanity_verdicts
from fusiform.plotting._attribution_study_rows import method_name
from fusiform.report._cards import cautions_on_faces
from fusiform.report._format import count, listing, missing, number
from fusiform.report._verdicts import verdicts_figure, verdicts_said
from fusiform.report.attribution._material import Material

_MOST = 3


def sentences(material: Material) -> list[str]:
    """Say in plain words what was found; every number comes from a table."""
    said = [_opening(material)]
    if not material.names:
        return [*said, "No map was measured, so there is little to say yet.", *_problems(material)]
    for name in material.names:
        said += [*_best(material, name), *_sanity(material, name)]
    return [
        *said,
        *_truth(material),
        *_left_out(material),
        *verdicts_said(material.tables.get("findings")),
        *_problems(material),
    ]


def _opening(material: Material) -> str:
    if not material.names:
        return (
            "This run asks which methods of attribution give maps of a face network that are to be trusted."
        )
    metrics = material.rows("measures")["metric"].nunique() if "measures" in material.tables else 0
    methods = len(material.methods)
    n = _images(material)
    return (
        f"Which maps say truly where {listing(material.names)} {'looks' if len(material.names) == 1 else 'look'}? "
        f"{methods} {'method' if methods == 1 else 'methods'} of attribution and three maps that know nothing of the network were held "
        f"against {metrics} measures{f' on {count(n)} images' if n else ''}, and against tasks of which the answer is known."
    )


def _images(material: Material) -> int:
    rows = material.rows("networks")
    own = rows[rows["network"].isin(material.names)] if len(rows) else rows
    return int(own["n_images"].max()) if len(own) and own["n_images"].notna().any() else 0


def _best(material: Material, name: str) -> list[str]:
    listed = material.standing(name)
    listed = listed[listed["mean_rank"].notna()]
    methods = listed[~listed["baseline_map"]]
    if not len(methods):
        return []
    best = [
        f"{method_name(r['method'])} ({number(r['mean_rank'], 1)})"
        for r in methods.head(_MOST).to_dict("records")
    ]
    said = f"{name}: the best mean ranks have {listing(best)}"
    base = listed[listed["baseline_map"]]
    if len(base):
        first = base.iloc[0]
        behind = int((methods["behind"] != "").sum())
        said += (
            f"; {behind} of {len(methods)} methods do no better than the best map that knows nothing of the network, the "
            f"{method_name(first['method'])} ({number(first['mean_rank'], 1)})"
        )
    return [f"{said}."]


def _sanity(material: Material, name: str) -> list[str]:
    rows = material.rows("sanity", name)
    rows = rows[(rows["kind"] == "cascading") & ~rows["baseline_map"]] if len(rows) else rows
    verdicts = {m: v for m, v in sanity_verdicts(rows).items() if v != NOT_JUDGED} if len(rows) else {}
    if not verdicts:
        return []
    failing = [method_name(m) for m, v in verdicts.items() if v == FAILS]
    if not failing:
        return [f"{name}: of {len(verdicts)} methods none keeps its maps once all weights are drawn anew."]
    return [
        f"{name}: once all weights are drawn anew, {len(failing)} of {len(verdicts)} methods keep their maps and fail the sanity "
        f"check: {listing(failing, most=12)}."
    ]


def truth_found(material: Material) -> pd.DataFrame:
    """Say of each method, in every task with a known answer, whether it finds the evidence.

    Returns
    -------
    DataFrame
        By method: ``above_area``, the whole interval lies above the part's area; ``best``, and the share there above that of every
        baseline map.
    """
    rows = material.rows("ground_truth")
    rows = rows[rows["energy"].notna()] if len(rows) else rows
    methods = rows[~rows["baseline_map"]] if len(rows) else rows
    if not len(methods):
        return pd.DataFrame(columns=["above_area", "best"], dtype=bool)
    base = rows[rows["baseline_map"]].groupby("part")["energy"].max()
    level = methods["part"].map(base).fillna(methods["area"]).astype(float)
    above = methods["lower"] > methods["area"]
    found = pd.DataFrame(
        {"method": methods["method"], "above_area": above, "best": above & (methods["energy"] > level)}
    )
    return found.groupby("method", sort=False).all()


def _truth(material: Material) -> list[str]:
    found = truth_found(material)
    if not len(found):
        return []
    tasks = material.rows("ground_truth")["part"].nunique()
    rest = [method_name(m) for m in found.index[~found["above_area"]]]
    said = (
        f"Where one part alone tells the class, {int(found['above_area'].sum())} of {len(found)} methods put surely more of their map there "
        f"than its area in {'the task' if tasks == 1 else f'all {tasks} tasks'}, and {int(found['best'].sum())} also more than every map "
        "that knows nothing of the network"
    )
    return [said + (f"; not above the area {listing(rest, most=8)}." if rest else ".")]


def _left_out(material: Material) -> list[str]:
    rows = material.rows("not_applicable")
    if not len(rows):
        return []
    whole = rows[~rows["why"].str.contains(r"^[a-z_ ()]+: ", regex=True)]
    names = [method_name(m) for m in dict.fromkeys(whole["method"])]
    return (
        [f"Not applicable to some network or target, for a reason given below: {listing(names, most=8)}."]
        if names
        else []
    )


def _problems(material: Material) -> list[str]:
    if not material.problems:
        return []
    names = [f"{method_name(p.get('experiment', ''))} of {p.get('network', '')}" for p in material.problems]
    return [f"Failed, and therefore missing here: {listing(names, most=12)}."]


def key_figures(material: Material) -> list[dict[str, str]]:
    """Give the numbers at the top of the page: label, value, note."""
    figures = []

    def add(label: str, value: str, note: str = "") -> None:
        figures.append({"label": label, "value": value, "note": note})

    if material.methods:
        add("Methods", str(len(material.methods)), "and three baseline maps")
    if len(material.names) > 1:
        add("Networks", str(len(material.names)))
    if n := _images(material):
        add("Images a network", count(n))
    if material.names:
        name = material.names[0]
        listed = material.standing(name)
        best = listed[~listed["baseline_map"] & listed["mean_rank"].notna()]
        if len(best):
            row = best.iloc[0]
            add("Best mean rank", method_name(row["method"]), f"{number(row['mean_rank'], 1)}, {name}")
            ahead = int((best["behind"] == "").sum())
            add("Better than every baseline map", f"{ahead} of {len(best)}", f"by mean rank, {name}")
    found = truth_found(material)
    if len(found):
        add(
            "Find the known answer",
            f"{int(found['best'].sum())} of {len(found)}",
            "in every task, more than every baseline map",
        )
    return [*figures, *verdicts_figure(material.tables.get("findings"))]


def cautions(material: Material) -> list[str]:
    """Say what the numbers of this page do not show."""
    notes = cautions_on_faces(material.run, probed=False)
    if material.run.request.get("quick"):
        notes.append(
            "This was a quick look, at little of everything: numbers are rougher than those of a whole study."
        )
    people = material.rows("networks")
    few = people[people["network"].isin(material.names)] if len(people) else people
    if len(few) and few["n_images"].notna().any() and few["n_images"].min() < 12:
        notes.append(
            f"Only {count(few['n_images'].min())} images were measured, so that intervals are wide and ranks depend on chance."
        )
    if len(few) and (few["score"] == "cosine").any():
        notes.append(
            "No match probability could be calibrated on these faces, so that curves and drops are of cosine similarities."
        )
    known = material.rows("networks")
    poor = known[known["accuracy"].notna() & (known["accuracy"] < 0.7)] if len(known) else known
    if len(poor):
        names = listing([f"{r['network']} ({100 * r['accuracy']:.0f}%)" for r in poor.to_dict("records")])
        notes.append(
            f"Some networks with a known answer learned their task poorly: {names}. A map of such a network need not lie on the evidence."
        )
    notes += [
        "A pointing game presumes that the network looks where people would. A method that shows truly that the network looks at the hair or at "
        "the background loses it; the tasks with a known answer are the fair form of the question.",
        "Deletion, insertion and the like show the network images that do not exist. What it does with them need not be what it does with faces.",
        "The mean rank joins measures that disagree, and ranks say nothing of how far apart methods are. Where the intervals of two methods "
        "overlap, their order is not settled.",
        "Sanity checks say that a map depends on the weights, not that it is right. They can be passed by noise that depends on the network.",
        "Maps explain these networks on these faces. Which method is best on another network, face set or target has to be measured there.",
    ]
    if any(not missing(r.get("seconds_per_image")) for r in material.rows("cost").head(1).to_dict("records")):
        notes.append(
            "Times are of this machine with whatever else it did, and of the moderate options that are listed."
        )
    return notes
