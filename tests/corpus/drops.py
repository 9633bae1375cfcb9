"""Bad keys, bad names of references, and bad folder defaults."""

from typing import Unpack

from contract.errors import Code
from tests.corpus import images
from tests.corpus.specimen import Bad, Harmless, Where, yaml


def _named(key: str, *words: str) -> Bad:
    return Bad(f"key {key[-20:]}", Code.KEY_SUFFIX, b"prompt: a bee\n", key, words=words)


KEYS = [
    _named("jobs/bee.yaml.txt", "bee.yaml"),
    _named("jobs/bee.yamll", "bee.yaml"),
    _named("jobs/bee", "bee.yaml"),
    _named("jobs/bee.docx", "bee.yaml"),
    _named("jobs/bee.gif", "a GIF image", "PNG"),
    _named("jobs/IMG_1.HEIC", "a HEIC image", "iPhone", "Preview", "Windows"),
    _named("jobs/bee.webm", "a WebM video", "MP4"),
    _named("jobs/song.wma", "a Windows Media sound", "MP3, M4A or WAV"),
    _named("jobs/bee.json.yaml", "bee.yaml"),
    _named("jobs/Bee.YAML.TXT", "bee.yaml"),
    _named("jobs/ .yaml ", "bee.yaml"),
    _named("jobs/_defaults.yml", "_defaults.yaml"),
    _named("jobs/_Defaults.YAML", "_defaults.yaml"),
    _named("jobs/\r\nBcc: x@example.org", "bee.yaml"),
    _named("jobs/../bee.exe", "bee.yaml"),
    _named("jobs/" + "ü" * 500 + ".doc", "bee.yaml"),
    Bad("line-break", Code.KEY_CHARACTER, b"prompt: a\n", "jobs/a\nb.yaml", words=("letters",)),
    Bad("folder-backwards", Code.KEY_CHARACTER, b"prompt: a\n", "jobs/\u202ea/b.yaml",
        words=("direction mark",)),
    Bad("beside", Code.KEY_PLACE, b"prompt: a\n", "bee.yaml", words=("s3://input/jobs/bee.yaml",)),
    Bad("slash forgotten", Code.KEY_PLACE, b"prompt: a\n", "jobs", words=("slash at the end",)),
    Bad("capital", Code.KEY_PLACE, b"{}", "JOBS/a/b.json", words=("s3://input/jobs/a/b.json",)),
    Bad("17-folders", Code.KEY_TOO_DEEP, b"prompt: a\n", "jobs/" + "a/" * 17 + "bee.yaml",
        words=("16",)),
]  # fmt: skip


def _reference(name: str, value: str, code: Code, *words: str, field: str = "image") -> Bad:
    return yaml(f"reference-{name}", code, f"prompt: a bee\n{field}: {value}\n", *words, line=2,
                field=field)  # fmt: skip


_PLACE = Code.REFERENCE_PLACE

REFERENCES = [
    _reference("other-bucket", "s3://other/bee.png", _PLACE, "beside the spec", "image: bee.png"),
    _reference("http", "http://169.254.169.254/latest/meta-data/bee.png", _PLACE),
    _reference("https", "https://example.org/bee.png", _PLACE, "beside the spec"),
    _reference("file", "file:///etc/passwd", _PLACE),
    _reference("data", '"data:image/png;base64,AAAA"', Code.REFERENCE_KIND),
    _reference("outside-jobs", "../../secret.png", _PLACE),
    _reference("far-outside", "../../../../../../etc/passwd.png", _PLACE),
    _reference("outside-through-jobs", "/../videos/bee.png", _PLACE),
    _reference("directory", "pictures/", _PLACE),
    _reference("parent", "..", _PLACE),
    _reference("itself", "bee.yaml", _PLACE),
    _reference("another-spec", "other.yaml", Code.REFERENCE_KIND, ".png"),
    _reference("gif", "bee.gif", Code.REFERENCE_KIND, "a GIF image", "one frame", "PNG"),
    *(_reference(name[-4:], name, Code.REFERENCE_KIND, "a HEIC image", "iPhone", "JPEG")
      for name in ("IMG_1.HEIC", "bee.heif", "DSC1.hif")),
    _reference("avif", "bee.avif", Code.REFERENCE_KIND, "an AVIF image", "PNG or JPEG"),
    _reference("tiff", "bee.tiff", Code.REFERENCE_KIND, "a TIFF image", "PNG or JPEG"),
    _reference("raw", "DSC1.NEF", Code.REFERENCE_KIND, "a raw photo", "PNG or JPEG"),
    _reference("webm", "bee.webm", Code.REFERENCE_KIND, "a WebM video", "MP4", field="video"),
    _reference("mkv", "bee.mkv", Code.REFERENCE_KIND, "a Matroska video", "MP4", field="video"),
    _reference("no-ending", "bee", Code.REFERENCE_KIND, ".png"),
    _reference("video-as-image", "bee.mp4", Code.REFERENCE_KIND, "Write  video: bee.mp4"),
    _reference("image-as-video", "bee.png", Code.REFERENCE_KIND, "Write  image: bee.png",
               field="video"),
    _reference("sound-as-image", "song.mp3", Code.REFERENCE_KIND, "Write  audio: song.mp3"),
    _reference("image-as-sound", "bee.png", Code.REFERENCE_KIND, "Write  image: bee.png",
               field="audio"),
    _reference("aiff", "song.aiff", Code.REFERENCE_KIND, "an AIFF sound", "MP3", field="audio"),
    _reference("m4p", "song.m4p", Code.REFERENCE_KIND, "protected", field="audio"),
    _reference("sound-without-ending", "song", Code.REFERENCE_KIND, ".mp3", field="audio"),
    _reference("sound-http", "https://example.org/a.mp3", _PLACE, "audio: song.mp3",
               field="audio"),
    _reference("playlist", "bee.m3u8", Code.REFERENCE_KIND, ".mp4", field="video"),
    _reference("video-http", "http://example.org/bee.mp4", _PLACE, "video: bee.mp4", field="video"),
    _reference("hidden", ".bee.png", _PLACE, "hidden", "Rename"),
    _reference("hidden-folder", ".cache/bee.png", _PLACE, "begins with a dot"),
    _reference("spaces", '"   "', Code.REFERENCE_KIND),
    Bad("reference-alike", Code.REFERENCE_AMBIGUOUS, b"prompt: a bee\nimage: Bee.png\n",
        others={"jobs/bad/bee.png": images.PLAIN, "jobs/bad/BEE.png": images.PLAIN},
        words=("'BEE.png', 'bee.png'", "exactly"), line=2, field="image"),
    yaml("reference-in-matrix", _PLACE,
         "prompt: a\nmatrix:\n  image:\n  - a.png\n  - s3://b/c.png\n", line=5),
    yaml("reference-in-include", _PLACE,
         "prompt: a\nmatrix:\n  include:\n  - image: ../../../a.png\n", line=4),
]  # fmt: skip


