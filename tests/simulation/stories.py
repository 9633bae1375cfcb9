"""Stories: what people do in a simulation, and which faults happen meanwhile."""

import random
from collections.abc import Callable
from functools import partial

from functions import s3_keys
from functions.spec.language_model import Answer
from functions.stages import cancel
from functions.stages.renderer import ProcessingJob
from functions.stages.submit import submit
from functions.table.ledger import Change
from functions.table.records import Attempt
from local.cloud import signing
from tests.corpus.videos import mp4
from tests.fakes import BLOCKED_PNG, PNG
from tests.functions.stored import as_before_the_gallery
from tests.simulation.cloud import ANY_FUNCTION, SERVICES, Faults, Handler, Killed, Simulation
from tests.sounds import wav

Story = Callable[[Simulation], None]
DAY = 86_400
SOUND = wav()
CLIP, SHORT_CLIP = mp4(num_frames=9), mp4(num_frames=2)
FOLDERS = ("jobs/", "jobs/a/", "jobs/batch/")


def at(simulation: Simulation, seconds: float, act: Callable[[], None]) -> None:
    """Let a person act at a time, in seconds since the simulation began."""
    simulation.at(seconds, Handler("world", lambda _ports: act()))


def busy_hour(s: Simulation) -> None:
    """Drops before, during and after attempts, with references that come early, late or never.

    One reference has another letter case than its file, and one spec has several references.
    """
    s.person_drops("jobs/one.yaml")
    at(s, 5, lambda: s.person_drops("jobs/two.yaml", "matrix: {image: [last.png, a/late.png]}\n"))
    at(s, 0, lambda: s.person_drops("jobs/early.png", PNG))
    at(s, 20, lambda: s.person_drops("jobs/a/early.yaml", "image: /early.png\n"))
    at(s, 30, lambda: s.person_drops("jobs/a/late.yaml", "image: Late.PNG\npriority: high\n"))
    at(s, 31, lambda: s.person_drops("jobs/never.yaml", "image: never.png\n"))
    at(s, 60, lambda: s.person_drops("jobs/a/late.png", PNG))
    at(s, 65, lambda: s.person_drops("jobs/last.png", PNG))
    at(s, 70, lambda: s.person_drops("jobs/bad.yaml", "prompt: ["))
    at(s, 75, lambda: s.person_drops("jobs/bad.yaml", "prompt: a bee\n"))
    for number in range(5):
        at(s, 400, partial(s.person_drops, f"jobs/batch/{number}.yaml"))


def few(s: Simulation) -> None:
    """A job, one that waits for its image, and a refusal. Short, so every call can be killed."""
    s.person_drops("jobs/one.yaml")
    s.person_drops("jobs/pic.yaml", "image: pic.png\n")
    s.person_drops("jobs/bad.yaml", "prompt: [")
    at(s, 5, lambda: s.person_drops("jobs/pic.png", PNG))


def digests(s: Simulation) -> None:
    """Jobs of a folder that wants digests end at different times, and one file is no drop."""
    s.person_drops("jobs/a/_defaults.yaml", "notify: digest\n")
    for number, body in enumerate(("prompt: a\n", "prompt: [", "prompt: a\ndry_run: true\n")):
        at(s, 5 + number, partial(s.person_drops, f"jobs/a/{number}.yaml", body))
    at(s, 6, lambda: s.person_drops("jobs/a/own.yaml", "prompt: a\nnotify: true\n"))
    at(s, 3000, lambda: s.person_drops("jobs/a/later.yaml"))
    at(s, 7, lambda: s.person_drops("jobs/a/notes.docx", is_job=True))


def no_drops(s: Simulation) -> None:
    """Files that are no drops come in two folders, at two times of a day."""
    s.sweep_every_seconds = 1800
    for seconds in (1, 2, 3, 5000, 5001):
        at(s, seconds, partial(s.person_drops, f"jobs/a/{seconds}.docx", is_job=True))
    at(s, 4, lambda: s.person_drops("jobs/b/bee.yaml.txt", is_job=True))
    at(s, 4, lambda: s.person_drops("beside.yaml"))


def slow(s: Simulation) -> None:
    """A processing job renders several videos, and takes long for each of them."""
    s.render_seconds = 1200
    s.person_drops("jobs/three.yaml", "prompt: a\nvariations: 3\n")


def followed(s: Simulation) -> None:
    """A processing job takes long, and others drop soon after its start."""
    slow(s)
    for seconds in range(30, 300, 30):
        at(s, seconds, partial(s.person_drops, f"jobs/{seconds}.yaml"))


def overwritten(s: Simulation) -> None:
    """One key is dropped again while the job before is queued, runs, and is done."""
    for seconds, prompt in ((0, "a"), (1, "b"), (200, "c"), (2000, "d")):
        at(s, seconds, partial(s.person_drops, "jobs/one.yaml", f"prompt: {prompt}\n"))


def deleted(s: Simulation) -> None:
    """Specs deleted while their jobs wait, are queued, run with others or alone, and are done."""
    s.person_drops("jobs/waits.yaml", "image: never.png\n")
    at(s, 1, lambda: s.person_drops("jobs/runs.yaml"))
    at(s, 100, lambda: s.person_drops("jobs/many.yaml", "prompt: a\nvariations: 3\n"))
    at(s, 90, lambda: s.person_drops("jobs/pic.png", PNG))
    at(s, 110, lambda: s.person_drops("jobs/queued.yaml", "image: pic.png\n"))
    at(s, 130, lambda: s.person_deletes("jobs/waits.yaml"))
    at(s, 150, lambda: s.person_deletes("jobs/queued.yaml"))
    at(s, 300, lambda: s.person_deletes("jobs/runs.yaml"))
    at(s, 900, lambda: s.person_deletes("jobs/many.yaml"))
    at(s, 910, lambda: s.person_drops("jobs/queued.yaml", "prompt: again\n"))
    at(s, 3000, lambda: s.person_deletes("jobs/queued.yaml"))


def deleted_half_done(s: Simulation) -> None:
    """A spec is deleted after half of its videos were published."""
    s.person_drops("jobs/four.yaml", "prompt: a\nvariations: 4\n")
    at(s, 560, lambda: s.person_deletes("jobs/four.yaml"))


def deleted_while_it_starts(s: Simulation) -> None:
    """A spec is deleted after SageMaker accepted the processing job, before the table says so."""
    s.person_drops("jobs/one.yaml")
    start = s.renderer.start

    def start_and_delete(job: ProcessingJob) -> None:
        start(job)
        s.files.remove("input", "jobs/one.yaml")
        cancel.deleted(s.ports_of("submit"), "input", "jobs/one.yaml")

    s.renderer.start = start_and_delete  # type: ignore[method-assign]


