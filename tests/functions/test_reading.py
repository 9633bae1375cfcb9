"""The reading process: its answers, its limits, and what happens when it fails."""

import ast
import io
import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw

from contract.errors import JobRejected, Transient
from functions.adapters import child_reader
from functions.adapters.child_reader import _ARGUMENTS, ChildReader, _path
from functions.reading import child, limits
from functions.reading.characters import is_blank
from functions.reading.limits import LIMITS, ReadingLimits
from functions.reading.magic import kind_of
from functions.reading.values import Value
from functions.spec import parsed
from functions.spec.drop_files import MAX_IMAGE_BYTES
from tests import clips, colour_profiles
from tests.corpus.images import chunk, coloured, png, saved
from tests.corpus.videos import mp4, of_colours
from tests.fakes import InProcessReader

MIB = 1024 * 1024
linux = pytest.mark.skipif(sys.platform != "linux", reason="macOS enforces no memory limit")

SPEC = 'prompt: "a \\ud83d\\ude00 bee"\nmatrix:\n  include:\n  - {seed: 1, guidance_scale: 4.5}\n'


def rejected(reader: ChildReader, call: str, body: bytes) -> str:
    with pytest.raises(JobRejected) as caught:
        getattr(reader, call)(body, "jobs/bee.yaml" if call == "spec" else "bee.png")
    (problem,) = caught.value.problems
    assert problem.message and problem.hint
    return str(problem.code)


# --- specs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("jobs/bee.yaml", SPEC),
        ("jobs/bee.yaml", "prompt: “a” \nnegative_prompt: b #1\nseed: 999999999999999999\n"),
        ("jobs/bee.json", '{"prompt": "a", "tags": ["b", ["c", {"d": null}]], "seed": -0.1}'),
        ("jobs/bee.txt", "a bee\non a flower\n"),
    ],
)
def test_the_process_answers_like_the_parser_itself(key: str, text: str) -> None:
    assert ChildReader().spec(text.encode(), key) == parsed.parse(text.encode(), key)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18) + 1, 10**18 - 1)
    | st.floats(-1e17, 1e17, allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf", "Cn", "Co"])).filter(
        lambda text: text.isascii() or not is_blank(text)
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"prompt": _VALUES}))
def test_values_arrive_unchanged(values: dict[str, Value]) -> None:
    try:
        read = InProcessReader().spec(json.dumps(values).encode(), "jobs/bee.json")
    except JobRejected as rejection:
        assert rejection.problems[0].code == "yaml-too-deep"
        return
    assert repr(read.values) == repr(values)
    assert read == parsed.parse(json.dumps(values).encode(), "jobs/bee.json")


@settings(max_examples=400)
@given(
    st.lists(
        st.sampled_from(
            [*"ab:-?#&*!|>'\"%@`{}[],~\t\n\\“”=. 10", ": ", "- ", "\n  ", "prompt: ", "seed: 7\n"]
        ),
        max_size=25,
    ).map("".join),
    st.sampled_from(["yaml", "json", "txt"]),
)
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str, suffix: str) -> None:
    try:
        parsed.parse(text.encode(), f"jobs/bee.{suffix}")
    except JobRejected as rejection:
        (problem,) = rejection.problems
        assert problem.message and problem.hint
        if problem.place.line is not None:
            assert 1 <= problem.place.line <= len(text.splitlines()) + 1


@pytest.mark.parametrize(
    "prompt",
    ["a cat: on mat", "*bold* cat", "!tag", "@home", "`code`", "%50", "[red] car", "{a} b", "- a",
     "? b", '"red" car', '"a bee" lands on "flower"', "'tis a bee", "'a' and 'b'",
     "& more", "]x", ", and", "#1 fan", "a: b: c\\d"],
)  # fmt: skip
def test_the_line_that_a_hint_suggests_has_the_intended_meaning(prompt: str) -> None:
    with pytest.raises(JobRejected) as caught:
        parsed.parse(f"seed: 7\nprompt: {prompt}\n".encode(), "jobs/bee.yaml")
    (problem,) = caught.value.problems
    assert "quotes" in problem.hint and problem.place.line == 2
    shown = re.search(r"prompt: .*", problem.hint)
    assert shown is not None
    assert parsed.parse(shown[0].encode(), "jobs/bee.yaml").values == {"prompt": prompt}


