"""The openai Python package over responses that the daemon keeps: chains, fetching, listing, deleting, in the background."""
import time

import openai
import pytest

from conftest import Server, default_model

FRANCE = "What is the capital of France?"
WEATHER = {"type": "function", "name": "get_weather", "strict": True,
           "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"],
                          "additionalProperties": False}}


@pytest.fixture(scope="module")
def client(smol):
    return openai.OpenAI(base_url=smol.url + "/v1", api_key="none", max_retries=0)


def create(client, **kwargs):
    return client.responses.create(**{"model": "smollm2", "temperature": 0, "max_output_tokens": 32, **kwargs})


def unknown(client, response_id):
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.cancel, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(response_id)
        assert response_id in str(caught.value)
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, input="And?", previous_response_id=response_id)
    assert caught.value.code == "previous_response_not_found" and caught.value.param == "previous_response_id"


def test_a_chain_of_three_is_the_conversation_sent_whole(client):
    first = create(client, input=FRANCE, instructions="Answer in one sentence.")
    second = create(client, input="And of Italy?", previous_response_id=first.id)
    third = create(client, input="And of Spain?", previous_response_id=second.id, instructions="Be kind.")
    assert second.previous_response_id == first.id and third.previous_response_id == second.id
    turns = [{"role": "user", "content": FRANCE}, *[item.to_dict() for item in first.output],
             {"role": "user", "content": "And of Italy?"}, *[item.to_dict() for item in second.output],
             {"role": "user", "content": "And of Spain?"}]
    whole = create(client, input=turns, instructions="Be kind.", store=False)
    assert third.usage.input_tokens == whole.usage.input_tokens, "instructions of earlier turns are not carried over"
    assert third.output_text == whole.output_text
    assert third.usage.input_tokens_details.cached_tokens > 0 or whole.usage.input_tokens_details.cached_tokens > 0

    listed = list(client.responses.input_items.list(third.id, order="asc", limit=2))
    assert [item.role for item in listed] == ["user", "assistant", "user", "assistant", "user"]
    assert listed[1].id == first.output[0].id
    assert [item.id for item in client.responses.input_items.list(third.id)] == [item.id for item in reversed(listed)]
    after = client.responses.input_items.list(third.id, order="asc", after=listed[2].id, limit=1)
    assert [item.id for item in after.data] == [listed[3].id] and after.has_more


def test_retrieve_and_delete(client):
    made = create(client, input=FRANCE, metadata={"a": "b"})
    fetched = client.responses.retrieve(made.id)
    assert fetched.to_dict() == made.to_dict() and fetched.store
    with pytest.raises(openai.BadRequestError) as caught:
        list(client.responses.retrieve(made.id, stream=True))
    assert caught.value.param == "stream"
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(made.id)
    client.responses.delete(made.id)
    unknown(client, made.id)


def test_unknown_ones(client):
    unknown(client, "resp_unknown")


def test_store_false(client):
    made = create(client, input=FRANCE, store=False)
    assert made.store is False
    unknown(client, made.id)


def test_a_stream_is_kept_before_its_last_event(client):
    for event in create(client, input=FRANCE, stream=True):
        if event.type == "response.completed":
            assert client.responses.retrieve(event.response.id).output_text == event.response.output_text
            break
    else:
        pytest.fail("not completed")


def test_a_call_is_answered_in_the_next_turn(client):
    first = create(client, input="What is the weather in Paris?", tools=[WEATHER], max_output_tokens=100,
                   tool_choice={"type": "function", "name": "get_weather"})
    call = first.output[0]
    after = create(client, input=[{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}],
                   tools=[WEATHER], previous_response_id=first.id)
    assert after.usage.input_tokens > first.usage.input_tokens
    assert [item.type for item in client.responses.input_items.list(after.id, order="asc")] == [
        "message", "function_call", "function_call_output"]


def wait_for(client, response, seconds=60):
    end = time.monotonic() + seconds
    while response.status in ("queued", "in_progress"):
        assert time.monotonic() < end
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    return response


def test_in_the_background(client):
    queued = create(client, input=FRANCE, background=True)
    assert queued.status == "queued" and queued.output == [] and queued.background
    done = wait_for(client, queued)
    assert done.status == "completed" and done.output_text == "The capital of France is Paris."
    assert create(client, input="And of Italy?", previous_response_id=queued.id).status in ("completed", "incomplete")


def test_in_the_background_until_cancelled(client, smol):
    queued = create(client, input="Tell a long story.", background=True, max_output_tokens=7000, extra_body={"ignore_eos": True})
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, input="And?", previous_response_id=queued.id)
    assert caught.value.param == "previous_response_id"
    assert client.responses.cancel(queued.id).status == "cancelled"
    assert client.responses.cancel(queued.id).status == "cancelled"
    assert smol.wait_until_idle()
    assert client.responses.retrieve(queued.id).status == "cancelled"


@pytest.mark.parametrize("change, words", [
    ({"stream": True}, "stream"), ({"store": False}, "background"), ({"temperature": 5}, "temperature"), ({"input": []}, "input")])
def test_what_the_background_does_not_take(client, change, words):
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, **{"input": FRANCE, "background": True, **change})
    assert words in str(caught.value)


def test_each_key_sees_its_own(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("first\nsecond\n")
    server = Server(default_model(), "--engine", "fake", "--served-model-name", "smollm2", "--memory", "256MiB",
                    "--api-key-file", str(keys))
    try:
        first, second = (openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) for key in ("first", "second"))
        made = create(first, input=FRANCE)
        assert first.responses.retrieve(made.id).id == made.id
        unknown(second, made.id)
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=server.url + "/v1", api_key="third", max_retries=0).responses.retrieve(made.id)
        assert create(first, input="And?", previous_response_id=made.id).previous_response_id == made.id
    finally:
        assert server.stop() == 0


def test_bounds_and_off():
    server = Server(default_model(), "--engine", "fake", "--served-model-name", "smollm2", "--memory", "256MiB",
                    "--max-stored-responses", "2")
    try:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        made = [create(client, input=FRANCE).id for _ in range(3)]
        unknown(client, made[0])
        assert client.responses.retrieve(made[1]).id == made[1]
        assert server.metric("braid:stored_responses") == 2 and server.metric("braid:stored_response_bytes") > 0
        assert server.metric("braid:stored_response_evictions_total") == 1
    finally:
        assert server.stop() == 0
    server = Server(default_model(), "--engine", "fake", "--served-model-name", "smollm2", "--memory", "256MiB",
                    "--max-stored-responses", "0")
    try:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        made = create(client, input=FRANCE, store=True)
        assert made.store is False
        unknown(client, made.id)
        with pytest.raises(openai.BadRequestError) as caught:
            create(client, input=FRANCE, background=True)
        assert caught.value.param == "background"
    finally:
        assert server.stop() == 0