def refused_half_done(s: Simulation) -> None:
    """SageMaker refuses the rest of a job after half of its videos were published."""
    s.set(max_tasks_per_job=2)
    s.tasks_may_fail = True
    s.person_drops("jobs/four.yaml", "prompt: a\nvariations: 4\n")
    at(s, 350, lambda: s.renderer.refuses.add(f"s3://work/{s3_keys.model_release('demo', 'one')}"))


def reviewed(s: Simulation) -> None:
    """A spec wants a review. Folder defaults are dropped, replaced by wrong ones, and deleted."""
    s.person_drops("jobs/bee.yaml", "prompt: a\nenhance: review\n")
    s.person_drops("jobs/_defaults.yaml", "fps: 8\n")
    at(s, 5, lambda: s.person_drops("jobs/_defaults.yaml", "fps: [\n"))
    at(s, 10, lambda: s.person_deletes("jobs/_defaults.yaml"))
    # Wrong from the beginning. Between two sweeps it is corrected and deleted.
    s.person_drops("jobs/w/_defaults.yaml", "fps: [\n")
    at(s, 400, lambda: s.person_drops("jobs/w/_defaults.yaml", "fps: 8\n"))
    at(s, 410, lambda: s.person_deletes("jobs/w/_defaults.yaml"))


def limited(s: Simulation) -> None:
    """Folder defaults with a limit are dropped, and deleted when a task waits because of them."""
    s.person_drops(
        "jobs/a/_defaults.yaml", "max_videos_per_day: 1\nanimate_images: true\nenhance: false\n"
    )
    for name in ("1.yaml", "2.yaml", "b/3.yaml"):
        at(s, 400, partial(s.person_drops, f"jobs/a/{name}"))
    at(s, 400, lambda: s.person_drops("jobs/a/4.png", PNG, is_job=True))
    at(s, 410, lambda: s.person_drops("jobs/a/5.yaml", "image: 6.png\n"))
    at(s, 420, lambda: s.person_drops("jobs/a/6.png", PNG))
    at(s, 3000, lambda: s.person_deletes("jobs/a/_defaults.yaml"))
    for seconds in (100, 1000):
        at(s, seconds, partial(s.person_drops, "jobs/c/_defaults.yaml", f"fps: 8 # {seconds}\n"))
    # No job is queued there, which would notice it.
    at(s, 3500, lambda: s.person_deletes("jobs/c/_defaults.yaml"))


def weights_later(s: Simulation) -> None:
    """The weights of a model are imported after it was wanted, and again while it renders."""
    at_first = f"s3://work/{s3_keys.model_release('demo', 'one')}"
    s.renderer.refuses.add(at_first)
    s.files.remove("work", s3_keys.model_ready("demo"))
    few(s)

    def imported() -> None:
        s.renderer.refuses.remove(at_first)
        s.weights_of("demo", "one")

    at(s, 700, imported)
    for seconds in range(1000, 3000, 200):
        at(s, seconds, partial(s.weights_of, "demo", f"release-{seconds}"))


def deleted_at_once(s: Simulation) -> None:
    """Specs with a reference are deleted while they are being accepted.

    Without enhancement, a job is noted only when it is accepted, after its reference was copied.
    """
    spec = "image: pic.png\nenhance: false\n"
    s.person_drops("jobs/pic.png", PNG)
    for number in range(10):
        key = f"jobs/short-{number}.yaml"
        at(s, 10 * number, partial(s.person_drops, key, spec))
        at(s, 10 * number + 5, partial(s.person_deletes, key))


def spread(s: Simulation) -> None:
    """Drops whose keys are far apart in a listing, at different times."""
    for number, letter in enumerate("zmaxbyc"):
        at(s, 60 * number, partial(s.person_drops, f"jobs/{letter}.yaml"))
    for number in range(9):
        at(s, 30 * number, partial(s.person_drops, f"jobs/pictures/{number}.png", PNG))


def references_gone(s: Simulation) -> None:
    """The copies of references are deleted while one task waits, and another one runs."""
    s.tasks_may_fail = True
    s.person_drops("jobs/pic.png", PNG)
    s.person_drops("jobs/other.png", PNG)
    s.person_drops("jobs/runs.yaml", "image: pic.png\nvariations: 2\n")
    matrix = "matrix: {image: [pic.png, other.png]}\n"
    at(s, 20, partial(s.person_drops, "jobs/half.yaml", matrix))
    for name in ("a", "b"):
        at(s, 30, partial(s.person_drops, f"jobs/{name}.yaml", "image: pic.png\nnotify: false\n"))

    def delete_all_but_two() -> None:
        copies = [k for _, k in s.files.objects if k.startswith(s3_keys.REFERENCES_PREFIX)]
        halves = [key for key in copies if "/half-" in key]
        for key in {*copies[:-1]} - {*halves[1:]}:
            s.files.remove("work", key)

    at(s, 200, delete_all_but_two)


def waits_for_months(s: Simulation) -> None:
    """Jobs wait until the versions of their specs and pictures were replaced and have expired."""
    s.sweep_every_seconds = DAY / 4
    for name, body in (("pic", "image: pic.png\n"), ("deleted", "prompt: x\n")):
        s.person_drops(f"jobs/{name}.yaml", body)
    s.person_drops("jobs/pic.png", PNG)
    at(s, 3600, lambda: s.person_drops("jobs/pic.png", PNG))
    at(s, 3600, lambda: s.person_drops("jobs/pic.yaml", "prompt: ["))
    at(s, 40 * DAY, lambda: s.person_deletes("jobs/deleted.yaml"))
    at(s, 50 * DAY, lambda: s.person_drops("jobs/deleted.yaml", "prompt: again\n"))


def remembered(s: Simulation) -> None:
    """Every event comes again hours later, when everything is done."""

    def all_again() -> None:
        for name, work in list(s.messages):
            s.soon(name, work)

    few(s)
    at(s, 7 * 3600, all_again)


def many(s: Simulation) -> None:
    """Drops of all priorities come in several folders, all within a second."""
    for number in range(12):
        priority = ("low", "normal", "high")[number % 3]
        key, spec = f"jobs/{number % 4}/{number}.yaml", f"prompt: a bee\npriority: {priority}\n"
        at(s, number / 12, partial(s.person_drops, key, spec))


def saved_often(s: Simulation) -> None:
    """Three versions come within seconds while the first one is being accepted, then three while it
    runs, and one later."""
    for seconds in (0, 0.3, 1, 300, 310, 320, 1500):
        body = f"prompt: at {seconds}\n"
        at(s, seconds, partial(s.person_drops, "jobs/one.yaml", body))


