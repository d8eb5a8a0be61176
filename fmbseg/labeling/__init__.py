"""Stage 1: from photographs and a vocabulary to pseudo labels."""
