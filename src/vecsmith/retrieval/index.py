"""A searchable collection of vectors: short prefixes find candidates, whole vectors decide.

A search is a plan (`plan.py`) carried out (`searching.py`) over segments of rows (`segments.py`);
plans are learnt from held-out queries (`learning.py`). The rule of this file: rows, plans and all
else that a search reads are one value that is replaced, never changed. A search takes it once and
neither disturbs nor waits for whoever adds, deletes or saves meanwhile.

Shapes: N rows, Q queries, D dims, k hits.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray, PathLike
from vecsmith.errors import RunFailed
from vecsmith.retrieval.approximate import Approximation
from vecsmith.retrieval.asking import allowed_places, chosen_plan, found
from vecsmith.retrieval.building import built, check_asked, planned
from vecsmith.retrieval.exact import Similarity
from vecsmith.retrieval.learning import trimmed
from vecsmith.retrieval.plan import SearchCost, SearchPlan
from vecsmith.retrieval.searching import Places, Rows, Searcher, usable_cores
from vecsmith.retrieval.storage import saving
from vecsmith.retrieval.storage.blocks import query_rows, vector_blocks
from vecsmith.retrieval.storage.growing import Tail
from vecsmith.retrieval.storage.ids import checked_ids, shown
from vecsmith.retrieval.storage.manifest import Settings, new_identity
from vecsmith.retrieval.storage.segments import StoreDtype
from vecsmith.retrieval.storage.stores import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """What a search found, best first.

    Attributes:
        ids: Of the hits, [Q, k]: int64 with -1 where there are fewer, or texts with None.
        scores: Their similarities by whole vectors, [Q, k], -inf where there are fewer.
        cost: What each query cost.
        plan: What was carried out.
    """

    ids: NDArray[Any]
    scores: FloatArray
    cost: SearchCost
    plan: SearchPlan


class AdaptiveIndex:
    """Vectors that are searched by short prefixes first.

    Any number of threads may search while one adds, deletes or saves; any number of processes may
    have the same folder open while one saves to it.

    Example:
        >>> index = AdaptiveIndex.build(vectors, ids=ids)
        >>> hits = index.search(queries, k=10)
        >>> index.save("index/")
        >>> index = AdaptiveIndex.open("index/")
        >>> vector = index.vectors(ids[0])[0] if ids[0] in index else None
    """

    def __init__(
        self,
        rows: Rows,
        settings: Settings,
        *,
        home: Path | None = None,
        generation: int = 0,
        identity: str = "",
    ) -> None:
        """Takes what `build` and `open` make; call one of these."""
        self._held = (rows, settings)
        self._home = home
        self._generation = generation
        self._identity = identity
        self._tail: Tail | None = None
        self._changing = threading.RLock()

    @classmethod
    def build(
        cls,
        vectors: Any,
        *,
        ids: Any = None,
        similarity: Similarity = "cosine",
        dims: Sequence[int] | None = None,
        dtype: StoreDtype = "float32",
        queries: Any = None,
        recall: float = 0.99,
        k: int = 10,
        approximate: Approximation | None = None,
        out: PathLike | None = None,
        seed: int = 0,
        n_threads: int | None = None,
        show_progress_bar: bool = False,
    ) -> AdaptiveIndex:
        """An index of `vectors`, with plans learnt for the asked recall.

        Args:
            vectors: [N, D], an array, a mapped one, or blocks of rows one after another.
            ids: A distinct number or text for each; None numbers them from 0.
            similarity: "cosine", "dot", or "euclidean" (the distance, negated).
            dims: Prefix lengths that a plan may use; None for halvings of D.
            dtype: In which the vectors are kept; "int8" has one scale for each.
            queries: Held-out queries [Q, D] to learn from; a few hundred that are like those to
                come. None takes a sample of the vectors, none as its own neighbour.
            recall: Share of the `k` true neighbours to find, as a mean over queries.
            k: Hits that the recall is about.
            approximate: Whether a plan may begin with faiss's graph or cells (extra `index`).
            out: Folder to write the index into as it is built, so that it need not fit in
                memory; None builds it in memory.
            seed: Of the sample.
            n_threads: How many may run; None for all there are.
            show_progress_bar: Whether to show one, if this is a terminal.

        Raises:
            TypeError: If vectors are no numbers, or ids neither numbers nor texts.
            ValueError: If shapes do not fit, a value is not finite, or ids repeat.
            FileExistsError: If `out` is a file, or holds files but no index; nothing is touched.
            RunFailed: If another process is writing to `out`.
            OSError: If `out` cannot be written; an index that was there stays.
        """
        options: dict[str, Any] = {
            "ids": ids, "similarity": similarity, "dims": dims, "dtype": dtype, "queries": queries,
            "recall": recall, "k": k, "approximate": approximate, "seed": seed,
            "n_threads": n_threads or usable_cores(), "show_progress_bar": show_progress_bar,
        }  # fmt: skip
        if out is None:
            rows, settings = built(vectors, store=Memory(), **options)
            return cls(rows, settings)
        folder = Path(out)
        saving.check_place(folder)
        with saving.writing(folder):
            generation = saving.next_generation(folder)
            with saving.new_files(folder, generation) as store:
                rows, settings = built(vectors, store=store, **options)
                rows, identity = saving.write_rows(
                    folder, generation, settings, saving.filed(rows, store)
                )
        home = folder.resolve()
        return cls(rows, settings, home=home, generation=generation, identity=identity)

    @classmethod
    def open(cls, folder: PathLike, *, verify: bool = False) -> AdaptiveIndex:
        """The index in `folder`, mapped: what searches do not read stays on disk.

        Args:
            folder: Where `save` or `build(out=)` wrote it.
            verify: Whether to read every file and compare its digest; otherwise sizes and headers
                are checked.

        Raises:
            FormatError: If there is none, or a file is missing, cut short or altered.
        """
        manifest, rows = saving.open_rows(Path(folder), verify=verify)
        return cls(
            rows,
            manifest.settings,
            home=Path(folder).resolve(),
            generation=manifest.generation,
            identity=manifest.identity,
        )

    def save(self, folder: PathLike) -> None:
        """Writes the index to `folder`, whole or not at all; readers of an older one go on.

        To the folder that it was opened from only what changed is written. Rows that were deleted
        are left out once they are many, and small additions are joined.

        Raises:
            FileExistsError: If `folder` is a file, or holds files but no index; nothing is touched.
            RunFailed: If another process is writing there, has saved since this was opened, or
                has put another index in its place.
            FormatError: If there is an index that cannot be read.
            OSError: If it cannot be written; what was there stays as it was.
        """
        target = Path(folder)
        saving.check_place(target)
        with self._changing, saving.writing(target):
            is_home = self._is_home(target)
            rows, settings = self._held
            rows = rows if is_home else saving.homeless(rows)
            generation, identity = saving.next_generation(target), new_identity()
            try:
                with saving.new_files(target, generation):
                    rows, _ = saving.write_rows(
                        target, generation, settings, rows, identity=identity
                    )
            except BaseException:
                if saving.is_saved(target, identity):
                    # Ctrl-C came when all was there but we had not noted it: it is ours, and what
                    # we hold is written whole by the next save
                    self._held = (saving.homeless(self._held[0]), settings)
                    self._home, self._generation = target.resolve(), generation
                    self._identity = identity
                raise
            self._held = (rows, settings)
            self._home, self._generation = target.resolve(), generation
            self._identity, self._tail = identity, None

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        recall: float | None = None,
        plan: SearchPlan | None = None,
        exact: bool = False,
        filter: Any = None,
        n_threads: int | None = None,
    ) -> Hits:
        """The `k` nearest rows of each query.

        Args:
            queries: [Q, D], or one [D].
            k: How many; for more than the plan was learnt for its shortlists grow in proportion.
            recall: Takes the cheapest plan that was learnt for this share; None takes the one
                that was asked for when the index was built.
            plan: One of your own, or of `plans`.
            exact: Whether to score every whole vector instead.
            filter: Rows that may be found: a bool for each of `ids`, or a collection of ids.
            n_threads: How many may run; None for all there are.

        Raises:
            ValueError: If shapes do not fit, no plan was learnt for `recall`, or more than one of
                `recall`, `plan` and `exact` is given.
            TypeError: If ids of a filter are not of the index's kind.
        """
        check_asked(1.0 if recall is None else recall, k)
        rows, settings = self._held
        taken = chosen_plan(settings, int(k), recall=recall, plan=plan, exact=exact)
        given = query_rows(queries, settings.dim)
        allowed = None if filter is None else allowed_places(rows, filter, settings.id_kind)
        searcher = Searcher(rows, n_threads or usable_cores())
        places, scores, cost = found(searcher, given, taken, allowed)
        ids = rows.ids_at(places, settings.id_kind)
        return Hits(ids=ids, scores=scores, cost=cost, plan=taken)

    def add(self, vectors: Any, ids: Any = None) -> None:
        """Adds rows; they are found from now on, and kept by the next `save`.

        Args:
            vectors: [n, D], or one [D].
            ids: Of each, none of which is in the index; None numbers on from the highest.

        Raises:
            TypeError: If ids are not of the index's kind.
            ValueError: If shapes do not fit, a value is not finite, or an id is there already.
        """
        with self._changing:
            rows, _ = self._held
            blocks = self._blocks(vectors)
            n = sum(map(len, blocks))
            own = self._next_ids(n) if ids is None else self._own_ids(ids, n)
            known = np.flatnonzero(rows.places_of(own) >= 0)
            if len(known):
                raise ValueError(
                    f"id {shown(own, known[0])} is in the index already, expected a new one; "
                    "replace its vector by update"
                )
            self._append(blocks, own, rows)

    def delete(self, ids: Any) -> None:
        """Takes rows out; they are not found from now on, and left out by a later `save`.

        Raises:
            TypeError: If ids are not of the index's kind.
            ValueError: If an id is not in the index, or there twice.
        """
        with self._changing:
            rows, settings = self._held
            places = self._places(rows, self._own_ids(ids))
            self._held = (rows.without(places), settings)

    def update(self, vectors: Any, ids: Any) -> None:
        """Replaces the vectors of rows; a search sees the old ones or the new ones.

        Args:
            vectors: [n, D], or one [D].
            ids: Of each, all of which are in the index.

        Raises:
            TypeError: If ids are not of the index's kind.
            ValueError: If shapes do not fit, a value is not finite, or an id is not in the index.
        """
        with self._changing:
            blocks = self._blocks(vectors)
            own = self._own_ids(ids, sum(map(len, blocks)))
            rows, _ = self._held
            self._append(blocks, own, rows.without(self._places(rows, own)))

    def learn(
        self,
        queries: Any = None,
        *,
        recall: float = 0.99,
        k: int = 10,
        approximate: Approximation | None = None,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        """Learns plans anew for the rows there are now; arguments as of `build`.

        Worth it where rows have become many times those that plans were learnt with, or queries
        others.

        Raises:
            ValueError: If shapes do not fit, or `recall` or `k` make no sense.
        """
        check_asked(recall, k)
        with self._changing:
            rows, settings = self._held
            given = None if queries is None else query_rows(queries, settings.dim)
            new, rows = planned(
                rows, given, dims=settings.dims, recall=recall, k=k, store=Memory(), seed=seed,
                approximate=approximate, n_threads=n_threads or usable_cores(),
                id_kind=settings.id_kind,
            )  # fmt: skip
            self._held, self._tail = (rows, new), None

    def use(self, plan: SearchPlan) -> None:
        """Makes `plan` the one that searches carry out, and keeps what it reads.

        It takes the place of one that was given before. Rows have one graph (or cells) at most:
        plans that begin with another one than `plan` go.

        Raises:
            ValueError: If it does not decide by all dims of the index, or reads signs for a
                distance.
        """
        with self._changing:
            rows, settings = self._held
            settings = settings.using(settings.layout.fitted(plan))
            self._held = (trimmed(rows, settings.layout, Memory()), settings)
            self._tail = None

    def vectors(self, ids: Any) -> FloatArray:
        """Vectors of `ids`, [n, D], rounded as the index keeps them.

        Args:
            ids: Some ids of the index, as `ids` has them; a single one gives one row, [1, D].

        Raises:
            TypeError: If ids are not of the index's kind.
            ValueError: If an id is not in the index.
        """
        with self._changing:  # ids of added rows lead to their last place
            rows, _ = self._held
            return rows.vectors(self._places(rows, self._own_ids(ids)))

    @property
    def ids(self) -> NDArray[Any]:
        """Ids of all rows, in the order in which a filter's bools are taken."""
        rows, settings = self._held
        return rows.ids_at(rows.alive_places(), settings.id_kind)

    def __len__(self) -> int:
        return self._held[0].n_alive

    def __contains__(self, id: object) -> bool:
        """Whether `id` is one of `ids`; what could never be one, as a list, is not."""
        if isinstance(id, bool) or not isinstance(id, str | int | np.integer):
            return False
        try:
            own = checked_ids([id])
        except (TypeError, ValueError):  # a whole number beyond 64 bits, half a surrogate pair
            return False
        return bool(self._held[0].places_of(own)[0] >= 0)

    def __repr__(self) -> str:
        settings = self._held[1]
        return (
            f"AdaptiveIndex({len(self)} x {settings.dim}, {settings.dtype}, {settings.similarity}, "
            f"plan: {self.plan})"
        )

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._held[1].dim

    @property
    def plan(self) -> SearchPlan:
        """The plan of a search that asks for nothing else."""
        return self._held[1].plans[self._held[1].chosen]

    @property
    def plans(self) -> tuple[SearchPlan, ...]:
        """All that were learnt, the cheapest first."""
        return self._held[1].plans

    @property
    def info(self) -> dict[str, Any]:
        """What there is: rows, bytes, how vectors are kept, the plan and the recall it reached."""
        rows, settings = self._held
        recall = self.plan.recall
        return {
            "n_rows": rows.n_alive,
            "n_deleted": len(rows) - rows.n_alive,
            "n_added": 0 if self._tail is None else len(self._tail),
            "n_learnt": settings.n_learnt,
            "n_bytes": rows.n_bytes,
            "dim": settings.dim,
            "dtype": settings.dtype,
            "similarity": settings.similarity,
            "dims": list(settings.dims),
            "ids": settings.id_kind,
            "plan": str(self.plan),
            "recall": None if recall is None else asdict(recall),
            "caution": "" if recall is None else recall.caution,
            "folder": None if self._home is None else str(self._home),
            "generation": self._generation,
        }

    def _is_home(self, folder: Path) -> bool:
        """Whether `folder` has the index that this one was opened from or saved as.

        Raises:
            RunFailed: If it was, and has another now.
        """
        if self._home is None or self._home != folder.resolve():
            return False
        found = saving.identity_of(folder)
        if found is None or found == self._identity:
            return found is not None  # of a folder taken away nothing is left to be kept
        raise RunFailed(
            f"{folder}: generation {saving.generation_of(folder)} of the index, saved by another "
            f"process, expected generation {self._generation} as this one was opened or saved; "
            "open it again, repeat the changes, or save to another folder"
        )

    def _blocks(self, vectors: Any) -> list[FloatArray]:
        rows = np.asarray(vectors)
        return list(vector_blocks(rows[None] if rows.ndim == 1 else rows, dim=self.dim))

    def _own_ids(self, ids: Any, n: int | None = None) -> NDArray[np.int64] | list[str]:
        """Ids of the index's kind."""
        kind = self._held[1].id_kind
        own = checked_ids([ids] if isinstance(ids, str | int | np.integer) else ids, n)
        if len(own) and isinstance(own, np.ndarray) != (kind == "int"):
            raise TypeError(
                f"id {shown(own, 0)}, expected "
                f"{'whole numbers' if kind == 'int' else 'texts'} as the ids of this index are"
            )
        return own

    def _next_ids(self, n: int) -> NDArray[np.int64]:
        if self._held[1].id_kind == "str":
            raise ValueError("ids are None, expected texts: those of this index are texts")
        taken = self.ids
        first = max(int(taken.max()) + 1, 0) if len(taken) else 0
        if first + n > 2**63:
            raise ValueError(
                f"ids are None, expected {n} of your own: none are left behind {first - 1}"
            )
        return first + np.arange(n, dtype=np.int64)

    def _append(
        self, blocks: list[FloatArray], ids: NDArray[np.int64] | list[str], rows: Rows
    ) -> None:
        """Makes `rows` and these the rows of the index."""
        settings = self._held[1]
        tail = Tail(settings.layout, settings.id_kind) if self._tail is None else self._tail
        segments, alive = rows.segments, None
        if self._tail is not None:
            alive, segments = segments[-1].alive, segments[:-1]
        n_before = len(tail)
        tail.add(blocks, ids)
        if alive is not None:
            alive = np.concatenate([alive, np.ones(len(tail) - n_before, dtype=bool)])
        self._tail = tail
        self._held = (replace(rows, segments=(*segments, tail.segment(alive))), settings)

    @staticmethod
    def _places(rows: Rows, ids: NDArray[np.int64] | list[str]) -> Places:
        places = rows.places_of(ids)
        missing = np.flatnonzero(places < 0)
        if len(missing):
            raise ValueError(
                f"id {shown(ids, missing[0])} is not in the index, expected one of its "
                f"{rows.n_alive} ids"
            )
        return places
