from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, NetworkError, nearest
from fusiform.faces import Attribute, FaceSet
from fusiform.networks._framing import frame_faces
from fusiform.networks._network import FaceNetwork

PredictedKind = Literal["binary", "categorical", "continuous"]
_KINDS = ("binary", "categorical", "continuous")


def predict_attribute(
    net: FaceNetwork,
    faces: FaceSet,
    name: str,
    *,
    output: str | int | None = None,
    kind: PredictedKind | None = None,
    unit: str | None = None,
    threshold: float | None = None,
    error: str = "",
    align: str = "auto",
    batch_size: int = 64,
    progress: Callable[[int, int], Any] | None = None,
) -> FaceSet:
    """Run a network over a set of faces and put its answer in as an attribute, marked as predicted.

    Faces are aligned to the template that the network's card names, where the set has landmarks, otherwise resized;
    the set itself keeps its pixels. A classifier (head ``"logits"``) gives probabilities, after softmax, or after the
    logistic function where there is one output; other heads give their output as it is. Where a face has no landmarks
    to align by, though the set has some, the value is unknown.

    Parameters
    ----------
    net : FaceNetwork
        A classifier, or any network whose output is one number or several with names in ``card.classes``.
    faces : FaceSet
        The faces.
    name : str
        Column to add or replace.
    output : str or int, optional
        Which output: a name in ``card.classes``, or a number from 0. Not needed where there is one, or for the most
        likely class of several.
    kind : {"binary", "categorical", "continuous"}, optional
        Binary: whether the output reaches `threshold`. Categorical: the most likely class. Continuous: the probability
        or output itself. When not given: categorical for a classifier of several classes of which none is asked for,
        otherwise continuous.
    unit : str, optional
        Unit of a continuous attribute; degrees for a pose network when not given.
    threshold : float, optional
        From where a binary attribute is true: 0.5 for a classifier; must be given for other heads.
    error : str, default ""
        The network's known error, such as "accuracy 0.90 on UTKFace, ages 18 to 69", for the attribute's description.
    align : str, default "auto"
        Name of another template; ``"none"`` to resize only.
    batch_size : int, default 64
        Faces a forward pass; no more are held in memory.
    progress : callable, optional
        Called with ``(done, total)`` after each batch.

    Returns
    -------
    FaceSet
        The set with the column; its `Attribute.predicted_by` is the network's name, and its description says of which
        output it is, how the faces were framed, and the known error.

    Raises
    ------
    SpecError
        If the template is not known.
    DataError
        If no face has landmarks, or a kind or threshold cannot be.
    ImageError
        If an image cannot be read; `FaceSet.readable` leaves such images out.
    NetworkError
        If the network gives embeddings or maps, has no such output, or gives NaN.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> net = load_network("mini_xception?classes=2")
    >>> faces = predict_attribute(net, open_faces("synthetic?n=2&size=64"), "PR_MALE", output="man")
    >>> faces.schema["PR_MALE"].predicted_by, faces.table["PR_MALE"].between(0, 1).all()
    ('mini_xception_sex (random weights)', np.True_)
    """
    if batch_size < 1:
        raise DataError(f"The 'batch_size' of a prediction must be at least 1; got {batch_size}.")
    kind, threshold = _checked(net, output, kind, threshold)
    column = None if output is None else _column(net, output)
    framed, frame = frame_faces(net, faces, align)
    index = np.flatnonzero(faces.table["image_id"].isin(framed.table["image_id"]))
    found = np.full(len(faces), np.nan)
    for start in range(0, len(framed), batch_size):
        here = np.arange(start, min(start + batch_size, len(framed)))
        with torch.no_grad():
            scores = _scores(net, net(net.prepare(framed.images(here))))
        if not np.isfinite(scores).all():
            image = framed.table["image_id"].iloc[here[~np.isfinite(scores).all(axis=1)][0]]
            raise NetworkError(
                f"'{net.card.name}' gives NaN or infinite values for image '{image}'. Check the weights and the card's "
                "mean, std and value range."
            )
        if kind == "categorical" and scores.shape[1] == 1:
            raise DataError(
                f"'{net.card.name}' has a single output, of which no class is the most likely; ask for kind 'binary' or "
                "'continuous'."
            )
        found[index[here]] = scores.argmax(axis=1) if kind == "categorical" else _one(net, scores, column)
        if progress is not None:
            progress(int(here[-1]) + 1, len(framed))
    values: Any = found
    if kind == "binary":
        values = [None if np.isnan(value) else bool(value >= threshold) for value in found]
    elif kind == "categorical":
        values = [None if np.isnan(value) else _class_name(net, int(value)) for value in found]
    if unit is None and net.card.head == "pose" and kind == "continuous":
        unit = "deg"
    what = {
        "binary": f"{_said(net, column)} at least {threshold:g}" if threshold is not None else "",
        "categorical": "most likely class",
        "continuous": _said(net, column),
    }[kind]
    description = "; ".join(
        filter(None, (what, frame, error or f"error not stated. {net.card.description}".strip()))
    )
    attribute = Attribute(kind, unit, description, predicted_by=net.card.name)
    return faces.with_attribute(name, values, attribute)


