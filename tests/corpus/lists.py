"""Lists that cannot be divided into rows, and rows that cannot be used."""

from contract.errors import Code
from tests.corpus.specimen import Bad


def _table(name: str, code: Code, text: str, *words: str, field: str | None = None) -> Bad:
    return Bad(f"list-{name}", code, text.encode(), "jobs/bad/bee.csv", words=words, field=field)


def _lines(name: str, code: Code, text: str, *words: str) -> Bad:
    return Bad(f"list-{name}", code, text.encode(), "jobs/bad/bee.jsonl", words=words)


LISTS = [
    _table("unclosed", Code.LIST_SYNTAX, 'prompt\n"a bee\n', "Row 2", "never closed"),
    _table("after-quote", Code.LIST_SYNTAX, 'prompt\n"a" bee\n', "closing quote"),
    _table("twice", Code.LIST_SYNTAX, "prompt,Prompt\na bee,a fly\n", "appears twice"),
    _table("without-name", Code.LIST_SYNTAX, "prompt,,seed\na bee,x,7\n", "Column 2 has no name"),
    _table("51-columns", Code.LIST_SYNTAX, ",".join(f"x{n}" for n in range(51)) + "\na bee\n",
           "51 columns", "50"),
    _table("unclosed-long", Code.LIST_SYNTAX, 'prompt\n"a bee\n' + "a fly\n" * 30_000, "Row 2",
           "never closed"),
    _table("unclosed-between", Code.LIST_SYNTAX, 'prompt\n"a bee\n"a fly"\n', "not closed"),
    _table("more-cells", Code.LIST_SYNTAX, "prompt\na bee, flying\n", "more cells than columns"),
    _table("no-rows", Code.SPEC_EMPTY, "prompt,seed\n\n,\n", "no row", "first row"),
    _table("501-rows", Code.LIST_TOO_LARGE, "prompt\n" + "a bee\n" * 501, "500"),
    _table("2-MiB", Code.LIST_TOO_LARGE, "prompt\n" + "a" * 2_000_000, "1,048,576"),
    _table("name", Code.LIST_NAME, "name,prompt\na/b,a bee\n", "'a/b'", field="name"),
    _table("same-name", Code.LIST_NAME, "name,prompt\nBEE,a bee\nbee,a bee\n", "row 2"),
    _table("column", Code.FIELD_UNKNOWN, "prompt,sed\na bee,7\n", "Did you mean seed?",
           field="sed"),
    _table("column-of-folder", Code.FIELD_UNKNOWN, "prompt,animate_images\na bee,true\n",
           "_defaults.yaml"),
    _table("note", Code.FIELD_UNKNOWN, "prompt,remarks\na bee,nice\n", "Delete the column"),
    _table("number", Code.FIELD_TYPE, "prompt,seed\na bee,seven\n", "a whole number",
           field="seed"),
    _table("range", Code.FIELD_RANGE, "prompt,fps\na bee,0\n", "1 in the column fps", field="fps"),
    _table("open-list", Code.YAML_SYNTAX, 'prompt,scenes\n,"[a, b"\n', field="scenes"),
    _table("long-row", Code.SPEC_TOO_LARGE,
           f'matrix\n"{{prompt: [{", ".join(["b" * 1990] * 40)}]}}"\n', "65,536"),
    _table("invisible", Code.TEXT_CHARACTER, "prompt\na\u202ebee\n", "U+202E"),
    _lines("array", Code.LIST_SYNTAX, '[{"prompt": "a bee"}]', "JSON array", "line of its own"),
    _lines("cut", Code.YAML_SYNTAX, '{"prompt": "a bee"\n', "ends too early"),
    Bad("list-excel", Code.NOT_A_SPEC, b"PK\x03\x04 xl/", "jobs/bad/bee.csv",
        words=("an Excel sheet", "CSV UTF-8")),
    Bad("list-dos", Code.TEXT_ENCODING, b"prompt\nB\x81r\n", "jobs/bad/bee.csv",
        words=("UTF-8",)),
    Bad("key jobs/bee.csv.csv.txt", Code.KEY_SUFFIX, b"x", "jobs/bee.yaml.csv",
        words=("bee.csv",)),
]  # fmt: skip
