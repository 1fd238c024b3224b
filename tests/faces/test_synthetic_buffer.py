"""The z-buffer of synthetic faces, held to slow and plain ways to see a surface; purity of the drawing."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.reference.renderer import filled, triangles, zbuffer

from fusiform.errors import DataError, SpecError
from fusiform.faces.synthetic import FACTORS, Rendering, landmarks, render, sample_parameters
from fusiform.faces.synthetic import _buffer as gb
from fusiform.faces.synthetic._factors import check
from fusiform.faces.synthetic._measures import measure
from fusiform.faces.synthetic._render import _build, _even

SIDE = 48


def _scene(**factors: object) -> tuple[list[torch.Tensor], list[torch.Tensor | None], list[torch.Tensor]]:
    m = measure(check(pd.DataFrame([factors])), torch.device("cpu"))
    camera = gb.Camera(m, SIDE, SIDE)
    shells = _build(m, SIDE)
    screens = [
        camera.project(camera.place(s.position.flatten(2), s.torso)).view(s.position.shape) for s in shells
    ]
    return screens, [s.keep for s in shells], [s.faces for s in shells]


def _drawn(
    screens: list[torch.Tensor], keeps: list[torch.Tensor | None]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Flat pixels (-1 off the buffer) and depths of every sample of every shell."""
    pixels, depths = [], []
    for screen, keep in zip(screens, keeps, strict=True):
        samples = gb.Samples.of(screen, keep, SIDE)
        x, y, depth = (samples.read(axis).numpy() for axis in screen)
        pixel = np.floor(y).astype(int) * SIDE + np.floor(x).astype(int)
        inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
        if keep is not None:
            inside &= samples.read(keep).numpy() > 0
        pixels.append(np.where(inside, pixel, -1))
        depths.append(depth)
    return pixels, depths


def test_scatter_equals_a_plain_z_buffer() -> None:
    screens, keeps, faces = _scene(yaw=30.0, hat="cap", glasses="horn", hair_length=0.6)
    buffer = gb.rasterize(screens, keeps, faces, SIDE, 1)
    pixels, depths = _drawn(screens, keeps)
    depth, owner = zbuffer(pixels, depths, SIDE)
    expected = filled(depth.reshape(SIDE, SIDE), 0.015)
    np.testing.assert_array_equal(buffer.depth.reshape(SIDE, SIDE), expected)
    plain = (expected.ravel() == depth) & (owner >= 0)  # where no gap was filled, the sample is the plain one
    shells = np.concatenate([np.full(len(d), i) for i, d in enumerate(depths)])
    np.testing.assert_array_equal(buffer.shell[0].numpy()[plain], shells[owner[plain]])
    numbers = np.concatenate([np.arange(len(d)) for d in depths])
    np.testing.assert_array_equal(buffer.number[0].numpy()[plain], numbers[owner[plain]])
    np.testing.assert_array_equal(buffer.shell[0] == gb.NO_SHELL, ~np.isfinite(expected.ravel()))


def test_scatter_agrees_with_drawn_triangles() -> None:
    screens, keeps, faces = _scene(yaw=-40.0, pitch=10.0, hair_length=0.3)
    buffer = gb.rasterize(screens, keeps, faces, SIDE, 1)
    alone = [k[0].numpy() if k is not None else None for k in keeps]
    depth, owner = triangles([s[:, 0].numpy() for s in screens], alone, SIDE)
    got = buffer.depth.reshape(SIDE, SIDE).numpy()
    shell = buffer.shell.reshape(SIDE, SIDE).numpy()
    assert (
        np.where(shell == gb.NO_SHELL, -1, shell) == owner
    ).mean() > 0.92  # borders within one sample apart
    both = np.isfinite(got) & np.isfinite(depth)
    apart = np.abs(got[both] - depth[both])
    assert np.median(apart) < 0.03
    assert np.mean(apart < 0.15) > 0.94


def test_samples_read_what_a_grid_holds() -> None:
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    screen = torch.stack((columns * 3, rows * 3, torch.ones(5, 7)))[:, None]
    samples = gb.Samples.of(screen, None, 64)
    x, y = samples.read(screen[0]), samples.read(screen[1])
    assert len(x) == 4 * 6 * 3 * 3  # at a density of 0.88, 3 pixels are cut into 3 parts
    covered = {(int(a), int(b)) for a, b in zip(x, y, strict=True)}
    assert covered == {(a, b) for a in range(18) for b in range(12)}
    np.testing.assert_allclose(samples.read(screen[0] * 2 + screen[1]), 2 * x + y, rtol=1e-6)


