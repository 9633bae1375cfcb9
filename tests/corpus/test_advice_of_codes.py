"""Every answer's advice is followed, for every code: then the drop succeeds.

`test_advice.py` follows the advice that shows what to write. Here are the answers that ask for a
decision, or for something outside of the file, and what a person or an administrator does then.
`tests/processing/test_advice.py` follows the advice of the worker.
"""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from contract.errors import Code, Problem
from contract.outcome import VIDEO_FILE
from functions import s3_keys
from functions.adapters.child_reader import Request
from functions.spec.language_model import Answer
from functions.stages.finish import attempt_ended, file_written
from functions.stages.submit import submit
from functions.stages.sweep import sweep
from functions.table.records import Job, State
from local.cloud.bedrock import BLOCKED_WORD
from tests.corpus import test_advice
from tests.corpus.images import JPEG, PLAIN
from tests.corpus.specimen import OF_THE_WORKER, Bad
from tests.corpus.test_corpus import BAD
from tests.corpus.videos import mp4
from tests.fakes import BLOCKED_PNG, PNG, InProcessReader, World, picture
from tests.functions.stored import jobs, status
from tests.sounds import encoded, m4a, wav

BEE = b"prompt: a bee\n"
MANY = "jobs/bad/bee-2.yaml"


@dataclass(frozen=True)
class Walk:
    """What a person does after an answer."""

    specimen: str
    """The drop in the corpus that gets the answer."""
    advice: str
    """Words of the hint."""
    then: Mapping[str, bytes]
    """What is dropped, in this order. The names of files are relative to the folder of the drop,
    unless they begin with jobs/."""


def _text(specimen: str, advice: str, text: str) -> Walk:
    """The file is corrected and dropped again under the same name."""
    return Walk(specimen, advice, {"": text.encode()})


def _line(specimen: str, advice: str, line: str) -> Walk:
    return _text(specimen, advice, f"prompt: a bee\n{line}\n")


def _picture(specimen: str, advice: str, *, name: str = "bee.png", body: bytes = PLAIN) -> Walk:
    """The reference is corrected under the same name. The spec is not dropped again."""
    return Walk(specimen, advice, {name: body})


def _both(specimen: str, advice: str, name: str, body: bytes) -> Walk:
    """Another reference is uploaded, and the spec names it."""
    field = "video" if name.endswith("mp4") else "image"
    return Walk(specimen, advice, {name: body, "bee.yaml": f"{field}: {name}\n".encode()})


def _sound(specimen: str, advice: str) -> Walk:
    """A sound in another format is uploaded, and the spec names it."""
    then = {"song.mp3": encoded("mp3", "libmp3lame"), "bee.yaml": BEE + b"audio: song.mp3\n"}
    return Walk(specimen, advice, then)


def _list(specimen: str, advice: str, text: str) -> Walk:
    """The list is corrected and dropped again."""
    return Walk(specimen, advice, {"": text.encode()})


