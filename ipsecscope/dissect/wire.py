"""The wire kernel: one field list per structure, read in three directions (parse, build, trace).

A structure is a frozen class whose annotations name a codec for each field::

    class KeyExchange(Struct, rfc="7296 3.4"):
        method: Annotated[KeyExchangeMethod, U16]
        reserved: Annotated[int, U16] = 0
        data: Annotated[bytes, REST]

A *computed* field (a length, a count, a "more follows" marker) is ``int | None``: ``None`` means "what the RFC says
it must be", a number means "the wire disagreed". So ``build(parse(b)) == b`` for whatever can be read at all; what
cannot be read raises ``WireError``, which ``chain.py`` turns into a ``Malformed`` value.

This file knows nothing of IKE, of keys or of history.
"""

from __future__ import annotations

import struct
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntFlag
from typing import Any, ClassVar, Self, cast, dataclass_transform

import msgspec

from ipsecscope.dissect.codepoints import CodePoint

MAX_ITEMS = 1024  # substructures of one kind in one array (proposals, transforms, attributes, selectors)


class WireError(Exception):
    """The bytes cannot be read as the structure that was asked for.

    Attributes:
        why: one sentence for the note.
        start: offset of the first octet concerned.
        stop: offset behind the last octet concerned.
    """

    def __init__(self, why: str, start: int, stop: int) -> None:
        super().__init__(why)
        self.why = why
        self.start = start
        self.stop = stop


class Reader:
    """A bounded cursor over bytes; offsets are absolute within ``data``."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """Octets between the cursor and the bound."""
        return self.end - self.pos

    def advance(self, count: int) -> int:
        """Move over ``count`` octets and return where they start. Raises WireError when fewer are left."""
        start = self.pos
        if count > self.end - start:
            raise WireError(f"{count} octets needed, {self.end - start} left", start, self.end)
        self.pos = start + count
        return start

    def take(self, count: int) -> bytes:
        """The next ``count`` octets. Raises WireError when fewer are left."""
        start = self.advance(count)
        return self.data[start : self.pos]


class Field(msgspec.Struct, frozen=True):
    """One traced field: where it stood, what it was, and what it was made of."""

    name: str
    start: int
    stop: int
    value: Any
    children: tuple[Field, ...] = ()


class Codec:
    """How one field is read and written. ``by`` names an earlier field whose value ``get`` needs."""

    by: str | None = None

    def get(self, reader: Reader, by: int = 0) -> Any:
        """Read the value at the cursor."""
        raise NotImplementedError

    def put(self, out: bytearray, value: Any) -> None:
        """Append the value to ``out``."""
        raise NotImplementedError

    def trace(self, reader: Reader, name: str, by: int = 0) -> Field:
        """Read the value and record where it stood."""
        start = reader.pos
        value = self.get(reader, by)
        return Field(name, start, reader.pos, value)


class Fixed(Codec):
    """An unsigned big-endian integer of fixed width, described by a ``struct`` letter."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.packer = struct.Struct(">" + letter)

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the integer."""
        del by
        return cast("int", self.packer.unpack_from(reader.data, reader.advance(self.packer.size))[0])

    def put(self, out: bytearray, value: Any) -> None:
        """Append the integer."""
        out += self.packer.pack(value)


class Wide(Codec):
    """An unsigned big-endian integer of any other width (24 bits, 48 bits …)."""

    def __init__(self, size: int) -> None:
        self.size = size

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the integer."""
        del by
        return int.from_bytes(reader.take(self.size), "big")

    def put(self, out: bytearray, value: Any) -> None:
        """Append the integer."""
        out += int(value).to_bytes(self.size, "big")


