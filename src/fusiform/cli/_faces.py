import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusiform.errors import RunError, SpecError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from fusiform.faces import FaceSet
    from fusiform.runs import Progress

_SHEET, _CARD, _CORRELATIONS = "faces.png", "card.json", "correlations.csv"


def faces(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC", help="folder:PATH, table:FILE, celeba:PATH, synthetic?n=.., join:SPEC|SPEC, ..."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for faces.png, card.json and correlations.csv."),
    ] = None,
    sheet: Annotated[
        bool,
        typer.Option("--sheet/--no-sheet", help="Write a contact sheet, faces.png, here or into --out."),
    ] = True,
    n: Annotated[
        int, typer.Option("--n", help="Faces on the contact sheet, of as many people as can be.")
    ] = 48,
    columns: Annotated[int, typer.Option(help="Faces in a row.")] = 8,
    by: Annotated[
        str | None,
        typer.Option(metavar="ATTRIBUTE", help="Group the contact sheet by an attribute's values."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the set as PNG images and table.csv.")
    ] = None,
    masks: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="With --export: parts whose masks are written too.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Decode every image, and tell those that cannot be read and duplicates.",
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the choice of faces on the contact sheet.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Print what is known of a set of faces, and write a contact sheet of some of them.

    Counts, sizes, people, splits, every attribute with its frequency or range, missing values and what was predicted by a
    network, and which attributes go together, so that one may be taken for the other.
    """
    parts = [part.strip() for part in (masks or "").split(",") if part.strip()]
    if parts and export is None:
        raise SpecError("--masks says which masks an export holds; give --export FOLDER with it.")
    if n < 1 or columns < 1:
        raise SpecError(f"--n and --columns must be at least 1; got {n} and {columns}.")
    folder = out if out is not None else Path()
    names = ([_SHEET] if sheet else []) + ([_CARD, _CORRELATIONS] if out is not None else [])
    _refuse_to_replace([folder / name for name in names], overwrite)

    from fusiform.cli._data_card import print_card
    from fusiform.faces import associations, export_faces, group_faces, open_faces
    from fusiform.runs import Progress, atomic_write

    with Progress(quiet=quiet) as progress:
        opened = open_faces(spec)
        if by is not None:
            group_faces(opened, by)
        for part in parts:
            opened.subset([0]).mask(part)
        shown, twins = _checked(opened, progress) if check else (opened, None)
        card = shown.card() | ({} if twins is None else {"duplicates": twins})
        pairs = associations(shown)
        written = []
        if out is not None:
            with atomic_write(folder / _CARD) as part_file:
                part_file.write_text(json.dumps(card, indent=1, ensure_ascii=False), encoding="utf-8")
            with atomic_write(folder / _CORRELATIONS) as part_file:
                pairs.to_csv(part_file, index=False)
            written += [folder / _CARD, folder / _CORRELATIONS]
        if sheet:
            page = _contact_sheet(shown, n=n, columns=columns, by=by, seed=seed)
            with atomic_write(folder / _SHEET) as part_file:
                page.save(part_file, format="PNG")
            written.append(folder / _SHEET)
        print_card(card, pairs)
        if export is not None:
            step = progress.task("Writing images")
            written.append(export_faces(shown, export, masks=parts, overwrite=overwrite, progress=step))
    for path in written:
        typer.echo(f"Written: {path.absolute()}")


def _refuse_to_replace(paths: Sequence[Path], overwrite: bool) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise RunError(
            f"'{there[0]}'{more} is there already; give --overwrite to replace it, another folder with --out, or "
            "--no-sheet."
        )


def _checked(opened: "FaceSet", progress: "Progress") -> tuple["FaceSet", dict[str, Any] | None]:
    """The faces that can be read, and how many are in the set twice, where that can be told."""
    readable = opened.readable(progress=progress.task("Reading faces"))
    find = getattr(readable, "duplicates", None)
    if find is None or readable.provenance.get("synthetic"):
        return readable, None
    twins = find(progress=progress.task("Comparing files"))
    differs = twins.groupby("group")["differs"].first().fillna("").astype(str)
    columns = differs.str.split(r",\s*", regex=True).explode().str.strip()
    return readable, {
        "n_images": len(twins),
        "n_groups": int(twins["group"].nunique()),
        "n_groups_that_differ": {str(k): int(v) for k, v in columns[columns != ""].value_counts().items()},
    }


def _contact_sheet(shown: "FaceSet", *, n: int, columns: int, by: str | None, seed: int) -> "Image.Image":
    import numpy as np

    from fusiform.faces import group_faces, pick_faces
    from fusiform.plotting import contact_sheet

    groups, rows = None, pick_faces(shown, n, seed=seed)
    if by is not None:
        found = group_faces(shown, by)
        each = max(1, n // len(found))
        chosen = [pick_faces(shown, each, among=among, seed=seed) for among in found.values()]
        groups = [
            (f"{name}  ({len(among):,} images)", len(picked))
            for (name, among), picked in zip(found.items(), chosen, strict=True)
        ]
        rows = np.concatenate(chosen)
    table = shown.table
    captions = [[str(image_id)] for image_id in table["image_id"].iloc[rows]]
    said = f"{len(rows):,} of {len(shown):,} images"
    if shown.identity is not None:
        people = table[shown.identity]
        said += f", {people.iloc[rows].nunique():,} of {people.nunique():,} people"
        for caption, person in zip(captions, people.iloc[rows].fillna(""), strict=True):
            caption.append(person)
    note = f"{said}. {shown.spec}" if shown.spec else f"{said}."
    images = [_pixels(shown, int(row)) for row in rows]
    return contact_sheet(images, captions, groups=groups, title=shown.name, note=note, columns=columns)


def _pixels(shown: "FaceSet", row: int) -> "np.ndarray | None":
    from fusiform.errors import ImageError

    try:
        return shown.image(row).permute(1, 2, 0).numpy()
    except ImageError:
        return None
