"""Models that name and cut out in one step."""
