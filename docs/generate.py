"""Writes what the documents say of fields, models and codes from the code itself: `make docs`.

    docs/guide.md              the parts between `<!-- name:begin ... -->` and `<!-- name:end -->`
    docs/operations.md         the same: the events that the functions log
    docs/performance.md        the same, from bench/results/
    docs/cost.md               the same: what videos are expected to cost
    docs/job.schema.json       JSON Schema of a spec, for editors
    docs/defaults.schema.json  JSON Schema of folder defaults, for editors
    docs/job-ended.schema.json JSON Schema of the event about the end of a job
    docs/images/console-*.png  the pictures of docs/console.md

`--check` writes nothing and fails when something is out of date.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic.json_schema import JsonSchemaMode

from bench.results import QUIET_LOAD
from contract.catalogue import MODELS, Mode, Model, Preset
from contract.document import Document
from contract.errors import MEANINGS
from contract.instance_types import FAMILIES, FINISHING_TYPES, Verdict, verdict
from contract.memory import MemoryMode
from docs.pictures import is_current, pictures
from functions.log import Event
from functions.planning import estimate
from functions.replies.job_ended import JobEnded
from functions.spec.fields import FolderDefaults, JobSpec, Scene
from functions.spec.resolve import frame_counts
from functions.table.records import Learned

_ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Write, or with `--check` compare. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [f for f, text in _documents() if not f.exists() or f.read_text() != text]
    old = {file: picture for file, picture in pictures() if not is_current(file, picture)}
    stale += old
    for file, text in _documents():
        if not check:
            file.write_text(text)
    for file, picture in old.items():
        if not check:
            picture.save(file, optimize=True)
    if check and stale:
        names = ", ".join(str(file.relative_to(_ROOT)) for file in stale)
        print(f"out of date: {names}; run `make docs`")
        return 1
    return 0


def _documents() -> Iterable[tuple[Path, str]]:
    guide = _ROOT / "docs" / "guide.md"
    text = guide.read_text()
    for name, part in (
        ("spec", _fields()),
        ("scenes", _scene_fields()),
        ("presets", _presets()),
        ("models", _models()),
        ("instances", _instances()),
        ("codes", _codes()),
    ):
        text = _with_part(text, name, part)
    yield guide, text
    operations = _ROOT / "docs" / "operations.md"
    yield operations, _with_part(operations.read_text(), "events", _events())
    costs = _ROOT / "docs" / "cost.md"
    yield costs, _with_part(costs.read_text(), "costs", _costs())
    performance = _ROOT / "docs" / "performance.md"
    text = _with_part(performance.read_text(), "batching", _batching())
    text = _with_part(text, "worker", _worker())
    text = _with_part(text, "coldstart", _coldstart())
    text = _with_part(text, "reading", _reading())
    yield performance, _with_part(text, "interpolation", _interpolation())
    schemas: tuple[tuple[str, type[Document], str, JsonSchemaMode], ...] = (
        ("job", JobSpec, "reeldrop job spec", "validation"),
        ("defaults", FolderDefaults, "reeldrop folder defaults", "validation"),
        ("job-ended", JobEnded, "reeldrop event about the end of a job", "serialization"),
    )
    for name, kind, title, mode in schemas:
        schema = kind.model_json_schema(mode=mode)
        if mode == "serialization":
            schema = _with_more_fields(schema)
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        schema["title"] = title
        yield _ROOT / "docs" / f"{name}.schema.json", json.dumps(schema, indent=2) + "\n"


def _with_more_fields(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of what we write. Who checks with it must not refuse fields that come later."""

    def opened(part: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in part.items() if name != "additionalProperties"}

    found: dict[str, Any] = json.loads(json.dumps(schema), object_hook=opened)
    return found


def _with_part(text: str, name: str, part: str) -> str:
    pattern = rf"(<!-- {name}:begin[^>]*-->\n).*?(<!-- {name}:end -->)"
    return re.sub(pattern, lambda m: m[1] + part + m[2], text, flags=re.S)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), ["---"] * len(list(head)), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _fields() -> str:
    schema = FolderDefaults.model_json_schema()
    properties: dict[str, dict[str, Any]] = schema["properties"]
    return _table(
        ("field", "what it is", "values", "default"),
        (
            (
                f"`{name}`",
                field["description"],
                _values(field, schema.get("$defs", {})),
                _default(name, field["default"]),
            )
            for name, field in properties.items()
        ),
    )