# --- what the process may do ---------------------------------------------------------------


@linux
@pytest.mark.parametrize("call", LIMITS)
def test_the_resources_of_the_process_are_limited(
    call: str,
) -> None:
    with subprocess.Popen(
        [sys.executable, *_ARGUMENTS, call, *_path()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == child.READY
        time.sleep(0.05)
        proc = Path(f"/proc/{process.pid}")
        limit = dict(
            re.findall(r"^Max (.*?) {2,}(\S+) ", (proc / "limits").read_text(), re.MULTILINE)
        )
        process.stdin.close()
    assert limit["core file size"] == limit["file size"] == limit["open files"] == "0"
    assert int(limit["data size"]) < 256 * MIB
    assert int(limit["address space"]) < 400 * MIB
    assert int(limit["cpu time"]) <= 15


def _acting(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Run another program in place of the reading process."""
    monkeypatch.setattr(
        child_reader, "_ARGUMENTS", ("-I", "-S", "-c", f"import os, sys, time; {program}")
    )
    monkeypatch.setitem(limits.LIMITS, "spec", ReadingLimits(MIB, MIB, 1, 1.0))


@pytest.mark.parametrize(
    "program",
    [
        "print('ready', flush=True); os._exit(1)",
        "print('ready', flush=True); os.kill(os.getpid(), 9)",
        "print('ready', flush=True); time.sleep(60)",
        "print('ready', flush=True); os.close(1); time.sleep(60)",
        "print('ready')",
        "print('ready'); print('nonsense')",
        "print('ready'); print('{\"values\": 5}')",
        "print('ready'); print('{\"values\": {}, \"places\": [], \"warnings\": []}'); sys.exit(3)",
        "print('ready'); print('{\"fault\": {\"code\": \"no-such-code\"}}')",
        "print('ready', flush=True); [os.write(1, bytes(1 << 20)) for _ in range(40)]",
    ],
    ids=["ends", "killed", "hangs", "hangs-silently", "silent", "nonsense", "wrong-type",
         "ends-after-all", "unknown-code", "endless"],
)  # fmt: skip
def test_a_file_is_refused_if_the_process_fails_after_reading(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    _acting(monkeypatch, program)
    started = time.monotonic()
    assert rejected(ChildReader(), "spec", b"prompt: a\n" * 5_000) == "spec-unreadable"
    assert time.monotonic() - started < 5


@linux
def test_the_process_inherits_no_environment_and_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    _acting(
        monkeypatch,
        "import json; print('ready'); "
        "seen = str([dict(os.environ), sorted(os.listdir('/proc/self/fd'), key=int)]); "
        "print(json.dumps({'fault': {'code': 'spec-empty', 'message': seen, 'hint': ''}}))",
    )
    with Path(__file__).open("rb") as open_file, pytest.raises(JobRejected) as caught:
        os.set_inheritable(open_file.fileno(), True)
        ChildReader().spec(b"prompt: a\n", "jobs/bee.yaml")
    environment, files = ast.literal_eval(caught.value.problems[0].message)
    assert set(environment) <= {"LD_LIBRARY_PATH", "LC_CTYPE"}
    assert files == ["0", "1", "2", "3"], "the last one is the open directory itself"


@pytest.mark.parametrize(
    "program",
    ["os._exit(1)", "time.sleep(60)", "print('ready', flush=True); os._exit(75)"],
    ids=["dies", "hangs", "imports-late"],
)
def test_a_process_that_fails_before_reading_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    _acting(monkeypatch, program)
    with pytest.raises(Transient):
        ChildReader().spec(b"prompt: a\n", "jobs/bee.yaml")


def test_a_process_that_does_not_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    with pytest.raises(Transient):
        ChildReader().spec(b"prompt: a\n", "jobs/bee.yaml")


@linux
def test_an_image_that_needs_too_much_memory_or_time_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = saved(coloured(size=(4_000, 4_000)), "PNG")
    # The second one is decoded slowly, so that a busy machine has the time to start the process.
    for reading_limits, slowly in (
        (ReadingLimits(48 * MIB, 80 * MIB, 8, 20), ""),
        (ReadingLimits(240 * MIB, 256 * MIB, 8, 3), "pictures.image = lambda *_: time.sleep(60); "),
    ):
        code = (
            "from functions.reading import limits, child, pictures; import sys, time; "
            f"{slowly}limits.LIMITS['image'] = limits.ReadingLimits{tuple(reading_limits)}; "
            "child.main('image')"
        )
        start = "import sys; _, *sys.path = sys.argv[1:]; "
        monkeypatch.setattr(child_reader, "_ARGUMENTS", ("-I", "-S", "-c", start + code))
        monkeypatch.setitem(limits.LIMITS, "image", reading_limits)
        assert rejected(ChildReader(), "image", image) == "reference-unreadable"


# --- images --------------------------------------------------------------------------------


def read(body: bytes) -> Image.Image:
    """Read an image in the process, and check what must hold for every result."""
    picture = ChildReader().image(body, "bee.png")
    image = Image.open(io.BytesIO(picture.png))
    image.load()
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert (image.height, image.width) == (picture.height, picture.width)
    assert not image.info and not image.getexif()
    preview = Image.open(io.BytesIO(picture.preview))
    assert (preview.format, preview.mode) == ("JPEG", "RGB")
    assert max(preview.size) == min(768, max(image.size))
    assert not preview.getexif() and "icc_profile" not in preview.info
    return image


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    """The red, green and blue of a pixel."""
    found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_format_of_image_is_read(kind: str) -> None:
    image = Image.new("RGB", (96, 64), "red")
    image.paste("blue", (0, 0, 48, 64))
    found = read(saved(image, kind, quality=95))
    assert found.size == (96, 64)
    difference = np.asarray(found).astype(int) - np.asarray(image).astype(int)
    assert np.abs(difference).mean() < 3


def test_an_image_is_turned_upright_and_loses_its_metadata() -> None:
    image = Image.new("RGB", (96, 64), "white")
    image.paste("black", (0, 0, 10, 10))  # top left as stored
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a secret camera"
    body = saved(image, "PNG", exif=exif, icc_profile=_profile("sRGB"))
    found = read(body)
    assert found.size == (64, 96)
    assert found.getpixel((60, 3)) == (0, 0, 0), "top right, after a turn to the right"


def _profile(name: Literal["LAB", "XYZ", "sRGB"]) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def test_transparent_pixels_become_white() -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 31, 63), fill=(0, 0, 255, 255))
    for body in (saved(image, "PNG"), saved(image, "WEBP", lossless=True)):
        found = read(body)
        assert found.getpixel((10, 10)) == (0, 0, 255)
        assert found.getpixel((50, 10)) == (255, 255, 255)
    palette = Image.new("P", (64, 64), 0)
    assert read(saved(palette, "PNG", transparency=0)).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "fill", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 255), (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 40_000, (156, 156, 156)),
        ("I;16", 255, (0, 0, 0)),
        ("I;16", 65_535, (255, 255, 255)),
    ],
)
def test_every_pixel_mode_becomes_rgb(mode: str, fill: int, expected: tuple[int, int, int]) -> None:
    assert read(saved(Image.new(mode, (32, 32), fill), "PNG")).getpixel((3, 3)) == expected


def test_cmyk_becomes_rgb() -> None:
    found = read(saved(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = pixel(found, 3, 3)
    assert red > 240 and green < 15 and blue < 15


def test_colour_profiles_are_applied() -> None:
    # With red and green swapped in the profile, the result shows that the profile was applied.
    profile = bytearray(_profile("sRGB"))
    red, green = (profile.index(tag) for tag in (b"rXYZ", b"gXYZ"))
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    image = Image.new("RGB", (32, 32), (255, 0, 0))
    found = read(saved(image, "PNG", icc_profile=bytes(profile)))
    assert pixel(found, 3, 3)[1] > 200
    broken = read(saved(image, "PNG", icc_profile=b"nonsense" * 40))
    assert broken.getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(3_000, 1_500), (5_001, 1_203)])
def test_a_large_image_is_scaled_down_and_keeps_its_shape(kind: str, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2 - 1, size[1]), fill="black")
    found = read(saved(image, kind))
    assert found.size == (2_048, round(2_048 * size[1] / size[0]))
    middle = [pixel(found, x, found.height // 2)[0] for x in (1_000, 1_048)]
    assert middle[0] < 40 and middle[1] > 215


@linux
@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L"])
def test_an_image_of_40_million_pixels_is_read(mode: str) -> None:
    body = saved(Image.new(mode, (8_000, 5_000), "red" if mode != "L" else 9), "PNG")
    found = read(body)
    assert found.size == (2_048, 1_280)


def _photo(width: int, height: int) -> Image.Image:
    """A picture with some detail, which takes decoders as long as a photo does."""
    grain = np.random.default_rng(0).integers(90, 166, (256, 256, 3), dtype=np.uint8)
    tiled = np.tile(grain, (-(-height // 256), -(-width // 256), 1))
    return Image.fromarray(np.ascontiguousarray(tiled[:height, :width]))


@linux
@pytest.mark.parametrize(
    ("kind", "size", "options", "seconds"),
    [
        ("JPEG", (8_064, 6_048), {}, 2),
        ("JPEG", (8_192, 6_144), {"progressive": True}, 2),
        ("JPEG", (12_000, 9_000), {"quality": 50}, 2),
        ("WEBP", (4_080, 3_072), {"method": 0}, 1),
        ("WEBP", (4_032, 3_024), {"lossless": True, "method": 0, "quality": 0}, 1),
    ],
    ids=["48-megapixels", "50-progressive", "108-megapixels", "webp-12", "webp-12-lossless"],
)
def test_photos_of_phones_are_read_in_the_memory_of_the_process(
    kind: str, size: tuple[int, int], options: dict[str, Any], seconds: float
) -> None:
    body = saved(_photo(*size), kind, **options)
    assert len(body) <= MAX_IMAGE_BYTES
    reader = ChildReader()
    picture = reader.image(body, "bee.jpg")
    assert (picture.width, picture.height) == (2_048, round(2_048 * size[1] / size[0]))
    assert reader.usage is not None
    # `seconds` is for a processor that does nothing else.
    assert reader.usage.cpu_seconds < 1.5 * seconds


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}],
    ids=["plain", "progressive", "restarts", "full-colour"],
)
def test_a_jpeg_may_lack_the_marker_of_its_end_and_nothing_else(options: dict[str, Any]) -> None:
    image = _photo(200, 150)
    whole = saved(image, "JPEG", quality=90, **options)
    expected = InProcessReader().image(whole, "bee.jpg").png
    for body in (whole[:-2], whole[:-1]):
        assert InProcessReader().image(body, "bee.jpg").png == expected
    header = whole.rindex(b"\xff\xda") + 20
    for end in range(header, len(whole) - 60, (len(whole) - header) // 50):
        assert rejected(InProcessReader(), "image", whole[:end]) == "reference-unreadable", end


def _patches(channels: int) -> np.ndarray:
    """40 colours at random, and the darkest and the lightest, each 16 pixels wide."""
    colours = np.random.default_rng(3).integers(0, 256, (40, channels))
    colours = np.concatenate([colours, [[0] * channels, [255] * channels]]).astype(np.uint8)
    return np.tile(np.repeat(colours, 16, axis=0), (32, 1, 1))


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGB", "JPEG", {"quality": 95, "subsampling": 0}),
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {}),
        ("RGB", "WEBP", {"lossless": True}),
        ("CMYK", "JPEG", {"quality": 95}),
    ],
)
def test_colours_are_what_littlecms_makes_of_them(
    mode: str, kind: str, options: dict[str, Any]
) -> None:
    profile = colour_profiles.cmyk() if mode == "CMYK" else colour_profiles.display_p3()
    chart = Image.fromarray(_patches(4), "CMYK") if mode == "CMYK" else Image.fromarray(_patches(3))
    chart = chart.quantize(200) if mode == "P" else chart.convert(mode)
    body = saved(chart, kind, icc_profile=profile, **options)
    stored = Image.open(io.BytesIO(body)).convert("CMYK" if mode == "CMYK" else "RGB")
    expected = ImageCms.profileToProfile(
        stored,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    assert expected is not None
    assert _difference(expected, stored.convert("RGB")) > 30, "the profile makes a difference"
    assert _difference(read(body), expected) <= 6


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_profiles_of_grey_images_are_applied(mode: str) -> None:
    image = Image.new("L", (64, 64), 100).convert(mode)
    body = saved(image, "PNG", icc_profile=colour_profiles.grey(1.0))
    # With gamma 1, 100 of 255 is 39 % of the light of white, which sRGB writes as 168.
    assert all(abs(value - 168) <= 2 for value in pixel(read(body), 3, 3))


def test_transparent_parts_of_a_grey_image_become_white() -> None:
    image = Image.new("LA", (64, 64), (100, 0))
    image.paste((100, 255), (0, 0, 32, 64))
    found = read(saved(image, "PNG"))
    assert pixel(found, 3, 3) == (100, 100, 100) and pixel(found, 60, 3) == (255, 255, 255)


def _difference(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of a channel between two images, from 0 to 255."""
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).max())


def test_the_widest_image_is_read_and_a_wider_one_is_refused() -> None:
    assert read(saved(Image.new("L", (2_048, 16)), "PNG")).size == (2_048, 16)
    assert rejected(ChildReader(), "image", saved(Image.new("L", (2_200, 16)), "PNG")) == (
        "reference-pixels"
    )


def test_text_of_an_image_is_not_kept() -> None:
    text = chunk(b"tEXt", b"Comment\0secret")
    body = png(32, 32, (b"\0" + bytes(96)) * 32, [text])
    assert b"secret" not in ChildReader().image(body, "bee.png").png


# --- videos --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fps"),
    [
        ({}, 8.0),
        ({"kind": "mov"}, 8.0),
        ({"codec": "mpeg4", "fps": 25}, 25.0),
        ({"faststart": True, "num_frames": 30, "fps": 30}, 30.0),
    ],
)
def test_size_frames_and_rate_of_a_video_are_read(options: dict[str, Any], fps: float) -> None:
    clip = ChildReader().video(mp4(**options), "bee.mp4")
    assert (clip.height, clip.width, clip.fps) == (64, 96, fps)
    assert clip.num_frames == options.get("num_frames", 17)


