"""The rates that steps are held against, and the rows of Wan2.2-5B and of the text encoder."""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.gpu import models
from bench.gpu.measure import STEPS, Facts, Setup, seconds, tera
from processing.gpu import attention, profiles


def rows_ceilings(setup: Setup) -> None:
    """How fast this card does the parts of a block by themselves."""
    size = 8192 if setup.gpu else 128

    def matrix() -> Facts:
        a, b = (torch.randn(size, size, device=setup.device, dtype=setup.dtype) for _ in range(2))
        return {"tflops": tera(2 * size**3, seconds(lambda: a @ b, 20, 5))}

    setup.rows.row("matrix product, 8192", matrix)
    if not setup.gpu:
        return
    shape = models.TINY if setup.tiny else models.COGVIDEOX_5B
    _attention(setup, shape)
    width = 64 * shape.heads
    for inner, outer in ((width, width), (width, 4 * width), (4 * width, width)):
        sizes = (2 * shape.tokens(), inner, outer)
        setup.rows.row(f"linear layer of 5b, {inner} to {outer}", partial(_linear, *sizes))


def _attention(setup: Setup, shape: models.CogVideoX) -> None:
    # As the model has them: heads beside each other in memory.
    q, k, v = (
        torch.randn(2, shape.tokens(), shape.heads, 64, device=setup.device, dtype=setup.dtype)
        for _ in range(3)
    )
    longest = attention.longest_key(k)

    def stock(backend: SDPBackend) -> torch.Tensor:
        with sdpa_kernel([backend]):
            return attention.stock(q, k, v)

    works: dict[str, Callable[[], torch.Tensor]] = {
        "flash": partial(stock, SDPBackend.FLASH_ATTENTION),
        "cuDNN": partial(stock, SDPBackend.CUDNN_ATTENTION),
    }
    if attention.available():
        works["own"] = partial(attention.attend, q, k, v, longest, True)
        works["own, running maximum"] = partial(attention.attend, q, k, v, longest, False)

    def facts(work: Callable[[], torch.Tensor]) -> Facts:
        with torch.inference_mode():
            taken = seconds(work, 5)
        return {"seconds": round(taken, 5), "tflops": tera(shape.attention_flops(2), taken)}

    for name, work in works.items():
        setup.rows.row(f"attention of 5b, {name}", partial(facts, work))


def _linear(rows: int, inner: int, outer: int) -> Facts:
    a = torch.randn(rows, inner, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(outer, inner, device="cuda", dtype=torch.bfloat16)
    work = 2.0 * rows * inner * outer
    plain = seconds(lambda: functional.linear(a, b), 10, 3)
    small_a, small_b = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn)
    by_row = torch.ones(rows, 1, device="cuda")
    by_column = torch.ones(1, outer, device="cuda")

    def product() -> torch.Tensor:
        return torch._scaled_mm(
            small_a, small_b.t(), by_row, by_column,
            out_dtype=torch.bfloat16, use_fast_accum=True)  # fmt: skip

    small = seconds(product, 10, 3)
    return {"bf16_tflops": tera(work, plain), "fp8_by_row_tflops": tera(work, small)}


def rows_wan(setup: Setup) -> None:
    shape = models.WAN_TINY if setup.tiny else models.WAN_5B
    model = models.wan_transformer(shape, setup.device, setup.dtype)
    single = models.wan_step(shape, setup.device, setup.dtype)
    work = (model, single, shape.flops_per_forward(), single(model).float())

    def both_halves(facts: Facts) -> Facts:
        return {**facts, "seconds_50_steps": round(2 * STEPS * facts["seconds"], 2)}

    setup.rows.row("Wan2.2-5B forward, stock", lambda: both_halves(setup.step(*work)))
    profiles.compiled(model.blocks, tuned=True)
    setup.rows.row(
        "Wan2.2-5B forward, compiled", lambda: both_halves(setup.compiled_step("wan", *work))
    )


def rows_wan_decode(setup: Setup) -> None:
    shape = models.WAN_TINY if setup.tiny else models.WAN_5B
    vae = models.wan_vae(setup.device, tiny=setup.tiny)
    latents = torch.randn(
        1, 48, shape.latent_frames, shape.latent_height, shape.latent_width,
        device=setup.device)  # fmt: skip

    def decode() -> Facts:
        with torch.inference_mode():
            return {"seconds": round(seconds(lambda: vae.decode(latents).sample, 1), 3)}

    setup.rows.row("Wan2.2-5B decode, float32", decode)


def rows_text_encoder(setup: Setup) -> None:
    from transformers import T5Config, T5EncoderModel  # noqa: PLC0415 - slow to import

    wide = {"d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
    config = T5Config(
        vocab_size=32128,
        d_kv=64,
        feed_forward_proj="gated-gelu",
        **({} if setup.tiny else wide),
    )

    def encode() -> Facts:
        with models.made_on(setup.device, setup.dtype):
            model = T5EncoderModel(config).eval()
        tokens = torch.randint(0, 32000, (2, models.TEXT_TOKENS), device=setup.device)
        with torch.inference_mode():
            return {"seconds": round(seconds(lambda: model(tokens)[0], 5), 4)}

    setup.rows.row("T5-XXL, prompt and negative prompt", encode)
