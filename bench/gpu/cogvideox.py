"""The rows of CogVideoX-5b and -2b: steps, the decoder, whole videos."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.gpu import models
from bench.gpu.measure import STEPS, Facts, Setup, compile_seconds, seconds, synchronize
from contract.catalogue import MODELS, Preset
from processing.gpu import attention, profiles

GUIDANCE = 6.0


def rows_5b(setup: Setup) -> None:
    shape = models.TINY if setup.tiny else models.COGVIDEOX_5B
    torch.manual_seed(0)
    model = models.transformer(shape, setup.device, setup.dtype)
    pair = models.step(shape, setup.device, setup.dtype, 2)
    reference = pair(model).float()
    work = (model, pair, 2 * shape.flops_per_forward(), reference)
    setup.rows.row("5b step, stock", lambda: setup.step(*work))
    if setup.gpu:

        def cudnn() -> Facts:
            with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
                return setup.step(*work)

        setup.rows.row("5b step, cuDNN attention", cudnn)
    if attention.available():
        profiles.exact(model, own=False, tuned=True)
        setup.rows.row("5b step, compiled", lambda: setup.compiled_step("compiled", *work))
        profiles.exact(model, running_maximum=True, tuned=True)
        setup.rows.row(
            "5b step, exact, running maximum", lambda: setup.compiled_step("maximum", *work)
        )
    profiles.exact(model, own=attention.available(), tuned=True)
    setup.rows.row("5b step, exact", lambda: setup.compiled_step("exact", *work))
    vae = _decoding(setup, shape)
    pipe = pipeline(model, vae)
    setup.rows.row("5b video, exact", lambda: video(setup, pipe, shape, STEPS))
    _rows_5b_fp8(setup, pipe, shape, work)


def _rows_5b_fp8(setup: Setup, pipe: Any, shape: models.CogVideoX, work: Any) -> None:
    """What rounds or leaves out, from here on with the same model."""
    model = work[0]
    missing: list[ImportError] = []
    try:
        profiles.fp8(model.transformer_blocks, tuned=True)
    except ImportError as error:
        missing.append(error)

    def row(name: str, measure: Callable[[], Facts]) -> None:
        def unless_missing() -> Facts:
            if missing:
                raise missing[0]
            return measure()

        setup.rows.row(name, unless_missing)

    def leaving_out(preset: Preset) -> Facts:
        steps = MODELS["cogvideox-5b"].num_inference_steps[preset]
        mask = profiles.mask(steps, profiles.PERIODS[preset])
        with profiles.leaving_out(pipe, mask):
            facts = video(setup, pipe, shape, steps)
        return {"steps": steps, "computed_steps": sum(mask), **facts}

    row("5b step, exact + fp8", lambda: setup.compiled_step("fp8", *work))
    row("5b video, standard", lambda: leaving_out(Preset.STANDARD))
    row("5b video, draft", lambda: leaving_out(Preset.DRAFT))
    row("5b video, exact + fp8", lambda: video(setup, pipe, shape, STEPS))
    single = models.step(shape, setup.device, setup.dtype, 1)
    row(
        "5b step, exact + fp8, one half of guidance",
        lambda: setup.compiled_step("half", model, single, shape.flops_per_forward()),
    )


def rows_2b(setup: Setup) -> None:
    shape = models.TINY if setup.tiny else models.COGVIDEOX_2B
    dtype = torch.float16 if setup.gpu else torch.float32  # 2b was trained in float16
    model = models.transformer(shape, setup.device, dtype)
    pair = models.step(shape, setup.device, dtype, 2)
    work = (model, pair, 2 * shape.flops_per_forward(), pair(model).float())
    setup.rows.row("2b step, stock", lambda: setup.step(*work))
    profiles.exact(model, own=attention.available(), tuned=True)
    setup.rows.row("2b step, exact", lambda: setup.compiled_step("2b", *work))


def rows_5b_stock_video(setup: Setup) -> None:
    shape = models.TINY if setup.tiny else models.COGVIDEOX_5B
    torch._dynamo.reset()
    vae = models.vae(setup.device, setup.dtype, tiny=setup.tiny)
    vae.enable_tiling()
    pipe = pipeline(models.transformer(shape, setup.device, setup.dtype), vae)
    setup.rows.row("5b video, stock", lambda: video(setup, pipe, shape, STEPS))


def rows_5b_offloaded(setup: Setup) -> None:
    """Sequential offload: each layer travels to the GPU whenever it is used."""
    if not setup.gpu:
        return
    shape = models.TINY if setup.tiny else models.COGVIDEOX_5B
    torch._dynamo.reset()

    def steps() -> Facts:
        from accelerate import cpu_offload  # noqa: PLC0415 - only here

        model = models.transformer(shape, setup.device, setup.dtype).to("cpu")
        cpu_offload(model, torch.device("cuda"), offload_buffers=True)
        pair = models.step(shape, setup.device, setup.dtype, 2)
        taken = seconds(lambda: pair(model), 2)
        return {"seconds": round(taken, 3), "seconds_50_steps": round(STEPS * taken, 1)}

    setup.rows.row("5b step, sequential offload", steps)


def _decoding(setup: Setup, shape: models.CogVideoX) -> Any:
    vae = models.vae(setup.device, setup.dtype, tiny=setup.tiny)
    latents = torch.randn(
        1, 16, shape.latent_frames, shape.latent_height, shape.latent_width,
        device=setup.device, dtype=setup.dtype)  # fmt: skip

    def decode() -> Facts:
        with torch.inference_mode():
            return {"seconds": round(seconds(lambda: vae.decode(latents).sample, 2), 3)}

    def search() -> Facts:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            return decode()

    def channels_last() -> Facts:
        _layout(vae, torch.channels_last_3d)
        try:
            return decode()
        finally:
            _layout(vae, torch.contiguous_format)

    vae.enable_tiling()
    setup.rows.row("5b decode, stock (tiled)", decode)
    vae.disable_tiling()
    setup.rows.row("5b decode, untiled", decode)
    if setup.gpu:
        setup.rows.row("5b decode, untiled, cuDNN's search", search)
    setup.rows.row("5b decode, untiled, channels last", channels_last)
    return vae


def _layout(vae: Any, memory_format: torch.memory_format) -> None:
    """How the weights of 3D convolutions lie in memory. channels_last_3d turned out slower."""
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=memory_format)


def pipeline(transformer: Any, vae: Any) -> Any:
    from diffusers import CogVideoXPipeline  # noqa: PLC0415 - slow to import

    pipe = CogVideoXPipeline(
        tokenizer=None, text_encoder=None, vae=vae, transformer=transformer,
        scheduler=models.scheduler())  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def video(setup: Setup, pipe: Any, shape: models.CogVideoX, steps: int) -> Facts:
    """From prompt embeddings to 8-bit frames in the host's memory, once, nothing left out.

    If something is compiled meanwhile, `compile_seconds` of these seconds went into it.
    """
    text = torch.randn(
        1, models.TEXT_TOKENS, shape.text_width, device=setup.device, dtype=setup.dtype
    )
    synchronize()
    compiled_before = compile_seconds()
    began = time.perf_counter()
    latents = pipe(
        prompt_embeds=text,
        negative_prompt_embeds=text * 0.1,
        height=8 * shape.latent_height,
        width=8 * shape.latent_width,
        num_frames=4 * shape.latent_frames - 3,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        use_dynamic_cfg=True,
        generator=torch.Generator(setup.device).manual_seed(0),
        output_type="latent",
    ).frames
    synchronize()
    denoised = time.perf_counter()
    with torch.inference_mode():
        video = pipe.decode_latents(latents)
        frames = ((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()
    ended = time.perf_counter()
    facts = {
        "seconds": round(ended - began, 2),
        "denoise_seconds": round(denoised - began, 2),
        "decode_seconds": round(ended - denoised, 2),
        "frames": int(frames.shape[2]),
        "finite": bool(torch.isfinite(latents).all()),
    }
    if compiling := round(compile_seconds() - compiled_before, 2):
        facts["compile_seconds"] = compiling
    return facts
