"""Stage 2: the text encoder learns what captions say, and is frozen afterwards.

For each attribute of a scene, a linear head must read its value from every position of the output,
also from the padding. The transformer has no mask for padding, so every position must contain the
whole meaning. The heads are only used in training and are not shipped.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn

from demo_model import models, world
from demo_model.cores import Cores, device, mixed_precision
from demo_model.training_log import Budget, Course, Log, learning_rate_factor

_LEARNING_RATE = 1.5e-3
_BIAS_LEARNING_RATE = 5e-2
_BATCH = 40
_REPORT_STEPS = 100
_SAVE_SECONDS = 45.0
# What cross entropy leaves out.
_IGNORED = -100


def token_ids(tokenizer: Any, texts: list[str]) -> Tensor:
    """Token ids as the pipelines compute them, shape (texts, 64)."""
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
    """Train the text encoder and write checkpoints.

    Args:
        log: Where to write the log and the checkpoints.
        budget: How long to train, earlier runs included.
        seed: For the first weights and all random choices.
        resume: Whether to go on from the last checkpoint.

    Returns:
        The tokenizer, and the trained text encoder on the CPU.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer = models.tokenizer()
    encoder = models.text_encoder(len(tokenizer))
    heads = nn.ModuleDict(
        {
            # One more class than values, for captions that do not say it.
            name: nn.Linear(models.TEXT_WIDTH, len(values) + 1)
            for name, values in world.ATTRIBUTES.items()
        }
    )
    both = nn.ModuleList([encoder, heads]).to(device())
    optimizer = torch.optim.AdamW(_groups(both), betas=(0.9, 0.98), weight_decay=0.0)
    state = log.load() if resume else None
    course = Course(
        log, budget, report_steps=_REPORT_STEPS, save_seconds=_SAVE_SECONDS, state=state
    )
    if state is not None:
        both.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        rng.seed(seed + course.step)
    cores = Cores()
    course.start()
    while (done := course.done()) < 1:
        texts, labels = _batch(rng, _BATCH)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(done, course.step, warmup_steps=100)
        with cores.step():
            loss = _sum_of_losses(encoder, heads, token_ids(tokenizer, texts), labels)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimizer.step()
        course.advance(float(loss.detach()))
        if course.must_save():
            course.save(
                {"model": both.state_dict(), "optimizer": optimizer.state_dict()},
                check=lambda: _check(tokenizer, encoder, heads),
            )
    return tokenizer, encoder.cpu().eval()


def _groups(both: nn.Module) -> list[dict[str, Any]]:
    """All parameters with their learning rates, for the optimizer.

    The encoder only knows the order of words from the relative position bias. The bias must grow to
    several units before an attention head looks at neighbours alone, and with the learning rate of
    the other parameters that would take the whole training.
    """
    bias: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in both.named_parameters():
        (bias if "relative_attention_bias" in name else others).append(parameter)
    return [
        {"params": bias, "lr": _BIAS_LEARNING_RATE, "peak": _BIAS_LEARNING_RATE},
        {"params": others, "lr": _LEARNING_RATE, "peak": _LEARNING_RATE},
    ]


def _sum_of_losses(
    encoder: Any, heads: nn.ModuleDict, ids: Tensor, labels: dict[str, Tensor]
) -> Tensor:
    """Encode `ids`, shape (batch, 64), and sum up the losses of all heads."""
    with mixed_precision():
        output = encoder(ids.to(device()))[0]  # (batch, 64, 128)
    output = output.float()
    return sum(
        (_loss(heads[name](output), labels[name].to(device())) for name in labels),
        torch.zeros((), device=device()),
    )


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over all positions. `logits`: (batch, 64, classes), `labels`: (batch)."""
    spread = labels[:, None].expand(logits.shape[:2])
    return nn.functional.cross_entropy(
        logits.flatten(0, 1), spread.flatten(), ignore_index=_IGNORED
    )


def _batch(rng: random.Random, count: int) -> tuple[list[str], dict[str, Tensor]]:
    """Draw `count` captions, and for each attribute the class that its head must find.

    The class is the index of the value, the number of values if the caption does not say it, or
    `_IGNORED`.
    """
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
            # Some of these captions name the shape and some do not, so it is ignored.
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
    """The share of captions that each head reads correctly from the mean over all positions."""
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
