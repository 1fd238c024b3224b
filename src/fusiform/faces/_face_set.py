import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, ImageError, nearest
from fusiform.faces._attribute import Attribute
from fusiform.faces._card import data_card
from fusiform.faces._duplicates import duplicates
from fusiform.faces._geometry import Align, Resize
from fusiform.faces._pixels import Pixels
from fusiform.faces._schema import as_kind, read_attributes
from fusiform.faces._sources import Progress, Source, array_images
from fusiform.faces._templates import TEMPLATES, Template
from fusiform.faces._view import Indices, View

_SKIPPED = {"image_id": "string", "reason": "string"}


class FaceSet(Pixels):
    """Images of faces and all that is known about them; immutable, every method returns a new set.

    Pixels are read, rendered and aligned when asked for, never before.

    Parameters
    ----------
    name : str
        Short name for tables.
    table : DataFrame
        ``image_id`` (unique strings) first, then one column an attribute.
    schema : mapping of str to Attribute
        What each column but ``image_id`` holds.
    source : Source
        Where pixels, points and masks come from; row i of the table is its row i.
    spec : str, default ""
        What `open_faces` was given.
    provenance : mapping, optional
        Plain JSON values: source, licence, paper, what was left aside when opening, ...
    skipped : DataFrame, optional
        Images left out, with columns ``image_id`` and ``reason``.

    Raises
    ------
    DataError
        If ids are missing or repeated, or table and schema do not name the same columns.

    Examples
    --------
    >>> faces = FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8))
    >>> len(faces), faces.size, list(faces.table.columns)
    (2, (8, 8), ['image_id'])
    """

    def __init__(
        self,
        *,
        name: str,
        table: pd.DataFrame,
        schema: Mapping[str, Attribute],
        source: Source,
        spec: str = "",
        provenance: Mapping[str, Any] | None = None,
        skipped: pd.DataFrame | None = None,
    ) -> None:
        if "image_id" not in table.columns:
            raise DataError(f"A table of faces needs the column 'image_id'; got {list(table.columns)}.")
        if set(table.columns) != {"image_id", *schema}:
            odd = sorted(set(table.columns) ^ {"image_id", *schema})
            raise DataError(f"Table and schema must name the same columns; these are in one only: {odd}.")
        table = table[["image_id", *schema]].reset_index(drop=True)
        table["image_id"] = table["image_id"].astype("string")
        if table["image_id"].isna().any():
            raise DataError(
                f"{int(table['image_id'].isna().sum())} images have no 'image_id'; each needs its own."
            )
        twice = table["image_id"][table["image_id"].duplicated()].unique()
        if len(twice):
            raise DataError(
                f"Image ids must be unique; {len(twice)} occur more than once, among them "
                f"{', '.join(map(repr, twice[:3]))}. Remove the repeated rows."
            )
        self.name = name
        self.spec = spec
        self.schema = dict(schema)
        self._table = table
        super().__init__(View(source, range(len(table))))
        self._provenance = dict(provenance or {})
        self._skipped = (
            pd.DataFrame({"image_id": [], "reason": []})
            if skipped is None
            else skipped[["image_id", "reason"]]
        ).astype(_SKIPPED)

    @classmethod
    def from_arrays(
        cls,
        images: UInt8[Tensor, "n 3 h w"] | Sequence[UInt8[Tensor, "3 h w"]],
        table: pd.DataFrame | None = None,
        schema: Mapping[str, Attribute] | None = None,
        *,
        points: Float[ndarray, "n p 2"] | None = None,
        masks: Mapping[str, Bool[Tensor, "n h w"]] | None = None,
        name: str = "arrays",
        provenance: Mapping[str, Any] | None = None,
    ) -> "FaceSet":
        """A set of images held in memory.

        Parameters
        ----------
        images : uint8 tensor, shape (n, 3, h, w), or sequence of tensors (3, h, w)
            RGB.
        table : DataFrame, optional
            Attributes, one row an image; ``image_id`` is made up ("0", "1", ...) when it is not there.
        schema : mapping of str to Attribute, optional
            Kinds of the columns; inferred when not given.
        points : array, shape (n, 68, 2) or (n, 5, 2), optional
            Landmarks in pixels, NaN where unknown.
        masks : mapping of str to bool tensor, shape (n, h, w), optional
            Parts.
        name : str, default "arrays"
            Name for tables.
        provenance : mapping, optional
            Plain JSON values.

        Returns
        -------
        FaceSet
            The set.

        Raises
        ------
        DataError
            If shapes or types do not fit.

        Examples
        --------
        >>> images = np.zeros((3, 3, 8, 8), dtype=np.uint8)
        >>> FaceSet.from_arrays(images, pd.DataFrame({"Male": [1, -1, 1]})).schema["Male"].kind
        'binary'
        """
        source = array_images(images, points, masks or {})
        n = len(images)
        rest = pd.DataFrame(index=range(n)) if table is None else table.reset_index(drop=True)
        if len(rest) != n:
            raise DataError(f"The table has {len(rest)} rows for {n} images; they must be as many.")
        ids = (
            rest.pop("image_id")
            if "image_id" in rest
            else pd.Series([str(i) for i in range(n)], dtype="string")
        )
        if schema is None:
            found = read_attributes(rest)
            rest, schema = found.table, found.schema
        else:
            rest = rest.assign(**{k: as_kind(rest[k], a.kind, k) for k, a in schema.items() if k in rest})
        return cls(
            name=name,
            table=pd.concat([ids.rename("image_id"), rest], axis=1),
            schema=schema,
            source=source,
            provenance=provenance,
        )

    def _derived(self, **changed: Any) -> "FaceSet":
        new = object.__new__(FaceSet)
        new.__dict__.update(self.__dict__, **changed)
        return new

    def _kept(self, keep: ndarray, left_out: pd.DataFrame | None = None) -> "FaceSet":
        skipped = self._skipped
        if left_out is not None and len(left_out):
            skipped = pd.concat([skipped, left_out.astype(_SKIPPED)], ignore_index=True)
        table = self._table.iloc[keep].reset_index(drop=True)
        return self._derived(_table=table, _view=self._view.subset(keep), _skipped=skipped)

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        steps = "".join(
            f", aligned to {s.template.name}"
            if isinstance(s, Align)
            else f", resized to {s.size[0]} x {s.size[1]}"
            for s in self._view.steps
        )
        return f"<FaceSet {self.name}: {len(self):,} images, {len(self.schema)} attributes{steps}>"

    @property
    def table(self) -> pd.DataFrame:
        """One row an image: ``image_id``, then a column per attribute; a copy."""
        return self._table.copy()

    @property
    def skipped(self) -> pd.DataFrame:
        """Images left out, with columns ``image_id`` and ``reason``; a copy."""
        return self._skipped.copy()

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the set comes from and what was done to it, as plain JSON values."""
        return {**self._provenance, "geometry": [step.as_dict() for step in self._view.steps]}

    @property
    def identity(self) -> str | None:
        """Name of the first column that says who is shown, None when none does."""
        return next((name for name, a in self.schema.items() if a.kind == "identity"), None)

    def subset(self, indices: Indices) -> "FaceSet":
        """Some of the images, in the order given.

        Parameters
        ----------
        indices : int or bool array, or slice
            Which images.

        Returns
        -------
        FaceSet
            The set of these.

        Raises
        ------
        DataError
            If an index is out of range or repeated.

        Examples
        --------
        >>> faces = FaceSet.from_arrays(np.zeros((3, 3, 8, 8), dtype=np.uint8))
        >>> faces.subset([2, 0]).table["image_id"].tolist()
        ['2', '0']
        """
        index = self._view.index(indices)
        if len(np.unique(index)) != len(index):
            raise DataError("A subset must name each image once; some indices are repeated.")
        return self._kept(index)

    def aligned(
        self, template: str | Template = "arcface_112", *, missing: Literal["raise", "drop"] = "raise"
    ) -> "FaceSet":
        """Bring every face to a template by a similarity transform of five points.

        Images, landmarks and masks move together; pixels outside the original are black. The transform is
        the least-squares one (Umeyama 1991). Several steps are applied to the original pixels at once.

        Parameters
        ----------
        template : str or Template, default "arcface_112"
            A name in `TEMPLATES`, or a template.
        missing : {"raise", "drop"}, default "raise"
            What to do when images have no landmarks: refuse, or leave them out (they appear in `skipped`).

        Returns
        -------
        FaceSet
            The aligned set.

        Raises
        ------
        DataError
            If the template is not known, the set has no landmarks, or some images have none.

        Examples
        --------
        >>> points = TEMPLATES["arcface_112"].array()[None] * 2
        >>> faces = FaceSet.from_arrays(np.zeros((1, 3, 240, 240), dtype=np.uint8), points=points)
        >>> faces.aligned("arcface_112").size
        (112, 112)
        """
        if isinstance(template, str):
            if template not in TEMPLATES:
                raise DataError(
                    f"There is no alignment template '{template}'; {nearest(template, TEMPLATES)}"
                )
            template = TEMPLATES[template]
        if not isinstance(template, Template):
            raise DataError(
                f"Faces are aligned to a template or its name ({', '.join(TEMPLATES)}); got {template!r}. A network whose card "
                "has no alignment takes faces as they are."
            )
        if missing not in ("raise", "drop"):
            raise DataError(f"'missing' must be 'raise' or 'drop'; got '{missing}'.")
        if self._view.source.n_points is None:
            raise DataError(
                f"The faces '{self.name}' have no landmarks, so they cannot be aligned to '{template.name}'. Give five "
                "points an image in a table (columns lm_left_eye_x, lm_left_eye_y, ... lm_mouth_right_y), detect them "
                "with a detector of your own, or, if the crops are already what the network expects, use .resized(size)."
            )
        known = self._view.source.points_known(self._view.rows)
        if known.all():
            return self._derived(_view=self._view.then(Align(template)))
        lost = self._table["image_id"][~known]
        if missing == "raise" or not known.any():
            raise DataError(
                f"{len(lost)} of {len(self)} images of '{self.name}' have no usable landmarks, among them "
                f"{', '.join(map(repr, lost[:3]))}; .aligned('{template.name}', missing='drop') leaves them out."
            )
        skipped = pd.DataFrame({"image_id": lost, "reason": "no landmarks to align by"})
        return self._kept(np.flatnonzero(known), skipped).aligned(template)

    def resized(self, size: int | tuple[int, int]) -> "FaceSet":
        """Scale every image to one size, antialiased.

        Parameters
        ----------
        size : int or (int, int)
            Side of a square, or height and width. Proportions are not kept when they differ.

        Returns
        -------
        FaceSet
            The resized set.

        Raises
        ------
        DataError
            If the size is not positive.

        Examples
        --------
        >>> FaceSet.from_arrays(np.zeros((1, 3, 8, 8), dtype=np.uint8)).resized((4, 6)).size
        (4, 6)
        """
        sides = (size, size) if isinstance(size, int | np.integer) else size
        fits = isinstance(sides, tuple | list) and len(sides) == 2
        if not fits or not all(isinstance(side, int | np.integer) and side > 0 for side in sides):
            raise DataError(f"A size must be a positive whole number, or height and width; got {size}.")
        height, width = sides
        return self._derived(_view=self._view.then(Resize((int(height), int(width)))))

    def readable(self, *, strict: bool = False, progress: Progress | None = None) -> "FaceSet":
        """Decode every image once and leave out those that cannot be read.

        Parameters
        ----------
        strict : bool, default False
            Raise at the first image, by the set's order, that cannot be read.
        progress : callable, optional
            Called with the number done and the number of all images.

        Returns
        -------
        FaceSet
            The readable images; the others, with reasons, in `skipped`.

        Raises
        ------
        ImageError
            Under `strict`, naming the image.
        DataError
            If no image at all can be read.

        Examples
        --------
        >>> len(FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8)).readable(strict=True))
        2
        """
        rows = self._view.rows
        reasons = self._view.source.unreadable(rows, progress)
        bad = [i for i, row in enumerate(rows) if row in reasons]
        if not bad:
            return self
        skipped = pd.DataFrame(
            {
                "image_id": self._table["image_id"].iloc[bad].to_numpy(),
                "reason": [reasons[rows[i]] for i in bad],
            }
        )
        if strict:
            raise ImageError(str(skipped["image_id"][0]), str(skipped["reason"][0]))
        if len(bad) == len(self):
            raise DataError(
                f"None of the {len(self)} images of '{self.name}' can be read; the first, "
                f"'{skipped['image_id'][0]}': {skipped['reason'][0]}."
            )
        return self._kept(np.setdiff1d(np.arange(len(self)), bad), skipped)

    def duplicates(self, progress: Progress | None = None) -> pd.DataFrame:
        """Find images that are the same file, to the byte.

        Parameters
        ----------
        progress : callable, optional
            Called with the number done and the number of all images.

        Returns
        -------
        DataFrame
            One row an image that has a twin: ``group``, ``image_id``, and ``differs``, the attributes in which the twins disagree.

        Examples
        --------
        >>> pixels = np.zeros((2, 3, 8, 8), dtype=np.uint8)
        >>> FaceSet.from_arrays(pixels).duplicates()["group"].tolist()
        [0, 0]
        """
        return duplicates(self, progress)

    def with_attribute(self, name: str, values: Any, attribute: Attribute) -> "FaceSet":
        """Add or replace an attribute.

        Parameters
        ----------
        name : str
            Column name.
        values : sequence, length n
            One value an image; None, NaN or NA where unknown.
        attribute : Attribute
            What they are; `predicted_by` names the network when they were not labelled by people.

        Returns
        -------
        FaceSet
            The set with the column.

        Raises
        ------
        DataError
            If there are not n values, or they do not fit the kind.

        Examples
        --------
        >>> faces = FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8))
        >>> faces.with_attribute("yaw", [0.0, None], Attribute("continuous", "deg")).table["yaw"].isna().sum()
        np.int64(1)
        """
        if name == "image_id":
            raise DataError("'image_id' names the images; choose another name for the attribute.")
        column = pd.Series(values).reset_index(drop=True)
        if len(column) != len(self):
            raise DataError(f"Attribute '{name}' has {len(column)} values for {len(self)} images.")
        table = self._table.assign(**{name: as_kind(column, attribute.kind, name)})
        return self._derived(_table=table, schema={**self.schema, name: attribute})

    def digest(self) -> str:
        """What the set is, as one number: table, files with their sizes (checksums in a zip), points, geometry.

        Returns
        -------
        str
            sha256 in hexadecimal. It does not depend on the spec or on where the files lie.

        Examples
        --------
        >>> faces = FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8))
        >>> faces.digest() == faces.subset([0, 1]).digest() != faces.subset([1]).digest()
        True
        """
        sha = hashlib.sha256()
        sha.update(
            json.dumps([list(self._table.columns), {k: a.as_dict() for k, a in self.schema.items()}]).encode()
        )
        sha.update(pd.util.hash_pandas_object(self._table, index=False).to_numpy().tobytes())
        for text in self._view.source.fingerprints(self._view.rows):
            sha.update(text.encode())
        sha.update(json.dumps([step.as_dict() for step in self._view.steps]).encode())
        return sha.hexdigest()

    def card(self) -> dict[str, Any]:
        """The data card: sizes, attributes with frequencies or ranges and missing values, provenance.

        Returns
        -------
        dict
            Plain JSON values.

        Examples
        --------
        >>> FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8)).card()["n"]
        2
        """
        return data_card(self)
