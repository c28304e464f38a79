"""Structured output, tools and prefix reuse on the real model, as OpenAI's client sees them."""
import json
import re

import openai
import pytest

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}},
    "required": ["city", "unit"], "additionalProperties": False}}}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}}


@pytest.fixture(scope="module")
def client(smol):
    return openai.OpenAI(base_url=smol.url + "/v1", api_key="none", max_retries=0, timeout=300)


def ask(client, text, **fields):
    fields = {"model": "smollm2", "max_tokens": 120, "temperature": 0.7, "seed": 1} | fields
    return client.chat.completions.create(messages=[{"role": "user", "content": text}], **fields)


def test_json_schema(client):
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
              "required": ["name", "age"], "additionalProperties": False}
    for seed in range(4):
        answer = ask(client, "Invent a person.", seed=seed, response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}})
        person = json.loads(answer.choices[0].message.content)
        assert answer.choices[0].finish_reason == "stop"
        assert set(person) == {"name", "age"} and len(person["name"]) <= 12 and 0 <= person["age"] <= 150


def test_json_object_and_choices_of_its_own(client):
    answer = ask(client, "Give me JSON.", n=3, response_format={"type": "json_object"}, max_tokens=60)
    for choice in answer.choices:
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content), dict)


def test_regex_choice_and_grammar(client):
    body = lambda **kind: {"extra_body": {"structured_outputs": kind}}
    assert re.fullmatch(r"\d{3}-\d{4}", ask(client, "A number?", **body(regex=r"\d{3}-\d{4}")).choices[0].message.content)
    assert ask(client, "Red or blue?", **body(choice=["red", "blue"])).choices[0].message.content in ("red", "blue")
    assert ask(client, "Say it.", **body(grammar='root ::= "yes" | "no"')).choices[0].message.content in ("yes", "no")
    text = client.completions.create(model="smollm2", prompt="1, 2, 3, ", max_tokens=20, extra_body={"structured_outputs": {"regex": "[0-9]{2,4}"}}).choices[0].text
    assert re.fullmatch("[0-9]{2,4}", text)


