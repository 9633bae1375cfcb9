"""Stage 3: the transformer learns to make latents from text, and from text and a first frame.

One training serves both: the latents of the first frame, built as CogVideoXImageToVideoPipeline
builds them, are left at zero half of the time, and the text model is the same weights without the
inputs for them. Noise and target are those of the scheduler that samples. The loss counts the
surroundings of the object more, else the plain background drowns it.

Most steps see a few frames of each clip, at their true positions: what a shape looks like at a
place is learned from single frames, and six cost a third of seventeen. The last steps see whole
clips.
"""

from __future__ import annotations

import copy
import itertools
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from demo_model import models, world
from demo_model.cores import Cores, device, has_bfloat16, mixed_precision
from demo_model.train_text import token_ids
from demo_model.train_vae import single_frames, to_pixels
from demo_model.training_log import Budget, Log, learning_rate_factor, write_strips

_LEARNING_RATE = 1e-3
_MUON_LEARNING_RATE = 3e-3
_MUON_MOMENTUM = 0.95
_MUON_WEIGHT_DECAY = 0.01
_BATCH = 8
_ACCELERATOR_BATCH = 64
_FIRST_CLIPS = 800
_STEPS_A_CLIP = 2
_MOST_CLIPS = 6000
_TEXT_DROPPED = 0.1
_OBJECT_WEIGHT = 5.0
_EDGE_WEIGHT = 12.0
# What it is on average without the edges; losses stay comparable.
_USUAL_WEIGHT = 1.7
_FIRST_FRAME_WEIGHT = 4.0
_TOWARDS_NOISE = 0.65
_SOME_FRAMES = 6
_WHOLE_CLIPS_FROM = 0.8
_EMA = 0.998
_REPORT_STEPS = 20
_SAVE_SECONDS = 60.0
_STRIP_SECONDS = 170.0
_STRIP_PROMPTS = (
    "A red circle moves right on a blue background",
    "A yellow star moves up on a black background.",
    "A big green square slides diagonally down and to the left across a white wall.",
    "On a grey background, a purple triangle shrinks",
)


class Clips:
    """Clips of the world as latents. More are added while training goes on."""

    def __init__(self, vae: Any, seed: int) -> None:
        self._vae = vae
        self._rng = random.Random(seed)
        self.scenes: list[world.Scene] = []
        self._videos = torch.zeros(
            _MOST_CLIPS,
            models.LATENT_FRAMES,
            models.LATENT_CHANNELS,
            models.LATENT_HEIGHT,
            models.LATENT_WIDTH,
            device=device(),
        )
        self._weights = torch.zeros_like(self._videos[:, :, :1])

    @torch.inference_mode()
    def add(self, count: int) -> None:
        """Draw and encode `count` more clips, up to the most that are kept."""
        for _ in range(min(count, _MOST_CLIPS - len(self.scenes))):
            scene = world.draw_scene(self._rng, held_out=False)
            at = len(self.scenes)
            # (frames, 3, 1, height, width): each by itself, as the pipelines encode a picture.
            pixels = to_pixels([world.render(scene)])[0].transpose(0, 1)[:, :, None]
            pixels = pixels.to(device())
            with single_frames(self._vae), mixed_precision():
                latents = self._vae.encode(pixels).latent_dist.mode()[:, :, 0]
            self._videos[at] = latents.float() * self._vae.config.scaling_factor
            self._weights[at] = _weights(scene)
            self.scenes.append(scene)

    def batch(self, picks: list[int]) -> tuple[Tensor, Tensor]:
        """Latents and the weight of each, (batch, 17, 4 or 1, latent height, latent width)."""
        return self._videos[picks], self._weights[picks]


def without_image(transformer: Any) -> Any:
    """The text model: the same weights without the inputs for a picture's latents."""
    text_model = models.transformer(image=False)
    state = dict(transformer.state_dict())
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][
        :, : models.LATENT_CHANNELS
    ].clone()
    text_model.load_state_dict(state)
    return text_model.eval()


