import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import canonical as reference

from fusiform.errors import DataError, SpecError
from fusiform.faces import (
    canonical_coordinates,
    canonical_face,
    canonical_landmarks,
    canonical_parts,
    from_canonical,
    synthetic,
    to_canonical,
)
from fusiform.faces._canonical import _image_mesh
from fusiform.faces._geometry import five_points, moved, similarity
from fusiform.faces._templates import Template


def _landmarks(size=96, **factors):
    """Landmarks of synthetic faces as face sets count them, the centre of the first pixel being (0, 0)."""
    return torch.from_numpy(synthetic.landmarks(pd.DataFrame(factors), size=size)).double() - 0.5


def _ramps(n, height, width):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return x.double().expand(n, -1, -1), y.double().expand(n, -1, -1)


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0.6, 1.5), st.floats(-0.6, 0.6), st.floats(-0.3, 0.3), st.integers(60, 90), st.integers(60, 90)
)
def test_an_affine_image_of_the_canonical_face_comes_back_exactly(scale, roll, shear, height, width):
    size = 48
    turn = torch.tensor([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    matrix = scale * turn @ torch.tensor([[1.0, shear], [0.0, 1.0]], dtype=torch.float64)
    shift = torch.tensor([width / 2, height / 2]) - matrix @ torch.tensor([24.0, 26.0], dtype=torch.float64)
    points = canonical_landmarks(size) @ matrix.T + shift
    maps, visible = zip(*(to_canonical(m, points[None], size) for m in _ramps(1, height, width)), strict=True)
    seen = visible[0][0]
    at = torch.stack(_ramps(1, size, size), dim=-1)[0] @ matrix.T + shift
    inside = ((at >= 0) & (at <= torch.tensor([width - 1.0, height - 1.0]))).all(dim=-1)
    assert (seen[inside] == canonical_face(size).face[inside]).all()
    for axis in (0, 1):
        assert torch.allclose(maps[axis][0][seen & inside], at[..., axis][seen & inside], atol=1e-6)
    back = canonical_coordinates(points[None], (height, width), size)[0]
    known = back[..., 0].isfinite()
    here = torch.stack(_ramps(1, height, width), dim=-1)[0]
    assert known.any()
    assert torch.allclose(back[known] @ matrix.T + shift, here[known], atol=1e-6)


def test_carrying_equals_loops_over_pixels_and_triangles():
    size = 40
    points = _landmarks(64, yaw=[0.0, -10.0], AU_12=[0.8, 0.0], AU_26=[0.0, 0.9], roll=[12.0, 0.0])
    maps = torch.rand(2, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    carried, visible = to_canonical(maps, points, size)
    face, mesh = canonical_face(size), _image_mesh(points)
    for i in range(2):
        slow = reference.carry(
            maps[i].numpy(), mesh.points[i].numpy(), face.points.numpy(), face.triangles.numpy(), size
        )
        assert (np.isfinite(slow) == face.face.numpy()).all()
        seen = visible[i].numpy()
        assert seen.mean() > 0.4
        assert np.abs(carried[i].numpy() - slow)[seen].max() < 1e-6
        assert torch.isnan(carried[i][~visible[i]]).all()


def test_a_batch_equals_single_images_and_keeps_the_type():
    points = _landmarks(64, yaw=[0.0, 30.0, -50.0])
    maps = torch.rand(3, 64, 64)
    carried, visible = to_canonical(maps.requires_grad_(), points, 40)
    assert carried.dtype == torch.float32
    assert not carried.requires_grad
    for i in range(3):
        one, seen = to_canonical(maps[i : i + 1], points[i : i + 1].numpy(), 40)
        assert (seen[0] == visible[i]).all()
        assert torch.equal(one[0].nan_to_num(-1), carried[i].nan_to_num(-1))
    assert to_canonical(maps.double(), points, 40)[0].dtype == torch.float64
    assert to_canonical(maps[:0], points[:0], 40)[0].shape == (0, 40, 40)
    assert canonical_coordinates(points[:0], (64, 64), 40).shape == (0, 64, 64, 2)


def test_landmarks_go_to_the_canonical_landmarks():
    size = 128
    points = _landmarks(112, yaw=[0.0, 15.0], AU_12=[0.9, 0.0], pitch=[8.0, -8.0])
    x, y = (to_canonical(ramp, points, size)[0] for ramp in _ramps(2, 112, 112))
    at = canonical_landmarks(size)
    # What lies at a landmark of the canonical face is the image's landmark; the inner lips are joined.
    for k in [*range(17, 36), 36, 39, 42, 45, 48, 54, 57]:
        column, row = at[k].round().long()
        near = torch.stack([x[:, row, column], y[:, row, column]], dim=1)
        assert ((near - points[:, k]).norm(dim=1) < 1.5).all(), k


def test_what_is_turned_away_is_not_visible():
    yaws = [0.0, 20.0, 40.0, 60.0]
    points = _landmarks(96, yaw=[*yaws, *(-y for y in yaws)])
    visible = to_canonical(torch.zeros(8, 96, 96), points, 64)[1]
    parts = canonical_parts(64)
    share = visible.flatten(1).double().mean(dim=1)
    assert (share[:3] > share[1:4] + 0.01).all()
    near, far = (visible[3][parts[name]].double().mean() for name in ("left_cheek", "right_cheek"))
    assert far < 0.25
    assert near > 0.8
    # The head is symmetric, and so is what it hides.
    assert (visible[:4] == visible[4:].flip(2)).double().mean() > 0.995
    assert (visible[0] == canonical_face(64).face).all()


def test_correspondence_of_synthetic_faces_over_yaw():
    """Where a pixel lies on the head is known: its canonical place must not depend on the pose."""
    from scipy.interpolate import LinearNDInterpolator

    size, side = 128, 128
    table = synthetic.sample_parameters(
        2, seed=5, fixed={"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "hat": "none", "glasses": "none"}
    )
    template = Template(
        "canonical", (size, size), tuple(map(tuple, five_points(canonical_landmarks(size).numpy())))
    )
    rows, columns = np.mgrid[:side, :side]
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64)

    def seen(yaw):
        drawn = synthetic.render(table.assign(yaw=yaw), size=side)
        points = drawn.landmarks.astype(np.float64) - 0.5
        at = canonical_coordinates(points, (side, side), size).flatten(1, 2).numpy()
        aligned = np.stack([moved(pixels, similarity(five_points(p), template)) for p in points])
        return drawn.coordinates.flatten(2).transpose(1, 2).double().numpy() * [0.7, 1.0], at, aligned

    surface, at, aligned = seen(0.0)
    for yaw, most in ((15.0, 4.0), (30.0, 6.0), (45.0, 8.5)):
        turned, there, there_aligned = seen(yaw)
        ours, theirs = [], []
        for i in range(2):
            known = np.isfinite(surface[i]).all(axis=1) & np.isfinite(at[i]).all(axis=1)
            find = LinearNDInterpolator(surface[i][known], np.hstack([at[i], aligned[i]])[known])
            some = np.flatnonzero(np.isfinite(turned[i]).all(axis=1) & np.isfinite(there[i]).all(axis=1))[::3]
            wanted = find(turned[i][some])
            some, wanted = some[np.isfinite(wanted).all(axis=1)], wanted[np.isfinite(wanted).all(axis=1)]
            ours.append(np.linalg.norm(there[i][some] - wanted[:, :2], axis=1))
            theirs.append(np.linalg.norm(there_aligned[i][some] - wanted[:, 2:], axis=1))
        eyes = np.linalg.norm(np.diff(five_points(canonical_landmarks(size).numpy())[:2], axis=0))
        error, aligned_error = (100 * np.concatenate(e).mean() / eyes for e in (ours, theirs))
        assert error < most, yaw
        assert error < 0.6 * aligned_error, yaw


def test_masks_go_to_images_and_come_back():
    parts = canonical_parts(96)
    points = _landmarks(112, yaw=[0.0, 25.0], AU_12=[0.5, 0.0])
    names = ("nose", "mouth", "forehead")
    masks = torch.stack([parts[name] for name in names]).float()
    there = from_canonical(masks, points, (112, 112))
    assert there.shape == (2, 3, 112, 112)
    for k, mask in enumerate(masks):
        back, visible = to_canonical(there[:, k], points, 96)
        wrong = ((back > 0.5) != (mask > 0.5)) & visible
        assert (wrong.sum(dim=(1, 2)) < 0.12 * mask.sum()).all(), names[k]


def test_parts_share_out_the_face():
    parts = canonical_parts(128)
    assert list(parts) == [
        "forehead", "left_brow", "right_brow", "left_eye", "right_eye", "left_cheek", "right_cheek", "nose", "mouth", "chin",
    ]  # fmt: skip
    total = torch.stack(list(parts.values())).int().sum(dim=0)
    assert (total == canonical_face(128).face.int()).all()
    rows = torch.arange(128.0)[:, None].expand(128, 128)
    height = {name: float(rows[mask].mean()) for name, mask in parts.items()}
    order = ["forehead", "left_brow", "left_eye", "nose", "mouth", "chin"]
    assert sorted(order, key=height.__getitem__) == order
    for side, other in (("left_eye", "right_eye"), ("left_cheek", "right_cheek"), ("nose", "nose")):
        assert (parts[side] != parts[other].flip(1)).sum() <= 0.05 * parts[side].sum()


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (torch.zeros(1, 5, 2), r"Landmarks have shape \(1, 68, 2\); got \(1, 5, 2\)"),
        (
            torch.full((1, 68, 2), torch.nan),
            "The landmarks of image 0 of the batch are not known; leave it out",
        ),
        (torch.ones(1, 68, 2), "image 0 of the batch lie on one line or point: there is no face to carry"),
        (torch.arange(68.0)[None, :, None].expand(1, 68, 2), "lie on one line or point"),
        (torch.rand(2, 68, 2), r"Landmarks have shape \(1, 68, 2\)"),
    ],
)
def test_landmarks_without_a_face_are_refused(points, text):
    with pytest.raises(DataError, match=text):
        to_canonical(torch.zeros(1, 20, 20), points)


def test_other_bad_input_is_refused():
    with pytest.raises(SpecError, match="a whole number of pixels from 32; got 16"):
        canonical_face(16)
    with pytest.raises(DataError, match=r"Maps are a floating tensor \(n, height, width\)"):
        to_canonical(torch.zeros(1, 3, 20, 20), torch.zeros(1, 68, 2))
    with pytest.raises(DataError, match=r"Masks on the canonical face have shape \(k, size, size\)"):
        from_canonical(torch.zeros(1, 32, 40), canonical_landmarks()[None], (20, 20))


def test_dense_meshes_of_real_faces_fall_on_their_frontal_reference(realdata):
    """2,194 points a face and the same points on a frontal face; landmarks are the nearest points of the mesh."""
    from scipy.ndimage import map_coordinates
    from scipy.spatial import Delaunay, cKDTree

    found = np.load(realdata / "images" / "restricted" / "celeba_full" / "meshes.npz")
    meshes, front = found["vertices"].astype(np.float64)[::4], found["frontal_vertices"].astype(np.float64)
    size, larger = 128, 3
    front[:, :2] -= front[:, :2].min(axis=0) - 40
    # The frontal mesh is that of our own frontal face up to scale: its landmarks are found by aligning both outlines.
    eyes = canonical_landmarks(size).numpy()
    box = [np.ptp(p[:, 0]) for p in (front, canonical_face(size).points.numpy())]
    guess = eyes * box[0] / box[1]
    guess += [front[:, 0].mean() - guess[:, 0].mean(), front[:, 1].max() - guess[:, 1].max()]
    nearest = cKDTree(front[:, :2]).query(guess)[1]
    triangles = Delaunay(front[:, :2]).simplices

    def facing(mesh):
        a, b, c = (mesh[triangles[:, k]] for k in range(3))
        across, total = np.cross(b - a, c - a), np.zeros_like(mesh)
        for k in range(3):
            np.add.at(total, triangles[:, k], across)
        return total[:, 2] / np.linalg.norm(total, axis=1)

    def places(mesh, scale):
        points = (mesh[nearest, :2] + 0.5) * scale - 0.5
        shape = tuple(int(v) + 30 for v in (mesh[:, :2].max(axis=0)[::-1] + 1) * scale)
        at = canonical_coordinates(points[None], shape, size)[0].numpy()
        where = ((mesh[:, :2] + 0.5) * scale - 0.5)[:, ::-1].T
        ours = np.stack([map_coordinates(at[..., k], where, order=1, cval=np.nan) for k in (0, 1)], axis=1)
        template = Template("canonical", (size, size), tuple(map(tuple, five_points(eyes))))
        return ours, moved(mesh[:, :2], similarity(five_points(mesh[nearest, :2]), template))

    sign = np.sign(np.median(facing(front)))
    wanted, wanted_aligned = places(front, 1)
    errors = []
    for mesh in meshes:
        ours, aligned = places(mesh, larger)
        known = np.isfinite(ours).all(axis=1) & np.isfinite(wanted).all(axis=1) & (sign * facing(mesh) > 0.2)
        assert known.mean() > 0.4
        errors.append(
            [
                np.linalg.norm(a[known] - b[known], axis=1).mean()
                for a, b in ((ours, wanted), (aligned, wanted_aligned))
            ]
        )
    eye_distance = np.linalg.norm(np.diff(five_points(eyes)[:2], axis=0))
    ours, aligned = 100 * np.mean(errors, axis=0) / eye_distance
    assert ours < 4
    assert ours < 0.5 * aligned
