"""An index in a folder: segments written once, the manifest replaced, and read back mapped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import lock_file, write_json
from vecsmith.errors import FormatError, RunFailed
from vecsmith.retrieval.approximate import ApproximateRows
from vecsmith.retrieval.near import fits, with_near
from vecsmith.retrieval.searching import Rows, Segment, usable_cores
from vecsmith.retrieval.storage.array_files import ArrayFile, map_array, write_array
from vecsmith.retrieval.storage.ids import Ids, ids_of_both
from vecsmith.retrieval.storage.manifest import (
    MANIFEST,
    Manifest,
    SegmentFiles,
    Settings,
    new_identity,
    read_manifest,
)
from vecsmith.retrieval.storage.segments import Arrays, Layout, array_names, row_blocks
from vecsmith.retrieval.storage.stores import Folder

_LOCK: Final = ".lock"
# What `save` may take away: files of generations that no manifest names any more
_OWN_FILE: Final = re.compile(
    r"g\d{6,}-\d+\.[a-z0-9.-]+|\.g\d{6,}-.*\.part|\.index\.json\..*\.part"
)
_NUMBER: Final = re.compile(r"\.?g(\d{6,12})-\d")
_ID_ARRAYS: Final = {
    "int": ("ids", "id-keys", "id-rows"),
    "str": ("ids", "id-ends", "id-keys", "id-rows"),
}
# A segment is written anew when this share of its rows is gone
_MOST_DEAD: Final = 0.3
# What a TextIndex has beside its vectors, and has there first
_TEXTS: Final = frozenset({"model.json", "texts"})
_TRIES: Final = 20


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keeps other writers out of `folder`, which is made if need be.

    Raises:
        RunFailed: If another process is writing there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock_file(folder / _LOCK):
            yield
    except BlockingIOError as error:
        raise RunFailed(
            f"{folder}: another process is writing this index, expected one at a time; try again "
            "when it is done"
        ) from error


def check_place(folder: Path) -> None:
    """Refuses a place that is somebody else's, before anything in it is touched.

    Raises:
        FileExistsError: If it is a file, or holds files but no index.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise FileExistsError(
            f"{there}: is a file, expected a folder, or nothing there, to write an index to; "
            "choose another name"
        )
    if there != folder or (folder / MANIFEST).exists():
        return
    names = {path.name for path in folder.iterdir()}
    # what a save left behind that was killed before there was a manifest
    names = {name for name in names if name != _LOCK and not _OWN_FILE.fullmatch(name)}
    if foreign := sorted(names - _TEXTS if names >= _TEXTS else names):
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise FileExistsError(
            f"{folder}: holds {', '.join(foreign[:3])}{more} and no index, expected a new folder, "
            "an empty one or an index; choose another folder"
        )


def generation_of(folder: Path) -> int:
    """Generation of the index in `folder`, 0 where there is none.

    Raises:
        FormatError: If there is one that cannot be read.
    """
    return read_manifest(folder).generation if (folder / MANIFEST).is_file() else 0


def identity_of(folder: Path) -> str | None:
    """Identity of what was saved in `folder` last, None where there is no index.

    Raises:
        FormatError: If there is one that cannot be read.
    """
    return read_manifest(folder).identity if (folder / MANIFEST).is_file() else None


def is_saved(folder: Path, identity: str) -> bool:
    """Whether the last save in `folder` is the one of this identity."""
    with suppress(OSError, FormatError):
        return identity_of(folder) == identity
    return False


def next_generation(folder: Path) -> int:
    """Number of a generation that no file in `folder` has, whether its manifest can be read or not.

    Files of one number would take each other's place under a reader that is opening them.
    """
    numbers = [int(found[1]) for path in folder.iterdir() if (found := _NUMBER.match(path.name))]
    with suppress(FormatError):
        numbers.append(generation_of(folder))
    return max(numbers, default=0) + 1


def open_rows(folder: Path, *, verify: bool = False) -> tuple[Manifest, Rows]:
    """The index in `folder`, its arrays mapped.

    Args:
        folder: Of the index.
        verify: Whether to read every file and compare its digest.

    Raises:
        FormatError: If a file is missing, cut short or altered.
    """
    manifest = read_manifest(folder)
    for _ in range(_TRIES):
        try:
            layout = manifest.settings.layout
            segments = [
                _open_segment(folder, manifest.settings, layout, files, verify)
                for files in manifest.segments
            ]
            return manifest, Rows(layout, tuple(segments))
        except FileNotFoundError as error:
            newer = read_manifest(folder)
            if newer.identity == manifest.identity:
                raise FormatError(
                    f"{error.filename}: there is no such file, expected one as {MANIFEST} names "
                    "it; restore it or build the index again"
                ) from error
            manifest = newer  # a writer replaced it between our two looks
    raise RunFailed(f"{folder}: is replaced faster than it can be opened; try again")