WALKS = [
    # lists
    _list("list-unclosed", "write each quote inside it twice", 'prompt\n"a ""bee"""\n'),
    _list("list-twice", "Give it the name of a field", "prompt,label\na bee,fly\n"),
    _list("list-without-name", "or delete the column", "prompt,seed\na bee,7\n"),
    _list("list-51-columns", "Delete the columns that are no fields", "prompt,seed\na bee,7\n"),
    _list("list-more-cells", "put it in quotes", 'prompt\n"a bee, flying"\n'),
    _list("list-more-cells", "Give each column a name", "prompt,label\na bee, flying\n"),
    _list("list-no-rows", "a video into each row below it", "prompt,seed\na bee,7\n"),
    _list("list-501-rows", "Divide it into several lists", "prompt\n" + "a bee\n" * 3),
    _list("list-name", "letters, digits, - and _", "name,prompt\nbee-1,a bee\n"),
    _list("list-name", "Or delete the column", "prompt\na bee\n"),
    _list("list-column", "Did you mean seed?", "prompt,seed\na bee,7\n"),
    Walk("list-column-of-folder", "write it into the _defaults.yaml of the folder",
         {"_defaults.yaml": b"animate_images: true\n", "": b"prompt\na bee\n"}),
    _list("list-note", "Delete the column.", "prompt\na bee\n"),
    _list("list-number", "digits only", "prompt,seed\na bee,7\n"),
    _list("list-range", "Write  1 in the column fps", "prompt,fps\na bee,1\n"),
    _list("list-open-list", "close each bracket", 'prompt,scenes\n,"[a, b]"\n'),
    _list("list-long-row", "Shorten it", "prompt\na bee\n"),
    _list("list-invisible", "Delete it", "prompt\na bee\n"),
    _list("list-array", "each object on a line of its own", '{"prompt": "a bee"}'),
    _list("list-cut", "Close it with }", '{"prompt": "a bee"}\n'),
    _list("list-excel", "the type CSV UTF-8", "prompt\na bee\n"),
    _list("list-dos", "Save it as UTF-8", "prompt\nBär\n"),
    # the name of the drop
    Walk("txt-as-yaml", "Name it bee.yaml.", {"bee.yaml": BEE + b"seed: 7\n"}),
    _text("txt-as-yaml", "begin it with another word", "The prompt: a bee\n"),
    Walk("txt-as-json", "Name it bee.json.", {"bee.json": b'{"prompt": "a bee"}'}),
    Walk("key jobs/bee.yamll", "Name a spec like bee.yaml", {"bee.yaml": BEE}),
    Walk("key jobs/bee.docx", "Plain Text (.txt)", {"bee.txt": b"a bee"}),
    _both("key jobs/bee.gif", "one frame of it as PNG", "bee.png", PLAIN),
    _both("key jobs/bee.webm", "Export it as MP4 (H.264)", "bee.mp4", mp4()),
    _sound("key jobs/song.wma", "Export it as MP3, M4A or WAV."),
    _both("key jobs/IMG_1.HEIC", "Export it as JPEG", "IMG_1.jpg", JPEG),
    Walk("key jobs/_defaults.yml", "Name folder defaults _defaults.yaml",
         {"_defaults.yaml": b"seed: 7\n", "bee.yaml": BEE}),
    Walk("line-break", "letters, digits and spaces", {"jobs/a b.yaml": BEE}),
    Walk("beside", "Move it to s3://input/jobs/bee.yaml", {"jobs/bee.yaml": BEE}),
    Walk("slash forgotten", "with a slash at the end", {"jobs/bee.yaml": BEE}),
    Walk("17-folders", "a folder closer to jobs/", {"jobs/a/bee.yaml": BEE}),
    # its text
    _text("merge-key", "Write out the fields.", "prompt: a\nseed: 1\n"),
    _text("2,000-brackets", "put the prompt in double quotes", 'prompt: "[[[[ a bee"\n'),
    _text("over-64-KiB", "A spec is a few lines", "prompt: a bee\n"),
    Walk("30,000-lines", "Split it into several specs.", {"bee.yaml": BEE, MANY: BEE}),
    _text("escape", "two backslashes", 'prompt: "C:\\\\pictures"\n'),
    _text("escape", "in single quotes", "prompt: 'C:\\pictures'\n"),
    _text("no-such-character", "Write the character itself", 'prompt: "ü"\n'),
    _text("line-without-field", "Indent the line", "prompt: a bee\n  on a flower\nseed: 7\n"),
    Walk("two-documents", "one file for each job", {"bee.yaml": b"prompt: a\n", MANY: BEE}),
    _text("json-without-braces", "Delete the commas", '"prompt": "a bee"\n"seed": 7\n'),
    _text("json-comma-missing", "Write a comma", '{"prompt": "a",\n "seed": 1}'),
    _text("json-comma-too-many", "Delete the comma", '{"prompt": "a"}'),
    _text("json-single-quotes", "straight double quotes", '{"prompt": "a"}'),
    _text("json-smart-quotes", "straight double quotes", '{"prompt": "a"}'),
    _text("json-no-quotes", 'Write "prompt".', '{"prompt": "1"}'),
    _text("json-python", "Write true.", '{"prompt": "a", "notify": true}'),
    _text("json-comment", "Delete the comment", '{"prompt": "a", "seed": 1,\n"fps": 8}'),
    _text("json-open", "Close it with }.", '{"prompt": "a"}'),
    _text("json-open-quotes", 'Close the text with "', '{"prompt": "a"}'),
    _text("json-line-end", "Write \\n for a line break", '{"prompt": "a\\nb"}'),
    _text("json-escape", "Write \\\\ for a backslash.", '{"prompt": "C:\\\\pictures"}'),
    _text("json-leading-zero", "Write 1:", '{"prompt": "a", "seed": 1}'),
    _text("json-leading-point", "Write 0.5:", '{"prompt": "a", "guidance_scale": 1.5}'),
    _text("json-last-point", "Write 1.0:", '{"prompt": "a", "guidance_scale": 1.0}'),
    _text("json-no-braces", "Write { before", '{"prompt": "a",\n"seed": 7}\n'),
    _text("json-notify-10", "Write false", '{"prompt": "a", "notify": false}'),
    _text("json-model-14", "Did you mean demo?", '{"prompt": "a", "model": "demo"}'),
    Walk("capital", "Move it to s3://input/jobs/a/b.json", {"jobs/a/b.json": b'{"prompt": "a"}'}),
    Walk("json-text", "drop the prompt alone as a .txt file", {"bee.txt": b"a bee"}),
    _text("ideographic-space", "indent with spaces", "matrix:\n  seed: [1]\nprompt: a\n"),
    _text("line-separator", "Delete it and press Enter.", "prompt: a bee\nseed: 7\n"),
    _text("nul", "Delete it", "prompt: a bee and more\n"),
    _text("latin-1", "Save it as UTF-8", "prompt: eine Bünde Bienen\n"),
    Walk("png-as-yaml", "Name the image with its own ending",
         {"bee.png": PLAIN, "star.yaml": b"image: bee.png\n"}),
    Walk("zip-as-yaml", "drop the files that are in it", {"bee.yaml": BEE}),
    _text("rtf-as-txt", "Make Plain Text", "a bee"),
    _text("web-page-as-json", "plain text editor", '{"prompt": "a bee"}'),
    # its fields
    _line("zzz-1-7", "Fields: prompt", "seed: 7"),
    Walk("animate_images-1-true", "Move the line to the _defaults.yaml",
         {"_defaults.yaml": b"animate_images: true\n", "": BEE}),
    _text("json-nan", "Write a number in digits.", '{"prompt": "a", "guidance_scale": 6}'),
    _text("json-exponent", "at most 18 digits", '{"prompt": "a", "guidance_scale": 6}'),
    _line("negative_prompt-1-5", "in double quotes", 'negative_prompt: "5"'),
    _line("negative_prompt-2-[a, b]", "in matrix", "matrix: {negative_prompt: [a, b]}"),
    Walk("image-4-[a.png]", "in matrix",
         {"a.png": PLAIN, "": b"matrix: {image: [a.png]}\n"}),
    _sound("audio-1-true", "Write the name of a file, as  audio: song.mp3"),
    _line("strength-1-high", "Write it like 4.5", "guidance_scale: 4.5"),
    _line("height-1-tall", "Write it like 42", "height: 64"),
    _line("height-2-64.5", "for example  height: 64", "height: 64"),
    _text("json-seed-3", 'for example  "seed": 8', '{"prompt": "a", "seed": 8}'),
    _line("seed-1-random", "delete the line, or write  seed: -1", "seed: -1"),
    _line("outputs-1-gif", "Write it as  [first, second].", "outputs: [mp4, gif]"),
    _line('dry_run-2-"true"', "Write true or false", "dry_run: false"),
    Walk("txt-too-long", "Shorten it.", {"": b"a bee"}),
    Walk("strength-2-0", "a value above 0",
         {"a.mp4": mp4(), "": b"prompt: a\nvideo: a.mp4\nstrength: 0.1\n"}),
    Walk("strength-of-nothing", "Write at least  strength: 0.04",
         {"bee.mp4": mp4(), "": b"prompt: a\nvideo: bee.mp4\nstrength: 0.04\n"}),
    _line("fit-1-stretch", "Valid: crop or pad.", "fit: pad"),
    _line("outputs-2-[avi]", "Valid: mp4, gif, h265, webm or scenes.", "outputs: [gif]"),
    _line("slow_motion-1-3", "Valid: 1, 2, 4 or 8.", "slow_motion: 4"),
    _line("loop-3-forever", "Valid: true, false, cross-fade or ping-pong.", "loop: true"),
    _line("priority-2-urgent", "Valid: high", "priority: high"),
    _line("enhance-3-2", "Valid: true, false or review.", "enhance: true"),
    _line("notify-4-1", "Valid: true, false or digest.", "notify: true"),
    _line('tags-3-["two words"', "A tag is one word", "tags: [two-words]"),
    _line("matrix-7-{fps: [8, 99", "Write  60  or a smaller value.", "matrix: {fps: [8, 60]}"),
    _text("image-and-video", "Delete one of the two lines", "prompt: a\n"),
    _text("aspect-and-height", "both set the size", "prompt: a\naspect: landscape\n"),
    _text("duration-and-frames", "both set the length", "prompt: a\nnum_frames: 17\n"),
    _line("matrix-1-5", "Write fields with values in it", "matrix:\n  seed: [1, 2]"),
    _line("matrix-3-{}", "Add lists of values", "matrix:\n  seed: [1, 2, 3]"),
    _line("lora-2-../ink", "as your administrator uploaded it, without a folder", "lora: ink"),
    _line("label-1-true", "Write the note, for example", "label: AI-generated"),
    _line("label-3-KI–erzeugt f", "letters from A to Z without accents", "label: AI-generated"),
    _line("matrix-4-{seed: 1}", "Write it as  [first", "matrix: {seed: [1, 2]}"),
    _line("matrix-6-{seed: [a]}", "Write it like 42", "matrix: {seed: [42]}"),
    _line("matrix-8-{tags: [a, b", "outside of the matrix", "tags: [a, b]"),
    _line("matrix-12-{seed: [1, 2", "In exclude, use only",
          "matrix: {seed: [1, 2], exclude: [{seed: 2}]}"),
    _line("matrix-14-{aspect: [sq", "Delete one of the two lists", "matrix: {height: [64]}"),
    Walk("matrix-pairs", "can only start from one of them",
         {"a.png": PLAIN, "": b"matrix:\n  image: [a.png]\n"}),
    _text("variations-of-matrix", "Shorten the lists", "prompt: a\nvariations: 8\n"),
    _line("matrix-17-{seed: [1], ", "Delete some of its entries",
          "matrix: {seed: [1, 2], exclude: [{seed: 2}]}"),
    _text("prompt-words", "write  enhance: true", f"enhance: true\nprompt: {300 * 'bee '}\n"),
    _text("negative-words", "Shorten it to about 45 words.",
          f"prompt: a\nnegative_prompt: {45 * 'bee '}\n"),
    Walk("mode", "Remove the image, or use one of these models: demo, cogvideox-5b",
         {"bee.png": PLAIN, "": b"model: cogvideox-5b\nimage: bee.png\n"}),
    _text("mode", "Remove the image", "prompt: a bee\nmodel: cogvideox-2b\n"),
    # its scenes
    _text("scenes-1-a bee", "for example  scenes: [a bee lands, it flies away]",
          "scenes: [a bee lands, it flies away]\n"),
    _text("scenes-3-[a bee]", "Add a scene, or write a single prompt",
          "scenes: [a bee, it lands]\n"),
    _text("scenes-3-[a bee]", "Add a scene, or write a single prompt", "prompt: a bee\n"),
    _text("scenes-5-[5, a bee]", "Write a prompt in double quotes", 'scenes: ["5", a bee]\n'),
    _text("scenes-10-[a, {prompt:", "Valid: continue, cut or fade.",
          "scenes: [a, {prompt: b, transition: fade}]\n"),
    _text("scenes-11-[a, {prompt:", "Write it beside scenes.", "scenes: [a, b]\nfps: 8\n"),
    _text("scenes-12-[a, {prompt:", "Write it beside scenes.", "scenes: [a, b]\ntags: [c]\n"),
    _text("outputs-6-[mp4, scenes", "write what happens as a list, with  scenes:",
          "scenes: [a, b]\noutputs: [mp4, scenes]\n"),
    _text("prompt-and-scenes", "each scene has a prompt of its own", "scenes: [a, b]\n"),
    Walk("image-and-scenes", "the first scene can start from the image",
         {"a.png": PLAIN, "": b"scenes:\n- image: a.png\n- it lands\n"}),
    _text("matrix-and-scenes", "Delete it in the matrix", "scenes: [b, c]\n"),
    _text("first-scene-fades", "move it to the scene that follows",
          "scenes:\n- a\n- prompt: b\n  transition: fade\n"),
    Walk("image-continues", "write  transition: cut  or  transition: fade",
         {"b.png": PLAIN, "": b"scenes:\n- a\n- image: b.png\n  transition: fade\n"}),
    _text("scene-duration", "add a scene after it that continues it",
          "scenes:\n- a\n- b\n- it goes on\n"),
    _text("scene-image-model", "Remove the image",
          "model: cogvideox-2b\nscenes:\n- a bee\n- {prompt: b, transition: cut}\n"),
    # its references
    _both("reference-other-bucket", "write its file name, for example  image: bee.png", "bee.png",
          PLAIN),
    _both("reference-video-http", "write its file name, for example  video: bee.mp4", "bee.mp4",
          mp4()),
    _both("reference-hidden", "Rename the image", "bee.png", PLAIN),
    _both("reference-no-ending", "Valid endings: .png", "bee.png", PLAIN),
    _both("reference-playlist", "Valid endings: .mp4", "bee.mp4", mp4()),
    _sound("reference-sound-http", "write its file name, for example  audio: song.mp3"),
    _sound("reference-sound-without-ending", "Valid endings: .mp3"),
    _sound("reference-aiff", "Export it as MP3, M4A or WAV."),
    _sound("reference-m4p", "Use a file without protection (DRM)"),
    _both("reference-gif", "one frame of it as PNG", "bee.png", PLAIN),
    _both("reference-webm", "Export it as MP4 (H.264)", "bee.mp4", mp4()),
    _both("reference-HEIC", "Export it as JPEG", "IMG_1.jpg", JPEG),
    _both("reference-avif", "Save it as PNG or JPEG", "bee.jpg", JPEG),
    _both("reference-video-as-image", "Write  video: bee.mp4", "bee.mp4", mp4()),
    _both("reference-image-as-video", "Write  image: bee.png", "bee.png", PLAIN),
    _picture("image-tiff", "Save it as PNG or JPEG."),
    _picture("image-heic-heic", "Export it as JPEG.", body=JPEG),
    _picture("image-quicktime", "one frame of it as PNG"),
    _picture("image-animated-png", "Export one frame of it as PNG."),
    _picture("video-ffconcat", "Export it again as MP4", name="bee.mp4", body=mp4()),
    _picture("reference-alike", "upload a file with the name that the spec has", name="Bee.png"),
    _text("reference-alike", "Write the name exactly", "image: BEE.png\n"),
    _picture("image-81-megapixels", "Scale it down"),
    _picture("image-8-pixels", "Use a larger image"),
    _picture("video-small", "both sides in this range", name="bee.mp4", body=mp4()),
    _picture("image-png-cut", "save it as PNG and upload the PNG"),
    _picture("video-cut", "Export it again as MP4 (H.264).", name="bee.mp4", body=mp4()),
    _picture("image-32-mib", "Save a smaller image, for example as JPEG.", body=JPEG),
    _picture("video-long", "Cut it down", name="bee.mp4", body=mp4()),
    _picture("sound-text", "Export it as MP3, M4A or WAV.", name="song.mp3", body=wav()),
    _picture("sound-wav-cut", "Export it as MP3, M4A or WAV.", name="song.wav", body=wav()),
    _picture("sound-silent", "Choose a file with sound.", name="song.mp4", body=m4a()),
    _picture("sound-protected", "Use a file without protection", name="song.m4a", body=m4a()),
    _picture("sound-50-mib", "save it as MP3", name="song.wav", body=wav()),
    _picture("video-50-mib", "Shorten the video", name="bee.mp4", body=mp4()),
]  # fmt: skip


