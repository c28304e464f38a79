"""The gRPC service with stubs made from proto/: the same answers as HTTP."""
import pathlib
import sys

import grpc
import pytest
from grpc_tools import protoc

from conftest import ROOT


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    out = tmp_path_factory.mktemp("stubs")
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    code = protoc.main(["", f"-I{ROOT / 'proto'}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}",
                        "inference.proto"])
    assert code == 0
    sys.path.insert(0, str(out))
    import inference_pb2
    import inference_pb2_grpc
    return inference_pb2, inference_pb2_grpc


@pytest.fixture(scope="module")
def service(smol, stubs):
    with grpc.insecure_channel(f"127.0.0.1:{smol.grpc_port}") as channel:
        yield stubs[1].InferenceStub(channel)


def chat(messages, **fields):
    return messages.ChatRequest(model="smollm2", temperature=0, max_tokens=32, messages=[
        messages.ChatMessage(role="user", content="What is the capital of France?")], **fields)


def test_chat(service, stubs):
    reply = service.Chat(chat(stubs[0]))
    assert reply.choices[0].message.content == "The capital of France is Paris."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens == 8


def test_chat_stream(service, stubs):
    chunks = list(service.ChatStream(chat(stubs[0])))
    text = "".join(choice.delta.content for chunk in chunks for choice in chunk.choices)
    assert text == "The capital of France is Paris."


def test_errors_have_their_codes(service, stubs):
    with pytest.raises(grpc.RpcError) as caught:
        service.Chat(stubs[0].ChatRequest(model="nobody", messages=[stubs[0].ChatMessage(role="user", content="x")]))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        service.Chat(stubs[0].ChatRequest(model="smollm2"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "messages" in caught.value.details()
