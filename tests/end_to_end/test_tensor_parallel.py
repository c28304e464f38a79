"""One model shared by several processes, as a client and an operator see them."""
import concurrent.futures
import json
import os
import signal
import time

import pytest
from conftest import MODELS, Server

FLAGS = ("--served-model-name", "m", "--memory", "128MiB", "--threads", "2", "--speculate", "3")


def body(i, tokens=24):
    prompt = [(7 * i + 3 * k) % 250 for k in range(20 + 13 * i)]
    return {"model": "m", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "return_token_ids": True}


def token_ids(server, i):
    status, answer = server.post("/v1/completions", body(i))
    assert status == 200, answer
    return answer["choices"][0]["token_ids"]


def ranks_of(server):
    lines = [json.loads(line) for line in (server.process.stderr.read() or "").splitlines() if line.startswith("{")]
    return [line["process"] for line in lines if line["message"] == "a rank was started"]


def ended(pid, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("model", ["llama", "nemotron_h_latent_mtp"])
def test_ranks_answer_as_one_process_does(model):
    alone, shared = Server(MODELS / model, *FLAGS), Server(MODELS / model, *FLAGS, "--tensor-parallel", "2")
    ranks = ranks_of(shared)
    assert len(ranks) == 1
    expected = [token_ids(alone, i) for i in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda i: token_ids(shared, i), range(6))) == expected
    assert [token_ids(shared, i) for i in range(6)] == expected  # from the prefix cache
    assert shared.wait_until_idle()
    assert alone.stop() == 0 and shared.stop() == 0
    assert ended(ranks[0])


def test_interrupting_the_whole_group_drains():
    server = Server(MODELS / "llama", *FLAGS, "--tensor-parallel", "2")
    rank = ranks_of(server)[0]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.post, "/v1/completions", body(1, 300))
        time.sleep(0.2)
        for pid in (rank, server.process.pid):  # as a terminal does it
            os.kill(pid, signal.SIGINT)
        status, reply = answer.result()
    assert status == 200 and len(reply["choices"][0]["token_ids"]) == 300
    assert server.process.wait(30) == 0


def test_a_lost_rank_ends_the_requests_and_the_daemon():
    server = Server(MODELS / "llama", *FLAGS, "--tensor-parallel", "2")
    rank = ranks_of(server)[0]

    def outcome(i):
        try:
            status, reply = server.post("/v1/completions", body(i % 8, 300))
        except OSError:
            return "gone"  # the process was first
        if status == 200:
            assert len(reply["choices"][0]["token_ids"]) == 300  # whole, or an error
            return "whole"
        assert status >= 500 and "rank" in reply["error"]["message"], reply
        return "told"

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        outcomes = [pool.submit(outcome, i) for i in range(64)]
        time.sleep(0.1)
        os.kill(rank, signal.SIGKILL)
        assert {"told", "gone"} & {one.result() for one in outcomes}
    assert server.process.wait(30) == 71
