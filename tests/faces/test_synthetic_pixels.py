"""Every truth about a synthetic face is checked against its pixels."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusiform.errors import DataError
from fusiform.faces.synthetic import (
    ACTION_UNITS,
    CONCEPTS,
    FACTORS,
    PARTS,
    REGIONS,
    Rendering,
    attributes,
    render,
    sample_parameters,
)

SIZE = 96
EYES, BROWS = ("left_eye", "right_eye"), ("left_brow", "right_brow")
FACIAL_HAIR = ("beard", "mustache", "goatee", "sideburns")


def table_of(*rows: dict[str, object]) -> pd.DataFrame:
    """A table of parameters from rows that name what differs from the default."""
    frame = pd.DataFrame(list(rows), dtype=object)
    for name in frame:
        frame[name] = frame[name].where(frame[name].notna(), FACTORS[name].default)
    return frame


def pair(name: str, value: object, other: object | None = None, **base: object) -> Rendering:
    """Two renderings that differ in one factor only."""
    first = FACTORS[name].default if other is None else other
    return render(table_of(base | {name: first}, base | {name: value}), size=SIZE)


def changed(faces: Rendering) -> torch.Tensor:
    return (faces.images[0] != faces.images[1]).any(0)


def grown(mask: torch.Tensor, by: int) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(mask[None].float(), 2 * by + 1, 1, by)[0] > 0


# A face in which a factor that is not seen on the default face shows.
NEEDS: dict[str, dict[str, object]] = {
    "lipstick_hue": {"lipstick": 1.0},
    "hat_hue": {"hat": "beanie"},
    "mole_x": {"mole_size": 1.0},
    "mole_y": {"mole_size": 1.0},
    "hair_part": {"hair_length": 0.5},
    "freckles": {"skin_tone": 0.0},
    "nose_bridge": {"yaw": 50.0},
    "eye_bulge": {"light": 50.0},
    "philtrum": {"light": 50.0},
    "dimples": {"AU_12": 1.0},
    "necktie_hue": {"necktie": True},
    "noise_seed": {"noise": 1.0},
    "ear_lobe": {"hair_length": 0.0, "yaw": 40.0},
}
HUES = ("hat_hue", "background_hue", "clothes_hue", "necktie_hue")  # 0 and 1 are one colour


def _ends(name: str) -> tuple[object, object]:
    factor = FACTORS[name]
    if name in HUES:
        return 0.1, 0.6
    if factor.kind == "continuous":
        return factor.low, factor.high
    return (False, True) if factor.kind == "binary" else (factor.levels[0], factor.levels[-1])


def test_every_factor_changes_pixels() -> None:
    rows = [NEEDS.get(name, {}) | {name: value} for name in FACTORS for value in _ends(name)]
    images = render(table_of(*rows), size=64).images
    differing = (images[0::2] != images[1::2]).any(1).sum((1, 2))
    still = [name for name, n in zip(FACTORS, differing.tolist(), strict=True) if n < 1]
    assert not still


@pytest.mark.parametrize("name", [n for n, f in FACTORS.items() if len(f.levels) > 2])
def test_every_level_looks_different(name: str) -> None:
    images = render(table_of(*({name: level} for level in FACTORS[name].levels)), size=64).images
    for i in range(len(images)):
        for j in range(i):
            assert (images[i] != images[j]).any(), (FACTORS[name].levels[i], FACTORS[name].levels[j])


def test_labels_change_no_pixel() -> None:
    rows = table_of({"yaw": 10.0}, {"yaw": 10.0}).assign(identity=["a", "b"], image_id=["1", "2"])
    images = render(rows, size=64).images
    assert torch.equal(images[0], images[1])


@pytest.mark.parametrize(
    ("factor", "value", "other", "parts"),
    [
        ("eye_colour", 1.0, -1.0, EYES),
        ("gaze_x", 1.0, -1.0, EYES),
        ("gaze_y", 1.0, -1.0, EYES),
        ("lipstick", 1.0, 0.0, ("lips",)),
        ("lip_redness", 1.0, -1.0, ("lips",)),
        ("hat_hue", 0.1, 0.6, ("hat",)),
        ("background_hue", 0.1, 0.6, ("background",)),
        ("clothes_lightness", 0.9, 0.1, ("clothes",)),
        ("necktie_hue", 0.1, 0.6, ("necktie",)),
        ("hair_colour", "blond", "black", ("hair", "beard", *BROWS)),
        ("hair_lightness", 1.0, -1.0, ("hair", "beard", *BROWS)),
        (
            "rosy_cheeks",
            1.0,
            0.0,
            ("left_cheek", "right_cheek", "skin", "nose", "beard", "mouth", *EYES, *BROWS),
        ),
    ],
)
@pytest.mark.parametrize("yaw", [0.0, -35.0])
def test_recolouring_a_part_changes_only_its_mask(
    factor: str, value: object, other: object, parts: tuple[str, ...], yaw: float
) -> None:
    base = {"yaw": yaw, "hat": "brimmed", "goatee": 0.8, "stubble": 0.6, "sideburns": 0.7, "skin_tone": 0.1,
            "necktie": True, "hair_length": 0.4}  # fmt: skip
    faces = pair(factor, value, other, **base)
    mask = torch.stack([faces.mask(p) for p in parts]).any(0)
    assert torch.equal(mask[0], mask[1])  # nothing moved
    difference = changed(faces)
    assert difference.any()
    assert not (difference & ~mask[0]).any()
    if factor not in ("gaze_x", "gaze_y", "eye_colour", "rosy_cheeks"):
        assert difference.sum() > 0.5 * mask[0].sum()


@pytest.mark.parametrize(
    ("factor", "value", "parts", "reach"),
    [
        ("brow_thickness", 1.0, BROWS, 2),
        ("eye_closure", 0.6, EYES, 5),
        ("glasses", "horn", ("glasses",), 15),  # with the shadow of the frame
        ("stubble", 1.0, ("beard",), 0),
        ("mustache", 1.0, ("mustache",), 0),
        ("goatee", 1.0, ("goatee",), 0),
        ("sideburns", 1.0, ("sideburns",), 0),
        ("necklace", "pearls", ("necklace",), 4),
        ("earrings", "hoop", ("earrings",), 8),
        ("nose_width", 1.0, ("nose", "left_cheek", "right_cheek", "mouth"), 8),
        ("upper_lip", 1.0, ("mouth", "nose", "chin"), 5),
        *((unit, 1.0, (unit,), 12 if unit in ("AU_17", "AU_26", "AU_12") else 8) for unit in ACTION_UNITS),
    ],
)
def test_local_factors_stay_local(factor: str, value: object, parts: tuple[str, ...], reach: int) -> None:
    faces = pair(factor, value, hair_length=0.2)
    mask = torch.stack([faces.mask(p) for p in parts]).any(0).any(0, keepdim=True)
    near = grown(mask, reach)[0] if reach else mask[0]
    difference = changed(faces)
    assert difference.sum() > 10
    outside = difference & ~near
    # Shadows fall where they fall: a few pixels far away may change by a grey level or two.
    strong = (faces.images[0].int() - faces.images[1].int()).abs().amax(0) > 6
    assert not (outside & strong).any()
    assert outside.sum() <= (0 if reach == 0 else 0.75 * difference.sum())


def test_concepts_are_there_when_their_attribute_says_so() -> None:
    table = sample_parameters(96, seed=4, identities=96)
    faces = render(table, size=64)
    truth = attributes(table)
    absent_while_true = {}
    for name, concept in CONCEPTS.items():
        shown = faces.mask(name).flatten(1).any(1).numpy()
        if concept.attribute is None:
            continue
        there = truth[concept.attribute].to_numpy(dtype=bool)
        assert not (shown & ~there).any(), name
        if there.any():
            absent_while_true[name] = float((there & ~shown).sum() / there.sum())
    # A hat or long hair can hide an earring, a turned head its far side; the face's own parts are there.
    hidden = {"Wearing_Earrings", "Sideburns", "Wearing_Necklace", "Wearing_Necktie", "Bangs"}
    assert {n: s for n, s in absent_while_true.items() if s > 0.1 and n not in hidden} == {}
    assert absent_while_true["Wearing_Earrings"] < 0.9
    assert len(absent_while_true) > 30


def test_masks_of_regions_and_errors() -> None:
    faces = render(table_of({"beard": 1.0}, {}), size=64)
    for name in REGIONS:
        assert faces.mask(name).shape == (2, 64, 64)
    assert torch.equal(faces.mask("brows"), faces.mask("left_brow") | faces.mask("right_brow"))
    assert faces.mask("No_Beard")[1].any()
    assert not faces.mask("No_Beard")[0].any()
    with pytest.raises(DataError, match=r"have no part 'nosee'.*nose"):
        faces.mask("nosee")


def test_masks_hold_together() -> None:
    faces = render(sample_parameters(24, seed=2, identities=24), size=SIZE)
    masks = {p: faces.mask(p) for p in PARTS}
    everything = torch.stack(list(masks.values())).any(0)
    assert everything.all()  # each pixel shows something
    for i, part in enumerate(PARTS):  # the one label is among the parts seen
        assert (masks[part] | (faces.labels != i)).all()
    away = torch.isinf(faces.depth)
    assert torch.equal(away & masks["background"], away)
    assert not (masks["left_eye"] & masks["right_eye"]).any()
    assert (masks["mouth"] | ~faces.mask("lips")).all()
    assert (masks["beard"] | ~faces.mask("mustache")).all()
    # Nose, cheeks and chin lie on the skin; eyes, brows and mouth do not.
    single = faces.labels == PARTS.index("skin")
    assert (masks["skin"] | ~single).all()
    on_skin = masks["nose"] & ~masks["mouth"] & ~masks["beard"] & ~masks["left_eye"] & ~masks["right_eye"]
    on_skin &= ~masks["glasses"] & ~masks["left_brow"] & ~masks["right_brow"]
    assert (masks["skin"] | ~on_skin).all()
    head = ~torch.isnan(faces.coordinates[:, 0])
    assert (head | ~single).all()


def test_landmarks_sit_on_their_features() -> None:
    table = table_of(
        {},
        {"yaw": -25.0, "AU_12": 0.6, "AU_25": 1.0, "pitch": 5.0, "eye_spacing": 1.0},
        {"yaw": 25.0, "AU_26": 0.6, "pitch": -8.0, "eye_spacing": -1.0},
        {"AU_12": 1.0, "eye_spacing": 0.5, "asymmetry": 1.0, "AU_1": 1.0, "AU_2": 1.0},
        {"AU_15": 1.0, "AU_17": 1.0, "AU_4": 1.0, "nose_bend": 1.0},
    ).assign(hair_length=0.0)
    faces = render(table, size=192)
    for i in range(len(table)):
        points = faces.landmarks[i]
        for part, span, reach in (("left_eye", (36, 42), 1), ("right_eye", (42, 48), 1), ("left_brow", (17, 22), 1),
                                  ("right_brow", (22, 27), 1), ("nose", (27, 36), 1), ("mouth", (48, 68), 1)):  # fmt: skip
            mask = grown(faces.mask(part)[i : i + 1], reach)[0]
            seen = [k for k in range(*span) if faces.visible[i, k]]
            assert seen
            on = [bool(mask[int(points[k, 1]), int(points[k, 0])]) for k in seen]
            assert all(on), (i, part, [k for k, o in zip(seen, on, strict=True) if not o])
            ys, xs = torch.nonzero(faces.mask(part)[i], as_tuple=True)
            centre = points[span[0] : span[1]].mean(0)
            assert abs(xs.float().mean() - centre[0]) < 8
            assert abs(ys.float().mean() - centre[1]) < 9
        # The jaw's lowest point ends the chin.
        assert abs(torch.nonzero(faces.mask("chin")[i])[:, 0].max() - points[8, 1]) < 7


def test_left_and_right_are_the_images() -> None:
    faces = render(table_of({"yaw": 0.0}, {"yaw": 40.0}), size=SIZE)
    points = faces.landmarks[0]
    assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
    assert points[48, 0] < points[54, 0]
    assert points[0, 0] < points[16, 0]
    eyes = [torch.nonzero(faces.mask(p)[0])[:, 1].float().mean() for p in EYES]
    assert eyes[0] < eyes[1]
    # A head of positive yaw turns its nose to the image's right.
    assert faces.landmarks[1, 30, 0] > faces.landmarks[0, 30, 0] + 5
    up = render(table_of({"pitch": 0.0}, {"pitch": 25.0}), size=SIZE)
    assert up.landmarks[1, 30, 1] < up.landmarks[0, 30, 1]
    tilt = render(table_of({"roll": 20.0}), size=SIZE).landmarks[0]
    assert tilt[45, 1] > tilt[36, 1] + 3  # clockwise: the eye at the right lies lower
    lit = render(table_of({"light": -70.0}, {"light": 70.0}), size=SIZE).images.float().mean(1)
    left, right = lit[..., : SIZE // 2].mean((1, 2)), lit[..., SIZE // 2 :].mean((1, 2))
    assert left[0] > right[0]
    assert right[1] > left[1]
    warm = (
        render(table_of({"light_warmth": -1.0}, {"light_warmth": 1.0}), size=SIZE).images.float().mean((2, 3))
    )
    assert warm[1, 0] / warm[1, 2] > warm[0, 0] / warm[0, 2]


def test_hidden_landmarks_are_said_to_be() -> None:
    faces = render(table_of({"yaw": 0.0}, {"yaw": 70.0}, {"yaw": -70.0}).assign(hair_length=0.0), size=SIZE)
    assert faces.visible[0, 17:].all()
    assert not faces.visible[1, 42:46].all()
    assert not faces.visible[2, 36:40].all()
    assert faces.visible[1, 36:42].all()
    assert not faces.visible[1, 12:16].any()
    off = render(table_of({"shift_x": 0.3, "zoom": 1.5}), size=SIZE)
    outside = (off.landmarks[0] < 0).any(1) | (off.landmarks[0] >= SIZE).any(1)
    assert outside.any()
    assert not off.visible[0][outside].any()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    size=st.integers(32, 160),
    yaw=st.floats(-75, 75),
    pitch=st.floats(-30, 30),
    length=st.sampled_from((0.0, 0.1, 0.3, 0.6, 1.0)),
    hat=st.sampled_from(FACTORS["hat"].levels),
)
def test_no_holes_at_any_size_and_pose(size: int, yaw: float, pitch: float, length: float, hat: str) -> None:
    faces = render(table_of({"yaw": yaw, "pitch": pitch, "hair_length": length, "hat": hat}), size=size)
    assert faces.images.shape == (1, 3, size, size)
    assert np.isfinite(faces.landmarks).all()
    # A hole would be background with the head on all four sides.
    sky = torch.isinf(faces.depth[0])
    holes = sky[1:-1, 1:-1] & ~sky[:-2, 1:-1] & ~sky[2:, 1:-1] & ~sky[1:-1, :-2] & ~sky[1:-1, 2:]
    assert holes.sum() <= 4
    share = (faces.labels != PARTS.index("background")).float().mean()
    assert 0.25 < share < 0.9


def test_noise_is_fixed_by_its_seed_and_grey_is_grey() -> None:
    faces = render(table_of(*({"noise": 0.8, "noise_seed": s} for s in (0.2, 0.2, 0.7))), size=64)
    assert torch.equal(faces.images[0], faces.images[1])
    assert not torch.equal(faces.images[0], faces.images[2])
    clean = render(table_of({}), size=64).images[0].float()
    grain = faces.images[0].float() - clean
    assert 4 < grain.std() < 25
    assert abs(grain.mean()) < 2
    grey = render(table_of({"greyscale": True, "noise": 0.5}), size=64).images[0]
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])


def test_depth_and_coordinates_tell_where_a_pixel_lies() -> None:
    faces = render(table_of({"hair_length": 0.0}), size=SIZE)
    x, y = faces.landmarks[0, 30].astype(int)
    theta, height = faces.coordinates[0, :, y, x]
    assert abs(theta) < 0.1
    assert -0.6 < height < -0.2
    assert faces.depth[0, y, x] == faces.depth[0][~torch.isinf(faces.depth[0])].min()


def test_shadows_fall_away_from_the_light() -> None:
    lit = render(
        table_of({"light": 60.0}, {"light": -60.0}).assign(hair_length=0.0, light_elevation=10.0), size=SIZE
    )
    brightness = lit.images.float().mean(1)
    x, y = lit.landmarks[0, 30].astype(int)
    beside = slice(y - 3, y + 4)
    left, right = (
        brightness[:, beside, x - 16 : x - 6].mean((1, 2)),
        brightness[:, beside, x + 6 : x + 16].mean((1, 2)),
    )
    assert right[0] > 1.15 * left[0]
    assert left[1] > 1.15 * right[1]
