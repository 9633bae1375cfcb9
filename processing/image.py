"""Opens a reference image, which came from outside; fits pictures to the size of the video."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from contract.errors import Code, Problem, TaskFailed
from contract.manifest import Fit

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 50_000_000


def load_reference(path: Path, *, height: int, width: int, fit: Fit) -> Image.Image:
    """The first frame of the image at `path` as RGB, upright, exactly `height` x `width` pixels.

    See `fitted` for what `fit` does. What is transparent becomes white.

    Raises:
        TaskFailed: `reference-unreadable`; the file is absent, damaged, of another format or has
            more than 50 million pixels.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns up to twice its own limit; for us a bomb is a bomb.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                # Opening reads the header only: this comes before any pixel is decoded.
                if image.width * image.height > MAX_PIXELS:
                    raise _unreadable(
                        path,
                        f"has {image.width} x {image.height} pixels, more than 50 million",
                        "Upload a smaller one.",
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
            path, "has more than 50 million pixels", "Upload a smaller one."
        ) from error
    except Exception as error:
        # Pillow's decoders raise nearly anything on damaged bytes (OSError, SyntaxError,
        # ValueError, struct.error, ...). Whatever it was: this file cannot be used.
        raise _unreadable(
            path,
            "could not be decoded as PNG, JPEG or WebP",
            "Open it in a viewer, save it as PNG and upload that.",
        ) from error


def fitted(image: Image.Image, *, height: int, width: int, fit: Fit) -> Image.Image:
    """`image`, which is RGB, as exactly `height` x `width` pixels, never distorted.

    `crop` scales it until it covers them and cuts out its middle; `pad` scales it until all of it
    fits and puts black bars around it.
    """
    if fit == "crop":
        return ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS)
    scale = min(height / image.height, width / image.width)
    # A picture that is nearly a line would be rounded away.
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
        # 16-bit grey. Pillow's own conversion cuts everything above 255 to white.
        samples = np.asarray(image).astype(np.uint32)  # (height, width)
        return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")
