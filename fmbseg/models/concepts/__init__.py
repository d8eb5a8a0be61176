"""Models that name things and cut them out in one step."""
