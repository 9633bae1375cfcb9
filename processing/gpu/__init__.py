"""What makes a model faster on a GPU. These modules import torch, so others import them late."""
