"""/v1/videos on fakes: what programs send, and what they get."""

import base64
import json
import random
import time
from typing import Any

import pytest

from contract.errors import Transient
from functions.ports import Missing
from functions.table.ledger import Put, gallery_key
from functions.table.records import GalleryEntry, State
from studio.api import form
from studio.api.video import id_of
from tests.fakes import PNG, World
from tests.functions.stored import jobs, tasks
from tests.studio.conftest import CLIENT, Studio

BOUNDARY = "----a-form"
PICTURE = ("still.png", PNG)


def multipart(fields: dict[str, object]) -> bytes:
    """A form as clients send it. A pair of name and bytes is a file."""
    parts = []
    for name, value in fields.items():
        head = f'Content-Disposition: form-data; name="{name}"'
        if isinstance(value, tuple):
            file_name, content = value
            kind = "Content-Type: application/octet-stream"
            head += f'; filename="{file_name}"\r\n{kind}' if file_name else f"\r\n{kind}"
        else:
            content = str(value).encode()
        parts.append(f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class Program:
    """A program with the token of a person."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.world = studio.world
        self.headers: dict[str, str] = {}

    def send(self, body: bytes, content_type: str) -> dict[str, Any]:
        headers = {"content-type": content_type, **self.headers}
        return self.studio.request("POST", "/v1/videos", body, headers=headers)

    def create(self, status: int = 200, /, **fields: object) -> Any:
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        return said(self.send(multipart(fields), kind), status)

    def ask(self, method: str, path: str = "", status: int = 200, /, **query: object) -> Any:
        asked = {name: str(value) for name, value in query.items()}
        return said(self.studio.request(method, f"/v1/videos{path}", query=asked), status)

    def take(self) -> None:
        """Let the bucket act on everything that was dropped."""
        for key in self.world.files.keys("input"):
            if key.endswith(".json"):
                self.world.drop(key, self.world.files.read("input", key))

    def make(self, **fields: object) -> str:
        """Create a video and let it be made. Returns its id."""
        video_id: str = self.create(**{"prompt": "a bee", **fields})["id"]
        self.take()
        self.world.render(*self.world.dispatch())
        return video_id


def said(answer: dict[str, Any], status: int) -> Any:
    assert answer["statusCode"] == status, answer["body"]
    return json.loads(answer["body"])


@pytest.fixture
def program(studio: Studio) -> Program:
    return Program(studio)


def dropped(world: World) -> dict[str, Any]:
    """The only spec in the folder."""
    (key,) = [key for key in world.files.keys("input") if key.endswith(".json")]
    spec: dict[str, Any] = json.loads(world.files.read("input", key))
    return spec


def test_a_video_from_its_request_to_its_file(program: Program, world: World) -> None:
    made = program.create(prompt="a bee lands", seconds="2", model="demo")
    assert made["object"] == "video" and made["status"] == "queued" and made["progress"] == 0
    assert made["prompt"] == "a bee lands" and made["model"] == "demo"
    assert dropped(world) == {"prompt": "a bee lands", "duration_seconds": 2, "model": "demo"}
    path = f"/{made['id']}"
    assert program.ask("GET", path) == made
    answer = program.studio.request("GET", f"/v1/videos{path}")
    assert answer["headers"]["openai-poll-after-ms"] == "2000"
    ready = program.ask("GET", f"{path}/content", 409)["error"]
    assert ready["message"] == "There is no video to download. Its job is queued."
    program.take()
    (task,) = tasks(world)
    known = program.ask("GET", path)
    assert known == made  # the table says the same as the spec did before
    assert known["size"] == f"{task.spec.width}x{task.spec.height}"
    (attempt,) = world.dispatch()
    assert program.ask("GET", path)["status"] == "in_progress"
    world.render(attempt)
    done = program.ask("GET", path)
    assert done["status"] == "completed" and done["progress"] == 100
    assert done["completed_at"] >= done["created_at"] and done["error"] is None
    for query, suffix in (({}, "mp4"), ({"variant": "thumbnail"}, "jpg")):
        answer = program.studio.request("GET", f"/v1/videos{path}/content", query=query)
        assert answer["statusCode"] == 302
        assert f"videos/{done['path']}.{suffix}" in answer["headers"]["location"]
    assert program.ask("GET", f"{path}/content", 400, variant="spritesheet")["error"]["message"]


@pytest.mark.parametrize("sent", [
    {"input_reference": PICTURE},
    {"input_reference": ("upload", PNG)},
    {"input_reference": ("", PNG)},
    {"input_reference[image_url]": "data:image/png;base64," + base64.b64encode(PNG).decode()},
])  # fmt: skip
def test_a_picture_is_dropped_beside_its_spec(
    program: Program, world: World, sent: dict[str, object]
) -> None:
    made = program.create(prompt="it moves", **sent)
    name = dropped(world)["image"]
    assert name == f"{made['path'].removeprefix('v1/')}.png"
    assert world.files.read("input", f"jobs/v1/{name}") == PNG
    program.take()
    assert jobs(world)[0].state == State.QUEUED


def test_json_is_as_good_as_a_form(program: Program, world: World) -> None:
    picture = {"image_url": "data:image/png;base64," + base64.b64encode(PNG).decode()}
    body = {"prompt": "é 🐝", "seconds": "2", "input_reference": picture, "tags": ["a"]}
    short = {**body, "input_reference": picture["image_url"]}
    for raw in (json.dumps(body), json.dumps(short, ensure_ascii=False)):
        said(program.send(raw.encode(), "application/json; charset=utf-8"), 200)
    program.take()
    assert [job.state for job in jobs(world)] == [State.QUEUED] * 2
    assert {job.spec.prompt for job in jobs(world) if job.spec} == {"é 🐝"}


def test_other_fields_are_those_of_a_spec(program: Program, world: World) -> None:
    made = program.create(
        **{"prompt": "5", "seed": "7", "enhance": "false", "negative_prompt": "1", "tags[]": "a"},
        image="/pictures/bee.png",
    )
    assert dropped(world) == {
        "prompt": "5", "seed": 7, "enhance": False, "negative_prompt": "1", "tags": ["a"],
        "image": "/pictures/bee.png",
    }  # fmt: skip
    world.files.write("input", "jobs/pictures/bee.png", PNG, "image/png")
    program.take()
    assert tasks(world)[0].spec.seed == 7 and made["status"] == "queued"


@pytest.mark.parametrize(("sent", "field", "value"), [
    ({"image": "123"}, "image", "123"),
    ({"lora": "2026"}, "lora", "2026"),
    ({"model": "1"}, "model", "1"),
    ({"label": "true"}, "label", "true"),
    ({"tags[]": "2026"}, "tags", ["2026"]),
    ({"tags": '["2026", "a"]'}, "tags", ["2026", "a"]),
    ({"scenes[]": "2026"}, "scenes", ["2026"]),
    ({"scenes[]": '{"prompt": "2", "seed": 1}'}, "scenes", [{"prompt": "2", "seed": 1}]),
    ({"scenes": '["a", {"prompt": "b"}]'}, "scenes", ["a", {"prompt": "b"}]),
    ({"matrix": '{"seed": [1, 2]}'}, "matrix", {"seed": [1, 2]}),
    ({"matrix[seed][]": "1"}, "matrix", {"seed": [1]}),
    ({"matrix[label][]": "1", "matrix[loop][]": "true"}, "matrix",
     {"label": ["1"], "loop": [True]}),
    ({"matrix[include][]": '{"seed": 1}'}, "matrix", {"include": [{"seed": 1}]}),
    ({"matrix": '{"seed": [1]}', "matrix[seed][]": "2", "matrix[fps][]": "8"}, "matrix",
     {"seed": [1, 2], "fps": [8]}),
    ({"strength": "0.5"}, "strength", 0.5),
    ({"loop": "ping-pong"}, "loop", "ping-pong"),
    ({"loop": "true"}, "loop", True),
    ({"notify": "false"}, "notify", False),
    ({"seed": "soon"}, "seed", "soon"),
    ({"matrix[": "1"}, "matrix[", 1),
    ({"seed[a]": "1"}, "seed[a]", 1),
    ({"[]": "1"}, "[]", 1),
])  # fmt: skip
def test_a_text_in_a_form_means_what_its_field_can_be(
    sent: dict[str, object], field: str, value: object
) -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    assert form.read(kind, multipart(sent), "").fields == {field: value}


def test_a_list_is_sent_value_by_value(program: Program, world: World) -> None:
    parts = [("prompt", "a bee"), *((f"matrix[{name}][]", value) for name, value in (
        ("seed", "1"), ("label", "5"), ("seed", "2"), ("label", "x")))]  # fmt: skip
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    whole = b"".join(multipart({name: value})[: -len(BOUNDARY) - 6] for name, value in parts)
    said(program.send(whole + f"--{BOUNDARY}--\r\n".encode(), kind), 200)
    assert dropped(world)["matrix"] == {"seed": [1, 2], "label": ["5", "x"]}
    program.take()
    assert [(one.spec.seed, one.spec.label) for one in tasks(world)] == [
        (1, "5"), (1, "x"), (2, "5"), (2, "x"),
    ]  # fmt: skip


@pytest.mark.parametrize("name, value", [
    ("scenes[][prompt]", "a"), ("scenes", "a bee"), ("matrix[include][][prompt]", "a"),
    ("matrix", "{seed: [1, 2]}"), ("matrix", "1"), ("matrix[seed]", "1"),
    ("matrix[include][]", "1"), ("tags", "a"), ("outputs", "gif"),
])  # fmt: skip
def test_a_form_that_needs_json_says_how_that_looks(
    program: Program, name: str, value: str
) -> None:
    error = program.create(400, **{name: value})["error"]
    field = name.partition("[")[0]
    assert error["message"].startswith(field) and error["code"] == "field-type"
    example = error["message"].partition("such as  ")[2]
    program.create(**({} if field == "scenes" else {"prompt": "a bee"}), **{field: example})


def test_a_size_is_width_x_height(program: Program, world: World) -> None:
    world.set(default_model="cogvideox-5b")
    made = program.create(prompt="a bee", size="720x480")
    assert made["size"] == "720x480"
    assert (dropped(world)["width"], dropped(world)["height"]) == (720, 480)


@pytest.mark.parametrize(("fields", "code"), [
    ({"model": "sora-2"}, "model-unknown"),
    ({"size": "721x1280"}, "size-unsupported"),
    ({"seconds": "soon"}, "field-type"),
    ({"seconds": "99999"}, "field-range"),
    ({"stpes": "4"}, "field-unknown"),
    ({"prompt": ""}, "prompt-empty"),
    ({"input_reference": ("bee.png", b"no picture")}, "reference-kind"),
])  # fmt: skip
def test_a_mistake_is_explained_in_the_words_of_the_bucket(
    program: Program, world: World, fields: dict[str, Any], code: str
) -> None:
    error = program.create(400, **{"prompt": "a bee", **fields})["error"]
    assert error["type"] == "invalid_request_error" and error["param"] is None
    assert world.files.keys("input") == []
    names = {"seconds": "duration_seconds"}
    spec = {names.get(name, name): value for name, value in fields.items()}
    if "input_reference" in fields:
        world.files.write("input", "jobs/bee.png", b"no picture", "image/png")
        spec = {"image": "bee.png"}
    if "size" in fields:
        spec = {"width": 721, "height": 1280}
    if fields.get("seconds") == "99999":
        spec = {"duration_seconds": 99999}
    world.drop("jobs/bee.json", json.dumps({"prompt": "a bee", **spec}))
    (problem,) = jobs(world)[0].problems
    assert error["code"] == problem.code == code
    # The name of the file is another one.
    assert error["message"].split()[-6:] == problem.sentence().split()[-6:]


def test_what_is_no_request_is_refused(program: Program, world: World) -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    inner = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="prompt"\r\n'
        f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n--{BOUNDARY}--"
    )
    for body, content_type in (
        (b"", kind), (b"prompt=a", "application/x-www-form-urlencoded"), (b"x", kind), (b"x", ""),
        (b"prompt", "application/json"), (b"[1]", "application/json"),
        (b"[" * 100_000, "application/json"), (inner.encode(), kind),
        (multipart({"prompt": ("", b"\xff")}), kind),
        (multipart({"prompt": "a", "input_reference": ("a.png", b"")}), kind),
        (multipart({"prompt": "a", "input_reference": "https://example.org/bee.png"}), kind),
        (b'{"prompt": "a", "input_reference": {"file_id": "x"}}', "application/json"),
        (b'{"prompt": "a", "input_reference": {"image_url": "data:x;base64,#"}}',
         "application/json"),
        (b'{"prompt": "\\ud800"}', "application/json"),
        (multipart({"prompt": "a", "size": "large"}), kind),
        (multipart({"prompt": "a", "image": "x.png", "input_reference": PICTURE}), kind),
    ):  # fmt: skip
        answer = said(program.send(body, content_type), 400)
        assert answer["error"]["message"], body
    assert world.files.keys("input") == []


@pytest.mark.parametrize(
    "field",
    [
        "size",
        "seconds",
        "prompt",
        "model",
        "image",
        "seed",
        "stpes",
        "input_reference",
        "scenes",
    ],
)
def test_half_a_character_is_refused(program: Program, field: str) -> None:
    """JSON can escape the halves of a character that UTF-16 writes as two. Alone they are none."""
    for value in ("\\ud800", "data:\\udfff;base64,AAAA"):
        for body in (
            f'{{"{field}": "{value}"}}',
            f'{{"{field}": ["{value}"]}}',
            f'{{"{field}": {{"image_url": "{value}"}}}}',
            f'{{"a": 1, "{value}": 1}}',
        ):
            error = said(program.send(body.encode(), "application/json"), 400)["error"]
            assert "U+D" in error["message"] and error["code"] == "text-character"


def test_half_a_character_finds_no_video(program: Program) -> None:
    for method, path in (("GET", "/\ud800"), ("GET", "/\ud800/content"), ("DELETE", "/\ud800")):
        program.ask(method, path, 404)
    for query in ({"after": "\ud800"}, {"limit": "\ud800"}, {"order": "\ud800"}):
        program.ask("GET", "", 400, **query)


def test_a_request_that_is_too_large_says_where_to_upload(program: Program) -> None:
    large = multipart({"prompt": "a", "input_reference": ("a.mp4", b"x" * form.MAX_BODY_BYTES)})
    answer = program.send(large, f"multipart/form-data; boundary={BOUNDARY}")
    error = said(answer, 413)["error"]
    assert "s3://input/jobs/pictures/bee.png" in error["message"]


@pytest.mark.parametrize("part", [
    b"\r\n\r\n",
    b'\r\nContent-Disposition: form-data; name="tags[]"\r\n\r\n1',
    b'\r\nContent-Disposition: form-data; name="tags[]"' + b"; a" * 20_000 + b"\r\n\r\n1",
    b'\r\nContent-Disposition: form-data; name="' + b"(" * 20_000 + b"\r\n\r\n1",
])  # fmt: skip
def test_a_form_of_very_many_parts_is_refused_at_once(program: Program, part: bytes) -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    delimiter = f"\r\n--{BOUNDARY}".encode()
    parts = (delimiter + part) * (4_000_000 // (len(part) + len(delimiter)))
    began = time.process_time()
    error = said(program.send(parts + delimiter + b"--", kind), 400)["error"]
    assert "part" in error["message"] and time.process_time() - began < 1


def test_a_field_of_many_lines_is_read_at_once(program: Program) -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    began = time.process_time()
    program.send(multipart({"prompt": "\n" * 4_000_000}), kind)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("head", [
    'Content-Disposition: form-data; name="prompt"; filename="a; name=b.txt"',
    "content-disposition:form-data;name=prompt",
    'Content-Type: text/plain; name="b"\r\nContent-Disposition: form-data; NAME="prompt"',
    'Content-Disposition: form-data; name="prompt"\r\nContent-Type: text/plain; charset=utf-8',
])  # fmt: skip
def test_the_head_of_a_part_can_be_written_in_several_ways(head: str) -> None:
    for boundary in ("b-1", '"b-1"'):
        kind = f"Multipart/Form-Data; charset=utf-8; boundary={boundary}"
        for before, after in ((b"", b"--\r\n"), (b"a preamble\r\n", b"--\r\nan epilogue")):
            body = before + b"--b-1\r\n" + head.encode() + b"\r\n\r\n\xc3\xa9\r\n--b-1" + after
            assert form.read(kind, body, "").fields == {"prompt": "é"}


def test_the_suffix_of_a_file_is_that_of_its_name(program: Program) -> None:
    for name, suffix in (("a.JPEG", "jpeg"), ('a\\"b.webp', "png"), ("é.mov", "mov")):
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        read = form.read(kind, multipart({"input_reference": (name, PNG)}), "")
        assert read.file is not None and read.file.suffix == f".{suffix}"


def test_a_file_in_a_form_arrives_as_it_is() -> None:
    """Line ends, boundaries and all other bytes, wherever they are."""
    chance = random.Random(7)
    pieces = [
        b"\r",
        b"\n",
        b"\r\n",
        b"--",
        BOUNDARY.encode(),
        b"\x00",
        b"\x85",
        b"\x1c",
        b"x",
        b" ",
    ]
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    for _ in range(300):
        content = b"".join(chance.choices(pieces, k=chance.randrange(1, 12)))
        if f"\n--{BOUNDARY}".encode() in b"\n" + content.replace(b"\r", b"\n"):
            continue  # no client chooses a boundary that its file contains
        read = form.read(kind, multipart({"prompt": "a", "input_reference": ("a", content)}), "")
        assert read.file is not None and read.file.body == content
        assert read.fields == {"prompt": "a"}


def test_two_requests_make_two_videos_and_a_repeated_one_makes_one(
    program: Program, world: World
) -> None:
    first, second = (program.create(prompt="a bee") for _ in range(2))
    assert first["id"] != second["id"]
    world.clock.move(seconds=10)
    program.headers = {"x-stainless-retry-count": "1"}
    assert program.create(prompt="a bee")["id"] in {first["id"], second["id"]}
    known = {first["id"], second["id"]}
    assert program.create(prompt="a wasp")["id"] not in known  # the first one did not arrive
    assert program.create(prompt="a bee", input_reference=PICTURE)["id"] not in known
    program.studio.person = "somebody-else"
    assert program.create(prompt="a bee")["id"] not in known
    program.studio.person = "someone"
    world.clock.move(minutes=5)
    assert program.create(prompt="a bee")["id"] not in {first["id"], second["id"]}
    program.headers = {"idempotency-key": "mine"}
    kept = program.create(prompt="a bee", input_reference=PICTURE)
    program.take()
    assert program.create(prompt="a wasp")["id"] == kept["id"]
    program.headers = {"idempotency-key": "another"}
    assert program.create(prompt="a bee")["id"] != kept["id"]
    versions = world.files.versions("input", f"jobs/{kept['path']}.json")
    assert len(versions) == 2  # `take` wrote the second one


def test_a_request_that_comes_twice_at_the_same_time_makes_one_version(
    program: Program, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.headers = {"idempotency-key": "mine"}
    first = program.create(prompt="a bee", input_reference=PICTURE)
    facts, blind = world.files.facts, [True]

    def not_yet(*arguments: Any) -> Any:
        if blind and blind.pop():
            raise Missing
        return facts(*arguments)

    monkeypatch.setattr(world.files, "facts", not_yet)
    assert program.create(prompt="a bee", input_reference=PICTURE) == first and not blind
    for key in world.files.keys("input"):
        assert len(world.files.versions("input", key)) == 1


def test_the_key_of_one_person_is_not_that_of_another(program: Program) -> None:
    program.headers = {"idempotency-key": "mine"}
    first = program.create(prompt="a bee")["id"]
    program.studio.person = "somebody-else"
    assert program.create(prompt="a bee")["id"] != first


def fill(world: World, count: int) -> list[str]:
    """Put entries into the gallery. Returns the ids of their videos, the newest first."""
    for number in range(count):
        world.clock.move(seconds=1)
        entry = GalleryEntry(
            path=f"{number:03}", job_id=f"job-{number:03}", key=f"jobs/{number:03}.yaml",
            state=State.SUCCEEDED, dropped_at=world.clock(), prompt="a bee", videos=1, percent=100,
        )  # fmt: skip
        world.ledger.commit(Put(gallery_key(entry), entry))
    return [id_of(f"{number:03}") for number in range(count - 1, -1, -1)]


def ids(videos: dict[str, Any]) -> list[str]:
    return [video["id"] for video in videos["data"]]


def test_a_page_of_videos_is_one_query(
    program: Program, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest_first = fill(world, 45)
    calls = []

    def count(name: str) -> None:
        method = getattr(world.ledger, name)

        def counted(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return method(*args, **options)

        monkeypatch.setattr(world.ledger, name, counted)

    for name in ("get", "get_all", "query"):
        count(name)
    found = program.ask("GET")
    assert calls == ["query", "get_all", "get_all"]
    assert ids(found) == newest_first[:20] and found["has_more"]
    assert found["first_id"] == newest_first[0] and found["object"] == "list"
    for order, wanted in (("desc", newest_first), ("asc", newest_first[::-1])):
        seen: list[str] = []
        after = ""
        while True:
            found = program.ask("GET", limit=15, order=order, after=after)
            seen += ids(found)
            after = found["last_id"]
            if not found["has_more"]:
                break
        assert seen == wanted
    assert program.ask("GET", after=after, order="asc")["data"] == []
    for wrong in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"order": "up"}, {"after": "x"},
                  {"after": id_of("none")}):  # fmt: skip
        assert program.ask("GET", "", 400, **wrong)["error"]["message"]


def test_the_videos_after_one_are_found_by_its_id(program: Program, world: World) -> None:
    world.drop("jobs/a/bee.yaml", "prompt: a bee lands\n")
    world.clock.move(seconds=10)
    world.drop("jobs/wrong.yaml", "stpes: 4\n")
    world.clock.move(seconds=10)
    last = program.make()
    found = program.ask("GET")
    assert ids(found) == [last, id_of("wrong"), id_of("a/bee")]
    after = program.ask("GET", after=last, limit=1)
    assert ids(after) == [id_of("wrong")] and after["has_more"]
    (wrong,) = after["data"]
    assert wrong["status"] == "failed" and wrong["error"]["code"] == "field-unknown"
    assert "stpes" in wrong["error"]["message"]
    assert program.ask("GET", f"/{wrong['id']}") == wrong
    program.ask("GET", f"/{wrong['id']}/content", 404)


def test_what_has_no_video_in_the_end_says_why(program: Program, world: World) -> None:
    world.drop("jobs/plan.yaml", "prompt: a bee\ndry_run: true\n")
    planned = program.ask("GET", f"/{id_of('plan')}")
    assert planned["status"] == "failed" and planned["error"] == {
        "code": "planned", "message": "Its spec only asks what would be made.",
    }  # fmt: skip
    video_id = program.create(prompt="a bee")["id"]
    program.take()
    (attempt,) = world.dispatch()
    (running,) = (task.task_id for task in tasks(world) if task.state == State.RUNNING)
    world.render(attempt, failing=running)
    failed = program.ask("GET", f"/{video_id}")
    assert failed["status"] == "failed" and failed["error"]["message"]
    assert failed["error"]["code"] == "render-failed"


def test_delete_takes_everything_away_and_cancels_before(program: Program, world: World) -> None:
    video_id = program.make(input_reference=PICTURE)
    _, picture = world.files.keys("input")
    # A file of somebody else, and one whose name begins like those of the video.
    others = ["jobs/v1/mine.png", picture.replace(".png", "-2.png")]
    for key in others:
        world.files.write("input", key, PNG, "image/png")
    assert program.ask("DELETE", f"/{video_id}") == {
        "id": video_id, "object": "video.deleted", "deleted": True,
    }  # fmt: skip
    assert sorted(world.files.keys("input")) == sorted(others)
    assert world.files.keys("output") == []
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        error = program.ask(method, f"/{video_id}{path}", 404)["error"]
        assert error["code"] == "not-found"

    unread = program.create(prompt="a bee", input_reference=PICTURE)["id"]
    assert program.ask("DELETE", f"/{unread}")["deleted"] is False
    assert sorted(world.files.keys("input")) == sorted(others)

    open_one = program.create(prompt="a bee")
    program.take()
    assert program.ask("DELETE", f"/{open_one['id']}")["deleted"] is False
    world.delete(f"jobs/{open_one['path']}.json")
    assert program.ask("GET", f"/{open_one['id']}")["error"] == {
        "code": "canceled", "message": "Canceled: its spec was deleted.",
    }  # fmt: skip
    assert program.ask("DELETE", f"/{open_one['id']}")["deleted"] is True
    assert program.ask("GET")["data"] == []


def test_delete_leaves_what_another_spec_names(program: Program, world: World) -> None:
    """A spec that was made from the one of the request names its picture, too."""
    video_id = program.make(input_reference=PICTURE)
    path = program.ask("GET", f"/{video_id}")["path"]
    again = f"jobs/{program.studio.ask('again', path=path, best=False)['path']}.json"
    assert program.ask("DELETE", f"/{video_id}")["deleted"]
    assert f"jobs/{path}.json" not in world.files.keys("input")
    world.drop(again, world.files.read("input", again))
    assert jobs(world)[-1].state == State.QUEUED


@pytest.mark.parametrize("name", ["bee", "video-0123456789abcdef"])
def test_delete_of_what_a_person_has_dropped_takes_the_spec_only(
    program: Program, world: World, name: str
) -> None:
    others = [f"jobs/v1/{name}.{suffix}" for suffix in ("png", "v2.json", "v2.png")]
    for key in others:
        world.files.write("input", key, PNG, "image/png")
    world.drop(f"jobs/v1/{name}.yaml", f"image: {name}.png\n")
    world.render(*world.dispatch())
    assert program.ask("DELETE", f"/{id_of(f'v1/{name}')}")["deleted"]
    assert world.files.keys("input") == sorted(others)


def test_delete_leaves_specs_whose_names_begin_alike(program: Program, world: World) -> None:
    video_id = program.make()
    other = f"jobs/{program.ask('GET', f'/{video_id}')['path']}.v2.yaml"
    world.files.write("input", other, b"prompt: a bee\n", "text/plain")
    assert program.ask("DELETE", f"/{video_id}")["deleted"]
    assert world.files.keys("input") == [other]


@pytest.mark.parametrize("video_id", [
    "video_", "x", "video_x", id_of("none"), id_of("v1/none"), id_of("v1/"), id_of("x" * 3000),
    id_of("v1/../../bee"), "video_" + "é", id_of("v1/bee").removeprefix("video_"),
])  # fmt: skip
def test_there_is_no_such_video(program: Program, world: World, video_id: str) -> None:
    for name in ("", "bee", "../../bee"):
        world.files.write("input", f"jobs/v1/{name}.json", b"{}", "application/json")
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        program.ask(method, f"/{video_id}{path}", 404)


def test_without_a_token_every_answer_is_401(studio: Studio) -> None:
    for method, path in (
        ("POST", ""), ("GET", ""), ("GET", "/x"), ("GET", "/x/content"), ("DELETE", "/x"),
        ("POST", "/x/remix"),
    ):  # fmt: skip
        for client in (None, "another-client"):
            answer = studio.request(method, f"/v1/videos{path}", client=client)
            assert said(answer, 401)["error"]["type"] == "authentication_error"
    assert said(studio.request("POST", "/v1/videos/x/remix", client=CLIENT), 404)["error"]
    studio.settings = studio.settings.model_copy(update={"allowed_ips": "198.51.100.0/24"})
    assert said(studio.request("GET", "/v1/videos"), 403)["error"]["type"] == "permission_error"


def test_a_client_may_repeat_what_aws_did_not_answer(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise Transient("slow down")

    monkeypatch.setattr(program.world.ledger, "query", busy)
    assert program.ask("GET", "", 503)["error"]["type"] == "server_error"