@pytest.mark.parametrize(
    ("parts", "num_frames"),
    [
        ([(1, 0)], 8),
        ([(1, 2)], 8),
        ([(1, 1.5)], 8),
        ([(0.5, None), (1, 0.5)], 8),
        ([(0.5, 0), (0.5, 2)], 8),
    ],
    ids=["the-end", "the-beginning", "between-keyframes", "begins-late", "two-parts"],
)
@pytest.mark.parametrize("b_frames", [True, False])
def test_what_was_trimmed_off_is_not_missing(
    parts: list[tuple[float, float | None]], num_frames: int, b_frames: bool
) -> None:
    body = clips.edited(clips.numbered(b_frames=b_frames), parts)
    clip = ChildReader().video(body, "bee.mov")
    assert (clip.num_frames, clip.fps) == (num_frames, 8.0)


def test_a_trimmed_video_that_is_cut_short_is_still_refused() -> None:
    body = bytearray(clips.edited(clips.numbered(), [(1, 0)]))
    count = body.index(b"stsz") + 12
    assert int.from_bytes(body[count : count + 4]) == 24
    at = body.index(b"stts") + 12  # the index promises more frames than there are
    assert int.from_bytes(body[at : at + 4]) == 24
    body[at : at + 4] = (40).to_bytes(4)
    with pytest.raises(JobRejected) as caught:
        ChildReader().video(bytes(body), "bee.mov")
    assert "24 of 40 frames" in str(caught.value)


