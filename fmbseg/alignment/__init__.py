"""Stage 2: training the alignment head on pseudo labels."""
