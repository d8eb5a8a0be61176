"""Every frozen model, behind four contracts; nothing outside this folder names a model library."""
