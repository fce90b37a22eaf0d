"""Draws an analysis; never analyses."""