def _refused(world: World, bad: Bad) -> Problem:
    for key, body in bad.others.items():
        world.drop(key, body, event=False)
    world.drop(bad.key, bad.body)
    (job,) = [job for job in jobs(world) if job.source.key == bad.key]
    return job.problems[0]


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{walk.specimen}: {walk.advice}"[:60])
def test_the_drop_succeeds_after_what_the_answer_advises(walk: Walk) -> None:
    world = World()
    world.files.write("work", s3_keys.lora("ink"), b"weights", "application/octet-stream")
    (bad,) = [bad for bad in BAD if bad.name == walk.specimen]
    assert walk.advice in _refused(world, bad).hint
    world.clock.move(seconds=30)
    for name, body in walk.then.items():
        below = posixpath.join(posixpath.dirname(bad.key), name) if name else bad.key
        key = name if name.startswith("jobs/") else below
        world.drop(key, body)
    for key in _last(world).dropped:  # the rows of a list
        submit(world.ports, "input", key)
    made(world)


def made(world: World) -> None:
    """Check that the last job is rendered."""
    while attempts := world.dispatch():
        for attempt in attempts:
            world.render(attempt)
    last = jobs(world)[-1]
    assert last.state == State.SUCCEEDED, last.problems


def _is_followed(bad: Bad, problem: Problem) -> bool:
    """Whether the advice about a bad drop is followed by a walk, or by `test_advice.py`."""
    walked = any(walk.advice in problem.hint for walk in WALKS)
    return walked or bad.name in {one.name for one in test_advice.SPECIMENS}


