"""Evaluation: metrics, benchmark protocols and reports."""
