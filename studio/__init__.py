"""The studio: a page in the browser (`page/`) and the function behind it (`api/`)."""
