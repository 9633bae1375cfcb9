"""Stage 3: the transformer learns to make latents from text, and from text and a first frame.

One training serves both. The latents of the first frame, built as in CogVideoXImageToVideoPipeline,
are zero for half of the clips, and the model for text to video has the same weights without the
inputs for these latents. Noise and target are those of the scheduler for sampling. The loss gives
pixels near the object more weight, because most pixels are plain background.

Most steps use only a few frames of each clip, at their true positions. How a shape looks at a place
can be learned from single frames, and six frames cost a third of seventeen. The last steps use
whole clips.
"""

from __future__ import annotations

import copy
import itertools
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from demo_model import models, world
from demo_model.cores import Cores, device, has_bfloat16, mixed_precision
from demo_model.models import FrozenParts
from demo_model.train_text import token_ids
from demo_model.train_vae import single_frames, to_pixels
from demo_model.training_log import Budget, Course, Log, learning_rate_factor, write_strips

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
# The mean weight without the weight of edges, so that losses stay comparable.
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
    """Clips of the world as latents. More are added during the training."""

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
        """Draw and encode `count` more clips. Does nothing once there are 6,000."""
        for _ in range(min(count, _MOST_CLIPS - len(self.scenes))):
            scene = world.draw_scene(self._rng, held_out=False)
            at = len(self.scenes)
            # (frames, 3, 1, height, width): each frame alone, as the pipelines encode an image.
            pixels = to_pixels([world.render(scene)])[0].transpose(0, 1)[:, :, None]
            pixels = pixels.to(device())
            with single_frames(self._vae), mixed_precision():
                latents = self._vae.encode(pixels).latent_dist.mode()[:, :, 0]
            self._videos[at] = latents.float() * self._vae.config.scaling_factor
            self._weights[at] = _weights(scene)
            self.scenes.append(scene)

    def batch(self, picks: list[int]) -> tuple[Tensor, Tensor]:
        """The latents of the clips with these numbers, and the weight of each latent in the loss.

        Returns:
            Shapes (batch, 17, 4, latent height, latent width), and the same with 1 instead of 4.
        """
        return self._videos[picks], self._weights[picks]


def without_image(transformer: Any) -> Any:
    """The model for text to video: the same weights without the inputs for an image."""
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
    parts: FrozenParts,
    *,
    seed: int,
    resume: bool,
    start: Path | None = None,
) -> Any:
    """Train the transformer and write checkpoints.

    Args:
        log: Where to write the log, the checkpoints and the strips.
        budget: How long to train, earlier runs included.
        parts: The trained parts of the first two stages. VAE and text encoder are moved to the
            device.
        seed: For the first weights and all random choices.
        resume: Whether to go on from the last checkpoint.
        start: A finished model. Without a checkpoint, its transformer has the first weights.

    Returns:
        The transformer on the CPU, with the moving average (EMA) of its weights.
    """
    torch.manual_seed(seed)
    learner = _Learner.of(_first_transformer(start).to(device()))
    parts.vae.to(device())
    parts.text_encoder.to(device())
    state = log.load() if resume else None
    course = Course(
        log, budget, report_steps=_REPORT_STEPS, save_seconds=_SAVE_SECONDS, state=state
    )
    if state is not None:
        learner.load_state(state)
        torch.manual_seed(seed + course.step)
    lessons = _Lessons(parts, seed + course.step)
    if course.done() < 1:
        lessons.clips.add(min(_FIRST_CLIPS, budget.steps or _FIRST_CLIPS))
    cores = Cores()
    course.start()
    drawn = time.monotonic()
    while (done := course.done()) < 1:
        learner.set_learning_rate(learning_rate_factor(done, course.step, warmup_steps=100))
        with cores.step():
            lessons.clips.add(int(course.step % _STEPS_A_CLIP == 0))
            loss = lessons.loss(learner.transformer, whole=done >= _WHOLE_CLIPS_FROM)
            learner.step(loss, number=course.step)
        course.advance(float(loss.detach()), clips=len(lessons.clips.scenes))
        if course.must_save():
            course.save(learner.state())
        if time.monotonic() - drawn > _STRIP_SECONDS or course.done() >= 1:
            _strip(log, learner.average, parts)
            drawn = time.monotonic()
    return learner.average.cpu().eval()


