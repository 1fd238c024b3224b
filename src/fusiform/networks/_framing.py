from fusiform.errors import SpecError, nearest
from fusiform.faces import TEMPLATES, FaceSet
from fusiform.networks._network import FaceNetwork


def frame_faces(net: FaceNetwork, faces: FaceSet, align: str = "auto") -> tuple[FaceSet, str]:
    """Frame faces as a network wants them, and say what was done.

    Parameters
    ----------
    net : FaceNetwork
        Its card names the template and the input size.
    faces : FaceSet
        The faces.
    align : str, default "auto"
        ``"auto"``: to the card's template where the set has landmarks; ``"none"``: resized only; or a template's name.

    Returns
    -------
    faces : FaceSet
        Aligned, without those that have no landmarks, which are in `skipped`; or resized where their sizes differ, for
        `FaceNetwork.prepare` resizes images of one size itself.
    done : str
        What was done, in words.

    Raises
    ------
    SpecError
        If there is no such template.
    DataError
        If the faces are to be aligned and none has landmarks.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> faces, done = frame_faces(load_network("mini_xception"), open_faces("synthetic?n=2"))
    >>> faces.size, done
    ((64, 64), "aligned to 'fer_64' from five landmarks")
    """
    template = framing_template(net, faces, align)
    if template is not None:
        return faces.aligned(template, missing="drop"), f"aligned to '{template}' from five landmarks"
    done = "resized only"
    if align == "auto" and net.card.alignment is not None:
        done = f"resized only: the set has no landmarks, and the network expects '{net.card.alignment}'"
    return (faces.resized(net.card.input_size) if faces.size is None else faces), done


def framing_template(net: FaceNetwork, faces: FaceSet, align: str) -> str | None:
    """Name the template to which faces are aligned for a network.

    Parameters
    ----------
    net, faces, align
        As for `frame_faces`.

    Returns
    -------
    str or None
        None where they are resized only.

    Raises
    ------
    SpecError
        If there is no such template.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> framing_template(load_network("mini_xception"), open_faces("synthetic?n=2"), "auto")
    'fer_64'
    """
    if align not in ("auto", "none", *TEMPLATES):
        raise SpecError(
            f"There is no template '{align}' to align to; {nearest(align, ['auto', 'none', *TEMPLATES])}"
        )
    if align != "auto":
        return None if align == "none" else align
    return net.card.alignment if faces.n_landmarks is not None else None