def replaced_by_nothing(s: Simulation) -> None:
    """Good versions, each followed within a second by versions that replace no other."""
    nothing = ("prompt: [", "prompt: x\ndry_run: true\n", "prompt: x\nenhance: review\n")
    for number, body in enumerate((*nothing, "image: never.png\n")):
        key, seconds = f"jobs/{number}.yaml", 30 * number
        at(s, seconds, partial(s.person_drops, key, "prompt: old\n"))
        at(s, seconds + 0.2, partial(s.person_drops, key, "prompt: good\n"))
        at(s, seconds + 0.4, partial(s.person_drops, key, body))
        at(s, seconds + 5 * number, partial(s.person_drops, key, "prompt: [ again"))
    at(s, 200, lambda: s.person_drops("jobs/gone.yaml", "prompt: deleted at once\n"))
    at(s, 200.2, lambda: s.person_deletes("jobs/gone.yaml"))
    at(s, 202, lambda: s.person_drops("jobs/gone.yaml", "prompt: ["))


def replaced_while_they_run(s: Simulation) -> None:
    """Versions that replace no other come while the good ones before them are queued or run."""
    review = "prompt: x\nenhance: review\n"
    for number, (seconds, body) in enumerate(((0.2, "prompt: ["), (0.4, review), (30, review))):
        key = f"jobs/{number}.yaml"
        s.person_drops(key, "prompt: good\n")
        at(s, seconds, partial(s.person_drops, key, body))


def corrected(s: Simulation) -> None:
    """References that are empty first, cannot be used, or never came are uploaded again."""
    later = ((0.1, b""), (0.4, b"no picture"), (0.6, b"none"), (40, b"still none"), (60, PNG))
    for number, (seconds, body) in enumerate(later):
        key, spec = f"jobs/{number}.png", f"jobs/{number}.yaml"
        at(s, 0, partial(s.person_drops, key, b""))
        at(s, 1, partial(s.person_drops, spec, f"image: {number}.png\n"))
        for again, other in (*later[: number + 1], (90 * number, PNG), (400, b"worse")):
            at(s, again, partial(s.person_drops, key, other))
        at(s, seconds, partial(s.person_drops, key, body))
    s.person_drops("jobs/bad.png", b"no picture")
    s.person_drops("jobs/worse.png", b"no picture")
    both = "matrix: {image: [bad.png, worse.png]}\n"
    for name, spec in (("deleted", "image: bad.png\n"), ("replaced", "image: bad.png\n"),
                       ("both", both), ("two", "image: worse.png\nvariations: 2\n")):  # fmt: skip
        at(s, 5, partial(s.person_drops, f"jobs/{name}.yaml", spec))
    at(s, 5, lambda: s.person_drops("jobs/late.yaml", "image: late.png\n"))
    at(s, 20, lambda: s.person_deletes("jobs/deleted.yaml"))
    at(s, 20, lambda: s.person_drops("jobs/replaced.yaml", "prompt: without a picture\n"))
    at(s, 30, lambda: s.person_drops("jobs/worse.png", b""))
    at(s, 30.1, lambda: s.person_drops("jobs/bad.png", PNG))
    at(s, 200, lambda: s.person_drops("jobs/worse.png", PNG))
    at(s, 250, lambda: s.person_deletes("jobs/two.yaml"))
    at(s, 2 * 3600, lambda: s.person_drops("jobs/late.png", PNG))


def styled(s: Simulation) -> None:
    """Specs name LoRAs. One LoRA is deleted while videos with it are queued."""
    s.tasks_may_fail = True
    for name in ("ink", "clay"):
        s.files.write("work", s3_keys.lora(name), b"weights", "application/octet-stream")
    s.person_drops("jobs/plain.yaml")
    s.person_drops(
        "jobs/both.yaml", "prompt: a\nmatrix: {lora: [ink, clay], lora_scale: [0.5, 1]}\n"
    )
    s.person_drops("jobs/none.yaml", "prompt: a\nlora: no-such-lora\n")
    at(s, 400, lambda: s.person_drops("jobs/late.yaml", "prompt: a\nlora: clay\n"))
    at(s, 500, lambda: s.files.remove("work", s3_keys.lora("clay")))


def signing_videos(s: Simulation) -> None:
    """A key signs all videos. One job is deleted before its video is published."""
    s.set(signing_key=signing.KEY_ARN)
    few(s)
    s.person_drops("jobs/two.yaml", "prompt: a\nvariations: 2\n")
    s.person_drops("jobs/unwanted.yaml")
    at(s, 1500, lambda: s.person_deletes("jobs/unwanted.yaml"))


def of_scenes(s: Simulation) -> None:
    """Videos of scenes need the weights of two folders, of which one is imported later. One video
    starts a scene from an image that comes late, and one has newer folder defaults."""
    s.files.remove("work", s3_keys.model_ready("demo-i2v"))
    s.person_drops("jobs/one.yaml")
    s.person_drops("jobs/two.yaml", "scenes: [a, b]\nvariations: 2\n")
    s.person_drops("jobs/three.yaml", "scenes: [a, b, {image: pic.png}]\noutputs: [mp4, scenes]\n")
    at(s, 60, lambda: s.person_drops("jobs/pic.png", PNG))
    at(s, 700, lambda: s.weights_of("demo-i2v", "two"))
    at(s, 720, lambda: s.person_drops("jobs/a/four.yaml", "scenes: [a, b, c, d]\n"))
    at(s, 721, lambda: s.person_drops("jobs/a/_defaults.yaml", "outputs: [mp4, scenes]\n"))


def of_scenes_judged(s: Simulation) -> None:
    """The same with a guardrail and a key that signs."""
    s.set(guardrail_id="guard", guardrail_version="1", signing_key=signing.KEY_ARN)
    of_scenes(s)
    bad = s.guardrail.blocks[0]
    s.person_drops("jobs/bad.yaml", f"scenes: [a, a {bad} bee]\nenhance: false\n")
    s.person_drops("jobs/bad-one.yaml", "scenes: [a, {image: bad.png}]\n")
    s.person_drops("jobs/bad.png", BLOCKED_PNG)


