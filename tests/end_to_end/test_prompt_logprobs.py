"""Logprobs of prompts on the real model."""
import math

PROMPT = "The capital of France is Paris. The capital of Germany is"


def complete(server, prompt, **fields):
    status, reply = server.post("/v1/completions", {"model": "smollm2", "prompt": prompt, "temperature": 0, "max_tokens": 1, **fields})
    assert status == 200, reply
    return reply


def told(server, prompt, **fields):
    """The list of a completion's only choice, and its prompt's ids."""
    choice, = complete(server, prompt, return_token_ids=True, **fields)["choices"]
    ids = choice["prompt_token_ids"]
    assert len(choice["prompt_logprobs"]) == len(ids) and choice["prompt_logprobs"][0] is None
    return choice["prompt_logprobs"], ids


def test_each_token_and_the_best_ones(smol):
    entries, ids = told(smol, PROMPT, prompt_logprobs=3)
    for entry, token in zip(entries[1:], ids[1:]):
        own = entry[str(token)]
        best = sorted(entry.values(), key=lambda one: one["rank"])
        assert [one["rank"] for one in best[:3]] == [1, 2, 3]
        assert len(entry) == (3 if own["rank"] <= 3 else 4)
        assert all(a["logprob"] >= b["logprob"] for a, b in zip(best, best[1:]))
    text = "".join(entry[str(token)]["decoded_token"] for entry, token in zip(entries[1:], ids[1:]))
    assert PROMPT.endswith(text)
    assert entries[-1][str(ids[-1])]["rank"] == 1  # "is"


def test_an_answer_given_as_prompt_has_the_logprobs_it_was_drawn_with(smol):
    answer = complete(smol, PROMPT, max_tokens=60, logprobs=0, return_token_ids=True, ignore_eos=True)["choices"][0]
    prompt, output = answer["prompt_token_ids"], answer["token_ids"]
    drawn = answer["logprobs"]["token_logprobs"]
    assert len(drawn) == 60
    entries, _ = told(smol, prompt + output, prompt_logprobs=0)
    scored = [entries[len(prompt) + i][str(token)] for i, token in enumerate(output)]
    assert [one["logprob"] for one in scored] == drawn
    assert {one["rank"] for one in scored} == {1}
    assert math.isclose(sum(one["logprob"] for one in scored), sum(drawn))


def test_echo_and_the_field_agree_and_the_cache_hides_nothing(smol):
    long = " ".join([PROMPT] * 12)
    complete(smol, long)  # now cached
    reply = complete(smol, long, echo=True, logprobs=2, prompt_logprobs=1, return_token_ids=True)
    choice, = reply["choices"]
    assert reply["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert complete(smol, long)["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    ids, echoed = choice["prompt_token_ids"], choice["logprobs"]["token_logprobs"]
    assert echoed[1:len(ids)] == [entry[str(token)]["logprob"] for entry, token in zip(choice["prompt_logprobs"][1:], ids[1:])]


def test_whole_vocabulary(smol):
    entries, ids = told(smol, "The capital of France", prompt_logprobs=-1)
    for entry, token in zip(entries[1:], ids[1:]):
        assert len(entry) == 49152
        assert sorted(one["rank"] for one in entry.values()) == list(range(1, 49153))
        assert abs(sum(math.exp(one["logprob"]) for one in entry.values()) - 1) < 1e-3
    status, reply = smol.post("/v1/completions", {"model": "smollm2", "prompt": " ".join([PROMPT] * 12), "prompt_logprobs": -1})
    assert status == 400 and reply["error"]["param"] == "prompt_logprobs" and "1048576" in reply["error"]["message"]


def test_chat_tells_them_beside_its_choices(smol):
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 4, "temperature": 0, "n": 2}
    status, reply = smol.post("/v1/chat/completions", {**body, "prompt_logprobs": 2})
    assert status == 200 and len(reply["prompt_logprobs"]) == reply["usage"]["prompt_tokens"] and len(reply["choices"]) == 2
    assert "prompt_logprobs" not in smol.post("/v1/chat/completions", body)[1]
    for wrong in ({"prompt_logprobs": 21}, {"prompt_logprobs": 1, "stream": True}, {"prompt_logprobs": "1"}):
        status, reply = smol.post("/v1/chat/completions", {**body, **wrong})
        assert status == 400 and reply["error"]["param"] == "prompt_logprobs"


def test_a_hybrid_model_by_ids(hybrid):
    prompt = [(7 * i) % 250 for i in range(100)]
    body = {"model": "hybrid", "prompt": prompt, "max_tokens": 1, "temperature": 0, "return_token_ids": True, "prompt_logprobs": 1}
    first, second = (hybrid.post("/v1/completions", body)[1]["choices"][0]["prompt_logprobs"] for _ in range(2))
    assert first == second and len(first) == 100
    assert all(entry[str(token)]["decoded_token"] is None for entry, token in zip(first[1:], prompt[1:]))
