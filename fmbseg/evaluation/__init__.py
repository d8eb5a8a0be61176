"""Numbers that can be trusted: the metric and its protocols."""
