"""Deployment: any words, any image."""