def _checked(
    net: FaceNetwork, output: str | int | None, kind: str | None, threshold: float | None
) -> tuple[PredictedKind, float | None]:
    """The kind and the threshold, where what was asked fits the network."""
    card = net.card
    if card.head == "embedding":
        raise NetworkError(
            f"'{card.name}' gives embeddings, which hold no attribute that can be read off. Use a network with head "
            "'logits' or a measured quantity, or probe the embedding with fusiform.probing."
        )
    if kind is None:
        several = card.head == "logits" and output is None and len(card.classes or "") != 1
        kind = "binary" if threshold is not None else "categorical" if several else "continuous"
    if kind not in _KINDS:
        raise DataError(f"A predicted attribute can be {', '.join(_KINDS)}; got '{kind}'.")
    if kind == "categorical" and (card.head != "logits" or output is not None):
        why = f"it gives {card.head}" if card.head != "logits" else f"one output, '{output}', was asked for"
        raise DataError(
            f"A categorical attribute is the most likely class of a classifier; of '{card.name}' {why}. Ask for kind "
            "'continuous' or 'binary', or leave 'output' out."
        )
    if threshold is not None and kind != "binary":
        raise DataError(
            f"A threshold makes a binary attribute; got threshold {threshold} with kind '{kind}'."
        )
    if kind == "binary" and threshold is None:
        if card.head != "logits":
            raise DataError(
                f"'{card.name}' gives {card.head}, not probabilities; give the threshold from which the attribute is true."
            )
        threshold = 0.5
    return kind, threshold  # type: ignore[return-value]


def _column(net: FaceNetwork, output: str | int) -> int:
    names = net.card.classes or ()
    if isinstance(output, str):
        if output not in names:
            raise NetworkError(
                f"'{net.card.name}' has no output called '{output}'; {nearest(output, names)}. An output without a name is "
                "given by its number, from 0."
            )
        return names.index(output)
    if output < 0 or (names and output >= len(names)):
        raise NetworkError(
            f"'{net.card.name}' has no output {output}; numbers go from 0 to {len(names) - 1}."
        )
    return int(output)


def _scores(net: FaceNetwork, output: Tensor) -> Float[ndarray, "n k"]:
    if not isinstance(output, Tensor) or output.flatten(1).shape != output.shape[:2]:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise NetworkError(
            f"'{net.card.name}' gives {got}; an attribute needs one number or several for an image, (n, outputs)."
        )
    scores = output.double().reshape(len(output), -1)
    if net.card.head == "logits":
        scores = scores.softmax(dim=1) if scores.shape[1] > 1 else scores.sigmoid()
    return scores.cpu().numpy()


def _one(net: FaceNetwork, scores: Float[ndarray, "n k"], column: int | None) -> Float[ndarray, " n"]:
    if column is None:
        if scores.shape[1] != 1:
            named = f": {', '.join(net.card.classes)}" if net.card.classes else " without names"
            raise NetworkError(
                f"'{net.card.name}' has {scores.shape[1]} outputs{named}; say which with output=NAME or a number from 0."
            )
        column = 0
    if column >= scores.shape[1]:
        raise NetworkError(
            f"'{net.card.name}' has no output {column}; its {scores.shape[1]} are numbered from 0."
        )
    return scores[:, column]


def _class_name(net: FaceNetwork, number: int) -> str:
    names = net.card.classes or ()
    return names[number] if number < len(names) else str(number)


def _said(net: FaceNetwork, column: int | None) -> str:
    what = "probability" if net.card.head == "logits" else "output"
    if column is None:
        return what
    return f"{what} of '{_class_name(net, column)}'" if net.card.classes else f"{what} {column}"
