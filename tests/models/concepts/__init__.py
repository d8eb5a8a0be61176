"""Concept models."""
