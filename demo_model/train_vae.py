"""Stage 1: the autoencoder learns to compress and rebuild frames of the world.

It compresses space only. If it compressed time as well, it would need far more training before a
moving shape is more than a blob, and frames of this world are small anyway. So its convolutions
read one frame, their weights for earlier frames are zero, and training uses single frames. The
loss gives pixels near the object more weight, because most pixels are plain background. At the
end, the weights are changed so that all latent channels have the same spread.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demo_model import models, world
from demo_model.cores import Cores, device, mixed_precision
from demo_model.training_log import Budget, Course, Log, learning_rate_factor, write_strips

_LEARNING_RATE = 2e-3
_BATCH = 16
_KL_WEIGHT = 1e-4
_OBJECT_WEIGHT = 4.0
_REPORT_STEPS = 20
_SAVE_SECONDS = 60.0


def to_pixels(clips: list[NDArray[np.uint8]]) -> Tensor:
    """Convert clips, (frames, height, width, 3) from 0 to 255, to one tensor.

    Returns:
        Shape (batch, 3, frames, height, width), values from -1 to 1.
    """
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def to_frames(pixels: Tensor) -> list[NDArray[np.uint8]]:
    """The reverse of `to_pixels`."""
    scaled = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return list(scaled.permute(0, 2, 3, 4, 1).contiguous().numpy())


def psnr(first: Tensor, second: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two tensors of pixels from -1 to 1."""
    return 10 * math.log10(4 / max(float(((first - second) ** 2).mean()), 1e-10))


