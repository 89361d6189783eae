"""Agents on an OpenAI-compatible server."""
