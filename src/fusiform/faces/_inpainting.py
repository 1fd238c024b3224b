from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet

INPAINTED = "inpainted"
SCHEMA = {
    "identity": Attribute("identity", description="who is shown; with another's part, somebody else"),
    "subject": Attribute("identity", description="whose picture it was before a part was replaced"),
    "part": Attribute("categorical", description="the part that is another person's"),
    "role": Attribute("categorical", description="probe, or mate: another picture of the subject"),
    "original": Attribute("categorical", description="the picture before the part was replaced"),
}


@dataclass(frozen=True, eq=False)
class InpaintingGame:
    """Triplets of the inpainting game: a probe, its mates, and both again with one part of another person.

    Attributes
    ----------
    faces : FaceSet
        All images, each once; the mask "inpainted" says where a part was replaced.
    triplets : DataFrame
        A row a triplet: ``triplet, part, subject, probe, inpainted_probe`` (rows of `faces`), ``mates`` and
        ``inpainted_nonmates`` (tuples of rows): other images of the subject, and the same with that part replaced, which are
        the images of the inpainted non-mate.

    References
    ----------
    Williford, May and Byrne, Explainable Face Recognition, ECCV 2020, section 4.

    Examples
    --------
    >>> from fusiform.faces import synthetic_inpainting
    >>> game = InpaintingGame.of(synthetic_inpainting(2, ["nose", "mouth"], size=64))
    >>> game.triplets[["part", "probe", "inpainted_probe"]].values.tolist()
    [['nose', 0, 3], ['mouth', 6, 9]]
    >>> game.images("probe").shape, game.masks().shape
    (torch.Size([2, 3, 64, 64]), torch.Size([2, 64, 64]))
    """

    faces: FaceSet
    triplets: pd.DataFrame

    def __len__(self) -> int:
        return len(self.triplets)

    def images(self, role: str = "probe") -> UInt8[Tensor, "t 3 h w"]:
        """Images of all triplets.

        Parameters
        ----------
        role : {"probe", "inpainted_probe"}, default "probe"
            Which.

        Raises
        ------
        DataError
            For another role.
        """
        if role not in ("probe", "inpainted_probe"):
            raise DataError(f"A triplet has one probe and one inpainted_probe; got '{role}'.")
        return self.faces.images(self.triplets[role].to_numpy())

    def masks(self) -> Bool[Tensor, "t h w"]:
        """Where the part of each triplet's probe was replaced."""
        return self.faces.mask(INPAINTED, self.triplets["inpainted_probe"].to_numpy())

    def references(self, embedded: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "t d"], Float[Tensor, "t d"]]:
        """Embeddings of the mate and of the inpainted non-mate of each triplet, for `fusiform.targets.Contrast`.

        Parameters
        ----------
        embedded : tensor, shape (n, d)
            Embeddings of all `faces`.

        Returns
        -------
        mates, nonmates : tensor, shape (t, d)
            Means of the normalised embeddings of the images, normalised.

        Raises
        ------
        DataError
            If there are not as many embeddings as faces.
        """
        if len(embedded) != len(self.faces):
            raise DataError(f"The game has {len(self.faces)} faces; got embeddings of {len(embedded)}.")
        unit = F.normalize(embedded, dim=1)
        mates, nonmates = (
            torch.stack([F.normalize(unit[list(rows)].mean(dim=0), dim=0) for rows in self.triplets[column]])
            for column in ("mates", "inpainted_nonmates")
        )
        return mates, nonmates

    def subset(self, indices: Sequence[int] | Int[ndarray, " k"] | Bool[ndarray, " t"]) -> "InpaintingGame":
        """The game of some triplets, such as those whose two probes a network tells apart.

        Parameters
        ----------
        indices : int or bool array
            Which triplets.
        """
        at = np.asarray(indices)
        rows = np.flatnonzero(at) if at.dtype == bool else at.astype(np.int64)
        if len(rows) and (rows.max() >= len(self) or rows.min() < 0):
            raise DataError(f"The game has {len(self)} triplets, 0 to {len(self) - 1}; got {rows.tolist()}.")
        return InpaintingGame(self.faces, self.triplets.iloc[rows].reset_index(drop=True))

    @classmethod
    def of(cls, faces: FaceSet) -> "InpaintingGame":
        """Put the triplets of the inpainting game together.

        Parameters
        ----------
        faces : FaceSet
            Opened by ``inpainting:PATH``, or made by `fusiform.faces.synthetic_inpainting`; framed before where a network wants it. Triplets
            whose probe or mates were left out on the way are not there.

        Returns
        -------
        InpaintingGame
            The triplets.

        Raises
        ------
        DataError
            If the set lacks the columns or the mask, or holds no whole triplet.

        Examples
        --------
        >>> from fusiform.faces import synthetic_inpainting
        >>> len(InpaintingGame.of(synthetic_inpainting(3, size=48)))
        3
        """
        table = faces.table
        lacking = [name for name in SCHEMA if name not in table]
        if lacking or INPAINTED not in faces.parts:
            missing = f"the column '{lacking[0]}'" if lacking else f"the mask '{INPAINTED}'"
            raise DataError(
                f"The faces '{faces.name}' are no material of the inpainting game: they lack {missing}. Open "
                "inpainting:PATH, or make some with synthetic_inpainting."
            )
        row_of = {image: row for row, image in enumerate(table["image_id"])}
        made = table[table["part"].notna()]
        rows = []
        for (subject, part), group in made.groupby(["subject", "part"], sort=False, observed=True):
            whole = group[group["original"].isin(row_of)]
            references = whole[whole["role"] == "mate"]
            for image in whole[whole["role"] == "probe"].itertuples():
                if len(references):
                    rows.append(
                        {
                            "part": part,
                            "subject": subject,
                            "probe": row_of[image.original],
                            "inpainted_probe": row_of[image.image_id],
                            "mates": tuple(row_of[image] for image in references["original"]),
                            "inpainted_nonmates": tuple(references.index.tolist()),
                        }
                    )
        if not rows:
            raise DataError(
                f"The faces '{faces.name}' hold no whole triplet: a probe, a mate, and both with the same part replaced."
            )
        triplets = pd.DataFrame(rows)
        triplets.insert(0, "triplet", [f"t{i:05d}" for i in range(len(rows))])
        return cls(faces, triplets)
