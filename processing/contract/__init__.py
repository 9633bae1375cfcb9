"""What the two sides of a processing job agree on. Imports pydantic and the standard library only."""
