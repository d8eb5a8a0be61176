"""Label sets in other people's formats: written for their tools, and read back after corrections."""
