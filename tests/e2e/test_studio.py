"""The studio in a real browser, on the embedded cloud: what people do there."""

import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from openai import OpenAI
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from functions.table.ledger import gallery_key
from functions.table.records import GalleryEntry, State
from local.cloud.clients import OWNER
from local.command.studio import EMAIL, PASSWORD
from studio.api.adapter import S3Uploads
from tests.e2e.conftest import Person
from tests.fakes import PNG
from tests.waiting import PATIENCE_SECONDS

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here; `make browser` says more"
)

PATIENCE_MS = 1000 * PATIENCE_SECONDS
DRAWN = "a yellow circle moves right on a green background"
SCRIPT = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
PLAYED = """async video => {
    video.muted = true;
    const ended = new Promise((done, failed) => {
        video.onended = done;
        video.onerror = () => failed(new Error(video.error.message));
    });
    await video.play();
    await ended;
    return [video.videoHeight, video.videoWidth, video.currentTime];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        yield browser
        browser.close()


def sign_in(page: Page) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=username]").fill(EMAIL)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=password]").press("Enter")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("reeldrop")


@pytest.fixture
def page(browser: Browser, person: Person) -> Iterator[Page]:
    """A page of somebody who is signed in. It may ask nothing of any other machine."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None,
    )
    page.goto(person.folder.studio_url)
    sign_in(page)
    yield page
    context.close()
    elsewhere = [url for url in asked if not url.startswith((person.folder.endpoint, "data:"))]
    assert elsewhere == [] and errors == []


def state(page: Page, words: str) -> None:
    expect(page.locator("main p.state").first).to_have_text(re.compile(words))


def write(page: Page, name: str, prompt: str) -> None:
    page.get_by_role("link", name="New video").click()
    page.get_by_label("Name in the folder").fill(name)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    expect(page.locator(".verdict")).to_contain_text("This makes 1 video")


def test_from_a_prompt_through_enhance_to_a_video_that_plays(page: Page, person: Person) -> None:
    write(page, "studio/enhanced", DRAWN)
    page.get_by_role("button", name="Enhance").click()
    text = page.get_by_label("The spec")
    expect(text).to_have_value(re.compile("The spec with its prompt rewritten"))
    expect(text).to_have_value(re.compile(DRAWN))
    page.get_by_label("Prompt", exact=True).fill(DRAWN)
    expect(text).to_have_value(re.compile(f"^prompt: {DRAWN}$", re.M))
    expect(page.locator(".verdict")).to_contain_text("This makes 1 video")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("studio/enhanced")
    state(page, "succeeded")
    height, width, at = page.locator("video").evaluate(PLAYED)
    assert height > 0 and width > 0 and at > 0.5
    assert person.sidecar("studio/enhanced").spec.prompt == DRAWN
    with page.expect_download() as download:
        page.get_by_role("link", name="enhanced.mp4").evaluate(
            "link => { link.removeAttribute('target'); link.click(); }"
        )
    assert Path(download.value.path()).stat().st_size > 0


def test_from_a_picture_to_a_video(page: Page, person: Person, tmp_path: Path) -> None:
    picture = tmp_path / "still.png"
    picture.write_bytes(PNG)
    page.get_by_role("link", name="New video").click()
    page.get_by_label("Name in the folder").fill("studio/moving")
    page.get_by_label("Picture, video or sound").set_input_files(picture)
    expect(page.get_by_label("The spec")).to_have_value(re.compile("image: still.png"))
    page.get_by_label("Prompt", exact=True).fill(DRAWN)
    expect(page.locator(".verdict")).to_contain_text("This makes 1 video")
    page.get_by_role("button", name="Generate").click()
    state(page, "succeeded")
    assert person.sidecar("studio/moving").spec.image == "/studio/still.png"


def test_a_mistake_is_explained_before_it_is_dropped(page: Page) -> None:
    page.get_by_role("link", name="New video").click()
    page.get_by_label("The spec").fill("prompt: a bee\nstpes: 4\n")
    verdict = page.locator(".verdict")
    expect(verdict).to_contain_text("The bucket would refuse this")
    expect(verdict).to_contain_text("Line 2")
    expect(verdict).to_contain_text("stpes")
    expect(page.get_by_text("The form cannot show this text")).to_be_hidden()
    page.get_by_label("The spec").fill("{prompt: a bee}\n")
    expect(page.get_by_text("The form cannot show this text")).to_be_visible()
    expect(verdict).to_contain_text("This makes 1 video")


