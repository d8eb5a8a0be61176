"""Every frozen model, behind three contracts; nothing outside this folder names a model library."""
