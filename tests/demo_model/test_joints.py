"""A film of the demo model does not jump where a scene continues or fades."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.catalogue import Mode
from contract.manifest import Layout, Manifest, ManifestTask, Parameters
from contract.outcome import Outcome, Rendered
from contract.scenes import num_frames_of, parts_of
from demo_model import install, world
from processing import made, scenes, worker
from tests.processing.conftest import scene
from tests.processing.scenes import psnr

SCENES = (
    scene("a red circle moves right on a blue background", "cut", num_frames=17, seed=4),
    scene("the red circle moves left", "continue", num_frames=17, seed=5),
    scene("the red circle moves right", "continue", num_frames=17, seed=6),
    scene("a yellow square grows on a purple background", "fade", num_frames=17, seed=7),
)


def film(root: Path, steps: int) -> list[NDArray[np.uint8]]:
    """The frames of a film, as they are before they are encoded."""
    install.write(root / "models")
    layout = Layout(root)
    layout.manifest.parent.mkdir()
    layout.model.symlink_to(root / "models" / "demo")
    layout.image_model.symlink_to(root / "models" / "demo-i2v")
    parameters = Parameters(
        mode=Mode.TEXT_TO_VIDEO,
        prompt="",
        height=world.HEIGHT,
        width=world.WIDTH,
        num_frames=num_frames_of(SCENES, 8),
        fps=8,
        num_inference_steps=steps,
        guidance_scale=4.0,
        seed=4,
        scenes=SCENES,
    )
    task = ManifestTask(task_id="film", parameters=parameters, scene_images=(None,) * len(SCENES))
    manifest = Manifest(attempt_id="a", model="demo", mode=Mode.TEXT_TO_VIDEO, tasks=(task,))
    layout.manifest.write_text(manifest.to_json(), encoding="utf-8")
    worker.render_manifest(layout)
    result = Outcome.from_json((layout.task_output("film") / "result.json").read_bytes()).result
    assert isinstance(result, Rendered), result
    assert result.warnings == ()
    frames = sorted(layout.task_scenes("film").glob("*.npy"))
    return list(scenes.Film([np.load(path) for path in frames], parameters))


def test_no_joint_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "forget", lambda _: None)

    frames = film(tmp_path, steps=8)

    alike = [psnr(one, other) for one, other in itertools.pairwise(frames)]
    first, second, third, faded = parts_of(SCENES, 8)
    # Interval n lies between the frames n and n + 1.
    inside = [
        figure
        for part in (first, second, third)
        for figure in alike[part.first_frame : min(part.end, faded.first_frame) - 1]
    ]
    joints = [alike[part.first_frame - 1] for part in (second, third)]
    assert min(joints) > np.mean(inside) - 3, joints
    # If the scenes did not continue each other, this could be seen.
    assert psnr(frames[0], frames[second.first_frame]) < np.mean(inside) - 3
    # A fade is many small steps of about the same size.
    fade = alike[faded.first_frame - 1 : faded.first_frame + faded.fade_frames]
    assert min(fade) > np.mean(inside) - 3, fade
    assert max(fade) - min(fade) < 6
    ends = frames[faded.first_frame - 1], frames[faded.first_frame + faded.fade_frames]
    assert min(fade) > psnr(*ends) + 6