class Bytes(Codec):
    """Exactly ``count`` octets."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the octets."""
        del by
        return reader.take(self.count)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the octets."""
        out += value


class Rest(Codec):
    """All octets up to the bound of the enclosing structure."""

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the octets."""
        del by
        return reader.take(reader.left)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the octets."""
        out += value


class Sized(Codec):
    """As many octets as the earlier field ``by`` says (that field is declared with ``SizeOf``)."""

    def __init__(self, by: str) -> None:
        self.by = by

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the octets."""
        return reader.take(by)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the octets."""
        out += value


class Array(Codec):
    """Structures one behind the other up to the bound of the enclosing structure.

    ``cases`` with ``peek`` choose the class of each item by a number read ahead at the cursor; ``item`` is the class
    of all the others.
    """

    def __init__(
        self,
        item: Callable[[], type[Struct]] | type[Struct],
        peek: Callable[[Reader], int] | None = None,
        cases: Mapping[int, type[Struct]] | None = None,
    ) -> None:
        self._item = item
        self._peek = peek
        self._cases = cases

    def _class_at(self, reader: Reader) -> type[Struct]:
        if self._peek is not None and self._cases is not None:
            case = self._cases.get(self._peek(reader))
            if case is not None:
                return case
        item = self._item
        return item if isinstance(item, type) else item()

    def _walk(self, reader: Reader, read: Callable[[type[Struct], int], Any]) -> Iterator[Any]:
        count = 0
        while reader.pos < reader.end:
            if count >= MAX_ITEMS:
                raise WireError(f"more than {MAX_ITEMS} substructures", reader.pos, reader.end)
            before = reader.pos
            yield read(self._class_at(reader), count)
            if reader.pos == before:
                raise WireError("a substructure without octets", before, reader.end)
            count += 1

    def get(self, reader: Reader, by: int = 0) -> tuple[Struct, ...]:
        """Read the structures."""
        del by
        return tuple(self._walk(reader, lambda cls, _: cls.read(reader)))

    def put(self, out: bytearray, value: Any) -> None:
        """Append the structures; the last one is told that it is the last."""
        final = len(value) - 1
        for index, item in enumerate(value):
            item.write(out, last=index == final)

    def trace(self, reader: Reader, name: str, by: int = 0) -> Field:
        """Read the structures and record where each stood."""
        del by
        start = reader.pos
        items = tuple(self._walk(reader, lambda cls, index: cls.trace(reader, f"{name}[{index}]")))
        return Field(name, start, reader.pos, tuple(item.value for item in items), items)


class One(Codec):
    """One structure of a given class."""

    def __init__(self, item: type[Struct]) -> None:
        self.item = item

    def get(self, reader: Reader, by: int = 0) -> Struct:
        """Read the structure."""
        del by
        return self.item.read(reader)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the structure."""
        value.write(out, last=True)

    def trace(self, reader: Reader, name: str, by: int = 0) -> Field:
        """Read the structure and record where its fields stood."""
        del by
        return self.item.trace(reader, name)


class SizeOf:
    """Marks a computed field: the octets of ``of`` plus ``extra``."""

    def __init__(self, of: str, extra: int = 0) -> None:
        self.of = of
        self.extra = extra


class CountOf:
    """Marks a computed field: the number of items in ``of``."""

    def __init__(self, of: str) -> None:
        self.of = of


class Length:
    """Marks a computed field: the octets of the whole structure less ``less``. It bounds what follows it."""

    def __init__(self, less: int = 0) -> None:
        self.less = less


class More:
    """Marks a computed field: ``value`` when another item of the array follows, 0 on the last one."""

    def __init__(self, value: int) -> None:
        self.value = value


U8, U16, U32, U64 = Fixed("B"), Fixed("H"), Fixed("I"), Fixed("Q")
U24 = Wide(3)
REST = Rest()

Computed = SizeOf | CountOf | Length | More


class FieldSpec(msgspec.Struct, frozen=True):
    """One row of a structure's field list."""

    name: str
    codec: Codec
    computed: Computed | None
    convert: Callable[[int], Any] | None


def _converter(annotation: Any) -> Callable[[int], Any] | None:
    """How a number becomes a code point or a flag set; None when it stays a number."""
    if isinstance(annotation, type) and issubclass(annotation, CodePoint):
        known = annotation._value2member_map_
        return lambda number: known.get(number) or annotation(number)
    if isinstance(annotation, type) and issubclass(annotation, IntFlag):
        return annotation
    return None


