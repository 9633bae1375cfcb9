"""How much there is to compute for a video, from its parameters alone."""

import math

from contract.manifest import Parameters


def work_of(parameters: Parameters) -> float:
    """How much there is to compute, in millions of pixels times frames times steps."""
    p = parameters
    # A video that is changed a little goes through the last steps only.
    steps = p.num_inference_steps * (1.0 if p.strength is None else p.strength)
    return p.height * p.width * p.num_frames * steps / 1e6


def size_class_of(parameters: Parameters) -> int:
    """Tasks of one class have pixels times frames within a factor of two of each other.

    One pipeline serves any size, but a compiled one is compiled again for each shape, and memory
    follows the largest: so like goes with like.
    """
    p = parameters
    return int(math.log2(p.height * p.width * p.num_frames))
