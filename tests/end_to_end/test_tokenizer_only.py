"""A server of text alone, with the endpoints that let it be checked from outside."""
import shutil

import pytest

from conftest import MODELS, Server, default_model


@pytest.fixture(scope="module")
def text():
    server = Server(default_model(), "--tokenizer-only", "--debug-endpoints", "--served-model-name", "text")
    yield server
    assert server.stop() == 0


def test_tokens_and_templates_without_weights(text):
    tokens = text.post("/tokenize", {"prompt": "Hello, world!"})[1]["tokens"]
    assert text.post("/detokenize", {"tokens": tokens})[1]["prompt"] == "Hello, world!"
    chunks = text.post("/detokenize", {"tokens": tokens, "stream": True})[1]["chunks"]
    assert len(chunks) == len(tokens) and "".join(c or "" for c in chunks) == "Hello, world!"
    status, answer = text.post("/apply-template", {"chat_template": "{{ messages[0].content }}!", "messages": [{"role": "user", "content": "x"}]})
    assert (status, answer) == (200, {"prompt": "x!"})
    assert text.post("/apply-template", {"messages": [{"role": "user", "content": "x"}]})[1]["prompt"].endswith("<|im_start|>assistant\n")


def test_grammars_and_output(text):
    assert text.post("/grammar/check", {"regex": "a+", "texts": ["aa", "b"]})[1] == {"accepted": [True, False]}
    assert text.post("/grammar/check", {"json_schema": {"uniqueItems": True}, "texts": []})[0] == 400
    parsed = text.post("/parse-output", {"family": "nemotron3", "starts_in_reasoning": True, "tools": None, "text": "why</think>because"})[1]
    assert parsed == {"content": "because", "reasoning_content": "why", "tool_calls": []}
    assert text.post("/apply-template", b'{"messages": "\xff"}')[0] == 400


def test_it_refuses_to_generate(text):
    status, answer = text.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})
    assert status == 400 and "--tokenizer-only" in answer["error"]["message"]


def test_without_a_tokenizer_it_does_not_start(tmp_path):
    shutil.copy(MODELS / "nemotron_h" / "config.json", tmp_path)
    with pytest.raises(RuntimeError, match="has no tokenizer"):
        Server(tmp_path, "--tokenizer-only")
