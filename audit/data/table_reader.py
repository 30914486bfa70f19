"""CSV and Parquet files → an Arrow table; whatever can be wrong with a file is one line of text."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from audit.data.limits import MATRIX_BYTES, check_matrix
from audit.errors import BadInput

CSV_SUFFIXES = (".csv", ".tsv")
PARQUET_SUFFIXES = (".parquet", ".pq")
MISSING_MARKS = ("", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")

_NOT_UTF8 = (
    "is not UTF-8 text",
    "Save it as UTF-8, for example with iconv -f latin1 -t utf8.",
)
_DELIMITERS = ",;\t|"
_HEAD_BYTES = 1 << 20
# Blocks bound what pyarrow parses at a time; a header or row must fit into one.
_BLOCK_BYTES = 16 << 20


def read_table(path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """The table in a ``.csv``, ``.tsv`` or ``.parquet`` file, and warnings about how it was read.

    Column names have no surrounding blanks and are distinct; a name that is empty becomes
    ``(unnamed 1)``.

    Raises:
        BadInput: unreadable, empty, not UTF-8, rows of different length, duplicate column names.
    """
    is_csv = path.suffix.lower() in CSV_SUFFIXES
    try:
        table, warnings = _read_csv(path) if is_csv else (_read_parquet(path), ())
        names = column_names(str(path), table.column_names)
    except OSError as error:
        reason = error.strerror or "the file is damaged or of another format"
        raise BadInput(
            "data", str(path), f"cannot be read ({reason})", "Check the file and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput("data", str(path), *_NOT_UTF8) from error
    if not table.num_rows:
        raise BadInput(
            "data", str(path), "has column names but no rows", "Use a file with at least 20 rows."
        )
    return table.rename_columns(names), warnings


def _read_csv(path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    _refuse_other_formats(path, head)
    delimiter = _delimiter(head.split(b"\n", 1)[0])
    try:
        table = pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                null_values=list(MISSING_MARKS),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _csv_error(path, error) from error
    for field in table.schema:
        # pyarrow turns a column it cannot decode into bytes.
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            raise BadInput("data", str(path), *_NOT_UTF8)
    used = {",": "", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}[delimiter]
    return table, (f"columns are separated by {used}, not commas",) if used else ()


def _refuse_other_formats(path: Path, head: bytes) -> None:
    if not head.strip():
        raise BadInput("data", str(path), "is empty", "Use a file with a header and rows.")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        rule, step = "is UTF-16 text", "Save it as UTF-8, for example with iconv -f utf16 -t utf8."
    elif head[:2] == b"PK":
        rule, step = "is a zip archive or a spreadsheet, not a CSV file", "Export it as CSV."
    elif head[:2] == b"\x1f\x8b":
        rule, step = "is compressed with gzip", "Unpack it first (gunzip)."
    elif head[:4] == b"PAR1":
        rule, step = "is a Parquet file", "Rename it to .parquet."
    elif b"\0" in head:
        rule, step = "is binary, not text", "Use a CSV file in UTF-8."
    else:
        return
    raise BadInput("data", str(path), rule, step)


def _delimiter(header: bytes) -> str:
    """The most frequent of , ; tab | outside quotes in the header line; a comma on a tie."""
    unquoted = re.sub(rb'"[^"]*"', b"", header).decode("utf-8", errors="replace")
    counts = Counter(character for character in unquoted if character in _DELIMITERS)
    return max(_DELIMITERS, key=lambda delimiter: counts[delimiter])


def _csv_error(path: Path, error: Exception) -> BadInput:
    # pyarrow's message quotes the offending row: people's data do not belong on a terminal.
    lengths = re.search(r"Expected (\d+) columns, got (\d+)", str(error))
    if lengths:
        rule = f"has a row of {lengths[2]} values where the header names {lengths[1]} columns"
        step = "Quote values that hold the separator, or mend that row."
    elif isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        rule, step = _NOT_UTF8
    else:
        rule = "cannot be read as a CSV file (an unclosed quote or an overlong row?)"
        step = "Mend the file; each row needs as many values as the header."
    return BadInput("data", str(path), rule, step)


def _read_parquet(path: Path) -> pa.Table:
    """The columns that a model can use; of any other only its kind, with no value recorded.

    Run-length encoding packs billions of rows, of lists or of long texts, into a few kilobytes:
    sizes are added up before anything is read, lists are not read at all, and texts stay a
    dictionary with a code per row.
    """
    try:
        with pq.ParquetFile(path) as file:
            fields, facts = list(file.schema_arrow), file.metadata
        leaves = [facts.schema.column(i) for i in range(facts.num_columns)]
        _refuse_large(path, len(fields), facts)
        # Nested columns have a leaf of another name, or several; the plain ones come in order.
        plain = [i for i, leaf in enumerate(leaves)
                 if leaf.path == leaf.name and not leaf.max_repetition_level]  # fmt: skip
        flat = [at for at, field in enumerate(fields) if not pa.types.is_nested(field.type)]
        read = {at: i for at, i in zip(flat, plain, strict=True) if _readable(fields[at].type)}
        texts = [leaves[i].path for at, i in read.items() if _is_text(fields[at].type)]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            found = file.reader.read_all(column_indices=list(read.values()), use_threads=True)
    # ValueError: names of the footer that do not fit each other.
    except (pa.ArrowException, MemoryError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            "data", str(path), "is not a readable Parquet file", "Write it again, or use CSV."
        ) from error
    columns = dict(zip(read, found.columns, strict=True))
    rows = found.num_rows if read else facts.num_rows
    arrays = [columns.get(at, _unread(field.type, rows)) for at, field in enumerate(fields)]
    return pa.table(arrays, names=[field.name for field in fields])


def _refuse_large(path: Path, columns: int, facts: pq.FileMetaData) -> None:
    groups = [facts.row_group(i) for i in range(facts.num_row_groups)]
    rows = max(facts.num_rows, sum(group.num_rows for group in groups))
    check_matrix(str(path), rows, columns, "Keep fewer rows or columns.")
    unpacked = sum(
        group.column(i).total_uncompressed_size
        for group in groups
        for i in range(group.num_columns)
    )
    if unpacked > MATRIX_BYTES:
        raise BadInput(
            "data",
            str(path),
            f"unpacks to {unpacked / 1e9:.1f} GB; at most {MATRIX_BYTES / 1e9:.0f} GB are allowed",
            "Keep fewer rows or columns.",
        )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _readable(kind: pa.DataType) -> bool:
    """Whether values of a type have a bounded size, or are texts."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    known = (pa.types.is_primitive, pa.types.is_decimal, pa.types.is_null, _is_text)
    return any(is_kind(inner) for is_kind in known)


def _unread(kind: pa.DataType, rows: int) -> pa.Array:
    """A column of which no value is recorded, of a type like ``kind`` that takes no memory."""
    if pa.types.is_struct(kind):
        return pa.nulls(rows, pa.struct([]))
    return pa.nulls(rows, pa.list_(pa.null()) if pa.types.is_nested(kind) else pa.binary())


def column_names(source: str, names: list[str]) -> list[str]:
    """The names without surrounding blanks; an empty one becomes ``(unnamed 1)``.

    Raises:
        BadInput: two columns have the same name.
    """
    stripped = [name.strip() for name in names]
    unnamed = iter(range(1, len(names) + 1))
    filled = [name or f"(unnamed {next(unnamed)})" for name in stripped]
    repeated = [name for name, count in Counter(filled).items() if count > 1]
    if repeated:
        raise BadInput(
            "data",
            source,
            f"has {len(repeated)} column name(s) more than once: "
            + ", ".join(map(repr, repeated[:5])),
            "Give each column a name of its own.",
        )
    return filled
