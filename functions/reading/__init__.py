"""Decodes untrusted bytes (specs, images, videos), in a separate process for each file.

Imports nothing else of ours and no pydantic, and is the only room that may import PIL, av and yaml.
"""
