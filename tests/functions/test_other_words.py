"""Words of other tools get one suggestion that is near in meaning, and that works."""

import json
import re

import pytest

from contract.errors import JobRejected
from functions.spec import other_words
from functions.spec.fields import FolderDefaults, Scene
from tests.functions.resolved_specs import draft, read, refusal

# what a person writes, and the lines that the hint tells the person to write
FIELDS = [
    ("steps: 20", "num_inference_steps: 20"),
    ("cfg: 6", "guidance_scale: 6"),
    ("cfg_scale: 6.5", "guidance_scale: 6.5"),
    ("guidanceScale: 6", "guidance_scale: 6"),
    ("ratio: 9:16", "aspect: portrait"),
    ("aspect_ratio: '16:9'", "aspect: landscape"),
    ("aspect: 1:1", "aspect: square"),
    ("aspect: 1.85:1", "aspect: landscape"),
    ("size: 720x480", "height: 480 width: 720"),
    ("resolution: 1280 x 720", "height: 720 width: 1280"),
    ("width: 720×480", "height: 480 width: 720"),
    ("width: 96px", "width: 96"),
    ("height: 64 px", "height: 64"),
    ("fps: 24fps", "fps: 24"),
    ("frame_rate: 24 fps", "fps: 24"),
    ("target_fps: 24", "fps: 24"),
    ("interpolation: 2", "fps: 24"),
    ("rife: true", "fps: 24"),
    ("slowmo: 4", "slow_motion: 4"),
    ("slow_motion: 2x", "slow_motion: 2"),
    ("slow_motion: '4'", "slow_motion: 4"),
    ("slow_motion: true", "slow_motion: 2"),
    ("looping: true", "loop: true"),
    ("loop: yes", "loop: true"),
    ("loop: off", "loop: false"),
    ("loop: crossfade", "loop: cross-fade"),
    ("loop: Ping Pong", "loop: ping-pong"),
    ("boomerang: true", "loop: ping-pong"),
    ("seamless: true", "loop: cross-fade"),
    ("gif: true", "outputs: [mp4, gif]"),
    ("hevc: true", "outputs: [mp4, h265]"),
    ("webm: yes", "outputs: [mp4, webm]"),
    ("frames: 17", "num_frames: 17"),
    ("numFrames: 17", "num_frames: 17"),
    ("num-frames: 17 frames", "num_frames: 17"),
    ("length: 5s", "duration_seconds: 5"),
    ("duration: 2.5 seconds", "duration_seconds: 2.5"),
    ("duration_seconds: 2,5", "duration_seconds: 2.5"),
    ("guidance_scale: 6,5", "guidance_scale: 6.5"),
    ("fps: 23.976", "fps: 24"),
    ("height: 64p", "height: 64"),
    ("aspect: vertical", "aspect: portrait"),
    ("aspect_ratio: horizontal", "aspect: landscape"),
    ("n: 4", "variations: 4"),
    ("count: 4", "variations: 4"),
    ("num_videos: 4", "variations: 4"),
    ("batch_size: 4", "variations: 4"),
    ("quality: high", "preset: best"),
    ("preset: fast", "preset: draft"),
    ("email: me@example.org", "notify: true"),
    ("notify: yes", "notify: true"),
    ("notify: off", "notify: false"),
    ("enhance: no", "enhance: false"),
    ("dry_run: on", "dry_run: true"),
    ("negative: rain", "negative_prompt: rain"),
    ("negativePrompt: rain", "negative_prompt: rain"),
    ("init_image: bee.png", "image: bee.png"),
    ("first_frame: bee.png", "image: bee.png"),
    ("init_video: bee.mp4", "video: bee.mp4"),
    ("denoise: 0.5", "strength: 0.5"),
    ("random_seed: 7", "seed: 7"),
    ("seed: random", "seed: -1"),
    ("seed: '-1'", "seed: -1"),
    ("enhance_prompt: false", "enhance: false"),
    ("labels: [bees]", "tags: [bees]"),
    ("checkpoint: demo", "model: demo"),
    ("text: a bee", "prompt: a bee"),
    ("promt: a bee", "prompt: a bee"),
    ("Seed: 7", "seed: 7"),
    ("hieght: 64", "height: 64"),
    ("fsp: 8", "fps: 8"),
]


