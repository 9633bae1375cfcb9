"""`python -m demo_model.evaluate --models DIR --out DIR`: measure what the demo model can do.

It renders videos with the worker's pipelines and the model folders that `install` writes. The
prompts have combinations and sentences that were held out from training. What a video shows is
measured from its pixels. The parts:

    text         held-out combinations and sentences
    control      the same prompts and seeds without guidance, and without a prompt
    wording      the same scenes in plain words, with synonyms, in another order, with typos
    image        a first frame of the world, and a sentence that only describes the motion

The out folder gets figures.json, confusion.txt, contact.png, and tables.md for the model card.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.catalogue import MODELS, Mode, Preset
from contract.manifest import Parameters
from demo_model import world
from demo_model.measure import Seen, measure
from demo_model.training_log import write_strips
from processing import loading, weights

SEED = 20260101
ASPECTS = ("background", "colour", "shape", "motion")
TARGETS = (
    ("background", "text", "background", 0.95),
    ("object colour", "text", "colour", 0.90),
    ("direction", "text", "direction", 0.90),
    ("shape", "text", "shape", 0.75),
    ("all four", "text", "all four", 0.65),
    ("image: first frame, mean", "image", "first frame dB, mean", 25.0),
    ("image: direction", "image", "direction", 0.85),
)
"""The targets: name, part, figure, least value (a share from 0 to 1, or dB)."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A video to make, and the scene that it should show."""

    scene: world.Scene
    prompt: str
    guidance_scale: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """A video that was made, and what it shows."""

    case: Case
    video: NDArray[np.uint8]
    """RGB, shape (frames, 64, 96, 3)."""
    seen: Seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate the model and write the figures. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m demo_model.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--models", metavar="DIR", type=Path, required=True, help="folder that `install` wrote"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder for the figures"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=64,
        help="videos of the part `text`; the other parts have fewer (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=MODELS["demo"].num_inference_steps[Preset.STANDARD],
        help="inference steps (default: %(default)s)",
    )
    parser.add_argument(
        "--guidance-scale",
        type=float,
        default=MODELS["demo"].guidance_scale,
        help="guidance scale, except in the control without guidance (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    evaluate(
        options.models,
        options.out,
        count=options.count,
        steps=options.steps,
        guidance_scale=options.guidance_scale,
    )
    return 0


