"""What the documentation uses of grpcurl, for machines that have none: reflection, one unary call, JSON in and out.

python grpcurl.py -plaintext -H 'name: value' -d '{…}' host:port package.Service/Method
"""

import argparse
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

DEADLINE_S = 10.0


def called(address: str, method: str, body: str, headers: list[str]) -> str:
    """Make the call and give the answer as JSON. Raises grpc.RpcError."""
    service, _, name = method.partition("/")
    metadata = [(key.lower(), value.strip()) for key, _, value in (each.partition(":") for each in headers)]
    with grpc.insecure_channel(address) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        found = pool.FindServiceByName(service).FindMethodByName(name)
        request = json_format.Parse(body, message_factory.GetMessageClass(found.input_type)())
        call = channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )
        return json_format.MessageToJson(call(request, metadata=metadata, timeout=DEADLINE_S))


def main() -> int:
    parser = argparse.ArgumentParser(prog="grpcurl", description="A part of grpcurl.")
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body", default="{}")
    parser.add_argument("address")
    parser.add_argument("method")
    asked = parser.parse_args()
    try:
        print(called(asked.address, asked.method, asked.body, asked.headers))
    except grpc.RpcError as error:
        print(f"ERROR:\n  Code: {error.code().name}\n  Message: {error.details()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
