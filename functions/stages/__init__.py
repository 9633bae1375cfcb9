"""What happens to a job, one file for each step from the drop to the published video.

May import `replies` and the rooms below it, but not `adapters`: it reaches AWS through ports.
"""
