"""Pseudo labels as values and on disk: what Stage 1 writes and Stage 2 reads."""
