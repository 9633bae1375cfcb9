"""Stage 2: the text encoder learns what captions say, and is frozen afterwards.

A linear head for each attribute reads every position of the output, the padding included, so that
the transformer, which knows no mask, finds the whole meaning wherever it looks. The heads serve
training only and are not shipped.
"""

from __future__ import annotations

import random
import time
from typing import Any

import torch
from torch import Tensor, nn

from demo_model import models, world
from demo_model.cores import Cores, device, mixed_precision
from demo_model.training_log import Budget, Log, learning_rate_factor

_LEARNING_RATE = 1.5e-3
_BIAS_LEARNING_RATE = 5e-2
_BATCH = 40
_REPORT_STEPS = 100
_SAVE_SECONDS = 45.0
_IGNORED = -100


def token_ids(tokenizer: Any, texts: list[str]) -> Tensor:
    """Token numbers as the pipelines make them, shape (texts, 64)."""
    ids: Tensor = tokenizer(
        texts,
        padding="max_length",
        max_length=models.PROMPT_TOKENS,
        truncation=True,
        add_special_tokens=True,
        return_tensors="pt",
    ).input_ids
    return ids


def train(log: Log, budget: Budget, *, seed: int, resume: bool) -> tuple[Any, Any]:
    """Train, write checkpoints, and return the tokenizer and the text encoder."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer = models.tokenizer()
    encoder = models.text_encoder(len(tokenizer))
    heads = nn.ModuleDict(
        {
            # One class more than values: the caption does not tell.
            name: nn.Linear(models.TEXT_WIDTH, len(values) + 1)
            for name, values in world.ATTRIBUTES.items()
        }
    )
    both = nn.ModuleList([encoder, heads]).to(device())
    optimizer = torch.optim.AdamW(_groups(both), betas=(0.9, 0.98), weight_decay=0.0)
    step, seconds = 0, 0.0
    state = log.load() if resume else None
    if state is not None:
        both.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds = state["step"], state["seconds"]
        rng.seed(seed + step)
    cores = Cores()
    saved = last = time.monotonic()
    mean_loss = 0.0
    while (done := budget.done(step, seconds)) < 1:
        texts, labels = _batch(rng, _BATCH)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(done, step, warmup_steps=100)
        with cores.step():
            with mixed_precision():
                # (batch, 64, 128)
                output = encoder(token_ids(tokenizer, texts).to(device()))[0]
            output = output.float()
            loss = sum(
                (_loss(heads[name](output), labels[name].to(device())) for name in labels),
                torch.zeros((), device=device()),
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimizer.step()
        step += 1
        mean_loss += float(loss.detach()) / _REPORT_STEPS
        now = time.monotonic()
        seconds, last = seconds + now - last, now
        if step % _REPORT_STEPS == 0:
            log.write(step=step, loss=mean_loss, seconds=seconds)
            mean_loss = 0.0
        if now - saved > _SAVE_SECONDS or budget.done(step, seconds) >= 1:
            log.save(
                {
                    "model": both.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "seconds": seconds,
                }
            )
            log.draw_curve()
            log.write(step=step, **_check(tokenizer, encoder, heads))
            saved = time.monotonic()
    return tokenizer, encoder.cpu().eval()


def _groups(both: nn.Module) -> list[dict[str, Any]]:
    """Parameters with their learning rates.

    Word order is known from the relative position bias alone, which must grow to several units
    before a head looks at neighbours only: at the rate of the others it would take the whole time.
    """
    bias: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in both.named_parameters():
        (bias if "relative_attention_bias" in name else others).append(parameter)
    return [
        {"params": bias, "lr": _BIAS_LEARNING_RATE, "peak": _BIAS_LEARNING_RATE},
        {"params": others, "lr": _LEARNING_RATE, "peak": _LEARNING_RATE},
    ]


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over all positions; `logits` (batch, 64, classes), `labels` (batch)."""
    spread = labels[:, None].expand(logits.shape[:2])
    return nn.functional.cross_entropy(
        logits.flatten(0, 1), spread.flatten(), ignore_index=_IGNORED
    )


def _batch(rng: random.Random, count: int) -> tuple[list[str], dict[str, Tensor]]:
    texts: list[str] = []
    labels: dict[str, list[int]] = {name: [] for name in world.ATTRIBUTES}
    for _ in range(count):
        scene = world.draw_scene(rng, held_out=False)
        draw = rng.random()
        told: tuple[str, ...] = tuple(world.ATTRIBUTES)
        open_shape = False
        if draw < 0.80:
            text = world.caption(rng, scene)
        elif draw < 0.90:
            # Whether it names the shape is the pattern's business.
            text, told, open_shape = world.motion_caption(rng, scene), ("motion",), True
        elif draw < 0.98:
            text, told = world.partial_caption(rng, scene)
        else:
            text, told = "", ()
        while rng.random() < 0.2:
            text = world.with_typo(rng, text)
        texts.append(text)
        for name, values in world.ATTRIBUTES.items():
            if name == "shape" and open_shape:
                labels[name].append(_IGNORED)
            else:
                value = getattr(scene, name)
                labels[name].append(values.index(value) if name in told else len(values))
    return texts, {name: torch.tensor(numbers) for name, numbers in labels.items()}


@torch.inference_mode()
def _check(tokenizer: Any, encoder: Any, heads: nn.ModuleDict) -> dict[str, float]:
    """The part of trained captions that each head reads rightly from the mean of the output."""
    rng = random.Random(4242)
    scenes = [world.draw_scene(rng, held_out=False) for _ in range(200)]
    texts = [world.caption(rng, scene) for scene in scenes]
    output = encoder(token_ids(tokenizer, texts).to(device()))[0]
    return {
        name: sum(
            values[min(int(choice), len(values) - 1)] == getattr(scene, name)
            for choice, scene in zip(
                heads[name](output).mean(dim=1).argmax(dim=1), scenes, strict=True
            )
        )
        / len(scenes)
        for name, values in world.ATTRIBUTES.items()
    }
