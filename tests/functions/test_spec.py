"""A spec is accepted, or refused with what is wrong, where it is, and how to fix it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.catalogue import MODELS
from contract.errors import JobRejected
from contract.timeline import timeline_of
from functions.reading.mistakes import FIELD_NAMES
from functions.spec import drop_files, resolve
from functions.spec.fields import MAX_PROBLEMS, MAX_VIDEOS, FolderDefaults, parameters_of
from functions.spec.reader import Picture
from tests.fakes import World
from tests.functions.resolved_specs import draft, read, read_all, refusal


@pytest.mark.parametrize(
    "body",
    [
        "prompt: a bee",
        "\ufeffprompt: a bee\r\n",
        "prompt: a bee".encode("utf-16"),
        'prompt: "a bee"\n',
        "prompt: |\n  a bee\n",
        "---\nprompt: a bee\n...\n",
    ],
)
def test_a_prompt_can_be_written_in_many_ways(body: bytes | str) -> None:
    assert read(body).prompt.strip() == "a bee"


@pytest.mark.parametrize("value", ["no", "16:9", "010", "1e3", "2024-13-45", "on", "0x10", ".inf"])
def test_yaml_reads_ambiguous_values_as_text(value: str) -> None:
    assert read(f"prompt: {value}\n").prompt == value


@pytest.mark.parametrize(
    ("body", "code", "line", "column"),
    [
        ("", "spec-empty", None, None),
        ("# nothing\n", "spec-empty", None, None),
        ("- a\n", "spec-not-a-mapping", 1, 1),
        ("a bee", "spec-not-a-mapping", 1, 1),
        ("prompt: a cat: on a mat", "yaml-syntax", 1, 14),
        ("prompt: @home", "yaml-syntax", 1, 9),
        ("prompt: *bold* colours", "yaml-alias", 1, 9),
        ("prompt: &a x", "yaml-alias", 1, 9),
        ("<<: {prompt: x}", "yaml-alias", 1, 1),
        ("prompt: !!binary x", "yaml-tag", 1, 9),
        ("prompt: !wow", "yaml-tag", 1, 9),
        ("prompt: x\nprompt: y", "yaml-duplicate-key", 2, 1),
        ("tags: " + "[" * 3000, "yaml-too-deep", 1, 15),
        ("tags: [" + "1," * 3000 + "]", "yaml-too-many-values", None, None),
        ("\tprompt: x", "yaml-syntax", 1, 1),
        ("a: 1\n---\nb: 1", "yaml-syntax", 2, 1),
        ("%YAML 2.0\n---\nprompt: x", "yaml-tag", None, None),
        (b"prompt: \xfcber", "text-encoding", 1, None),
        ("prompt: a\x00b", "text-character", 1, 10),
        ("prompt: a\u202eb", "text-character", 1, 10),
        ("x" * 70_000, "spec-too-large", None, None),
        ("prompt: x\npromt: y", "field-unknown", 2, 1),
        ("prompt:", "field-missing", 1, 1),
        ("prompt: 12", "field-type", 1, 1),
        ("prompt: x\nenhance: no", "field-range", 2, 1),
        ("prompt: x\nseed: 1.5", "field-type", 2, 1),
        ("prompt: x\nenhance: 1", "field-range", 2, 1),
        ("prompt: x\nseed: '5'", "field-type", 2, 1),
        ("prompt: x\nseed: " + "9" * 5000, "field-type", 2, 1),
        ("prompt: x\nseed: -2", "field-range", 2, 1),
        ("prompt: x\nguidance_scale: .nan", "field-type", 2, 1),
        ("prompt: x\ntags: [ok, 'not ok']", "field-range", 2, 12),
        ("prompt: '  '", "prompt-empty", 1, 1),
        ("seed: 1", "prompt-empty", None, None),
        ("prompt: " + "😀" * 10_000, "field-range", 1, 1),
        ("prompt: x\nmodel: cogvideox5b", "model-unknown", 2, 1),
        ("prompt: x\nheight: 5", "field-range", 2, 1),
        ("prompt: x\nheight: 70", "size-unsupported", 2, 1),
        ("prompt: x\nnum_frames: 20", "frames-unsupported", 2, 1),
    ],
)
def test_a_refusal_says_where_the_mistake_is(
    body: bytes | str, code: str, line: int | None, column: int | None
) -> None:
    problem = refusal(body)
    assert problem.code == code
    assert problem.message and problem.hint
    if line is not None:
        assert problem.place.line == line
    if column is not None:
        assert problem.place.column == column


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ('{"prompt": "x",}', "yaml-syntax", 1),
        ('{"prompt": "x",\n "prompt": "y"}', "yaml-duplicate-key", None),
        ('{"prompt": "x",\n "seed": NaN}', "field-type", None),
        ('{"prompt": "x",\n "seed": -2}', "field-range", 2),
        ("[" * 10_000, "yaml-too-deep", None),
        ('{"tags": ' + "[" * 400 + "]" * 400 + "}", "yaml-too-deep", None),
        ('{"seed": ' + "9" * 5000 + "}", "field-range", None),
        ("[]", "spec-not-a-mapping", 1),
        ('{"prompt": "a\\u0000b"}', "text-character", 1),
        ('{"prompt": "\\ud800"}', "text-character", 1),
    ],
)
def test_a_refusal_of_json_says_where_the_mistake_is(
    body: str, code: str, line: int | None
) -> None:
    problem = refusal(body, "jobs/a.json")
    assert problem.code == code and (line is None or problem.place.line == line)


def test_hints_name_the_nearest_field_and_value() -> None:
    assert "num_inference_steps" in refusal("prompt: x\nnum_inferense_steps: 5").hint
    assert "num_inference_steps" in refusal("prompt: x\nsteps: 5").hint
    assert "cogvideox-5b" in refusal("prompt: x\nmodel: cogvideo-5b").hint
    assert "height: 64, width: 96" in refusal("prompt: x\nheight: 60\nwidth: 90").hint
    assert "Nearest: 17" in refusal("prompt: x\nnum_frames: 20").hint


def test_hints_fit_the_value_that_was_typed() -> None:
    assert "without a decimal point" in refusal("prompt: x\nseed: 1.5").hint
    assert "without quotes" in refusal("prompt: x\nseed: '1'").hint
    assert "Write  seed: -1 " in refusal("prompt: x\nseed: -5").hint
    assert "Write  60 " in refusal("prompt: x\nmatrix: {fps: [8, 61]}").hint


def test_every_wrong_field_is_reported_at_once() -> None:
    with pytest.raises(JobRejected) as caught:
        read("prompt: 1\nseed: x\nfoo: 2\n")
    assert [p.code for p in caught.value.problems] == ["field-type", "field-type", "field-unknown"]


@pytest.mark.parametrize("key", ["jobs/a.yaml", "jobs/a.json"])
def test_only_the_first_of_thousands_of_mistakes_are_reported(key: str) -> None:
    with pytest.raises(JobRejected) as caught:
        read(json.dumps({f"field{n}": n for n in range(900)}), key)
    assert len(caught.value.problems) == MAX_PROBLEMS


def test_a_comment_that_cuts_the_prompt_gives_a_warning() -> None:
    found = draft("prompt: cat #1 wins\n")
    assert found.spec.prompt == "cat"
    assert [w.code for w in found.warnings] == ["comment-cut"]


def test_one_of_height_and_width_is_enough() -> None:
    assert read("prompt: x\nwidth: 96").height == 64


def some(values: Any) -> Any:
    """A strategy that draws one of a few values, right or wrong."""
    return st.sampled_from(values)


VIDEO_FIELDS = {
    "image": some(["a.png", "/b/c.JPG", "http://x/a.png", "a.mp4"]),
    "video": some(["a.mp4", "a.mov", "a.png"]),
    "audio": some(["a.mp3", "/b/c.WAV", "a.mp4", "a.png"]),
    "strength": st.floats(0, 1.1),
    "fit": some(["crop", "pad", "stretch"]),
    "model": some([*sorted(MODELS), "other"]),
    "preset": some(["draft", "standard", "best", "fast"]),
    "aspect": some(["portrait", "square", "landscape", "wide"]),
    "height": some([64, 96, 480, 768, 100]),
    "width": some([64, 96, 720, 768, 1360]),
    "duration_seconds": st.floats(0, 12),
    "num_frames": some([9, 17, 49, 81, 50]),
    "fps": st.integers(-1, 70),
    "slow_motion": some([1, 2, 4, 8, 3, True, "2x"]),
    "loop": some([True, False, "cross-fade", "ping-pong", "yes", 1]),
    "num_inference_steps": st.integers(0, 110),
    "guidance_scale": st.floats(0, 25),
    "seed": st.integers(-1, 2**33),
    "label": some(["AI-generated", "", "künstlich", "x" * 41]),
}
JOB_FIELDS = {
    "enhance": some([True, False, "review", "no"]),
    "variations": st.integers(0, 40),
    "outputs": st.lists(some(["mp4", "gif", "h265", "webm", "scenes", "avi"]), max_size=5),
    "prompt_in_file": st.booleans(),
    "notify": st.sampled_from([True, False, "digest"]),
    "tags": st.lists(some(["a", "b c"]), max_size=3),
    "matrix": st.fixed_dictionaries(
        {},
        optional={
            "seed": st.lists(st.integers(-1, 9), max_size=4),
            "model": st.lists(some(sorted(MODELS)), max_size=3),
            "preset": st.lists(some(["draft", "best"]), max_size=2),
            "aspect": st.lists(some(["portrait", "landscape"]), max_size=2),
            "loop": st.lists(some([True, False, "ping-pong"]), max_size=2),
            "include": st.lists(st.just({"seed": 7}), max_size=2),
            "exclude": st.lists(some([{"seed": 1}, {"fps": 8}]), max_size=2),
        },
    ),
}


@given(
    st.fixed_dictionaries(
        {"prompt": st.text(min_size=1, max_size=50)}, optional={**VIDEO_FIELDS, **JOB_FIELDS}
    ),
    some([None, Picture(height=900, width=600, png=b"", preview=b"")]),
)
def test_a_spec_resolves_to_what_its_model_can_do_or_is_refused(
    values: dict[str, object], picture: Picture | None
) -> None:
    try:
        resolved = read_all(json.dumps(values), "jobs/a.json", picture)
    except JobRejected as rejection:
        assert all(p.code and p.hint for p in rejection.problems)
        return
    assert 1 <= len(resolved) <= MAX_VIDEOS
    for one in resolved:
        (again,) = read_all(one.to_json(), "jobs/b/c.json", picture)
        assert again == one, "the resolved spec resolves to itself in every folder"
        if one.model is None:
            assert one.video and not one.prompt.strip(), "it is only finished"
            continue
        p = parameters_of(one)
        model = MODELS[one.model]
        assert (p.height, p.width) in {(s.height, s.width) for s in model.weights[p.mode].sizes}
        assert p.num_frames in model.num_frames
        assert p.strength is None or p.strength * p.num_inference_steps >= 1
        assert p.generated_fps == model.fps and timeline_of(p).num_frames >= 2


# --- presets, shapes, lengths ----------------------------------------------------------------


def test_presets_set_the_steps_that_the_model_needs() -> None:
    draft_steps, standard, best = (
        read(f"prompt: x\npreset: {preset}\n").num_inference_steps
        for preset in ("draft", "standard", "best")
    )
    assert draft_steps and standard and best
    assert draft_steps < standard < best
    both = read("prompt: x\npreset: draft\nnum_inference_steps: 33\n")
    assert (both.preset, both.num_inference_steps) == ("draft", 33)
    assert read("prompt: x\nnum_inference_steps: 33\n").preset == "standard"


def test_an_aspect_chooses_a_size_of_that_shape() -> None:
    model = "model: cogvideox1.5-5b\nimage: a.png\n"
    portrait = read(model + "aspect: portrait\n")
    assert portrait.height and portrait.width and portrait.height > portrait.width
    square = read(model + "aspect: square\n")
    assert square.height == square.width
    problem = refusal("prompt: x\naspect: portrait\n")
    assert problem.code == "aspect-unsupported" and problem.place.line == 2
    assert "landscape" in problem.hint


def test_a_missing_size_follows_the_shape_of_the_image() -> None:
    tall = Picture(height=4000, width=3000, png=b"", preview=b"")
    (spec_,) = read_all("image: a.png\nmodel: cogvideox1.5-5b\n", picture=tall)
    assert spec_.width == 768 and spec_.height == 1024
    # 480x832 is a little nearer to the shape of most pictures, but it has fewer pixels.
    wide = Picture(height=3000, width=4000, png=b"", preview=b"")
    for body, size in (("", (704, 1280)), ("height: 480\n", (480, 832))):
        (spec_,) = read_all(f"image: a.png\nmodel: wan2.2-5b\n{body}", picture=wide)
        assert (spec_.height, spec_.width) == size


def test_a_duration_becomes_the_nearest_number_of_frames() -> None:
    assert read("prompt: x\nmodel: cogvideox-5b\nduration_seconds: 6\n").num_frames == 49
    assert read("prompt: x\nmodel: cogvideox-5b\nduration_seconds: 3.0\n").num_frames == 25
    problem = refusal("prompt: x\nmodel: cogvideox-5b\nduration_seconds: 20.0\n")
    assert problem.code == "duration-unsupported" and "Nearest: 6.1" in problem.hint


def test_wan_makes_videos_of_its_own_sizes_and_lengths() -> None:
    spec_ = read("prompt: x\nmodel: wan2.2-5b\n")
    assert (spec_.height, spec_.width, spec_.num_frames, spec_.fps) == (704, 1280, 121, 24)
    assert (spec_.num_inference_steps, spec_.guidance_scale) == (50, 5.0)
    upright = read("image: a.png\nmodel: wan2.2-5b\naspect: portrait\nduration_seconds: 3\n")
    assert (upright.height, upright.width, upright.num_frames) == (1280, 704, 73)
    assert read("prompt: x\nmodel: wan2.2-5b\nheight: 480\n").width == 832


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        # diffusers makes 120 frames into 121, and 720x1280 pixels into 704x1280, without a word.
        ("num_frames: 120", "frames-unsupported", "17 to 121 in steps of 4. Nearest: 121"),
        ("height: 720", "size-unsupported", "Nearest: height: 704, width: 1280"),
        ("height: 24\nwidth: 32", "size-unsupported", "704x1280, 1280x704, 480x832, 832x480"),
        ("duration_seconds: 8", "duration-unsupported", "0.7 to 5.0. Nearest: 5.0"),
        ("video: a.mp4", "mode-unsupported", "cogvideox-5b"),
    ],
)
def test_what_wan_cannot_make_is_refused(line: str, code: str, hint: str) -> None:
    problem = refusal(f"prompt: x\nmodel: wan2.2-5b\n{line}\n")
    assert problem.code == code
    assert hint in problem.hint


def test_a_spec_without_a_negative_prompt_gets_the_one_of_its_model() -> None:
    own = MODELS["wan2.2-5b"].negative_prompt
    assert read("prompt: x\nmodel: wan2.2-5b\n").negative_prompt == own != ""
    assert read("prompt: x\nmodel: cogvideox-5b\n").negative_prompt == ""
    for written in ("rain", ""):
        (spec_,) = read_all(f"prompt: x\nmodel: wan2.2-5b\nnegative_prompt: '{written}'\n")
        assert spec_.negative_prompt == written
        (again,) = read_all(spec_.to_json(), "jobs/b/c.json")
        assert again.negative_prompt == written


def test_a_prompt_with_more_words_than_tokens_is_refused() -> None:
    found = draft("prompt: " + "bee " * 200)
    (one,) = drop_files.videos(found, default_model="demo", job_id="job")
    resolved = resolve.resolve(one, default_model="demo", job_id="job")
    with pytest.raises(JobRejected) as caught:
        resolve.check_prompt(resolved, one)
    assert caught.value.problems[0].code == "prompt-too-long"


# --- fields that exclude each other ----------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("image: a.png\nvideo: a.mp4\n", 2),
        ("prompt: x\naspect: square\nheight: 64\n", 2),
        ("prompt: x\nduration_seconds: 2.0\nnum_frames: 17\n", 2),
        ("prompt: x\nstrength: 0.5\n", 2),
    ],
)
def test_fields_that_exclude_each_other_are_refused(body: str, line: int) -> None:
    problem = refusal(body)
    assert problem.code == "field-conflict" and problem.place.line == line


def test_a_strength_that_leaves_no_step_is_refused() -> None:
    body = "prompt: x\nvideo: a.mp4\nnum_inference_steps: 10\nstrength: {}\n"
    problem = refusal(body.format(0.05))
    assert problem.code == "field-range" and "strength: 0.1" in problem.hint
    assert read(body.format(0.1)).strength == 0.1


# --- variations and matrix -------------------------------------------------------------------


def test_each_variation_has_the_next_seed() -> None:
    seeds = [one.seed for one in read_all("prompt: x\nseed: 7\nvariations: 3\n")]
    assert seeds == [7, 8, 9]


def test_a_matrix_combines_includes_and_excludes() -> None:
    found = read_all(
        "prompt: x\nmatrix:\n  seed: [1, 2, 3]\n  guidance_scale: [4, 6]\n"
        "  exclude: [{seed: 2, guidance_scale: 6.0}]\n"
        "  include: [{prompt: y, seed: 9}]\n"
    )
    assert [(one.seed, one.guidance_scale, one.prompt) for one in found] == [
        (1, 4, "x"), (2, 4, "x"), (3, 4, "x"), (1, 6, "x"), (3, 6, "x"), (9, 4, "y"),
    ]  # fmt: skip


def test_a_matrix_replaces_fields_that_set_the_same_value() -> None:
    found = read_all("prompt: x\nnum_inference_steps: 9\nmatrix: {preset: [draft, best]}\n")
    assert [one.num_inference_steps for one in found] == [10, 50]


@pytest.mark.parametrize(
    ("matrix", "code", "line"),
    [
        ("{seed: 3}", "matrix-invalid", 2),
        ("{seeds: [3]}", "matrix-invalid", 2),
        ("{seed: []}", "matrix-invalid", 2),
        ("{}", "matrix-invalid", 2),
        ("[1]", "matrix-invalid", 2),
        ("{seed: [1, -2]}", "field-range", 2),
        ("{seed: [1], exclude: [{fps: 8}]}", "matrix-invalid", 2),
        ("{seed: [1], exclude: [{seed: 1}]}", "too-many-videos", 2),
        ("{seed: [1, 2, 3, 4, 5, 6], fps: [1, 2, 3, 4, 5, 6]}", "too-many-videos", 2),
        ("{height: [64], aspect: [square]}", "matrix-invalid", 2),
        ("{duration_seconds: [2], num_frames: [17]}", "matrix-invalid", 2),
        ("{seed: [1, 2], exclude: [{seed: 3}]}", "matrix-invalid", 2),
        ("{guidance_scale: [4, 4.0]}", "matrix-invalid", 2),
        ("{include: [{image: a.png, video: a.mp4}]}", "field-conflict", 2),
        ("{include: [{image: ../../a.png}]}", "reference-place", 2),
        ("{model: [demo, nothing]}", "model-unknown", 2),
        ("{image: [../../a.png]}", "reference-place", 2),
    ],
)
def test_the_refusal_of_a_matrix_says_where_the_mistake_is(
    matrix: str, code: str, line: int
) -> None:
    problem = refusal(f"prompt: x\nmatrix: {matrix}\n")
    assert (problem.code, problem.place.line) == (code, line), problem


def test_references_are_excluded_by_the_name_in_the_spec() -> None:
    found = read_all(
        "matrix: {image: [a.png, b.png], seed: [1, 2], exclude: [{image: a.png, seed: 1}]}\n"
    )
    assert [(one.image, one.seed) for one in found] == [("/a.png", 2), ("/b.png", 1), ("/b.png", 2)]


def test_equal_seeds_are_refused() -> None:
    problem = refusal("prompt: x\nvariations: 2\nmatrix: {seed: [1, 2]}\n")
    assert problem.code == "matrix-invalid" and "Videos 2 and 3" in problem.message


@pytest.mark.parametrize(
    "value", ["C:\\pics\\bee.png", "sub\\bee.png", "jobs/bee.png", "/jobs/bee.png", "~/bee.png"]
)
def test_references_that_can_never_be_uploaded_are_refused(value: str) -> None:
    assert refusal(f"image: {value}\n").code == "reference-place"


def test_hints_fit_the_mistake() -> None:
    assert "matrix: {seed: [...]}" in refusal("prompt: x\nseed: [1, 2]\n").hint
    assert "like 4.5" in refusal("prompt: x\nguidance_scale: .5\n").hint
    assert "without quotes" in refusal('prompt: x\nenhance: "true"\n').hint
    assert "enhance: true" in refusal("prompt: x\nenhance: yes\n").hint
    assert "one word" in refusal("prompt: x\ntags: [Team A]\n").hint
    assert "video: clip.mp4" in refusal("image: clip.mp4\n").hint


def test_a_huge_matrix_is_counted_without_being_expanded() -> None:
    lists = ", ".join(f"{name}: [{', '.join(map(str, range(2, 60)))}]" for name in ("seed", "fps"))
    lists += ", num_inference_steps: [" + ", ".join(map(str, range(2, 90))) + "]"
    problem = refusal(f"prompt: x\nvariations: 32\nmatrix: {{{lists}}}\n")
    assert problem.code == "too-many-videos" and f"{58 * 58 * 88 * 32:,}" in problem.message


def test_a_wrong_value_in_a_matrix_is_reported_at_its_own_line() -> None:
    problem = refusal("prompt: x\nmatrix:\n  num_frames:\n    - 17\n    - 18\n")
    assert (problem.code, problem.place.line) == ("frames-unsupported", 5)


# --- folder defaults -------------------------------------------------------------------------


def test_defaults_are_merged_from_the_root_down() -> None:
    found = read(
        "prompt: x\nfps: 12\n",
        "jobs/a/b/c.yaml",
        **{
            "_defaults.yaml": "fps: 10\nseed: 1\npriority: low\n",
            "a/_defaults.yaml": "seed: 2\ntags: [team-a]\n",
            "b/_defaults.yaml": "seed: 3\n",
        },
    )
    assert (found.fps, found.seed, found.priority, found.tags) == (12, 2, "low", ("team-a",))


def test_a_spec_replaces_defaults_that_set_the_same_value_in_another_way() -> None:
    found = read("prompt: x\npreset: best\n", **{"_defaults.yaml": "num_inference_steps: 3\n"})
    assert found.num_inference_steps == 50
    found = read("prompt: x\n", **{"_defaults.yaml": "strength: 0.5\n"})
    assert found.strength is None, "strength in defaults applies only to specs with a video"


def test_references_in_defaults_are_relative_to_the_defaults() -> None:
    found = read("prompt: x\n", "jobs/a/b.yaml", **{"_defaults.yaml": "image: logo.png\n"})
    assert found.image == "/logo.png"
    assert read("image: bee.png\n", "jobs/a/b.yaml").image == "/a/bee.png"


def test_a_mistake_in_defaults_names_their_file() -> None:
    with pytest.raises(JobRejected) as caught:
        read("prompt: x\n", "jobs/a/b.yaml", **{"_defaults.yaml": "fps: 8\nseeds: 3\n"})
    place = caught.value.problems[0].place
    assert (place.file, place.line) == ("jobs/_defaults.yaml", 2)
    with pytest.raises(JobRejected) as caught:
        read("prompt: x\n", "jobs/a/b.yaml", **{"_defaults.yaml": "num_frames: 18\n"})
    assert caught.value.problems[0].place.file == "jobs/_defaults.yaml"


def test_fields_for_folder_defaults_are_refused_in_a_spec() -> None:
    problem = refusal("prompt: x\nanimate_images: true\n")
    assert problem.code == "field-unknown" and "_defaults.yaml" in problem.hint


# --- warnings --------------------------------------------------------------------------------


def warned(body: str, *, model: str = "cogvideox-5b") -> dict[str, str]:
    """The warnings about what the model makes of a spec, by their codes."""
    return {n.code: n.message for n in resolve.notices([read(f"{body}\nmodel: {model}\n")])}


@pytest.mark.parametrize(
    "prompt",
    ["一只蜜蜂落在花上", "ミツバチが花にとまる", "꿀벌이 꽃에 앉는다", "Пчела на цветке",
     "نحلة على زهرة", "μέλισσα σε λουλούδι", "ผึ้งบนดอกไม้",
     "eine Biene landet auf einer Blume im Garten", "une abeille sur une fleur dans le jardin",
     "una abeja vuela sobre las flores del campo", "uma abelha na flor com sol",
     "un'ape vola nel giardino di una villa", "een bij landt op een bloem",
     "bee 蜜蜂落在花上"],
)  # fmt: skip
def test_a_prompt_that_the_model_cannot_read_gives_a_warning(prompt: str) -> None:
    said = warned(f"prompt: {json.dumps(prompt)}\nenhance: false")
    assert "enhance: true" in said["not-english"]
    assert "not-english" not in warned(f"prompt: {json.dumps(prompt)}"), "it is translated"
    said = warned(f"prompt: a bee\nnegative_prompt: {json.dumps(prompt)}")
    assert "negative_prompt" in said["not-english"], "it is never translated"


def test_wan_reads_chinese() -> None:
    for field in ("prompt", "negative_prompt"):
        body = f"image: a.png\nenhance: false\n{field}: 一只蜜蜂落在花上"
        assert "not-english" in warned(body)
        assert "not-english" not in warned(body, model="wan2.2-5b")


@pytest.mark.parametrize(
    "prompt",
    ["", "bee", "a bee lands on a flower", "La Tour Eiffel at night, seen from the Seine",
     "Los Angeles", "a sign that says 蜜蜂 in a busy street", "16:9", "😀", "El Capitan, granite",
     "Café con leche on a wooden table in the sun", "slow motion, macro, golden hour"],
)  # fmt: skip
def test_an_english_prompt_gives_no_warning(prompt: str) -> None:
    said = warned(f"image: a.png\nenhance: false\nprompt: {json.dumps(prompt)}")
    assert "not-english" not in said


def test_frames_that_are_left_out_give_a_warning() -> None:
    assert "frames-left-out" in warned("prompt: a bee\nfps: 4")
    assert "(8 fps)" in warned("image: a.png\nfps: 7")["frames-left-out"]
    for every_frame in ("fps: 24", "fps: 8", "fps: 4\nslow_motion: 2", "loop: ping-pong"):
        assert not warned(f"prompt: a bee\n{every_frame}")


# --- frame rate, slow motion, loop -----------------------------------------------------------


def length(body: str, key: str = "jobs/a.yaml", **others: str) -> tuple[int, int, float]:
    """Number of frames, fps and seconds of the only video."""
    timeline = timeline_of(parameters_of(read(body, key, **others)))
    return timeline.num_frames, timeline.fps, timeline.duration_seconds


FIVE_B = "prompt: x\nmodel: cogvideox-5b\n"


def test_another_frame_rate_keeps_the_duration() -> None:
    assert length(FIVE_B) == (49, 8, 6.125)
    assert length(f"{FIVE_B}fps: 24\n") == (147, 24, 6.125)
    assert length(f"{FIVE_B}fps: 24\nduration_seconds: 3\n") == (75, 24, 3.125)
    assert length(f"{FIVE_B}fps: 4\n") == (25, 4, 6.25)
    spec_ = read(f"{FIVE_B}fps: 24\n")
    assert (spec_.num_frames, spec_.fps, parameters_of(spec_).generated_fps) == (49, 24, 8)


def test_slow_motion_makes_a_video_longer() -> None:
    assert length(f"{FIVE_B}slow_motion: 4\n") == (196, 8, 24.5)
    assert length(f"{FIVE_B}slow_motion: 2\nfps: 24\n") == (294, 24, 12.25)


@pytest.mark.parametrize(
    ("body", "loop"),
    [
        ("prompt: x\nloop: true", "cross-fade"),
        ("prompt: x\nvideo: a.mp4\nloop: true", "cross-fade"),
        ("image: a.png\nloop: true", "ping-pong"),
        ("image: a.png\nloop: cross-fade", "cross-fade"),
        ("prompt: x\nloop: ping-pong", "ping-pong"),
        ("prompt: x\nloop: false", False),
        ("prompt: x", False),
    ],
)
def test_a_loop_is_made_as_it_suits_the_video(body: str, loop: str | bool) -> None:
    spec_ = read(body)
    assert spec_.loop == loop and parameters_of(spec_).loop == (loop or None)


def test_a_ping_pong_takes_twice_as_long_and_a_cross_fade_a_little_less() -> None:
    assert length(f"{FIVE_B}loop: ping-pong\n") == (96, 8, 12.0)
    assert length(f"{FIVE_B}loop: cross-fade\n") == (45, 8, 5.625)


def test_folder_defaults_have_them_and_a_spec_or_a_matrix_overrides_them() -> None:
    defaults = {"_defaults.yaml": "fps: 24\nslow_motion: 2\nloop: true\n"}
    plain, again = read("prompt: x\n", **defaults), read("prompt: x\nloop: false\n", **defaults)
    assert (plain.fps, plain.slow_motion, plain.loop) == (24, 2, "cross-fade")
    assert (again.fps, again.slow_motion, again.loop) == (24, 2, False)
    assert read(again.to_json(), "jobs/b.json", **defaults) == again
    matrix = "prompt: x\nmatrix: {fps: [8, 24], slow_motion: [1, 4], loop: [false, ping-pong]}\n"
    found = [
        (one.fps, one.slow_motion, one.loop) for one in read_all(matrix, picture=None, **defaults)
    ]
    assert len(set(found)) == 8 and (24, 4, "ping-pong") in found
    problem = refusal("prompt: x\nmatrix: {loop: [true, cross-fade]}\n")
    assert problem.code == "matrix-invalid" and "identical" in problem.message


def test_a_frame_rate_that_leaves_one_frame_is_refused() -> None:
    short = f"{FIVE_B}num_frames: 9\n"
    problem = refusal(f"{short}fps: 1\n")
    assert (problem.code, problem.place.line) == ("field-range", 4)
    assert "Write  fps: 2 " in problem.hint
    assert length(f"{short}fps: 2\n") == (2, 2, 1.0)
    assert length(f"{short}fps: 1\nslow_motion: 2\n") == (2, 1, 2.0)
    assert "Write  fps: 2 " in refusal(f"{short}loop: true\nfps: 1\n").hint
    assert length(f"{short}loop: true\nfps: 2\n") == (2, 2, 1.0)


def test_a_video_that_was_accepted_by_an_earlier_version_keeps_its_speed() -> None:
    """There, 24 frames per second showed the motion of 8 three times as fast."""
    now = read(f"{FIVE_B}fps: 24\n")
    before = parameters_of(now.model_copy(update={"slow_motion": None, "loop": None}))
    assert before.generated_fps is None
    assert timeline_of(before).num_frames == 49


# --- a sidecar -------------------------------------------------------------------------------


def test_a_whole_sidecar_is_read_by_its_spec() -> None:
    world = World()
    world.drop("jobs/bee.yaml", "prompt: a red circle\nenhance: false\nseed: 7\n")
    world.render(world.dispatch()[0])
    sidecar = world.files.read("output", "videos/bee.json")
    found = draft(sidecar, "jobs/again.json")
    assert [notice.code for notice in found.warnings] == ["sidecar-read"]
    assert read(sidecar, "jobs/again.json") == read(
        json.dumps(json.loads(sidecar)["spec"]), "jobs/again.json"
    )
    broken = sidecar.replace(b'"seed": 7', b'"seed": -7').replace(b'"seed":7', b'"seed":-7')
    place = refusal(broken, "jobs/again.json").place
    assert place.field == "seed" and place.line and place.column


def test_the_names_of_fields_in_bare_prompts_are_those_of_specs() -> None:
    assert set(FIELD_NAMES) == set(FolderDefaults.model_fields)
