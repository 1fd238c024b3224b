import base64
import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from fusiform.errors import DataError
from fusiform.plotting import style

_CELL_PX = 132


def example_faces(
    images: Sequence[np.ndarray | Path | str],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 6,
) -> go.Figure:
    """Draw images in a grid, each with a caption below.

    Parameters
    ----------
    images : sequence of array or path
        Images as uint8 arrays (height, width, 3) RGB or (height, width) grey, or files that hold them.
    captions : sequence of str, optional
        A caption an image, shown as it is.
    columns : int, default 6
        Images in a row.

    Returns
    -------
    plotly.graph_objects.Figure
        The images are embedded, so the figure needs no files.

    Raises
    ------
    DataError
        If there are no images, an array has another shape or type, or the captions are not as many.

    Examples
    --------
    >>> figure = example_faces([np.zeros((8, 8, 3), np.uint8)] * 3, ["a", "b", "c"])
    >>> len(figure.layout.images)
    3
    """
    if not len(images):
        raise DataError("There are no images to draw.")
    if captions is not None and len(captions) != len(images):
        raise DataError(
            f"There must be a caption an image: {len(images)} images, got {len(captions)} captions."
        )
    if columns < 1:
        raise DataError(f"columns must be at least 1; got {columns}.")
    n_columns = min(columns, len(images))
    n_rows = math.ceil(len(images) / n_columns)
    figure = go.Figure()
    for index, image in enumerate(images):
        row, column = divmod(index, n_columns)
        figure.add_layout_image(
            source=_data_uri(image),
            x=column,
            y=row,
            xref="x",
            yref="y",
            sizex=0.94,
            sizey=0.84,
            xanchor="left",
            yanchor="top",
        )
        if captions is not None:
            figure.add_annotation(
                x=column + 0.47,
                y=row + 0.92,
                text=style.plain(captions[index]),
                showarrow=False,
                font={"size": 11, "color": style.MUTED},
            )
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        template=style.TEMPLATE,
        width=n_columns * _CELL_PX,
        height=n_rows * _CELL_PX,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        xaxis=hidden | {"range": [0, n_columns]},
        yaxis=hidden | {"range": [n_rows, 0]},
    )
    return figure


def _data_uri(image: np.ndarray | Path | str) -> str:
    if isinstance(image, str | Path):
        with Image.open(image) as opened:
            picture = opened.convert("RGB")
    else:
        array = np.asarray(image)
        if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
            raise DataError(
                "An image must be a uint8 array (height, width, 3) or (height, width); "
                f"got {array.dtype} {array.shape}."
            )
        picture = Image.fromarray(array)
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
