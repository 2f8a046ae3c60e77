"""Sparkplug B payloads by Google's protobuf library; the quality of a sample is a property of its metric."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bench.recording import Sample

# Eclipse Sparkplug 3.0.0, 6.4.1, "sparkplug_b.proto": name, number, type of the fields used here.
# Types as in descriptor.proto: 1 double, 4 uint64, 8 bool, 9 string, 11 message, 13 uint32.
SCHEMA: dict[str, list[tuple[str, int, int, str]]] = {
    "PropertyValue": [("type", 1, 13, ""), ("int_value", 3, 13, "")],
    "PropertySet": [("keys", 1, 9, "*"), ("values", 2, 11, "*PropertyValue")],
    "Metric": [
        ("alias", 2, 4, ""),
        ("timestamp", 3, 4, ""),
        ("datatype", 4, 13, ""),
        ("is_null", 7, 8, ""),
        ("properties", 9, 11, "PropertySet"),
        ("long_value", 11, 4, ""),
        ("double_value", 13, 1, ""),
    ],
    "Payload": [("timestamp", 1, 4, ""), ("metrics", 2, 11, "*Metric")],
}
INT64, DOUBLE, INT32 = 4, 10, 3  # its datatypes
MASK = 2**64 - 1


def sparkplug() -> tuple[Callable[[Sequence[Sample]], bytes], None, Callable[[bytes], object]]:
    """Encoder, no decoder to columns, decoder to tuples; ImportError without the library."""
    payload: Any = _messages()

    def encode(samples: Sequence[Sample]) -> bytes:
        whole = payload(timestamp=samples[0][1])
        add = whole.metrics.add
        for number, ts, value, quality in samples:
            if isinstance(value, float):
                metric = add(alias=number, timestamp=ts, datatype=DOUBLE, double_value=value)
            elif isinstance(value, int):
                metric = add(alias=number, timestamp=ts, datatype=INT64, long_value=value & MASK)
            else:
                metric = add(alias=number, timestamp=ts, datatype=DOUBLE, is_null=True)
            if quality:
                metric.properties.keys.append("Quality")
                metric.properties.values.add(type=INT32, int_value=quality)
        return bytes(whole.SerializeToString())

    return encode, None, lambda data: [_sample(metric) for metric in payload.FromString(data).metrics]


def _sample(metric: Any) -> Sample:  # noqa: ANN401 - made at run time
    value = None if metric.is_null else metric.double_value if metric.datatype == DOUBLE else _signed(metric.long_value)
    quality = metric.properties.values[0].int_value if metric.HasField("properties") else 0
    return metric.alias, metric.timestamp, value, quality


def _signed(value: int) -> int:
    return value - 2**64 if value >> 63 else value


def _messages() -> Any:  # noqa: ANN401 - made at run time
    """The class of a payload, made from the schema without a compiler."""
    descriptors: Any = import_module("google.protobuf.descriptor_pb2")
    pools: Any = import_module("google.protobuf.descriptor_pool")
    factory: Any = import_module("google.protobuf.message_factory")
    file = descriptors.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto2")
    for message, fields in SCHEMA.items():
        made = file.message_type.add(name=message)
        for name, number, kind, of in fields:
            label = 3 if of.startswith("*") else 1  # repeated or optional
            field = made.field.add(name=name, number=number, type=kind, label=label)
            if of.lstrip("*"):
                field.type_name = ".bench." + of.lstrip("*")
    pool = pools.DescriptorPool()
    pool.Add(file)
    return factory.GetMessageClass(pool.FindMessageTypeByName("bench.Payload"))
