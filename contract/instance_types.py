"""The GPU instance types of SageMaker processing jobs, and which model each of them can run.

Memory and GPUs of the types are AWS's figures of November 2026. Verdicts follow from the table in
`memory`; none of them was tried on SageMaker.
"""

from contract.catalogue import MODELS, Mode
from contract.document import Document
from contract.memory import MemoryMode, Shape, mode_for


class Family(Document):
    """Instance types with the same GPU: `g6e` in `ml.g6e.xlarge`."""

    gpu: str
    gpu_gib: float | None
    """What CUDA leaves of its memory. None: not known."""
    host_gib_of_xlarge: float
    """The memory of the size xlarge. A size of 4xlarge has four times as much."""
    bfloat16: bool


FAMILIES = {
    "g4dn": Family(gpu="T4", gpu_gib=14.6, host_gib_of_xlarge=16, bfloat16=False),
    "g5": Family(gpu="A10G", gpu_gib=22.0, host_gib_of_xlarge=16, bfloat16=True),
    "g6": Family(gpu="L4", gpu_gib=22.0, host_gib_of_xlarge=16, bfloat16=True),
    "g6e": Family(gpu="L40S", gpu_gib=44.3, host_gib_of_xlarge=32, bfloat16=True),
    "g7": Family(gpu="not known", gpu_gib=None, host_gib_of_xlarge=16, bfloat16=True),
    "g7e": Family(gpu="RTX PRO 6000", gpu_gib=94.0, host_gib_of_xlarge=32, bfloat16=True),
    "p5": Family(gpu="H100", gpu_gib=78.5, host_gib_of_xlarge=64, bfloat16=True),
}
_SIZES_WITH_ONE_GPU = {"xlarge": 1, "2xlarge": 2, "4xlarge": 4, "8xlarge": 8, "16xlarge": 16}
# What the operating system and the worker itself take.
_HOST_IN_USE_GIB = 4.0


class Verdict(Document):
    """Whether an instance type can run a model."""

    refused: str = ""
    """Why it cannot. Empty if it can."""
    mode: MemoryMode | None = None
    """How memory is shared for a video of the model's own size. None: refused, or not known."""


def verdict(model: str, instance_type: str) -> Verdict:
    """Whether `instance_type` can make videos of the own size and frames of `model`."""
    _, name, size = instance_type.split(".")
    family = FAMILIES[name]
    if size not in _SIZES_WITH_ONE_GPU:
        return Verdict(refused="it has several GPUs, and the worker uses only one of them")
    if MODELS[model].dtype == "bfloat16" and not family.bfloat16:
        return Verdict(refused=f"the {family.gpu} has no bfloat16, which the model needs")
    if family.gpu_gib is None:
        return Verdict()
    own = MODELS[model]
    pixels = own.weights[Mode.TEXT_TO_VIDEO].sizes[0]
    mode = mode_for(
        model,
        Shape(
            height=pixels.height,
            width=pixels.width,
            num_frames=own.num_frames[0],
            from_video=False,
        ),
        gpu_gib=family.gpu_gib,
        host_gib=family.host_gib_of_xlarge * _SIZES_WITH_ONE_GPU[size] - _HOST_IN_USE_GIB,
    )
    if mode is None:
        return Verdict(refused=f"the model does not fit into the memory of the {family.gpu}")
    return Verdict(mode=mode)
