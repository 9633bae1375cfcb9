"""Files of other programs that are named as a spec: the answer says what they are."""

import bz2
import gzip
import io
import json
import lzma
import re
import sqlite3
import tarfile
import zipfile

import pytest

from contract.errors import JobRejected
from functions.spec import parsed
from tests.corpus.videos import mp4
from tests.fakes import World, picture
from tests.functions.resolved_specs import refusal


def zipped(*names: str, first: str = "") -> bytes:
    """A ZIP archive as office programs write it: `first` is the content of `mimetype`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        if first:
            archive.writestr("mimetype", first)
        for name in names:
            archive.writestr(name, "<?xml version='1.0'?><a/>")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("bee.yaml"))
    return file.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table bee (name text)")
        return connection.serialize()


def old_office(stream: str) -> bytes:
    """The beginning of a compound file, and the entry of its directory that names the kind."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + stream.encode("utf-16-le")


OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
FILES: dict[str, tuple[bytes, str, str]] = {
    # name: content, what it is called, what the advice names
    "rtf": (rb"{\rtf1\ansi\ansicpg1252 {\fonttbl} a bee}", "formatted text (RTF)",
            "Make Plain Text"),
    "html": (b"<!DOCTYPE html>\n<html><body>a bee", "a web page", "Copy the text"),
    "html-mark": (b"\xef\xbb\xbf\r\n<HTML>\n<body>a bee", "a web page", "Notepad"),
    "html-utf-16": ("<html><p>a bee".encode("utf-16"), "a web page", "Copy the text"),
    "html-comment": (b"<!-- saved -->\n<html>", "a web page", "Copy the text"),
    "html-fragment": (b"<p>a bee</p>", "a web page", "Copy the text"),
    "html-span": (b'<span style="x">a bee</span>', "a web page", "TextEdit"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file",
            "Copy the text"),
    "plist": (b'<?xml version="1.0"?>\n<!DOCTYPE plist>', "an XML file", "Copy the text"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "a drawing (SVG)", "image:"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "a PDF file", "Copy the text"),
    "pdf-text": (b"%PDF-1.4\n1 0 obj", "a PDF file", "Copy the text"),
    "postscript": (b"%!PS-Adobe-3.0\n", "a PostScript file", "Copy the text"),
    "docx": (zipped("[Content_Types].xml", "word/document.xml"), "a Word document", "In Word"),
    "xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel sheet", "CSV UTF-8"),
    "pptx": (zipped("[Content_Types].xml", "ppt/presentation.xml"), "a PowerPoint file", "Copy"),
    "doc": (old_office("WordDocument"), "a Word document", "In Word"),
    "xls": (old_office("Workbook"), "an Excel sheet", "CSV UTF-8"),
    "ppt": (old_office("PowerPoint Document"), "a PowerPoint file", "Copy the text"),
    "msg": (old_office("__nameid_version1.0"), "an old Office file", "Plain Text"),
    "odt": (zipped("content.xml", first=OPEN_DOCUMENT + "text"), "an OpenDocument text",
            "In LibreOffice"),
    "ods": (zipped("content.xml", first=OPEN_DOCUMENT + "spreadsheet"), "an OpenDocument sheet",
            "CSV UTF-8"),
    "odp": (zipped("content.xml", first=OPEN_DOCUMENT + "presentation"), "an OpenDocument file",
            "Copy the text"),
    "pages": (zipped("Index/Document.iwa", "preview.jpg"), "a Pages, Numbers or Keynote document",
              "Export To, Plain Text"),
    "epub": (zipped("OEBPS/a.xhtml", first="application/epub+zip"), "an e-book", "Copy the text"),
    "zip": (zipped("bee.yaml"), "a ZIP archive", "Unpack it"),
    "gzip": (gzip.compress(b"prompt: a bee"), "a gzip archive", "Unpack it"),
    "bzip2": (bz2.compress(b"prompt: a bee"), "a bzip2 archive", "Unpack it"),
    "xz": (lzma.compress(b"prompt: a bee"), "an xz archive", "Unpack it"),
    "tar": (tarred(), "a tar archive", "Unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive", "Unpack it"),
    "rar": (b"Rar!\x1a\x07\x01\0", "a RAR archive", "Unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd\0", "a Zstandard archive", "Unpack it"),
    "sqlite": (database(), "a SQLite database", "prompt:"),
    "webarchive": (b"bplist00\xd1\x01\x02", "a property list or web archive", "Copy the text"),
    "exe": (b"MZ\x90\0\3\0\0\0", "a program", "prompt:"),
    "elf": (b"\x7fELF\2\1\1\0", "a program", "prompt:"),
    "png": (picture("PNG"), "a PNG image", "bee.png"),
    "jpeg": (picture("JPEG"), "a JPEG image", "bee.png"),
    "webp": (picture("WEBP"), "a WebP image", "image: bee.png"),
    "gif": (picture("GIF"), "a GIF image", "image: bee.png"),
    "bmp": (picture("BMP"), "a BMP image", "image: bee.png"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image", "image: bee.png"),
    "mp4": (mp4(), "an MP4 video", "video: bee.mp4"),
    "mp3": (b"ID3\4\0\0\0\0\0\0\xff\xfb", "an MP3 file", "audio: song.mp3"),
    "shell": (b"#!/bin/sh\nprompt=bee\n", "a script", "prompt:"),
    "python": (b"# mine\n\nimport boto3\nprint(5)\n", "the code of a program", "prompt:"),
    "python-from": (b"from diffusers import CogVideoXPipeline\npipe = 1\n",
                    "the code of a program", "prompt:"),
    "javascript": (b"const prompt = 'a bee';\nrun(prompt);\n", "the code of a program", "prompt:"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
            "a pointer of Git LFS", "git lfs pull"),
    "email": (b"From: a@example.org\nSubject: bee\nMIME-Version: 1.0\n\na bee\n", "an email",
              "Copy the text"),
    "url": (b"[InternetShortcut]\r\nURL=https://example.org/\r\n", "a link to a web page",
            "prompt:"),
    "playlist": (b"#EXTM3U\n#EXT-X-VERSION:3\n", "a playlist", "prompt:"),
    "csv": (b"prompt,seed\na bee,7\na cat,8\n", "a table (CSV)", "ending .csv"),
    "csv-excel": (b"\xef\xbb\xbfname;prompt;seed\r\n1;a bee;7\r\n", "a table (CSV)", "ending .csv"),
}  # fmt: skip
JSON: dict[str, tuple[object, str, str]] = {
    "notebook": ({"cells": [], "metadata": {}, "nbformat": 4}, "a Jupyter notebook", "prompt:"),
    "comfyui": ({"3": {"class_type": "KSampler", "inputs": {}}}, "a workflow of ComfyUI",
                "prompt:"),
    "comfyui-graph": ({"nodes": [], "links": [], "version": 0.4}, "a workflow of ComfyUI",
                      "prompt:"),
    "schema": ({"$schema": "https://json-schema.org", "properties": {}}, "a JSON schema",
               "prompt:"),
    "gdoc": ({"url": "https://docs.google.com/open", "doc_id": "5"}, "a link to a Google document",
             "File, Download, Plain text"),
    "status": ({"job_id": "bee-1", "path": "bee", "state": "queued", "tasks": []},
               "a status file of reeldrop", "sidecar"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["txt", "yaml", "yml", "json"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_text_is_named_with_the_way_to_plain_text(
    name: str, suffix: str
) -> None:
    body, what, advice = FILES[name]
    problem = refusal(body, f"jobs/bee.{suffix}")
    assert problem.code == "not-a-spec", problem
    assert what in problem.message and advice in problem.hint, problem
    assert (problem.place.line, problem.place.column) == (1, 1)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@pytest.mark.parametrize("name", JSON)
def test_the_json_of_another_program_is_named(name: str, suffix: str) -> None:
    value, what, advice = JSON[name]
    problem = refusal(json.dumps(value), f"jobs/bee.{suffix}")
    assert problem.code == "not-a-spec" and what in problem.message and advice in problem.hint


def test_the_deployed_reading_process_names_a_file_too() -> None:
    world = World()
    world.drop("jobs/bee.txt", FILES["rtf"][0])
    assert "formatted text (RTF)" in world.files.read("output", "rejected/bee.txt").decode()


@pytest.mark.parametrize(
    "prompt",
    [
        "BMW on a mountain road", "MZ is a film about bees", "ID3 tags", "PK at dawn",
        "import a sense of calm", "from Paris import only the light", "class of 1999: a reunion",
        "<3 bees in a garden", "{red} car", "[red] car", "#1 fan of bees", "!important",
        "prompt, friendly clerks\nin a shop, at night", "GIF89a as a poster", "RIFF",
        "a bee; a cat; a dog", "version 2 of a bee", "From: a dream\nTo: a garden",
        "BZh, a robot bee", "set -e\n", "const x = 5",
    ],
)  # fmt: skip
def test_a_prompt_that_only_looks_like_such_a_file_is_read(prompt: str) -> None:
    read = parsed.parse(prompt.encode(), "jobs/bee.txt").values
    assert read == {"prompt": " ".join(prompt.split())}


def test_text_in_another_encoding_is_not_taken_for_an_image_or_a_program() -> None:
    for text in ("BM für Bienen", "MZ für Bienen"):
        assert refusal(text.encode("latin-1"), "jobs/bee.txt").code == "text-encoding"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bee.docx", "Save As"), ("bee.DOC", "Save As"), ("bee.pages", "Export To"),
        ("bee.rtf", "Make Plain Text"), ("bee.odt", "LibreOffice"), ("bee.pdf", "Copy the text"),
        ("bee.html", "Copy the text"), ("bee.gdoc", "Download"), ("bee.xlsx", "CSV UTF-8"),
        ("bee.zip", "Unpack"),
    ],
)  # fmt: skip
def test_a_document_under_its_own_name_gets_the_same_advice(name: str, words: str) -> None:
    problem = refusal(b"", f"jobs/{name}")
    assert problem.code == "key-suffix" and words in problem.hint and "bee.yaml" in problem.hint


def test_the_examples_in_the_advice_are_specs() -> None:
    found = set()
    for body, _, _ in FILES.values():
        for example in re.findall(r" {3}(prompt: .*)$", refusal(body).hint):
            found.add(example)
            parsed.parse(example.encode(), "jobs/bee.yaml")
    assert len(found) == 1


def test_long_files_are_looked_at_quickly() -> None:
    for text in ("# a\n" * 16_000, "\n" * 60_000, "# " * 30_000, "<!-- " * 12_000, "a,b" * 20_000,
                 "from: a\n" * 8_000):  # fmt: skip
        try:
            parsed.parse(text.encode(), "jobs/bee.txt")
        except JobRejected as rejection:
            assert rejection.problems[0].code in {"spec-empty", "yaml-syntax"}