def _open_segment(
    folder: Path, settings: Settings, layout: Layout, files: SegmentFiles, verify: bool
) -> Segment:
    source = str(folder / MANIFEST)
    id_names = _ID_ARRAYS[settings.id_kind]
    shapes = array_names(layout)
    missing = {*shapes, *id_names} - set(files.arrays)
    if missing:
        raise FormatError(
            f"{source}: a segment without {', '.join(sorted(missing))}, expected them; restore the "
            "folder or build the index again"
        )
    for name, (dtype, dim) in shapes.items():
        _check_shape(files.arrays[name], dtype, files.n_rows, dim, source)
    for name in id_names:
        text = settings.id_kind == "str" and name == "ids"
        expected = np.dtype("u1") if text else np.dtype("<i8")
        n = files.n_rows + 1 if name == "id-ends" else None if text else files.n_rows
        _check_shape(files.arrays[name], expected, n, None, source)
    arrays = {
        name: map_array(folder, file, verify=verify)
        for name, file in files.arrays.items()
        if name in shapes or name in id_names
    }
    ids = Ids(
        settings.id_kind, {name: arrays.pop(name) for name in id_names}, source=f"{folder}: ids"
    )
    alive: NDArray[np.bool_] | None = None
    if files.alive is not None:
        _check_shape(files.alive, np.dtype("u1"), files.n_rows, None, source)
        alive = map_array(folder, files.alive, verify=verify) != 0
    near = _open_near(folder, layout, files)
    return Segment(Arrays(layout, arrays), ids, alive, near, files)


def _open_near(folder: Path, layout: Layout, files: SegmentFiles) -> ApproximateRows | None:
    if files.near is None or layout.near is None:
        return None
    found = (files.near.how, files.near.dim, files.near.n_rows)
    if found != (*layout.near, files.n_rows):
        raise FormatError(
            f"{folder / MANIFEST}: {files.near.name} is {found}, expected "
            f"{(*layout.near, files.n_rows)}; restore the folder or build the index again"
        )
    return ApproximateRows.open(folder, files.near, similarity=layout.similarity)


def _check_shape(
    file: ArrayFile, dtype: np.dtype[Any], n: int | None, dim: int | None, source: str
) -> None:
    shape = file.shape if n is None else (n,) if dim is None else (n, dim)
    if file.shape != shape or file.numpy_dtype != dtype or len(file.shape) > 2:
        raise FormatError(
            f"{source}: {file.name} has {file.dtype} of shape {list(file.shape)}, expected {dtype} "
            f"of shape {list(shape)}; restore the folder or build the index again"
        )


@contextmanager
def new_files(folder: Path, generation: int) -> Iterator[Folder]:
    """Where the arrays of a new generation go; if it fails, what was written goes again."""
    try:
        yield Folder(folder, f"g{generation:06}-0")
    except BaseException:
        with suppress(OSError, FormatError):
            names = read_manifest(folder).names if (folder / MANIFEST).is_file() else set()
            clear(folder, names)
        raise


def filed(rows: Rows, store: Folder) -> Rows:
    """Rows of one segment whose arrays `store` has written, with the ids beside them."""
    if not rows.segments:
        return rows
    (segment,) = rows.segments
    assert isinstance(segment.ids, Ids)
    files = {**store.files, **_write_ids(store.folder, store.stem, segment.ids)}
    record = SegmentFiles(n_rows=len(segment), arrays=files)
    return replace(rows, segments=(replace(segment, files=record),))


def homeless(rows: Rows) -> Rows:
    """The rows as another folder knows them, which has none of their files."""
    return replace(rows, segments=tuple(replace(s, files=None) for s in rows.segments))


def write_rows(
    folder: Path,
    generation: int,
    settings: Settings,
    rows: Rows,
    *,
    identity: str | None = None,
) -> tuple[Rows, str]:
    """Writes what is not yet in `folder`, then the manifest.

    Gives the rows as they are there, and the identity of what was saved.

    Args:
        folder: Locked by `writing`.
        generation: The new one.
        settings: Of the index.
        rows: Segments whose `files` are in this folder are not written again.
        identity: Of this save; None draws one.
    """
    segments: list[Segment] = []
    for i, group in enumerate(_groups(rows.segments)):
        stem = f"g{generation:06}-{i}"
        own = group[0].files if len(group) == 1 else None
        if own is None or _n_dead(group) > _MOST_DEAD * sum(map(len, group)):
            segments.append(_written_anew(folder, stem, rows.layout, group))
        else:
            segments.append(_completed(folder, stem, rows.layout, group[0]))
        segments[-1] = _with_near_file(folder, stem, segments[-1])
    files = tuple(segment.files for segment in segments)
    manifest = Manifest(
        generation=generation,
        identity=identity or new_identity(),
        settings=settings,
        segments=files,
    )
    write_json(folder / MANIFEST, manifest.to_json())
    with suppress(OSError):  # it is saved; what stays behind is the next save's work
        clear(folder, manifest.names)
    return Rows(rows.layout, tuple(segments)), manifest.identity


