"""Check the fields of msgspec structs, and say in words which values a field allows.

msgspec checks types and ranges when it decodes; here the same annotations check values that
Python code gives to a constructor, and every refusal is one line that names the field, the
allowed values and the value. NaN and infinity are refused, which msgspec lets through.
"""

import difflib
import math
import reprlib
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import inspect, structs

AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)


def check_fields(struct: msgspec.Struct) -> None:
    """Check every field of a struct; a whole number becomes a float where the field is one.

    Raises
    ------
    ValueError
        If a value is of the wrong type, outside its range, NaN or infinite.
    """
    for field in structs.fields(struct):
        checked = _checked_value(field.name, getattr(struct, field.name), field.type)
        structs.force_setattr(struct, field.name, checked)


def _checked_value(name: str, value: Any, kind: Any) -> Any:
    """Return a value as its annotation has it; in a dictionary each value is checked by itself."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(plain) is dict and isinstance(value, dict):
        of_value = get_args(plain)[1]
        return {key: _checked_value(f"{name}.{key}", part, of_value) for key, part in value.items()}
    try:
        checked = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        allowed = allowed_values(kind)
        said = f" must be {allowed}, got {reprlib.repr(value)}" if allowed else f": {error}"
        raise ValueError(f"{name}{said}") from error
    if isinstance(checked, float) and not math.isfinite(checked):
        raise ValueError(f"{name} must be {allowed_values(kind)}, got {value}")
    return checked


def struct_of(kind: type[AnyStruct], row: object) -> AnyStruct:
    """Return a checked struct out of a decoded object of a file.

    Raises
    ------
    ValueError
        If the row is no object, or a field is missing, unknown or refused by `check_fields`.
    """
    if not isinstance(row, dict):
        raise ValueError(f"must be an object, got {reprlib.repr(row)}")
    fields = {field.name: field for field in structs.fields(kind)}
    for name in row:
        if name not in fields:
            raise ValueError(f"unknown field {str(name)[:100]}{suggestion(str(name), fields)}")
    for field in fields.values():
        if field.required and field.name not in row:
            raise ValueError(f"{field.name} is missing")
    made = kind(**row)
    check_fields(made)
    return made


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the closest one, and all of them.

    Examples
    --------
    >>> suggestion("titel", ["title", "body"])
    ': did you mean title? Known: title, body'
    """
    names = list(known)
    closest = difflib.get_close_matches(name, names, n=1)
    asked = f": did you mean {closest[0]}?" if closest else "."
    return f"{asked} Known: {', '.join(names)}"


def allowed_values(kind: Any) -> str:
    """Return the values that an annotation allows, in words; "" for a type without words here.

    Examples
    --------
    >>> from typing import Annotated, Literal
    >>> allowed_values(Annotated[int, msgspec.Meta(ge=1, le=100)])
    'a whole number from 1 to 100'
    >>> allowed_values(Annotated[float, msgspec.Meta(gt=0)])
    'a finite number above 0'
    >>> allowed_values(Literal["article", "author"])
    'one of article, author'
    """
    return _words(inspect.type_info(kind))


def _words(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata():
            return _words(info.type)
        case inspect.IntType():
            return f"a whole number{_span(info)}"
        case inspect.FloatType():
            return f"a finite number{_span(info)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            most = info.max_length
            return "a text" if most is None else f"a text of at most {most} characters"
        case inspect.LiteralType():
            return f"one of {', '.join(map(str, info.values))}"
        case inspect.VarTupleType(item_type=inspect.StrType()):
            return 'a list of texts such as ["a", "b"]'
        case inspect.DictType():
            return f"a table of which each value is {_words(info.value_type)}"
        case inspect.UnionType():
            rest = [_words(part) for part in info.types if not isinstance(part, inspect.NoneType)]
            return f"{' or '.join(rest)}, or null"
    return ""


def _span(info: inspect.IntType | inspect.FloatType) -> str:
    most = "" if info.le is None else _number(info.le)
    if info.gt is not None:
        return f" above {_number(info.gt)}" + (f" and at most {most}" if most else "")
    if info.ge is None:
        return ""
    least = _number(info.ge)
    return f" from {least} to {most}" if most else f" of at least {least}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
