"""Finds the files in a bucket whose keys differ from a wanted one only in letter case and the like.

S3 finds keys only by their exact beginning. But it lists them in order, and the keys that are alike
are known. So each listing begins where the next of them would be, and a few listings are enough,
however many objects there are.
"""

import unicodedata
from collections.abc import Callable
from functools import cache

from functions import s3_keys
from functions.ports import Page

# One listing is enough in a folder with up to 1,000 files. In a larger one, each difference in the
# case of the first letters that its files have among each other costs one more.
MAX_LISTINGS = 10


def alike(list_after: Callable[[str], Page], wanted: str, folder: str) -> list[str]:
    """The keys in a folder, and below it, that are alike.

    Args:
        list_after: lists the first objects whose keys come after a key.
        wanted: a key in the folder.
        folder: the folder, with a slash at its end. Its own name is not varied.
    """
    below, target = wanted.removeprefix(folder), s3_keys.folded(wanted)
    found: list[str] = []
    position = ""
    for _ in range(MAX_LISTINGS):
        following = _after(s3_keys.folded(below), position)
        if following is None:
            break
        # A listing begins after a key, so this is one that comes just before the following one.
        page = list_after(folder + max(position, following[:-1]))
        keys = [listed.key for listed in page.objects]
        found += [key for key in keys if s3_keys.folded(key) == target]
        if not page.more:
            break
        position = keys[-1].removeprefix(folder)
    return found


def _after(wanted: str, position: str) -> str | None:
    """The first text in the order of S3 that is alike and comes after a position, if there is one.

    Args:
        wanted: a text as `folded` returns it.
    """
    letters = [_forms(letter) for letter in wanted]
    same, rest = "", position
    found: str | None = None
    for number, forms in enumerate(letters):
        # The later a text departs from the position, the earlier it is among those after it.
        later = next((form for form in forms if form > rest), None)
        if later is not None:
            found = same + later + "".join(first[0] for first in letters[number + 1 :])
        equal = next((form for form in forms if rest.startswith(form)), None)
        if equal is None:
            break
        same, rest = same + equal, rest[len(equal) :]
    return found


@cache
def _forms(letter: str) -> tuple[str, ...]:
    """The ways to write a letter that `folded` makes equal, in the order of S3."""
    possible = {letter, letter.upper(), letter.title()}
    if letter == " ":
        possible |= set(s3_keys.UNUSUAL_SPACES)
    forms = {form for form in possible if s3_keys.folded(form) == letter}
    return tuple(sorted(forms | {unicodedata.normalize("NFD", form) for form in forms}))
