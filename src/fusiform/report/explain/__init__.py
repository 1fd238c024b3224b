"""The page of an explanation."""

from typing import Any

from fusiform.report._build import Figures
from fusiform.report._cards import cautions_on_faces, network_card
from fusiform.report._format import interval, listing, missing, number
from fusiform.report._parts import Page, Section
from fusiform.report.explain import _sections
from fusiform.report.explain._maps import SHEET, compared_faces, map_grid, write_sheet
from fusiform.report.explain._material import Material, read_material
from fusiform.runs import Run

__all__ = ["page"]

_MOST_SAID = 8
_TEMPLATE = "fixed places of an aligned frontal face"
_SHARED = [
    ("left-out", "Left out"),
    ("networks", "Network"),
    ("cautions", "Read with care"),
    ("data", "Data card"),
    ("asked", "What was asked"),
]


def page(run: Run) -> Page:
    """Gather the page of an explanation from its run folder; writes ``images/maps.png`` too."""
    material = read_material(run)
    figures: Figures = {}
    title = _title(material)
    grid = map_grid(material)
    if grid is not None:
        write_sheet(material, grid, title)
    before: list[Section] = [_sections.decision(material, figures)]
    if material.question == "identities":
        before.insert(0, _sections.apart(material, figures))
        after: list[Section] = []
    else:
        after = [_sections.parts(material, figures)]
    after.append(_sections.methods(material))
    return Page(
        template="explain.html.j2",
        title=title,
        kicker="Explanation",
        summary=_summary(material),
        key_figures=_key_figures(material),
        contents=[
            ("summary", "Summary"),
            *((s.id, s.title) for s in before),
            ("maps", "Maps"),
            *((s.id, s.title) for s in after),
            *_SHARED,
        ],
        values={
            "before": before,
            "after": after,
            "grid": grid,
            "compared": compared_faces(material),
            "sheet": f"images/{SHEET}",
            "cautions": _cautions(material),
            "network": network_card(run.network) if run.network else [],
            "left_out": _sections.left_out(material),
        },
        figures=figures,
    )


def _title(material: Material) -> str:
    asked = material.run.request
    if material.question == "identities":
        return f"What tells {listing([str(n) for n in asked['identities']])} apart"
    if material.question in ("pair", "triplet"):
        scores = material.rows("scores")
        first, second = asked["pair"]
        if material.question == "triplet":
            return f"Why {first} is more like {second} than like {asked['nonmate']}, or is not"
        decision = scores["decision"].iloc[0] if len(scores) else None
        how = {"match": "match", "no match": "do not match"}.get(str(decision), "are as similar as they are")
        return f"Why {first} and {second} {how}"
    if asked.get("target"):
        return f"What {asked['target'].removeprefix('activation:')} of {material.network} sees in an image"
    return f"Why {material.network} says what it says"


def _summary(material: Material) -> list[str]:
    said = material.rows("findings")["finding"].astype(str).tolist()
    if not said:
        return ["Nothing was found yet."]
    opening = f"A question to {material.network}." if material.question == "images" else ""
    shown = said[:_MOST_SAID]
    rest = [f"{len(said) - _MOST_SAID} more images are in the tables."] if len(said) > _MOST_SAID else []
    failed = [f"{p.get('experiment', '')}" for p in material.problems]
    missed = [f"Failed, and therefore missing here: {listing(failed, most=12)}."] if failed else []
    return [text for text in (opening, *shown, *rest, *missed) if text]


def _key_figures(material: Material) -> list[dict[str, str]]:
    figures: list[dict[str, str]] = []
    scores = material.rows("scores")
    if material.question == "identities" or not len(scores):
        found = material.rows("look_alikes")
        return [
            {
                "label": f"{row['rank']}. {row['part']}",
                "value": f"{number(row['value'])} times",
                "note": f"the face's mean density ({interval(row['lower'], row['upper'])})",
            }
            for row in found.head(3).to_dict("records")
        ]
    first = scores.iloc[0]
    if material.question == "images":
        return figures
    figures.append({"label": "Similarity", "value": number(first["score"]), "note": _text(first["decision"])})
    if not missing(first["threshold"]):
        known = not missing(first["lower"])
        note = f"{number(first['lower'])} to {number(first['upper'])}" if known else "no interval"
        figures.append({"label": "Threshold", "value": number(first["threshold"]), "note": note})
    if not missing(first["match_probability"]):
        note = "where mates and non-mates are as many"
        figures.append(
            {"label": "Match probability", "value": _probability(first["match_probability"]), "note": note}
        )
    return figures


def _probability(value: float) -> str:
    """Write a probability that is never shown as certain."""
    return "below 0.001" if value < 0.001 else "above 0.999" if value > 0.999 else number(value, 3)


def _text(value: Any) -> str:
    return "" if missing(value) else str(value)


def _cautions(material: Material) -> list[str]:
    run: Any = material.run
    notes = cautions_on_faces(run, probed=False)
    done = str(run.faces.get("alignment", ""))
    if done.startswith("resized only"):
        why = done.removeprefix("resized only").lstrip(": ")
        expects = run.network.get("alignment")
        if expects:
            notes.append(
                f"The faces were not aligned{f', as {why}' if why else ''}: they are taken as framed as the network wants them. "
                "Where they are not, score and maps mean little."
            )
    fixed = material.rows("images")
    names = fixed.loc[fixed["parts_from"] == _TEMPLATE, "image"].astype(str).tolist()
    if names:
        notes.append(
            f"Of {listing(names, most=6)} neither masks nor 68 landmarks are known, so the parts of the face are ellipses in fixed "
            "places, which is right only for aligned frontal faces. --landmarks finds landmarks with a network."
        )
    if material.calibration:
        notes.append(
            "The threshold was found on the faces named for it. If they show the people of this page, or others than the network "
            "will meet, its error rates may be other ones."
        )
    notes.append(
        "A map says what this network's score rests on, by one method's definition. It does not say that two images show one person."
    )
    return notes
