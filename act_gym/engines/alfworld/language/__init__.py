"""Parsers for ALFWorld's game files: PDDL and a grammar of texts, parsed into typed trees."""