def foreign_keys(s: Simulation) -> None:
    """Specs, references and folder defaults are uploaded under somebody else's key, most of them
    again without it. One comes after a version that can be read."""
    for seconds, name, body in (
        (0, "bee.yaml", "prompt: a bee\n"),
        (0, "pic.png", PNG),
        (300, "a/_defaults.yaml", "fps: 8\n"),
        (301, "a/one.yaml", "prompt: a\n"),
    ):
        at(s, seconds, partial(s.person_drops, f"jobs/{name}", body, locked=True))
        at(s, seconds + 60, partial(s.person_drops, f"jobs/{name}", body))
    at(s, 5, lambda: s.person_drops("jobs/pic.yaml", "image: pic.png\n"))
    at(s, 400, lambda: s.person_drops("jobs/a/two.yaml"))
    at(s, 402, lambda: s.person_drops("jobs/a/_defaults.yaml", "fps: 9\n", locked=True))
    at(s, 500, lambda: s.person_drops("jobs/twice.yaml", "prompt: good\n"))
    at(s, 500.2, lambda: s.person_drops("jobs/twice.yaml", "prompt: locked\n", locked=True))
    at(s, 900, lambda: s.person_drops("jobs/never.yaml", locked=True))


def with_sound(s: Simulation) -> None:
    """Sounds that are late, damaged, replaced, used by several videos, or never come."""
    s.person_drops("jobs/song.wav", SOUND)
    s.person_drops("jobs/pic.png", PNG)
    s.person_drops("jobs/here.yaml", "prompt: a\naudio: song.wav\nvariations: 2\n")
    for name, at_picture, at_sound in (("a", 20, 50), ("b", 50, 20)):
        both = "image: p.png\naudio: s.wav\n"
        at(s, 5, partial(s.person_drops, f"jobs/{name}/bee.yaml", both))
        at(s, at_picture, partial(s.person_drops, f"jobs/{name}/p.png", PNG))
        at(s, at_sound, partial(s.person_drops, f"jobs/{name}/s.wav", SOUND))
    at(s, 6, lambda: s.person_drops("jobs/never.yaml", "prompt: a\naudio: never.wav\n"))
    at(s, 7, lambda: s.person_drops("jobs/bad.wav", SOUND[:99]))
    at(s, 8, lambda: s.person_drops("jobs/bad.yaml", "image: pic.png\naudio: bad.wav\n"))
    at(s, 9, lambda: s.person_drops("jobs/song.wav", SOUND + SOUND[-2000:]))
    at(s, 90, lambda: s.person_drops("jobs/bad.wav", SOUND))


def finished_clips(s: Simulation) -> None:
    """Clips are finished while videos of models are made, or wait for weights. One clip comes late,
    one is replaced, one is too short, and one spec gets a prompt by newer folder defaults."""
    s.set(signing_key=signing.KEY_ARN)
    ready = s3_keys.model_ready("demo")
    s.files.remove("work", ready)
    s.person_drops("jobs/model.yaml")
    s.person_drops("jobs/clip.mp4", CLIP)
    s.person_drops("jobs/slow.yaml", "video: clip.mp4\nslow_motion: 2\n")
    at(s, 1, lambda: s.person_drops("jobs/rates.yaml", "video: clip.mp4\nmatrix: {fps: [4, 24]}\n"))
    at(s, 2, lambda: s.person_drops("jobs/late.yaml", "video: late.mp4\n"))
    at(s, 40, lambda: s.person_drops("jobs/late.mp4", CLIP))
    at(s, 50, lambda: s.person_drops("jobs/clip.mp4", SHORT_CLIP))
    at(s, 60, lambda: s.person_drops("jobs/short.yaml", "video: clip.mp4\nfps: 2\n"))
    at(s, 300, lambda: s.person_drops("jobs/clip.mp4", CLIP))
    at(s, 320, lambda: s.person_drops("jobs/a/painted.yaml", "video: /clip.mp4\n"))
    at(s, 323, lambda: s.person_drops("jobs/a/_defaults.yaml", "prompt: a painting\n"))
    at(s, 700, lambda: s.weights_of("demo", "one"))


def approved(s: Simulation) -> None:
    """Drafts are approved: in time and too early, twice, one video of several, after a newer draft,
    and again after the final was deleted. One file names no draft."""
    s.person_drops("jobs/bee.yaml", "prompt: a bee\npreset: draft\nseed: 1\n")
    s.person_drops("jobs/a/two.yaml", "prompt: a fly\npreset: draft\nvariations: 2\n")
    s.person_drops("jobs/plain.yaml")
    for seconds, name in ((5, "bee"), (6, "no-such-job"), (1500, "plain"), (1500, "a/two.mp4")):
        at(s, seconds, partial(s.person_drops, f"approve/{name}", b""))
    for when in (1500, 1500.3, 1510):
        at(s, when, lambda: s.person_drops("approve/bee", b""))
    at(s, 1520, lambda: s.person_drops("approve/a/two-02", b""))
    at(s, 3600, lambda: s.person_deletes("jobs/bee-final.json"))
    at(s, 3700, lambda: s.person_drops("approve/bee", b""))
    at(s, 3710, lambda: s.person_drops("jobs/a/two.yaml", "prompt: an ant\npreset: draft\n"))
    at(s, 7200, lambda: s.person_drops("approve/a/two", b""))


def listed(s: Simulation) -> None:
    """Lists with good and bad rows are dropped, also twice within a second, are corrected, have
    references that come late, and lose a row. One has folder defaults with a mistake."""
    head = "name,prompt,image\n"
    first = f"{head}bee,a bee,\nfly,,\nant,an ant,pic.png\n"
    s.person_drops("jobs/a/x.csv", first)
    at(s, 20, lambda: s.person_drops("jobs/a/pic.png", PNG))
    at(s, 600, lambda: s.person_drops("jobs/a/x.csv", first.replace("fly,", "fly,a fly")))
    for seconds in (0, 0.3, 0.6, 30, 30.2):
        rows = "".join(f"{number},at {seconds},\n" for number in range(6))
        at(s, seconds, partial(s.person_drops, "jobs/y.csv", head + rows))
    lines = b'{"prompt": "a"}\n{"prompt": \n'
    at(s, 5, lambda: s.person_drops("jobs/z.jsonl", lines))
    at(s, 6, lambda: s.person_drops("jobs/z.jsonl", b"[]"))
    at(s, 900, lambda: s.person_drops("jobs/z.jsonl", lines + b'{"prompt": "b"}\n'))
    at(s, 7, lambda: s.person_drops("jobs/b/_defaults.yaml", "fps: [\n"))
    at(s, 8, lambda: s.person_drops("jobs/b/x.csv", f"{head}bee,a bee,\n"))
    at(s, 700, lambda: s.person_deletes("jobs/a/x/bee.json"))
    at(s, 2000, lambda: s.person_deletes("jobs/y.csv"))