def followed(hint: str, written: str) -> str:
    """What a person writes who follows a hint to the letter."""
    lines = re.findall(r" {2}(\w+: (?:\[[\w, ]+\]|[\w.-]+))", hint)
    if lines:
        return " ".join(lines)
    meant = re.match(r"Did you mean (\w+)\?", hint)
    assert meant is not None, hint
    return meant[1] + written[written.index(":") :]


@pytest.mark.parametrize(("written", "meant"), FIELDS)
def test_a_word_of_another_tool_gets_the_line_to_write(written: str, meant: str) -> None:
    prompt = "" if meant.startswith("prompt") else "prompt: x\n"
    problem = refusal(f"{prompt}{written}\n")
    assert followed(problem.hint, written) == meant, problem.hint
    fixed = re.sub(r" (?=width)", "\n", meant)
    names = {line.partition(":")[0] for line in fixed.splitlines()}
    assert names <= draft(f"{prompt}{fixed}\n").spec.model_fields_set


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("last_frame: a.png", "only be given its first frame"),
        ("end_image: a.png", "only be given its first frame"),
        ("sampler: euler", "The model decides this."),
        ("scheduler: ddim", "The model decides this."),
        ("camera_motion: pan", "Describe it in the prompt."),
        ("controlnet: bees", "does not have it"),
        ("webhook: https://example.org", "An email"),
        ("name: bee", "name of the spec"),
    ],
)
def test_what_no_field_does_is_said(written: str, advice: str) -> None:
    problem = refusal(f"prompt: x\n{written}\n")
    assert advice in problem.hint and "Delete the line" in problem.hint
    assert "Did you mean" not in problem.hint


def test_a_field_that_turns_off_what_is_off_anyway_is_deleted() -> None:
    for line in ("gif: false", "interpolate: no", "boomerang: off"):
        assert refusal(f"prompt: x\n{line}\n").hint == "Delete the line."


@pytest.mark.parametrize(
    "name",
    ["banana", "frame", "last", "max", "day", "video_codec", "gpu", "inference", "bitrate",
     "workflow", "user", "version", "password", "region", "comment", "minutes"],
)  # fmt: skip
def test_nothing_is_suggested_that_is_not_near_in_meaning(name: str) -> None:
    hint = refusal(f"prompt: x\n{name}: 5\n").hint
    assert "Did you mean" not in hint and hint.startswith("Fields: prompt,")


def test_the_table_has_our_fields_and_no_word_twice() -> None:
    words = [
        word
        for table in (other_words._NAMES, other_words._NOT_OFFERED, other_words._LINES)
        for some in table.values()
        for word in some.split()
    ]
    assert len(words) == len(set(words))
    known = {*FolderDefaults.model_fields, *Scene.model_fields}
    assert set(other_words._NAMES) <= known
    assert not set(words) & set(FolderDefaults.model_fields)


# --- seed: -1 --------------------------------------------------------------------------------


def test_minus_one_is_any_seed() -> None:
    assert read("prompt: x\nseed: -1\n") == read("prompt: x\n")
    assert read("prompt: x\nseed: -1\n", **{"_defaults.yaml": "seed: 7\n"}).seed != 7
    assert read(json.dumps({"prompt": "x", "seed": -1}), "jobs/a.json") == read("prompt: x\n")


# --- one round -------------------------------------------------------------------------------


def codes(text: str, **others: str) -> list[tuple[str, int | None]]:
    with pytest.raises(JobRejected) as caught:
        read(text, **others)
    return [(p.code, p.place.line) for p in caught.value.problems]


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines() -> None:
    assert codes(
        "stepz: 20\nmodel: cogvideo\nimage: ../../a.png\nfps: 99\nfoo: 1\n"
        "matrix:\n  model: [demo, demi]\naspect: square\nheight: 64\n"
    ) == [
        ("field-unknown", 1),
        ("model-unknown", 2),
        ("reference-place", 3),
        ("field-range", 4),
        ("field-unknown", 5),
        ("model-unknown", 7),
        ("field-conflict", 8),
    ]


def test_a_mistake_in_defaults_is_told_with_its_model() -> None:
    assert codes("prompt: x\n", **{"_defaults.yaml": "foo: 1\nmodel: demi\n"}) == [
        ("field-unknown", 1),
        ("model-unknown", 2),
    ]