def _with_near_file(folder: Path, stem: str, segment: Segment) -> Segment:
    """The segment with the graph or cells that plans ask for, built and written where missing."""
    layout, files = segment.arrays.layout, segment.files
    if layout.near is None or files.near is not None:
        return segment
    how, dim = layout.near
    segment = with_near(segment, how, dim, n_threads=usable_cores())
    if segment.near is None or not fits(segment, layout.near):
        return segment
    record = segment.near.save(folder / f"{stem}.{how}-{dim}.faiss")
    return replace(segment, files=replace(files, near=record))


def clear(folder: Path, names: set[str]) -> None:
    """Takes away files of other generations than the one with these names."""
    for path in folder.iterdir():
        if path.name not in names and _OWN_FILE.fullmatch(path.name):
            try:
                path.unlink(missing_ok=True)
            except PermissionError:  # Windows, while a reader has it mapped: the next save's work
                continue


def _groups(segments: tuple[Segment, ...]) -> list[list[Segment]]:
    """Segments to be joined: each is at least as large as all that follow it together.

    So there are at most as many as the logarithm of the rows, and each row is written as often.
    """
    groups: list[list[Segment]] = []
    n_behind = 0
    for segment in reversed([segment for segment in segments if segment.n_alive]):
        if groups and segment.n_alive < n_behind:
            groups[0].insert(0, segment)
        else:
            groups.insert(0, [segment])
        n_behind += segment.n_alive
    return groups


def _n_dead(group: list[Segment]) -> int:
    return sum(len(segment) - segment.n_alive for segment in group)


def _written_anew(folder: Path, stem: str, layout: Layout, group: list[Segment]) -> Segment:
    """One segment of the rows of several that are alive."""
    store = Folder(folder, stem)
    # of rows that are only moved to another folder the graph stays what it is
    files_stay = len(group) == 1 and not _n_dead(group)
    alive = [_alive_rows(segment) for segment in group]
    shapes = array_names(layout)
    arrays = store.keep(shapes, _blocks(group, alive, list(shapes), layout.dim))
    kind = group[0].ids.kind
    ids = Ids.of(
        ids_of_both(
            (segment.ids.take(rows) for segment, rows in zip(group, alive, strict=True)), kind
        )
    )
    files = {**store.files, **_write_ids(folder, stem, ids)}
    names = _ID_ARRAYS[kind]
    mapped = Ids(kind, {name: map_array(folder, files[name]) for name in names}, source="ids")
    record = SegmentFiles(n_rows=len(ids), arrays=files)
    near = group[0].near if files_stay else None
    return Segment(Arrays(layout, arrays), mapped, None, near, record)


def _blocks(
    group: list[Segment], alive: list[NDArray[np.int64]], names: list[str], dim: int
) -> Iterator[Mapping[str, NDArray[Any]]]:
    for segment, rows in zip(group, alive, strict=True):
        for block in row_blocks(len(rows), dim):
            yield {name: segment.arrays.by_name[name][rows[block]] for name in names}


def _alive_rows(segment: Segment) -> NDArray[np.int64]:
    if segment.alive is None:
        return np.arange(len(segment), dtype=np.int64)
    return np.flatnonzero(segment.alive).astype(np.int64)


def _write_ids(folder: Path, stem: str, ids: Ids) -> dict[str, ArrayFile]:
    return {
        name: write_array(folder / f"{stem}.{name}.safetensors", array)
        for name, array in ids.arrays.items()
    }


def _completed(folder: Path, stem: str, layout: Layout, segment: Segment) -> Segment:
    """A segment that is there, with the mask and the arrays that are new."""
    old: SegmentFiles = segment.files
    wanted = {*array_names(layout), *_ID_ARRAYS[segment.ids.kind]}
    arrays = {name: file for name, file in old.arrays.items() if name in wanted}
    for name in wanted - set(arrays):
        path = folder / f"{stem}.{name}.safetensors"
        arrays[name] = write_array(path, segment.arrays.by_name[name])
    alive = None
    if segment.alive is not None:
        alive = write_array(folder / f"{stem}.alive.safetensors", segment.alive.view(np.uint8))
    near = old.near
    if near is not None and (near.how, near.dim, near.n_rows) != (*(layout.near or ()), old.n_rows):
        near = None  # of plans that are no more
    files = SegmentFiles(n_rows=old.n_rows, arrays=arrays, alive=alive, near=near)
    return replace(segment, files=files)
