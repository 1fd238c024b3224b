"""From what was asked to images with targets."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fusiform.errors import NetworkError, SpecError, TargetError, nearest
from fusiform.networks import FaceNetwork
from fusiform.studies.attribution._targets import Classes, predicted
from fusiform.studies.explain._material import FaceParts, Framed, parts_of_faces
from fusiform.studies.explain._question import Question
from fusiform.studies.explain._request import MATCH, ExplainRequest
from fusiform.targets import Activation, Contrast, Probability, Similarity, Target
from fusiform.verification import Calibration, embeddings


def check_network(request: ExplainRequest, net: FaceNetwork) -> None:
    """Refuse a question that the network cannot be asked.

    Raises
    ------
    NetworkError, LayerError, SpecError, TargetError
        If it cannot.
    """
    head, name = net.card.head, net.card.name
    if request.unit is not None:
        net.layer(request.unit[0])
    elif request.kind != "images" and head != "embedding":
        raise NetworkError(
            f"'{name}' gives {head}, not embeddings, so it cannot compare two images. Ask about images one by one: "
            "--images A B ..."
        )
    elif request.kind == "images" and head != "logits":
        raise NetworkError(
            f"'{name}' gives {head}, no classes, so there is nothing to explain about one image alone. Name a pair "
            "(--pair A B), or a unit (--target activation:LAYER:CHANNEL)."
        )
    if request.class_name is not None:
        class_number(net, request.class_name)


def class_number(net: FaceNetwork, name: str) -> int:
    """The number of a class that is named by its name or number.

    Raises
    ------
    SpecError
        If the network has no class of that name.
    TargetError
        If the number is out of range.
    """
    classes = net.card.classes or ()
    if name in classes:
        return classes.index(name)
    if not name.isdigit():
        raise SpecError(
            f"'{net.card.name}' has no class '{name}'; {nearest(name, classes) if classes else 'its classes have no names'}"
            f"{'' if classes else ', give a number from 0.'}"
        )
    (outputs,) = net.layers[-1].shape[-1:]
    if int(name) >= outputs:
        raise TargetError(
            f"Class {name} is out of range: '{net.card.name}' has {outputs} outputs, 0 to {outputs - 1}."
        )
    return int(name)


def asked_questions(
    request: ExplainRequest, net: FaceNetwork, framed: Framed, calibration: Calibration | None
) -> tuple[Question, FaceParts]:
    """The question about images, and where the parts of their faces are."""
    if request.kind == "images":
        return _one_by_one(request, net, framed)
    names = list(dict.fromkeys(request.pair))
    rows = [framed.row(name) for name in names]
    x = _inputs(net, framed, rows)
    parts = parts_of_faces(net, framed.faces, rows)
    embedded = _embedded(net, framed, rows)
    if request.nonmate is not None:
        nonmate = _embedded(net, framed, [framed.row(request.nonmate)])
        contrast = Contrast(embedded[-1], nonmate[0])
        others = (f"{request.pair[1]} rather than {request.nonmate}",)
        first = FaceParts(parts.names, parts.masks[:1], parts.source[:1], parts.left_out)
        asked = Question(
            (names[0],), others, ("contrast",), x[:1], contrast, contrast, first.masks, parts.names
        )
        return asked, first
    reference = embedded.flip(0)
    target: Target = Similarity(reference)
    if request.target == MATCH and calibration is not None:
        target = calibration.target(reference)
    return (
        Question(
            tuple(names),
            tuple(reversed(names)),
            (target.name,) * len(names),
            x,
            target,
            target,
            parts.masks,
            parts.names,
            pair=x.flip(0),
        ),
        parts,
    )


def _one_by_one(request: ExplainRequest, net: FaceNetwork, framed: Framed) -> tuple[Question, FaceParts]:
    ids = framed.faces.table["image_id"].tolist()
    names = list(dict.fromkeys(request.images)) or ids
    rows = [framed.row(name) for name in names]
    x = _inputs(net, framed, rows)
    parts = parts_of_faces(net, framed.faces, rows)
    if request.unit is not None:
        target: Target = Activation(*request.unit)
        confidence, said = target, (target.name,) * len(rows)
    else:
        if request.class_name is None:
            classes = predicted(net, x)
        else:
            classes = torch.full((len(rows),), class_number(net, request.class_name))
        target, confidence = Classes(classes), Classes(classes, Probability)
        said = tuple(class_name(net, int(c)) for c in classes)
    asked = Question(tuple(names), ("",) * len(rows), said, x, target, confidence, parts.masks, parts.names)
    return asked, parts


def class_name(net: FaceNetwork, number: int) -> str:
    """What a class is called."""
    classes = net.card.classes
    return f"class {number}" if classes is None or number >= len(classes) else classes[number]


def _inputs(net: FaceNetwork, framed: Framed, rows: Sequence[int]) -> Tensor:
    return net.prepare(framed.faces.images(np.array(rows)))


def _embedded(net: FaceNetwork, framed: Framed, rows: Sequence[int]) -> Tensor:
    return embeddings(net, framed.faces, indices=np.array(rows))