def test_every_kind_of_advice_in_the_corpus_is_followed() -> None:
    """Drops of which each specimen is only a variant have the same hint as one that is followed."""
    followed: set[tuple[Code, str]] = set()
    others: dict[str, tuple[Code, str]] = {}
    for bad in BAD:
        if bad.name in test_advice.NOT_FOLLOWED:
            continue
        problem = _refused(World(), bad)
        kind = (problem.code, problem.hint.split("  ")[0])
        if _is_followed(bad, problem):
            followed.add(kind)
        else:
            others[bad.name] = kind
    assert {name: kind for name, kind in others.items() if kind not in followed} == {}


# --- answers that no single drop causes ------------------------------------------------------


def _last(world: World) -> Job:
    return jobs(world)[-1]


def _hint(world: World, code: Code) -> str:
    """The advice about the last job, in its status."""
    said = status(world, _last(world).path)
    (problem,) = [*said.problems, *(task.problem for task in said.tasks if task.problem)]
    assert problem.code == code
    return problem.hint


def _again(world: World, key: str = "jobs/bee.yaml", body: bytes = BEE) -> None:
    world.clock.move(minutes=1)
    world.drop(key, body)


def _file_encrypted(world: World) -> None:
    world.drop("jobs/bee.yaml", event=False)
    world.files.lock("input", "jobs/bee.yaml")
    submit(world.ports, "input", "jobs/bee.yaml")
    assert "leave out --sse-kms-key-id" in _hint(world, Code.FILE_ENCRYPTED)
    _again(world)


