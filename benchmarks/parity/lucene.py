"""Lucene itself, as pyserini runs it: the JAR of its wheel in a Java process, asked through py4j.

`pip download pyserini==0.21.0 --no-deps` brings Lucene 9.4.2, which wrote the published index of 1,000 products; the
JAR is in the wheel, a ZIP file, as `pyserini/resources/jars/anserini-0.21.0-fatjar.jar`. The calls are those that
pyserini's `LuceneSearcher` and its indexer call, with their defaults.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from act_gym.engines.java import find_java
from act_gym.errors import EngineError, MissingDataError

__all__ = ["Lucene", "LuceneIndex"]

_BATCH = 256
_JAR = "anserini-"
_OPTIONS = ["-Xmx2g", "-XX:+UseSerialGC"]


class Lucene:
    """A Java process with Lucene; to be closed, or used in a `with` statement.

    Args:
        jar: Anserini's JAR with everything in it, or a pyserini wheel, which is unpacked next to itself.

    Raises:
        MissingDataError: There is no such file, or no JAR in it.
        EngineError: Java could not be started with it.
    """

    def __init__(self, jar: Path) -> None:
        from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
        from py4j.protocol import Py4JError

        try:
            port, token, self._process = launch_gateway(
                classpath=str(_unpacked(jar)),
                java_path=str(find_java().path),
                javaopts=_OPTIONS,
                die_on_exit=True,
                enable_auth=True,
                return_proc=True,
            )
            parameters = GatewayParameters(port=port, auth_token=token, auto_convert=True, auto_field=True)
            self._gateway = JavaGateway(gateway_parameters=parameters)
            java = self._gateway.jvm
            self.version = str(java.org.apache.lucene.util.Version.LATEST.toString())
            self._analyzer = java.io.anserini.analysis.DefaultEnglishAnalyzer.newDefaultInstance()
        except (Py4JError, TypeError) as cause:
            raise EngineError(
                f"{jar} does not run as Anserini's JAR: {cause}. Give the one in a pyserini wheel."
            ) from cause
        self._java: Any = java

    def terms(self, text: str) -> tuple[str, ...]:
        """Return what the analyser makes of a text."""
        found = self._java.io.anserini.analysis.AnalyzerUtils.analyze(self._analyzer, text)
        joined = str(self._java.java.lang.String.join("\n", found))  # one trip and not one for each term
        return tuple(joined.split("\n")) if joined else ()

    def index(self, documents: Iterable[tuple[str, str]], folder: Path) -> LuceneIndex:
        """Write an index of names and texts, with the fields that matter for a search, and open it."""
        lucene = self._java.org.apache.lucene
        directory = _directory(self._java, folder)
        writer = lucene.index.IndexWriter(directory, lucene.index.IndexWriterConfig(self._analyzer))
        store = lucene.document.Field.Store
        for name, text in documents:
            document = lucene.document.Document()
            document.add(lucene.document.StringField("id", name, store.YES))
            document.add(lucene.document.BinaryDocValuesField("id", lucene.util.BytesRef(name)))
            document.add(lucene.document.TextField("contents", text, store.NO))
            writer.addDocument(document)
        writer.forceMerge(1)
        writer.close()
        directory.close()
        return self.open(folder)

    def open(self, folder: Path) -> LuceneIndex:
        """Open an index, as pyserini's `LuceneSearcher(folder)` does."""
        return LuceneIndex(self._java, self._analyzer, folder)

    def close(self) -> None:
        """End the process."""
        self._gateway.shutdown()
        self._process.terminate()
        self._process.wait(timeout=30)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Lucene:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class LuceneIndex:
    """An open index; `Lucene` makes it."""

    def __init__(self, java: Any, analyzer: Any, folder: Path) -> None:
        self._searcher = java.io.anserini.search.SimpleSearcher(str(folder))
        self._analyzer = analyzer
        self._queries = java.io.anserini.search.query.BagOfWordsQueryGenerator()
        lucene = java.org.apache.lucene
        self._plain = lucene.search.IndexSearcher(lucene.index.DirectoryReader.open(_directory(java, folder)))
        self._plain.setSimilarity(lucene.search.similarities.BM25Similarity(0.9, 0.4))

    def search(self, query: str, limit: int = 50) -> tuple[str, ...]:
        """Return the names of what pyserini finds, the best first."""
        return tuple(str(hit.docid) for hit in self._searcher.search(query, limit))

    def scores(self, query: str, limit: int = 50) -> tuple[float, ...]:
        """Return the best scores, falling, as Lucene has them; what pyserini shows is rounded."""
        found = self._plain.search(self._queries.buildQuery("contents", self._analyzer, query), limit)
        return tuple(float(hit.score) for hit in found.scoreDocs)


def _directory(java: Any, folder: Path) -> Any:
    path = java.java.io.File(str(folder)).toPath()
    return java.org.apache.lucene.store.FSDirectory.open(path)


def _unpacked(jar: Path) -> Path:
    if not jar.is_file():
        raise MissingDataError(f"No file {jar}. Run: pip download pyserini==0.21.0 --no-deps")
    if jar.suffix != ".whl":
        return jar
    with zipfile.ZipFile(jar) as wheel:
        for name in wheel.namelist():
            if Path(name).name.startswith(_JAR) and name.endswith(".jar"):
                target = jar.parent / Path(name).name
                if not target.is_file() or target.stat().st_size != wheel.getinfo(name).file_size:
                    target.write_bytes(wheel.read(name))
                return target
    raise MissingDataError(f"{jar} holds no {_JAR}….jar. Run: pip download pyserini==0.21.0 --no-deps")
