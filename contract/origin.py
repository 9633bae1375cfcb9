"""The words of the IPTC for how a video came into being. Files and Content Credentials use them.

https://cv.iptc.org/newscodes/digitalsourcetype/
"""

from contract.catalogue import Mode

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{_VOCABULARY}trainedAlgorithmicMedia"
"""A model made all of it."""
PARTLY_GENERATED = f"{_VOCABULARY}compositeWithTrainedAlgorithmicMedia"
"""A model changed something that was there."""
EDITED = f"{_VOCABULARY}humanEdits"
"""A person had something edited that was there, by tools that generate nothing."""

_OF_MODES = {
    Mode.TEXT_TO_VIDEO: GENERATED,
    Mode.IMAGE_TO_VIDEO: GENERATED,
    Mode.VIDEO_TO_VIDEO: PARTLY_GENERATED,
    Mode.FINISHING: EDITED,
}


def source_type_of(mode: Mode) -> str:
    """The digital source type of a video. For finishing: if its clip does not say another one."""
    return _OF_MODES[mode]