def listed_meanwhile(s: Simulation) -> None:
    """Newer versions of lists are dropped, and all of their rows, while an older one drops its
    rows."""
    s.sweep_every_seconds = 900
    write, left = s.files.write, {f"jobs/{number}/1.json": number for number in range(8)}

    def write_and_replace(
        bucket: str, key: str, body: bytes, content_type: str, *, mark: str = ""
    ) -> None:
        write(bucket, key, body, content_type, mark=mark)
        if (number := left.pop(key, None)) is not None:
            newer = "".join(f"{row},newer\n" for row in range(4))
            s.person_drops(f"jobs/{number}.csv", f"name,prompt\n{newer}")
            submit(s.ports_of("submit"), "input", f"jobs/{number}.csv")

    s.files.write = write_and_replace  # type: ignore[method-assign]
    for number in range(8):
        rows = "".join(f"{row},older\n" for row in range(4))
        drop = partial(s.person_drops, f"jobs/{number}.csv", f"name,prompt\n{rows}")
        at(s, 100 * number, drop)


def lonely(s: Simulation) -> None:
    """Pictures that no spec asks for. Later some are deleted, and specs ask for others."""
    for number in range(12):
        s.person_drops(f"jobs/{number}.png", PNG)
    for number in range(4):
        when = (30, 900, 1500, 3000)[number]
        at(s, when, partial(s.person_drops, f"jobs/{number}.yaml", f"image: {number}.png\n"))
        at(s, when, partial(s.person_deletes, f"jobs/{number + 4}.png"))
    at(s, 2 * 3600, lambda: s.person_drops("jobs/end.yaml", "image: 8.png\n"))


def equal_names(s: Simulation) -> None:
    """Specs that would make videos of one name, at the same time and later."""
    many, one = "prompt: many\nvariations: 3\n", "prompt: one\n"
    for number in range(5):
        at(s, number, partial(s.person_drops, f"jobs/{number}.yaml", many))
        at(s, number, partial(s.person_drops, f"jobs/{number}-01.yaml", one))
    at(s, 6, lambda: s.person_drops("jobs/0-02.yaml", many))
    at(s, 1, lambda: s.person_drops("jobs/5-02.h265.yaml", one))
    at(s, 6, lambda: s.person_drops("jobs/5.yaml", f"{many}outputs: [h265]\n"))
    at(s, 2000, lambda: s.person_drops("jobs/0-03.yaml", "prompt: later\n"))
    at(s, 2000, lambda: s.person_deletes("jobs/1.yaml"))
    at(s, 2010, lambda: s.person_drops("jobs/1-03.yaml", "prompt: its name is free\n"))


def midnight(s: Simulation) -> None:
    """Drops come in folders with daily limits just before midnight, and the limits change later."""
    s.set(max_processing_jobs=3)
    to_midnight = 12 * 3600
    at(
        s,
        to_midnight - 900,
        lambda: s.person_drops("jobs/a/_defaults.yaml", "max_videos_per_day: 1\n"),
    )
    at(
        s,
        to_midnight - 900,
        lambda: s.person_drops("jobs/b/_defaults.yaml", "max_gpu_minutes_per_day: 1\n"),
    )
    for number in range(6):
        key = f"jobs/{'ab'[number % 2]}/{number}.yaml"
        seconds = to_midnight - 60 + 20 * number
        body = f"prompt: x\nmodel: {('demo', 'cogvideox-2b')[number % 2]}\n"
        at(s, seconds, partial(s.person_drops, key, body))
    later = to_midnight + 3 * 3600
    at(s, later, lambda: s.person_drops("jobs/a/_defaults.yaml", "max_videos_per_day: 2\n"))
    at(s, later, lambda: s.person_deletes("jobs/b/_defaults.yaml"))


def late_defaults(s: Simulation) -> None:
    """Folder defaults are uploaded after specs to which they apply, and change while these wait."""
    s.nothing_runs_in = ("jobs/plan/",)
    for number, name in enumerate("BDCA"):
        at(s, number / 2, partial(s.person_drops, f"jobs/plan/{name}.yaml", f"image: {name}.png\n"))
        at(s, number / 3, partial(s.person_drops, f"jobs/plan/{name}.png", PNG))
    at(s, 4, lambda: s.person_drops("jobs/plan/_defaults.yaml", "dry_run: true\n"))
    at(s, 0, lambda: s.person_drops("jobs/busy.yaml"))
    for number, body in enumerate(("prompt: a\n", "prompt: b\nvariations: 2\n", "prompt: c\n")):
        at(s, 20 + number, partial(s.person_drops, f"jobs/x/y/{number}.yaml", body))
    at(s, 25, lambda: s.person_drops("jobs/z/a.yaml"))
    later = (
        (50, "jobs/z/_defaults.yaml", "fps: [\n"),
        (60, "jobs/x/_defaults.yaml", "matrix: {seed: [1, 2, 3]}\n"),
        (140, "jobs/x/_defaults.yaml", "num_inference_steps: 3\npriority: high\n"),
        (200, "jobs/x/y/_defaults.yaml", "model: cogvideox-2b\n"),
        (250, "jobs/x/_defaults.yaml", "fps: [\n"),
        (300, "jobs/x/y/_defaults.yaml", "image: late.png\n"),
        (340, "jobs/_defaults.yaml", "num_inference_steps: 4\n"),
        (3000, "jobs/x/_defaults.yaml", "num_inference_steps: 5\n"),
    )
    for seconds, key, body in later:
        at(s, seconds, partial(s.person_drops, key, body))
    at(s, 320, lambda: s.person_deletes("jobs/x/y/_defaults.yaml"))


def guarded(s: Simulation) -> None:
    """A guardrail judges prompts, negative prompts, newer defaults, enhanced prompts and images."""
    s.set(guardrail_id="guard", guardrail_version="1")
    bad = s.guardrail.blocks[0]
    drops = {
        "good": "prompt: a bee\n",
        "raw": "prompt: a bee\nenhance: false\n",
        "bad": f"prompt: a {bad} bee\n",
        "bad-raw": f"prompt: a {bad} bee\nenhance: false\n",
        "bad-negative": f"prompt: a bee\nnegative_prompt: {bad}\nenhance: false\n",
        "bad-one": f"matrix: {{prompt: [a bee, a {bad} bee]}}\n",
        "dry": "prompt: a fly\ndry_run: true\n",
        "pictured": "image: good.png\nenhance: false\n",
        "bad-picture": "image: bad.png\nenhance: false\n",
    }
    s.person_drops("jobs/good.png", PNG)
    s.person_drops("jobs/bad.png", BLOCKED_PNG)
    for number, (name, body) in enumerate(drops.items()):
        at(s, number, partial(s.person_drops, f"jobs/{name}.yaml", body))
    at(s, 20, lambda: s.person_drops("jobs/bad.yaml", "prompt: a better bee\n"))
    at(s, 700, lambda: s.person_drops("jobs/bad.png", PNG))
    at(s, 30, lambda: s.person_drops("jobs/x/a.yaml", "prompt: an ant\n"))
    at(s, 32, lambda: s.person_drops("jobs/x/_defaults.yaml", f"negative_prompt: {bad}\n"))
    at(s, 300, lambda: s.person_drops("jobs/x/_defaults.yaml", "negative_prompt: blurry\n"))
    answer = s.language_model.answer
    launders = Answer(f"A {bad} bee lands.", "end_turn", "fake")
    at(s, 600, lambda: setattr(s.language_model, "answer", launders))
    at(s, 610, lambda: s.person_drops("jobs/enhanced-badly.yaml", "prompt: a wasp\n"))
    at(s, 900, lambda: setattr(s.language_model, "answer", answer))


