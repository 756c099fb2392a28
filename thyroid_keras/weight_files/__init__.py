"""Weights in other people's files, read without running anything in them."""
