"""Takes the screenshots in the README: `make screenshots` writes them to docs/images/.

They show a real run: an embedded cloud, into which samples are dropped, and whose demo model makes
the videos. They need Chromium and some minutes, and differ a little each time. So they are only
taken when the page has changed, and no test compares them.
"""

import io
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from local import ROOT
from local.cloud.process import EmbeddedCloud
from local.command.drop_folder import DropFolder, make_ready, open_drop_folder
from local.command.studio import EMAIL, PASSWORD

FOLDER = Path(__file__).resolve().parent / "images"
_SAMPLES = ROOT / "samples"
# What is dropped, in this order: the key, and the file or the text.
_DROPS: tuple[tuple[str, Path | str], ...] = (
    ("jobs/shapes/four-seeds.yaml", _SAMPLES / "four-seeds.yaml"),
    ("jobs/shapes/star.png", _SAMPLES / "star.png"),
    ("jobs/shapes/star.yaml", _SAMPLES / "star-from-a-picture.yaml"),
    ("jobs/shapes/slow-loop.yaml", _SAMPLES / "slow-loop.yaml"),
    ("jobs/plan.yaml", "prompt: a blue circle moves up\ndry_run: true\ntags: [garden]\n"),
    ("jobs/wrong.yaml", "prompt: a bee lands on a sunflower\nsteps: 40\n"),
    ("jobs/film.yaml", _SAMPLES / "four-scenes.yaml"),
    ("jobs/bee.yaml", _SAMPLES / "bee.yaml"),
)
_MADE = ("shapes/four-seeds", "shapes/star", "shapes/slow-loop", "film", "bee")
_MINUTES = 10
_WIDTH, _HEIGHT = 1200, 800
# The text is sharp on screens with many pixels, and a picture with few colours is small.
_PIXELS_PER_POINT = 1.5
_COLOURS = 256
_MOST_BYTES = 150_000


def _drop(cloud: EmbeddedCloud, folder: DropFolder) -> None:
    s3 = cloud.client("s3")
    for key, what in _DROPS:
        body = what.encode() if isinstance(what, str) else what.read_bytes()
        s3.put_object(Bucket=folder.input_bucket, Key=key, Body=body)
        time.sleep(1.1)  # the gallery is in the order of their seconds


def _sign_in(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=username]").fill(EMAIL)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=password]").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Gallery")


def _gallery(page: Page) -> None:
    for path in _MADE:
        name = page.locator(".name", has_text=re.compile(f"^{path}$"))
        card = page.locator(".cards li").filter(has=name)
        expect(card.locator(".state.succeeded")).to_be_visible(timeout=_MINUTES * 60_000)
        expect(card.locator("img")).to_have_js_property("complete", value=True)


def _job(page: Page) -> None:
    page.get_by_role("link", name="bee").click()
    video = page.locator("video")
    expect(video).to_be_visible()
    # Another frame than the poster, which is in the gallery already. The player of a video that has
    # played shows no sign that it is being loaded.
    video.evaluate("video => { video.muted = true; return video.play(); }")
    page.wait_for_function("() => document.querySelector('video').currentTime > 1.2")
    video.evaluate("video => video.pause()")
    page.wait_for_timeout(500)  # for the player to draw its buttons


_PICTURES: dict[str, Callable[[Page], None]] = {"studio-gallery": _gallery, "studio-job": _job}


def _save(page: Page, file: Path) -> None:
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as shot:
        # Other methods change colours of which there is little, such as those of text.
        method = Image.Quantize.FASTOCTREE
        few = shot.convert("RGB").quantize(_COLOURS, method, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
    size = file.stat().st_size
    print(f"{file.relative_to(ROOT)}  {size:,} bytes")
    if size > _MOST_BYTES:
        raise SystemExit("That is too large for a README.")


def main() -> None:
    """Drop the samples, wait for their videos, and take the pictures."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser_file = next(filter(None, map(shutil.which, names)), None)
    if browser_file is None:
        raise SystemExit("There is no Chromium here; see `make browser`.")
    home = ROOT / ".reeldrop"
    make_ready(home)
    with (
        tempfile.TemporaryDirectory() as state,
        EmbeddedCloud(Path(state)) as cloud,
        sync_playwright() as playwright,
    ):
        folder = open_drop_folder(home, cloud)
        _drop(cloud, folder)
        browser = playwright.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": _WIDTH, "height": _HEIGHT},
            device_scale_factor=_PIXELS_PER_POINT,
        )
        _sign_in(page, folder.studio_url)
        for name, show in _PICTURES.items():
            show(page)
            _save(page, FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
