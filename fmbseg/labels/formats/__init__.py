"""Label sets in other tools' formats: exported, and read back after corrections."""
