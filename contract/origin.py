"""The words of the IPTC for how a video came into being. Files and Content Credentials use them.

https://cv.iptc.org/newscodes/digitalsourcetype/
"""

from contract.catalogue import Mode

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{_VOCABULARY}trainedAlgorithmicMedia"
"""A model made all of it."""
PARTLY_GENERATED = f"{_VOCABULARY}compositeWithTrainedAlgorithmicMedia"
"""A model changed something that was there."""


def source_type_of(mode: Mode) -> str:
    """The digital source type of a video."""
    return PARTLY_GENERATED if mode == Mode.VIDEO_TO_VIDEO else GENERATED
