"""Specs with wrong fields: types, ranges, choices, conflicts and matrices."""

import json

from contract.errors import Code
from tests.corpus.specimen import Bad, Harmless, yaml

T, R = Code.FIELD_TYPE, Code.FIELD_RANGE
DIGITS = "7" * 5_000

# field, value in YAML, code, and words that the answer must contain
_ONE: tuple[tuple[str, str, Code, tuple[str, ...]], ...] = (
    ("negative_prompt", "5", T, ("text", "double quotes")),
    ("negative_prompt", "[a, b]", T, ("text",)),
    ("negative_prompt", "a" * 2_001, R, ("2000 characters",)),
    ("image", "5", T, ("text",)),
    ("image", '""', R, ("empty",)),
    ("image", "a" * 1_021 + ".png", R, ("1024",)),
    ("image", "[a.png]", T, ("text",)),
    ("video", "true", T, ("text",)),
    ("video", '""', R, ("empty",)),
    ("strength", "high", T, ("a number",)),
    ("strength", "0", R, ("more than 0",)),
    ("strength", "1.5", R, ("at most 1",)),
    ("strength", "0.5", Code.FIELD_CONFLICT, ("video",)),
    ("fit", "stretch", R, ("crop", "pad")),
    ("fit", "true", R, ("crop", "pad")),
    ("model", "5", T, ("text",)),
    ("model", "cogvideo-2b", Code.MODEL_UNKNOWN, ("Did you mean cogvideox-2b",)),
    ("preset", "fast", R, ("draft", "standard", "best")),
    ("preset", "standart", R, ("Did you mean standard",)),
    ("aspect", "16:9", R, ("Write  aspect: landscape", "portrait", "square")),
    ("aspect", "portrait", Code.ASPECT_UNSUPPORTED, ("landscape",)),
    ("height", "tall", T, ("a whole number",)),
    ("height", "64.5", T, ("a whole number", "digits only")),
    ("height", '"64"', T, ("without quotes",)),
    ("height", "8", R, ("at least 16", "height: 16")),
    ("height", "5000", R, ("at most 4096", "height: 4096")),
    ("height", "720", Code.SIZE_UNSUPPORTED, ("height: 64", "width: 96")),
    ("width", "true", T, ("a whole number",)),
    ("width", "0", R, ("at least 16",)),
    ("width", "4097", R, ("at most 4096",)),
    ("width", "480", Code.SIZE_UNSUPPORTED, ("width: 96",)),
    ("duration_seconds", "long", T, ("a number",)),
    ("duration_seconds", "2024-13-45", T, ("a number",)),
    ("duration_seconds", "0", R, ("more than 0",)),
    ("duration_seconds", "61", R, ("at most 60",)),
    ("duration_seconds", "30", Code.DURATION_UNSUPPORTED, ("2.1",)),
    ("num_frames", "16:9", T, ("a whole number",)),
    ("num_frames", "0", R, ("at least 1",)),
    ("num_frames", "1001", R, ("at most 1000",)),
    ("num_frames", "18", Code.FRAMES_UNSUPPORTED, ("Nearest: 17",)),
    ("fps", "24fps", T, ("a whole number", "Write  fps: 24")),
    ("duration_seconds", "5 s", T, ("Write  duration_seconds: 5",)),
    ("guidance_scale", "6,5", T, ("Write  guidance_scale: 6.5",)),
    ("width", "720x480", T, ("height: 480", "width: 720")),
    ("preset", "hq", R, ("Write  preset: best",)),
    ("notify", "me@example.org", R, ("notify: true", "your administrator")),
    ("size", "720x480", Code.FIELD_UNKNOWN, ("height: 480", "width: 720")),
    ("ratio", "9:16", Code.FIELD_UNKNOWN, ("Write  aspect: portrait",)),
    ("last_frame", "bee.png", Code.FIELD_UNKNOWN, ("first frame", "Delete the line")),
    ("fps", "1e3", T, ("like 42: digits",)),
    ("fps", "0", R, ("at least 1", "fps: 1")),
    ("fps", "61", R, ("at most 60", "fps: 60")),
    ("num_inference_steps", "010", T, ("a leading zero",)),
    ("num_inference_steps", "1", R, ("at least 2",)),
    ("num_inference_steps", "101", R, ("at most 100", "num_inference_steps: 100")),
    ("guidance_scale", ".nan", T, ("a number",)),
    ("guidance_scale", ".inf", T, ("a number",)),
    ("guidance_scale", "0.5", R, ("at least 1",)),
    ("guidance_scale", "20.5", R, ("at most 20",)),
    ("seed", "random", T, ("a whole number",)),
    ("seed", "010", T, ("a leading zero",)),
    ("seed", "0x10", T, ("like 42: digits",)),
    ("seed", "12_000", T, ("like 42: digits",)),
    ("seed", "1e3", T, ("like 42: digits",)),
    ("seed", DIGITS, T, ("a whole number",)),
    ("seed", "-2", R, ("at least -1", "seed: -1")),
    ("seed", "4294967296", R, ("at most 4294967295",)),
    ("variations", "", Code.FIELD_MISSING, ("no value",)),
    ("priority", "null", Code.FIELD_MISSING, ("no value",)),
    ("enhance", "no", R, ("true, false", "review")),
    ("enhance", "Review", R, ("Did you mean review",)),
    ("enhance", "2", R, ("true, false",)),
    ("variations", "many", T, ("a whole number",)),
    ("variations", "0", R, ("at least 1",)),
    ("variations", "33", R, ("at most 32", "variations: 32")),
    ("outputs", "gif", T, ("a list", "[first, second]")),
    ("outputs", "[avi]", R, ("mp4", "gif")),
    ("outputs", "[mp4, gif, mp4]", R, ("2 entries",)),
    ("priority", "urgent", R, ("high", "normal", "low")),
    ("priority", "1", R, ("high", "normal", "low")),
    ("notify", "yes", R, ("notify: true", "digest")),
    ("notify", "off", R, ("notify: false",)),
    ("notify", "1", R, ("true, false or digest",)),
    ("notify", "daily", R, ("true, false or digest",)),
    ("notify", "Digest", R, ("Did you mean digest",)),
    ("dry_run", "on", T, ("true or false",)),
    ("dry_run", '"true"', T, ("without quotes",)),
    ("tags", "bees", T, ("a list",)),
    ("tags", "[" + ", ".join(f"t{n}" for n in range(11)) + "]", R, ("10 entries",)),
    ("tags", '["two words"]', R, ("two words",)),
    ("tags", '["a\\r\\nBcc: b@example.org"]', R, ("tags",)),
    ("tags", "[1]", T, ("text",)),
    ("matrix", "5", Code.MATRIX_INVALID, ("matrix: {seed: [1, 2]}",)),
    ("matrix", "[1, 2]", Code.MATRIX_INVALID, ("matrix: {seed: [1, 2]}",)),
    ("matrix", "{}", Code.MATRIX_INVALID, ("no values",)),
    ("matrix", "{seed: 1}", Code.MATRIX_INVALID, ("a list",)),
    ("matrix", "{seed: []}", Code.MATRIX_INVALID, ("no values for seed",)),
    ("matrix", "{seed: [a]}", Code.MATRIX_INVALID, ("a whole number",)),
    ("matrix", "{fps: [8, 99]}", R, ("at most 60",)),
    ("matrix", "{tags: [a, b]}", Code.MATRIX_INVALID, ("no field", "outside of the matrix")),
    ("matrix", "{sed: [1, 2]}", Code.MATRIX_INVALID, ("Did you mean seed",)),
    ("matrix", "{include: [{steps: 5}]}", Code.MATRIX_INVALID, ("num_inference_steps",)),
    ("matrix", "{include: 5}", Code.MATRIX_INVALID, ("a list",)),
    ("matrix", "{seed: [1, 2], exclude: [{fps: 8}]}", Code.MATRIX_INVALID, ("fps", "not have")),
    ("matrix", "{seed: [1, 2], exclude: [{}]}", Code.MATRIX_INVALID, ("empty",)),
    ("matrix", "{aspect: [square], height: [64]}", Code.MATRIX_INVALID, ("used together",)),
    ("matrix", "{seed: [1, 2, 3, 4, 5, 6], fps: [6, 7, 8], guidance_scale: [4, 6]}",
     Code.TOO_MANY_VIDEOS, ("36 videos", "32")),
    ("matrix", "{seed: [" + ", ".join("1" * 40) + "]}", Code.TOO_MANY_VIDEOS, ("40 videos",)),
    ("matrix", "{seed: [1], exclude: [{seed: 1}]}", Code.TOO_MANY_VIDEOS, ("leaves no",)),
    ("matrix", "{model: [demo, demi]}", Code.MODEL_UNKNOWN, ("Did you mean demo",)),
    ("step", "20", Code.FIELD_UNKNOWN, ("num_inference_steps",)),
    ("promt", "a bee", Code.FIELD_UNKNOWN, ("Did you mean prompt",)),
    ("negative-prompt", "a bee", Code.FIELD_UNKNOWN, ("Did you mean negative_prompt",)),
    ("Seed", "7", Code.FIELD_UNKNOWN, ("Did you mean seed",)),
    ("zzz", "7", Code.FIELD_UNKNOWN, ("Fields:",)),
    ('""', "7", Code.FIELD_UNKNOWN, ("Fields:",)),
    ("animate_images", "true", Code.FIELD_UNKNOWN, ("_defaults.yaml",)),
    ("max_videos_per_day", "3", Code.FIELD_UNKNOWN, ("_defaults.yaml",)),
)  # fmt: skip


