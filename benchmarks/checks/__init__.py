"""Programs that check a claim about the environments or the statistics, run by hand."""
