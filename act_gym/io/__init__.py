"""File input and output: JSON lines, run folders, downloads, archives, locks."""
