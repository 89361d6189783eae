"""Reporting of evaluations: tables, progress, plots, trackers."""