def test_what_others_drop_appears_without_a_reload(
    page: Page, person: Person, tmp_path: Path
) -> None:
    spec = tmp_path / "x.yaml"
    spec.write_text("prompt: a bee\nstpes: 4\n")
    expect(page.get_by_role("heading", level=1)).to_have_text("Gallery")
    person.aws("s3", "cp", str(spec), f"s3://{person.folder.input_bucket}/jobs/from/aws.yaml")
    page.get_by_role("link", name="from/aws").click()
    state(page, "rejected")
    expect(page.locator(".verdict.wrong")).to_contain_text("stpes")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Gallery")
    expect(page.get_by_role("link", name="from/aws")).to_have_count(0)


def test_a_list_and_other_files_are_uploaded_in_the_gallery(page: Page, tmp_path: Path) -> None:
    files = {
        "table.csv": b"name,prompt,image\none,a bee,still.png\ntwo,a bee,no.pdf\n",
        "_defaults.yaml": b"dry_run: true\n",
        "still.png": PNG,
        "notes.pdf": b"%PDF",
    }
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    page.get_by_text("Upload files").click()
    page.get_by_label("Folder").fill("studio/sheet")
    chosen = page.get_by_label("Lists, specs, pictures and other files")
    chosen.set_input_files([tmp_path / name for name in files])
    news = page.locator("#news")
    expect(news).to_contain_text("notes.pdf is no file that makes a video")
    expect(news).to_contain_text("3 files are uploaded.")
    expect(page.get_by_role("link", name="studio/sheet/table/one")).to_contain_text("planned")
    page.get_by_role("link", name="studio/sheet/table").filter(has_text="rejected").click()
    expect(page.locator(".verdict.wrong")).to_contain_text("no.pdf")


def test_cancel_and_make_again(page: Page, person: Person) -> None:
    page.get_by_role("link", name="New video").click()
    page.get_by_label("Name in the folder").fill("studio/waits")
    page.get_by_label("The spec").fill(f"prompt: {DRAWN}\nimage: never-comes.png\n")
    expect(page.locator(".verdict")).to_contain_text("does not exist")
    page.get_by_role("button", name="Generate").click()
    state(page, "waiting")
    page.get_by_role("button", name="Cancel").click()
    state(page, "canceled")
    page.get_by_role("button", name="Again with another seed").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("studio/waits-again-"))
    state(page, "waiting")


def test_what_people_write_is_shown_as_text(page: Page, person: Person) -> None:
    s3 = person.cloud.client("s3")
    key = f"jobs/strange/{SCRIPT.replace('/', '')} é ü.yaml"
    body = f"prompt: '{SCRIPT.replace(chr(39), chr(39) * 2)}'\ndry_run: true\n"
    s3.put_object(Bucket=person.folder.input_bucket, Key=key, Body=body.encode())
    link = page.get_by_role("link", name="strange/<img")
    expect(link).to_contain_text("<script>")
    link.click()
    state(page, "planned")
    expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x")
    expect(page).to_have_title(re.compile("<img src=x"))
    assert page.locator("main img, main script").count() == 0


def test_the_keyboard_alone_is_enough(page: Page, person: Person) -> None:
    def tab_to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "() => document.activeElement.labels?.[0]?.textContent"
                " || document.activeElement.textContent"
            )
            if focused.strip() == name:
                return
        raise AssertionError(f"nobody can get to {name} with the keyboard")

    tab_to("Skip to the content")
    page.evaluate("() => document.body.focus()")
    tab_to("New video")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("New video")
    tab_to("Prompt")
    page.keyboard.type(DRAWN)
    tab_to("Name in the folder")
    page.keyboard.type("studio/keys")
    expect(page.locator(".verdict")).to_contain_text("This makes 1 video")
    tab_to("Generate")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("studio/keys")
    person.eventually(lambda: person.status("studio/keys"))


