"""Made-up images, from which the readers' tests lay out data sets."""

import shutil
import zipfile

import numpy as np
from PIL import Image


def picture(path, size=(40, 50), value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8))
    (image.convert("L") if path.suffix == ".pgm" else image).save(path)
    return path


def zip_of(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, prefix + str(file.relative_to(folder)))
    shutil.rmtree(folder)
    return path


def ramp(path, size=(40, 30)):
    """A picture whose red is its pixel's x and whose green is its y."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[: size[1], : size[0]]
    Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)).save(path)
    return path


def text(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path
