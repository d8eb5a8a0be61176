"""From a name to a model's files and what they say, by the same rules for every kind of model."""
