"""Says in the files of a video, for machines to read, whether a model made it.

The XMP packet has the IPTC's digital source type, which other programs look for. It is in the MP4s,
in the poster and in the GIF. WebM has no place for it, so there a tag has that type. Nothing in it
differs between two renderings of the same task, so both write the same bytes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from contract.catalogue import Mode
from contract.origin import source_type_of
from processing.video import Chapter, Metadata

_MP4_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_JPEG_NAME: Final = b"http://ns.adobe.com/xap/1.0/\x00"
_JPEG_START, _JPEG_APP0, _JPEG_APP1 = b"\xff\xd8", b"\xff\xe0", b"\xff\xe1"
# GIF calls this an application extension. It holds the packet as it is, without the lengths that
# other blocks have. A reader that looks for lengths takes each character for one, jumps into the
# bytes at the end, which count down, and so always arrives at the last zero.
_GIF_EXTENSION: Final = b"\x21\xff\x0bXMP DataXMP"
_GIF_RUN_OUT: Final = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
_GIF_END: Final = b"\x3b"
# A JPEG holds packets of up to 65,504 bytes. Only the prompts of many long scenes have so many.
_MOST_PROMPT_BYTES: Final = 60_000
# XML 1.0 cannot hold these at all.
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a video comes from, as its files say it."""

    mode: Mode
    source_type: str | None = None
    """The digital source type, if it does not follow from the mode."""
    model: str | None
    """None: no model was used."""
    revision: str | None
    """That of the weights. None if it is not known."""
    seed: int
    prompt: str | None
    """None if the spec keeps it out of the files."""
    chapters: tuple[Chapter, ...] = ()
    """The scenes of the video."""

    @property
    def tags(self) -> dict[str, str]:
        """Metadata of the container, which players show."""
        title = {} if self.prompt is None else {"title": self.prompt}
        # MP4 leaves out the name that it does not know. WebM has no XMP and takes any name.
        return {**title, "comment": self._summary, "DIGITAL_SOURCE_TYPE": self._source_type}

    @property
    def metadata(self) -> Metadata:
        """What the containers say."""
        return Metadata(tags=self.tags, chapters=self.chapters)

    @property
    def packet(self) -> bytes:
        """The XMP packet."""
        properties = {
            "Iptc4xmpExt:DigitalSourceType": self._source_type,
            "Iptc4xmpExt:AISystemUsed": self.model,
            "Iptc4xmpExt:AISystemVersionUsed": self.revision,
            "Iptc4xmpExt:AIPromptInformation": self._fitting_prompt,
            "xmp:CreatorTool": "reeldrop",
        }
        lines = "\n".join(
            f"   <{name}>{_escaped(value)}</{name}>"
            for name, value in properties.items()
            if value is not None
        )
        return _PACKET.format(
            properties=lines, creator="reeldrop", summary=_escaped(self._summary)
        ).encode()

    @property
    def _source_type(self) -> str:
        return self.source_type or source_type_of(self.mode)

    @property
    def _fitting_prompt(self) -> str | None:
        """The prompt, or as much of it as a JPEG can hold beside the rest of the packet."""
        prompt = self.prompt
        while prompt and len(_escaped(prompt).encode()) > _MOST_PROMPT_BYTES:
            prompt = prompt[: len(prompt) * 9 // 10].rstrip("…") + "…"
        return prompt

    @property
    def _summary(self) -> str:
        if self.model is None:
            return "reeldrop, finished without a model"
        return f"reeldrop, model {self.model}, seed {self.seed}"


_PACKET: Final = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/">
{properties}
   <dc:creator><rdf:Seq><rdf:li>{creator}</rdf:li></rdf:Seq></dc:creator>
   <dc:description>
    <rdf:Alt><rdf:li xml:lang="x-default">{summary}</rdf:li></rdf:Alt>
   </dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def _escaped(text: str) -> str:
    return escape(_NOT_XML.sub(" ", text))


def add_to_mp4(path: Path, packet: bytes) -> None:
    """Add `packet` to the MP4 at `path`, as a box at its end.

    No other box moves, so the places of the pictures that the file states stay right.

    Raises:
        OSError: The file cannot be written.
    """
    size = 8 + len(_MP4_UUID) + len(packet)
    with path.open("ab") as file:
        file.write(size.to_bytes(4) + b"uuid" + _MP4_UUID + packet)


def add_to_gif(path: Path, packet: bytes) -> None:
    """Add `packet` to the GIF at `path`, behind its last picture.

    Raises:
        OSError: The file cannot be read or written.
        ValueError: It does not end as a GIF does.
    """
    with path.open("rb+") as file:
        end = file.seek(-len(_GIF_END), 2)
        if file.read() != _GIF_END:
            raise ValueError("this is not a whole GIF")
        file.seek(end)
        file.write(_GIF_EXTENSION + packet + _GIF_RUN_OUT + _GIF_END)


def added_to_jpeg(jpeg: bytes, packet: bytes) -> bytes:
    """`jpeg` with `packet`, in front of its picture.

    Raises:
        ValueError: It does not begin as a JPEG does, or the packet is longer than a JPEG can hold.
    """
    if not jpeg.startswith(_JPEG_START):
        raise ValueError("this is not a JPEG")
    # The header of JFIF has to come first.
    at = len(_JPEG_START)
    if jpeg[at : at + 2] == _JPEG_APP0:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    body = _JPEG_NAME + packet
    size = 2 + len(body)
    if size > 0xFFFF:
        raise ValueError(f"an XMP packet of {len(packet)} bytes does not fit into a JPEG")
    return jpeg[:at] + _JPEG_APP1 + size.to_bytes(2) + body + jpeg[at:]