def _spec_unreadable(world: World) -> None:
    class Stuck(InProcessReader):
        def _answer(self, request: Request) -> tuple[bytes, bytes]:
            return (b"", b"") if b"{{{{" in request.blobs[0] else super()._answer(request)

    world.reader = Stuck()
    world.drop("jobs/bee.yaml", b"prompt: {{{{")
    assert "Write it again as a few plain lines" in _hint(world, Code.SPEC_UNREADABLE)
    _again(world)


def _reference_never_came(world: World) -> None:
    world.drop("jobs/bee.yaml", "image: late.png\n")
    world.clock.move(minutes=61)
    sweep(world.ports)
    hint = _hint(world, Code.REFERENCE_NEVER_CAME)
    assert "upload it. This file need not be uploaded again" in hint
    world.drop("jobs/late.png", PNG)


def _prompt_blocked(world: World) -> None:
    answer = world.language_model.answer
    world.language_model.answer = Answer("no", "guardrail_intervened", "fake")
    world.drop("jobs/bee.yaml")
    assert "Change the prompt and drop the file again." in _hint(world, Code.PROMPT_BLOCKED)
    world.language_model.answer = answer  # it depends on the prompt
    _again(world, body=b"prompt: something else\n")


def _negative_prompt_blocked(world: World) -> None:
    world.set(guardrail_id="guard", guardrail_version="1")
    bad = BEE + f"negative_prompt: {BLOCKED_WORD}\nenhance: false\n".encode()
    world.drop("jobs/bee.yaml", bad)
    hint = _hint(world, Code.PROMPT_BLOCKED)
    assert hint == "Change the negative_prompt and drop the file again."
    _again(world, body=bad.replace(BLOCKED_WORD.encode(), b"blurry"))


