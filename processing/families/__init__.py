"""The families of models that the worker can run: one file for each."""

from contract.catalogue import FamilyName, Model
from processing.families.cogvideox import CogVideoX
from processing.families.family import Family
from processing.families.wan import Wan

_FAMILIES: dict[FamilyName, Family] = {
    FamilyName.COGVIDEOX: CogVideoX(),
    FamilyName.WAN: Wan(),
}


def family_of(model: Model) -> Family:
    """What is particular to the family of `model`."""
    return _FAMILIES[model.family]
