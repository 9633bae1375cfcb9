"""From what a person wrote to what is to be made: defaults, expansion, resolution, enhancement.

May import `reading`, and beside the rooms `s3_keys`, `settings`, `ports` and `log`.
"""