def _named(field: str, value: str, seen: dict[str, int]) -> str:
    seen[field] = seen.get(field, 0) + 1
    return f"{field or 'nothing'}-{seen[field]}-{value[:12]}"


def _ones() -> list[Bad]:
    seen: dict[str, int] = {}
    return [
        yaml(
            _named(field, value, seen),
            code,
            f"prompt: a bee\n{field}: {value}\n",
            *words,
            line=2,
            field=field.strip('"') or None,
        )
        for field, value, code, words in _ONE
    ]


ONE_FIELD = _ones()

SEVERAL = [
    yaml("prompt-number", T, "prompt: 5\n", "text", line=1, column=1, field="prompt"),
    yaml("prompt-list", T, "prompt: [a bee, a flower]\n", "text", line=1, field="prompt"),
    yaml("prompt-fields", T, "prompt:\n  text: a bee\n", "text", line=1, field="prompt"),
    yaml("prompt-true", T, "prompt: true\n", "double quotes", line=1, field="prompt"),
    yaml("prompt-nothing", Code.FIELD_MISSING, "prompt:\n", "no value", line=1, field="prompt"),
    yaml("prompt-empty", Code.PROMPT_EMPTY, 'prompt: ""\n', "prompt", line=1, field="prompt"),
    yaml("prompt-spaces", Code.PROMPT_EMPTY, 'prompt: "  \\t "\n', "no prompt", line=1),
    yaml("prompt-absent", Code.PROMPT_EMPTY, "seed: 7\n", 'prompt: "a bee on a flower"',
         field="prompt"),
    yaml("prompt-2,001", R, "seed: 1\nprompt: " + "a" * 2_001, "2000 characters", line=2),
    yaml("prompt-emoji", R, "prompt: " + "😀" * 10_000, "2000 characters", line=1),
    yaml("prompt-words", Code.PROMPT_TOO_LONG, "enhance: false\nprompt: " + "bee " * 70, "70 words",
         "enhanced", line=2, field="prompt"),
    yaml("negative-words", Code.PROMPT_TOO_LONG, "prompt: a\nnegative_prompt: " + "bee " * 70,
         "70 words", line=2, field="negative_prompt"),
    yaml("image-and-video", Code.FIELD_CONFLICT, "prompt: a\nimage: a.png\nvideo: a.mp4\n",
         "cannot be used together", line=3),
    yaml("aspect-and-height", Code.FIELD_CONFLICT, "prompt: a\naspect: landscape\nheight: 64\n",
         "aspect and height", line=2),
    yaml("aspect-and-width", Code.FIELD_CONFLICT, "prompt: a\naspect: landscape\nwidth: 96\n",
         "aspect and width", line=2),
    yaml("duration-and-frames", Code.FIELD_CONFLICT,
         "prompt: a\nduration_seconds: 2\nnum_frames: 17\n", "num_frames", line=2),
    yaml("mode", Code.MODE_UNSUPPORTED, "model: cogvideox-2b\nimage: bee.png\n", "cogvideox-5b",
         line=2),
    yaml("variations-of-matrix", Code.TOO_MANY_VIDEOS,
         "prompt: a\nvariations: 8\nmatrix:\n  seed: [1, 2, 3, 4, 5]\n", "40 videos", line=3),
    yaml("matrix-pairs", Code.MATRIX_INVALID,
         "prompt: a\nmatrix:\n  image: [a.png]\n  video: [a.mp4]\n", "used together", line=3),
    yaml("matrix-millions", Code.TOO_MANY_VIDEOS, "prompt: a\nmatrix:\n" + "".join(
        f"  {name}: [{', '.join(['1'] * 250)}]\n" for name in ("seed", "fps", "guidance_scale")),
         "15,625,000 videos", line=2),
    yaml("matrix-deep-place", R, "prompt: a\nmatrix:\n  include:\n  - seed: 1\n  - seed: -5\n",
         "at least -1", line=5, field="matrix.include.1.seed"),
    yaml("matrix-list-place", R, "prompt: a\nmatrix:\n  fps:\n  - 8\n  - 99\n", "at most 60",
         line=5,
         column=5, field="matrix.fps.1"),
    yaml("two-mistakes", Code.FIELD_UNKNOWN, "promt: a\nsed: 7\n", "Did you mean prompt", line=1),
    yaml("2,000-mistakes", Code.FIELD_UNKNOWN, "".join(f"f{n}: 1\n" for n in range(1_900)), line=1),
    yaml("strength-of-nothing", R, "video: bee.mp4\nstrength: 0.01\n", "leaves none", line=2),
]  # fmt: skip