@dataclass(frozen=True, kw_only=True)
class _Learner:
    """A transformer in training, the moving average of its weights, and its optimizers."""

    transformer: Any
    average: Any
    optimizers: list[torch.optim.Optimizer]

    @classmethod
    def of(cls, transformer: Any) -> _Learner:
        """Prepare `transformer` for training."""
        for block in transformer.transformer_blocks:
            block.attn1.set_processor(_TrainingAttention())
        return cls(
            transformer=transformer,
            average=copy.deepcopy(transformer).requires_grad_(False),
            optimizers=_optimizers(transformer),
        )

    def set_learning_rate(self, factor: float) -> None:
        """Set all learning rates to this share of their full values."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor

    def step(self, loss: Tensor, *, number: int) -> None:
        """Change the weights by one step. `number` is the number of steps before this one."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.transformer.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        _follow(self.average, self.transformer, min(_EMA, (1 + number) / (10 + number)))

    def state(self) -> dict[str, Any]:
        """What a checkpoint must contain to go on."""
        return {
            "model": self.transformer.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.transformer.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


class _Lessons:
    """Draws noisy clips with captions, and computes the loss of a transformer on them."""

    def __init__(self, parts: FrozenParts, seed: int) -> None:
        self.clips = Clips(parts.vae, seed)
        self._tokenizer = parts.tokenizer
        self._text_encoder = parts.text_encoder
        self._rng = random.Random(seed)
        self._alphas = models.scheduler().alphas_cumprod.float().to(device())
        self._places = Places()
        self._batch = _ACCELERATOR_BATCH if device().type == "cuda" else _BATCH

    def loss(self, transformer: Any, *, whole: bool) -> Tensor:
        """The weighted mean square error of v on a new batch: `whole` clips or a few frames."""
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
        # One timestep from each part of the range, because a small batch would often miss some
        # parts. More of them from the noisy end, where shape and place are decided.
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
        # A given image must be kept, but it is one frame of 17. So this frame gets more weight.
        # The others get less, to keep losses comparable.
        before = weights.mean()
        weights = weights.clone()
        weights[:, 0] *= 1 + _FIRST_FRAME_WEIGHT * with_image.view(-1, 1, 1, 1)
        weights = weights * before / weights.mean()
        loss: Tensor = (weights * (output.float() - target) ** 2).mean()
        return loss

    def _frames(self, *, whole: bool) -> list[int]:
        """The numbers of the frames to use: all, or the first and one from each part of the rest.

        The first frame is the one that an image may be given for.
        """
        if whole:
            return list(range(models.LATENT_FRAMES))
        edges = np.linspace(1, models.LATENT_FRAMES, _SOME_FRAMES).round().astype(int)
        parts = itertools.pairwise(edges)
        return [0, *(self._rng.randrange(start, end) for start, end in parts)]


class Places:
    """The positions of the tokens of a clip, for whole clips or some of their frames."""

    def __init__(self) -> None:
        self._cosine, self._sine = _rotary()

    def choose(self, transformer: Any, frames: list[int]) -> tuple[Tensor, Tensor]:
        """Prepare the transformer for these frames of a clip.

        Returns:
            Their rotary positions (cosine, sine), each of the shape (frames x patches, head width).
        """
        patches, text = models.PATCHES_A_FRAME, models.PROMPT_TOKENS
        rows = (torch.tensor(frames)[:, None] * patches + torch.arange(patches)).flatten()
        embed = transformer.patch_embed
        places = embed.pos_embedding[:, torch.cat([torch.arange(text), text + rows]).to(device())]
        # The transformer calls this for any number of frames other than its own.
        embed._get_positional_embeddings = lambda *_, **__: places
        return self._cosine[rows.to(device())], self._sine[rows.to(device())]


class _TrainingAttention:
    """Computes the same as CogVideoXAttnProcessor2_0, but with plain matrix products.

    On a CPU, the backward pass of torch's fused attention takes four times as long.
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
    """Let the timestep have no effect at first: training starts from a plain transformer."""
    width = models.HEAD_WIDTH * transformer.config.num_attention_heads
    with torch.no_grad():
        for block in transformer.transformer_blocks:
            for norm in (block.norm1, block.norm2):
                norm.linear.weight.mul_(0.1)
                norm.linear.bias.zero_()
                # In this order: shift, scale and gate of the video, then of the text.
                norm.linear.bias[2 * width : 3 * width] = 1
                norm.linear.bias[5 * width :] = 1
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()


def _optimizers(transformer: Any) -> list[torch.optim.Optimizer]:
    """Muon for the matrices in the blocks, AdamW for all other parameters."""
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
    """Muon as in torch.optim, but in bfloat16 only where the processor supports it.

    torch always orthogonalises in bfloat16. On a processor that must emulate this type, that takes
    most of the time of a step.
    """

    def __init__(self, matrices: list[Tensor]) -> None:
        super().__init__(matrices, {"lr": _MUON_LEARNING_RATE})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Make one step: Nesterov momentum, orthogonalised and scaled to the length of AdamW's."""
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
    """`update` with all singular values near 1.

    This is the Newton-Schulz iteration with the coefficients of Keller Jordan.
    """
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
    """Move `average` towards `transformer`, and keep the share `keep` of its old value."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(transformer.parameters()), 1 - keep)


def _text(rng: random.Random, scene: world.Scene, *, image: bool) -> str:
    """A random caption of `scene`: empty, or only the motion if there is an `image`, or all."""
    if rng.random() < _TEXT_DROPPED:
        return ""
    text = (
        world.motion_caption(rng, scene)
        if image and rng.random() < 0.4
        else world.caption(rng, scene)
    )
    return world.with_typo(rng, text) if rng.random() < 0.1 else text


def _weights(scene: world.Scene) -> Tensor:
    """The weight of each latent in the loss, shape (17, 1, latent height, latent width)."""
    masks = torch.from_numpy(
        np.stack([world.object_mask(scene, frame) for frame in range(world.FRAMES)])
    )
    near = nn.functional.max_pool2d(masks[:, None], 7, stride=1, padding=3)
    inside = -nn.functional.max_pool2d(-masks[:, None], 7, stride=1, padding=3)
    # A circle and a square of the same size differ only at their edges.
    counts = 1 + _OBJECT_WEIGHT * near + _EDGE_WEIGHT * (near - inside)
    weights = nn.functional.avg_pool2d(counts, models.SPATIAL_COMPRESSION)
    return weights * _USUAL_WEIGHT / weights.mean()


def _rotary() -> tuple[Tensor, Tensor]:
    """The rotary positions (cosine, sine) that the pipelines compute for the size of the world."""
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
def _strip(log: Log, average: Any, frozen: FrozenParts) -> None:
    """Make a few videos in the pipelines, from text and from a first frame, as a picture."""
    from diffusers import CogVideoXImageToVideoPipeline, CogVideoXPipeline  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    parts = {
        "tokenizer": None,
        "text_encoder": None,
        "vae": frozen.vae,
        "scheduler": models.scheduler(),
    }
    ids = token_ids(frozen.tokenizer, [*_STRIP_PROMPTS, ""])
    embeds = frozen.text_encoder(ids.to(device()))[0]
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