def train(
    log: Log,
    budget: Budget,
    *,
    seed: int,
    resume: bool,
    start: Path | None = None,
    vae: Any,
    tokenizer: Any,
    text_encoder: Any,
) -> Any:
    """Train, write checkpoints, and return the transformer with its weights averaged (EMA).

    `start` is a finished model whose transformer's weights are the first ones.
    """
    torch.manual_seed(seed)
    transformer = _first_transformer(start).to(device())
    vae, text_encoder = vae.to(device()), text_encoder.to(device())
    for block in transformer.transformer_blocks:
        block.attn1.set_processor(_TrainingAttention())
    average = copy.deepcopy(transformer).requires_grad_(False)
    optimizers = _optimizers(transformer)
    step, seconds = 0, 0.0
    state = log.load() if resume else None
    if state is not None:
        transformer.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, saved_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved_state)
        step, seconds = state["step"], state["seconds"]
        torch.manual_seed(seed + step)
    lessons = _Lessons(Clips(vae, seed + step), tokenizer, text_encoder, seed + step)
    if budget.done(step, seconds) < 1:
        lessons.clips.add(min(_FIRST_CLIPS, budget.steps or _FIRST_CLIPS))
    cores = Cores()
    saved = drawn = last = time.monotonic()
    mean_loss = 0.0
    while (done := budget.done(step, seconds)) < 1:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate_factor(done, step, warmup_steps=100)
        with cores.step():
            lessons.clips.add(int(step % _STEPS_A_CLIP == 0))
            loss = lessons.loss(transformer, whole=done >= _WHOLE_CLIPS_FROM)
            for optimizer in optimizers:
                optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(transformer.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            _follow(average, transformer, min(_EMA, (1 + step) / (10 + step)))
        step += 1
        mean_loss += float(loss.detach()) / _REPORT_STEPS
        now = time.monotonic()
        seconds, last = seconds + now - last, now
        if step % _REPORT_STEPS == 0:
            log.write(step=step, loss=mean_loss, seconds=seconds, clips=len(lessons.clips.scenes))
            mean_loss = 0.0
        over = budget.done(step, seconds) >= 1
        if now - saved > _SAVE_SECONDS or over:
            log.save(
                {
                    "model": transformer.state_dict(),
                    "average": average.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                    "step": step,
                    "seconds": seconds,
                }
            )
            log.draw_curve()
            saved = time.monotonic()
        if now - drawn > _STRIP_SECONDS or over:
            _strip(log, average, vae, tokenizer, text_encoder)
            drawn = time.monotonic()
    return average.cpu().eval()


class _Lessons:
    """Noisy clips with their captions, and how far a transformer is from the truth about them."""

    def __init__(self, clips: Clips, tokenizer: Any, text_encoder: Any, seed: int) -> None:
        self.clips = clips
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self._rng = random.Random(seed)
        self._alphas = models.scheduler().alphas_cumprod.float().to(device())
        self._places = Places()
        self._batch = _ACCELERATOR_BATCH if device().type == "cuda" else _BATCH

    def loss(self, transformer: Any, *, whole: bool) -> Tensor:
        """The weighted mean square error of v on a new batch, of `whole` clips or a few frames."""
        picks = [self._rng.randrange(len(self.clips.scenes)) for _ in range(self._batch)]
        videos, weights = self.clips.batch(picks)
        frames = self._frames(whole=whole)
        videos, weights = videos[:, frames], weights[:, frames]
        with_image = torch.tensor([self._rng.random() < 0.5 for _ in picks], device=device())
        texts = [
            _text(self._rng, self.clips.scenes[pick], image=bool(image))
            for pick, image in zip(picks, with_image, strict=True)
        ]
        with torch.no_grad():
            embeds = self._text_encoder(token_ids(self._tokenizer, texts).to(device()))[0]
        images = torch.cat([videos[:, :1], torch.zeros_like(videos[:, 1:])], dim=1)
        images = images * with_image.view(-1, 1, 1, 1, 1)
        # One timestep from each part of the range: less chance in a small batch. More of them from
        # the noisy end, where shape and place are decided.
        count = self._batch
        parts = (torch.arange(count) + torch.rand(count)).to(device()) / count
        timesteps = (1000 * parts**_TOWARDS_NOISE).long().clamp(max=999)
        alpha = self._alphas[timesteps].view(-1, 1, 1, 1, 1)
        noise = torch.randn_like(videos)
        noisy = alpha.sqrt() * videos + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * videos
        with mixed_precision():
            output = transformer(
                hidden_states=torch.cat([noisy, images], dim=2),
                encoder_hidden_states=embeds,
                timestep=timesteps,
                image_rotary_emb=self._places.choose(transformer, frames),
                return_dict=False,
            )[0]
        # The picture that was given is to be kept: its frame counts more, and is only one of 17.
        # The others count that much less, so that losses stay comparable.
        before = weights.mean()
        weights = weights.clone()
        weights[:, 0] *= 1 + _FIRST_FRAME_WEIGHT * with_image.view(-1, 1, 1, 1)
        weights = weights * before / weights.mean()
        loss: Tensor = (weights * (output.float() - target) ** 2).mean()
        return loss

    def _frames(self, *, whole: bool) -> list[int]:
        """The first frame, which pictures are given for, and one from each part of the others."""
        if whole:
            return list(range(models.LATENT_FRAMES))
        edges = np.linspace(1, models.LATENT_FRAMES, _SOME_FRAMES).round().astype(int)
        parts = itertools.pairwise(edges)
        return [0, *(self._rng.randrange(start, end) for start, end in parts)]


class Places:
    """Where the tokens of a clip are, for whole clips and for some of their frames."""

    def __init__(self) -> None:
        self._cosine, self._sine = _rotary()

    def choose(self, transformer: Any, frames: list[int]) -> tuple[Tensor, Tensor]:
        """Let the transformer take these frames next; returns their rotary positions.

        Those are (frames times patches, width of a head).
        """
        patches, text = models.PATCHES_A_FRAME, models.PROMPT_TOKENS
        rows = (torch.tensor(frames)[:, None] * patches + torch.arange(patches)).flatten()
        embed = transformer.patch_embed
        places = embed.pos_embedding[:, torch.cat([torch.arange(text), text + rows]).to(device())]
        # What it calls for a number of frames that is not its own.
        embed._get_positional_embeddings = lambda *_, **__: places
        return self._cosine[rows.to(device())], self._sine[rows.to(device())]


class _TrainingAttention:
    """What CogVideoXAttnProcessor2_0 computes, in plain matrix products.

    On a CPU the backward pass of torch's fused attention takes four times as long.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,  # noqa: ARG002
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        from diffusers.models.embeddings import apply_rotary_emb  # noqa: PLC0415

        texts = encoder_hidden_states.shape[1]
        together = torch.cat([encoder_hidden_states, hidden_states], dim=1)

        def heads(values: Tensor) -> Tensor:  # (batch, heads, tokens, head width)
            shape = (values.shape[0], values.shape[1], attn.heads, -1)
            return values.reshape(shape).transpose(1, 2)

        query = attn.norm_q(heads(attn.to_q(together)))
        key = attn.norm_k(heads(attn.to_k(together)))
        value = heads(attn.to_v(together))
        query, key = (
            torch.cat(
                [x[:, :, :texts], apply_rotary_emb(x[:, :, texts:], image_rotary_emb)], dim=2
            ).to(value.dtype)
            for x in (query, key)
        )
        weights = ((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)).softmax(dim=-1)
        mixed = (weights.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        mixed = attn.to_out[1](attn.to_out[0](mixed))
        return mixed[:, texts:], mixed[:, :texts]


def _first_transformer(start: Path | None) -> Any:
    transformer = models.transformer(image=True)
    if start is None:
        _start_as_identity(transformer)
    else:
        transformer.load_state_dict(
            load_file(start / "transformer" / "diffusion_pytorch_model.safetensors")
        )
    return transformer


def _start_as_identity(transformer: Any) -> None:
    """Let the time first change nothing, so that training starts from a plain transformer."""
    width = models.HEAD_WIDTH * transformer.config.num_attention_heads
    with torch.no_grad():
        for block in transformer.transformer_blocks:
            for norm in (block.norm1, block.norm2):
                norm.linear.weight.mul_(0.1)
                norm.linear.bias.zero_()
                # Shift, scale and gate of the video, then of the text.
                norm.linear.bias[2 * width : 3 * width] = 1
                norm.linear.bias[5 * width :] = 1
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()


def _optimizers(transformer: Any) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for everything else."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in transformer.named_parameters():
        inner = name.startswith("transformer_blocks") and (".attn1.to_" in name or ".ff." in name)
        (matrices if inner and parameter.dim() == 2 else others).append(parameter)
    muon = _Muon(matrices)
    adamw = torch.optim.AdamW(others, lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    for optimizer in (muon, adamw):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adamw]


class _Muon(torch.optim.Optimizer):
    """Muon as in torch.optim, but for its arithmetic: torch orthogonalises in bfloat16, which a
    processor without it only imitates, and then that is most of a step.
    """

    def __init__(self, matrices: list[Tensor]) -> None:
        super().__init__(matrices, {"lr": _MUON_LEARNING_RATE})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """One step: Nesterov's momentum, made orthogonal, as long as AdamW's would be."""
        for group in self.param_groups:
            for matrix in group["params"]:
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                momentum = state["momentum"].lerp_(matrix.grad, 1 - _MUON_MOMENTUM)
                update = _orthogonal(matrix.grad.lerp(momentum, _MUON_MOMENTUM))
                matrix.mul_(1 - group["lr"] * _MUON_WEIGHT_DECAY)
                matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


def _orthogonal(update: Tensor) -> Tensor:
    """`update` with all singular values near 1: Newton-Schulz, Keller Jordan's coefficients."""
    wide = update if update.shape[0] <= update.shape[1] else update.T
    wide = wide / wide.norm().clamp(min=1e-7)
    if has_bfloat16():
        wide = wide.bfloat16()
    for _ in range(4):
        gram = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * gram + 2.0315 * gram @ gram) @ wide
    orthogonal: Tensor = (wide if update.shape[0] <= update.shape[1] else wide.T).to(update.dtype)
    return orthogonal