def _reference_blocked(world: World) -> None:
    world.set(guardrail_id="guard", guardrail_version="1")
    world.drop("jobs/pic.png", BLOCKED_PNG)
    world.drop("jobs/bee.yaml", "image: pic.png\n")
    assert _hint(world, Code.REFERENCE_BLOCKED) == "Use another image."
    world.clock.move(seconds=1)
    world.drop("jobs/pic.png", PNG)


def _video_blocked(world: World) -> None:
    world.set(guardrail_id="guard", guardrail_version="1")
    world.drop("jobs/bee.yaml", BEE + b"seed: 1\n")
    world.sample = picture("JPEG", colour="magenta")
    for attempt in world.dispatch():
        world.render(attempt)
    assert "write another seed, and drop the file again" in _hint(world, Code.VIDEO_BLOCKED)
    world.sample = picture("JPEG")
    _again(world, body=BEE + b"seed: 2\n")


def _lora_unknown(world: World) -> None:
    world.drop("jobs/bee.yaml", BEE + b"lora: inks\n")
    assert "Ask your administrator to upload it, then drop the file again" in _hint(
        world, Code.LORA_UNKNOWN
    )
    world.files.write("work", s3_keys.lora("ink"), b"weights", "application/octet-stream")
    world.drop("jobs/bee.yaml", BEE + b"lora: inks\n")
    assert "Did you mean ink?" in _last(world).problems[0].hint
    _again(world, body=BEE + b"lora: ink\n")


