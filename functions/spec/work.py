"""Estimates the work of rendering a video from its parameters."""

import math

from contract.manifest import Parameters


def work_of(parameters: Parameters) -> float:
    """The amount of work, in millions of pixels times frames times denoising steps."""
    p = parameters
    # With a strength below 1, only that share of the steps is run, namely the last ones.
    steps = p.num_inference_steps * (1.0 if p.strength is None else p.strength)
    return p.height * p.width * p.num_frames * steps / 1e6


def size_class_of(parameters: Parameters) -> int:
    """The size class of a task, for batching tasks of similar size.

    Within a class, the numbers of pixels times frames differ by less than a factor of two. A
    compiled pipeline is compiled again for each shape, and the largest video of a batch decides how
    much memory is needed. Batches of similar videos are therefore cheaper.
    """
    p = parameters
    return int(math.log2(p.height * p.width * p.num_frames))
