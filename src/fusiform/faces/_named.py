"""Data sets that say everything in the names of their files."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._locate import images_under
from fusiform.faces._stores import ImageStore

IMAGE_SUFFIX = r"\.(?:jpe?g|png|bmp|pgm|ppm)$"


@dataclass(frozen=True)
class NamedImages:
    """Images whose names could be read: ids, names in the store and matches, row by row; and the others."""

    store: ImageStore
    ids: list[str]
    stored: list[str]
    matches: list[re.Match[str]]
    skipped: pd.DataFrame

    def without(self, reasons: Mapping[str, str]) -> "NamedImages":
        """The same without some ids, which are skipped for a reason; ids that are not here are only skipped."""
        keep = [i for i, image_id in enumerate(self.ids) if image_id not in reasons]
        lost = pd.DataFrame({"image_id": list(reasons), "reason": list(reasons.values())})
        return NamedImages(
            self.store,
            [self.ids[i] for i in keep],
            [self.stored[i] for i in keep],
            [self.matches[i] for i in keep],
            pd.concat([self.skipped, lost], ignore_index=True) if reasons else self.skipped,
        )


def named_images(
    path: Path,
    pattern: re.Pattern[str],
    *,
    whose: str,
    form: str,
    image_id: Callable[[re.Match[str]], str],
    fault: Callable[[re.Match[str]], str | None] = lambda match: None,
    otherwise: str = "collections use folder:",
) -> NamedImages:
    """All images under a path whose names in the store a pattern finds, each id once.

    Parameters
    ----------
    path : Path
        Folder or zip.
    pattern : re.Pattern
        Searched in the name with its folders.
    whose, form : str
        The set, as a possessive, and the form of its names; for messages.
    image_id : callable
        Match to image id; a second image with the same id is skipped as a copy.
    fault : callable
        Match to what is wrong with the name, or None.
    otherwise : str
        Which scheme is for what other collections.
    """
    store, names = images_under(path, f"{whose} files {form}")
    good: dict[str, tuple[str, re.Match[str]]] = {}
    reasons: dict[str, str] = {}
    for name in names:
        match = pattern.search(name)
        if match is None:
            reasons[name] = f"its name is not {form}"
            continue
        key, wrong = image_id(match), fault(match)
        if wrong is not None:
            reasons[name] = wrong
        elif key in good:
            # A face that is there twice would be in both training and test.
            reasons[name] = f"the same image as '{good[key][0]}' by its name"
        else:
            good[key] = name, match
    if not good:
        raise DataError(
            f"No file in '{path}' is named like {whose}, {form}; the first of {len(names)} images is '{names[0]}': "
            f"{reasons[names[0]]}. For other {otherwise}."
        )
    return NamedImages(
        store,
        list(good),
        [name for name, _ in good.values()],
        [match for _, match in good.values()],
        pd.DataFrame({"image_id": list(reasons), "reason": list(reasons.values())}),
    )
