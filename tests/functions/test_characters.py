"""Characters that nobody sees, or that look like others, are read as meant or are named."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import JobRejected
from functions.spec import parsed
from functions.spec.fields import FolderDefaults
from tests.functions.resolved_specs import draft, read, refusal

# Unicode counts a few signs of Arabic, Syriac, Kaithi and Egyptian among the format characters.
VISIBLE = {
    *range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD,
    *range(0x13430, 0x13440),
}  # fmt: skip
INVISIBLE = sorted(
    {
        chr(code)
        for code in range(128, sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in {"Cf", "Zs", "Zl", "Zp"} and code not in VISIBLE
    }
    | set("\x00\x08\x0b\x0c\x1b\x7f\x85\u034f\u115f\u1160\u17b4\u180b\u2800\u3164\ufe0f\uffa0")
)
SPACES = [c for c in INVISIBLE if unicodedata.category(c) in {"Zs", "Zl", "Zp"}]
VALUES = {
    "prompt": "a bee",
    "image": "bee.png",
    "fit": "pad",
    "preset": "draft",
    "aspect": "landscape",
    "seed": 7,
    "fps": 8,
    "guidance_scale": 4.5,
    "enhance": False,
    "priority": "low",
}


def answered(text: str, key: str) -> None:
    """Check that a spec is read, or that the answer names the character."""
    try:
        found = draft(text, key)
    except JobRejected as rejection:
        problem = rejection.problems[0]
        said = f"{problem.code} {problem.message} {problem.hint} {problem.place}"
        assert "U+" in problem.message + problem.hint, said
        assert problem.place.line and problem.place.column, said
        return
    assert "unusual-character" in {notice.code for notice in found.warnings}
    assert all("U+" in n.message for n in found.warnings if n.code == "unusual-character")
    (name,) = found.spec.model_fields_set - {"prompt"} or {"prompt"}
    expected = VALUES[name]
    assert str(getattr(found.spec, name)).removeprefix("/") == str(expected)


@given(st.sampled_from(INVISIBLE), st.sampled_from(sorted(VALUES)), st.data())
def test_an_invisible_character_in_a_name_is_read_as_meant_or_named(
    character: str, field: str, data: st.DataObject
) -> None:
    # At the beginning of a file, this character is a byte order mark and belongs to no name.
    at = data.draw(st.integers(int(character == "\ufeff"), len(field)))
    name = field[:at] + character + field[at:]
    value = json.dumps(VALUES[field])
    answered(f"{name}: {value}\n", "jobs/a.yaml")
    answered(json.dumps({name: VALUES[field]}, ensure_ascii=False), "jobs/a.json")
    answered(json.dumps({name: VALUES[field]}), "jobs/a.json")


@given(st.sampled_from(INVISIBLE), st.sampled_from(sorted(set(VALUES) - {"prompt"})), st.data())
def test_an_invisible_character_around_a_value_is_read_as_meant_or_named(
    character: str, field: str, data: st.DataObject
) -> None:
    value = json.dumps(VALUES[field]).strip('"')
    form = data.draw(st.sampled_from(["{n}{c}: {v}", "{n}:{c} {v}", "{n}: {c}{v}", "{n}: {v}{c}"]))
    answered(form.format(n=field, c=character, v=value) + "\nprompt: a\n", "jobs/a.yaml")


@given(
    st.sampled_from(INVISIBLE),
    st.sampled_from(sorted(FolderDefaults.model_fields)),
    st.data(),
)
def test_no_field_is_ever_said_to_be_unknown_and_meant_at_the_same_time(
    character: str, field: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(field)))
    name = field[:at] + character + field[at:]
    for text, key in ((f"{name}: 7\n", "jobs/a.yaml"), (json.dumps({name: 7}), "jobs/a.json")):
        try:
            draft(text, key)
        except JobRejected as rejection:
            for problem in rejection.problems:
                assert "There is no field called" not in problem.message, problem


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"U+{ord(space):04X}")
@pytest.mark.parametrize(
    "form",
    [
        "prompt: a\nmatrix:\n{s}{s}seed: [1, 2]\n",
        "prompt: a\nmatrix:\n  seed:\n{s}{s}- 1\n{s}{s}- 2\n",
        "prompt: a\nmatrix:\n  seed:\n  -{s}1\n  -{s}2\n",
        "prompt: a\nmatrix:\n  seed: [1,{s}2]\n",
        "prompt: a\nmatrix:{s}\n  seed: [1, 2]\n",
        "prompt: a\nmatrix:\n  seed:{s}[1, 2]\n",
        "prompt:{s}a\nmatrix: {{seed: [1, 2]}}\n",
        "prompt: a\n{s}\nmatrix: {{seed: [1, 2]}}\n",
        "prompt: |\n{s}{s}a\nmatrix: {{seed: [1, 2]}}\n",
        "{s}prompt: a\n{s}matrix: {{seed: [1, 2]}}\n",
        "{s}# mine\nprompt: a\nmatrix: {{seed: [1, 2]}}\n",
        '{{{s}"prompt":{s}"a",{s}"matrix": {{"seed": [1, 2]}}}}\n',
    ],
)
def test_an_unusual_space_is_read_as_a_space_or_named(space: str, form: str) -> None:
    text = form.format(s=space)
    try:
        spec = draft(text).spec
    except JobRejected as rejection:
        problem = rejection.problems[0]
        assert f"U+{ord(space):04X}" in problem.message and problem.code == "text-character"
        assert problem.place.line and problem.place.column
        return
    assert spec.prompt.strip() == "a" and spec.matrix is not None and spec.matrix.seed == (1, 2)


def test_no_break_spaces_are_indentation_like_spaces() -> None:
    spec = draft("matrix:\n\xa0\xa0seed: [1]\n  fps: [8]\nprompt: a\n").spec
    assert spec.matrix is not None and (spec.matrix.seed, spec.matrix.fps) == ((1,), (8,))


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("seed: ７", "seed", 7),
        ("seed: ٧", "seed", 7),
        ("ｓｅｅｄ: 7", "seed", 7),
        ("guidance_scale: ４．５", "guidance_scale", 4.5),
        ("model: cogvideox‑5b", "model", "cogvideox-5b"),
        ("model: cogvideox–5b", "model", "cogvideox-5b"),
        ('model: "cogvideox\\u20115b"', "model", "cogvideox-5b"),
        ("“seed”: 7", "seed", 7),
        ("enhance: false\u200b", "enhance", False),
        ("preset: dra\u00adft", "preset", "draft"),
        ("tags: [team‑a]", "tags", ("team-a",)),
        ("image: \u200ebee.png\u200b", "image", "/bee.png"),
        ("image: Screenshot at 3.04\u202fPM.png", "image", "/Screenshot at 3.04\u202fPM.png"),
        ("image: 蜜蜂.png", "image", "/蜜蜂.png"),
    ],
)
def test_what_looks_like_ascii_is_read_as_ascii_except_in_prompts_and_file_names(
    line: str, field: str, value: object
) -> None:
    assert getattr(draft(f"prompt: a bee\n{line}\n").spec, field) == value


@pytest.mark.parametrize(
    "prompt",
    ["👩‍🚀 and ❤️", "می‌خواهم", "１６：９", "a – b", "a\u00a0bee", "人\u3000と蜂"],
)
def test_prompts_keep_their_characters(prompt: str) -> None:
    for text, key in (
        (f"prompt: {prompt}\n", "jobs/a.yaml"),
        (json.dumps({"prompt": prompt}, ensure_ascii=False), "jobs/a.json"),
    ):
        found = draft(text, key)
        assert found.spec.prompt == prompt and not found.warnings


@pytest.mark.parametrize("blank", ["\u200b", "\ufeff\ufeff", "\u3000", "\u2800", "\u3164"])
def test_a_prompt_of_invisible_characters_is_no_prompt(blank: str) -> None:
    assert refusal(f'prompt: "{blank}"\n').code == "prompt-empty"
    assert refusal(f"{blank}\n", "jobs/a.txt").code == "spec-empty"
    assert refusal(f"{blank}\n").code == "spec-empty"


def test_a_line_separator_is_a_space_in_a_prompt_and_no_new_line() -> None:
    assert read("prompt: a bee\u2028on a flower\nseed: 7\n").prompt == "a bee on a flower"
    problem = refusal("prompt: a bee\u2028seed: 7\n")
    assert (problem.code, problem.place.line, problem.place.column) == ("text-character", 1, 14)
    assert "U+2028" in problem.message and "Enter" in problem.hint
    assert refusal("prompt: a\u2028b\nsteps: 5\n").place.line == 2


@pytest.mark.parametrize(
    ("text", "code_point"),
    [
        ("prompt: a\nsеed: 7\n", "U+0435 (cyrillic small letter ie)"),
        ("prompt: a\nmodel: cogvidеox-5b\n", "U+0435"),
        ("prompt: a\npreset: drаft\n", "U+0430"),
        ("prompt: a\nmatrix: {seed: [1，2]}\n", "U+FF0C"),
        ("prompt: a\ntags: [tеam]\n", "U+0435"),
    ],
)
def test_letters_that_only_look_like_ascii_are_named(text: str, code_point: str) -> None:
    assert code_point in refusal(text).message


@pytest.mark.parametrize(
    ("text", "word", "hint"),
    [
        ('{"seed"： 7}', "U+FF1A (fullwidth colon)", "Write : instead"),
        ('{"seed": 7， "fps": 8}', "U+FF0C", "Write , instead"),
        ('{"seed": ７}', "U+FF17", "Write 7 instead"),
        ('｛"seed": 7}', "U+FF5B", "Write { instead"),
        ('{"seed": −7}', "U+2212", "Write - instead"),
    ],
)
def test_json_names_signs_of_double_width(text: str, word: str, hint: str) -> None:
    problem = refusal(text, "jobs/a.json")
    assert word in problem.message and hint in problem.hint and problem.place.column


def test_messages_show_invisible_characters() -> None:
    problem = refusal("image: ../..\u202f/a.png\n")
    assert "<U+202F>" in problem.message


@given(st.text(st.sampled_from([*INVISIBLE, *"a: -\n#|>\"'{[,\r"]), max_size=20))
def test_any_mix_is_read_or_refused_with_a_place(text: str) -> None:
    for suffix in ("yaml", "json", "txt"):
        try:
            parsed.parse(text.encode(), f"jobs/a.{suffix}")
        except JobRejected as rejection:
            assert rejection.problems[0].hint
