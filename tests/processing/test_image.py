"""Reference images: what is accepted, how it is converted, and what is refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contract.errors import Code, TaskFailed
from processing.image import load_reference


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def refused(path: Path) -> str:
    with pytest.raises(TaskFailed) as failure:
        load_reference(path, height=64, width=96, fit="crop")
    (problem,) = failure.value.problems
    assert problem.code == Code.REFERENCE_UNREADABLE
    assert path.name in problem.message
    return problem.message


def test_the_middle_is_cut_out_and_nothing_is_distorted(tmp_path: Path) -> None:
    # A circle of 200 pixels in the middle of a wide image.
    y, x = np.mgrid[0:240, 0:800]
    circle = (((y - 120) ** 2 + (x - 400) ** 2) < 100**2).astype(np.uint8) * 255
    Image.fromarray(circle).save(tmp_path / "circle.png")

    image = (
        pixels(load_reference(tmp_path / "circle.png", height=64, width=96, fit="crop"))[..., 0]
        > 127
    )

    assert image.shape == (64, 96)
    rows, columns = np.nonzero(image)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert abs(height - 200 * 64 / 240) <= 2
    assert abs(height - width) <= 1
    assert abs(columns.mean() - 47.5) < 1


def test_padding_keeps_the_whole_picture_between_black_bars(tmp_path: Path) -> None:
    for name, size, box in (
        ("wide", (800, 200), (0, 20, 96, 24)),
        ("tall", (100, 200), (32, 0, 32, 64)),
        ("line", (3000, 1), (0, 31, 96, 1)),
        ("same", (192, 128), (0, 0, 96, 64)),
    ):
        Image.new("RGB", size, "white").save(tmp_path / f"{name}.png")

        image = load_reference(tmp_path / f"{name}.png", height=64, width=96, fit="pad")

        left, top, width, height = box
        expected = np.zeros((64, 96, 3), int)
        expected[top : top + height, left : left + width] = 255
        assert np.array_equal(pixels(image), expected), name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(tmp_path: Path, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = Image.new("RGB", (96, 64), "blue")
    upright.paste("red", (0, 0, 48, 32))
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=100, subsampling=0)

    image = pixels(load_reference(tmp_path / "photo.jpg", height=64, width=96, fit="crop"))

    assert np.abs(image - pixels(upright)).mean() < 4


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("LA", (64, 64), (0, 0)).save(tmp_path / "grey.png")
    palette = Image.new("P", (64, 64), 0)
    palette.save(tmp_path / "palette.png", transparency=0)
    Image.new("RGBA", (64, 64), (255, 0, 0, 128)).save(tmp_path / "half.webp", lossless=True)

    for name in ("clear.png", "grey.png", "palette.png"):
        assert pixels(load_reference(tmp_path / name, height=64, width=64, fit="crop")).min() == 255
    half = pixels(load_reference(tmp_path / "half.webp", height=64, width=64, fit="crop"))
    assert np.abs(half - [255, 127, 127]).max() <= 2


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (80, 80), "white").convert(mode).save(tmp_path / f"image.{suffix}")

    image = load_reference(tmp_path / f"image.{suffix}", height=64, width=64, fit="crop")

    assert pixels(image).min() > 250


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64), 0x4000, np.uint16)).save(tmp_path / "deep.png")

    image = pixels(load_reference(tmp_path / "deep.png", height=64, width=64, fit="crop"))

    assert image.max() == image.min() == 0x40


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    first.save(tmp_path / "moving.webp", save_all=True, append_images=[second], lossless=True)

    image = pixels(load_reference(tmp_path / "moving.webp", height=64, width=64, fit="crop"))

    assert image[0, 0, 0] > 200


def test_other_formats_are_refused_whatever_their_name(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "image.png", format="GIF")
    assert "PNG, JPEG or WebP" in refused(tmp_path / "image.png")


def test_cut_and_empty_and_absent_files_are_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(whole, "PNG")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:2000])
    (tmp_path / "empty.png").write_bytes(b"")

    refused(tmp_path / "cut.png")
    refused(tmp_path / "empty.png")
    assert "did not reach" in refused(tmp_path / "absent.png")


@pytest.mark.parametrize("side", [7_100, 10_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    # Only a header. Decoding it would report an incomplete file instead.
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )

    assert "50 million" in refused(tmp_path / "bomb.png")
