"""Reads untrusted bytes (specs, images and videos) in a separate process for each file.

The functions use the `Reader` port of `functions.spec.reader`, and its adapter starts `child` as
the process. `text`, `pictures` and `clips` run inside that process. They return plain values and do
not import pydantic, because pydantic would double the start-up time.
"""
