"""The same work on more processes and machines; nothing here knows what the work is."""