def train(log: Log, budget: Budget, *, seed: int, resume: bool) -> Any:
    """Train the autoencoder and write checkpoints.

    Args:
        log: Where to write the log and the checkpoints.
        budget: How long to train, earlier runs included.
        seed: For the first weights and all random choices.
        resume: Whether to go on from the last checkpoint.

    Returns:
        The trained autoencoder on the CPU, with scaled latents.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    vae = models.vae().to(device())
    _forget_earlier_frames(vae)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.99))
    state = log.load() if resume else None
    course = Course(
        log, budget, report_steps=_REPORT_STEPS, save_seconds=_SAVE_SECONDS, state=state
    )
    if state is not None:
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        rng.seed(seed + course.step)
    cores = Cores()
    checks = [
        world.render(world.draw_scene(random.Random(1000 + i), held_out=False)) for i in range(8)
    ]
    course.start()
    while (done := course.done()) < 1:
        pixels, weight = _batch(rng)
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * learning_rate_factor(done, course.step, warmup_steps=50)
        with cores.step(), single_frames(vae):
            loss = _step(vae, optimizer, pixels, weight)
        course.advance(float(loss))
        if course.must_save():
            course.save(
                {"model": vae.state_dict(), "optimizer": optimizer.state_dict()},
                check=lambda: {"psnr": _check(vae, checks, log)},
            )
    _scale_latents(vae, to_pixels(checks).to(device()))
    return vae.cpu().eval()


def _step(vae: Any, optimizer: torch.optim.Optimizer, pixels: Tensor, weight: Tensor) -> Tensor:
    """Train one step on the frames of one `_batch`. Returns the loss before the step."""
    with mixed_precision():
        posterior = vae.encode(pixels).latent_dist
        rebuilt = vae.decode(posterior.sample()).sample
    difference = rebuilt.float() - pixels
    loss: Tensor = ((difference.abs() + 2 * difference**2) * weight).mean()
    total = loss + _KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
    optimizer.zero_grad()
    torch.autograd.backward(total)
    nn.utils.clip_grad_norm_(vae.parameters(), 0.5)
    optimizer.step()
    return loss.detach()


def _forget_earlier_frames(vae: Any) -> None:
    """Set the weights for earlier frames to zero, and let each residual block start as identity."""
    for module in vae.modules():
        if type(module).__name__ == "CogVideoXCausalConv3d" and module.time_kernel_size > 1:
            with torch.no_grad():
                module.conv.weight[:, :, :-1] = 0
        if type(module).__name__ == "CogVideoXResnetBlock3D":
            nn.init.zeros_(module.conv2.conv.weight)


@contextmanager
def single_frames(vae: Any) -> Iterator[None]:
    """Skip the weights for earlier frames, which are zero, for input of single frames.

    This takes a third of the computation.
    """
    convolutions = [
        module for module in vae.modules() if type(module).__name__ == "CogVideoXCausalConv3d"
    ]
    for module in convolutions:
        module.forward = functools.partial(_convolve_frame, module)
    try:
        yield
    finally:
        for module in convolutions:
            del module.forward


def _convolve_frame(module: Any, inputs: Tensor, conv_cache: None = None) -> tuple[Tensor, None]:
    """Compute a CogVideoXCausalConv3d for single frames, (batch, channels, 1, height, width)."""
    output = nn.functional.conv2d(
        inputs[:, :, 0], module.conv.weight[:, :, -1], module.conv.bias, padding=module.height_pad
    )
    return output[:, :, None], conv_cache


def _batch(rng: random.Random) -> tuple[Tensor, Tensor]:
    """Draw single frames for one step.

    Returns:
        Pixels from -1 to 1, shape (batch, 3, 1, height, width), and the weight of each pixel in the
        loss, shape (batch, 1, 1, height, width).
    """
    frames, masks = [], []
    for _ in range(_BATCH):
        scene = world.draw_scene(rng, held_out=False)
        frame, mask = world.render_frame(scene, rng.randrange(world.FRAMES))
        if rng.random() < 0.3:  # other colours than those of the palette, as in photos
            scale = np.array([rng.uniform(0.75, 0.95) for _ in range(3)])
            frame = (rng.uniform(0, 12) + frame * scale).astype(np.uint8)
        frames.append(frame[None])
        masks.append(mask)
    shown = torch.from_numpy(np.stack(masks))[:, None]
    near = nn.functional.max_pool2d(shown, 7, stride=1, padding=3)
    weight = 1 + _OBJECT_WEIGHT * near[:, :, None]
    return to_pixels(frames).to(device()), weight.to(device())


@torch.inference_mode()
def _check(vae: Any, clips: list[NDArray[np.uint8]], log: Log) -> float:
    """Measure the PSNR over frames of `clips`, in dB, and write a strip of the first clips."""
    frames = [frame[None] for clip in clips for frame in clip[::4]]
    pixels = to_pixels(frames)
    with single_frames(vae):
        rebuilt = vae.decode(vae.encode(pixels.to(device())).latent_dist.mode()).sample.cpu()
    shown = [frame[0] for frame in to_frames(rebuilt)]
    rows = [
        np.concatenate([clip[::4], np.stack(shown[5 * i : 5 * i + 5])])
        for i, clip in enumerate(clips[:5])
    ]
    write_strips(
        log.checkpoint.with_suffix(".strip.png"), rows, ["true, then rebuilt"] * 5, every=1
    )
    return psnr(pixels, rebuilt.clamp(-1, 1))


@torch.inference_mode()
def _scale_latents(vae: Any, pixels: Tensor) -> None:
    """Give every latent channel a root mean square of 1, without changing what is decoded."""
    spread = vae.encode(pixels).latent_dist.mode().pow(2).mean((0, 2, 3, 4)).sqrt()  # (channels,)
    last = vae.encoder.conv_out.conv
    mean, log_variance = slice(0, models.LATENT_CHANNELS), slice(models.LATENT_CHANNELS, None)
    last.weight[mean] /= spread.view(-1, 1, 1, 1, 1)
    last.bias[mean] /= spread
    last.bias[log_variance] -= 2 * spread.log()
    # Scale back where latents are read: in the first convolution and the spatial norms of blocks.
    vae.decoder.conv_in.conv.weight *= spread.view(1, -1, 1, 1, 1)
    for name, module in vae.decoder.named_modules():
        if name.endswith(("conv_y", "conv_b")):
            module.conv.weight *= spread.view(1, -1, 1, 1, 1)
