"""Which files in the input bucket are drops."""

import pytest

from functions.s3_keys import Kind, kind_of
from functions.stages.sweep import sweep
from tests.fakes import World

LEFT_BY_PROGRAMS = [
    # hidden files and folders
    "jobs/.bee.yaml", "jobs/.DS_Store", "jobs/._bee.yaml", "jobs/.~lock.bee.odt#",
    "jobs/.ipynb_checkpoints/bee-checkpoint.yaml", "jobs/.git/config", "jobs/a/.Trash-1000/bee.txt",
    "jobs/.dropbox.cache/bee.json", "jobs/.stfolder/a/bee.yaml", "jobs/..a/bee.yaml",
    "jobs/.a/bee.png", "jobs/.a/_defaults.yaml", "jobs/.bee.yaml.icloud",
    # systems
    "jobs/Thumbs.db", "jobs/ehthumbs.db", "jobs/desktop.ini", "jobs/Desktop.INI", "jobs/Icon\r",
    "jobs/__MACOSX/bee.yaml", "jobs/a/@eaDir/bee.yaml", "jobs/$RECYCLE.BIN/bee.txt",
    "jobs/System Volume Information/x.txt", "jobs/lost+found/bee.yaml",
    # editors
    "jobs/bee.yaml~", "jobs/#bee.yaml#", "jobs/bee.yaml.swp", "jobs/bee.yaml.bak",
    "jobs/~$bee.docx", "jobs/~WRL0001.tmp", "jobs/bee.txt.sb-1a2b3c4d-AbCdEf",
    "jobs/bee.yaml___jb_tmp___",
    # downloads and uploads that are not complete
    "jobs/bee.yaml.crdownload", "jobs/bee.yaml.part", "jobs/bee.png.partial",
    "jobs/bee.yaml.filepart", "jobs/bee.yaml.download", "jobs/bee.yaml.opdownload",
    "jobs/bee.yaml.!sync",
    # texts about the folder
    "jobs/README", "jobs/README.md", "jobs/readme.txt", "jobs/a/README.de.txt", "jobs/README.rst",
    "jobs/LICENSE", "jobs/LICENSE-MIT", "jobs/license.txt", "jobs/LICENCE.md", "jobs/COPYING",
    "jobs/CHANGELOG.md", "jobs/NOTICE.txt", "jobs/CONTRIBUTING.md", "jobs/AUTHORS",
    # markers of folders, and everything elsewhere
    "jobs/", "jobs/a/", "videos/bee.yaml",
]  # fmt: skip


@pytest.mark.parametrize("key", LEFT_BY_PROGRAMS)
def test_files_that_programs_leave_are_no_drops(key: str) -> None:
    assert kind_of(key) == Kind.IGNORED


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("jobs/bee.yaml", Kind.SPEC),
        ("jobs/README.yaml", Kind.SPEC),
        ("jobs/readme-cover.txt", Kind.SPEC),
        ("jobs/license-plate.txt", Kind.SPEC),
        ("jobs/licenses.txt", Kind.SPEC),
        ("jobs/part.txt", Kind.SPEC),
        ("jobs/a.b/bee.v2.yaml", Kind.SPEC),
        ("jobs/../bee.yaml", Kind.SPEC),
        ("jobs/bee (conflicted copy).yaml", Kind.SPEC),
        ("jobs/readme.png", Kind.REFERENCE),
        ("jobs/licenseplate", Kind.UNKNOWN),
        ("jobs/bee.docx", Kind.UNKNOWN),
        ("jobs/bee.yaml.txt", Kind.UNKNOWN),
        ("jobs/_defaults.yml", Kind.UNKNOWN),
    ],
)
def test_what_a_person_drops_gets_an_answer(key: str, kind: Kind) -> None:
    assert kind_of(key) == kind


def test_a_synced_folder_full_of_such_files_makes_no_job_and_no_mail() -> None:
    world = World()
    for key in LEFT_BY_PROGRAMS:
        world.drop(key)
    world.clock.move(minutes=3)
    sweep(world.ports)
    assert not [sort for _, sort in world.ledger.items if sort == "JOB"]
    assert not world.post.sent and not world.files.keys("output")
