"""Names of everything that a mask can be asked for, and the bit planes in which it is kept."""

from typing import NamedTuple

__all__ = ["BITS", "CONCEPTS", "MASKS", "PARTS", "PLANES", "REGIONS", "Concept"]

# In the order in which parts that overlap claim the one label of a pixel.
PARTS = ("glasses", "hat", "hair", "beard", "left_eye", "right_eye", "left_brow", "right_brow", "mouth", "nose",
         "left_cheek", "right_cheek", "chin", "skin", "left_ear", "right_ear", "earrings", "necklace", "necktie", "neck",
         "clothes", "background")  # fmt: skip
"""What one pixel can show; its index is the pixel's label."""

REGIONS = ("lips", "mustache", "goatee", "sideburns", "beard_area", "under_eyes", "cheekbones", "double_chin", "AU_1",
           "AU_2", "AU_4", "AU_5", "AU_6", "AU_9", "AU_12", "AU_15", "AU_17", "AU_20", "AU_25", "AU_26")  # fmt: skip
"""Places of the face at which concepts live; a pixel may lie in several."""

PLANES = PARTS + REGIONS
BITS = {name: 1 << i for i, name in enumerate(PLANES)}


class Concept(NamedTuple):
    """A concept that has a place: the planes in which it lies, and the attribute that says whether it is there."""

    planes: tuple[str, ...]
    attribute: str | None = None


_EYES, _BROWS = ("left_eye", "right_eye"), ("left_brow", "right_brow")

CONCEPTS: dict[str, Concept] = {
    **{name: Concept((name,), name) for name in REGIONS if name.startswith("AU_")},
    "eyes": Concept(_EYES),
    "brows": Concept(_BROWS),
    "cheeks": Concept(("left_cheek", "right_cheek")),
    "ears": Concept(("left_ear", "right_ear")),
    "lips": Concept(("lips",)),
    "Arched_Eyebrows": Concept(_BROWS, "Arched_Eyebrows"),
    "Bushy_Eyebrows": Concept(_BROWS, "Bushy_Eyebrows"),
    "Eyeglasses": Concept(("glasses",), "Eyeglasses"),
    "Narrow_Eyes": Concept(_EYES, "Narrow_Eyes"),
    "Bags_Under_Eyes": Concept(("under_eyes",), "Bags_Under_Eyes"),
    "High_Cheekbones": Concept(("cheekbones",), "High_Cheekbones"),
    "Rosy_Cheeks": Concept(("left_cheek", "right_cheek"), "Rosy_Cheeks"),
    "No_Beard": Concept(("beard_area",), "No_Beard"),
    "5_o_Clock_Shadow": Concept(("beard",), "5_o_Clock_Shadow"),
    "Big_Nose": Concept(("nose",), "Big_Nose"),
    "Pointy_Nose": Concept(("nose",), "Pointy_Nose"),
    "Big_Lips": Concept(("lips",), "Big_Lips"),
    "Mouth_Slightly_Open": Concept(("mouth",), "Mouth_Slightly_Open"),
    "Mustache": Concept(("mustache",), "Mustache"),
    "Smiling": Concept(("mouth",), "Smiling"),
    "Wearing_Lipstick": Concept(("lips",), "Wearing_Lipstick"),
    "Double_Chin": Concept(("double_chin",), "Double_Chin"),
    "Goatee": Concept(("goatee",), "Goatee"),
    "Sideburns": Concept(("sideburns",), "Sideburns"),
    "Wearing_Hat": Concept(("hat",), "Wearing_Hat"),
    "Wearing_Earrings": Concept(("earrings",), "Wearing_Earrings"),
    "Wearing_Necklace": Concept(("necklace",), "Wearing_Necklace"),
    "Wearing_Necktie": Concept(("necktie",), "Wearing_Necktie"),
    "Bangs": Concept(("hair",), "Bangs"),
}  # fmt: skip
"""Concepts beyond the planes: the local ones of the Face Dictionary, and groups of parts."""

MASKS = PARTS + REGIONS + tuple(name for name in CONCEPTS if name not in PARTS + REGIONS)
"""Everything a mask can be asked for."""
