"""The anthropic Python package against the daemon: create, stream, tools, counts, errors as the right classes."""
import anthropic
import pytest

from conftest import Server, default_model

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0}  # not a parameter of the package's any more
WEATHER = {"name": "get_weather", "description": "The weather of a city",
           "input_schema": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"],
                            "additionalProperties": False}}


@pytest.fixture(scope="module")
def client(smol):
    return anthropic.Anthropic(base_url=smol.url, api_key="none", max_retries=0)


def test_create(client):
    message = client.messages.create(model="smollm2", messages=FRANCE, extra_body=GREEDY, max_tokens=32)
    assert message.content[0].type == "text" and message.content[0].text == "The capital of France is Paris."
    assert message.type == "message" and message.role == "assistant" and message.model == "smollm2"
    assert message.id.startswith("msg_") and message.stop_reason == "end_turn" and message.stop_sequence is None
    usage = message.usage
    assert usage.output_tokens == 8 and usage.input_tokens + usage.cache_read_input_tokens == 37


def test_count_tokens(client):
    assert client.messages.count_tokens(model="smollm2", messages=FRANCE).input_tokens == 37
    assert client.messages.count_tokens(model="smollm2", messages=FRANCE, system="Be brief.", tools=[WEATHER]).input_tokens > 37


def test_stop_reasons(client):
    cut = client.messages.create(model="smollm2", messages=FRANCE, extra_body=GREEDY, max_tokens=2)
    assert cut.stop_reason == "max_tokens"
    stopped = client.messages.create(model="smollm2", messages=FRANCE, extra_body=GREEDY, max_tokens=32, stop_sequences=["never", " of"])
    assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == " of"
    assert stopped.content[0].text == "The capital"


def test_stream_equals_whole(client):
    kwargs = dict(model="smollm2", messages=FRANCE, max_tokens=40, extra_body={"seed": 4, "temperature": 0.9})
    whole = client.messages.create(**kwargs)
    with client.messages.stream(**kwargs) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason and final.usage.output_tokens == whole.usage.output_tokens
    names = [event.type for event in client.messages.create(**kwargs, stream=True)]
    assert names[0] == "message_start" and names[1] == "content_block_start"
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_system_and_blocks(client):
    message = client.messages.create(
        model="smollm2", max_tokens=8, extra_body=GREEDY, system=[{"type": "text", "text": "Answer in one word."}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "What is the capital "}, {"type": "text", "text": "of France?"}]}])
    assert message.content[0].text


def test_prefill_is_gone_on_with(client):
    message = client.messages.create(model="smollm2", max_tokens=16, extra_body=GREEDY,
                                     messages=FRANCE + [{"role": "assistant", "content": "The capital of France is"}])
    assert message.content[0].text == " Paris."


def test_forced_tool_use(client):
    kwargs = dict(model="smollm2", max_tokens=100, extra_body=GREEDY, tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"},
                  messages=[{"role": "user", "content": "What is the weather in Paris?"}])
    message = client.messages.create(**kwargs)
    use = message.content[0]
    assert use.type == "tool_use" and use.name == "get_weather" and set(use.input) == {"city"}
    assert message.stop_reason == "tool_use"
    with client.messages.stream(**kwargs) as stream:
        final = stream.get_final_message()
    assert final.content[0].input == use.input and final.stop_reason == "tool_use"
    turns = kwargs["messages"] + [
        {"role": "assistant", "content": [use.to_dict()]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "18 degrees, sunny"}]}]
    after = client.messages.create(model="smollm2", max_tokens=20, extra_body=GREEDY, tools=[WEATHER], messages=turns)
    assert after.usage.output_tokens > 0


def test_output_format(client):
    schema = {"type": "object", "properties": {"is_in_europe": {"type": "boolean"}}, "required": ["is_in_europe"],
              "additionalProperties": False}
    message = client.messages.create(model="smollm2", messages=FRANCE, extra_body=GREEDY, max_tokens=50,
                                     output_config={"format": {"type": "json_schema", "schema": schema}})
    assert "is_in_europe" in message.content[0].text and message.content[0].text.strip().endswith("}")


@pytest.mark.parametrize("change, error, words", [
    ({"model": "nobody"}, anthropic.NotFoundError, "nobody"),
    ({"extra_body": {"temperature": 1.5}}, anthropic.BadRequestError, "temperature"),
    ({"messages": []}, anthropic.BadRequestError, "messages"),
    ({"max_tokens": 0}, anthropic.BadRequestError, "max_tokens"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, anthropic.BadRequestError, "image"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, anthropic.BadRequestError, "web_search"),
    ({"thinking": {"type": "enabled", "budget_tokens": 5}}, anthropic.BadRequestError, "budget_tokens"),
    ({"messages": [{"role": "user", "content": "word " * 9000}]}, anthropic.BadRequestError, "maximum context length is 8192 tokens"),
])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_classes(client, change, error, words, stream):
    with pytest.raises(error) as caught:
        client.messages.create(**{"model": "smollm2", "messages": FRANCE, "max_tokens": 8, "stream": stream, **change})
    assert words in str(caught.value)
    assert caught.value.body["type"] == "error"


def test_keys(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    server = Server(default_model(), "--served-model-name", "smollm2", "--memory", "1GiB", "--api-key-file", keys)
    try:
        kwargs = dict(model="smollm2", messages=FRANCE, max_tokens=2)
        with pytest.raises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=server.url, api_key="wrong", max_retries=0).messages.create(**kwargs)
        assert anthropic.Anthropic(base_url=server.url, api_key="secret", max_retries=0).messages.create(**kwargs).content
    finally:
        assert server.stop() == 0
