import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from fusiform.errors import DataError
from fusiform.faces import TEMPLATES, FaceSet, Template
from fusiform.faces._geometry import five_points, moved, resizing, similarity, warp

ARCFACE = TEMPLATES["arcface_112"]


def known_map(scale: float, degrees: float, dx: float, dy: float) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, dx], [s, c, dy], [0, 0, 1]])


def blobs(points: np.ndarray, size: tuple[int, int], width: float) -> np.ndarray:
    """Soft dots at points, to a fraction of a pixel."""
    y, x = np.mgrid[: size[0], : size[1]]
    out = np.zeros(size)
    for px, py in points:
        out += np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2))
    return np.repeat((255 * np.clip(out, 0, 1)).round().astype(np.uint8)[..., None], 3, axis=2)


def centres(image: np.ndarray, near: np.ndarray, radius: int) -> np.ndarray:
    """Centre of brightness about each of some points."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    found = []
    for px, py in near:
        weight = image[..., 0].astype(float) * (np.hypot(x - px, y - py) <= radius)
        found.append(((weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()))
    return np.array(found)


@settings(max_examples=40, deadline=None)
@given(
    scale=st.floats(0.1, 8),
    degrees=st.floats(-180, 180),
    dx=st.floats(-300, 300),
    dy=st.floats(-300, 300),
    name=st.sampled_from(sorted(TEMPLATES)),
)
def test_alignment_recovers_a_known_similarity(scale, degrees, dx, dy, name):
    template = TEMPLATES[name]
    placed = known_map(scale, degrees, dx, dy)
    matrix = similarity(moved(template.array(), placed), template)
    assert np.abs(matrix @ placed - np.eye(3)).max() < 1e-6
    assert np.abs(moved(moved(template.array(), placed), matrix) - template.array()).max() < 1e-3


def test_similarity_is_the_least_squares_one():
    rng = np.random.default_rng(0)
    points = ARCFACE.array() * 2 + rng.normal(0, 3, (5, 2))
    matrix = similarity(points, ARCFACE)
    # Reference: z -> a z + b over complex numbers, by least squares.
    z, w = points @ [1, 1j], ARCFACE.array() @ [1, 1j]
    (a, b), *_ = np.linalg.lstsq(np.stack([z, np.ones(5)], axis=1), w, rcond=None)
    assert matrix[0, 0] == pytest.approx(a.real)
    assert matrix[1, 0] == pytest.approx(a.imag)
    assert matrix[0, 2] == pytest.approx(b.real)
    assert matrix[1, 2] == pytest.approx(b.imag)


@pytest.mark.parametrize("scale", [0.4, 0.9, 1.0, 1.7, 4.0])
@pytest.mark.parametrize("degrees", [0.0, 25.0])
def test_landmarks_and_masks_move_with_the_image(scale, degrees):
    placed = known_map(scale, degrees, 60 * scale, 5 * scale)
    points = moved(ARCFACE.array(), placed)
    side = int(190 * scale)
    image = blobs(points, (side, side), width=3 * scale)
    mask = image[..., 0] > 127
    faces = FaceSet.from_arrays(
        image.transpose(2, 0, 1)[None], points=points[None], masks={"dots": mask[None]}
    )
    aligned = faces.aligned("arcface_112")
    assert np.abs(aligned.keypoints[0] - ARCFACE.array()).max() < 1e-3
    drawn = aligned.images()[0].permute(1, 2, 0).numpy()
    assert np.abs(centres(drawn, ARCFACE.array(), 9) - aligned.keypoints[0]).max() < 0.1
    again = aligned.mask("dots")[0].numpy()
    bright = drawn[..., 0] > 127
    assert (again & bright).sum() > 0.7 * (again | bright).sum() > 70
    mask_centres = centres(np.repeat(again[..., None] * 255, 3, axis=2), ARCFACE.array(), 9)
    assert np.abs(mask_centres - aligned.keypoints[0]).max() < 0.6


def test_resizing_moves_points_with_the_image():
    points = np.array([[[20.0, 30], [60, 32], [40, 50], [25, 70], [55, 72]]])
    image = blobs(points[0], (100, 80), width=3)
    small = FaceSet.from_arrays(image.transpose(2, 0, 1)[None], points=points).resized((50, 60))
    drawn = small.images()[0].permute(1, 2, 0).numpy()
    assert drawn.shape == (50, 60, 3)
    assert np.abs(centres(drawn, small.keypoints[0], 6) - small.keypoints[0]).max() < 0.1


def test_steps_are_one_map_of_the_original():
    rng = np.random.default_rng(1)
    image = np.repeat(gaussian_filter(rng.uniform(0, 255, (240, 240)), 3)[None], 3, axis=0)
    image = ((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)
    points = moved(ARCFACE.array(), known_map(1.9, 10, 30, 5))
    faces = FaceSet.from_arrays(image[None], points=points[None])
    there = faces.resized((300, 200)).aligned("arcface_112")
    twice = faces.aligned("arcface_112").resized(224).resized(112)
    once = faces.aligned("arcface_112")
    assert np.array_equal(twice.images().numpy(), once.images().numpy())
    assert twice.keypoints == pytest.approx(once.keypoints, abs=1e-4)
    # A picture that was stretched cannot be brought to the template by a similarity: points stay a little off.
    assert 0.5 < np.abs(there.keypoints[0] - ARCFACE.array()).max() < 8


def test_shrinking_does_not_alias():
    board = (np.indices((800, 800)).sum(axis=0) % 2 * 255).astype(np.uint8)
    points = moved(ARCFACE.array(), known_map(7, 20, 200, -80))
    faces = FaceSet.from_arrays(np.repeat(board[None, None], 3, axis=1), points=points[None])
    inner = faces.aligned("arcface_112").images()[0, 0, 40:72, 40:72].numpy().astype(float)
    assert inner.std() < 2
    assert abs(inner.mean() - 127.5) < 2
    assert faces.resized(100).images().numpy().std() < 2


def test_quality_against_supersampling():
    rng = np.random.default_rng(2)
    image = gaussian_filter(rng.uniform(0, 255, (300, 300)), 2.0)
    image = np.repeat(((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)[..., None], 3, axis=2)
    matrix = similarity(moved(ARCFACE.array(), known_map(2.0, 15, 60, 10)), ARCFACE)
    from scipy.ndimage import map_coordinates

    fine = (np.arange(112 * 8) + 0.5) / 8 - 0.5
    x, y = np.meshgrid(fine, fine)
    source = moved(np.stack([x.ravel(), y.ravel()], axis=1), np.linalg.inv(matrix))
    wanted = map_coordinates(image[..., 0].astype(float), source[:, ::-1].T, order=3, mode="nearest")
    wanted = wanted.reshape(112, 8, 112, 8).mean(axis=(1, 3))
    got = warp(image, matrix, (112, 112))[..., 0].astype(float)
    assert np.sqrt(np.mean((got - wanted)[8:-8, 8:-8] ** 2)) < 0.05 * wanted.std()


def test_outside_is_black_or_the_border():
    image = np.full((60, 60, 3), 200, np.uint8)
    points = TEMPLATES["wide_64"].array() * 0.9 + 5
    for template, corner in ((ARCFACE, 0), (Template("e", (112, 112), ARCFACE.points, "edge"), 200)):
        shrunk = moved(ARCFACE.array(), known_map(0.2, 30, 25, 10))
        drawn = warp(image, similarity(shrunk, template), template.size, template.outside)
        assert drawn[0, 0, 0] in (corner, 200)
        far = warp(image, similarity(points + 4000, template), template.size, template.outside)
        assert far.shape == (112, 112, 3)
    away = warp(image, known_map(1, 0, 500, 500), (50, 50))
    assert not away.any()
    edge = warp(image, known_map(0.5, 30, 20, 20), (80, 80), "edge")
    assert (edge == 200).all()


def test_identity_is_untouched_and_resizing_is_exact_about_corners():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(warp(image, np.eye(3), (4, 4)), image)
    corners = np.array([[-0.5, -0.5], [9.5, 19.5]])
    assert moved(corners, resizing((20, 10), (40, 5))) == pytest.approx(np.array([[-0.5, -0.5], [4.5, 39.5]]))


def test_five_of_sixty_eight():
    points = np.arange(136, dtype=float).reshape(68, 2)
    five = five_points(points)
    assert five[0] == pytest.approx(points[[36, 37, 38, 39, 40, 41]].mean(axis=0))
    assert five[1] == pytest.approx(points[[42, 43, 44, 45, 46, 47]].mean(axis=0))
    assert five[2:] == pytest.approx(points[[30, 48, 54]])
    faces = FaceSet.from_arrays(np.zeros((1, 3, 8, 8), np.uint8), points=points[None])
    assert faces.landmarks.shape == (1, 68, 2)
    assert faces.keypoints[0] == pytest.approx(five)


def test_templates_are_what_their_networks_expect():
    assert ARCFACE.points[0] == (38.2946, 51.6963)
    narrow = TEMPLATES["arcface_112x96"]
    assert narrow.size == (112, 96)
    assert narrow.array() == pytest.approx(ARCFACE.array() - [8, 0])
    for template in TEMPLATES.values():
        points = template.array()
        assert template.name in TEMPLATES
        assert ((points > 0) & (points < template.size[::-1])).all()
        assert points[0, 0] < points[2, 0] < points[1, 0]
        assert points[3, 0] < points[4, 0]
        assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()


def test_alignment_without_landmarks_names_the_ways_out():
    faces = FaceSet.from_arrays(np.zeros((2, 3, 8, 8), np.uint8), name="mine")
    with pytest.raises(DataError, match=r"'mine' have no landmarks.*lm_left_eye_x.*\.resized\(size\)"):
        faces.aligned()
    with pytest.raises(DataError, match=r"no alignment template 'arcface'; did you mean 'arcface_112'"):
        faces.aligned("arcface")


def test_images_without_landmarks_are_counted_or_dropped():
    points = np.repeat(ARCFACE.array()[None], 4, axis=0)
    points[1] = np.nan
    points[3] = 7.0  # all in one place
    faces = FaceSet.from_arrays(np.zeros((4, 3, 112, 112), np.uint8), points=points)
    with pytest.raises(
        DataError, match=r"2 of 4 images .* no usable landmarks, among them '1', '3'.*missing='drop'"
    ):
        faces.aligned()
    kept = faces.aligned(missing="drop")
    assert kept.table["image_id"].tolist() == ["0", "2"]
    assert kept.skipped.to_numpy().tolist() == [
        ["1", "no landmarks to align by"],
        ["3", "no landmarks to align by"],
    ]
    assert kept.images().shape == (2, 3, 112, 112)
    with pytest.raises(DataError, match="2 of 2 images"):
        faces.subset([1, 3]).aligned(missing="drop")
    with pytest.raises(DataError, match="'missing' must be 'raise' or 'drop'"):
        faces.aligned(missing="skip")
