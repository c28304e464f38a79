"""Writes first inputs for the fuzz targets, made of tests/data: seeds.py FOLDER makes FOLDER/TARGET/*."""
import json
import pathlib
import struct
import sys

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
LINE = "\n====\n"  # between the two parts of an input; see input.h


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def halves(first, second):
    return f"{first}{LINE}{second}".encode()


def http():
    body = b'{"a": 1}'
    head = b"Host: h\r\nContent-Type: application/json\r\n"
    chunks = b"3;x=y\r\n{\"a\r\n5\r\n\": 1}\r\n0\r\nTrailer: t\r\n\r\n"
    post = b"POST /echo HTTP/1.1\r\n" + head
    whole = post + b"Content-Length: 8\r\n\r\n" + body
    yield whole
    yield whole + b"GET /under/a%20b?q=1 HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\nAccept-Encoding: gzip\r\n\r\n" + whole
    yield post + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n" + chunks + whole
    yield b"POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\nHEAD /under/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    yield b"OPTIONS /echo HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n"
    yield b"GET http://h/under/x HTTP/1.1\r\nHost: h\r\nX-Request-Timeout-Ms: 5\r\nX-Request-Id: abc\r\nConnection: close\r\n\r\n"


def request():
    message = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    chat = {"model": "m", "messages": [message, {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "2"}], "tools": [tool], "tool_choice": "auto"}
    numbers = {"temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "n": 2, "best_of": 2, "seed": -5, "max_tokens": 7,
               "logprobs": True, "top_logprobs": 3, "frequency_penalty": -1, "presence_penalty": 1, "logit_bias": {"3": -1.5}}
    wishes = {"stop": ["a", "b"], "stream": True, "stream_options": {"include_usage": True}, "stop_token_ids": [1],
              "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}}
    yield chat
    yield {"messages": [message], **numbers}
    yield {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], **wishes,
           "chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"}
    yield {"prompt": ["a", "b"], "echo": True, "logprobs": 2, "suffix": None, **{**numbers, "logprobs": 2}}
    yield {"prompt": [[1, 2], [3]], "guided_regex": "a+", "min_tokens": 2}
    yield {"prompt": "p", "add_special_tokens": True, "return_token_strs": True, "truncate_prompt_tokens": 5}
    yield {"tokens": [1, 2, 3], "skip_special_tokens": True}
    yield {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}, {"type": "function_call", "call_id": "c",
           "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": "1"}],
           "instructions": "i", "max_output_tokens": 5, "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}},
           "tools": [{"type": "function", "name": "f", "parameters": {}}], "include": ["message.output_text.logprobs"]}
    yield {"max_tokens": 9, "system": [{"type": "text", "text": "s"}], "messages": [
           {"role": "user", "content": "x"}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"},
            {"type": "tool_use", "id": "u", "name": "f", "input": {"a": 1}}]},
           {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "u", "content": "r"}]}],
           "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "f"},
           "thinking": {"type": "enabled", "budget_tokens": 1024}, "stop_sequences": ["z"], "top_k": 3}


def safetensors():
    def tensor(dtype, shape, begin, end):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    header = {"__metadata__": {"format": "pt"}, "a": tensor("BF16", [2, 3], 0, 12), "b": tensor("F32", [], 12, 16),
              "c": tensor("U8", [0, 4], 16, 16), "d": tensor("F8_E4M3", [4], 16, 20), "e": tensor("I64", [1], 20, 28)}
    text = json.dumps(header).encode()
    yield struct.pack("<Q", len(text)) + text + bytes(28)
    yield b'{"metadata":{"total_size":3},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}'