def _follow(average: Any, transformer: Any, keep: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(transformer.parameters()), 1 - keep)


def _text(rng: random.Random, scene: world.Scene, *, image: bool) -> str:
    if rng.random() < _TEXT_DROPPED:
        return ""
    text = (
        world.motion_caption(rng, scene)
        if image and rng.random() < 0.4
        else world.caption(rng, scene)
    )
    return world.with_typo(rng, text) if rng.random() < 0.1 else text


def _weights(scene: world.Scene) -> Tensor:
    """How much each latent counts, shape (17, 1, latent height, latent width)."""
    masks = torch.from_numpy(
        np.stack([world.object_mask(scene, frame) for frame in range(world.FRAMES)])
    )
    near = nn.functional.max_pool2d(masks[:, None], 7, stride=1, padding=3)
    inside = -nn.functional.max_pool2d(-masks[:, None], 7, stride=1, padding=3)
    # A circle and a square of one size differ only along their edges.
    counts = 1 + _OBJECT_WEIGHT * near + _EDGE_WEIGHT * (near - inside)
    weights = nn.functional.avg_pool2d(counts, models.SPATIAL_COMPRESSION)
    return weights * _USUAL_WEIGHT / weights.mean()


def _rotary() -> tuple[Tensor, Tensor]:
    """The rotary positions that the pipelines compute for the size of the world."""
    from diffusers import CogVideoXPipeline  # noqa: PLC0415

    pipe = CogVideoXPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=models.vae(),
        transformer=models.transformer(image=False),
        scheduler=models.scheduler(),
    )
    cosine, sine = pipe._prepare_rotary_positional_embeddings(
        world.HEIGHT, world.WIDTH, models.LATENT_FRAMES, device()
    )
    return cosine, sine


