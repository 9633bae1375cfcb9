"""The worker, which makes the videos: it reads and writes files, without network and AWS."""