def evaluate(models: Path, out: Path, *, count: int, steps: int, guidance_scale: float) -> None:
    """Make and measure all videos, and write the figures.

    Args:
        models: Folder with the model folders that `install` writes.
        out: Folder for the figures.
        count: Number of videos of the part `text`. The other parts have fewer.
        steps: Inference steps of each video.
        guidance_scale: Guidance scale of all videos except for the control without guidance.
    """
    out.mkdir(parents=True, exist_ok=True)
    text_cases = held_out_cases(count, guidance_scale)
    groups = {"text": text_cases}
    quarter = text_cases[: max(count // 4, 1)]
    groups["control: guidance off"] = [replace(case, guidance_scale=1.0) for case in quarter]
    groups["control: no prompt"] = [replace(case, prompt="") for case in quarter]
    groups |= _wording_cases(max(count // 6, 1), guidance_scale)
    results = _render(models, Mode.TEXT_TO_VIDEO, groups, steps)
    results |= _render(
        models, Mode.IMAGE_TO_VIDEO, {"image": _image_cases(count // 2, guidance_scale)}, steps
    )
    figures: dict[str, Any] = {
        "steps": steps,
        "guidance_scale": guidance_scale,
        "seed": SEED,
        "fingerprints": {
            item.folder: weights.compare(models / item.folder).sha256
            for item in MODELS["demo"].weights.values()
        },
    }
    for name, group in results.items():
        figures[name] = score(group)
        print(name, figures[name], flush=True)
    figures["image"] = score(results["image"]) | _first_frames(results["image"])
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    (out / "tables.md").write_text(tables(figures), encoding="utf-8")
    (out / "confusion.txt").write_text(_confusion(results["text"]), encoding="utf-8")
    shown = [*results["text"][:14], *results["image"][:6]]
    write_strips(
        out / "contact.png",
        [result.video for result in shown],
        [result.case.prompt for result in shown],
    )


def tables(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown tables for the model card."""
    lines = ["| | target | reached | holds |", "| --- | --- | --- | --- |"]
    for name, part, figure, least in TARGETS:
        value = figures[part][figure]
        if least > 1:
            cells = f"≥ {least:.0f} dB | {value:.1f} dB"
        else:
            cells = f"≥ {least:.0%} | {value:.0%}".replace("%", " %")
        lines.append(f"| {name} | {cells} | {'yes' if value >= least else '**no**'} |")
    columns = (*ASPECTS, "direction", "all four")
    lines += ["", f"| part | videos | {' | '.join(columns)} |", "| --- " * (len(columns) + 2) + "|"]
    for part, found in figures.items():
        if isinstance(found, dict) and "videos" in found:
            cells = " | ".join(f"{found[column]:.0%}".replace("%", " %") for column in columns)
            lines.append(f"| {part} | {found['videos']} | {cells} |")
    return "\n".join(lines) + "\n"


def held_out_cases(count: int, guidance_scale: float) -> list[Case]:
    """Cases with held-out combinations in held-out sentences."""
    rng = random.Random(SEED)
    cases = []
    for index in range(count):
        scene = world.draw_scene(rng, held_out=True)
        prompt = world.caption(rng, scene, held_out=True)
        cases.append(
            Case(scene=scene, prompt=prompt, guidance_scale=guidance_scale, seed=SEED + index)
        )
    return cases


def score(results: list[Result]) -> dict[str, float]:
    """The share of videos that show each aspect correctly.

    `direction` only counts scenes whose object moves to another place.
    """
    figures: dict[str, float] = {"videos": len(results)}
    for aspect in ASPECTS:
        figures[aspect] = _part([_is_right(result, aspect) for result in results])
    travelling = [result for result in results if result.case.scene.motion in world.DIRECTIONS]
    figures["direction"] = _part([_is_right(result, "motion") for result in travelling])
    figures["all four"] = _part(
        [all(_is_right(result, aspect) for aspect in ASPECTS) for result in results]
    )
    return figures


def _render(
    models: Path, mode: Mode, groups: dict[str, list[Case]], steps: int
) -> dict[str, list[Result]]:
    """Make and measure the videos of all cases, in the same groups."""
    model = MODELS["demo"]
    folder = models / model.weights[mode].folder
    weights.check(folder, model, mode)
    texts = {case.prompt for cases in groups.values() for case in cases} | {""}
    pipeline = loading.load(model=model, modes=[mode], folder=folder, texts=texts)
    results: dict[str, list[Result]] = {}
    for name, cases in groups.items():
        results[name] = []
        for case in cases:
            parameters = Parameters(
                mode=mode,
                prompt=case.prompt,
                height=world.HEIGHT,
                width=world.WIDTH,
                num_frames=world.FRAMES,
                fps=model.fps,
                num_inference_steps=steps,
                guidance_scale=case.guidance_scale,
                seed=case.seed,
            )
            image = None
            if mode == Mode.IMAGE_TO_VIDEO:
                image = Image.fromarray(world.render(case.scene, 1)[0])
            latents = pipeline.denoise(parameters, image, lambda _done, _steps: None)
            video = pipeline.decode(latents, parameters)
            results[name].append(Result(case=case, video=video, seen=measure(video)))
    return results


def _wording_cases(count: int, guidance_scale: float) -> dict[str, list[Case]]:
    """The same scenes and seeds, described in four ways."""
    rng = random.Random(SEED + 1)
    groups: dict[str, list[Case]] = {
        f"wording: {name}": [] for name in ("plain", "synonyms", "order", "typos")
    }
    for index in range(count):
        scene = world.draw_scene(rng, held_out=True)
        pattern = "{obj} {moves} on {bg}"
        plain = world.fill(rng, scene, pattern, plain=True)
        texts = {
            "plain": plain,
            "synonyms": world.fill(rng, scene, pattern, plain=False),
            "order": world.fill(rng, scene, "over {bg} the {bare} {moves}", plain=True),
            "typos": world.with_typo(rng, plain),
        }
        for name, text in texts.items():
            groups[f"wording: {name}"].append(
                Case(scene=scene, prompt=text, guidance_scale=guidance_scale, seed=SEED + index)
            )
    return groups


def _image_cases(count: int, guidance_scale: float) -> list[Case]:
    rng = random.Random(SEED + 2)
    cases = []
    for index in range(max(count, 1)):
        scene = world.draw_scene(rng, held_out=True)
        prompt = world.motion_caption(rng, scene, held_out=True)
        cases.append(
            Case(scene=scene, prompt=prompt, guidance_scale=guidance_scale, seed=SEED + index)
        )
    return cases


def _first_frames(results: list[Result]) -> dict[str, float]:
    """How exactly videos keep their image as first frame, in dB, and how many keep the object."""
    ratios = []
    for result in results:
        true = world.render(result.case.scene, 1)[0].astype(np.float32)
        error = float(((result.video[0].astype(np.float32) - true) ** 2).mean())
        ratios.append(10 * math.log10(255**2 / max(error, 1e-6)))
    kept = [_is_right(result, "colour") and _is_right(result, "shape") for result in results]
    return {
        "first frame dB, mean": round(float(np.mean(ratios)), 2),
        "first frame dB, least": round(min(ratios), 2),
        "object kept": _part(kept),
    }


def _is_right(result: Result, aspect: str) -> bool:
    return bool(getattr(result.seen, aspect) == getattr(result.case.scene, aspect))


def _part(right: list[bool]) -> float:
    return round(sum(right) / len(right), 4) if right else 0.0


def _confusion(results: list[Result]) -> str:
    """A table for each aspect: the value in the prompt (rows) and in the video (columns)."""
    lines = []
    for aspect in ASPECTS:
        values = world.ATTRIBUTES[aspect]
        pairs = Counter(
            (getattr(result.case.scene, aspect), getattr(result.seen, aspect)) for result in results
        )
        columns: tuple[str | None, ...] = (*values, None)
        lines.append(f"{aspect:>11} " + " ".join(f"{value or 'none':>10}" for value in columns))
        for told in values:
            numbers = (pairs[told, seen] for seen in columns)
            lines.append(f"{told:>11} " + " ".join(f"{number or '.':>10}" for number in numbers))
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
