"""The documents that functions and worker exchange. Imports pydantic and the standard library."""