def _name_taken(world: World) -> None:
    world.drop("jobs/bee-01.yaml", BEE)
    world.drop("jobs/bee.yaml", BEE + b"variations: 2\n")
    hint = _hint(world, Code.NAME_TAKEN)
    assert "Give this file another name, or delete the other spec first." in hint
    _again(world, "jobs/star.yaml", BEE + b"variations: 2\n")
    assert _last(world).state == State.QUEUED
    world.delete("jobs/bee-01.yaml")
    _again(world, "jobs/bee.yaml", BEE + b"variations: 2\n")


def _approve_name(world: World) -> None:
    world.drop("jobs/birthday/bee.yaml", b"prompt: a bee\npreset: draft\nvariations: 2\n")
    made(world)
    _again(world, "approve/bee", b"")
    assert "for status/birthday/bee.json, upload approve/birthday/bee" in _hint(
        world, Code.APPROVE_NAME
    )
    _again(world, "approve/birthday/bee-03", b"")
    hint = _hint(world, Code.APPROVE_NAME)
    for name in ("birthday/bee", "birthday/bee-02"):
        assert f"approve/{name}" in hint
        _approved(world, f"approve/{name}")


def _approve_in_parts(world: World) -> None:
    body = b"scenes: [a, b]\nenhance: false\npreset: draft\nmatrix: {model: [wan2.2-5b, demo]}\n"
    world.drop("jobs/bee.yaml", body)
    made(world)
    _again(world, "approve/bee", b"")
    assert "one by one: approve/bee-01 and so on" in _hint(world, Code.APPROVE_NAME)
    _approved(world, "approve/bee-01")


def _approved(world: World, key: str) -> None:
    """A draft is approved. What is dropped for that is its last job."""
    _again(world, key, b"")
    (final,) = _last(world).dropped
    submit(world.ports, "input", final)


def _approve_not_ready(world: World) -> None:
    spec = b"prompt: a bee\npreset: draft\n"
    world.drop("jobs/bee.yaml", spec + b"dry_run: true\n")
    _again(world, "approve/bee", b"")
    assert "drop its spec without dry_run and" in _hint(world, Code.APPROVE_NOT_READY)
    _again(world, "jobs/bee.yaml", b"prompt: [")
    _again(world, "approve/bee", b"")
    assert "Drop its spec again." in _hint(world, Code.APPROVE_NOT_READY)
    _again(world, "jobs/bee.yaml", spec)
    _again(world, "approve/bee", b"")
    hint = _hint(world, Code.APPROVE_NOT_READY)
    assert "Wait until its video is ready, and upload this file again." in hint
    for attempt in world.dispatch():
        world.render(attempt)
    _approved(world, "approve/bee")


def _approve_no_draft(world: World) -> None:
    world.drop("jobs/bee.yaml", BEE)
    made(world)
    _again(world, "approve/bee", b"")
    assert "write  preset: draft  into its spec" in _hint(world, Code.APPROVE_NO_DRAFT)
    _again(world, body=BEE + b"preset: draft\n")
    made(world)
    _approved(world, "approve/bee")


