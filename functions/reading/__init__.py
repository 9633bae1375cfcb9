"""Reads what came from outside: specs, images and videos, in a process of its own each time.

`reader` is what the functions call. `child` is the process; `text`, `pictures` and `clips` run in
it, know no pydantic (which would double its start-up) and answer with plain values.
"""
