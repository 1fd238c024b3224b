import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, ImageError, nearest
from fusiform.faces._attribute import Attribute
from fusiform.faces._card import data_card
from fusiform.faces._geometry import Align, Resize, Step, five_points, moved, plan, warp
from fusiform.faces._schema import as_kind
from fusiform.faces._sources import ArrayImages, Progress, Source, chunks, in_threads
from fusiform.faces._templates import TEMPLATES, Template

Indices = Sequence[int] | Sequence[bool] | ndarray | Tensor | slice

_SKIPPED = {"image_id": "string", "reason": "string"}


class FaceSet:
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
    >>> faces = FaceSet.from_arrays(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
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
            raise DataError(f"{int(table['image_id'].isna().sum())} images have no 'image_id'; each needs its own.")
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
        self._source = source
        self._rows = np.arange(len(table))
        self._steps: tuple[Step, ...] = ()
        self._provenance = dict(provenance or {})
        self._skipped = (
            pd.DataFrame({"image_id": [], "reason": []}) if skipped is None else skipped[["image_id", "reason"]]
        ).astype(_SKIPPED)
        self._plans: dict[int, tuple[ndarray, tuple[int, int]]] = {}

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
        >>> images = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
        >>> FaceSet.from_arrays(images, pd.DataFrame({"Male": [1, -1, 1]})).schema["Male"].kind
        'binary'
        """
        from fusiform.faces._schema import read_attributes

        pixels = []
        for image in images:
            array = np.asarray(image)
            if array.dtype != np.uint8 or array.ndim != 3 or array.shape[0] != 3:
                raise DataError(
                    f"Images must be uint8 with shape (3, height, width); got {array.dtype} with shape {array.shape}."
                )
            pixels.append(np.ascontiguousarray(array.transpose(1, 2, 0)))
        rest = pd.DataFrame(index=range(len(pixels))) if table is None else table.reset_index(drop=True)
        if len(rest) != len(pixels):
            raise DataError(f"The table has {len(rest)} rows for {len(pixels)} images; they must be as many.")
        ids = rest.pop("image_id") if "image_id" in rest else pd.Series(map(str, range(len(pixels))), dtype="string")
        if points is not None and (
            np.ndim(points) != 3 or np.shape(points)[0] != len(pixels) or np.shape(points)[1:] not in ((68, 2), (5, 2))
        ):
            raise DataError(f"Points must have shape ({len(pixels)}, 68 or 5, 2); got {np.shape(points)}.")
        held = {part: [np.asarray(mask, dtype=bool) for mask in each] for part, each in (masks or {}).items()}
        for part, each in held.items():
            if [mask.shape for mask in each] != [image.shape[:2] for image in pixels]:
                raise DataError(f"The masks of '{part}' must be as many and as large as the images.")
        if schema is None:
            found = read_attributes(rest)
            rest, schema = found.table, found.schema
        return cls(
            name=name,
            table=pd.concat([ids.rename("image_id"), rest], axis=1),
            schema=schema,
            source=ArrayImages(pixels, points, held),
            provenance=provenance,
        )

    def _derived(
        self,
        *,
        keep: ndarray | None = None,
        step: Step | None = None,
        skipped: pd.DataFrame | None = None,
        column: tuple[str, pd.Series, Attribute] | None = None,
    ) -> "FaceSet":
        new = object.__new__(FaceSet)
        new.__dict__.update(self.__dict__, _plans={})
        if keep is not None:
            new._table = self._table.iloc[keep].reset_index(drop=True)
            new._rows = self._rows[keep]
        if step is not None:
            new._steps = (*self._steps, step)
        if skipped is not None and len(skipped):
            new._skipped = pd.concat([self._skipped, skipped.astype(_SKIPPED)], ignore_index=True)
        if column is not None:
            new._table = self._table.assign(**{column[0]: column[1]})
            new.schema = {**self.schema, column[0]: column[2]}
        return new

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        steps = "".join(
            f", aligned to {s.template.name}" if isinstance(s, Align) else f", resized to {s.size[0]} x {s.size[1]}"
            for s in self._steps
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
        return {**self._provenance, "geometry": [step.as_dict() for step in self._steps]}

    @property
    def identity(self) -> str | None:
        """Name of the first column that says who is shown, None when none does."""
        return next((name for name, a in self.schema.items() if a.kind == "identity"), None)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names that `mask` accepts."""
        return self._source.parts

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images; None when they differ (or none can be read)."""
        if self._steps:
            last = self._steps[-1]
            return last.template.size if isinstance(last, Align) else last.size
        sizes = {self._source.size(int(row)) for row in self._rows} - {None}
        return sizes.pop() if len(sizes) == 1 else None

    def _plan(self, row: int) -> tuple[Float[ndarray, "3 3"], tuple[int, int]]:
        if row not in self._plans:
            size = (0, 0)
            if isinstance(self._steps[0], Resize):
                known = self._source.size(row)
                if known is None:
                    self._source.read([row])  # raises, with the reason
                    raise RuntimeError("an image without a size was read")
                size = known
            align = any(isinstance(step, Align) for step in self._steps)
            points = five_points(self._source.points([row]))[0] if align else None
            self._plans[row] = plan(self._steps, size, points)
        return self._plans[row]

    def _moved(self, points: Float[ndarray, "n p 2"]) -> Float32[ndarray, "n p 2"]:
        if self._steps:
            points = points.copy()
            known = np.isfinite(points).all(axis=(1, 2))
            for i in np.flatnonzero(known):
                points[i] = moved(points[i], self._plan(int(self._rows[i]))[0])
        return points.astype(np.float32)

    @property
    def landmarks(self) -> Float32[ndarray, "n 68 2"] | None:
        """iBUG's 68 points, x and y in pixels, NaN where unknown; None when the set has none.

        Left and right are as seen in the image; the centre of the top left pixel is (0, 0). Synthetic sets
        render their faces to know them: of a large set, ask a subset.
        """
        return self._moved(self._source.points(self._rows.tolist())) if self._source.n_points == 68 else None

    @property
    def keypoints(self) -> Float32[ndarray, "n 5 2"] | None:
        """Eye centres, nose tip and mouth corners, x and y in pixels, NaN where unknown; None when the set has none.

        Of 68 points, eye centres are the means of the eye's six, the nose tip is point 30, the corners are 48 and 54.
        """
        if self._source.n_points is None:
            return None
        return self._moved(five_points(self._source.points(self._rows.tolist())))

    def _index(self, indices: Indices | None) -> ndarray:
        if indices is None:
            return np.arange(len(self))
        if isinstance(indices, slice):
            return np.arange(len(self))[indices]
        index = np.atleast_1d(np.asarray(indices))
        if index.size == 0:
            return np.zeros(0, dtype=np.int64)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise DataError(f"A mask of images must have {len(self)} entries; got {index.shape}.")
            return np.flatnonzero(index)
        if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
            raise DataError(f"Indices must be whole numbers in one dimension; got {index.dtype}, shape {index.shape}.")
        if index.min() < -len(self) or index.max() >= len(self):
            worst = index.max() if index.max() >= len(self) else index.min()
            raise DataError(f"Index {worst} is outside a set of {len(self)} images.")
        return np.where(index < 0, index + len(self), index)

    def _draw(self, rows: list[int]) -> list[UInt8[ndarray, "h w 3"]]:
        pixels = self._source.read(rows)
        if not self._steps:
            return pixels
        plans = [self._plan(row) for row in rows]
        return in_threads(lambda k: warp(pixels[k], *plans[k]), range(len(rows)))

    def images(self, indices: Indices | None = None) -> UInt8[Tensor, "k 3 h w"]:
        """Pixels, bit-identical in any batch.

        Parameters
        ----------
        indices : int or bool array, slice, or None
            Which images; all when None.

        Returns
        -------
        uint8 tensor, shape (k, 3, height, width)
            RGB.

        Raises
        ------
        DataError
            If the images' sizes differ.
        ImageError
            If one cannot be read; `readable` leaves such images out.

        Examples
        --------
        >>> FaceSet.from_arrays(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).images([1]).shape
        torch.Size([1, 3, 8, 8])
        """
        index = self._index(indices)
        rows = self._rows[index].tolist()
        size = self._common_size(rows)
        out = torch.empty((len(rows), 3, *size), dtype=torch.uint8)
        start = 0
        for chunk in chunks(rows):
            for image in self._draw(list(chunk)):
                out[start] = torch.from_numpy(image).permute(2, 0, 1)
                start += 1
        return out

    def _common_size(self, rows: list[int]) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        sizes = {self._source.size(int(row)) for row in self._rows} - {None}
        if not sizes:
            if rows:
                self._source.read(rows[:1])  # raises, with the reason
            return 0, 0
        shown = ", ".join(f"{h} x {w}" for h, w in sorted(s for s in sizes if s is not None)[:3])
        raise DataError(
            f"The images of '{self.name}' have {len(sizes)} different sizes (height x width: {shown}, ...), so they do "
            "not fit into one tensor. Use .aligned(template) where landmarks are known, .resized(size), or .image(i) "
            "for one of them."
        )

    def image(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """One image, of whatever size.

        Parameters
        ----------
        index : int
            Which image.

        Returns
        -------
        uint8 tensor, shape (3, height, width)
            RGB.

        Raises
        ------
        ImageError
            If it cannot be read.

        Examples
        --------
        >>> FaceSet.from_arrays([torch.zeros(3, 8, 9, dtype=torch.uint8)]).image(0).shape
        torch.Size([3, 8, 9])
        """
        pixels = self._draw(self._rows[self._index([index])].tolist())[0]
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()

    def mask(self, part: str, indices: Indices | None = None) -> Bool[Tensor, "k h w"]:
        """Where a part or local concept is.

        Parameters
        ----------
        part : str
            One of `parts`.
        indices : int or bool array, slice, or None
            Which images; all when None.

        Returns
        -------
        bool tensor, shape (k, height, width)
            True where the part is; it moves with the images.

        Raises
        ------
        DataError
            If the set has no masks, or none of that name.

        Examples
        --------
        >>> mask = torch.ones(1, 8, 8, dtype=torch.bool)
        >>> faces = FaceSet.from_arrays(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), masks={"skin": mask})
        >>> int(faces.mask("skin").sum())
        64
        """
        if part not in self.parts:
            has = nearest(part, self.parts) if self.parts else "this set has no masks"
            raise DataError(f"The faces '{self.name}' have no mask of '{part}'; {has}")
        rows = self._rows[self._index(indices)].tolist()
        out = torch.empty((len(rows), *self._common_size(rows)), dtype=torch.bool)
        start = 0
        for chunk in chunks(rows):
            for row, mask in zip(chunk, self._source.masks(part, chunk), strict=True):
                if self._steps:
                    mask = warp(mask.astype(np.uint8) * 255, *self._plan(row)) >= 128
                out[start] = torch.from_numpy(mask)
                start += 1
        return out

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
        >>> faces = FaceSet.from_arrays(torch.zeros(3, 3, 8, 8, dtype=torch.uint8))
        >>> faces.subset([2, 0]).table["image_id"].tolist()
        ['2', '0']
        """
        index = self._index(indices)
        if len(np.unique(index)) != len(index):
            raise DataError("A subset must name each image once; some indices are repeated.")
        return self._derived(keep=index)

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
        >>> faces = FaceSet.from_arrays(torch.zeros(1, 3, 240, 240, dtype=torch.uint8), points=points)
        >>> faces.aligned("arcface_112").size
        (112, 112)
        """
        if isinstance(template, str):
            if template not in TEMPLATES:
                raise DataError(f"There is no alignment template '{template}'; {nearest(template, TEMPLATES)}")
            template = TEMPLATES[template]
        if missing not in ("raise", "drop"):
            raise DataError(f"'missing' must be 'raise' or 'drop'; got '{missing}'.")
        if self._source.n_points is None:
            raise DataError(
                f"The faces '{self.name}' have no landmarks, so they cannot be aligned to '{template.name}'. Give five "
                "points an image in a table (columns lm_left_eye_x, lm_left_eye_y, ... lm_mouth_right_y), detect them "
                "with a detector of your own, or, if the crops are already what the network expects, use .resized(size)."
            )
        known = self._source.points_known(self._rows.tolist())
        if known.all():
            return self._derived(step=Align(template))
        lost = self._table["image_id"][~known]
        if missing == "raise":
            raise DataError(
                f"{len(lost)} of {len(self)} images of '{self.name}' have no usable landmarks, among them "
                f"{', '.join(map(repr, lost[:3]))}; .aligned('{template.name}', missing='drop') leaves them out."
            )
        skipped = pd.DataFrame({"image_id": lost, "reason": "no landmarks to align by"})
        return self._derived(keep=np.flatnonzero(known), step=Align(template), skipped=skipped)

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
        >>> FaceSet.from_arrays(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)).resized((4, 6)).size
        (4, 6)
        """
        height, width = (size, size) if isinstance(size, int) else size
        if not (isinstance(height, int | np.integer) and isinstance(width, int | np.integer) and height > 0 < width):
            raise DataError(f"A size must be a positive whole number, or height and width; got {size}.")
        return self._derived(step=Resize((int(height), int(width))))

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
        >>> len(FaceSet.from_arrays(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).readable(strict=True))
        2
        """
        rows = self._rows.tolist()
        reasons = self._source.unreadable(rows, progress)
        bad = [i for i, row in enumerate(rows) if row in reasons]
        if not bad:
            return self
        skipped = pd.DataFrame(
            {"image_id": self._table["image_id"].iloc[bad].to_numpy(), "reason": [reasons[rows[i]] for i in bad]}
        )
        if strict:
            raise ImageError(str(skipped["image_id"][0]), str(skipped["reason"][0]))
        if len(bad) == len(self):
            raise DataError(
                f"None of the {len(self)} images of '{self.name}' can be read; the first, "
                f"'{skipped['image_id'][0]}': {skipped['reason'][0]}."
            )
        return self._derived(keep=np.setdiff1d(np.arange(len(self)), bad), skipped=skipped)

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
        >>> faces = FaceSet.from_arrays(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
        >>> faces.with_attribute("yaw", [0.0, None], Attribute("continuous", "deg")).table["yaw"].isna().sum()
        np.int64(1)
        """
        if name == "image_id":
            raise DataError("'image_id' names the images; choose another name for the attribute.")
        column = pd.Series(values).reset_index(drop=True)
        if len(column) != len(self):
            raise DataError(f"Attribute '{name}' has {len(column)} values for {len(self)} images.")
        return self._derived(column=(name, as_kind(column, attribute.kind, name), attribute))

    def digest(self) -> str:
        """What the set is, as one number: table, files with their sizes (checksums in a zip), points, geometry.

        Returns
        -------
        str
            sha256 in hexadecimal. It does not depend on the spec or on where the files lie.

        Examples
        --------
        >>> faces = FaceSet.from_arrays(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
        >>> faces.digest() == faces.subset([0, 1]).digest() != faces.subset([1]).digest()
        True
        """
        sha = hashlib.sha256()
        sha.update(json.dumps([list(self._table.columns), {k: a.as_dict() for k, a in self.schema.items()}]).encode())
        sha.update(pd.util.hash_pandas_object(self._table, index=False).to_numpy().tobytes())
        for text in self._source.fingerprints(self._rows.tolist()):
            sha.update(text.encode())
        sha.update(json.dumps([step.as_dict() for step in self._steps]).encode())
        return sha.hexdigest()

    def card(self) -> dict[str, Any]:
        """The data card: sizes, attributes with frequencies or ranges and missing values, provenance.

        Returns
        -------
        dict
            Plain JSON values.

        Examples
        --------
        >>> FaceSet.from_arrays(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).card()["n"]
        2
        """
        return data_card(self)
