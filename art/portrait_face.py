"""Makes the portraits that `avatar character build` is tested with: nobody's face, by code.

A head is put together from ellipsoids that flow into one another, traced to a relief as seen
from the front, given skin, eyes, brows, lashes, hair and a pullover, and photographed by
Blender under two soft lights. Needs Debian's ``blender`` (3.4 or later) and a few minutes:

    python -m art.portrait_face tests/data/portrait/face.jpg
    python -m art.portrait_face tests/data/portrait/turned.jpg \
        --yaw 35 --height 440 --samples 12

Lengths are units of half a head's width, about 75 mm. x grows to the right of the picture, y
upwards, z towards the camera; 0 is between the eyes, well inside the head.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from art.portrait_shape import (
    EYE_IN,
    EYE_OUT,
    EYE_R,
    EYE_X,
    EYE_Y,
    EYE_Z,
    FAR,
    HIGH,
    IRIS_R,
    LEFT,
    LID,
    LOW,
    MOUTH_X,
    NOTHING,
    RIGHT,
    STEP,
    Floats,
    grid,
    lips,
    mouth_line,
    noise,
    opening,
    smooth,
    trace,
    union,
)

SKIN: Final = (0.60, 0.335, 0.235)
LIPS: Final = (0.46, 0.135, 0.125)
HAIR: Final = (0.055, 0.026, 0.014)
BROW: Final = (0.11, 0.060, 0.036)
PULLOVER: Final = (0.035, 0.075, 0.105)
SEED: Final = 11


def relief() -> dict[str, Floats]:
    """Height, colour, roughness and how deep light goes in, over the grid."""
    dice = np.random.default_rng(SEED)
    x, y = grid()
    coarse = trace(x[::2, ::2], y[::2, ::2])
    size = (x.shape[1], x.shape[0])
    z = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR), np.float32)
    z = soften(np.where(z < FAR, FAR, z), 2)
    gone = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)) < FAR
    body = smooth(neckline(x) - y, -0.01, 0.01)
    skin = 1 - body
    mouth = lips(x, y)

    # Lids: a shell around each eyeball, open where one sees out of it.
    hole = np.zeros(x.shape, np.float32)
    crease = np.zeros(x.shape, np.float32)
    rim = np.zeros(x.shape, np.float32)
    for side in (-1, 1):
        along, up = (x - side * EYE_X) * side, y - EYE_Y
        upper, lower = opening(along)
        reach = (EYE_R + LID) ** 2 - along**2 - up**2
        shell = EYE_Z + np.sqrt(np.maximum(reach, 0))
        shell = np.where(reach > 0, shell, FAR).astype(np.float32)
        z = -union(-z, -shell, 0.045)
        within = (along > EYE_IN) & (along < EYE_OUT)
        open_ = within & (up < upper) & (up > lower)
        hole[open_] = 1
        fold = upper + 0.034 - 0.012 * np.abs(along) / 0.16
        near = np.exp(-(((up - fold) / 0.010) ** 2)) * smooth(0.19 - np.abs(along + 0.0), 0, 0.08)
        crease += near.astype(np.float32)
        bag = lower - 0.062
        crease += 0.25 * np.exp(-(((up - bag) / 0.016) ** 2)) * smooth(0.16 - np.abs(along), 0, 0.1)
        edge = np.minimum(np.abs(up - upper), np.abs(up - lower))
        rim += np.where(within, np.exp(-((edge / 0.010) ** 2)), 0).astype(np.float32)
    z -= 0.012 * crease

    # The line of the mouth, lines of the lips, pores.
    line = y - mouth_line(x)
    ends = smooth(1.06 - np.abs(x) / MOUTH_X, 0, 0.14)
    z -= 0.034 * np.exp(-((line / 0.010) ** 2)) * ends
    folds = noise((x.shape[0] // 6, x.shape[1]), 3.2, dice)
    folds = np.asarray(Image.fromarray(folds).resize(size, Image.Resampling.BICUBIC))
    z += 0.0016 * folds * mouth
    pores = noise(x.shape, 2.2, dice) * 0.6 + noise(x.shape, 4.5, dice) * 0.6
    z += 0.0007 * pores * skin * (1 - mouth)
    z += body * (0.03 + 0.0030 * np.sin(x * 130))

    patches = noise(x.shape, 60, dice) * 0.5 + noise(x.shape, 22, dice) * 0.35
    grain = noise(x.shape, 2.2, dice) * 0.5 + noise(x.shape, 7, dice) * 0.5

    def spot(at: tuple[float, float], radii: tuple[float, float]) -> Floats:
        far = ((np.abs(x) - at[0]) / radii[0]) ** 2 + ((y - at[1]) / radii[1]) ** 2
        return np.exp(-far).astype(np.float32)

    red = 0.9 * spot((0.42, -0.22), (0.22, 0.16)) + 0.7 * spot((0, -0.25), (0.12, 0.10))
    red += 0.35 * spot((0, -0.95), (0.2, 0.15)) + 0.6 * rim + 0.25 * crease
    dark = 0.55 * spot((0.28, -0.055), (0.17, 0.045)) + 0.4 * spot((0.33, 0.13), (0.2, 0.05))
    colour = np.array(SKIN, np.float32) * (1 + 0.05 * patches + 0.035 * grain)[..., None]
    colour *= 1 - red[..., None] * np.array([0.02, 0.20, 0.17], np.float32)
    colour *= 1 - dark[..., None] * np.array([0.16, 0.20, 0.14], np.float32)
    moles = spots(x, y, dice)
    colour *= 1 - moles[..., None] * np.array([0.30, 0.42, 0.48], np.float32)
    tint = np.array(LIPS, np.float32) * (1 + 0.10 * folds + 0.05 * grain)[..., None]
    colour += (tint - colour) * (0.86 * mouth)[..., None]
    colour *= 1 - (0.75 * np.exp(-((line / 0.007) ** 2)) * ends)[..., None]
    wool = np.array(PULLOVER, np.float32) * (1 + 0.12 * np.sin(x * 130) + 0.1 * grain)[..., None]
    colour += (wool - colour) * body[..., None]
    rough = 0.46 + 0.08 * grain - 0.14 * mouth + 0.5 * body
    return {
        "z": np.where(gone, NOTHING, z).astype(np.float32),
        "hole": hole,
        "colour": np.clip(colour, 0.004, 1).astype(np.float32),
        "rough": np.clip(rough, 0.2, 1).astype(np.float32),
        "deep": (skin * (1 - 0.2 * mouth)).astype(np.float32),
    }


def spots(x: Floats, y: Floats, dice: np.random.Generator) -> Floats:
    """Freckles and a few moles."""
    marks = np.zeros(x.shape, np.float32)
    for index in range(70):
        sx, sy = dice.normal(0, 0.34), dice.normal(-0.12, 0.13)
        radius = dice.uniform(0.004, 0.008) if index else 0.013
        if index == 0:
            sx, sy = 0.33, -0.40
        column, row = (sx - LEFT) / STEP, (HIGH - sy) / STEP
        window = np.s_[int(row) - 9 : int(row) + 10, int(column) - 9 : int(column) + 10]
        far = ((x[window] - sx) ** 2 + (y[window] - sy) ** 2) / radius**2
        marks[window] = np.maximum(marks[window], np.exp(-far) * (1.0 if index == 0 else 0.4))
    return marks


def soften(values: Floats, times: int) -> Floats:
    for _ in range(times):
        padded = np.pad(values, 1, mode="edge")
        down = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        values = ((down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 4).astype(np.float32)
    return values


def neckline(x: Floats) -> Floats:
    """The pullover's edge; beyond the neck everything is pullover."""
    edge = -1.70 + 0.45 * np.abs(x / 0.62) ** 2.4
    return np.where(np.abs(x) < 1.2, edge, 1.3).astype(np.float32)


