import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusiform.report._format import count, interval, number, percent, scalar

_WIDTH_OF_FILES = 110
_FEWEST_PAIRS, _MOST_PAIRS = 5, 20
_MOST_CLASSES = 6


def print_card(card: dict[str, Any], pairs: pd.DataFrame) -> None:
    """Print a data card and the associations of its attributes to standard output."""
    console = Console(file=sys.stdout, highlight=False, markup=False, width=_width())
    # A specification stays whole, however narrow the terminal: it is to be copied.
    console.print(Text(card["name"], style="bold"), Text(card["spec"], style="dim"), soft_wrap=True)
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True, style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(card):
        facts.add_row(name, Text(value))
    console.print(facts)
    if card["attributes"]:
        console.print(_attributes(card["attributes"]))
    for entry in card["attributes"]:
        if entry["predicted_by"]:
            about = f": {entry['description']}" if entry["description"] else ""
            console.print(Text(f"{entry['name']} was predicted by {entry['predicted_by']}{about}"))
    console.print(_associations(pairs) if len(pairs) else Text("No two attributes can be compared."))
    strong = int(pairs["strong"].sum())
    if len(pairs):
        console.print(
            Text(
                f"* marks an absolute value of at least 0.3 ({strong:,} of {len(pairs):,} pairs): what is found of one "
                "attribute may be owed to the other."
            )
        )
    if card["note"]:
        console.print(Text(card["note"], style="italic"))


def _width() -> int | None:
    # In a file or a pipe there is no terminal whose width would count.
    return None if sys.stdout.isatty() else _WIDTH_OF_FILES


def _facts(card: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [("images", count(card["n"]))]
    if card["n_skipped"]:
        facts.append(("left out", "; ".join(f"{count(n)}: {why}" for why, n in card["skipped"].items())))
    people = card["images_per_identity"]
    if people is None:
        facts.append(("people", "not known"))
    else:
        facts.append(("people", _people(people)))
    facts.append(("size", _size(card)))
    landmarks = {None: "none", 5: "5 key points", 68: "68 points"}
    facts.append(("landmarks", landmarks.get(card["n_landmarks"], str(card["n_landmarks"]))))
    facts.append(("masks", ", ".join(card["parts"]) or "none"))
    for split in card["splits"]:
        facts.append((f"split '{split['column']}'", _split(split)))
    if "duplicates" in card:
        facts.append(("duplicates", _duplicates(card["duplicates"])))
    if card["provenance"].get("source"):
        facts.append(("source", str(card["provenance"]["source"])))
    facts += [(key, scalar(card["provenance"].get(key))) for key in ("licence", "paper")]
    for part in card["provenance"].get("sets", []):
        facts.append(
            (
                f"set '{part.get('name')}'",
                f"{count(part.get('n'))} images, {part.get('spec') or 'no specification'}",
            )
        )
    return facts


def _people(people: dict[str, Any]) -> str:
    fewest, most = people["minimum"], people["maximum"]
    if fewest == most:
        return (
            f"{count(people['n_identities'])}, with {count(most)} {'image' if most == 1 else 'images'} each"
        )
    return (
        f"{count(people['n_identities'])}, with {count(fewest)} to {count(most)} images (median {people['median']:g}); "
        f"{count(people['n_with_one_image'])} with one image"
    )


def _size(card: dict[str, Any]) -> str:
    if card["size"] is not None:
        return f"{card['size'][0]} x {card['size'][1]} (height x width)"
    sizes = card["sizes"]
    if sizes is None:
        return "not known: no image can be read"
    (low_h, high_h), (low_w, high_w) = sizes["height"], sizes["width"]
    return f"{count(sizes['n_different'])} different: height {low_h} to {high_h}, width {low_w} to {high_w}"


def _split(split: dict[str, Any]) -> str:
    said = ", ".join(f"{part} {count(n)}" for part, n in split["images"].items())
    several = split.get("n_people_in_several")
    if several is None:
        return said
    return said + (f"; {count(several)} people are in more than one" if several else "; nobody is in two")


def _duplicates(twins: dict[str, Any]) -> str:
    if not twins["n_images"]:
        return "none"
    said = f"{count(twins['n_images'])} images in {count(twins['n_groups'])} groups are the same"
    differ = ", ".join(f"{name} in {count(n)}" for name, n in twins["n_groups_that_differ"].items())
    return said + (f"; groups that differ: {differ}" if differ else "; their labels agree")


def _values(entry: dict[str, Any]) -> str:
    if not entry["n_known"]:
        return ""
    if entry["kind"] == "binary":
        return f"{percent(entry['share'])} yes"
    if entry["kind"] == "continuous":
        unit = f" {entry['unit']}" if entry["unit"] else ""
        low, middle, high = (scalar(float(f"{entry[key]:.4g}")) for key in ("minimum", "median", "maximum"))
        return f"{low} to {high}{unit}, median {middle}"
    if entry["kind"] == "identity":
        return f"{count(entry['n_classes'])} people"
    shown = list(entry["classes"].items())[:_MOST_CLASSES]
    more = entry["n_classes"] - len(shown)
    said = ", ".join(f"{name} {percent(n / entry['n_known'])}" for name, n in shown)
    return said + (f" and {count(more)} more" if more else "")


def _table(title: str, columns: Sequence[tuple[str, bool]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
    for name, is_number in columns:
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    return table


def _attributes(entries: Sequence[dict[str, Any]]) -> Table:
    columns = [("attribute", False), ("kind", False), ("values", False), ("known", True), ("missing", True)]
    table = _table("Attributes", columns)
    for entry in entries:
        mark = " (predicted)" if entry["predicted_by"] else ""
        cells = [
            entry["name"] + mark,
            entry["kind"],
            _values(entry),
            count(entry["n_known"]),
            count(entry["n_missing"]),
        ]
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table


def _associations(pairs: pd.DataFrame) -> Table:
    strong = int(pairs["strong"].sum())
    shown = pairs.head(min(max(_FEWEST_PAIRS, strong), _MOST_PAIRS))
    title = f"Attributes that go together: the strongest {len(shown)} of {len(pairs):,} pairs"
    columns = [
        ("attribute", False),
        ("with", False),
        ("measure", False),
        ("value", True),
        ("95% interval", True),
    ]
    table = _table(title, [*columns, ("images", True), ("", False)])
    for row in shown.to_dict("records"):
        cells = [row["attribute"], row["other"], row["measure"], number(row["value"])]
        cells += [interval(row["lower"], row["upper"]), count(row["n"]), "*" if row["strong"] else ""]
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table
