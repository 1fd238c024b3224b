"""The 50 concepts of the published Face Dictionary: kind, region, parts of the face, landmarks of the ellipse."""

_BROWS, _EYES, _CHEEKS = "left_brow;right_brow", "left_eye;right_eye", "left_cheek;right_cheek"
_LIPS = "upper_lip;lower_lip"
_LEFT_CHEEK, _RIGHT_CHEEK = "1-4 31 48 40/31 41/31", "12-15 35 54 46/35 47/35"
_LEFT_BONE, _RIGHT_BONE = "1-4 31 48 40 41", "12-15 35 54 46 47"
_MOUTH, _NOSE, _JAW = "48-59", "27-35", "3-13"

# name, kind, region, parts whose masks show where it is, landmarks of its ellipses
LOCAL: tuple[tuple[str, str, str, str, str], ...] = (
    ("AU_1", "action unit", "Eye", "", "19-24"),
    ("AU_2", "action unit", "Eye", "", "17-19 17/36 | 24-26 26/45"),
    ("AU_4", "action unit", "Eye", "", "17-27"),
    ("AU_5", "action unit", "Eye", "", "36-39 37/19 38/20 | 42-45 43/23 44/24"),
    ("left_brow", "part", "Eye", "", "17-21"),
    ("right_brow", "part", "Eye", "", "22-26"),
    ("left_eye", "part", "Eye", "", "36-41"),
    ("right_eye", "part", "Eye", "", "42-47"),
    ("Arched_Eyebrows", "attribute", "Eye", _BROWS, "17-21 | 22-26"),
    ("Bushy_Eyebrows", "attribute", "Eye", _BROWS, "17-21 | 22-26"),
    ("Eyeglasses", "attribute", "Eye", "glasses", "17/36 21/39 22/42 26/45 36-47 41/31 46/35"),
    ("Narrow_Eyes", "attribute", "Eye", _EYES, "36-41 | 42-47"),
    ("AU_6", "action unit", "Cheek", "", "1-3 31 36 39-41 | 13-15 35 42 45-47"),
    ("left_cheek", "part", "Cheek", "", _LEFT_CHEEK),
    ("right_cheek", "part", "Cheek", "", _RIGHT_CHEEK),
    ("Bags_Under_Eyes", "attribute", "Cheek", "", "36 39-41 41/1 41/31 40/31 | 42 45-47 46/15 46/35 47/35"),
    ("High_Cheekbones", "attribute", "Cheek", _CHEEKS, f"{_LEFT_BONE} | {_RIGHT_BONE}"),
    ("Rosy_Cheeks", "attribute", "Cheek", _CHEEKS, f"{_LEFT_CHEEK} | {_RIGHT_CHEEK}"),
    ("No_Beard", "attribute", "Cheek", "", _JAW),
    ("5_o_Clock_Shadow", "attribute", "Cheek", "", _JAW),
    ("AU_9", "action unit", "Nose", "", "27-31 35 21/39 22/42"),
    ("nose", "part", "Nose", "", _NOSE),
    ("Big_Nose", "attribute", "Nose", "nose", _NOSE),
    ("Pointy_Nose", "attribute", "Nose", "nose", _NOSE),
    ("AU_12", "action unit", "Mouth", "", _MOUTH),
    ("AU_15", "action unit", "Mouth", "", "48 54-59 48/6 54/10"),
    ("AU_20", "action unit", "Mouth", "", _MOUTH),
    ("AU_25", "action unit", "Mouth", "", _MOUTH),
    ("mouth", "part", "Mouth", "", _MOUTH),
    ("Big_Lips", "attribute", "Mouth", _LIPS, _MOUTH),
    ("Mouth_Slightly_Open", "attribute", "Mouth", "mouth", _MOUTH),
    ("Mustache", "attribute", "Mouth", "", "31-35 48-54"),
    ("Smiling", "attribute", "Mouth", "mouth", _MOUTH),
    ("Wearing_Lipstick", "attribute", "Mouth", _LIPS, _MOUTH),
    ("AU_17", "action unit", "Chin", "", "56-58 6-10 57/8"),
    ("AU_26", "action unit", "Chin", "", "4-12 48-59"),
    ("Double_Chin", "attribute", "Chin", "", "5-11 57/8"),
    ("Goatee", "attribute", "Chin", "", "6-10 56-58 57/8"),
)  # fmt: skip

# name, groups, threshold, columns looked for, inner bounds of the groups of a number
CATEGORIES: tuple[tuple[str, tuple[str, ...], float, tuple[str, ...], tuple[float, ...]], ...] = (
    (
        "Age",
        ("zero_to_twenty", "twenty_to_forty", "forty_to_sixty", "sixty_plus"),
        0.3,
        ("age", "age_group"),
        (20.0, 40.0, 60.0),
    ),
    ("Gender", ("Male", "Female"), 0.55, ("Male", "Female", "sex", "gender"), ()),
    ("Ethnicity", ("white", "black", "asian", "indian"), 0.3, ("ethnicity", "race"), ()),
    ("Skin_tone", ("bright", "dark"), 0.55, ("skin_tone",), (0.5,)),
)
