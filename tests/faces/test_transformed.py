import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from skimage.transform import SimilarityTransform

from fusiform.errors import DataError
from fusiform.faces import TEMPLATES, FaceSet, Template, join_faces, open_faces, transformed
from fusiform.faces._transformed import _MIRROR_68

STILL = {"rotation": 0, "scale": (1, 1), "shift": 0}


def smooth(n, size=(60, 50), seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 3, 6, 5))
    y, x = np.mgrid[: size[0], : size[1]]
    where = [y * 5 / (size[0] - 1), x * 4 / (size[1] - 1)]
    return np.stack(
        [[map_coordinates(c, where, order=3, mode="nearest").clip(0, 255) for c in image] for image in coarse]
    ).astype(np.uint8)


def faces_with_points(n=6, size=(60, 50), seed=0):
    """Smooth pictures with five points, and a mask of a disc at each side of the face."""
    images = smooth(n, size, seed)
    points = np.array([[15, 20], [33, 21], [25, 30], [17, 42], [32, 41]], dtype=float)
    points = points[None] + np.random.default_rng(seed).normal(0, 1.5, (n, 1, 2))
    y, x = np.mgrid[: size[0], : size[1]]
    masks = {
        part: np.stack([np.hypot(x - p[k][0], y - p[k][1]) < 6 for p in points])
        for k, part in enumerate(("left_eye", "right_eye"))
    }
    return FaceSet.from_arrays(images, points=points, masks=masks, name="smooth")


def the_map(before, after):
    return SimilarityTransform.from_estimate(before, after)


def test_no_movement_gives_the_same_pixels_points_and_masks():
    faces = faces_with_points()
    still = transformed(faces, **STILL)
    assert still.images().equal(faces.images())
    np.testing.assert_array_equal(still.keypoints, faces.keypoints)
    assert still.mask("left_eye").equal(faces.mask("left_eye"))
    aligned = faces.aligned("arcface_112")
    assert transformed(aligned, **STILL).images().equal(aligned.images())


def test_the_same_in_any_batch_subset_and_order():
    faces = faces_with_points(9)
    moved = transformed(faces, seed=3)
    whole = moved.images()
    assert not whole.equal(faces.images())
    for k in range(9):
        assert moved.images([k])[0].equal(whole[k])
        assert moved.image(k).equal(whole[k])
    order = [7, 2, 5]
    assert moved.subset(order).images().equal(whole[order])
    assert transformed(faces.subset(order), seed=3).images().equal(whole[order])
    assert transformed(faces, seed=3).images().equal(whole)
    assert not transformed(faces, seed=4).images().equal(whole)


def test_pixels_points_and_masks_move_by_one_map():
    faces = faces_with_points()
    moved = transformed(faces, seed=1)
    assert moved.size == faces.size
    y, x = np.mgrid[:60, :50]
    for k in range(len(faces)):
        own = the_map(faces.keypoints[k], moved.keypoints[k])
        # Reference: every pixel of the canvas is read where the inverse map says, from the whole original.
        seen = own.inverse(np.stack([x.ravel(), y.ravel()], axis=1))
        inside = ((seen > 1) & (seen < [48, 58])).all(axis=1).reshape(60, 50)
        reference = map_coordinates(faces.image(k)[0].numpy().astype(float), seen[:, ::-1].T, order=1)
        error = np.abs(moved.image(k)[0].numpy() - reference.reshape(60, 50))[inside]
        assert error.max() < 14  # shrinking smooths a little
        assert error.mean() < 1.5
        outside = ((seen < -1.5) | (seen > [50.5, 60.5])).any(axis=1).reshape(60, 50)
        assert not moved.image(k)[:, outside].any()
        mask = moved.mask("right_eye", [k])[0].numpy()
        expected = np.hypot(*(seen - faces.keypoints[k][1]).T).reshape(60, 50) < 6
        assert (mask != expected).sum() < 0.15 * expected.sum() + 3


