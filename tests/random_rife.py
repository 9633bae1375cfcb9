"""RIFE with few channels and random weights, for tests. Nobody could see what it shows."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from local.command import rife_weights
from processing.motion.rife import Network


def weights(channels: int = 4) -> dict[str, Tensor]:
    """Weights of a network with so many channels, which moves pixels by a few pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        found = Network(channels).state_dict()
    return {name: 2 * tensor for name, tensor in found.items()}


def offered(file: Path) -> bytes:
    """Write such weights as the authors offer theirs, with a part that only training uses."""
    ours = {f"module.{name}": tensor for name, tensor in weights().items()}
    torch.save({**ours, "module.block_tea.conv0.0.0.bias": torch.zeros(2)}, file)
    return file.read_bytes()


def accepted(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write such weights, and let the import take them for the real ones."""
    sha256 = hashlib.sha256(offered(file)).hexdigest()
    monkeypatch.setattr(rife_weights, "SHA256", sha256)
    return file