# The same checks for specs in JSON.
_IN_JSON: tuple[tuple[str, object, Code, tuple[str, ...]], ...] = (
    ("prompt", 5, T, ("text",)),
    ("prompt", None, Code.FIELD_MISSING, ("no value",)),
    ("seed", "7", T, ("without quotes",)),
    ("seed", 7.5, T, ("a whole number", "digits only")),
    ("seed", True, T, ("a whole number",)),
    ("seed", -2, R, ("at least -1",)),
    ("guidance_scale", "6", T, ("a number",)),
    ("height", [64], T, ("a whole number",)),
    ("tags", ["a", 1], T, ("text",)),
    ("tags", {"a": 1}, T, ("a list",)),
    ("notify", "false", R, ("without quotes",)),
    ("matrix", {"seed": [1, "2"]}, Code.MATRIX_INVALID, ("a whole number",)),
    ("matrix", "seed", Code.MATRIX_INVALID, ('{"seed": [1, 2]}',)),
    ("stepz", 5, Code.FIELD_UNKNOWN, ("no field",)),
    ("model", "Demo!", Code.MODEL_UNKNOWN, ("Did you mean demo",)),
)

IN_JSON = [
    Bad(
        f"json-{field}-{number}",
        code,
        json.dumps({field: value}).replace("{", "{\n ", 1).encode(),
        "jobs/bad/bee.json",
        line=2,
        column=None if isinstance(value, (list, dict)) else 2,
        field=field,
        words=words,
    )
    for number, (field, value, code, words) in enumerate(_IN_JSON)
]

HARMLESS = [
    Harmless("32-videos", b"prompt: a\nvariations: 32\n"),
    Harmless("no-seed", b"prompt: a\nseed:\nheight: null\n"),
    Harmless("largest-seed", b"prompt: a\nseed: 4294967295\n"),
    Harmless("no-outputs", b"prompt: a\noutputs: [gif]\n"),
    Harmless("long-prompt-enhanced", b"prompt: " + b"bee " * 70),
]
