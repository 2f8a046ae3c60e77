"""Sparkplug B payloads by Google's runtime, from the numbers in Eclipse Tahu's sparkplug_b.proto; nothing of ours."""

from importlib import import_module
from typing import Any

descriptor_pb2, descriptor_pool, message_factory = (
    import_module(f"google.protobuf.{name}") for name in ("descriptor_pb2", "descriptor_pool", "message_factory")
)  # it has no types

NUMBER = {"uint32": 13, "uint64": 4, "bool": 8, "float": 2, "double": 1, "string": 9, "bytes": 12}
"""FieldDescriptorProto.Type (descriptor.proto)."""
MESSAGE, OPTIONAL, REPEATED = 11, 1, 3
MESSAGES = {
    "Payload": [(1, "timestamp", "uint64"), (2, "metrics", "[Metric"), (3, "seq", "uint64"), (4, "uuid", "string"),
                (5, "body", "bytes")],
    "Metric": [(1, "name", "string"), (2, "alias", "uint64"), (3, "timestamp", "uint64"), (4, "datatype", "uint32"),
               (5, "is_historical", "bool"), (6, "is_transient", "bool"), (7, "is_null", "bool"),
               (9, "properties", "PropertySet"), (10, "int_value", "uint32"), (11, "long_value", "uint64"),
               (12, "float_value", "float"), (13, "double_value", "double"), (14, "boolean_value", "bool"),
               (15, "string_value", "string"), (16, "bytes_value", "bytes")],
    "PropertySet": [(1, "keys", "[string"), (2, "values", "[PropertyValue")],
    "PropertyValue": [(1, "type", "uint32"), (2, "is_null", "bool"), (3, "int_value", "uint32"),
                      (4, "long_value", "uint64"), (5, "float_value", "float"), (6, "double_value", "double"),
                      (7, "boolean_value", "bool"), (8, "string_value", "string")],
}  # fmt: skip


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="spb", syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, kind in fields:
            plain = kind.lstrip("[")
            made = message.field.add(name=field, number=number, label=REPEATED if kind[0] == "[" else OPTIONAL)
            made.type = NUMBER.get(plain, MESSAGE)
            if plain not in NUMBER:
                made.type_name = f".spb.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"spb.{name}")) for name in MESSAGES}


CLASSES = _classes()


def read(payload: bytes) -> Any:
    """A Payload; fails for fields that the .proto does not have."""
    found = CLASSES["Payload"].FromString(payload)
    assert found.SerializeToString(deterministic=True)
    assert found.ByteSize() == len(payload), "something in it is unknown, or is there twice"
    return found


def value(metric: Any) -> Any:
    """A metric's value, None when it is null; integers of type Int64 with their sign."""
    fields = [f.name for f, _ in metric.ListFields() if f.name.endswith("_value")]
    assert (len(fields) == 0) == metric.is_null
    if metric.is_null:
        return None
    said = getattr(metric, fields[0])
    return said - (1 << 64) if metric.datatype == 4 and said >= 1 << 63 else said


def properties(metric: Any) -> dict[str, Any]:
    """Its properties."""
    told = {}
    for key, found in zip(metric.properties.keys, metric.properties.values, strict=True):
        told[key] = found.string_value if found.type == 12 else found.int_value
    return told
