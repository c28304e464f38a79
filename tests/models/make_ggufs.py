#!/usr/bin/env python3
"""Writes <this folder>/<name>/model.gguf beside the checkpoints that make_oracles.py wrote: the same numbers under GGUF's names.

  python make_ggufs.py                   # qwen2, qwen3, qwen3_moe

Needs torch, safetensors and gguf. One-dimensional tensors and the router become F32 as converters do, matrices stay BF16. Our own code.
"""
import json, os
import gguf, torch
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
LAYER = {'input_layernorm.weight': 'attn_norm.weight', 'post_attention_layernorm.weight': 'ffn_norm.weight',
         'self_attn.q_norm.weight': 'attn_q_norm.weight', 'self_attn.k_norm.weight': 'attn_k_norm.weight', 'mlp.gate.weight': 'ffn_gate_inp.weight'}
for p in 'qkv':
    for kind in ('weight', 'bias'): LAYER[f'self_attn.{p}_proj.{kind}'] = f'attn_{p}.{kind}'
LAYER['self_attn.o_proj.weight'] = 'attn_output.weight'
for p in ('gate', 'up', 'down'): LAYER[f'mlp.{p}_proj.weight'] = f'ffn_{p}.weight'
OUTER = {'model.embed_tokens.weight': 'token_embd.weight', 'model.norm.weight': 'output_norm.weight', 'lm_head.weight': 'output.weight'}

def add(out, name, t):
    if t.ndim == 1 or 'ffn_gate_inp' in name: return out.add_tensor(name, t.float().numpy())
    data = t.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
    out.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.BF16)

def metadata(out, arch, c):
    out.add_vocab_size(c['vocab_size']); out.add_context_length(c['max_position_embeddings']); out.add_embedding_length(c['hidden_size'])
    out.add_block_count(c['num_hidden_layers']); out.add_feed_forward_length(c['intermediate_size']); out.add_head_count(c['num_attention_heads'])
    out.add_head_count_kv(c['num_key_value_heads']); out.add_layer_norm_rms_eps(c['rms_norm_eps'])
    out.add_rope_freq_base(c.get('rope_theta') or c['rope_parameters']['rope_theta'])
    if 'head_dim' in c: out.add_key_length(c['head_dim']); out.add_value_length(c['head_dim'])
    if arch == 'qwen3moe':
        out.add_expert_count(c['num_experts']); out.add_expert_used_count(c['num_experts_per_tok']); out.add_expert_feed_forward_length(c['moe_intermediate_size'])

def convert(name, arch):
    d = os.path.join(HERE, name); c = json.load(open(os.path.join(d, 'config.json'))); W = load_file(os.path.join(d, 'model.safetensors'))
    out = gguf.GGUFWriter(os.path.join(d, 'model.gguf'), arch); metadata(out, arch, c)
    stacks = {}
    for k, t in W.items():
        if k in OUTER: add(out, OUTER[k], t); continue
        _, _, i, rest = k.split('.', 3)
        if '.experts.' in rest:
            e, module = rest.split('.')[2:4]; stacks.setdefault((i, module.split('_')[0]), {})[int(e)] = t
        else: add(out, f'blk.{i}.{LAYER[rest]}', t)
    for (i, module), experts in stacks.items():
        add(out, f'blk.{i}.ffn_{module}_exps.weight', torch.stack([experts[e] for e in range(len(experts))]))
    out.write_header_to_file(); out.write_kv_data_to_file(); out.write_tensors_to_file(); out.close()

for name, arch in (('qwen2', 'qwen2'), ('qwen3', 'qwen3'), ('qwen3_moe', 'qwen3moe')): convert(name, arch)