def test_schemas_that_cannot_be_enforced_are_refused(client):
    for schema in ({"type": "string", "not": {"const": "x"}}, {"type": "what"}, {"$ref": "#/nowhere"}):
        with pytest.raises(openai.BadRequestError) as error:
            ask(client, "x", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
        assert error.value.param == "response_format"
    with pytest.raises(openai.BadRequestError, match="structured_outputs"):
        ask(client, "x", extra_body={"structured_outputs": {"regex": "(?<=a)b"}})


CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"], "additionalProperties": False}
PLACE = {"begin": "<place>", "schema": CITY, "end": "</place>"}


def places(text):
    """The cities of a text; what follows the trigger must be a whole tag."""
    found = re.findall(r"<place>(.*?)</place>", text, re.DOTALL)
    assert text.count("<pl") == len(found)
    return [json.loads(one)["city"] for one in found]


def test_structural_tags(client):
    ask_places = "Name two cities. Write each as <place>{\"city\": \"NAME\"}</place>."
    legacy = {"type": "structural_tag", "structures": [PLACE], "triggers": ["<pl"]}
    for seed in range(3):
        places(ask(client, ask_places, seed=seed, response_format=legacy).choices[0].message.content)
    tag = {"type": "tag", "begin": "<place>", "content": {"type": "json_schema", "json_schema": CITY}, "end": "</place>"}
    one = {"type": "triggered_tags", "triggers": ["<pl"], "tags": [tag], "at_least_one": True, "stop_after_first": True}
    answer = ask(client, ask_places, response_format={"type": "structural_tag", "format": one})
    assert len(places(answer.choices[0].message.content)) == 1 and answer.choices[0].finish_reason == "stop"
    row = {"type": "sequence", "elements": [
        {"type": "tag", "begin": "<think>", "content": {"type": "any_text", "excludes": ["\n"]}, "end": ["</think>", "."]},
        {"type": "tags_with_separator", "tags": [tag], "separator": ", ", "at_least_one": True}, {"type": "const_string", "value": " Done."}]}
    for form in ({"type": "structural_tag", "format": row}, json.dumps({"format": row})):
        text = ask(client, ask_places, max_tokens=400, extra_body={"structured_outputs": {"structural_tag": form}}).choices[0].message.content
        assert re.fullmatch(r"<think>[^\n]*?(</think>|\.)<place>.*</place> Done\.", text, re.DOTALL), text
        assert places(text)


def test_structural_tags_that_are_wrong_are_refused(client):
    for form, words in (({}, "must hold a format"), ({"format": {"type": "token", "token": 1}}, "format.type"),
                        ({"structures": [PLACE], "triggers": ["<x"]}, "structural_tag.triggers"),
                        ({"structures": [{**PLACE, "schema": {"type": "what"}}], "triggers": ["<pl"]}, "structures[0].schema")):
        with pytest.raises(openai.BadRequestError) as error:
            ask(client, "x", response_format={"type": "structural_tag", **form})
        assert error.value.param == "response_format" and words in str(error.value)


def test_forced_tools(client):
    answer = ask(client, "What is the weather in Paris?", tools=[WEATHER, TIME], tool_choice={"type": "function", "function": {"name": "get_weather"}})
    call, = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather" and answer.choices[0].finish_reason == "stop"
    assert set(json.loads(call.function.arguments)) == {"city", "unit"}
    answer = ask(client, "What is the time?", tools=[WEATHER, TIME], tool_choice="required", parallel_tool_calls=False)
    call, = answer.choices[0].message.tool_calls
    assert call.function.name in ("get_weather", "get_time") and answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None


def test_forced_tools_streamed(client):
    stream = ask(client, "What is the weather in Paris?", tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, stream=True)
    name, arguments, ids, finish = "", "", set(), None
    for chunk in stream:
        choice = chunk.choices[0]
        finish = choice.finish_reason or finish
        assert "<tool_call>" not in (choice.delta.content or "")
        for call in choice.delta.tool_calls or []:
            if call.id:
                ids.add(call.id)
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    assert name == "get_weather" and finish == "tool_calls" and len(ids) == 1
    assert set(json.loads(arguments)) == {"city", "unit"}


def test_tools_round_trip(client):
    answer = ask(client, "Weather in Paris?", tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    message = answer.choices[0].message
    call = message.tool_calls[0]
    final = client.chat.completions.create(model="smollm2", max_tokens=30, tools=[WEATHER], tool_choice="none", messages=[
        {"role": "user", "content": "Weather in Paris?"}, message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "21 C, sunny"}])
    assert final.choices[0].message.content


def test_bad_words_are_not_said(client):
    text = ask(client, "What is the capital of France?", temperature=0, max_tokens=40).choices[0].message.content
    assert "Paris" in text
    text = ask(client, "What is the capital of France?", temperature=0, max_tokens=40, extra_body={"bad_words": ["Paris"]}).choices[0].message.content
    assert "Paris" not in text


def test_truncated_prompts(client):
    answer = ask(client, "word " * 300, max_tokens=2, extra_body={"truncate_prompt_tokens": 50})
    assert answer.usage.prompt_tokens == 50


def test_later_turns_use_the_prefix_again(smol, client):
    messages, cached = [{"role": "system", "content": "You are a helpful assistant. " * 20}], []
    for turn in range(4):
        messages.append({"role": "user", "content": f"Tell me a fact about the number {turn}."})
        answer = client.chat.completions.create(model="smollm2", messages=messages, max_tokens=40, temperature=0)
        cached.append((answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens))
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
    for (before, _), (_, hit) in zip(cached, cached[1:]):
        assert hit >= before - 64, cached
    assert smol.metric("vllm:prefix_cache_hits_total") > 0