@settings(max_examples=25, deadline=None)
@given(
    rotation=st.floats(0, 180),
    low=st.floats(0.3, 1.0),
    spread=st.floats(0.0, 1.5),
    shift=st.floats(0, 0.5),
    seed=st.integers(0, 10**6),
)
def test_moves_stay_within_their_ranges(rotation, low, spread, shift, seed):
    points = np.random.default_rng(0).uniform(5, 35, (30, 5, 2))
    faces = FaceSet.from_arrays(np.zeros((30, 3, 40, 60), dtype=np.uint8), points=points)
    moved = transformed(faces, rotation=rotation, scale=(low, low + spread), shift=shift, seed=seed)
    middle = np.array([29.5, 19.5])
    for before, after in zip(points, moved.keypoints, strict=True):
        own = the_map(before, after)
        assert abs(np.degrees(own.rotation)) <= rotation + 0.01
        assert low - 1e-3 <= own.scale <= low + spread + 1e-3
        # The middle of the canvas is moved by the shift alone.
        assert (np.abs(own(middle)[0] - middle) <= shift * np.array([60, 40]) + 0.01).all()


def test_moves_are_spread_evenly_over_their_ranges():
    points = np.tile(TEMPLATES["arcface_112"].array(), (1000, 1, 1))
    faces = FaceSet.from_arrays(np.zeros((1000, 3, 1, 1), dtype=np.uint8), points=points)
    found = [the_map(points[0], after) for after in transformed(faces).keypoints]
    angles = np.degrees([own.rotation for own in found])
    scales = np.array([own.scale for own in found])
    for values, low, high in ((angles, -30, 30), (scales, 0.8, 1.2)):
        counts = np.histogram(values, bins=5, range=(low, high))[0]
        assert counts.sum() >= 998  # rounding at the ends
        assert (np.abs(counts - 200) < 55).all()  # more than four standard deviations
    assert abs(np.corrcoef(angles, scales)[0, 1]) < 0.13


def test_what_an_alignment_cut_off_comes_back():
    tight = Template("tight", (30, 30), ((8, 8), (22, 8), (15, 15), (10, 22), (20, 22)))
    faces = FaceSet.from_arrays(
        np.full((1, 3, 90, 90), 200, dtype=np.uint8), points=(tight.array() + 30)[None]
    )
    moved = transformed(faces.aligned(tight), rotation=30, scale=(0.6, 0.6), shift=0.1)
    assert moved.size == (30, 30)
    assert int(moved.images().min()) == 200  # no black corner: the original reaches there
    edge = Template("edge", (60, 60), tight.points, "edge")
    few = FaceSet.from_arrays(np.full((1, 3, 32, 32), 200, dtype=np.uint8), points=tight.array()[None])
    assert int(transformed(few.aligned(edge), scale=(0.6, 0.6)).images().min()) == 200


def test_in_a_mirror_left_is_still_what_is_seen_on_the_left():
    faces = faces_with_points(40)
    moved = transformed(faces, **STILL, flip=True)
    mirrored = np.array([not moved.image(k).equal(faces.image(k)) for k in range(40)])
    assert 8 <= mirrored.sum() <= 32
    assert (moved.keypoints[:, 0, 0] < moved.keypoints[:, 1, 0]).all()
    for k in np.flatnonzero(mirrored):
        assert moved.image(k).equal(faces.image(k).flip(2))
        expected = faces.keypoints[k][[1, 0, 2, 4, 3]] * [-1, 1] + [49, 0]
        np.testing.assert_allclose(moved.keypoints[k], expected, atol=1e-4)
        assert moved.mask("left_eye", [k])[0].equal(faces.mask("right_eye", [k])[0].flip(1))
    assert moved.mask("left_eye", np.flatnonzero(~mirrored)).equal(
        faces.mask("left_eye", np.flatnonzero(~mirrored))
    )


