"""Every truth about a synthetic face is checked against its pixels."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.renderer import filled, triangles, zbuffer

from fusiform.faces.synthetic import FACTORS, PARTS, Rendering, render, sample_parameters
from fusiform.faces.synthetic import _gbuffer as gb
from fusiform.faces.synthetic._anatomy import measure
from fusiform.faces.synthetic._factors import check, rows
from fusiform.faces.synthetic._render import _build

SIZE = 96
EYES, BROWS = ("left_eye", "right_eye"), ("left_brow", "right_brow")


def pair(name: str, value: object, other: object | None = None, **base: object) -> Rendering:
    """Two renderings that differ in one factor only."""
    first = FACTORS[name].default if other is None else other
    return render(pd.DataFrame([base | {name: first}, base | {name: value}]), size=SIZE)


def changed(faces: Rendering) -> torch.Tensor:
    return (faces.images[0] != faces.images[1]).any(0)


def grown(mask: torch.Tensor, by: int) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(mask[None].float(), 2 * by + 1, 1, by)[0] > 0


# factor: a value unlike its default, in a face where it shows
EFFECTS = {name: factor.high if factor.kind == "continuous" else None for name, factor in FACTORS.items()}
EFFECTS |= {"bangs": True, "greyscale": True, "hair_colour": "blond", "hair_style": "long", "glasses": "horn",
            "hat": "cap", "beard": "full", "background": "blobs"}  # fmt: skip
EFFECTS |= {"hat_hue": 0.5, "background_hue": 0.5, "clothes_hue": 0.5}
NEEDS = {"lipstick_hue": {"lipstick": 1.0}, "hat_hue": {"hat": "beanie"}, "mole_x": {"mole_size": 1.0},
         "mole_y": {"mole_size": 1.0}, "hair_part": {"hair_style": "side_part"}, "freckles": {"skin_tone": 0.0},
         "nose_bridge": {"yaw": 50.0}, "light": {"light_strength": 1.2}}  # fmt: skip


def test_every_factor_changes_pixels() -> None:
    table = []
    for name, value in EFFECTS.items():
        base = NEEDS.get(name, {})
        low = FACTORS[name].low if FACTORS[name].kind == "continuous" and name != "hair_part" else None
        first = low if low is not None else (-1.0 if name == "hair_part" else FACTORS[name].default)
        table += [base | {name: first}, base | {name: value}]
    frame = pd.DataFrame(table)
    for name, factor in FACTORS.items():
        frame[name] = frame[name].astype(object).where(frame[name].notna(), factor.default)
    images = render(frame, size=48).images
    differing = (images[0::2] != images[1::2]).any(1).sum((1, 2))
    still = [name for name, n in zip(EFFECTS, differing.tolist(), strict=True) if n < 1]
    assert not still


@pytest.mark.parametrize(
    ("factor", "value", "other", "parts"),
    [
        ("eye_colour", 1.0, -1.0, EYES),
        ("gaze_x", 1.0, -1.0, EYES),
        ("gaze_y", 1.0, -1.0, EYES),
        ("lipstick", 1.0, 0.0, ("mouth",)),
        ("lip_redness", 1.0, -1.0, ("mouth",)),
        ("hat_hue", 0.1, 0.6, ("hat",)),
        ("background_hue", 0.1, 0.6, ("background",)),
        ("clothes_lightness", 0.9, 0.1, ("clothes",)),
        ("hair_colour", "blond", "black", ("hair", "beard", *BROWS)),
        ("freckles", 1.0, -1.0, ("skin", "beard", "mouth", *EYES, *BROWS)),
    ],
)
@pytest.mark.parametrize("yaw", [0.0, -35.0])
def test_recolouring_a_part_changes_only_its_mask(
    factor: str, value: object, other: object, parts: tuple[str, ...], yaw: float
) -> None:
    base = {"yaw": yaw, "hat": "brimmed", "beard": "goatee", "skin_tone": 0.1}
    faces = pair(factor, value, other, **base)
    mask = torch.stack([faces.mask(p) for p in parts]).any(0)
    assert torch.equal(mask[0], mask[1])  # nothing moved
    difference = changed(faces)
    assert difference.any()
    assert not (difference & ~mask[0]).any()
    if factor not in ("freckles", "gaze_x", "gaze_y", "eye_colour"):
        assert difference.sum() > 0.5 * mask[0].sum()


@pytest.mark.parametrize(
    ("factor", "value", "parts", "reach"),
    [
        ("brow_thickness", 1.0, BROWS, 1),
        ("eye_closure", 0.6, EYES, 5),
        ("glasses", "horn", ("glasses",), 1),
        ("beard", "stubble", ("beard",), 1),
        ("beard", "mustache", ("beard",), 1),
        ("rosy_cheeks", 1.0, ("left_cheek", "right_cheek"), 6),
        ("nose_width", 1.0, ("nose", "left_cheek", "right_cheek", "mouth"), 7),
        ("upper_lip", 1.0, ("mouth", "nose", "chin"), 5),
    ],
)
def test_local_factors_stay_local(factor: str, value: object, parts: tuple[str, ...], reach: int) -> None:
    faces = pair(factor, value)
    mask = torch.stack([faces.mask(p) for p in parts]).any(0).any(0, keepdim=True)
    near = grown(mask, reach)[0]
    difference = changed(faces)
    assert difference.sum() > 10
    assert not (difference & ~near).any()


def test_masks_hold_together() -> None:
    faces = render(sample_parameters(24, seed=2, identities=24), size=SIZE)
    masks = {p: faces.mask(p) for p in PARTS}
    everything = torch.stack(list(masks.values())).any(0)
    assert everything.all()  # each pixel shows something
    for i, part in enumerate(PARTS):  # the one label is among the parts seen
        assert (masks[part] | (faces.labels != i)).all()
    away = torch.isinf(faces.depth)
    assert torch.equal(away & masks["background"], away)
    inner = {p: m & (faces.planes == (faces.planes & -faces.planes)) for p, m in masks.items()}
    assert not (inner["left_eye"] & masks["right_eye"]).any()
    # Nose, cheeks and chin lie on the skin; eyes, brows and mouth do not.
    single = faces.labels == PARTS.index("skin")
    assert (masks["skin"] | ~single).all()
    on_skin = masks["nose"] & ~masks["mouth"] & ~masks["beard"] & ~masks["left_eye"] & ~masks["right_eye"]
    on_skin &= ~masks["glasses"] & ~masks["left_brow"] & ~masks["right_brow"]
    assert (masks["skin"] | ~on_skin).all()
    head = ~torch.isnan(faces.coordinates[:, 0])
    assert (head | ~single).all()


def test_landmarks_sit_on_their_features() -> None:
    table = pd.DataFrame({"yaw": [0.0, -25.0, 25.0, 0.0], "smile": [0.0, 0.6, 0.0, 1.0], "pitch": [0.0, 5.0, -8.0, 0.0],
                          "mouth_open": [0.0, 0.5, 0.3, 0.0], "eye_spacing": [0.0, 1.0, -1.0, 0.5]})  # fmt: skip
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
            assert abs(ys.float().mean() - centre[1]) < 8
        # The jaw's lowest point ends the chin.
        assert abs(torch.nonzero(faces.mask("chin")[i])[:, 0].max() - points[8, 1]) < 6


def test_left_and_right_are_the_images() -> None:
    faces = render(pd.DataFrame({"yaw": [0.0, 40.0], "light": [0.0, 0.0]}), size=SIZE)
    points = faces.landmarks[0]
    assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
    assert points[48, 0] < points[54, 0]
    assert points[0, 0] < points[16, 0]
    eyes = [torch.nonzero(faces.mask(p)[0])[:, 1].float().mean() for p in EYES]
    assert eyes[0] < eyes[1]
    # A head of positive yaw turns its nose to the image's right.
    assert faces.landmarks[1, 30, 0] > faces.landmarks[0, 30, 0] + 5
    up = render(pd.DataFrame({"pitch": [0.0, 25.0], "roll": [0.0, 0.0]}), size=SIZE)
    assert up.landmarks[1, 30, 1] < up.landmarks[0, 30, 1]
    tilt = render(pd.DataFrame({"roll": [20.0]}), size=SIZE).landmarks[0]
    assert tilt[45, 1] > tilt[36, 1] + 3  # clockwise: the eye at the right lies lower
    lit = render(pd.DataFrame({"light": [-70.0, 70.0]}), size=SIZE).images.float().mean(1)
    left, right = lit[..., : SIZE // 2].mean((1, 2)), lit[..., SIZE // 2 :].mean((1, 2))
    assert left[0] > right[0]
    assert right[1] > left[1]


def test_hidden_landmarks_are_said_to_be() -> None:
    faces = render(pd.DataFrame({"yaw": [0.0, 70.0, -70.0], "hair_style": ["bald"] * 3}), size=SIZE)
    assert faces.visible[0, 17:].all()
    assert not faces.visible[1, 42:46].all()
    assert not faces.visible[2, 36:40].all()
    assert faces.visible[1, 36:42].all()
    assert not faces.visible[1, 12:16].any()
    off = render(pd.DataFrame({"shift_x": [0.3], "zoom": [1.5]}), size=SIZE)
    outside = (off.landmarks[0] < 0).any(1) | (off.landmarks[0] >= SIZE).any(1)
    assert outside.any()
    assert not off.visible[0][outside].any()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    size=st.integers(32, 160),
    yaw=st.floats(-75, 75),
    pitch=st.floats(-30, 30),
    style=st.sampled_from(FACTORS["hair_style"].levels),
    hat=st.sampled_from(FACTORS["hat"].levels),
)
def test_no_holes_at_any_size_and_pose(size: int, yaw: float, pitch: float, style: str, hat: str) -> None:
    table = {"yaw": [yaw], "pitch": [pitch], "hair_style": [style], "hat": [hat]}
    faces = render(pd.DataFrame(table), size=size)
    assert faces.images.shape == (1, 3, size, size)
    assert np.isfinite(faces.landmarks).all()
    # A hole would be background with the head on all four sides.
    sky = torch.isinf(faces.depth[0])
    holes = sky[1:-1, 1:-1] & ~sky[:-2, 1:-1] & ~sky[2:, 1:-1] & ~sky[1:-1, :-2] & ~sky[1:-1, 2:]
    assert holes.sum() <= 2
    share = (faces.labels != PARTS.index("background")).float().mean()
    assert 0.25 < share < 0.9


def _scene(**factors: object) -> tuple[list[np.ndarray], list[np.ndarray | None], int]:
    p = rows(check(pd.DataFrame([factors])))[0]
    camera = gb.Camera.of(p, 48)
    surfaces = _build(measure(p))
    screens = [gb.project(gb.place(s.position, camera, s.torso), camera) for s in surfaces]
    return screens, [s.keep for s in surfaces], 48


def test_scatter_equals_a_plain_z_buffer() -> None:
    screens, keeps, side = _scene(yaw=30.0, hat="cap", glasses="horn")
    buffer = gb.rasterize(screens, keeps, [None] * len(screens), side)
    drawn = [gb.samples(s, k, None, side) for s, k in zip(screens, keeps, strict=True)]
    depth, owner = zbuffer([d[3] for d in drawn], [d[4] for d in drawn], side)
    expected = filled(depth.reshape(side, side), 0.015)
    np.testing.assert_array_equal(buffer.depth.reshape(side, side), expected)
    np.testing.assert_array_equal(gb.key_depth(buffer.key), buffer.depth)
    plain = (expected.ravel() == depth) & (owner >= 0)  # where no gap was filled, the sample is the plain one
    shells = np.concatenate([np.full(len(d[2]), i) for i, d in enumerate(drawn)])
    np.testing.assert_array_equal(buffer.shell[plain], shells[owner[plain]])
    numbers = np.concatenate([d[2] for d in drawn])
    np.testing.assert_array_equal((buffer.key & (2**28 - 1))[plain], numbers[owner[plain]])
    np.testing.assert_array_equal(buffer.shell == 15, ~np.isfinite(expected.ravel()))
    assert sum(len(p) for p in buffer.pixels) == np.isfinite(expected).sum()


def test_scatter_agrees_with_drawn_triangles() -> None:
    screens, keeps, side = _scene(yaw=-40.0, pitch=10.0, hair_style="short")
    buffer = gb.rasterize(screens, keeps, [None] * len(screens), side)
    depth, owner = triangles(screens, keeps, side)
    got = buffer.depth.reshape(side, side)
    shell = buffer.shell.reshape(side, side)
    assert (np.where(shell == 15, -1, shell) == owner).mean() > 0.93  # borders within one sample apart
    both = np.isfinite(got) & np.isfinite(depth)
    apart = np.abs(got[both] - depth[both])
    assert np.median(apart) < 0.03
    assert np.mean(apart < 0.15) > 0.95


def test_depth_and_coordinates_tell_where_a_pixel_lies() -> None:
    faces = render(pd.DataFrame({"yaw": [0.0]}), size=SIZE)
    x, y = faces.landmarks[0, 30].astype(int)
    theta, height = faces.coordinates[0, :, y, x]
    assert abs(theta) < 0.1
    assert -0.6 < height < -0.2
    assert faces.depth[0, y, x] == faces.depth[0][~torch.isinf(faces.depth[0])].min()
