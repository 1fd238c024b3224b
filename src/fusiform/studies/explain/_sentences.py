"""What was found, in sentences; every number is in a table."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fusiform.studies.explain._request import ExplainRequest

_MOST = 3
_LEAST_SHARE = 0.05
_MINUS = "\N{MINUS SIGN}"
SAME = "Both images of the pair hold the same pixels: there is no difference to explain."


def findings(
    request: ExplainRequest, scores: pd.DataFrame, groups: pd.DataFrame, *, same: bool
) -> list[dict[str, Any]]:
    """A row for each sentence: the image it is about, none where it is about several, and the sentence."""
    if request.kind == "pair":
        said = [SAME] if same else []
        return [_row("", " ".join([*said, _compared(scores.iloc[0]), _parts(groups, "a match")]))]
    if request.kind == "triplet":
        mate, nonmate = (_compared(scores.iloc[k]) for k in (0, 1))
        contrast = scores.iloc[2]
        nearer = "mate" if contrast["score"] > 0 else "nonmate"
        text = (
            f"{contrast['image']} is more like the {nearer}, by {_number(abs(contrast['score']))}. "
            f"{_parts(groups, 'the mate')}"
        )
        return [_row("", mate), _row("", nonmate), _row("", text)]
    return [
        _row(row["image"], f"{_alone(row)} {_parts(groups[groups['image'] == row['image']], 'it')}")
        for row in scores.to_dict("records")
    ]


def _row(image: str, text: str) -> dict[str, Any]:
    return {"image": image, "finding": text.strip()}


def _compared(row: Any) -> str:
    said = f"The similarity of {row['image']} and {row['other']}, {_number(row['score'])}, "
    if pd.isna(row["threshold"]):
        return said[:-2] + ", is held against no threshold: none is known of this network."
    interval = ""
    if pd.notna(row["lower"]):
        interval = f" ({_number(row['lower'])} to {_number(row['upper'])})"
    above = row["decision"] == "match"
    said += f"lies {'above' if above else 'below'} the threshold {_number(row['threshold'])}{interval}: "
    said += "they match" if above else "they do not match"
    if pd.notna(row["lower"]) and row["lower"] <= row["score"] <= row["upper"]:
        said += ", but within the threshold's interval, so that a calibration on other people could decide otherwise"
    return said + "."


def _alone(row: dict[Any, Any]) -> str:
    if pd.isna(row["decision"]):
        return f"{row['image']}: {row['target']} is {_number(row['score'])}."
    said = f"{row['image']}: {row['target']} with a probability of {_number(row['score'])}"
    return f"{said}." if row["decision"] == row["target"] else f"{said}; predicted is {row['decision']}."


def _parts(groups: pd.DataFrame, what: str) -> str:
    """Which parts speak for and against, where that holds for all variants."""
    if not len(groups):
        return ""
    strong = groups[groups["share"].abs() >= _LEAST_SHARE]
    towards = strong[strong["lower"] > 0].sort_values("share", ascending=False)["part"].tolist()
    against = strong[strong["upper"] < 0].sort_values("share")["part"].tolist()
    if not towards and not against:
        return "Of no part is it sure whether it speaks for or against: that depends on how parts are hidden."
    said = []
    if towards:
        said.append(f"{_listed(towards)} {_speak(towards)} for {what}")
    if against:
        said.append(f"{_listed(against)} {_speak(against)} against {'it' if towards else what}")
    text = ", ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _speak(parts: Sequence[str]) -> str:
    return "speaks" if len(parts) == 1 and not parts[0].endswith("s") else "speak"


def _listed(names: Sequence[str]) -> str:
    *rest, last = names[:_MOST]
    return f"{', '.join(rest)} and {last}" if rest else last


def _number(value: Any) -> str:
    return f"{value:z.2f}".replace("-", _MINUS)
