"""Full-text search with Lucene's words and Lucene's arithmetic, in numpy; `docs/webshop-search.md` compares them.

What is found are positions in a sequence of documents. What the documents are about is not known here.
"""

from act_gym.engines.webshop.search.build import build
from act_gym.engines.webshop.search.files import verify
from act_gym.engines.webshop.search.index import SearchIndex

__all__ = ["SearchIndex", "build", "verify"]