# Hair: strands, each a list of places.


def hair(dice: np.random.Generator) -> list[Floats]:
    """A bob with a parting on the left, combed over the head and down to the jaw."""
    strands = []
    for _ in range(15_000):
        side = 1 if dice.random() < 0.56 else -1
        depth = dice.uniform(-0.95, 0.50) if dice.random() < 0.62 else dice.uniform(0.30, 0.56)
        layer = dice.uniform(0, 1) ** 0.7
        strands.append(strand(side, depth, layer, dice))
    return strands


def strand(side: int, depth: float, layer: float, dice: np.random.Generator) -> Floats:
    part = -0.20 + 0.012 * dice.normal()
    count = 20
    t = np.linspace(0, 1, count)
    # Over the crown along a slice of the skull, then straight down, a little inwards at the end.
    top = 0.40 + 0.98 * math.sqrt(max(0.0, 1 - ((depth + 0.30) / 1.08) ** 2)) + 0.05 * layer
    front = max(0.0, depth - 0.22) / 0.34
    wide = 0.76 + 0.19 * layer + 0.02 * dice.normal() - 0.02 * front
    if depth < 0.1:
        wide = 0.55 + 0.40 * layer
    length = -0.98 + 0.10 * dice.normal() * 0.6 + 0.06 * (1 - layer) - 0.05 * front
    swing = np.clip(t / 0.52, 0, 1)
    angle = swing * math.pi / 2
    reach = abs(side * wide - part)
    x = part + side * reach * np.sin(angle) ** (0.92)
    fall = 0.12 + 0.05 * front
    y = fall + (top - fall) * np.cos(angle) ** 0.95
    down = np.clip((t - 0.52) / 0.48, 0, 1)
    y = np.where(t > 0.52, fall + (length - fall) * down, y)
    bend = np.sin(down * math.pi * 0.9)
    x = x + side * (0.055 * bend - 0.13 * down**2.2) * (t > 0.52)
    z = depth - 0.10 * swing * (depth > 0) - 0.22 * front * swing + 0.10 * down * front
    wave = dice.normal(0, 1, 3)
    x = x + 0.012 * wave[0] * np.sin(t * 5 + wave[1]) + 0.004 * np.sin(t * 23 + wave[2] * 3)
    z = z + 0.02 * wave[1] * np.sin(t * 4 + wave[2]) + 0.03 * layer
    return np.stack([x, y, z], axis=1).astype(np.float32)


