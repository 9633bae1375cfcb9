"""What both sides of a processing job agree on. Imports pydantic and the standard library."""
