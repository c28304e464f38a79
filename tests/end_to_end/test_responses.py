"""The openai Python package's Responses API against the daemon: create, stream, parse, tools, errors."""
import json

import openai
import pydantic
import pytest

FRANCE = "What is the capital of France?"
WEATHER = {"type": "function", "name": "get_weather", "description": "The weather of a city", "strict": True,
           "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"],
                          "additionalProperties": False}}


@pytest.fixture(scope="module")
def client(smol):
    return openai.OpenAI(base_url=smol.url + "/v1", api_key="none", max_retries=0)


def test_create(client):
    reply = client.responses.create(model="smollm2", input=FRANCE, temperature=0, max_output_tokens=32, metadata={"a": "b"})
    assert reply.output_text == "The capital of France is Paris."
    assert reply.status == "completed" and reply.error is None and reply.incomplete_details is None
    assert reply.object == "response" and reply.id.startswith("resp_") and reply.model == "smollm2"
    assert [item.type for item in reply.output] == ["message"]
    assert reply.usage.input_tokens == 37 and reply.usage.output_tokens == 8 and reply.usage.total_tokens == 45
    assert reply.usage.input_tokens_details.cached_tokens >= 0
    assert reply.metadata == {"a": "b"} and reply.temperature == 0 and reply.max_output_tokens == 32


def test_the_length_makes_it_incomplete(client):
    reply = client.responses.create(model="smollm2", input=FRANCE, temperature=0, max_output_tokens=3)
    assert reply.status == "incomplete" and reply.incomplete_details.reason == "max_output_tokens"


def test_a_conversation_goes_back_and_forth(client):
    turns = [{"role": "user", "content": FRANCE}]
    first = client.responses.create(model="smollm2", instructions="Answer in one sentence.", input=turns, temperature=0,
                                    max_output_tokens=32)
    turns += [item.to_dict() for item in first.output]
    turns.append({"role": "user", "content": [{"type": "input_text", "text": "And of Italy?"}]})
    second = client.responses.create(model="smollm2", instructions="Answer in one sentence.", input=turns, temperature=0,
                                     max_output_tokens=32)
    assert second.output_text and second.usage.input_tokens > first.usage.input_tokens


def test_stream_equals_whole(client):
    kwargs = dict(model="smollm2", input=FRANCE, temperature=0.9, max_output_tokens=40, extra_body={"seed": 4})
    whole = client.responses.create(**kwargs)
    events = list(client.responses.create(**kwargs, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:4]] == ["response.created", "response.in_progress", "response.output_item.added",
                                                     "response.content_part.added"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.output_text == whole.output_text
    assert events[-1].response.usage.output_tokens == whole.usage.output_tokens


def test_stream_helper(client):
    with client.responses.stream(model="smollm2", input=FRANCE, temperature=0) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text == "The capital of France is Paris."


def test_logprobs(client):
    reply = client.responses.create(model="smollm2", input=FRANCE, temperature=0, max_output_tokens=8, top_logprobs=2,
                                    include=["message.output_text.logprobs"])
    logprobs = reply.output[0].content[0].logprobs
    assert len(logprobs) == reply.usage.output_tokens
    assert logprobs[0].token == "The" and len(logprobs[0].top_logprobs) == 2


class Capital(pydantic.BaseModel):
    population_in_millions: int
    is_in_europe: bool


def test_parse(client):
    reply = client.responses.parse(model="smollm2", input=FRANCE, temperature=0, max_output_tokens=100, text_format=Capital)
    assert isinstance(reply.output_parsed, Capital)
    with client.responses.stream(model="smollm2", input=FRANCE, temperature=0, max_output_tokens=100,
                                 text_format=Capital) as stream:
        assert stream.get_final_response().output_parsed == reply.output_parsed


def test_forced_calls(client):
    kwargs = dict(model="smollm2", input="What is the weather in Paris?", temperature=0, max_output_tokens=100, tools=[WEATHER],
                  tool_choice={"type": "function", "name": "get_weather"})
    reply = client.responses.create(**kwargs)
    call = reply.output[0]
    assert call.type == "function_call" and call.name == "get_weather" and call.call_id
    assert set(json.loads(call.arguments)) == {"city"}
    events = list(client.responses.create(**kwargs, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta") == call.arguments
    turns = [{"role": "user", "content": kwargs["input"]}, call.to_dict(),
             {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees, sunny"}]
    after = client.responses.create(model="smollm2", input=turns, tools=[WEATHER], temperature=0, max_output_tokens=20)
    assert after.usage.input_tokens > reply.usage.input_tokens


@pytest.mark.parametrize("change, error, words", [
    ({"model": "nobody"}, openai.NotFoundError, "nobody"),
    ({"temperature": 3}, openai.BadRequestError, "temperature"),
    ({"input": []}, openai.BadRequestError, "input"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, openai.BadRequestError, "input_image"),
    ({"previous_response_id": "resp_1"}, openai.BadRequestError, "previous_response_id"),
    ({"background": 1}, openai.BadRequestError, "background"),
    ({"tools": [{"type": "web_search"}]}, openai.BadRequestError, "web_search"),
    ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "nonsense"}}}}, openai.BadRequestError, "text.format"),
    ({"input": "word " * 9000}, openai.BadRequestError, "maximum context length is 8192 tokens"),
])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_classes(client, change, error, words, stream):
    with pytest.raises(error) as caught:
        client.responses.create(**{"model": "smollm2", "input": FRANCE, "stream": stream, **change})
    assert words in str(caught.value)