def changed_before_the_claim(s: Simulation) -> None:
    """Folder defaults change after an attempt was opened by a dispatch that is killed at once."""
    commit, kills = s.ledger.commit, 6

    def commit_and_die(*changes: Change) -> None:
        nonlocal kills
        commit(*changes)
        if kills and any(c.key.kind is Attempt and c.revision == 0 for c in changes):
            kills -= 1
            raise Killed

    s.ledger.commit = commit_and_die  # type: ignore[method-assign]
    for number in range(6):
        at(s, 900 * number, partial(s.person_drops, f"jobs/{number}/a.yaml"))
        key, seconds = f"jobs/{number}/_defaults.yaml", 900 * number + 20
        if number % 2:
            at(s, seconds, partial(s.person_drops, key, "model: cogvideox-2b\n"))
        else:  # without an event
            steps = b"num_inference_steps: 4\n"
            at(s, seconds, partial(s.files.write, "input", key, steps, "x"))


def changed_before_the_dispatch(s: Simulation) -> None:
    """Folder defaults come without an event, after their spec and before its dispatch."""
    for number in range(3):
        for name in "abc":  # while files are uploaded near each other, nothing starts
            at(s, 900 * number, partial(s.person_drops, f"jobs/{number}/{name}.yaml"))
        key, steps = f"jobs/{number}/_defaults.yaml", b"num_inference_steps: 4\n"
        at(s, 900 * number + 2, partial(s.files.write, "input", key, steps, "x"))


def older_than_the_gallery(s: Simulation) -> None:
    """Jobs have ended under a version without a gallery, and a newer version is deployed."""
    few(s)
    at(s, 4000, lambda: as_before_the_gallery(s.ledger, s.plain.now()))