def height_at(z: Floats, x: Floats, y: Floats) -> Floats:
    column = np.clip(((x - LEFT) / STEP).astype(int), 0, z.shape[1] - 1)
    row = np.clip(((HIGH - y) / STEP).astype(int), 0, z.shape[0] - 1)
    return np.asarray(z[row, column], np.float32)


def brows(z: Floats, dice: np.random.Generator) -> list[Floats]:
    strands = []
    for side in (-1, 1):
        for _ in range(330):
            share = dice.uniform(0, 1) ** (0.8 if dice.random() < 0.9 else 1.6)
            thick = 0.026 * (1 - 0.75 * share**1.5) * (0.45 + 0.55 * min(1, share * 4))
            up = dice.uniform(-1, 1) * thick
            arch = 0.265 + 0.062 * math.sin(share * 2.3) - 0.045 * share**3
            lean = math.radians(68 - 62 * min(1, share * 1.6) + dice.normal(0, 7) - 300 * up)
            length = dice.uniform(0.045, 0.075) * (1.05 - 0.4 * share)
            t = np.linspace(0, 1, 5)
            x = side * (0.125 + 0.40 * share + np.cos(lean) * length * t)
            y = arch + up + np.sin(lean) * length * t * (1 - 0.25 * t)
            lift = height_at(z, x.astype(np.float32), y.astype(np.float32)) + 0.004 + 0.010 * t
            strands.append(np.stack([x, y, lift], axis=1).astype(np.float32))
    return strands


def lashes(dice: np.random.Generator) -> list[Floats]:
    strands = []
    for side in (-1, 1):
        for upper, count in ((True, 95), (False, 45)):
            for share in dice.uniform(0.03, 1.0, count):
                along = EYE_IN + (EYE_OUT - EYE_IN) * share
                edges = opening(np.array([along], np.float32))
                up = float(edges[0 if upper else 1][0])
                root_z = EYE_Z + math.sqrt(max(0.0, (EYE_R + LID) ** 2 - along**2 - up**2))
                t = np.linspace(0, 1, 6)
                length = dice.uniform(0.75, 1.0) * (0.055 if upper else 0.022)
                length *= 0.55 + 0.6 * share
                out = (share - 0.42) * 0.9 + dice.normal(0, 0.08)
                rise = (0.10 * t + 0.75 * t**2) if upper else -0.7 * t
                x = side * (EYE_X + along + out * length * t)
                y = EYE_Y + up + length * rise
                deep = root_z - 0.002 + length * (0.9 * t - 0.25 * t**2)
                strands.append(np.stack([x, y, deep], axis=1).astype(np.float32))
    return strands


