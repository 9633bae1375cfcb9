"""How much GPU memory each part of the work takes, and how to make a video in the memory there is.

The figures are for half types. Activations of the transformer were traced with the real
configurations on PyTorch's meta device, and agree with what an H200 measured for cogvideox-5b
(13.1 GiB with weights). Decoding was measured on that H200: bench/results/gpu_h200.json.

Of Wan, that H200 measured one forward pass and one decoding at 480x832, and larger videos are
computed from that. In float32 cuDNN took most of the 115 GiB of that decoding to work in, and might
do with less. Tiles were not measured: they are given what the pixels of one tile took of it.
"""

from enum import StrEnum

from contract.catalogue import MODELS, FamilyName
from contract.document import Document


class MemoryMode(StrEnum):
    """How the worker shares the memory of the GPU between transformer and decoder."""

    WHOLE = "whole"
    """All parts stay on the GPU, and frames are decoded whole."""
    ALTERNATING = "alternating"
    """Frames are decoded whole, and the transformer waits in the memory of the host meanwhile.
    This costs seconds for each video, and changes nothing about it."""
    TILES = "tiles"
    """All parts stay on the GPU, and frames are decoded in tiles. This takes about 40 percent
    longer, and pixels near the edges of tiles may change."""
    ALTERNATING_TILES = "alternating-tiles"
    """Both. This needs the least memory."""

    @property
    def tiles(self) -> bool:
        """Whether frames are decoded in tiles."""
        return self in {MemoryMode.TILES, MemoryMode.ALTERNATING_TILES}

    @property
    def alternating(self) -> bool:
        """Whether the transformer waits in the memory of the host while frames are decoded."""
        return self in {MemoryMode.ALTERNATING, MemoryMode.ALTERNATING_TILES}


class Memory(Document):
    """What the parts of a model take, in GiB."""

    text_encoder_gib: float
    transformer_gib: float
    """Its weights."""
    denoising_gib: float
    """Activations for one video of the model's own size and frames, with guidance."""


class Decoder(Document):
    """What the VAE of a family of models takes.

    The number of frames does not matter, because they are decoded a few at a time.
    """

    weights_gib: float
    gib_per_pixel: float
    tiles_gib: float


_DECODERS = {
    FamilyName.COGVIDEOX: Decoder(weights_gib=0.4, gib_per_pixel=17.0 / (480 * 720), tiles_gib=6.1),
    FamilyName.WAN: Decoder(
        weights_gib=2.6,
        gib_per_pixel=112.1 / (480 * 832),
        tiles_gib=112.1 / (480 * 832) * 256 * 256,
    ),
}
# The allocator cannot use all of what is free.
_MARGIN = 1.05

_OF_MODEL = {
    "demo": Memory(text_encoder_gib=0.1, transformer_gib=0.1, denoising_gib=0.2),
    "cogvideox-2b": Memory(text_encoder_gib=8.9, transformer_gib=3.2, denoising_gib=1.5),
    "cogvideox-5b": Memory(text_encoder_gib=8.9, transformer_gib=10.4, denoising_gib=2.7),
    "cogvideox1.5-5b": Memory(text_encoder_gib=8.9, transformer_gib=10.4, denoising_gib=6.7),
    # 4.8 GiB at 480x832.
    "wan2.2-5b": Memory(text_encoder_gib=10.6, transformer_gib=9.3, denoising_gib=10.8),
}


class Shape(Document):
    """What decides how much memory a video takes."""

    height: int
    width: int
    num_frames: int
    from_video: bool
    """Whether it starts from a video, which is encoded while the transformer is on the GPU."""


def needed_gib(model: str, mode: MemoryMode, shape: Shape) -> float:
    """The GPU memory that one video takes at its peak, with weights and a margin, in GiB."""
    memory, own = _OF_MODEL[model], MODELS[model]
    size = next(iter(own.weights.values())).sizes[0]
    pixels = shape.height * shape.width
    share = pixels * shape.num_frames / (size.height * size.width * own.num_frames[0])
    decoder = _DECODERS[own.family]
    coding = decoder.gib_per_pixel * pixels
    if mode.tiles:
        coding = min(coding, decoder.tiles_gib)
    beside_transformer = memory.denoising_gib * share
    if shape.from_video or not mode.alternating:
        beside_transformer = max(beside_transformer, coding)
    # The text encoder is freed before the other parts are loaded.
    peak = max(memory.transformer_gib + beside_transformer, coding) + decoder.weights_gib
    return _MARGIN * max(memory.text_encoder_gib, peak)


def mode_for(model: str, shape: Shape, *, gpu_gib: float, host_gib: float) -> MemoryMode | None:
    """The first mode that fits, in the order of `MemoryMode`. None: no mode fits.

    Args:
        model: The name of the model.
        shape: The video.
        gpu_gib: Free memory of the GPU before anything is loaded.
        host_gib: Free memory of the host.
    """
    for mode in MemoryMode:
        if mode.alternating and _OF_MODEL[model].transformer_gib * _MARGIN > host_gib:
            continue
        if needed_gib(model, mode, shape) <= gpu_gib:
            return mode
    return None