@pytest.mark.parametrize("first", [b"wide", b"free", b"skip", b"pnot"])
def test_quicktime_without_a_brand_is_read(first: bytes) -> None:
    clip = ChildReader().video(clips.without_ftyp(clips.numbered(), first), "bee.mov")
    assert clip.num_frames == 24


def test_quicktime_that_begins_with_its_frames_is_read() -> None:
    body = clips.numbered()
    frames = body.index(b"mdat") - 4
    gap = body.index(b"wide") if b"wide" in body[:frames] else frames
    assert (
        kind_of(body[frames:]) == kind_of(body[body.rindex(b"moov") - 4 :]) == "a QuickTime video"
    )
    assert gap <= frames


@pytest.mark.parametrize("text", [b"The free bird flies", b"I'm free", b"The moov", b"The mdat of"])
def test_words_are_not_taken_for_quicktime(text: bytes) -> None:
    assert kind_of(text) == "text"


@pytest.mark.parametrize(("trc", "hdr"), [(18, "HLG"), (16, "PQ"), (14, None), (1, None)])
def test_hdr_is_recognised(trc: int, hdr: str | None) -> None:
    body = clips.video_of(clips.chart(trc, 9))
    reader = ChildReader()
    assert reader.video(body, "bee.mov").hdr == hdr
    assert reader.usage is not None and reader.usage.cpu_seconds < 1


