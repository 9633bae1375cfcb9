"""The instance types of SageMaker processing jobs, and which model each of them can run.

Memory and GPUs of the types are AWS's figures of November 2026. Verdicts follow from the table in
`memory`; none of them was tried on SageMaker.
"""

import re

from contract.catalogue import MODELS, Mode
from contract.document import Document
from contract.memory import MemoryMode, Shape, mode_for


class Family(Document):
    """Instance types with the same GPU: `g6e` in `ml.g6e.xlarge`."""

    gpu: str
    gpu_gib: float | None
    """What CUDA leaves of the memory of one GPU. None: not known."""
    host_gib_of_xlarge: float
    """The memory of the size xlarge. A size of 4xlarge has four times as much."""
    bfloat16: bool
    gpus: dict[str, int]
    """The sizes that SageMaker has for processing jobs, with their number of GPUs."""


_ONE = dict.fromkeys(("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"), 1)
_UP_TO_EIGHT = _ONE | {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}
_FROM_2 = dict.fromkeys(("2xlarge", "4xlarge", "8xlarge"), 1)

FAMILIES = {
    "g4dn": Family(
        gpu="T4",
        gpu_gib=14.6,
        host_gib_of_xlarge=16,
        bfloat16=False,
        gpus=_ONE | {"12xlarge": 4},
    ),
    "g5": Family(gpu="A10G", gpu_gib=22.0, host_gib_of_xlarge=16, bfloat16=True, gpus=_UP_TO_EIGHT),
    "g6": Family(gpu="L4", gpu_gib=22.0, host_gib_of_xlarge=16, bfloat16=True, gpus=_UP_TO_EIGHT),
    "g6e": Family(
        gpu="L40S", gpu_gib=44.3, host_gib_of_xlarge=32, bfloat16=True, gpus=_UP_TO_EIGHT
    ),
    # The worker counts the GPUs itself. Where their number is not known, estimates assume one.
    "g7": Family(
        gpu="not known",
        gpu_gib=None,
        host_gib_of_xlarge=16,
        bfloat16=True,
        gpus=_FROM_2 | dict.fromkeys(("12xlarge", "24xlarge", "48xlarge"), 1),
    ),
    "g7e": Family(
        gpu="RTX PRO 6000",
        gpu_gib=94.0,
        host_gib_of_xlarge=32,
        bfloat16=True,
        gpus=_FROM_2 | {"12xlarge": 2, "24xlarge": 4, "48xlarge": 8},
    ),
    "p5": Family(
        gpu="H100", gpu_gib=78.5, host_gib_of_xlarge=64, bfloat16=True, gpus={"4xlarge": 1}
    ),
}
FINISHING_TYPES = tuple(
    f"ml.{family}.{size}"
    for family in ("c5", "c6i", "c7i", "m5", "m6i", "m7i")
    for size in ("xlarge", "2xlarge", "4xlarge")
)
"""The types without a GPU that may finish clips. They are usual, and large enough."""
# Other families with a disk of their own have a "d" after their number: m5d, m6gd, r6idn.
_OWN_DISK = re.compile(r"[a-z]+[0-9]+[a-z]*d[a-z]*")
# What the operating system and the worker itself take.
_HOST_IN_USE_GIB = 4.0


def gpus(instance_type: str) -> int:
    """How many GPUs an instance type has; 1 if it is not in the table.

    The worker renders a video on each of them at the same time.
    """
    _, name, size = instance_type.split(".") if instance_type.count(".") == 2 else ("", "", "")
    return FAMILIES[name].gpus.get(size, 1) if name in FAMILIES else 1


def _multiple(size: str) -> int:
    """How many times as large as an xlarge a size is."""
    return int(size.removesuffix("xlarge") or 1)


def has_own_disk(instance_type: str) -> bool:
    """Whether a type has a disk that it encrypts itself. SageMaker refuses a key for such a type.

    All types with a GPU have one.
    """
    family = instance_type.split(".")[1]
    return family in FAMILIES or _OWN_DISK.fullmatch(family) is not None


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
    if size not in family.gpus:
        return Verdict(refused="SageMaker has no such type for processing jobs")
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
        host_gib=(family.host_gib_of_xlarge * _multiple(size) - _HOST_IN_USE_GIB)
        / family.gpus[size],
    )
    if mode is None:
        return Verdict(refused=f"the model does not fit into the memory of the {family.gpu}")
    return Verdict(mode=mode)
