"""A list as a drop: each row is a spec, and a bad row does not take the others along."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from contract.errors import Code
from functions import s3_keys
from functions.reading.limits import MAX_COLUMNS, MAX_ROWS
from functions.reading.mistakes import WORD_FIELDS
from functions.replies.verdict import Verdict
from functions.spec.fields import JobSpec
from functions.spec.lists import NAME, TEXTS
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.records import Job, State
from local.command.validate import validate
from tests.fakes import PNG, World
from tests.functions.stored import jobs, status, tasks


def dropped(world: World, body: str | bytes, key: str = "jobs/a/x.csv") -> Job:
    """The job of a list that was dropped. The events of its rows are not delivered."""
    world.clock.move(seconds=5)
    world.drop(key, body)
    return [job for job in jobs(world) if job.source.key == key][-1]


def specs(world: World) -> Mapping[str, dict[str, object]]:
    """The specs that were dropped for a list, by the names of their rows."""
    keys = [
        key
        for key in world.files.keys("input")
        if key.startswith("jobs/a/x/") and key.endswith(".json")
    ]
    return {
        s3_keys.name_of(s3_keys.path_of(key)): json.loads(world.files.read("input", key))
        for key in keys
    }


def deliver(world: World, job: Job) -> None:
    """Deliver the events of the rows of a list."""
    for key in job.dropped:
        submit(world.ports, "input", key)


def test_each_row_of_a_table_becomes_a_spec_and_then_a_job(world: World) -> None:
    world.drop("jobs/a/bee.png", PNG)
    table = "Prompt,image,seed,Duration Seconds,tags,enhance\r\n"
    table += 'a bee,bee.png,7,,"red, blue",TRUE\r\n,,,,,\r\n"a ""fly"",\r\nthen two",,8.0,2.1,,\r\n'
    job = dropped(world, table)
    assert (job.state, job.problems) == (State.HANDED_ON, ())
    assert specs(world) == {
        "002": {"prompt": "a bee", "image": "/a/bee.png", "seed": 7, "tags": ["red", "blue"],
                "enhance": True},
        "004": {"prompt": 'a "fly",\r\nthen two', "seed": 8, "duration_seconds": 2.1},
    }  # fmt: skip
    said = status(world, "a/x")
    assert said.dropped == ("jobs/a/x/002.json", "jobs/a/x/004.json")
    assert said.message.startswith("2 rows were dropped") and "jobs/a/x/004.json" in said.message
    deliver(world, job)
    assert [(one.path, one.state) for one in jobs(world)[1:]] == [
        ("a/x/002", State.QUEUED),
        ("a/x/004", State.QUEUED),
    ]
    assert tasks(world)[0].references and tasks(world)[1].spec.num_frames == 17
    assert not world.post.sent, "each row has a mail of its own"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_tables_of_all_spreadsheets_are_read(
    world: World, delimiter: str, encoding: str, ends: str
) -> None:
    rows = (
        ("prompt", "strength", "video"),
        ("Bär, gelb; schön", "", ""),
        ("a bee", "0.5", "b.mp4"),
    )
    lines = (delimiter.join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows)
    body = ends.join(lines).encode(encoding)
    job = dropped(world, body)
    assert job.state == State.HANDED_ON, job.problems
    assert [one["prompt"] for one in specs(world).values()] == ["Bär, gelb; schön", "a bee"]
    assert specs(world)["003"]["strength"] == 0.5
    assert [one.code for one in job.warnings] == (["windows-1252"] if encoding == "cp1252" else [])


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("jobs/a/x.tsv", "prompt\tseed\na, bee\t7\n"),
        ("jobs/a/x.csv", "sep=|\nprompt|seed\na, bee|7\n"),
        ("jobs/a/x.csv", "\n;;\nprompt;seed;;\na, bee;7;;\n"),
        ("jobs/a/x.CSV", 'name,prompt,seed\nbee,"a, bee",7\n'),
        ("jobs/a/x.jsonl", '{"prompt": "a, bee", "seed": 7}\n\n'),
        ("jobs/a/x.ndjson", '\ufeff{"name": "bee", "prompt": "a, bee", "seed": 7}'),
    ],
)
def test_other_forms_of_lists(world: World, key: str, body: str) -> None:
    job = dropped(world, body, key)
    assert job.state == State.HANDED_ON, job.problems
    assert list(specs(world).values()) == [{"prompt": "a, bee", "seed": 7}]
    assert s3_keys.path_of(key) == "a/x"


def test_a_decimal_comma_is_read_where_it_does_not_divide_cells(world: World) -> None:
    job = dropped(world, "prompt;video;strength;guidance_scale\na bee;b.mp4;0,5;4,0\n")
    assert job.state == State.HANDED_ON, job.problems
    assert specs(world)["002"]["strength"] == 0.5 and specs(world)["002"]["guidance_scale"] == 4


def test_cells_are_texts_numbers_or_lists_as_their_field_wants(world: World) -> None:
    row = {
        "prompt": "2024", "label": "7", "seed": "7", "outputs": "mp4; gif", "loop": "ping-pong",
        "matrix": '"{fps: [4, 8]}"', "notify": "digest", "prompt_in_file": "false",
    }  # fmt: skip
    job = dropped(world, f"{','.join(row)}\n{','.join(row.values())}\n")
    assert job.state == State.HANDED_ON, job.problems
    assert specs(world)["002"] == {
        "prompt": "2024", "label": "7", "seed": 7, "outputs": ["mp4", "gif"], "loop": "ping-pong",
        "matrix": {"fps": [4, 8]}, "notify": "digest", "prompt_in_file": False,
    }  # fmt: skip
    job = dropped(world, 'scenes\n"[a bee lands, it flies away]"\n')
    assert job.state == State.HANDED_ON, job.problems
    assert specs(world)["002"]["scenes"] == [{"prompt": "a bee lands"}, {"prompt": "it flies away"}]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("2024", ["2024"]),
        ("2024,5", ["2024", "5"]),
        ("1.50", ["1.50"]),
        ("007", ["007"]),
        ("true", ["true"]),
        ("FALSE; red", ["FALSE", "red"]),
        ("[2024]", ["2024"]),
        ("[red, 007, true]", ["red", "007", "true"]),
        ('["red", "2024"]', ["red", "2024"]),
        ("[red,\n'2024']", ["red", "2024"]),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_what_looks_like_a_number_in_a_column_of_words_is_a_word(
    world: World, cell: str, words: list[str], delimiter: str
) -> None:
    quoted = '"' + cell.replace('"', '""') + '"'
    job = dropped(world, f"prompt{delimiter}tags\na bee{delimiter}{quoted}\n")
    assert job.state == State.HANDED_ON, job.problems
    assert specs(world)["002"]["tags"] == words


def test_a_wrong_word_in_a_cell_is_refused_with_advice_that_works(world: World) -> None:
    job = dropped(world, "prompt,outputs\na bee,2024\na fly,true\n")
    assert [(one.code, one.place.field) for one in job.problems] == [
        (Code.FIELD_RANGE, "outputs.0")
    ] * 2
    assert "mp4" in job.problems[0].hint and "gif" in job.problems[0].hint
    assert dropped(world, "prompt,outputs\na bee,gif\n").state == State.HANDED_ON
    job = dropped(world, 'prompt,tags\na bee,"[red, ""blue"\n')
    assert "close each bracket" in job.problems[0].hint
    assert dropped(world, 'prompt,tags\na bee,"[red, blue]"\n').state == State.HANDED_ON


def test_the_columns_of_words_are_the_fields_that_are_lists_of_words() -> None:
    def is_words(schema: dict[str, Any]) -> bool:
        return schema.get("type") == "array" and schema["items"].get("type") == "string"

    fields = JobSpec.model_json_schema()["properties"]
    assert set(WORD_FIELDS) == {name for name, schema in fields.items() if is_words(schema)}


def test_the_columns_of_texts_are_the_fields_of_texts() -> None:
    def is_text(name: str) -> bool:
        schema = JobSpec.model_json_schema()
        kinds = schema["properties"][name].get("anyOf", [schema["properties"][name]])
        kinds = [schema["$defs"].get(one.get("$ref", "").rpartition("/")[2], one) for one in kinds]
        return {one.get("type", "string") for one in kinds} <= {"string", "null"}

    literal = {"enhance", "loop", "notify"}  # choices of several types
    assert set(TEXTS) == {NAME, *filter(is_text, JobSpec.model_fields)} - literal


def test_bad_rows_are_answered_together_and_the_others_go_on(world: World) -> None:
    table = "prompt;seed;fps;preset\na bee;seven;8;\na fly;7;8;draft\n;1;;\nan ant;8;0;quick\n"
    table += "a wasp;x;8;\na bug;9;8;;;more\n\na moth;;;\n"
    job = dropped(world, table)
    assert (job.state, job.bad_rows) == (State.REJECTED, 5)
    assert [*specs(world)] == ["003", "009"]
    assert [(one.code, one.place.line, one.place.field) for one in job.problems] == [
        (Code.FIELD_TYPE, 2, "seed"),
        (Code.PROMPT_EMPTY, 4, "prompt"),
        (Code.FIELD_RANGE, 5, "fps"),
        (Code.FIELD_RANGE, 5, "preset"),
        (Code.FIELD_TYPE, 6, "seed"),
        (Code.LIST_SYNTAX, 7, None),
    ]
    text = world.files.read("output", "rejected/a/x.txt").decode()
    for words in (
        "5 rows of jobs/a/x.csv cannot be used", "2 rows were dropped", "Correct these rows",
        "row 5, column 3, field fps", "1 in the column fps",
    ):  # fmt: skip
        assert words in text, text
    (mail,) = world.post.sent
    assert mail.subject == "reeldrop: a/x has bad rows"
    assert "5 rows cannot be used" in mail.body and "(row 4)" in mail.body
    said = status(world, "a/x")
    assert said.message.startswith("5 rows cannot be used") and len(said.dropped) == 2
    assert "Row 4: There is no prompt." in said.message
    deliver(world, job)
    assert [one.state for one in jobs(world)[1:]] == [State.QUEUED] * 2


def test_rows_with_the_same_mistake_are_one_problem(world: World) -> None:
    job = dropped(world, "prompt,model\n" + "a bee,demmo\n" * 5 + "a bee,demo\n")
    (problem,) = job.problems
    assert (problem.code, problem.place.line) == (Code.MODEL_UNKNOWN, 2)
    assert "row 3, 4, 5, 6" in problem.message and job.bad_rows == 5
    job = dropped(world, '{"promt": "a"}\n' * 9, "jobs/a/x.jsonl")
    (problem,) = job.problems
    assert "Did you mean prompt?" in problem.hint and job.bad_rows == 9


def test_the_answer_says_how_many_problems_it_leaves_out(world: World) -> None:
    rows = "".join(f"a bee,{number}x\n" for number in range(60))
    job = dropped(world, f"prompt,seed\n{rows}a fly,7\n")
    assert (len(job.problems), job.more_problems, job.bad_rows) == (50, 10, 60)
    text = world.files.read("output", "rejected/a/x.txt").decode()
    assert "\n10 more problems are not listed here.\n" in text
    (mail,) = world.post.sent
    assert "40 more problems are in the report, which leaves out 10." in mail.body
    said = status(world, "a/x")
    assert (len(said.problems), said.more_problems) == (50, 10)
    assert said.message.endswith("55 more problems are not named here.")
    ended = world.bus.details[-1]
    assert ended["reason_count"] == 60
    job = dropped(world, "prompt,seed\na bee,x\na fly,7\n")
    assert job.more_problems == 0
    assert "more problem" not in world.files.read("output", "rejected/a/x.txt").decode()
    assert "more problem" not in status(world, "a/x").message + world.post.sent[-1].body


@pytest.mark.parametrize("key", ["jobs/a/x.jsonl", "jobs/a/x.yaml", "jobs/a/_defaults.yaml"])
def test_a_spec_with_many_wrong_fields_says_how_many_it_leaves_out(world: World, key: str) -> None:
    body = json.dumps({f"field{number}": 1 for number in range(23)})
    job = dropped(world, f"{body}\n", key)
    assert (len(job.problems), job.more_problems) == (20, 3)
    text = world.files.read("output", s3_keys.rejected(job.path)).decode()
    assert "\n3 more problems are not listed here.\n" in text
    assert "10 more problems are in the report, which leaves out 3." in world.post.sent[-1].body


def test_only_the_problems_that_are_listed_cost_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def close(word: str, *_: object, **__: object) -> list[str]:
        asked.append(word)
        return []

    monkeypatch.setattr(difflib, "get_close_matches", close)
    job = dropped(world, ",".join(f"column{number}" for number in range(50)) + "\na\n")
    assert job.problems and len(asked) <= 50
    asked.clear()
    dropped(world, json.dumps({f"field{number}": 1 for number in range(900)}), "jobs/a/x.jsonl")
    assert job.problems and len(asked) <= 20


def test_a_table_with_more_columns_than_there_are_fields_is_refused_at_once(world: World) -> None:
    names = ["prompt", "seed", *(f"column{number}" for number in range(10_000))]
    job = dropped(world, ",".join(names) + "\na bee,7\n")
    (problem,) = job.problems
    assert (problem.code, problem.place.line) == (Code.LIST_SYNTAX, 1)
    assert "10,002 columns" in problem.message and "50" in problem.message
    assert len(JobSpec.model_fields) + len([NAME]) < MAX_COLUMNS
    job = dropped(world, "prompt,seed" + "," * 100 + "\na bee,7\n")
    assert job.state == State.HANDED_ON, "columns without a name and a cell are none"


def test_a_column_that_is_no_field_is_one_problem(world: World) -> None:
    job = dropped(world, "prompt,sed,max_videos_per_day\n" + "a bee,7,1\n" * 9)
    assert (job.state, job.dropped) == (State.REJECTED, ())
    one, other = job.problems
    assert (one.code, one.place.line, one.place.column) == (Code.FIELD_UNKNOWN, 1, 2)
    assert "Did you mean seed?" in one.hint and "_defaults.yaml" in other.hint


def test_folder_defaults_hold_for_the_rows(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "prompt: a bee\nfps: 4\n")
    world.drop("jobs/a/x/_defaults.yaml", "fps: 8\n")
    job = dropped(world, "seed\n1\n2\n")
    assert specs(world) == {"002": {"seed": 1}, "003": {"seed": 2}}
    deliver(world, job)
    assert [(task.spec.seed, task.spec.fps) for task in tasks(world)] == [(1, 8), (2, 8)]
    world.drop("jobs/a/_defaults.yaml", "fps: [\n", event=False)
    job = dropped(world, "prompt\na bee\n")
    assert job.state == State.REJECTED and job.problems[0].place.file == "jobs/a/_defaults.yaml"
    assert "line" in world.files.read("output", "rejected/a/x.txt").decode()


def test_a_mistake_in_folder_defaults_that_shows_in_each_row_is_answered_once(
    world: World,
) -> None:
    world.drop("jobs/a/_defaults.yaml", "# for the bees\nheight: 123\nwidth: 77\n")
    job = dropped(world, "prompt\n" + "a bee\n" * 9)
    (problem,) = job.problems
    assert (job.bad_rows, problem.place.file) == (9, "jobs/a/_defaults.yaml")
    assert (problem.place.line, problem.place.field) == (2, "height")
    text = world.files.read("output", "rejected/a/x.txt").decode()
    assert "Correct jobs/a/_defaults.yaml, and upload that and then jobs/a/x.csv again." in text
    assert "row" not in text.partition("\n")[2], "the rows are right"
    assert "jobs/a/_defaults.yaml, line 2: demo does not support" in status(world, "a/x").message
    assert "The same is in row" not in world.post.sent[-1].body
    world.drop("jobs/a/_defaults.yaml", "height: 64\nwidth: 96\n")
    assert dropped(world, "prompt\n" + "a bee\n" * 9).state == State.HANDED_ON


def test_mistakes_of_rows_and_of_folder_defaults_are_told_apart(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "fps: 8\nmatrix: {seed: [1, 1]}\n")
    dropped(world, "prompt,fps\na bee,\na fly,0\na bug,\n")
    text = world.files.read("output", "rejected/a/x.txt").decode()
    assert text.startswith("3 rows of jobs/a/x.csv cannot be used.")
    assert "Where: row 3, column 2, field fps" in text
    assert (
        "Correct jobs/a/_defaults.yaml and these rows. Upload jobs/a/_defaults.yaml and then the "
        "list again under the same name."
    ) in text
    said = status(world, "a/x").message
    assert "Row 3: fps is 0" in said and "jobs/a/_defaults.yaml, line 2: Videos 1 and 2" in said


def test_a_corrected_list_drops_only_what_has_changed(world: World) -> None:
    dropped(world, "name,prompt\nbee,a bee\nfly,\nant,an ant\n")
    first = {key: world.files.versions("input", key) for key in world.files.keys("input")}
    job = dropped(world, "prompt,name\na fly,fly\na bee,bee\na red ant,ant\n")
    assert job.state == State.HANDED_ON and [*specs(world)] == ["ant", "bee", "fly"]
    assert "rejected/a/x.txt" not in world.files.keys("output")
    again = {key: len(world.files.versions("input", key)) for key in job.dropped}
    assert again == {"jobs/a/x/fly.json": 1, "jobs/a/x/bee.json": 1, "jobs/a/x/ant.json": 2}
    assert world.files.versions("input", "jobs/a/x/bee.json") == first["jobs/a/x/bee.json"]


def test_a_row_whose_job_failed_is_made_again_as_the_answer_says(world: World) -> None:
    """Its spec has not changed, so to upload the list again is not enough."""
    table = "prompt\na bee\na fly\n"
    deliver(world, dropped(world, table))
    (attempt,) = world.dispatch()
    world.render(attempt, failing=tasks(world)[0].task_id)
    again = dropped(world, table)
    deliver(world, again)
    states = {one.path: one.state for one in jobs(world)}
    assert (states["a/x/002"], states["a/x/003"]) == (State.FAILED, State.SUCCEEDED)
    said = status(world, "a/x").message
    assert "only rows that have changed are made again" in said
    assert "delete its spec and upload the list again" in said
    world.delete("jobs/a/x/002.json")
    deliver(world, dropped(world, table))
    made = {one.path: one.state for one in jobs(world)}
    assert (made["a/x/002"], made["a/x/003"]) == (State.QUEUED, State.SUCCEEDED)


def test_a_row_whose_reference_was_bad_begins_again_with_the_reference(world: World) -> None:
    world.drop("jobs/a/bee.png", b"no image")
    deliver(world, dropped(world, "prompt,image\na bee,bee.png\n"))
    assert [one.state for one in jobs(world)] == [State.HANDED_ON, State.REJECTED]
    world.drop("jobs/a/bee.png", PNG)
    assert jobs(world)[-1].state == State.QUEUED


@pytest.mark.parametrize(
    "file", ["bee.yaml", "bee.yml", "bee.txt", "bee.json", "bee.JSON", "bee.csv", "bee.jsonl"]
)
def test_a_row_does_not_take_the_path_of_a_file_that_somebody_else_dropped(
    world: World, file: str
) -> None:
    body = '{"prompt": "a red bee"}' if "JSON" in file.upper() else "prompt: a red bee\n"
    if s3_keys.kind_of(f"jobs/{file}") == s3_keys.Kind.LIST:
        body = '{"prompt": "a red bee"}\n' if file.endswith("l") else "prompt\na red bee\n"
    key = f"jobs/a/x/{file}"
    world.drop(key, body)
    before = {one.path: one.state for one in jobs(world)}
    table = "name,prompt\nant,an ant\nbee,a bee\n"
    job = dropped(world, table)
    deliver(world, job)
    assert (job.state, job.bad_rows) == (State.REJECTED, 1)
    assert job.dropped == ("jobs/a/x/ant.json",)
    (problem,) = job.problems
    assert (problem.code, problem.place.line) == (Code.NAME_TAKEN, 3)
    assert key in problem.message and f"delete {key}" in problem.hint
    assert "bee-2 in the column name" in problem.hint
    assert world.files.read("input", key).decode() == body
    assert {one.path: one.state for one in jobs(world)}.items() >= before.items()
    text = world.files.read("output", "rejected/a/x.txt").decode()
    assert "Correct these rows and upload the list again under the same name." in text
    # What the answer advises.
    renamed = dropped(world, table.replace("bee,", "bee-2,"))
    assert renamed.state == State.HANDED_ON and "jobs/a/x/bee-2.json" in renamed.dropped
    world.delete(key)
    deliver(world, dropped(world, table))
    assert {one.path: one.state for one in jobs(world)}["a/x/bee"] == State.QUEUED


def test_a_spec_of_a_row_that_a_person_has_changed_is_not_written_over(world: World) -> None:
    table = "name,prompt\nant,an ant\nbee,a bee\n"
    dropped(world, table)
    world.drop("jobs/a/x/bee.json", '{"prompt": "my bee"}')
    job = dropped(world, table.replace("an ant", "a red ant"))
    assert [(one.code, one.place.line) for one in job.problems] == [(Code.NAME_TAKEN, 3)]
    assert specs(world) == {"ant": {"prompt": "a red ant"}, "bee": {"prompt": "my bee"}}
    deliver(world, dropped(world, "name,prompt\nant,a red ant\n"))
    world.delete("jobs/a/x/bee.json")
    assert dropped(world, table).state == State.HANDED_ON


def test_a_spec_that_is_as_the_row_says_is_left_as_it_is(world: World) -> None:
    """A person may have uploaded it again, because its job failed."""
    table = "name,prompt\nant,an ant\nbee,a bee\n"
    dropped(world, table)
    world.drop("jobs/a/x/bee.json", world.files.read("input", "jobs/a/x/bee.json"))
    before = len(world.files.versions("input", "jobs/a/x/bee.json"))
    job = dropped(world, table.replace("an ant", "a red ant"))
    assert job.state == State.HANDED_ON and len(job.dropped) == 2
    assert len(world.files.versions("input", "jobs/a/x/bee.json")) == before


def test_files_with_longer_names_and_in_other_folders_are_not_in_the_way(world: World) -> None:
    for key in (
        "jobs/a/x/bee-1.yaml", "jobs/a/x/bee/bee.yaml", "jobs/a/x/bee.png", "jobs/a/bee.yaml",
        "jobs/a/x/be.yaml", "jobs/a/x/_defaults.yaml",
    ):  # fmt: skip
        world.drop(key, PNG if key.endswith("png") else "prompt: a red bee\n")
    assert dropped(world, "name,prompt\nbee,a bee\n").state == State.HANDED_ON


def test_a_large_folder_is_listed_only_where_rows_may_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3_500):
        world.drop(f"jobs/a/x/m{number:04d}.png", b"", event=False)
    world.drop("jobs/a/x/z.yaml", event=False)
    calls: list[str] = []
    for name in ("page", "facts", "read", "write"):
        inner = getattr(world.files, name)

        def counted(*args: Any, _name: str = name, _inner: Any = inner, **more: Any) -> Any:
            calls.append(f"{_name} {args[1]}")
            return _inner(*args, **more)

        monkeypatch.setattr(world.files, name, counted)
    job = dropped(world, "name,prompt\nz,a bee\na,a fly\n")
    assert [(one.code, one.place.line) for one in job.problems] == [(Code.NAME_TAKEN, 2)]
    assert calls.count("page jobs/a/x/") == 2
    rows = "".join(f"a bee,{number}\n" for number in range(MAX_ROWS))
    for change in ("", "x"):
        calls.clear()
        dropped(world, f"prompt,seed\n{rows.replace('a bee', 'a bee' + change)}")
        assert len(calls) < 2 * MAX_ROWS + 60, "the write looks at the object once more"


@pytest.mark.parametrize("name", ["a/b", "..", ".bee", "bee.yaml", "a\\b", "x" * 500])
def test_a_name_that_is_no_name_of_a_file_is_a_bad_row(world: World, name: str) -> None:
    job = dropped(world, f'name,prompt\n"{name}",a bee\nfly,a fly\nFly,a fly\n')
    assert [(one.code, one.place.line) for one in job.problems] == [
        (Code.LIST_NAME, 2),
        (Code.LIST_NAME, 4),
    ]
    assert [*specs(world)] == ["fly"]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", Code.SPEC_EMPTY, "first row"),
        (b"prompt,seed\n", Code.SPEC_EMPTY, "no row"),
        (b'prompt\n"a bee\na fly\n', Code.LIST_SYNTAX, "never closed"),
        (b'prompt\n"a bee\n' + b"a fly\n" * 30_000, Code.LIST_SYNTAX, "never closed"),
        (b'prompt\n"a bee\n"a fly"\n', Code.LIST_SYNTAX, "not closed"),
        (b'prompt\n"a" bee\n', Code.LIST_SYNTAX, "twice"),
        (b'prompt\n"a" bee\n', Code.LIST_SYNTAX, "text follows a closing quote"),
        (b"prompt,prompt\na,b\n", Code.LIST_SYNTAX, "appears twice"),
        (b"prompt,,seed\na,b,7\n", Code.LIST_SYNTAX, "Column 2 has no name"),
        (b"prompt\n" + b"a bee\n" * (MAX_ROWS + 1), Code.LIST_TOO_LARGE, "500 rows"),
        (b"prompt\n" + b"x" * 1024 * 1024, Code.LIST_TOO_LARGE, "bytes"),
        (b"prompt\n\x81\n", Code.TEXT_ENCODING, "UTF-8"),
        (b"PK\x03\x04xl/", Code.NOT_A_SPEC, "CSV UTF-8"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(
    world: World, body: bytes, code: Code, words: str
) -> None:
    job = dropped(world, body)
    assert [one.code for one in job.problems] == [code], job.problems
    assert words in job.problems[0].sentence()
    assert specs(world) == {} and not job.dropped


def test_a_cell_that_is_too_long_is_a_bad_row(world: World) -> None:
    job = dropped(world, f'prompt,seed\na bee,1\n"{"a fly, " * 20_000}",2\na moth,3\n')
    assert [(one.code, one.place.line) for one in job.problems] == [(Code.FIELD_RANGE, 3)]
    assert [*specs(world)] == ["002", "004"]


def test_a_row_that_is_not_json_does_not_take_the_others_along(world: World) -> None:
    body = '{"prompt": "a"}\n{"prompt": \n[1]\n{"prompt": "b", "fps": 0}\n{"prompt": "c"}\n'
    job = dropped(world, body, "jobs/a/x.jsonl")
    assert [one.place.line for one in job.problems] == [2, 3, 4]
    assert '"fps": 1' in job.problems[2].hint
    assert [*specs(world)] == ["001", "005"]
    job = dropped(world, '[{"prompt": "a"}]', "jobs/a/x.jsonl")
    assert job.problems[0].code == Code.LIST_SYNTAX and "line of its own" in job.problems[0].hint


def test_the_largest_list_fits_into_the_table(world: World) -> None:
    folder = "jobs/a/" + "ü" * 150
    rows = "".join(f"{'ö' * 80}{number},a bee {number},x\n" for number in range(MAX_ROWS))
    job = dropped(world, f"name,prompt,seed\n{rows.replace(',x', ',7', 250)}", f"{folder}/x.csv")
    assert len(job.dropped) == 250 and len(job.problems) == 1 and job.bad_rows == 250


@pytest.mark.parametrize("letter", ['"', "é", "😀", "a"])
def test_the_longest_names_and_problems_fit_into_the_table(world: World, letter: str) -> None:
    """DynamoDB takes items of at most 400 KB, and the fake refuses larger ones."""
    letter_bytes = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    room = (500 - len('"jobs/a/x/001.json"')) // letter_bytes
    rows = [
        {"name": letter * room + f"{n:03d}", "prompt": "a bee", "preset": str(n) + letter * 600}
        for n in range(MAX_ROWS)
    ]
    for row in rows[60:]:
        del row["preset"]
    body = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    job = dropped(world, body, "jobs/a/x.jsonl")
    assert (len(job.dropped), job.bad_rows) == (440, 60)
    assert len(job.problems) + job.more_problems == 60 and len(job.problems) > 10


@pytest.mark.parametrize("letter", ['"', "é", "😀", "a"])
def test_a_name_that_would_not_fit_into_the_table_is_a_bad_row(world: World, letter: str) -> None:
    row = json.dumps({"name": letter * 499, "prompt": "a bee"}, ensure_ascii=False)
    job = dropped(world, row, "jobs/a/x.jsonl")
    assert [one.code for one in job.problems] == [Code.LIST_NAME]


def test_a_repeated_event_drops_nothing_again(world: World) -> None:
    job = dropped(world, "prompt\na bee\n")
    world.delete("jobs/a/x/002.json")
    submit(world.ports, "input", "jobs/a/x.csv", job.source.version)
    assert specs(world) == {}
    dropped(world, "prompt\na bee\n")
    assert [*specs(world)] == ["002"]


def test_the_sweep_finds_a_list_without_an_event(world: World) -> None:
    world.drop("jobs/a/x.csv", "prompt\na bee\n", event=False)
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert [*specs(world)] == ["002"]


def test_a_digest_of_the_folder_tells_of_bad_rows(world: World) -> None:
    world.drop("jobs/a/_defaults.yaml", "notify: digest\n")
    dropped(world, "prompt,seed\na bee,7\na fly,x\n")
    assert not world.post.sent
    world.clock.move(minutes=10)
    sweep(world.ports)
    (mail,) = world.post.sent
    assert "1 with bad rows" in mail.body and "jobs/a/x.csv has bad rows" in mail.body


def test_validate_says_what_the_bucket_would_say(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("lists") / "x.csv"
    file.write_text("prompt,seed\na bee,7\na fly,x\na moth,8\n")
    (verdict,) = validate([file], default_model="demo")
    assert isinstance(verdict, Verdict)
    assert not verdict.ok and [task.seed for task in verdict.tasks] == [7, 8]
    assert [(one.line, one.code) for one in verdict.errors] == [(3, Code.FIELD_TYPE)]


def test_validate_says_how_many_problems_it_leaves_out(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("lists") / "x.jsonl"
    file.write_text(json.dumps({f"field{number}": 1 for number in range(23)}))
    (verdict,) = validate([file], default_model="demo")
    assert isinstance(verdict, Verdict)
    assert len(verdict.errors) == 20 and [one.code for one in verdict.warnings] == ["more-problems"]
    assert verdict.warnings[0].message == "3 more problems are not listed."
    file.write_text('{"prompt": "a bee", "image": "b.png", "height": 1}\n' * 9)
    (verdict,) = validate([file], default_model="demo")
    assert isinstance(verdict, Verdict) and len(verdict.errors) == 1
