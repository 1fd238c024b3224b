"""Draw contact sheets of synthetic faces.

python examples/face_sheet.py --n 64 --size 112 --out sheet.png            # many people
python examples/face_sheet.py --mode identity --out identity.png           # one person over yaw, light, expression
python examples/face_sheet.py --mode truth --n 12 --size 224 --out truth.png   # landmarks and masks laid over
python examples/face_sheet.py --mode factors --out factors.png             # one factor changed at a time
python examples/face_sheet.py --mode ages --out ages.png                   # people from 5 to 90 years
"""

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw

from fusiform.faces.synthetic import (
    ACTION_UNITS,
    EXPRESSIONS,
    FACTORS,
    PARTS,
    Rendering,
    render,
    sample_parameters,
)


def people(n: int, seed: int) -> pd.DataFrame:
    """One image each of n people."""
    return sample_parameters(n, seed=seed, identities=n)


def _plain(who: int, seed: int) -> pd.DataFrame:
    """One person as he is: everything that varies between images at its default."""
    base = sample_parameters(who + 1, seed=seed, per_identity=1).iloc[[who]].copy()
    for name, factor in FACTORS.items():
        if not factor.stable:
            base[name] = factor.default
    return base


def identity(seed: int, who: int) -> pd.DataFrame:
    """One person: yaw, pitch, light, expression, action units, and things worn, a row each."""
    base = _plain(who, seed)
    units = [{unit: 1.0} for unit in ACTION_UNITS]
    moods = [dict(units) for name, units in EXPRESSIONS.items() if name != "neutral"]
    rows = [
        [{"yaw": v} for v in (-75, -50, -25, 0, 15, 30, 45, 60)],
        [{"pitch": v, "yaw": y} for v, y in
         ((-30, 0), (-15, 0), (15, 0), (30, 0), (-25, 40), (25, 40), (25, -60), (-25, -60))],
        [{"light": v, "yaw": y} for v, y in
         ((-90, 0), (-60, 0), (-30, 0), (30, 0), (60, 0), (90, 0), (60, 30), (-60, 30))],
        moods,
        units[:8],
        [*units[8:], {"eye_closure": 0.5}, {"eye_closure": 1.0}, {"gaze_x": 1.0}, {"gaze_y": -1.0}],
        [{"glasses": "wire"}, {"glasses": "horn", "yaw": 35}, {"glasses": "half_rim"}, {"glasses": "sunglasses"},
         {"hat": "beanie"}, {"hat": "cap", "yaw": 40}, {"hat": "brimmed", "yaw": -30}, {"bangs": 1.0}],
        [{"stubble": 1.0}, {"mustache": 1.0}, {"goatee": 1.0}, {"sideburns": 1.0}, {"beard": 1.0, "mustache": 1.0},
         {"beard": 1.0, "mustache": 1.0, "yaw": 55}, {"lipstick": 1.0, "makeup": 1.0}, {"rosy_cheeks": 1.0}],
        [{"earrings": "hoop", "yaw": 25}, {"necklace": "pearls"}, {"necktie": True}, {"light_warmth": 1.0},
         {"light_warmth": -1.0}, {"blur": 0.7}, {"noise": 1.0}, {"greyscale": True}],
    ]  # fmt: skip
    return pd.concat([base.assign(**change) for row in rows for change in row], ignore_index=True)


def factors(seed: int) -> pd.DataFrame:
    """One person with every number of the identity at its lowest and highest value."""
    base = sample_parameters(1, seed=seed)
    for name, factor in FACTORS.items():
        base[name] = factor.default
    names = [n for n, f in FACTORS.items() if f.stable and f.kind == "continuous"]
    return pd.concat([base.assign(**{n: v}) for n in names
                      for v in (FACTORS[n].low, FACTORS[n].high)], ignore_index=True)  # fmt: skip


def ages(seed: int) -> pd.DataFrame:
    """Eight people, a row each, who grow older; their hair greys, and men's recedes."""
    rows = []
    for who in range(8):
        for age in (5, 12, 20, 32, 45, 58, 72, 90):
            face = _plain(who, seed).assign(age=age, eye_bags=max(0.0, (age - 40) / 60))
            if age > 60:
                face["hair_colour"] = "gray"
            if age > 40 and face["male"].iloc[0] > 0.5:
                face["hair_recession"] = np.clip(face["hair_recession"] + (age - 40) / 120, 0, 1)
            rows.append(face)
    return pd.concat(rows, ignore_index=True)


def overlay(faces: Rendering) -> torch.Tensor:
    """Images with every part tinted and the landmarks drawn (hidden ones hollow)."""
    out = []
    colours = np.random.default_rng(1).integers(60, 255, (len(PARTS), 3))
    for i, image in enumerate(faces.images):
        array = image.permute(1, 2, 0).numpy().astype(float)
        tint = colours[faces.labels[i].numpy()]
        shown = (faces.labels[i].numpy() != PARTS.index("background"))[..., None]
        array = np.where(shown, 0.55 * array + 0.45 * tint, array)
        picture = Image.fromarray(array.astype(np.uint8))
        draw = ImageDraw.Draw(picture)
        for (x, y), seen in zip(faces.landmarks[i], faces.visible[i], strict=True):
            box = (x - 1.5, y - 1.5, x + 1.5, y + 1.5)
            draw.ellipse(box, fill=(0, 255, 0) if seen else None, outline=(0, 90, 0) if seen else (255, 0, 0))
        out.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return torch.stack(out)


def sheet(images: torch.Tensor, columns: int) -> Image.Image:
    """Lay images (n, 3, h, w) on a grid."""
    n, _, h, w = images.shape
    rows = math.ceil(n / columns)
    page = torch.full((3, rows * h, columns * w), 255, dtype=torch.uint8)
    for i, image in enumerate(images):
        r, c = divmod(i, columns)
        page[:, r * h : (r + 1) * h, c * w : (c + 1) * w] = image
    return Image.fromarray(page.permute(1, 2, 0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = ("people", "identity", "factors", "ages", "truth")
    parser.add_argument("--mode", choices=modes, default="people")
    parser.add_argument("--n", type=int, default=64, help="faces of people and truth (default 64)")
    parser.add_argument("--size", type=int, default=112, help="pixels of one face (default 112)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--who", type=int, default=0, help="which person of the seed (mode identity)")
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("faces.png"))
    args = parser.parse_args()
    tables = {
        "people": lambda: people(args.n, args.seed),
        "truth": lambda: people(args.n, args.seed),
        "identity": lambda: identity(args.seed, args.who),
        "factors": lambda: factors(args.seed),
        "ages": lambda: ages(args.seed),
    }
    faces = render(tables[args.mode](), size=args.size)
    images = overlay(faces) if args.mode == "truth" else faces.images
    sheet(images, args.columns).save(args.out)
    print(f"{len(faces)} faces at {args.size} px: {args.out}")


if __name__ == "__main__":
    main()
