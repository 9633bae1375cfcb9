"""Opens a reference image, which may be damaged or hostile, and fits it to the video's size."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from contract.errors import Code, Problem, TaskFailed
from contract.manifest import Fit

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 50_000_000


def load_reference(path: Path, *, height: int, width: int, fit: Fit) -> Image.Image:
    """Open an image as RGB, upright, with exactly `height` x `width` pixels.

    Transparent parts become white. Of an animation, the first frame is used.

    Args:
        path: A PNG, JPEG or WebP file.
        height: Height in pixels.
        width: Width in pixels.
        fit: How to fit the image into height and width. See `fitted`.

    Raises:
        TaskFailed: `reference-unreadable`; the file is absent, damaged, has another format or more
            than 50 million pixels.
    """
    try:
        with warnings.catch_warnings():
            # Up to twice its own limit, Pillow only warns about a decompression bomb.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                # Pillow has only read the header so far and has not decoded any pixel.
                if image.width * image.height > MAX_PIXELS:
                    raise _unreadable(
                        path,
                        f"has {image.width} x {image.height} pixels, more than 50 million",
                        "Upload a smaller image.",
                    )
                upright = _to_rgb(ImageOps.exif_transpose(image))
                return fitted(upright, height=height, width=width, fit=fit)
    except TaskFailed:
        raise
    except FileNotFoundError as error:
        raise _unreadable(
            path, "did not reach the worker", "Drop the spec and its image again."
        ) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _unreadable(
            path, "has more than 50 million pixels", "Upload a smaller image."
        ) from error
    except Exception as error:
        # Pillow's decoders raise all kinds of errors on damaged bytes (OSError, SyntaxError,
        # ValueError, struct.error, ...). All of them mean that the file cannot be used.
        raise _unreadable(
            path,
            "could not be decoded as PNG, JPEG or WebP",
            "Open it in an image viewer, save it as PNG and upload that file.",
        ) from error


def fitted(image: Image.Image, *, height: int, width: int, fit: Fit) -> Image.Image:
    """Scale an RGB image to exactly `height` x `width` pixels without distorting it.

    `crop` scales it so that it covers the whole area, and cuts off what is outside. `pad` scales it
    so that all of it is inside, and fills the rest with black bars.
    """
    if fit == "crop":
        return ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS)
    scale = min(height / image.height, width / image.width)
    # A very narrow image would otherwise be rounded to a width or height of 0.
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    padded = Image.new("RGB", (width, height))
    padded.paste(
        image.resize(size, Image.Resampling.LANCZOS),
        ((width - size[0]) // 2, (height - size[1]) // 2),
    )
    return padded


def _unreadable(path: Path, what: str, hint: str) -> TaskFailed:
    return TaskFailed(
        Problem(code=Code.REFERENCE_UNREADABLE, message=f"The image {path.name} {what}.", hint=hint)
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grey. Pillow's own conversion would turn every value above 255 into white.
        samples = np.asarray(image).astype(np.uint32)  # (height, width)
        return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")
