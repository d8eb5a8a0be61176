"""The fmbseg command."""
