"""ALFWorld's two engines: `native`, in plain Python, and `textworld`, on upstream's packages."""
