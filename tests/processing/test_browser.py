"""A real browser plays every file of a video: picture, sound, length and colours."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from contract.outcome import GIF_FILE, H265_FILE, VIDEO_FILE, WEBM_FILE
from processing import finishing
from processing.video import Chapter
from tests.processing.test_finishing import ORIGIN, SATURATED, task
from tests.processing.test_sound import tone, written

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here; `make browser` says more"
)

SIDE = 32
FPS = 12
NUM_FRAMES = 18
SECONDS = NUM_FRAMES / FPS
HEIGHT, WIDTH = 64, SIDE * len(SATURATED)
# Chromium computes without much precision: pure blue becomes (1, 0, 243). If a file says nothing
# about its colours, pure red and green are off by 20 and more.
TOLERANCE = 12
MIDDLES = range(SIDE // 2, WIDTH, SIDE)

PLAY = """async name => {
    const video = document.createElement('video');
    video.src = name;
    document.body.append(video);
    const colours = () => {
        const canvas = document.createElement('canvas');
        canvas.width = video.videoWidth;
        canvas.height = video.videoHeight;
        const context = canvas.getContext('2d');
        context.drawImage(video, 0, 0);
        return Array.from(context.getImageData(0, canvas.height / 2, canvas.width, 1).data);
    };
    await new Promise((done, failed) => {
        video.onloadeddata = done;
        video.onerror = () => failed(new Error(video.error.message));
    });
    const first = colours();
    const ended = new Promise((done, failed) => {
        video.onended = done;
        video.onerror = () => failed(new Error(video.error.message));
    });
    await video.play();
    await ended;
    return {
        first, last: colours(), seconds: video.duration, at: video.currentTime,
        height: video.videoHeight, width: video.videoWidth,
        soundBytes: video.webkitAudioDecodedByteCount,
    };
}"""

DECODE_GIF = """async name => {
    const decoder = new ImageDecoder({data: (await fetch(name)).body, type: 'image/gif'});
    await decoder.completed;
    await decoder.tracks.ready;
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d');
    let microseconds = 0, rows = [];
    for (let index = 0; index < decoder.tracks.selectedTrack.frameCount; index++) {
        const {image} = await decoder.decode({frameIndex: index});
        canvas.width = image.displayWidth;
        canvas.height = image.displayHeight;
        context.drawImage(image, 0, 0);
        microseconds += image.duration;
        rows.push(Array.from(context.getImageData(0, canvas.height / 2, canvas.width, 1).data));
    }
    return {
        rows, microseconds, height: canvas.height, width: canvas.width,
        repeats: decoder.tracks.selectedTrack.repetitionCount === Infinity,
    };
}"""


def frame(index: int) -> np.ndarray:
    """A frame of flat colours side by side, which move on by one place from frame to frame."""
    row = np.roll(np.array(SATURATED, np.uint8), index, 0).repeat(SIDE, 0)
    return np.broadcast_to(row, (HEIGHT, WIDTH, 3)).copy()


def difference(row: list[int], index: int) -> int:
    """By how many levels a row of RGBA pixels differs from a frame at most.

    Only the middles of the colours are compared, because the borders between them are soft.
    """
    shown = np.array(row).reshape(-1, 4)[list(MIDDLES), :3]
    return int(np.abs(shown - frame(index)[HEIGHT // 2, list(MIDDLES)].astype(int)).max())


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An open page beside the files of a video that has a sound."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>reeldrop</title>")
    asked = task(NUM_FRAMES, gif=True, h265=True, webm=True, height=HEIGHT, width=WIDTH, fps=FPS)
    sound = written(folder, "wav", tone(1))
    frames = map(frame, range(NUM_FRAMES))
    half = NUM_FRAMES // 2
    chapters = (
        Chapter(first_frame=0, num_frames=half, title="One"),
        Chapter(first_frame=half, num_frames=NUM_FRAMES - half, title="Two"),
    )
    origin = replace(ORIGIN, chapters=chapters)
    finishing.publish(finishing.finish(frames, asked, folder=folder, origin=origin, sound=sound))
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=BROWSER,
                args=[
                    "--no-sandbox",
                    "--autoplay-policy=no-user-gesture-required",
                    "--force-color-profile=srgb",
                ],
            )
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            yield page
            browser.close()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", [VIDEO_FILE, WEBM_FILE, H265_FILE])
def test_it_plays_a_video_to_its_end(page: Page, name: str) -> None:
    h265 = 'video/mp4; codecs="hvc1.1.6.L60.90"'
    if name == H265_FILE and not page.evaluate(
        "type => document.createElement('video').canPlayType(type)", h265
    ):
        pytest.skip("this browser has no decoder for H.265")

    played = page.evaluate(PLAY, name)

    assert (played["height"], played["width"]) == (HEIGHT, WIDTH)
    assert played["seconds"] == pytest.approx(SECONDS, abs=0.03)
    assert played["at"] == pytest.approx(SECONDS, abs=0.03)
    assert difference(played["first"], 0) <= TOLERANCE
    assert difference(played["last"], NUM_FRAMES - 1) <= TOLERANCE
    assert played["soundBytes"] > 0


def test_it_shows_the_gif(page: Page) -> None:
    shown = page.evaluate(DECODE_GIF, GIF_FILE)

    assert (shown["height"], shown["width"]) == (HEIGHT, WIDTH)
    assert shown["microseconds"] == pytest.approx(SECONDS * 1_000_000, abs=5_000)
    assert shown["repeats"]
    assert len(shown["rows"]) == NUM_FRAMES
    for index, row in enumerate(shown["rows"]):
        assert difference(row, index) <= 4
