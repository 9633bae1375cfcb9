"""/v1/videos on the embedded cloud, with a client that others have written: the one of OpenAI."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AuthenticationError, BadRequestError, ConflictError, NotFoundError, OpenAI
from openai.types import Video

from local.command.studio import EMAIL, PASSWORD
from tests.e2e.conftest import Person
from tests.fakes import PNG
from tests.waiting import eventually

# The service behind this client ends. Its shape stays, because many servers have it.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

DRAWN = "a yellow circle moves right on a green background"
QUICK = {"enhance": False, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def token(person: Person) -> str:
    """A token, as the guide says how an administrator gets one."""
    return person.aws(
        *("cognito-idp", "admin-initiate-auth", "--auth-flow", "ADMIN_USER_PASSWORD_AUTH"),
        *("--user-pool-id", person.folder.outputs["StudioUsers"]),
        *("--client-id", person.folder.outputs["StudioClient"]),
        *("--auth-parameters", f"USERNAME={EMAIL},PASSWORD={PASSWORD}"),
        *("--query", "AuthenticationResult.AccessToken", "--output", "text"),
    ).strip()


def connect(person: Person, key: str) -> OpenAI:
    return OpenAI(api_key=key, base_url=f"{person.folder.studio_url}v1", max_retries=0)


@pytest.fixture
def client(person: Person, token: str) -> Iterator[OpenAI]:
    with connect(person, token) as client:
        yield client


def patient(client: OpenAI) -> OpenAI:
    """A client that asks again, as it does if nobody says otherwise: a job may not be settled."""
    return client.with_options(max_retries=5)


def poll(client: OpenAI, video_id: str) -> Video:
    video: Video = eventually(
        lambda: (v := client.videos.retrieve(video_id)).status in {"completed", "failed"} and v
    )
    return video


def test_a_video_is_made_listed_downloaded_and_deleted(client: OpenAI, person: Person) -> None:
    video = client.videos.create_and_poll(
        prompt=DRAWN,
        model="demo",
        seconds="2",  # type: ignore[arg-type]
        size="96x64",  # type: ignore[arg-type]
        poll_interval_ms=500,
        extra_body={**QUICK, "seed": 7},
    )
    assert video.status == "completed" and video.error is None and video.progress == 100
    assert (video.prompt, video.model, video.size) == (DRAWN, "demo", "96x64")
    path = f"{video.path}"  # type: ignore[attr-defined]
    assert person.sidecar(path).spec.seed == 7
    file = client.videos.download_content(video.id).read()
    assert file == person.read(f"videos/{path}.mp4") and file[4:8] == b"ftyp"
    poster = client.videos.download_content(video.id, variant="thumbnail").read()
    assert poster == person.read(f"videos/{path}.jpg")

    with pytest.raises(BadRequestError, match="no field called 'stpes'") as refused:
        client.videos.create(prompt=DRAWN, extra_body={"stpes": 4})
    assert refused.value.code == "field-unknown"
    with pytest.raises(BadRequestError, match="sora-2"):
        client.videos.create(prompt=DRAWN, model="sora-2")
    newest = [one.id for one in client.videos.list(limit=1).data]
    assert newest == [video.id]  # what was refused is not in the folder

    answer = patient(client).videos.delete(video.id)
    assert answer.deleted and answer.id == video.id
    with pytest.raises(NotFoundError):
        client.videos.retrieve(video.id)


def test_a_picture_begins_to_move(client: OpenAI, person: Person) -> None:
    again: dict[str, Any] = {
        "prompt": DRAWN,
        "input_reference": ("still.png", PNG, "image/png"),
        "extra_body": QUICK,
        "extra_headers": {"Idempotency-Key": "a picture"},
    }
    created, same = (client.videos.create(**again) for _ in range(2))
    assert created.id == same.id and created.status == "queued"
    with pytest.raises(ConflictError):
        client.videos.download_content(created.id)
    assert poll(client, created.id).status == "completed"
    path = f"{created.path}"  # type: ignore[attr-defined]
    assert person.sidecar(path).spec.image == f"/{path}.png"
    key = f"jobs/{path}.png"
    s3 = person.cloud.client("s3")
    assert s3.get_object(Bucket=person.folder.input_bucket, Key=key)["Body"].read() == PNG


def test_lists_and_scenes_arrive_as_the_guide_says(client: OpenAI, person: Person) -> None:
    """The client sends all of them in forms."""
    scenes = [{"prompt": DRAWN}, {"prompt": "it stops", "transition": "fade"}]
    varied = {"matrix": {"seed": [1, 2]}, "tags": ["2026", "a"]}
    with pytest.raises(BadRequestError, match="scenes must be JSON"):
        client.videos.create(prompt="", extra_body={"scenes": scenes})
    s3 = person.cloud.client("s3")
    for prompt, sent, wanted in (
        (DRAWN, varied, {"prompt": DRAWN, **varied}),
        ("", {"scenes": json.dumps(scenes)}, {"prompt": "", "scenes": scenes}),
    ):
        video = client.videos.create(prompt=prompt, extra_body={**sent, "dry_run": True})
        path = f"{video.path}"  # type: ignore[attr-defined]
        key = f"jobs/{path}.json"
        body = s3.get_object(Bucket=person.folder.input_bucket, Key=key)["Body"].read()
        assert json.loads(body) == {**wanted, "dry_run": True}
        assert not person.final(path).problems


def test_everything_in_the_folder_is_listed_page_by_page(client: OpenAI, person: Person) -> None:
    s3 = person.cloud.client("s3")
    names = [f"listed/{number}" for number in range(3)]
    for name in names:
        body = b"prompt: a bee\ndry_run: true\n"
        s3.put_object(Bucket=person.folder.input_bucket, Key=f"jobs/{name}.yaml", Body=body)
        person.final(name)
    ours = []
    for video in client.videos.list(limit=2):  # it asks for one page after the other
        path = f"{video.path}"  # type: ignore[attr-defined]
        if path in names:
            ours.append(path)
            assert video.status == "failed" and video.error and video.error.code == "planned"
            patient(client).videos.delete(video.id)
        if len(ours) == len(names):
            break
    assert sorted(ours) == names
    oldest_first = [one.created_at for one in client.videos.list(order="asc").data]
    assert oldest_first == sorted(oldest_first)


@pytest.mark.parametrize("key", ["x", "eyJhbGciOiJub25lIn0.e30."])
def test_without_a_token_nothing_is_answered(person: Person, key: str) -> None:
    with connect(person, key) as client:
        stranger = client.videos
        for ask in (
            stranger.list,
            lambda: stranger.create(prompt=DRAWN),
            lambda: stranger.retrieve("video_x"),
            lambda: stranger.download_content("video_x"),
            lambda: stranger.delete("video_x"),
        ):
            with pytest.raises(AuthenticationError):
                ask()
