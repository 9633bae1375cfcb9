"""Measure the rows in order of their value: `python -m bench.gpu OUT.json [--tiny] [--seconds N]`.

`--tiny` checks the program on a CPU with small shapes; its figures mean nothing.
"""

import argparse
from pathlib import Path

from bench.gpu import cogvideox, others
from bench.gpu.measure import Rows, Setup

# Each part frees its models when it is done.
PARTS = (
    others.rows_ceilings,
    cogvideox.rows_5b,
    cogvideox.rows_2b,
    others.rows_wan,
    others.rows_wan_decode,
    others.rows_text_encoder,
    cogvideox.rows_5b_stock_video,
    cogvideox.rows_5b_offloaded,
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("out", type=Path, help="where the rows are written, as JSON")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to check the program")
    parser.add_argument("--seconds", type=float, default=1200, help="start no row after this")
    parser.add_argument("--skip", action="append", default=[], metavar="ROW")
    parser.add_argument("--only", action="append", default=[], metavar="ROW")
    parser.add_argument("--compiled", type=Path, metavar="FOLDER",
                        help="keep what is compiled here, and use what is here")  # fmt: skip
    given = parser.parse_args()
    rows = Rows(given.out, given.seconds, given.skip, given.only)
    setup = Setup(rows, tiny=given.tiny, compiled=given.compiled)
    for part in PARTS:
        part(setup)


if __name__ == "__main__":
    main()
