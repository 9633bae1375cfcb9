"""A small random model, made once per session, and manifests for it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from contract.catalogue import MODELS, Mode
from contract.manifest import (
    Layout,
    Manifest,
    ManifestTask,
    Parameters,
    SceneParameters,
    Transition,
)
from contract.outcome import RESULT_FILE, Failed, Outcome, Rendered
from contract.scenes import num_frames_of
from processing import worker
from tests import random_model


def scene(
    prompt: str = "a bee",
    transition: Transition = "continue",
    *,
    from_image: bool = False,
    num_frames: int = 9,
    seed: int = 1,
) -> SceneParameters:
    """A scene. Only the first one and those that cut or fade can start from text or an image."""
    of_image = from_image or transition == "continue"
    return SceneParameters(
        mode=Mode.IMAGE_TO_VIDEO if of_image else Mode.TEXT_TO_VIDEO,
        prompt=prompt,
        num_frames=num_frames,
        seed=seed,
        transition=transition,
    )


class Jobs:
    """Makes worker roots with a manifest, renders them and reads the results.

    Args:
        folder: where the roots go.
        models: the model folders.
        model: the model of all manifests.
    """

    def __init__(self, folder: Path, models: Path, model: str = "demo") -> None:
        self._folder = folder
        self._models = models
        self._model = model
        self._count = 0

    def task(
        self,
        task_id: str = "bee",
        image: str | None = None,
        video: str | None = None,
        gif: bool = False,
        **changes: Any,
    ) -> ManifestTask:
        mode = Mode.TEXT_TO_VIDEO
        if image is not None:
            mode = Mode.IMAGE_TO_VIDEO
        if video is not None:
            mode = Mode.VIDEO_TO_VIDEO
            changes = {"strength": 0.5, **changes}
        values: dict[str, Any] = {
            "mode": mode,
            "prompt": "a bee on a flower",
            "height": 64,
            "width": 64,
            "num_frames": 9,
            "fps": 8,
            "num_inference_steps": 2,
            "guidance_scale": 4.0,
            "seed": 1,
        }
        return ManifestTask(
            task_id=task_id,
            image=image,
            video=video,
            gif=gif,
            parameters=Parameters(**{**values, **changes}),
        )

    def film(
        self,
        *scenes: SceneParameters,
        task_id: str = "bee",
        images: Mapping[int, str] = MappingProxyType({}),
        scene_clips: bool = False,
        **changes: Any,
    ) -> ManifestTask:
        """A task of `scenes`. `images` are those that they start from, by number of the scene."""
        fps = changes.get("generated_fps") or changes.get("fps", 8)
        made = self.task(
            task_id,
            **{
                "prompt": "", "scenes": scenes, "num_frames": num_frames_of(scenes, fps), **changes
            },
        )  # fmt: skip
        return made.model_copy(
            update={
                "scene_images": tuple(images.get(n) for n in range(1, len(scenes) + 1)),
                "scene_clips": scene_clips,
                "parameters": made.parameters.model_copy(update={"mode": scenes[0].mode}),
            }
        )

    def root(self, *tasks: ManifestTask, attempt_id: str = "attempt-1") -> Layout:
        """A new root with a manifest of these tasks, their model and an empty references folder."""
        self._count += 1
        layout = Layout(self._folder / f"root-{self._count}")
        layout.references.mkdir(parents=True)
        layout.output.mkdir()
        weights = MODELS[self._model].weights
        modes = sorted({mode for task in tasks for mode in task.parameters.modes})
        folders = [self._models / weights[mode].folder for mode in modes]
        layout.model.symlink_to(folders[-1])
        if folders[0] != folders[-1]:
            assert modes[0] == Mode.IMAGE_TO_VIDEO
            layout.image_model.symlink_to(folders[0])
        self.write_manifest(layout, *tasks, attempt_id=attempt_id)
        return layout

    def write_manifest(self, layout: Layout, *tasks: ManifestTask, attempt_id: str) -> None:
        mode = tasks[0].parameters.mode
        manifest = Manifest(attempt_id=attempt_id, model=self._model, mode=mode, tasks=tasks)
        layout.manifest.write_text(manifest.to_json(), encoding="utf-8")

    def rendered(self, *tasks: ManifestTask) -> Layout:
        layout = self.root(*tasks)
        self.render(layout)
        return layout

    def render(self, layout: Layout) -> None:
        worker.render_manifest(layout)

    def result(self, layout: Layout, task_id: str = "bee") -> Rendered | Failed:
        return Outcome.from_json((layout.task_output(task_id) / RESULT_FILE).read_bytes()).result

    def success(self, layout: Layout, task_id: str = "bee") -> Rendered:
        result = self.result(layout, task_id)
        assert isinstance(result, Rendered), result
        return result

    def failure(self, layout: Layout, task_id: str = "bee") -> Failed:
        result = self.result(layout, task_id)
        assert isinstance(result, Failed), result
        return result


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with demo/ and demo-i2v/. Tests must not write into it."""
    folder = tmp_path_factory.mktemp("models")
    random_model.write(folder)
    return folder


@pytest.fixture
def jobs(tmp_path: Path, models: Path) -> Jobs:
    return Jobs(tmp_path, models)
