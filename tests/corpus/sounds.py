"""Files that are no sounds, and damaged, protected or huge sounds."""

from collections.abc import Callable

from contract.errors import Code
from tests import clips, sounds
from tests.corpus import images
from tests.corpus.specimen import Bad, Harmless
from tests.corpus.videos import MIB, mp4, sound_only

_KIND, _BAD = Code.REFERENCE_KIND, Code.REFERENCE_UNREADABLE
_SPEC = b"prompt: a bee\naudio: "
_SAMPLE = b"mp4a\0\0\0\0\0\0\0\1"


def _protected() -> bytes:
    body = sounds.m4a()
    assert body.count(_SAMPLE) == 1
    return body.replace(_SAMPLE, b"drms" + _SAMPLE[4:])


_FILES: tuple[tuple[str, str, Code, Callable[[], bytes], tuple[str, ...]], ...] = (
    ("text", "mp3", _KIND, lambda: b"la la la", ("text", "MP3, M4A or WAV")),
    ("png", "m4a", _KIND, lambda: images.PLAIN, ("PNG",)),
    ("playlist", "mp3", _KIND, lambda: b"#EXTM3U\nfile:///etc/passwd\n", ("playlist",)),
    ("ffconcat", "wav", _KIND, lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
     ("list of files",)),
    ("webm", "mp3", _KIND, lambda: mp4(kind="webm", codec="libvpx-vp9", num_frames=2), ("WebM",)),
    ("protected", "m4a", _BAD, _protected, ("protected", "DRM")),
    ("silent", "mp4", _BAD, mp4, ("no sound", "Choose a file with sound")),
    ("m4a-cut", "m4a", _BAD, lambda: sounds.m4a()[:5_000], ("cut short",)),
    ("wav-cut", "wav", _BAD, lambda: sounds.wav()[:5_000], ("cut short",)),
    ("wav-header", "wav", _BAD, lambda: sounds.wav()[:44], ("sound",)),
    ("mp3-noise", "mp3", _BAD, lambda: b"ID3" + bytes(range(250)) * 40, ("damaged",)),
    ("flac-header", "flac", _BAD, lambda: b"fLaC" + bytes(100), ("damaged",)),
    ("ogg-header", "ogg", _BAD, lambda: b"OggS" + bytes(100), ("damaged",)),
    ("50-mib", "wav", Code.REFERENCE_TOO_LARGE, lambda: sounds.wav() + bytes(50 * MIB),
     ("52,444,844", "save it as MP3")),
)  # fmt: skip


def bad() -> list[Bad]:
    """Sounds that must be refused."""
    return [
        Bad(
            f"sound-{name}",
            code,
            _SPEC + f"song.{suffix}\n".encode(),
            others={f"jobs/bad/song.{suffix}": make()},
            line=2,
            column=1,
            field="audio",
            words=words,
        )
        for name, suffix, code, make, words in _FILES
    ]


def harmless() -> list[Harmless]:
    """Sounds that must be accepted."""
    files = {
        "wav": sounds.wav(),
        "wave.WAV": sounds.encoded("wav", "pcm_s24le", rate=48_000),
        "m4a": sounds.m4a(),
        "lossless.m4a": sounds.encoded("ipod", "alac"),
        "mp3": sounds.encoded("mp3", "libmp3lame"),
        "mp3-cut.mp3": sounds.encoded("mp3", "libmp3lame")[:3_000],
        "aac": sounds.encoded("adts", "aac"),
        "flac": sounds.encoded("flac", "flac"),
        "opus": sounds.encoded("ogg", "libopus", rate=48_000),
        "ogg": sounds.encoded("ogg", "libopus", rate=48_000),
        # Players ignore a wrong ending, and so do we.
        "really-m4a.mp3": sounds.m4a(),
        "mp4": sound_only(),
        "old.mov": clips.without_ftyp(sounds.clip_with_sound()),
        "long.wav": sounds.encoded("wav", "pcm_u8", 700, rate=sounds.RATE),
    }
    found = []
    for name, body in files.items():
        key = name if "." in name else f"song.{name}"
        others = {f"jobs/bad/{key}": body}
        warnings = ("audio-cut" if name == "long.wav" else "audio-repeated",)
        spec = _SPEC + f"{key}\n".encode()
        found.append(Harmless(f"sound-{name}", spec, others=others, warnings=warnings))
    return found
