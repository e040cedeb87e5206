"""Reads a photo of any kind as upright RGB."""

import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from worker.characters.pictures import BROKEN, PHOTOS, opened, regular, upright
from worker.errors import InputError

MAX_PIXELS: Final = 120_000_000
"""More than any camera for portraits takes; 360 MB once it is unpacked."""
GROUND: Final = (222, 224, 226)
"""What is put behind a photo with a transparent ground."""
SHALLOW: Final = 255


def load(path: Path) -> Image.Image:
    """The photo as a person sees it: upright, RGB, sRGB. Raises InputError."""
    regular(path, "a JPEG, PNG or WebP photo")
    try:
        with opened(path, PHOTOS) as image:
            _limit(path, image.size)
            image.load()
            return _seen(image)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture; give a JPEG, PNG or WebP photo.") from error
    except Image.DecompressionBombError as error:
        raise InputError(_too_large(path)) from error
    except BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        if reason:
            raise InputError(f"{path} cannot be read ({reason}).") from error
        raise InputError(
            f"{path} is damaged ({error or type(error).__name__}); save the photo again."
        ) from error


def _limit(path: Path, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(_too_large(path))


def _too_large(path: Path) -> str:
    return (
        f"{path} has more than {MAX_PIXELS // 1_000_000} million pixels; scale it down, "
        "2000 pixels in height are plenty."
    )


def _seen(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    turned = upright(image)
    if turned.mode.startswith("I") or turned.mode == "F":
        return _shallow(turned).convert("RGB")
    if turned.has_transparency_data:
        clear = turned.convert("RGBA")
        ground = Image.new("RGBA", clear.size, (*GROUND, SHALLOW))
        return Image.alpha_composite(ground, clear).convert("RGB")
    return _srgb(turned, profile)


def _srgb(image: Image.Image, profile: object) -> Image.Image:
    """Its colours in sRGB, where it says what they are in."""
    if isinstance(profile, bytes) and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            made = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            if made is not None:
                return made
        except (ImageCms.PyCMSError, *BROKEN):
            # A broken profile, or one of another kind: plain conversion is near enough.
            return image.convert("RGB")
    return image.convert("RGB")


def _shallow(image: Image.Image) -> Image.Image:
    """Grey of 16 or more bits as 8 bits."""
    values = np.asarray(image, np.float32)
    top = float(values.max(initial=0.0))
    full = 1.0 if top <= 1 else 255.0 if top <= SHALLOW else 65535.0
    return Image.fromarray(np.rint(np.clip(values / full, 0, 1) * SHALLOW).astype(np.uint8))
