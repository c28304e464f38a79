"""The whole host path around an engine that computes nothing: many streams, each with all of its tokens and its text."""
import concurrent.futures
import http.client
import json
import time

import pytest

from conftest import MODELS, Server, default_model

STREAMS = 256


@pytest.fixture(scope="module")
def fake():
    server = Server(default_model(), "--engine", "fake", "--served-model-name", "fake", "--max-sequences", str(STREAMS),
                    "--memory", "1GiB")
    yield server
    assert server.stop() == 0


def stream(server, body):
    """The text of a streamed chat, its number of chunks with text, its usage and its finish reason."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    data = {"stream": True, "stream_options": {"include_usage": True}, "messages": [{"role": "user", "content": "Say something."}], **body}
    connection.request("POST", "/v1/chat/completions", json.dumps(data), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    lines = [line[6:] for line in reply.read().decode().split("\n") if line.startswith("data: ")]
    connection.close()
    assert lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    choices = [choice for event in events for choice in event["choices"]]
    pieces = [choice["delta"].get("content") for choice in choices]
    return "".join(filter(None, pieces)), sum(map(bool, pieces)), events[-1]["usage"], choices[-1]["finish_reason"]


def test_256_streams_have_all_their_tokens(fake):
    def one(i):
        want = 20 + i % 50
        text, pieces, usage, finish = stream(fake, {"max_tokens": want, "seed": i})
        return usage["completion_tokens"] == want and pieces == want and finish == "length" and text

    with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
        texts = list(pool.map(one, range(STREAMS)))
    assert all(texts) and len(set(texts)) == STREAMS
    assert fake.wait_until_idle()


def test_text_is_a_function_of_seed_and_choice(fake):
    first, again, other = (stream(fake, {"max_tokens": 64, "seed": seed})[0] for seed in (7, 7, 8))
    assert first == again != other
    assert first.startswith(stream(fake, {"max_tokens": 32, "seed": 7})[0])
    status, reply = fake.post("/v1/chat/completions", {"max_tokens": 64, "seed": 7, "n": 2, "messages": [{"role": "user", "content": "x"}]})
    assert status == 200 and reply["choices"][0]["message"]["content"] == first
    assert reply["choices"][1]["message"]["content"] != first
    greedy = [stream(fake, {"max_tokens": 16, "temperature": 0})[0] for _ in range(2)]
    assert greedy[0] == greedy[1]


def test_grammars_stop_strings_and_logprobs_hold(fake):
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 400, "seed": 1}
    status, reply = fake.post("/v1/chat/completions", {**body, "structured_outputs": {"choice": ["red", "green"]}})
    assert status == 200 and reply["choices"][0]["message"]["content"] in ("red", "green")
    text = stream(fake, {"max_tokens": 400, "seed": 1})[0]
    stop = text[100:103]
    status, reply = fake.post("/v1/chat/completions", {**body, "stop": [stop]})
    assert reply["choices"][0]["message"]["content"] == text[:text.index(stop)]
    status, reply = fake.post("/v1/chat/completions", {**body, "max_tokens": 5, "logprobs": True, "top_logprobs": 2})
    assert status == 200 and len(reply["choices"][0]["logprobs"]["content"]) == 5


def test_a_step_may_take_its_time():
    server = Server(default_model(), "--engine", "fake", "--fake-step-us", "20000", "--memory", "256MiB")
    begin = time.monotonic()
    stream(server, {"max_tokens": 11})
    assert time.monotonic() - begin >= 10 * 0.02
    assert server.stop() == 0


def test_without_a_tokenizer_it_does_not_start():
    with pytest.raises(RuntimeError, match="has no tokenizer, and --engine fake needs one"):
        Server(MODELS / "nemotron_h", "--engine", "fake")
