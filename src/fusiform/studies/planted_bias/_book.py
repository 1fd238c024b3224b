"""The Face Dictionary with which the networks of the cue eyeglasses are dissected."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fusiform.errors import DataError
from fusiform.faces import (
    FaceDictionary,
    FaceSet,
    build_dictionary,
    open_dictionary,
    overlap,
    pick_faces,
    synthetic_faces,
)
from fusiform.faces.synthetic import sample_parameters
from fusiform.networks import FaceNetwork
from fusiform.runs import Progress
from fusiform.studies.planted_bias._measure import GLASSES
from fusiform.studies.planted_bias._pool import split_people
from fusiform.studies.planted_bias._request import PlantedBiasRequest

Given = str | Path | FaceSet | FaceDictionary | None


@dataclass(frozen=True)
class Book:
    """A dictionary, whether its faces are drawn, and what is to be said of it."""

    dictionary: FaceDictionary
    drawn: bool = False
    caution: str = ""

    def without(self, image_ids: pd.Series) -> "Book":
        """The same without some of its images."""
        faces = self.dictionary.faces
        kept = ~faces.table["image_id"].astype(str).isin(set(image_ids.astype(str))).to_numpy()
        if kept.all():
            return self
        if not kept.any():
            raise DataError(
                f"All images of the Face Dictionary '{self.dictionary.name}' are among the training pictures. Give another "
                "dictionary."
            )
        fewer = self.dictionary.on(faces.subset(np.flatnonzero(kept)))
        if GLASSES not in fewer.concepts.names:
            raise DataError(
                f"Without the {int((~kept).sum())} images that are among the training pictures, the Face Dictionary "
                f"'{self.dictionary.name}' shows no eyeglasses. Give another dictionary."
            )
        return replace(self, dictionary=fewer)


def open_book(
    given: Given, request: PlantedBiasRequest, net: FaceNetwork, faces: FaceSet | None, progress: Progress
) -> Book:
    """Give the dictionary that was named; else one of held-out people of the given faces; else one of drawn faces."""
    if isinstance(given, FaceSet):
        return Book(_checked(build_dictionary(given, seed=request.seed)))
    if given is not None:
        return Book(_checked(given if isinstance(given, FaceDictionary) else open_dictionary(given)))
    if faces is None:
        return Book(_of_drawn_faces(request, net), drawn=True)
    try:
        return Book(_of_held_out_people(faces, request, progress))
    except DataError as error:
        caution = (
            f"The Face Dictionary is of drawn faces, because none could be built of held-out people of '{faces.name}', to which "
            f"units may respond otherwise: {error}"
        )
        return Book(_of_drawn_faces(request, net), drawn=True, caution=caution)


def training_overlap(
    book: Book,
    faces: FaceSet,
    training: pd.Series,
    done: Callable[[int, int], None],
) -> pd.DataFrame:
    """Images of the dictionary that are among the training pictures (`training`: their image_id), as `overlap` tells."""
    rows = np.flatnonzero(faces.table["image_id"].astype(str).isin(set(training.astype(str))).to_numpy())
    return overlap(book.dictionary, faces.subset(rows), progress=done)


def _of_held_out_people(faces: FaceSet, request: PlantedBiasRequest, progress: Progress) -> FaceDictionary:
    rows, in_train = split_people("eyeglasses", faces, request)
    chosen = np.sort(pick_faces(faces, request.dictionary_images, among=rows[~in_train], seed=request.seed))
    return _checked(
        build_dictionary(faces.subset(chosen), seed=request.seed, progress=progress.task("Face Dictionary"))
    )


def _of_drawn_faces(request: PlantedBiasRequest, net: FaceNetwork) -> FaceDictionary:
    people = sample_parameters(request.dictionary_images, seed=22 + 3 * request.seed, per_identity=1)
    size = net.card.input_size[0]
    drawn = synthetic_faces(people, size=size, name="synthetic faces for the dictionary")
    return _checked(build_dictionary(drawn, seed=request.seed))


def _checked(dictionary: FaceDictionary) -> FaceDictionary:
    if GLASSES not in dictionary.concepts.names:
        raise DataError(
            f"The Face Dictionary '{dictionary.name}' has no concept Eyeglasses, so it cannot tell whether units find the cue. "
            "Give another dictionary, or the cue grey alone."
        )
    return dictionary
