"""Files on disk: records in JSON lines, run folders, downloads, archives, locks."""