def test_four_scenes_in_the_form_and_in_the_text(page: Page) -> None:
    """With the keyboard, on a phone."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("link", name="New video").press("Enter")
    page.get_by_label("Prompt", exact=True).fill("a red circle")
    page.get_by_role("button", name="Make several scenes").press("Enter")
    page.keyboard.type("it moves left")
    for prompt in ("a green star", "a purple square"):
        page.get_by_role("button", name="Add a scene").press("Enter")
        page.keyboard.type(prompt)
    last = page.get_by_role("group", name="Scene 4")
    last.get_by_label("How it follows").select_option("fade")
    last.get_by_role("button", name="Move up").press("Enter")
    page.keyboard.press("Enter")  # the focus has gone with the scene
    text, verdict = page.get_by_label("The spec"), page.locator(".verdict")
    expect(text).to_have_value(
        "scenes:\n  - a red circle\n  - prompt: a purple square\n    transition: fade\n"
        "  - it moves left\n  - a green star\n"
    )
    expect(verdict).to_contain_text("This makes 1 video")
    page.locator("summary").press("Enter")
    page.get_by_label("Frames per second").fill("16")
    page.get_by_label("Slow motion").select_option("2")
    page.get_by_label("Loop").select_option("true")
    page.get_by_label("Note in the corner").fill("AI-generated")
    page.get_by_label("each scene by itself").press("Space")
    expect(text).to_have_value(
        re.compile(
            "fps: 16\nslow_motion: 2\nloop: true\nlabel: AI-generated\noutputs: .mp4, scenes.\n$"
        )
    )
    expect(verdict).to_contain_text("This makes 1 video")
    assert_everybody_can_use(page)

    text.fill("scenes:\n  - a red circle\n  - prompt: a star\n    transition: jump\n  - a bee\n")
    second = page.get_by_role("group", name="Scene 2")
    expect(second.get_by_label("What it shows")).to_have_value("a star")
    expect(second.locator("[aria-invalid]")).to_have_count(1)
    expect(verdict).to_contain_text("Line 4")
    expect(page.get_by_label("Note in the corner")).to_have_value("")
    second.get_by_role("button", name="Remove").press("Enter")
    second.get_by_role("button", name="Remove").press("Enter")
    expect(text).to_have_value("prompt: a red circle\n")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a red circle")


def test_a_job_says_when_it_ends_and_a_draft_becomes_a_final(page: Page) -> None:
    """What the function answers is changed on its way to the page."""
    changes: dict[str, Any] = {"state": "running", "preset": "draft"}
    asked: list[Any] = []

    def answer(route: Route) -> None:
        found = route.fetch().json()
        found["card"]["entry"]["state"] = changes["state"]
        found["spec"]["preset"] = changes["preset"]
        ends_at = datetime.now(UTC) + timedelta(minutes=4, seconds=30)
        found["status"]["expected"]["ends_at"] = ends_at.isoformat()
        route.fulfill(json=found)

    def approved(route: Route) -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(json={"done": True})

    page.route("**/api/job", answer)
    page.route("**/api/approve", approved)
    page.evaluate("() => { location.hash = '#/job/studio%2Fenhanced'; }")
    expect(page.locator("main")).to_contain_text("in about 5 minutes")
    final = page.get_by_role("button", name="Make the final")
    expect(final).to_have_count(0)
    changes["state"] = "succeeded"
    expect(page.locator("main")).to_contain_text("a draft is no exact preview")
    expect(page.locator("main")).not_to_contain_text("in about")
    assert_everybody_can_use(page)
    final.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Gallery")
    assert asked == [{"path": "studio/enhanced"}]
    changes["preset"] = "best"
    page.go_back()
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    expect(final).to_have_count(0)


def assert_everybody_can_use(page: Page) -> None:
    """Assert that a page fits its window, and has no serious fault of accessibility."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [one for one in found if one["impact"] in {"serious", "critical"}]
    assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []


@pytest.mark.parametrize("address", ["#/", "#/new", "#/job/studio%2Fenhanced", "#/programs"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it_also_on_a_phone(page: Page, address: str, scheme: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.evaluate("address => { location.hash = address; }", address)
    there = {
        "#/": ".cards li", "#/new": ".verdict", "#/job/studio%2Fenhanced": "video",
        "#/programs": "pre",
    }  # fmt: skip
    expect(page.locator(there[address]).first).to_be_visible()
    assert_everybody_can_use(page)


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
def test_a_program_gets_a_token_from_the_page(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="For programs").click()
    page.get_by_role("button", name="Copy a token for programs").click()
    expect(page.get_by_role("status")).to_contain_text("The token is copied")
    token = page.evaluate("() => navigator.clipboard.readText()")
    with OpenAI(api_key=token, base_url=page.locator("main code").inner_text()) as client:
        assert len(client.videos.list(limit=1).data) == 1


def test_the_check_of_accessibility_finds_faults(page: Page) -> None:
    page.evaluate("() => document.querySelector('label').remove()")
    found = Axe().run(page).response["violations"]
    assert "label" in {one["id"] for one in found}


def test_the_first_page_of_10_000_jobs_is_there_within_a_second(page: Page, person: Person) -> None:
    """The entries are in the table of this test's cloud only, and are older than all others."""
    dynamodb = person.cloud.client("dynamodb")
    table = person.folder.outputs["TableName"]
    for first in range(0, 10_000, 25):
        entries = [_old_entry(number) for number in range(first, first + 25)]
        dynamodb.batch_write_item(
            RequestItems={table: [{"PutRequest": {"Item": entry}} for entry in entries]}
        )

    def seconds() -> float:
        began = time.monotonic()
        page.evaluate("() => { location.hash = '#/new'; }")
        expect(page.get_by_role("heading", level=1)).to_have_text("New video")
        page.evaluate("() => { location.hash = '#/'; }")
        expect(page.locator(".cards li")).to_have_count(24)
        return time.monotonic() - began

    # At some moment the machine has nothing else to do.
    person.eventually(lambda: seconds() < 1)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".cards li")).to_have_count(48)


def _old_entry(number: int) -> dict[str, Any]:
    entry = GalleryEntry(
        path=f"old/{number:05}",
        job_id=f"old-{number:05}",
        key=f"jobs/old/{number:05}.yaml",
        state=State.SUCCEEDED,
        dropped_at=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        prompt="a bee lands on a sunflower in a summer garden, seen from very near",
        videos=1,
        percent=100,
    )
    key = gallery_key(entry)
    return {
        "pk": {"S": key.partition},
        "sk": {"S": key.sort},
        "revision": {"N": "1"},
        "document": {"S": entry.model_dump_json()},
    }


def test_a_form_uploads_what_it_was_made_for_and_nothing_else(person: Person) -> None:
    """S3 itself refuses the rest, whoever has got hold of the form."""
    bucket = person.folder.input_bucket
    environment = {
        "AWS_ENDPOINT_URL": person.folder.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": OWNER.access_key_id,
        "AWS_SECRET_ACCESS_KEY": OWNER.secret_access_key,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        form = S3Uploads().form(
            bucket, "jobs/form/a.yaml", content_type="text/plain", most_bytes=20, seconds=60
        )

    def post(body: bytes, **changed: str) -> int:
        boundary = "----reeldrop"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in {**form.fields, **changed}.items()
        ]
        file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        content = "".join(parts).encode() + file.encode() + body + f"\r\n--{boundary}--".encode()
        request = urllib.request.Request(
            form.url,
            content,
            {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    assert post(b"x" * 21) in {400, 403}
    assert post(b"") in {400, 403}
    for changed in (
        {"key": "jobs/form/b.yaml"}, {"key": "videos/a.yaml"}, {"key": "jobs/../a.yaml"},
        {"Content-Type": "text/html"}, {"x-amz-meta-mark": "mine"}, {"acl": "public-read"},
    ):  # fmt: skip
        assert post(b"prompt: a bee\n", **changed) == 403, changed
    assert post(b"prompt: a bee\n") == 201
    listed = person.cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="jobs/form/")
    assert [item["Key"] for item in listed["Contents"]] == ["jobs/form/a.yaml"]


def test_without_a_session_nothing_is_told(browser: Browser, person: Person) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(person.folder.studio_url)
    for token in ("", "Bearer x", "Bearer eyJhbGciOiJub25lIn0.e30."):
        for question in ("gallery", "job", "upload", "delete", "nothing"):
            answer = page.request.post(
                f"{person.folder.studio_url}api/{question}",
                headers={"authorization": token},
                data={"path": "studio/enhanced", "name": "a.yaml"},
            )
            assert answer.status == 401
    context.close()