def _row(rendering: Rendering, i: int) -> Rendering:
    parts = {f.name: getattr(rendering, f.name) for f in fields(rendering)}
    present = {k: v[i : i + 1] for k, v in parts.pop("present").items()}
    return replace(rendering, **{k: v[i : i + 1] for k, v in parts.items()}, present=present)


def _same(a: Rendering, b: Rendering) -> bool:
    """Whether two renderings are equal to the byte."""
    return (
        all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("images", "labels", "planes"))
        and all(
            torch.equal(getattr(a, n).nan_to_num(-1), getattr(b, n).nan_to_num(-1))
            for n in ("depth", "coordinates")
        )
        and np.array_equal(a.landmarks, b.landmarks)
        and np.array_equal(a.visible, b.visible)
    )


@pytest.mark.parametrize("size", [64, 161])
def test_a_face_is_the_same_in_any_batch_order_and_number_of_threads(size: int) -> None:
    table = sample_parameters(24, seed=5, identities=24)
    whole = render(table, size=size)
    order = [7, 3, 11, 0]
    threads = torch.get_num_threads()
    shuffled = render(table.iloc[order], size=size)
    for place, i in enumerate(order):
        assert _same(_row(whole, i), _row(shuffled, place))
    try:
        torch.set_num_threads(1)
        for i in (2, 7):
            assert _same(_row(whole, i), render(table.iloc[[i]], size=size))
        torch.set_num_threads(2)
        assert _same(whole, render(table, size=size))
        assert torch.get_num_threads() == 2  # given back as it was found
    finally:
        torch.set_num_threads(threads)
    assert not _same(_row(whole, 0), _row(whole, 1))  # the comparison can fail


@pytest.mark.parametrize("size", [64, 161])
def test_landmarks_without_drawing_are_those_of_the_drawing(size: int) -> None:
    table = sample_parameters(40, seed=9, identities=40)
    np.testing.assert_array_equal(landmarks(table, size=size), render(table, size=size).landmarks)
    np.testing.assert_array_equal(landmarks(table[7:8], size=size), landmarks(table, size=size)[7:8])


def test_empty_table() -> None:
    faces = render(pd.DataFrame({"yaw": []}), size=32)
    assert len(faces) == 0
    assert faces.images.shape == (0, 3, 32, 32)
    assert faces.mask("nose").shape == faces.mask("Goatee").shape == (0, 32, 32)


@pytest.mark.parametrize("size", [31, 513, 64.5, True])
def test_sizes_out_of_range(size: object) -> None:
    with pytest.raises(SpecError, match=r"must be an int in \[32, 512\] pixels"):
        render(pd.DataFrame({"yaw": [0.0]}), size=size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"yawn": [1.0]}, r"'yawn' is not a factor.*yaw"),
        ({"yaw": [80.0]}, r"'yaw' must be within \[-75, 75\] deg; got 80 in row 0"),
        ({"yaw": [0.0, np.nan]}, r"'yaw' is missing \(NaN\) in row 1"),
        ({"hat": ["crown"]}, r"'hat' must be one of none, beanie.*got 'crown' in row 0"),
        ({"necktie": [2]}, r"'necktie' must be True or False; got 2"),
        ({"yaw": ["left"]}, r"'yaw' must be numeric"),
    ],
)
def test_wrong_parameters_are_named(table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        render(pd.DataFrame(table), size=32)
    with pytest.raises(DataError, match="must be a pandas DataFrame"):
        render({"yaw": [0.0]}, size=32)  # type: ignore[arg-type]


def test_every_factor_has_a_description_and_a_default_within_its_range() -> None:
    for name, factor in FACTORS.items():
        assert factor.description, name
        if factor.kind == "continuous":
            assert factor.low <= factor.default <= factor.high, name
        elif factor.kind == "categorical":
            assert factor.default in factor.levels, name


@pytest.mark.parametrize(
    ("n", "most", "threads", "size"), [(0, 5, 2, 1), (4, 5, 2, 4), (6, 5, 2, 3), (11, 5, 2, 3), (11, 5, 1, 4)]
)
def test_chunks_are_even(n: int, most: int, threads: int, size: int) -> None:
    assert _even(n, most, threads) == size
