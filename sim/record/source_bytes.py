"""The bytes of recorded files: found below a root, unpacked within limits, cut at line ends.

It owns paths that must not leave, compression, encodings, and the proof that a file stayed the
same while it was read.  It must not know what a line means.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sim.core.errors import LimitError, Problem, ScenarioError
from sim.record.source_spec import InputFile, Limits, SourceSpec

CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
OTHERS = {
    b"PAR1": "a Parquet file: format: parquet", b"PK\x03\x04": "a zip archive: unpack it",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it, or use gzip", b"BZh": "bzip2: unpack it, or use gzip",
    b"\xfd7zXZ": "xz: unpack it, or use gzip", b"\x93NUMPY": "a NumPy array: not read",
}  # fmt: skip
BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Block:
    """Whole lines of text."""

    data: bytes
    first_line: int
    cut: bool
    """The last line had no end of line in the file; one was added."""


def find_files(spec: SourceSpec, root: Path, limits: Limits) -> list[InputFile]:
    """Return the files of a source in natural order of their names; problems in one error."""
    only = root if root.is_file() else None
    base = root.parent if only else root
    found: dict[Path, None] = {}
    for pattern in spec.files:
        _refuse_leaving(pattern)
        for path in [only] if only else base.glob(pattern):
            if path.is_dir() or path.name.startswith("."):
                continue
            if only and not path.match(pattern.split("/")[-1]):
                continue
            found[path] = None
            if len(found) > limits.files:
                raise LimitError(f"source {spec.name}: more than {limits.files} files")
    if not found:
        raise ScenarioError(
            "no file of this source", file=root.name, path=f"sources.{spec.name}.files",
            found="nothing", expected=" or ".join(spec.files),
        )  # fmt: skip
    names = sorted(found, key=lambda path: natural(path.relative_to(base).as_posix()))
    return [_input(spec, path, base) for path in names]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return the order in which people number files: `part-2` before `part-10`."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(p), p) if p.isdigit() and p.isascii() else (0, 0, p) for p in parts]


def _refuse_leaving(pattern: str) -> None:
    parts = Path(pattern).parts
    if not pattern or ".." in parts or Path(pattern).is_absolute() or "\0" in pattern:
        raise ScenarioError(
            "the path leaves the folder of the recording", found=repr(pattern[:80]),
            expected="a pattern below it, without `..`",
        )  # fmt: skip


def _input(spec: SourceSpec, path: Path, base: Path) -> InputFile:
    # Names are bytes to the system; what is shown and written must be text.
    shown = path.relative_to(base).as_posix().encode("utf-8", "replace").decode()
    subscriber = ""
    if spec.file_name:
        head, tail = spec.file_name.split("{id}")
        fits = path.name.startswith(head) and path.name.endswith(tail)
        subscriber = path.name[len(head) : len(path.name) - len(tail)] if fits else ""
        number = zlib.crc32(path.name.encode()) % 10_000
        shown = f"{Path(shown).parent.as_posix()}/{head}*{tail} ({number:04d})".removeprefix("./")
        if not subscriber:
            raise ScenarioError(
                "no subscriber in the name of the file", file=shown, expected=spec.file_name
            )
    inside = path.resolve().is_relative_to(base.resolve())
    info = path.stat() if inside and path.exists() else None
    if info is None or not stat.S_ISREG(info.st_mode):
        raise ScenarioError(
            "not a file of this folder" if info else "the link leads out of the folder",
            file=shown, expected="a regular file below the recording",
        )  # fmt: skip
    if info.st_size == 0:
        raise ScenarioError("the file is empty", file=shown, expected="rows")
    return InputFile(
        spec.name, path, shown, subscriber, info.st_size, info.st_mtime_ns, info.st_ino
    )


def unchanged(file: InputFile) -> Problem | None:
    """Return what is wrong where a file is not what it was when it was found."""
    try:
        info = os.stat(file.path)
    except OSError:
        return Problem("the file went away while it was read", file=file.shown)
    if (info.st_size, info.st_mtime_ns, info.st_ino) == (file.size, file.mtime_ns, file.inode):
        return None
    what = f"{info.st_size} bytes" if info.st_size != file.size else "another content or file"
    return changed(file, what).problems[0]


def _raw(file: InputFile, on_bytes: Callable[[bytes], None] | None) -> Iterator[bytes]:
    left = file.size
    try:
        with file.path.open("rb") as handle:
            while chunk := handle.read(CHUNK):
                left -= len(chunk)
                if left < 0:  # it grows while it is read, perhaps for ever
                    raise changed(file, f"more than {file.size} bytes")
                if on_bytes is not None:
                    on_bytes(chunk)
                yield chunk
    except OSError as error:
        raise ScenarioError(
            "the file cannot be read", file=file.shown, found=error.strerror
        ) from None


def changed(file: InputFile, what: str) -> ScenarioError:
    """Return the error that a file is not what it was when it was found."""
    return ScenarioError(
        "the file changed while it was read", file=file.shown, found=what,
        expected=f"the same {file.size} bytes; copy it first, then replay",
    )  # fmt: skip


def _inflated(file: InputFile, chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """Unpack gzip, member after member; size and ratio are watched while bytes come out."""
    unpack = zlib.decompressobj(wbits=31)
    read, made, fresh = 0, 0, True
    try:
        for chunk in chunks:
            read += len(chunk)
            rest = chunk
            while rest:
                if unpack.eof:
                    unpack, fresh = zlib.decompressobj(wbits=31), True
                text = unpack.decompress(rest, CHUNK)
                fresh = False
                made += len(text)
                _judge(file, read, made, limits)
                if text:
                    yield text
                rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
            while not unpack.eof and (text := unpack.decompress(b"", CHUNK)):
                made += len(text)
                _judge(file, read, made, limits)
                yield text
    except zlib.error as error:
        raise ScenarioError(
            "the gzip data are damaged", file=file.shown, found=str(error).split(":")[-1].strip(),
            expected="a whole gzip file",
        ) from None  # fmt: skip
    if not unpack.eof and not fresh:
        raise ScenarioError(
            "the gzip data end in the middle", file=file.shown, expected="a whole gzip file"
        )


def _judge(file: InputFile, read: int, made: int, limits: Limits) -> None:
    if made > limits.text_bytes:
        raise LimitError(
            f"{file.shown}: unpacks to more than {limits.text_bytes} bytes; unpack and split it"
        )
    if made > limits.ratio_from and made > limits.ratio * read:
        raise LimitError(
            f"{file.shown}: {read} packed bytes became {made}, more than {limits.ratio} times as "
            "many; if that is right, unpack the file first"
        )


def _utf8(file: InputFile, chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Turn any encoding into UTF-8; a byte that does not fit is refused with its offset."""
    name = codecs.lookup(encoding).name
    decoder = codecs.getincrementaldecoder("utf-8" if name == "utf-8-sig" else encoding)("strict")
    at = 0
    first = True
    for chunk in _and_end(chunks):
        pending = len(decoder.getstate()[0])
        try:
            if name.startswith("utf-8") and not pending and chunk.isascii():
                text = chunk
            else:
                text = decoder.decode(chunk, final=not chunk).encode("utf-8")
        except UnicodeDecodeError as error:
            where = max(at - pending + error.start, 0)
            hint = "the encoding key of the source, such as cp1251 or utf-16"
            raise ScenarioError(
                f"byte {where} is not {encoding}", file=file.shown, path="encoding",
                found=f"0x{error.object[error.start]:02x}", expected=hint,
            ) from None  # fmt: skip
        except UnicodeError as error:  # no mark of UTF-16 at the start, half of a pair of it
            raise ScenarioError(
                f"not {encoding}", file=file.shown, path="encoding", found=str(error)[:80],
                expected="the encoding of the file, such as utf-8, cp1251 or utf-16-le",
            ) from None  # fmt: skip
        at += len(chunk)
        if first and text:
            text = text.removeprefix(codecs.BOM_UTF8)
            first = False
        if text:
            yield text


