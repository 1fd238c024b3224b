import io

import numpy as np
import pytest
from PIL import Image

from fusiform.errors import DataError, ImageError
from fusiform.faces import FaceSet
from fusiform.faces._crops import Crops, as_margin
from fusiform.faces._images import UnreadableImageError, decode_labels
from fusiform.faces._label_maps import LabelledImages
from fusiform.faces._sources import ArrayImages

BOXES = np.array([[4, 3, 10, 8], [-2, 5, 6, 40], [1.5, 2.5, 3, 3]], dtype=float)


def whole():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(3)]
    points = rng.uniform(2, 18, (3, 5, 2))
    return ArrayImages(images, points, {"nose": [image[..., 0] > 100 for image in images]})


def reference(array, box, margin):
    """Pixel by pixel: those of the picture that the widened box touches."""
    left, top, width, height = box
    keep_x = [
        x for x in range(array.shape[1]) if left - margin * width < x + 1 and x < left + (1 + margin) * width
    ]
    keep_y = [
        y for y in range(array.shape[0]) if top - margin * height < y + 1 and y < top + (1 + margin) * height
    ]
    return array[np.ix_(keep_y, keep_x)], (keep_x[0], keep_y[0])


@pytest.mark.parametrize("margin", [0.0, 0.25, 2.0])
def test_images_points_and_masks_are_cut_together(margin):
    source = whole()
    crops = Crops(source, BOXES, ["a", "b", "c"], margin)
    rows = [2, 0, 1]
    for row, image, mask, points in zip(
        rows, crops.read(rows), crops.masks("nose", rows), crops.points(rows), strict=True
    ):
        wanted, corner = reference(source.read([row])[0], BOXES[row], margin)
        assert (image == wanted).all()
        assert (mask == (wanted[..., 0] > 100)).all()
        assert crops.size(row) == image.shape[:2]
        assert points == pytest.approx(source.points([row])[0] - corner)
    assert crops.points_known(rows).all()
    assert crops.n_points == 5
    assert crops.parts == ("nose",)


def test_a_set_of_crops_is_aligned_as_the_whole_is():
    source = whole()
    ids = ["a", "b", "c"]
    full = FaceSet.from_arrays(
        [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in source.read([0, 1, 2])],
        points=source.points([0, 1, 2]),
    )
    boxes = np.array([[2, 3, 40, 40]] * 3, dtype=float)
    cut = FaceSet(name="cut", table=full.table, schema={}, source=Crops(source, boxes, ids))
    assert cut.aligned().keypoints == pytest.approx(full.aligned().keypoints, abs=1e-3)
    assert cut.size == (17, 28)


def test_a_box_outside_is_told_and_fingerprints_differ():
    crops = Crops(whole(), BOXES + np.array([100, 0, 0, 0]), ["a", "b", "c"])
    with pytest.raises(
        ImageError, match=r"'b' cannot be read: its face box \(x 98 to 104, y 5 to 45\) .* 30 x 20"
    ):
        crops.read([1])
    assert crops.size(0) is None
    assert sorted(crops.unreadable([0, 1], None)) == [0, 1]
    one, other = (list(Crops(whole(), BOXES, ["a"] * 3, m).fingerprints([0])) for m in (0.0, 0.5))
    assert one != other


@pytest.mark.parametrize("percent", [-1, 201])
def test_margins_out_of_range(percent):
    with pytest.raises(DataError, match=rf"must lie in \[0, 200\] per cent; got {percent}"):
        as_margin(percent)
    assert as_margin(30) == 0.3


@pytest.mark.parametrize("size", [(20, 30), (10, 15), (40, 90), (7, 11)])
def test_label_maps_of_any_size_are_brought_to_the_image(size):
    labels = np.random.default_rng(1).integers(0, 4, size, dtype=np.uint8)
    source = LabelledImages(whole(), {"a": (1,), "b": (0, 2), "c": (3,)}, lambda row: labels, ["x"] * 3)
    masks = {part: source.masks(part, [0, 1])[1] for part in source.parts}
    for y in range(20):
        for x in range(30):
            value = labels[int((y + 0.5) * size[0] / 20), int((x + 0.5) * size[1] / 30)]
            assert [masks[part][y, x] for part in "abc"] == [value == 1, value in (0, 2), value == 3]


def test_labels_are_read_once_for_several_parts():
    calls = []

    def read(row):
        calls.append(row)
        return np.zeros((20, 30), np.uint8)

    source = LabelledImages(whole(), {"a": (0,), "b": (1,)}, read, ["x"] * 3)
    assert source.masks("a", [0, 1])[0].all()
    assert not source.masks("b", [0, 1])[0].any()
    assert calls == [0, 1]
    source.masks("b", [2])
    assert calls == [0, 1, 2]


def stored(image):
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def test_class_numbers_are_read_from_any_picture_that_holds_them():
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    grey = Image.fromarray(numbers)
    coloured = grey.copy()
    coloured.putpalette([k * 37 % 256 for k in range(768)])
    assert coloured.mode == "P"
    for image in (grey, coloured, grey.convert("RGB"), grey.convert("RGBA")):
        assert (decode_labels(stored(image)) == numbers).all()
    bits = Image.fromarray(numbers > 5)
    assert bits.mode == "1"
    assert (decode_labels(stored(bits)) == (numbers > 5)).all()
    for image in (Image.new("RGB", (4, 4), (1, 2, 3)), Image.fromarray(numbers.astype(np.uint16))):
        with pytest.raises(
            UnreadableImageError, match="it holds colours, expected class numbers of one byte"
        ):
            decode_labels(stored(image))
    with pytest.raises(UnreadableImageError, match="broken or truncated"):
        decode_labels(
            stored(Image.fromarray(np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8)))[:200]
        )
