from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, nearest
from fusiform.faces._view import Indices, View


class Pixels:
    """The part of a face set that shows: images, points and masks, as its view of the source gives them.

    Parameters
    ----------
    view : View
        Rows of a source, seen through steps of geometry.

    Examples
    --------
    >>> import numpy as np
    >>> from fusiform.faces import FaceSet
    >>> isinstance(FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8)), Pixels)
    True
    """

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def parts(self) -> tuple[str, ...]:
        """Names that `mask` accepts."""
        return self._view.source.parts

    @property
    def n_landmarks(self) -> int | None:
        """How many landmarks are known an image: 68, 5 (the key points alone) or None."""
        return self._view.source.n_points

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images; None when they differ (or none can be read)."""
        return self._view.size

    @property
    def landmarks(self) -> Float32[ndarray, "n 68 2"] | None:
        """The 68 points of iBUG, x and y in pixels, NaN where unknown; None when the set has none.

        Left and right are as seen in the image; the centre of the top left pixel is (0, 0). Synthetic sets
        render their faces to know them: of a large set, ask a subset.
        """
        return self._view.points(68)

    @property
    def keypoints(self) -> Float32[ndarray, "n 5 2"] | None:
        """Eye centres, nose tip and mouth corners, x and y in pixels, NaN where unknown; None when the set has none.

        Of 68 points, eye centres are the means of the eye's six, the nose tip is point 30, the corners are 48 and 54.
        """
        return self._view.points(5)

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
        >>> import numpy as np
        >>> from fusiform.faces import FaceSet
        >>> FaceSet.from_arrays(np.zeros((2, 3, 8, 8), dtype=np.uint8)).images([1]).shape
        torch.Size([1, 3, 8, 8])
        """
        return self._view.images(self._view.index(indices))

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
        >>> import numpy as np
        >>> from fusiform.faces import FaceSet
        >>> FaceSet.from_arrays(np.zeros((1, 3, 8, 9), dtype=np.uint8)).image(0).shape
        torch.Size([3, 8, 9])
        """
        return self._view.image(int(self._view.index([index])[0]))

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
        >>> import numpy as np
        >>> from fusiform.faces import FaceSet
        >>> mask = np.ones((1, 8, 8), dtype=bool)
        >>> faces = FaceSet.from_arrays(np.zeros((1, 3, 8, 8), dtype=np.uint8), masks={"skin": mask})
        >>> int(faces.mask("skin").sum())
        64
        """
        if part not in self.parts:
            has = nearest(part, self.parts) if self.parts else "this set has no masks"
            raise DataError(f"These faces have no mask of '{part}'; {has}")
        return self._view.mask(part, self._view.index(indices))
