"""Full-text search with Lucene's tokens and BM25 scores, in numpy; compared in `docs/webshop-search.md`.

Results are positions in a sequence of documents, of any content.
"""

from act_gym.engines.webshop.search.build import build
from act_gym.engines.webshop.search.files import verify
from act_gym.engines.webshop.search.index import SearchIndex

__all__ = ["SearchIndex", "build", "verify"]