def test_the_68_points_of_a_mirrored_face_keep_their_order():
    assert sorted(_MIRROR_68) == list(range(68))
    assert [_MIRROR_68[k] for k in _MIRROR_68] == list(range(68))
    faces = open_faces("synthetic?n=60&size=64&seed=1")
    faces = faces.subset((faces.table["yaw"].abs() < 15).to_numpy())
    before, after = faces.landmarks, transformed(faces, **STILL, flip=True).landmarks
    turned = np.flatnonzero((before != after).any(axis=(1, 2)))
    assert 3 < len(turned) < len(faces)
    from_the_left = [
        (k, k + 1)
        for run in ((3, 13), (17, 26), (31, 35), (36, 39), (42, 45), (48, 54), (60, 64))
        for k in range(*run)
    ]
    from_the_left += [(41, 40), (47, 46), (59, 58), (58, 57), (57, 56), (56, 55), (67, 66), (66, 65)]
    downwards = [(37, 41), (38, 40), (43, 47), (44, 46), (61, 67), (63, 65), (27, 28), (29, 30), (51, 57)]
    downwards += [(0, 2), (16, 14), (2, 4), (14, 12)]
    for points in (before[turned], after[turned]):
        for one, other in from_the_left:
            assert (points[:, one, 0] <= points[:, other, 0] + 0.3).mean() > 0.9, (one, other)
        for one, other in downwards:
            assert (points[:, one, 1] <= points[:, other, 1] + 0.3).mean() > 0.9, (one, other)
    # The five points taken from 68 are those of the mirrored five.
    five = faces.keypoints[turned][:, [1, 0, 2, 4, 3]] * [-1, 1] + [63, 0]
    np.testing.assert_allclose(transformed(faces, **STILL, flip=True).keypoints[turned], five, atol=1e-3)


def test_unknown_points_stay_unknown_and_sizes_may_differ():
    images = [torch.full((3, 20 + k, 30), 90, dtype=torch.uint8) for k in range(3)]
    points = np.random.default_rng(0).uniform(5, 15, (3, 5, 2))
    points[1, 2] = np.nan
    moved = transformed(FaceSet.from_arrays(images, points=points))
    assert [tuple(moved.image(k).shape) for k in range(3)] == [(3, 20 + k, 30) for k in range(3)]
    assert np.isfinite(moved.keypoints).all(axis=(1, 2)).tolist() == [True, False, True]
    assert moved.size is None
    assert len(moved.readable()) == 3
    plain = transformed(FaceSet.from_arrays(images))
    assert plain.keypoints is None
    assert plain.resized(16).images().shape == (3, 3, 16, 16)


def test_digest_spec_and_provenance_say_it():
    faces = faces_with_points().aligned("arcface_112")
    moved = transformed(faces, seed=1)
    others = [faces, transformed(faces, seed=2), transformed(faces, rotation=10, seed=1)]
    assert moved.digest() == transformed(faces, seed=1).digest()
    assert len({s.digest() for s in (moved, *others)}) == 4
    assert transformed(faces_with_points().resized(112), seed=1).digest() != moved.digest()
    assert moved.spec == "smooth transformed(rotation=30, scale=0.8..1.2, shift=0.15, flip=False, seed=1)"
    assert [step["step"] for step in moved.provenance["transformed"]] == ["aligned", "transformed"]
    assert moved.provenance["transformed"][1]["scale"] == [0.8, 1.2]
    twice = transformed(moved)
    assert [s["step"] for s in twice.provenance["transformed"]] == ["aligned", "transformed", "transformed"]
    assert "transformed" not in faces.provenance


def test_table_and_joining():
    faces = faces_with_points()
    moved = transformed(faces)
    assert moved.table.equals(faces.table)
    joined = join_faces([faces, moved])
    assert joined.images().equal(torch.cat([faces.images(), moved.images()]))
    assert moved.card()["n"] == 6


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"rotation": -1}, r"'rotation' must lie in \[0, 180\] degrees; got -1"),
        ({"rotation": float("nan")}, r"'rotation' must lie in"),
        (
            {"scale": (1.2, 0.8)},
            r"'scale' must be a smallest and a largest factor above 0.*; got \(1\.2, 0\.8\)",
        ),
        ({"scale": (0, 1)}, r"'scale' must be"),
        ({"scale": 1.1}, r"'scale' must be .*; got 1\.1"),
        ({"shift": 2}, r"'shift' must lie in \[0, 1\], as a share of the side; got 2"),
    ],
)
def test_ranges_that_cannot_be_are_refused(given, text):
    with pytest.raises(DataError, match=text):
        transformed(faces_with_points(1), **given)
