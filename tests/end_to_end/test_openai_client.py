"""The openai Python package against the daemon: sync, async, streams, and errors as the right classes."""
import asyncio

import openai
import pytest

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def client(smol):
    return openai.OpenAI(base_url=smol.url + "/v1", api_key="none", max_retries=0)


def test_chat(client):
    reply = client.chat.completions.create(model="smollm2", messages=FRANCE, temperature=0, max_tokens=32)
    assert reply.choices[0].message.content == "The capital of France is Paris."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens == 8 and reply.usage.prompt_tokens == 37
    assert reply.usage.total_tokens == 45
    assert reply.system_fingerprint


def test_chat_stream_equals_whole(client):
    kwargs = dict(model="smollm2", messages=FRANCE, temperature=0.9, seed=4, max_tokens=40)
    whole = client.chat.completions.create(**kwargs).choices[0].message.content
    chunks = list(client.chat.completions.create(**kwargs, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("stop", "length")
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens <= 40
    assert len({c.id for c in chunks}) == 1


def test_async_streams_run_together(smol):
    async def one(client, seed):
        stream = await client.chat.completions.create(
            model="smollm2", messages=FRANCE, temperature=1, seed=seed, max_tokens=20, stream=True)
        return "".join([c.choices[0].delta.content or "" async for c in stream])

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=smol.url + "/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(one(client, seed) for seed in [1, 2, 3, 1]))

    texts = asyncio.run(all_of_them())
    assert texts[0] == texts[3] and len(set(texts)) > 1


def test_completion_with_logprobs_and_stop(client):
    reply = client.completions.create(model="smollm2", prompt="1, 2, 3, 4,", temperature=0, max_tokens=16, logprobs=2,
                                      stop=[" 8"])
    choice = reply.choices[0]
    assert " 8" not in choice.text and choice.finish_reason == "stop"
    assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs)
    assert all(value <= 0 for value in choice.logprobs.token_logprobs)


def test_chat_logprobs_and_choices(client):
    reply = client.chat.completions.create(model="smollm2", messages=FRANCE, temperature=1, seed=9, n=3, max_tokens=8,
                                           logprobs=True, top_logprobs=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    for choice in reply.choices:
        for entry in choice.logprobs.content:
            assert len(entry.top_logprobs) == 3
            assert entry.top_logprobs[0].logprob >= entry.top_logprobs[1].logprob


def test_models(client):
    models = client.models.list().data
    assert models[0].id == "smollm2" and models[0].max_model_len == 8192
    assert client.models.retrieve("smollm2").id == "smollm2"


@pytest.mark.parametrize("change, error, words", [
    ({"model": "nobody"}, openai.NotFoundError, "nobody"),
    ({"temperature": 3}, openai.BadRequestError, "temperature"),
    ({"messages": []}, openai.BadRequestError, "messages"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, openai.BadRequestError, "wizard"),
    ({"max_tokens": 0}, openai.BadRequestError, "max_"),
    ({"top_logprobs": 2}, openai.BadRequestError, "top_logprobs"),
    ({"stop": ["a"] * 5}, openai.BadRequestError, "stop"),
    ({"logit_bias": {"99999999": 1}}, openai.BadRequestError, "99999999"),
    ({"messages": [{"role": "user", "content": "word " * 9000}]}, openai.BadRequestError,
     "maximum context length is 8192 tokens"),
])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_classes(client, change, error, words, stream):
    with pytest.raises(error) as caught:
        client.chat.completions.create(**{"model": "smollm2", "messages": FRANCE, "stream": stream, **change})
    assert words in str(caught.value)