def _reference_gone(world: World) -> None:
    world.drop("jobs/a.png", PNG)
    world.drop("jobs/bee.yaml", "image: a.png\n")
    for key in (key for key in world.files.keys("work") if key.startswith("references/")):
        world.files.remove("work", key)
    world.dispatch()
    assert "Drop this file again. Upload its reference first" in _hint(world, Code.REFERENCE_GONE)
    _again(world, "jobs/a.png", PNG)
    _again(world, body=b"image: a.png\n")


def _start_refused(world: World) -> None:
    world.renderer.refuses.add(f"s3://work/{s3_keys.model_release('demo', 'one')}")
    world.drop("jobs/bee.yaml")
    world.dispatch()
    hint = _hint(world, Code.START_REFUSED)
    assert "Ask your administrator to correct the deployment. Then drop the file again." in hint
    world.renderer.refuses.clear()
    _again(world)


def _worker_stopped(world: World) -> None:
    world.drop("jobs/bee.yaml")
    for _ in range(world.settings.max_attempts):
        (attempt,) = world.dispatch()
        task = world.manifest(attempt).tasks[0]
        world.write_progress(attempt, task, 10)
        world.renderer.end(attempt, "Failed", "the machine went away")
        attempt_ended(world.ports, attempt)
    assert "Drop the file again later." in _hint(world, Code.WORKER_STOPPED)
    _again(world)


def _result_invalid(world: World) -> None:
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    key = s3_keys.task_result(attempt, world.manifest(attempt).tasks[0].task_id)
    world.files.write("work", key, b"{", "application/json")
    file_written(world.ports, key)
    assert "Drop the file again." in _hint(world, Code.RESULT_INVALID)
    world.renderer.end(attempt, "Completed")
    attempt_ended(world.ports, attempt)
    _again(world)


def _video_damaged(world: World) -> None:
    world.drop("jobs/bee.yaml")
    (attempt,) = world.dispatch()
    task = world.manifest(attempt).tasks[0]
    world.write_result(attempt, task)
    video = s3_keys.task_file(attempt, task.task_id, VIDEO_FILE)
    world.files.write("work", video, b"cut", "video/mp4")
    file_written(world.ports, s3_keys.task_result(attempt, task.task_id))
    assert "Drop the file again." in _hint(world, Code.VIDEO_DAMAGED)
    world.renderer.end(attempt, "Completed")
    attempt_ended(world.ports, attempt)
    _again(world)


ELSEWHERE: Mapping[Code, Callable[[World], None]] = {
    Code.FILE_ENCRYPTED: _file_encrypted,
    Code.SPEC_UNREADABLE: _spec_unreadable,
    Code.REFERENCE_NEVER_CAME: _reference_never_came,
    Code.PROMPT_BLOCKED: _prompt_blocked,
    Code.REFERENCE_BLOCKED: _reference_blocked,
    Code.VIDEO_BLOCKED: _video_blocked,
    Code.LORA_UNKNOWN: _lora_unknown,
    Code.NAME_TAKEN: _name_taken,
    Code.APPROVE_NAME: _approve_name,
    Code.APPROVE_NOT_READY: _approve_not_ready,
    Code.APPROVE_NO_DRAFT: _approve_no_draft,
    Code.REFERENCE_GONE: _reference_gone,
    Code.START_REFUSED: _start_refused,
    Code.WORKER_STOPPED: _worker_stopped,
    Code.RESULT_INVALID: _result_invalid,
    Code.VIDEO_DAMAGED: _video_damaged,
}


def test_a_job_succeeds_after_its_negative_prompt_was_changed() -> None:
    world = World()
    _negative_prompt_blocked(world)
    made(world)


def test_videos_that_are_too_different_are_approved_one_by_one() -> None:
    world = World()
    _approve_in_parts(world)
    made(world)


@pytest.mark.parametrize("code", ELSEWHERE)
def test_a_job_succeeds_after_what_its_failure_advises(code: Code) -> None:
    world = World()
    ELSEWHERE[code](world)
    made(world)


def test_the_advice_of_every_code_is_followed() -> None:
    named = {walk.specimen for walk in WALKS} | {bad.name for bad in test_advice.SPECIMENS}
    in_corpus = {bad.code for bad in BAD if bad.name in named}
    groups = (in_corpus, set(ELSEWHERE), OF_THE_WORKER)
    assert set().union(*groups) == set(Code)
    assert sum(map(len, groups)) == len(Code), "each code is in one place"