def eye_picture(size: int, dice: np.random.Generator) -> Image.Image:
    """An eyeball from the front: sclera with fine veins, iris, pupil."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis * EYE_R, -axis * EYE_R)
    far, angle = np.hypot(x, y), np.arctan2(y, x)
    around = (angle / (2 * math.pi) + 0.5) * 512

    def rays(cell: float, squeeze: float) -> Floats:
        wheel = noise((64, 512), cell, dice)
        row = np.clip(far / IRIS_R * squeeze, 0, 63).astype(int)
        return np.asarray(wheel[row, np.clip(around, 0, 511).astype(int)], np.float32)

    share = far / IRIS_R
    iris = np.empty((*x.shape, 3), np.float32)
    shade = 0.65 + 0.35 * rays(5, 6) + 0.25 * rays(11, 3)
    inner = np.exp(-(((share - 0.45) / 0.16) ** 2))
    for channel, (outer, warm) in enumerate(((0.060, 0.20), (0.085, 0.105), (0.080, 0.035))):
        iris[..., channel] = (outer + (warm - outer) * inner) * shade
    iris *= (1 - 0.75 * smooth(share, 0.80, 1.0))[..., None]
    iris *= smooth(share, 0.36, 0.42)[..., None] + 0.004
    veins = np.clip(noise(x.shape, size / 26, dice) - 0.55, 0, 1) * smooth(share, 1.3, 2.0)
    white = (
        np.array([0.70, 0.64, 0.59], np.float32) * (1 - 0.25 * smooth(share, 1.35, 2.1))[..., None]
    )
    white *= 1 - veins[..., None] * np.array([0.1, 0.5, 0.5], np.float32)
    colour = white + (iris - white) * (1 - smooth(share, 0.96, 1.05))[..., None]
    return picture(colour)


def picture(linear: Floats) -> Image.Image:
    """Linear light as a picture in sRGB."""
    low = linear * 12.92
    high = 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055
    srgb = np.where(linear < 0.0031308, low, high)
    return Image.fromarray(np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8))


def write_scene(folder: Path) -> None:
    """Everything that the photographer needs."""
    dice = np.random.default_rng(SEED + 1)
    made = relief()
    np.save(folder / "z.npy", np.where(made["hole"] > 0, NOTHING, made["z"]))
    picture(made["colour"]).save(folder / "colour.png")
    grey = np.stack([made["rough"], made["deep"], made["deep"]], axis=2)
    Image.fromarray(np.rint(grey * 255).astype(np.uint8)).save(folder / "surface.png")
    eye_picture(512, dice).save(folder / "eye.png")
    for name, strands in (
        ("hair", hair(dice)),
        ("brows", brows(made["z"], dice)),
        ("lashes", lashes(dice)),
    ):
        longest = max(map(len, strands))
        assert all(len(one) == longest for one in strands)
        np.save(folder / f"{name}.npy", np.stack(strands))


def calmed(photo: Image.Image) -> Image.Image:
    """Without the coloured specks that few samples of light under the skin leave."""
    y, cb, cr = photo.convert("YCbCr").split()
    bright = Image.blend(y, y.filter(ImageFilter.MedianFilter(3)), 0.6)
    cb, cr = (plane.filter(ImageFilter.MedianFilter(5)) for plane in (cb, cr))
    return Image.merge("YCbCr", (bright, cb, cr)).convert("RGB")


def main() -> int:
    parser = argparse.ArgumentParser(description="Photograph a face that nobody has.")
    parser.add_argument("out", type=Path, help="a .jpg or .png")
    parser.add_argument("--height", type=int, default=1000, help="pixels")
    parser.add_argument("--samples", type=int, default=240, help="more: less noise, longer")
    parser.add_argument("--yaw", type=float, default=0.0, help="degrees that the head is turned")
    wanted = parser.parse_args()
    blender = shutil.which("blender")
    if blender is None:
        print("There is no blender here; install it: apt-get install blender", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_scene(folder)
        order = {
            "folder": str(folder),
            "height": wanted.height,
            "samples": wanted.samples,
            "yaw": wanted.yaw,
            "grid": [LEFT, RIGHT, LOW, HIGH, STEP, NOTHING],
            "eyes": [EYE_X, EYE_Y, EYE_Z, EYE_R],
            "hair": HAIR,
            "brow": BROW,
        }
        (folder / "order.json").write_text(json.dumps(order))
        photographer = Path(__file__).with_name("portrait_photo.py")
        command = [blender, "--background", "--factory-startup", "--python-exit-code", "1"]
        command += ["--python", str(photographer), "--", str(folder / "order.json")]
        subprocess.run(command, check=True, stdout=sys.stderr)
        with Image.open(folder / "photo.png") as photo:
            calmed(photo.convert("RGB")).save(wanted.out, quality=88, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