def _defaults(name: str, code: Code, text: str, *words: str, **where: Unpack[Where]) -> Bad:
    """A good spec with bad folder defaults. The answer must name the file of the defaults."""
    return Bad(
        f"defaults-{name}", code, b"prompt: a bee\n",
        others={"jobs/bad/_defaults.yaml": text.encode()}, words=words,
        file="jobs/bad/_defaults.yaml", **where,
    )  # fmt: skip


DEFAULTS = [
    _defaults("yaml", Code.YAML_SYNTAX, "seed: 7\nprompt: a: b\n", line=2),
    _defaults("unknown", Code.FIELD_UNKNOWN, "sed: 7\n", "seed", line=1),
    _defaults("type", Code.FIELD_TYPE, "seed: seven\n", "a whole number", line=1),
    _defaults("list", Code.SPEC_NOT_A_MAPPING, "- seed\n", line=1),
    _defaults("bomb", Code.YAML_TOO_DEEP, "[" * 2_000, line=1),
    _defaults("large", Code.SPEC_TOO_LARGE, "a" * 70_000),
    _defaults("animate", Code.FIELD_TYPE, "animate_images: yes\n", "true or false", line=1),
    _defaults("none-a-day", Code.FIELD_RANGE, "max_videos_per_day: 0\n", "1", line=1,
              field="max_videos_per_day"),
    _defaults("minutes", Code.FIELD_TYPE, "max_gpu_minutes_per_day: an hour\n",
              "a whole number", line=1, field="max_gpu_minutes_per_day"),
    Bad("defaults-dropped", Code.FIELD_UNKNOWN, b"sed: 7\n", "jobs/bad/_defaults.yaml", line=1,
        file="jobs/bad/_defaults.yaml"),
]  # fmt: skip

HARMLESS = [
    Harmless(f"key {key[-12:]}", b"prompt: a bee\n", key)
    for key in (
        "jobs/a b.yaml", "jobs/a+b%2Fc.yaml", "jobs/ä/ö.yaml", "jobs/😀.yaml", "jobs/bee.YAML",
        "jobs/../../etc/passwd.yaml", "jobs//bee.yaml", "jobs/" + "x" * 1_014 + ".yaml",
        "jobs/'; rm -rf $(pwd) #.yaml", "jobs/<script>.yaml",
    )
] + [
    Harmless("reference-in-a-folder", b"image: pics/../bee.png\n",
             others={"jobs/bad/bee.png": images.PLAIN}),
    *(
        Harmless(f"reference-{suffix}", f"image: bee.{suffix}\n".encode(),
                 others={f"jobs/bad/bee.{suffix}": images.JPEG})
        for suffix in ("jpeg", "jpe", "jfif", "JFIF", "pjpeg", "pjp")
    ),
    Harmless("reference-from-jobs", b"image: /pics/bee.png\n",
             others={"jobs/pics/bee.png": images.PLAIN}),
    Harmless("reference-above", b"image: ../bee.png\n", others={"jobs/bee.png": images.PLAIN}),
]  # fmt: skip