def _and_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from chunks
    yield b""


def texts(
    file: InputFile, spec: SourceSpec, limits: Limits, on_bytes: Callable[[bytes], None] | None
) -> Iterator[bytes]:
    """Give the text of a file as UTF-8 without a byte-order mark, in pieces of about 1 MiB."""
    chunks = _raw(file, on_bytes)
    head = next(chunks, b"")
    for magic, what in OTHERS.items():
        if head.startswith(magic):
            raise ScenarioError("not a text", file=file.shown, found=what, expected="CSV")
    joined = _chain(head, chunks)
    if head.startswith(GZIP):
        joined = _inflated(file, joined, limits)
        head = next(joined, b"")
        joined = _chain(head, joined)
    bom = next((name for mark, name in BOMS.items() if head.startswith(mark)), "")
    if bom and not codecs.lookup(spec.encoding).name.startswith("utf-16"):
        raise ScenarioError(
            "byte 0 is not utf-8", file=file.shown, path="encoding", found=f"{bom} (its mark)",
            expected=f"encoding: {bom}",
        )  # fmt: skip
    return _utf8(file, joined, spec.encoding)


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def blocks(
    file: InputFile,
    spec: SourceSpec,
    limits: Limits,
    on_bytes: Callable[[bytes], None] | None = None,
) -> Iterator[Block]:
    """Give a file as blocks of whole lines, about `block_bytes` each."""
    waiting: list[bytes] = []
    n_waiting, line = 0, 1
    for text in texts(file, spec, limits, on_bytes):
        waiting.append(text)
        n_waiting += len(text)
        if n_waiting < limits.block_bytes:
            continue
        joined = b"".join(waiting)
        end = joined.rfind(b"\n") + 1
        if len(joined) - end > limits.line_bytes:
            raise too_long(file, line + joined.count(b"\n"), limits)
        if end:
            yield Block(joined[:end], line, cut=False)
            line += joined.count(b"\n")
        waiting = [joined[end:]]
        n_waiting = len(joined) - end
    joined = b"".join(waiting)
    if joined:
        cut = not joined.endswith(b"\n")
        yield Block(joined + b"\n" if cut else joined, line, cut=cut)


def too_long(file: InputFile, line: int, limits: Limits) -> ScenarioError:
    """Return the refusal of a line that is longer than the limit."""
    return ScenarioError(
        "the line is too long", file=file.shown, line=line,
        found=f"more than {limits.line_bytes} bytes", expected="rows that end in a line end",
    )  # fmt: skip