# The numbers at the beginning of a name are those of the faults in docs/faults.md.
FAULTS: dict[str, tuple[Story, Faults]] = {
    "01 events 2 to 5 times, at once": (few, Faults(duplicate_event=1)),
    "01 events 2 to 5 times, late": (few, Faults(duplicate_event=1, late_event=0.5)),
    "02 one key dropped several times, events out of order": (overwritten, Faults(late_event=0.5)),
    "02 one key dropped several times within seconds": (saved_often, Faults(late_event=0.3)),
    "02 one key dropped several times within seconds, handlers killed": (
        saved_often,
        Faults(kill=0.3),
    ),
    "03 references before, after, never": (busy_hour, Faults()),
    "04 every event lost": (few, Faults(lose_event=1)),
    "54 jobs from before the gallery": (older_than_the_gallery, Faults()),
    "54 jobs from before the gallery, throttled, handlers killed": (
        older_than_the_gallery,
        Faults(throttle=0.05, kill=0.2, until_seconds=8000, dead_letters=ANY_FUNCTION),
    ),
    "43 digests": (digests, Faults()),
    "43 digests, events lost, handlers killed": (digests, Faults(lose_event=0.5, kill=0.4)),
    "17 43 digests, SNS fails and answers are lost": (
        digests,
        Faults(post=0.5, lose_answer=0.05, duplicate_event=0.3),
    ),
    "43 files that are no drops": (no_drops, Faults()),
    "43 files that are no drops, handlers killed, answers lost": (
        no_drops,
        Faults(kill=0.3, lose_answer=0.05, duplicate_event=0.3, until_seconds=7200),
    ),
    "05 handlers killed": (few, Faults(kill=0.5)),
    "05 07 messages delivered again while they are handled": (few, Faults(shown_again=1)),
    "08 answers to create calls lost": (few, Faults(lose_acknowledgement=1)),
    "10 throttling everywhere": (few, Faults(throttle=0.01)),
    "10 throttling everywhere, so that messages become dead letters": (
        few,
        Faults(throttle=0.1, until_seconds=1200, dead_letters=ANY_FUNCTION),
    ),
    "08 10 answers to create calls lost, other calls throttled": (
        busy_hour,
        Faults(lose_acknowledgement=0.7, throttle=0.03, dead_letters=ANY_FUNCTION),
    ),
    "35 answers lost after calls took effect": (few, Faults(lose_answer=0.05)),
    "35 answers lost after calls took effect, specs deleted": (deleted, Faults(lose_answer=0.05)),
    "35 answers lost after calls took effect, handlers killed": (
        busy_hour,
        Faults(lose_answer=0.03, kill=0.2),
    ),
    "36 DynamoDB cancels commits without a change": (busy_hour, Faults(conflict=0.3)),
    "36 DynamoDB cancels commits without a change, specs deleted": (deleted, Faults(conflict=0.3)),
    # More would make a dead letter of a message now and then, as in AWS.
    "37 Lambda throttles": (busy_hour, Faults(lambda_throttled=0.2)),
    **{
        f"38 {service} throttles for six hours": (
            guarded if service == "guardrail" else few,
            Faults(
                outage_of=service,
                outage_from_seconds=300,
                outage_seconds=6 * 3600,
                dead_letters=ANY_FUNCTION,
            ),
        )
        for service in SERVICES
    },
    "11 no quota for a day": (few, Faults(no_quota=1, until_seconds=86_400)),
    "11 no quota, answers to create calls lost": (
        few,
        Faults(no_quota=0.5, lose_acknowledgement=0.5),
    ),
    # Dispatches for the other drops take the attempt over before a sweep sees that it runs.
    "11 no quota, answers to create calls lost while others drop": (
        followed,
        Faults(no_quota=0.5, lose_acknowledgement=0.8),
    ),
    "27 create calls denied for a day": (few, Faults(start_denied=1, until_seconds=86_400)),
    "27 create calls denied, handlers killed": (busy_hour, Faults(start_denied=0.5, kill=0.3)),
    "27 create calls throttled for a day": (few, Faults(start_throttled=1, until_seconds=86_400)),
    "26 28 all create calls refused for good": (few, Faults(start_refused=1)),
    "26 28 create calls refused for good": (busy_hour, Faults(start_refused=0.5)),
    "26 create calls refused, handlers killed": (few, Faults(start_refused=0.7, kill=0.5)),
    "30 specs are deleted while they are being accepted, handlers killed": (
        deleted_at_once,
        Faults(kill=0.6),
    ),
    "30 copies of references deleted": (references_gone, Faults()),
    "30 copies of references deleted, workers killed": (references_gone, Faults(worker_dies=0.4)),
    "29 a broken image for a day": (many, Faults(image_broken=1, until_seconds=86_400)),
    "29 a broken image for an hour": (many, Faults(image_broken=1)),
    "29 some processing jobs end before they render": (busy_hour, Faults(image_broken=0.5)),
    "29 a broken image, handlers killed": (busy_hour, Faults(image_broken=0.7, kill=0.3)),
    "09 12 no instance for a while": (few, Faults(capacity_error=0.5)),
    "13 events about ends early, twice, late": (
        few,
        Faults(early_ending=1, duplicate_event=0.5, late_event=0.3),
    ),
    "13 events about ends lost": (few, Faults(lose_event=0.5)),
    "14 videos missing from completed jobs": (few, Faults(video_missing=1)),
    "14 videos missing while their processing job goes on": (
        slow,
        Faults(video_missing=1),
    ),
    "14 videos incomplete": (few, Faults(video_cut=1)),
    "14 results before their videos": (few, Faults(result_before_video=1)),
    "14 results unreadable": (few, Faults(result_garbage=1)),
    "09 15 workers killed after some videos": (busy_hour, Faults(worker_dies=0.3)),
    "15 workers killed often, after some of many videos": (many, Faults(worker_dies=0.5)),
    "15 results after the end of their processing job": (
        busy_hour,
        Faults(worker_dies=0.5, result_after_end=1),
    ),
    "16 handlers killed while there is no quota": (busy_hour, Faults(kill=0.3, no_quota=0.6)),
    "16 handlers killed very often": (few, Faults(kill=0.7, until_seconds=900)),
    "39 a hundred days without quota": (
        waits_for_months,
        Faults(no_quota=1, until_seconds=100 * DAY),
    ),
    "17 mail cannot be sent": (few, Faults(post=1, until_seconds=1500)),
    "17 mail about a review cannot be sent": (reviewed, Faults(post=1, until_seconds=1500)),
    "18 the language model is unavailable": (few, Faults(language_model=1)),
    "18 the language model is busy for some minutes": (
        busy_hour,
        Faults(language_model_busy=1, until_seconds=700),
    ),
    "18 the language model is busy, handlers killed, events lost": (
        saved_often,
        Faults(language_model_busy=0.5, kill=0.3, lose_event=0.3),
    ),
    "19 specs deleted at any time": (deleted, Faults()),
    "19 specs deleted, handlers killed, events lost": (deleted, Faults(kill=0.3, lose_event=0.3)),
    "19 a spec deleted after half of its videos": (deleted_half_done, Faults()),
    "19 a spec deleted while its processing job starts": (deleted_while_it_starts, Faults()),
    "26 the rest of a job refused": (refused_half_done, Faults()),
    "34 specs whose videos have equal names": (equal_names, Faults()),
    "34 specs whose videos have equal names, handlers killed": (equal_names, Faults(kill=0.3)),
    "31 versions that replace no other": (replaced_by_nothing, Faults()),
    "31 versions that replace no other, events late": (
        replaced_by_nothing,
        Faults(late_event=0.5, duplicate_event=0.3),
    ),
    "31 versions that replace no other, events lost, handlers killed": (
        replaced_by_nothing,
        Faults(lose_event=0.5, kill=0.3),
    ),
    "31 versions that replace no other, while the older ones run": (
        replaced_while_they_run,
        Faults(),
    ),
    "31 versions that replace no other, while the older ones cannot start": (
        replaced_while_they_run,
        Faults(start_refused=1),
    ),
    "52 drafts are approved": (approved, Faults()),
    "52 drafts are approved, events twice, late and lost, handlers killed": (
        approved,
        Faults(duplicate_event=0.3, late_event=0.2, lose_event=0.3, kill=0.3, until_seconds=8000),
    ),
    "52 drafts are approved, answers are lost, messages are delivered again": (
        approved,
        Faults(lose_answer=0.05, shown_again=0.5, until_seconds=8000),
    ),
    "53 lists": (listed, Faults()),
    "53 lists, events twice, late and lost, handlers killed": (
        listed,
        Faults(duplicate_event=0.3, late_event=0.2, lose_event=0.3, kill=0.3),
    ),
    "53 lists are replaced while their rows are dropped": (listed_meanwhile, Faults()),
    "53 lists are replaced while their rows are dropped, handlers killed": (
        listed_meanwhile,
        Faults(kill=0.5),
    ),
    "53 lists, answers are lost, messages are delivered again": (
        listed,
        Faults(lose_answer=0.03, shown_again=0.5),
    ),
    "04 pictures that no spec asks for": (lonely, Faults()),
    "04 pictures that no spec asks for, events lost": (lonely, Faults(lose_event=0.7)),
    "04 pictures that no spec asks for, handlers killed": (lonely, Faults(kill=0.4)),
    "49 sounds early, late, damaged, never": (with_sound, Faults()),
    "49 sounds early, late, damaged, never, events lost, handlers killed": (
        with_sound,
        Faults(lose_event=0.3, duplicate_event=0.3, kill=0.3),
    ),
    "41 bad references uploaded again": (corrected, Faults()),
    "41 bad references uploaded again, events lost": (
        corrected,
        Faults(lose_event=0.6, until_seconds=8000),
    ),
    "41 bad references uploaded again, events late, handlers killed": (
        corrected,
        Faults(late_event=0.3, duplicate_event=0.3, kill=0.3),
    ),
    "28 reviews and folder defaults": (reviewed, Faults()),
    "28 reviews and folder defaults, events lost": (reviewed, Faults(lose_event=1)),
    "28 reviews and folder defaults, some events lost": (reviewed, Faults(lose_event=0.5)),
    "28 reviews and folder defaults, handlers killed": (reviewed, Faults(kill=0.5)),
    "04 28 folder defaults with a limit, events lost": (limited, Faults(lose_event=1)),
    "04 28 folder defaults with a limit, handlers killed": (
        limited,
        Faults(lose_event=0.5, kill=0.3),
    ),
    "40 a listing takes several sweeps": (spread, Faults(slow_listing=1, until_seconds=6000)),
    "40 a listing takes several sweeps, events lost": (
        spread,
        Faults(slow_listing=1, lose_event=1, until_seconds=3000),
    ),
    "40 a listing takes several sweeps, events lost, handlers killed": (
        spread,
        Faults(slow_listing=0.7, lose_event=0.7, kill=0.3),
    ),
    "42 the weights are imported after the drops": (weights_later, Faults()),
    "42 the weights are imported after the drops, handlers killed": (
        weights_later,
        Faults(kill=0.3, lose_event=0.3, lose_answer=0.1),
    ),
    "21 22 a task fails alone": (busy_hour, Faults(task_fails=0.3)),
    "21 22 tasks fail, and their specs are dropped again": (overwritten, Faults(task_fails=1)),
    "22 26 tasks fail, are refused, and dropped again, handlers killed": (
        overwritten,
        Faults(task_fails=0.5, start_refused=0.5, kill=0.4, lose_event=0.3, shown_again=0.3),
    ),
    "24 every event again hours later": (remembered, Faults()),
    "24 every event again hours later, of failed jobs": (remembered, Faults(task_fails=1)),
    "24 clocks differ": (busy_hour, Faults(clock_skew_seconds=30, kill=0.2, duplicate_event=0.3)),
    "24 clocks differ at midnight": (
        midnight,
        Faults(clock_skew_seconds=30, duplicate_event=0.3, until_seconds=50_000),
    ),
    "44 folder defaults after their specs": (late_defaults, Faults()),
    "44 folder defaults after their specs, events lost and late, handlers killed": (
        late_defaults,
        Faults(kill=0.3, lose_event=0.3, late_event=0.2, shown_again=0.2),
    ),
    "44 folder defaults after their specs, no instance": (
        late_defaults,
        Faults(no_quota=0.6, worker_dies=0.3, language_model_busy=0.5),
    ),
    "44 folder defaults without an event before a dispatch": (
        changed_before_the_dispatch,
        Faults(),
    ),
    "44 folder defaults after an attempt was opened": (changed_before_the_claim, Faults()),
    "45 a guardrail": (guarded, Faults()),
    "45 a guardrail denies for hours": (guarded, Faults(guardrail=1, until_seconds=4 * 3600)),
    "45 a guardrail denies now and then, handlers killed, events lost": (
        guarded,
        Faults(guardrail=0.4, kill=0.3, lose_event=0.3, duplicate_event=0.3),
    ),
    "45 a guardrail, the language model unavailable or busy": (
        guarded,
        Faults(guardrail=0.2, language_model=0.3, language_model_busy=0.3),
    ),
    "48 videos are signed": (signing_videos, Faults()),
    "48 videos are signed, every event comes twice, handlers killed": (
        signing_videos,
        Faults(duplicate_event=1, kill=0.4),
    ),
    "48 videos are signed, events lost, answers lost": (
        signing_videos,
        Faults(lose_event=0.5, lose_answer=0.05),
    ),
    "48 videos are signed, KMS throttles for six hours": (
        signing_videos,
        Faults(outage_of="signer", outage_from_seconds=300, outage_seconds=6 * 3600),
    ),
    "48 videos cannot be signed for hours": (
        signing_videos,
        Faults(cannot_sign=1, until_seconds=4 * 3600),
    ),
    "50 clips are finished": (finished_clips, Faults()),
    "50 clips are finished, events lost and late, handlers killed": (
        finished_clips,
        Faults(lose_event=0.3, late_event=0.2, kill=0.3),
    ),
    "50 clips are finished, no quota, no instance": (
        finished_clips,
        Faults(no_quota=0.5, capacity_error=0.3),
    ),
    "50 clips are finished, workers die": (finished_clips, Faults(worker_dies=0.3)),
    "51 videos of scenes": (of_scenes, Faults()),
    "51 videos of scenes, some of which fail": (of_scenes, Faults(task_fails=0.7)),
    "51 videos of scenes, handlers and workers killed, events lost": (
        of_scenes,
        Faults(task_fails=0.3, kill=0.3, worker_dies=0.2, lose_event=0.3, duplicate_event=0.3),
    ),
    "51 videos of scenes, judged and signed, some of which fail": (
        of_scenes_judged,
        Faults(task_fails=0.5, kill=0.2, guardrail=0.1, cannot_sign=0.1),
    ),
    "55 EventBridge takes no events for hours": (few, Faults(bus=1, until_seconds=4 * 3600)),
    "55 EventBridge takes no events for hours, SNS fails, handlers killed": (
        digests,
        Faults(bus=0.7, post=0.5, kill=0.3, lose_answer=0.02, until_seconds=2 * 3600),
    ),
    "55 EventBridge takes no events now and then, a spec dropped again and again": (
        overwritten,
        Faults(bus=0.5, duplicate_event=0.5, shown_again=0.5),
    ),
    "46 files under somebody else's key": (foreign_keys, Faults()),
    "46 files under somebody else's key, events lost and late, handlers killed": (
        foreign_keys,
        Faults(lose_event=0.3, late_event=0.2, kill=0.3),
    ),
    "47 a LoRA is deleted while videos wait for it": (styled, Faults()),
    "47 a LoRA is deleted while videos wait for it, no quota, handlers killed": (
        styled,
        Faults(no_quota=0.6, kill=0.3),
    ),
    "25 many at once": (many, Faults()),
    "25 many at once, throttled": (
        many,
        Faults(throttle=0.03, duplicate_event=0.3, dead_letters=ANY_FUNCTION),
    ),
}