# --- sheets --------------------------------------------------------------------------------


def _posters(count: int, size: tuple[int, int] = (72, 48)) -> list[tuple[str, bytes]]:
    poster = saved(Image.new("RGB", size, "red"), "JPEG")
    return [(f"{number:02d}  seed {number}", poster) for number in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 5, 32])
def test_a_sheet_shows_every_poster_in_a_grid(count: int) -> None:
    sheet = Image.open(io.BytesIO(ChildReader().contact_sheet(_posters(count, (720, 480)))))
    assert sheet.format == "JPEG" and max(sheet.size) <= 4_096
    assert max(sheet.size) / min(sheet.size) < 3
    pixels = np.asarray(sheet.convert("RGB")).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
    largest = 720 * 480 * count
    scale = min(1.0, 640 * 480 / (720 * 480))
    assert red.sum() > 0.1 * largest * scale
    dark = pixels.sum(axis=-1) < 200
    assert dark.any(), "the labels are drawn"


def test_a_poster_that_cannot_be_decoded_leaves_its_place_empty() -> None:
    posters = [*_posters(3), ("04", b"nonsense"), ("ü 蜂 " + "x" * 300, b"")]
    sheet = Image.open(io.BytesIO(ChildReader().contact_sheet(posters)))
    assert max(sheet.size) <= 4_096


