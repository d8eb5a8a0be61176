"""What people correct in a label set: a layer of decisions on top of what the models made."""
