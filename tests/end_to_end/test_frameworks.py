"""Packages that applications reach a server through: litellm, langchain, instructor, llm. They want an older openai
package than the other tests, so they have a virtual environment of their own (requirements-frameworks.txt)."""
import asyncio
import json
import os
import subprocess
import sys
from typing import Literal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no request to the network at import

import instructor
import litellm
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, ConfigDict, Field

PARIS = "The capital of France is Paris."
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "Weather of a city", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}},
        "required": ["city", "unit"], "additionalProperties": False}}}


class City(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=20)
    continent: Literal["Africa", "Asia", "Europe"]
    inhabitants: int = Field(ge=0, le=99_999_999)


@pytest.fixture(scope="module")
def lite(smol):
    return dict(model="openai/smollm2", api_base=smol.url + "/v1", api_key="none", temperature=0, max_retries=0)


@pytest.fixture(scope="module")
def chain(smol):
    return ChatOpenAI(model="smollm2", base_url=smol.url + "/v1", api_key="none", temperature=0, max_retries=0)


def test_litellm_chat_and_stream(lite):
    whole = litellm.completion(messages=FRANCE, max_tokens=32, **lite)
    assert whole.choices[0].message.content == PARIS
    assert whole.usage.completion_tokens == 8
    chunks = list(litellm.completion(messages=FRANCE, max_tokens=32, stream=True,
                                     stream_options={"include_usage": True}, **lite))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == PARIS
    assert chunks[-1].usage.completion_tokens == 8


def test_litellm_async_and_text_completion(lite):
    reply = asyncio.run(litellm.acompletion(messages=FRANCE, max_tokens=32, **lite))
    assert reply.choices[0].message.content == PARIS
    text = litellm.text_completion(prompt="1, 2, 3, 4,", max_tokens=8,
                                   **{**lite, "model": "text-completion-openai/smollm2"})
    assert text.choices[0].text.startswith(" 5, 6")


def test_litellm_forced_tool_and_its_stream(lite):
    forced = dict(messages=FRANCE, tools=[WEATHER], max_tokens=64,
                  tool_choice={"type": "function", "function": {"name": "weather"}}, **lite)
    call = litellm.completion(**forced).choices[0].message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "weather" and set(arguments) == {"city", "unit"} and arguments["unit"] in ("C", "F")
    deltas = [d for chunk in litellm.completion(stream=True, **forced) for d in chunk.choices[0].delta.tool_calls or []]
    assert json.loads("".join(d.function.arguments or "" for d in deltas)) == arguments


def test_litellm_maps_errors(lite):
    with pytest.raises(litellm.NotFoundError, match="no model"):
        litellm.completion(messages=FRANCE, **{**lite, "model": "openai/other"})
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        litellm.completion(messages=FRANCE, **{**lite, "temperature": 9})


def test_langchain_invoke_stream_and_batch(chain):
    reply = chain.invoke("What is the capital of France?", max_tokens=32)
    assert reply.content == PARIS and reply.usage_metadata["output_tokens"] == 8
    assert reply.response_metadata["finish_reason"] == "stop"
    assert "".join(piece.content for piece in chain.stream("What is the capital of France?")) == PARIS
    assert [r.content for r in chain.batch(["What is the capital of France?"] * 3)] == [PARIS] * 3


def test_langchain_tool_loop(chain):
    forced = chain.bind_tools([WEATHER], tool_choice="weather")
    question = HumanMessage("What is the weather in Rome?")
    asked = forced.invoke([question], max_tokens=64)
    assert isinstance(asked, AIMessage) and len(asked.tool_calls) == 1
    assert asked.tool_calls[0]["name"] == "weather" and set(asked.tool_calls[0]["args"]) == {"city", "unit"}
    answer = chain.invoke([question, asked, ToolMessage("21 C and sunny", tool_call_id=asked.tool_calls[0]["id"])],
                          max_tokens=32)
    assert answer.content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_structured_output(chain, method):
    city = chain.with_structured_output(City, method=method).invoke("Describe Paris.", max_tokens=200)
    assert isinstance(city, City)


@pytest.mark.parametrize("mode", [instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS])
def test_instructor(smol, mode):
    client = instructor.from_openai(openai.OpenAI(base_url=smol.url + "/v1", api_key="none", max_retries=0), mode=mode)
    city = client.chat.completions.create(
        response_model=City, model="smollm2", messages=[{"role": "user", "content": "Describe Paris."}], temperature=0,
        max_tokens=100, max_retries=0)
    assert isinstance(city, City)


def test_llm_command_line(smol, tmp_path):
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: braid\n  model_name: smollm2\n  api_base: {smol.url}/v1\n")
    run = lambda *words: subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "llm"), *words], capture_output=True, text=True, timeout=120,
        env={**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"})
    said = run("-m", "braid", "-o", "temperature", "0", "What is the capital of France?")
    assert said.stdout.strip() == PARIS, said.stderr
    more = run("-m", "braid", "--no-stream", "-o", "temperature", "0", "-o", "max_tokens", "2", "What is the capital of France?")
    assert more.stdout.strip() == "The capital", more.stderr