def _scene_fields() -> str:
    schema = Scene.model_json_schema()
    return _table(
        ("field of a scene", "what it is", "values", "default"),
        (
            (
                f"`{name}`",
                field["description"],
                _values(field, schema.get("$defs", {})),
                _OF_SCENES.get(name) or _default(name, field["default"]),
            )
            for name, field in schema["properties"].items()
        ),
    )


_OF_SCENES = {
    "seed": "the one of the video, and 1 more for each scene before it",
    "transition": "`continue`, or `cut` with an image",
}


def _values(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    (kind,) = kinds
    if "$ref" in kind:
        kind = definitions[kind["$ref"].rpartition("/")[2]]
    if "enum" in kind:
        return _choices(kind["enum"])
    if "enum" in kind.get("items", {}):
        return "list of " + _choices(kind["items"]["enum"])
    if "anyOf" in kind.get("items", {}):
        return f"list of {kind['minItems']} to {kind['maxItems']} prompts, or of fields"
    word = {
        "string": "text", "integer": "whole number", "number": "number", "boolean": "true, false",
        "array": "list of words", "object": "fields with lists",
    }[kind["type"]]  # fmt: skip
    limits = {**field, **kind}
    if "minimum" in limits:
        word += f", {limits['minimum']:,} to {limits['maximum']:,}"
    if "exclusiveMinimum" in limits:
        word += f", above {limits['exclusiveMinimum']} to {limits['maximum']}"
    if "maxLength" in limits:
        word += f", at most {limits['maxLength']:,} characters"
    if "maxItems" in limits:
        word += f", at most {limits['maxItems']}"
    return word


def _choices(values: list[Any]) -> str:
    return ", ".join(
        f"`{value if isinstance(value, str) else json.dumps(value)}`" for value in values
    )


def _default(name: str, default: object) -> str:
    others = {
        "image": "", "video": "", "audio": "", "aspect": "", "duration_seconds": "", "matrix": "",
        "scenes": "", "model": "the deployment's",
        "seed": "follows from the job's id", "strength": "`0.8`",
        "fit": "`crop`", "preset": "`standard`", "slow_motion": "`1`", "loop": "`false`",
        "lora": "", "lora_scale": "`1`",
        "max_videos_per_day": "no limit", "max_gpu_minutes_per_day": "no limit",
    }  # fmt: skip
    if default is None:
        return others.get(name, "the model's")
    return f"`{json.dumps(default)}`" if default not in ("", []) else ""


def _presets() -> str:
    return _table(
        ("model", *(f"`{preset}`" for preset in Preset)),
        (
            (f"`{model.name}`", *(str(model.num_inference_steps[preset]) for preset in Preset))
            for model in MODELS.values()
        ),
    )


def _models() -> str:
    return _table(
        (
            "model",
            "makes videos from",
            "sizes (height x width)",
            "frames",
            "fps",
            "prompt tokens",
            "data type",
            "licence",
        ),
        (
            (
                f"`{model.name}`",
                ", ".join(str(mode).removesuffix("-to-video") for mode in model.weights),
                "; ".join(dict.fromkeys(_sizes(model))),
                frame_counts(model),
                str(model.fps),
                str(model.prompt_tokens),
                model.dtype,
                model.licence,
            )
            for model in MODELS.values()
        ),
    )


def _sizes(model: Model) -> Iterable[str]:
    for weights in model.weights.values():
        sizes = [str(size) for size in weights.sizes]
        if len(sizes) <= 4:
            yield ", ".join(sizes)
        else:
            long = f"{weights.sizes[-1].height} to {weights.sizes[0].width}"
            yield f"from an image: one side {weights.sizes[0].height}, the other {long} by 16"


_IN_WORDS = {
    MemoryMode.WHOLE: "yes",
    MemoryMode.ALTERNATING: "yes, a few seconds slower",
    MemoryMode.TILES: "yes, in tiles",
    MemoryMode.ALTERNATING_TILES: "yes, in tiles, a few seconds slower",
}


def _instances() -> str:
    smallest = {"g7": "2xlarge", "g7e": "2xlarge", "p5": "4xlarge"}
    types = [f"ml.{family}.{smallest.get(family, 'xlarge')}" for family in FAMILIES]
    return _table(
        ("instance type", "GPU", *(f"`{model}`" for model in MODELS)),
        (
            (
                f"`{name}`",
                FAMILIES[name.split(".")[1]].gpu,
                *(_verdict(verdict(model, name)) for model in MODELS),
            )
            for name in types
        ),
    )


def _costs() -> str:
    """A video of each model's own size and frames, alone and as one of a hundred."""
    rows = []
    for model in MODELS.values():
        if model.name == "demo":
            continue
        size = model.weights[Mode.TEXT_TO_VIDEO].sizes[0]
        spec = JobSpec(
            prompt="a bee",
            model=model.name,
            preset=Preset.STANDARD,
            height=size.height,
            width=size.width,
            num_frames=model.num_frames[0],
            fps=model.fps,
            num_inference_steps=model.num_inference_steps[Preset.STANDARD],
            guidance_scale=model.guidance_scale,
            seed=1,
        )
        for name in estimate.USD_PER_HOUR:
            if name in FINISHING_TYPES or verdict(model.name, name).refused:
                continue
            making = estimate.Making.of(spec)
            alone = estimate.cost_on(Learned(), [making], name, tasks=1)
            many = estimate.cost_on(Learned(), [making] * 100, name, tasks=100)
            rows.append(
                (
                    f"`{model.name}`",
                    f"`{name}`",
                    f"{alone.gpu_minutes:.1f}",
                    f"{alone.usd_high:.2f}",
                    f"{many.usd_high:.2f}",
                    f"{(many.usd_high or 0) / 100:.2f}",
                )
            )
    head = ("model", "instance type", "minutes of rendering", "one alone", "a hundred", "each")
    return _table(head, rows)


def _verdict(found: Verdict) -> str:
    if found.refused:
        return f"no: {found.refused}"
    return _IN_WORDS[found.mode] if found.mode else "not known"


def _codes() -> str:
    return _table(("code", "meaning"), ((f"`{c}`", meaning) for c, meaning in MEANINGS.items()))


def _events() -> str:
    return _table(
        ("event", "metric", "meaning"),
        ((f"`{event.value}`", "yes" if event.counted else "", event.meaning) for event in Event),
    )


def _worker() -> str:
    """What `python -m bench.worker` measured, and what it could not."""
    document = json.loads((_ROOT / "bench" / "results" / "worker.json").read_text())
    rows = document["rows"]
    load = rows["load_at_the_beginning"]
    busy = f"not measured yet: the machine was busy (load {load})" if load > QUIET_LOAD else ""
    start, batch, idle = rows["start"], rows["batch"], rows["idle"]
    table = _table(
        ("what", "measured", "goal"),
        (
            (
                "start of the worker to its first step",
                busy or f"{start['to_first_step_seconds']['median']} s",
                "3 s",
            ),
            (
                f"a batch of {batch['videos']} against as many single runs",
                busy or f"{100 * batch['share']:.0f} %",
                "50 %",
            ),
            (
                f"renderer idle between the tasks of a batch of {idle['videos']}",
                f"{100 * idle['share']:.2f} % ({idle['seconds']} of {idle['of_seconds']} s)",
                "3 %",
            ),
        ),
    )
    return f"{document['what']}, on {document['machine']['cores']} cores.\n\n{table}"


def _batching() -> str:
    """What sharing start-ups brings, from the figures of `make bench-batching`."""
    document = json.loads((_ROOT / "bench" / "results" / "batching.json").read_text())
    rows: list[dict[str, Any]] = document["rows"]
    head = (
        "drops", "arrival", "instances", "policy", "jobs", "GPU minutes", "overhead s a video",
        "cost $", "all done, min", "wait p50, min", "wait p95, min", "calls a drop",
        "KiB submit", "KiB finish", "KiB dispatch",
    )  # fmt: skip
    names = (
        "drops", "arrival", "instances", "policy", "processing_jobs", "gpu_minutes",
        "overhead_seconds_per_video", "cost_usd", "makespan_minutes", "wait_p50_minutes",
        "wait_p95_minutes", "calls_per_drop", "peak_kib_submit", "peak_kib_finish",
        "peak_kib_dispatch",
    )  # fmt: skip
    table = _table(
        head,
        (
            [f"{row[n]:,}" if isinstance(row[n], int | float) else str(row[n]) for n in names]
            for row in rows
        ),
    )
    return f"{document['what']}.\n\n{table}"


def _coldstart() -> str:
    """What starting a function takes, from the figures of `python -m bench.coldstart`."""
    document = json.loads((_ROOT / "bench" / "results" / "coldstart.json").read_text())
    rows, sizes = document["rows"], document["rows"]["sizes"]
    load = rows["load_at_the_beginning"]
    busy = "not measured yet" if load > QUIET_LOAD else ""
    why = f" The machine was busy (load {load})." if busy else ""
    found = {(row["imports"], row["compiled"]): row for row in rows["starts"]}

    def cells(name: str) -> Iterator[str]:
        for compiled in (True, False):
            row = found[name, compiled]
            yield busy or f"{row['wall_seconds']['median']:.2f}"
        yield str(found[name, True]["memory_mib"])

    starts = _table(
        ("imports", "s", "without compiled files, s", "memory, MiB"),
        ((name, *cells(name)) for name in dict.fromkeys(row["imports"] for row in rows["starts"])),
    )
    media = {name: sizes[name] / 1e6 for name in ("PyAV", "Pillow")}
    rest = sizes["unzipped_bytes"] / 1e6 - sum(media.values())
    parts = _table(
        ("part of the zip", "MB, unzipped"),
        (
            *((name, f"{size:.0f}") for name, size in media.items()),
            ("everything else", f"{rest:.0f}"),
            ("together; Lambda takes 262", f"{sizes['unzipped_bytes'] / 1e6:.0f}"),
            ("the zip itself", f"{sizes['zipped_bytes'] / 1e6:.0f}"),
        ),
    )
    return f"{document['what']}, on {document['machine']['cores']} cores.{why}\n\n{starts}\n{parts}"


def _reading() -> str:
    """What reading files takes, from the figures of `python -m bench.reading`."""
    document = json.loads((_ROOT / "bench" / "results" / "reading.json").read_text())
    rows: list[dict[str, Any]] = document["rows"]
    return _table(
        ("file", "MB", "CPU, median s", "CPU, max s", "memory, MiB"),
        (
            [
                str(row["file"]).rpartition(".")[0],
                f"{row['file_bytes'] / 1e6:.1f}",
                f"{row['cpu_seconds']['median']:.2f}",
                f"{row['cpu_seconds']['max']:.2f}",
                str(row["max_rss_mib"]),
            ]
            for row in rows
        ),
    )


def _interpolation() -> str:
    """How good frames between others are, from the figures of `python -m bench.interpolation`."""
    document = json.loads((_ROOT / "bench" / "results" / "interpolation.json").read_text())
    rows: list[dict[str, Any]] = document["rows"]["films"]
    methods = list(rows[0]["psnr"])
    films = _table(
        ("film", "frames", *(f"{name}, dB" for name in methods)),
        (
            [
                f"{row['film']}, {row['height']}x{row['width']}",
                str(row["frames"]),
                *(f"{row['psnr'][m]['moving']} ({row['psnr'][m]['all']})" for m in methods),
            ]
            for row in rows
        ),
    )
    timed = _table(
        ("size", "ours, core seconds a frame", "RIFE", "minterpolate", "memory of ours, MiB"),
        (
            [
                f"{row['height']}x{row['width']}",
                *(f"{row['core_seconds'][m]:.2f}" for m in ("ours", "RIFE", "minterpolate")),
                str(row["peak_mib"]),
            ]
            for row in document["rows"]["timed"]
        ),
    )
    return f"{films}\n\n{timed}"


if __name__ == "__main__":
    sys.exit(main())