def _field_specs(cls: type[Struct]) -> tuple[FieldSpec, ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    specs = []
    for name in cls.__struct_fields__:
        hint = hints[name]
        metadata = getattr(hint, "__metadata__", ())
        codec = next((item for item in metadata if isinstance(item, Codec)), None)
        if codec is None:
            continue  # not on the wire
        computed = next((item for item in metadata if isinstance(item, Computed)), None)
        inner = typing.get_args(hint)[0]
        if isinstance(inner, types.UnionType):
            inner = next((arm for arm in typing.get_args(inner) if arm is not type(None)), inner)
        specs.append(FieldSpec(name, codec, computed, _converter(inner)))
    return tuple(specs)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class WireMeta(msgspec.StructMeta):
    """Makes every wire structure frozen and keyword-only, and keeps the ``of=`` registry of its family."""

    def __new__(  # noqa: PYI034 (a metaclass may not use Self)
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        of: Any = None,
        rfc: str = "",
        **config: Any,
    ) -> WireMeta:
        """Create the class; ``of`` is the number (or numbers) it is registered for, ``rfc`` its section."""
        cls = super().__new__(mcls, name, bases, namespace, frozen=True, kw_only=True, gc=False, **config)
        built = cast("Any", cls)
        if rfc:
            built.rfc = rfc
        if of is not None:
            numbers = tuple(of) if isinstance(of, Sequence) else (of,)
            built.of = int(numbers[0])
            built.registry.update({int(number): cls for number in numbers})
        return cls


@dataclass_transform(kw_only_default=True, frozen_default=True)  # or msgspec.Struct's own would win
class Struct(msgspec.Struct, metaclass=WireMeta):
    """A value with a wire form. Subclasses declare fields; parse, build and trace are read off that list."""

    registry: ClassVar[dict[int, Any]] = {}
    rfc: ClassVar[str] = ""  # "7296 3.4": the number of the standard and the section
    of: ClassVar[int | None] = None  # the number the class is registered for, the first one if there are several

    @classmethod
    def fields(cls) -> tuple[FieldSpec, ...]:
        """The field list in wire order."""
        specs = _FIELDS.get(cls)
        if specs is None:
            specs = _FIELDS[cls] = _field_specs(cls)
        return specs

    def inner(self) -> tuple[str, type[Struct]] | None:
        """Which field's octets have a structure of their own, and which. None when none has, or none is known."""
        return None

    def content(self) -> Struct | None:
        """The structure inside the field that ``inner`` names; None when there is none or it cannot be read."""
        found = self.inner()
        if found is None:
            return None
        try:
            return found[1].parse(getattr(self, found[0]))
        except WireError:
            return None

    def summary(self) -> str:
        """A few words for one line of a tree or a ladder, such as ``ID_FQDN moon.example``. Raw text, not escaped."""
        return ""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read exactly ``data``. Raises WireError when it is too short, too long or inconsistent."""
        reader = Reader(data)
        value = cls.read(reader)
        if reader.left:
            raise WireError(f"{reader.left} octets behind the structure", reader.pos, reader.end)
        return value

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read one structure at the cursor. Raises WireError."""
        parse = _PARSERS.get(cls)
        if parse is None:
            parse = _PARSERS[cls] = _compile_parse(cls)
        return cast("Self", parse(reader))

    def build(self) -> bytes:
        """The wire form."""
        out = bytearray()
        self.write(out, last=True)
        return bytes(out)

    def write(self, out: bytearray, *, last: bool = True) -> None:
        """Append the wire form; ``last`` says whether this is the last item of its array."""
        start = len(out)
        patch: list[tuple[Fixed, int, int]] = []
        for spec in self.fields():
            value = getattr(self, spec.name)
            if spec.computed is not None and value is None:
                rule = spec.computed
                if isinstance(rule, Length):
                    patch.append((cast("Fixed", spec.codec), len(out), rule.less))
                    value = 0
                else:
                    value = self._computed(rule, last=last)
            spec.codec.put(out, value)
        for codec, position, less in patch:
            codec.packer.pack_into(out, position, len(out) - start - less)

    def _computed(self, rule: Computed, *, last: bool) -> int:
        if isinstance(rule, More):
            return 0 if last else rule.value
        if isinstance(rule, CountOf):
            return len(getattr(self, rule.of))
        assert isinstance(rule, SizeOf)
        target = getattr(self, rule.of)
        if isinstance(target, bytes):
            return len(target) + rule.extra
        out = bytearray()
        next(spec.codec for spec in self.fields() if spec.name == rule.of).put(out, target)
        return len(out) + rule.extra

    @classmethod
    def trace(cls, reader: Reader, name: str = "") -> Field:
        """Read one structure and record the place of every field. Raises WireError.

        The error carries what was read before it in ``partial`` (a tuple of Field).
        """
        start, outer = reader.pos, reader.end
        values: dict[str, Any] = {}
        children: list[Field] = []
        try:
            for spec in cls.fields():
                child = spec.codec.trace(reader, spec.name, values.get(spec.codec.by or "", 0))
                values[spec.name] = child.value
                if isinstance(spec.computed, Length):
                    _bound(reader, start, child.value + spec.computed.less, outer)
                if spec.convert is not None:
                    child = msgspec.structs.replace(child, value=spec.convert(child.value))
                children.append(child)
        except WireError as error:
            inner = cast("Any", error)
            inner.partial = (*children, *getattr(error, "partial", ()))
            raise
        stop = reader.pos
        if any(isinstance(spec.computed, Length) for spec in cls.fields()):
            reader.end = outer
        value = cls.read(Reader(reader.data, start, outer))
        return Field(name or cls.__name__, start, stop, value, _with_inner(reader.data, value, children))


def _with_inner(data: bytes, value: Struct, children: list[Field]) -> tuple[Field, ...]:
    """The fields of a structure, the one that has a structure of its own traced further where that can be read."""
    found = value.inner()
    if found is None:
        return tuple(children)
    name, cls = found
    for index, child in enumerate(children):
        if child.name == name:
            reader = Reader(data, child.start, child.stop)
            try:
                detail = cls.trace(reader)
            except WireError:
                break
            if reader.left == 0:
                children[index] = msgspec.structs.replace(child, children=detail.children)
    return tuple(children)


_FIELDS: dict[type[Struct], tuple[FieldSpec, ...]] = {}  # field lists are read, and reading functions
_PARSERS: dict[type[Struct], Callable[[Reader], Struct]] = {}  # written, when a structure is first met


def _bound(reader: Reader, start: int, length: int, outer: int) -> None:
    """Bound the reader to a structure that claims ``length`` octets from ``start``."""
    if start + length < reader.pos or start + length > outer:
        raise WireError(
            f"length {length} where {reader.pos - start} to {outer - start} are possible", start, reader.pos
        )
    reader.end = start + length


def _compile_parse(cls: type[Struct]) -> Callable[[Reader], Struct]:
    """Write the reading function of a structure from its field list, runs of integers through one unpack."""
    specs = cls.fields()
    scope: dict[str, Any] = {"cls": cls, "WireError": WireError, "bound": _bound}
    lines = ["def parse(r):", " start = r.pos; outer = r.end"]
    has_length = False
    index = 0
    while index < len(specs):
        run = index
        while run < len(specs) and isinstance(specs[run].codec, Fixed):
            run += 1
            if isinstance(specs[run - 1].computed, Length):
                break
        if run > index:
            group = specs[index:run]
            packer = struct.Struct(">" + "".join(cast("Fixed", spec.codec).letter for spec in group))
            scope[f"unpack{index}"] = packer.unpack_from
            names = "".join(f"v_{spec.name}, " for spec in group)
            lines.append(f" {names}= unpack{index}(r.data, r.advance({packer.size}))")
            last = group[-1]
            if isinstance(last.computed, Length):
                has_length = True
                lines.append(f" bound(r, start, v_{last.name} + {last.computed.less}, outer)")
            index = run
            continue
        spec = specs[index]
        scope[f"codec{index}"] = spec.codec.get
        by = f", v_{spec.codec.by}" if spec.codec.by else ""
        lines.append(f" v_{spec.name} = codec{index}(r{by})")
        index += 1
    lines += _epilogue(specs, scope, has_length=has_length)
    exec("\n".join(lines), scope)  # noqa: S102 (the text is made from field names only)
    return cast("Callable[[Reader], Struct]", scope["parse"])


def _epilogue(specs: tuple[FieldSpec, ...], scope: dict[str, Any], *, has_length: bool) -> list[str]:
    """The end of a reading function: nothing left over, computed fields forgotten where the wire agreed."""
    lines = []
    if has_length:
        lines.append(" if r.pos != r.end: raise WireError(f'{r.end - r.pos} octets left over', r.pos, r.end)")
        lines.append(" r.end = outer")
    arguments = []
    for spec in specs:
        value = f"v_{spec.name}"
        rule = spec.computed
        if isinstance(rule, Length):
            value = "None"
        elif isinstance(rule, More):
            lines.append(f" if {value} == ({rule.value} if r.pos < outer else 0): {value} = None")
        elif isinstance(rule, CountOf):
            lines.append(f" if {value} == len(v_{rule.of}): {value} = None")
        elif isinstance(rule, SizeOf) and any(other.codec.by == spec.name for other in specs):
            value = "None"  # the field it sizes was cut to this very number
        elif isinstance(rule, SizeOf):
            target = next(other for other in specs if other.name == rule.of)
            scope[f"size_{spec.name}"] = _measure(target.codec, rule.extra)
            lines.append(f" if {value} == size_{spec.name}(v_{rule.of}): {value} = None")
        elif spec.convert is not None:
            scope[f"convert_{spec.name}"] = spec.convert
            value = f"convert_{spec.name}({value})"
        arguments.append(f"{spec.name}={value}")
    lines.append(f" return cls({', '.join(arguments)})")
    return lines


def _measure(codec: Codec, extra: int) -> Callable[[Any], int]:
    """A function that gives the wire size of a field value plus ``extra``."""

    def size(value: Any) -> int:
        out = bytearray()
        codec.put(out, value)
        return len(out) + extra

    return size