def gguf():
    def text(value):
        value = value.encode()
        return struct.pack("<Q", len(value)) + value

    def value(v):
        if isinstance(v, bool):
            return struct.pack("<I?", 7, v)
        if isinstance(v, int):
            return struct.pack("<II", 4, v)
        if isinstance(v, float):
            return struct.pack("<If", 6, v)
        if isinstance(v, str):
            return struct.pack("<I", 8) + text(v)
        kinds = {int: (5, lambda x: struct.pack("<i", x)), float: (6, lambda x: struct.pack("<f", x)), str: (8, text)}
        kind, pack = kinds[type(v[0])]
        return struct.pack("<IIQ", 9, kind, len(v)) + b"".join(map(pack, v))

    def file(metadata, tensors):
        out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
        out += b"".join(text(k) + value(v) for k, v in metadata.items())
        data = b""
        for name, shape, kind, size in tensors:
            out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data))
            data += bytes(-(-size // 32) * 32)
        return out + bytes(-len(out) % 32) + data

    for architecture in ("llama", "qwen2", "qwen3moe"):
        model = {"general.architecture": architecture, "general.alignment": 32}
        numbers = {"block_count": 1, "embedding_length": 32, "feed_forward_length": 32, "attention.head_count": 2,
                   "attention.head_count_kv": 1, "context_length": 64, "rope.freq_base": 10000.0, "expert_count": 4,
                   "expert_used_count": 2, "expert_feed_forward_length": 32, "attention.layer_norm_rms_epsilon": 1e-5,
                   "vocab_size": 8}
        model |= {f"{architecture}.{k}": v for k, v in numbers.items()}
        tensors = [("token_embd.weight", (32, 8), 0, 1024), ("output_norm.weight", (32,), 0, 128),
                   ("blk.0.attn_q.weight", (32, 32), 8, 1088), ("blk.0.attn_k.weight", (32, 16), 2, 288)]
        yield file(model, tensors)
    words = ["<unk>", "<s>", "</s>", "a", "b", "ab", "\u0120", "<0x0A>"]
    common = {"general.architecture": "llama", "tokenizer.ggml.tokens": words, "tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 6],
              "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
              "tokenizer.chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}
    yield file(common | {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.merges": ["a b"]}, [])
    yield file(common | {"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": [0.0] * 8, "tokenizer.ggml.add_bos_token": True,
                         "tokenizer.ggml.add_space_prefix": False}, [])
    yield file(common | {"tokenizer.ggml.model": "t5", "tokenizer.ggml.scores": [-1.0] * 8, "tokenizer.ggml.unknown_token_id": 0}, [])


def config():
    for path in sorted(DATA.glob("models/*/config.json")):
        if path.stat().st_size < 4096:
            yield halves(path.read_text(), '{"eos_token_id": [1, 2], "bos_token_id": 1}')


def tokenizer():
    def small(model, **parts):
        return json.dumps({"version": "1.0", "added_tokens": [{"id": 4, "content": "<x>", "special": True, "single_word": False,
                           "lstrip": False, "rstrip": False, "normalized": False}], "normalizer": None, "pre_tokenizer": None,
                           "post_processor": None, "decoder": None, **parts, "model": model})
    bpe = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "\u0120": 3}, "merges": ["a b"]}
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": "\\p{L}+|\\d{1,3}"}, "behavior": "Isolated", "invert": False}
    spaced = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    yield halves(small(bpe, pre_tokenizer=level, decoder=level), "ab <x>a b")
    yield halves(small(bpe, pre_tokenizer={"type": "Sequence", "pretokenizers": [split, level]}, normalizer={"type": "NFC"}), "ab 123")
    yield halves(small({**bpe, "byte_fallback": True, "unk_token": "a"}, pre_tokenizer=spaced, decoder=spaced), "b\u00e9\u2581a")
    yield halves(small({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["\u2581a", -1.0], ["b", -2.5]]}), "a b")
    steps = [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
             {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    yield halves(small(bpe, decoder={"type": "Sequence", "decoders": steps}, normalizer={"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        {"type": "Lowercase"}]}), "A b")
    name = {"id": "<x>", "ids": [4], "tokens": ["<x>"]}
    yield halves(small(bpe, post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {"<x>": name}}), "ab")


def template():
    for row in rows("jinja/conformance.jsonl")[::3]:
        yield halves(row["template"], json.dumps(row["context"]))
    conversations = rows("templates/conversations.jsonl")
    for i, path in enumerate(sorted(DATA.glob("templates/templates/*.jinja"))):
        if path.stat().st_size < 6000:
            yield halves(path.read_text(), json.dumps(conversations[i % len(conversations)]))


def grammar():
    for row in rows("structured/schemas.jsonl")[::2]:
        text = json.dumps(row["schema"])
        if len(text) < 2000:
            yield halves(text, (row["valid"] or row["invalid"] or [""])[0])
    for row in rows("structured/ebnf.jsonl"):
        yield halves(row["grammar"], (row.get("accept") or [""])[0])


def regex():
    for row in rows("structured/regex.jsonl"):
        yield halves(row["regex"], (row.get("accept") or [""])[-1])


def sse():
    chunk = {"id": "c", "choices": [{"index": 0, "text": "a", "token_ids": [5], "finish_reason": None}]}
    last = {"id": "c", "choices": [{"index": 0, "text": "", "token_ids": [], "finish_reason": "stop"}], "usage": {"total_tokens": 3}}
    stream = f"data: {json.dumps(chunk)}\n\n: ping\n\ndata: {json.dumps(last)}\r\n\r\ndata: [DONE]\n\n"
    yield halves('{"prompt":"p","stream":true}', stream)
    yield halves('{"messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}',
                 stream.replace('"text": "a"', '"delta": {"content": "a"}'))
    yield halves('{"prompt":[1,2],"stream":true,"return_token_ids":true}', 'event: error\ndata: {"error":{"code":500,"type":"x"}}\n\n')


def peer():
    def varint(value):
        value &= (1 << 64) - 1
        out = b""
        while value > 127:
            out += bytes([value & 127 | 128])
            value >>= 7
        return out + bytes([value])

    def message(**fields):  # f3 = 5: field 3 as protobuf writes it
        out = b""
        for name, value in fields.items():
            key = int(name[1:]) << 3
            if isinstance(value, float):
                out += varint(key | 5) + struct.pack("<f", value)
            elif isinstance(value, int):
                out += varint(key) + varint(value)
            else:
                if isinstance(value, list):
                    value = b"".join(map(varint, value))
                value = value.encode() if isinstance(value, str) else value
                out += varint(key | 2) + varint(len(value)) + value
        return out

    layout = message(f1="host", f2="F32", f3=32, f4=32, f5=message(f1=2, f2=16), f6=message(f1=4, f2=16, f3=8, f4=2, f5=4))
    identity = message(f1="0123456789abcdef", f2="theirs", f3=256, f4=layout)
    draws = message(f1=0.5, f2=0.25, f3=7, f4=0.125, f5=0.5, f6=-0.5, f7=1.5, f8=9, f9=[3], f10=struct.pack("<f", 1.5), f11=[3, 4], f12=2)
    call = message(f1=identity, f2="r", f3=[1, 2, 3], f4=1, f5=draws, f6=2, f7=1, f8=[9], f9="salt", f10=-3, f11=77)
    offer = message(f1="a" * 32) + varint(2 << 3 | 1) + struct.pack("<Q", 5)
    logprobs = message(f1=-0.5, f2=[4, 3], f3=struct.pack("<2f", -0.5, -1.5))
    for image in (0, 8192 + 2304):  # of 3 positions: a block of K and V; rows of the ring and the convolution
        yield call + LINE.encode() + message(f1=offer, f2=identity, f3=3, f4=image, f5=[4], f6=logprobs, f9=1, f10=1000)
    yield offer + LINE.encode() + message(f1=offer, f2=identity, f5=[9], f7=1, f8=9)


def main():
    folder = pathlib.Path(sys.argv[1])
    for make in (http, request, safetensors, gguf, config, tokenizer, template, grammar, regex, sse, peer):
        target = folder / make.__name__
        target.mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(make()):
            data = json.dumps(seed).encode() if isinstance(seed, dict) else seed
            (target / f"seed-{i:03}").write_bytes(data)


main()
