"""Characters that cannot be seen, or that look like others: how they are named, shown and read.

They come from web pages, chats and word processors, from keyboards for other scripts, and from
editors that improve text while one types.
"""

import re
import unicodedata

from functions.reading.values import Path

_PROSE = {"prompt", "negative_prompt"}
_FILES = {"image", "video"}

ODD_SPACES = "\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2800\u3000\u3164\uffa0"
"""For a set in a pattern: what looks like a space or a line break, but is not of ASCII."""
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u206a-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""For a set in a pattern: what is shown as nothing, mostly the default ignorable characters."""
DIRECTION_MARKS = "\u202a-\u202e\u2066-\u2069"
"""For a set in a pattern: what can show a text in another order than it is read. It is refused."""
ODD_BLANKS = ODD_SPACES + INVISIBLE
_ODD_BLANK = re.compile(f"[{ODD_BLANKS}]")
_HIDDEN = re.compile(f"[{ODD_BLANKS}{DIRECTION_MARKS}]")
_ODD_SPACE = re.compile(f"[{ODD_SPACES}]")
_BLANK = re.compile(f"[\\s{ODD_BLANKS}]*")
_AROUND = re.compile(rf"\A[\s{ODD_BLANKS}]+|[\s{ODD_BLANKS}]+\Z")
_DASH = re.compile("[\u2010-\u2015\u2043\u2212\u2796\ufe58\ufe63\uff0d]")


def named(character: str) -> str:
    """The code point and the name of a character: `U+200B (zero width space)`."""
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


def shown(text: str) -> str:
    """The text with its invisible characters as `<U+200B>`, so that a person sees them."""
    return _HIDDEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)


def is_blank(text: str) -> bool:
    """Whether a text has nothing that can be seen."""
    return _BLANK.fullmatch(text) is not None


def meant(text: str, path: Path, *, is_name: bool = False) -> str:
    """What a name or a value was meant to be.

    Prompts keep their characters, because other scripts and emoji need invisible ones. So do the
    names of files: those of screenshots on a Mac contain U+202F. All other parts are ASCII.

    Args:
        text: what was written.
        path: where it is in the values.
        is_name: whether it is the name of a field.
    """
    if text.isascii():
        return text
    if is_name:
        return "".join(usual(c) for c in text if not _ODD_BLANK.match(c)).strip()
    if not _PROSE.isdisjoint(path) or _is_scene(path):
        return "" if is_blank(text) else text
    if not _FILES.isdisjoint(path):
        return _AROUND.sub("", text)
    return "".join(usual(c) for c in text).strip()


def _is_scene(path: Path) -> bool:
    """Whether a text is a scene, which is the short form of its prompt."""
    return len(path) == 2 and path[0] == "scenes"


def notes(text: str, path: Path, line: int, *, is_name: bool = False) -> list[tuple[str, str]]:
    """Warnings, as (code, message), about each character that `meant` read as another one."""
    if text.isascii() or is_blank(text) or meant(text, path, is_name=is_name) == text:
        return []
    files = not is_name and not _FILES.isdisjoint(path)
    odd = "".join(_AROUND.findall(text)) if files else text
    where = f" in the name {meant(text, (), is_name=True)[:60]}"
    if not is_name:
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        where = f" in the value of {name[:60]}"
    return [
        note(character, "" if files or (is_name and not read.strip()) else read, line, where)
        for character in dict.fromkeys(odd)
        if (read := usual(character)) != character
    ]


def note(character: str, read: str, line: int, where: str = "") -> tuple[str, str]:
    """A warning, as (code, message), that a character was read as another one, or ignored."""
    how = f"was read as {'a space' if read == ' ' else read}" if read else "was ignored"
    return "unusual-character", f"Line {line}: {named(character)}{where} {how}."


def foreign(value: object) -> str:
    """A sentence, with a space before it, that names the first character that is not of ASCII.

    It is for words that must be of ASCII. A letter of another script may look the same: "sеed".
    """
    text = value if isinstance(value, str) else ""
    return next((f" It contains {named(c)}." for c in text if not c.isascii()), "")


def usual(character: str) -> str:
    """The ASCII character that a person probably meant; empty for an invisible character.

    Signs of double width stay as they are, except those that occur within words and numbers.
    """
    if character.isascii():
        return character
    if _ODD_SPACE.match(character):
        return " "
    if _ODD_BLANK.match(character):
        return ""
    if _DASH.match(character):
        return "-"
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    narrow = of_single_width(character)
    return narrow if narrow.isalnum() or narrow in "._:+/" else character


def of_single_width(character: str) -> str:
    """The ASCII character of which this one is the form of double width, or the character."""
    return chr(ord(character) - 0xFEE0) if "\uff01" <= character <= "\uff5e" else character
