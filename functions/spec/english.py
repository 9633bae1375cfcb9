"""Whether a prompt is in English. It is only an estimate, good enough for a warning.

Letters of other scripts show it at once. For languages in Latin letters, the short words that no
sentence is without are counted.
"""

import re
import unicodedata

_ENGLISH = (
    "a an and are around as at behind by flies for from her his in into is it its moving near of "
    "on over that the their through to under up while with"
)
_OTHERS = (
    # German and Dutch
    "der das und ein eine einen einer eines mit auf im dem durch über fliegt ist nicht het een met "
    "op van naar "
    # French
    "le la les un une des du et avec sur dans est au aux qui "
    # Spanish, Portuguese and Italian
    "el los las una y con en del sobre que por uno um uma os com na da pela il gli nel nella di "
    "sul che "
    # Polish, Czech, Swedish, Danish, Turkish, Indonesian and Vietnamese
    "się nad przez jest ve nebo och ett på över og bir ile yang dan một trên và"
)
_ENGLISH_WORDS, _OTHER_WORDS = frozenset(_ENGLISH.split()), frozenset(_OTHERS.split())
_FOREIGN_SHARE = 0.2
"""A foreign name in an English sentence brings one or two such words, but not every fifth."""


def is_english(prompt: str) -> bool:
    """Whether a prompt is probably in English. Empty and very short prompts pass."""
    letters = [character for character in prompt if character.isalpha()]
    others = [c for c in letters if not unicodedata.name(c, "").startswith(("LATIN", "FULLWIDTH"))]
    if 3 * len(others) >= len(letters) > 0:
        return False
    words = re.findall(r"[^\W\d_]+", prompt.lower())
    english = sum(word in _ENGLISH_WORDS for word in words)
    foreign = sum(word in _OTHER_WORDS for word in words)
    return foreign < 2 or english >= foreign or foreign < _FOREIGN_SHARE * len(words)
