"""How the memory of a GPU is shared: the choice for each card, and a step down for one task.

There is no GPU here. The choice is given the memory of one, and the calls are recorded.
"""

from typing import Any

import pytest
import torch

from contract.catalogue import MODELS
from contract.memory import MemoryMode, Shape, mode_for, needed_gib
from contract.outcome import VIDEO_FILE
from processing import device, loading, worker
from processing.device import FreeMemory
from processing.pipelines import Pipeline
from tests.processing.conftest import Jobs

SMALL = Shape(height=480, width=720, num_frames=49, from_video=False)
FROM_VIDEO = SMALL.model_copy(update={"from_video": True})
LARGE = Shape(height=768, width=1360, num_frames=81, from_video=False)
WAN = Shape(height=704, width=1280, num_frames=121, from_video=False)
SMALL_WAN = WAN.model_copy(update={"height": 480, "width": 832})
LONG = LARGE.model_copy(update={"num_frames": 161})

# What a card has after CUDA has taken its part.
T4, A10G, L40S, H100 = 14.6, 22.0, 44.3, 78.5


@pytest.mark.parametrize(
    ("model", "shape", "gpu_gib", "host_gib", "mode"),
    [
        ("cogvideox-5b", SMALL, H100, 240, MemoryMode.WHOLE),
        ("cogvideox-5b", SMALL, L40S, 28, MemoryMode.WHOLE),
        ("cogvideox-5b", SMALL, A10G, 60, MemoryMode.ALTERNATING),
        ("cogvideox-5b", SMALL, A10G, 8, MemoryMode.TILES),
        # Its reference is encoded beside the transformer.
        ("cogvideox-5b", FROM_VIDEO, A10G, 60, MemoryMode.TILES),
        ("cogvideox-5b", SMALL, T4, 60, MemoryMode.ALTERNATING_TILES),
        ("cogvideox-5b", SMALL, 12.0, 60, None),
        ("cogvideox-2b", SMALL, A10G, 12, MemoryMode.WHOLE),
        ("cogvideox-2b", SMALL, T4, 12, MemoryMode.TILES),
        ("cogvideox1.5-5b", LARGE, H100, 240, MemoryMode.WHOLE),
        ("cogvideox1.5-5b", LARGE, L40S, 28, MemoryMode.TILES),
        ("cogvideox1.5-5b", LARGE, A10G, 60, MemoryMode.TILES),
        ("cogvideox1.5-5b", LONG, A10G, 60, None),
        ("cogvideox1.5-5b", LONG, L40S, 28, MemoryMode.TILES),
        # Its decoder works in float32: whole frames fit no GPU of these types.
        ("wan2.2-5b", WAN, H100, 240, MemoryMode.TILES),
        ("wan2.2-5b", WAN, L40S, 28, MemoryMode.TILES),
        ("wan2.2-5b", WAN, A10G, 60, None),
        ("wan2.2-5b", SMALL_WAN, H100, 240, MemoryMode.TILES),
        ("wan2.2-5b", SMALL_WAN, 139.0, 240, MemoryMode.WHOLE),
    ],
)
def test_each_card_gets_the_mode_that_changes_least(
    model: str, shape: Shape, gpu_gib: float, host_gib: float, mode: MemoryMode | None
) -> None:
    assert mode_for(model, shape, gpu_gib=gpu_gib, host_gib=host_gib) == mode


def test_the_table_has_every_model_and_agrees_with_what_was_measured() -> None:
    for model in MODELS:
        assert needed_gib(model, MemoryMode.ALTERNATING_TILES, SMALL) > 0
    # bench/results/gpu_h200.json, with 5 percent of margin.
    whole = needed_gib("cogvideox-5b", MemoryMode.WHOLE, SMALL)
    assert whole / 1.05 == pytest.approx(27.81, abs=0.1)
    tiles = needed_gib("cogvideox-5b", MemoryMode.TILES, SMALL)
    assert tiles / 1.05 == pytest.approx(16.84, abs=0.1)
    # Its row is of the decoder alone.
    wan = needed_gib("wan2.2-5b", MemoryMode.ALTERNATING, SMALL_WAN)
    assert wan / 1.05 == pytest.approx(114.75, abs=0.1)


def test_the_transformer_waits_on_the_host_while_frames_are_decoded(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Enough for the transformer or the decoder of this size, but not for both.
    monkeypatch.setattr(device, "memory", lambda _: FreeMemory(gpu_gib=1.0, host_gib=9))
    moved: list[str] = []
    load = loading.load

    def recorded(**options: Any) -> Pipeline:
        pipeline = load(**options)
        transformer, vae = pipeline._pipe.transformer, pipeline._pipe.vae
        to, decode = transformer.to, vae.decode

        def moves(place: object) -> Any:
            moved.append(str(place))
            return to(place)

        def decodes(*arguments: Any, **options: Any) -> Any:
            moved.append("decode")
            return decode(*arguments, **options)

        monkeypatch.setattr(transformer, "to", moves)
        monkeypatch.setattr(vae, "decode", decodes)
        return pipeline

    monkeypatch.setattr(loading, "load", recorded)
    layout = jobs.root(
        jobs.task("one", height=64, width=160), jobs.task("two", height=64, width=160)
    )

    worker.render_manifest(layout)

    assert moved == ["cpu", "cpu", "decode"] * 2
    memory = jobs.success(layout, "one").memory
    assert memory is not None
    assert (memory.mode, memory.stepped_down, memory.gpu_gib) == (
        MemoryMode.ALTERNATING,
        False,
        1.0,
    )


def test_a_step_down_is_for_one_task_alone(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    # Four tiles each.
    first = jobs.task("first", seed=1, height=128, width=160)
    second = jobs.task("second", seed=2, height=128, width=160)
    alone = jobs.rendered(second)
    decode = Pipeline.decode

    def fails_whole(self: Pipeline, latents: torch.Tensor, parameters: Any) -> Any:
        if parameters.seed == 1 and not self._pipe.vae.use_tiling:
            raise torch.AcceleratorError("CUDA error: out of memory", 2)
        return decode(self, latents, parameters)

    monkeypatch.setattr(Pipeline, "decode", fails_whole)
    together = jobs.rendered(first, second)

    stepped, neighbour = (jobs.success(together, name).memory for name in ("first", "second"))
    assert stepped is not None
    assert neighbour is not None
    assert (stepped.mode, stepped.stepped_down) == (MemoryMode.ALTERNATING_TILES, True)
    assert (neighbour.mode, neighbour.stepped_down) == (MemoryMode.WHOLE, False)
    videos = [
        (layout.task_output("second") / VIDEO_FILE).read_bytes() for layout in (alone, together)
    ]
    assert videos[0] == videos[1]


def test_weights_go_to_the_device_as_they_are_read(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers
    import transformers

    places: list[object] = []
    for part in (
        diffusers.CogVideoXTransformer3DModel,
        diffusers.AutoencoderKLCogVideoX,
        transformers.T5EncoderModel,
    ):
        read = part.from_pretrained

        def recorded(*arguments: Any, read: Any = read, **options: Any) -> Any:
            places.append(options.get("device_map"))
            return read(*arguments, **options)

        monkeypatch.setattr(part, "from_pretrained", recorded)

    jobs.rendered(jobs.task())

    assert places == [{"": torch.device("cpu")}] * 3
