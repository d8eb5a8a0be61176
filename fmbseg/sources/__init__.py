"""Photographs wherever they are: folders, lists, tar files and tables, here or in object storage."""
