"""The function of the studio: it serves the page, and answers its questions."""