def any_schedule(seed: int) -> Simulation:
    """A busy hour with a few faults. The seed decides the faults and the settings."""
    rng = random.Random(seed)
    simulation = Simulation(seed=seed, faults=Faults.some(rng))
    simulation.set(
        max_processing_jobs=rng.choice((1, 1, 2, 3)),
        # The busiest folder has ten videos, or twenty with newer defaults, and all must be made in
        # three days.
        max_tasks_per_folder_day=rng.choice((0, 0, 0, 7)),
        instance_types=rng.choice(("ml.g6e.xlarge", "ml.p5.4xlarge,ml.g6e.xlarge")),
    )
    if seed % 5 == 0:
        simulation.set(guardrail_id="guard", guardrail_version="1")
    if rng.random() < 0.2:
        # Newer defaults may double the five videos of the folder. All must be made in three days.
        simulation.person_drops("jobs/batch/_defaults.yaml", "max_videos_per_day: 4\n")
    if rng.random() < 0.3:
        body = rng.choice(("dry_run: true\n", "num_inference_steps: 3\n", "variations: 2\n"))
        late = partial(simulation.person_drops, rng.choice(FOLDERS) + "_defaults.yaml", body)
        at(simulation, rng.choice((2, 25, 405, 700)), late)
    busy_hour(simulation)
    if rng.random() < 0.1:
        corrected(simulation)
    return simulation