@torch.inference_mode()
def _strip(log: Log, average: Any, vae: Any, tokenizer: Any, text_encoder: Any) -> None:
    """Sample a few prompts through the pipelines, from text and from a first frame."""
    from diffusers import CogVideoXImageToVideoPipeline, CogVideoXPipeline  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    parts = {
        "tokenizer": None,
        "text_encoder": None,
        "vae": vae,
        "scheduler": models.scheduler(),
    }
    embeds = text_encoder(token_ids(tokenizer, [*_STRIP_PROMPTS, ""]).to(device()))[0]
    count = len(_STRIP_PROMPTS)
    settings = {
        "prompt_embeds": embeds[:count],
        "negative_prompt_embeds": embeds[count:].expand(count, -1, -1),
        "height": world.HEIGHT,
        "width": world.WIDTH,
        "num_frames": world.FRAMES,
        "num_inference_steps": 12,
        "guidance_scale": 3.0,
        "generator": torch.Generator().manual_seed(1),
        "output_type": "np",
        "max_sequence_length": models.PROMPT_TOKENS,
    }
    text_pipe = CogVideoXPipeline(transformer=without_image(average).to(device()), **parts)
    text_pipe.set_progress_bar_config(disable=True)
    videos = list(text_pipe(**settings).frames)
    scene = world.Scene(
        shape="circle", colour="red", background="blue", size="large", motion="right"
    )
    first = Image.fromarray(world.render(scene, 1)[0])
    image_pipe = CogVideoXImageToVideoPipeline(transformer=average, **parts)
    image_pipe.set_progress_bar_config(disable=True)
    settings |= {
        "image": [first],
        "prompt_embeds": embeds[:1],
        "negative_prompt_embeds": embeds[count:],
    }
    videos += list(image_pipe(**settings).frames)
    strips: list[NDArray[np.uint8]] = [(video * 255).round().astype(np.uint8) for video in videos]
    labels = [*_STRIP_PROMPTS, f"[image] {_STRIP_PROMPTS[0]}"]
    write_strips(log.checkpoint.with_suffix(".strip.png"), strips, labels)
