"""A frozen encoder with its alignment head: what Stage 2 makes and deployment uses."""
