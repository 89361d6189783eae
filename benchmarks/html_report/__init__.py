"""Pages of results, each one file that loads nothing: the report of some runs, and the leaderboard.

`markup` makes text harmless, `document` puts a page together, `charts` draws, `archive` packs episodes for
the scripts in `static`. Nothing here measures anything.
"""
