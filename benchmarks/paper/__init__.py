"""The paper's tables, run row by row and shown beside the published numbers: `act-gym paper`."""
