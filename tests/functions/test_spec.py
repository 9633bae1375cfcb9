"""What a person may type: it works, or the answer says what, where and how to mend it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions import spec, spec_text
from processing.contract.catalogue import MODELS
from processing.contract.errors import JobRejected, Problem


def read(body: bytes | str, key: str = "jobs/a.yaml") -> spec.Resolved:
    data = body if isinstance(body, bytes) else body.encode()
    parsed = spec_text.parse(data, key)
    return spec.resolve(spec.parse(parsed), parsed, default_model="demo", job_id="job")


def refusal(body: bytes | str, key: str = "jobs/a.yaml") -> Problem:
    with pytest.raises(JobRejected) as caught:
        read(body, key)
    return caught.value.problems[0]


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
def test_spellings_that_work(body: bytes | str) -> None:
    assert read(body).parameters.prompt.strip() == "a bee"


@pytest.mark.parametrize("value", ["no", "16:9", "010", "1e3", "2024-13-45", "on", "0x10", ".inf"])
def test_yaml_guesses_nothing(value: str) -> None:
    assert read(f"prompt: {value}\n").parameters.prompt == value


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
        ("%YAML 2.0\n---\nprompt: x", "yaml-syntax", None, None),
        (b"prompt: \xfcber", "text-encoding", 1, None),
        ("prompt: a\x00b", "text-character", 1, 10),
        ("prompt: a\u202eb", "text-character", 1, 10),
        ("x" * 70_000, "spec-too-large", None, None),
        ("prompt: x\npromt: y", "field-unknown", 2, 1),
        ("prompt:", "field-missing", 1, 1),
        ("prompt: 12", "field-type", 1, 1),
        ("prompt: x\nenhance: no", "field-type", 2, 1),
        ("prompt: x\nseed: 1.5", "field-type", 2, 1),
        ("prompt: x\nseed: '5'", "field-type", 2, 1),
        ("prompt: x\nseed: " + "9" * 5000, "field-type", 2, 1),
        ("prompt: x\nseed: -1", "field-range", 2, 1),
        ("prompt: x\nguidance_scale: .nan", "field-type", 2, 1),
        ("prompt: x\ntags: [ok, 'not ok']", "field-range", 2, 12),
        ("prompt: '  '", "prompt-empty", 1, 1),
        ("seed: 1", "prompt-empty", None, None),
        ("prompt: " + "😀" * 10_000, "field-range", 1, 1),
        ("prompt: x\nmodel: cogvideox5b", "model-unknown", 2, 1),
        ("prompt: x\nheight: 70", "size-unsupported", 2, 1),
        ("prompt: x\nnum_frames: 20", "frames-unsupported", 2, 1),
    ],
)
def test_refusals_say_where(
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
        ('{"prompt": "x",\n "seed": -1}', "field-range", 2),
        ("[" * 10_000, "yaml-too-deep", None),
        ('{"tags": ' + "[" * 400 + "]" * 400 + "}", "yaml-too-deep", None),
        ('{"seed": ' + "9" * 5000 + "}", "field-range", None),
        ("[]", "spec-not-a-mapping", 1),
        ('{"prompt": "a\\u0000b"}', "text-character", 1),
        ('{"prompt": "\\ud800"}', "text-character", 1),
    ],
)
def test_json_is_refused_as_clearly(body: str, code: str, line: int | None) -> None:
    problem = refusal(body, "jobs/a.json")
    assert problem.code == code and (line is None or problem.place.line == line)


def test_the_nearest_name_and_the_nearest_value_are_told() -> None:
    assert "num_inference_steps" in refusal("prompt: x\nnum_inferense_steps: 5").hint
    assert "num_inference_steps" in refusal("prompt: x\nsteps: 5").hint
    assert "cogvideox-5b" in refusal("prompt: x\nmodel: cogvideo-5b").hint
    assert "height: 64, width: 96" in refusal("prompt: x\nheight: 60\nwidth: 90").hint
    assert "Nearest: 17" in refusal("prompt: x\nnum_frames: 20").hint


def test_every_wrong_field_is_told_at_once() -> None:
    with pytest.raises(JobRejected) as caught:
        read("prompt: 1\nseed: x\nfoo: 2\n")
    assert [p.code for p in caught.value.problems] == ["field-type", "field-type", "field-unknown"]


@pytest.mark.parametrize("key", ["jobs/a.yaml", "jobs/a.json"])
def test_thousands_of_mistakes_are_answered_with_the_first_ones(key: str) -> None:
    with pytest.raises(JobRejected) as caught:
        read(json.dumps({f"field{n}": n for n in range(900)}), key)
    assert len(caught.value.problems) == spec.MAX_PROBLEMS


def test_a_comment_that_cuts_the_prompt_is_warned_of() -> None:
    resolved = read("prompt: cat #1 wins\n")
    assert resolved.parameters.prompt == "cat"
    assert [w.code for w in resolved.warnings] == ["comment-cut"]


def test_one_of_height_and_width_is_enough() -> None:
    assert read("prompt: x\nwidth: 96").spec.height == 64


@given(
    st.fixed_dictionaries(
        {"prompt": st.text(min_size=1, max_size=50)},
        optional={
            "model": st.sampled_from(sorted(MODELS)),
            "height": st.sampled_from([64, 96, 480, 768, 100]),
            "width": st.sampled_from([64, 96, 720, 1360]),
            "num_frames": st.sampled_from([9, 17, 49, 81, 50]),
            "fps": st.integers(-1, 70),
            "num_inference_steps": st.integers(0, 110),
            "guidance_scale": st.floats(0, 25),
            "seed": st.integers(-1, 2**33),
            "enhance": st.booleans(),
            "tags": st.lists(st.sampled_from(["a", "b c"]), max_size=3),
        },
    )
)
def test_a_spec_resolves_to_what_its_model_can_do_or_is_refused(values: dict[str, object]) -> None:
    try:
        resolved = read(json.dumps(values), "jobs/a.json")
    except JobRejected as rejection:
        assert all(p.code and p.hint for p in rejection.problems)
        return
    p = resolved.parameters
    model = MODELS[resolved.model]
    assert (p.height, p.width) in {(s.height, s.width) for s in model.weights[p.mode].sizes}
    assert p.num_frames in model.num_frames
    again = read(resolved.spec.to_json(), "jobs/a.json")
    assert again.spec == resolved.spec and again.parameters == resolved.parameters