def test_a_sheet_of_undecodable_posters_is_still_an_image() -> None:
    assert ChildReader().contact_sheet([("1", b""), ("2", b"x")]).startswith(b"\xff\xd8")


# --- starting ------------------------------------------------------------------------------


def test_the_process_imports_only_what_it_needs() -> None:
    """Importing only pydantic would double the time for each spec."""
    program = "import sys; from functions.reading import text, child; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_ROOT
    ).stdout.split()
    assert not {"pydantic", "boto3", "PIL", "av", "dataclasses", "functions.spec.reader"} & set(
        loaded
    )


_ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_reader_writes_and_reads_at_the_same_time() -> None:
    """A request that is larger than a pipe must not block a process that answers early."""
    assert select.PIPE_BUF < 60_000
    assert rejected(ChildReader(), "spec", b"a" * 200_000) == "spec-too-large"


# --- frames for a guardrail ------------------------------------------------------------------


def test_frames_come_from_the_whole_beginning_although_there_is_only_one_key_frame() -> None:
    colours = [(number * 12, 0, 0) for number in range(20)]
    previews = ChildReader().previews(of_colours(colours), "clip.mp4")
    reds = [np.asarray(Image.open(io.BytesIO(one)))[30, 40, 0] for one in previews]
    assert np.allclose(reds, [0, 48, 96, 144, 192], atol=9)


def test_frames_stand_upright_and_are_small() -> None:
    pixels = np.zeros((1088, 1920, 3), dtype=np.uint8)
    pixels[:, :960, 0] = 255
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p10le")
    clockwise = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    for preview in ChildReader().previews(clips.video_of(frame, turn=clockwise), "phone.mov"):
        red = np.asarray(Image.open(io.BytesIO(preview)))[:, :, 0]
        assert red.shape[0] == limits.PREVIEW_SIDE > red.shape[1] and len(preview) < 4 * MIB
        assert red[: len(red) // 2].mean() > 200 and red[len(red) // 2 :].mean() < 50


def test_frames_of_a_large_clip_with_ten_bits_fit_into_the_memory() -> None:
    file = io.BytesIO()
    options = {"preset": "ultrafast", "x265-params": "log-level=none:ref=4:bframes=4"}
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream("libx265", rate=2, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 3840, 2160, "yuv420p10le"
        for level in range(0, 240, 20):
            pixels = np.full((2160, 3840, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    assert len(ChildReader().previews(file.getvalue(), "phone.mov")) == limits.SAMPLES


def test_a_clip_whose_frames_cannot_be_decoded_is_refused() -> None:
    body = mp4()
    start = body.index(b"mdat") + 4 + len(body) // 3
    with pytest.raises(JobRejected, match=r"cut short|judged"):
        ChildReader().previews(body[:start] + bytes(len(body) - start), "clip.mp4")
