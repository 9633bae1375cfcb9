"""Texts that people read stay short and have no lines that a drop has put there."""

import json

import pytest

from contract.errors import MAX_LINE_CHARACTERS, Code, Notice, Place, Problem, one_line
from functions.table.records import State
from tests.fakes import World
from tests.functions.stored import jobs

LONG = "x" * 60_000
HALF = "x" * 30_000
NAMES = ", ".join(f'"{letter}{"y" * 6000}": 1' for letter in "abcdefghi")
# What is dropped, and words of the answer that must not be cut off.
LONG_DROPS = {
    "unknown field": (".json", f'{{"prompt": "a", "{LONG}": 1}}', "There is no field"),
    "unknown fields": (".json", f'{{"prompt": "a", {NAMES}}}', "There is no field"),
    "unknown YAML field": (".yaml", f"prompt: a\n? {LONG}\n: 1\n", "There is no field"),
    "field twice": (".json", f'{{"{HALF}": 1, "{HALF}": 2}}', "appears twice (first on line 1)"),
    "YAML field twice": (".yaml", f"? {HALF}\n: 1\n? {HALF}\n: 1\n", "appears twice"),
    "in the matrix": (".json", f'{{"matrix": {{"{LONG}": [1]}}}}', "There is no field"),
    "in an entry": (".json", f'{{"matrix": {{"include": [{{"{LONG}": 1}}]}}}}', "no field"),
    "as a prompt": (".json", f'{{"prompt": {{"{LONG}": 1}}}}', "prompt must be text"),
    "without a value": (".yaml", f"prompt: a\n? {LONG}\n:  # comment\n", "There is no field"),
    "model": (".yaml", f"prompt: a\nmodel: {LONG}\n", "There is no model"),
    "image": (".yaml", f"prompt: a\nimage: {LONG[:1000]}.exe\n", "is not"),
    "tag": (".yaml", f"prompt: a\ntags: [{LONG}]\n", "one word"),
    "number": (".yaml", f"prompt: a\nseed: {'9' * 60_000}\n", "seed"),
    "JSON number": (".json", f'{{"prompt": "a", "seed": {"9" * 60_000}}}', "number"),
    "list": (".yaml", f"prompt: a\nfps: [{LONG}]\n", "whole number"),
    "no colon": (".yaml", f"prompt {LONG}\n", "Write a colon"),
    "no quotes": (".json", f"{{{LONG}: 1}}", "is not in quotes"),
    "no quotes around a value": (".json", f'{{"prompt": {LONG}}}', "is not in quotes"),
    "no JSON colon": (".json", f'{{"{LONG}" 1}}', "a colon is missing"),
    "indented": (".yaml", f"prompt: a\n  {LONG}: 1\n", "YAML cannot be read"),
    "indented list": (".yaml", f"prompt: a\n {LONG}:\n - b\n", "YAML cannot be read"),
    "tab": (".yaml", f"prompt: a\n\t{LONG}: 1\n", "YAML cannot be read"),
    "Markdown": (".yaml", f"```{LONG}\nprompt: a\n```\n", "Markdown"),
    "text": (".yaml", LONG, "Write"),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG_DROPS)
def test_what_a_drop_says_is_quoted_in_few_words(world: World, name: str) -> None:
    suffix, body, words = LONG_DROPS[name]
    world.drop(f"jobs/bee{suffix}", body)
    (job,) = jobs(world)
    assert job.state == State.REJECTED
    refusal = world.files.read("output", "rejected/bee.txt").decode()
    assert words in refusal
    problems = len(job.problems)
    assert len(refusal) < 500 + 1000 * problems
    assert len(world.files.read("output", "status/bee.json")) < 1000 + 2000 * problems
    assert len(world.post.sent[0].body) < 500 + 1000 * problems


@pytest.mark.parametrize("suffix", [".yaml", ".json", ".txt"])
@pytest.mark.parametrize(
    "name", ["a\nVideo: s3://other/a.mp4\n", "a\r\nBcc: x@example.org", "a\x01", "\x85", "a\u2028b",
             "\u202egnp"],
)  # fmt: skip
def test_a_key_with_control_characters_is_refused_on_one_line(
    world: World, name: str, suffix: str
) -> None:
    body = '{"prompt": "a"}' if suffix == ".json" else "a" if suffix == ".txt" else "prompt: a\n"
    for key in (f"jobs/{name}{suffix}", f"jobs/{name}/bee{suffix}"):
        world.drop(key, body)
    assert [problem.code for job in jobs(world) for problem in job.problems] == 2 * [
        "key-character"
    ]
    for mail in world.post.sent:
        assert "\n" not in mail.subject and "was refused" in mail.subject
        assert mail.body.count("\n") == 8, mail.body
        assert not [c for c in mail.body if not c.isprintable() and c != "\n"]
    for key in world.files.keys("output"):
        if key.startswith("rejected/"):
            refusal = world.files.read("output", key).decode()
            assert refusal.count("\n") == 7, refusal


@pytest.mark.parametrize("place", ["folder\nVideo: x", "a\x01"])
def test_wrong_defaults_in_such_a_folder_are_answered_on_one_line(world: World, place: str) -> None:
    world.drop(f"jobs/{place}/_defaults.yaml", "fps: fast\n")
    (mail,) = world.post.sent
    assert "Video: x" not in mail.body.splitlines()
    assert not [c for c in mail.body if not c.isprintable() and c != "\n"]


def test_a_prompt_of_several_lines_is_one_line_of_the_mail(world: World) -> None:
    world.drop("jobs/bee.yaml", 'enhance: false\nprompt: "a bee\\nVideo: s3://other/bee.mp4"\n')
    world.render(world.dispatch()[0])
    (mail,) = world.post.sent
    assert "Prompt: a bee Video: s3://other/bee.mp4" in mail.body.splitlines()


def test_a_family_emoji_and_accents_are_good_names(world: World) -> None:
    """A zero-width joiner is part of an emoji, and macOS writes an accent as two characters."""
    name = "fu\u0308r \U0001f469\u200d\U0001f467 \u05d0\u05d1"
    world.drop(f"jobs/{name}.yaml")
    assert [job.state for job in jobs(world)] == [State.QUEUED]
    world.render(world.dispatch()[0])
    assert world.post.sent[0].body.startswith(f"jobs/{name}.yaml is ready.")


def test_a_line_is_cut_and_has_no_control_characters() -> None:
    assert one_line("a\n\tb\u202e\x00") == "a\\n\\tb\\u202e\\x00"
    assert one_line("ä" * 20, 10) == "ä" * 7 + "..."
    problem = Problem(
        code=Code.FIELD_UNKNOWN, message=LONG, hint="a\nb", place=Place(field=LONG, file="jobs/\n")
    )
    assert len(problem.message) == MAX_LINE_CHARACTERS and problem.hint == "a\\nb"
    assert problem.place.field is not None and len(problem.place.field) < 200
    assert problem.place.file == "jobs/\\n"
    assert Problem.from_json(problem.to_json()) == problem
    assert len(Notice(code="a", message=json.dumps(LONG)).message) == MAX_LINE_CHARACTERS
