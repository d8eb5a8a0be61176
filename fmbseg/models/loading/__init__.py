"""From a name to the files of a model and what they say, by the same rules for every kind of model."""
