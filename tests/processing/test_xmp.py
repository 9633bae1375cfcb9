"""The files of a video say for machines that a model made it, and show the same as before."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from contract.catalogue import Mode
from contract.manifest import ManifestTask, Parameters
from contract.outcome import GIF_FILE, H265_FILE, POSTER_FILE, VIDEO_FILE, WEBM_FILE
from processing import finishing, video, xmp
from processing.xmp import Origin
from tests.clips import boxes
from tests.processing.decoding import decoded

_NAMES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "dc": "http://purl.org/dc/elements/1.1/",
}
_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
ORIGIN = Origin(mode=Mode.TEXT_TO_VIDEO, model="demo", revision="1137dac", seed=7, prompt="a bee")
FRAMES = np.random.default_rng(0).integers(0, 256, (9, 64, 96, 3), dtype=np.uint8)


def said(packet: bytes) -> dict[str, str]:
    """The properties of a packet, read as XML."""
    (found,) = ET.fromstring(packet.decode()).iter(f"{{{_NAMES['rdf']}}}Description")
    return {part.tag.rpartition("}")[2]: "".join(part.itertext()) for part in found}


def in_mp4(path: Path) -> bytes:
    (body,) = (body for kind, body in boxes(path.read_bytes()) if kind == b"uuid")
    assert body.startswith(_UUID)
    return body.removeprefix(_UUID)


def in_gif(data: bytes) -> bytes:
    _, begin, rest = data.partition(b"\x21\xff\x0bXMP DataXMP")
    assert begin
    return rest[: rest.index(b"<?xpacket end=") + len(b'<?xpacket end="r"?>')]


PROMPT = "a <bee> & “bees” 🐝\x01\uffff"


def finished(folder: Path, origin: Origin) -> finishing.Finished:
    """All files of a video of noise, in `folder`."""
    parameters = Parameters(
        mode=origin.mode,
        prompt=PROMPT,
        height=64,
        width=96,
        num_frames=9,
        fps=8,
        num_inference_steps=2,
        guidance_scale=4.0,
        seed=origin.seed,
    )
    task = ManifestTask(task_id="bee", parameters=parameters, gif=True, h265=True, webm=True)
    made = finishing.finish(FRAMES, task, folder=folder, origin=origin)
    finishing.publish(made)
    return made


@pytest.mark.parametrize("prompt", [PROMPT, None])
def test_all_files_of_a_video_say_that_a_model_made_it(tmp_path: Path, prompt: str | None) -> None:
    made = finished(tmp_path, replace(ORIGIN, prompt=prompt))

    with Image.open(tmp_path / POSTER_FILE) as image:
        poster = image.info["xmp"]
    gif = (tmp_path / GIF_FILE).read_bytes()
    packets = [in_mp4(tmp_path / VIDEO_FILE), in_mp4(tmp_path / H265_FILE), poster, in_gif(gif)]
    generated = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    for packet in packets:
        found = said(packet)
        assert found["DigitalSourceType"] == generated
        assert (found["AISystemUsed"], found["AISystemVersionUsed"]) == ("demo", "1137dac")
        assert found["description"].strip() == "reeldrop, model demo, seed 7"
        assert found.get("AIPromptInformation") == (prompt and "a <bee> & “bees” 🐝  ")
    with av.open(str(tmp_path / WEBM_FILE)) as container:
        assert container.metadata["DIGITAL_SOURCE_TYPE"] == generated
    for name in (VIDEO_FILE, H265_FILE, WEBM_FILE, POSTER_FILE, GIF_FILE):
        assert (b"bees" in (tmp_path / name).read_bytes()) == bool(prompt), name
    data = (tmp_path / VIDEO_FILE).read_bytes()
    assert (made.video.sha256, made.video.size_bytes) == (sha256(data).hexdigest(), len(data))
    assert made.poster_sha256 == sha256((tmp_path / POSTER_FILE).read_bytes()).hexdigest()
    assert made.also[GIF_FILE] == sha256(gif).hexdigest()
    with Image.open(tmp_path / GIF_FILE) as image:
        assert isinstance(image, GifImageFile) and image.n_frames == 9


def test_a_video_made_from_a_video_is_a_composite(tmp_path: Path) -> None:
    finished(tmp_path, replace(ORIGIN, mode=Mode.VIDEO_TO_VIDEO))

    kind = said(in_mp4(tmp_path / VIDEO_FILE))["DigitalSourceType"]
    assert kind.endswith("/compositeWithTrainedAlgorithmicMedia")


def test_the_packet_changes_no_picture_and_is_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    video.encode(FRAMES, fps=8, path=path)
    before, shown = path.read_bytes(), decoded(path)

    xmp.add_to_mp4(path, ORIGIN.packet)

    assert path.read_bytes()[: len(before)] == before
    assert np.array_equal(decoded(path), shown)
    assert said(in_mp4(path))["AISystemVersionUsed"] == "1137dac"
    assert replace(ORIGIN).packet == ORIGIN.packet


def test_what_is_no_jpeg_and_no_gif_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gif"
    path.write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="not a whole GIF"):
        xmp.add_to_gif(path, b"x")
    with pytest.raises(ValueError, match="not a JPEG"):
        xmp.added_to_jpeg(b"\x89PNG", b"x")
    with pytest.raises(ValueError, match="does not fit"):
        xmp.added_to_jpeg(b"\xff\xd8\xff\xdb", b"x" * 65_536)
