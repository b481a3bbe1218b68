"""What a search asks of library.db: words -> chunks, windows -> chunks, chunks -> vectors and passages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from server.errors import Corrupt, NotFound
from server.stores import Ids, Vectors
from server.stores.database import Database, marks, snapshot, unpacked
from server.stores.rows import CHUNK_OF_FILE, stored_chunk, vectors_checksum
from server.stores.where import EVERYWHERE, Where
from server.stores.words import match_expression
from server.types import Passage

DAMAGED = "{what} in {path} are not what was written, it is damaged; python init_database.py --check --kb-name {kb} says what to do"


class SearchRows(Database):
    """Read only."""

    def word_scores(self, terms: Sequence[str], k: int, *, where: Where = EVERYWHERE, among: Sequence[int] = ()) -> dict[int, float]:
        """The `k` best chunks by BM25 (k1 1.2, b 0.75; larger is better); only those of `where`, or `among` chunk ids, when given."""
        if not terms:
            return {}
        query = "SELECT words.rowid, -bm25(words) AS score FROM words"
        condition, chosen = where.condition()
        if where:
            query += " JOIN chunks c ON c.id = words.rowid JOIN files f ON f.id = c.file_id"
        query += f" WHERE words MATCH ? AND {condition}"
        values: list[object] = [match_expression(list(terms)), *chosen]
        if among:
            query += f" AND words.rowid IN ({marks(among)})"
            values += among
        with self._connection() as db:
            return dict(db.execute(query + " ORDER BY score DESC LIMIT ?", [*values, k]).fetchall())

    def document_frequencies(self, terms: Sequence[str]) -> tuple[int, list[int]]:
        """How many chunks there are, and how many hold each term: never more than there are, though somebody writes meanwhile.

        Raises Corrupt when the words are of other chunks.
        """
        with self._connection() as db, snapshot(db):
            total = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
            counts = [
                db.execute("SELECT count(*) FROM words WHERE words MATCH ?", (match_expression([term]),)).fetchone()[0] for term in terms
            ]
        if max(counts, default=0) > total:
            raise Corrupt(DAMAGED.format(what="words", path=self.path, kb=self.path.parent.name))
        return total, counts

    def chunks_of_windows(self, windows: Sequence[int]) -> dict[int, int]:
        """window id -> chunk id, for those that still exist."""
        with self._connection() as db:
            return dict(db.execute(f"SELECT id, chunk_id FROM windows WHERE id IN ({marks(windows)})", list(windows)).fetchall())  # noqa: S608 - only marks

    def windows_in(self, where: Where) -> Ids:
        """The window ids of that part of the library, (n,)."""
        condition, values = where.condition()
        chunks = " JOIN chunks c ON c.id = w.chunk_id" * bool(where.sections)
        query = f"SELECT w.id FROM files f JOIN windows w ON w.file_id = f.id{chunks} WHERE {condition}"  # noqa: S608 - constants
        with self._connection() as db:
            return np.array([row[0] for row in db.execute(query, values)], np.int64)

    def vectors_of_chunks(self, chunks: Sequence[int]) -> tuple[list[int], Vectors]:
        """The chunk id of each window of `chunks`, and the windows' vectors (n, dim). Raises Corrupt when they are altered."""
        query = "SELECT w.chunk_id, w.vector, c.vectors_checksum FROM windows w JOIN chunks c ON c.id = w.chunk_id"
        query += f" WHERE w.chunk_id IN ({marks(chunks)}) ORDER BY w.chunk_id"
        with self._connection() as db:
            rows = db.execute(query, list(chunks)).fetchall()
        for _, windows in itertools.groupby(rows, key=lambda row: row[0]):
            some = list(windows)
            if some[0][2] not in (None, vectors_checksum(blob for _, blob, _ in some)):
                raise Corrupt(DAMAGED.format(what="vectors", path=self.path, kb=self.path.parent.name))
        return [row[0] for row in rows], unpacked([row[1] for row in rows])

    def vectors_of_windows(self, windows: Sequence[int]) -> tuple[list[int], Vectors]:
        """Those of `windows` that still exist, and their vectors (n, dim)."""
        with self._connection() as db:
            rows = db.execute(f"SELECT id, vector FROM windows WHERE id IN ({marks(windows)})", list(windows)).fetchall()  # noqa: S608 - only marks
        return [row[0] for row in rows], unpacked([row[1] for row in rows])

    def passages(self, kb: str, chunks: Sequence[int]) -> dict[int, Passage]:
        """chunk id -> Passage with scores 0, for those that still exist."""
        with self._connection() as db:
            rows = db.execute(f"{CHUNK_OF_FILE} WHERE c.id IN ({marks(chunks)})", list(chunks)).fetchall()
        return {row[0]: stored_chunk(kb, row) for row in rows}

    def around(self, kb: str, chunk: int, most: int) -> list[Passage]:
        """Up to `most` chunks before and after this one in its section, itself included, in order; empty when it is gone."""
        own = "SELECT file_id, section_number, ord - ?2, ord + ?2 FROM chunks WHERE id = ?1"
        query = (
            f"WITH own(file, section, first, last) AS ({own}) {CHUNK_OF_FILE} JOIN own ON c.file_id = own.file "
            "WHERE c.section_number = own.section AND c.ord BETWEEN own.first AND own.last ORDER BY c.ord"
        )
        with self._connection() as db:
            return [stored_chunk(kb, row) for row in db.execute(query, (chunk, most))]

    def section_of(self, kb: str, chunk: int) -> list[Passage]:
        """All chunks of the section that this chunk belongs to, in order. Raises NotFound."""
        own = "SELECT file_id, section_number FROM chunks WHERE id = ?"
        query = f"{CHUNK_OF_FILE} WHERE (c.file_id, c.section_number) = ({own}) ORDER BY c.ord"
        with self._connection() as db:
            rows = db.execute(query, (chunk,)).fetchall()
        if not rows:
            raise NotFound(f"no chunk {chunk} in the library {kb!r}; a file that was read again has new ones")
        return [stored_chunk(kb, row) for row in rows]
