from dataclasses import dataclass
from typing import Any, Literal, get_args

from fusiform.errors import DataError

Kind = Literal["binary", "categorical", "continuous", "identity"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Attribute:
    """What a column of a face set's table holds.

    Parameters
    ----------
    kind : {"binary", "categorical", "continuous", "identity"}
        Binary columns are nullable booleans, categorical and identity columns strings, continuous columns
        floats with NaN where unknown.
    unit : str or None, default None
        Unit of a continuous attribute, such as ``"deg"`` or ``"years"``.
    description : str, default ""
        One line for data cards.
    predicted_by : str or None, default None
        Name of the network that predicted the values; None for labels made by people or by construction.

    Raises
    ------
    DataError
        If the kind is not one of the four.

    Examples
    --------
    >>> Attribute("continuous", unit="deg").unit
    'deg'
    """

    kind: Kind
    unit: str | None = None
    description: str = ""
    predicted_by: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"The kind of an attribute must be one of {', '.join(KINDS)}; got '{self.kind}'.")

    def as_dict(self) -> dict[str, Any]:
        """The attribute as plain JSON values.

        Returns
        -------
        dict
            The four fields.

        Examples
        --------
        >>> Attribute("binary").as_dict()["kind"]
        'binary'
        """
        return {
            "kind": self.kind,
            "unit": self.unit,
            "description": self.description,
            "predicted_by": self.predicted_by,
        }
